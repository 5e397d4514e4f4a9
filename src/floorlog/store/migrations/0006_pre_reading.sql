-- Readings as rows: the view, and the functions that reach a range of time without unpacking all.

-- The lengths of slots by their number, in µs.
CREATE FUNCTION widths(OUT width int2, OUT length_us int8) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    VALUES (0::int2, 1800000000::int8), (1::int2, 86400000000), (2::int2, 2592000000000), (3::int2, 864000000000000)
$$;

-- µs since 1970 as a time: exact from 1684 to 2255, to some µs beyond. Its argument stands once, so
-- that the planner puts the expression in the call's place: three times as fast.
CREATE FUNCTION from_us(us int8) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT timestamptz 'epoch'
        + least(greatest(us, -210866803200000000), 9223371331200000000) * interval '1 microsecond'
$$;

-- The slots of every width that a span of time touches. Division rounds down, before 1970 too.
CREATE FUNCTION slots(from_us int8, to_us int8, OUT width int2, OUT first_slot int4, OUT last_slot int4)
RETURNS SETOF record LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT w.width,
        ((from_us - ((from_us % w.length_us) + w.length_us) % w.length_us) / w.length_us)::int4,
        ((to_us - ((to_us % w.length_us) + w.length_us) % w.length_us) / w.length_us)::int4
    FROM floorlog.widths() AS w
$$;

-- The open rows that may hold readings of a span of time, both ends included. OFFSET 0 keeps the
-- planner from another way than the index: one reach per width, however it guesses.
CREATE FUNCTION rows_between(from_us int8, to_us int8) RETURNS SETOF open_row
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT r.* FROM floorlog.slots(from_us, to_us) AS p
    CROSS JOIN LATERAL (
        SELECT o.* FROM floorlog.open_row AS o
        WHERE o.width = p.width AND o.slot BETWEEN p.first_slot AND p.last_slot
            AND o.t_max >= from_us AND o.t_min <= to_us
        OFFSET 0
    ) AS r
$$;

-- Where to begin to look back from: the latest end of a row within a span, which must lie in one
-- slot of every width; the span's own end where no row ends in it.
CREATE FUNCTION last_time(from_us int8, to_us int8) RETURNS int8
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(max(ending.t_max), to_us)
    FROM floorlog.slots(from_us, from_us) AS p
    CROSS JOIN LATERAL (
        SELECT o.t_max FROM floorlog.open_row AS o
        WHERE o.width = p.width AND o.slot = p.first_slot AND o.t_max BETWEEN from_us AND to_us
        ORDER BY o.t_max DESC LIMIT 1
    ) AS ending
$$;

-- One row per reading. flags: 1 contradicts an earlier reading of the same time, 2 late.
-- A range of time reaches no index through this view: use readings() for that.
CREATE VIEW reading AS
SELECT
    floorlog.from_us(r.t_min + coalesce(u.ts::int8, u.ts_wide, 0) * r.tick_us) AS ts,
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
    floorlog.from_us(r.slot * w.length_us) AS bucket
FROM floorlog.open_row AS r
JOIN floorlog.widths() AS w ON w.width = r.width
CROSS JOIN LATERAL unnest(r.series, r.ts, r.ts_wide, r.value, r.quality, r.arrived)
    WITH ORDINALITY AS u (series_id, ts, ts_wide, value, quality, arrived, place)
JOIN floorlog.series AS s ON s.series_id = u.series_id;
COMMENT ON VIEW reading IS 'derived: one row per reading';

-- All readings from one time up to, not including, another.
CREATE FUNCTION readings(from_time timestamptz, to_time timestamptz) RETURNS SETOF reading
LANGUAGE sql STABLE AS $$
    SELECT
        floorlog.from_us(u.at_us), s.device, s.metric, CASE WHEN s.kind = 0 THEN u.value END,
        CASE WHEN s.kind = 1 THEN (SELECT t.name FROM floorlog.state AS t WHERE t.code = u.value::int4) END, s.unit,
        coalesce(u.quality, 0), r.recorded_at,
        (CASE WHEN u.place = ANY (r.conflict) THEN 1 ELSE 0 END)
            + (CASE WHEN u.place = ANY (r.late) THEN 2 ELSE 0 END),
        to_timestamp(r.clock_s - coalesce(u.arrived, 0)), r.lease_id, r.number,
        floorlog.from_us(r.slot * w.length_us)
    FROM floorlog.rows_between(floorlog.to_us(from_time), floorlog.to_us(to_time) - 1) AS r
    JOIN floorlog.widths() AS w ON w.width = r.width
    CROSS JOIN LATERAL (
        SELECT v.*, r.t_min + coalesce(v.ts::int8, v.ts_wide, 0) * r.tick_us AS at_us
        FROM unnest(r.series, r.ts, r.ts_wide, r.value, r.quality, r.arrived)
            WITH ORDINALITY AS v (series_id, ts, ts_wide, value, quality, arrived, place)
    ) AS u
    JOIN floorlog.series AS s ON s.series_id = u.series_id
    WHERE u.at_us >= floorlog.to_us(from_time) AND u.at_us < floorlog.to_us(to_time)
