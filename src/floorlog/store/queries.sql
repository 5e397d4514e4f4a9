-- Every statement of the store. Names of parameters are the words of the commands.

-- ── sessions ──────────────────────────────────────────────────────────────────────────────────

-- :name set_session
-- Set what every session needs; after connecting, not in the connection string, for proxies' sake.
SELECT set_config(given.name, given.value, false)
FROM unnest(%(names)s::text[], %(values)s::text[]) AS given (name, value);

-- :name begin
-- Begin a transaction in which each statement sees what was committed before it.
BEGIN ISOLATION LEVEL READ COMMITTED;

-- :name begin_snapshot
-- Begin a transaction in which all statements see the same state.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- :name be_patient
-- Allow a statement of this transaction to take long: take-over may read much, and locks nothing.
SELECT set_config('statement_timeout', '120s', true), set_config('idle_in_transaction_session_timeout', '120s', true);

-- :name commit
-- Make the transaction durable.
COMMIT;

-- :name rollback
-- Undo the transaction.
ROLLBACK;

-- ── leases ────────────────────────────────────────────────────────────────────────────────────

-- :name find_stream
-- The number of a stream, and whether it is gone.
SELECT stream_id, gone FROM floorlog.stream WHERE arn = %(arn)s AND created_at = %(created_at)s;

-- :name add_stream
-- A stream seen for the first time; gone at once when a later one of its name is known.
INSERT INTO floorlog.stream (arn, created_at, gone)
SELECT %(arn)s, %(created_at)s, EXISTS (
    SELECT FROM floorlog.stream WHERE arn = %(arn)s AND created_at > %(created_at)s)
ON CONFLICT DO NOTHING;

-- :name end_older_streams
-- End the shards of earlier streams of this name, with a gap each: their rest can not be read.
SELECT floorlog.end_older_streams(%(arn)s, %(created_at)s);

-- :name say_alive
-- This worker's sign of life.
INSERT INTO floorlog.worker (stream_id, worker, seen_at) VALUES (%(stream_id)s, %(worker)s, clock_timestamp())
ON CONFLICT (stream_id, worker) DO UPDATE SET seen_at = clock_timestamp();

-- :name forget_workers
-- Forget workers that have said nothing for a day.
DELETE FROM floorlog.worker WHERE seen_at < clock_timestamp() - interval '1 day';

-- :name say_goodbye
-- A worker that ends counts no more: the others' fair shares grow at once.
DELETE FROM floorlog.worker WHERE worker = %(worker)s;

-- :name live_workers
-- The workers that gave a sign of life within a lease's length.
SELECT worker FROM floorlog.worker
WHERE stream_id = %(stream_id)s AND seen_at > clock_timestamp() - make_interval(secs => %(lease_s)s)
ORDER BY worker COLLATE "C";

-- :name leases_of_stream
-- Every lease of a stream.
SELECT lease_id, shard_id, parents, owner, wanted_by,
    coalesce(extract(epoch FROM expires_at - clock_timestamp()), 0)::float8, ended
FROM floorlog.lease WHERE stream_id = %(stream_id)s ORDER BY lease_id;

-- :name add_lease
-- A lease for a shard seen for the first time; parents that nobody knows any more count as ended.
INSERT INTO floorlog.lease (stream_id, shard_id, parents, hash_begin, hash_end, ended)
SELECT %(stream_id)s, %(shard_id)s,
    coalesce((SELECT array_agg(p.lease_id ORDER BY p.lease_id) FROM floorlog.lease AS p
        WHERE p.stream_id = %(stream_id)s AND p.shard_id = ANY (%(parents)s::text[])), '{}'),
    %(hash_begin)s::numeric, %(hash_end)s::numeric, %(gone)s
ON CONFLICT (stream_id, shard_id) DO NOTHING;

-- :name lock_family
-- Lock a lease and its parents, in order; only the database's clock says what has expired.
SELECT l.lease_id, l.ended, l.owner IS NULL OR l.expires_at <= clock_timestamp() OR l.expires_at IS NULL,
    l.number, l.read_at, l.clock_s, l.parents
FROM floorlog.lease AS l, floorlog.lease AS child
WHERE child.lease_id = %(lease_id)s AND (l.lease_id = child.lease_id OR l.lease_id = ANY (child.parents))
ORDER BY l.lease_id FOR NO KEY UPDATE OF l;

