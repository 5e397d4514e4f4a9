-- A batch that is damaged keeps only itself from expiring.

-- What a step of expiry left because it is not what was stored; tried again after a day.
CREATE TABLE expiry_left (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    first_number int8 NOT NULL,
    last_number int8 NOT NULL,
    lease_id int4 NOT NULL,
    says text NOT NULL
);
COMMENT ON COLUMN expiry_left.recorded_at IS 'outside: when it was last tried';
COMMENT ON COLUMN expiry_left.first_number IS 'outside: the first batch of which nothing may expire';
COMMENT ON COLUMN expiry_left.last_number IS 'outside: the last one';
COMMENT ON COLUMN expiry_left.lease_id IS 'outside: the shard';
COMMENT ON COLUMN expiry_left.says IS 'outside: what is wrong with them';
GRANT SELECT ON expiry_left TO floorlog_keeper, floorlog_operator, floorlog_reader;

-- What stays of a batch whose leaves go: checks that these leaves, and what stands for those that
-- went before, lead to the root of its entry. NULL where they do not.
CREATE OR REPLACE FUNCTION collapsed(b batch, hashes bytea[], goes bool[], made expired) RETURNS expired
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
        RETURN NULL;
    END IF;
    SELECT array_agg(floorlog.tree_root(array_fill(0, ARRAY[1 << t.level]),
        nodes[u.node + t.place - u.b : u.node + t.place - u.b + (1 << t.level) - 1]) ORDER BY t.place)
    INTO made.hashes
    FROM unnest(made.begins, made.ends, run_nodes) AS u (b, e, node) CROSS JOIN LATERAL floorlog.subtrees(u.b, u.e) AS t;
    RETURN made;
END
$$;

-- Whether the leaves of a span of batches can be computed, whatever they are.
CREATE FUNCTION is_readable(of_lease int4, from_number int8, to_number int8) RETURNS bool LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM count(l.hashes) FROM floorlog.leaves_of(of_lease, from_number, to_number, '{}', '{}') AS l;
    RETURN true;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN false;
END
$$;

-- The batches at which the leaves of a span can first not be computed, by bisection; the last of them is
-- one before some batch that can be read again. NULL where all can.
CREATE FUNCTION unreadable(of_lease int4, from_number int8, to_number int8, OUT first_number int8, OUT last_number int8)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    low int8 := from_number;
    high int8 := to_number;
    middle int8;
BEGIN
    IF floorlog.is_readable(of_lease, low, high) THEN
        RETURN;
    END IF;
    WHILE low < high LOOP
        middle := (low + high) / 2;
        IF floorlog.is_readable(of_lease, from_number, middle) THEN
            low := middle + 1;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    first_number := low;
    last_number := to_number;
    high := low + 1;
    WHILE high <= to_number LOOP
        IF floorlog.is_readable(of_lease, high, high) THEN
            last_number := high - 1;
            EXIT;
        END IF;
        high := high + (high - first_number);
    END LOOP;
END
$$;

-- Puts hashes in the place of leaves, batch by batch, as far as these are what was stored. `upto`: the last
-- batch that was looked at. Where the very first are not what was stored, nothing is put: `upto` is the
-- last of them, `bad_from` the first, and `says` why.
CREATE FUNCTION expire_leaves(of_lease int4, from_number int8, to_number int8, going text[], held text[],
    OUT made expiry, OUT upto int8, OUT bad_from int8, OUT says text) LANGUAGE plpgsql AS $$
DECLARE
    b record;
    one floorlog.expired;
    wrong text;
    tops int4[] := '{}';
    nodes bytea[] := '{}';
