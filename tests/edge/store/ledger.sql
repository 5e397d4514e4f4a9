-- The ledger's bytes in plain PostgreSQL, written from docs/reference/ledger.md, not from the code.
CREATE SCHEMA check_ledger;
SET search_path = check_ledger, floorlog, pg_catalog;

-- A field as in binary COPY: its length, then its bytes; -1 alone for NULL.
CREATE FUNCTION field(value bytea) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT int4send(coalesce(length(value), -1)) || coalesce(value, '')
$$;
CREATE FUNCTION field(value text) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT check_ledger.field(convert_to(value, 'UTF8'))
$$;
CREATE FUNCTION field(value int8) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT check_ledger.field(int8send(value))
$$;
CREATE FUNCTION field(value float8) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT check_ledger.field(float8send(value))
$$;

-- RFC 6962's root over hashes of leaves.
CREATE FUNCTION tree_root(leaves bytea[]) RETURNS bytea LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF coalesce(cardinality(leaves), 0) = 0 THEN
        RETURN sha256('');
    END IF;
    WHILE cardinality(leaves) > 1 LOOP
        leaves := ARRAY(
            SELECT CASE WHEN p.place = cardinality(leaves) THEN leaves[p.place]
                ELSE sha256('\x01'::bytea || leaves[p.place] || leaves[p.place + 1]) END
            FROM generate_series(1, cardinality(leaves), 2) AS p (place) ORDER BY p.place);
    END LOOP;
    RETURN leaves[1];
END
$$;

CREATE FUNCTION digest(s series) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256('\x001001'::bytea || field(s.series_id::int8) || field(s.device) || field(s.metric)
        || field(s.kind::int8) || field(s.unit))
$$;
CREATE FUNCTION digest(s state) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256('\x001101'::bytea || field(s.code::int8) || field(s.name))
$$;
CREATE FUNCTION digest(c catalogue) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256('\x001301'::bytea || field(c.version::int8)
        || field(sha256(convert_to(c.body::text, 'UTF8'))) || field(to_us(c.recorded_at)))
$$;
CREATE FUNCTION digest(a audit_event) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256('\x001401'::bytea || field(to_us(a.recorded_at)) || field(a.actor) || field(a.action)
        || field(sha256(convert_to(a.detail::text, 'UTF8'))))
$$;
CREATE FUNCTION digest(e alarm_event) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256('\x001501'::bytea || field(e.event_id) || field(to_us(e.recorded_at)) || field(digest(s))
        || field(e.detector) || field(e.event) || field(e.at_us) || field(e.start_us) || field(e.before)
        || field(e.after) || field(e.active::int4::int8) || field(e.latch::int4::int8) || field(e.priority::int8)
        || field(e.actor) || field(e.reason) || field(e.until_us) || field(e.lease_id::int8) || field(e.number))
    FROM series AS s WHERE s.series_id = e.series_id
$$;
CREATE FUNCTION digest(l lease) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256('\x001201'::bytea || field(l.lease_id::int8) || field(s.arn) || field(to_us(s.created_at))
        || field(l.shard_id) || field(array_to_string(l.parents, ',')) || field(l.hash_begin::text)
        || field(l.hash_end::text))
    FROM stream AS s WHERE s.stream_id = l.stream_id
$$;
CREATE FUNCTION digest(r reject) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256('\x000201'::bytea || field(r.sequence::text) || field(r.element::int8) || field(r.code)
        || field(r.reason) || field(r.data))
$$;
CREATE FUNCTION digest(a anomaly) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256('\x000301'::bytea || field(digest(s)) || field(a.severity::int8) || field(a.phase)
        || field(a.detector) || field(a.start_us) || field(a.at_us) || field(a.score) || field(a.value)
        || field(a.expected) || field(a.reason))
    FROM series AS s WHERE s.series_id = a.series_id
$$;
CREATE FUNCTION digest(g gap) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256('\x000401'::bytea || field(g.begin_us) || field(g.end_us) || field(g.cause))
$$;

-- What names a reading: its series, and where its value is a state, that too.
CREATE FUNCTION name_of(s series, value float8) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN s.kind = 0 THEN digest(s) ELSE (
        SELECT sha256('\x003001'::bytea || field(digest(s)) || field(digest(t)))
        FROM state AS t WHERE t.code = value::int4) END
$$;

CREATE FUNCTION digest(c correction) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256('\x001601'::bytea || field(c.correction_id) || field(to_us(c.recorded_at)) || field(c.actor)
        || field(c.reason) || field(c.ts_us) || field(name_of(s, c.was_value)) || field(c.was_value)
        || field(c.was_quality) || field(name_of(s, c.value)) || field(c.value) || field(c.quality))
    FROM series AS s WHERE s.series_id = c.series_id
$$;

-- Readings of rows that are open, one per row, with what orders them.
CREATE VIEW open_reading AS
SELECT r.lease_id, r.number, u.series_id, r.t_min + coalesce(u.ts::int8, u.ts_wide) * r.tick_us AS ts,
    u.place, u.value, coalesce(u.quality, 0) AS quality, r.clock_s - coalesce(u.arrived, 0) AS arrival_s,
    (CASE WHEN u.place = ANY (r.conflict) THEN 1 ELSE 0 END
        + CASE WHEN u.place = ANY (r.late) THEN 2 ELSE 0 END)::int8 AS flags
