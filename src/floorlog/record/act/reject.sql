-- Rejects, and what was done to them. Read by store.queries.parse.

-- :name rejects
-- Rejects that are asked for, the newest first, a page at a time.
SELECT r.lease_id, r.number, encode(floorlog.digest(r), 'hex'), floorlog.to_us(r.recorded_at), l.shard_id,
    r.sequence::text, r.element, r.code, r.reason, r.data, EXISTS (
        SELECT FROM floorlog.audit_event AS a
        WHERE a.action ^@ 'reject.' AND a.detail ->> 'reject' = format('%%s.%%s.%%s', r.lease_id, r.number, encode(floorlog.digest(r), 'hex')))
FROM floorlog.reject AS r JOIN floorlog.lease AS l USING (lease_id)
WHERE r.recorded_at >= %(since)s AND r.recorded_at < %(until)s
    AND (%(code)s::text IS NULL OR r.code = %(code)s) AND (%(shard)s::text IS NULL OR l.shard_id = %(shard)s)
    AND (%(text)s::bytea IS NULL OR position(%(text)s::bytea IN r.data) > 0)
    AND (NOT %(open_only)s OR NOT EXISTS (
        SELECT FROM floorlog.audit_event AS a
        WHERE a.action ^@ 'reject.' AND a.detail ->> 'reject' = format('%%s.%%s.%%s', r.lease_id, r.number, encode(floorlog.digest(r), 'hex'))))
ORDER BY r.recorded_at DESC, r.lease_id, r.number, floorlog.digest(r) LIMIT %(rows_max)s OFFSET %(skip)s;

-- :name rejects_of_batch
-- The rejects of one batch, which is found by when it was stored.
SELECT r.lease_id, r.number, encode(floorlog.digest(r), 'hex'), floorlog.to_us(r.recorded_at), l.shard_id,
    r.sequence::text, r.element, r.code, r.reason, r.data, EXISTS (
        SELECT FROM floorlog.audit_event AS a
        WHERE a.action ^@ 'reject.' AND a.detail ->> 'reject' = format('%%s.%%s.%%s', r.lease_id, r.number, encode(floorlog.digest(r), 'hex')))
FROM floorlog.batch AS b
JOIN floorlog.reject AS r ON r.recorded_at = b.recorded_at AND (r.lease_id, r.number) = (b.lease_id, b.number)
JOIN floorlog.lease AS l ON l.lease_id = r.lease_id
WHERE b.lease_id = %(lease_id)s AND b.number = %(number)s ORDER BY floorlog.digest(r);

-- :name lock_reject
-- One person at a time decides what becomes of rejects.
SELECT pg_advisory_xact_lock(4706888);

-- :name events_of_reject
-- What was done to a reject, in order.
SELECT a.event_id, floorlog.to_us(a.recorded_at), a.actor, a.action, a.detail::text FROM floorlog.audit_event AS a
WHERE a.action ^@ 'reject.' AND a.detail ->> 'reject' = %(reject)s ORDER BY a.event_id;
