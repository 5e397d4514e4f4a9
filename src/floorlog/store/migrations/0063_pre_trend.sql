-- Charts: a series of numbers by buckets of time, from roll-ups where buckets are long enough.

-- The readings of open rows that stand, of one series, both ends included.
CREATE FUNCTION open_points(of_series int4, from_us int8, to_us int8, OUT at_us int8, OUT value float8, OUT quality int8)
RETURNS SETOF record LANGUAGE sql STABLE AS $$
    SELECT u.at_us, u.value, coalesce(u.quality, 0)
    FROM (
        SELECT o.*, width_bucket(of_series - 1, o.series) AS before, width_bucket(of_series, o.series) AS last
        FROM floorlog.rows_between(from_us, to_us) AS o
        OFFSET 0  -- the bisection is done once a row
    ) AS r
    CROSS JOIN LATERAL (
        SELECT v.*, r.t_min + coalesce(v.ts::int8, v.ts_wide, 0) * r.tick_us AS at_us
        FROM unnest(
            r.ts[r.before + 1:r.last], r.ts_wide[r.before + 1:r.last], r.value[r.before + 1:r.last],
            r.quality[r.before + 1:r.last]
        ) WITH ORDINALITY AS v (ts, ts_wide, value, quality, place)
    ) AS u
    WHERE r.last > r.before AND u.at_us BETWEEN from_us AND to_us
        AND (r.conflict IS NULL OR u.place + r.before <> ALL (r.conflict))
$$;

-- A series of numbers in buckets of `width_us` from `from_us` on, up to before `to_us`: extremes with
-- their times, mean, count of those that stand, and of those with quality Good. Where bins of a
-- roll-up lie whole in buckets, or whole chunks do, those are taken: the time of an extreme is then
-- that at which its bin or chunk begins. A pair of value and time as an array has one least in one pass.
CREATE FUNCTION trend(of_series int4, from_us int8, to_us int8, width_us int8, OUT bucket int8, OUT low float8,
    OUT low_us int8, OUT high float8, OUT high_us int8, OUT mean float8, OUT count int8, OUT good int8)
RETURNS SETOF record LANGUAGE sql STABLE AS $$
    WITH part AS MATERIALIZED (
        SELECT c.slot, c.width, c.part, c.slot * w.length_us AS slot_us,
            c.lowest IS NOT NULL AND c.average IS NOT NULL AND width_us >= 1800000000
                AND c.t_min >= from_us AND c.t_max < to_us
                AND (c.t_min - from_us) / width_us = (c.t_max - from_us) / width_us AS is_whole,
            coalesce(width_us % (c.bin_s * 1000000::int8) = 0
                AND from_us % (c.bin_s * 1000000::int8) = 0, false) AS is_binned
        FROM floorlog.chunks_of(of_series, from_us, to_us - 1) AS c
        JOIN floorlog.widths() AS w ON w.width = c.width
    ), piece AS (
        SELECT c.t_min AS at_us, c.lowest AS low, c.highest AS high, c.average AS mean, c.standing::int8 AS count,
            c.good::int8 AS good
        FROM part AS p
        CROSS JOIN LATERAL (
            SELECT k.* FROM floorlog.chunk AS k
            WHERE k.series_id = of_series AND k.width = p.width AND k.slot = p.slot AND k.part = p.part
            OFFSET 0  -- by the key, however many the planner expects
        ) AS c
        WHERE p.is_whole AND c.standing > 0
        UNION ALL
        SELECT p.slot_us + coalesce(b.bin, b.place - 1) * c.bin_s * 1000000::int8,
            coalesce(b.low, b.low_scaled::float8 / c.scale), coalesce(b.high, b.high_scaled::float8 / c.scale), b.mean,
            b.count, coalesce(b.good, b.count)
        FROM part AS p
        CROSS JOIN LATERAL (
            SELECT k.* FROM floorlog.chunk AS k
            WHERE k.series_id = of_series AND k.width = p.width AND k.slot = p.slot AND k.part = p.part
            OFFSET 0  -- by the key, however many the planner expects
        ) AS c
        CROSS JOIN LATERAL unnest(c.bins, c.bin_low, c.bin_high, c.bin_low_scaled, c.bin_high_scaled, c.bin_mean,
            c.bin_count, c.bin_good) WITH ORDINALITY
            AS b (bin, low, high, low_scaled, high_scaled, mean, count, good, place)
        WHERE p.is_binned AND NOT p.is_whole
        UNION ALL
        SELECT u.at_us, u.value, u.value, u.value, 1, (u.quality = 0)::int4
        FROM part AS p
        CROSS JOIN LATERAL (
            SELECT q.* FROM floorlog.chunk AS k CROSS JOIN LATERAL floorlog.unsealed(k) AS q
            WHERE k.series_id = of_series AND k.width = p.width AND k.slot = p.slot AND k.part = p.part
            OFFSET 0
        ) AS u
        WHERE NOT p.is_binned AND NOT p.is_whole AND u.flags & 1 = 0
        UNION ALL
        SELECT o.at_us, o.value, o.value, o.value, 1, (o.quality = 0)::int4
        FROM floorlog.open_points(of_series, from_us, to_us - 1) AS o
    )
    SELECT f.bucket, f.lowest[1], f.lowest[2]::int8, f.highest[1], -f.highest[2]::int8, f.mean, f.count, f.good FROM (
        SELECT (p.at_us - from_us) / width_us AS bucket, min(ARRAY[p.low, p.at_us::float8]) AS lowest,
            max(ARRAY[p.high, -p.at_us::float8]) AS highest, sum(p.mean * p.count) / sum(p.count) AS mean,
            sum(p.count)::int8 AS count, sum(p.good)::int8 AS good
        FROM piece AS p WHERE p.at_us >= from_us AND p.at_us < to_us GROUP BY 1
    ) AS f ORDER BY f.bucket
$$;
