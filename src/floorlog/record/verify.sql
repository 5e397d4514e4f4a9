-- What verification reads. No function of the record's own is used: times come as their bytes.

-- :name open_verification
-- One state for all statements; nothing may hide behind another schema's names.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- :name set_verification
-- Ways through the indexes, that rows come in order without a sort of all of them.
SELECT set_config(given.name, given.value, true)
FROM unnest(%(names)s::text[], %(values)s::text[]) AS given (name, value);

-- :name totals
-- The database's clock, and what there is to read, for the bar.
SELECT timestamptz_send(now()), coalesce(sum(stored), 0)::int8 FROM floorlog.batch WHERE recorded_at >= %(since)s;

-- :name series_of_device
-- The series of a device.
SELECT series_id FROM floorlog.series WHERE device = %(device)s ORDER BY series_id;

-- :name leaves
-- The log, in its order.
SELECT position, hash FROM floorlog.log_leaf ORDER BY position;

-- :name leaves_of_things
-- The log's leaves of all but entries, by what they stand for.
SELECT kind, id, position, hash, lease_id FROM floorlog.log_leaf WHERE kind <> 32 ORDER BY kind, id;

-- :name leaves_of_entries
-- The log's leaves of entries, by shard.
SELECT lease_id, id, position, hash FROM floorlog.log_leaf WHERE kind = 32 ORDER BY lease_id, id;

-- :name log_span
-- A part of the log, and what each leaf of it stands for.
SELECT position, hash, kind, lease_id, id FROM floorlog.log_leaf
WHERE position >= %(begin)s AND position < %(end)s ORDER BY position LIMIT 1000000;

-- :name notes
-- The copies of anchored notes.
SELECT size, body FROM floorlog.note ORDER BY size;

-- :name shards
-- Every shard: what it is, and what its row says of its batches.
SELECT l.lease_id, s.arn, timestamptz_send(s.created_at), l.shard_id, l.parents::text, l.hash_begin::text,
    l.hash_end::text, l.digest, l.head, l.number, l.checkpoint::text, l.clock_s, l.catalogue,
    l.records, l.received, l.stored, l.rejected, l.duplicate, l.conflict, l.gaps
FROM floorlog.lease AS l LEFT JOIN floorlog.stream AS s ON s.stream_id = l.stream_id ORDER BY l.lease_id;

-- :name bare_streams
-- Streams without a shard.
SELECT stream_id, arn FROM floorlog.stream AS s
WHERE NOT EXISTS (SELECT FROM floorlog.lease AS l WHERE l.stream_id = s.stream_id) ORDER BY stream_id;

-- :name series
-- Every series.
SELECT series_id, device, metric, kind, unit FROM floorlog.series ORDER BY series_id;

-- :name states
-- Every state.
SELECT code, name FROM floorlog.state ORDER BY code;

-- :name catalogues
-- Every version of the catalogue.
SELECT version, body::text, timestamptz_send(recorded_at) FROM floorlog.catalogue ORDER BY version;

-- :name events
-- Every audit event.
SELECT event_id, timestamptz_send(recorded_at), actor, action, detail::text FROM floorlog.audit_event ORDER BY event_id;

-- :name alarm_events
-- Every event of an alarm, with the series that it names.
SELECT e.event_id, timestamptz_send(e.recorded_at), s.series_id, s.device, s.metric, s.kind, s.unit, e.detector,
    e.event, e.at_us, e.start_us, e.before, e.after, e.active, e.latch, e.priority, e.actor, e.reason, e.until_us,
    e.lease_id, e.number
FROM floorlog.alarm_event AS e LEFT JOIN floorlog.series AS s USING (series_id) ORDER BY e.event_id;

-- :name alarm_steps
-- What each event did to its alarm, in the order in which they happened to it.
SELECT event_id, series_id, detector, event, before, after, active, latch, until_us,
    start_us, priority, timestamptz_send(recorded_at)
FROM floorlog.alarm_event ORDER BY event_id;

-- :name alarms
-- What is kept of each alarm beside its events.
SELECT series_id, detector, event_id, raised_us, priority, timestamptz_send(changed_at), state, active, latch, until_us
FROM floorlog.alarm ORDER BY series_id, detector;

