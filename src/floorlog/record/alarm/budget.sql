-- The rounds of the alarm budget. Read by store.queries.parse.

-- :name budget_mark
-- How far the log was judged, and the database's clock, in µs UTC.
SELECT (SELECT b.position FROM floorlog.alarm_budget AS b), floorlog.to_us(clock_timestamp());

-- :name budget_events
-- Events of alarms that got a position of the log in this range, in the order of their numbers.
SELECT e.series_id, s.device, s.metric, e.detector, e.event, e.before, e.after, floorlog.to_us(e.recorded_at), e.at_us,
    e.event_id, e.priority, e.actor = 'floorlog'
FROM floorlog.log_leaf AS g JOIN floorlog.alarm_event AS e ON e.event_id = g.id
JOIN floorlog.series AS s USING (series_id)
WHERE g.position >= %(begin)s AND g.position < %(end)s AND g.kind = 21 ORDER BY e.event_id;

-- :name budget_recent
-- Events of alarms of the last twenty minutes that were judged before, and what was done to them since.
SELECT e.series_id, s.device, s.metric, e.detector, e.event, e.before, e.after, floorlog.to_us(e.recorded_at), e.at_us,
    e.event_id, e.priority, e.actor = 'floorlog'
FROM floorlog.alarm_event AS e JOIN floorlog.series AS s USING (series_id)
LEFT JOIN floorlog.log_leaf AS g ON g.kind = 21 AND g.lease_id = 0 AND g.id = e.event_id
WHERE e.recorded_at > now() - interval '20 minutes'
    AND (g.position < %(end)s OR (e.event = 'suppress' AND e.actor = 'floorlog')) ORDER BY e.event_id;

-- :name budget_grouped
-- Alarms that the budget suppressed and that still are.
SELECT a.series_id, s.device, s.metric, a.detector, floorlog.to_us(a.changed_at), a.raised_us, a.event_id, a.priority,
    a.active
FROM floorlog.alarm AS a JOIN floorlog.series AS s USING (series_id)
WHERE a.state = 'suppressed' AND floorlog.grouped(a.series_id, a.detector, a.state) <> '';

-- :name budget_standing
-- Alarms on the list under which others of their series are grouped, each with its last event that
-- moved its condition or brought it there.
SELECT a.series_id, s.device, s.metric, a.detector, floorlog.to_us(m.recorded_at), m.event_id, a.priority, a.active
FROM floorlog.alarm AS a JOIN floorlog.series AS s USING (series_id)
CROSS JOIN LATERAL (
    SELECT e.recorded_at, e.event_id FROM floorlog.alarm_event AS e
    WHERE e.series_id = a.series_id AND e.detector = a.detector AND e.event NOT IN ('acknowledge', 'reset')
    ORDER BY e.event_id DESC LIMIT 1) AS m
WHERE a.state = ANY (%(states)s);

-- :name budget_catalogue
-- The newest version of the catalogue, where it is another than this.
SELECT c.version, c.body::text FROM floorlog.catalogue AS c
WHERE c.version = (SELECT max(m.version) FROM floorlog.catalogue AS m) AND c.version <> %(known)s;

-- :name group_alarms
-- What a round decided, and how far it came.
SELECT floorlog.group_alarms(%(position)s, %(series)s::int4[], %(detectors)s::text[], %(events)s::text[],
    %(reasons)s::text[], %(detail)s::json);
