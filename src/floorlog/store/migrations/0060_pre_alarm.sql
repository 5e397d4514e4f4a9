-- Alarms: states as in ISA-18.2, every change an event, and what stands after the last one.

CREATE TABLE alarm_event (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    event_id int8 GENERATED ALWAYS AS IDENTITY,
    number int8 NOT NULL,
    at_us int8 NOT NULL,
    start_us int8 NOT NULL,
    until_us int8 NOT NULL,
    series_id int4 NOT NULL,
    lease_id int4 NOT NULL,
    priority int2 NOT NULL,
    active bool NOT NULL,
    latch bool NOT NULL,
    detector text NOT NULL,
    event text NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL
) PARTITION BY RANGE (recorded_at);
CREATE INDEX alarm_event_recorded ON alarm_event (recorded_at);
CREATE INDEX alarm_event_id ON alarm_event (event_id);
CREATE INDEX alarm_event_alarm ON alarm_event (series_id, detector, event_id);
COMMENT ON COLUMN alarm_event.recorded_at IS 'evidence: when it was stored';
COMMENT ON COLUMN alarm_event.event_id IS 'evidence: number of the event; ascending within an alarm';
COMMENT ON COLUMN alarm_event.number IS 'evidence: the batch that told of the finding, 0 for a person''s';
COMMENT ON COLUMN alarm_event.at_us IS 'evidence: when it happened, µs UTC: the reading''s time for a finding';
COMMENT ON COLUMN alarm_event.start_us IS 'evidence: when the finding began, µs UTC';
COMMENT ON COLUMN alarm_event.until_us IS 'evidence: end of the shelf, µs UTC; 0 for none';
COMMENT ON COLUMN alarm_event.series_id IS 'evidence: the series; names the alarm with the detector';
COMMENT ON COLUMN alarm_event.lease_id IS 'evidence: the shard of the finding, 0 for a person''s';
COMMENT ON COLUMN alarm_event.priority IS 'evidence: 1 low, 2 medium, 3 high, 4 critical';
COMMENT ON COLUMN alarm_event.active IS 'evidence: whether the condition holds after it';
COMMENT ON COLUMN alarm_event.latch IS 'evidence: whether the alarm stays after its condition ended';
COMMENT ON COLUMN alarm_event.detector IS 'evidence: who found it';
COMMENT ON COLUMN alarm_event.event IS 'evidence: raise, return, acknowledge, reset, shelve …';
COMMENT ON COLUMN alarm_event.before IS 'evidence: the state before';
COMMENT ON COLUMN alarm_event.after IS 'evidence: the state after';
COMMENT ON COLUMN alarm_event.actor IS 'evidence: who, as a pseudonym; floorlog for what no person did';
COMMENT ON COLUMN alarm_event.reason IS 'evidence: the finding in words, or the person''s comment';

CREATE TABLE alarm (
    series_id int4 NOT NULL,
    detector text NOT NULL,
    event_id int8 NOT NULL DEFAULT 0,
    raised_us int8 NOT NULL DEFAULT 0,
    until_us int8 NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL DEFAULT now(),
    priority int2 NOT NULL DEFAULT 1,
    active bool NOT NULL DEFAULT false,
    latch bool NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'normal',
    PRIMARY KEY (series_id, detector)
) WITH (fillfactor = 60);
CREATE INDEX alarm_changed ON alarm (changed_at);
COMMENT ON COLUMN alarm.series_id IS 'derived: the series';
COMMENT ON COLUMN alarm.detector IS 'derived: the detector';
COMMENT ON COLUMN alarm.event_id IS 'derived: the last event, 0 for none';
COMMENT ON COLUMN alarm.raised_us IS 'derived: when the last finding began, µs UTC';
COMMENT ON COLUMN alarm.until_us IS 'derived: end of the shelf, µs UTC; 0 for none';
COMMENT ON COLUMN alarm.changed_at IS 'derived: when the last event was stored';
COMMENT ON COLUMN alarm.priority IS 'derived: of the last finding';
COMMENT ON COLUMN alarm.active IS 'derived: whether the condition holds';
COMMENT ON COLUMN alarm.latch IS 'derived: whether it stays after its condition ended';
COMMENT ON COLUMN alarm.state IS 'derived: the state after the last event';

