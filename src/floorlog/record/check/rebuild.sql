-- Makes again what can be made from evidence, as the owner. Read by store.queries.parse.

-- :name hold_record
-- Nobody writes meanwhile; who cannot wait tries again.
LOCK TABLE floorlog.lease, floorlog.batch, floorlog.open_row, floorlog.chunk, floorlog.conflict, floorlog.series_home,
    floorlog.alarm, floorlog.alarm_event, floorlog.log_leaf, floorlog.note IN SHARE ROW EXCLUSIVE MODE;

-- :name rebuild_heads
-- The head of each batch is its leaf in the log.
UPDATE floorlog.batch AS b SET head = g.hash FROM floorlog.log_leaf AS g
WHERE g.kind = 32 AND g.lease_id = b.lease_id AND g.id = b.number AND g.hash <> b.head;

-- :name rebuild_newer_heads
-- The heads of batches that the log has not yet follow from those before them.
DO $$
DECLARE
    b floorlog.batch;
    previous bytea;
BEGIN
    UPDATE floorlog.lease AS l SET digest = floorlog.digest(l) WHERE l.digest <> floorlog.digest(l);
    FOR b IN
        SELECT o.* FROM floorlog.batch AS o WHERE NOT EXISTS (
            SELECT FROM floorlog.log_leaf AS g WHERE g.kind = 32 AND g.lease_id = o.lease_id AND g.id = o.number)
        ORDER BY o.lease_id, o.number
    LOOP
        SELECT o.head INTO previous FROM floorlog.batch AS o WHERE o.lease_id = b.lease_id AND o.number = b.number - 1;
        IF b.number = 1 THEN
            SELECT coalesce(string_agg(p.head, ''::bytea ORDER BY p.lease_id), '') INTO previous
            FROM (
                SELECT DISTINCT ON (o.lease_id) o.lease_id, o.head FROM floorlog.batch AS o
                WHERE o.lease_id = ANY (SELECT unnest(l.parents) FROM floorlog.lease AS l WHERE l.lease_id = b.lease_id)
                ORDER BY o.lease_id, o.number DESC
            ) AS p;
        END IF;
        UPDATE floorlog.batch AS o SET head = floorlog.entry(
            l.digest, b.number, b.epoch, b.clock_s, floorlog.to_us(b.recorded_at), b.catalogue, b.sequence_before,
            b.sequence, ARRAY[b.records, b.received, b.stored, b.rejected, b.duplicate, b.conflict], b.leaves, b.root,
            previous)
        FROM floorlog.lease AS l
        WHERE l.lease_id = b.lease_id AND o.lease_id = b.lease_id AND o.number = b.number;
    END LOOP;
END
$$;

-- :name rebuild_leases
-- What a shard's row sums up of its batches.
UPDATE floorlog.lease AS l SET number = coalesce(e.number, 0), checkpoint = coalesce(e.sequence, -1),
    head = coalesce(e.head, ''), clock_s = coalesce(e.clock_s, l.clock_s), catalogue = coalesce(e.catalogue, 0),
    records = coalesce(s.records, 0), received = coalesce(s.received, 0), stored = coalesce(s.stored, 0),
    rejected = coalesce(s.rejected, 0), duplicate = coalesce(s.duplicate, 0), conflict = coalesce(s.conflict, 0),
    gaps = (SELECT count(*) FROM floorlog.gap AS g WHERE g.lease_id = l.lease_id)
FROM floorlog.lease AS o
LEFT JOIN LATERAL (
    SELECT b.* FROM floorlog.batch AS b WHERE b.lease_id = o.lease_id ORDER BY b.number DESC LIMIT 1) AS e ON true
LEFT JOIN LATERAL (
    SELECT sum(b.records) AS records, sum(b.received) AS received, sum(b.stored) AS stored,
        sum(b.rejected) AS rejected, sum(b.duplicate) AS duplicate, sum(b.conflict) AS conflict
    FROM floorlog.batch AS b WHERE b.lease_id = o.lease_id) AS s ON true
