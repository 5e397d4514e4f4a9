-- The log takes the events of alarms in.

COMMENT ON COLUMN log_leaf.id IS 'evidence: number of the batch, series, state, shard, catalogue or event';
COMMENT ON COLUMN log_leaf.kind IS 'evidence: 16 series, 17 state, 18 shard, 19 catalogue, 20 audit event, 21 alarm event, 32 entry';

-- Gives positions to all that has none yet, up to so many; returns the size of the log. What has
-- none, not what is newer: ids commit out of order. Only within a shard are entries in order for sure.
CREATE OR REPLACE FUNCTION sequence(leaves_max int4) RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
    size int8;
    added int8;
BEGIN
    PERFORM pg_advisory_xact_lock(4706884);
    SELECT coalesce(max(l.position) + 1, 0) INTO size FROM floorlog.log_leaf AS l;
    INSERT INTO floorlog.log_leaf (position, kind, lease_id, id, hash)
    SELECT size + row_number() OVER (ORDER BY f.turn, f.lease_id, f.id) - 1, f.kind, f.lease_id, f.id, f.hash
    FROM (
        SELECT 1 AS turn, 18 AS kind, 0 AS lease_id, l.lease_id::int8 AS id, floorlog.digest(l) AS hash
            FROM floorlog.lease AS l
            WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (18, 0, l.lease_id))
        UNION ALL
        SELECT 2, 16, 0, s.series_id, floorlog.digest(s) FROM floorlog.series AS s
            WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (16, 0, s.series_id))
        UNION ALL
        SELECT 3, 17, 0, s.code, floorlog.digest(s) FROM floorlog.state AS s
            WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (17, 0, s.code))
        UNION ALL
        SELECT 4, 19, 0, c.version, floorlog.digest(c) FROM floorlog.catalogue AS c
            WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (19, 0, c.version))
        UNION ALL
        SELECT 5, 32, l.lease_id, b.number, b.head FROM floorlog.lease AS l
            CROSS JOIN LATERAL (
                SELECT o.number, o.head FROM floorlog.batch AS o
                WHERE o.lease_id = l.lease_id AND o.number > coalesce((
                    SELECT max(g.id) FROM floorlog.log_leaf AS g WHERE g.kind = 32 AND g.lease_id = l.lease_id), 0)
                ORDER BY o.number LIMIT leaves_max
            ) AS b
        UNION ALL
        SELECT 6, 20, 0, a.event_id, floorlog.digest(a) FROM floorlog.audit_event AS a
            WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (20, 0, a.event_id))
        UNION ALL
        -- Only what is not much older than the last leaf of its kind: no transaction lasts an hour, and
        -- looking for each event of all years at every step would.
        SELECT 7, 21, 0, e.event_id, floorlog.digest(e) FROM floorlog.alarm_event AS e
            WHERE e.recorded_at >= coalesce((
                    SELECT g.recorded_at - interval '1 hour' FROM floorlog.log_leaf AS g
                    WHERE g.kind = 21 AND g.lease_id = 0 ORDER BY g.id DESC LIMIT 1), '-infinity')
                AND NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (21, 0, e.event_id))
        ORDER BY 1, 3, 4 LIMIT leaves_max
    ) AS f;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN size + added;
END
$$;
