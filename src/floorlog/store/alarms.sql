-- Alarms as pages and programs read them, and what people do to them.

-- :name list_alarms
-- Alarms by priority, then the newest first, after the last one of the page before. A shelf whose
-- time is over counts as ended, also before the event is written.
WITH standing AS (
    SELECT a.*, CASE WHEN a.state = 'shelved' AND a.until_us <= floorlog.to_us(clock_timestamp())
        THEN floorlog.alarm_next('shelved', 'expire', a.active, a.latch) ELSE a.state END AS stands
    FROM floorlog.alarm AS a
)
SELECT s.device, s.metric, a.detector, a.stands, a.active, a.latch, a.priority, a.raised_us,
    CASE WHEN a.stands = 'shelved' THEN a.until_us ELSE 0 END, floorlog.to_us(a.changed_at), a.event_id,
    coalesce(r.reason, ''), coalesce(e.event, ''), coalesce(e.actor, ''), coalesce(e.reason, ''), a.series_id,
    floorlog.grouped(a.series_id, a.detector, a.stands)
FROM standing AS a JOIN floorlog.series AS s USING (series_id)
LEFT JOIN LATERAL (
    SELECT x.reason FROM floorlog.alarm_event AS x
    WHERE x.series_id = a.series_id AND x.detector = a.detector AND x.event = 'raise'
    ORDER BY x.event_id DESC LIMIT 1
) AS r ON true
LEFT JOIN floorlog.alarm_event AS e ON e.event_id = a.event_id
WHERE (%(states)s::text[] IS NULL OR a.stands = ANY (%(states)s::text[])) AND a.priority >= %(priority_min)s
    AND (%(devices)s::text[] IS NULL OR s.device = ANY (%(devices)s::text[]))
    AND (-a.priority::int8, -a.raised_us, a.series_id::int8, a.detector COLLATE "C")
        > (%(after_priority)s::int8, %(after_raised)s::int8, %(after_series)s::int8, %(after_detector)s::text)
ORDER BY -a.priority::int8, -a.raised_us, a.series_id, a.detector COLLATE "C" LIMIT %(rows_max)s;

-- :name changed_alarms
-- Alarms whose last event was stored since a time, or whose shelf ended by itself since then.
WITH standing AS (
    SELECT a.*, CASE WHEN a.state = 'shelved' AND a.until_us <= floorlog.to_us(clock_timestamp())
        THEN floorlog.alarm_next('shelved', 'expire', a.active, a.latch) ELSE a.state END AS stands
    FROM floorlog.alarm AS a WHERE a.changed_at >= %(since)s OR (a.state = 'shelved' AND a.until_us > 0)
)
SELECT s.device, s.metric, a.detector, a.stands, a.active, a.latch, a.priority, a.raised_us,
    CASE WHEN a.stands = 'shelved' THEN a.until_us ELSE 0 END, floorlog.to_us(a.changed_at), a.event_id,
    coalesce(r.reason, ''), coalesce(e.event, ''), coalesce(e.actor, ''), coalesce(e.reason, ''), a.series_id,
    floorlog.grouped(a.series_id, a.detector, a.stands)
FROM standing AS a JOIN floorlog.series AS s USING (series_id)
LEFT JOIN LATERAL (
    SELECT x.reason FROM floorlog.alarm_event AS x
    WHERE x.series_id = a.series_id AND x.detector = a.detector AND x.event = 'raise'
    ORDER BY x.event_id DESC LIMIT 1
) AS r ON true
LEFT JOIN floorlog.alarm_event AS e ON e.event_id = a.event_id
ORDER BY a.event_id DESC LIMIT %(rows_max)s;

-- :name alarm_events
-- Events of alarms stored in a span of time, the newest first, before the last one of the page before.
SELECT e.event_id, floorlog.to_us(e.recorded_at), s.device, s.metric, e.detector, e.event, e.at_us, e.start_us,
    e.before, e.after, e.active, e.latch, e.priority, e.actor, e.reason, e.until_us
FROM floorlog.alarm_event AS e JOIN floorlog.series AS s USING (series_id)
WHERE e.recorded_at >= %(from_time)s AND e.recorded_at < %(to_time)s AND e.event_id < %(before_id)s
    AND (%(device)s::text IS NULL OR s.device = %(device)s) AND (%(metric)s::text IS NULL OR s.metric = %(metric)s)
    AND (%(detector)s::text IS NULL OR e.detector = %(detector)s)
ORDER BY e.event_id DESC LIMIT %(rows_max)s;

-- :name alarm_steps_before
-- The last event before a time of each alarm that did not stand at normal then.
SELECT * FROM (
    SELECT DISTINCT ON (e.series_id, e.detector) e.event_id, floorlog.to_us(e.recorded_at), s.device, s.metric,
        e.detector, e.event, e.at_us, e.start_us, e.before, e.after, e.active, e.latch, e.priority, e.actor,
        e.reason, e.until_us
    FROM floorlog.alarm_event AS e JOIN floorlog.series AS s USING (series_id)
    WHERE e.recorded_at < %(from_time)s ORDER BY e.series_id, e.detector, e.event_id DESC
) AS last WHERE last.after <> 'normal' ORDER BY last.event_id LIMIT %(rows_max)s;

-- :name operate_alarms
-- A person's operation on alarms: all or none.
WITH named AS (
    SELECT s.series_id, u.detector
    FROM unnest(%(devices)s::text[], %(metrics)s::text[], %(detectors)s::text[]) AS u (device, metric, detector)
    LEFT JOIN floorlog.series AS s ON s.device = u.device AND s.metric = u.metric
)
SELECT e.event_id, floorlog.to_us(e.recorded_at), s.device, s.metric, e.detector, e.event, e.at_us, e.start_us,
    e.before, e.after, e.active, e.latch, e.priority, e.actor, e.reason, e.until_us
FROM floorlog.operate_alarms(%(actor)s, %(event)s, (SELECT array_agg(coalesce(series_id, 0)) FROM named),
    (SELECT array_agg(detector) FROM named), %(until)s::int8, %(reason)s) AS e
JOIN floorlog.series AS s USING (series_id) ORDER BY e.event_id;
