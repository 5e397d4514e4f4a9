"""A real Valkey in cluster mode that tests may flush, stop and kill, and batches to publish."""

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from floorlog.cache import Connection, Endpoint, Last, LastValues, read_all
from floorlog.core.protocol import Publish
from floorlog.core.reading import Anomaly, Batch, Counts, Kind, Readings
from floorlog.core.series import KnownSeries, SeriesTable
from floorlog.local.supervisor import Supervisor

numbers = itertools.count(1)
T0 = 1_767_225_600_000_000  # 2026-01-01, µs UTC


@dataclass
class Server:
    """A running Valkey."""

    supervisor: Supervisor
    endpoint: Endpoint

    def call(self, *parts: str | int) -> Any:
        with Connection(self.endpoint) as connection:
            return connection.call(*parts)

    def flush(self) -> None:
        self.call("FLUSHALL")

    def values(self) -> dict[tuple[str, str], Last]:
        """What the cache holds, by device and metric."""
        return {(last.device, last.metric): last for last in read_all(self.endpoint)}


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    directory = Path(tempfile.mkdtemp(prefix="floorlog-cache-"))
    directory.chmod(0o755)
    supervisor = Supervisor(directory / "data", only={"valkey"})
    try:
        with supervisor as services:
            yield Server(supervisor, Endpoint.parse(services.redis_endpoint))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def cache(valkey: Server) -> Server:
    """The same server, empty."""
    valkey.flush()
    return valkey


@dataclass
class Shard:
    """A shard's table, and commands to publish its batches."""

    lease_id: int
    table: SeriesTable = field(default_factory=SeriesTable)
    states: dict[str, int] = field(default_factory=lambda: {"false": 0, "true": 1})

    def add(self, device: str, metric: str = "level", kind: Kind = Kind.NUMBER) -> int:
        """A new series; returns its row."""
        series_id = 1000 * self.lease_id + len(self.table) + 1
        self.table.learn([KnownSeries(series_id, device, metric, kind, None, self.lease_id)])
        return self.table.row(device, metric)

    def batch(
        self,
        rows: list[tuple[int, int, float]],
        *,
        conflict: tuple[int, ...] = (),
        anomalies: tuple[Anomaly, ...] = (),
    ) -> Publish:
        """A committed batch of (row, µs after T0, value); `conflict` names places after sorting."""
        rows = sorted(rows, key=lambda row: (self.table.id[row[0]], row[1]))
        count = len(rows)
        row = np.array([r[0] for r in rows], np.int32)
        nought = np.zeros(count, np.int32)
        flags = np.zeros(count, np.bool_)
        flags[list(conflict)] = True
        readings = Readings(
            row,
            T0 + np.array([r[1] for r in rows], np.int64),
            np.array([r[2] for r in rows], np.float64),
            np.zeros(count, np.uint32),
            np.full(count, T0 // 1_000_000, np.int64),
            nought,
            nought,
        )
        batch = Batch(
            lease_id=self.lease_id, epoch=1, number=next(numbers), version=0, checkpoint=0,
            sequence=1,
            clock_s=T0 // 1_000_000, catalogue=0, counts=Counts(count, count, count),
            series=self.table.id[row], readings=readings, conflict=flags,
            late=np.zeros(count, np.bool_), home=nought + self.lease_id, anomalies=anomalies,
        )  # fmt: skip
        return Publish(batch, self.table, self.states)


@pytest.fixture
def shard() -> Shard:
    return Shard(1)


@pytest.fixture
def writer(cache: Server) -> Iterator[Callable[..., LastValues]]:
    """Make a worker's side of the cache; ended with the test."""
    made: list[LastValues] = []

    def make(endpoint: Endpoint | None = None, **options: Any) -> LastValues:
        made.append(LastValues(endpoint or cache.endpoint, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def wait_until(true: Callable[[], object], seconds: float = 30.0) -> float:
    """Wait until it is true; returns the seconds that took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, f"not so after {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.fixture
def until() -> Callable[..., float]:
    return wait_until