DO $$
BEGIN
    CREATE TABLE alarm_event_default PARTITION OF floorlog.alarm_event DEFAULT;
    PERFORM floorlog.make_months(2);
END
$$;

-- The transitions of core/alarm.py: the state that follows, NULL where it is refused.
CREATE FUNCTION alarm_next(state text, event text, active bool, latch bool) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN event = 'raise' AND state IN ('normal', 'returned', 'latched_unacknowledged', 'latched_acknowledged')
            THEN 'unacknowledged'
        WHEN event = 'raise' THEN state
        WHEN event = 'return' AND state = 'unacknowledged'
            THEN CASE WHEN latch THEN 'latched_unacknowledged' ELSE 'returned' END
        WHEN event = 'return' AND state = 'acknowledged'
            THEN CASE WHEN latch THEN 'latched_acknowledged' ELSE 'normal' END
        WHEN event = 'return' THEN state
        WHEN event = 'acknowledge' AND state = 'unacknowledged' THEN 'acknowledged'
        WHEN event = 'acknowledge' AND state = 'returned' THEN 'normal'
        WHEN event = 'acknowledge' AND state = 'latched_unacknowledged' THEN 'latched_acknowledged'
        WHEN event = 'reset' AND state = 'latched_unacknowledged' THEN 'returned'
        WHEN event = 'reset' AND state = 'latched_acknowledged' THEN 'normal'
        WHEN event = 'shelve' AND state NOT IN ('suppressed', 'out_of_service') THEN 'shelved'
        WHEN event = 'suppress' AND state NOT IN ('shelved', 'suppressed', 'out_of_service') THEN 'suppressed'
        WHEN event = 'remove' AND state <> 'out_of_service' THEN 'out_of_service'
        WHEN (event IN ('unshelve', 'expire') AND state = 'shelved')
            OR (event = 'unsuppress' AND state = 'suppressed') OR (event = 'restore' AND state = 'out_of_service')
            THEN CASE WHEN active THEN 'unacknowledged' ELSE 'normal' END
    END
$$;

CREATE FUNCTION digest(e alarm_event) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001501'::bytea || floorlog.field(e.event_id) || floorlog.field(floorlog.to_us(e.recorded_at))
        || floorlog.field(floorlog.digest(s)) || floorlog.field(e.detector) || floorlog.field(e.event)
        || floorlog.field(e.at_us) || floorlog.field(e.start_us) || floorlog.field(e.before) || floorlog.field(e.after)
        || floorlog.field(e.active::int4::int8) || floorlog.field(e.latch::int4::int8)
        || floorlog.field(e.priority::int8) || floorlog.field(e.actor) || floorlog.field(e.reason)
        || floorlog.field(e.until_us) || floorlog.field(e.lease_id::int8) || floorlog.field(e.number))
    FROM floorlog.series AS s WHERE s.series_id = e.series_id
$$;

-- One event of one alarm, whose row the caller has locked. Returns the event as it was stored, with
-- `after` NULL where the table refuses it; nothing where a finding changes nothing.
CREATE FUNCTION step_alarm(asked alarm_event) RETURNS alarm_event LANGUAGE plpgsql AS $$
DECLARE
    stands floorlog.alarm;
    made floorlog.alarm_event := asked;
