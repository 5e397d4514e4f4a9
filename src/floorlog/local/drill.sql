-- Statements of the drill, on the running record and on the restored one. Read by store.queries.parse.

-- :name where_shards_stand
-- Every shard: its last batch, the checkpoint as text, whether it ended.
SELECT l.lease_id, l.shard_id, l.number, l.checkpoint::text, l.ended FROM floorlog.lease AS l ORDER BY l.lease_id;

-- :name last_stored
-- When the last batch was stored, µs since 1970; 0 for none.
SELECT coalesce(max(floorlog.to_us(b.recorded_at)), 0)::int8 FROM floorlog.lease AS l
JOIN floorlog.batch AS b ON b.lease_id = l.lease_id AND b.number = l.number;

-- :name clock
-- The database's clock, µs since 1970.
SELECT floorlog.to_us(clock_timestamp());

-- :name is_restoring
-- Whether the server still replays its log.
SELECT pg_is_in_recovery();

-- :name size_bytes
-- Size of the whole server, bytes.
SELECT coalesce(sum(pg_database_size(d.oid)), 0)::int8 FROM pg_database AS d;

-- :name log_size
-- How many leaves the log has.
SELECT coalesce(max(g.position) + 1, 0)::int8 FROM floorlog.log_leaf AS g;

-- :name stand_after
-- The last batch of a shard with which no more than so many readings follow another batch, and its sequence number.
SELECT f.number, f.sequence::text FROM (
    SELECT b.number, b.sequence, sum(b.stored) OVER (ORDER BY b.number) AS total FROM floorlog.batch AS b
    WHERE b.lease_id = %(lease_id)s AND b.number > %(above)s AND b.number <= %(upto)s
) AS f WHERE f.total <= %(readings_max)s ORDER BY f.number DESC LIMIT 1;

-- :name stand_at
-- The first batch of a shard, after another one, that reaches a sequence number, and its own.
SELECT b.number, b.sequence::text FROM floorlog.batch AS b
WHERE b.lease_id = %(lease_id)s AND b.number > %(above)s AND b.number <= %(upto)s AND b.sequence >= %(sequence)s::numeric
ORDER BY b.number LIMIT 1;

-- :name readings_of
-- The readings of some batches of a shard, one row for each that is the same but for its batch.
SELECT r.device_id, r.metric, floorlog.to_us(r.ts), r.value, r.text, r.quality, count(*)
FROM floorlog.reading AS r
WHERE r.shard = %(lease_id)s AND r.batch > %(above)s AND r.batch <= %(upto)s
    AND r.recorded_at >= floorlog.from_us(%(since_us)s)
GROUP BY 1, 2, 3, 4, 5, 6;
