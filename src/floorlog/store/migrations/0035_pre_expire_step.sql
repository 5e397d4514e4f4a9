-- One bounded step of expiry, which takes no argument that could be wrong: what may go is what the
-- policies and holds in the record say.

-- Which devices have something left to expire in which shard: the batches above `done` up to `upto`.
CREATE FUNCTION expiring(OUT lease_id int4, OUT device text, OUT done int8, OUT upto int8) RETURNS SETOF record
LANGUAGE sql STABLE AS $$
    WITH going AS MATERIALIZED (SELECT e.device, e.before FROM floorlog.expirable() AS e),
    ends AS MATERIALIZED (
        SELECT l.lease_id, t.before, floorlog.last_before(l.lease_id, t.before) AS upto
        FROM floorlog.lease AS l CROSS JOIN (SELECT DISTINCT g.before FROM going AS g) AS t
    )
    SELECT n.lease_id, g.device, coalesce(m.number, 0), n.upto
    FROM going AS g JOIN ends AS n ON n.before = g.before
    LEFT JOIN floorlog.expiry_mark AS m ON (m.device, m.lease_id) = (g.device, n.lease_id)
    WHERE n.upto > coalesce(m.number, 0)
$$;

-- The first batch of a span in which something of these devices is left; NULL for none.
CREATE FUNCTION first_expiring(of_lease int4, from_number int8, to_number int8, ids int4[], going text[],
    held text[]) RETURNS int8
LANGUAGE sql STABLE AS $$
    SELECT least(
        (SELECT min(greatest(c.number_min, from_number)) FROM floorlog.chunk AS c
            WHERE c.series_id = ANY (ids) AND int8range((c.lease_id::int8 << 40) + c.number_min,
                    (c.lease_id::int8 << 40) + c.number_max, '[]')
                && int8range((of_lease::int8 << 40) + from_number, (of_lease::int8 << 40) + to_number, '[]')),
        (SELECT min(r.number) FROM floorlog.open_row AS r
            WHERE r.lease_id = of_lease AND r.number BETWEEN from_number AND to_number AND r.series && ids),
        (SELECT min(j.number) FROM floorlog.batch AS b JOIN floorlog.reject AS j
                ON j.recorded_at = b.recorded_at AND (j.lease_id, j.number) = (b.lease_id, b.number)
            WHERE b.lease_id = of_lease AND b.number BETWEEN from_number AND to_number AND b.rejected > 0
                AND floorlog.reject_goes(j.data, '' = ANY (going), going, held)),
        (SELECT min(a.number) FROM floorlog.batch AS b JOIN floorlog.anomaly AS a
                ON a.recorded_at = b.recorded_at AND (a.lease_id, a.number) = (b.lease_id, b.number)
            WHERE b.lease_id = of_lease AND b.number BETWEEN from_number AND to_number AND a.series_id = ANY (ids)))
$$;

