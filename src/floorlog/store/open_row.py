"""Readings of a batch as rows of arrays, and back.

The slot's width is the narrowest of half hour, day, 30 days and 10,000 days with which the
readings make one row, or rows of 64 readings or more on average; failing all, the widest. So live
batches land in half hours, where a range of time finds them, and a batch of history does not
become hundreds of small rows. See docs/why for what that costs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floorlog.core.protocol import StoredReadings
from floorlog.core.reading import Batch

WIDTHS_US = (1_800_000_000, 86_400_000_000, 2_592_000_000_000, 864_000_000_000_000)
ROW_READINGS_MIN = 64
_TICKS_US = (1_000_000, 1_000, 1)
_INT4_MAX = 2**31 - 1

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OpenRow:
    """One row of the table `open_row`, without what the whole batch shares."""

    width: int
    slot: int
    home: int | None  # None: the shard's own
    t_min: int
    t_max: int
    tick_us: int
    series: NDArray[np.int32]
    ts: NDArray[np.int32] | None
    ts_wide: Ints | None
    value: NDArray[np.float64]
    quality: Ints | None
    arrived: NDArray[np.int32] | None
    conflict: NDArray[np.int32] | None
    late: NDArray[np.int32] | None


def rows_of(batch: Batch) -> list[OpenRow]:
    """The rows that hold a batch's readings; each row keeps the batch's order."""
    rows: list[OpenRow] = []
    if not len(batch.readings):
        return rows
    if not batch.moved:
        everything = np.arange(len(batch.readings))
        return _split(batch, everything, None)
    for home in (batch.lease_id, *batch.moved):
        places = np.flatnonzero(batch.home == home)
        rows += _split(batch, places, None if home == batch.lease_id else home)
    return rows


def _split(batch: Batch, places: NDArray[np.intp], home: int | None) -> list[OpenRow]:
    ts = batch.readings.ts[places]
    if not len(ts):
        return []
    width = choose_width(ts)
    length_us = WIDTHS_US[width]
    first, last = int(ts.min()) // length_us, int(ts.max()) // length_us
    if first == last:
        return [_row(batch, places, home, width, first)]
    slots = ts // length_us
    return [_row(batch, places[slots == slot], home, width, int(slot)) for slot in np.unique(slots)]


def choose_width(ts: Ints) -> int:
    """The number of the width for readings of these times (µs UTC, at least one)."""
    low, high = int(ts.min()), int(ts.max())
    for width, length_us in enumerate(WIDTHS_US):
        if low // length_us == high // length_us:
            return width
        if len(np.unique(ts // length_us)) * ROW_READINGS_MIN <= len(ts):
            return width
    return len(WIDTHS_US) - 1


def _row(
    batch: Batch, places: NDArray[np.intp], home: int | None, width: int, slot: int
) -> OpenRow:
    readings = batch.readings
    ts = readings.ts[places]
    t_min, t_max = int(ts.min()), int(ts.max())
    offset = ts - t_min
    tick_us = next(tick for tick in _TICKS_US if tick == 1 or not (offset % tick).any())
    offset //= tick_us
    narrow = (t_max - t_min) // tick_us <= _INT4_MAX
    quality = readings.quality[places]
    arrived = batch.clock_s - readings.arrival_s[places]
    return OpenRow(
        width=width,
        slot=slot,
        home=home,
        t_min=t_min,
        t_max=t_max,
        tick_us=tick_us,
        series=batch.series[places],
        ts=offset.astype(np.int32) if narrow else None,
        ts_wide=None if narrow else offset,
        value=readings.value[places],
        quality=quality.astype(np.int64) if quality.any() else None,
        arrived=arrived.astype(np.int32) if arrived.any() else None,
        conflict=_places(batch.conflict[places]),
        late=_places(batch.late[places]),
    )


def _places(flags: NDArray[np.bool_]) -> NDArray[np.int32] | None:
    """Places, from 1, of what is flagged; None for none."""
    return (np.flatnonzero(flags) + 1).astype(np.int32) if flags.any() else None


# The columns that `readings_of` takes, in order.
COLUMNS = (
    "t_min", "tick_us", "clock_s", "series", "ts", "ts_wide", "value", "quality", "arrived",
    "conflict", "late",
)  # fmt: skip


def readings_of(rows: Iterable[Sequence[Any]]) -> StoredReadings:
    """Readings of rows that were selected with COLUMNS, row after row."""
    parts = [_unpacked(row) for row in rows]
    if not parts:
        return NOTHING
    if len(parts) == 1:
        return StoredReadings(*parts[0])
    return StoredReadings(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _unpacked(row: Sequence[Any]) -> tuple[NDArray[Any], ...]:
    t_min, tick_us, clock_s, series, ts, ts_wide, value, quality, arrived, conflict, late = row
    count = len(series)
    offset = ts_wide if ts is None else ts.astype(np.int64)
    zeros = np.zeros(count, np.int64)
    return (
        series,
        t_min + offset * tick_us,
        value,
        (zeros if quality is None else quality).astype(np.uint32),
        clock_s - (zeros if arrived is None else arrived.astype(np.int64)),
        _flags(conflict, count),
        _flags(late, count),
    )


def _flags(places: NDArray[np.int32] | None, count: int) -> NDArray[np.bool_]:
    flags = np.zeros(count, np.bool_)
    if places is not None:
        flags[places - 1] = True
    return flags


def sort(readings: StoredReadings) -> StoredReadings:
    """The readings by (series, ts); those of one series and ts stay in their order."""
    return select(readings, np.lexsort((readings.ts, readings.series)))


def select(readings: StoredReadings, which: NDArray[np.intp] | NDArray[np.bool_]) -> StoredReadings:
    """The chosen readings."""
    return StoredReadings(
        readings.series[which],
        readings.ts[which],
        readings.value[which],
        readings.quality[which],
        readings.arrival_s[which],
        readings.conflict[which],
        readings.late[which],
    )


NOTHING = StoredReadings(
    np.zeros(0, np.int32),
    np.zeros(0, np.int64),
    np.zeros(0),
    np.zeros(0, np.uint32),
    np.zeros(0, np.int64),
    np.zeros(0, np.bool_),
    np.zeros(0, np.bool_),
)
