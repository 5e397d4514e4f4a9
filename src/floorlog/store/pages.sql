-- What pages and programs read a page at a time. Each page begins after the last row of the one before.

-- :name readings_forward
-- Readings of one series from a time on, the oldest first, without the first so many; as of a log of some
-- size, or now.
SELECT floorlog.to_us(r.ts), r.value, r.text, r.quality, r.flags, floorlog.to_us(r.recorded_at), r.corrected_value,
    r.corrected_text, r.corrected_quality
FROM (
    SELECT * FROM floorlog.readings(%(device)s, %(metric)s, %(from_time)s, %(to_time)s)
    WHERE %(log_size)s::int8 IS NULL
    UNION ALL
    SELECT * FROM floorlog.readings_as_of(%(device)s, %(metric)s, %(from_time)s, %(to_time)s, %(log_size)s::int8)
    WHERE %(log_size)s::int8 IS NOT NULL
) AS r
ORDER BY r.ts, r.recorded_at, r.flags, r.value, r.text, r.quality LIMIT %(rows_max)s OFFSET %(skip)s;

-- :name readings_back
-- Readings of one series in a span of time, the newest first; as of a log of some size, or now.
SELECT floorlog.to_us(r.ts), r.value, r.text, r.quality, r.flags, floorlog.to_us(r.recorded_at), r.corrected_value,
    r.corrected_text, r.corrected_quality
FROM (
    SELECT * FROM floorlog.readings(%(device)s, %(metric)s, %(from_time)s, %(to_time)s)
    WHERE %(log_size)s::int8 IS NULL
    UNION ALL
    SELECT * FROM floorlog.readings_as_of(%(device)s, %(metric)s, %(from_time)s, %(to_time)s, %(log_size)s::int8)
    WHERE %(log_size)s::int8 IS NOT NULL
) AS r
ORDER BY r.ts DESC, r.recorded_at DESC LIMIT %(rows_max)s;

-- :name trend
-- A series of numbers by bucket, its extremes with their times.
SELECT t.bucket, t.low, t.low_us, t.high, t.high_us, t.mean, t.count, t.good
FROM floorlog.series AS s CROSS JOIN LATERAL floorlog.trend(s.series_id, %(begin)s, %(end)s, %(width)s) AS t
WHERE s.device = %(device)s AND s.metric = %(metric)s AND s.kind = 0 ORDER BY t.bucket;

-- :name spans_of_states
-- The readings that stand of one series of states, as spans of one state, the oldest first.
SELECT floorlog.to_us(min(c.ts)), floorlog.to_us(max(c.ts)), c.text FROM (
    SELECT d.ts, d.text, sum(d.is_new) OVER (ORDER BY d.ts) AS span FROM (
        SELECT r.ts, r.text, CASE WHEN r.text IS DISTINCT FROM lag(r.text) OVER (ORDER BY r.ts) THEN 1 ELSE 0 END AS is_new
        FROM floorlog.readings(%(device)s, %(metric)s, %(from_time)s, %(to_time)s) AS r
        WHERE r.text IS NOT NULL AND r.flags & 1 = 0
    ) AS d
) AS c GROUP BY c.span, c.text ORDER BY c.span LIMIT %(rows_max)s;

-- :name reject_page
-- Rejects stored before a time, the newest first, without the first so many of that time; each with its name,
-- and whether somebody has sent it again.
SELECT floorlog.to_us((p.j).recorded_at), l.shard_id, (p.j).sequence::text, (p.j).element, (p.j).code, (p.j).reason,
    (p.j).data, format('%%s.%%s.%%s', (p.j).lease_id, (p.j).number, left(h.digest, 8)), EXISTS (
        SELECT FROM floorlog.audit_event AS a WHERE a.action ^@ 'reject.'
            AND a.detail ->> 'reject' = format('%%s.%%s.%%s', (p.j).lease_id, (p.j).number, h.digest))
FROM (
    SELECT j FROM floorlog.reject AS j
    WHERE j.recorded_at <= %(until)s AND (%(code)s::text IS NULL OR j.code = %(code)s)
    ORDER BY j.recorded_at DESC, j.lease_id, j.number, j.sequence, j.element LIMIT %(rows_max)s OFFSET %(skip)s
) AS p
JOIN floorlog.lease AS l ON l.lease_id = (p.j).lease_id
CROSS JOIN LATERAL (SELECT encode(floorlog.digest(p.j), 'hex') AS digest) AS h
ORDER BY (p.j).recorded_at DESC, (p.j).lease_id, (p.j).number, (p.j).sequence, (p.j).element;

-- :name gap_page
-- Gaps stored before a time, the newest first, without the first so many of that time.
SELECT floorlog.to_us(g.recorded_at), l.shard_id, g.begin_us, g.end_us, g.cause
FROM floorlog.gap AS g JOIN floorlog.lease AS l USING (lease_id)
WHERE g.recorded_at <= %(until)s
ORDER BY g.recorded_at DESC, g.lease_id, g.number, g.begin_us LIMIT %(rows_max)s OFFSET %(skip)s;