-- :name corrections
-- Every correction.
SELECT c.correction_id, timestamptz_send(c.recorded_at), c.actor, c.reason, c.ts_us, c.series_id, c.was_value,
    c.was_quality, c.value, c.quality
FROM floorlog.correction AS c ORDER BY c.correction_id;

-- :name expiries
-- Every expiry, with what its shard is, and when the last of its batches was stored.
SELECT x.expiry_id, timestamptz_send(x.recorded_at), x.first_number, x.last_number, x.series::text, x.batches,
    x.readings, x.rejects, x.anomalies, x.events, x.root, l.lease_id, s.arn, timestamptz_send(s.created_at),
    l.shard_id, l.parents::text, l.hash_begin::text, l.hash_end::text,
    (SELECT timestamptz_send(max(b.recorded_at)) FROM floorlog.batch AS b
        WHERE b.lease_id = x.lease_id AND b.number = x.last_number)
FROM floorlog.expiry AS x LEFT JOIN floorlog.lease AS l ON l.lease_id = x.lease_id
LEFT JOIN floorlog.stream AS s ON s.stream_id = l.stream_id ORDER BY x.expiry_id;

-- :name retention_acts
-- Policies that were set, holds that were placed or released, in their order.
SELECT event_id, timestamptz_send(recorded_at), action, detail::text FROM floorlog.audit_event
WHERE action IN ('retention.set', 'hold.place', 'hold.release') ORDER BY event_id;

-- :name expired
-- What stands for what expired, by batch; hashes one after the other.
SELECT x.lease_id, x.number, x.expiry_id, x.readings, x.rejects, x.begins::text, x.ends::text,
    array_to_string(ARRAY(SELECT encode(h, 'hex') FROM unnest(x.hashes) WITH ORDINALITY AS u (h, n) ORDER BY n), '')
FROM floorlog.expired AS x ORDER BY x.lease_id, x.number, x.expiry_id;

-- :name newest
-- What is noted of each series' newest reading.
SELECT series_id, newest_window FROM floorlog.series_home ORDER BY series_id;

-- :name batches
-- Batches by shard, all or those that hold readings of some series.
SELECT lease_id, number, epoch, clock_s, timestamptz_send(recorded_at), sequence_before::text, sequence::text,
    catalogue, records, received, stored, rejected, duplicate, conflict, leaves, root, head, locator
FROM floorlog.batch AS b
WHERE recorded_at >= %(since)s AND (%(series)s::int4[] IS NULL OR (lease_id, number) IN (
    SELECT o.lease_id, o.number FROM floorlog.open_row AS o WHERE o.series && %(series)s::int4[]
    UNION
    SELECT c.lease_id, c.number_min + (u.place - 1) * (c.number_max - c.number_min) / greatest(c.count - 1, 1)
        + coalesce(u.narrow, u.wide, 0)
    FROM floorlog.chunk AS c
    CROSS JOIN LATERAL (
        SELECT generate_series(1, c.count) AS place, unnest(c.number_narrow) AS narrow, unnest(c.number_wide) AS wide
    ) AS u
    WHERE c.series_id = ANY (%(series)s::int4[])))
ORDER BY lease_id, number;

-- :name sealed_count
-- How many readings chunks say that they hold.
SELECT coalesce(sum(count), 0)::int8 FROM floorlog.chunk;

-- :name sealed_orphans
-- Chunks that hold readings of batches that are not there.
SELECT DISTINCT c.series_id, c.lease_id, c.width, c.slot, c.part
FROM floorlog.chunk AS c
CROSS JOIN LATERAL (
    SELECT generate_series(1, c.count) AS place, unnest(c.number_narrow) AS narrow, unnest(c.number_wide) AS wide
) AS u
WHERE NOT EXISTS (SELECT FROM floorlog.batch AS b WHERE b.lease_id = c.lease_id AND b.number = c.number_min
    + (u.place - 1) * (c.number_max - c.number_min) / greatest(c.count - 1, 1) + coalesce(u.narrow, u.wide, 0))
ORDER BY 1, 3, 4, 5;