BEGIN
    upto := to_number;
    made.recorded_at := now();
    made.lease_id := of_lease;
    made.batches := 0;
    made.readings := 0;
    made.rejects := 0;
    made.anomalies := 0;
    made.bytes_after := 0;
    FOR b IN
        SELECT t AS batch, l.* FROM floorlog.leaves_of(of_lease, from_number, to_number, going, held) AS l
        JOIN floorlog.batch AS t ON t.lease_id = of_lease AND t.number = l.number
        WHERE true = ANY (l.goes) ORDER BY l.number
    LOOP
        one := NULL;
        one.recorded_at := made.recorded_at;
        one.lease_id := of_lease;
        one.number := b.number;
        one.readings := b.gone_readings;
        one.rejects := b.gone_rejects;
        one := floorlog.collapsed(b.batch, b.hashes, b.goes, one);
        wrong := CASE WHEN one.number IS NULL THEN 'not what was stored'
            WHEN (b.readings, b.rejects) <> (
                SELECT (b.batch).stored - coalesce(sum(x.readings), 0), (b.batch).rejected - coalesce(sum(x.rejects), 0)
                FROM floorlog.expired AS x WHERE x.lease_id = of_lease AND x.number = b.number)
            THEN 'not as many as were counted' END;
        IF wrong IS NULL AND says IS NOT NULL OR wrong IS NOT NULL AND made.batches > 0 THEN
            upto := b.number - 1;  -- with this one the next step begins
            EXIT;
        ELSIF wrong IS NOT NULL THEN
            bad_from := coalesce(bad_from, b.number);
            says := wrong;
            CONTINUE;
        END IF;
        made.expiry_id := coalesce(made.expiry_id, nextval(pg_get_serial_sequence('floorlog.expiry', 'expiry_id')));
        one.expiry_id := made.expiry_id;
        INSERT INTO floorlog.expired SELECT one.*;
        made.first_number := coalesce(made.first_number, b.number);
        made.last_number := b.number;
        made.batches := made.batches + 1;
        made.readings := made.readings + b.gone_readings;
        made.rejects := made.rejects + b.gone_rejects;
        made.anomalies := made.anomalies + b.gone_anomalies;
        made.bytes_after := made.bytes_after + pg_column_size(one);
        tops := tops || 0;
        nodes := nodes || floorlog.digest(one);
    END LOOP;
    made.root := floorlog.tree_root(tops, nodes);
END
$$;

-- What was left is looked at again once a day: it may have been mended. Whether there is such.
CREATE FUNCTION expire_again() RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
    WITH again AS (DELETE FROM floorlog.expiry_left AS f WHERE f.recorded_at < now() - interval '1 day' RETURNING f.*)
    UPDATE floorlog.expiry_mark AS m SET number = a.first_number - 1
    FROM (SELECT g.lease_id, min(g.first_number) AS first_number FROM again AS g GROUP BY g.lease_id) AS a
    WHERE m.lease_id = a.lease_id AND m.number >= a.first_number;
    RETURN FOUND;
END
$$;

-- One step: of the first shard in which something is left, up to about so many batches. Returns the
-- expiry; an empty one (expiry_id NULL) where a span held nothing; no row when nothing is left. A batch
-- that is not what its entry says loses nothing: it is left out, with a row in expiry_left that says so.
CREATE OR REPLACE FUNCTION expire(batches_max int4) RETURNS SETOF expiry
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_hashjoin = on SET enable_mergejoin = on
SET jit = off SET timezone = 'UTC' SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
    span_max CONSTANT int8 := 50000;
    going text[];
    held text[];
    ids int4[];
    id int4;
    from_number int8;
    to_number int8;
    first int8;
    edge int8;
    part record;
    bad_from int8;
    says text;
    made floorlog.expiry;