WHERE o.lease_id = l.lease_id;

-- :name rebuild_open_rows
-- Where an open row lies: from its readings, in the narrowest slot that holds them.
UPDATE floorlog.open_row AS o SET t_max = f.t_max, width = f.width, slot = f.slot
FROM (
    SELECT r.tableoid AS part, r.ctid AS at, m.t_max, w.width, w.slot
    FROM floorlog.open_row AS r
    CROSS JOIN LATERAL (SELECT max(u.at_us) AS t_max FROM floorlog.opened(r) AS u) AS m
    CROSS JOIN LATERAL (
        SELECT a.width, a.first_slot AS slot FROM floorlog.slots(r.t_min, r.t_min) AS a
        JOIN floorlog.slots(m.t_max, m.t_max) AS z ON z.width = a.width AND z.first_slot = a.first_slot
        WHERE NOT EXISTS (
            SELECT FROM floorlog.widths() AS v WHERE v.width = r.width AND r.t_max = m.t_max
                AND floor(r.t_min::numeric / v.length_us) = r.slot AND floor(m.t_max::numeric / v.length_us) = r.slot)
        ORDER BY a.width LIMIT 1
    ) AS w
) AS f
WHERE o.tableoid = f.part AND o.ctid = f.at;

-- :name forget_conflicts
-- Conflicts are found again.
DELETE FROM floorlog.conflict;

-- :name find_conflicts
-- Every reading that is flagged, open and sealed.
INSERT INTO floorlog.conflict (recorded_at, lease_id, number, series_id, ts_us, value, quality)
SELECT b.recorded_at, b.lease_id, b.number, f.series_id, f.at_us, f.value, f.quality
FROM (
    SELECT o.lease_id, o.number, u.series_id, u.at_us, u.value, u.quality
    FROM floorlog.open_row AS o CROSS JOIN LATERAL floorlog.opened(o) AS u
    WHERE o.conflict IS NOT NULL AND u.flags & 1 = 1
    UNION ALL
    SELECT c.lease_id, u.number, c.series_id, u.at_us, u.value, u.quality
    FROM floorlog.chunk AS c CROSS JOIN LATERAL floorlog.unsealed(c) AS u
    WHERE c.flags IS NOT NULL AND u.flags & 1 = 1
) AS f
JOIN floorlog.batch AS b ON b.lease_id = f.lease_id AND b.number = f.number;

-- :name forget_twins
-- Of homes that stand twice one stays.
DELETE FROM floorlog.series_home AS h WHERE EXISTS (
    SELECT FROM floorlog.series_home AS o WHERE o.series_id = h.series_id AND o.ctid < h.ctid);

-- :name rebuild_homes
-- Of each series the five minutes of its newest reading; a home that is gone is where that reading came from.
WITH ends AS (
    SELECT u.series_id, u.at_us, o.lease_id FROM floorlog.open_row AS o CROSS JOIN LATERAL floorlog.opened(o) AS u
    UNION ALL SELECT c.series_id, c.t_max, c.lease_id FROM floorlog.chunk AS c
), newest AS (
    SELECT DISTINCT ON (e.series_id) e.series_id, e.lease_id, floor(e.at_us / 300000000.0)::int4 AS window
    FROM ends AS e ORDER BY e.series_id, e.at_us DESC
), gone AS (
    DELETE FROM floorlog.series_home AS h WHERE NOT EXISTS (
        SELECT FROM floorlog.series AS s WHERE s.series_id = h.series_id)
), added AS (
    INSERT INTO floorlog.series_home (series_id, lease_id, newest_window)
    SELECT n.series_id, n.lease_id, n.window FROM newest AS n
    WHERE NOT EXISTS (SELECT FROM floorlog.series_home AS h WHERE h.series_id = n.series_id)
)
UPDATE floorlog.series_home AS h SET newest_window = n.window
FROM floorlog.series_home AS o LEFT JOIN newest AS n ON n.series_id = o.series_id
WHERE o.series_id = h.series_id AND h.newest_window IS DISTINCT FROM n.window;

