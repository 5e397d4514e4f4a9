-- Readings of a span, each row read once however few series there are.

-- Series are joined from the left: a small plant's would else come first, and read the rows once each.
CREATE OR REPLACE FUNCTION stored_readings(from_time timestamptz, to_time timestamptz) RETURNS SETOF stored_reading
LANGUAGE sql STABLE AS $$
    SELECT
        floorlog.from_us(u.at_us), s.device, s.metric, CASE WHEN s.kind = 0 THEN u.value END,
        CASE WHEN s.kind = 1 THEN (SELECT t.name FROM floorlog.state AS t WHERE t.code = u.value::int4) END, s.unit,
        coalesce(u.quality, 0), r.recorded_at,
        (CASE WHEN u.place = ANY (r.conflict) THEN 1 ELSE 0 END)
            + (CASE WHEN u.place = ANY (r.late) THEN 2 ELSE 0 END),
        to_timestamp(r.clock_s - coalesce(u.arrived, 0)), r.lease_id, r.number,
        floorlog.half_hour(u.at_us)
    FROM floorlog.rows_between(floorlog.to_us(from_time), floorlog.to_us(to_time) - 1) AS r
    CROSS JOIN LATERAL (
        SELECT v.*, r.t_min + coalesce(v.ts::int8, v.ts_wide, 0) * r.tick_us AS at_us
        FROM unnest(r.series, r.ts, r.ts_wide, r.value, r.quality, r.arrived)
            WITH ORDINALITY AS v (series_id, ts, ts_wide, value, quality, arrived, place)
    ) AS u
    LEFT JOIN floorlog.series AS s ON s.series_id = u.series_id
    WHERE u.at_us >= floorlog.to_us(from_time) AND u.at_us < floorlog.to_us(to_time)
    UNION ALL
    SELECT
        floorlog.from_us(u.at_us), s.device, s.metric, CASE WHEN s.kind = 0 THEN u.value END,
        CASE WHEN s.kind = 1 THEN (SELECT t.name FROM floorlog.state AS t WHERE t.code = u.value::int4) END, s.unit,
        u.quality,
        coalesce(k.recorded[u.number - c.number_min + 1], (
            SELECT b.recorded_at FROM floorlog.batch AS b WHERE b.lease_id = c.lease_id AND b.number = u.number
                AND b.recorded_at BETWEEN c.recorded_min AND c.recorded_max)),
        u.flags::int4,
        to_timestamp(coalesce(k.clock[u.number - c.number_min + 1], (
            SELECT b.clock_s FROM floorlog.batch AS b WHERE b.lease_id = c.lease_id AND b.number = u.number
                AND b.recorded_at BETWEEN c.recorded_min AND c.recorded_max)) - u.arrived),
        c.lease_id, u.number, floorlog.half_hour(u.at_us)
    FROM floorlog.chunks_between(floorlog.to_us(from_time), floorlog.to_us(to_time) - 1) AS c
    LEFT JOIN floorlog.series AS s ON s.series_id = c.series_id
    LEFT JOIN LATERAL floorlog.batches_of(c) AS k ON true
    CROSS JOIN LATERAL floorlog.unsealed(c) AS u
    WHERE u.at_us >= floorlog.to_us(from_time) AND u.at_us < floorlog.to_us(to_time)
$$;
