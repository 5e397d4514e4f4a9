"""A PostgreSQL of each version, a fresh record for every test, and batches to store in it."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from floorlog.core.protocol import Commit, Committed, Lease, Register, Shard, Survey, Take
from floorlog.core.reading import Batch, Counts, Kind, Readings
from floorlog.core.series import SeriesKey
from floorlog.local.supervisor import Supervisor
from floorlog.store.migrate import LOGIN_ROLES, READER, WRITER, migrate
from floorlog.store.postgres import Store
from floorlog.store.reader import Reader

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
HASHES = 2**128
T0 = 1_767_225_600_000_000  # 2026-01-01, µs UTC
BORN = datetime(2026, 1, 1, tzinfo=UTC)
DATABASE = "record"
# Quicker than a database a test, whose making and dropping wait for the disk.
EMPTY = """
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT c.oid::regclass::text FROM pg_class AS c
        WHERE c.relnamespace = 'floorlog'::regnamespace AND c.relkind IN ('r', 'p')
            AND NOT c.relispartition AND c.relname NOT IN ('schema_migration', 'stream', 'series')
    LOOP
        EXECUTE format('DELETE FROM %s', name);
    END LOOP;
    DELETE FROM floorlog.stream;
    DELETE FROM floorlog.series;
    INSERT INTO floorlog.state VALUES (0, 'false'), (1, 'true');
    INSERT INTO floorlog.catalogue (version, body) VALUES (0, '{}');
    ALTER TABLE floorlog.stream ALTER stream_id RESTART;
    ALTER TABLE floorlog.lease ALTER lease_id RESTART;
    ALTER TABLE floorlog.series ALTER series_id RESTART;
END
$$
"""


@dataclass
class Server:
    """A running PostgreSQL: connection strings by role and database, and a migrated template."""

    dsn: Callable[..., str]
    passwords: dict[str, str]
    connections: dict[str, psycopg.Connection] = field(default_factory=dict)

    def run(self, database: str, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser."""
        if database not in self.connections:
            self.connections[database] = psycopg.connect(
                self.dsn(database=database), autocommit=True
            )
        cursor = self.connections[database].execute(statement, arguments or None)
        return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        for connection in self.connections.values():
            connection.close()
        self.connections.clear()


def _server(programs: Path | None) -> Iterator[Server]:
    directory = Path(tempfile.mkdtemp(prefix="floorlog-store-"))
    directory.chmod(0o755)
    try:
        with Supervisor(
            directory / "data", only={"postgres"}, postgres_programs=programs
        ) as services:
            address = services.postgres
            passwords = {role: address.password(role) for role in LOGIN_ROLES}
            server = Server(services.postgres_dsn, passwords)
            server.run("postgres", f"CREATE DATABASE {DATABASE}")
            migrate(server.dsn(database=DATABASE), passwords=passwords)
            yield server
            server.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def server_18() -> Iterator[Server]:
    yield from _server(None)


@pytest.fixture(scope="session")
def server_15(not_run: Callable[[str], Any]) -> Iterator[Server]:
    if not (DEBIAN_15 / "postgres").exists():
        not_run("PostgreSQL 15 is not installed (Debian's package postgresql-15)")
    yield from _server(DEBIAN_15)


