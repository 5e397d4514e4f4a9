-- What a back-test reads. Read by store.queries.parse.

-- :name readings_by_series
-- What detectors saw of a span of time: each series whole, in arrays. Text is NULL for numbers.
SELECT r.device_id, r.metric, r.unit, array_agg(floorlog.to_us(r.ts)), array_agg(coalesce(r.value, 0)),
    CASE WHEN count(r.text) > 0 THEN array_agg(r.text) END, array_agg(r.quality::int8),
    array_agg(extract(epoch FROM r.arrived_at)::int8)
FROM floorlog.readings(%(from_time)s, %(to_time)s) AS r WHERE r.flags & 3 = 0
GROUP BY r.device_id, r.metric, r.unit;
