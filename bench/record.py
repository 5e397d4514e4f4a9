"""What the record costs: bytes a reading as it grows, and the speed of sealing, verifying, reading.

python bench/record.py [--json] [--hours 3] [--server 15]

Hours of a plant's life are written in minutes: batches as a worker commits them, each half hour
sealed when it is over, entries sequenced, tables vacuumed as autovacuum would.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import workload

from floorlog.core.ledger.batch import Registry, root_of
from floorlog.core.protocol import Commit, Committed, Lease, Register, Shard, Survey, Take
from floorlog.core.reading import Batch, Counts, Kind, Readings
from floorlog.core.series import SeriesKey
from floorlog.local.supervisor import Supervisor
from floorlog.record.anchor import open_anchor
from floorlog.record.rows import QUERIES
from floorlog.record.seal import Sealer
from floorlog.record.sequence import Sequencer
from floorlog.record.verify import Anchored, check
from floorlog.store.link import Link
from floorlog.store.migrate import KEEPER, LOGIN_ROLES, READER, WRITER, migrate
from floorlog.store.postgres import Store

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
SHARDS = 2
SLOT_S = 1_800
BORN = datetime(2026, 1, 1, tzinfo=UTC)
TABLES = {
    "open": ("open_row",),
    "chunks": ("chunk",),
    "ledger": ("batch", "log_leaf"),
}
SIZE = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::int8 FROM pg_class AS c
WHERE c.relnamespace = 'floorlog'::regnamespace AND c.relkind IN ('r', 'm')
    AND (c.relname = ANY (%(names)s) OR c.oid IN (
        SELECT i.inhrelid FROM pg_inherits AS i JOIN pg_class AS p ON p.oid = i.inhparent
        WHERE p.relname = ANY (%(names)s)))
"""


@dataclass(frozen=True)
class Profile:
    """How a plant sends: seconds between two readings of a series, and between two commits."""

    name: str
    every_s: int = 1
    commit_s: int = 1
    series: int = workload.SERIES
    is_rounded: bool = True


@dataclass
class Grown:
    """Readings and bytes of a record at one moment."""

    readings: int
    bytes_by: dict[str, int]


