-- What proofs and exports read: entries in the order of the log, and all that a batch stored.

-- :name log_blocks
-- The hashes of the log in blocks of 256, block by block, up to a size.
SELECT n, (SELECT string_agg(g.hash, ''::bytea ORDER BY g.position) FROM floorlog.log_leaf AS g
    WHERE g.position >= n * 256 AND g.position < least(n * 256 + 256, %(size)s))
FROM generate_series(0, (%(size)s - 1) / 256) AS n;

-- :name log_block
-- The hashes of one block of 256 leaves of the log.
SELECT hash FROM floorlog.log_leaf WHERE position >= %(begin)s AND position < %(begin)s + 256 ORDER BY position;

-- :name entries_of
-- Entries of the log by shard and number, in its order: place and hash there, the hash before, the batch.
SELECT g.position, g.hash,
    CASE WHEN b.number = 1 THEN (
        SELECT coalesce(string_agg(p.head, ''::bytea ORDER BY p.lease_id), ''::bytea) FROM floorlog.lease AS p
        WHERE p.lease_id = ANY ((SELECT l.parents FROM floorlog.lease AS l WHERE l.lease_id = b.lease_id)::int4[]))
    ELSE (SELECT p.head FROM floorlog.batch AS p WHERE p.lease_id = b.lease_id AND p.number = b.number - 1 LIMIT 1)
    END,
    b.lease_id, b.number, b.epoch, b.clock_s, timestamptz_send(b.recorded_at), b.sequence_before::text,
    b.sequence::text, b.catalogue, b.records, b.received, b.stored, b.rejected, b.duplicate, b.conflict, b.leaves,
    b.root, b.head
FROM unnest(%(leases)s::int4[], %(numbers)s::int8[]) AS asked (lease_id, number)
JOIN floorlog.batch AS b ON b.lease_id = asked.lease_id AND b.number = asked.number
LEFT JOIN floorlog.log_leaf AS g ON g.kind = 32 AND g.lease_id = b.lease_id AND g.id = b.number
ORDER BY g.position;

-- :name open_rows_of
-- The open rows of some batches.
SELECT o.lease_id, o.number, o.part, timestamptz_send(o.recorded_at), o.t_min, o.t_max, o.clock_s, o.slot, o.width,
    o.tick_us, o.series, o.ts, o.ts_wide, o.value, o.quality, o.arrived, o.conflict, o.late
FROM unnest(%(leases)s::int4[], %(numbers)s::int8[]) AS asked (lease_id, number)
JOIN floorlog.open_row AS o ON o.lease_id = asked.lease_id AND o.number = asked.number;

-- :name rejects_of
-- The rejects of some batches, which are found by the time at which those were stored.
SELECT r.lease_id, r.number, timestamptz_send(r.recorded_at), r.sequence::text, r.element, r.code, r.reason, r.data
FROM floorlog.reject AS r
WHERE r.recorded_at = ANY (%(times)s::timestamptz[])
    AND (r.lease_id, r.number) IN (SELECT * FROM unnest(%(leases)s::int4[], %(numbers)s::int8[]));

-- :name anomalies_of
-- The anomalies of some batches.
SELECT a.lease_id, a.number, timestamptz_send(a.recorded_at), a.series_id, a.severity, a.phase, a.detector,
    a.start_us, a.at_us, a.score, a.value, a.expected, a.reason
FROM floorlog.anomaly AS a
WHERE a.recorded_at = ANY (%(times)s::timestamptz[])
    AND (a.lease_id, a.number) IN (SELECT * FROM unnest(%(leases)s::int4[], %(numbers)s::int8[]));

-- :name gaps_of
-- The gaps of some batches.
SELECT g.lease_id, g.number, timestamptz_send(g.recorded_at), g.begin_us, g.end_us, g.cause
FROM unnest(%(leases)s::int4[], %(numbers)s::int8[]) AS asked (lease_id, number)
JOIN floorlog.gap AS g ON g.lease_id = asked.lease_id AND g.number = asked.number;

-- :name expired_of
-- What stands for what expired of some batches; see `expired`.
SELECT x.lease_id, x.number, x.expiry_id, x.readings, x.rejects, x.begins::text, x.ends::text,
    array_to_string(ARRAY(SELECT encode(h, 'hex') FROM unnest(x.hashes) WITH ORDINALITY AS u (h, n) ORDER BY n), '')
