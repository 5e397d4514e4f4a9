-- Readings as rows, from open rows and from chunks: the same before, during and after sealing.

-- µs since 1970 as a time: exact from 1830 to 2110, to some µs beyond. Its argument stands once, so
-- that the planner puts the expression in the call's place: ten times as fast.
CREATE OR REPLACE FUNCTION from_us(us int8) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_timestamp(least(greatest(us, -210866803200000000), 9223371331200000000) / 1000000::float8)
$$;

-- The half hour that holds a time, whatever the slot in which it is stored: that may change.
CREATE FUNCTION half_hour(us int8) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT date_bin('30 minutes', floorlog.from_us(us), timestamptz 'epoch')
$$;

-- All chunks. A function, so that what is made of a chunk's columns is computed from columns: a row
-- passed on whole is copied for each reading.
CREATE FUNCTION chunks() RETURNS SETOF chunk LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT c.* FROM floorlog.chunk AS c
$$;

-- When the batches of a chunk were stored, and their clocks, by number from the chunk's least one
-- on. Nothing for a chunk whose batches are many more than its readings: those are looked up singly.
CREATE FUNCTION batches_of(c chunk, OUT recorded timestamptz[], OUT clock int8[])
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT array_agg(b.recorded_at ORDER BY b.number), array_agg(b.clock_s ORDER BY b.number)
    FROM floorlog.batch AS b
    WHERE c.number_max - c.number_min <= 4 * c.count + 64 AND b.lease_id = c.lease_id
        AND b.number BETWEEN c.number_min AND c.number_max
        AND b.recorded_at BETWEEN c.recorded_min AND c.recorded_max
    HAVING count(*) = c.number_max - c.number_min + 1
$$;

-- One row per reading. flags: 1 contradicts an earlier reading of the same time, 2 late.
-- A range of time reaches no index through this view: use readings() for that.
CREATE OR REPLACE VIEW reading AS
SELECT
    floorlog.from_us(u.at_us) AS ts,
    s.device AS device_id,
    s.metric,
    CASE WHEN s.kind = 0 THEN u.value END AS value,
    -- Not a join: numbers, the most, have no state to look for.
    CASE WHEN s.kind = 1 THEN (SELECT t.name FROM floorlog.state AS t WHERE t.code = u.value::int4) END AS text,
    s.unit,
    coalesce(u.quality, 0) AS quality,
    r.recorded_at,
    (CASE WHEN u.place = ANY (r.conflict) THEN 1 ELSE 0 END)
        + (CASE WHEN u.place = ANY (r.late) THEN 2 ELSE 0 END) AS flags,
    to_timestamp(r.clock_s - coalesce(u.arrived, 0)) AS arrived_at,
    r.lease_id AS shard,
    r.number AS batch,
    floorlog.half_hour(u.at_us) AS bucket
FROM floorlog.open_row AS r
CROSS JOIN LATERAL (
    SELECT v.*, r.t_min + coalesce(v.ts::int8, v.ts_wide, 0) * r.tick_us AS at_us
    FROM unnest(r.series, r.ts, r.ts_wide, r.value, r.quality, r.arrived)
        WITH ORDINALITY AS v (series_id, ts, ts_wide, value, quality, arrived, place)
) AS u
JOIN floorlog.series AS s ON s.series_id = u.series_id
UNION ALL
SELECT
    floorlog.from_us(u.at_us), s.device, s.metric, CASE WHEN s.kind = 0 THEN u.value END,
    CASE WHEN s.kind = 1 THEN (SELECT t.name FROM floorlog.state AS t WHERE t.code = u.value::int4) END, s.unit,
    u.quality,
    coalesce(k.recorded[u.number - c.number_min + 1], (
        SELECT b.recorded_at FROM floorlog.batch AS b WHERE b.lease_id = c.lease_id AND b.number = u.number
            AND b.recorded_at BETWEEN c.recorded_min AND c.recorded_max)),
    u.flags::int4,
    to_timestamp(coalesce(k.clock[u.number - c.number_min + 1], (
        SELECT b.clock_s FROM floorlog.batch AS b WHERE b.lease_id = c.lease_id AND b.number = u.number
            AND b.recorded_at BETWEEN c.recorded_min AND c.recorded_max)) - u.arrived),
    c.lease_id, u.number, floorlog.half_hour(u.at_us)
FROM floorlog.chunks() AS c
JOIN floorlog.series AS s ON s.series_id = c.series_id
LEFT JOIN LATERAL floorlog.batches_of(c) AS k ON true
CROSS JOIN LATERAL floorlog.unsealed(c) AS u;

