"""Real services, a record and a stream for each test, and workers as processes of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from botocore.config import Config
from botocore.session import Session
from cutter import Cutter

from floorlog import config
from floorlog.local.child import leashed
from floorlog.local.ports import LOOPBACK
from floorlog.local.services import REGION, Services
from floorlog.local.supervisor import Supervisor
from floorlog.store.migrate import LOGIN_ROLES, WRITER, migrate

LEASE_SECONDS = 3.0
READY_SECONDS = 20.0


def wait_until(what: str, found: Callable[[], Any], seconds: float = READY_SECONDS) -> Any:
    """Ask until the answer is true, and return it; a database that is away answers later."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            if last := found():
                return last
        except psycopg.OperationalError as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:.0f} s: {what}; the last answer was {last!r}")


@dataclass
class Stand:
    """Where a lease stands."""

    owner: str | None
    epoch: int
    number: int
    ended: bool


@dataclass
class Site:
    """One record and one stream on shared services, with the workers that read it."""

    supervisor: Supervisor
    services: Services
    name: str
    cutter: Cutter
    directory: Path
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    started: int = 0
    fenced: bool = True
    _connection: psycopg.Connection[Any] | None = None

    def open(self, shards: int) -> None:
        """Make the record and the stream."""
        with psycopg.connect(self.services.postgres_dsn(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.name}")
        address = self.services.postgres
        assert address is not None
        passwords = {role: address.password(role) for role in LOGIN_ROLES}
        migrate(self.dsn(), passwords=passwords)
        client = self.client()
        client.create_stream(StreamName=self.name, ShardCount=shards)
        wait_until("the stream is active", self.is_active)

    def dsn(self, role: str = "postgres") -> str:
        """The record, without the cutter between."""
        return self.services.postgres_dsn(role, self.name)

    def client(self) -> Any:
        """A boto client of the stream server that tries once."""
        settings = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5)
        return Session().create_client(
            "kinesis",
            region_name=REGION,
            endpoint_url=self.services.kinesis_endpoint,
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=settings,
        )

    def is_active(self) -> bool:
        """Whether the stream takes orders."""
        answer = self.client().describe_stream_summary(StreamName=self.name)
        return answer["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE"

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the record as its superuser; raises OperationalError while it is away."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self.dsn(), autocommit=True, connect_timeout=5)
        try:
            return self._connection.execute(statement).fetchall()
        except psycopg.OperationalError:
            self._connection.close()
            raise

    def act(self, statement: str) -> None:
        """Have the superuser do something to the record."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(statement)

    def drop_fence(self) -> None:
        """Make the record take every batch, whoever sends it: a protocol that is wrong."""
        query = """SELECT pg_get_functiondef(oid) FROM pg_proc
            WHERE pronamespace = 'floorlog'::regnamespace AND proname = 'advance'
            ORDER BY pronargs DESC LIMIT 1"""
        ((text,),) = self.rows(query)  # the one with all arguments: the shorter one calls it
        begin = text.index("AND l.epoch = of_epoch")
        end = text.index("RETURNING l.wanted_by", begin)
        self.act(text[:begin] + text[end:])
        self.fenced = False

    def stands(self) -> dict[str, Stand]:
        """Every lease of the stream."""
        query = "SELECT shard_id, owner, epoch, number, ended FROM floorlog.lease ORDER BY lease_id"
        return {shard: Stand(*rest) for shard, *rest in self.rows(query)}

    def held(self, name: str) -> dict[str, Stand]:
        """The leases that a worker holds."""
        return {
            shard: stand
            for shard, stand in wait_until("the record answers", self.stands).items()
            if stand.owner is not None and stand.owner.startswith(f"{name}-")
        }

    def add_worker(self, **settings: str) -> str:
        """Start a worker, with further variables; returns its name."""
        self.started += 1
        name = f"w{self.started}"
        variables = {
            **self.services.environment(WRITER, self.name),
            "DB_SECRET_ARN": f"file:{self._secret()}",
            "FLOORLOG_LEASE_SECONDS": str(LEASE_SECONDS),
            "FLOORLOG_WORKER_ID": name,
            **settings,
        }
        # Killed by the kernel with this process, however that ends.
        argv = leashed([sys.executable, "-m", "floorlog", "worker"], None, signal.SIGKILL)
        with self.log(name).open("wb") as log:
            self.workers[name] = subprocess.Popen(
                argv, env=config.inherited(variables), stdout=log, stderr=log
            )
        return name

    def log(self, name: str) -> Path:
        """What a worker says."""
        return self.directory / f"{self.name}-{name}.log"

    def signal(self, name: str, number: int) -> None:
        """Signal a worker that must be alive."""
        assert self.workers[name].poll() is None, f"{name} is gone: {self.log(name).read_text()}"
        os.kill(self.workers[name].pid, number)

    def end_worker(self, name: str, number: int, seconds: float = 10.0) -> int:
        """Signal a worker and wait for its end; returns its exit code."""
        self.signal(name, number)
        return self.workers.pop(name).wait(seconds)

    def wait_held(self, shards: int = 2) -> None:
        """Wait until that many open leases have a living owner among the workers, fairly spread."""

        def spread() -> bool:
            owners = {
                stand.owner.rpartition("-")[0] if stand.owner else ""
                for stand in self.stands().values()
                if not stand.ended
            }
            return owners == set(self.workers) and len(owners) == min(shards, len(self.workers))

        wait_until("each worker holds a lease", spread)

    def wait_progress(self, seconds: float = READY_SECONDS) -> None:
        """Wait until every open lease has committed once more."""
        before = wait_until("the record answers", self.stands)

        def went_on() -> bool:
            now = self.stands()
            return all(now[shard].number > old.number or old.ended for shard, old in before.items())

        wait_until("every shard goes on", went_on, seconds)

    def wait_stored(self, readings: int, seconds: float = 60.0) -> None:
        """Wait until at least so many readings are stored."""
        wait_until(f"{readings} stored", lambda: self.count("stored") >= readings, seconds)

    def wait_received(self, readings: int, seconds: float = 60.0) -> None:
        """Wait until at least so many readings are counted, stored or not."""
        wait_until(f"{readings} received", lambda: self.count("received") >= readings, seconds)

    @staticmethod
    def now_ms() -> int:
        """The time, ms UTC."""
        return time.time_ns() // 1_000_000

    def balance(self) -> list[tuple[Any, ...]]:
        """Shards whose counts do not add up; none, in a sound record."""
        return self.rows(
            "SELECT shard_id, received, stored, rejected, duplicate FROM floorlog.lease"
            " WHERE received <> stored + rejected + duplicate"
        )

    def count(self, column: str) -> int:
        """A count, summed over all shards."""
        return int(self.rows(f"SELECT coalesce(sum({column}), 0) FROM floorlog.lease")[0][0])

    def tell(self) -> None:
        """Print what helps to find out why a campaign failed."""
        with suppress(psycopg.Error):
            for row in self.rows("SELECT * FROM floorlog.lease ORDER BY lease_id"):
                print(row)
        for path in sorted(self.directory.glob(f"{self.name}-*.log")):
            print(path.name, *path.read_text().splitlines()[-30:], sep="\n  ")

    def close(self) -> None:
        """End the workers and the cutter."""
        for worker in self.workers.values():
            worker.kill()
        for worker in self.workers.values():
            worker.wait(10)
        self.cutter.close()
        if self._connection is not None:
            self._connection.close()

    def _secret(self) -> Path:
        address = self.services.postgres
        assert address is not None
        path = self.directory / f"{self.name}.json"
        secret = {
            "username": WRITER,
            "password": address.password(WRITER),
            "host": LOOPBACK,
            "port": self.cutter.port,
            "dbname": self.name,
        }
        path.touch(mode=0o600)
        path.write_bytes(msgspec.json.encode(secret))
        return path


@contextmanager
def site(supervisor: Supervisor, name: str, shards: int = 2):
    """A fresh record and stream; everything of it ends with the block."""
    services = supervisor.services
    assert services.postgres is not None
    made = Site(supervisor, services, name, Cutter(services.postgres.port), services.directory)
    try:
        made.open(shards)
        yield made
    except BaseException:
        made.tell()
        raise
    finally:
        made.close()