FROM unnest(%(leases)s::int4[], %(numbers)s::int8[]) AS asked (lease_id, number)
JOIN floorlog.expired AS x ON x.lease_id = asked.lease_id AND x.number = asked.number;

-- :name series_named
-- One series.
SELECT series_id, kind FROM floorlog.series WHERE device = %(device)s AND metric = %(metric)s;

-- :name metrics_of_device
-- The metrics of a device.
SELECT metric FROM floorlog.series WHERE device = %(device)s ORDER BY metric;

-- :name readings_at
-- The readings of a series at one time: the batch, value, name of the state, quality, flags of each.
SELECT shard, batch, value, text, quality, flags & 3
FROM floorlog.readings(%(device)s, %(metric)s, floorlog.from_us(%(ts_us)s), floorlog.from_us(%(ts_us)s + 1))
ORDER BY flags & 1, recorded_at, shard, batch;

-- :name readings_around
-- The times of a series' readings nearest to a time, before and after, within a day: µs UTC.
SELECT max(floorlog.to_us(ts)) FILTER (WHERE ts < floorlog.from_us(%(ts_us)s)),
    min(floorlog.to_us(ts)) FILTER (WHERE ts > floorlog.from_us(%(ts_us)s))
FROM floorlog.readings(%(device)s, %(metric)s, floorlog.from_us(%(ts_us)s - 86400000000),
    floorlog.from_us(%(ts_us)s + 86400000000));

-- :name loosen_export
-- An export reads all that it asks for: sorts and whole tables are no mistake then.
SELECT set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true),
    set_config('statement_timeout', '6h', true), set_config('work_mem', '32MB', true);

-- :name batches_whole
-- All batches in the order of the log: place, shard, number, readings, readings of all.
SELECT g.position, b.lease_id, b.number, b.stored, (sum(b.stored) OVER ())::int8
FROM floorlog.batch AS b
LEFT JOIN floorlog.log_leaf AS g ON g.kind = 32 AND g.lease_id = b.lease_id AND g.id = b.number
ORDER BY g.position, b.lease_id, b.number;

-- :name batches_in_span
-- The batches that arrived in a span of time, hold readings of it, or tell of a gap in it.
WITH chosen AS (
    SELECT b.lease_id, b.number FROM floorlog.batch AS b
    WHERE b.clock_s * 1000000 >= %(from_us)s AND b.clock_s * 1000000 < %(to_us)s
    UNION SELECT r.shard, r.batch FROM floorlog.readings(%(from_time)s::timestamptz, %(to_time)s::timestamptz) AS r
    UNION SELECT g.lease_id, g.number FROM floorlog.gap AS g WHERE g.end_us >= %(from_us)s AND g.begin_us < %(to_us)s
)
SELECT g.position, b.lease_id, b.number, b.stored, (sum(b.stored) OVER ())::int8
FROM chosen AS c
JOIN floorlog.batch AS b ON b.lease_id = c.lease_id AND b.number = c.number
LEFT JOIN floorlog.log_leaf AS g ON g.kind = 32 AND g.lease_id = b.lease_id AND g.id = b.number
ORDER BY g.position, b.lease_id, b.number;

-- :name batches_of_device
-- The batches that hold readings or findings of a device in a span of time, or tell of a gap in it.
WITH named AS (
    SELECT s.series_id, s.device, s.metric FROM floorlog.series AS s WHERE s.device = %(device)s
), chosen AS (
    SELECT r.shard AS lease_id, r.batch AS number FROM named AS s
    CROSS JOIN LATERAL floorlog.readings(s.device, s.metric, %(from_time)s::timestamptz, %(to_time)s::timestamptz) AS r
    UNION SELECT a.lease_id, a.number FROM floorlog.anomaly AS a
    WHERE a.at_us >= %(from_us)s AND a.at_us < %(to_us)s AND a.series_id IN (SELECT s.series_id FROM named AS s)
    UNION SELECT g.lease_id, g.number FROM floorlog.gap AS g WHERE g.end_us >= %(from_us)s AND g.begin_us < %(to_us)s
)
SELECT g.position, b.lease_id, b.number, b.stored, (sum(b.stored) OVER ())::int8
FROM chosen AS c
JOIN floorlog.batch AS b ON b.lease_id = c.lease_id AND b.number = c.number
LEFT JOIN floorlog.log_leaf AS g ON g.kind = 32 AND g.lease_id = b.lease_id AND g.id = b.number
ORDER BY g.position, b.lease_id, b.number;

