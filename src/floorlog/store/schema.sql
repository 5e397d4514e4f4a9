-- Who reads what, and where it stands: streams, leases, workers, names.
-- Every column says what it is: evidence (the record itself), derived (can be made again from
-- evidence) or outside (needed to run, no part of the record).

CREATE TABLE stream (
    stream_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    arn text NOT NULL,
    created_at timestamptz NOT NULL,
    gone bool NOT NULL DEFAULT false,
    UNIQUE (arn, created_at)
);
COMMENT ON COLUMN stream.stream_id IS 'evidence: number of the stream within this record';
COMMENT ON COLUMN stream.arn IS 'evidence: the stream''s ARN';
COMMENT ON COLUMN stream.created_at IS 'evidence: tells streams of one name apart';
COMMENT ON COLUMN stream.gone IS 'outside: a later stream of the same name was seen';

CREATE TABLE lease (
    lease_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_id int4 NOT NULL REFERENCES stream,
    shard_id text NOT NULL,
    parents int4[] NOT NULL DEFAULT '{}',
    hash_begin numeric(39) NOT NULL,
    hash_end numeric(39) NOT NULL,
    owner text,
    wanted_by text,
    epoch int8 NOT NULL DEFAULT 0,
    version int8 NOT NULL DEFAULT 0,
    checkpoint numeric(60) NOT NULL DEFAULT -1,
    number int8 NOT NULL DEFAULT 0,
    digest bytea,
    head bytea NOT NULL DEFAULT '',
    clock_s int8 NOT NULL DEFAULT -1,
    read_at int8 NOT NULL DEFAULT -1,
    behind_ms int8 NOT NULL DEFAULT 0,
    catalogue int4 NOT NULL DEFAULT 0,
    expires_at timestamptz,
    ended bool NOT NULL DEFAULT false,
    records int8 NOT NULL DEFAULT 0,
    received int8 NOT NULL DEFAULT 0,
    stored int8 NOT NULL DEFAULT 0,
    rejected int8 NOT NULL DEFAULT 0,
    duplicate int8 NOT NULL DEFAULT 0,
    conflict int8 NOT NULL DEFAULT 0,
    gaps int8 NOT NULL DEFAULT 0,
    UNIQUE (stream_id, shard_id)
) WITH (fillfactor = 40);  -- updated with every batch: room for heap-only updates
COMMENT ON COLUMN lease.lease_id IS 'evidence: number of the shard within this record';
COMMENT ON COLUMN lease.stream_id IS 'evidence: the stream';
COMMENT ON COLUMN lease.shard_id IS 'evidence: the shard''s name in the stream';
COMMENT ON COLUMN lease.parents IS 'evidence: leases of the shards that this one came from';
COMMENT ON COLUMN lease.hash_begin IS 'evidence: first partition-key hash of the shard';
COMMENT ON COLUMN lease.hash_end IS 'evidence: last partition-key hash of the shard';
COMMENT ON COLUMN lease.owner IS 'outside: the worker that reads it';
COMMENT ON COLUMN lease.wanted_by IS 'outside: the worker that asks for it';
COMMENT ON COLUMN lease.epoch IS 'outside: raised with every take-over; the fence against zombies';
COMMENT ON COLUMN lease.version IS 'outside: raised when another shard stores a series homed here';
COMMENT ON COLUMN lease.checkpoint IS 'derived: sequence number of the last batch, -1 for none';
COMMENT ON COLUMN lease.number IS 'derived: number of the last batch, 0 for none';
COMMENT ON COLUMN lease.digest IS 'derived: hash of what the shard is, kept from its first holder on';
COMMENT ON COLUMN lease.head IS 'derived: hash of the last batch''s entry, empty for none';
COMMENT ON COLUMN lease.clock_s IS 'derived: arrival clock of the last batch, seconds UTC';
COMMENT ON COLUMN lease.read_at IS 'outside: arrival up to which the shard was read, µs UTC';
COMMENT ON COLUMN lease.behind_ms IS 'outside: how far the reader was behind the shard''s tip';
COMMENT ON COLUMN lease.catalogue IS 'derived: catalogue version of the last batch';
COMMENT ON COLUMN lease.expires_at IS 'outside: end of the lease by this database''s clock';
COMMENT ON COLUMN lease.ended IS 'derived: the shard''s last batch is stored, or its stream is gone';
COMMENT ON COLUMN lease.records IS 'derived: sum over its batches';
COMMENT ON COLUMN lease.received IS 'derived: sum over its batches';
COMMENT ON COLUMN lease.stored IS 'derived: sum over its batches';
COMMENT ON COLUMN lease.rejected IS 'derived: sum over its batches';
COMMENT ON COLUMN lease.duplicate IS 'derived: sum over its batches';
COMMENT ON COLUMN lease.conflict IS 'derived: sum over its batches';
COMMENT ON COLUMN lease.gaps IS 'derived: count of its gaps';

CREATE TABLE worker (
    worker text NOT NULL,
    stream_id int4 NOT NULL REFERENCES stream,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (stream_id, worker)
) WITH (fillfactor = 50);
COMMENT ON COLUMN worker.worker IS 'outside: name of the worker';
COMMENT ON COLUMN worker.stream_id IS 'outside: the stream that it reads';
COMMENT ON COLUMN worker.seen_at IS 'outside: its last sign of life';

CREATE TABLE series (
    series_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device text NOT NULL,
    metric text NOT NULL,
    kind int2 NOT NULL CHECK (kind IN (0, 1)),
    unit text,
    first_seen timestamptz NOT NULL DEFAULT now(),
    UNIQUE (device, metric)
);
COMMENT ON COLUMN series.series_id IS 'evidence: number of the series';
COMMENT ON COLUMN series.device IS 'evidence: the device as named by the producer';
COMMENT ON COLUMN series.metric IS 'evidence: the metric as named by the producer';
COMMENT ON COLUMN series.kind IS 'evidence: 0 numbers, 1 states; fixed at first sight';
COMMENT ON COLUMN series.unit IS 'evidence: unit at first sight';
COMMENT ON COLUMN series.first_seen IS 'evidence: when it got its number';

-- No foreign key to lease: its check would lock the home's row, which other shards' lookups hold.
CREATE TABLE series_home (
    series_id int4 PRIMARY KEY REFERENCES series,
    lease_id int4 NOT NULL,
    key_hash numeric(39),
    newest_window int4
) WITH (fillfactor = 50);
CREATE INDEX series_home_lease ON series_home (lease_id);
COMMENT ON COLUMN series_home.series_id IS 'outside: the series';
COMMENT ON COLUMN series_home.lease_id IS 'outside: the shard in which a time above the mark is new';
COMMENT ON COLUMN series_home.key_hash IS 'outside: hash of its last partition key: decides which child inherits it';
COMMENT ON COLUMN series_home.newest_window IS 'derived: number of the five minutes since 1970 that hold its newest reading';

CREATE TABLE state (
    code int4 PRIMARY KEY,
    name text NOT NULL UNIQUE
);
INSERT INTO state VALUES (0, 'false'), (1, 'true');
COMMENT ON COLUMN state.code IS 'evidence: the value stored for this state';
COMMENT ON COLUMN state.name IS 'evidence: the state''s name';

CREATE TABLE catalogue (
    version int4 PRIMARY KEY,
    body json NOT NULL,  -- not jsonb: byte for byte as given
    recorded_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO catalogue (version, body) VALUES (0, '{}');
COMMENT ON COLUMN catalogue.version IS 'evidence: number of the version; 0 asks for nothing';
COMMENT ON COLUMN catalogue.body IS 'evidence: devices, metrics, units, ranges, limits';
COMMENT ON COLUMN catalogue.recorded_at IS 'evidence: when it was given';

CREATE TABLE shard_state (
    lease_id int4 PRIMARY KEY,
    number int8 NOT NULL,
    state bytea NOT NULL,
    recorded_at timestamptz NOT NULL
);
ALTER TABLE shard_state ALTER COLUMN state SET STORAGE EXTERNAL;  -- it comes compressed
COMMENT ON COLUMN shard_state.lease_id IS 'derived: the shard';
COMMENT ON COLUMN shard_state.number IS 'derived: the batch after which the state was so';
COMMENT ON COLUMN shard_state.state IS 'derived: detectors and marks of the shard';
COMMENT ON COLUMN shard_state.recorded_at IS 'derived: when it was stored';
-- What was received: batches, readings, rejects, anomalies, conflicts, gaps; by month.

CREATE TABLE batch (
    lease_id int4 NOT NULL,
    number int8 NOT NULL,
    epoch int8 NOT NULL,
    clock_s int8 NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    sequence_before numeric(60) NOT NULL,
    sequence numeric(60) NOT NULL,
    catalogue int4 NOT NULL,
    records int4 NOT NULL,
    received int4 NOT NULL,
    stored int4 NOT NULL,
    rejected int4 NOT NULL,
    duplicate int4 NOT NULL,
    conflict int4 NOT NULL,
    leaves int4 NOT NULL,
    root bytea NOT NULL,
    head bytea NOT NULL,
    locator bytea,
    PRIMARY KEY (lease_id, number, recorded_at)
) PARTITION BY RANGE (recorded_at);
COMMENT ON COLUMN batch.lease_id IS 'evidence: the shard';
COMMENT ON COLUMN batch.number IS 'evidence: 1, 2, 3 … within the shard';
COMMENT ON COLUMN batch.epoch IS 'evidence: which holder of the lease stored it';
COMMENT ON COLUMN batch.clock_s IS 'evidence: its arrival clock, seconds UTC';
COMMENT ON COLUMN batch.recorded_at IS 'evidence: when it was stored';
COMMENT ON COLUMN batch.sequence_before IS 'evidence: sequence number before it, -1 for none';
COMMENT ON COLUMN batch.sequence IS 'evidence: sequence number of its last record';
COMMENT ON COLUMN batch.catalogue IS 'evidence: catalogue version it was judged by';
COMMENT ON COLUMN batch.records IS 'evidence: records fetched';
COMMENT ON COLUMN batch.received IS 'evidence: readings received';
COMMENT ON COLUMN batch.stored IS 'evidence: readings stored';
COMMENT ON COLUMN batch.rejected IS 'evidence: rejects stored';
COMMENT ON COLUMN batch.duplicate IS 'evidence: readings that the record held already';
COMMENT ON COLUMN batch.conflict IS 'evidence: stored readings that contradict an earlier one';
COMMENT ON COLUMN batch.leaves IS 'evidence: leaves of the tree over its readings, rejects, anomalies and gaps';
COMMENT ON COLUMN batch.root IS 'evidence: root of that tree (RFC 6962)';
COMMENT ON COLUMN batch.head IS 'derived: hash of its entry, chained to the one before';
COMMENT ON COLUMN batch.locator IS 'outside: sums that find the series that is not as stored, once its batch is in doubt';

-- One row per batch, split by slot of time and by the series' home. All arrays have one place per
-- reading, sorted by series, time and arrival; NULL stands for an array without content.
CREATE TABLE open_row (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    number int8 NOT NULL,
    t_min int8 NOT NULL,
    t_max int8 NOT NULL,
    clock_s int8 NOT NULL,
    home_version int8,
    lease_id int4 NOT NULL,
    slot int4 NOT NULL,
    home int4,
    tick_us int4 NOT NULL,
    width int2 NOT NULL,
    part int2 NOT NULL,
    series int4[] NOT NULL,
    ts int4[],
    ts_wide int8[],
    value float8[] NOT NULL,
    quality int8[],
    arrived int4[],
    conflict int4[],
    late int4[]
) PARTITION BY RANGE (recorded_at);
-- Compressing floats took more of the server than all else of a batch, and spared them a third.
ALTER TABLE open_row ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE INDEX open_row_batch ON open_row (lease_id, number);
CREATE INDEX open_row_slot ON open_row (width, slot, t_max, t_min);
CREATE INDEX open_row_home ON open_row (home, home_version) WHERE home IS NOT NULL;
COMMENT ON COLUMN open_row.recorded_at IS 'evidence: the batch''s';
COMMENT ON COLUMN open_row.number IS 'evidence: the batch within the shard';
COMMENT ON COLUMN open_row.t_min IS 'evidence: earliest time, µs UTC: the origin of ts';
COMMENT ON COLUMN open_row.t_max IS 'derived: latest time, µs UTC';
COMMENT ON COLUMN open_row.clock_s IS 'evidence: the batch''s arrival clock: the origin of arrived';
COMMENT ON COLUMN open_row.home_version IS 'outside: version of the home''s lease that this row made';
COMMENT ON COLUMN open_row.lease_id IS 'evidence: the shard';
COMMENT ON COLUMN open_row.slot IS 'derived: number of the slot since 1970 that holds every time';
COMMENT ON COLUMN open_row.home IS 'outside: home of these series where it is another shard';
COMMENT ON COLUMN open_row.tick_us IS 'evidence: unit of ts in µs';
COMMENT ON COLUMN open_row.width IS 'derived: length of the slot: 0 half hour, 1 day, 2 30 days, 3 10,000 days';
COMMENT ON COLUMN open_row.part IS 'evidence: the row''s place in its batch';
COMMENT ON COLUMN open_row.series IS 'evidence: series per reading, ascending';
COMMENT ON COLUMN open_row.ts IS 'evidence: time per reading, ticks after t_min';
COMMENT ON COLUMN open_row.ts_wide IS 'evidence: the same where int4 is too small';
COMMENT ON COLUMN open_row.value IS 'evidence: number or state code per reading';
COMMENT ON COLUMN open_row.quality IS 'evidence: OPC UA status code per reading; NULL: all Good';
COMMENT ON COLUMN open_row.arrived IS 'evidence: seconds before clock_s per reading; NULL: all 0';
COMMENT ON COLUMN open_row.conflict IS 'evidence: places (from 1) of readings that contradict an earlier one';
COMMENT ON COLUMN open_row.late IS 'evidence: places (from 1) of readings not above what the shard had read';

CREATE TABLE reject (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    lease_id int4 NOT NULL,
    number int8 NOT NULL,
    sequence numeric(60) NOT NULL,
    element int4 NOT NULL,
    code text NOT NULL,
    reason text NOT NULL,
    data bytea NOT NULL
) PARTITION BY RANGE (recorded_at);
CREATE INDEX reject_recorded ON reject (recorded_at);
COMMENT ON COLUMN reject.recorded_at IS 'evidence: the batch''s';
COMMENT ON COLUMN reject.lease_id IS 'evidence: the shard';
COMMENT ON COLUMN reject.number IS 'evidence: the batch within the shard';
COMMENT ON COLUMN reject.sequence IS 'evidence: sequence number of the record';
COMMENT ON COLUMN reject.element IS 'evidence: place in the record, -1 for the whole record';
COMMENT ON COLUMN reject.code IS 'evidence: stable code of the reason';
COMMENT ON COLUMN reject.reason IS 'evidence: the reason in words';
COMMENT ON COLUMN reject.data IS 'evidence: the bytes received';

CREATE TABLE anomaly (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    lease_id int4 NOT NULL,
    number int8 NOT NULL,
    series_id int4 NOT NULL,
    severity int2 NOT NULL,
    phase text NOT NULL CHECK (phase IN ('start', 'end')),
    detector text NOT NULL,
    start_us int8 NOT NULL,
    at_us int8 NOT NULL,
    score float8 NOT NULL,
    value float8 NOT NULL,
    expected float8 NOT NULL,
    reason text NOT NULL
) PARTITION BY RANGE (recorded_at);
CREATE INDEX anomaly_finding ON anomaly (series_id, detector, start_us);
CREATE INDEX anomaly_at ON anomaly (at_us);
-- Detectors that failed are found by shard and batch: take-over leaves them out where they were left out.
CREATE INDEX anomaly_set_aside ON anomaly (lease_id, number) WHERE left(detector, 10) = 'set_aside:';
COMMENT ON COLUMN anomaly.recorded_at IS 'evidence: the batch''s';
COMMENT ON COLUMN anomaly.lease_id IS 'evidence: the shard';
COMMENT ON COLUMN anomaly.number IS 'evidence: the batch within the shard';
COMMENT ON COLUMN anomaly.series_id IS 'evidence: the series';
COMMENT ON COLUMN anomaly.severity IS 'evidence: 1 low, 2 medium, 3 high';
COMMENT ON COLUMN anomaly.phase IS 'evidence: start or end of the finding';
COMMENT ON COLUMN anomaly.detector IS 'evidence: who found it';
COMMENT ON COLUMN anomaly.start_us IS 'evidence: when it began, µs UTC; names it with series and detector';
COMMENT ON COLUMN anomaly.at_us IS 'evidence: time of this event, µs UTC';
COMMENT ON COLUMN anomaly.score IS 'evidence: how far from what is usual';
COMMENT ON COLUMN anomaly.value IS 'evidence: the value at the event';
COMMENT ON COLUMN anomaly.expected IS 'evidence: the value expected, or the limit';
COMMENT ON COLUMN anomaly.reason IS 'evidence: the reason in words';

-- What open_row flags, findable without unpacking rows; the value that stands is the unflagged
-- reading of the same series and time.
CREATE TABLE conflict (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    lease_id int4 NOT NULL,
    number int8 NOT NULL,
    series_id int4 NOT NULL,
    ts_us int8 NOT NULL,
    value float8 NOT NULL,
    quality int8 NOT NULL
) PARTITION BY RANGE (recorded_at);
CREATE INDEX conflict_series ON conflict (series_id, ts_us);
COMMENT ON COLUMN conflict.recorded_at IS 'derived: the batch''s';
COMMENT ON COLUMN conflict.lease_id IS 'derived: the shard';
COMMENT ON COLUMN conflict.number IS 'derived: the batch within the shard';
COMMENT ON COLUMN conflict.series_id IS 'derived: the series';
COMMENT ON COLUMN conflict.ts_us IS 'derived: the time, µs UTC';
COMMENT ON COLUMN conflict.value IS 'derived: the value that contradicts the one that stands';
COMMENT ON COLUMN conflict.quality IS 'derived: its quality';

CREATE TABLE gap (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    lease_id int4 NOT NULL,
    number int8 NOT NULL,
    begin_us int8 NOT NULL,
    end_us int8 NOT NULL,
    cause text NOT NULL
) PARTITION BY RANGE (recorded_at);
CREATE INDEX gap_lease ON gap (lease_id, number);
COMMENT ON COLUMN gap.recorded_at IS 'evidence: when it was stored';
COMMENT ON COLUMN gap.lease_id IS 'evidence: the shard';
COMMENT ON COLUMN gap.number IS 'evidence: the batch within the shard that tells of it';
COMMENT ON COLUMN gap.begin_us IS 'evidence: what arrived from here, µs UTC, may be missing';
COMMENT ON COLUMN gap.end_us IS 'evidence: up to here';
COMMENT ON COLUMN gap.cause IS 'evidence: why';

CREATE TABLE audit_event (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    event_id int8 GENERATED ALWAYS AS IDENTITY,
    actor text NOT NULL,
    action text NOT NULL,
    detail json NOT NULL
) PARTITION BY RANGE (recorded_at);
CREATE INDEX audit_event_recorded ON audit_event (recorded_at);
COMMENT ON COLUMN audit_event.recorded_at IS 'evidence: when';
COMMENT ON COLUMN audit_event.event_id IS 'evidence: number of the event';
COMMENT ON COLUMN audit_event.actor IS 'evidence: who, as a pseudonym';
COMMENT ON COLUMN audit_event.action IS 'evidence: what was done';
COMMENT ON COLUMN audit_event.detail IS 'evidence: to what, with which values';
-- Partitions by month. What no month takes goes to the DEFAULT partition: nothing is refused.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['batch', 'open_row', 'reject', 'anomaly', 'conflict', 'gap', 'audit_event'] LOOP
        EXECUTE format('CREATE TABLE floorlog.%I PARTITION OF floorlog.%I DEFAULT', name || '_default', name);
    END LOOP;
END
$$;

-- Makes the partitions of this month and the next ones; returns how many it made. Runs as the
-- owner, so that the writer needs no right to create tables. A month of which the DEFAULT
-- partition holds rows already stays there: moving rows is not the writer's right.
CREATE FUNCTION make_months(months_ahead int4) RETURNS int4
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parent text;
    child text;
    first timestamptz;
    following timestamptz;
    taken bool;
    made int4 := 0;
BEGIN
    IF months_ahead NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'months_ahead is %, but must be 0 to 24', months_ahead;
    END IF;
    PERFORM pg_advisory_xact_lock(4706881);  -- two workers at once make each month once
    FOR parent IN
        SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'floorlog' AND c.relkind = 'p' ORDER BY c.relname
    LOOP
        FOR month IN 0..months_ahead LOOP
            first := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => month)) AT TIME ZONE 'UTC';
            following := (first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
            child := parent || to_char(first AT TIME ZONE 'UTC', '"_"YYYY"_"MM');
            CONTINUE WHEN to_regclass(format('floorlog.%I', child)) IS NOT NULL;
            EXECUTE format(
                'SELECT EXISTS (SELECT FROM floorlog.%I WHERE recorded_at >= %L AND recorded_at < %L)',
                parent || '_default', first, following) INTO taken;
            CONTINUE WHEN taken;
            -- Attached, not created as a partition: that would stop all readers and writers.
            EXECUTE format('CREATE TABLE floorlog.%I (LIKE floorlog.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', child, parent);
            EXECUTE format('ALTER TABLE floorlog.%I ATTACH PARTITION floorlog.%I FOR VALUES FROM (%L) TO (%L)',
                parent, child, first, following);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION make_months(int4) FROM PUBLIC;
SELECT make_months(2);
-- The ledger's bytes, as docs/reference/ledger.md gives them and core/ledger writes them.

-- A field as in binary COPY: its length, then its bytes; -1 alone for NULL.
CREATE FUNCTION field(value bytea) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT int4send(coalesce(length(value), -1)) || coalesce(value, '')
$$;
CREATE FUNCTION field(value text) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT floorlog.field(convert_to(value, 'UTF8'))
$$;
CREATE FUNCTION field(value int8) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT floorlog.field(int8send(value))
$$;
CREATE FUNCTION field(value float8) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT floorlog.field(float8send(value))
$$;

-- A time as µs since 1970, cut to what slots can number.
CREATE FUNCTION to_us(t timestamptz) RETURNS int8
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN t IS NULL THEN NULL
        WHEN t = 'infinity' THEN 3800000000000000000
        WHEN t = '-infinity' THEN -3800000000000000000
        ELSE least(greatest(extract(epoch FROM t) * 1000000, -3800000000000000000), 3800000000000000000)::int8
    END
$$;

CREATE FUNCTION digest(s series) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001001'::bytea || floorlog.field(s.series_id::int8) || floorlog.field(s.device)
        || floorlog.field(s.metric) || floorlog.field(s.kind::int8) || floorlog.field(s.unit))
