-- The act of expiry: the only way, beside seal(), by which rows of the record go.

-- The number of a shard's last batch that was stored before a time, 0 for none: by bisection, for
-- within a shard batches are stored in their order.
CREATE FUNCTION last_before(of_lease int4, before timestamptz) RETURNS int8 LANGUAGE plpgsql STABLE AS $$
DECLARE
    low int8 := 0;
    high int8;
    middle int8;
BEGIN
    SELECT l.number INTO high FROM floorlog.lease AS l WHERE l.lease_id = of_lease;
    WHILE low < high LOOP
        middle := (low + high + 1) / 2;
        IF EXISTS (SELECT FROM floorlog.batch AS b
                WHERE b.lease_id = of_lease AND b.number = middle AND b.recorded_at < before) THEN
            low := middle;
        ELSE
            high := middle - 1;
        END IF;
    END LOOP;
    RETURN low;
END
$$;

-- The readings of a shard's batches, one per row; `source` and `place` keep the order of those that
-- share series and time.
CREATE FUNCTION readings_of(of_lease int4, from_number int8, to_number int8, OUT number int8, OUT series_id int4,
    OUT at_us int8, OUT value float8, OUT quality int8, OUT arrival_s int8, OUT flags int2, OUT source int4, OUT place int8)
RETURNS SETOF record LANGUAGE sql STABLE AS $$
    SELECT r.number, u.series_id, u.at_us, u.value, u.quality, r.clock_s - u.arrived, u.flags, r.part::int4, u.place
    FROM floorlog.open_row AS r
    CROSS JOIN LATERAL floorlog.opened(r) WITH ORDINALITY AS u (series_id, at_us, value, quality, arrived, flags, place)
    WHERE r.lease_id = of_lease AND r.number BETWEEN from_number AND to_number
    UNION ALL
    SELECT u.number, c.series_id, u.at_us, u.value, u.quality, b.clock_s - u.arrived, u.flags, -1 - c.part, u.place
    FROM floorlog.chunk AS c
    CROSS JOIN LATERAL floorlog.unsealed(c) AS u
    JOIN floorlog.batch AS b ON b.lease_id = of_lease AND b.number = u.number
    WHERE int8range((c.lease_id::int8 << 40) + c.number_min, (c.lease_id::int8 << 40) + c.number_max, '[]')
            && int8range((of_lease::int8 << 40) + from_number, (of_lease::int8 << 40) + to_number, '[]')
        AND u.number BETWEEN from_number AND to_number
$$;

-- Whether a reject goes: with all that belongs to no device, or because its bytes name a device that
-- goes; never while they name one that is held.
CREATE FUNCTION reject_goes(data bytea, is_all bool, going text[], held text[]) RETURNS bool
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (is_all OR EXISTS (SELECT FROM unnest(going) AS g (name)
            WHERE g.name <> '' AND position(convert_to(g.name, 'UTF8') IN data) > 0))
        AND NOT EXISTS (SELECT FROM unnest(held) AS h (name)
            WHERE h.name <> '' AND position(convert_to(h.name, 'UTF8') IN data) > 0)
$$;

-- The leaves of a shard's batches that are still there, in their order, and whether each goes with
-- these devices.
CREATE FUNCTION leaves_of(of_lease int4, from_number int8, to_number int8, going text[], held text[])
RETURNS TABLE (number int8, hashes bytea[], goes bool[], readings int8, gone_readings int8, gone_rejects int8,
    gone_anomalies int8, rejects int8)
