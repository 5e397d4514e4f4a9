"""The series that a shard has seen, as columns: names once, everything else by row."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floorlog.core.reading import Kind

UNREGISTERED = 0


def hash_key(partition_key: str) -> int:
    """The 128-bit hash by which Kinesis chooses the shard of a partition key."""
    return int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest())


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """A series not yet known to the record, as first seen."""

    device: str
    metric: str
    kind: Kind
    unit: str | None
    partition_key: str


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """A series as the record knows it."""

    series_id: int
    device: str
    metric: str
    kind: Kind
    unit: str | None
    home: int  # lease id


class SeriesTable:
    """Rows of series; a row is stable for the life of the table, ids come from the record."""

    def __init__(self) -> None:
        """An empty table."""
        self.index: dict[tuple[str, str], int] = {}
        self.keys: list[tuple[str, str]] = []
        self.units: list[str | None] = []
        self.id: NDArray[np.int32] = np.zeros(16, np.int32)
        self.kind: NDArray[np.int8] = np.zeros(16, np.int8)
        self.home: NDArray[np.int32] = np.zeros(16, np.int32)
        self._rows_by_id: dict[int, int] = {}

    def __len__(self) -> int:
        """Count of rows."""
        return len(self.keys)

    def row(self, device: str, metric: str) -> int:
        """The series' row, a new unregistered one at first sight."""
        key = (device, metric)
        found = self.index.get(key)
        if found is None:
            found = len(self.keys)
            self.index[key] = found
            self.keys.append(key)
            self.units.append(None)
            if found >= len(self.id):
                self._grow()
        return found

    def learn(self, known: Iterable[KnownSeries]) -> None:
        """Take over what the record says of these series."""
        for series in known:
            row = self.row(series.device, series.metric)
            self.id[row] = series.series_id
            self.kind[row] = series.kind
            self.home[row] = series.home
            self.units[row] = series.unit
            self._rows_by_id[series.series_id] = row

    def row_of(self, series_id: int) -> int:
        """The row of a registered series; KeyError when the table does not hold it."""
        return self._rows_by_id[series_id]

    def knows(self, series_id: int) -> bool:
        """Whether the table holds the series with this id."""
        return series_id in self._rows_by_id

    def _grow(self) -> None:
        size = 2 * len(self.id)
        self.id = np.concatenate([self.id, np.zeros(size - len(self.id), np.int32)])
        self.kind = np.concatenate([self.kind, np.zeros(size - len(self.kind), np.int8)])
        self.home = np.concatenate([self.home, np.zeros(size - len(self.home), np.int32)])
