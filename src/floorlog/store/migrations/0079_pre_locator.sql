-- What says which series of a batch are not as they were stored: kept beside the batch by the worker.

ALTER TABLE batch ADD COLUMN locator bytea;
COMMENT ON COLUMN batch.locator IS 'outside: sums that find the series that is not as stored, once its batch is in doubt';

-- The fence as it was, and the sums with it.
CREATE FUNCTION advance(
    of_lease int8, of_epoch int8, to_number int8, of_version int8,
    from_checkpoint numeric, to_checkpoint numeric,
    to_clock_s int8, to_read_at int8, to_behind_ms int8, by_catalogue int8,
    counted int8[],  -- records, received, stored, rejected, duplicate, conflict, gaps
    of_leaves int8, of_root bytea,
    is_ended bool, lease_seconds float8, of_locator bytea,
    OUT now_us int8, OUT is_wanted bool, OUT newer int4, OUT newer_body text
)
LANGUAGE plpgsql AS $$
DECLARE
    stands floorlog.lease;
    now_at timestamptz := clock_timestamp();
    new_head bytea;
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
        gaps = l.gaps + counted[7],
        -- On the row as it stood: the head of the batch before.
        head = floorlog.entry(
            l.digest, to_number, of_epoch, to_clock_s, floorlog.to_us(now()), by_catalogue, from_checkpoint,
            to_checkpoint, counted, of_leaves, of_root,
            CASE WHEN to_number = 1 THEN floorlog.heads(l.parents) ELSE l.head END)
    WHERE l.lease_id = of_lease AND l.epoch = of_epoch AND l.number = to_number - 1
        AND l.version = of_version AND l.checkpoint = from_checkpoint AND NOT l.ended
    RETURNING l.wanted_by IS NOT NULL, l.head INTO is_wanted, new_head;
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
        records, received, stored, rejected, duplicate, conflict, leaves, root, head, locator)
    VALUES (of_lease, to_number, of_epoch, to_clock_s, from_checkpoint, to_checkpoint, by_catalogue,
        counted[1], counted[2], counted[3], counted[4], counted[5], counted[6], of_leaves, of_root, new_head,
        of_locator);
    now_us := extract(epoch FROM now_at) * 1000000;
    SELECT c.version, c.body INTO newer, newer_body
        FROM floorlog.catalogue AS c WHERE c.version > by_catalogue ORDER BY c.version DESC LIMIT 1;
END
$$;
REVOKE ALL ON FUNCTION advance(int8, int8, int8, int8, numeric, numeric, int8, int8, int8, int8, int8[], int8, bytea, bool, float8, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION advance(int8, int8, int8, int8, numeric, numeric, int8, int8, int8, int8, int8[], int8, bytea, bool, float8, bytea)
    TO floorlog_writer;

-- As the last release calls it, and the end of a stream that is gone: a batch without such sums.
CREATE OR REPLACE FUNCTION advance(
    of_lease int8, of_epoch int8, to_number int8, of_version int8,
    from_checkpoint numeric, to_checkpoint numeric,
    to_clock_s int8, to_read_at int8, to_behind_ms int8, by_catalogue int8,
    counted int8[],  -- records, received, stored, rejected, duplicate, conflict, gaps
    of_leaves int8, of_root bytea,
    is_ended bool, lease_seconds float8,
    OUT now_us int8, OUT is_wanted bool, OUT newer int4, OUT newer_body text
)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT a.* INTO now_us, is_wanted, newer, newer_body
    FROM floorlog.advance(of_lease, of_epoch, to_number, of_version, from_checkpoint, to_checkpoint, to_clock_s,
        to_read_at, to_behind_ms, by_catalogue, counted, of_leaves, of_root, is_ended, lease_seconds, NULL) AS a;
END
$$;
