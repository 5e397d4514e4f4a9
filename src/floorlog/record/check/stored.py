"""Readings of many batches out of the rows that hold them: the one place that knows how they lie.

Nothing is trusted: not that arrays are of one length, that places lie in them, that times fit.
"""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from floorlog.core.ledger.batch import Columns
from floorlog.record.rows import time_us
from floorlog.store.open_row import WIDTHS_US

Ints = NDArray[np.int64]
_HEAD = struct.Struct(">iiIii")
_CELLS = {
    oid: np.dtype([("size", ">i4"), ("value", kind)])
    for oid, kind in ((23, ">i4"), (20, ">i8"), (701, ">f8"))
}
INT4, INT8, FLOAT8 = 23, 20, 701
QUALITY_MAX = 2**32 - 1


class OpenRow(NamedTuple):
    """An open row as the query `open_rows` gives it; arrays as their bytes."""

    lease_id: int
    number: int
    part: int
    recorded_at: bytes
    t_min: int
    t_max: int
    clock_s: int
    slot: int
    width: int
    tick_us: int
    series: bytes
    ts: bytes | None
    ts_wide: bytes | None
    value: bytes
    quality: bytes | None
    arrived: bytes | None
    conflict: bytes | None
    late: bytes | None


class Malformed(ValueError):
    """A row that no worker writes."""


def _count(array: bytes, oid: int) -> int:
    """How many elements; Malformed unless the array has one dimension, from 1, without NULL."""
    dimensions, nulls, element = struct.unpack_from(">iiI", array)
    if element == oid and not nulls:
        if dimensions == 0:
            return 0
        if dimensions == 1:
            size, begin = struct.unpack_from(">ii", array, 12)
            if begin == 1 and len(array) == _HEAD.size + size * _CELLS[oid].itemsize:
                return int(size)
    message = "an array is not as a worker writes it"
    raise Malformed(message)


def _joined(arrays: Sequence[bytes], oid: int, counts: Sequence[int]) -> NDArray[Any]:
    """The elements of all arrays, which must have these counts."""
    for array, size in zip(arrays, counts, strict=True):
        if _count(array, oid) != size:
            message = "its arrays are of different lengths"
            raise Malformed(message)
    whole = b"".join([array[_HEAD.size :] for array in arrays])
    return np.frombuffer(whole, _CELLS[oid])["value"]


def _optional(arrays: Sequence[bytes | None], oid: int, counts: Sequence[int]) -> Ints:
    """The same, with zeros for arrays that are missing."""
    if all(array is None for array in arrays):
        return np.zeros(sum(counts), np.int64)
    parts = [
        np.zeros(size, np.int64) if array is None else _joined([array], oid, [size])
        for array, size in zip(arrays, counts, strict=True)
    ]
    return np.concatenate(parts).astype(np.int64)


def _flags(
    arrays: Sequence[bytes | None], counts: Sequence[int], begins: Sequence[int]
) -> NDArray[np.bool_]:
    flags = np.zeros(sum(counts), np.bool_)
    for array, size, begin in zip(arrays, counts, begins, strict=True):
        if array is not None:
            places = _joined([array], INT4, [_count(array, INT4)]).astype(np.int64)
            if len(places) and not 1 <= places.min() <= places.max() <= size:
                message = "a flag is of no reading"
                raise Malformed(message)
            flags[begin + places - 1] = True
    return flags


def _offsets(rows: Sequence[OpenRow], counts: Sequence[int]) -> Ints:
    if any((row.ts is None) == (row.ts_wide is None) for row in rows):
        message = "a row has not one array of times"
        raise Malformed(message)
    narrow = [row.ts for row in rows if row.ts is not None]
    if len(narrow) == len(rows):
        return _joined(narrow, INT4, counts).astype(np.int64)
    parts = []
    for row, size in zip(rows, counts, strict=True):
        wide = row.ts_wide
        part = (
            _joined([row.ts or b""], INT4, [size])
            if wide is None
            else _joined([wide], INT8, [size])
        )
        parts.append(part.astype(np.int64))
    return np.concatenate(parts)


class Unpacked(NamedTuple):
    """Readings of some batches, and what is wrong with the rows that hold them."""

    columns: Columns
    wrong: list[tuple[int, str, str]]  # place of the batch, what, and in words