-- :name take_lease
-- Make the lease this worker's, under a new epoch.
UPDATE floorlog.lease AS l SET digest = coalesce(l.digest, floorlog.digest(l)), owner = %(worker)s, wanted_by = NULL, epoch = epoch + 1,
    expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s),
    read_at = CASE
        WHEN greatest(read_at, %(read_at)s) < 0 THEN floorlog.to_us(clock_timestamp())
        ELSE greatest(read_at, %(read_at)s)
    END, clock_s = greatest(clock_s, %(clock_s)s)
WHERE lease_id = %(lease_id)s
RETURNING lease_id, shard_id, epoch, version, checkpoint, number, clock_s, read_at, parents, hash_begin, hash_end;

-- :name inherit_series
-- Move the series of the parents whose last partition key falls into the child's range.
UPDATE floorlog.series_home SET lease_id = %(lease_id)s
WHERE lease_id = ANY (%(parents)s) AND key_hash BETWEEN
    (SELECT hash_begin FROM floorlog.lease WHERE lease_id = %(lease_id)s)
    AND (SELECT hash_end FROM floorlog.lease WHERE lease_id = %(lease_id)s);

-- :name end_blockers
-- End the sessions of a lease's silent owner that keep a transaction open longer than the lease.
SELECT pg_terminate_backend(a.pid)
FROM floorlog.lease AS l JOIN pg_stat_activity AS a ON a.application_name = left('floorlog ' || l.owner, 63)
WHERE l.lease_id = %(lease_id)s AND l.expires_at <= clock_timestamp() AND a.pid <> pg_backend_pid()
    AND a.datname = current_database() AND a.usename = current_user
    AND a.xact_start < clock_timestamp() - make_interval(secs => %(lease_s)s);

-- :name want_lease
-- Ask for a lease that another holds; a live worker that asked before goes first.
UPDATE floorlog.lease AS l SET wanted_by = %(worker)s
WHERE l.lease_id = %(lease_id)s AND NOT l.ended AND l.owner IS NOT NULL AND l.owner <> %(worker)s
    AND NOT EXISTS (
        SELECT FROM floorlog.worker AS w
        WHERE w.stream_id = l.stream_id AND w.worker = l.wanted_by
            AND w.seen_at > clock_timestamp() - make_interval(secs => %(lease_s)s));

-- :name renew_lease
-- Prolong a lease that is still this worker's.
UPDATE floorlog.lease AS l SET expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s),
    behind_ms = %(behind_ms)s,
    read_at = CASE WHEN %(read_at)s::int8 < 0 THEN l.read_at ELSE %(read_at)s::int8 END
WHERE l.lease_id = %(lease_id)s AND l.epoch = %(epoch)s AND l.owner = %(worker)s AND NOT l.ended
RETURNING l.version, floorlog.to_us(clock_timestamp()), l.wanted_by IS NOT NULL, l.catalogue;

-- :name release_lease
-- Give a lease back; who asked for it is remembered until somebody takes it.
UPDATE floorlog.lease SET owner = NULL, expires_at = NULL
WHERE lease_id = %(lease_id)s AND epoch = %(epoch)s AND owner = %(worker)s;

-- :name standing
-- Where a lease stands. Locks the row, so that a commit under way is waited for.
SELECT epoch, checkpoint, number, version, floorlog.to_us(clock_timestamp())
FROM floorlog.lease WHERE lease_id = %(lease_id)s FOR NO KEY UPDATE;

-- :name wait_briefly
-- Give up soon on a lock for which others would have to wait as well.
SELECT set_config('lock_timeout', '500ms', true);

-- :name make_months
-- Make the partitions of this month and the two after it.
SELECT floorlog.make_months(2);

-- ── taking over ───────────────────────────────────────────────────────────────────────────────

-- :name lease_epoch
-- The epoch at which a lease is now, and its last batch.
SELECT epoch, number FROM floorlog.lease WHERE lease_id = %(lease_id)s;

-- :name snapshots
-- The stored states of these shards.
SELECT lease_id, number, state FROM floorlog.shard_state WHERE lease_id = ANY (%(leases)s) ORDER BY lease_id;

-- :name batches_above
-- The batches of a shard above a number.
SELECT number, clock_s, catalogue FROM floorlog.batch
WHERE lease_id = %(lease_id)s AND number > %(number)s ORDER BY number;

-- :name rows_above
-- The open rows of a shard's batches above a number.
SELECT number, t_min, tick_us, clock_s, series, ts, ts_wide, value, quality, arrived, conflict, late
FROM floorlog.open_row WHERE lease_id = %(lease_id)s AND number > %(number)s ORDER BY number, part;