$$;
CREATE FUNCTION digest(s state) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001101'::bytea || floorlog.field(s.code::int8) || floorlog.field(s.name))
$$;
CREATE FUNCTION digest(l lease) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001201'::bytea || floorlog.field(l.lease_id::int8) || floorlog.field(s.arn)
        || floorlog.field(floorlog.to_us(s.created_at)) || floorlog.field(l.shard_id)
        || floorlog.field(array_to_string(l.parents, ',')) || floorlog.field(l.hash_begin::text)
        || floorlog.field(l.hash_end::text))
    FROM floorlog.stream AS s WHERE s.stream_id = l.stream_id
$$;
CREATE FUNCTION digest(c catalogue) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001301'::bytea || floorlog.field(c.version::int8)
        || floorlog.field(sha256(convert_to(c.body::text, 'UTF8'))) || floorlog.field(floorlog.to_us(c.recorded_at)))
$$;
CREATE FUNCTION digest(a audit_event) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001401'::bytea || floorlog.field(floorlog.to_us(a.recorded_at)) || floorlog.field(a.actor)
        || floorlog.field(a.action) || floorlog.field(sha256(convert_to(a.detail::text, 'UTF8'))))
$$;
CREATE FUNCTION digest(g gap) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x000401'::bytea || floorlog.field(g.begin_us) || floorlog.field(g.end_us) || floorlog.field(g.cause))
$$;

-- The heads of these shards, one after the other in the order of their numbers: what the first entry
-- of a child is chained to.
CREATE FUNCTION heads(of_leases int4[]) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT coalesce(string_agg(p.head, '' ORDER BY p.lease_id), '') FROM floorlog.lease AS p
    WHERE p.lease_id = ANY (of_leases)
$$;

-- The hash of a batch's entry. `counted`: records, received, stored, rejected, duplicate, conflict.
CREATE FUNCTION entry(
    shard bytea, number int8, epoch int8, clock_s int8, recorded_us int8, catalogue int8,
    sequence_before numeric, sequence numeric, counted int8[], leaves int8, root bytea, previous bytea
) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sha256('\x002001'::bytea || floorlog.field(shard) || floorlog.field(number) || floorlog.field(epoch)
        || floorlog.field(clock_s) || floorlog.field(recorded_us) || floorlog.field(catalogue)
        || floorlog.field(sequence_before::text) || floorlog.field(sequence::text)
        || floorlog.field(counted[1]) || floorlog.field(counted[2]) || floorlog.field(counted[3])
        || floorlog.field(counted[4]) || floorlog.field(counted[5]) || floorlog.field(counted[6])
        || floorlog.field(leaves) || floorlog.field(root) || floorlog.field(previous))
$$;
-- The fence: moves a lease on by one batch and writes its head, or stops the transaction.

-- SQLSTATEs: FL001 the lease is not the caller's any more; FL002 another shard raised its version;
-- FL003 it does not stand where the caller believes, although it is the caller's.
CREATE FUNCTION advance(
    of_lease int8, of_epoch int8, to_number int8, of_version int8,
    from_checkpoint numeric, to_checkpoint numeric,
    to_clock_s int8, to_read_at int8, to_behind_ms int8, by_catalogue int8,
    counted int8[],  -- records, received, stored, rejected, duplicate, conflict, gaps
    of_leaves int8, of_root bytea,
    is_ended bool, lease_seconds float8, of_locator bytea,
    OUT now_us int8, OUT is_wanted bool, OUT newer int4, OUT newer_body text
)
LANGUAGE plpgsql AS $$
DECLARE
    stands floorlog.lease;
    now_at timestamptz := clock_timestamp();
    new_head bytea;
BEGIN
    UPDATE floorlog.lease AS l SET
        number = to_number, checkpoint = to_checkpoint, clock_s = to_clock_s,
        read_at = CASE WHEN to_read_at < 0 THEN l.read_at ELSE to_read_at END, behind_ms = to_behind_ms,
        catalogue = by_catalogue, ended = is_ended,
        owner = CASE WHEN is_ended THEN NULL ELSE l.owner END,
        wanted_by = CASE WHEN is_ended THEN NULL ELSE l.wanted_by END,
        expires_at = CASE WHEN is_ended THEN NULL ELSE now_at + make_interval(secs => lease_seconds) END,
        records = l.records + counted[1], received = l.received + counted[2],
        stored = l.stored + counted[3], rejected = l.rejected + counted[4],
        duplicate = l.duplicate + counted[5], conflict = l.conflict + counted[6],
        gaps = l.gaps + counted[7],
        -- On the row as it stood: the head of the batch before.
        head = floorlog.entry(
            l.digest, to_number, of_epoch, to_clock_s, floorlog.to_us(now()), by_catalogue, from_checkpoint,
            to_checkpoint, counted, of_leaves, of_root,
            CASE WHEN to_number = 1 THEN floorlog.heads(l.parents) ELSE l.head END)
    WHERE l.lease_id = of_lease AND l.epoch = of_epoch AND l.number = to_number - 1
        AND l.version = of_version AND l.checkpoint = from_checkpoint AND NOT l.ended
    RETURNING l.wanted_by IS NOT NULL, l.head INTO is_wanted, new_head;
    IF NOT FOUND THEN
        SELECT * INTO stands FROM floorlog.lease AS l WHERE l.lease_id = of_lease;
        IF stands.epoch IS DISTINCT FROM of_epoch THEN
            RAISE EXCEPTION 'lease % is at epoch %, not %', of_lease, stands.epoch, of_epoch
                USING ERRCODE = 'FL001';
        ELSIF stands.number <> to_number - 1 OR stands.checkpoint <> from_checkpoint THEN
            RAISE EXCEPTION 'lease % stands at batch %, not %', of_lease, stands.number, to_number - 1
                USING ERRCODE = 'FL003';
        ELSIF stands.ended THEN
            RAISE EXCEPTION 'lease % has ended', of_lease USING ERRCODE = 'FL001';
        END IF;
        RAISE EXCEPTION 'lease % is at version %, not %', of_lease, stands.version, of_version
            USING ERRCODE = 'FL002';
    END IF;
    INSERT INTO floorlog.batch (lease_id, number, epoch, clock_s, sequence_before, sequence, catalogue,
        records, received, stored, rejected, duplicate, conflict, leaves, root, head, locator)
    VALUES (of_lease, to_number, of_epoch, to_clock_s, from_checkpoint, to_checkpoint, by_catalogue,
        counted[1], counted[2], counted[3], counted[4], counted[5], counted[6], of_leaves, of_root, new_head,
        of_locator);
    now_us := extract(epoch FROM now_at) * 1000000;
    SELECT c.version, c.body INTO newer, newer_body
        FROM floorlog.catalogue AS c WHERE c.version > by_catalogue ORDER BY c.version DESC LIMIT 1;
END
$$;
REVOKE ALL ON FUNCTION advance(int8, int8, int8, int8, numeric, numeric, int8, int8, int8, int8, int8[], int8, bytea, bool, float8, bytea) FROM PUBLIC;

-- As the last release calls it, and the end of a stream that is gone: a batch without such sums.
CREATE FUNCTION advance(
    of_lease int8, of_epoch int8, to_number int8, of_version int8,
    from_checkpoint numeric, to_checkpoint numeric,
    to_clock_s int8, to_read_at int8, to_behind_ms int8, by_catalogue int8,
    counted int8[],  -- records, received, stored, rejected, duplicate, conflict, gaps
    of_leaves int8, of_root bytea,
    is_ended bool, lease_seconds float8,
    OUT now_us int8, OUT is_wanted bool, OUT newer int4, OUT newer_body text
)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT a.* INTO now_us, is_wanted, newer, newer_body
    FROM floorlog.advance(of_lease, of_epoch, to_number, of_version, from_checkpoint, to_checkpoint, to_clock_s,
        to_read_at, to_behind_ms, by_catalogue, counted, of_leaves, of_root, is_ended, lease_seconds, NULL) AS a;
END
$$;
REVOKE ALL ON FUNCTION advance(int8, int8, int8, int8, numeric, numeric, int8, int8, int8, int8, int8[], int8, bytea, bool, float8) FROM PUBLIC;

