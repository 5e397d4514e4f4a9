-- The plant's alarm budget: how far the log was judged, and what its rounds do to alarms.

CREATE TABLE alarm_budget (
    only_row bool NOT NULL DEFAULT true PRIMARY KEY CHECK (only_row),
    position int8 NOT NULL
) WITH (fillfactor = 50);
COMMENT ON COLUMN alarm_budget.only_row IS 'outside: there is one row';
COMMENT ON COLUMN alarm_budget.position IS 'outside: events of alarms before this position of the log were judged';

-- A round's acts, in one transaction with how far it came: those that still stand as the round saw
-- them are suppressed, or come back; what a person did meanwhile stands. `of_detail`: the round, as an
-- audit event; NULL for one that decided nothing. Returns how many alarms changed.
CREATE FUNCTION group_alarms(to_position int8, of_series int4[], of_detectors text[], of_events text[],
    of_reasons text[], of_detail json)
RETURNS int8 LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked floorlog.alarm_event;
    one record;
    stands text;
    changed int8 := 0;
BEGIN
    -- Never past the log, and never back: what was judged is not judged again.
    INSERT INTO floorlog.alarm_budget AS b (position)
    SELECT to_position WHERE to_position BETWEEN 0 AND (SELECT max(l.position) + 1 FROM floorlog.log_leaf AS l)
    ON CONFLICT (only_row) DO UPDATE SET position = excluded.position WHERE b.position < excluded.position;
    PERFORM floorlog.lock_alarms(of_series, of_detectors);
    FOR one IN
        SELECT * FROM unnest(of_series, of_detectors, of_events, of_reasons)
            WITH ORDINALITY AS u (s, d, event, reason, place) ORDER BY u.place
    LOOP
        SELECT a.state INTO stands FROM floorlog.alarm AS a WHERE a.series_id = one.s AND a.detector = one.d;
        CONTINUE WHEN NOT coalesce(CASE one.event
            WHEN 'suppress' THEN stands IN ('unacknowledged', 'returned', 'latched_unacknowledged')
            WHEN 'unsuppress' THEN stands = 'suppressed' END, false);
        asked.series_id := one.s;
        asked.detector := one.d;
        asked.event := one.event;
        asked.at_us := floorlog.to_us(clock_timestamp());
        asked.until_us := 0;
        asked.actor := 'floorlog';
        asked.reason := one.reason;
        asked.lease_id := 0;
        asked.number := 0;
        PERFORM floorlog.step_alarm(asked);
        changed := changed + 1;
    END LOOP;
    IF of_detail IS NOT NULL THEN
        INSERT INTO floorlog.audit_event (actor, action, detail) VALUES ('floorlog', 'alarm.budget', of_detail);
    END IF;
    RETURN changed;
END
$$;
REVOKE ALL ON FUNCTION group_alarms(int8, int4[], text[], text[], text[], json) FROM PUBLIC;

-- Why the budget grouped an alarm that is suppressed; '' where a person suppressed it.
CREATE FUNCTION grouped(of_series int4, of_detector text, state text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN state = 'suppressed' THEN coalesce((
        SELECT CASE WHEN e.actor = 'floorlog' THEN e.reason ELSE '' END FROM floorlog.alarm_event AS e
        WHERE e.series_id = of_series AND e.detector = of_detector AND e.event = 'suppress'
        ORDER BY e.event_id DESC LIMIT 1), '') ELSE '' END
$$;

GRANT SELECT ON alarm_budget TO floorlog_keeper, floorlog_operator, floorlog_reader;
GRANT EXECUTE ON FUNCTION group_alarms(int8, int4[], text[], text[], text[], json) TO floorlog_keeper;
