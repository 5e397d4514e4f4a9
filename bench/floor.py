"""The floor: the fastest consumer that fits a page. No leases, no validation, no detectors.

`python floor.py STREAM DSN` reads every shard from its checkpoint to its end; with `--follow MS` it
goes on, pausing so long at the tip, until SIGTERM. Batch and checkpoint share a transaction.
"""

import signal
import sys
import threading

import boto3
import numpy as np
import orjson
import psycopg

BATCH_RECORDS = 10_000  # as the worker's
EPOCH_US = 946_684_800_000_000  # PostgreSQL counts from 2000
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
ROW = np.dtype(
    [("fields", ">i2"), ("n1", ">i4"), ("series", ">i4"), ("n2", ">i4"), ("ts", ">i8"),
     ("n3", ">i4"), ("value", ">f8")]
)  # fmt: skip
SCHEMA = """
CREATE SCHEMA IF NOT EXISTS floor;
CREATE TABLE IF NOT EXISTS floor.series (id int4 PRIMARY KEY, device text, metric text,
    UNIQUE (device, metric));
CREATE TABLE IF NOT EXISTS floor.checkpoint (shard text PRIMARY KEY, sequence text);
CREATE TABLE IF NOT EXISTS floor.reading (series int4, ts timestamptz, value float8,
    PRIMARY KEY (series, ts));
"""


class Floor:
    """Reads a stream into keyed rows."""

    def __init__(self, stream: str, dsn: str) -> None:
        """Connect, and load what is known."""
        self.stream = stream
        self.kinesis = boto3.client("kinesis")
        self.database = psycopg.connect(dsn)
        self.database.execute(SCHEMA)
        rows = self.database.execute("SELECT device, metric, id FROM floor.series")
        self.series = {(device, metric): number for device, metric, number in rows}
        self.database.commit()

    def iterator(self, shard: str) -> str:
        """Where the shard's checkpoint stands."""
        found = self.database.execute(
            "SELECT sequence FROM floor.checkpoint WHERE shard = %s", [shard]
        ).fetchone()
        self.database.commit()
        place = {"ShardIteratorType": "TRIM_HORIZON"}
        if found:
            place = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": found[0]
            }  # fmt: skip
        return self.kinesis.get_shard_iterator(StreamName=self.stream, ShardId=shard, **place)[
            "ShardIterator"
        ]

    def register(self, keys: list[tuple[str, str]]) -> None:
        """Give new series their ids, in the transaction of their first batch."""
        if fresh := list(dict.fromkeys(key for key in keys if key not in self.series)):
            first = len(self.series) + 1
            self.series.update((key, first + place) for place, key in enumerate(fresh))
            self.database.execute(
                "INSERT INTO floor.series SELECT * FROM unnest(%s::int4[], %s::text[], %s::text[])",
                [list(range(first, first + len(fresh))), *map(list, zip(*fresh, strict=True))],
            )

    def store(self, shard: str, records: list[dict]) -> None:
        """One transaction: the readings and the checkpoint."""
        loads, series = orjson.loads, self.series
        readings = [loads(record["Data"]) for record in records]
        rows = np.empty(len(readings), ROW)
        rows["fields"], rows["n1"], rows["n2"], rows["n3"] = 3, 4, 8, 8
        keys = [(reading["device_id"], reading["metric"]) for reading in readings]
        self.register(keys)
        rows["series"] = [series[key] for key in keys]
        times = np.array([reading["ts"][:-1] for reading in readings], "M8[us]")
        rows["ts"] = times.astype(np.int64) - EPOCH_US
        rows["value"] = [reading["value"] for reading in readings]
        cursor = self.database.cursor()
        if "--no-rows" not in sys.argv:  # to see what the transactions alone cost
            with cursor.copy("COPY floor.reading FROM STDIN (FORMAT binary)") as copy:
                copy.write(HEADER + rows.tobytes() + TRAILER)
        cursor.execute(
            "INSERT INTO floor.checkpoint VALUES (%s, %s) ON CONFLICT (shard) DO UPDATE"
            " SET sequence = excluded.sequence",
            [shard, records[-1]["SequenceNumber"]],
        )
        self.database.commit()

    def run(self, follow_s: float | None, stopping: threading.Event) -> None:
        """Read all shards to their ends, or until asked to stop."""
        shards = self.kinesis.list_shards(StreamName=self.stream)["Shards"]
        places = {shard["ShardId"]: self.iterator(shard["ShardId"]) for shard in shards}
        while places and not stopping.is_set():
            at_tip = True
            for shard, place in list(places.items()):
                answer = self.kinesis.get_records(ShardIterator=place, Limit=BATCH_RECORDS)
                if answer["Records"]:
                    self.store(shard, answer["Records"])
                behind = answer["MillisBehindLatest"] > 0
                at_tip = at_tip and not behind
                places[shard] = answer.get("NextShardIterator")
                if not places[shard] or (follow_s is None and not behind):
                    del places[shard]
            if follow_s is not None and at_tip:
                stopping.wait(follow_s)


if __name__ == "__main__":
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    follow_s = int(sys.argv[4]) / 1000 if sys.argv[3:4] == ["--follow"] else None
    Floor(sys.argv[1], sys.argv[2]).run(follow_s, stopping)
