-- Points for charts: from roll-ups where a point is no shorter than what they hold, else from readings.

-- The least, greatest and mean value of a series of numbers in each of at most n equal parts of a
-- span of time, counts of readings that stand, and the share of those that are Good. Extremes are
-- never lost: a point holds every reading of its part, but that a minute (or hour) of a roll-up counts
-- where it begins. Chunks that reach beyond the span are read reading by reading.
CREATE FUNCTION points(of_device text, of_metric text, from_time timestamptz, to_time timestamptz, n int4)
RETURNS TABLE (ts timestamptz, low float8, high float8, mean float8, readings int8, good float8)
LANGUAGE sql STABLE AS $$
    WITH asked AS (
        SELECT s.series_id, floorlog.to_us(from_time) AS from_us, floorlog.to_us(to_time) AS to_us,
            greatest((floorlog.to_us(to_time) - floorlog.to_us(from_time) - 1) / greatest(n, 1) + 1, 1) AS point_us
        FROM floorlog.series AS s WHERE s.device = of_device AND s.metric = of_metric AND s.kind = 0
    ), part AS (
        SELECT a.from_us, a.point_us, u.*
        FROM asked AS a
        CROSS JOIN LATERAL floorlog.chunks_of(a.series_id, a.from_us, a.to_us - 1) AS c
        JOIN floorlog.widths() AS w ON w.width = c.width
        CROSS JOIN LATERAL (
            SELECT CASE
                WHEN c.standing > 0 AND (c.t_min < a.from_us OR c.t_max >= a.to_us OR c.average IS NULL) THEN 0
                WHEN w.length_us <= a.point_us THEN 2 WHEN c.bin_s * 1000000::int8 <= a.point_us THEN 1 ELSE 0
            END AS way OFFSET 0
        ) AS m
        CROSS JOIN LATERAL (
            SELECT c.t_min AS at_us, c.lowest AS low, c.highest AS high, c.average AS mean, c.standing AS readings,
                c.good
            WHERE m.way = 2 AND c.standing > 0
            UNION ALL
            SELECT c.slot * w.length_us + coalesce(b.bin, b.place - 1) * c.bin_s * 1000000::int8,
                coalesce(b.low, b.low_scaled::float8 / c.scale), coalesce(b.high, b.high_scaled::float8 / c.scale),
                b.mean, b.readings, coalesce(b.good, b.readings)
            FROM (
                SELECT generate_subscripts(c.bin_count, 1) AS place, unnest(c.bins) AS bin, unnest(c.bin_low) AS low,
                    unnest(c.bin_high) AS high, unnest(c.bin_low_scaled) AS low_scaled,
                    unnest(c.bin_high_scaled) AS high_scaled, unnest(c.bin_mean) AS mean,
                    unnest(c.bin_count) AS readings, unnest(c.bin_good) AS good
                WHERE m.way = 1
            ) AS b
            UNION ALL
            SELECT u.at_us, u.value, u.value, u.value, 1, (u.quality = 0)::int4
            FROM floorlog.unsealed(c) AS u
            WHERE m.way = 0 AND u.flags & 1 = 0 AND u.at_us >= a.from_us AND u.at_us < a.to_us
        ) AS u
        UNION ALL
        SELECT a.from_us, a.point_us, u.at_us, u.value, u.value, u.value, 1, (coalesce(u.quality, 0) = 0)::int4
        FROM asked AS a
        CROSS JOIN LATERAL (
            SELECT o.*, width_bucket(a.series_id - 1, o.series) AS before, width_bucket(a.series_id, o.series) AS last
            FROM floorlog.rows_between(a.from_us, a.to_us - 1) AS o
            OFFSET 0  -- the bisection is done once a row
        ) AS r
        CROSS JOIN LATERAL (
            SELECT v.*, r.t_min + coalesce(v.ts::int8, v.ts_wide, 0) * r.tick_us AS at_us
            FROM unnest(
                r.ts[r.before + 1:r.last], r.ts_wide[r.before + 1:r.last], r.value[r.before + 1:r.last],
                r.quality[r.before + 1:r.last]
            ) WITH ORDINALITY AS v (ts, ts_wide, value, quality, place)
        ) AS u
        WHERE r.last > r.before AND u.at_us >= a.from_us AND u.at_us < a.to_us
            AND (r.conflict IS NULL OR u.place + r.before <> ALL (r.conflict))
    )
    SELECT floorlog.from_us(min(p.from_us) + (greatest(p.at_us, p.from_us) - p.from_us) / p.point_us * min(p.point_us)),
        min(p.low), max(p.high), sum(p.mean * p.readings) / sum(p.readings), sum(p.readings),
        sum(p.good)::float8 / sum(p.readings)
    FROM part AS p GROUP BY (greatest(p.at_us, p.from_us) - p.from_us) / p.point_us
    ORDER BY (greatest(p.at_us, p.from_us) - p.from_us) / p.point_us
$$;

