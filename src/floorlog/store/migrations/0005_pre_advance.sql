-- The fence: moves a lease on by one batch and writes its head, or stops the transaction.

-- SQLSTATEs: FL001 the lease is not the caller's any more; FL002 another shard raised its version;
-- FL003 it does not stand where the caller believes, although it is the caller's.
CREATE FUNCTION advance(
    of_lease int8, of_epoch int8, to_number int8, of_version int8,
    from_checkpoint numeric, to_checkpoint numeric,
    to_clock_s int8, to_read_at int8, to_behind_ms int8, by_catalogue int8,
    counted int8[],  -- records, received, stored, rejected, duplicate, conflict, gaps
    of_leaves int8, of_root bytea,
    is_ended bool, lease_seconds float8,
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
        records, received, stored, rejected, duplicate, conflict, leaves, root, head)
    VALUES (of_lease, to_number, of_epoch, to_clock_s, from_checkpoint, to_checkpoint, by_catalogue,
        counted[1], counted[2], counted[3], counted[4], counted[5], counted[6], of_leaves, of_root, new_head);
    now_us := extract(epoch FROM now_at) * 1000000;
    SELECT c.version, c.body INTO newer, newer_body
        FROM floorlog.catalogue AS c WHERE c.version > by_catalogue ORDER BY c.version DESC LIMIT 1;
END
$$;
REVOKE ALL ON FUNCTION advance(int8, int8, int8, int8, numeric, numeric, int8, int8, int8, int8, int8[], int8, bytea, bool, float8) FROM PUBLIC;

-- Ends the shards of earlier streams of this name, each by an entry with a gap: their rest can not
-- be read. Under a new epoch, so that nobody takes the entry for a commit of his own.
CREATE FUNCTION end_older_streams(of_arn text, before timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    l floorlog.lease;
    g floorlog.gap;
BEGIN
    FOR l IN
        SELECT o.* FROM floorlog.lease AS o JOIN floorlog.stream AS s ON s.stream_id = o.stream_id
        WHERE s.arn = of_arn AND s.created_at < before AND NOT s.gone AND NOT o.ended
        ORDER BY o.lease_id FOR NO KEY UPDATE OF o
    LOOP
        g := (now(), l.lease_id, l.number + 1,
            CASE WHEN l.read_at >= 0 THEN l.read_at WHEN l.clock_s >= 0 THEN l.clock_s * 1000000
                ELSE (SELECT floorlog.to_us(s.created_at) FROM floorlog.stream AS s WHERE s.stream_id = l.stream_id)
            END, floorlog.to_us(now()), 'stream gone');
        INSERT INTO floorlog.gap SELECT g.*;
        UPDATE floorlog.lease AS o SET epoch = l.epoch + 1, digest = coalesce(o.digest, floorlog.digest(o))
            WHERE o.lease_id = l.lease_id;
        PERFORM floorlog.advance(l.lease_id, l.epoch + 1, l.number + 1, l.version, l.checkpoint, l.checkpoint,
            greatest(l.clock_s, 0), -1, 0, l.catalogue, '{0,0,0,0,0,0,1}', 1, floorlog.digest(g), true, 0);
    END LOOP;
    UPDATE floorlog.stream SET gone = true WHERE arn = of_arn AND created_at < before AND NOT gone;
END
$$;
REVOKE ALL ON FUNCTION end_older_streams(text, timestamptz) FROM PUBLIC;