-- Ends the shards of earlier streams of this name, each by an entry with a gap: their rest can not
-- be read. Under a new epoch, so that nobody takes the entry for a commit of his own.
CREATE FUNCTION end_older_streams(of_arn text, before timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    l floorlog.lease;
    g floorlog.gap;
BEGIN
    FOR l IN
        SELECT o.* FROM floorlog.lease AS o JOIN floorlog.stream AS s ON s.stream_id = o.stream_id
        WHERE s.arn = of_arn AND s.created_at < before AND NOT s.gone AND NOT o.ended
        ORDER BY o.lease_id FOR NO KEY UPDATE OF o
    LOOP
        g := (now(), l.lease_id, l.number + 1,
            CASE WHEN l.read_at >= 0 THEN l.read_at WHEN l.clock_s >= 0 THEN l.clock_s * 1000000
                ELSE (SELECT floorlog.to_us(s.created_at) FROM floorlog.stream AS s WHERE s.stream_id = l.stream_id)
            END, floorlog.to_us(now()), 'stream gone');
        INSERT INTO floorlog.gap SELECT g.*;
        UPDATE floorlog.lease AS o SET epoch = l.epoch + 1, digest = coalesce(o.digest, floorlog.digest(o))
            WHERE o.lease_id = l.lease_id;
        PERFORM floorlog.advance(l.lease_id, l.epoch + 1, l.number + 1, l.version, l.checkpoint, l.checkpoint,
            greatest(l.clock_s, 0), -1, 0, l.catalogue, '{0,0,0,0,0,0,1}', 1, floorlog.digest(g), true, 0);
    END LOOP;
    UPDATE floorlog.stream SET gone = true WHERE arn = of_arn AND created_at < before AND NOT gone;
END
$$;
REVOKE ALL ON FUNCTION end_older_streams(text, timestamptz) FROM PUBLIC;
-- Readings as rows: the view, and the functions that reach a range of time without unpacking all.

-- The lengths of slots by their number, in µs.
CREATE FUNCTION widths(OUT width int2, OUT length_us int8) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    VALUES (0::int2, 1800000000::int8), (1::int2, 86400000000), (2::int2, 2592000000000), (3::int2, 864000000000000)
$$;

-- µs since 1970 as a time: exact from 1830 to 2110, to some µs beyond. Its argument stands once, so
-- that the planner puts the expression in the call's place: ten times as fast.
CREATE FUNCTION from_us(us int8) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_timestamp(least(greatest(us, -210866803200000000), 9223371331200000000) / 1000000::float8)
$$;

-- The slots of every width that a span of time touches. Division rounds down, before 1970 too.
CREATE FUNCTION slots(from_us int8, to_us int8, OUT width int2, OUT first_slot int4, OUT last_slot int4)
RETURNS SETOF record LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT w.width,
        ((from_us - ((from_us % w.length_us) + w.length_us) % w.length_us) / w.length_us)::int4,
        ((to_us - ((to_us % w.length_us) + w.length_us) % w.length_us) / w.length_us)::int4
    FROM floorlog.widths() AS w
$$;

-- The open rows that may hold readings of a span of time, both ends included. OFFSET 0 keeps the
-- planner from another way than the index: one reach per width, however it guesses.
CREATE FUNCTION rows_between(from_us int8, to_us int8) RETURNS SETOF open_row
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT r.* FROM floorlog.slots(from_us, to_us) AS p
    CROSS JOIN LATERAL (
        SELECT o.* FROM floorlog.open_row AS o
        WHERE o.width = p.width AND o.slot BETWEEN p.first_slot AND p.last_slot
            AND o.t_max >= from_us AND o.t_min <= to_us
        OFFSET 0
    ) AS r
$$;

-- Where to begin to look back from: the latest end of a row within a span, which must lie in one
-- slot of every width; the span's own end where no row ends in it.
CREATE FUNCTION last_time(from_us int8, to_us int8) RETURNS int8
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(max(ending.t_max), to_us)
    FROM floorlog.slots(from_us, from_us) AS p
    CROSS JOIN LATERAL (
        SELECT o.t_max FROM floorlog.open_row AS o
        WHERE o.width = p.width AND o.slot = p.first_slot AND o.t_max BETWEEN from_us AND to_us
        ORDER BY o.t_max DESC LIMIT 1
    ) AS ending
$$;

-- ── sealed readings ──

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
-- a third of what a join of unnest costs. What is the same for all readings is computed once: OFFSET 0.
CREATE FUNCTION unsealed(c chunk, OUT place int4, OUT number int8, OUT at_us int8, OUT value float8,
    OUT quality int8, OUT arrived int4, OUT flags int2)
RETURNS SETOF record LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT u.place,
        c.number_min + (u.place - 1) * u.number_span / u.steps + coalesce(u.number_narrow, u.number_wide, 0),
        c.t_min + ((u.place - 1) * u.ticks / u.steps + coalesce(u.ts_narrow, u.ts, u.ts_wide, 0)) * c.tick_us,
        coalesce(u.value, coalesce(u.value_narrow, u.value_scaled)::float8 / u.scale),
        coalesce(u.quality, 0), coalesce(u.arrived, 0), coalesce(u.flags, 0::int2)
    FROM (
        SELECT k.*, generate_series(1, c.count) AS place,
            unnest(c.number_narrow) AS number_narrow, unnest(c.number_wide) AS number_wide,
            unnest(c.ts_narrow) AS ts_narrow, unnest(c.ts) AS ts, unnest(c.ts_wide) AS ts_wide,
            unnest(c.value_narrow) AS value_narrow, unnest(c.value_scaled) AS value_scaled,
            unnest(c.value) AS value, unnest(c.quality) AS quality, unnest(c.arrived) AS arrived,
            unnest(c.flags) AS flags
        FROM (SELECT c.number_max - c.number_min AS number_span, (c.t_max - c.t_min) / c.tick_us AS ticks,
            greatest(c.count - 1, 1)::int8 AS steps, c.scale::float8 AS scale OFFSET 0) AS k
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

-- The half hour that holds a time, whatever the slot in which it is stored: that may change.
CREATE FUNCTION half_hour(us int8) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT date_bin('30 minutes', floorlog.from_us(us), timestamptz 'epoch')
$$;

-- All chunks. A function, so that what is made of a chunk's columns is computed from columns: a row
-- passed on whole is copied for each reading.
CREATE FUNCTION chunks() RETURNS SETOF chunk LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT c.* FROM floorlog.chunk AS c
$$;

-- When the batches of a chunk were stored, and their clocks, by number from the chunk's least one
-- on. Nothing for a chunk whose batches are many more than its readings: those are looked up singly.
CREATE FUNCTION batches_of(c chunk, OUT recorded timestamptz[], OUT clock int8[])
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT array_agg(b.recorded_at ORDER BY b.number), array_agg(b.clock_s ORDER BY b.number)
    FROM floorlog.batch AS b
    WHERE c.number_max - c.number_min <= 4 * c.count + 64 AND b.lease_id = c.lease_id
        AND b.number BETWEEN c.number_min AND c.number_max
        AND b.recorded_at BETWEEN c.recorded_min AND c.recorded_max
    HAVING count(*) = c.number_max - c.number_min + 1
$$;

-- One row per reading. flags: 1 contradicts an earlier reading of the same time, 2 late.
-- A range of time reaches no index through this view: use readings() for that.
CREATE VIEW reading AS
SELECT
    floorlog.from_us(u.at_us) AS ts,
    s.device AS device_id,
    s.metric,
    CASE WHEN s.kind = 0 THEN u.value END AS value,
    -- Not a join: numbers, the most, have no state to look for.
    CASE WHEN s.kind = 1 THEN (SELECT t.name FROM floorlog.state AS t WHERE t.code = u.value::int4) END AS text,
    s.unit,
    coalesce(u.quality, 0) AS quality,
    r.recorded_at,
    (CASE WHEN u.place = ANY (r.conflict) THEN 1 ELSE 0 END)
        + (CASE WHEN u.place = ANY (r.late) THEN 2 ELSE 0 END) AS flags,
    to_timestamp(r.clock_s - coalesce(u.arrived, 0)) AS arrived_at,
    r.lease_id AS shard,
    r.number AS batch,
    floorlog.half_hour(u.at_us) AS bucket
FROM floorlog.open_row AS r
CROSS JOIN LATERAL (
    SELECT v.*, r.t_min + coalesce(v.ts::int8, v.ts_wide, 0) * r.tick_us AS at_us
    FROM unnest(r.series, r.ts, r.ts_wide, r.value, r.quality, r.arrived)
        WITH ORDINALITY AS v (series_id, ts, ts_wide, value, quality, arrived, place)
) AS u
JOIN floorlog.series AS s ON s.series_id = u.series_id
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
FROM floorlog.chunks() AS c
JOIN floorlog.series AS s ON s.series_id = c.series_id
LEFT JOIN LATERAL floorlog.batches_of(c) AS k ON true
CROSS JOIN LATERAL floorlog.unsealed(c) AS u;

COMMENT ON VIEW reading IS 'derived: one row per reading';

-- All readings from one time up to, not including, another.
-- Series are joined from the left: a small plant's would else come first, and read the rows once each.
CREATE FUNCTION readings(from_time timestamptz, to_time timestamptz) RETURNS SETOF reading
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

-- The readings of one series from one time up to, not including, another. Series are sorted within
-- an open row, so that width_bucket finds theirs by bisection, and only that slice is unpacked.
CREATE FUNCTION readings(of_device text, of_metric text, from_time timestamptz, to_time timestamptz)
RETURNS SETOF reading LANGUAGE sql STABLE AS $$
    SELECT
        floorlog.from_us(u.at_us), s.device, s.metric, CASE WHEN s.kind = 0 THEN u.value END,
        CASE WHEN s.kind = 1 THEN (SELECT t.name FROM floorlog.state AS t WHERE t.code = u.value::int4) END, s.unit,
        coalesce(u.quality, 0), r.recorded_at,
        (CASE WHEN u.place + r.before = ANY (r.conflict) THEN 1 ELSE 0 END)
            + (CASE WHEN u.place + r.before = ANY (r.late) THEN 2 ELSE 0 END),
        to_timestamp(r.clock_s - coalesce(u.arrived, 0)), r.lease_id, r.number,
        floorlog.half_hour(u.at_us)
    FROM floorlog.series AS s
    CROSS JOIN LATERAL (
        SELECT o.*, width_bucket(s.series_id - 1, o.series) AS before, width_bucket(s.series_id, o.series) AS last
        FROM floorlog.rows_between(floorlog.to_us(from_time), floorlog.to_us(to_time) - 1) AS o
        OFFSET 0  -- the bisection is done once a row
    ) AS r
    CROSS JOIN LATERAL (
        SELECT v.*, r.t_min + coalesce(v.ts::int8, v.ts_wide, 0) * r.tick_us AS at_us
        FROM unnest(
            r.ts[r.before + 1:r.last], r.ts_wide[r.before + 1:r.last], r.value[r.before + 1:r.last],
            r.quality[r.before + 1:r.last], r.arrived[r.before + 1:r.last]
        ) WITH ORDINALITY AS v (ts, ts_wide, value, quality, arrived, place)
    ) AS u
    WHERE s.device = of_device AND s.metric = of_metric AND r.last > r.before
        AND u.at_us >= floorlog.to_us(from_time) AND u.at_us < floorlog.to_us(to_time)
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
    FROM floorlog.series AS s
    CROSS JOIN LATERAL
        floorlog.chunks_of(s.series_id, floorlog.to_us(from_time), floorlog.to_us(to_time) - 1) AS c
    LEFT JOIN LATERAL floorlog.batches_of(c) AS k ON true
    CROSS JOIN LATERAL floorlog.unsealed(c) AS u
    WHERE s.device = of_device AND s.metric = of_metric
        AND u.at_us >= floorlog.to_us(from_time) AND u.at_us < floorlog.to_us(to_time)
$$;

-- The newest reading of a chunk that stands. Its own, without the others.
CREATE FUNCTION newest_of(c chunk, OUT at_us int8, OUT value float8, OUT quality int8, OUT recorded_at timestamptz,
    OUT arrived_s int8)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT
        c.t_min + ((c.newest - 1) * ((c.t_max - c.t_min) / c.tick_us) / greatest(c.count - 1, 1)
            + coalesce(c.ts_narrow[c.newest], c.ts[c.newest], c.ts_wide[c.newest], 0)) * c.tick_us,
        coalesce(c.value[c.newest],
            coalesce(c.value_narrow[c.newest], c.value_scaled[c.newest])::float8 / c.scale),
        coalesce(c.quality[c.newest], 0), b.recorded_at, b.clock_s - coalesce(c.arrived[c.newest], 0)
    FROM floorlog.batch AS b
    WHERE c.newest IS NOT NULL AND b.lease_id = c.lease_id
        AND b.number = c.number_min + (c.newest - 1) * (c.number_max - c.number_min) / greatest(c.count - 1, 1)
            + coalesce(c.number_narrow[c.newest], c.number_wide[c.newest], 0)
        AND b.recorded_at BETWEEN c.recorded_min AND c.recorded_max
$$;

-- The newest reading that stands of these series among the open rows that end at or after `cut`, and
-- not counting times after `to_us`, and among the chunks that do. Each row is unpacked once, then its
-- series found by bisection.
CREATE FUNCTION newest_in(of_series int4[], cut int8, to_us int8)
RETURNS TABLE (series_id int4, at_us int8, value float8, quality int8, recorded_at timestamptz, arrived_s int8)
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (e.series_id) e.* FROM (
        SELECT u.series_id, u.at_us, u.value, coalesce(u.quality, 0) AS quality, u.recorded_at,
            u.clock_s - coalesce(u.arrived, 0) AS arrived_s
        FROM (
            SELECT o.recorded_at, o.clock_s, o.t_min, o.tick_us, o.conflict, o.series || '{}' AS sorted,
                o.ts || '{}' AS ts, o.ts_wide || '{}' AS ts_wide, o.value || '{}' AS value,
                o.quality || '{}' AS quality, o.arrived || '{}' AS arrived
            FROM floorlog.rows_between(cut, to_us) AS o
            OFFSET 0  -- keeps what was unpacked
        ) AS r
        CROSS JOIN LATERAL (
            SELECT e.series_id, width_bucket(e.series_id - 1, r.sorted) AS before,
                width_bucket(e.series_id, r.sorted) AS last
            FROM unnest(of_series) AS e (series_id)
            OFFSET 0
        ) AS b
        CROSS JOIN LATERAL (
            SELECT b.series_id, v.value, v.quality, v.arrived, r.recorded_at, r.clock_s, b.before + v.place AS place,
                r.t_min + coalesce(v.ts::int8, v.ts_wide, 0) * r.tick_us AS at_us
            FROM unnest(
                r.ts[b.before + 1:b.last], r.ts_wide[b.before + 1:b.last], r.value[b.before + 1:b.last],
                r.quality[b.before + 1:b.last], r.arrived[b.before + 1:b.last]
            ) WITH ORDINALITY AS v (ts, ts_wide, value, quality, arrived, place)
        ) AS u
        WHERE b.last > b.before AND u.at_us <= newest_in.to_us
            AND (r.conflict IS NULL OR u.place <> ALL (r.conflict))
        UNION ALL
        SELECT s.series_id, n.at_us, n.value, n.quality, n.recorded_at, n.arrived_s
        FROM unnest(of_series) AS s (series_id)
        CROSS JOIN LATERAL floorlog.chunks_of(s.series_id, cut, newest_in.to_us) AS c
        CROSS JOIN LATERAL floorlog.newest_of(c) AS n
        WHERE n.at_us BETWEEN cut AND newest_in.to_us
    ) AS e
    ORDER BY e.series_id, e.at_us DESC
$$;

-- The newest reading that stands of every series, quiet ones included. Looks into the five minutes
-- that series_home names, from their end: a second first, then eight times as far each time, until
-- each series' newest reading lies above what was not looked at. A number may be greater than any
-- state's code: only a state's is cast.
CREATE FUNCTION last_values()
RETURNS TABLE (ts timestamptz, device_id text, metric text, value float8, text text, unit text,
    quality int8, recorded_at timestamptz, arrived_at timestamptz)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    place record;
    pending int4[];
    done int4[];
    first_us int8;
    last_us int8;
    edge int8;
    cut int8;
    span int8;
    found record;
BEGIN
    FOR place IN
        SELECT h.newest_window AS number, array_agg(h.series_id) AS ids FROM floorlog.series_home AS h
        WHERE h.newest_window IS NOT NULL GROUP BY h.newest_window ORDER BY h.newest_window DESC
    LOOP
        pending := place.ids;
        first_us := place.number * 300000000::int8;
        last_us := first_us + 299999999;
        edge := floorlog.last_time(first_us, last_us);
        span := 1000000;
        WHILE pending <> '{}' LOOP
            cut := greatest(edge - span, first_us);
            done := '{}';
            FOR found IN SELECT * FROM floorlog.newest_in(pending, cut, last_us) AS n WHERE n.at_us >= cut LOOP
                done := done || found.series_id;
                RETURN QUERY SELECT floorlog.from_us(found.at_us), s.device, s.metric,
                    CASE WHEN s.kind = 0 THEN found.value END,
                    (SELECT t.name FROM floorlog.state AS t
                        WHERE t.code = (CASE WHEN s.kind = 1 THEN found.value END)::int4),
                    s.unit, found.quality, found.recorded_at, to_timestamp(found.arrived_s)
                    FROM floorlog.series AS s WHERE s.series_id = found.series_id;
            END LOOP;
            EXIT WHEN cut <= first_us;
            pending := ARRAY(SELECT unnest(pending) EXCEPT SELECT unnest(done));
            span := span * 8;
        END LOOP;
    END LOOP;
END
$$;

-- Conflicts stored in a span of time, each beside the value that stands.
CREATE FUNCTION conflicts(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (ts timestamptz, device_id text, metric text, value float8, text text, quality int8,
    standing_value float8, standing_text text, standing_quality int8, recorded_at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT floorlog.from_us(c.ts_us), s.device, s.metric, CASE WHEN s.kind = 0 THEN c.value END,
        CASE WHEN s.kind = 1 THEN (SELECT t.name FROM floorlog.state AS t WHERE t.code = c.value::int4) END,
        c.quality, r.value, r.text, r.quality, c.recorded_at
    FROM floorlog.conflict AS c
    JOIN floorlog.series AS s ON s.series_id = c.series_id
    LEFT JOIN LATERAL (
        SELECT q.value, q.text, q.quality
        FROM floorlog.readings(s.device, s.metric, floorlog.from_us(c.ts_us), floorlog.from_us(c.ts_us + 1)) AS q
        WHERE q.flags & 1 = 0 LIMIT 1
    ) AS r ON true
    WHERE c.recorded_at >= from_time AND c.recorded_at < to_time
$$;
-- The log: one order over all entries, series, states, shards, catalogues and audit events.

CREATE TABLE log_leaf (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    position int8 NOT NULL,
    id int8 NOT NULL,
    lease_id int4 NOT NULL DEFAULT 0,
    kind int2 NOT NULL,
    hash bytea NOT NULL
) PARTITION BY RANGE (recorded_at);
CREATE INDEX log_leaf_position ON log_leaf (position);
CREATE INDEX log_leaf_id ON log_leaf (kind, lease_id, id);
COMMENT ON COLUMN log_leaf.recorded_at IS 'evidence: when it got its position';
COMMENT ON COLUMN log_leaf.position IS 'evidence: place in the log: 0, 1, 2 …';
COMMENT ON COLUMN log_leaf.id IS 'evidence: number of the batch, series, state, shard, catalogue or event';
COMMENT ON COLUMN log_leaf.lease_id IS 'evidence: the shard of an entry; else 0';
COMMENT ON COLUMN log_leaf.kind IS 'evidence: 16 series, 17 state, 18 shard, 19 catalogue, 20 audit event, 21 alarm event, 32 entry';
COMMENT ON COLUMN log_leaf.hash IS 'evidence: hash of its content';

CREATE TABLE note (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    size int8 NOT NULL,
    body text NOT NULL
) PARTITION BY RANGE (recorded_at);
CREATE INDEX note_size ON note (size);
COMMENT ON COLUMN note.recorded_at IS 'evidence: when it was signed';
COMMENT ON COLUMN note.size IS 'evidence: leaves of the log that it speaks of';
COMMENT ON COLUMN note.body IS 'evidence: the signed note, as it was anchored outside';

DO $$
BEGIN
    CREATE TABLE log_leaf_default PARTITION OF floorlog.log_leaf DEFAULT;
    CREATE TABLE note_default PARTITION OF floorlog.note DEFAULT;
    PERFORM floorlog.make_months(2);
END
$$;

-- Gives positions to all that has none yet, up to so many; returns the size of the log. What has
-- none, not what is newer: ids commit out of order. Only within a shard are entries in order for sure.
CREATE FUNCTION sequence(leaves_max int4) RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
    size int8;
    added int8;
BEGIN
    PERFORM pg_advisory_xact_lock(4706884);
    SELECT coalesce(max(l.position) + 1, 0) INTO size FROM floorlog.log_leaf AS l;
    INSERT INTO floorlog.log_leaf (position, kind, lease_id, id, hash)
    SELECT size + row_number() OVER (ORDER BY f.turn, f.lease_id, f.id) - 1, f.kind, f.lease_id, f.id, f.hash
    FROM (
        SELECT 1 AS turn, 18 AS kind, 0 AS lease_id, l.lease_id::int8 AS id, floorlog.digest(l) AS hash
            FROM floorlog.lease AS l
            WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (18, 0, l.lease_id))
        UNION ALL
        SELECT 2, 16, 0, s.series_id, floorlog.digest(s) FROM floorlog.series AS s
            WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (16, 0, s.series_id))
        UNION ALL
        SELECT 3, 17, 0, s.code, floorlog.digest(s) FROM floorlog.state AS s
            WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (17, 0, s.code))
        UNION ALL
        SELECT 4, 19, 0, c.version, floorlog.digest(c) FROM floorlog.catalogue AS c
            WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (19, 0, c.version))
        UNION ALL
        SELECT 5, 32, l.lease_id, b.number, b.head FROM floorlog.lease AS l
            CROSS JOIN LATERAL (
                SELECT o.number, o.head FROM floorlog.batch AS o
                WHERE o.lease_id = l.lease_id AND o.number > coalesce((
                    SELECT max(g.id) FROM floorlog.log_leaf AS g WHERE g.kind = 32 AND g.lease_id = l.lease_id), 0)
                ORDER BY o.number LIMIT leaves_max
            ) AS b
        UNION ALL
        SELECT 6, 20, 0, a.event_id, floorlog.digest(a) FROM floorlog.audit_event AS a
            WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (20, 0, a.event_id))
        UNION ALL
        -- Only what is not much older than the last leaf of its kind: no transaction lasts an hour, and
        -- looking for each event of all years at every step would.
        SELECT 7, 21, 0, e.event_id, floorlog.digest(e) FROM floorlog.alarm_event AS e
            WHERE e.recorded_at >= coalesce((
                    SELECT g.recorded_at - interval '1 hour' FROM floorlog.log_leaf AS g
                    WHERE g.kind = 21 AND g.lease_id = 0 ORDER BY g.id DESC LIMIT 1), '-infinity')
                AND NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (21, 0, e.event_id))
        ORDER BY 1, 3, 4 LIMIT leaves_max
    ) AS f;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN size + added;
END
$$;
REVOKE ALL ON FUNCTION sequence(int4) FROM PUBLIC;
-- The swap: chunks for open rows, or for other chunks, that hold the same readings.

-- What open rows hold, one row per reading, in the order of rows and within them. Places of flags
-- are found by bisection; `|| '{}'` unpacks an array once.
CREATE FUNCTION opened(r open_row, OUT series_id int4, OUT at_us int8, OUT value float8,
    OUT quality int8, OUT arrived int4, OUT flags int2)
RETURNS SETOF record LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT u.series_id, r.t_min + coalesce(u.ts, u.ts_wide, 0) * r.tick_us, u.value, coalesce(u.quality, 0),
        coalesce(u.arrived, 0),
        (CASE WHEN u.conflict[width_bucket(u.place, u.conflict)] = u.place THEN 1 ELSE 0 END
            + CASE WHEN u.late[width_bucket(u.place, u.late)] = u.place THEN 2 ELSE 0 END)::int2
    FROM (
        SELECT f.conflict, f.late, generate_subscripts(r.series, 1) AS place, unnest(r.series) AS series_id,
            unnest(r.ts) AS ts, unnest(r.ts_wide) AS ts_wide, unnest(r.value) AS value,
            unnest(r.quality) AS quality, unnest(r.arrived) AS arrived
        FROM (SELECT r.conflict || '{}' AS conflict, r.late || '{}' AS late OFFSET 0) AS f
    ) AS u
$$;

-- Open rows and chunks by name, in the order in which they are named. As functions, so that what is
-- made of a row's columns is computed from columns: a row passed on whole is copied for each reading.
-- Volatile, so that they stay functions: put in the call's place they take twice as long.
CREATE FUNCTION rows_named(recorded_from timestamptz, recorded_to timestamptz, leases int4[], numbers int8[], parts int2[])
RETURNS SETOF open_row LANGUAGE sql VOLATILE AS $$
    SELECT r.* FROM unnest(leases, numbers, parts) AS a (lease_id, number, part)
    CROSS JOIN LATERAL (
        SELECT o.* FROM floorlog.open_row AS o
        WHERE o.lease_id = a.lease_id AND o.number = a.number AND o.part = a.part
            AND o.recorded_at BETWEEN recorded_from AND recorded_to
        OFFSET 0
    ) AS r
$$;
CREATE FUNCTION chunks_named(of_series int4[], widths int2[], slots int4[], parts int2[]) RETURNS SETOF chunk
LANGUAGE sql VOLATILE AS $$
    SELECT c.* FROM unnest(of_series, widths, slots, parts) AS a (series_id, width, slot, part)
    CROSS JOIN LATERAL (
        SELECT k.* FROM floorlog.chunk AS k
        WHERE k.series_id = a.series_id AND k.width = a.width AND k.slot = a.slot AND k.part = a.part
        OFFSET 0
    ) AS c
$$;
CREATE FUNCTION chunks_given(made chunk[]) RETURNS SETOF chunk LANGUAGE sql VOLATILE AS $$
    SELECT m.* FROM unnest(made) AS m
$$;

-- Arrays one after the other, in the order in which they come.
CREATE AGGREGATE joined(anycompatiblearray) (sfunc = array_cat, stype = anycompatiblearray);

-- Takes open rows and chunks out of the record and puts chunks in that hold the same readings: for
-- each series and shard the same numbers of batches, times, values, qualities, arrivals and flags,
-- bit for bit and in the same order, as this server reads them out of the one and the other. These
-- are all that a leaf is made of beside names, so every leaf stays what it was. Anything else is
-- refused, and the transaction with it. Returns how many readings were moved.
--
-- The order: chunks as named, then rows as named. Sorting would disturb it, so that it is off.
CREATE FUNCTION seal(
    recorded_from timestamptz, recorded_to timestamptz,  -- of the open rows
    leases int4[], numbers int8[], parts int2[],  -- the open rows
    old_series int4[], old_widths int2[], old_slots int4[], old_parts int2[],  -- the chunks
    made chunk[]
) RETURNS int8
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_sort = off SET enable_mergejoin = off SET enable_hashjoin = on
SET jit = off SET timezone = 'UTC' SET max_parallel_workers_per_gather = 0 SET work_mem = '128MB' AS $$
DECLARE
    found int8;
    wrong text;
    moved int8;
    low timestamptz;
    high timestamptz;
    has_quality bool;
    has_arrived bool;
    has_flags bool;
    families text[] := '{number,at_us,value}';
BEGIN
    IF cardinality(leases) + cardinality(old_series) = 0 OR cardinality(made) = 0
        OR cardinality(leases) <> cardinality(numbers) OR cardinality(leases) <> cardinality(parts)
        OR cardinality(old_series) <> cardinality(old_widths) OR cardinality(old_series) <> cardinality(old_slots)
        OR cardinality(old_series) <> cardinality(old_parts) THEN
        RAISE EXCEPTION 'rows and chunks are not named as they must be' USING ERRCODE = 'FL004';
    END IF;

    -- Nobody else may seal, or expire, what is sealed here.
    SELECT count(*) INTO found FROM (
        SELECT FROM unnest(leases, numbers, parts) AS a (lease_id, number, part)
        JOIN floorlog.open_row AS r ON (r.lease_id, r.number, r.part) = (a.lease_id, a.number, a.part)
        WHERE r.recorded_at BETWEEN recorded_from AND recorded_to FOR UPDATE OF r
    ) AS locked;
    IF found <> cardinality(leases) THEN
        RAISE EXCEPTION '% open rows are there of %', found, cardinality(leases) USING ERRCODE = 'FL004';
    END IF;
    SELECT count(*) INTO found FROM (
        SELECT FROM unnest(old_series, old_widths, old_slots, old_parts) AS a (series_id, width, slot, part)
        JOIN floorlog.chunk AS c
            ON (c.series_id, c.width, c.slot, c.part) = (a.series_id, a.width, a.slot, a.part) FOR UPDATE OF c
    ) AS locked;
    IF found <> cardinality(old_series) THEN
        RAISE EXCEPTION '% chunks are there of %', found, cardinality(old_series) USING ERRCODE = 'FL004';
    END IF;

    -- A chunk has no clock of its own: its batch's must be the row's.
    SELECT format('open row %s of batch %s of shard %s is not as its batch says', r.part, r.number, r.lease_id)
    INTO wrong
    FROM unnest(leases, numbers, parts) AS a (lease_id, number, part)
    JOIN floorlog.open_row AS r ON (r.lease_id, r.number, r.part) = (a.lease_id, a.number, a.part)
    LEFT JOIN floorlog.batch AS b ON b.lease_id = r.lease_id AND b.number = r.number
        AND b.recorded_at BETWEEN recorded_from AND recorded_to
    WHERE r.recorded_at BETWEEN recorded_from AND recorded_to
        AND (b.clock_s IS DISTINCT FROM r.clock_s OR b.recorded_at IS DISTINCT FROM r.recorded_at)
    LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '%', wrong USING ERRCODE = 'FL004';
    END IF;

    -- Between these times its batches were stored: what finds them later.
    SELECT min(b.low), max(b.high) INTO low, high FROM (
        SELECT r.recorded_at, r.recorded_at
        FROM floorlog.rows_named(recorded_from, recorded_to, leases, numbers, parts) AS r
        UNION ALL
        SELECT c.recorded_min, c.recorded_max
        FROM floorlog.chunks_named(old_series, old_widths, old_slots, old_parts) AS c
    ) AS b (low, high);
    SELECT format('a chunk of series %s does not say where it belongs', m.series_id) INTO wrong
    FROM floorlog.chunks_given(made) AS m LEFT JOIN floorlog.widths() AS w ON w.width = m.width
    WHERE (m.recorded_min, m.recorded_max, m.count > 0, m.t_min >= m.slot * w.length_us,
            m.t_max < (m.slot + 1) * w.length_us, m.newest BETWEEN 1 AND m.count OR m.newest IS NULL)
        IS DISTINCT FROM (low, high, true, true, true, true)
    LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '%', wrong USING ERRCODE = 'FL004';
    END IF;

    -- What no reading has is not compared reading by reading.
    SELECT coalesce(bool_or(b.q), false), coalesce(bool_or(b.a), false), coalesce(bool_or(b.f), false)
    INTO has_quality, has_arrived, has_flags
    FROM (
        SELECT r.quality IS NOT NULL, r.arrived IS NOT NULL, r.conflict IS NOT NULL OR r.late IS NOT NULL
        FROM floorlog.rows_named(recorded_from, recorded_to, leases, numbers, parts) AS r
        UNION ALL
        SELECT c.quality IS NOT NULL, c.arrived IS NOT NULL, c.flags IS NOT NULL
        FROM floorlog.chunks_named(old_series, old_widths, old_slots, old_parts) AS c
        UNION ALL
        SELECT m.quality IS NOT NULL, m.arrived IS NOT NULL, m.flags IS NOT NULL FROM floorlog.chunks_given(made) AS m
    ) AS b (q, a, f);
    families := families || array_remove(ARRAY[CASE WHEN has_quality THEN 'quality' END,
        CASE WHEN has_arrived THEN 'arrived' END, CASE WHEN has_flags THEN 'flags' END], NULL);

    -- Arrays are compared as they lie in memory (*=): bit for bit.
    EXECUTE format($compare$
        WITH source AS (
            SELECT s.series_id, s.lease_id, count(*) AS readings, ROW(%1$s) AS image
            FROM (
                SELECT c.series_id, c.lease_id, u.number, u.at_us, u.value, u.quality, u.arrived, u.flags
                FROM floorlog.chunks_named($6, $7, $8, $9) AS c CROSS JOIN LATERAL floorlog.unsealed(c) AS u
                UNION ALL
                SELECT u.series_id, r.lease_id, r.number, u.at_us, u.value, u.quality, u.arrived, u.flags
                FROM floorlog.rows_named($1, $2, $3, $4, $5) AS r CROSS JOIN LATERAL floorlog.opened(r) AS u
            ) AS s
            GROUP BY s.series_id, s.lease_id
        ), target AS (
            SELECT m.series_id, m.lease_id, ROW(%2$s) AS image,
                -- What finds a chunk must be right as well, or its readings would be there and not be seen.
                bool_and(coalesce(m.t_min <= ALL (a.at_us) AND m.t_max >= ALL (a.at_us)
                    AND m.number_min <= ALL (a.number) AND m.number_max >= ALL (a.number), false)) AS inside
            FROM floorlog.chunks_given($10) AS m
            CROSS JOIN LATERAL (SELECT %3$s FROM floorlog.unsealed(m) AS s) AS a
            GROUP BY m.series_id, m.lease_id
        )
        SELECT min(format('series %%s of shard %%s would not be what it was', coalesce(s.series_id, t.series_id),
                coalesce(s.lease_id, t.lease_id))) FILTER (WHERE (s.image *= t.image AND t.inside) IS NOT TRUE), sum(s.readings)
        FROM source AS s FULL JOIN target AS t ON t.series_id = s.series_id AND t.lease_id = s.lease_id
        $compare$,
        (SELECT string_agg(format('array_agg(s.%s)', f), ', ') FROM unnest(families) AS f),
        (SELECT string_agg(format('floorlog.joined(a.%s)', f), ', ') FROM unnest(families) AS f),
        (SELECT string_agg(format('array_agg(s.%1$s) AS %1$s', f), ', ') FROM unnest(families) AS f))
    INTO wrong, moved
    USING recorded_from, recorded_to, leases, numbers, parts, old_series, old_widths, old_slots, old_parts, made;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '%', wrong USING ERRCODE = 'FL004';
    END IF;

    INSERT INTO floorlog.sealed_foreign (home, home_version, lease_id, number)
    SELECT DISTINCT r.home, r.home_version, r.lease_id, r.number
    FROM unnest(leases, numbers, parts) AS a (lease_id, number, part)
    JOIN floorlog.open_row AS r ON (r.lease_id, r.number, r.part) = (a.lease_id, a.number, a.part)
    WHERE r.recorded_at BETWEEN recorded_from AND recorded_to AND r.home IS NOT NULL
    ON CONFLICT DO NOTHING;
    DELETE FROM floorlog.open_row AS r USING unnest(leases, numbers, parts) AS a (lease_id, number, part)
    WHERE (r.lease_id, r.number, r.part) = (a.lease_id, a.number, a.part)
        AND r.recorded_at BETWEEN recorded_from AND recorded_to;
    GET DIAGNOSTICS found = ROW_COUNT;
    IF found <> cardinality(leases) THEN
        RAISE EXCEPTION '% open rows went of %', found, cardinality(leases) USING ERRCODE = 'FL004';
    END IF;
    DELETE FROM floorlog.chunk AS c
    USING unnest(old_series, old_widths, old_slots, old_parts) AS a (series_id, width, slot, part)
    WHERE (c.series_id, c.width, c.slot, c.part) = (a.series_id, a.width, a.slot, a.part);
    GET DIAGNOSTICS found = ROW_COUNT;
    IF found <> cardinality(old_series) THEN
        RAISE EXCEPTION '% chunks went of %', found, cardinality(old_series) USING ERRCODE = 'FL004';
    END IF;
    INSERT INTO floorlog.chunk SELECT m.* FROM unnest(made) AS m;
    RETURN moved;
