-- The swap and the reading of chunks, for two thirds of the cost.

-- What is the same for all readings of a chunk is computed once: OFFSET 0.
CREATE OR REPLACE FUNCTION unsealed(c chunk, OUT place int4, OUT number int8, OUT at_us int8, OUT value float8,
    OUT quality int8, OUT arrived int4, OUT flags int2)
RETURNS SETOF record LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT u.place,
        c.number_min + (u.place - 1) * u.number_span / u.steps + coalesce(u.number_narrow, u.number_wide, 0),
        c.t_min + ((u.place - 1) * u.ticks / u.steps + coalesce(u.ts_narrow, u.ts, u.ts_wide, 0)) * c.tick_us,
        coalesce(u.value, coalesce(u.value_narrow, u.value_scaled)::float8 / u.scale),
        coalesce(u.quality, 0), coalesce(u.arrived, 0), coalesce(u.flags, 0::int2)
    FROM (
        SELECT k.*, generate_series(1, c.count) AS place,
            unnest(c.number_narrow) AS number_narrow, unnest(c.number_wide) AS number_wide,
            unnest(c.ts_narrow) AS ts_narrow, unnest(c.ts) AS ts, unnest(c.ts_wide) AS ts_wide,
            unnest(c.value_narrow) AS value_narrow, unnest(c.value_scaled) AS value_scaled,
            unnest(c.value) AS value, unnest(c.quality) AS quality, unnest(c.arrived) AS arrived,
            unnest(c.flags) AS flags
        FROM (SELECT c.number_max - c.number_min AS number_span, (c.t_max - c.t_min) / c.tick_us AS ticks,
            greatest(c.count - 1, 1)::int8 AS steps, c.scale::float8 AS scale OFFSET 0) AS k
    ) AS u
$$;

-- Arrays one after the other, in the order in which they come.
CREATE AGGREGATE joined(anycompatiblearray) (sfunc = array_cat, stype = anycompatiblearray);

-- As before, but readings are compared as arrays in memory instead of as hashes of what each array
-- would be as it is sent; and the bounds of a chunk array by array instead of reading by reading.
CREATE OR REPLACE FUNCTION seal(
    recorded_from timestamptz, recorded_to timestamptz,  -- of the open rows
    leases int4[], numbers int8[], parts int2[],  -- the open rows
    old_series int4[], old_widths int2[], old_slots int4[], old_parts int2[],  -- the chunks
    made chunk[]
) RETURNS int8
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_sort = off SET enable_mergejoin = off SET enable_hashjoin = on
SET jit = off SET timezone = 'UTC' SET max_parallel_workers_per_gather = 0 SET work_mem = '128MB' AS $$
DECLARE
    found int8;
    wrong text;
    moved int8;
    low timestamptz;
    high timestamptz;
    has_quality bool;
    has_arrived bool;
    has_flags bool;
    families text[] := '{number,at_us,value}';
