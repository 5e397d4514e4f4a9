-- Corrections, the names behind pseudonyms, and the positions of both kinds of events in the log.

CREATE TABLE correction (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    correction_id int8 GENERATED ALWAYS AS IDENTITY,
    ts_us int8 NOT NULL,
    was_value float8 NOT NULL,
    was_quality int8 NOT NULL,
    value float8 NOT NULL CHECK (value > '-infinity' AND value < 'infinity'),
    quality int8 NOT NULL CHECK (quality BETWEEN 0 AND 4294967295),
    series_id int4 NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    reason text NOT NULL CHECK (reason <> '')
) PARTITION BY RANGE (recorded_at);
CREATE INDEX correction_reading ON correction (series_id, ts_us, correction_id);
CREATE INDEX correction_id ON correction (correction_id);
COMMENT ON COLUMN correction.recorded_at IS 'evidence: when it was made';
COMMENT ON COLUMN correction.correction_id IS 'evidence: number of the correction; of one reading the last one holds';
COMMENT ON COLUMN correction.ts_us IS 'evidence: time of the reading, µs UTC';
COMMENT ON COLUMN correction.was_value IS 'evidence: the value that stands in the reading, and stays there';
COMMENT ON COLUMN correction.was_quality IS 'evidence: its quality';
COMMENT ON COLUMN correction.value IS 'evidence: what it should have been: number or state code';
COMMENT ON COLUMN correction.quality IS 'evidence: the quality of that';
COMMENT ON COLUMN correction.series_id IS 'evidence: the series of the reading';
COMMENT ON COLUMN correction.actor IS 'evidence: who, as a pseudonym';
COMMENT ON COLUMN correction.reason IS 'evidence: why';

-- No part of the record: what is erased here is found nowhere else.
CREATE TABLE person (
    pseudonym text PRIMARY KEY,
    name text UNIQUE,
    given_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN person.pseudonym IS 'outside: what stands for the person wherever something was done';
COMMENT ON COLUMN person.name IS 'outside: the person; NULL once the name was erased';
COMMENT ON COLUMN person.given_at IS 'outside: when the pseudonym was given';

DO $$
BEGIN
    CREATE TABLE correction_default PARTITION OF floorlog.correction DEFAULT;
    PERFORM floorlog.make_months(2);
END
$$;

-- What names a value in the ledger: its series, and where it is a state, that too.
CREATE FUNCTION name_in_ledger(of_series int4, value float8) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN s.kind = 0 THEN floorlog.digest(s) ELSE (
        SELECT sha256('\x003001'::bytea || floorlog.field(floorlog.digest(s)) || floorlog.field(floorlog.digest(t)))
        FROM floorlog.state AS t WHERE t.code = value::int4) END
    FROM floorlog.series AS s WHERE s.series_id = of_series
$$;

CREATE FUNCTION digest(c correction) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001601'::bytea || floorlog.field(c.correction_id) || floorlog.field(floorlog.to_us(c.recorded_at))
        || floorlog.field(c.actor) || floorlog.field(c.reason) || floorlog.field(c.ts_us)
        || floorlog.field(floorlog.name_in_ledger(c.series_id, c.was_value)) || floorlog.field(c.was_value)
        || floorlog.field(c.was_quality) || floorlog.field(floorlog.name_in_ledger(c.series_id, c.value))
        || floorlog.field(c.value) || floorlog.field(c.quality))
$$;

-- A further correction of the reading that stands. What is not given stays as it was. SQLSTATEs:
-- FL404 there is no such reading; FL409 it says so already; FL400 the value is not of the series.
CREATE FUNCTION correct(of_device text, of_metric text, at_us int8, to_value float8, to_text text, to_quality int8,
    by_actor text, of_reason text) RETURNS correction
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    s floorlog.series;
    stands floorlog.reading;
    made floorlog.correction;
    code int4;