END
$$;
REVOKE ALL ON FUNCTION seal(timestamptz, timestamptz, int4[], int8[], int2[], int4[], int2[], int4[], int2[], chunk[]) FROM PUBLIC;

-- The chunks of slots of one width.
CREATE FUNCTION chunks_in(of_width int2, first_slot int4, last_slot int4) RETURNS SETOF chunk
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT k.* FROM floorlog.chunk AS k
    WHERE k.width::int4 = of_width::int4 AND k.slot BETWEEN first_slot AND last_slot
    OFFSET 0
$$;

-- The same by the hour, of every series of numbers, each hour by its beginning.
CREATE FUNCTION hours(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (ts timestamptz, device_id text, metric text, low float8, high float8, mean float8, readings int8,
    good float8)
LANGUAGE sql STABLE AS $$
    WITH asked AS (
        SELECT floorlog.to_us(from_time) AS from_us, floorlog.to_us(to_time) AS to_us
    ), part AS (
        -- Half hours inside the span, whole.
        SELECT c.series_id, c.t_min AS at_us, c.lowest AS low, c.highest AS high, c.average AS mean,
            c.standing AS readings, c.good
        FROM asked AS a CROSS JOIN LATERAL floorlog.slots(a.from_us, a.to_us - 1) AS p
        CROSS JOIN LATERAL floorlog.chunks_in(p.width, p.first_slot, p.last_slot) AS c
        WHERE p.width = 0 AND c.t_min >= a.from_us AND c.t_max < a.to_us
        UNION ALL
        -- Hours of wider chunks inside.
        SELECT c.series_id, c.slot * w.length_us + coalesce(b.bin, b.place - 1) * 3600000000::int8,
            coalesce(b.low, b.low_scaled::float8 / c.scale), coalesce(b.high, b.high_scaled::float8 / c.scale),
            b.mean, b.readings, coalesce(b.good, b.readings)
        FROM asked AS a CROSS JOIN LATERAL floorlog.slots(a.from_us, a.to_us - 1) AS p
        JOIN floorlog.widths() AS w ON w.width = p.width
        CROSS JOIN LATERAL floorlog.chunks_in(p.width, p.first_slot, p.last_slot) AS c
        CROSS JOIN LATERAL (
            SELECT generate_subscripts(c.bin_count, 1) AS place, unnest(c.bins) AS bin, unnest(c.bin_low) AS low,
                unnest(c.bin_high) AS high, unnest(c.bin_low_scaled) AS low_scaled,
                unnest(c.bin_high_scaled) AS high_scaled, unnest(c.bin_mean) AS mean,
                unnest(c.bin_count) AS readings, unnest(c.bin_good) AS good
        ) AS b
        WHERE p.width > 0 AND c.t_min >= a.from_us AND c.t_max < a.to_us AND c.bin_s = 3600
        UNION ALL
        -- Readings of half hours at the span's ends, and of wider chunks that have no hours or reach beyond.
        SELECT c.series_id, u.at_us, u.value, u.value, u.value, 1, (u.quality = 0)::int4
        FROM asked AS a CROSS JOIN LATERAL floorlog.slots(a.from_us, a.to_us - 1) AS p
        CROSS JOIN LATERAL (
            SELECT p.first_slot AS first, CASE WHEN p.width = 0 THEN p.first_slot ELSE p.last_slot END AS last
            UNION
            SELECT CASE WHEN p.width = 0 THEN p.last_slot ELSE p.first_slot END, p.last_slot
        ) AS e
        CROSS JOIN LATERAL floorlog.chunks_in(p.width, e.first, e.last) AS c
        CROSS JOIN LATERAL floorlog.unsealed(c) AS u
        WHERE NOT (c.t_min >= a.from_us AND c.t_max < a.to_us
                AND (p.width = 0 OR c.bin_s IS NOT DISTINCT FROM 3600))
            AND u.flags & 1 = 0 AND u.at_us >= a.from_us AND u.at_us < a.to_us
        UNION ALL
        SELECT u.series_id, u.at_us, u.value, u.value, u.value, 1, (u.quality = 0)::int4
        FROM asked AS a
        CROSS JOIN LATERAL floorlog.rows_between(a.from_us, a.to_us - 1) AS r
        CROSS JOIN LATERAL floorlog.opened(r) AS u
        WHERE u.flags & 1 = 0 AND u.at_us >= a.from_us AND u.at_us < a.to_us
    ), summed AS (
        SELECT p.series_id, p.at_us - ((p.at_us % 3600000000) + 3600000000) % 3600000000 AS hour_us,
            min(p.low) AS low, max(p.high) AS high,
            -- A mean too great for a float is none.
            sum(p.mean * p.readings) / nullif(sum(p.readings) FILTER (WHERE p.mean IS NOT NULL), 0) AS mean,
            sum(p.readings) AS readings, sum(p.good)::float8 / sum(p.readings) AS good
        FROM part AS p WHERE p.readings > 0 GROUP BY 1, 2
    )
    SELECT floorlog.from_us(h.hour_us), s.device, s.metric, h.low, h.high, h.mean, h.readings, h.good
    FROM summed AS h JOIN floorlog.series AS s ON s.series_id = h.series_id
    WHERE s.kind = 0
$$;

-- Who may do what. No log-in role may change or remove what is recorded: not even the writer.

GRANT USAGE ON SCHEMA floorlog TO floorlog_writer, floorlog_keeper, floorlog_operator, floorlog_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA floorlog TO floorlog_writer, floorlog_keeper, floorlog_operator, floorlog_reader;
REVOKE SELECT ON shard_state FROM floorlog_operator, floorlog_reader;

GRANT INSERT ON stream, lease, worker, series, series_home, state, catalogue, shard_state,
    batch, open_row, reject, anomaly, conflict, gap TO floorlog_writer;
GRANT UPDATE ON lease, worker, series_home, shard_state TO floorlog_writer;
GRANT UPDATE (gone) ON stream TO floorlog_writer;
GRANT DELETE ON worker TO floorlog_writer;  -- names of workers that are long gone
GRANT EXECUTE ON FUNCTION make_months(int4) TO floorlog_writer, floorlog_keeper;
GRANT EXECUTE ON FUNCTION advance(int8, int8, int8, int8, numeric, numeric, int8, int8, int8, int8, int8[], int8, bytea, bool, float8)
    TO floorlog_writer;
GRANT EXECUTE ON FUNCTION advance(int8, int8, int8, int8, numeric, numeric, int8, int8, int8, int8, int8[], int8, bytea, bool, float8, bytea)
    TO floorlog_writer;
GRANT EXECUTE ON FUNCTION end_older_streams(text, timestamptz) TO floorlog_writer;

GRANT INSERT ON audit_event, catalogue TO floorlog_operator;
GRANT INSERT ON log_leaf, note TO floorlog_keeper;
GRANT EXECUTE ON FUNCTION sequence(int4) TO floorlog_keeper;
-- The keeper's role writes down what was done to the log itself: that it was forked after a restore.

GRANT INSERT ON audit_event TO floorlog_keeper;
-- Alarms: states as in ISA-18.2, every change an event, and what stands after the last one.

CREATE TABLE alarm_event (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    event_id int8 GENERATED ALWAYS AS IDENTITY,
    number int8 NOT NULL,
    at_us int8 NOT NULL,
    start_us int8 NOT NULL,
    until_us int8 NOT NULL,
    series_id int4 NOT NULL,
    lease_id int4 NOT NULL,
    priority int2 NOT NULL,
    active bool NOT NULL,
    latch bool NOT NULL,
    detector text NOT NULL,
    event text NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL
) PARTITION BY RANGE (recorded_at);
CREATE INDEX alarm_event_recorded ON alarm_event (recorded_at);
CREATE INDEX alarm_event_id ON alarm_event (event_id);
CREATE INDEX alarm_event_alarm ON alarm_event (series_id, detector, event_id);
COMMENT ON COLUMN alarm_event.recorded_at IS 'evidence: when it was stored';
COMMENT ON COLUMN alarm_event.event_id IS 'evidence: number of the event; ascending within an alarm';
COMMENT ON COLUMN alarm_event.number IS 'evidence: the batch that told of the finding, 0 for a person''s';
COMMENT ON COLUMN alarm_event.at_us IS 'evidence: when it happened, µs UTC: the reading''s time for a finding';
COMMENT ON COLUMN alarm_event.start_us IS 'evidence: when the finding began, µs UTC';
COMMENT ON COLUMN alarm_event.until_us IS 'evidence: end of the shelf, µs UTC; 0 for none';
COMMENT ON COLUMN alarm_event.series_id IS 'evidence: the series; names the alarm with the detector';
COMMENT ON COLUMN alarm_event.lease_id IS 'evidence: the shard of the finding, 0 for a person''s';
COMMENT ON COLUMN alarm_event.priority IS 'evidence: 1 low, 2 medium, 3 high, 4 critical';
COMMENT ON COLUMN alarm_event.active IS 'evidence: whether the condition holds after it';
COMMENT ON COLUMN alarm_event.latch IS 'evidence: whether the alarm stays after its condition ended';
COMMENT ON COLUMN alarm_event.detector IS 'evidence: who found it';
COMMENT ON COLUMN alarm_event.event IS 'evidence: raise, return, acknowledge, reset, shelve …';
COMMENT ON COLUMN alarm_event.before IS 'evidence: the state before';
COMMENT ON COLUMN alarm_event.after IS 'evidence: the state after';
COMMENT ON COLUMN alarm_event.actor IS 'evidence: who, as a pseudonym; floorlog for what no person did';
COMMENT ON COLUMN alarm_event.reason IS 'evidence: the finding in words, or the person''s comment';

CREATE TABLE alarm (
    series_id int4 NOT NULL,
    detector text NOT NULL,
    event_id int8 NOT NULL DEFAULT 0,
    raised_us int8 NOT NULL DEFAULT 0,
    until_us int8 NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL DEFAULT now(),
    priority int2 NOT NULL DEFAULT 1,
    active bool NOT NULL DEFAULT false,
    latch bool NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'normal',
    PRIMARY KEY (series_id, detector)
) WITH (fillfactor = 60);
CREATE INDEX alarm_changed ON alarm (changed_at);
COMMENT ON COLUMN alarm.series_id IS 'derived: the series';
COMMENT ON COLUMN alarm.detector IS 'derived: the detector';
COMMENT ON COLUMN alarm.event_id IS 'derived: the last event, 0 for none';
COMMENT ON COLUMN alarm.raised_us IS 'derived: when the last finding began, µs UTC';
COMMENT ON COLUMN alarm.until_us IS 'derived: end of the shelf, µs UTC; 0 for none';
COMMENT ON COLUMN alarm.changed_at IS 'derived: when the last event was stored';
COMMENT ON COLUMN alarm.priority IS 'derived: of the last finding';
COMMENT ON COLUMN alarm.active IS 'derived: whether the condition holds';
COMMENT ON COLUMN alarm.latch IS 'derived: whether it stays after its condition ended';
COMMENT ON COLUMN alarm.state IS 'derived: the state after the last event';

DO $$
BEGIN
    CREATE TABLE alarm_event_default PARTITION OF floorlog.alarm_event DEFAULT;
    PERFORM floorlog.make_months(2);
END
$$;

-- The transitions of core/alarm.py: the state that follows, NULL where it is refused.
CREATE FUNCTION alarm_next(state text, event text, active bool, latch bool) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN event = 'raise' AND state IN ('normal', 'returned', 'latched_unacknowledged', 'latched_acknowledged')
            THEN 'unacknowledged'
        WHEN event = 'raise' THEN state
        WHEN event = 'return' AND state = 'unacknowledged'
            THEN CASE WHEN latch THEN 'latched_unacknowledged' ELSE 'returned' END
        WHEN event = 'return' AND state = 'acknowledged'
            THEN CASE WHEN latch THEN 'latched_acknowledged' ELSE 'normal' END
        WHEN event = 'return' THEN state
        WHEN event = 'acknowledge' AND state = 'unacknowledged' THEN 'acknowledged'
        WHEN event = 'acknowledge' AND state = 'returned' THEN 'normal'
        WHEN event = 'acknowledge' AND state = 'latched_unacknowledged' THEN 'latched_acknowledged'
        WHEN event = 'reset' AND state = 'latched_unacknowledged' THEN 'returned'
        WHEN event = 'reset' AND state = 'latched_acknowledged' THEN 'normal'
        WHEN event = 'shelve' AND state NOT IN ('suppressed', 'out_of_service') THEN 'shelved'
        WHEN event = 'suppress' AND state NOT IN ('shelved', 'suppressed', 'out_of_service') THEN 'suppressed'
        WHEN event = 'remove' AND state <> 'out_of_service' THEN 'out_of_service'
        WHEN (event IN ('unshelve', 'expire') AND state = 'shelved')
            OR (event = 'unsuppress' AND state = 'suppressed') OR (event = 'restore' AND state = 'out_of_service')
            THEN CASE WHEN active THEN 'unacknowledged' ELSE 'normal' END
    END
$$;

CREATE FUNCTION digest(e alarm_event) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001501'::bytea || floorlog.field(e.event_id) || floorlog.field(floorlog.to_us(e.recorded_at))
        || floorlog.field(floorlog.digest(s)) || floorlog.field(e.detector) || floorlog.field(e.event)
        || floorlog.field(e.at_us) || floorlog.field(e.start_us) || floorlog.field(e.before) || floorlog.field(e.after)
        || floorlog.field(e.active::int4::int8) || floorlog.field(e.latch::int4::int8)
        || floorlog.field(e.priority::int8) || floorlog.field(e.actor) || floorlog.field(e.reason)
        || floorlog.field(e.until_us) || floorlog.field(e.lease_id::int8) || floorlog.field(e.number))
    FROM floorlog.series AS s WHERE s.series_id = e.series_id
$$;

-- One event of one alarm, whose row the caller has locked. Returns the event as it was stored, with
-- `after` NULL where the table refuses it; nothing where a finding changes nothing.
CREATE FUNCTION step_alarm(asked alarm_event) RETURNS alarm_event LANGUAGE plpgsql AS $$
DECLARE
    stands floorlog.alarm;
    made floorlog.alarm_event := asked;
BEGIN
    SELECT * INTO STRICT stands FROM floorlog.alarm AS a
        WHERE a.series_id = asked.series_id AND a.detector = asked.detector;
    made.before := stands.state;
    made.active := CASE asked.event WHEN 'raise' THEN true WHEN 'return' THEN false ELSE stands.active END;
    IF asked.event <> 'raise' THEN
        made.start_us := stands.raised_us;
        made.latch := stands.latch;
        made.priority := stands.priority;
    END IF;
    made.after := floorlog.alarm_next(stands.state, asked.event, made.active, stands.latch);
    IF made.after IS DISTINCT FROM 'shelved' THEN
        made.until_us := 0;
    ELSIF asked.event <> 'shelve' THEN
        made.until_us := stands.until_us;
    END IF;
    IF made.after IS NULL THEN
        RETURN made;
    ELSIF asked.event IN ('raise', 'return') AND made.after = made.before AND made.active = stands.active THEN
        RETURN NULL;
    END IF;
    INSERT INTO floorlog.alarm_event (number, at_us, start_us, until_us, series_id, lease_id, priority, active,
        latch, detector, event, before, after, actor, reason)
    VALUES (made.number, made.at_us, made.start_us, made.until_us, made.series_id, made.lease_id, made.priority,
        made.active, made.latch, made.detector, made.event, made.before, made.after, made.actor, made.reason)
    RETURNING * INTO made;
    UPDATE floorlog.alarm AS a SET event_id = made.event_id, raised_us = made.start_us, until_us = made.until_us,
        changed_at = made.recorded_at, priority = made.priority, active = made.active, latch = made.latch,
        state = made.after
    WHERE a.series_id = made.series_id AND a.detector = made.detector;
    RETURN made;
END
$$;