LANGUAGE sql STABLE AS $$
    SELECT e.number, array_agg(e.hash ORDER BY e.turn, e.first_series, e.hash),
        array_agg(e.goes ORDER BY e.turn, e.first_series, e.hash),
        coalesce(sum(e.count) FILTER (WHERE e.turn = 1), 0)::int8,
        coalesce(sum(e.count) FILTER (WHERE e.turn = 1 AND e.goes), 0)::int8,
        count(*) FILTER (WHERE e.turn = 2 AND e.goes), count(*) FILTER (WHERE e.turn = 3 AND e.goes),
        count(*) FILTER (WHERE e.turn = 2)
    FROM (
        SELECT r.number, 1 AS turn, min(r.series_id) AS first_series, sha256('\x000101'::bytea || string_agg(
                CASE WHEN s.kind = 0 THEN s.name ELSE floorlog.name_in_ledger(r.series_id, r.value) END
                || int8send(r.at_us) || float8send(r.value) || int8send((r.flags::int8 << 32) + r.quality)
                || int8send(r.arrival_s), '' ORDER BY r.series_id, r.at_us, r.source, r.place)) AS hash,
            s.device = ANY (going) AS goes, count(*) AS count
        FROM floorlog.readings_of(of_lease, from_number, to_number) AS r
        JOIN (SELECT o.series_id, o.kind, o.device, floorlog.digest(o) AS name FROM floorlog.series AS o OFFSET 0) AS s
            ON s.series_id = r.series_id
        GROUP BY r.number, s.device
        UNION ALL
        SELECT j.number, 2, 0, floorlog.digest(j), floorlog.reject_goes(j.data, '' = ANY (going), going, held), 1
        FROM floorlog.batch AS b JOIN floorlog.reject AS j
            ON j.recorded_at = b.recorded_at AND (j.lease_id, j.number) = (b.lease_id, b.number)
        WHERE b.lease_id = of_lease AND b.number BETWEEN from_number AND to_number AND b.rejected > 0
        UNION ALL
        SELECT a.number, 3, a.series_id, floorlog.digest(a), s.device = ANY (going), 1
        FROM floorlog.anomaly AS a JOIN floorlog.series AS s ON s.series_id = a.series_id
        WHERE a.lease_id = of_lease AND a.number BETWEEN from_number AND to_number AND a.recorded_at BETWEEN
            (SELECT min(b.recorded_at) FROM floorlog.batch AS b
                WHERE b.lease_id = of_lease AND b.number BETWEEN from_number AND to_number)
            AND (SELECT max(b.recorded_at) FROM floorlog.batch AS b
                WHERE b.lease_id = of_lease AND b.number BETWEEN from_number AND to_number)
        UNION ALL
        SELECT g.number, 4, 0, floorlog.digest(g), false, 1
        FROM floorlog.gap AS g WHERE g.lease_id = of_lease AND g.number BETWEEN from_number AND to_number
    ) AS e
    GROUP BY e.number
$$;

-- What stays of a batch whose leaves go: checks that these leaves, and what stands for those that
-- went before, lead to the root of its entry. Raises FL004 where they do not.
CREATE FUNCTION collapsed(b batch, hashes bytea[], goes bool[], made expired) RETURNS expired
LANGUAGE plpgsql STABLE AS $$
DECLARE
    known_places int4[];
    known_levels int4[];
    known_hashes bytea[];
    levels int4[] := '{}';
    nodes bytea[] := '{}';
    place int4 := 0;
    n int4 := 1;
    k int4 := 1;
    run_nodes int4[] := '{}';  -- which node is the first of each run
    in_run bool := false;
BEGIN
    SELECT array_agg(s.place ORDER BY s.place), array_agg(s.level ORDER BY s.place), array_agg(s.hash ORDER BY s.place)
    INTO known_places, known_levels, known_hashes
    FROM floorlog.expired AS x CROSS JOIN LATERAL (
        SELECT t.place, t.level, x.hashes[row_number() OVER (ORDER BY t.place)] AS hash
        FROM unnest(x.begins, x.ends) AS u (b, e) CROSS JOIN LATERAL floorlog.subtrees(u.b, u.e) AS t
    ) AS s
    WHERE x.lease_id = b.lease_id AND x.number = b.number;
    made.begins := '{}';
    made.ends := '{}';
    made.hashes := '{}';
    WHILE n <= coalesce(cardinality(hashes), 0) OR k <= coalesce(cardinality(known_places), 0) LOOP
        IF known_places[k] = place THEN
            levels := levels || known_levels[k];
            nodes := nodes || known_hashes[k];
            place := place + (1 << known_levels[k]);
            k := k + 1;
            in_run := false;
            CONTINUE;
        END IF;
        EXIT WHEN n > coalesce(cardinality(hashes), 0);
        levels := levels || 0;
        nodes := nodes || hashes[n];
        IF goes[n] AND in_run THEN
            made.ends[cardinality(made.ends)] := place + 1;
        ELSIF goes[n] THEN
            made.begins := made.begins || place;
            made.ends := made.ends || (place + 1);
            run_nodes := run_nodes || cardinality(nodes);
        END IF;
        in_run := goes[n];
        place := place + 1;
        n := n + 1;
    END LOOP;
    IF place <> b.leaves OR floorlog.tree_root(levels, nodes) <> b.root THEN
        RAISE EXCEPTION 'batch % of lease % is not what was stored: nothing of it may expire', b.number, b.lease_id
            USING ERRCODE = 'FL004';
    END IF;
    SELECT array_agg(floorlog.tree_root(array_fill(0, ARRAY[1 << t.level]),
        nodes[u.node + t.place - u.b : u.node + t.place - u.b + (1 << t.level) - 1]) ORDER BY t.place)
    INTO made.hashes
    FROM unnest(made.begins, made.ends, run_nodes) AS u (b, e, node) CROSS JOIN LATERAL floorlog.subtrees(u.b, u.e) AS t;
    RETURN made;