-- :name set_asides_above
-- Detectors that failed, and were set aside, in a shard's batches above a number.
SELECT number, detector, series_id, start_us FROM floorlog.anomaly
WHERE lease_id = %(lease_id)s AND number > %(number)s AND left(detector, 10) = 'set_aside:' AND phase = 'start'
ORDER BY number;

-- :name all_series
-- Every series of the record with its home.
SELECT s.series_id, s.device, s.metric, s.kind, s.unit, h.lease_id
FROM floorlog.series AS s JOIN floorlog.series_home AS h USING (series_id) ORDER BY s.series_id;

-- :name key_hashes
-- Hashes of the last partition keys of the series homed in a shard.
SELECT series_id, key_hash FROM floorlog.series_home WHERE lease_id = %(lease_id)s AND key_hash IS NOT NULL;

-- :name states
-- Every state's name and code.
SELECT name, code FROM floorlog.state;

-- :name catalogues
-- These versions of the catalogue, and the newest.
SELECT version, body::text FROM floorlog.catalogue
WHERE version = ANY (%(versions)s) OR version = (SELECT max(version) FROM floorlog.catalogue);

-- :name newer_catalogue
-- The newest version of the catalogue, when it is above the one given.
SELECT version, body::text FROM floorlog.catalogue WHERE version > %(version)s ORDER BY version DESC LIMIT 1;

-- :name foreign_rows
-- What other shards stored of series homed here, above one version up to another.
SELECT t_min, tick_us, clock_s, series, ts, ts_wide, value, quality, arrived, conflict, late
FROM floorlog.open_row
WHERE home = %(lease_id)s AND home_version > %(since)s AND home_version <= %(version)s
ORDER BY home_version, part;

-- :name lease_version
-- The version at which a lease is now.
SELECT version FROM floorlog.lease WHERE lease_id = %(lease_id)s;

-- ── series ────────────────────────────────────────────────────────────────────────────────────

-- :name hold_lease
-- Keep the lease from being taken until this transaction ends.
SELECT epoch, ended FROM floorlog.lease WHERE lease_id = %(lease_id)s FOR SHARE;

-- :name lock_names
-- One worker at a time gives numbers to names: they stay dense, and nobody waits in a circle.
SELECT pg_advisory_xact_lock(4706882);

-- :name join_by_hash
-- Hundreds of names at once are joined by hash, which a session otherwise may not.
SELECT set_config('enable_hashjoin', 'on', true);

-- :name known_names
-- The series of these names.
SELECT s.series_id, s.device, s.metric, s.kind, s.unit, h.lease_id
FROM unnest(%(devices)s::text[], %(metrics)s::text[]) AS asked (device, metric)
JOIN floorlog.series AS s USING (device, metric) JOIN floorlog.series_home AS h USING (series_id)
ORDER BY s.series_id;

-- :name known_series
-- These series.
SELECT s.series_id, s.device, s.metric, s.kind, s.unit, h.lease_id
FROM floorlog.series AS s JOIN floorlog.series_home AS h USING (series_id)
WHERE s.series_id = ANY (%(series)s) ORDER BY s.series_id;

-- :name add_series
-- Numbers for series at first sight, as far as the record takes more.
INSERT INTO floorlog.series (device, metric, kind, unit)
SELECT device, metric, kind, unit
FROM unnest(%(devices)s::text[], %(metrics)s::text[], %(kinds)s::int2[], %(units)s::text[])
    WITH ORDINALITY AS given (device, metric, kind, unit, place)
WHERE NOT EXISTS (SELECT FROM floorlog.series AS s WHERE s.device = given.device AND s.metric = given.metric)
ORDER BY place LIMIT greatest(0, %(series_max)s - (SELECT count(*) FROM floorlog.series))
RETURNING series_id;

-- :name add_homes
-- Homes for series that were just numbered.
INSERT INTO floorlog.series_home (series_id, lease_id, key_hash)
SELECT s.series_id, %(lease_id)s, given.key_hash
FROM unnest(%(devices)s::text[], %(metrics)s::text[], %(hashes)s::numeric[]) AS given (device, metric, key_hash)
JOIN floorlog.series AS s USING (device, metric)
WHERE s.series_id = ANY (%(fresh)s);

-- :name rekey_series
-- Keep the hash of the last partition key of series homed here.
UPDATE floorlog.series_home AS h SET key_hash = given.key_hash
FROM unnest(%(devices)s::text[], %(metrics)s::text[], %(hashes)s::numeric[]) AS given (device, metric, key_hash)
JOIN floorlog.series AS s USING (device, metric)
WHERE h.series_id = s.series_id AND h.lease_id = %(lease_id)s AND h.key_hash IS DISTINCT FROM given.key_hash;

