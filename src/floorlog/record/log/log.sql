-- Statements on the log: positions, hashes, notes. Read by store.queries.parse.

-- :name hold_log
-- One keeper at a time, for as long as its session lasts.
SELECT pg_try_advisory_lock(4706885);

-- :name sequence
-- Give positions to what has none yet, up to so many; the size of the log.
SELECT floorlog.sequence(%(leaves_max)s::int4) + floorlog.sequence_events(%(leaves_max)s::int4);

-- :name sequence_late
-- Give positions to alarm events that commit long after their time; where to go on below.
SELECT floorlog.sequence_late(%(below)s::int8, %(events_max)s::int4);

-- :name log_size
-- How many leaves the log has, by its last position.
SELECT coalesce(max(position) + 1, 0) FROM floorlog.log_leaf;

-- :name log_hashes
-- The hashes of the log from one position up to, not including, another.
SELECT position, hash FROM floorlog.log_leaf
WHERE position >= %(begin)s AND position < %(end)s ORDER BY position;

-- :name newest_copy
-- The largest size of which a note was anchored, by the copies here; 0 for none.
SELECT coalesce(max(n.size), 0)::int8 FROM floorlog.note AS n;

-- :name add_note
-- Keep a copy of an anchored note beside the record, once.
INSERT INTO floorlog.note (size, body)
SELECT %(size)s, %(body)s WHERE NOT EXISTS (SELECT FROM floorlog.note AS n WHERE n.size = %(size)s);

-- :name expire_shelves
-- End the shelves of alarms whose time is over, up to so many.
SELECT floorlog.expire_shelves(%(alarms_max)s::int4);

-- :name add_recovery
-- Have the record tell of a declared fork, once.
INSERT INTO floorlog.audit_event (actor, action, detail)
SELECT %(actor)s, 'recover', json_build_object(
    'fork', %(number)s::int8, 'size', %(size)s::int8, 'lost_size', %(lost_size)s::int8, 'statement', %(statement)s::text)
WHERE NOT EXISTS (
    SELECT FROM floorlog.audit_event AS a WHERE a.action = 'recover' AND (a.detail ->> 'fork')::int8 = %(number)s::int8);