-- Ends a shelf whose time is over, with the event's time at the shelf's end whoever comes first.
CREATE FUNCTION expire_alarm(of_series int4, of_detector text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    stands floorlog.alarm;
    asked floorlog.alarm_event;
BEGIN
    SELECT * INTO stands FROM floorlog.alarm AS a WHERE a.series_id = of_series AND a.detector = of_detector;
    IF stands.state = 'shelved' AND stands.until_us <= floorlog.to_us(clock_timestamp()) THEN
        asked.series_id := of_series;
        asked.detector := of_detector;
        asked.event := 'expire';
        asked.at_us := stands.until_us;
        asked.lease_id := 0;
        asked.number := 0;
        asked.actor := 'floorlog';
        asked.reason := 'the shelf ended';
        PERFORM floorlog.step_alarm(asked);
    END IF;
END
$$;

-- Locks these alarms in one order for all, and ends the shelves among them whose time is over.
CREATE FUNCTION lock_alarms(of_series int4[], of_detectors text[]) RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
    one record;
    found_count int8 := 0;
BEGIN
    FOR one IN
        SELECT a.series_id, a.detector FROM floorlog.alarm AS a
        WHERE (a.series_id, a.detector) IN (SELECT u.s, u.d FROM unnest(of_series, of_detectors) AS u (s, d))
        ORDER BY a.series_id, a.detector COLLATE "C" FOR NO KEY UPDATE
    LOOP
        PERFORM floorlog.expire_alarm(one.series_id, one.detector);
        found_count := found_count + 1;
    END LOOP;
    RETURN found_count;
END
$$;

-- The findings of a batch raise and return their alarms. Never refused: ingest comes first.
CREATE FUNCTION alarms_found(of_lease int4, of_number int8, of_series int4[], of_detectors text[], of_phases text[],
    of_ats int8[], of_starts int8[], of_priorities int2[], of_latches bool[], of_reasons text[])
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked floorlog.alarm_event;
    one record;
BEGIN
    INSERT INTO floorlog.alarm (series_id, detector)
    SELECT DISTINCT u.s, u.d COLLATE "C" FROM unnest(of_series, of_detectors) AS u (s, d)
    ORDER BY 1, 2 ON CONFLICT DO NOTHING;
    PERFORM floorlog.lock_alarms(of_series, of_detectors);
    FOR one IN
        SELECT * FROM unnest(of_series, of_detectors, of_phases, of_ats, of_starts, of_priorities, of_latches, of_reasons)
            WITH ORDINALITY AS u (s, d, phase, at_us, start_us, priority, latch, reason, place) ORDER BY u.place
    LOOP
        asked.series_id := one.s;
        asked.detector := one.d;
        asked.event := CASE one.phase WHEN 'start' THEN 'raise' ELSE 'return' END;
        asked.at_us := one.at_us;
        asked.start_us := one.start_us;
        asked.until_us := 0;
        asked.priority := least(greatest(one.priority, 1), 4);
        asked.latch := one.latch;
        asked.actor := 'floorlog';
        asked.reason := one.reason;
        asked.lease_id := of_lease;
        asked.number := of_number;
        PERFORM floorlog.step_alarm(asked);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION alarms_found(int4, int8, int4[], text[], text[], int8[], int8[], int2[], bool[], text[]) FROM PUBLIC;

-- A person's operation on one alarm or many: all or none, with an audit event. SQLSTATEs: FL404 one
-- is not there; FL409 the table refuses one.
CREATE FUNCTION operate_alarms(by_actor text, of_event text, of_series int4[], of_detectors text[], until_us int8,
    of_reason text)
RETURNS SETOF alarm_event LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked floorlog.alarm_event;
    made floorlog.alarm_event;
    one record;
    wanted int8;
BEGIN
    IF of_event NOT IN ('acknowledge', 'reset', 'shelve', 'unshelve', 'suppress', 'unsuppress', 'remove', 'restore') THEN
        RAISE EXCEPTION '% is no operation', of_event USING ERRCODE = 'FL404';
    END IF;
    SELECT count(DISTINCT (u.s, u.d)) INTO wanted FROM unnest(of_series, of_detectors) AS u (s, d);
    IF floorlog.lock_alarms(of_series, of_detectors) <> wanted THEN
        RAISE EXCEPTION 'one of the alarms was never raised' USING ERRCODE = 'FL404';
    END IF;
    FOR one IN SELECT DISTINCT u.s, u.d FROM unnest(of_series, of_detectors) AS u (s, d) ORDER BY 1, 2 LOOP
        asked.series_id := one.s;
        asked.detector := one.d;
        asked.event := of_event;
        asked.at_us := floorlog.to_us(clock_timestamp());
        asked.until_us := operate_alarms.until_us;
        asked.actor := by_actor;
        asked.reason := of_reason;
        asked.lease_id := 0;
        asked.number := 0;
        made := floorlog.step_alarm(asked);
        IF made.after IS NULL THEN
            RAISE EXCEPTION 'the alarm % of series % is %: it takes no %', one.d, one.s,
                replace(made.before, '_', ' '), of_event USING ERRCODE = 'FL409';
        END IF;
        RETURN NEXT made;
    END LOOP;
    INSERT INTO floorlog.audit_event (actor, action, detail)
    SELECT by_actor, 'alarm.' || of_event, json_build_object('reason', of_reason, 'until_us', operate_alarms.until_us,
        'alarms', (SELECT json_agg(json_build_array(u.s, u.d)) FROM unnest(of_series, of_detectors) AS u (s, d)));
END
$$;
REVOKE ALL ON FUNCTION operate_alarms(text, text, int4[], text[], int8, text) FROM PUBLIC;

-- Ends every shelf whose time is over, up to so many; returns how many.
CREATE FUNCTION expire_shelves(alarms_max int4) RETURNS int4
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    over record;
BEGIN
    SELECT array_agg(f.series_id) AS series, array_agg(f.detector) AS detectors INTO over FROM (
        SELECT a.series_id, a.detector FROM floorlog.alarm AS a
        WHERE a.state = 'shelved' AND a.until_us <= floorlog.to_us(clock_timestamp()) LIMIT alarms_max
    ) AS f;
    RETURN CASE WHEN over.series IS NULL THEN 0 ELSE floorlog.lock_alarms(over.series, over.detectors) END;
END
$$;
REVOKE ALL ON FUNCTION expire_shelves(int4) FROM PUBLIC;

GRANT SELECT ON alarm, alarm_event TO floorlog_writer, floorlog_keeper, floorlog_operator, floorlog_reader;
GRANT EXECUTE ON FUNCTION alarms_found(int4, int8, int4[], text[], text[], int8[], int8[], int2[], bool[], text[])
    TO floorlog_writer;
GRANT EXECUTE ON FUNCTION operate_alarms(text, text, int4[], text[], int8, text) TO floorlog_operator;
GRANT EXECUTE ON FUNCTION expire_shelves(int4) TO floorlog_keeper;
-- Corrections, the names behind pseudonyms, and the positions of both kinds of events in the log.

CREATE TABLE correction (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    correction_id int8 GENERATED ALWAYS AS IDENTITY,
    ts_us int8 NOT NULL,
    was_value float8 NOT NULL,
    was_quality int8 NOT NULL,
    value float8 NOT NULL CHECK (value > '-infinity' AND value < 'infinity'),
    quality int8 NOT NULL CHECK (quality BETWEEN 0 AND 4294967295),
    series_id int4 NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    reason text NOT NULL CHECK (reason <> '')
) PARTITION BY RANGE (recorded_at);
CREATE INDEX correction_reading ON correction (series_id, ts_us, correction_id);
CREATE INDEX correction_id ON correction (correction_id);
COMMENT ON COLUMN correction.recorded_at IS 'evidence: when it was made';
COMMENT ON COLUMN correction.correction_id IS 'evidence: number of the correction; of one reading the last one holds';
COMMENT ON COLUMN correction.ts_us IS 'evidence: time of the reading, µs UTC';
COMMENT ON COLUMN correction.was_value IS 'evidence: the value that stands in the reading, and stays there';
COMMENT ON COLUMN correction.was_quality IS 'evidence: its quality';
COMMENT ON COLUMN correction.value IS 'evidence: what it should have been: number or state code';
COMMENT ON COLUMN correction.quality IS 'evidence: the quality of that';
COMMENT ON COLUMN correction.series_id IS 'evidence: the series of the reading';
COMMENT ON COLUMN correction.actor IS 'evidence: who, as a pseudonym';
COMMENT ON COLUMN correction.reason IS 'evidence: why';

-- No part of the record: what is erased here is found nowhere else.
CREATE TABLE person (
    pseudonym text PRIMARY KEY,
    name text UNIQUE,
    given_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN person.pseudonym IS 'outside: what stands for the person wherever something was done';
COMMENT ON COLUMN person.name IS 'outside: the person; NULL once the name was erased';
COMMENT ON COLUMN person.given_at IS 'outside: when the pseudonym was given';

DO $$
BEGIN
    CREATE TABLE correction_default PARTITION OF floorlog.correction DEFAULT;
    PERFORM floorlog.make_months(2);
END
$$;

-- What names a value in the ledger: its series, and where it is a state, that too.
CREATE FUNCTION name_in_ledger(of_series int4, value float8) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN s.kind = 0 THEN floorlog.digest(s) ELSE (
        SELECT sha256('\x003001'::bytea || floorlog.field(floorlog.digest(s)) || floorlog.field(floorlog.digest(t)))
        FROM floorlog.state AS t WHERE t.code = value::int4) END
    FROM floorlog.series AS s WHERE s.series_id = of_series
$$;

CREATE FUNCTION digest(c correction) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001601'::bytea || floorlog.field(c.correction_id) || floorlog.field(floorlog.to_us(c.recorded_at))
        || floorlog.field(c.actor) || floorlog.field(c.reason) || floorlog.field(c.ts_us)
        || floorlog.field(floorlog.name_in_ledger(c.series_id, c.was_value)) || floorlog.field(c.was_value)
        || floorlog.field(c.was_quality) || floorlog.field(floorlog.name_in_ledger(c.series_id, c.value))
        || floorlog.field(c.value) || floorlog.field(c.quality))
$$;

-- A further correction of the reading that stands. What is not given stays as it was. SQLSTATEs:
-- FL404 there is no such reading; FL409 it says so already; FL400 the value is not of the series.
CREATE FUNCTION correct(of_device text, of_metric text, at_us int8, to_value float8, to_text text, to_quality int8,
    by_actor text, of_reason text) RETURNS correction
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    s floorlog.series;
    stands floorlog.reading;
    made floorlog.correction;
    code int4;
BEGIN
    SELECT * INTO s FROM floorlog.series AS o WHERE (o.device, o.metric) = (of_device, of_metric);
    SELECT * INTO stands FROM floorlog.readings(of_device, of_metric, floorlog.from_us(at_us), floorlog.from_us(at_us + 1)) AS r
        WHERE r.flags & 1 = 0 LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no reading of % % at this time', of_device, of_metric USING ERRCODE = 'FL404';
    ELSIF (s.kind = 1 AND to_value IS NOT NULL) OR (s.kind = 0 AND to_text IS NOT NULL) THEN
        RAISE EXCEPTION '% % has % as values', of_device, of_metric,
            CASE s.kind WHEN 0 THEN 'numbers' ELSE 'states' END USING ERRCODE = 'FL400';
    END IF;
    IF s.kind = 1 THEN
        -- As workers do it: one at a time gives codes to names.
        PERFORM pg_advisory_xact_lock(4706882);
        INSERT INTO floorlog.state (code, name)
        SELECT (SELECT max(t.code) + 1 FROM floorlog.state AS t), to_text
        WHERE to_text <> '' AND NOT EXISTS (SELECT FROM floorlog.state AS t WHERE t.name = to_text);
        SELECT t.code INTO code FROM floorlog.state AS t WHERE t.name = stands.text;
        stands.value := code;
        SELECT t.code INTO code FROM floorlog.state AS t WHERE t.name = to_text;
    END IF;
    -- One at a time corrects a series: its last correction is the newest.
    PERFORM pg_advisory_xact_lock(4706886, s.series_id);
    made.value := coalesce(to_value, code, stands.value);
    made.quality := coalesce(to_quality, stands.quality);
    PERFORM 1 FROM (
        SELECT * FROM (
            SELECT c.correction_id, c.value, c.quality FROM floorlog.correction AS c
            WHERE c.series_id = s.series_id AND c.ts_us = at_us
            UNION ALL SELECT -1, stands.value, stands.quality
        ) AS known ORDER BY known.correction_id DESC LIMIT 1
    ) AS last WHERE float8send(last.value) = float8send(made.value) AND last.quality = made.quality;
    IF FOUND THEN
        RAISE EXCEPTION 'the reading of % % says so already', of_device, of_metric USING ERRCODE = 'FL409';
    END IF;
    INSERT INTO floorlog.correction (ts_us, was_value, was_quality, value, quality, series_id, actor, reason)
    VALUES (at_us, stands.value, stands.quality, made.value, made.quality, s.series_id, by_actor, of_reason)
    RETURNING * INTO made;
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION correct(text, text, int8, float8, text, int8, text, text) FROM PUBLIC;

-- The pseudonym of a person, a new one at first sight.
CREATE FUNCTION pseudonym_of(of_name text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_name text;
BEGIN
    IF length(btrim(of_name)) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'a name has 1 to 200 characters' USING ERRCODE = 'FL400';
    END IF;
    INSERT INTO floorlog.person (pseudonym, name)
    VALUES ('p-' || left(replace(gen_random_uuid()::text, '-', ''), 12), btrim(of_name)) ON CONFLICT (name) DO NOTHING;
    SELECT p.pseudonym INTO STRICT found_name FROM floorlog.person AS p WHERE p.name = btrim(of_name);
    RETURN found_name;
END
$$;
REVOKE ALL ON FUNCTION pseudonym_of(text) FROM PUBLIC;

-- Forgets who a pseudonym is; what was done under it stays as it is. FL404: there is no such name.
CREATE FUNCTION erase_name(of_pseudonym text, by_actor text, of_reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE floorlog.person AS p SET name = NULL WHERE p.pseudonym = of_pseudonym AND p.name IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no name is known for %', of_pseudonym USING ERRCODE = 'FL404';
    END IF;
    INSERT INTO floorlog.audit_event (actor, action, detail)
    VALUES (by_actor, 'name.erase', json_build_object('pseudonym', of_pseudonym, 'reason', of_reason));
END
$$;
REVOKE ALL ON FUNCTION erase_name(text, text, text) FROM PUBLIC;

-- Events without a position in the log, beside those that sequence() itself looks for.
CREATE VIEW unplaced_event AS
SELECT 22::int2 AS kind, c.correction_id AS id, floorlog.digest(c) AS hash
FROM floorlog.correction AS c
WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (22, 0, c.correction_id));
COMMENT ON VIEW unplaced_event IS 'derived: events that have no position in the log yet';

-- Gives them positions, up to so many; returns how many. See sequence().
CREATE FUNCTION sequence_events(leaves_max int4) RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
    added int8;
BEGIN
    PERFORM pg_advisory_xact_lock(4706884);
    INSERT INTO floorlog.log_leaf (position, kind, id, hash)
    SELECT (SELECT coalesce(max(l.position) + 1, 0) FROM floorlog.log_leaf AS l)
        + row_number() OVER (ORDER BY e.kind, e.id) - 1, e.kind, e.id, e.hash
    FROM floorlog.unplaced_event AS e ORDER BY e.kind, e.id LIMIT leaves_max;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;
REVOKE ALL ON FUNCTION sequence_events(int4) FROM PUBLIC;

GRANT SELECT ON correction TO floorlog_writer, floorlog_keeper, floorlog_operator, floorlog_reader;
GRANT SELECT ON unplaced_event TO floorlog_keeper;
GRANT SELECT ON person TO floorlog_operator;
GRANT EXECUTE ON FUNCTION correct(text, text, int8, float8, text, int8, text, text) TO floorlog_operator;
GRANT EXECUTE ON FUNCTION pseudonym_of(text), erase_name(text, text, text) TO floorlog_operator;
GRANT EXECUTE ON FUNCTION sequence_events(int4) TO floorlog_keeper;
-- Which series are learned still: what the worker's detectors know is in no other place to be read.

ALTER TABLE series_home ADD COLUMN calibrated_s int8;
COMMENT ON COLUMN series_home.calibrated_s IS 'derived: the shard''s clock when its detectors had learned enough; NULL: learning';

CREATE VIEW learning AS
SELECT s.device AS device_id, s.metric FROM series AS s JOIN series_home AS h USING (series_id)
WHERE s.kind = 0 AND h.calibrated_s IS NULL;
COMMENT ON VIEW learning IS 'derived: series of numbers of which learned detectors say nothing yet';
GRANT SELECT ON learning TO floorlog_writer, floorlog_keeper, floorlog_operator, floorlog_reader;
-- Rejects found by their leaf, and one trace for each replay.

CREATE FUNCTION digest(r reject) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x000201'::bytea || floorlog.field(r.sequence::text) || floorlog.field(r.element::int8)
        || floorlog.field(r.code) || floorlog.field(r.reason) || floorlog.field(r.data))
$$;

-- What was done to a reject, found without reading every event.
CREATE INDEX audit_event_reject ON audit_event ((detail ->> 'reject')) WHERE action ^@ 'reject.';


GRANT SELECT ON chunk, sealed_foreign TO floorlog_writer, floorlog_keeper, floorlog_operator, floorlog_reader;
GRANT EXECUTE ON FUNCTION seal(timestamptz, timestamptz, int4[], int8[], int2[], int4[], int2[], int4[], int2[], chunk[]) TO floorlog_keeper;
-- What some columns are, said as verification finds it: what no leaf binds is no evidence.

COMMENT ON COLUMN series.first_seen IS 'outside: when it got its number, by this database''s clock; no leaf binds it';
COMMENT ON COLUMN log_leaf.recorded_at IS 'outside: when it got its position, by this database''s clock; notes bound it';
COMMENT ON COLUMN note.recorded_at IS 'outside: when the copy was made';
COMMENT ON COLUMN note.size IS 'derived: leaves of the log that it speaks of';
COMMENT ON COLUMN note.body IS 'derived: a copy of the signed note as it is anchored outside';
COMMENT ON COLUMN lease.ended IS 'outside: the shard''s last batch is stored, or its stream is gone';
-- Policies and holds, folded from audit events, and what they say may expire.

-- The policy of each asset that has one ('*': of all others), by its last event. Without `days` it
-- is kept for ever. `from` active: the days count from when the whole asset went quiet.
CREATE VIEW retention AS
SELECT DISTINCT ON (a.detail ->> 'asset') a.detail ->> 'asset' AS asset,
    CASE WHEN a.detail ->> 'days' ~ '^[1-9][0-9]{0,5}$' THEN (a.detail ->> 'days')::int4 END AS days,
    coalesce(a.detail ->> 'from' <> 'recorded', true) AS from_active,
    a.detail ->> 'reason' AS reason, a.actor, a.recorded_at, a.event_id
FROM floorlog.audit_event AS a
WHERE a.action = 'retention.set' AND a.detail ->> 'asset' <> ''
ORDER BY a.detail ->> 'asset', a.event_id DESC;
COMMENT ON VIEW retention IS 'derived: the policy in force per asset';

-- The holds that were placed and not released: nothing of their asset ('*': of any) may expire.
CREATE VIEW hold AS
SELECT h.asset, h.name, h.reason, h.actor, h.recorded_at, h.event_id FROM (
    SELECT DISTINCT ON (a.detail ->> 'asset', a.detail ->> 'hold') a.detail ->> 'asset' AS asset,
        a.detail ->> 'hold' AS name, a.detail ->> 'reason' AS reason, a.actor, a.recorded_at, a.event_id, a.action
    FROM floorlog.audit_event AS a
    WHERE a.action IN ('hold.place', 'hold.release') AND a.detail ->> 'asset' <> ''
    ORDER BY a.detail ->> 'asset', a.detail ->> 'hold', a.event_id DESC
) AS h WHERE h.action = 'hold.place';
COMMENT ON VIEW hold IS 'derived: the holds in force';
CREATE INDEX audit_event_retention ON audit_event (event_id) WHERE action IN ('retention.set', 'hold.place', 'hold.release');

-- The asset of a device by one version of the catalogue: its own where that names none.
CREATE FUNCTION asset_of(device text, body json) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(CASE WHEN json_typeof(body -> 'devices') = 'object' AND json_typeof(body -> 'devices' -> device) = 'object'
        THEN body -> 'devices' -> device ->> 'asset' END, device)
$$;

-- The devices that a hold keeps. A hold is not slipped by moving a device to another asset: it
-- keeps whatever belonged to its asset in any version of the catalogue since it was placed.
CREATE FUNCTION held_devices() RETURNS TABLE (device text) LANGUAGE sql STABLE AS $$
    SELECT d.device FROM (SELECT DISTINCT s.device FROM floorlog.series AS s) AS d
    WHERE EXISTS (
        SELECT FROM floorlog.hold AS h
        WHERE h.asset IN ('*', d.device) OR EXISTS (
            SELECT FROM floorlog.catalogue AS c
            WHERE floorlog.asset_of(d.device, c.body) = h.asset AND (c.recorded_at >= h.recorded_at OR c.version = (
                SELECT max(o.version) FROM floorlog.catalogue AS o WHERE o.recorded_at < h.recorded_at))))
$$;

-- Whether nothing of a device's asset was stored since a time; of '', nothing at all.
CREATE FUNCTION is_quiet(of_device text, since timestamptz) RETURNS bool LANGUAGE plpgsql STABLE AS $$
DECLARE
    ids int4[];
BEGIN
    IF of_device = '' THEN
        RETURN NOT EXISTS (SELECT FROM floorlog.batch AS b WHERE b.recorded_at >= since AND b.stored > 0);
    END IF;
    SELECT array_agg(s.series_id) INTO ids FROM floorlog.series AS s, (
        SELECT o.body FROM floorlog.catalogue AS o ORDER BY o.version DESC LIMIT 1) AS c
    WHERE floorlog.asset_of(s.device, c.body) = floorlog.asset_of(of_device, c.body);
    -- The quick answer of a plant that runs; the rest tells readings that are older than their storing.
    RETURN NOT EXISTS (SELECT FROM floorlog.series_home AS h
            WHERE h.series_id = ANY (ids) AND h.newest_window * 300000000::int8 >= floorlog.to_us(since))
        AND NOT EXISTS (SELECT FROM floorlog.open_row AS r WHERE r.recorded_at >= since AND r.series && ids)
        AND NOT EXISTS (SELECT FROM floorlog.chunk AS c WHERE c.series_id = ANY (ids) AND c.recorded_max >= since);
END
$$;

-- Which devices may expire, and what was stored before when: whole days, so that it moves on once a
-- day. The device '' stands for rejects, which belong to none: they go by the policy of all others,
-- and not while there is any hold.
CREATE FUNCTION expirable() RETURNS TABLE (device text, before timestamptz) LANGUAGE sql STABLE AS $$
    SELECT p.device, p.before FROM (
        SELECT d.device, date_trunc('day', now() - make_interval(days => r.days), 'UTC') AS before, r.from_active
        FROM (
            SELECT DISTINCT s.device, floorlog.asset_of(s.device, c.body) AS asset
            FROM floorlog.series AS s, (SELECT o.body FROM floorlog.catalogue AS o ORDER BY o.version DESC LIMIT 1) AS c
            UNION ALL SELECT '', '*'
        ) AS d
        JOIN LATERAL (
            SELECT o.days, o.from_active FROM floorlog.retention AS o WHERE o.asset IN ('*', d.asset)
            ORDER BY o.asset = '*' LIMIT 1
        ) AS r ON r.days IS NOT NULL
    ) AS p
    WHERE p.device NOT IN (SELECT h.device FROM floorlog.held_devices() AS h)
        AND (p.device <> '' OR NOT EXISTS (SELECT FROM floorlog.hold))
        AND (NOT p.from_active OR floorlog.is_quiet(p.device, p.before))
$$;

GRANT SELECT ON retention, hold TO floorlog_keeper, floorlog_operator, floorlog_reader;
-- Expiry: what it keeps, and the trees that it has to know.

CREATE TABLE expiry (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    expiry_id int8 GENERATED ALWAYS AS IDENTITY,
    first_number int8 NOT NULL,
    last_number int8 NOT NULL,
    readings int8 NOT NULL,
    bytes_before int8 NOT NULL,
    bytes_after int8 NOT NULL,
    lease_id int4 NOT NULL,
    batches int4 NOT NULL,
    rejects int4 NOT NULL,
    anomalies int4 NOT NULL,
    series int4[] NOT NULL,
    events text NOT NULL,
    root bytea NOT NULL
) PARTITION BY RANGE (recorded_at);
CREATE INDEX expiry_id ON expiry (expiry_id);
COMMENT ON COLUMN expiry.recorded_at IS 'evidence: when it happened';
COMMENT ON COLUMN expiry.expiry_id IS 'evidence: number of the expiry';
COMMENT ON COLUMN expiry.first_number IS 'evidence: the first batch that lost something';
COMMENT ON COLUMN expiry.last_number IS 'evidence: the last one';
COMMENT ON COLUMN expiry.readings IS 'evidence: readings that went';
COMMENT ON COLUMN expiry.bytes_before IS 'outside: size of the rows that went';
COMMENT ON COLUMN expiry.bytes_after IS 'outside: size of the rows that stand in their place';
COMMENT ON COLUMN expiry.lease_id IS 'evidence: the shard of the batches';
COMMENT ON COLUMN expiry.batches IS 'evidence: batches that lost something';
COMMENT ON COLUMN expiry.rejects IS 'evidence: rejects that went';
COMMENT ON COLUMN expiry.anomalies IS 'evidence: anomalies that went';
COMMENT ON COLUMN expiry.series IS 'evidence: the series whose readings went, ascending';
COMMENT ON COLUMN expiry.events IS 'evidence: kind:number of each leaf of the log whose event went';
COMMENT ON COLUMN expiry.root IS 'evidence: root (RFC 6962) over the rows of expired, by number of the batch';

CREATE TABLE expired (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    expiry_id int8 NOT NULL,
    number int8 NOT NULL,
    lease_id int4 NOT NULL,
    readings int4 NOT NULL,
    rejects int4 NOT NULL,
    begins int4[] NOT NULL,
    ends int4[] NOT NULL,
    hashes bytea[] NOT NULL
) PARTITION BY RANGE (recorded_at);
CREATE INDEX expired_batch ON expired (lease_id, number);
COMMENT ON COLUMN expired.recorded_at IS 'outside: when the row was made; the expiry says when that was';
COMMENT ON COLUMN expired.expiry_id IS 'evidence: the expiry';
COMMENT ON COLUMN expired.number IS 'evidence: the batch within the shard';
COMMENT ON COLUMN expired.lease_id IS 'evidence: the shard';
COMMENT ON COLUMN expired.readings IS 'evidence: readings that the batch lost';
COMMENT ON COLUMN expired.rejects IS 'evidence: rejects that it lost';
COMMENT ON COLUMN expired.begins IS 'evidence: first leaf of each run of leaves that went';
COMMENT ON COLUMN expired.ends IS 'evidence: one after the last leaf of each run';
COMMENT ON COLUMN expired.hashes IS 'evidence: roots of the largest complete subtrees of the runs, from left to right';

CREATE TABLE expiry_mark (
    device text NOT NULL,
    lease_id int4 NOT NULL,
    number int8 NOT NULL,
    PRIMARY KEY (device, lease_id)
) WITH (fillfactor = 60);
COMMENT ON COLUMN expiry_mark.device IS 'outside: the device; empty: rejects';
COMMENT ON COLUMN expiry_mark.lease_id IS 'outside: the shard';
COMMENT ON COLUMN expiry_mark.number IS 'outside: up to this batch expiry looked, and need not look again';

DO $$
BEGIN
    CREATE TABLE expiry_default PARTITION OF floorlog.expiry DEFAULT;
    CREATE TABLE expired_default PARTITION OF floorlog.expired DEFAULT;
    PERFORM floorlog.make_months(2);
END
$$;

CREATE FUNCTION digest(a anomaly) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x000301'::bytea || floorlog.field(floorlog.digest(s)) || floorlog.field(a.severity::int8)
        || floorlog.field(a.phase) || floorlog.field(a.detector) || floorlog.field(a.start_us)
        || floorlog.field(a.at_us) || floorlog.field(a.score) || floorlog.field(a.value)
        || floorlog.field(a.expected) || floorlog.field(a.reason))
    FROM floorlog.series AS s WHERE s.series_id = a.series_id
