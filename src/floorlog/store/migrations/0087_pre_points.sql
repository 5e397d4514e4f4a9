-- Points of open rows come from where those of a trend do.

CREATE OR REPLACE FUNCTION points(of_device text, of_metric text, from_time timestamptz, to_time timestamptz, n int4)
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
        SELECT a.from_us, a.point_us, o.at_us, o.value, o.value, o.value, 1, (o.quality = 0)::int4
        FROM asked AS a CROSS JOIN LATERAL floorlog.open_points(a.series_id, a.from_us, a.to_us - 1) AS o
    )
    SELECT floorlog.from_us(min(p.from_us) + (greatest(p.at_us, p.from_us) - p.from_us) / p.point_us * min(p.point_us)),
        min(p.low), max(p.high), sum(p.mean * p.readings) / sum(p.readings), sum(p.readings),
        sum(p.good)::float8 / sum(p.readings)
    FROM part AS p GROUP BY (greatest(p.at_us, p.from_us) - p.from_us) / p.point_us
    ORDER BY (greatest(p.at_us, p.from_us) - p.from_us) / p.point_us
$$;
