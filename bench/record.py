"""What the record costs: bytes a reading as it grows, and the speed of sealing, verifying, reading.

python bench/record.py [--json] [--server 15|embedded] [--profile N …]

Hours of a plant's life are written in minutes: batches as a worker commits them, each half hour
sealed when it is over, entries sequenced, tables vacuumed as autovacuum would. What is read of a
day and of thirty is a record of two hours whose chunks are copied with other times.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import workload
from psycopg.sql import SQL, Identifier

from floorlog.core.ledger.batch import Registry, columns_of, root_of
from floorlog.core.ledger.locator import locator_of
from floorlog.core.protocol import Commit, Committed, Lease, Register, Shard, Survey, Take
from floorlog.core.reading import Batch, Counts, Kind, Readings
from floorlog.core.series import SeriesKey
from floorlog.local.supervisor import Supervisor
from floorlog.record.check.verify import Anchored, check
from floorlog.record.log.anchor import Directory
from floorlog.record.log.sequence import Sequencer
from floorlog.record.rows import QUERIES
from floorlog.record.seal.seal import Sealer
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
    ledger_cpu_s: float = 0.0  # of leaves, roots and sums, in the client
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
            readings=Readings(
                nought, ts, value, nought.astype(np.uint32), arrival_s, nought, nought
            ),
            conflict=none, late=none, home=np.full(count, lease.lease_id, np.int32),
        )  # fmt: skip
        began_s = time.process_time()
        leaves, root = root_of(batch, self.registry)
        locator_of(columns_of(batch))  # made again where the batch is sent
        self.ledger_cpu_s += time.process_time() - began_s
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
def database(services: Supervisor, name: str) -> Iterator[Any]:
    """A migrated database; gives a function from role to connection string."""
    with psycopg.connect(services.postgres_dsn(database="postgres"), autocommit=True) as admin:
        admin.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    passwords = {role: services.postgres.password(role) for role in LOGIN_ROLES}
    migrate(services.postgres_dsn("postgres", name), passwords=passwords)
    yield lambda role: services.postgres_dsn(role, name)


def growth(plant: Plant, hours: float, settle_h: float = 1.0) -> dict[str, float]:
    """Bytes a reading, as the record grows from the first hours on."""
    slot_s = SLOT_S if plant.profile.every_s < 60 else 86_400
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


def best_ms(dsn: str, statement: str, values: tuple[Any, ...], rounds: int = 7) -> float:
    """The median of what the server takes for a question, the first not counted."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET jit = off")
        taken = []
        for _ in range(rounds + 1):
            rows = connection.execute(f"EXPLAIN (ANALYZE, TIMING OFF) {statement}", values)
            line = rows.fetchall()[-1][0]
            taken.append(float(line.removeprefix("Execution Time: ").removesuffix(" ms")))
        return statistics.median(taken[1:])