$$;
CREATE FUNCTION digest(e expired) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001801'::bytea || floorlog.field(e.number)
        || floorlog.field((SELECT string_agg(u.b || ':' || u.e, ',' ORDER BY u.place)
            FROM unnest(e.begins, e.ends) WITH ORDINALITY AS u (b, e, place)))
        || floorlog.field((SELECT string_agg(u.h, '' ORDER BY u.place)
            FROM unnest(e.hashes) WITH ORDINALITY AS u (h, place)))
        || floorlog.field(e.readings::int8) || floorlog.field(e.rejects::int8))
$$;
CREATE FUNCTION digest(x expiry) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001701'::bytea || floorlog.field(x.expiry_id) || floorlog.field(floorlog.to_us(x.recorded_at))
        || floorlog.field((SELECT floorlog.digest(l) FROM floorlog.lease AS l WHERE l.lease_id = x.lease_id))
        || floorlog.field(x.first_number) || floorlog.field(x.last_number)
        || floorlog.field(coalesce((SELECT string_agg(floorlog.digest(s), '' ORDER BY s.series_id)
            FROM floorlog.series AS s WHERE s.series_id = ANY (x.series)), ''))
        || floorlog.field(x.batches::int8) || floorlog.field(x.readings) || floorlog.field(x.rejects::int8)
        || floorlog.field(x.anomalies::int8) || floorlog.field(x.events) || floorlog.field(x.root))
$$;

-- The largest complete subtrees that make up the leaves begin_at … end_before - 1: see "Covers".
CREATE FUNCTION subtrees(begin_at int4, end_before int4, OUT place int4, OUT level int4)
RETURNS SETOF record LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    place := begin_at;
    WHILE place < end_before LOOP
        level := 0;
        WHILE place % (1 << (level + 1)) = 0 AND place + (1 << (level + 1)) <= end_before LOOP
            level := level + 1;
        END LOOP;
        RETURN NEXT;
        place := place + (1 << level);
    END LOOP;
END
$$;

-- RFC 6962's root over complete subtrees from left to right, each with its level.
CREATE FUNCTION tree_root(levels int4[], hashes bytea[]) RETURNS bytea LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    stack_levels int4[] := '{}';
    stack bytea[] := '{}';
    depth int4 := 0;
    level int4;
    hash bytea;
BEGIN
    IF cardinality(hashes) = 0 THEN
        RETURN sha256('');
    END IF;
    FOR n IN 1..cardinality(hashes) LOOP
        level := levels[n];
        hash := hashes[n];
        WHILE depth > 0 AND stack_levels[depth] = level LOOP
            hash := sha256('\x01'::bytea || stack[depth] || hash);
            level := level + 1;
            depth := depth - 1;
        END LOOP;
        depth := depth + 1;
        stack_levels[depth] := level;
        stack[depth] := hash;
    END LOOP;
    hash := stack[depth];
    FOR n IN REVERSE depth - 1..1 LOOP
        hash := sha256('\x01'::bytea || stack[n] || hash);
    END LOOP;
    RETURN hash;
END
$$;

CREATE OR REPLACE VIEW unplaced_event AS
SELECT 22::int2 AS kind, c.correction_id AS id, floorlog.digest(c) AS hash
FROM floorlog.correction AS c
WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (22, 0, c.correction_id))
UNION ALL
SELECT 23::int2, x.expiry_id, floorlog.digest(x)
FROM floorlog.expiry AS x
WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (23, 0, x.expiry_id));
COMMENT ON VIEW unplaced_event IS 'derived: events that have no position in the log yet';

GRANT SELECT ON expiry, expired TO floorlog_writer, floorlog_keeper, floorlog_operator, floorlog_reader;
GRANT SELECT ON expiry_mark TO floorlog_keeper, floorlog_operator, floorlog_reader;
-- The act of expiry: the only way, beside seal(), by which rows of the record go.

-- The number of a shard's last batch that was stored before a time, 0 for none: by bisection, for
-- within a shard batches are stored in their order.
CREATE FUNCTION last_before(of_lease int4, before timestamptz) RETURNS int8 LANGUAGE plpgsql STABLE AS $$
DECLARE
    low int8 := 0;
    high int8;
    middle int8;
BEGIN
    SELECT l.number INTO high FROM floorlog.lease AS l WHERE l.lease_id = of_lease;
    WHILE low < high LOOP
        middle := (low + high + 1) / 2;
        IF EXISTS (SELECT FROM floorlog.batch AS b
                WHERE b.lease_id = of_lease AND b.number = middle AND b.recorded_at < before) THEN
            low := middle;
        ELSE
            high := middle - 1;
        END IF;
    END LOOP;
    RETURN low;
END
$$;

