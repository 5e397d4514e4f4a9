-- Expiry: what it keeps, and the trees that it has to know.

CREATE TABLE expiry (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    expiry_id int8 GENERATED ALWAYS AS IDENTITY,
    first_number int8 NOT NULL,
    last_number int8 NOT NULL,
    readings int8 NOT NULL,
    bytes_before int8 NOT NULL,
    bytes_after int8 NOT NULL,
    lease_id int4 NOT NULL,
    batches int4 NOT NULL,
    rejects int4 NOT NULL,
    anomalies int4 NOT NULL,
    series int4[] NOT NULL,
    events text NOT NULL,
    root bytea NOT NULL
) PARTITION BY RANGE (recorded_at);
CREATE INDEX expiry_id ON expiry (expiry_id);
COMMENT ON COLUMN expiry.recorded_at IS 'evidence: when it happened';
COMMENT ON COLUMN expiry.expiry_id IS 'evidence: number of the expiry';
COMMENT ON COLUMN expiry.first_number IS 'evidence: the first batch that lost something';
COMMENT ON COLUMN expiry.last_number IS 'evidence: the last one';
COMMENT ON COLUMN expiry.readings IS 'evidence: readings that went';
COMMENT ON COLUMN expiry.bytes_before IS 'outside: size of the rows that went';
COMMENT ON COLUMN expiry.bytes_after IS 'outside: size of the rows that stand in their place';
COMMENT ON COLUMN expiry.lease_id IS 'evidence: the shard of the batches';
COMMENT ON COLUMN expiry.batches IS 'evidence: batches that lost something';
COMMENT ON COLUMN expiry.rejects IS 'evidence: rejects that went';
COMMENT ON COLUMN expiry.anomalies IS 'evidence: anomalies that went';
COMMENT ON COLUMN expiry.series IS 'evidence: the series whose readings went, ascending';
COMMENT ON COLUMN expiry.events IS 'evidence: kind:number of each leaf of the log whose event went';
COMMENT ON COLUMN expiry.root IS 'evidence: root (RFC 6962) over the rows of expired, by number of the batch';

CREATE TABLE expired (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    expiry_id int8 NOT NULL,
    number int8 NOT NULL,
    lease_id int4 NOT NULL,
    readings int4 NOT NULL,
    rejects int4 NOT NULL,
    begins int4[] NOT NULL,
    ends int4[] NOT NULL,
    hashes bytea[] NOT NULL
) PARTITION BY RANGE (recorded_at);
CREATE INDEX expired_batch ON expired (lease_id, number);
COMMENT ON COLUMN expired.recorded_at IS 'derived: the expiry''s';
COMMENT ON COLUMN expired.expiry_id IS 'evidence: the expiry';
COMMENT ON COLUMN expired.number IS 'evidence: the batch within the shard';
COMMENT ON COLUMN expired.lease_id IS 'evidence: the shard';
COMMENT ON COLUMN expired.readings IS 'evidence: readings that the batch lost';
COMMENT ON COLUMN expired.rejects IS 'evidence: rejects that it lost';
COMMENT ON COLUMN expired.begins IS 'evidence: first leaf of each run of leaves that went';
COMMENT ON COLUMN expired.ends IS 'evidence: one after the last leaf of each run';
COMMENT ON COLUMN expired.hashes IS 'evidence: roots of the largest complete subtrees of the runs, from left to right';

CREATE TABLE expiry_mark (
    device text NOT NULL,
    lease_id int4 NOT NULL,
    number int8 NOT NULL,
    PRIMARY KEY (device, lease_id)
) WITH (fillfactor = 60);
COMMENT ON COLUMN expiry_mark.device IS 'derived: the device; empty: rejects';
COMMENT ON COLUMN expiry_mark.lease_id IS 'derived: the shard';
COMMENT ON COLUMN expiry_mark.number IS 'derived: up to this batch nothing of it is left to expire';

DO $$
BEGIN
    CREATE TABLE expiry_default PARTITION OF floorlog.expiry DEFAULT;
    CREATE TABLE expired_default PARTITION OF floorlog.expired DEFAULT;
    PERFORM floorlog.make_months(2);
END
$$;