BEGIN
    SELECT * INTO STRICT stands FROM floorlog.alarm AS a
        WHERE a.series_id = asked.series_id AND a.detector = asked.detector;
    made.before := stands.state;
    made.active := CASE asked.event WHEN 'raise' THEN true WHEN 'return' THEN false ELSE stands.active END;
    IF asked.event <> 'raise' THEN
        made.start_us := stands.raised_us;
        made.latch := stands.latch;
        made.priority := stands.priority;
    END IF;
    made.after := floorlog.alarm_next(stands.state, asked.event, made.active, stands.latch);
    IF made.after IS DISTINCT FROM 'shelved' THEN
        made.until_us := 0;
    ELSIF asked.event <> 'shelve' THEN
        made.until_us := stands.until_us;
    END IF;
    IF made.after IS NULL THEN
        RETURN made;
    ELSIF asked.event IN ('raise', 'return') AND made.after = made.before AND made.active = stands.active THEN
        RETURN NULL;
    END IF;
    INSERT INTO floorlog.alarm_event (number, at_us, start_us, until_us, series_id, lease_id, priority, active,
        latch, detector, event, before, after, actor, reason)
    VALUES (made.number, made.at_us, made.start_us, made.until_us, made.series_id, made.lease_id, made.priority,
        made.active, made.latch, made.detector, made.event, made.before, made.after, made.actor, made.reason)
    RETURNING * INTO made;
    UPDATE floorlog.alarm AS a SET event_id = made.event_id, raised_us = made.start_us, until_us = made.until_us,
        changed_at = made.recorded_at, priority = made.priority, active = made.active, latch = made.latch,
        state = made.after
    WHERE a.series_id = made.series_id AND a.detector = made.detector;
    RETURN made;
END
$$;