def verified(dsn: str, directory: Path) -> tuple[int, int]:
    """Readings, and readings a core-second of the verifying process; no note is anchored."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(QUERIES["open_verification"].text)
        report = check(connection, Anchored(Directory(directory)))
    wrong = [one for one in report.wrong if one.where not in {"log", "anchor"}]
    assert not wrong, wrong[:3]
    return report.readings, report.readings_per_core_second


def clone(admin: psycopg.Connection[Any], hours: range, series_max: int) -> None:
    """Copy the chunks of the first two hours to later hours, for the first series."""
    columns = [
        row[0]
        for row in admin.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'floorlog.chunk'::regclass"
            " AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        )
    ]
    moved = {
        "t_min": "c.t_min + h * 3600000000::int8",
        "t_max": "c.t_max + h * 3600000000::int8",
        "slot": "c.slot + h * 2",
        "part": "c.part + 100",
    }
    chosen = ", ".join(moved.get(name, f"c.{name}") for name in columns)
    admin.execute(
        f"INSERT INTO floorlog.chunk SELECT {chosen} FROM floorlog.chunk AS c,"
        f" generate_series({hours.start}, {hours.stop - 1}, {hours.step}) AS h"
        f" WHERE c.width = 0 AND c.part < 100 AND c.series_id <= {series_max}"
    )
    admin.execute("VACUUM ANALYZE floorlog.chunk")


def reads(plant: Plant) -> dict[str, float]:
    """Milliseconds of questions about one hour, one day, and all series of a day."""
    dsn = plant.dsn(READER)
    device, metric = workload.names(0)
    at = workload.BASE_MS / 1_000

    def moment(hours: float) -> datetime:
        return datetime.fromtimestamp(at + hours * 3_600, UTC)

    clone(plant.admin, range(2, 24, 2), workload.SERIES)
    found = {
        "24 h of a series as 1,000 points": best_ms(
            dsn,
            "SELECT * FROM floorlog.points(%s, %s, %s, %s, 1000)",
            (device, metric, moment(0), moment(24)),
        ),
        "a day of all series by the hour": best_ms(
            dsn, "SELECT * FROM floorlog.hours(%s, %s)", (moment(0), moment(24))
        ),
    }
    clone(plant.admin, range(24, 720, 2), 9)
    found["an hour of a series in a record of 30 days"] = best_ms(
        dsn,
        "SELECT * FROM floorlog.readings(%s, %s, %s, %s)",
        (device, metric, moment(400.25), moment(401.25)),
    )
    return found


def rolled_up(plant: Plant) -> float:
    """Bytes a reading that the roll-ups in chunks take."""
    columns = "bins bin_low bin_high bin_low_scaled bin_high_scaled bin_mean bin_count bin_good"
    sizes = " + ".join(f"coalesce(pg_column_size({name}), 0)" for name in columns.split())
    # Three floats, two counts, and the bin's length beside the arrays.
    row = plant.admin.execute(
        f"SELECT sum(36 + {sizes})::float8 / sum(count) FROM floorlog.chunk"
    ).fetchone()
    return float(row[0]) if row else 0.0


PROFILES = (
    (Profile("1 a second, commits of 10 s", commit_s=10), 2.0, 1.0),
    (Profile("1 a second, commits of 1 s"), 1.5, 0.5),
    (Profile("1 a second, full precision, 10 s", commit_s=10, is_rounded=False), 1.0, 0.5),
    (Profile("1 a minute", every_s=60, commit_s=60, series=300), 72.0, 24.0),
    (Profile("1 an hour", every_s=3_600, commit_s=3_600, series=300), 1_440.0, 720.0),
)


def measured(services: Supervisor, directory: Path, chosen: Sequence[int]) -> dict[str, Any]:
    """The figures of these profiles."""
    result: dict[str, Any] = {"sealed": {}}
    for n in chosen:
        profile, hours, settle_h = PROFILES[n]
        with database(services, f"bench_{n}") as dsn:
            plant = Plant(dsn, profile)
            result["sealed"][profile.name] = growth(plant, hours, settle_h)
            result.setdefault("ledger, us of the worker's CPU a reading", {})[profile.name] = (
                plant.ledger_cpu_s / plant.written * 1e6
            )
            if n == 0:
                result["roll-ups"] = rolled_up(plant)
                result["sealing, M readings a core-second"] = (
                    plant.sealed_readings / plant.sealed_cpu_s / 1e6
                )
                result["a step, ms, median and longest"] = [
                    statistics.median(plant.step_ms), max(plant.step_ms)
                ]  # fmt: skip
                result["verify, readings a core-second"] = verified(
                    dsn("postgres"), directory / "anchors"
                )[1]
                result["reads, ms"] = reads(plant)
            if n == 1:
                result["open"] = open_bytes(plant, 600)
            plant.close()
    if 0 in chosen:
        a_day = result["sealed"][PROFILES[0][0].name]["sum"] * workload.SERIES * 86_400
        result["days of 900 readings/s in 20 GB"] = round(20e9 / a_day, 1)
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object instead of lines")
    parser.add_argument("--server", choices=("15", "embedded"), default="15")
    parser.add_argument(
        "--profile", type=int, action="append", choices=range(len(PROFILES)),
        help="only this one, by its place from 0; may be given again",
    )  # fmt: skip
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="floorlog-bench-"))
    directory.chmod(0o755)
    programs = DEBIAN_15 if asked.server == "15" and DEBIAN_15.exists() else None
    try:
        with Supervisor(
            directory / "data", only={"postgres"}, postgres_programs=programs
        ) as services:
            (directory / "anchors").mkdir()
            result = measured(services, directory, asked.profile or range(len(PROFILES)))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if asked.json:
        print(json.dumps(result, indent=1))
    else:
        for name, value in result.items():
            print(f"{name}: {value}")


if __name__ == "__main__":
    main()