FROM open_row AS r
CROSS JOIN LATERAL unnest(r.series, r.ts, r.ts_wide, r.value, r.quality, r.arrived)
    WITH ORDINALITY AS u (series_id, ts, ts_wide, value, quality, arrived, place);

-- A sealed form: one row per series, whatever the batch; times as differences, batches as places.
CREATE TABLE chunk (
    series_id int4 PRIMARY KEY, t_first int8, steps int8[], value float8[], quality int8[], arrived int8[],
    flags int2[], leases int4[], numbers int8[], batch int2[]
);
CREATE FUNCTION seal() RETURNS void LANGUAGE sql AS $$
    INSERT INTO check_ledger.chunk
    SELECT o.series_id, min(o.ts), array_agg(o.step ORDER BY o.n), array_agg(o.value ORDER BY o.n),
        array_agg(o.quality ORDER BY o.n), array_agg(o.arrival_s ORDER BY o.n),
        array_agg(o.flags::int2 ORDER BY o.n), b.leases, b.numbers,
        array_agg(array_position(b.keys, o.lease_id || '/' || o.number)::int2 ORDER BY o.n)
    FROM (
        SELECT *, ts - lag(ts, 1, ts) OVER w AS step, row_number() OVER w AS n FROM open_reading
        WINDOW w AS (PARTITION BY series_id ORDER BY ts, lease_id, number, place)
    ) AS o
    CROSS JOIN (
        SELECT array_agg(lease_id ORDER BY lease_id, number) AS leases,
            array_agg(number ORDER BY lease_id, number) AS numbers,
            array_agg(lease_id || '/' || number ORDER BY lease_id, number) AS keys FROM batch
    ) AS b
    GROUP BY o.series_id, b.leases, b.numbers
$$;
CREATE VIEW sealed_reading AS
SELECT c.leases[u.batch] AS lease_id, c.numbers[u.batch] AS number, c.series_id,
    (c.t_first + sum(u.step) OVER (PARTITION BY c.series_id ORDER BY u.place))::int8 AS ts, u.place, u.value,
    u.quality, u.arrived AS arrival_s, u.flags::int8 AS flags
FROM chunk AS c
CROSS JOIN LATERAL unnest(c.steps, c.value, c.quality, c.arrived, c.flags, c.batch)
    WITH ORDINALITY AS u (step, value, quality, arrived, flags, batch, place);

-- The leaf of a device's readings in a batch: 64 bytes a reading. Where two readings have one series
-- and time, the place decides: of the row, or of the chunk, which keeps the row's order.
CREATE FUNCTION leaves_of(of_lease int4, of_number int8, from_sealed bool)
RETURNS TABLE (first_series int4, hash bytea) LANGUAGE sql STABLE AS $$
    SELECT min(r.series_id), sha256('\x000101'::bytea || string_agg(
        name_of(s, r.value) || int8send(r.ts) || float8send(r.value) || int8send((r.flags << 32) + r.quality)
            || int8send(r.arrival_s), '' ORDER BY r.series_id, r.ts, r.place))
    FROM (
        SELECT * FROM open_reading WHERE NOT from_sealed
        UNION ALL
        SELECT * FROM sealed_reading WHERE from_sealed
    ) AS r
    JOIN series AS s ON s.series_id = r.series_id
    WHERE r.lease_id = of_lease AND r.number = of_number
    GROUP BY s.device
$$;

-- All leaves of a batch, in order.
CREATE FUNCTION batch_leaves(of_lease int4, of_number int8, from_sealed bool) RETURNS bytea[]
LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(every.hash ORDER BY every.kind, every.first_series, every.hash), '{}') FROM (
        SELECT 1 AS kind, l.first_series, l.hash FROM leaves_of(of_lease, of_number, from_sealed) AS l
        UNION ALL
        SELECT 2, 0, digest(r) FROM reject AS r WHERE (r.lease_id, r.number) = (of_lease, of_number)
        UNION ALL
        SELECT 3, a.series_id, digest(a) FROM anomaly AS a WHERE (a.lease_id, a.number) = (of_lease, of_number)
        UNION ALL
        SELECT 4, 0, digest(g) FROM gap AS g WHERE (g.lease_id, g.number) = (of_lease, of_number)
    ) AS every
$$;

CREATE FUNCTION entry_hash(of_lease int4, of_number int8, previous bytea) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256('\x002001'::bytea || field(digest(l)) || field(b.number) || field(b.epoch) || field(b.clock_s)
        || field(to_us(b.recorded_at)) || field(b.catalogue::int8) || field(b.sequence_before::text)
        || field(b.sequence::text) || field(b.records::int8) || field(b.received::int8) || field(b.stored::int8)
        || field(b.rejected::int8) || field(b.duplicate::int8) || field(b.conflict::int8)
        || field(cardinality(t.leaves)::int8) || field(tree_root(t.leaves)) || field(previous))
    FROM batch AS b JOIN lease AS l ON l.lease_id = b.lease_id
    CROSS JOIN LATERAL (SELECT batch_leaves(of_lease, of_number, false) AS leaves) AS t
    WHERE b.lease_id = of_lease AND b.number = of_number
$$;