CREATE FUNCTION digest(a anomaly) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x000301'::bytea || floorlog.field(floorlog.digest(s)) || floorlog.field(a.severity::int8)
        || floorlog.field(a.phase) || floorlog.field(a.detector) || floorlog.field(a.start_us)
        || floorlog.field(a.at_us) || floorlog.field(a.score) || floorlog.field(a.value)
        || floorlog.field(a.expected) || floorlog.field(a.reason))
    FROM floorlog.series AS s WHERE s.series_id = a.series_id
$$;
CREATE FUNCTION digest(e expired) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001801'::bytea || floorlog.field(e.number)
        || floorlog.field((SELECT string_agg(u.b || ':' || u.e, ',' ORDER BY u.place)
            FROM unnest(e.begins, e.ends) WITH ORDINALITY AS u (b, e, place)))
        || floorlog.field((SELECT string_agg(u.h, '' ORDER BY u.place)
            FROM unnest(e.hashes) WITH ORDINALITY AS u (h, place)))
        || floorlog.field(e.readings::int8) || floorlog.field(e.rejects::int8))
$$;
CREATE FUNCTION digest(x expiry) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001701'::bytea || floorlog.field(x.expiry_id) || floorlog.field(floorlog.to_us(x.recorded_at))
        || floorlog.field((SELECT floorlog.digest(l) FROM floorlog.lease AS l WHERE l.lease_id = x.lease_id))
        || floorlog.field(x.first_number) || floorlog.field(x.last_number)
        || floorlog.field(coalesce((SELECT string_agg(floorlog.digest(s), '' ORDER BY s.series_id)
            FROM floorlog.series AS s WHERE s.series_id = ANY (x.series)), ''))
        || floorlog.field(x.batches::int8) || floorlog.field(x.readings) || floorlog.field(x.rejects::int8)
        || floorlog.field(x.anomalies::int8) || floorlog.field(x.events) || floorlog.field(x.root))
$$;

-- The largest complete subtrees that make up the leaves begin_at … end_before - 1: see "Covers".
CREATE FUNCTION subtrees(begin_at int4, end_before int4, OUT place int4, OUT level int4)
RETURNS SETOF record LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    place := begin_at;
    WHILE place < end_before LOOP
        level := 0;
        WHILE place % (1 << (level + 1)) = 0 AND place + (1 << (level + 1)) <= end_before LOOP
            level := level + 1;
        END LOOP;
        RETURN NEXT;
        place := place + (1 << level);
    END LOOP;
END
$$;

-- RFC 6962's root over complete subtrees from left to right, each with its level.
CREATE FUNCTION tree_root(levels int4[], hashes bytea[]) RETURNS bytea LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    stack_levels int4[] := '{}';
    stack bytea[] := '{}';
    depth int4 := 0;
    level int4;
    hash bytea;
BEGIN
    IF cardinality(hashes) = 0 THEN
        RETURN sha256('');
    END IF;
    FOR n IN 1..cardinality(hashes) LOOP
        level := levels[n];
        hash := hashes[n];
        WHILE depth > 0 AND stack_levels[depth] = level LOOP
            hash := sha256('\x01'::bytea || stack[depth] || hash);
            level := level + 1;
            depth := depth - 1;
        END LOOP;
        depth := depth + 1;
        stack_levels[depth] := level;
        stack[depth] := hash;
    END LOOP;
    hash := stack[depth];
    FOR n IN REVERSE depth - 1..1 LOOP
        hash := sha256('\x01'::bytea || stack[n] || hash);
    END LOOP;
    RETURN hash;
END
$$;

CREATE OR REPLACE VIEW unplaced_event AS
SELECT 22::int2 AS kind, c.correction_id AS id, floorlog.digest(c) AS hash
FROM floorlog.correction AS c
WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (22, 0, c.correction_id))
UNION ALL
SELECT 23::int2, x.expiry_id, floorlog.digest(x)
FROM floorlog.expiry AS x
WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (23, 0, x.expiry_id));
COMMENT ON VIEW unplaced_event IS 'derived: events that have no position in the log yet';

GRANT SELECT ON expiry, expired TO floorlog_writer, floorlog_keeper, floorlog_operator, floorlog_reader;
GRANT SELECT ON expiry_mark TO floorlog_keeper, floorlog_operator, floorlog_reader;