-- All readings from one time up to, not including, another.
CREATE OR REPLACE FUNCTION readings(from_time timestamptz, to_time timestamptz) RETURNS SETOF reading
LANGUAGE sql STABLE AS $$
    SELECT
        floorlog.from_us(u.at_us), s.device, s.metric, CASE WHEN s.kind = 0 THEN u.value END,
        CASE WHEN s.kind = 1 THEN (SELECT t.name FROM floorlog.state AS t WHERE t.code = u.value::int4) END, s.unit,
        coalesce(u.quality, 0), r.recorded_at,
        (CASE WHEN u.place = ANY (r.conflict) THEN 1 ELSE 0 END)
            + (CASE WHEN u.place = ANY (r.late) THEN 2 ELSE 0 END),
        to_timestamp(r.clock_s - coalesce(u.arrived, 0)), r.lease_id, r.number,
        floorlog.half_hour(u.at_us)
    FROM floorlog.rows_between(floorlog.to_us(from_time), floorlog.to_us(to_time) - 1) AS r
    CROSS JOIN LATERAL (
        SELECT v.*, r.t_min + coalesce(v.ts::int8, v.ts_wide, 0) * r.tick_us AS at_us
        FROM unnest(r.series, r.ts, r.ts_wide, r.value, r.quality, r.arrived)
            WITH ORDINALITY AS v (series_id, ts, ts_wide, value, quality, arrived, place)
    ) AS u
    JOIN floorlog.series AS s ON s.series_id = u.series_id
    WHERE u.at_us >= floorlog.to_us(from_time) AND u.at_us < floorlog.to_us(to_time)
    UNION ALL
    SELECT
        floorlog.from_us(u.at_us), s.device, s.metric, CASE WHEN s.kind = 0 THEN u.value END,
        CASE WHEN s.kind = 1 THEN (SELECT t.name FROM floorlog.state AS t WHERE t.code = u.value::int4) END, s.unit,
        u.quality,
        coalesce(k.recorded[u.number - c.number_min + 1], (
            SELECT b.recorded_at FROM floorlog.batch AS b WHERE b.lease_id = c.lease_id AND b.number = u.number
                AND b.recorded_at BETWEEN c.recorded_min AND c.recorded_max)),
        u.flags::int4,
        to_timestamp(coalesce(k.clock[u.number - c.number_min + 1], (
            SELECT b.clock_s FROM floorlog.batch AS b WHERE b.lease_id = c.lease_id AND b.number = u.number
                AND b.recorded_at BETWEEN c.recorded_min AND c.recorded_max)) - u.arrived),
        c.lease_id, u.number, floorlog.half_hour(u.at_us)
    FROM floorlog.chunks_between(floorlog.to_us(from_time), floorlog.to_us(to_time) - 1) AS c
    JOIN floorlog.series AS s ON s.series_id = c.series_id
    LEFT JOIN LATERAL floorlog.batches_of(c) AS k ON true
    CROSS JOIN LATERAL floorlog.unsealed(c) AS u
    WHERE u.at_us >= floorlog.to_us(from_time) AND u.at_us < floorlog.to_us(to_time)
$$;

