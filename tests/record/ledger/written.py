"""Writes a small record through the store: two shards, one split, every kind of thing in it."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from floorlog.core.ledger.batch import Registry, root_of
from floorlog.core.protocol import Commit, Committed, Lease, Register, Shard, Survey, Take
from floorlog.core.reading import Anomaly, Batch, Code, Counts, Gap, Kind, Readings, Reject
from floorlog.core.series import SeriesKey
from floorlog.keeper import RETRY_SECONDS, Keeper
from floorlog.record.act.correct import correct
from floorlog.record.log.anchor import Directory, open_signer
from floorlog.store.migrate import KEEPER, LOGIN_ROLES, OPERATOR, WRITER, migrate
from floorlog.store.postgres import Store

T0 = 1_767_225_600_000_000  # 2026-01-01, µs UTC
BORN = datetime(2026, 1, 1, tzinfo=UTC)
TEMPLATE = "template_written"
MIDDLE = 2**127
DEVICES = ("press-1", 'naïve "\U0001f4a7"', "press-1", "oven", "press-1", "oven")
BATCHES = 8


def lead(keeper: Keeper) -> None:
    """Do a round, once the session of the keeper before has really ended."""
    deadline = time.monotonic() + 10
    while keeper.round() == RETRY_SECONDS:
        assert time.monotonic() < deadline, "the lease of the database did not come free"
        time.sleep(0.02)


@dataclass
class Written:
    """One database with its anchors and signing key."""

    ground: "Ground"
    database: str
    directory: Path

    @property
    def anchor(self) -> Directory:
        return Directory(self.directory / "anchors")

    @property
    def key_path(self) -> Path:
        return self.directory / "keeper" / "signing.key"

    def dsn(self, role: str = "postgres") -> str:
        return self.ground.services.postgres_dsn(role, self.database)

    def connect(self, role: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.dsn(role), autocommit=True)

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser."""
        with self.connect() as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def keeper(self, anchor_s: float = 0.0) -> Keeper:
        signer = open_signer(self.key_path, may_create=True)
        return Keeper(self.dsn(KEEPER), self.anchor, signer, anchor_s)

    def keep(self) -> None:
        """Sequence and anchor all that is there."""
        keeper = self.keeper()
        try:
            lead(keeper)
        finally:
            keeper._link.close()