END
$$;

-- Takes readings of these series out of the open rows of these batches; returns the bytes that went.
CREATE FUNCTION expire_open_rows(of_lease int4, from_number int8, to_number int8, ids int4[]) RETURNS int8
LANGUAGE plpgsql AS $$
DECLARE
    bytes int8;
BEGIN
    WITH gone AS (
        DELETE FROM floorlog.open_row AS r
        WHERE r.lease_id = of_lease AND r.number BETWEEN from_number AND to_number AND r.series && ids
        RETURNING r
    ), kept AS (
        SELECT (g.r).*, u.series_id, u.at_us, u.value AS one_value, u.quality AS one_quality, u.arrived AS one_arrived,
            u.flags, row_number() OVER (PARTITION BY (g.r).number, (g.r).part ORDER BY u.place) AS place,
            min(u.at_us) OVER (PARTITION BY (g.r).number, (g.r).part) AS first_us,
            max(u.at_us) OVER (PARTITION BY (g.r).number, (g.r).part) AS last_us
        FROM gone AS g CROSS JOIN LATERAL floorlog.opened(g.r) WITH ORDINALITY
            AS u (series_id, at_us, value, quality, arrived, flags, place)
        WHERE u.series_id <> ALL (ids)
    ), made AS (
        INSERT INTO floorlog.open_row (recorded_at, number, t_min, t_max, clock_s, home_version, lease_id, slot, home,
            tick_us, width, part, series, ts, ts_wide, value, quality, arrived, conflict, late)
        SELECT k.recorded_at, k.number, k.first_us, k.last_us, k.clock_s, k.home_version, k.lease_id, k.slot, k.home,
            k.tick_us, k.width, k.part, array_agg(k.series_id ORDER BY k.place),
            CASE WHEN (k.last_us - k.first_us) / k.tick_us < 2147483647
                THEN array_agg((k.at_us - k.first_us) / k.tick_us ORDER BY k.place)::int4[] END,
            CASE WHEN (k.last_us - k.first_us) / k.tick_us >= 2147483647
                THEN array_agg((k.at_us - k.first_us) / k.tick_us ORDER BY k.place) END,
            array_agg(k.one_value ORDER BY k.place),
            CASE WHEN bool_or(k.one_quality <> 0) THEN array_agg(k.one_quality ORDER BY k.place) END,
            CASE WHEN bool_or(k.one_arrived <> 0) THEN array_agg(k.one_arrived ORDER BY k.place) END,
            array_agg(k.place::int4 ORDER BY k.place) FILTER (WHERE k.flags & 1 <> 0),
            array_agg(k.place::int4 ORDER BY k.place) FILTER (WHERE k.flags & 2 <> 0)
        FROM kept AS k
        GROUP BY k.recorded_at, k.number, k.first_us, k.last_us, k.clock_s, k.home_version, k.lease_id, k.slot, k.home,
            k.tick_us, k.width, k.part
        RETURNING pg_column_size(open_row) AS bytes
    )
    SELECT coalesce((SELECT sum(pg_column_size(g.r)) FROM gone AS g), 0)
        - coalesce((SELECT sum(m.bytes) FROM made AS m), 0) INTO bytes;
    RETURN bytes;
END
$$;

-- Takes these series out of chunks of these batches. What a chunk holds of other batches goes back
-- into open rows, from which it is sealed again; returns the bytes that went.
CREATE FUNCTION expire_chunks(of_lease int4, from_number int8, to_number int8, ids int4[]) RETURNS int8
LANGUAGE plpgsql AS $$
DECLARE
    bytes int8;