@dataclass
class Plant:
    """A record that is written to, and its sessions."""

    dsn: Any
    profile: Profile
    registry: Registry = field(default_factory=Registry)
    written: int = 0
    sealed_cpu_s: float = 0.0
    sealed_readings: int = 0
    step_ms: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(
            self.dsn(WRITER), stream_arn="arn:bench", created_at=BORN, worker="bench",
            lease_s=600, series_max=10_000,
        )  # fmt: skip
        half = 2**127
        shards = tuple(Shard(f"shard-{n}", (), n * half, (n + 1) * half - 1) for n in range(SHARDS))
        view = self.store.survey(Survey(shards))
        taken = [self.store.take(Take(one.lease_id)) for one in view.leases]
        self.leases = [lease for lease in taken if isinstance(lease, Lease)]
        self.numbers = [0] * SHARDS
        self.ids: list[np.ndarray] = []
        for n, lease in enumerate(self.leases):
            own = [s for s in range(self.profile.series) if s // 3 % SHARDS == n]
            keys = tuple(
                SeriesKey(*workload.names(s), Kind.NUMBER, workload.METRICS[s % 3][1], f"{n}")
                for s in own
            )
            ids: list[int] = []
            for begin in range(0, len(keys), 1_000):
                reply = self.store.register(Register(lease, keys[begin : begin + 1_000], ()))
                self.registry.learn(reply.series)
                by_name = {(one.device, one.metric): one.series_id for one in reply.series}
                ids += [by_name[one.device, one.metric] for one in keys[begin : begin + 1_000]]
            self.ids.append(np.array(ids, np.int32))
        self.keeper = Link(self.dsn(KEEPER), "bench keeper", 600)
        connection = self.keeper.idle()
        self.sealer = Sealer(connection, quiet_s=0, age_s=0)
        self.sequencer = Sequencer(connection)
        self.admin = psycopg.connect(self.dsn("postgres"), autocommit=True)
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        self.pid = int(row[0]) if row else 0
        self.random = np.random.default_rng(workload.SEED)

    def write(self, begin_s: int, end_s: int) -> None:
        """The readings of a span of the plant's time, committed as the profile says."""
        for second in range(begin_s, end_s, max(self.profile.commit_s, self.profile.every_s)):
            for n in range(SHARDS):
                self._commit(n, second, max(self.profile.commit_s, self.profile.every_s))

    def _commit(self, n: int, second: int, span_s: int) -> None:
        lease, ids = self.leases[n], self.ids[n]
        times = np.arange(second, second + span_s, self.profile.every_s)
        count = len(ids) * len(times)
        series = np.repeat(ids, len(times))
        place = np.repeat(np.arange(len(ids)), len(times)) * SHARDS + n
        at = np.tile(times, len(ids))
        jitter = self.random.integers(-workload.JITTER_MS, workload.JITTER_MS + 1, count)
        ts = workload.BASE_MS * 1_000 + at * 1_000_000 + jitter * 1_000
        level = np.array([base for _, _, base in workload.METRICS])[place % 3]
        value = level + np.sin((at + place * 7) / 60.0) + self.random.normal(0.0, 0.2, count)
        value = np.round(value, 2) if self.profile.is_rounded else value
        # A record arrives with the next tenth of a second, so that some arrive in the next second.
        arrival_s = (ts + 100_000) // 1_000_000
        clock_s = int(arrival_s.max())
        self.numbers[n] += 1
        number = self.numbers[n]
        nought = np.zeros(count, np.int32)
        none = np.zeros(count, np.bool_)
        batch = Batch(
            lease_id=lease.lease_id, epoch=lease.epoch, number=number, version=lease.version,
            checkpoint=(number - 1) * 10 if number > 1 else -1, sequence=number * 10,
            clock_s=clock_s, catalogue=0, counts=Counts(count, count, count), series=series,
            readings=Readings(nought, ts, value, nought.astype(np.uint32), arrival_s, nought, nought),
            conflict=none, late=none, home=np.full(count, lease.lease_id, np.int32),
        )  # fmt: skip
        leaves, root = root_of(batch, self.registry)
        reply = self.store.commit(
            Commit(Batch(**{**{k: getattr(batch, k) for k in Batch.__slots__},
                            "leaves": leaves, "root": root}))
        )  # fmt: skip
        assert isinstance(reply, Committed), reply
        self.written += count

    def keep(self) -> None:
        """Seal what is over, sequence, vacuum."""
        before = cpu_s(self.pid)
        while True:
            began = time.perf_counter()
            moved = self.sealer.step()
            if not moved:
                break
            self.step_ms.append((time.perf_counter() - began) * 1e3)
            self.sealed_readings += moved
        self.sealed_cpu_s += cpu_s(self.pid) - before
        assert not self.sealer.refused
        while self.sequencer.step():
            pass
        self.admin.execute("VACUUM floorlog.open_row, floorlog.chunk, floorlog.lease")

    def grown(self) -> Grown:
        """What there is now."""
        sizes = {
            name: self.admin.execute(SIZE, {"names": list(tables)}).fetchone()[0]
            for name, tables in TABLES.items()
        }
        return Grown(self.written, sizes)

    def close(self) -> None:
        """End the sessions."""
        self.store.close()
        self.keeper.close()
        self.admin.close()


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@contextmanager
def database(services: Any, name: str) -> Iterator[Any]:
    """A migrated database; gives a function from role to connection string."""
    with psycopg.connect(services.postgres_dsn(database="postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type] # a name of our own
    passwords = {role: services.postgres.password(role) for role in LOGIN_ROLES}
    migrate(services.postgres_dsn("postgres", name), passwords=passwords)
    yield lambda role: services.postgres_dsn(role, name)


def growth(plant: Plant, hours: float, settle_h: float = 1.0) -> dict[str, float]:
    """Bytes a reading, as the record grows from the first hours on."""
    slot_s = SLOT_S if plant.profile.every_s < 3_600 else 86_400
    slots = round(hours * 3_600 / slot_s)
    first = max(1, round(settle_h * 3_600 / slot_s))
    before = Grown(0, {})
    for slot in range(slots):
        plant.write(slot * slot_s, (slot + 1) * slot_s)
        plant.keep()
        if slot + 1 == first:
            before = plant.grown()
    after = plant.grown()
    readings = after.readings - before.readings
    found = {
        name: (after.bytes_by[name] - before.bytes_by[name]) / readings for name in after.bytes_by
    }
    found["sum"] = sum(found.values())
    return found


def open_bytes(plant: Plant, seconds: int) -> float:
    """Bytes a reading of rows that are not sealed yet, ledger included."""
    before = plant.grown()
    end = 400 * SLOT_S
    plant.write(end, end + seconds)
    while plant.sequencer.step():
        pass
    after = plant.grown()
    added = sum(after.bytes_by.values()) - sum(before.bytes_by.values())
    return added / (after.readings - before.readings)


# ── speed ────────────────────────────────────────────────────────────────────────────────────────


def best_ms(dsn: str, statement: str, values: tuple[Any, ...], rounds: int = 5) -> float:
    """The median of some rounds of a question, the first not counted; rows fetched in binary."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET jit = off")
        taken = []
        for _ in range(rounds + 1):
            began = time.perf_counter()
            rows = connection.execute(statement, values, binary=True).fetchall()
            taken.append((time.perf_counter() - began) * 1e3)
            assert rows, statement
        return statistics.median(taken[1:])


def verified(dsn: str, directory: Path) -> tuple[int, int]:
    """Readings, and readings a core-second of the verifying process; no note is anchored."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(QUERIES["open_verification"].text)
        report = check(connection, Anchored(open_anchor(str(directory))))
    wrong = [one for one in report.wrong if one.where not in {"log", "anchor"}]
    assert not wrong, wrong[:3]
    return report.readings, report.readings_per_core_second