-- The readings of one series from one time up to, not including, another. Series are sorted within
-- an open row, so that width_bucket finds theirs by bisection, and only that slice is unpacked.
CREATE OR REPLACE FUNCTION readings(of_device text, of_metric text, from_time timestamptz, to_time timestamptz)
RETURNS SETOF reading LANGUAGE sql STABLE AS $$
    SELECT
        floorlog.from_us(u.at_us), s.device, s.metric, CASE WHEN s.kind = 0 THEN u.value END,
        CASE WHEN s.kind = 1 THEN (SELECT t.name FROM floorlog.state AS t WHERE t.code = u.value::int4) END, s.unit,
        coalesce(u.quality, 0), r.recorded_at,
        (CASE WHEN u.place + r.before = ANY (r.conflict) THEN 1 ELSE 0 END)
            + (CASE WHEN u.place + r.before = ANY (r.late) THEN 2 ELSE 0 END),
        to_timestamp(r.clock_s - coalesce(u.arrived, 0)), r.lease_id, r.number,
        floorlog.half_hour(u.at_us)
    FROM floorlog.series AS s
    CROSS JOIN LATERAL (
        SELECT o.*, width_bucket(s.series_id - 1, o.series) AS before, width_bucket(s.series_id, o.series) AS last
        FROM floorlog.rows_between(floorlog.to_us(from_time), floorlog.to_us(to_time) - 1) AS o
        OFFSET 0  -- the bisection is done once a row
    ) AS r
    CROSS JOIN LATERAL (
        SELECT v.*, r.t_min + coalesce(v.ts::int8, v.ts_wide, 0) * r.tick_us AS at_us
        FROM unnest(
            r.ts[r.before + 1:r.last], r.ts_wide[r.before + 1:r.last], r.value[r.before + 1:r.last],
            r.quality[r.before + 1:r.last], r.arrived[r.before + 1:r.last]
        ) WITH ORDINALITY AS v (ts, ts_wide, value, quality, arrived, place)
    ) AS u
    WHERE s.device = of_device AND s.metric = of_metric AND r.last > r.before
        AND u.at_us >= floorlog.to_us(from_time) AND u.at_us < floorlog.to_us(to_time)
    UNION ALL
    SELECT
        floorlog.from_us(u.at_us), s.device, s.metric, CASE WHEN s.kind = 0 THEN u.value END,
        CASE WHEN s.kind = 1 THEN (SELECT t.name FROM floorlog.state AS t WHERE t.code = u.value::int4) END, s.unit,
        u.quality,
        coalesce(k.recorded[u.number - c.number_min + 1], (
            SELECT b.recorded_at FROM floorlog.batch AS b WHERE b.lease_id = c.lease_id AND b.number = u.number
                AND b.recorded_at BETWEEN c.recorded_min AND c.recorded_max)),
        u.flags::int4,
        to_timestamp(coalesce(k.clock[u.number - c.number_min + 1], (
            SELECT b.clock_s FROM floorlog.batch AS b WHERE b.lease_id = c.lease_id AND b.number = u.number
                AND b.recorded_at BETWEEN c.recorded_min AND c.recorded_max)) - u.arrived),
        c.lease_id, u.number, floorlog.half_hour(u.at_us)
    FROM floorlog.series AS s
    CROSS JOIN LATERAL
        floorlog.chunks_of(s.series_id, floorlog.to_us(from_time), floorlog.to_us(to_time) - 1) AS c
    LEFT JOIN LATERAL floorlog.batches_of(c) AS k ON true
    CROSS JOIN LATERAL floorlog.unsealed(c) AS u
    WHERE s.device = of_device AND s.metric = of_metric
        AND u.at_us >= floorlog.to_us(from_time) AND u.at_us < floorlog.to_us(to_time)
$$;

-- The newest reading of a chunk that stands. Its own, without the others.
CREATE FUNCTION newest_of(c chunk, OUT at_us int8, OUT value float8, OUT quality int8, OUT recorded_at timestamptz,
    OUT arrived_s int8)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT
        c.t_min + ((c.newest - 1) * ((c.t_max - c.t_min) / c.tick_us) / greatest(c.count - 1, 1)
            + coalesce(c.ts_narrow[c.newest], c.ts[c.newest], c.ts_wide[c.newest], 0)) * c.tick_us,
        coalesce(c.value[c.newest],
            coalesce(c.value_narrow[c.newest], c.value_scaled[c.newest])::float8 / c.scale),
        coalesce(c.quality[c.newest], 0), b.recorded_at, b.clock_s - coalesce(c.arrived[c.newest], 0)
    FROM floorlog.batch AS b
    WHERE c.newest IS NOT NULL AND b.lease_id = c.lease_id
        AND b.number = c.number_min + (c.newest - 1) * (c.number_max - c.number_min) / greatest(c.count - 1, 1)
            + coalesce(c.number_narrow[c.newest], c.number_wide[c.newest], 0)
        AND b.recorded_at BETWEEN c.recorded_min AND c.recorded_max
$$;

