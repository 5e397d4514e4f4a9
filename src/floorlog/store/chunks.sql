-- What lookups and take-over ask of sealed readings.

-- :name chunks_above
-- The chunks that hold readings of a shard's batches above a number.
SELECT series_id, lease_id, count, number_min, number_max, t_min, t_max, tick_us, scale, number_narrow,
    number_wide, ts_narrow, ts, ts_wide, value_narrow, value_scaled, value, quality, arrived, flags
FROM floorlog.chunk
WHERE int8range((lease_id::int8 << 40) + number_min, (lease_id::int8 << 40) + number_max, '[]')
    && int8range((%(lease_id)s << 40) + %(number)s + 1, (%(lease_id)s + 1) << 40)
ORDER BY series_id, t_min, part;

-- :name sealed_foreign
-- The batches of other shards, sealed since, with series homed here, above one version up to another.
SELECT f.lease_id, f.number, b.clock_s FROM floorlog.sealed_foreign AS f
JOIN floorlog.batch AS b ON b.lease_id = f.lease_id AND b.number = f.number
WHERE f.home = %(lease_id)s AND f.home_version > %(since)s AND f.home_version <= %(version)s
ORDER BY f.home_version, f.lease_id, f.number;

-- :name chunks_of_batches
-- The chunks that hold readings of some batches, and have their home in a shard.
SELECT DISTINCT ON (c.series_id, c.width, c.slot, c.part)
    c.series_id, c.lease_id, c.count, c.number_min, c.number_max, c.t_min, c.t_max, c.tick_us, c.scale,
    c.number_narrow, c.number_wide, c.ts_narrow, c.ts, c.ts_wide, c.value_narrow, c.value_scaled, c.value,
    c.quality, c.arrived, c.flags
FROM unnest(%(leases)s::int4[], %(numbers)s::int8[]) AS a (lease_id, number)
JOIN floorlog.chunk AS c
    ON int8range((c.lease_id::int8 << 40) + c.number_min, (c.lease_id::int8 << 40) + c.number_max, '[]')
        @> (a.lease_id::int8 << 40) + a.number
WHERE EXISTS (SELECT FROM floorlog.series_home AS h WHERE h.series_id = c.series_id AND h.lease_id = %(home)s)
ORDER BY c.series_id, c.width, c.slot, c.part;

-- :name rows_of_batches
-- The open rows of some batches that name no home: what expiry cut out of chunks, among others.
SELECT r.t_min, r.tick_us, r.clock_s, r.series, r.ts, r.ts_wide, r.value, r.quality, r.arrived, r.conflict, r.late
FROM unnest(%(leases)s::int4[], %(numbers)s::int8[]) AS a (lease_id, number)
JOIN floorlog.open_row AS r ON r.lease_id = a.lease_id AND r.number = a.number
WHERE r.home IS NULL
ORDER BY r.lease_id, r.number, r.part;

-- :name homed_here
-- Which of these series have their home in a shard.
SELECT series_id FROM floorlog.series_home WHERE series_id = ANY (%(series)s) AND lease_id = %(home)s;

-- :name chunks_in_slots
-- The chunks of series in slots.
SELECT c.series_id, c.lease_id, c.count, c.number_min, c.number_max, c.t_min, c.t_max, c.tick_us, c.scale,
    c.number_narrow, c.number_wide, c.ts_narrow, c.ts, c.ts_wide, c.value_narrow, c.value_scaled, c.value,
    c.quality, c.arrived, c.flags
FROM unnest(%(series)s::int4[], %(widths)s::int2[], %(slots)s::int4[]) AS a (series_id, width, slot)
CROSS JOIN LATERAL (
    SELECT k.* FROM floorlog.chunk AS k
    WHERE k.series_id = a.series_id AND k.width = a.width AND k.slot = a.slot
        AND k.t_max >= %(begin)s AND k.t_min <= %(end)s
    OFFSET 0
) AS c;

-- :name clocks
-- The clocks of batches.
SELECT b.lease_id, b.number, b.clock_s
FROM unnest(%(leases)s::int4[], %(numbers)s::int8[]) AS a (lease_id, number)
JOIN floorlog.batch AS b ON b.lease_id = a.lease_id AND b.number = a.number;

-- :name bar_expiry
-- Let no step of expiry begin until this transaction ends; false where one is under way.
SELECT pg_try_advisory_xact_lock_shared(4706887);