-- :name add_states
-- Codes for state names at first sight.
INSERT INTO floorlog.state (code, name)
SELECT (SELECT max(code) FROM floorlog.state) + row_number() OVER (ORDER BY place), name
FROM unnest(%(names)s::text[]) WITH ORDINALITY AS given (name, place)
WHERE NOT EXISTS (SELECT FROM floorlog.state AS s WHERE s.name = given.name);

-- :name states_named
-- The codes of these state names.
SELECT name, code FROM floorlog.state WHERE name = ANY (%(names)s::text[]);

-- ── looking up ────────────────────────────────────────────────────────────────────────────────

-- :name lock_homes
-- Lock the leases of all shards concerned, in order.
SELECT lease_id, epoch, number, version, ended FROM floorlog.lease
WHERE lease_id = ANY (%(homes)s) ORDER BY lease_id FOR NO KEY UPDATE;

-- :name homes
-- Where these series are at home, and the five minutes of their newest reading.
SELECT series_id, lease_id, newest_window FROM floorlog.series_home WHERE series_id = ANY (%(series)s);

-- :name adopt_series
-- Make this shard the home of series whose home has ended without an heir.
UPDATE floorlog.series_home SET lease_id = %(lease_id)s WHERE series_id = ANY (%(series)s);

-- :name rows_in_spans
-- The open rows that may hold a reading within spans of time.
SELECT r.lease_id, r.number, r.part,
    r.t_min, r.tick_us, r.clock_s, r.series, r.ts, r.ts_wide, r.value, r.quality, r.arrived, r.conflict, r.late
FROM unnest(%(begins)s::int8[], %(ends)s::int8[]) AS span (begin_us, end_us)
CROSS JOIN LATERAL floorlog.rows_between(span.begin_us, span.end_us) AS r;

-- :name last_time
-- Where to begin to look back from in a span.
SELECT floorlog.last_time(%(begin)s, %(end)s);

-- :name rows_ending_in
-- The open rows that may hold readings of a span and end before a time.
SELECT r.t_min, r.tick_us, r.clock_s, r.series, r.ts, r.ts_wide, r.value, r.quality, r.arrived, r.conflict, r.late
FROM floorlog.rows_between(%(cut)s, %(end)s) AS r WHERE r.t_max < %(below)s
ORDER BY r.recorded_at, r.lease_id, r.number, r.part;

-- ── committing ────────────────────────────────────────────────────────────────────────────────

-- :name add_open_row
-- One row of readings.
INSERT INTO floorlog.open_row (number, t_min, t_max, clock_s, home_version, lease_id, slot, home, tick_us,
    width, part, series, ts, ts_wide, value, quality, arrived, conflict, late)
VALUES (%(number)s, %(t_min)s, %(t_max)s, %(clock_s)s, %(home_version)s, %(lease_id)s, %(slot)s, %(home)s,
    %(tick_us)s, %(width)s, %(part)s, %(series)s, %(ts)s, %(ts_wide)s, %(value)s, %(quality)s, %(arrived)s,
    %(conflict)s, %(late)s);

-- :name add_rejects
-- The rejects of a batch.
INSERT INTO floorlog.reject (lease_id, number, sequence, element, code, reason, data)
SELECT %(lease_id)s, %(number)s, * FROM unnest(%(sequences)s::numeric[], %(elements)s::int4[],
    %(codes)s::text[], %(reasons)s::text[], %(data)s::bytea[]);

-- :name add_anomalies
-- The events of findings in a batch.
INSERT INTO floorlog.anomaly (lease_id, number, series_id, severity, phase, detector, start_us, at_us,
    score, value, expected, reason)
SELECT %(lease_id)s, %(number)s, * FROM unnest(%(series)s::int4[], %(severities)s::int2[], %(phases)s::text[],
    %(detectors)s::text[], %(starts)s::int8[], %(ats)s::int8[], %(scores)s::float8[], %(values)s::float8[],
    %(expected)s::float8[], %(reasons)s::text[]);

-- :name raise_alarms
-- The findings of a batch raise and return their alarms.
SELECT floorlog.alarms_found(%(lease_id)s::int4, %(number)s, %(series)s::int4[], %(detectors)s::text[],
    %(phases)s::text[], %(ats)s::int8[], %(starts)s::int8[], %(priorities)s::int2[], %(latches)s::bool[],
    %(reasons)s::text[]);