-- Events of these series that were stored up to a time: corrections, and of each alarm what came
-- before it was last normal. Returns kind:number of each.
CREATE FUNCTION expire_events(ids int4[], until timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    gone text;
BEGIN
    WITH corrections AS (
        DELETE FROM floorlog.correction AS c WHERE c.series_id = ANY (ids) AND c.recorded_at <= until
        RETURNING c.correction_id
    ), ends AS (
        SELECT e.series_id, e.detector, max(e.event_id) AS last FROM floorlog.alarm_event AS e
        WHERE e.series_id = ANY (ids) AND e.recorded_at <= until AND e.after = 'normal' AND NOT e.active
        GROUP BY e.series_id, e.detector
    ), alarms AS (
        DELETE FROM floorlog.alarm_event AS e USING ends AS n
        WHERE (e.series_id, e.detector) = (n.series_id, n.detector) AND e.event_id <= n.last
        RETURNING e.event_id
    ), kept AS (
        DELETE FROM floorlog.alarm AS a USING ends AS n
        WHERE (a.series_id, a.detector) = (n.series_id, n.detector) AND a.event_id <= n.last
    )
    SELECT coalesce(string_agg(g.kind || ':' || g.id, ',' ORDER BY g.kind, g.id), '') INTO gone
    FROM (SELECT 21 AS kind, event_id AS id FROM alarms UNION ALL SELECT 22, correction_id FROM corrections) AS g;
    RETURN gone;
END
$$;

-- What series_home says of the newest readings of these series, once some went. Their rows are locked
-- first, so that no worker raises what is then written. Most still have their newest reading.
CREATE FUNCTION lower_newest(ids int4[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM floorlog.series_home AS h WHERE h.series_id = ANY (ids) ORDER BY h.series_id FOR NO KEY UPDATE;
    UPDATE floorlog.series_home AS h SET newest_window = (floor(greatest(
            (SELECT max(c.t_max) FROM floorlog.chunk AS c WHERE c.series_id = h.series_id),
            (SELECT max(u.at_us) FROM floorlog.open_row AS r CROSS JOIN LATERAL floorlog.opened(r) AS u
                WHERE r.series && ARRAY[h.series_id] AND u.series_id = h.series_id)) / 300000000.0))::int4
    WHERE h.series_id = ANY (ids) AND h.newest_window IS NOT NULL
        AND NOT EXISTS (SELECT FROM floorlog.chunks_of(h.series_id, h.newest_window * 300000000::int8,
            (h.newest_window + 1) * 300000000::int8 - 1))
        AND NOT EXISTS (
            SELECT FROM floorlog.rows_between(h.newest_window * 300000000::int8,
                (h.newest_window + 1) * 300000000::int8 - 1) AS r CROSS JOIN LATERAL floorlog.opened(r) AS u
            WHERE r.series && ARRAY[h.series_id] AND u.series_id = h.series_id
                AND u.at_us >= h.newest_window * 300000000::int8);
END
$$;

-- One step: of the first shard in which something is left, up to about so many batches. Returns the
-- expiry; an empty one (expiry_id NULL) where a span held nothing; no row when nothing is left.
-- FL004: a batch is not what its entry says: then nothing of the step happens.
CREATE FUNCTION expire(batches_max int4) RETURNS SETOF expiry
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_hashjoin = on SET enable_mergejoin = on
SET jit = off SET timezone = 'UTC' SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
    span_max CONSTANT int8 := 50000;
    going text[];
    held text[];
    ids int4[];
    from_number int8;
    to_number int8;
    first int8;
    edge int8;
    b record;
    one floorlog.expired;
    made floorlog.expiry;
    tops int4[] := '{}';
    nodes bytea[] := '{}';
BEGIN
    IF batches_max IS NULL OR batches_max NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'batches_max is %, but must be 1 to 10000', batches_max USING ERRCODE = 'FL400';
    END IF;
    PERFORM pg_advisory_xact_lock(4706887);  -- one at a time, and no hold is placed meanwhile
    SELECT e.lease_id, min(e.done) + 1 INTO made.lease_id, from_number FROM floorlog.expiring() AS e
        GROUP BY e.lease_id ORDER BY e.lease_id LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
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
        made.expiry_id := NULL;
        made.batches := 0;
        made.readings := 0;
        made.rejects := 0;
        made.anomalies := 0;
        made.bytes_after := 0;
        made.recorded_at := now();
        FOR b IN
            SELECT t AS batch, l.* FROM floorlog.leaves_of(made.lease_id, first, to_number, going, held) AS l
            JOIN floorlog.batch AS t ON t.lease_id = made.lease_id AND t.number = l.number
            WHERE true = ANY (l.goes) ORDER BY l.number
        LOOP
            made.expiry_id := coalesce(made.expiry_id, nextval(pg_get_serial_sequence('floorlog.expiry', 'expiry_id')));
            one := NULL;
            one.recorded_at := made.recorded_at;
            one.expiry_id := made.expiry_id;
            one.lease_id := made.lease_id;
            one.number := b.number;
            one.readings := b.gone_readings;
            one.rejects := b.gone_rejects;
            one := floorlog.collapsed(b.batch, b.hashes, b.goes, one);
            IF b.readings + (SELECT coalesce(sum(x.readings), 0) FROM floorlog.expired AS x
                    WHERE x.lease_id = made.lease_id AND x.number = b.number) <> (b.batch).stored
                OR b.rejects + (SELECT coalesce(sum(x.rejects), 0) FROM floorlog.expired AS x
                    WHERE x.lease_id = made.lease_id AND x.number = b.number) <> (b.batch).rejected THEN
                RAISE EXCEPTION 'batch % of lease % does not hold what it counts: nothing of it may expire', b.number,
                    made.lease_id USING ERRCODE = 'FL004';
            END IF;
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
    END IF;
    IF made.expiry_id IS NOT NULL THEN
        made.bytes_before := floorlog.expire_open_rows(made.lease_id, first, to_number, ids)
            + floorlog.expire_chunks(made.lease_id, first, to_number, ids)
            + floorlog.expire_rows(made.lease_id, first, to_number, ids, going, held);
        made.events := floorlog.expire_events(ids, (SELECT max(t.recorded_at) FROM floorlog.batch AS t
            WHERE t.lease_id = made.lease_id AND t.number = to_number));
        PERFORM floorlog.lower_newest(ids);
        made.series := ids;
        made.root := floorlog.tree_root(tops, nodes);
        INSERT INTO floorlog.expiry OVERRIDING SYSTEM VALUE SELECT made.*;
    END IF;
    INSERT INTO floorlog.expiry_mark (device, lease_id, number)
    SELECT g.device, made.lease_id, to_number FROM unnest(going) AS g (device)
    ON CONFLICT ON CONSTRAINT expiry_mark_pkey DO UPDATE SET number = excluded.number;
    RETURN NEXT made;
END
$$;
REVOKE ALL ON FUNCTION expire(int4) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION expire(int4) TO floorlog_keeper;