def unpack(batches: Sequence[Sequence[OpenRow]]) -> Unpacked:
    """The readings of some batches, in the order of their leaves.

    Raises:
        Malformed: a row is not as any worker writes it; which one is not known.
    """
    rows = [row for batch in batches for row in sorted(batch, key=lambda one: one.part)]
    of_batch = [place for place, batch in enumerate(batches) for _ in batch]
    if not rows:
        return Unpacked(_columns(*(np.zeros(0, np.int64) for _ in range(8))), [])
    counts = [_count(row.series, INT4) for row in rows]
    if not all(counts):
        message = "a row is empty"
        raise Malformed(message)
    begins = np.cumsum([0, *counts[:-1]])
    series = _joined([row.series for row in rows], INT4, counts)
    offsets = _offsets(rows, counts)
    ts = np.repeat([row.t_min for row in rows], counts)
    ts = ts + offsets * np.repeat([row.tick_us for row in rows], counts)
    quality = _optional([row.quality for row in rows], INT8, counts)
    if quality.min() < 0 or quality.max() > QUALITY_MAX:
        message = "a quality is no status code"
        raise Malformed(message)
    arrival = np.repeat([row.clock_s for row in rows], counts)
    arrival = arrival - _optional([row.arrived for row in rows], INT4, counts)
    batch = np.repeat(of_batch, counts)
    wrong = _look(rows, of_batch, offsets, begins)
    unsorted = _falls(series, ts)
    inside = unsorted[~np.isin(unsorted, begins)]
    wrong += [
        (place, "readings", "readings stand out of their order")
        for place in sorted({int(batch[at]) for at in inside})
    ]
    found = _columns(
        series,
        ts,
        _joined([row.value for row in rows], FLOAT8, counts),
        quality,
        arrival,
        _flags([row.conflict for row in rows], counts, begins.tolist()),
        _flags([row.late for row in rows], counts, begins.tolist()),
        batch,
    )
    if not _is_sorted(unsorted, batch):
        order = np.lexsort((ts, series, batch))
        each = (
            found.series, found.ts, found.value, found.quality, found.arrival_s, found.conflict,
            found.late, batch,
        )  # fmt: skip
        found = _columns(*(column[order] for column in each))
    return Unpacked(found, wrong)


def _columns(*columns: NDArray[Any]) -> Columns:
    series, ts, value, quality, arrival_s, conflict, late, batch = columns
    return Columns(
        series.astype(np.int32),
        ts.astype(np.int64),
        value.astype(np.float64),
        quality,
        arrival_s.astype(np.int64),
        conflict.astype(np.bool_),
        late.astype(np.bool_),
        batch.astype(np.int64),
    )


def _falls(series: NDArray[Any], ts: Ints) -> Ints:
    """The places whose reading belongs before the one before it."""
    lower = series[1:] < series[:-1]
    same = series[1:] == series[:-1]
    return np.flatnonzero(lower | (same & (ts[1:] < ts[:-1]))) + 1


def _is_sorted(falls: Ints, batch: Ints) -> bool:
    """Whether the readings fall only where a batch begins."""
    return bool((batch[falls] != batch[falls - 1]).all())


def _look(
    rows: Sequence[OpenRow], of_batch: Sequence[int], offsets: Ints, begins: Ints
) -> list[tuple[int, str, str]]:
    """What rows say of themselves, beside what they hold; in whole numbers without a bound."""
    lows = np.minimum.reduceat(offsets, begins).tolist()
    highs = np.maximum.reduceat(offsets, begins).tolist()
    wrong = []
    for row, place, low, high in zip(rows, of_batch, lows, highs, strict=True):
        if row.tick_us <= 0 or low != 0:
            wrong.append((place, "t_min", "a row does not begin with its earliest time"))
        if row.t_min + high * row.tick_us != row.t_max:
            wrong.append((place, "t_max", "a row does not end with its latest time"))
        fits = 0 <= row.width < len(WIDTHS_US)
        length_us = WIDTHS_US[row.width] if fits else 1
        if not fits or not row.t_min // length_us == row.t_max // length_us == row.slot:
            wrong.append((place, "slot", "a row is not in the slot of its times"))
    return wrong


def recorded_us(row: OpenRow) -> int:
    """When the row was stored."""
    return time_us(row.recorded_at)
