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