BEGIN
    WITH gone AS (
        DELETE FROM floorlog.chunk AS c
        WHERE c.series_id = ANY (ids)
            AND int8range((c.lease_id::int8 << 40) + c.number_min, (c.lease_id::int8 << 40) + c.number_max, '[]')
                && int8range((of_lease::int8 << 40) + from_number, (of_lease::int8 << 40) + to_number, '[]')
        RETURNING c
    ), stays AS (
        SELECT (g.c).series_id, (g.c).width, (g.c).slot, (g.c).part, u.*
        FROM gone AS g CROSS JOIN LATERAL floorlog.unsealed(g.c) AS u
        WHERE u.number NOT BETWEEN from_number AND to_number
    ), kept AS (
        SELECT s.*, row_number() OVER w AS row_place, min(s.at_us) OVER r AS first_us, max(s.at_us) OVER r AS last_us
        FROM stays AS s
        WINDOW w AS (PARTITION BY s.number, s.width, s.slot ORDER BY s.series_id, s.at_us, s.part, s.place),
            r AS (PARTITION BY s.number, s.width, s.slot)
    ), rows AS (
        SELECT k.number, k.width, k.slot, k.first_us, k.last_us, CASE
                WHEN bool_and((k.at_us - k.first_us) % 1000000 = 0) THEN 1000000
                WHEN bool_and((k.at_us - k.first_us) % 1000 = 0) THEN 1000 ELSE 1 END AS tick_us,
            array_agg(k.series_id ORDER BY k.row_place) AS series, array_agg(k.at_us - k.first_us ORDER BY k.row_place) AS offsets,
            array_agg(k.value ORDER BY k.row_place) AS value,
            CASE WHEN bool_or(k.quality <> 0) THEN array_agg(k.quality ORDER BY k.row_place) END AS quality,
            CASE WHEN bool_or(k.arrived <> 0) THEN array_agg(k.arrived ORDER BY k.row_place) END AS arrived,
            array_agg(k.row_place::int4 ORDER BY k.row_place) FILTER (WHERE k.flags & 1 <> 0) AS conflict,
            array_agg(k.row_place::int4 ORDER BY k.row_place) FILTER (WHERE k.flags & 2 <> 0) AS late
        FROM kept AS k GROUP BY k.number, k.width, k.slot, k.first_us, k.last_us
    ), made AS (
        INSERT INTO floorlog.open_row (recorded_at, number, t_min, t_max, clock_s, lease_id, slot, tick_us, width, part,
            series, ts, ts_wide, value, quality, arrived, conflict, late)
        SELECT b.recorded_at, o.number, o.first_us, o.last_us, b.clock_s, of_lease, o.slot, o.tick_us, o.width,
            (SELECT coalesce(max(p.part) + 1, 0) FROM floorlog.open_row AS p
                WHERE p.lease_id = of_lease AND p.number = o.number)
                + row_number() OVER (PARTITION BY o.number ORDER BY o.width, o.slot) - 1,
            o.series,
            CASE WHEN (o.last_us - o.first_us) / o.tick_us < 2147483647
                THEN ARRAY(SELECT (u.us / o.tick_us)::int4 FROM unnest(o.offsets) WITH ORDINALITY AS u (us, n) ORDER BY u.n) END,
            CASE WHEN (o.last_us - o.first_us) / o.tick_us >= 2147483647
                THEN ARRAY(SELECT u.us / o.tick_us FROM unnest(o.offsets) WITH ORDINALITY AS u (us, n) ORDER BY u.n) END,
            o.value, o.quality, o.arrived, o.conflict, o.late
        FROM rows AS o JOIN floorlog.batch AS b ON b.lease_id = of_lease AND b.number = o.number
        RETURNING pg_column_size(open_row) AS bytes
    )
    SELECT coalesce((SELECT sum(pg_column_size(g.c)) FROM gone AS g), 0)
        - coalesce((SELECT sum(m.bytes) FROM made AS m), 0) INTO bytes;
    RETURN bytes;
END
$$;

-- Rejects, anomalies and conflicts of these batches; returns the bytes that went.
CREATE FUNCTION expire_rows(of_lease int4, from_number int8, to_number int8, ids int4[], going text[], held text[])
RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
    first_at timestamptz;
    last_at timestamptz;
    bytes int8;
BEGIN
    SELECT min(b.recorded_at), max(b.recorded_at) INTO first_at, last_at FROM floorlog.batch AS b
        WHERE b.lease_id = of_lease AND b.number BETWEEN from_number AND to_number;
    WITH rejects AS (
        DELETE FROM floorlog.reject AS r
        WHERE r.recorded_at BETWEEN first_at AND last_at AND r.lease_id = of_lease
            AND r.number BETWEEN from_number AND to_number
            AND floorlog.reject_goes(r.data, '' = ANY (going), going, held)
        RETURNING pg_column_size(r) AS bytes
    ), anomalies AS (
        DELETE FROM floorlog.anomaly AS a
        WHERE a.recorded_at BETWEEN first_at AND last_at AND a.lease_id = of_lease
            AND a.number BETWEEN from_number AND to_number AND a.series_id = ANY (ids)
        RETURNING pg_column_size(a) AS bytes
    ), conflicts AS (
        DELETE FROM floorlog.conflict AS c
        WHERE c.recorded_at BETWEEN first_at AND last_at AND c.lease_id = of_lease
            AND c.number BETWEEN from_number AND to_number AND c.series_id = ANY (ids)
        RETURNING pg_column_size(c) AS bytes
    )
    SELECT coalesce(sum(g.bytes), 0) INTO bytes FROM (
        SELECT r.bytes FROM rejects AS r UNION ALL SELECT a.bytes FROM anomalies AS a
        UNION ALL SELECT c.bytes FROM conflicts AS c) AS g;
    RETURN bytes;
END
$$;