BEGIN
    SELECT * INTO s FROM floorlog.series AS o WHERE (o.device, o.metric) = (of_device, of_metric);
    SELECT * INTO stands FROM floorlog.readings(of_device, of_metric, floorlog.from_us(at_us), floorlog.from_us(at_us + 1)) AS r
        WHERE r.flags & 1 = 0 LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no reading of % % at this time', of_device, of_metric USING ERRCODE = 'FL404';
    ELSIF (s.kind = 1 AND to_value IS NOT NULL) OR (s.kind = 0 AND to_text IS NOT NULL) THEN
        RAISE EXCEPTION '% % has % as values', of_device, of_metric,
            CASE s.kind WHEN 0 THEN 'numbers' ELSE 'states' END USING ERRCODE = 'FL400';
    END IF;
    IF s.kind = 1 THEN
        -- As workers do it: one at a time gives codes to names.
        PERFORM pg_advisory_xact_lock(4706882);
        INSERT INTO floorlog.state (code, name)
        SELECT (SELECT max(t.code) + 1 FROM floorlog.state AS t), to_text
        WHERE to_text <> '' AND NOT EXISTS (SELECT FROM floorlog.state AS t WHERE t.name = to_text);
        SELECT t.code INTO code FROM floorlog.state AS t WHERE t.name = stands.text;
        stands.value := code;
        SELECT t.code INTO code FROM floorlog.state AS t WHERE t.name = to_text;
    END IF;
    -- One at a time corrects a series: its last correction is the newest.
    PERFORM pg_advisory_xact_lock(4706886, s.series_id);
    made.value := coalesce(to_value, code, stands.value);
    made.quality := coalesce(to_quality, stands.quality);
    PERFORM 1 FROM (
        SELECT * FROM (
            SELECT c.correction_id, c.value, c.quality FROM floorlog.correction AS c
            WHERE c.series_id = s.series_id AND c.ts_us = at_us
            UNION ALL SELECT -1, stands.value, stands.quality
        ) AS known ORDER BY known.correction_id DESC LIMIT 1
    ) AS last WHERE float8send(last.value) = float8send(made.value) AND last.quality = made.quality;
    IF FOUND THEN
        RAISE EXCEPTION 'the reading of % % says so already', of_device, of_metric USING ERRCODE = 'FL409';
    END IF;
    INSERT INTO floorlog.correction (ts_us, was_value, was_quality, value, quality, series_id, actor, reason)
    VALUES (at_us, stands.value, stands.quality, made.value, made.quality, s.series_id, by_actor, of_reason)
    RETURNING * INTO made;
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION correct(text, text, int8, float8, text, int8, text, text) FROM PUBLIC;

-- The pseudonym of a person, a new one at first sight.
CREATE FUNCTION pseudonym_of(of_name text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_name text;
BEGIN
    IF length(btrim(of_name)) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'a name has 1 to 200 characters' USING ERRCODE = 'FL400';
    END IF;
    INSERT INTO floorlog.person (pseudonym, name)
    VALUES ('p-' || left(replace(gen_random_uuid()::text, '-', ''), 12), btrim(of_name)) ON CONFLICT (name) DO NOTHING;
    SELECT p.pseudonym INTO STRICT found_name FROM floorlog.person AS p WHERE p.name = btrim(of_name);
    RETURN found_name;
END
$$;
REVOKE ALL ON FUNCTION pseudonym_of(text) FROM PUBLIC;

-- Forgets who a pseudonym is; what was done under it stays as it is. FL404: there is no such name.
CREATE FUNCTION erase_name(of_pseudonym text, by_actor text, of_reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE floorlog.person AS p SET name = NULL WHERE p.pseudonym = of_pseudonym AND p.name IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no name is known for %', of_pseudonym USING ERRCODE = 'FL404';
    END IF;
    INSERT INTO floorlog.audit_event (actor, action, detail)
    VALUES (by_actor, 'name.erase', json_build_object('pseudonym', of_pseudonym, 'reason', of_reason));
END
$$;
REVOKE ALL ON FUNCTION erase_name(text, text, text) FROM PUBLIC;

-- Events without a position in the log, beside those that sequence() itself looks for.
CREATE VIEW unplaced_event AS
SELECT 22::int2 AS kind, c.correction_id AS id, floorlog.digest(c) AS hash
FROM floorlog.correction AS c
WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (22, 0, c.correction_id));
COMMENT ON VIEW unplaced_event IS 'derived: events that have no position in the log yet';

-- Gives them positions, up to so many; returns how many. See sequence().
CREATE FUNCTION sequence_events(leaves_max int4) RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
    added int8;
BEGIN
    PERFORM pg_advisory_xact_lock(4706884);
    INSERT INTO floorlog.log_leaf (position, kind, id, hash)
    SELECT (SELECT coalesce(max(l.position) + 1, 0) FROM floorlog.log_leaf AS l)
        + row_number() OVER (ORDER BY e.kind, e.id) - 1, e.kind, e.id, e.hash
    FROM floorlog.unplaced_event AS e ORDER BY e.kind, e.id LIMIT leaves_max;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;
REVOKE ALL ON FUNCTION sequence_events(int4) FROM PUBLIC;

GRANT SELECT ON correction TO floorlog_writer, floorlog_keeper, floorlog_operator, floorlog_reader;
GRANT SELECT ON unplaced_event TO floorlog_keeper;
GRANT SELECT ON person TO floorlog_operator;
GRANT EXECUTE ON FUNCTION correct(text, text, int8, float8, text, int8, text, text) TO floorlog_operator;
GRANT EXECUTE ON FUNCTION pseudonym_of(text), erase_name(text, text, text) TO floorlog_operator;
GRANT EXECUTE ON FUNCTION sequence_events(int4) TO floorlog_keeper;
