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
COMMENT ON COLUMN shard_state.lease_id IS 'derived: the shard';
COMMENT ON COLUMN shard_state.number IS 'derived: the batch after which the state was so';
COMMENT ON COLUMN shard_state.state IS 'derived: detectors and marks of the shard';
COMMENT ON COLUMN shard_state.recorded_at IS 'derived: when it was stored';