-- :name forget_alarms
-- Alarms are folded again.
DELETE FROM floorlog.alarm AS a WHERE a.event_id <> 0
    OR (a.raised_us, a.until_us, a.priority, a.active, a.latch, a.state) <> (0, 0, 1, false, false, 'normal')
    OR EXISTS (SELECT FROM floorlog.alarm_event AS e WHERE e.series_id = a.series_id AND e.detector = a.detector)
    OR EXISTS (SELECT FROM floorlog.alarm AS o
        WHERE o.series_id = a.series_id AND o.detector = a.detector AND o.ctid < a.ctid);

-- :name fold_alarms
-- Each alarm as its last event left it.
INSERT INTO floorlog.alarm (series_id, detector, event_id, raised_us, until_us, changed_at, priority, active, latch, state)
SELECT DISTINCT ON (e.series_id, e.detector) e.series_id, e.detector, e.event_id, e.start_us, e.until_us, e.recorded_at,
    e.priority, e.active, e.latch, e.after
FROM floorlog.alarm_event AS e ORDER BY e.series_id, e.detector, e.event_id DESC;

-- :name forget_notes
-- Copies of notes are made again.
DELETE FROM floorlog.note;

-- :name copy_note
-- A copy of an anchored note.
INSERT INTO floorlog.note (size, body) VALUES (%(size)s, %(body)s);

-- :name rebuild_chunk_times
-- When a chunk's batches were stored.
UPDATE floorlog.chunk AS c SET recorded_min = least(c.recorded_min, b.first), recorded_max = greatest(c.recorded_max, b.last)
FROM floorlog.chunk AS o
CROSS JOIN LATERAL (
    SELECT min(t.recorded_at) AS first, max(t.recorded_at) AS last FROM floorlog.batch AS t
    WHERE t.lease_id = o.lease_id AND t.number IN (o.number_min, o.number_max)) AS b
WHERE (o.series_id, o.width, o.slot, o.part) = (c.series_id, c.width, c.slot, c.part)
    AND NOT (b.first >= c.recorded_min AND b.last <= c.recorded_max);

-- :name rebuild_chunk
-- What is kept beside a chunk's readings.
UPDATE floorlog.chunk SET lowest = %(lowest)s, highest = %(highest)s, average = %(average)s, newest = %(newest)s,
    bin_s = %(bin_s)s, bins = %(bins)s::int2[], bin_low = %(bin_low)s::float8[], bin_high = %(bin_high)s::float8[],
    bin_low_scaled = %(bin_low_scaled)s::int4[], bin_high_scaled = %(bin_high_scaled)s::int4[],
    bin_mean = %(bin_mean)s::float4[], bin_count = %(bin_count)s::int2[], bin_good = %(bin_good)s::int2[],
    standing = %(standing)s, good = %(good)s, width = %(new_width)s, slot = %(new_slot)s,
    part = CASE WHEN EXISTS (SELECT FROM floorlog.chunk AS o WHERE o.series_id = %(series_id)s
            AND o.width = %(new_width)s AND o.slot = %(new_slot)s AND o.part = %(part)s)
        THEN (SELECT max(o.part) + 1 FROM floorlog.chunk AS o
            WHERE o.series_id = %(series_id)s AND o.width = %(new_width)s AND o.slot = %(new_slot)s)
        ELSE %(part)s END
WHERE series_id = %(series_id)s AND width = %(width)s AND slot = %(slot)s AND part = %(aside)s;

-- :name set_chunk_aside
-- Out of the way, for two may stand in each other's place.
UPDATE floorlog.chunk SET part = %(aside)s
WHERE series_id = %(series_id)s AND width = %(width)s AND slot = %(slot)s AND part = %(part)s;