-- The readings of a shard's batches, one per row; `source` and `place` keep the order of those that
-- share series and time: out of chunks as their widths and parts rise, then out of open rows.
CREATE FUNCTION readings_of(of_lease int4, from_number int8, to_number int8, OUT number int8, OUT series_id int4,
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

-- Whether a reject goes: with all that belongs to no device, or because a field of its bytes is a
-- device that goes; never while its bytes hold the name of one that is held, wherever.
CREATE FUNCTION reject_goes(data bytea, is_all bool, going text[], held text[]) RETURNS bool
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (is_all OR EXISTS (SELECT FROM unnest(going) AS g (name)
            WHERE g.name <> '' AND position(convert_to(g.name, 'UTF8') IN data) > 0
                -- Fields end at quotes, commas, semicolons, control characters and NUL, with spaces beside
                -- them. Bytes are compared as `escape` writes them: it is text whatever they are.
                AND encode(data, 'escape') ~ ('(^|["'',;[:cntrl:]]|\\000) *'
                    || regexp_replace(encode(convert_to(g.name, 'UTF8'), 'escape'), '([^A-Za-z0-9_])', '\\\1', 'g')
                    || ' *($|["'',;[:cntrl:]]|\\000|\\\\)')))
        AND NOT EXISTS (SELECT FROM unnest(held) AS h (name)
            WHERE h.name <> '' AND position(convert_to(h.name, 'UTF8') IN data) > 0)
$$;

-- The leaves of a shard's batches that are still there, in their order, and whether each goes with
-- these devices.
CREATE FUNCTION leaves_of(of_lease int4, from_number int8, to_number int8, going text[], held text[])
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

-- What stays of a batch whose leaves go: checks that these leaves, and what stands for those that
-- went before, lead to the root of its entry. NULL where they do not.
CREATE FUNCTION collapsed(b batch, hashes bytea[], goes bool[], made expired) RETURNS expired
LANGUAGE plpgsql STABLE AS $$
DECLARE
    known_places int4[];
    known_levels int4[];
    known_hashes bytea[];
    levels int4[] := '{}';
    nodes bytea[] := '{}';
    place int4 := 0;
    n int4 := 1;
    k int4 := 1;
    run_nodes int4[] := '{}';  -- which node is the first of each run
    in_run bool := false;
BEGIN
    SELECT array_agg(s.place ORDER BY s.place), array_agg(s.level ORDER BY s.place), array_agg(s.hash ORDER BY s.place)
    INTO known_places, known_levels, known_hashes
    FROM floorlog.expired AS x CROSS JOIN LATERAL (
        SELECT t.place, t.level, x.hashes[row_number() OVER (ORDER BY t.place)] AS hash
        FROM unnest(x.begins, x.ends) AS u (b, e) CROSS JOIN LATERAL floorlog.subtrees(u.b, u.e) AS t
    ) AS s
    WHERE x.lease_id = b.lease_id AND x.number = b.number;
    made.begins := '{}';
    made.ends := '{}';
    made.hashes := '{}';
    WHILE n <= coalesce(cardinality(hashes), 0) OR k <= coalesce(cardinality(known_places), 0) LOOP
        IF known_places[k] = place THEN
            levels := levels || known_levels[k];
            nodes := nodes || known_hashes[k];
            place := place + (1 << known_levels[k]);
            k := k + 1;
            in_run := false;
            CONTINUE;
        END IF;
        EXIT WHEN n > coalesce(cardinality(hashes), 0);
        levels := levels || 0;
        nodes := nodes || hashes[n];
        IF goes[n] AND in_run THEN
            made.ends[cardinality(made.ends)] := place + 1;
        ELSIF goes[n] THEN
            made.begins := made.begins || place;
            made.ends := made.ends || (place + 1);
            run_nodes := run_nodes || cardinality(nodes);
        END IF;
        in_run := goes[n];
        place := place + 1;
        n := n + 1;
    END LOOP;
    IF place <> b.leaves OR floorlog.tree_root(levels, nodes) <> b.root THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(floorlog.tree_root(array_fill(0, ARRAY[1 << t.level]),
        nodes[u.node + t.place - u.b : u.node + t.place - u.b + (1 << t.level) - 1]) ORDER BY t.place)
    INTO made.hashes
    FROM unnest(made.begins, made.ends, run_nodes) AS u (b, e, node) CROSS JOIN LATERAL floorlog.subtrees(u.b, u.e) AS t;
    RETURN made;
END
$$;

-- Takes readings of these series out of the open rows of these batches; returns the bytes that went.
CREATE FUNCTION expire_open_rows(of_lease int4, from_number int8, to_number int8, ids int4[]) RETURNS int8
LANGUAGE plpgsql AS $$
DECLARE
    bytes int8;
BEGIN
    WITH gone AS (
        DELETE FROM floorlog.open_row AS r
        WHERE r.lease_id = of_lease AND r.number BETWEEN from_number AND to_number AND r.series && ids
        RETURNING r
    ), kept AS (
        SELECT (g.r).*, u.series_id, u.at_us, u.value AS one_value, u.quality AS one_quality, u.arrived AS one_arrived,
            u.flags, row_number() OVER (PARTITION BY (g.r).number, (g.r).part ORDER BY u.place) AS place,
            min(u.at_us) OVER (PARTITION BY (g.r).number, (g.r).part) AS first_us,
            max(u.at_us) OVER (PARTITION BY (g.r).number, (g.r).part) AS last_us
        FROM gone AS g CROSS JOIN LATERAL floorlog.opened(g.r) WITH ORDINALITY
            AS u (series_id, at_us, value, quality, arrived, flags, place)
        WHERE u.series_id <> ALL (ids)
    ), made AS (
        INSERT INTO floorlog.open_row (recorded_at, number, t_min, t_max, clock_s, home_version, lease_id, slot, home,
            tick_us, width, part, series, ts, ts_wide, value, quality, arrived, conflict, late)
        SELECT k.recorded_at, k.number, k.first_us, k.last_us, k.clock_s, k.home_version, k.lease_id, k.slot, k.home,
            k.tick_us, k.width, k.part, array_agg(k.series_id ORDER BY k.place),
            CASE WHEN (k.last_us - k.first_us) / k.tick_us < 2147483647
                THEN array_agg((k.at_us - k.first_us) / k.tick_us ORDER BY k.place)::int4[] END,
            CASE WHEN (k.last_us - k.first_us) / k.tick_us >= 2147483647
                THEN array_agg((k.at_us - k.first_us) / k.tick_us ORDER BY k.place) END,
            array_agg(k.one_value ORDER BY k.place),
            CASE WHEN bool_or(k.one_quality <> 0) THEN array_agg(k.one_quality ORDER BY k.place) END,
            CASE WHEN bool_or(k.one_arrived <> 0) THEN array_agg(k.one_arrived ORDER BY k.place) END,
            array_agg(k.place::int4 ORDER BY k.place) FILTER (WHERE k.flags & 1 <> 0),
            array_agg(k.place::int4 ORDER BY k.place) FILTER (WHERE k.flags & 2 <> 0)
        FROM kept AS k
        GROUP BY k.recorded_at, k.number, k.first_us, k.last_us, k.clock_s, k.home_version, k.lease_id, k.slot, k.home,
            k.tick_us, k.width, k.part
        RETURNING pg_column_size(open_row) AS bytes
    )
    SELECT coalesce((SELECT sum(pg_column_size(g.r)) FROM gone AS g), 0)
        - coalesce((SELECT sum(m.bytes) FROM made AS m), 0) INTO bytes;
    RETURN bytes;
END
$$;

-- Takes these series out of chunks of these batches. What a chunk holds of other batches goes back
-- into open rows, from which it is sealed again; returns the bytes that went.
CREATE FUNCTION expire_chunks(of_lease int4, from_number int8, to_number int8, ids int4[]) RETURNS int8
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

-- Rejects, anomalies and conflicts of these batches; returns the bytes that went.
CREATE FUNCTION expire_rows(of_lease int4, from_number int8, to_number int8, ids int4[], going text[], held text[])
RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
    first_at timestamptz;
    last_at timestamptz;
    bytes int8;
BEGIN
    SELECT min(b.recorded_at), max(b.recorded_at) INTO first_at, last_at FROM floorlog.batch AS b
        WHERE b.lease_id = of_lease AND b.number BETWEEN from_number AND to_number;
    WITH rejects AS (
        DELETE FROM floorlog.reject AS r
        WHERE r.recorded_at BETWEEN first_at AND last_at AND r.lease_id = of_lease
            AND r.number BETWEEN from_number AND to_number
            AND floorlog.reject_goes(r.data, '' = ANY (going), going, held)
        RETURNING pg_column_size(r) AS bytes
    ), anomalies AS (
        DELETE FROM floorlog.anomaly AS a
        WHERE a.recorded_at BETWEEN first_at AND last_at AND a.lease_id = of_lease
            AND a.number BETWEEN from_number AND to_number AND a.series_id = ANY (ids)
        RETURNING pg_column_size(a) AS bytes
    ), conflicts AS (
        DELETE FROM floorlog.conflict AS c
        WHERE c.recorded_at BETWEEN first_at AND last_at AND c.lease_id = of_lease
            AND c.number BETWEEN from_number AND to_number AND c.series_id = ANY (ids)
        RETURNING pg_column_size(c) AS bytes
    )
    SELECT coalesce(sum(g.bytes), 0) INTO bytes FROM (
        SELECT r.bytes FROM rejects AS r UNION ALL SELECT a.bytes FROM anomalies AS a
        UNION ALL SELECT c.bytes FROM conflicts AS c) AS g;
    RETURN bytes;
END
$$;
-- One bounded step of expiry, which takes no argument that could be wrong: what may go is what the
-- policies and holds in the record say.

-- Which devices have something left to expire in which shard: the batches above `done` up to `upto`.
CREATE FUNCTION expiring(OUT lease_id int4, OUT device text, OUT done int8, OUT upto int8) RETURNS SETOF record
LANGUAGE sql STABLE AS $$
    WITH going AS MATERIALIZED (SELECT e.device, e.before FROM floorlog.expirable() AS e),
    ends AS MATERIALIZED (
        SELECT l.lease_id, t.before, floorlog.last_before(l.lease_id, t.before) AS upto
        FROM floorlog.lease AS l CROSS JOIN (SELECT DISTINCT g.before FROM going AS g) AS t
    )
    SELECT n.lease_id, g.device, coalesce(m.number, 0), n.upto
    FROM going AS g JOIN ends AS n ON n.before = g.before
    LEFT JOIN floorlog.expiry_mark AS m ON (m.device, m.lease_id) = (g.device, n.lease_id)
    WHERE n.upto > coalesce(m.number, 0)
$$;

-- The first batch of a span in which something of these devices is left; NULL for none.
CREATE FUNCTION first_expiring(of_lease int4, from_number int8, to_number int8, ids int4[], going text[],
    held text[]) RETURNS int8
LANGUAGE sql STABLE AS $$
    SELECT least(
        (SELECT min(greatest(c.number_min, from_number)) FROM floorlog.chunk AS c
            WHERE c.series_id = ANY (ids) AND int8range((c.lease_id::int8 << 40) + c.number_min,
                    (c.lease_id::int8 << 40) + c.number_max, '[]')
                && int8range((of_lease::int8 << 40) + from_number, (of_lease::int8 << 40) + to_number, '[]')),
        (SELECT min(r.number) FROM floorlog.open_row AS r
            WHERE r.lease_id = of_lease AND r.number BETWEEN from_number AND to_number AND r.series && ids),
        (SELECT min(j.number) FROM floorlog.batch AS b JOIN floorlog.reject AS j
                ON j.recorded_at = b.recorded_at AND (j.lease_id, j.number) = (b.lease_id, b.number)
            WHERE b.lease_id = of_lease AND b.number BETWEEN from_number AND to_number AND b.rejected > 0
                AND floorlog.reject_goes(j.data, '' = ANY (going), going, held)),
        (SELECT min(a.number) FROM floorlog.batch AS b JOIN floorlog.anomaly AS a
                ON a.recorded_at = b.recorded_at AND (a.lease_id, a.number) = (b.lease_id, b.number)
            WHERE b.lease_id = of_lease AND b.number BETWEEN from_number AND to_number AND a.series_id = ANY (ids)))
$$;

-- Events of these series that were stored up to a time: corrections, and of each alarm what came
-- before it was last normal. Returns kind:number of each.
CREATE FUNCTION expire_events(ids int4[], until timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    gone text;
BEGIN
    WITH corrections AS (
        DELETE FROM floorlog.correction AS c WHERE c.series_id = ANY (ids) AND c.recorded_at <= until
        RETURNING c.correction_id
    ), ends AS (
        SELECT e.series_id, e.detector, max(e.event_id) AS last FROM floorlog.alarm_event AS e
        WHERE e.series_id = ANY (ids) AND e.recorded_at <= until AND e.after = 'normal' AND NOT e.active
        GROUP BY e.series_id, e.detector
    ), alarms AS (
        DELETE FROM floorlog.alarm_event AS e USING ends AS n
        WHERE (e.series_id, e.detector) = (n.series_id, n.detector) AND e.event_id <= n.last
        RETURNING e.event_id
    ), kept AS (
        DELETE FROM floorlog.alarm AS a USING ends AS n
        WHERE (a.series_id, a.detector) = (n.series_id, n.detector) AND a.event_id <= n.last
    )
    SELECT coalesce(string_agg(g.kind || ':' || g.id, ',' ORDER BY g.kind, g.id), '') INTO gone
    FROM (SELECT 21 AS kind, event_id AS id FROM alarms UNION ALL SELECT 22, correction_id FROM corrections) AS g;
    RETURN gone;
END
$$;

-- What series_home says of the newest readings of these series, once some went. Their rows are locked
-- first, so that no worker raises what is then written. Most still have their newest reading.
CREATE FUNCTION lower_newest(ids int4[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM floorlog.series_home AS h WHERE h.series_id = ANY (ids) ORDER BY h.series_id FOR NO KEY UPDATE;
    UPDATE floorlog.series_home AS h SET newest_window = (floor(greatest(
            (SELECT max(c.t_max) FROM floorlog.chunk AS c WHERE c.series_id = h.series_id),
            (SELECT max(u.at_us) FROM floorlog.open_row AS r CROSS JOIN LATERAL floorlog.opened(r) AS u
                WHERE r.series && ARRAY[h.series_id] AND u.series_id = h.series_id)) / 300000000.0))::int4
    WHERE h.series_id = ANY (ids) AND h.newest_window IS NOT NULL
        AND NOT EXISTS (SELECT FROM floorlog.chunks_of(h.series_id, h.newest_window * 300000000::int8,
            (h.newest_window + 1) * 300000000::int8 - 1))
        AND NOT EXISTS (
            SELECT FROM floorlog.rows_between(h.newest_window * 300000000::int8,
                (h.newest_window + 1) * 300000000::int8 - 1) AS r CROSS JOIN LATERAL floorlog.opened(r) AS u
            WHERE r.series && ARRAY[h.series_id] AND u.series_id = h.series_id
                AND u.at_us >= h.newest_window * 300000000::int8);
END
$$;

-- What a step of expiry left because it is not what was stored; tried again after a day.
CREATE TABLE expiry_left (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    first_number int8 NOT NULL,
    last_number int8 NOT NULL,
    lease_id int4 NOT NULL,
    says text NOT NULL
);
COMMENT ON COLUMN expiry_left.recorded_at IS 'outside: when it was last tried';
COMMENT ON COLUMN expiry_left.first_number IS 'outside: the first batch of which nothing may expire';
COMMENT ON COLUMN expiry_left.last_number IS 'outside: the last one';
COMMENT ON COLUMN expiry_left.lease_id IS 'outside: the shard';
COMMENT ON COLUMN expiry_left.says IS 'outside: what is wrong with them';
GRANT SELECT ON expiry_left TO floorlog_keeper, floorlog_operator, floorlog_reader;

-- Whether the leaves of a span of batches can be computed, whatever they are.
CREATE FUNCTION is_readable(of_lease int4, from_number int8, to_number int8) RETURNS bool LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM count(l.hashes) FROM floorlog.leaves_of(of_lease, from_number, to_number, '{}', '{}') AS l;
    RETURN true;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN false;
END
$$;

-- The batches at which the leaves of a span can first not be computed, by bisection; the last of them is
-- one before some batch that can be read again. NULL where all can.
CREATE FUNCTION unreadable(of_lease int4, from_number int8, to_number int8, OUT first_number int8, OUT last_number int8)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    low int8 := from_number;
    high int8 := to_number;
    middle int8;
BEGIN
    IF floorlog.is_readable(of_lease, low, high) THEN
        RETURN;
    END IF;
    WHILE low < high LOOP
        middle := (low + high) / 2;
        IF floorlog.is_readable(of_lease, from_number, middle) THEN
            low := middle + 1;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    first_number := low;
    last_number := to_number;
    high := low + 1;
    WHILE high <= to_number LOOP
        IF floorlog.is_readable(of_lease, high, high) THEN
            last_number := high - 1;
            EXIT;
        END IF;
        high := high + (high - first_number);
    END LOOP;
END
$$;

-- Puts hashes in the place of leaves, batch by batch, as far as these are what was stored. `upto`: the last
-- batch that was looked at. Where the very first are not what was stored, nothing is put: `upto` is the
-- last of them, `bad_from` the first, and `says` why.
CREATE FUNCTION expire_leaves(of_lease int4, from_number int8, to_number int8, going text[], held text[],
    OUT made expiry, OUT upto int8, OUT bad_from int8, OUT says text) LANGUAGE plpgsql AS $$
DECLARE
    b record;
    one floorlog.expired;
    wrong text;
    tops int4[] := '{}';
    nodes bytea[] := '{}';
BEGIN
    upto := to_number;
    made.recorded_at := now();
    made.lease_id := of_lease;
    made.batches := 0;
    made.readings := 0;
    made.rejects := 0;
    made.anomalies := 0;
    made.bytes_after := 0;
    FOR b IN
        SELECT t AS batch, l.* FROM floorlog.leaves_of(of_lease, from_number, to_number, going, held) AS l
        JOIN floorlog.batch AS t ON t.lease_id = of_lease AND t.number = l.number
        WHERE true = ANY (l.goes) ORDER BY l.number
    LOOP
        one := NULL;
        one.recorded_at := made.recorded_at;
        one.lease_id := of_lease;
        one.number := b.number;
        one.readings := b.gone_readings;
        one.rejects := b.gone_rejects;
        one := floorlog.collapsed(b.batch, b.hashes, b.goes, one);
        wrong := CASE WHEN one.number IS NULL THEN 'not what was stored'
            WHEN (b.readings, b.rejects) <> (
                SELECT (b.batch).stored - coalesce(sum(x.readings), 0), (b.batch).rejected - coalesce(sum(x.rejects), 0)
                FROM floorlog.expired AS x WHERE x.lease_id = of_lease AND x.number = b.number)
            THEN 'not as many as were counted' END;
        IF wrong IS NULL AND says IS NOT NULL OR wrong IS NOT NULL AND made.batches > 0 THEN
            upto := b.number - 1;  -- with this one the next step begins
            EXIT;
        ELSIF wrong IS NOT NULL THEN
            bad_from := coalesce(bad_from, b.number);
            says := wrong;
            CONTINUE;
        END IF;
        made.expiry_id := coalesce(made.expiry_id, nextval(pg_get_serial_sequence('floorlog.expiry', 'expiry_id')));
        one.expiry_id := made.expiry_id;
        INSERT INTO floorlog.expired SELECT one.*;
        made.first_number := coalesce(made.first_number, b.number);
        made.last_number := b.number;
        made.batches := made.batches + 1;
        made.readings := made.readings + b.gone_readings;
        made.rejects := made.rejects + b.gone_rejects;
        made.anomalies := made.anomalies + b.gone_anomalies;
        made.bytes_after := made.bytes_after + pg_column_size(one);
        tops := tops || 0;
        nodes := nodes || floorlog.digest(one);
    END LOOP;
    made.root := floorlog.tree_root(tops, nodes);
END
$$;

-- What was left is looked at again once a day: it may have been mended. Whether there is such.
CREATE FUNCTION expire_again() RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
    WITH again AS (DELETE FROM floorlog.expiry_left AS f WHERE f.recorded_at < now() - interval '1 day' RETURNING f.*)
    UPDATE floorlog.expiry_mark AS m SET number = a.first_number - 1
    FROM (SELECT g.lease_id, min(g.first_number) AS first_number FROM again AS g GROUP BY g.lease_id) AS a
    WHERE m.lease_id = a.lease_id AND m.number >= a.first_number;
    RETURN FOUND;
END
$$;

-- One step: of the first shard in which something is left, up to about so many batches. Returns the
-- expiry; an empty one (expiry_id NULL) where a span held nothing; no row when nothing is left. A batch
-- that is not what its entry says loses nothing: it is left out, with a row in expiry_left that says so.
CREATE FUNCTION expire(batches_max int4) RETURNS SETOF expiry
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_hashjoin = on SET enable_mergejoin = on
SET jit = off SET timezone = 'UTC' SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
    span_max CONSTANT int8 := 50000;
    going text[];
    held text[];
    ids int4[];
    id int4;
    from_number int8;
    to_number int8;
    first int8;
    edge int8;
    part record;
    bad_from int8;
    says text;
    made floorlog.expiry;
BEGIN
    IF batches_max IS NULL OR batches_max NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'batches_max is %, but must be 1 to 10000', batches_max USING ERRCODE = 'FL400';
    END IF;
    PERFORM pg_advisory_xact_lock(4706887);  -- one at a time, and no hold is placed meanwhile
    LOOP
        SELECT e.lease_id, min(e.done) + 1 INTO made.lease_id, from_number FROM floorlog.expiring() AS e
            GROUP BY e.lease_id ORDER BY e.lease_id LIMIT 1;
        EXIT WHEN FOUND;
        IF NOT floorlog.expire_again() THEN
            RETURN;
        END IF;
    END LOOP;
    SELECT array_agg(e.device) FILTER (WHERE e.done = from_number - 1),
        least(min(e.upto) FILTER (WHERE e.done = from_number - 1), min(e.done) FILTER (WHERE e.done >= from_number),
            from_number + span_max - 1)
    INTO going, to_number FROM floorlog.expiring() AS e WHERE e.lease_id = made.lease_id;
    SELECT coalesce(array_agg(s.series_id ORDER BY s.series_id), '{}') INTO ids FROM floorlog.series AS s
        WHERE s.device = ANY (going);
    SELECT coalesce(array_agg(h.device), '{}') INTO held FROM floorlog.held_devices() AS h;
    first := floorlog.first_expiring(made.lease_id, from_number, to_number, ids, going, held);
    IF first IS NOT NULL THEN
        edge := first + batches_max - 1;
        IF edge < to_number THEN
            -- To the end of the chunks that the edge would cut, unless that is far.
            SELECT greatest(edge, max(c.number_max)) INTO to_number FROM floorlog.chunk AS c
            WHERE c.series_id = ANY (ids) AND c.number_max <= least(to_number, first + 4 * batches_max::int8)
                AND int8range((c.lease_id::int8 << 40) + c.number_min, (c.lease_id::int8 << 40) + c.number_max, '[]')
                    @> (made.lease_id::int8 << 40) + edge;
        END IF;
        BEGIN
            SELECT l.* INTO part
            FROM floorlog.expire_leaves(made.lease_id, first, to_number, going, held) AS l;
            made := part.made;
            to_number := part.upto;
            bad_from := part.bad_from;
            says := part.says;
        EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
            says := SQLERRM;
            SELECT u.first_number, u.last_number INTO bad_from, edge
            FROM floorlog.unreadable(made.lease_id, first, to_number) AS u;
            IF bad_from IS NULL THEN
                RAISE;
            ELSIF bad_from > first THEN
                SELECT l.* INTO part
                FROM floorlog.expire_leaves(made.lease_id, first, bad_from - 1, going, held) AS l;
                made := part.made;
                to_number := part.upto;
                bad_from := part.bad_from;
                says := part.says;
            ELSE
                to_number := edge;
            END IF;
        END;
        IF says IS NOT NULL THEN
            INSERT INTO floorlog.expiry_left (first_number, last_number, lease_id, says)
            VALUES (bad_from, to_number, made.lease_id, says);
        END IF;
    END IF;
    IF made.expiry_id IS NOT NULL THEN
        made.bytes_before := floorlog.expire_open_rows(made.lease_id, first, to_number, ids)
            + floorlog.expire_chunks(made.lease_id, first, to_number, ids)
            + floorlog.expire_rows(made.lease_id, first, to_number, ids, going, held);
        made.events := floorlog.expire_events(ids, (SELECT max(t.recorded_at) FROM floorlog.batch AS t
            WHERE t.lease_id = made.lease_id AND t.number = to_number));
        BEGIN
            PERFORM floorlog.lower_newest(ids);
        EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
            -- Where the newest are is kept for those among whose rows is one that cannot be read.
            FOREACH id IN ARRAY ids LOOP
                BEGIN
                    PERFORM floorlog.lower_newest(ARRAY[id]);
                EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
                    CONTINUE;
                END;
            END LOOP;
        END;
        made.series := ids;
        INSERT INTO floorlog.expiry OVERRIDING SYSTEM VALUE SELECT made.*;
    END IF;
    INSERT INTO floorlog.expiry_mark (device, lease_id, number)
    SELECT g.device, made.lease_id, to_number FROM unnest(going) AS g (device)
    ON CONFLICT ON CONSTRAINT expiry_mark_pkey DO UPDATE SET number = excluded.number;
    RETURN NEXT made;
END
$$;
REVOKE ALL ON FUNCTION expire(int4) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION expire(int4) TO floorlog_keeper;
-- Notices: who is to be told of which alarm, and whether they were. The outbox is read after commit.

CREATE TABLE notice (
    event_id int8 NOT NULL,
    channel text NOT NULL,
    planned_at timestamptz NOT NULL DEFAULT now(),
    tried_at timestamptz,
    settled_at timestamptz,
    attempts int4 NOT NULL DEFAULT 0,
    state text NOT NULL CHECK (state IN ('waiting', 'sent', 'held', 'not routed', 'given up')),
    error text NOT NULL DEFAULT '',
    PRIMARY KEY (event_id, channel)
) WITH (fillfactor = 80);
CREATE INDEX notice_waiting ON notice (channel, event_id) WHERE state = 'waiting';
COMMENT ON COLUMN notice.event_id IS 'outside: the event of an alarm';
COMMENT ON COLUMN notice.channel IS 'outside: by which channel';
COMMENT ON COLUMN notice.planned_at IS 'outside: when that was decided';
COMMENT ON COLUMN notice.tried_at IS 'outside: when it was tried last';
COMMENT ON COLUMN notice.settled_at IS 'outside: when it was sent or given up; an audit event says so too';
COMMENT ON COLUMN notice.attempts IS 'outside: how often it was tried';
COMMENT ON COLUMN notice.state IS 'outside: waiting, sent, held in a flood, not routed to this channel, given up';
COMMENT ON COLUMN notice.error IS 'outside: why the last attempt failed';

-- Decides once for each event and channel; who comes second changes nothing.
CREATE FUNCTION plan_notices(of_channel text, of_events int8[], of_states text[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO floorlog.notice (event_id, channel, state)
    SELECT u.event_id, of_channel, u.state FROM unnest(of_events, of_states) AS u (event_id, state)
    ON CONFLICT DO NOTHING
$$;
REVOKE ALL ON FUNCTION plan_notices(text, int8[], text[]) FROM PUBLIC;

-- What came of an attempt. What ends a notice is an audit event, once.
CREATE FUNCTION settle_notice(of_channel text, of_event int8, to_state text, of_error text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tried int4;
BEGIN
    UPDATE floorlog.notice AS n SET state = to_state, error = of_error, attempts = n.attempts + 1, tried_at = now(),
        settled_at = CASE WHEN to_state = 'waiting' THEN NULL ELSE now() END
    WHERE n.channel = of_channel AND n.event_id = of_event AND n.state = 'waiting'
    RETURNING n.attempts INTO tried;
    IF FOUND AND to_state <> 'waiting' THEN
        INSERT INTO floorlog.audit_event (actor, action, detail)
        VALUES ('floorlog', 'notice.' || replace(to_state, ' ', '_'), json_build_object(
            'channel', of_channel, 'alarm_event', of_event, 'attempts', tried, 'error', of_error));
    END IF;
END
$$;
REVOKE ALL ON FUNCTION settle_notice(text, int8, text, text) FROM PUBLIC;

-- Forgets what was settled a week ago; events are told for an hour at most. Returns how many.
CREATE FUNCTION forget_notices() RETURNS int8
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone int8;
BEGIN
    DELETE FROM floorlog.notice WHERE state <> 'waiting' AND planned_at < now() - interval '7 days';
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;
REVOKE ALL ON FUNCTION forget_notices() FROM PUBLIC;

GRANT SELECT ON notice TO floorlog_keeper, floorlog_operator, floorlog_reader;
GRANT EXECUTE ON FUNCTION plan_notices(text, int8[], text[]), settle_notice(text, int8, text, text), forget_notices()
    TO floorlog_keeper;
-- Readings beside their corrections, and what was known as of a size of the log or a moment.

ALTER VIEW reading RENAME TO stored_reading;
ALTER FUNCTION readings(timestamptz, timestamptz) RENAME TO stored_readings;
ALTER FUNCTION readings(text, text, timestamptz, timestamptz) RENAME TO stored_readings;
COMMENT ON VIEW stored_reading IS 'derived: one row per reading, without its correction';

-- Whether an event had its position below a size of the log; NULL as the size: it is there.
CREATE FUNCTION is_known(of_kind int2, of_id int8, log_size int8) RETURNS bool LANGUAGE sql STABLE AS $$
    SELECT log_size IS NULL OR EXISTS (SELECT FROM floorlog.log_leaf AS g
        WHERE (g.kind, g.lease_id, g.id) = (of_kind, 0, of_id) AND g.position < log_size)
$$;

-- The correction that holds of each corrected reading of a span of time; as of a size of the log.
CREATE FUNCTION corrections_between(from_us int8, to_us int8, log_size int8)
RETURNS TABLE (device text, metric text, ts timestamptz, value float8, text text, quality int8)
LANGUAGE sql STABLE AS $$
    SELECT s.device, s.metric, floorlog.from_us(c.ts_us), CASE WHEN s.kind = 0 THEN c.value END,
        CASE WHEN s.kind = 1 THEN (SELECT t.name FROM floorlog.state AS t WHERE t.code = c.value::int4) END, c.quality
    FROM (
        SELECT DISTINCT ON (o.series_id, o.ts_us) o.series_id, o.ts_us, o.value, o.quality
        FROM floorlog.correction AS o
        WHERE o.ts_us BETWEEN from_us AND to_us AND floorlog.is_known(22::int2, o.correction_id, log_size)
        ORDER BY o.series_id, o.ts_us, o.correction_id DESC
    ) AS c
    JOIN floorlog.series AS s ON s.series_id = c.series_id
$$;

-- One row per reading. flags: 1 contradicts an earlier reading of the same time, 2 late, 4 corrected:
-- what it should have been stands beside it. Only the reading that stands is corrected.
-- A range of time reaches no index through this view: use readings() for that.
CREATE VIEW reading AS
SELECT r.ts, r.device_id, r.metric, r.value, r.text, r.unit, r.quality, r.recorded_at,
    r.flags + CASE WHEN c.quality IS NULL THEN 0 ELSE 4 END AS flags, r.arrived_at, r.shard, r.batch, r.bucket,
    c.value AS corrected_value, c.text AS corrected_text, c.quality AS corrected_quality
FROM floorlog.stored_reading AS r
LEFT JOIN floorlog.corrections_between(-3800000000000000000, 3800000000000000000, NULL) AS c
    ON c.ts = r.ts AND c.metric = r.metric AND c.device = r.device_id AND r.flags & 1 = 0;
COMMENT ON VIEW reading IS 'derived: one row per reading';

-- All readings from one time up to, not including, another.
CREATE FUNCTION readings(from_time timestamptz, to_time timestamptz) RETURNS SETOF reading LANGUAGE sql STABLE AS $$
    SELECT r.ts, r.device_id, r.metric, r.value, r.text, r.unit, r.quality, r.recorded_at,
        r.flags + CASE WHEN c.quality IS NULL THEN 0 ELSE 4 END, r.arrived_at, r.shard, r.batch, r.bucket,
        c.value, c.text, c.quality
    FROM floorlog.stored_readings(from_time, to_time) AS r
    LEFT JOIN floorlog.corrections_between(floorlog.to_us(from_time), floorlog.to_us(to_time), NULL) AS c
        ON c.ts = r.ts AND c.metric = r.metric AND c.device = r.device_id AND r.flags & 1 = 0
$$;

-- The readings of one series from one time up to, not including, another.
CREATE FUNCTION readings(of_device text, of_metric text, from_time timestamptz, to_time timestamptz)
RETURNS SETOF reading LANGUAGE sql STABLE AS $$
    SELECT r.ts, r.device_id, r.metric, r.value, r.text, r.unit, r.quality, r.recorded_at,
        r.flags + CASE WHEN c.quality IS NULL THEN 0 ELSE 4 END, r.arrived_at, r.shard, r.batch, r.bucket,
        c.value, c.text, c.quality
    FROM floorlog.stored_readings(of_device, of_metric, from_time, to_time) AS r
    LEFT JOIN floorlog.corrections_between(floorlog.to_us(from_time), floorlog.to_us(to_time), NULL) AS c
        ON c.ts = r.ts AND c.metric = of_metric AND c.device = of_device AND r.flags & 1 = 0
$$;

-- The size that the log had at a moment: one more than the last position given by then. By bisection:
-- positions are given in the order of time.
CREATE FUNCTION log_size_at(moment timestamptz) RETURNS int8 LANGUAGE plpgsql STABLE AS $$
DECLARE
    low int8 := 0;
    high int8;
    middle int8;
BEGIN
    SELECT coalesce(max(g.position) + 1, 0) INTO high FROM floorlog.log_leaf AS g;
    WHILE low < high LOOP
        middle := (low + high) / 2;
        IF EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE g.position = middle AND g.recorded_at <= moment) THEN
            low := middle + 1;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN low;
END
$$;

-- The last batch of a shard whose entry has its position below a size of the log, 0 for none: by
-- bisection, for a shard's entries are in their order in the log.
CREATE FUNCTION last_known(of_lease int4, log_size int8) RETURNS int8 LANGUAGE plpgsql STABLE AS $$
DECLARE
    low int8 := 0;
    high int8;
    middle int8;
BEGIN
    SELECT l.number INTO high FROM floorlog.lease AS l WHERE l.lease_id = of_lease;
    WHILE low < high LOOP
        middle := (low + high + 1) / 2;
        IF EXISTS (SELECT FROM floorlog.log_leaf AS g
                WHERE (g.kind, g.lease_id, g.id) = (32, of_lease, middle) AND g.position < log_size) THEN
            low := middle;
        ELSE
            high := middle - 1;
        END IF;
    END LOOP;
    RETURN low;
END
$$;

-- The readings of one series as of a size of the log: those of batches whose entries had their
-- position then, beside the corrections that had theirs. What expired since is not there any more.
CREATE FUNCTION readings_as_of(of_device text, of_metric text, from_time timestamptz, to_time timestamptz, log_size int8)
RETURNS SETOF reading LANGUAGE sql STABLE AS $$
    SELECT r.ts, r.device_id, r.metric, r.value, r.text, r.unit, r.quality, r.recorded_at,
        r.flags + CASE WHEN c.quality IS NULL THEN 0 ELSE 4 END, r.arrived_at, r.shard, r.batch, r.bucket,
        c.value, c.text, c.quality
    FROM floorlog.stored_readings(of_device, of_metric, from_time, to_time) AS r
    JOIN (
        SELECT l.lease_id, floorlog.last_known(l.lease_id, log_size) AS number FROM floorlog.lease AS l OFFSET 0
    ) AS k ON k.lease_id = r.shard AND r.batch <= k.number
    LEFT JOIN floorlog.corrections_between(floorlog.to_us(from_time), floorlog.to_us(to_time), log_size) AS c
        ON c.ts = r.ts AND c.metric = of_metric AND c.device = of_device AND r.flags & 1 = 0
$$;

-- The same as of a moment: as of the size that the log had then.
CREATE FUNCTION readings_as_of(of_device text, of_metric text, from_time timestamptz, to_time timestamptz, moment timestamptz)
RETURNS SETOF reading LANGUAGE sql STABLE AS $$
    SELECT * FROM floorlog.readings_as_of(of_device, of_metric, from_time, to_time, floorlog.log_size_at(moment))
$$;

GRANT SELECT ON reading TO floorlog_writer, floorlog_keeper, floorlog_operator, floorlog_reader;

-- The keeper tells of what it did. What may expire is not its to say, nor anybody's but the operator's.
ALTER TABLE audit_event ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON audit_event FOR SELECT USING (true);
CREATE POLICY by_operator ON audit_event FOR INSERT TO floorlog_operator WITH CHECK (true);
CREATE POLICY by_others ON audit_event FOR INSERT
    WITH CHECK (action NOT IN ('retention.set', 'hold.place', 'hold.release'));
-- An event has its place after the entries of all batches that were there before it: who sees a
-- correction in the log sees the reading as well.

CREATE OR REPLACE VIEW unplaced_event AS
SELECT 22::int2 AS kind, c.correction_id AS id, floorlog.digest(c) AS hash, c.recorded_at
FROM floorlog.correction AS c
WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (22, 0, c.correction_id))
UNION ALL
SELECT 23::int2, x.expiry_id, floorlog.digest(x), x.recorded_at
FROM floorlog.expiry AS x
WHERE NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (23, 0, x.expiry_id));

-- Gives events positions, up to so many, as far as no older batch waits for its own; returns how many.
CREATE OR REPLACE FUNCTION sequence_events(leaves_max int4) RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
    added int8;
    horizon timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(4706884);
    SELECT min(b.recorded_at) INTO horizon FROM floorlog.lease AS l
    JOIN floorlog.batch AS b ON b.lease_id = l.lease_id AND b.number = 1 + coalesce((
        SELECT max(g.id) FROM floorlog.log_leaf AS g WHERE g.kind = 32 AND g.lease_id = l.lease_id), 0)
    WHERE l.number >= 1;
    INSERT INTO floorlog.log_leaf (position, kind, id, hash)
    SELECT (SELECT coalesce(max(l.position) + 1, 0) FROM floorlog.log_leaf AS l)
        + row_number() OVER (ORDER BY e.kind, e.id) - 1, e.kind, e.id, e.hash
    FROM floorlog.unplaced_event AS e
    WHERE e.recorded_at < coalesce(horizon, 'infinity') ORDER BY e.kind, e.id LIMIT leaves_max;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;

-- Gives positions to alarm events that have none, however old: sequence() looks an hour back alone.
-- Looks at so many below an event, and returns the least of them: whence to go on, NULL at the end.
CREATE FUNCTION sequence_late(below int8, events_max int4) RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
    least_id int8;
BEGIN
    PERFORM pg_advisory_xact_lock(4706884);
    SELECT min(s.event_id) INTO least_id FROM (
        SELECT e.event_id FROM floorlog.alarm_event AS e WHERE e.event_id < below
        ORDER BY e.event_id DESC LIMIT events_max) AS s;
    INSERT INTO floorlog.log_leaf (position, kind, id, hash)
    SELECT (SELECT coalesce(max(l.position) + 1, 0) FROM floorlog.log_leaf AS l)
        + row_number() OVER (ORDER BY e.event_id) - 1, 21, e.event_id, floorlog.digest(e)
    FROM floorlog.alarm_event AS e
    WHERE e.event_id < below AND e.event_id >= least_id
        AND NOT EXISTS (SELECT FROM floorlog.log_leaf AS g WHERE (g.kind, g.lease_id, g.id) = (21, 0, e.event_id));
    RETURN least_id;
END
$$;
REVOKE ALL ON FUNCTION sequence_late(int8, int4) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sequence_late(int8, int4) TO floorlog_keeper;
-- Charts: a series of numbers by buckets of time, from roll-ups where buckets are long enough.

-- The readings of open rows that stand, of one series, both ends included.
CREATE FUNCTION open_points(of_series int4, from_us int8, to_us int8, OUT at_us int8, OUT value float8, OUT quality int8)
RETURNS SETOF record LANGUAGE sql STABLE AS $$
    SELECT u.at_us, u.value, coalesce(u.quality, 0)
    FROM (
        SELECT o.*, width_bucket(of_series - 1, o.series) AS before, width_bucket(of_series, o.series) AS last
        FROM floorlog.rows_between(from_us, to_us) AS o
        OFFSET 0  -- the bisection is done once a row
    ) AS r
    CROSS JOIN LATERAL (
        SELECT v.*, r.t_min + coalesce(v.ts::int8, v.ts_wide, 0) * r.tick_us AS at_us
        FROM unnest(
            r.ts[r.before + 1:r.last], r.ts_wide[r.before + 1:r.last], r.value[r.before + 1:r.last],
            r.quality[r.before + 1:r.last]
        ) WITH ORDINALITY AS v (ts, ts_wide, value, quality, place)
    ) AS u
    WHERE r.last > r.before AND u.at_us BETWEEN from_us AND to_us
        AND (r.conflict IS NULL OR u.place + r.before <> ALL (r.conflict))
$$;

-- The least, greatest and mean value of a series of numbers in each of at most n equal parts of a
-- span of time, counts of readings that stand, and the share of those that are Good. Extremes are
-- never lost: a point holds every reading of its part, but that a minute (or hour) of a roll-up counts
-- where it begins. Chunks that reach beyond the span are read reading by reading.
CREATE FUNCTION points(of_device text, of_metric text, from_time timestamptz, to_time timestamptz, n int4)
RETURNS TABLE (ts timestamptz, low float8, high float8, mean float8, readings int8, good float8)
LANGUAGE sql STABLE AS $$
    WITH asked AS (
        SELECT s.series_id, floorlog.to_us(from_time) AS from_us, floorlog.to_us(to_time) AS to_us,
            greatest((floorlog.to_us(to_time) - floorlog.to_us(from_time) - 1) / greatest(n, 1) + 1, 1) AS point_us
        FROM floorlog.series AS s WHERE s.device = of_device AND s.metric = of_metric AND s.kind = 0
    ), part AS (
        SELECT a.from_us, a.point_us, u.*
        FROM asked AS a
        CROSS JOIN LATERAL floorlog.chunks_of(a.series_id, a.from_us, a.to_us - 1) AS c
        JOIN floorlog.widths() AS w ON w.width = c.width
        CROSS JOIN LATERAL (
            SELECT CASE
                WHEN c.standing > 0 AND (c.t_min < a.from_us OR c.t_max >= a.to_us OR c.average IS NULL) THEN 0
                WHEN w.length_us <= a.point_us THEN 2 WHEN c.bin_s * 1000000::int8 <= a.point_us THEN 1 ELSE 0
            END AS way OFFSET 0
        ) AS m
        CROSS JOIN LATERAL (
            SELECT c.t_min AS at_us, c.lowest AS low, c.highest AS high, c.average AS mean, c.standing AS readings,
                c.good
            WHERE m.way = 2 AND c.standing > 0
            UNION ALL
            SELECT c.slot * w.length_us + coalesce(b.bin, b.place - 1) * c.bin_s * 1000000::int8,
                coalesce(b.low, b.low_scaled::float8 / c.scale), coalesce(b.high, b.high_scaled::float8 / c.scale),
                b.mean, b.readings, coalesce(b.good, b.readings)
            FROM (
                SELECT generate_subscripts(c.bin_count, 1) AS place, unnest(c.bins) AS bin, unnest(c.bin_low) AS low,
                    unnest(c.bin_high) AS high, unnest(c.bin_low_scaled) AS low_scaled,
                    unnest(c.bin_high_scaled) AS high_scaled, unnest(c.bin_mean) AS mean,
                    unnest(c.bin_count) AS readings, unnest(c.bin_good) AS good
                WHERE m.way = 1
            ) AS b
            UNION ALL
            SELECT u.at_us, u.value, u.value, u.value, 1, (u.quality = 0)::int4
            FROM floorlog.unsealed(c) AS u
            WHERE m.way = 0 AND u.flags & 1 = 0 AND u.at_us >= a.from_us AND u.at_us < a.to_us
        ) AS u
        UNION ALL
        SELECT a.from_us, a.point_us, o.at_us, o.value, o.value, o.value, 1, (o.quality = 0)::int4
        FROM asked AS a CROSS JOIN LATERAL floorlog.open_points(a.series_id, a.from_us, a.to_us - 1) AS o
    )
    SELECT floorlog.from_us(min(p.from_us) + (greatest(p.at_us, p.from_us) - p.from_us) / p.point_us * min(p.point_us)),
        min(p.low), max(p.high), sum(p.mean * p.readings) / sum(p.readings), sum(p.readings),
        sum(p.good)::float8 / sum(p.readings)
    FROM part AS p GROUP BY (greatest(p.at_us, p.from_us) - p.from_us) / p.point_us
    ORDER BY (greatest(p.at_us, p.from_us) - p.from_us) / p.point_us
$$;

-- A series of numbers in buckets of `width_us` from `from_us` on, up to before `to_us`: extremes with
-- their times, mean, count of those that stand, and of those with quality Good. Where bins of a
-- roll-up lie whole in buckets, or whole chunks do, those are taken: the time of an extreme is then
-- that at which its bin or chunk begins. A pair of value and time as an array has one least in one pass.
CREATE FUNCTION trend(of_series int4, from_us int8, to_us int8, width_us int8, OUT bucket int8, OUT low float8,
    OUT low_us int8, OUT high float8, OUT high_us int8, OUT mean float8, OUT count int8, OUT good int8)
RETURNS SETOF record LANGUAGE sql STABLE AS $$
    WITH part AS MATERIALIZED (
        SELECT c.slot, c.width, c.part, c.slot * w.length_us AS slot_us,
            c.lowest IS NOT NULL AND c.average IS NOT NULL AND width_us >= 1800000000
                AND c.t_min >= from_us AND c.t_max < to_us
                AND (c.t_min - from_us) / width_us = (c.t_max - from_us) / width_us AS is_whole,
            coalesce(width_us % (c.bin_s * 1000000::int8) = 0
                AND from_us % (c.bin_s * 1000000::int8) = 0, false) AS is_binned
        FROM floorlog.chunks_of(of_series, from_us, to_us - 1) AS c
        JOIN floorlog.widths() AS w ON w.width = c.width
    ), piece AS (
        SELECT c.t_min AS at_us, c.lowest AS low, c.highest AS high, c.average AS mean, c.standing::int8 AS count,
            c.good::int8 AS good
        FROM part AS p
        CROSS JOIN LATERAL (
            SELECT k.* FROM floorlog.chunk AS k
            WHERE k.series_id = of_series AND k.width = p.width AND k.slot = p.slot AND k.part = p.part
            OFFSET 0  -- by the key, however many the planner expects
        ) AS c
        WHERE p.is_whole AND c.standing > 0
        UNION ALL
        SELECT p.slot_us + coalesce(b.bin, b.place - 1) * c.bin_s * 1000000::int8,
            coalesce(b.low, b.low_scaled::float8 / c.scale), coalesce(b.high, b.high_scaled::float8 / c.scale), b.mean,
            b.count, coalesce(b.good, b.count)
        FROM part AS p
        CROSS JOIN LATERAL (
            SELECT k.* FROM floorlog.chunk AS k
            WHERE k.series_id = of_series AND k.width = p.width AND k.slot = p.slot AND k.part = p.part
            OFFSET 0  -- by the key, however many the planner expects
        ) AS c
        CROSS JOIN LATERAL unnest(c.bins, c.bin_low, c.bin_high, c.bin_low_scaled, c.bin_high_scaled, c.bin_mean,
            c.bin_count, c.bin_good) WITH ORDINALITY
            AS b (bin, low, high, low_scaled, high_scaled, mean, count, good, place)
        WHERE p.is_binned AND NOT p.is_whole
        UNION ALL
        SELECT u.at_us, u.value, u.value, u.value, 1, (u.quality = 0)::int4
        FROM part AS p
        CROSS JOIN LATERAL (
            SELECT q.* FROM floorlog.chunk AS k CROSS JOIN LATERAL floorlog.unsealed(k) AS q
            WHERE k.series_id = of_series AND k.width = p.width AND k.slot = p.slot AND k.part = p.part
            OFFSET 0
        ) AS u
        WHERE NOT p.is_binned AND NOT p.is_whole AND u.flags & 1 = 0
        UNION ALL
        SELECT o.at_us, o.value, o.value, o.value, 1, (o.quality = 0)::int4
        FROM floorlog.open_points(of_series, from_us, to_us - 1) AS o
    )
    SELECT f.bucket, f.lowest[1], f.lowest[2]::int8, f.highest[1], -f.highest[2]::int8, f.mean, f.count, f.good FROM (
        SELECT (p.at_us - from_us) / width_us AS bucket, min(ARRAY[p.low, p.at_us::float8]) AS lowest,
            max(ARRAY[p.high, -p.at_us::float8]) AS highest, sum(p.mean * p.count) / sum(p.count) AS mean,
            sum(p.count)::int8 AS count, sum(p.good)::int8 AS good
        FROM piece AS p WHERE p.at_us >= from_us AND p.at_us < to_us GROUP BY 1
    ) AS f ORDER BY f.bucket
$$;
-- The plant's alarm budget: how far the log was judged, and what its rounds do to alarms.

CREATE TABLE alarm_budget (
    only_row bool NOT NULL DEFAULT true PRIMARY KEY CHECK (only_row),
    position int8 NOT NULL
) WITH (fillfactor = 50);
COMMENT ON COLUMN alarm_budget.only_row IS 'outside: there is one row';
COMMENT ON COLUMN alarm_budget.position IS 'outside: events of alarms before this position of the log were judged';

-- A round's acts, in one transaction with how far it came: those that still stand as the round saw
-- them are suppressed, or come back; what a person did meanwhile stands. `of_detail`: the round, as an
-- audit event; NULL for one that decided nothing. Returns how many alarms changed.
CREATE FUNCTION group_alarms(to_position int8, of_series int4[], of_detectors text[], of_events text[],
    of_reasons text[], of_detail json)
RETURNS int8 LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked floorlog.alarm_event;
    one record;
    stands text;
    changed int8 := 0;
BEGIN
    -- Never past the log, and never back: what was judged is not judged again.
    INSERT INTO floorlog.alarm_budget AS b (position)
    SELECT to_position WHERE to_position BETWEEN 0 AND (SELECT max(l.position) + 1 FROM floorlog.log_leaf AS l)
    ON CONFLICT (only_row) DO UPDATE SET position = excluded.position WHERE b.position < excluded.position;
    PERFORM floorlog.lock_alarms(of_series, of_detectors);
    FOR one IN
        SELECT * FROM unnest(of_series, of_detectors, of_events, of_reasons)
            WITH ORDINALITY AS u (s, d, event, reason, place) ORDER BY u.place
    LOOP
        SELECT a.state INTO stands FROM floorlog.alarm AS a WHERE a.series_id = one.s AND a.detector = one.d;
        CONTINUE WHEN NOT coalesce(CASE one.event
            WHEN 'suppress' THEN stands IN ('unacknowledged', 'returned', 'latched_unacknowledged')
            WHEN 'unsuppress' THEN stands = 'suppressed' END, false);
        asked.series_id := one.s;
        asked.detector := one.d;
        asked.event := one.event;
        asked.at_us := floorlog.to_us(clock_timestamp());
        asked.until_us := 0;
        asked.actor := 'floorlog';
        asked.reason := one.reason;
        asked.lease_id := 0;
        asked.number := 0;
        PERFORM floorlog.step_alarm(asked);
        changed := changed + 1;
    END LOOP;
    IF of_detail IS NOT NULL THEN
        INSERT INTO floorlog.audit_event (actor, action, detail) VALUES ('floorlog', 'alarm.budget', of_detail);
    END IF;
    RETURN changed;
END
$$;
REVOKE ALL ON FUNCTION group_alarms(int8, int4[], text[], text[], text[], json) FROM PUBLIC;

-- Why the budget grouped an alarm that is suppressed; '' where a person suppressed it.
CREATE FUNCTION grouped(of_series int4, of_detector text, state text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN state = 'suppressed' THEN coalesce((
        SELECT CASE WHEN e.actor = 'floorlog' THEN e.reason ELSE '' END FROM floorlog.alarm_event AS e
        WHERE e.series_id = of_series AND e.detector = of_detector AND e.event = 'suppress'
        ORDER BY e.event_id DESC LIMIT 1), '') ELSE '' END
$$;

GRANT SELECT ON alarm_budget TO floorlog_keeper, floorlog_operator, floorlog_reader;
GRANT EXECUTE ON FUNCTION group_alarms(int8, int4[], text[], text[], text[], json) TO floorlog_keeper;