-- :name audit_page
-- Audit events before one, the newest first.
SELECT event_id, floorlog.to_us(recorded_at), actor, action, detail::text FROM floorlog.audit_event
WHERE event_id < %(before_id)s AND (%(actor)s::text IS NULL OR actor = %(actor)s)
    AND (%(action)s::text IS NULL OR action = %(action)s)
ORDER BY event_id DESC LIMIT %(rows_max)s;

-- :name add_audit
-- What somebody did.
INSERT INTO floorlog.audit_event (actor, action, detail) VALUES (%(actor)s, %(action)s, %(detail)s::json);

-- :name pseudonym
-- The pseudonym of a person, a new one at first sight.
SELECT floorlog.pseudonym_of(%(person)s);

-- :name people
-- Whom pseudonyms stand for, the newest first.
SELECT pseudonym, name FROM floorlog.person ORDER BY given_at DESC, pseudonym LIMIT 10000;

-- :name ledger_state
-- The leaves of the log, and the newest note of it that the record holds.
SELECT (SELECT coalesce(max(position) + 1, 0) FROM floorlog.log_leaf), n.size, floorlog.to_us(n.recorded_at), n.body
FROM (SELECT 1) AS one LEFT JOIN LATERAL (
    SELECT size, recorded_at, body FROM floorlog.note ORDER BY size DESC LIMIT 1) AS n ON true;

-- :name log_size_at
-- The size that the log had at a moment.
SELECT floorlog.log_size_at(%(moment)s);

-- :name catalogue_now
-- The newest version of the catalogue, with when it was given.
SELECT version, floorlog.to_us(recorded_at), body::text FROM floorlog.catalogue ORDER BY version DESC LIMIT 1;

-- :name unanchored
-- For how many seconds there has been something that no anchored note covers, counted from when it was
-- stored, not from when it got its position; NULL where there is none. Of what has a position, the
-- first of each shard and kind is looked at. No transaction lasts an hour.
WITH outside AS MATERIALIZED (
    SELECT coalesce(max(n.size), 0) AS size, coalesce(max(n.recorded_at) - interval '1 hour', '-infinity') AS since
    FROM floorlog.note AS n
), placed AS (
    SELECT DISTINCT ON (g.kind, g.lease_id) g.kind, g.lease_id, g.id, g.recorded_at FROM (
        SELECT l.kind, l.lease_id, l.id, l.recorded_at FROM floorlog.log_leaf AS l
        WHERE l.position >= (SELECT o.size FROM outside AS o) ORDER BY l.position LIMIT 1000
    ) AS g ORDER BY g.kind, g.lease_id, g.id
), unplaced AS (
    SELECT b.recorded_at FROM floorlog.lease AS l CROSS JOIN LATERAL (
        SELECT o.recorded_at FROM floorlog.batch AS o
        WHERE o.lease_id = l.lease_id AND o.number > coalesce((
            SELECT max(g.id) FROM floorlog.log_leaf AS g WHERE g.kind = 32 AND g.lease_id = l.lease_id), 0)
        ORDER BY o.number LIMIT 1) AS b
    UNION ALL
    SELECT c.recorded_at FROM floorlog.catalogue AS c WHERE c.recorded_at >= (SELECT o.since FROM outside AS o)
        AND NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (19, 0, c.version))
    UNION ALL
    SELECT e.recorded_at FROM (
        SELECT 20 AS kind, a.event_id AS id, a.recorded_at FROM floorlog.audit_event AS a
        UNION ALL SELECT 21, a.event_id, a.recorded_at FROM floorlog.alarm_event AS a
        UNION ALL SELECT 22, c.correction_id, c.recorded_at FROM floorlog.correction AS c
        UNION ALL SELECT 23, x.expiry_id, x.recorded_at FROM floorlog.expiry AS x
    ) AS e
    WHERE e.recorded_at >= (SELECT o.since FROM outside AS o)
        AND NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (e.kind, 0, e.id))
)
SELECT extract(epoch FROM clock_timestamp() - least((SELECT min(u.recorded_at) FROM unplaced AS u), (
    SELECT min(coalesce(
        CASE p.kind WHEN 32 THEN (SELECT b.recorded_at FROM floorlog.batch AS b
                WHERE b.lease_id = p.lease_id AND b.number = p.id)
            WHEN 20 THEN (SELECT a.recorded_at FROM floorlog.audit_event AS a WHERE a.event_id = p.id
                AND a.recorded_at >= (SELECT o.since FROM outside AS o))
            WHEN 21 THEN (SELECT a.recorded_at FROM floorlog.alarm_event AS a WHERE a.event_id = p.id)
            WHEN 22 THEN (SELECT c.recorded_at FROM floorlog.correction AS c WHERE c.correction_id = p.id)
            WHEN 23 THEN (SELECT x.recorded_at FROM floorlog.expiry AS x WHERE x.expiry_id = p.id)
        END, p.recorded_at)) FROM placed AS p)))::float8;
