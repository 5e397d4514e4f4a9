"""Sealed readings out of chunks: one row per series and slot.

Times and numbers of batches are stored beside a straight line from the least to the greatest,
values as whole numbers over a power of ten where that is exact: see migrations/0010_pre_chunk.sql,
whose function `unsealed` does the same in SQL. Many chunks are taken apart at once, without a step
per reading.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
CONFLICT = 1
LATE = 2
READINGS_MAX = 8_192  # in a chunk; a slot with more has several


class Chunk(NamedTuple):
    """What of a chunk's row tells its readings; arrays as NumPy's. The order is the queries'."""

    series_id: int
    lease_id: int
    size: int  # readings
    number_min: int
    number_max: int
    t_min: int
    t_max: int
    tick_us: int
    scale: int | None
    number_narrow: NDArray[np.int16] | None
    number_wide: Ints | None
    ts_narrow: NDArray[np.int16] | None
    ts: NDArray[np.int32] | None
    ts_wide: Ints | None
    value_narrow: NDArray[np.int16] | None
    value_scaled: NDArray[np.int32] | None
    value: NDArray[np.float64] | None
    quality: Ints | None
    arrived: NDArray[np.int32] | None
    flags: NDArray[np.int16] | None


class Sealed(NamedTuple):
    """Readings of chunks as columns of one length, chunk after chunk, each in its order."""

    chunk: NDArray[np.intp]  # place of the chunk among those asked for
    series: NDArray[np.int32]
    number: Ints  # of the batch, within the chunk's shard
    ts: Ints  # µs UTC
    value: NDArray[np.float64]
    quality: Ints
    arrived: Ints  # seconds before the batch's clock
    flags: Ints  # 1 conflict, 2 late

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_] | slice) -> "Sealed":
        """The chosen readings, in the order chosen."""
        return Sealed(
            self.chunk[which],
            self.series[which],
            self.number[which],
            self.ts[which],
            self.value[which],
            self.quality[which],
            self.arrived[which],
            self.flags[which],
        )


class MalformedChunk(ValueError):
    """A chunk that no keeper writes; `place` says which of those asked for."""

    def __init__(self, place: int, says: str) -> None:
        super().__init__(says)
        self.place = place


class Chunks:
    """Some chunks, taken apart as far as is asked for.

    Args:
        rows: the chunks.

    Raises:
        MalformedChunk: arrays are not as long as the chunk says, or say the same thing twice.
    """

    def __init__(self, rows: Sequence[Chunk]) -> None:
        self.rows = rows
        self.counts = np.array([row.size for row in rows], np.int64)
        if len(rows) and self.counts.min() < 1:
            raise MalformedChunk(int(self.counts.argmin()), "a chunk is empty")
        for place, row in enumerate(rows):
            _check(place, row)
        self._begins = np.cumsum(self.counts) - self.counts

    def __len__(self) -> int:
        """Count of readings."""
        return int(self.counts.sum())

    def numbers(self) -> Ints:
        """The number of each reading's batch."""
        low = np.array([row.number_min for row in self.rows], np.int64)
        high = np.array([row.number_max for row in self.rows], np.int64)
        arrays = [_one(row.number_narrow, row.number_wide) for row in self.rows]
        chunk = np.repeat(np.arange(len(self.rows)), self.counts)
        place = np.arange(len(chunk)) - self._begins[chunk]
        return self._line(low, high - low, chunk, place) + self._joined(arrays)

    def take(self, which: NDArray[np.intp] | None = None) -> Sealed:
        """These of the readings, ascending; all by default."""
        rows = self.rows
        chunk = np.repeat(np.arange(len(rows)), self.counts)
        place = np.arange(len(chunk)) - self._begins[chunk]
        number = self.numbers()
        if which is not None:
            chunk, place, number = chunk[which], place[which], number[which]
        low = np.array([row.t_min for row in rows], np.int64)
        high = np.array([row.t_max for row in rows], np.int64)
        tick = np.array([row.tick_us for row in rows], np.int64)
        ticks = self._line(low * 0, (high - low) // tick, chunk, place)
        ticks += self._joined([_one(row.ts_narrow, row.ts, row.ts_wide) for row in rows], which)
        return Sealed(
            chunk,
            np.array([row.series_id for row in rows], np.int32)[chunk],
            number,
            low[chunk] + ticks * tick[chunk],
            self._values(chunk, which),
            self._joined([row.quality for row in rows], which),
            self._joined([row.arrived for row in rows], which),
            self._joined([row.flags for row in rows], which),
        )

    def _line(self, low: Ints, span: Ints, chunk: NDArray[np.intp], place: Ints) -> Ints:
        steps = np.maximum(self.counts - 1, 1)
        return np.asarray(low[chunk] + place * span[chunk] // steps[chunk])

    def _joined(
        self, arrays: Sequence[NDArray[Any] | None], which: NDArray[np.intp] | None = None
    ) -> Ints:
        """The arrays of all chunks one after the other, zeros for those that are missing."""
        if all(array is None for array in arrays):
            return np.zeros(int(self.counts.sum()) if which is None else len(which), np.int64)
        parts = [
            np.zeros(row.size, np.int16) if array is None else array
            for row, array in zip(self.rows, arrays, strict=True)
        ]
        joined = np.concatenate(parts)
        return (joined if which is None else joined[which]).astype(np.int64)

    def _values(
        self, chunk: NDArray[np.intp], which: NDArray[np.intp] | None
    ) -> NDArray[np.float64]:
        parts = [_one(row.value_narrow, row.value_scaled, row.value) for row in self.rows]
        joined = np.concatenate([np.zeros(0), *(part for part in parts if part is not None)])
        scale = np.array([row.scale or 1 for row in self.rows], np.float64)
        return np.asarray((joined if which is None else joined[which]) / scale[chunk])


def _one(*arrays: NDArray[Any] | None) -> NDArray[Any] | None:
    """The array that is there."""
    return next((array for array in arrays if array is not None), None)


def _check(place: int, row: Chunk) -> None:
    families = (
        (row.number_narrow, row.number_wide),
        (row.ts_narrow, row.ts, row.ts_wide),
        (row.value_narrow, row.value_scaled, row.value),
        (row.quality,),
        (row.arrived,),
        (row.flags,),
    )
    for family in families:
        there = [array for array in family if array is not None]
        if len(there) > 1 or any(len(array) != row.size for array in there):
            raise MalformedChunk(place, "its arrays are of different lengths")
    if (row.scale is None) is (row.value is None):
        raise MalformedChunk(place, "a chunk has not one array of values")
    if row.value is None and _one(row.value_narrow, row.value_scaled) is None:
        raise MalformedChunk(place, "a chunk has no values")
    if row.tick_us < 1 or (row.scale is not None and row.scale < 1):
        raise MalformedChunk(place, "a chunk counts in no unit")
