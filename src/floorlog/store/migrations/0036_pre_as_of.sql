-- Readings beside their corrections, and what was known as of a size of the log or a moment.

ALTER VIEW reading RENAME TO stored_reading;
ALTER FUNCTION readings(timestamptz, timestamptz) RENAME TO stored_readings;
ALTER FUNCTION readings(text, text, timestamptz, timestamptz) RENAME TO stored_readings;
COMMENT ON VIEW stored_reading IS 'derived: one row per reading, without its correction';

-- Whether an event had its position below a size of the log; NULL as the size: it is there.
CREATE FUNCTION is_known(of_kind int2, of_id int8, log_size int8) RETURNS bool LANGUAGE sql STABLE AS $$
    SELECT log_size IS NULL OR EXISTS (SELECT FROM floorlog.log_leaf AS g
        WHERE (g.kind, g.lease_id, g.id) = (of_kind, 0, of_id) AND g.position < log_size)
$$;

-- The correction that holds of each corrected reading of a span of time; as of a size of the log.
CREATE FUNCTION corrections_between(from_us int8, to_us int8, log_size int8)
RETURNS TABLE (device text, metric text, ts timestamptz, value float8, text text, quality int8)
LANGUAGE sql STABLE AS $$
    SELECT s.device, s.metric, floorlog.from_us(c.ts_us), CASE WHEN s.kind = 0 THEN c.value END,
        CASE WHEN s.kind = 1 THEN (SELECT t.name FROM floorlog.state AS t WHERE t.code = c.value::int4) END, c.quality
    FROM (
        SELECT DISTINCT ON (o.series_id, o.ts_us) o.series_id, o.ts_us, o.value, o.quality
        FROM floorlog.correction AS o
        WHERE o.ts_us BETWEEN from_us AND to_us AND floorlog.is_known(22::int2, o.correction_id, log_size)
        ORDER BY o.series_id, o.ts_us, o.correction_id DESC
    ) AS c
    JOIN floorlog.series AS s ON s.series_id = c.series_id
$$;

-- One row per reading. flags: 1 contradicts an earlier reading of the same time, 2 late, 4 corrected:
-- what it should have been stands beside it. Only the reading that stands is corrected.
-- A range of time reaches no index through this view: use readings() for that.
CREATE VIEW reading AS
SELECT r.ts, r.device_id, r.metric, r.value, r.text, r.unit, r.quality, r.recorded_at,
    r.flags + CASE WHEN c.quality IS NULL THEN 0 ELSE 4 END AS flags, r.arrived_at, r.shard, r.batch, r.bucket,
    c.value AS corrected_value, c.text AS corrected_text, c.quality AS corrected_quality
FROM floorlog.stored_reading AS r
LEFT JOIN floorlog.corrections_between(-3800000000000000000, 3800000000000000000, NULL) AS c
    ON c.ts = r.ts AND c.metric = r.metric AND c.device = r.device_id AND r.flags & 1 = 0;
COMMENT ON VIEW reading IS 'derived: one row per reading';

-- All readings from one time up to, not including, another.
CREATE FUNCTION readings(from_time timestamptz, to_time timestamptz) RETURNS SETOF reading LANGUAGE sql STABLE AS $$
    SELECT r.ts, r.device_id, r.metric, r.value, r.text, r.unit, r.quality, r.recorded_at,
        r.flags + CASE WHEN c.quality IS NULL THEN 0 ELSE 4 END, r.arrived_at, r.shard, r.batch, r.bucket,
        c.value, c.text, c.quality
    FROM floorlog.stored_readings(from_time, to_time) AS r
    LEFT JOIN floorlog.corrections_between(floorlog.to_us(from_time), floorlog.to_us(to_time), NULL) AS c
        ON c.ts = r.ts AND c.metric = r.metric AND c.device = r.device_id AND r.flags & 1 = 0
$$;