BEGIN
    IF cardinality(leases) + cardinality(old_series) = 0 OR cardinality(made) = 0
        OR cardinality(leases) <> cardinality(numbers) OR cardinality(leases) <> cardinality(parts)
        OR cardinality(old_series) <> cardinality(old_widths) OR cardinality(old_series) <> cardinality(old_slots)
        OR cardinality(old_series) <> cardinality(old_parts) THEN
        RAISE EXCEPTION 'rows and chunks are not named as they must be' USING ERRCODE = 'FL004';
    END IF;

    -- Nobody else may seal, or expire, what is sealed here.
    SELECT count(*) INTO found FROM (
        SELECT FROM unnest(leases, numbers, parts) AS a (lease_id, number, part)
        JOIN floorlog.open_row AS r ON (r.lease_id, r.number, r.part) = (a.lease_id, a.number, a.part)
        WHERE r.recorded_at BETWEEN recorded_from AND recorded_to FOR UPDATE OF r
    ) AS locked;
    IF found <> cardinality(leases) THEN
        RAISE EXCEPTION '% open rows are there of %', found, cardinality(leases) USING ERRCODE = 'FL004';
    END IF;
    SELECT count(*) INTO found FROM (
        SELECT FROM unnest(old_series, old_widths, old_slots, old_parts) AS a (series_id, width, slot, part)
        JOIN floorlog.chunk AS c
            ON (c.series_id, c.width, c.slot, c.part) = (a.series_id, a.width, a.slot, a.part) FOR UPDATE OF c
    ) AS locked;
    IF found <> cardinality(old_series) THEN
        RAISE EXCEPTION '% chunks are there of %', found, cardinality(old_series) USING ERRCODE = 'FL004';
    END IF;

    -- A chunk has no clock of its own: its batch's must be the row's.
    SELECT format('open row %s of batch %s of shard %s is not as its batch says', r.part, r.number, r.lease_id)
    INTO wrong
    FROM unnest(leases, numbers, parts) AS a (lease_id, number, part)
    JOIN floorlog.open_row AS r ON (r.lease_id, r.number, r.part) = (a.lease_id, a.number, a.part)
    LEFT JOIN floorlog.batch AS b ON b.lease_id = r.lease_id AND b.number = r.number
        AND b.recorded_at BETWEEN recorded_from AND recorded_to
    WHERE r.recorded_at BETWEEN recorded_from AND recorded_to
        AND (b.clock_s IS DISTINCT FROM r.clock_s OR b.recorded_at IS DISTINCT FROM r.recorded_at)
    LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '%', wrong USING ERRCODE = 'FL004';
    END IF;

    -- Between these times its batches were stored: what finds them later.
    SELECT min(b.low), max(b.high) INTO low, high FROM (
        SELECT r.recorded_at, r.recorded_at
        FROM floorlog.rows_named(recorded_from, recorded_to, leases, numbers, parts) AS r
        UNION ALL
        SELECT c.recorded_min, c.recorded_max
        FROM floorlog.chunks_named(old_series, old_widths, old_slots, old_parts) AS c
    ) AS b (low, high);
    SELECT format('a chunk of series %s does not say where it belongs', m.series_id) INTO wrong
    FROM floorlog.chunks_given(made) AS m LEFT JOIN floorlog.widths() AS w ON w.width = m.width
    WHERE (m.recorded_min, m.recorded_max, m.count > 0, m.t_min >= m.slot * w.length_us,
            m.t_max < (m.slot + 1) * w.length_us, m.newest BETWEEN 1 AND m.count OR m.newest IS NULL)
        IS DISTINCT FROM (low, high, true, true, true, true)
    LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '%', wrong USING ERRCODE = 'FL004';
    END IF;

    -- What no reading has is not compared reading by reading.
    SELECT coalesce(bool_or(b.q), false), coalesce(bool_or(b.a), false), coalesce(bool_or(b.f), false)
    INTO has_quality, has_arrived, has_flags
    FROM (
        SELECT r.quality IS NOT NULL, r.arrived IS NOT NULL, r.conflict IS NOT NULL OR r.late IS NOT NULL
        FROM floorlog.rows_named(recorded_from, recorded_to, leases, numbers, parts) AS r
        UNION ALL
        SELECT c.quality IS NOT NULL, c.arrived IS NOT NULL, c.flags IS NOT NULL
        FROM floorlog.chunks_named(old_series, old_widths, old_slots, old_parts) AS c
        UNION ALL
        SELECT m.quality IS NOT NULL, m.arrived IS NOT NULL, m.flags IS NOT NULL FROM floorlog.chunks_given(made) AS m
    ) AS b (q, a, f);
    families := families || array_remove(ARRAY[CASE WHEN has_quality THEN 'quality' END,
        CASE WHEN has_arrived THEN 'arrived' END, CASE WHEN has_flags THEN 'flags' END], NULL);

    -- Arrays are compared as they lie in memory (*=): bit for bit.
    EXECUTE format($compare$
        WITH source AS (
            SELECT s.series_id, s.lease_id, count(*) AS readings, ROW(%1$s) AS image
            FROM (
                SELECT c.series_id, c.lease_id, u.number, u.at_us, u.value, u.quality, u.arrived, u.flags
                FROM floorlog.chunks_named($6, $7, $8, $9) AS c CROSS JOIN LATERAL floorlog.unsealed(c) AS u
                UNION ALL
                SELECT u.series_id, r.lease_id, r.number, u.at_us, u.value, u.quality, u.arrived, u.flags
                FROM floorlog.rows_named($1, $2, $3, $4, $5) AS r CROSS JOIN LATERAL floorlog.opened(r) AS u
            ) AS s
            GROUP BY s.series_id, s.lease_id
        ), target AS (
            SELECT m.series_id, m.lease_id, ROW(%2$s) AS image,
                -- What finds a chunk must be right as well, or its readings would be there and not be seen.
                bool_and(coalesce(m.t_min <= ALL (a.at_us) AND m.t_max >= ALL (a.at_us)
                    AND m.number_min <= ALL (a.number) AND m.number_max >= ALL (a.number), false)) AS inside
            FROM floorlog.chunks_given($10) AS m
            CROSS JOIN LATERAL (SELECT %3$s FROM floorlog.unsealed(m) AS s) AS a
            GROUP BY m.series_id, m.lease_id
        )
        SELECT min(format('series %%s of shard %%s would not be what it was', coalesce(s.series_id, t.series_id),
                coalesce(s.lease_id, t.lease_id))) FILTER (WHERE (s.image *= t.image AND t.inside) IS NOT TRUE), sum(s.readings)
        FROM source AS s FULL JOIN target AS t ON t.series_id = s.series_id AND t.lease_id = s.lease_id
        $compare$,
        (SELECT string_agg(format('array_agg(s.%s)', f), ', ') FROM unnest(families) AS f),
        (SELECT string_agg(format('floorlog.joined(a.%s)', f), ', ') FROM unnest(families) AS f),
        (SELECT string_agg(format('array_agg(s.%1$s) AS %1$s', f), ', ') FROM unnest(families) AS f))
    INTO wrong, moved
    USING recorded_from, recorded_to, leases, numbers, parts, old_series, old_widths, old_slots, old_parts, made;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '%', wrong USING ERRCODE = 'FL004';
    END IF;

    INSERT INTO floorlog.sealed_foreign (home, home_version, lease_id, number)
    SELECT DISTINCT r.home, r.home_version, r.lease_id, r.number
    FROM unnest(leases, numbers, parts) AS a (lease_id, number, part)
    JOIN floorlog.open_row AS r ON (r.lease_id, r.number, r.part) = (a.lease_id, a.number, a.part)
    WHERE r.recorded_at BETWEEN recorded_from AND recorded_to AND r.home IS NOT NULL
    ON CONFLICT DO NOTHING;
    DELETE FROM floorlog.open_row AS r USING unnest(leases, numbers, parts) AS a (lease_id, number, part)
    WHERE (r.lease_id, r.number, r.part) = (a.lease_id, a.number, a.part)
        AND r.recorded_at BETWEEN recorded_from AND recorded_to;
    GET DIAGNOSTICS found = ROW_COUNT;
    IF found <> cardinality(leases) THEN
        RAISE EXCEPTION '% open rows went of %', found, cardinality(leases) USING ERRCODE = 'FL004';
    END IF;
    DELETE FROM floorlog.chunk AS c
    USING unnest(old_series, old_widths, old_slots, old_parts) AS a (series_id, width, slot, part)
    WHERE (c.series_id, c.width, c.slot, c.part) = (a.series_id, a.width, a.slot, a.part);
    GET DIAGNOSTICS found = ROW_COUNT;
    IF found <> cardinality(old_series) THEN
        RAISE EXCEPTION '% chunks went of %', found, cardinality(old_series) USING ERRCODE = 'FL004';
    END IF;
    INSERT INTO floorlog.chunk SELECT m.* FROM unnest(made) AS m;
    RETURN moved;
END
$$;