-- The newest reading that stands of these series among the open rows that end at or after `cut`, and
-- not counting times after `to_us`, and among the chunks that do. Each row is unpacked once, then its
-- series found by bisection.
CREATE OR REPLACE FUNCTION newest_in(of_series int4[], cut int8, to_us int8)
RETURNS TABLE (series_id int4, at_us int8, value float8, quality int8, recorded_at timestamptz, arrived_s int8)
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (e.series_id) e.* FROM (
        SELECT u.series_id, u.at_us, u.value, coalesce(u.quality, 0) AS quality, u.recorded_at,
            u.clock_s - coalesce(u.arrived, 0) AS arrived_s
        FROM (
            SELECT o.recorded_at, o.clock_s, o.t_min, o.tick_us, o.conflict, o.series || '{}' AS sorted,
                o.ts || '{}' AS ts, o.ts_wide || '{}' AS ts_wide, o.value || '{}' AS value,
                o.quality || '{}' AS quality, o.arrived || '{}' AS arrived
            FROM floorlog.rows_between(cut, to_us) AS o
            OFFSET 0  -- keeps what was unpacked
        ) AS r
        CROSS JOIN LATERAL (
            SELECT e.series_id, width_bucket(e.series_id - 1, r.sorted) AS before,
                width_bucket(e.series_id, r.sorted) AS last
            FROM unnest(of_series) AS e (series_id)
            OFFSET 0
        ) AS b
        CROSS JOIN LATERAL (
            SELECT b.series_id, v.value, v.quality, v.arrived, r.recorded_at, r.clock_s, b.before + v.place AS place,
                r.t_min + coalesce(v.ts::int8, v.ts_wide, 0) * r.tick_us AS at_us
            FROM unnest(
                r.ts[b.before + 1:b.last], r.ts_wide[b.before + 1:b.last], r.value[b.before + 1:b.last],
                r.quality[b.before + 1:b.last], r.arrived[b.before + 1:b.last]
            ) WITH ORDINALITY AS v (ts, ts_wide, value, quality, arrived, place)
        ) AS u
        WHERE b.last > b.before AND u.at_us <= newest_in.to_us
            AND (r.conflict IS NULL OR u.place <> ALL (r.conflict))
        UNION ALL
        SELECT s.series_id, n.at_us, n.value, n.quality, n.recorded_at, n.arrived_s
        FROM unnest(of_series) AS s (series_id)
        CROSS JOIN LATERAL floorlog.chunks_of(s.series_id, cut, newest_in.to_us) AS c
        CROSS JOIN LATERAL floorlog.newest_of(c) AS n
        WHERE n.at_us BETWEEN cut AND newest_in.to_us
    ) AS e
    ORDER BY e.series_id, e.at_us DESC
$$;

-- The newest reading that stands of every series, quiet ones included. Looks into the five minutes
-- that series_home names, from their end: a second first, then eight times as far each time, until
-- each series' newest reading lies above what was not looked at. A number may be greater than any
-- state's code: only a state's is cast.
CREATE OR REPLACE FUNCTION last_values()
RETURNS TABLE (ts timestamptz, device_id text, metric text, value float8, text text, unit text,
    quality int8, recorded_at timestamptz, arrived_at timestamptz)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    place record;
    pending int4[];
    done int4[];
    first_us int8;
    last_us int8;
    edge int8;
    cut int8;
    span int8;
    found record;
BEGIN
    FOR place IN
        SELECT h.newest_window AS number, array_agg(h.series_id) AS ids FROM floorlog.series_home AS h
        WHERE h.newest_window IS NOT NULL GROUP BY h.newest_window ORDER BY h.newest_window DESC
    LOOP
        pending := place.ids;
        first_us := place.number * 300000000::int8;
        last_us := first_us + 299999999;
        edge := floorlog.last_time(first_us, last_us);
        span := 1000000;
        WHILE pending <> '{}' LOOP
            cut := greatest(edge - span, first_us);
            done := '{}';
            FOR found IN SELECT * FROM floorlog.newest_in(pending, cut, last_us) AS n WHERE n.at_us >= cut LOOP
                done := done || found.series_id;
                RETURN QUERY SELECT floorlog.from_us(found.at_us), s.device, s.metric,
                    CASE WHEN s.kind = 0 THEN found.value END,
                    (SELECT t.name FROM floorlog.state AS t
                        WHERE t.code = (CASE WHEN s.kind = 1 THEN found.value END)::int4),
                    s.unit, found.quality, found.recorded_at, to_timestamp(found.arrived_s)
                    FROM floorlog.series AS s WHERE s.series_id = found.series_id;
            END LOOP;
            EXIT WHEN cut <= first_us;
            pending := ARRAY(SELECT unnest(pending) EXCEPT SELECT unnest(done));
            span := span * 8;
        END LOOP;
    END LOOP;
END
$$;

-- Conflicts stored in a span of time, each beside the value that stands.
CREATE OR REPLACE FUNCTION conflicts(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (ts timestamptz, device_id text, metric text, value float8, text text, quality int8,
    standing_value float8, standing_text text, standing_quality int8, recorded_at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT floorlog.from_us(c.ts_us), s.device, s.metric, CASE WHEN s.kind = 0 THEN c.value END,
        CASE WHEN s.kind = 1 THEN (SELECT t.name FROM floorlog.state AS t WHERE t.code = c.value::int4) END,
        c.quality, r.value, r.text, r.quality, c.recorded_at
    FROM floorlog.conflict AS c
    JOIN floorlog.series AS s ON s.series_id = c.series_id
    LEFT JOIN LATERAL (
        SELECT q.value, q.text, q.quality
        FROM floorlog.readings(s.device, s.metric, floorlog.from_us(c.ts_us), floorlog.from_us(c.ts_us + 1)) AS q
        WHERE q.flags & 1 = 0 LIMIT 1
    ) AS r ON true
    WHERE c.recorded_at >= from_time AND c.recorded_at < to_time
$$;
