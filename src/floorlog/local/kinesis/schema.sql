-- The stream server's data: streams, the trees of their shards, and pages of records.
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS stream (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    status TEXT NOT NULL,
    ready_ms INTEGER NOT NULL,
    retention_hours INTEGER NOT NULL,
    key_id TEXT,
    horizon_ms INTEGER NOT NULL,
    next_number INTEGER NOT NULL,
    tags TEXT NOT NULL
);

-- Hash keys are 128-bit numbers, kept as decimal text. AUTOINCREMENT: a shard's key, and with it the row ids
-- of its pages, is never given out twice.
CREATE TABLE IF NOT EXISTS shard (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    stream_key INTEGER NOT NULL,
    number INTEGER NOT NULL,
    start_hash TEXT NOT NULL,
    end_hash TEXT NOT NULL,
    parents TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    sequence_created_s INTEGER NOT NULL,
    closed_ms INTEGER,
    next_index INTEGER NOT NULL,
    last_arrival_ms INTEGER NOT NULL
);

-- id = shard.key << 40 | index of the page's first record; body = MessagePack [[partition key, data], …].
CREATE TABLE IF NOT EXISTS page (
    id INTEGER PRIMARY KEY,
    shard_key INTEGER NOT NULL,
    arrival_ms INTEGER NOT NULL,
    encrypted INTEGER NOT NULL,
    body BLOB NOT NULL
);

CREATE INDEX IF NOT EXISTS page_arrival ON page (shard_key, arrival_ms);