-- :name open_rows
-- Open rows by batch.
SELECT lease_id, number, part, timestamptz_send(recorded_at), t_min, t_max, clock_s, slot, width, tick_us,
    series, ts, ts_wide, value, quality, arrived, conflict, late
FROM floorlog.open_row WHERE recorded_at >= %(since)s ORDER BY lease_id, number;

-- :name rejects
-- Rejects by batch.
SELECT lease_id, number, timestamptz_send(recorded_at), sequence::text, element, code, reason, data
FROM floorlog.reject WHERE recorded_at >= %(since)s ORDER BY lease_id, number;

-- :name anomalies
-- Anomalies by batch.
SELECT lease_id, number, timestamptz_send(recorded_at), series_id, severity, phase, detector, start_us, at_us,
    score, value, expected, reason
FROM floorlog.anomaly WHERE recorded_at >= %(since)s ORDER BY lease_id, number;

-- :name gaps
-- Gaps by batch.
SELECT lease_id, number, timestamptz_send(recorded_at), begin_us, end_us, cause
FROM floorlog.gap WHERE recorded_at >= %(since)s ORDER BY lease_id, number;

-- :name conflicts
-- Conflicts by batch.
SELECT lease_id, number, timestamptz_send(recorded_at), series_id, ts_us, value, quality
FROM floorlog.conflict WHERE recorded_at >= %(since)s ORDER BY lease_id, number;

-- :name schema_migrations
-- What the schema was made by.
SELECT m.number, m.digest FROM floorlog.schema_migration AS m ORDER BY m.number;

-- :name schema_functions
-- Every function of the record: name, language, body, settings.
SELECT p.proname::text, l.lanname::text, p.prosrc, array_to_string(p.proconfig, ',')
FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
WHERE p.pronamespace = 'floorlog'::pg_catalog.regnamespace ORDER BY p.proname, p.oid;

-- :name schema_strange
-- What may show one thing to one and another to another: no plain tables, rules, policies that hide.
SELECT c.relname::text, CASE c.relkind WHEN 'f' THEN 'in another database' ELSE 'a copy' END
FROM pg_catalog.pg_class AS c
WHERE c.relnamespace = 'floorlog'::pg_catalog.regnamespace AND c.relkind IN ('f', 'm')
UNION ALL
SELECT c.relname::text, 'under the rule ' || r.rulename FROM pg_catalog.pg_rewrite AS r
JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class
WHERE c.relnamespace = 'floorlog'::pg_catalog.regnamespace AND r.rulename <> '_RETURN'
UNION ALL
SELECT c.relname::text, 'under the policy ' || p.polname FROM pg_catalog.pg_policy AS p
JOIN pg_catalog.pg_class AS c ON c.oid = p.polrelid
WHERE c.relnamespace = 'floorlog'::pg_catalog.regnamespace AND p.polcmd IN ('r', '*')
    AND NOT (p.polpermissive AND pg_catalog.pg_get_expr(p.polqual, p.polrelid) = 'true')
UNION ALL
SELECT c.relname::text, 'under policies that let nobody read' FROM pg_catalog.pg_class AS c
WHERE c.relnamespace = 'floorlog'::pg_catalog.regnamespace AND c.relrowsecurity AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_policy AS p WHERE p.polrelid = c.oid AND p.polcmd IN ('r', '*') AND p.polroles = '{0}')
ORDER BY 1, 2;

-- :name schema_view_names
-- The names of all views of the record.
SELECT c.relname::text FROM pg_catalog.pg_class AS c
WHERE c.relnamespace = 'floorlog'::pg_catalog.regnamespace AND c.relkind = 'v' ORDER BY 1;

-- :name as_owner_reads
-- Names are found as when the schema was made.
SET LOCAL search_path = floorlog, pg_catalog;

-- :name schema_views
-- Every view of the record, and those made to compare, as the server writes them.
SELECT c.relname::text, pg_catalog.pg_get_viewdef(c.oid)
FROM pg_catalog.pg_class AS c
WHERE c.relkind = 'v' AND c.relnamespace IN ('floorlog'::pg_catalog.regnamespace, pg_catalog.pg_my_temp_schema());
