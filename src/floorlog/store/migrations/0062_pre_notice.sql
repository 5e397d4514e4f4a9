-- Notices: who is to be told of which alarm, and whether they were. The outbox is read after commit.

CREATE TABLE notice (
    event_id int8 NOT NULL,
    channel text NOT NULL,
    planned_at timestamptz NOT NULL DEFAULT now(),
    tried_at timestamptz,
    settled_at timestamptz,
    attempts int4 NOT NULL DEFAULT 0,
    state text NOT NULL CHECK (state IN ('waiting', 'sent', 'held', 'not routed', 'given up')),
    error text NOT NULL DEFAULT '',
    PRIMARY KEY (event_id, channel)
) WITH (fillfactor = 80);
CREATE INDEX notice_waiting ON notice (channel, event_id) WHERE state = 'waiting';
COMMENT ON COLUMN notice.event_id IS 'outside: the event of an alarm';
COMMENT ON COLUMN notice.channel IS 'outside: by which channel';
COMMENT ON COLUMN notice.planned_at IS 'outside: when that was decided';
COMMENT ON COLUMN notice.tried_at IS 'outside: when it was tried last';
COMMENT ON COLUMN notice.settled_at IS 'outside: when it was sent or given up; an audit event says so too';
COMMENT ON COLUMN notice.attempts IS 'outside: how often it was tried';
COMMENT ON COLUMN notice.state IS 'outside: waiting, sent, held in a flood, not routed to this channel, given up';
COMMENT ON COLUMN notice.error IS 'outside: why the last attempt failed';

-- Decides once for each event and channel; who comes second changes nothing.
CREATE FUNCTION plan_notices(of_channel text, of_events int8[], of_states text[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO floorlog.notice (event_id, channel, state)
    SELECT u.event_id, of_channel, u.state FROM unnest(of_events, of_states) AS u (event_id, state)
    ON CONFLICT DO NOTHING
$$;
REVOKE ALL ON FUNCTION plan_notices(text, int8[], text[]) FROM PUBLIC;

-- What came of an attempt. What ends a notice is an audit event, once.
CREATE FUNCTION settle_notice(of_channel text, of_event int8, to_state text, of_error text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tried int4;
BEGIN
    UPDATE floorlog.notice AS n SET state = to_state, error = of_error, attempts = n.attempts + 1, tried_at = now(),
        settled_at = CASE WHEN to_state = 'waiting' THEN NULL ELSE now() END
    WHERE n.channel = of_channel AND n.event_id = of_event AND n.state = 'waiting'
    RETURNING n.attempts INTO tried;
    IF FOUND AND to_state <> 'waiting' THEN
        INSERT INTO floorlog.audit_event (actor, action, detail)
        VALUES ('floorlog', 'notice.' || replace(to_state, ' ', '_'), json_build_object(
            'channel', of_channel, 'alarm_event', of_event, 'attempts', tried, 'error', of_error));
    END IF;
END
$$;
REVOKE ALL ON FUNCTION settle_notice(text, int8, text, text) FROM PUBLIC;

-- Forgets what was settled a week ago; events are told for an hour at most. Returns how many.
CREATE FUNCTION forget_notices() RETURNS int8
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone int8;
BEGIN
    DELETE FROM floorlog.notice WHERE state <> 'waiting' AND planned_at < now() - interval '7 days';
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;
REVOKE ALL ON FUNCTION forget_notices() FROM PUBLIC;

GRANT SELECT ON notice TO floorlog_keeper, floorlog_operator, floorlog_reader;
GRANT EXECUTE ON FUNCTION plan_notices(text, int8[], text[]), settle_notice(text, int8, text, text), forget_notices()
    TO floorlog_keeper;
