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

-- Open rows and chunks by name, in the order in which they are named. As functions, so that what is
-- made of a row's columns is computed from columns: a row passed on whole is copied for each reading.
-- Volatile, so that they stay functions: put in the call's place they take twice as long.
CREATE FUNCTION rows_named(recorded_from timestamptz, recorded_to timestamptz, leases int4[], numbers int8[], parts int2[])
RETURNS SETOF open_row LANGUAGE sql VOLATILE AS $$
    SELECT r.* FROM unnest(leases, numbers, parts) AS a (lease_id, number, part)
    CROSS JOIN LATERAL (
        SELECT o.* FROM floorlog.open_row AS o
        WHERE o.lease_id = a.lease_id AND o.number = a.number AND o.part = a.part
            AND o.recorded_at BETWEEN recorded_from AND recorded_to
        OFFSET 0
    ) AS r
$$;
CREATE FUNCTION chunks_named(of_series int4[], widths int2[], slots int4[], parts int2[]) RETURNS SETOF chunk
LANGUAGE sql VOLATILE AS $$
    SELECT c.* FROM unnest(of_series, widths, slots, parts) AS a (series_id, width, slot, part)
    CROSS JOIN LATERAL (
        SELECT k.* FROM floorlog.chunk AS k
        WHERE k.series_id = a.series_id AND k.width = a.width AND k.slot = a.slot AND k.part = a.part
        OFFSET 0
    ) AS c
$$;
CREATE FUNCTION chunks_given(made chunk[]) RETURNS SETOF chunk LANGUAGE sql VOLATILE AS $$
    SELECT m.* FROM unnest(made) AS m
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
    WITH source AS (
        SELECT s.series_id, s.lease_id, count(*) AS readings,
            sha256(array_send(array_agg(s.number)) || array_send(array_agg(s.at_us))
                || array_send(array_agg(s.value))
                || coalesce(array_send(array_agg(s.quality) FILTER (WHERE has_quality)), '')
                || coalesce(array_send(array_agg(s.arrived) FILTER (WHERE has_arrived)), '')
                || coalesce(array_send(array_agg(s.flags) FILTER (WHERE has_flags)), '')) AS digest
        FROM (
            SELECT c.series_id, c.lease_id, u.number, u.at_us, u.value, u.quality, u.arrived, u.flags
            FROM floorlog.chunks_named(old_series, old_widths, old_slots, old_parts) AS c
            CROSS JOIN LATERAL floorlog.unsealed(c) AS u
            UNION ALL
            SELECT u.series_id, r.lease_id, r.number, u.at_us, u.value, u.quality, u.arrived, u.flags
            FROM floorlog.rows_named(recorded_from, recorded_to, leases, numbers, parts) AS r
            CROSS JOIN LATERAL floorlog.opened(r) AS u
        ) AS s
        GROUP BY s.series_id, s.lease_id
    ), target AS (
        SELECT m.series_id, m.lease_id,
            sha256(array_send(array_agg(u.number)) || array_send(array_agg(u.at_us))
                || array_send(array_agg(u.value))
                || coalesce(array_send(array_agg(u.quality) FILTER (WHERE has_quality)), '')
                || coalesce(array_send(array_agg(u.arrived) FILTER (WHERE has_arrived)), '')
                || coalesce(array_send(array_agg(u.flags) FILTER (WHERE has_flags)), '')) AS digest,
            -- What finds a chunk must be right as well, or its readings would be there and not be seen.
            bool_and(u.at_us BETWEEN m.t_min AND m.t_max AND u.number BETWEEN m.number_min AND m.number_max) AS inside
        FROM floorlog.chunks_given(made) AS m CROSS JOIN LATERAL floorlog.unsealed(m) AS u
        GROUP BY m.series_id, m.lease_id
    )
    SELECT min(format('series %s of shard %s would not be what it was', coalesce(s.series_id, t.series_id),
            coalesce(s.lease_id, t.lease_id)))
        FILTER (WHERE (s.digest, true) IS DISTINCT FROM (t.digest, t.inside)), sum(s.readings)
    INTO wrong, moved
    FROM source AS s FULL JOIN target AS t ON t.series_id = s.series_id AND t.lease_id = s.lease_id;
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
REVOKE ALL ON FUNCTION seal(timestamptz, timestamptz, int4[], int8[], int2[], int4[], int2[], int4[], int2[], chunk[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION seal(timestamptz, timestamptz, int4[], int8[], int2[], int4[], int2[], int4[], int2[], chunk[]) TO floorlog_keeper;
