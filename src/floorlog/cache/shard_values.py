"""The newest value of each series of one shard, as columns."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from floorlog.cache.shape import Last
from floorlog.core.reading import Batch, Kind
from floorlog.core.series import SeriesTable

Columns = tuple[NDArray[Any], ...]
"""Row, ts, seen_s, quality and value, of one length."""
_NEVER = np.iinfo(np.int64).min


class ShardValues:
    """Columns by row of the shard's table. Not for two threads at once: the caller locks.

    They take as much as the table has rows, however long the cache is away.
    """

    def __init__(self, table: SeriesTable, states: dict[str, int]) -> None:
        """Nothing known yet; `states` (name → code) and `table` may grow meanwhile."""
        self.table = table
        self._states = states
        self._names: dict[int, str] = {}
        self._ts = np.full(0, _NEVER)
        self._value = np.zeros(0)
        self._quality = np.zeros(0, np.uint32)
        self._seen_s = np.zeros(0, np.int64)
        self._dirty = np.zeros(0, np.bool_)

    def take(self, batch: Batch) -> bool:
        """Keep what is newer than what is known; of a conflict the first stands.

        Returns:
            Whether there is something to write.
        """
        newest = _newest(batch)
        if not len(newest):
            return False
        readings = batch.readings
        row = readings.row[newest]
        self._grow(int(row.max()) + 1)
        ts = readings.ts[newest]
        newer = ts > self._ts[row]
        newest, row = newest[newer], row[newer]
        self._ts[row] = readings.ts[newest]
        self._value[row] = readings.value[newest]
        self._quality[row] = readings.quality[newest]
        self._seen_s[row] = readings.arrival_s[newest]
        self._dirty[row] = True
        return len(row) > 0

    def take_dirty(self) -> Columns:
        """What is to be written; it counts as written from now on."""
        rows = np.flatnonzero(self._dirty)
        self._dirty[rows] = False
        return rows, self._ts[rows], self._seen_s[rows], self._quality[rows], self._value[rows]

    def named(self, columns: Columns) -> list[Last]:
        """The same with names, one by one; needs no lock, for names and rows are for ever."""
        found = []
        for row, ts, seen_s, quality, value in zip(*(c.tolist() for c in columns), strict=True):
            device, metric = self.table.keys[row]
            said = self._state(int(value)) if self.table.kind[row] == Kind.STATE else value
            found.append(Last(ts, seen_s, quality, said, device, metric))
        return found

    def soil(self) -> None:
        """Everything is to be written again."""
        self._dirty[:] = self._ts != _NEVER

    def _state(self, code: int) -> str:
        if code not in self._names:
            self._names = {code: name for name, code in dict(self._states).items()}
        return self._names.get(code, f"state {code}")

    def _grow(self, count: int) -> None:
        more = max(count, len(self.table)) - len(self._ts)
        if more <= 0:
            return
        self._ts = np.concatenate([self._ts, np.full(more, _NEVER)])
        self._value = np.concatenate([self._value, np.zeros(more)])
        self._quality = np.concatenate([self._quality, np.zeros(more, np.uint32)])
        self._seen_s = np.concatenate([self._seen_s, np.zeros(more, np.int64)])
        self._dirty = np.concatenate([self._dirty, np.zeros(more, np.bool_)])


def _newest(batch: Batch) -> NDArray[np.intp]:
    """Places of the last reading that stands of each series: they are sorted by series and time."""
    standing = np.flatnonzero(~batch.conflict)
    if not len(standing):
        return standing
    series = batch.series[standing]
    ends = np.append(series[1:] != series[:-1], True)
    found: NDArray[np.intp] = standing[ends]
    return found
