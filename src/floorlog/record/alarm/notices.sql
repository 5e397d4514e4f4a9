-- The outbox of notices, one channel at a time. Read by store.queries.parse.

-- :name hold_channel
-- One sender a channel, for as long as its session lasts.
SELECT pg_try_advisory_lock(4706887, hashtext(%(channel)s));

-- :name set_outbox
-- Limits of the session: nothing of it may hold up anybody.
SELECT set_config('statement_timeout', '20s', false), set_config('lock_timeout', '5s', false);

-- :name rings
-- Alarms of the last hours that asked for attention, as the fold over floods takes them.
SELECT event_id, floorlog.to_us(recorded_at) FROM floorlog.alarm_event
WHERE recorded_at > now() - interval '2 hours' AND after = 'unacknowledged' AND before <> 'unacknowledged'
ORDER BY recorded_at, event_id;

-- :name unplanned
-- Events of the last hour that ask for attention or tell of its end, not yet decided for a channel,
-- with whether the alarm budget grouped it; while that may still be judged, it is not taken, for 20 s at most.
SELECT e.event_id, floorlog.to_us(e.recorded_at), s.device, s.metric, e.detector, e.event, e.at_us, e.after,
    e.priority, e.reason, coalesce((
        SELECT n.event = 'suppress' AND n.actor = 'floorlog' FROM floorlog.alarm_event AS n
        WHERE n.series_id = e.series_id AND n.detector = e.detector AND n.event_id > e.event_id
            AND n.event NOT IN ('raise', 'return') ORDER BY n.event_id LIMIT 1), false)
FROM floorlog.alarm_event AS e JOIN floorlog.series AS s USING (series_id)
WHERE e.recorded_at > now() - interval '1 hour'
    AND (e.recorded_at < now() - interval '20 seconds' OR NOT EXISTS (SELECT FROM floorlog.alarm_budget)
        OR EXISTS (
            SELECT FROM floorlog.alarm_budget AS b JOIN floorlog.log_leaf AS g ON g.position < b.position
            WHERE g.kind = 21 AND g.lease_id = 0 AND g.id = e.event_id))
    AND ((e.after = 'unacknowledged' AND e.before <> 'unacknowledged') OR (e.event = 'return' AND e.before <> e.after))
    AND NOT EXISTS (SELECT FROM floorlog.notice AS n WHERE n.event_id = e.event_id AND n.channel = %(channel)s)
ORDER BY e.event_id LIMIT %(rows_max)s;

-- :name plan
-- Decide for a channel.
SELECT floorlog.plan_notices(%(channel)s, %(events)s::int8[], %(states)s::text[]);

-- :name waiting
-- What waits for a channel and is due: new ones first, what failed before after twice as long each time.
SELECT e.event_id, floorlog.to_us(e.recorded_at), s.device, s.metric, e.detector, e.event, e.at_us, e.after,
    e.priority, e.reason, extract(epoch FROM now() - n.planned_at)::float8
FROM floorlog.notice AS n JOIN floorlog.alarm_event AS e USING (event_id)
JOIN floorlog.series AS s USING (series_id)
WHERE n.channel = %(channel)s AND n.state = 'waiting'
    AND (n.tried_at IS NULL OR now() >= n.tried_at + least(300, power(2, least(n.attempts, 16))) * interval '1 second')
ORDER BY n.attempts > 0, n.event_id LIMIT %(rows_max)s;

-- :name settle
-- What came of an attempt.
SELECT floorlog.settle_notice(%(channel)s, %(event)s, %(state)s, %(error)s);

-- :name forget
-- Forget what was settled long ago.
SELECT floorlog.forget_notices();

-- :name catalogue
-- The newest version of the catalogue.
SELECT version, body::text FROM floorlog.catalogue ORDER BY version DESC LIMIT 1;
