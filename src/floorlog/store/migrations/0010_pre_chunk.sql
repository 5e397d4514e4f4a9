-- Sealed readings: one row per series and slot, made from open rows and taken apart by one function.

-- One series' readings within a slot, in the order in which they were sealed. Times and numbers of
-- batches are small differences from a straight line between the least and the greatest; values are
-- whole numbers where a power of ten makes them so without loss. An array without content is NULL,
-- and each of the three kinds has the narrowest type that holds it.
CREATE TABLE chunk (
    t_min int8 NOT NULL,
    t_max int8 NOT NULL,
    number_min int8 NOT NULL,
    number_max int8 NOT NULL,
    recorded_min timestamptz NOT NULL,
    recorded_max timestamptz NOT NULL,
    lowest float8,
    highest float8,
    average float8,
    series_id int4 NOT NULL,
    slot int4 NOT NULL,
    lease_id int4 NOT NULL,
    count int4 NOT NULL,
    tick_us int4 NOT NULL,
    scale int4,
    newest int4,
    standing int4 NOT NULL,
    good int4 NOT NULL,
    bin_s int4,
    width int2 NOT NULL,
    part int2 NOT NULL,
    ts_narrow int2[],
    ts int4[],
    ts_wide int8[],
    number_narrow int2[],
    number_wide int8[],
    value_narrow int2[],
    value_scaled int4[],
    value float8[],
    quality int8[],
    arrived int4[],
    flags int2[],
    bins int2[],
    bin_low float8[],
    bin_high float8[],
    bin_low_scaled int4[],
    bin_high_scaled int4[],
    bin_mean float4[],
    bin_count int2[],
    bin_good int2[],
    PRIMARY KEY (series_id, width, slot, part)
);
COMMENT ON COLUMN chunk.t_min IS 'evidence: earliest time, µs UTC: where the line of times begins';
COMMENT ON COLUMN chunk.t_max IS 'evidence: latest time, µs UTC: where it ends';
COMMENT ON COLUMN chunk.number_min IS 'evidence: least number of a batch: where the line of numbers begins';
COMMENT ON COLUMN chunk.number_max IS 'evidence: greatest number of a batch: where it ends';
COMMENT ON COLUMN chunk.recorded_min IS 'derived: when the first of its batches was stored';
COMMENT ON COLUMN chunk.recorded_max IS 'derived: when the last of its batches was stored';
COMMENT ON COLUMN chunk.lowest IS 'derived: least value that stands; NULL for states';
COMMENT ON COLUMN chunk.highest IS 'derived: greatest value that stands; NULL for states';
COMMENT ON COLUMN chunk.average IS 'derived: mean of the values that stand; NULL for states';
COMMENT ON COLUMN chunk.series_id IS 'evidence: the series';
COMMENT ON COLUMN chunk.slot IS 'derived: number of the slot since 1970 that holds every time';
COMMENT ON COLUMN chunk.lease_id IS 'evidence: the shard of its batches';
COMMENT ON COLUMN chunk.count IS 'evidence: count of its readings';
COMMENT ON COLUMN chunk.tick_us IS 'evidence: unit of the times in µs';
COMMENT ON COLUMN chunk.scale IS 'evidence: power of ten by which whole numbers are divided to give the values';
COMMENT ON COLUMN chunk.newest IS 'derived: place (from 1) of the newest reading that stands';
COMMENT ON COLUMN chunk.standing IS 'derived: count of readings that stand: they contradict no earlier one';
COMMENT ON COLUMN chunk.good IS 'derived: count of those with quality Good';
COMMENT ON COLUMN chunk.bin_s IS 'derived: length of a bin of the roll-up in s: minute or hour; NULL: no roll-up';
COMMENT ON COLUMN chunk.width IS 'derived: length of the slot: 0 half hour, 1 day, 2 30 days, 3 10,000 days';
COMMENT ON COLUMN chunk.part IS 'outside: tells chunks of one series and slot apart';
COMMENT ON COLUMN chunk.ts_narrow IS 'evidence: ticks beside the line per reading';
COMMENT ON COLUMN chunk.ts IS 'evidence: the same where int2 is too small';
COMMENT ON COLUMN chunk.ts_wide IS 'evidence: the same where int4 is too small';
COMMENT ON COLUMN chunk.number_narrow IS 'evidence: number of the batch beside the line per reading';
COMMENT ON COLUMN chunk.number_wide IS 'evidence: the same where int2 is too small';
COMMENT ON COLUMN chunk.value_narrow IS 'evidence: value times scale per reading';
COMMENT ON COLUMN chunk.value_scaled IS 'evidence: the same where int2 is too small';
COMMENT ON COLUMN chunk.value IS 'evidence: value per reading, where no scale makes it whole';
COMMENT ON COLUMN chunk.quality IS 'evidence: OPC UA status code per reading; NULL: all Good';
COMMENT ON COLUMN chunk.arrived IS 'evidence: seconds before its batch''s clock per reading; NULL: all 0';
COMMENT ON COLUMN chunk.flags IS 'evidence: 1 conflict, 2 late, per reading; NULL: none';
COMMENT ON COLUMN chunk.bins IS 'derived: numbers (from 0) of the slot''s bins that hold readings; NULL: from the first on, without a hole';
COMMENT ON COLUMN chunk.bin_low IS 'derived: least value that stands per bin';
COMMENT ON COLUMN chunk.bin_high IS 'derived: greatest value that stands per bin';
COMMENT ON COLUMN chunk.bin_low_scaled IS 'derived: the same times scale';
COMMENT ON COLUMN chunk.bin_high_scaled IS 'derived: the same times scale';
COMMENT ON COLUMN chunk.bin_mean IS 'derived: mean of the values that stand per bin, to 7 digits';
COMMENT ON COLUMN chunk.bin_count IS 'derived: count of readings that stand per bin';
COMMENT ON COLUMN chunk.bin_good IS 'derived: count of those with quality Good per bin; NULL: all';

