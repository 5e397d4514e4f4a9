-- Counts of what was received, held against each other. Read by store.queries.parse.

-- :name hours
-- Per shard and hour of storing: counts, the numbers of batches, and what does not add up or join.
WITH chained AS (
    SELECT b.*, coalesce(lag(b.number) OVER chain, b.number - 1) AS number_before,
        coalesce(lag(b.sequence) OVER chain, CASE WHEN b.number = 1 THEN -1 ELSE (
            SELECT p.sequence FROM floorlog.batch AS p
            WHERE p.lease_id = b.lease_id AND p.number = b.number - 1 LIMIT 1) END) AS sequence_of_last
    FROM floorlog.batch AS b WHERE b.recorded_at >= %(since)s AND b.recorded_at < %(until)s
    WINDOW chain AS (PARTITION BY b.lease_id ORDER BY b.number)
)
SELECT c.lease_id, floorlog.to_us(date_trunc('hour', c.recorded_at)), min(c.number), max(c.number), count(*),
    sum(c.records), sum(c.received), sum(c.stored), sum(c.rejected), sum(c.duplicate), sum(c.conflict),
    count(*) FILTER (WHERE c.received <> c.stored::int8 + c.rejected + c.duplicate),
    count(*) FILTER (WHERE c.number <> c.number_before + 1 OR c.sequence < c.sequence_before
        OR c.sequence_before IS DISTINCT FROM c.sequence_of_last),
    min(c.sequence_before)::text, max(c.sequence)::text
FROM chained AS c GROUP BY c.lease_id, date_trunc('hour', c.recorded_at) ORDER BY 1, 2;

-- :name rejects_by_hour
-- Rejects that are there, per shard and hour.
SELECT lease_id, floorlog.to_us(date_trunc('hour', recorded_at)), count(*) FROM floorlog.reject
WHERE recorded_at >= %(since)s AND recorded_at < %(until)s GROUP BY 1, 2;

-- :name conflicts_by_hour
-- Conflicts that are there, per shard and hour.
SELECT lease_id, floorlog.to_us(date_trunc('hour', recorded_at)), count(*) FROM floorlog.conflict
WHERE recorded_at >= %(since)s AND recorded_at < %(until)s GROUP BY 1, 2;

-- :name expired_by_hour
-- Readings and rejects that expired since, per shard and hour of storing.
SELECT b.lease_id, floorlog.to_us(date_trunc('hour', b.recorded_at)), sum(x.readings), sum(x.rejects)
FROM floorlog.expired AS x JOIN floorlog.batch AS b ON (b.lease_id, b.number) = (x.lease_id, x.number)
WHERE b.recorded_at >= %(since)s AND b.recorded_at < %(until)s GROUP BY 1, 2;

-- :name gaps_between
-- Losses of input that were told of.
SELECT lease_id, floorlog.to_us(date_trunc('hour', recorded_at)), begin_us, end_us, cause FROM floorlog.gap
WHERE recorded_at >= %(since)s AND recorded_at < %(until)s ORDER BY lease_id, number, begin_us;

-- :name shards_to_reconcile
-- What each shard's row says of all its batches, and the sums of these.
SELECT l.lease_id, l.shard_id, s.arn, l.ended, l.checkpoint::text, l.number,
    ARRAY[l.records, l.received, l.stored, l.rejected, l.duplicate, l.conflict],
    ARRAY[coalesce(sum(b.records), 0), coalesce(sum(b.received), 0), coalesce(sum(b.stored), 0),
        coalesce(sum(b.rejected), 0), coalesce(sum(b.duplicate), 0), coalesce(sum(b.conflict), 0)]::int8[],
    coalesce(max(b.number), 0), coalesce(max(b.sequence), -1)::text
FROM floorlog.lease AS l JOIN floorlog.stream AS s USING (stream_id)
LEFT JOIN floorlog.batch AS b ON b.lease_id = l.lease_id
GROUP BY l.lease_id, s.arn ORDER BY l.lease_id;

-- :name counted_apart
-- Corrections made, and rejects sent again, in the same time.
SELECT (SELECT count(*) FROM floorlog.correction AS c WHERE c.recorded_at >= %(since)s AND c.recorded_at < %(until)s),
    (SELECT count(*) FROM floorlog.audit_event AS a WHERE a.action = 'reject.replay'
        AND a.recorded_at >= %(since)s AND a.recorded_at < %(until)s);
