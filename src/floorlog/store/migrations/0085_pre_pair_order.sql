-- Readings of one batch, series and time that lie in two chunks: keepers before cut a chunk anywhere.

-- The readings of a shard's batches, one per row; `source` and `place` keep the order of those that
-- share series and time: out of chunks as their widths and parts rise, then out of open rows.
CREATE OR REPLACE FUNCTION readings_of(of_lease int4, from_number int8, to_number int8, OUT number int8, OUT series_id int4,
    OUT at_us int8, OUT value float8, OUT quality int8, OUT arrival_s int8, OUT flags int2, OUT source int4, OUT place int8)
RETURNS SETOF record LANGUAGE sql STABLE AS $$
    SELECT r.number, u.series_id, u.at_us, u.value, u.quality, r.clock_s - u.arrived, u.flags, r.part::int4, u.place
    FROM floorlog.open_row AS r
    CROSS JOIN LATERAL floorlog.opened(r) WITH ORDINALITY AS u (series_id, at_us, value, quality, arrived, flags, place)
    WHERE r.lease_id = of_lease AND r.number BETWEEN from_number AND to_number
    UNION ALL
    SELECT u.number, c.series_id, u.at_us, u.value, u.quality, b.clock_s - u.arrived, u.flags, (c.width::int4 - 4) * 65536 + c.part, u.place
    FROM floorlog.chunk AS c
    CROSS JOIN LATERAL floorlog.unsealed(c) AS u
    JOIN floorlog.batch AS b ON b.lease_id = of_lease AND b.number = u.number
    WHERE int8range((c.lease_id::int8 << 40) + c.number_min, (c.lease_id::int8 << 40) + c.number_max, '[]')
            && int8range((of_lease::int8 << 40) + from_number, (of_lease::int8 << 40) + to_number, '[]')
        AND u.number BETWEEN from_number AND to_number
$$;

-- As before; of readings that share batch, series and time the one that stands comes first.
CREATE OR REPLACE FUNCTION leaves_of(of_lease int4, from_number int8, to_number int8, going text[], held text[])
RETURNS TABLE (number int8, hashes bytea[], goes bool[], readings int8, gone_readings int8, gone_rejects int8,
    gone_anomalies int8, rejects int8)
LANGUAGE sql STABLE AS $$
    SELECT e.number, array_agg(e.hash ORDER BY e.turn, e.first_series, e.hash),
        array_agg(e.goes ORDER BY e.turn, e.first_series, e.hash),
        coalesce(sum(e.count) FILTER (WHERE e.turn = 1), 0)::int8,
        coalesce(sum(e.count) FILTER (WHERE e.turn = 1 AND e.goes), 0)::int8,
        count(*) FILTER (WHERE e.turn = 2 AND e.goes), count(*) FILTER (WHERE e.turn = 3 AND e.goes),
        count(*) FILTER (WHERE e.turn = 2)
    FROM (
        SELECT r.number, 1 AS turn, min(r.series_id) AS first_series, sha256('\x000101'::bytea || string_agg(
                CASE WHEN s.kind = 0 THEN s.name ELSE floorlog.name_in_ledger(r.series_id, r.value) END
                || int8send(r.at_us) || float8send(r.value) || int8send((r.flags::int8 << 32) + r.quality)
                || int8send(r.arrival_s), '' ORDER BY r.series_id, r.at_us, r.flags & 1, r.source, r.place)) AS hash,
            s.device = ANY (going) AS goes, count(*) AS count
        FROM floorlog.readings_of(of_lease, from_number, to_number) AS r
        JOIN (SELECT o.series_id, o.kind, o.device, floorlog.digest(o) AS name FROM floorlog.series AS o OFFSET 0) AS s
            ON s.series_id = r.series_id
        GROUP BY r.number, s.device
        UNION ALL
        SELECT j.number, 2, 0, floorlog.digest(j), floorlog.reject_goes(j.data, '' = ANY (going), going, held), 1
        FROM floorlog.batch AS b JOIN floorlog.reject AS j
            ON j.recorded_at = b.recorded_at AND (j.lease_id, j.number) = (b.lease_id, b.number)
        WHERE b.lease_id = of_lease AND b.number BETWEEN from_number AND to_number AND b.rejected > 0
        UNION ALL
        SELECT a.number, 3, a.series_id, floorlog.digest(a), s.device = ANY (going), 1
        FROM floorlog.anomaly AS a JOIN floorlog.series AS s ON s.series_id = a.series_id
        WHERE a.lease_id = of_lease AND a.number BETWEEN from_number AND to_number AND a.recorded_at BETWEEN
            (SELECT min(b.recorded_at) FROM floorlog.batch AS b
                WHERE b.lease_id = of_lease AND b.number BETWEEN from_number AND to_number)
            AND (SELECT max(b.recorded_at) FROM floorlog.batch AS b
                WHERE b.lease_id = of_lease AND b.number BETWEEN from_number AND to_number)
        UNION ALL
        SELECT g.number, 4, 0, floorlog.digest(g), false, 1
        FROM floorlog.gap AS g WHERE g.lease_id = of_lease AND g.number BETWEEN from_number AND to_number
    ) AS e
    GROUP BY e.number