-- Shard and number as one number, so that a span of a shard's batches is one span.
CREATE INDEX chunk_batches ON chunk USING gist (
    int8range((lease_id::int8 << 40) + number_min, (lease_id::int8 << 40) + number_max, '[]'));
-- An expression, so that only a question about all series can take this index: the planner must not
-- guess which is better where the series is known.
CREATE INDEX chunk_slot ON chunk ((width::int4), slot);
-- Small chunks of narrow slots: those that may be joined into wider ones.
CREATE INDEX chunk_small ON chunk (width, slot, series_id) WHERE count < 256 AND width < 2;

-- What another shard stored of series homed here, once its open row is sealed.
CREATE TABLE sealed_foreign (
    home int4 NOT NULL,
    home_version int8 NOT NULL,
    lease_id int4 NOT NULL,
    number int8 NOT NULL,
    PRIMARY KEY (home, home_version, lease_id, number)
);
COMMENT ON COLUMN sealed_foreign.home IS 'outside: home of series of a sealed batch that is of another shard';
COMMENT ON COLUMN sealed_foreign.home_version IS 'outside: version of the home''s lease that the batch made';
COMMENT ON COLUMN sealed_foreign.lease_id IS 'outside: the batch''s shard';
COMMENT ON COLUMN sealed_foreign.number IS 'outside: the batch within the shard';

-- The readings of a chunk, in their order. Functions in the list of columns step together, and cost
-- a third of what a join of unnest costs.
CREATE FUNCTION unsealed(c chunk, OUT place int4, OUT number int8, OUT at_us int8, OUT value float8,
    OUT quality int8, OUT arrived int4, OUT flags int2)
RETURNS SETOF record LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT u.place,
        c.number_min + (u.place - 1) * (c.number_max - c.number_min) / greatest(c.count - 1, 1)
            + coalesce(u.number_narrow, u.number_wide, 0),
        c.t_min + ((u.place - 1) * ((c.t_max - c.t_min) / c.tick_us) / greatest(c.count - 1, 1)
            + coalesce(u.ts_narrow, u.ts, u.ts_wide, 0)) * c.tick_us,
        coalesce(u.value, coalesce(u.value_narrow, u.value_scaled)::float8 / c.scale),
        coalesce(u.quality, 0), coalesce(u.arrived, 0), coalesce(u.flags, 0::int2)
    FROM (
        SELECT generate_series(1, c.count) AS place,
            unnest(c.number_narrow) AS number_narrow, unnest(c.number_wide) AS number_wide,
            unnest(c.ts_narrow) AS ts_narrow, unnest(c.ts) AS ts, unnest(c.ts_wide) AS ts_wide,
            unnest(c.value_narrow) AS value_narrow, unnest(c.value_scaled) AS value_scaled,
            unnest(c.value) AS value, unnest(c.quality) AS quality, unnest(c.arrived) AS arrived,
            unnest(c.flags) AS flags
    ) AS u
$$;

-- The chunks that may hold readings of a span of time, both ends included.
CREATE FUNCTION chunks_between(from_us int8, to_us int8) RETURNS SETOF chunk
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT c.* FROM floorlog.slots(from_us, to_us) AS p
    CROSS JOIN LATERAL (
        SELECT k.* FROM floorlog.chunk AS k
        WHERE k.width::int4 = p.width::int4 AND k.slot BETWEEN p.first_slot AND p.last_slot
            AND k.t_max >= from_us AND k.t_min <= to_us
        OFFSET 0
    ) AS c
$$;

-- The same of one series.
CREATE FUNCTION chunks_of(of_series int4, from_us int8, to_us int8) RETURNS SETOF chunk
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT c.* FROM floorlog.slots(from_us, to_us) AS p
    CROSS JOIN LATERAL (
        SELECT k.* FROM floorlog.chunk AS k
        WHERE k.series_id = of_series AND k.width = p.width AND k.slot BETWEEN p.first_slot AND p.last_slot
            AND k.t_max >= from_us AND k.t_min <= to_us
        OFFSET 0
    ) AS c
$$;

GRANT SELECT ON chunk, sealed_foreign TO floorlog_writer, floorlog_keeper, floorlog_operator, floorlog_reader;
