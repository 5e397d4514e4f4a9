-- What `floorlog break` does to a local record, as its superuser. Read by store.queries.parse.

-- :name pass_all_guards
-- No trigger and no reference is in the way.
SET LOCAL session_replication_role = replica;

-- :name anchored_batches
-- The newest batches with readings whose entries a note covers; the newest two minutes of them at most.
SELECT b.lease_id, b.number, l.shard_id, floorlog.to_us(b.recorded_at)
FROM floorlog.log_leaf AS g
JOIN floorlog.batch AS b ON b.lease_id = g.lease_id AND b.number = g.id
JOIN floorlog.lease AS l ON l.lease_id = b.lease_id
WHERE g.kind = 32 AND g.position < %(anchored)s::int8 AND b.stored > 0
ORDER BY g.position DESC LIMIT 200;

-- :name readings_of_batch
-- The readings of a batch, open and sealed: series, time, names, kind.
SELECT u.series_id, u.at_us, s.device, s.metric, s.kind
FROM floorlog.open_row AS o CROSS JOIN LATERAL floorlog.opened(o) AS u
JOIN floorlog.series AS s ON s.series_id = u.series_id
WHERE o.lease_id = %(lease_id)s AND o.number = %(number)s
UNION ALL
SELECT c.series_id, u.at_us, s.device, s.metric, s.kind
FROM floorlog.chunk AS c CROSS JOIN LATERAL floorlog.unsealed(c) AS u
JOIN floorlog.series AS s ON s.series_id = c.series_id
WHERE c.lease_id = %(lease_id)s AND %(number)s BETWEEN c.number_min AND c.number_max AND u.number = %(number)s
ORDER BY 1, 2;

-- :name change_open
-- Give a reading of an open row another value: what it was, and what it is.
UPDATE floorlog.open_row AS o SET value = o.value[1:f.place - 1] || f.now || o.value[f.place + 1:]
FROM (
    SELECT r.tableoid AS part, r.ctid AS at, p.place, r.value[p.place] AS was, CASE
        WHEN s.kind = 1 THEN (SELECT min(t.code) FROM floorlog.state AS t WHERE t.code <> r.value[p.place])
        WHEN r.value[p.place] + 1 = r.value[p.place] THEN 0 ELSE r.value[p.place] + 1 END AS now
    FROM floorlog.open_row AS r
    CROSS JOIN LATERAL generate_subscripts(r.series, 1) AS p (place)
    JOIN floorlog.series AS s ON s.series_id = r.series[p.place]
    WHERE r.lease_id = %(lease_id)s AND r.number = %(number)s AND r.series[p.place] = %(series_id)s
        AND r.t_min + coalesce(r.ts[p.place]::int8, r.ts_wide[p.place], 0) * r.tick_us = %(ts_us)s LIMIT 1
) AS f
WHERE o.tableoid = f.part AND o.ctid = f.at
RETURNING f.was, f.now;

-- :name change_sealed
-- The same in a chunk, whose whole numbers stand for values.
UPDATE floorlog.chunk AS c SET
    value_narrow = CASE WHEN c.value_narrow IS NOT NULL THEN
        c.value_narrow[1:f.place - 1] || (f.now * c.scale)::int2 || c.value_narrow[f.place + 1:] END,
    value_scaled = CASE WHEN c.value_scaled IS NOT NULL THEN
        c.value_scaled[1:f.place - 1] || (f.now * c.scale)::int4 || c.value_scaled[f.place + 1:] END,
    value = CASE WHEN c.value IS NOT NULL THEN c.value[1:f.place - 1] || f.now || c.value[f.place + 1:] END
FROM (
    SELECT k.ctid AS at, u.place, u.value AS was, CASE
        WHEN s.kind = 1 THEN (SELECT min(t.code) FROM floorlog.state AS t WHERE t.code <> u.value)
        WHEN u.value = 0 THEN 1 ELSE 0 END::float8 AS now
    FROM floorlog.chunk AS k CROSS JOIN LATERAL floorlog.unsealed(k) AS u
    JOIN floorlog.series AS s ON s.series_id = k.series_id
    WHERE k.lease_id = %(lease_id)s AND k.series_id = %(series_id)s AND u.number = %(number)s AND u.at_us = %(ts_us)s
        AND %(number)s BETWEEN k.number_min AND k.number_max
    LIMIT 1
) AS f
WHERE c.ctid = f.at
RETURNING f.was, f.now;

-- :name delete_open
-- The open rows of a batch go.
DELETE FROM floorlog.open_row WHERE lease_id = %(lease_id)s AND number = %(number)s;

-- :name delete_batch
-- The batch itself goes.
DELETE FROM floorlog.batch WHERE lease_id = %(lease_id)s AND number = %(number)s;

-- :name swap_times
-- Two batches exchange when they were stored.
UPDATE floorlog.batch AS b SET recorded_at = o.recorded_at
FROM floorlog.batch AS o
WHERE (b.lease_id, b.number, o.lease_id, o.number) IN (
    (%(lease_id)s, %(number)s, %(other_lease)s, %(other_number)s),
    (%(other_lease)s, %(other_number)s, %(lease_id)s, %(number)s));

-- :name insert_reading
-- A reading that nobody sent, a microsecond after one that is there.
INSERT INTO floorlog.open_row (recorded_at, number, t_min, t_max, clock_s, lease_id, slot, tick_us, width, part,
    series, ts, value)
SELECT b.recorded_at, b.number, %(ts_us)s + 1, %(ts_us)s + 1, b.clock_s, b.lease_id, p.first_slot, 1, p.width, 999,
    ARRAY[%(series_id)s::int4], ARRAY[0], ARRAY[1::float8]
FROM floorlog.batch AS b, floorlog.slots(%(ts_us)s + 1, %(ts_us)s + 1) AS p
WHERE b.lease_id = %(lease_id)s AND b.number = %(number)s AND p.width = 3;

-- :name last_number
-- The number of a shard's last batch.
SELECT max(number) FROM floorlog.batch WHERE lease_id = %(lease_id)s;

-- :name cut_open
-- The open rows of a shard go from a batch on.
DELETE FROM floorlog.open_row WHERE lease_id = %(lease_id)s AND number >= %(number)s;

-- :name cut_batches
-- Its batches go from there on.
DELETE FROM floorlog.batch WHERE lease_id = %(lease_id)s AND number >= %(number)s;

-- :name cut_log
-- The log is cut off where the first of them stood.
DELETE FROM floorlog.log_leaf WHERE position >= (SELECT g.position FROM floorlog.log_leaf AS g
    WHERE g.kind = 32 AND g.lease_id = %(lease_id)s AND g.id = %(number)s);
