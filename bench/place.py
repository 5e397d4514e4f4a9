"""Where the benchmark runs: real local services, a fresh record and a fresh stream each time."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import meter
import psycopg

from floorlog.local.supervisor import Supervisor
from floorlog.store.migrate import LOGIN_ROLES, migrate

REGION = "eu-west-2"
SHARDS = 2
CALL_RECORDS = 500
STORED = "SELECT coalesce(sum(stored), 0)::int8 FROM floorlog.lease"
FLOOR_STORED = "SELECT count(*) FROM floor.reading"
ROWS = """SELECT device_id, metric, (extract(epoch FROM ts) * 1000000)::int8, value
    FROM floorlog.reading"""
FLOOR_ROWS = """SELECT s.device, s.metric, (extract(epoch FROM r.ts) * 1000000)::int8, r.value
    FROM floor.reading AS r JOIN floor.series AS s ON s.id = r.series"""
SIZE = """SELECT sum(pg_total_relation_size(c.oid))::int8
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'floorlog' AND c.relkind = 'r' AND c.relname ~ '^(open_row|batch)_'"""
FLOOR_SIZE = "SELECT pg_total_relation_size('floor.reading')"
# A commit is stamped just before its flush to disk. Of readings from a time (µs) on.
LATENCY = """SELECT l.ms FROM (
        SELECT extract(epoch FROM pg_xact_commit_timestamp(o.xmin)) * 1000 - u.ts / 1000.0 AS ms,
            u.ts
        FROM floorlog.open_row AS o CROSS JOIN LATERAL (
            SELECT o.t_min + coalesce(v.ts::int8, v.wide, 0) * o.tick_us AS ts
            FROM unnest(o.ts, o.ts_wide, o.value) AS v (ts, wide, value)) AS u) AS l
    WHERE l.ts >= %s"""
FLOOR_LATENCY = """SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - ts) * 1000
    FROM floor.reading WHERE ts >= to_timestamp(%s / 1000000.0)"""


class Place:
    """The services, and a connection whose own cost is left out of every account."""

    def __init__(self, supervisor: Supervisor, endpoint: str, directory: Path) -> None:
        """Connect as superuser; have commits stamped."""
        self.directory = directory
        self._supervisor = supervisor
        services = supervisor.services
        self.dsn = services.postgres_dsn()
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        supervisor.restart("postgres")
        self.postmaster = supervisor.pid("postgres")
        self.database = psycopg.connect(self.dsn, autocommit=True)
        self.database.execute("SET timezone = 'UTC'")
        self._endpoint = endpoint
        self.environment = {**os.environ, **self.variables("floorlog_writer")}
        self.passwords = {role: services.postgres.password(role) for role in LOGIN_ROLES}
        self.kinesis = boto3.client(
            "kinesis", endpoint_url=endpoint, region_name=REGION,
            aws_access_key_id="local", aws_secret_access_key="local",
        )  # fmt: skip

    def variables(self, role: str) -> dict[str, str]:
        """The variables by which a process of a role finds these services, and nothing besides."""
        found = self._supervisor.services.environment(role)
        return {**found, "AWS_ENDPOINT_URL_KINESIS": self._endpoint}

    def value(self, query: str) -> int:
        """The one value of a query."""
        row = self.database.execute(query).fetchone()
        assert row is not None
        return row[0]

    def fresh_record(self) -> None:
        """Both sides' tables anew and empty, and the write-ahead log settled."""
        self.database.execute("SET client_min_messages = warning")
        self.database.execute("DROP SCHEMA IF EXISTS floorlog CASCADE")
        self.database.execute("DROP SCHEMA IF EXISTS floor CASCADE")
        migrate(self.dsn, passwords=self.passwords)
        self.database.execute("CHECKPOINT")

    def fresh_stream(self, name: str) -> None:
        """An empty stream."""
        self.kinesis.create_stream(StreamName=name, ShardCount=SHARDS)
        self.kinesis.get_waiter("stream_exists").wait(
            StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20}
        )

    def put(self, name: str, records: Sequence[tuple[bytes, str]]) -> None:
        """Put records in their order; each must be taken."""
        for begin in range(0, len(records), CALL_RECORDS):
            call = records[begin : begin + CALL_RECORDS]
            entries = [{"Data": data, "PartitionKey": key} for data, key in call]
            answer = self.kinesis.put_records(StreamName=name, Records=entries)
            assert answer["FailedRecordCount"] == 0, answer

    def postgres_seconds(self) -> float:
        """What PostgreSQL has cost, without this connection's backend."""
        return meter.tree_seconds(self.postmaster, {self.database.info.backend_pid})

    def settle(self, backends: int = 1) -> None:
        """Wait until only our own backends are left, so that all are in the account."""
        deadline = time.monotonic() + 10
        query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        while self.value(query) > backends and time.monotonic() < deadline:
            time.sleep(0.05)

    def wait_stored(self, query: str, count: int, subject: meter.Subject, seconds: float) -> None:
        """Wait until so many readings are committed. Raises RuntimeError when they are not."""
        deadline = time.monotonic() + seconds
        while self.value(query) < count:
            if time.monotonic() > deadline:
                subject.stop()
                said = subject.log.read_text("utf-8", "replace")[-2000:]
                raise RuntimeError(f"only {self.value(query)} of {count} were stored: {said}")
            time.sleep(0.1)

    def rows(self, query: str) -> Counter[tuple[Any, ...]]:
        """The multiset of what is stored."""
        return Counter(self.database.execute(query).fetchall())


@contextmanager
def open_place() -> Iterator[Place]:
    """Start everything below a directory of its own; ends it all afterwards."""
    with tempfile.TemporaryDirectory(prefix="floorlog-bench-", dir="/var/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        supervisor = Supervisor(directory / "data", only={"postgres", "valkey"})
        with supervisor:
            # Our own server, not the supervisor's: a stream is filled without its limits.
            server = subprocess.Popen(
                [
                    sys.executable, "-m", "floorlog.local.kinesis", "--limits", "off",
                    "--data", str(directory / "kinesis"),
                ],
                stdout=subprocess.PIPE,
            )  # fmt: skip
            try:
                assert server.stdout is not None
                port = json.loads(server.stdout.readline())["port"]
                yield Place(supervisor, f"http://127.0.0.1:{port}", directory)
            finally:
                server.terminate()
                server.wait(10)