-- Ends a shelf whose time is over, with the event's time at the shelf's end whoever comes first.
CREATE FUNCTION expire_alarm(of_series int4, of_detector text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    stands floorlog.alarm;
    asked floorlog.alarm_event;
BEGIN
    SELECT * INTO stands FROM floorlog.alarm AS a WHERE a.series_id = of_series AND a.detector = of_detector;
    IF stands.state = 'shelved' AND stands.until_us <= floorlog.to_us(clock_timestamp()) THEN
        asked.series_id := of_series;
        asked.detector := of_detector;
        asked.event := 'expire';
        asked.at_us := stands.until_us;
        asked.lease_id := 0;
        asked.number := 0;
        asked.actor := 'floorlog';
        asked.reason := 'the shelf ended';
        PERFORM floorlog.step_alarm(asked);
    END IF;
END
$$;

-- Locks these alarms in one order for all, and ends the shelves among them whose time is over.
CREATE FUNCTION lock_alarms(of_series int4[], of_detectors text[]) RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
    one record;
    found_count int8 := 0;
BEGIN
    FOR one IN
        SELECT a.series_id, a.detector FROM floorlog.alarm AS a
        WHERE (a.series_id, a.detector) IN (SELECT u.s, u.d FROM unnest(of_series, of_detectors) AS u (s, d))
        ORDER BY a.series_id, a.detector COLLATE "C" FOR NO KEY UPDATE
    LOOP
        PERFORM floorlog.expire_alarm(one.series_id, one.detector);
        found_count := found_count + 1;
    END LOOP;
    RETURN found_count;
END
$$;

-- The findings of a batch raise and return their alarms. Never refused: ingest comes first.
CREATE FUNCTION alarms_found(of_lease int4, of_number int8, of_series int4[], of_detectors text[], of_phases text[],
    of_ats int8[], of_starts int8[], of_priorities int2[], of_latches bool[], of_reasons text[])
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked floorlog.alarm_event;
    one record;
BEGIN
    INSERT INTO floorlog.alarm (series_id, detector)
    SELECT DISTINCT u.s, u.d COLLATE "C" FROM unnest(of_series, of_detectors) AS u (s, d)
    ORDER BY 1, 2 ON CONFLICT DO NOTHING;
    PERFORM floorlog.lock_alarms(of_series, of_detectors);
    FOR one IN
        SELECT * FROM unnest(of_series, of_detectors, of_phases, of_ats, of_starts, of_priorities, of_latches, of_reasons)
            WITH ORDINALITY AS u (s, d, phase, at_us, start_us, priority, latch, reason, place) ORDER BY u.place
    LOOP
        asked.series_id := one.s;
        asked.detector := one.d;
        asked.event := CASE one.phase WHEN 'start' THEN 'raise' ELSE 'return' END;
        asked.at_us := one.at_us;
        asked.start_us := one.start_us;
        asked.until_us := 0;
        asked.priority := least(greatest(one.priority, 1), 4);
        asked.latch := one.latch;
        asked.actor := 'floorlog';
        asked.reason := one.reason;
        asked.lease_id := of_lease;
        asked.number := of_number;
        PERFORM floorlog.step_alarm(asked);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION alarms_found(int4, int8, int4[], text[], text[], int8[], int8[], int2[], bool[], text[]) FROM PUBLIC;

-- A person's operation on one alarm or many: all or none, with an audit event. SQLSTATEs: FL404 one
-- is not there; FL409 the table refuses one.
CREATE FUNCTION operate_alarms(by_actor text, of_event text, of_series int4[], of_detectors text[], until_us int8,
    of_reason text)
RETURNS SETOF alarm_event LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked floorlog.alarm_event;
    made floorlog.alarm_event;
    one record;
    wanted int8;
BEGIN
    IF of_event NOT IN ('acknowledge', 'reset', 'shelve', 'unshelve', 'suppress', 'unsuppress', 'remove', 'restore') THEN
        RAISE EXCEPTION '% is no operation', of_event USING ERRCODE = 'FL404';
    END IF;
    SELECT count(DISTINCT (u.s, u.d)) INTO wanted FROM unnest(of_series, of_detectors) AS u (s, d);
    IF floorlog.lock_alarms(of_series, of_detectors) <> wanted THEN
        RAISE EXCEPTION 'one of the alarms was never raised' USING ERRCODE = 'FL404';
    END IF;
    FOR one IN SELECT DISTINCT u.s, u.d FROM unnest(of_series, of_detectors) AS u (s, d) ORDER BY 1, 2 LOOP
        asked.series_id := one.s;
        asked.detector := one.d;
        asked.event := of_event;
        asked.at_us := floorlog.to_us(clock_timestamp());
        asked.until_us := operate_alarms.until_us;
        asked.actor := by_actor;
        asked.reason := of_reason;
        asked.lease_id := 0;
        asked.number := 0;
        made := floorlog.step_alarm(asked);
        IF made.after IS NULL THEN
            RAISE EXCEPTION 'the alarm % of series % is %: it takes no %', one.d, one.s,
                replace(made.before, '_', ' '), of_event USING ERRCODE = 'FL409';
        END IF;
        RETURN NEXT made;
    END LOOP;
    INSERT INTO floorlog.audit_event (actor, action, detail)
    SELECT by_actor, 'alarm.' || of_event, json_build_object('reason', of_reason, 'until_us', operate_alarms.until_us,
        'alarms', (SELECT json_agg(json_build_array(u.s, u.d)) FROM unnest(of_series, of_detectors) AS u (s, d)));
END
$$;
REVOKE ALL ON FUNCTION operate_alarms(text, text, int4[], text[], int8, text) FROM PUBLIC;

-- Ends every shelf whose time is over, up to so many; returns how many.
CREATE FUNCTION expire_shelves(alarms_max int4) RETURNS int4
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    over record;
BEGIN
    SELECT array_agg(f.series_id) AS series, array_agg(f.detector) AS detectors INTO over FROM (
        SELECT a.series_id, a.detector FROM floorlog.alarm AS a
        WHERE a.state = 'shelved' AND a.until_us <= floorlog.to_us(clock_timestamp()) LIMIT alarms_max
    ) AS f;
    RETURN CASE WHEN over.series IS NULL THEN 0 ELSE floorlog.lock_alarms(over.series, over.detectors) END;
END
$$;
REVOKE ALL ON FUNCTION expire_shelves(int4) FROM PUBLIC;

GRANT SELECT ON alarm, alarm_event TO floorlog_writer, floorlog_keeper, floorlog_operator, floorlog_reader;
GRANT EXECUTE ON FUNCTION alarms_found(int4, int8, int4[], text[], text[], int8[], int8[], int2[], bool[], text[])
    TO floorlog_writer;
GRANT EXECUTE ON FUNCTION operate_alarms(text, text, int4[], text[], int8, text) TO floorlog_operator;
GRANT EXECUTE ON FUNCTION expire_shelves(int4) TO floorlog_keeper;