$$;

-- As before, in the same order.
CREATE OR REPLACE FUNCTION expire_chunks(of_lease int4, from_number int8, to_number int8, ids int4[]) RETURNS int8
LANGUAGE plpgsql AS $$
DECLARE
    bytes int8;
BEGIN
    WITH gone AS (
        DELETE FROM floorlog.chunk AS c
        WHERE c.series_id = ANY (ids)
            AND int8range((c.lease_id::int8 << 40) + c.number_min, (c.lease_id::int8 << 40) + c.number_max, '[]')
                && int8range((of_lease::int8 << 40) + from_number, (of_lease::int8 << 40) + to_number, '[]')
        RETURNING c
    ), stays AS (
        SELECT (g.c).series_id, (g.c).width, (g.c).slot, (g.c).part, u.*
        FROM gone AS g CROSS JOIN LATERAL floorlog.unsealed(g.c) AS u
        WHERE u.number NOT BETWEEN from_number AND to_number
    ), kept AS (
        SELECT s.*, row_number() OVER w AS row_place, min(s.at_us) OVER r AS first_us, max(s.at_us) OVER r AS last_us
        FROM stays AS s
        WINDOW w AS (PARTITION BY s.number, s.width, s.slot ORDER BY s.series_id, s.at_us, s.flags & 1, s.part, s.place),
            r AS (PARTITION BY s.number, s.width, s.slot)
    ), rows AS (
        SELECT k.number, k.width, k.slot, k.first_us, k.last_us, CASE
                WHEN bool_and((k.at_us - k.first_us) % 1000000 = 0) THEN 1000000
                WHEN bool_and((k.at_us - k.first_us) % 1000 = 0) THEN 1000 ELSE 1 END AS tick_us,
            array_agg(k.series_id ORDER BY k.row_place) AS series, array_agg(k.at_us - k.first_us ORDER BY k.row_place) AS offsets,
            array_agg(k.value ORDER BY k.row_place) AS value,
            CASE WHEN bool_or(k.quality <> 0) THEN array_agg(k.quality ORDER BY k.row_place) END AS quality,
            CASE WHEN bool_or(k.arrived <> 0) THEN array_agg(k.arrived ORDER BY k.row_place) END AS arrived,
            array_agg(k.row_place::int4 ORDER BY k.row_place) FILTER (WHERE k.flags & 1 <> 0) AS conflict,
            array_agg(k.row_place::int4 ORDER BY k.row_place) FILTER (WHERE k.flags & 2 <> 0) AS late
        FROM kept AS k GROUP BY k.number, k.width, k.slot, k.first_us, k.last_us
    ), made AS (
        INSERT INTO floorlog.open_row (recorded_at, number, t_min, t_max, clock_s, lease_id, slot, tick_us, width, part,
            series, ts, ts_wide, value, quality, arrived, conflict, late)
        SELECT b.recorded_at, o.number, o.first_us, o.last_us, b.clock_s, of_lease, o.slot, o.tick_us, o.width,
            (SELECT coalesce(max(p.part) + 1, 0) FROM floorlog.open_row AS p
                WHERE p.lease_id = of_lease AND p.number = o.number)
                + row_number() OVER (PARTITION BY o.number ORDER BY o.width, o.slot) - 1,
            o.series,
            CASE WHEN (o.last_us - o.first_us) / o.tick_us < 2147483647
                THEN ARRAY(SELECT (u.us / o.tick_us)::int4 FROM unnest(o.offsets) WITH ORDINALITY AS u (us, n) ORDER BY u.n) END,
            CASE WHEN (o.last_us - o.first_us) / o.tick_us >= 2147483647
                THEN ARRAY(SELECT u.us / o.tick_us FROM unnest(o.offsets) WITH ORDINALITY AS u (us, n) ORDER BY u.n) END,
            o.value, o.quality, o.arrived, o.conflict, o.late
        FROM rows AS o JOIN floorlog.batch AS b ON b.lease_id = of_lease AND b.number = o.number
        RETURNING pg_column_size(open_row) AS bytes
    )
    SELECT coalesce((SELECT sum(pg_column_size(g.c)) FROM gone AS g), 0)
        - coalesce((SELECT sum(m.bytes) FROM made AS m), 0) INTO bytes;
    RETURN bytes;
END
$$;