-- :name add_conflicts
-- The readings of a batch that contradict earlier ones.
INSERT INTO floorlog.conflict (lease_id, number, series_id, ts_us, value, quality)
SELECT %(lease_id)s, %(number)s, * FROM unnest(%(series)s::int4[], %(ts)s::int8[], %(values)s::float8[],
    %(qualities)s::int8[]);

-- :name add_gaps
-- The losses of input that a batch tells of.
INSERT INTO floorlog.gap (lease_id, number, begin_us, end_us, cause)
SELECT %(lease_id)s, %(number)s, * FROM unnest(%(begins)s::int8[], %(ends)s::int8[], %(causes)s::text[]);

-- :name raise_newest
-- Remember the five minutes of each series' newest reading, where it has moved on.
UPDATE floorlog.series_home AS h SET newest_window = given.number
FROM unnest(%(series)s::int4[], %(windows)s::int4[]) AS given (series_id, number)
WHERE h.series_id = given.series_id AND (h.newest_window IS NULL OR h.newest_window < given.number);

-- :name raise_versions
-- Tell the homes of foreign series that their marks are behind.
UPDATE floorlog.lease SET version = version + 1 WHERE lease_id = ANY (%(moved)s);

-- :name keep_snapshot
-- Keep a shard's state, in the place of the one before.
INSERT INTO floorlog.shard_state (lease_id, number, state, recorded_at)
VALUES (%(lease_id)s, %(number)s, %(state)s, now())
ON CONFLICT (lease_id) DO UPDATE SET number = excluded.number, state = excluded.state,
    recorded_at = excluded.recorded_at;

-- :name advance
-- Move the lease on by one batch and write its head: fails unless it stands exactly where this worker believes.
SELECT now_us, is_wanted, newer, newer_body FROM floorlog.advance(%(lease_id)s, %(epoch)s, %(number)s,
    %(version)s, %(checkpoint)s::numeric, %(sequence)s::numeric, %(clock_s)s, %(read_at)s, %(behind_ms)s,
    %(catalogue)s, %(counted)s, %(leaves)s, %(root)s, %(ended)s,
    %(lease_s)s, %(locator)s::bytea);

-- ── reading ───────────────────────────────────────────────────────────────────────────────────

-- :name status_of_shards
-- Counts and standing of every shard, and whether its stream is gone. lag_ms is what the stream said
-- at the last read; where nobody holds the lease, the time since the shard was last read.
SELECT l.shard_id, s.arn, l.owner, l.ended, l.number, l.clock_s,
    CASE WHEN l.ended THEN 0 WHEN l.expires_at > clock_timestamp() THEN l.behind_ms
        ELSE greatest(0, floorlog.to_us(clock_timestamp())
            - CASE WHEN l.read_at >= 0 THEN l.read_at ELSE floorlog.to_us(s.created_at) END) / 1000 END,
    l.records, l.received, l.stored, l.rejected, l.duplicate, l.conflict, l.gaps, l.checkpoint::text, l.read_at, s.gone
FROM floorlog.lease AS l JOIN floorlog.stream AS s USING (stream_id) ORDER BY s.arn, l.lease_id;

-- :name count_series
-- How many series there are.
SELECT count(*) FROM floorlog.series;

-- :name count_anomalies
-- How many findings began.
SELECT count(*) FROM floorlog.anomaly WHERE phase = 'start';

-- :name size
-- Bytes that the database takes on disk.
SELECT pg_database_size(current_database());

-- :name workers_seen
-- Workers, and seconds since their last sign of life.
SELECT worker, extract(epoch FROM clock_timestamp() - seen_at)::float8 FROM floorlog.worker ORDER BY worker;

-- :name list_series
-- Every series, by name, and whether it is learned still.
SELECT s.series_id, s.device, s.metric, s.kind, s.unit, s.kind = 0 AND h.calibrated_s IS NULL
FROM floorlog.series AS s JOIN floorlog.series_home AS h USING (series_id) ORDER BY s.device, s.metric;

-- :name last_values
-- The newest reading of every series.
SELECT floorlog.to_us(ts), device_id, metric, value, text, unit, quality, floorlog.to_us(recorded_at)
FROM floorlog.last_values() ORDER BY device_id, metric;

