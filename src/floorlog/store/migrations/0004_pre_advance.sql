-- The fence: moves a lease on by one batch and writes its head, or stops the transaction.

-- SQLSTATEs: FL001 the lease is not the caller's any more; FL002 another shard raised its version;
-- FL003 it does not stand where the caller believes, although it is the caller's.
CREATE FUNCTION advance(
    of_lease int8, of_epoch int8, to_number int8, of_version int8,
    from_checkpoint numeric, to_checkpoint numeric,
    to_clock_s int8, to_read_at int8, to_behind_ms int8, by_catalogue int8,
    counted int8[],  -- records, received, stored, rejected, duplicate, conflict, gaps
    is_ended bool, lease_seconds float8,
    OUT now_us int8, OUT is_wanted bool, OUT newer int4, OUT newer_body text
)
LANGUAGE plpgsql AS $$
DECLARE
    stands floorlog.lease;
    now_at timestamptz := clock_timestamp();
BEGIN
    UPDATE floorlog.lease AS l SET
        number = to_number, checkpoint = to_checkpoint, clock_s = to_clock_s,
        read_at = CASE WHEN to_read_at < 0 THEN l.read_at ELSE to_read_at END, behind_ms = to_behind_ms,
        catalogue = by_catalogue, ended = is_ended,
        owner = CASE WHEN is_ended THEN NULL ELSE l.owner END,
        wanted_by = CASE WHEN is_ended THEN NULL ELSE l.wanted_by END,
        expires_at = CASE WHEN is_ended THEN NULL ELSE now_at + make_interval(secs => lease_seconds) END,
        records = l.records + counted[1], received = l.received + counted[2],
        stored = l.stored + counted[3], rejected = l.rejected + counted[4],
        duplicate = l.duplicate + counted[5], conflict = l.conflict + counted[6],
        gaps = l.gaps + counted[7]
    WHERE l.lease_id = of_lease AND l.epoch = of_epoch AND l.number = to_number - 1
        AND l.version = of_version AND l.checkpoint = from_checkpoint AND NOT l.ended
    RETURNING l.wanted_by IS NOT NULL INTO is_wanted;
    IF NOT FOUND THEN
        SELECT * INTO stands FROM floorlog.lease AS l WHERE l.lease_id = of_lease;
        IF stands.epoch IS DISTINCT FROM of_epoch THEN
            RAISE EXCEPTION 'lease % is at epoch %, not %', of_lease, stands.epoch, of_epoch
                USING ERRCODE = 'FL001';
        ELSIF stands.number <> to_number - 1 OR stands.checkpoint <> from_checkpoint THEN
            RAISE EXCEPTION 'lease % stands at batch %, not %', of_lease, stands.number, to_number - 1
                USING ERRCODE = 'FL003';
        ELSIF stands.ended THEN
            RAISE EXCEPTION 'lease % has ended', of_lease USING ERRCODE = 'FL001';
        END IF;
        RAISE EXCEPTION 'lease % is at version %, not %', of_lease, stands.version, of_version
            USING ERRCODE = 'FL002';
    END IF;
    INSERT INTO floorlog.batch (lease_id, number, epoch, clock_s, sequence_before, sequence, catalogue,
        records, received, stored, rejected, duplicate, conflict)
    VALUES (of_lease, to_number, of_epoch, to_clock_s, from_checkpoint, to_checkpoint, by_catalogue,
        counted[1], counted[2], counted[3], counted[4], counted[5], counted[6]);
    now_us := extract(epoch FROM now_at) * 1000000;
    SELECT c.version, c.body INTO newer, newer_body
        FROM floorlog.catalogue AS c WHERE c.version > by_catalogue ORDER BY c.version DESC LIMIT 1;
END
$$;
REVOKE ALL ON FUNCTION advance(int8, int8, int8, int8, numeric, numeric, int8, int8, int8, int8, int8[], bool, float8) FROM PUBLIC;