@dataclass
class Ground:
    """The server."""

    services: Any
    directory: Path
    number: Any = field(default_factory=count)

    def run(self, statement: str) -> None:
        with psycopg.connect(
            self.services.postgres_dsn(database="postgres"), autocommit=True
        ) as connection:
            connection.execute(statement)

    def place(self, name: str) -> Path:
        return self.directory / "places" / name

    @contextmanager
    def copy(self, template: str) -> Iterator[Written]:
        """A copy of a database and of its anchors, dropped afterwards."""
        name = f"copy_{next(self.number)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        for role in LOGIN_ROLES:
            self.run(f"ALTER ROLE {role} IN DATABASE {name} SET search_path = floorlog")
        if self.place(template).exists():
            shutil.copytree(self.place(template), self.place(name))
        yield Written(self, name, self.place(name))
        self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        self.run(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")


class Plant:
    """Commits batches of everything to one shard after the other."""

    def __init__(self, dsn: str) -> None:
        self.store = Store(
            dsn, stream_arn="arn:plant", created_at=BORN, worker="ann", lease_s=30, series_max=1000
        )
        self.registry = Registry()
        self.random = np.random.default_rng(7)
        self.ids: list[int] = []
        self.states: list[float] = []

    def take(self, *shards: Shard) -> list[Lease]:
        view = self.store.survey(Survey(shards))
        names = {shard.shard_id for shard in shards}
        asked = [one.lease_id for one in view.leases if one.shard_id in names]
        taken = [self.store.take(Take(lease_id)) for lease_id in asked]
        return [lease for lease in taken if isinstance(lease, Lease)]

    def register(self, lease: Lease) -> None:
        keys = tuple(
            SeriesKey(device, f"m{n}", Kind(n == 3), None if n == 1 else "Cel", device)
            for n, device in enumerate(DEVICES)
        )
        reply = self.store.register(Register(lease, keys, ("running", "läuft")))
        self.registry.learn(reply.series)
        states = {**reply.states, "false": 0, "true": 1}
        self.registry.learn_states(states)
        self.states = [float(code) for code in states.values()]
        self.ids = sorted(series.series_id for series in reply.series)
        self.state_ids = {one.series_id for one in reply.series if one.kind}

    def commit(self, batch: Batch) -> None:
        leaves, root = root_of(batch, self.registry)
        reply = self.store.commit(Commit(replace(batch, leaves=leaves, root=root)))
        assert isinstance(reply, Committed), reply

    def readings(self, clock_s: int) -> tuple[np.ndarray, Readings]:
        """Some readings of every series: near and far apart, some of one time."""
        rows = []
        for series_id in self.ids:
            offsets = self.random.choice(
                [0, 0, 250_000, 1_500_000, 7_200_000_001, -(10**15)],
                int(self.random.integers(1, 5)),
            )
            for offset in offsets:
                pool = self.states if series_id in self.state_ids else [71.3, -0.0, 1e-300, 2.0**53]
                rows.append((series_id, clock_s * 10**6 + int(offset), self.random.choice(pool)))
        rows.sort(key=lambda row: row[:2])
        n = len(rows)
        none = np.zeros(n, np.int32)
        return np.array([row[0] for row in rows], np.int32), Readings(
            none,
            np.array([row[1] for row in rows], np.int64),
            np.array([row[2] for row in rows]),
            self.random.choice([0, 0x40940000, 2**32 - 1], n).astype(np.uint32),
            clock_s - self.random.integers(0, 3, n),
            none,
            none,
        )

    def batch(self, lease: Lease, number: int, *, ended: bool = False) -> Batch:
        clock_s = T0 // 10**6 + 10 * number
        series, kept = self.readings(clock_s)
        if number % 4 == 0:  # a tick
            series, kept = series[:0], kept.take(np.zeros(len(series), np.bool_))
        n = len(series)
        same = (series[1:] == series[:-1]) & (kept.ts[1:] == kept.ts[:-1])
        conflict = np.append(np.zeros(min(n, 1), np.bool_), same)
        events = number % 3 == 1
        reject = Reject(Code.MALFORMED, "not JSON: ä", b"\x00\xff{", 0, -1)
        anomaly = Anomaly(0, "novelty", "start", T0 + number, T0 + 7, 2, 1.5, -0.5, 3.25, "ö")
        return Batch(
            lease_id=lease.lease_id,
            epoch=lease.epoch,
            number=number,
            version=lease.version,
            checkpoint=(number - 1) * 10 if number > 1 else -1,
            sequence=number * 10,
            clock_s=clock_s,
            catalogue=0,
            counts=Counts(3, n + 2 * events, n, 2 * events, 0, int(conflict.sum())),
            series=series,
            readings=kept,
            conflict=conflict,
            late=self.random.random(n) < 0.3,
            home=np.full(n, lease.lease_id, np.int32),
            rejects=(reject, replace(reject, element=3)) if events else (),
            reject_sequences=(2**100 + number, 5) if events else (),
            anomalies=(anomaly, replace(anomaly, phase="end")) if events else (),
            anomaly_series=(self.ids[4], self.ids[0]) if events else (),
            gaps=(Gap(T0, T0 + number, "late"),) if events else (),
            ended=ended,
        )


def write(ground: Ground) -> None:
    """Make the template: two shards, the first of which splits; a note after every few batches."""
    ground.run(f"CREATE DATABASE {TEMPLATE}")
    made = Written(ground, TEMPLATE, ground.place(TEMPLATE))
    passwords = {role: ground.services.postgres.password(role) for role in LOGIN_ROLES}
    migrate(made.dsn(), passwords=passwords)
    plant = Plant(made.dsn(WRITER))
    first, second = plant.take(
        Shard("shard-0", (), 0, MIDDLE - 1), Shard("shard-1", (), MIDDLE, 2**128 - 1)
    )
    plant.register(first)
    for number in range(1, BATCHES + 1):
        plant.commit(plant.batch(first, number, ended=number == BATCHES))
        plant.commit(plant.batch(second, number))
        if number % 3 == 0:
            made.keep()
    (child,) = plant.take(Shard("shard-2", ("shard-0",), 0, MIDDLE - 1))
    for number in (1, 2, 3):
        plant.commit(plant.batch(child, number))
    body = '{ "devices": {}, "n": 1.50 }'
    made.run("INSERT INTO floorlog.catalogue (version, body) VALUES (1, %s), (2, '{}')", body)
    for actor in ("ann", "bob"):
        made.run(
            "INSERT INTO floorlog.audit_event (actor, action, detail) VALUES (%s, 'ack', %s)",
            actor,
            body,
        )
    plant.store.close()
    correct_some(made)
    made.keep()


def correct_some(made: Written) -> None:
    """One correction of a number, two of a state, by a person with a name."""
    numbers, states = (
        made.run(
            "SELECT device_id, metric, floorlog.to_us(ts) FROM floorlog.reading"
            " WHERE flags & 1 = 0 AND (metric = 'm3') = %s ORDER BY ts DESC, device_id, metric",
            is_state,
        )[0]
        for is_state in (False, True)
    )
    dsn = made.dsn(OPERATOR)
    correct(dsn, *numbers, "-0.5", None, by="Ann Lee", reason="sensor was unplugged: ä")
    correct(dsn, *states, "maintenance", 0, by="Ann Lee", reason="was under repair")
    correct(dsn, *states, "false", 0x40000000, by="Bob", reason="it was not")


def more(written: Written, shard: str = "shard-9") -> None:
    """One further batch, of a shard that nobody reads yet."""
    plant = Plant(written.dsn(WRITER))
    (lease,) = plant.take(Shard(shard, (), 0, 5))
    plant.register(lease)
    plant.commit(plant.batch(lease, 1))
    plant.store.close()