-- :name readings_of_series
-- Readings of one series in a span of time, the newest first when there are more than asked for.
SELECT floorlog.to_us(ts), value, text, quality, flags, floorlog.to_us(recorded_at)
FROM floorlog.readings(%(device)s, %(metric)s, %(from_time)s, %(to_time)s)
ORDER BY ts DESC, recorded_at DESC LIMIT %(rows_max)s;

-- :name readings_in_span
-- All readings in a span of time, up to as many as asked for.
SELECT floorlog.to_us(ts), device_id, metric, value, text, quality, flags, floorlog.to_us(recorded_at)
FROM floorlog.readings(%(from_time)s, %(to_time)s) LIMIT %(rows_max)s;

-- :name recent_findings
-- Findings that are open, or ended or began within the span asked for; the newest first.
WITH started AS (
    SELECT a.* FROM floorlog.anomaly AS a WHERE a.phase = 'start'
), finding AS (
    SELECT a.series_id, a.detector, a.start_us, a.severity, a.score, a.value, a.expected, a.reason,
        a.recorded_at, e.at_us AS end_us
    FROM started AS a LEFT JOIN LATERAL (
        SELECT x.at_us FROM floorlog.anomaly AS x
        WHERE x.series_id = a.series_id AND x.detector = a.detector AND x.start_us = a.start_us
            AND x.phase = 'end' LIMIT 1
    ) AS e ON true
)
SELECT s.device, s.metric, f.detector, f.start_us, f.end_us, f.severity, f.score, f.value, f.expected,
    f.reason, floorlog.to_us(f.recorded_at)
FROM finding AS f JOIN floorlog.series AS s USING (series_id)
WHERE f.end_us IS NULL OR greatest(f.end_us, floorlog.to_us(f.recorded_at)) >= %(since)s
ORDER BY f.start_us DESC, s.device, s.metric, f.detector LIMIT %(rows_max)s;

-- :name rejects_by_code
-- How many rejects of each code were stored since a time.
SELECT code, count(*) FROM floorlog.reject WHERE recorded_at >= %(since)s GROUP BY code ORDER BY code;

-- :name recent_rejects
-- The newest rejects.
SELECT floorlog.to_us(j.recorded_at), l.shard_id, j.sequence, j.element, j.code, j.reason, j.data
FROM floorlog.reject AS j JOIN floorlog.lease AS l USING (lease_id)
ORDER BY j.recorded_at DESC LIMIT %(rows_max)s;

-- :name recent_gaps
-- The newest gaps.
SELECT floorlog.to_us(g.recorded_at), l.shard_id, g.begin_us, g.end_us, g.cause
FROM floorlog.gap AS g JOIN floorlog.lease AS l USING (lease_id)
ORDER BY g.recorded_at DESC LIMIT %(rows_max)s;

-- :name conflicts_in_span
-- Conflicts stored in a span of time, each beside the value that stands.
SELECT floorlog.to_us(ts), device_id, metric, value, text, quality, standing_value, standing_text,
    standing_quality, floorlog.to_us(recorded_at)
FROM floorlog.conflicts(%(from_time)s, %(to_time)s) ORDER BY recorded_at DESC, ts DESC LIMIT %(rows_max)s;

-- ── catalogue ─────────────────────────────────────────────────────────────────────────────────

-- :name lock_catalogue
-- One version of the catalogue at a time.
SELECT pg_advisory_xact_lock(4706883);

-- :name newest_catalogue
-- The newest version of the catalogue.
SELECT version, body::text FROM floorlog.catalogue ORDER BY version DESC LIMIT 1;

-- :name split_mark
-- What the shards of assets depend on: it changes when they may have.
SELECT (SELECT max(version) FROM floorlog.catalogue), (SELECT max(series_id) FROM floorlog.series),
    count(*), count(*) FILTER (WHERE ended) FROM floorlog.lease;

-- :name homes_of_devices
-- The shards that series of each device are at home in, of those that have not ended.
SELECT DISTINCT s.device, h.lease_id
FROM floorlog.series AS s JOIN floorlog.series_home AS h USING (series_id) JOIN floorlog.lease AS l USING (lease_id)
WHERE NOT l.ended;

-- :name split_assets
-- Assets whose series came to several shards, as the newest catalogue says.
SELECT json_array_elements_text(newest.body -> 'acts' -> 'split')
FROM (SELECT body FROM floorlog.catalogue ORDER BY version DESC LIMIT 1) AS newest
WHERE json_typeof(newest.body -> 'acts' -> 'split') = 'array';

-- :name add_catalogue
-- A further version of the catalogue.
INSERT INTO floorlog.catalogue (version, body) VALUES (%(version)s, %(body)s::json);