-- The chunks of slots of one width.
CREATE FUNCTION chunks_in(of_width int2, first_slot int4, last_slot int4) RETURNS SETOF chunk
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT k.* FROM floorlog.chunk AS k
    WHERE k.width::int4 = of_width::int4 AND k.slot BETWEEN first_slot AND last_slot
    OFFSET 0
$$;

-- The same by the hour, of every series of numbers, each hour by its beginning.
CREATE FUNCTION hours(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (ts timestamptz, device_id text, metric text, low float8, high float8, mean float8, readings int8,
    good float8)
LANGUAGE sql STABLE AS $$
    WITH asked AS (
        SELECT floorlog.to_us(from_time) AS from_us, floorlog.to_us(to_time) AS to_us
    ), part AS (
        -- Half hours inside the span, whole.
        SELECT c.series_id, c.t_min AS at_us, c.lowest AS low, c.highest AS high, c.average AS mean,
            c.standing AS readings, c.good
        FROM asked AS a CROSS JOIN LATERAL floorlog.slots(a.from_us, a.to_us - 1) AS p
        CROSS JOIN LATERAL floorlog.chunks_in(p.width, p.first_slot, p.last_slot) AS c
        WHERE p.width = 0 AND c.t_min >= a.from_us AND c.t_max < a.to_us
        UNION ALL
        -- Hours of wider chunks inside.
        SELECT c.series_id, c.slot * w.length_us + coalesce(b.bin, b.place - 1) * 3600000000::int8,
            coalesce(b.low, b.low_scaled::float8 / c.scale), coalesce(b.high, b.high_scaled::float8 / c.scale),
            b.mean, b.readings, coalesce(b.good, b.readings)
        FROM asked AS a CROSS JOIN LATERAL floorlog.slots(a.from_us, a.to_us - 1) AS p
        JOIN floorlog.widths() AS w ON w.width = p.width
        CROSS JOIN LATERAL floorlog.chunks_in(p.width, p.first_slot, p.last_slot) AS c
        CROSS JOIN LATERAL (
            SELECT generate_subscripts(c.bin_count, 1) AS place, unnest(c.bins) AS bin, unnest(c.bin_low) AS low,
                unnest(c.bin_high) AS high, unnest(c.bin_low_scaled) AS low_scaled,
                unnest(c.bin_high_scaled) AS high_scaled, unnest(c.bin_mean) AS mean,
                unnest(c.bin_count) AS readings, unnest(c.bin_good) AS good
        ) AS b
        WHERE p.width > 0 AND c.t_min >= a.from_us AND c.t_max < a.to_us AND c.bin_s = 3600
        UNION ALL
        -- Readings of half hours at the span's ends, and of wider chunks that have no hours or reach beyond.
        SELECT c.series_id, u.at_us, u.value, u.value, u.value, 1, (u.quality = 0)::int4
        FROM asked AS a CROSS JOIN LATERAL floorlog.slots(a.from_us, a.to_us - 1) AS p
        CROSS JOIN LATERAL (
            SELECT p.first_slot AS first, CASE WHEN p.width = 0 THEN p.first_slot ELSE p.last_slot END AS last
            UNION
            SELECT CASE WHEN p.width = 0 THEN p.last_slot ELSE p.first_slot END, p.last_slot
        ) AS e
        CROSS JOIN LATERAL floorlog.chunks_in(p.width, e.first, e.last) AS c
        CROSS JOIN LATERAL floorlog.unsealed(c) AS u
        WHERE NOT (c.t_min >= a.from_us AND c.t_max < a.to_us
                AND (p.width = 0 OR c.bin_s IS NOT DISTINCT FROM 3600))
            AND u.flags & 1 = 0 AND u.at_us >= a.from_us AND u.at_us < a.to_us
        UNION ALL
        SELECT u.series_id, u.at_us, u.value, u.value, u.value, 1, (u.quality = 0)::int4
        FROM asked AS a
        CROSS JOIN LATERAL floorlog.rows_between(a.from_us, a.to_us - 1) AS r
        CROSS JOIN LATERAL floorlog.opened(r) AS u
        WHERE u.flags & 1 = 0 AND u.at_us >= a.from_us AND u.at_us < a.to_us
    ), summed AS (
        SELECT p.series_id, p.at_us - ((p.at_us % 3600000000) + 3600000000) % 3600000000 AS hour_us,
            min(p.low) AS low, max(p.high) AS high,
            -- A mean too great for a float is none.
            sum(p.mean * p.readings) / nullif(sum(p.readings) FILTER (WHERE p.mean IS NOT NULL), 0) AS mean,
            sum(p.readings) AS readings, sum(p.good)::float8 / sum(p.readings) AS good
        FROM part AS p WHERE p.readings > 0 GROUP BY 1, 2
    )
    SELECT floorlog.from_us(h.hour_us), s.device, s.metric, h.low, h.high, h.mean, h.readings, h.good
    FROM summed AS h JOIN floorlog.series AS s ON s.series_id = h.series_id
    WHERE s.kind = 0
$$;
