"""What it costs when readings of a series come through two shards instead of one.

    python bench/two_shards.py [--rounds N]

The same 100,000 readings of 100 devices, a frame of three values a second, either each device in
its shard, or each frame in the other shard than the one before. One worker, services of its own.
Prints one JSON object: seconds of CPU of worker and PostgreSQL, and transactions, for both ways,
medians of the rounds. Every round checks that all was stored, nothing twice.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import boto3
import meter
import psycopg

from floorlog.local.supervisor import Supervisor
from floorlog.local.up import add_workers, open_record, open_stream
from floorlog.store.migrate import READER
from floorlog.store.reader import Reader

DEVICES, SECONDS, METRICS = 100, 334, ("temperature", "pressure", "current")
READINGS = DEVICES * SECONDS * len(METRICS)
HASHES = ("0", str(3 << 126))
CALL_RECORDS = 500
T0_S = 1_767_225_600


def records(*, astray: bool) -> list[dict[str, object]]:
    """The frames as PutRecords takes them, with the shard of each."""
    found: list[dict[str, object]] = []
    for second in range(SECONDS):
        for n in range(DEVICES):
            values = dict.fromkeys(METRICS, 20 + (second * 31 + n) % 97 / 10)
            frame = {"device_id": f"d{n}", "ts": T0_S + second, "values": values}
            found.append(
                {
                    "Data": json.dumps(frame).encode(),
                    "PartitionKey": f"{n}",
                    "ExplicitHashKey": HASHES[(n + second if astray else n) % 2],
                }
            )
    return found


def fill(stream: str, entries: list[dict[str, object]]) -> None:
    """Put all of them, again where the limits refuse one."""
    client = boto3.client("kinesis", region_name="eu-west-2")
    waiting = entries
    while waiting:
        refused: list[dict[str, object]] = []
        for begin in range(0, len(waiting), CALL_RECORDS):
            part = waiting[begin : begin + CALL_RECORDS]
            answer = client.put_records(StreamName=stream, Records=part)
            said = zip(part, answer["Records"], strict=True)
            refused += [entry for entry, result in said if "ErrorCode" in result]
        waiting = refused
        time.sleep(0.2 if waiting else 0)


def measure(*, astray: bool) -> dict[str, float]:
    """One round: the stream is filled, then read by one worker."""
    with tempfile.TemporaryDirectory(prefix="floorlog-two-") as name:
        Path(name).chmod(0o755)
        supervisor = Supervisor(Path(name) / "data")
        with supervisor as services:
            open_record(services)
            open_stream(services, shards=2)
            fill("floorlog", records(astray=astray))
            reader = Reader(services.postgres_dsn(READER))
            postmaster = supervisor.pid("postgres")
            before = meter.tree_seconds(postmaster)
            supervisor.wait(add_workers(supervisor, services, 1)[0])
            deadline = time.monotonic() + 300
            while (status := reader.status()).total.received < READINGS:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert (status.total.stored, status.total.duplicate) == (READINGS, 0)
            with psycopg.connect(services.postgres_dsn()) as connection:
                row = connection.execute("SELECT count(*) FROM floorlog.batch").fetchone()
            assert row is not None
            found = {
                "worker_cpu_seconds": meter.own_seconds(supervisor.pid("worker-1")),
                "postgres_cpu_seconds": meter.tree_seconds(postmaster) - before,
                "batches": float(row[0]),
            }
            reader.close()
    return found


def main() -> None:
    """Both ways in turns."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    ways: dict[str, list[dict[str, float]]] = {"one": [], "two": []}
    for _ in range(chosen.rounds):
        for way, rounds in ways.items():
            rounds.append(measure(astray=way == "two"))
    print(
        json.dumps(
            {
                way: {key: round(statistics.median(r[key] for r in rounds), 2) for key in rounds[0]}
                for way, rounds in ways.items()
            }
            | {"readings": READINGS}
        )
    )


if __name__ == "__main__":
    main()