-- The readings of one series from one time up to, not including, another.
CREATE FUNCTION readings(of_device text, of_metric text, from_time timestamptz, to_time timestamptz)
RETURNS SETOF reading LANGUAGE sql STABLE AS $$
    SELECT r.ts, r.device_id, r.metric, r.value, r.text, r.unit, r.quality, r.recorded_at,
        r.flags + CASE WHEN c.quality IS NULL THEN 0 ELSE 4 END, r.arrived_at, r.shard, r.batch, r.bucket,
        c.value, c.text, c.quality
    FROM floorlog.stored_readings(of_device, of_metric, from_time, to_time) AS r
    LEFT JOIN floorlog.corrections_between(floorlog.to_us(from_time), floorlog.to_us(to_time), NULL) AS c
        ON c.ts = r.ts AND c.metric = of_metric AND c.device = of_device AND r.flags & 1 = 0
$$;

-- The size that the log had at a moment: one more than the last position given by then. By bisection:
-- positions are given in the order of time.
CREATE FUNCTION log_size_at(moment timestamptz) RETURNS int8 LANGUAGE plpgsql STABLE AS $$
DECLARE
    low int8 := 0;
    high int8;
    middle int8;
BEGIN
    SELECT coalesce(max(g.position) + 1, 0) INTO high FROM floorlog.log_leaf AS g;
    WHILE low < high LOOP
        middle := (low + high) / 2;
        IF EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE g.position = middle AND g.recorded_at <= moment) THEN
            low := middle + 1;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN low;
END
$$;

-- The last batch of a shard whose entry has its position below a size of the log, 0 for none: by
-- bisection, for a shard's entries are in their order in the log.
CREATE FUNCTION last_known(of_lease int4, log_size int8) RETURNS int8 LANGUAGE plpgsql STABLE AS $$
DECLARE
    low int8 := 0;
    high int8;
    middle int8;
BEGIN
    SELECT l.number INTO high FROM floorlog.lease AS l WHERE l.lease_id = of_lease;
    WHILE low < high LOOP
        middle := (low + high + 1) / 2;
        IF EXISTS (SELECT FROM floorlog.log_leaf AS g
                WHERE (g.kind, g.lease_id, g.id) = (32, of_lease, middle) AND g.position < log_size) THEN
            low := middle;
        ELSE
            high := middle - 1;
        END IF;
    END LOOP;
    RETURN low;
END
$$;

-- The readings of one series as of a size of the log: those of batches whose entries had their
-- position then, beside the corrections that had theirs. What expired since is not there any more.
CREATE FUNCTION readings_as_of(of_device text, of_metric text, from_time timestamptz, to_time timestamptz, log_size int8)
RETURNS SETOF reading LANGUAGE sql STABLE AS $$
    SELECT r.ts, r.device_id, r.metric, r.value, r.text, r.unit, r.quality, r.recorded_at,
        r.flags + CASE WHEN c.quality IS NULL THEN 0 ELSE 4 END, r.arrived_at, r.shard, r.batch, r.bucket,
        c.value, c.text, c.quality
    FROM floorlog.stored_readings(of_device, of_metric, from_time, to_time) AS r
    JOIN (
        SELECT l.lease_id, floorlog.last_known(l.lease_id, log_size) AS number FROM floorlog.lease AS l OFFSET 0
    ) AS k ON k.lease_id = r.shard AND r.batch <= k.number
    LEFT JOIN floorlog.corrections_between(floorlog.to_us(from_time), floorlog.to_us(to_time), log_size) AS c
        ON c.ts = r.ts AND c.metric = of_metric AND c.device = of_device AND r.flags & 1 = 0
$$;

-- The same as of a moment: as of the size that the log had then.
CREATE FUNCTION readings_as_of(of_device text, of_metric text, from_time timestamptz, to_time timestamptz, moment timestamptz)
RETURNS SETOF reading LANGUAGE sql STABLE AS $$
    SELECT * FROM floorlog.readings_as_of(of_device, of_metric, from_time, to_time, floorlog.log_size_at(moment))
$$;

GRANT SELECT ON reading TO floorlog_writer, floorlog_keeper, floorlog_operator, floorlog_reader;

-- The keeper tells of what it did. What may expire is not its to say, nor anybody's but the operator's.
ALTER TABLE audit_event ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON audit_event FOR SELECT USING (true);
CREATE POLICY by_operator ON audit_event FOR INSERT TO floorlog_operator WITH CHECK (true);
CREATE POLICY by_others ON audit_event FOR INSERT
    WITH CHECK (action NOT IN ('retention.set', 'hold.place', 'hold.release'));
