-- The swap: chunks for open rows, or for other chunks, that hold the same readings.

-- What open rows hold, one row per reading, in the order of rows and within them. Places of flags
-- are found by bisection; `|| '{}'` unpacks an array once.
CREATE FUNCTION opened(r open_row, OUT series_id int4, OUT at_us int8, OUT value float8,
    OUT quality int8, OUT arrived int4, OUT flags int2)
RETURNS SETOF record LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT u.series_id, r.t_min + coalesce(u.ts, u.ts_wide, 0) * r.tick_us, u.value, coalesce(u.quality, 0),
        coalesce(u.arrived, 0),
        (CASE WHEN u.conflict[width_bucket(u.place, u.conflict)] = u.place THEN 1 ELSE 0 END
            + CASE WHEN u.late[width_bucket(u.place, u.late)] = u.place THEN 2 ELSE 0 END)::int2
    FROM (
        SELECT f.conflict, f.late, generate_subscripts(r.series, 1) AS place, unnest(r.series) AS series_id,
            unnest(r.ts) AS ts, unnest(r.ts_wide) AS ts_wide, unnest(r.value) AS value,
            unnest(r.quality) AS quality, unnest(r.arrived) AS arrived
        FROM (SELECT r.conflict || '{}' AS conflict, r.late || '{}' AS late OFFSET 0) AS f
    ) AS u
$$;

-- Takes open rows and chunks out of the record and puts chunks in that hold the same readings: for
-- each series and shard the same numbers of batches, times, values, qualities, arrivals and flags,
-- bit for bit and in the same order, as this server reads them out of the one and the other. These
-- are all that a leaf is made of beside names, so every leaf stays what it was. Anything else is
-- refused, and the transaction with it. Returns how many readings were moved.
--
-- The order: chunks as named, then rows as named. Sorting would disturb it, so that it is off.
CREATE FUNCTION seal(
    recorded_from timestamptz, recorded_to timestamptz,  -- of the open rows
    leases int4[], numbers int8[], parts int2[],  -- the open rows
    old_series int4[], old_widths int2[], old_slots int4[], old_parts int2[],  -- the chunks
    made chunk[]
) RETURNS int8
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_sort = off SET enable_mergejoin = off SET enable_hashjoin = on
SET jit = off SET timezone = 'UTC' SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
    found int8;
    wrong text;
    moved int8;
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

    WITH source AS (
        SELECT s.series_id, s.lease_id, count(*) AS readings, min(s.recorded_min) AS recorded_min,
            max(s.recorded_max) AS recorded_max, array_agg(s.number) AS number, array_agg(s.at_us) AS at_us,
            array_send(array_agg(s.value)) AS value, array_agg(s.quality) AS quality,
            array_agg(s.arrived) AS arrived, array_agg(s.flags) AS flags
        FROM (
            SELECT c.series_id, c.lease_id, c.recorded_min, c.recorded_max, u.number, u.at_us, u.value, u.quality,
                u.arrived, u.flags
            FROM unnest(old_series, old_widths, old_slots, old_parts) AS a (series_id, width, slot, part)
            CROSS JOIN LATERAL (
                SELECT k FROM floorlog.chunk AS k
                WHERE (k.series_id, k.width, k.slot, k.part) = (a.series_id, a.width, a.slot, a.part) OFFSET 0
            ) AS f (c)
            CROSS JOIN LATERAL (SELECT (f.c).series_id, (f.c).lease_id, (f.c).recorded_min, (f.c).recorded_max) AS c
            CROSS JOIN LATERAL floorlog.unsealed(f.c) AS u
            UNION ALL
            SELECT u.series_id, (f.r).lease_id, (f.r).recorded_at, (f.r).recorded_at, (f.r).number, u.at_us, u.value,
                u.quality, u.arrived, u.flags
            FROM unnest(leases, numbers, parts) AS a (lease_id, number, part)
            CROSS JOIN LATERAL (
                SELECT o FROM floorlog.open_row AS o
                WHERE (o.lease_id, o.number, o.part) = (a.lease_id, a.number, a.part)
                    AND o.recorded_at BETWEEN recorded_from AND recorded_to OFFSET 0
            ) AS f (r)
            CROSS JOIN LATERAL floorlog.opened(f.r) AS u
        ) AS s
        GROUP BY s.series_id, s.lease_id
    ), target AS (
        SELECT t.series_id, t.lease_id, count(*) AS readings, min(t.recorded_min) AS recorded_min,
            max(t.recorded_max) AS recorded_max, array_agg(t.number) AS number, array_agg(t.at_us) AS at_us,
            array_send(array_agg(t.value)) AS value, array_agg(t.quality) AS quality,
            array_agg(t.arrived) AS arrived, array_agg(t.flags) AS flags
        FROM (
            SELECT m.series_id, m.lease_id, m.recorded_min, m.recorded_max, u.*
            FROM unnest(made) AS m CROSS JOIN LATERAL floorlog.unsealed(m) AS u
        ) AS t
        GROUP BY t.series_id, t.lease_id
    )
    SELECT min(CASE
            WHEN s.readings IS NULL OR t.readings IS NULL OR s.number <> t.number OR s.at_us <> t.at_us
                OR s.value <> t.value OR s.quality <> t.quality OR s.arrived <> t.arrived OR s.flags <> t.flags
            THEN format('series %s of shard %s would not be what it was', coalesce(s.series_id, t.series_id),
                coalesce(s.lease_id, t.lease_id))
            WHEN s.recorded_min <> t.recorded_min OR s.recorded_max <> t.recorded_max
            THEN format('a chunk of series %s says another time of storing', t.series_id)
        END), sum(s.readings)
    INTO wrong, moved
    FROM source AS s FULL JOIN target AS t ON t.series_id = s.series_id AND t.lease_id = s.lease_id;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '%', wrong USING ERRCODE = 'FL004';
    END IF;

    -- What finds a chunk must be right as well, or its readings would be there and not be seen.
    SELECT format('a chunk of series %s does not say what it holds', m.series_id) INTO wrong
    FROM unnest(made) AS m
    LEFT JOIN floorlog.widths() AS w ON w.width = m.width
    CROSS JOIN LATERAL (
        SELECT min(u.at_us) AS t_min, max(u.at_us) AS t_max, min(u.number) AS number_min,
            max(u.number) AS number_max
        FROM floorlog.unsealed(m) AS u
    ) AS h
    WHERE (h.t_min, h.t_max, h.number_min, h.number_max, true)
        IS DISTINCT FROM (m.t_min, m.t_max, m.number_min, m.number_max,
            m.t_min >= m.slot * w.length_us AND m.t_max < (m.slot + 1) * w.length_us)
    LIMIT 1;
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
    INSERT INTO floorlog.audit_event (actor, action, detail) VALUES ('keeper', 'seal', json_build_object(
        'readings', moved, 'rows', cardinality(leases), 'chunks', cardinality(old_series),
        'made', cardinality(made)));
    RETURN moved;
END
$$;
REVOKE ALL ON FUNCTION seal(timestamptz, timestamptz, int4[], int8[], int2[], int4[], int2[], int4[], int2[], chunk[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION seal(timestamptz, timestamptz, int4[], int8[], int2[], int4[], int2[], int4[], int2[], chunk[]) TO floorlog_keeper;