BEGIN
    IF batches_max IS NULL OR batches_max NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'batches_max is %, but must be 1 to 10000', batches_max USING ERRCODE = 'FL400';
    END IF;
    PERFORM pg_advisory_xact_lock(4706887);  -- one at a time, and no hold is placed meanwhile
    LOOP
        SELECT e.lease_id, min(e.done) + 1 INTO made.lease_id, from_number FROM floorlog.expiring() AS e
            GROUP BY e.lease_id ORDER BY e.lease_id LIMIT 1;
        EXIT WHEN FOUND;
        IF NOT floorlog.expire_again() THEN
            RETURN;
        END IF;
    END LOOP;
    SELECT array_agg(e.device) FILTER (WHERE e.done = from_number - 1),
        least(min(e.upto) FILTER (WHERE e.done = from_number - 1), min(e.done) FILTER (WHERE e.done >= from_number),
            from_number + span_max - 1)
    INTO going, to_number FROM floorlog.expiring() AS e WHERE e.lease_id = made.lease_id;
    SELECT coalesce(array_agg(s.series_id ORDER BY s.series_id), '{}') INTO ids FROM floorlog.series AS s
        WHERE s.device = ANY (going);
    SELECT coalesce(array_agg(h.device), '{}') INTO held FROM floorlog.held_devices() AS h;
    first := floorlog.first_expiring(made.lease_id, from_number, to_number, ids, going, held);
    IF first IS NOT NULL THEN
        edge := first + batches_max - 1;
        IF edge < to_number THEN
            -- To the end of the chunks that the edge would cut, unless that is far.
            SELECT greatest(edge, max(c.number_max)) INTO to_number FROM floorlog.chunk AS c
            WHERE c.series_id = ANY (ids) AND c.number_max <= least(to_number, first + 4 * batches_max::int8)
                AND int8range((c.lease_id::int8 << 40) + c.number_min, (c.lease_id::int8 << 40) + c.number_max, '[]')
                    @> (made.lease_id::int8 << 40) + edge;
        END IF;
        BEGIN
            SELECT l.* INTO part
            FROM floorlog.expire_leaves(made.lease_id, first, to_number, going, held) AS l;
            made := part.made;
            to_number := part.upto;
            bad_from := part.bad_from;
            says := part.says;
        EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
            says := SQLERRM;
            SELECT u.first_number, u.last_number INTO bad_from, edge
            FROM floorlog.unreadable(made.lease_id, first, to_number) AS u;
            IF bad_from IS NULL THEN
                RAISE;
            ELSIF bad_from > first THEN
                SELECT l.* INTO part
                FROM floorlog.expire_leaves(made.lease_id, first, bad_from - 1, going, held) AS l;
                made := part.made;
                to_number := part.upto;
                bad_from := part.bad_from;
                says := part.says;
            ELSE
                to_number := edge;
            END IF;
        END;
        IF says IS NOT NULL THEN
            INSERT INTO floorlog.expiry_left (first_number, last_number, lease_id, says)
            VALUES (bad_from, to_number, made.lease_id, says);
        END IF;
    END IF;
    IF made.expiry_id IS NOT NULL THEN
        made.bytes_before := floorlog.expire_open_rows(made.lease_id, first, to_number, ids)
            + floorlog.expire_chunks(made.lease_id, first, to_number, ids)
            + floorlog.expire_rows(made.lease_id, first, to_number, ids, going, held);
        made.events := floorlog.expire_events(ids, (SELECT max(t.recorded_at) FROM floorlog.batch AS t
            WHERE t.lease_id = made.lease_id AND t.number = to_number));
        BEGIN
            PERFORM floorlog.lower_newest(ids);
        EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
            -- Where the newest are is kept for those among whose rows is one that cannot be read.
            FOREACH id IN ARRAY ids LOOP
                BEGIN
                    PERFORM floorlog.lower_newest(ARRAY[id]);
                EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
                    CONTINUE;
                END;
            END LOOP;
        END;
        made.series := ids;
        INSERT INTO floorlog.expiry OVERRIDING SYSTEM VALUE SELECT made.*;
    END IF;
    INSERT INTO floorlog.expiry_mark (device, lease_id, number)
    SELECT g.device, made.lease_id, to_number FROM unnest(going) AS g (device)
    ON CONFLICT ON CONSTRAINT expiry_mark_pkey DO UPDATE SET number = excluded.number;
    RETURN NEXT made;
END
$$;