-- :name corrections_in_span
-- Corrections of readings of a span of time, of a device or of all: with the place of each in the log.
SELECT g.position, s.device, s.metric, c.ts_us, c.was_value,
    (SELECT t.name FROM floorlog.state AS t WHERE s.kind = 1 AND t.code = c.was_value), c.was_quality, c.value,
    (SELECT t.name FROM floorlog.state AS t WHERE s.kind = 1 AND t.code = c.value), c.quality, c.actor, c.reason,
    floorlog.to_us(c.recorded_at)
FROM floorlog.correction AS c
JOIN floorlog.series AS s ON s.series_id = c.series_id
LEFT JOIN floorlog.log_leaf AS g ON g.kind = 22 AND g.lease_id = 0 AND g.id = c.correction_id
WHERE c.ts_us >= %(from_us)s AND c.ts_us < %(to_us)s AND (%(device)s::text IS NULL OR s.device = %(device)s)
ORDER BY c.correction_id;

-- :name corrections_placed
-- The same that have a place below a size of the log, in its order: place, hash, and all that the leaf binds.
SELECT g.position, g.hash, c.correction_id, floorlog.to_us(c.recorded_at), c.actor, c.reason, c.ts_us, c.series_id,
    c.was_value, c.was_quality, c.value, c.quality
FROM floorlog.correction AS c
JOIN floorlog.log_leaf AS g ON g.kind = 22 AND g.lease_id = 0 AND g.id = c.correction_id
WHERE c.ts_us >= %(from_us)s AND c.ts_us < %(to_us)s AND g.position < %(size)s
    AND (%(device)s::text IS NULL OR c.series_id IN (
        SELECT s.series_id FROM floorlog.series AS s WHERE s.device = %(device)s::text))
ORDER BY g.position;

-- :name chunks_of_window
-- The chunks that hold readings of a shard's batches from one number up to before another, by series and time.
SELECT c.series_id, c.lease_id, c.count, c.number_min, c.number_max, c.t_min, c.t_max, c.tick_us, c.scale,
    c.number_narrow, c.number_wide, c.ts_narrow, c.ts, c.ts_wide, c.value_narrow, c.value_scaled, c.value,
    c.quality, c.arrived, c.flags
FROM floorlog.chunk AS c
WHERE int8range((c.lease_id::int8 << 40) + c.number_min, (c.lease_id::int8 << 40) + c.number_max, '[]')
    && int8range((%(lease_id)s << 40) + %(begin)s, (%(lease_id)s << 40) + %(end)s)
ORDER BY c.series_id, c.t_min, c.part;

-- :name chunks_whole
-- Every chunk: what tells its readings, then what is kept beside them, then its place.
SELECT c.series_id, c.lease_id, c.count, c.number_min, c.number_max, c.t_min, c.t_max, c.tick_us, c.scale,
    c.number_narrow, c.number_wide, c.ts_narrow, c.ts, c.ts_wide, c.value_narrow, c.value_scaled, c.value,
    c.quality, c.arrived, c.flags,
    c.lowest, c.highest, c.average, c.newest, c.bin_s, c.bins, c.bin_low, c.bin_high, c.bin_low_scaled,
    c.bin_high_scaled, c.bin_mean, c.bin_count, c.bin_good, c.standing, c.good, c.width, c.slot, c.part
FROM floorlog.chunk AS c ORDER BY c.series_id, c.width, c.slot, c.part;

-- :name chunks_out_of_time
-- Chunks of which a batch was stored outside of the times between which the chunk says so.
SELECT c.series_id, c.width, c.slot, c.part FROM floorlog.chunk AS c
WHERE EXISTS (SELECT FROM floorlog.batch AS b WHERE b.lease_id = c.lease_id
        AND b.number IN (c.number_min, c.number_max) AND b.recorded_at NOT BETWEEN c.recorded_min AND c.recorded_max)
ORDER BY c.series_id, c.width, c.slot, c.part;
