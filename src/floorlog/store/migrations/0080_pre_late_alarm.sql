-- An alarm event that commits long after its time is in the log as well; and no time is no number.

-- A time as µs since 1970, cut to what slots can number.
CREATE OR REPLACE FUNCTION to_us(t timestamptz) RETURNS int8
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN t IS NULL THEN NULL
        WHEN t = 'infinity' THEN 3800000000000000000
        WHEN t = '-infinity' THEN -3800000000000000000
        ELSE least(greatest(extract(epoch FROM t) * 1000000, -3800000000000000000), 3800000000000000000)::int8
    END
$$;

-- Gives positions to alarm events that have none, however old: sequence() looks an hour back alone.
-- Looks at so many below an event, and returns the least of them: whence to go on, NULL at the end.
CREATE FUNCTION sequence_late(below int8, events_max int4) RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
    least_id int8;
BEGIN
    PERFORM pg_advisory_xact_lock(4706884);
    SELECT min(s.event_id) INTO least_id FROM (
        SELECT e.event_id FROM floorlog.alarm_event AS e WHERE e.event_id < below
        ORDER BY e.event_id DESC LIMIT events_max) AS s;
    INSERT INTO floorlog.log_leaf (position, kind, id, hash)
    SELECT (SELECT coalesce(max(l.position) + 1, 0) FROM floorlog.log_leaf AS l)
        + row_number() OVER (ORDER BY e.event_id) - 1, 21, e.event_id, floorlog.digest(e)
    FROM floorlog.alarm_event AS e
    WHERE e.event_id < below AND e.event_id >= least_id
        AND NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (21, 0, e.event_id));
    RETURN least_id;
END
$$;
REVOKE ALL ON FUNCTION sequence_late(int8, int4) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sequence_late(int8, int4) TO floorlog_keeper;