$$;

-- The readings of one series from one time up to, not including, another. Series are sorted within
-- a row, so that width_bucket finds theirs by bisection, and only that slice is unpacked.
CREATE FUNCTION readings(of_device text, of_metric text, from_time timestamptz, to_time timestamptz)
RETURNS SETOF reading LANGUAGE sql STABLE AS $$
    SELECT
        floorlog.from_us(u.at_us), s.device, s.metric, CASE WHEN s.kind = 0 THEN u.value END,
        CASE WHEN s.kind = 1 THEN (SELECT t.name FROM floorlog.state AS t WHERE t.code = u.value::int4) END, s.unit,
        coalesce(u.quality, 0), r.recorded_at,
        (CASE WHEN u.place + r.before = ANY (r.conflict) THEN 1 ELSE 0 END)
            + (CASE WHEN u.place + r.before = ANY (r.late) THEN 2 ELSE 0 END),
        to_timestamp(r.clock_s - coalesce(u.arrived, 0)), r.lease_id, r.number,
        floorlog.from_us(r.slot * r.length_us)
    FROM floorlog.series AS s
    CROSS JOIN LATERAL (
        SELECT o.*, w.length_us,
            width_bucket(s.series_id - 1, o.series) AS before, width_bucket(s.series_id, o.series) AS last
        FROM floorlog.rows_between(floorlog.to_us(from_time), floorlog.to_us(to_time) - 1) AS o
        JOIN floorlog.widths() AS w ON w.width = o.width
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
$$;

-- The newest reading that stands of these series among the rows that end at or after `cut`, and not
-- counting times after `to_us`. Each row is unpacked once, then its series found by bisection.
CREATE FUNCTION newest_in(of_series int4[], cut int8, to_us int8)
RETURNS TABLE (series_id int4, at_us int8, value float8, quality int8, recorded_at timestamptz, arrived_s int8)
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (u.series_id) u.series_id, u.at_us, u.value, coalesce(u.quality, 0), u.recorded_at,
        u.clock_s - coalesce(u.arrived, 0)
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
    ORDER BY u.series_id, u.at_us DESC
$$;

-- The newest reading that stands of every series, quiet ones included. Looks into the five minutes
-- that series_home names, from their end: a second first, then eight times as far each time, until
-- each series' newest reading lies above what was not looked at.
CREATE FUNCTION last_values()
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
                    CASE WHEN s.kind = 0 THEN found.value END, t.name, s.unit, found.quality,
                    found.recorded_at, to_timestamp(found.arrived_s)
                    FROM floorlog.series AS s
                    LEFT JOIN floorlog.state AS t ON s.kind = 1 AND t.code = found.value::int4
                    WHERE s.series_id = found.series_id;
            END LOOP;
            EXIT WHEN cut <= first_us;
            pending := ARRAY(SELECT unnest(pending) EXCEPT SELECT unnest(done));
            span := span * 8;
        END LOOP;
    END LOOP;
END
$$;

-- Conflicts stored in a span of time, each beside the value that stands.
CREATE FUNCTION conflicts(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (ts timestamptz, device_id text, metric text, value float8, text text, quality int8,
    standing_value float8, standing_text text, standing_quality int8, recorded_at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT floorlog.from_us(c.ts_us), s.device, s.metric, CASE WHEN s.kind = 0 THEN c.value END, t.name,
        c.quality, r.value, r.text, r.quality, c.recorded_at
    FROM floorlog.conflict AS c
    JOIN floorlog.series AS s ON s.series_id = c.series_id
    LEFT JOIN floorlog.state AS t ON s.kind = 1 AND t.code = c.value::int4
    LEFT JOIN LATERAL (
        SELECT q.value, q.text, q.quality
        FROM floorlog.readings(s.device, s.metric, floorlog.from_us(c.ts_us), floorlog.from_us(c.ts_us + 1)) AS q
        WHERE q.flags & 1 = 0 LIMIT 1
    ) AS r ON true
    WHERE c.recorded_at >= from_time AND c.recorded_at < to_time
$$;