@pytest.fixture(params=["18", pytest.param("15", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest) -> Server:
    """Every test runs on the oldest and the newest version that must do."""
    return request.getfixturevalue(f"server_{request.param}")


def batch_of(
    lease: Lease,
    number: int,
    rows: Sequence[tuple[int, int, float]] = (),
    *,
    quality: int = 0,
    arrival_s: int | None = None,
    **changes: Any,
) -> Batch:
    """A batch of (series, µs after T0, value), homed in the lease; sequences are 10 apart."""
    rows = sorted(rows, key=lambda row: row[:2])
    count = len(rows)
    clock_s = changes.get("clock_s", T0 // 1_000_000 + number)
    arrived = np.full(count, clock_s if arrival_s is None else arrival_s, np.int64)
    nought = np.zeros(count, np.int32)
    readings = Readings(
        nought,
        T0 + np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
        np.full(count, quality, np.uint32),
        arrived,
        nought,
        nought,
    )
    plain = Batch(
        lease_id=lease.lease_id,
        epoch=lease.epoch,
        number=number,
        version=lease.version,
        checkpoint=(number - 1) * 10 if number > 1 else -1,
        sequence=number * 10,
        clock_s=clock_s,
        catalogue=0,
        counts=Counts(1, count, count),
        series=np.array([row[0] for row in rows], np.int32),
        readings=readings,
        conflict=np.zeros(count, np.bool_),
        late=np.zeros(count, np.bool_),
        home=np.full(count, lease.lease_id, np.int32),
    )
    return replace(plain, **changes)


@pytest.fixture(scope="session")
def batch_maker() -> Callable[..., Batch]:
    """Give batch_of to tests that need no database."""
    return batch_of


@dataclass
class Record:
    """A fresh database, and what tests do with it."""

    server: Server
    database: str
    stores: list[Store] = field(default_factory=list)
    t0: int = T0

    def batch(self, *arguments: Any, **options: Any) -> Batch:
        """See batch_of."""
        return batch_of(*arguments, **options)

    def dsn(self, role: str = WRITER) -> str:
        return self.server.dsn(role, self.database)

    def run(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser."""
        return self.server.run(self.database, statement, *arguments)

    def connect(self, role: str) -> psycopg.Connection[Any]:
        """A session of a role, each statement its own transaction."""
        return psycopg.connect(self.dsn(role), autocommit=True)

    def run_as(self, role: str, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Run a statement as a role."""
        with self.connect(role) as connection:
            return connection.execute(statement, arguments).fetchall()

    def store(
        self,
        worker: str = "ann",
        *,
        dsn: str | None = None,
        arn: str = "arn:plant",
        created_at: datetime = BORN,
        lease_s: float = 5.0,
        series_max: int = 1000,
    ) -> Store:
        made = Store(
            dsn or self.dsn(),
            stream_arn=arn,
            created_at=created_at,
            worker=worker,
            lease_s=lease_s,
            series_max=series_max,
        )
        self.stores.append(made)
        return made

    def shards(self, count: int) -> tuple[Shard, ...]:
        """Shards that share the hashes evenly."""
        step = HASHES // count
        return tuple(
            Shard(f"shard-{n}", (), n * step, (n + 1) * step - 1 if n < count - 1 else HASHES - 1)
            for n in range(count)
        )

    def begin(self, worker: str = "ann", shards: int = 1, **options: Any) -> tuple[Store, Lease]:
        """A store that has taken the first free lease of a stream of so many shards."""
        store = self.store(worker, **options)
        view = store.survey(Survey(self.shards(shards)))
        lease = next(
            taken
            for one in view.leases
            if one.owner is None
            if isinstance(taken := store.take(Take(one.lease_id)), Lease)
        )
        return store, lease

    def register(
        self, store: Store, lease: Lease, count: int = 3, prefix: str = "press", **changes: Any
    ) -> list[int]:
        """Series ids of so many new series of numbers."""
        kind = changes.get("kind", Kind.NUMBER)
        keys = tuple(
            SeriesKey(f"{prefix}-{n}", "level", kind, "Cel", f"{prefix}-{n}") for n in range(count)
        )
        reply = store.register(Register(lease, keys, ()))
        return [series.series_id for series in reply.series]

    def commit(self, store: Store, batch: Batch, **options: Any) -> Committed:
        reply = store.commit(Commit(batch, **options))
        assert isinstance(reply, Committed), reply
        return reply

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        reader = Reader(self.dsn(READER))
        yield reader
        reader.close()

    def values(self) -> list[tuple[str, int, float]]:
        """Every stored reading as (device, µs after T0, value), sorted."""
        rows = self.run("SELECT device_id, floorlog.to_us(ts), value FROM floorlog.reading")
        return sorted((device, us - T0, value) for device, us, value in rows)


@pytest.fixture
def record(server: Server) -> Iterator[Record]:
    """A record that nobody has written to yet: the same database each time, emptied."""
    server.run(DATABASE, EMPTY)
    made = Record(server, DATABASE)
    yield made
    for store in made.stores:
        store.close()
