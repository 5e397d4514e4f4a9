-- What sealing asks of the record.

-- :name slots_after
-- The slots with open rows that follow one, and how many rows are to be sealed: 0 where batches touched it
-- a while ago and no row has waited long. A reach into the index a slot, and a limit to the rows that are
-- looked at, however many wait: those of the latest times tell of touches, of the earliest of waiting.
WITH RECURSIVE slots AS (
    SELECT %(width)s::int2 AS width, %(slot)s::int4 AS slot, 0 AS n
    UNION ALL
    SELECT f.width, f.slot, s.n + 1 FROM slots AS s CROSS JOIN LATERAL (
        SELECT r.width, r.slot FROM floorlog.open_row AS r
        WHERE (r.width, r.slot) > (s.width, s.slot) ORDER BY r.width, r.slot LIMIT 1
    ) AS f
    WHERE s.n < %(slots_max)s
)
SELECT s.width, s.slot, CASE WHEN NOT EXISTS (
        SELECT FROM (SELECT r.recorded_at FROM floorlog.open_row AS r WHERE r.width = s.width AND r.slot = s.slot
            ORDER BY r.t_max DESC LIMIT %(rows_max)s) AS f
        WHERE f.recorded_at >= now() - make_interval(secs => %(quiet_s)s)
    ) OR EXISTS (
        SELECT FROM (SELECT r.recorded_at FROM floorlog.open_row AS r WHERE r.width = s.width AND r.slot = s.slot
            ORDER BY r.t_max LIMIT %(rows_max)s) AS f
        WHERE f.recorded_at < now() - make_interval(secs => %(age_s)s)
    ) THEN (
        SELECT count(*) FROM (SELECT FROM floorlog.open_row AS r WHERE r.width = s.width AND r.slot = s.slot
            LIMIT 10 * %(rows_max)s) AS f
    ) ELSE 0 END
FROM slots AS s WHERE s.n > 0 ORDER BY s.n;

-- :name rows_of_slot
-- The open rows of a slot after one, but those that were stored only now: by name, for rows come of
-- age between two pages.
SELECT o.lease_id, o.number, o.part, floorlog.to_us(o.recorded_at), o.clock_s, o.t_min, o.tick_us, o.clock_s,
    o.series, o.ts, o.ts_wide, o.value, o.quality, o.arrived, o.conflict, o.late
FROM (
    SELECT * FROM floorlog.open_row AS r
    WHERE r.width = %(width)s AND r.slot = %(slot)s
        AND r.recorded_at < clock_timestamp() - make_interval(secs => %(quiet_s)s)
    OFFSET 0  -- the slot's index finds them, not the order
) AS o
WHERE (o.lease_id, o.number, o.part) > (%(lease_id)s::int4, %(number)s::int8, %(part)s::int2)
ORDER BY o.lease_id, o.number, o.part LIMIT %(rows_max)s;

-- :name chunks_there
-- What chunks there are of series in a slot.
SELECT c.series_id, c.part, c.lease_id, c.count FROM floorlog.chunk AS c
WHERE c.width = %(width)s AND c.slot = %(slot)s AND c.series_id = ANY (%(series)s) ORDER BY c.series_id, c.part;

-- :name chunks_named
-- These chunks, in the order in which they are named.
SELECT floorlog.to_us(c.recorded_min), floorlog.to_us(c.recorded_max),
    c.series_id, c.lease_id, c.count, c.number_min, c.number_max, c.t_min, c.t_max, c.tick_us, c.scale,
    c.number_narrow, c.number_wide, c.ts_narrow, c.ts, c.ts_wide, c.value_narrow, c.value_scaled, c.value,
    c.quality, c.arrived, c.flags
FROM unnest(%(series)s::int4[], %(widths)s::int2[], %(slots)s::int4[], %(parts)s::int2[])
    WITH ORDINALITY AS a (series_id, width, slot, part, place)
JOIN floorlog.chunk AS c ON (c.series_id, c.width, c.slot, c.part) = (a.series_id, a.width, a.slot, a.part)
ORDER BY a.place;

-- :name small_chunks
-- Small chunks of narrow slots whose wider slot is over, and that nothing was added to for a while.
SELECT c.width, c.slot, c.series_id, c.part, c.lease_id, c.count FROM floorlog.chunk AS c
WHERE c.count < 256 AND c.width = %(width)s
    AND c.slot < floorlog.to_us(clock_timestamp()) / %(wide_us)s * %(slots)s
    AND c.recorded_max < clock_timestamp() - make_interval(secs => %(quiet_s)s)
ORDER BY c.slot, c.series_id, c.part LIMIT %(chunks_max)s;

-- :name state_series
-- The series whose values are states.
SELECT s.series_id FROM floorlog.series AS s WHERE s.kind = 1;

-- :name chunk_type
-- The numbers of a chunk's row type and of its array type.
SELECT 'floorlog.chunk'::regtype::oid::int8, 'floorlog.chunk[]'::regtype::oid::int8;

-- :name seal
-- Put chunks in the place of open rows and chunks: refused unless they hold the same.
SELECT floorlog.seal(%(recorded_from)s::timestamptz, %(recorded_to)s::timestamptz, %(leases)s, %(numbers)s, %(parts)s, %(old_series)s,
    %(old_widths)s, %(old_slots)s, %(old_parts)s, %(made)s);
