-- An event has its place after the entries of all batches that were there before it: who sees a
-- correction in the log sees the reading as well.

CREATE OR REPLACE VIEW unplaced_event AS
SELECT 22::int2 AS kind, c.correction_id AS id, floorlog.digest(c) AS hash, c.recorded_at
FROM floorlog.correction AS c
WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (22, 0, c.correction_id))
UNION ALL
SELECT 23::int2, x.expiry_id, floorlog.digest(x), x.recorded_at
FROM floorlog.expiry AS x
WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (23, 0, x.expiry_id));

-- Gives events positions, up to so many, as far as no older batch waits for its own; returns how many.
CREATE OR REPLACE FUNCTION sequence_events(leaves_max int4) RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
    added int8;
    horizon timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(4706884);
    SELECT min(b.recorded_at) INTO horizon FROM floorlog.lease AS l
    JOIN floorlog.batch AS b ON b.lease_id = l.lease_id AND b.number = 1 + coalesce((
        SELECT max(g.id) FROM floorlog.log_leaf AS g WHERE g.kind = 32 AND g.lease_id = l.lease_id), 0)
    WHERE l.number >= 1;
    INSERT INTO floorlog.log_leaf (position, kind, id, hash)
    SELECT (SELECT coalesce(max(l.position) + 1, 0) FROM floorlog.log_leaf AS l)
        + row_number() OVER (ORDER BY e.kind, e.id) - 1, e.kind, e.id, e.hash
    FROM floorlog.unplaced_event AS e
    WHERE e.recorded_at < coalesce(horizon, 'infinity') ORDER BY e.kind, e.id LIMIT leaves_max;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;
