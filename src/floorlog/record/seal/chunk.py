"""Chunks out of readings: the least that holds them without loss, and their roll-ups.

A chunk goes to the database as one value of the table's own row type, in its binary form (a count
of fields, then type, length and bytes of each: `record_recv` in PostgreSQL's source).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from floorlog.store.arrays import pack
from floorlog.store.chunk import CONFLICT
from floorlog.store.open_row import WIDTHS_US

Ints = NDArray[np.int64]
TICKS_US = (1_000_000, 1_000, 1)
SCALES = tuple(10**digits for digits in range(10))
BIN_S = {0: 60, 1: 3_600, 2: 3_600}  # by width
BIN_READINGS_MIN = 4  # on average: a roll-up of fewer would be no smaller than the readings
SAMPLE = 16
INT2, INT4, INT8, FLOAT8, TIMESTAMPTZ = 21, 23, 20, 701, 1184
EPOCH_2000_US = 946_684_800_000_000
_SCALARS = {INT2: ">h", INT4: ">i", INT8: ">q", FLOAT8: ">d", TIMESTAMPTZ: ">q"}
_ARRAYS = {np.dtype(kind): oid for kind, oid in (
    (np.int16, 1005), (np.int32, 1007), (np.int64, 1016), (np.float32, 1021), (np.float64, 1022),
)}  # fmt: skip
# By column of the table, in its order: the type of a scalar, or of an array.
COLUMNS = {
    "t_min": INT8, "t_max": INT8, "number_min": INT8, "number_max": INT8,
    "recorded_min": TIMESTAMPTZ, "recorded_max": TIMESTAMPTZ,
    "lowest": FLOAT8, "highest": FLOAT8, "average": FLOAT8,
    "series_id": INT4, "slot": INT4, "lease_id": INT4, "count": INT4, "tick_us": INT4,
    "scale": INT4, "newest": INT4, "standing": INT4, "good": INT4, "bin_s": INT4,
    "width": INT2, "part": INT2,
    "ts_narrow": 1005, "ts": 1007, "ts_wide": 1016, "number_narrow": 1005, "number_wide": 1016,
    "value_narrow": 1005, "value_scaled": 1007, "value": 1022, "quality": 1016, "arrived": 1007,
    "flags": 1005, "bins": 1005, "bin_low": 1022, "bin_high": 1022, "bin_low_scaled": 1007,
    "bin_high_scaled": 1007, "bin_mean": 1021, "bin_count": 1005, "bin_good": 1005,
}  # fmt: skip


class Place(NamedTuple):
    """Where a chunk goes."""

    series_id: int
    lease_id: int
    width: int
    slot: int
    part: int
    is_state: bool


@dataclass(frozen=True, slots=True)
class Columns:
    """Readings chunk after chunk, each in its order, as columns of one length."""

    number: Ints
    ts: Ints  # µs UTC
    value: NDArray[np.float64]
    quality: Ints
    arrived: Ints
    flags: Ints


def chunks_of(
    places: Sequence[Place], begins: Ints, columns: Columns, recorded: tuple[int, int]
) -> list[dict[str, Any]]:
    """The chunks at these places as values by column; chunk `n` begins at reading `begins[n]`.

    `recorded`: between these times (µs UTC) all their batches were stored.
    """
    counts = np.diff(np.append(begins, len(columns.ts)))
    whole = _scalars(begins, counts, columns)
    arrays = _arrays(begins, counts, columns, whole)
    made = []
    for place, one in enumerate(places):
        chunk: dict[str, Any] = {name: values[place] for name, values in whole.items()}
        chunk |= {"series_id": one.series_id, "lease_id": one.lease_id, "part": one.part}
        chunk |= {"width": one.width, "slot": one.slot}
        chunk |= {"recorded_min": recorded[0], "recorded_max": recorded[1]}
        chunk |= {name: values[place] for name, values in arrays.items()}
        made.append(chunk)
    roll_up(made, begins, counts, columns, [one.is_state for one in places])
    return made


def _scalars(begins: Ints, counts: Ints, columns: Columns) -> dict[str, list[Any]]:
    t_min = np.minimum.reduceat(columns.ts, begins)
    number_min = np.minimum.reduceat(columns.number, begins)
    offset = columns.ts - np.repeat(t_min, counts)
    tick_us = np.ones(len(begins), np.int64)
    for tick in reversed(TICKS_US):
        tick_us[~np.logical_or.reduceat(offset % tick != 0, begins)] = tick
    return {
        "t_min": t_min.tolist(),
        "t_max": np.maximum.reduceat(columns.ts, begins).tolist(),
        "number_min": number_min.tolist(),
        "number_max": np.maximum.reduceat(columns.number, begins).tolist(),
        "count": counts.tolist(),
        "tick_us": tick_us.tolist(),
    }


def _arrays(
    begins: Ints, counts: Ints, columns: Columns, whole: dict[str, list[Any]]
) -> dict[str, list[Any]]:
    place = np.arange(len(columns.ts)) - np.repeat(begins, counts)
    steps = np.repeat(np.maximum(counts - 1, 1), counts)

    def beside(values: Ints, low: list[int], high: list[int], unit: list[int]) -> Ints:
        least = np.array(low, np.int64)
        span = (np.array(high, np.int64) - least) // np.array(unit, np.int64)
        units = (values - np.repeat(least, counts)) // np.repeat(np.array(unit, np.int64), counts)
        return np.asarray(units - place * np.repeat(span, counts) // steps)

    ts = beside(columns.ts, whole["t_min"], whole["t_max"], whole["tick_us"])
    ones = [1] * len(begins)
    number = beside(columns.number, whole["number_min"], whole["number_max"], ones)
    found: dict[str, list[Any]] = {}
    _narrowed(found, ts, begins, {"ts_narrow": np.int16, "ts": np.int32, "ts_wide": np.int64})
    _narrowed(found, number, begins, {"number_narrow": np.int16, "number_wide": np.int64})
    _narrowed(found, columns.quality, begins, {"quality": np.int64})
    _narrowed(found, columns.arrived, begins, {"arrived": np.int32})
    _narrowed(found, columns.flags, begins, {"flags": np.int16})
    _values(found, columns.value, begins, counts)
    return found


def _narrowed(
    found: dict[str, list[Any]], values: Ints, begins: Ints, kinds: dict[str, type]
) -> None:
    """Each chunk's part in the first of the columns that holds it; none where all are 0."""
    low = np.minimum.reduceat(values, begins).tolist()
    high = np.maximum.reduceat(values, begins).tolist()
    for name in kinds:
        found[name] = [None] * len(begins)
    ends = [*begins[1:].tolist(), len(values)]
    for place, (begin, end) in enumerate(zip(begins.tolist(), ends, strict=True)):
        if low[place] or high[place]:
            name = next(
                name
                for name, kind in kinds.items()
                if np.iinfo(kind).min <= low[place] and high[place] <= np.iinfo(kind).max
            )
            found[name][place] = values[begin:end].astype(kinds[name])


def _values(
    found: dict[str, list[Any]], value: NDArray[np.float64], begins: Ints, counts: Ints
) -> None:
    names = ("scale", "value_narrow", "value_scaled", "value")
    for name in names:
        found[name] = [None] * len(begins)
    for place, (begin, count) in enumerate(zip(begins.tolist(), counts.tolist(), strict=True)):
        part = value[begin : begin + count]
        scale, whole = scaled(part)
        if whole is None:
            found["value"][place] = part
            continue
        found["scale"][place] = scale
        is_narrow = whole.min() >= -(2**15) and whole.max() < 2**15
        name = "value_narrow" if is_narrow else "value_scaled"
        found[name][place] = whole.astype(np.int16 if is_narrow else np.int32)


def scaled(value: NDArray[np.float64]) -> tuple[int | None, NDArray[np.float64] | None]:
    """The least power of ten that makes values whole so that dividing gives the same bits, if any.

    Both numbers are whole and below 2^53, so that IEEE 754's division rounds as a decimal is read.
    """
    for scale in SCALES:
        if not _is_exact(value[:SAMPLE], scale) or not _is_exact(value, scale):
            continue
        return scale, np.rint(value * scale)
    return None, None


def _is_exact(value: NDArray[np.float64], scale: int) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        whole = np.rint(value * scale)
        return bool(
            (np.abs(whole) < 2**31).all() and ((whole + 0.0) / scale).tobytes() == value.tobytes()
        )


# ── roll-ups ─────────────────────────────────────────────────────────────────────────────────────


def roll_up(
    made: list[dict[str, Any]], begins: Ints, counts: Ints, columns: Columns, states: list[bool]
) -> None:
    """Put the derived columns into chunks: least, greatest, mean and counts of what stands."""
    chunk = np.repeat(np.arange(len(made)), counts)
    stands = (columns.flags & CONFLICT) == 0
    for place, one in enumerate(made):
        begin = int(begins[place])
        part = slice(begin, begin + int(counts[place]))
        at = np.flatnonzero(stands[part])
        one.update(dict.fromkeys(DERIVED))
        one["standing"] = len(at)
        one["good"] = int((columns.quality[part][at] == 0).sum())
        if len(at):
            one["newest"] = int(at[columns.ts[part][at].argmax()]) + 1
    kept = np.flatnonzero(stands & ~np.array(states, np.bool_)[chunk])
    if len(kept):
        _summed(made, chunk[kept], columns.value[kept])
        _binned(made, chunk[kept], columns, kept)


DERIVED = (
    "lowest", "highest", "average", "newest", "bin_s", "bins", "bin_low", "bin_high",
    "bin_low_scaled", "bin_high_scaled", "bin_mean", "bin_count", "bin_good",
)  # fmt: skip


def _summed(
    made: list[dict[str, Any]], chunk: NDArray[np.intp], value: NDArray[np.float64]
) -> None:
    edges = _edges(chunk)
    low, high = np.minimum.reduceat(value, edges), np.maximum.reduceat(value, edges)
    mean = _mean(value, edges)
    for place, of in enumerate(chunk[edges].tolist()):
        made[of] |= {
            "lowest": float(low[place]),
            "highest": float(high[place]),
            "average": float(mean[place]) if np.isfinite(mean[place]) else None,
        }


def _edges(key: NDArray[Any]) -> NDArray[np.intp]:
    return np.flatnonzero(np.append(True, key[1:] != key[:-1]))


def _mean(value: NDArray[np.float64], edges: NDArray[np.intp]) -> NDArray[np.float64]:
    sizes = np.diff(np.append(edges, len(value)))
    with np.errstate(over="ignore"):
        return np.asarray(np.add.reduceat(value, edges) / sizes)


def _binned(
    made: list[dict[str, Any]], chunk: NDArray[np.intp], columns: Columns, kept: NDArray[np.intp]
) -> None:
    lengths = np.array([BIN_S.get(one["width"], 0) for one in made]) * 1_000_000
    starts = np.array([one["slot"] * WIDTHS_US[one["width"]] for one in made], np.int64)
    number = (columns.ts[kept] - starts[chunk]) // np.maximum(lengths[chunk], 1)
    order = np.lexsort((number, chunk))  # stable; late readings stand at the end of a chunk
    chunk, number, at = chunk[order], number[order], kept[order]
    edges = np.flatnonzero(np.append(True, (chunk[1:] != chunk[:-1]) | (number[1:] != number[:-1])))
    value = columns.value[at]
    sizes = np.diff(np.append(edges, len(value)))
    bins = {
        "number": number[edges],
        "low": np.minimum.reduceat(value, edges),
        "high": np.maximum.reduceat(value, edges),
        "mean": _mean(value, edges),
        "count": sizes,
        "good": np.add.reduceat((columns.quality[at] == 0).astype(np.int64), edges),
    }
    of = chunk[edges]
    firsts = _edges(of)
    for begin, end in zip(firsts.tolist(), [*firsts[1:].tolist(), len(of)], strict=True):
        part = {name: values[begin:end] for name, values in bins.items()}
        one = made[int(of[begin])]
        if lengths[of[begin]] and part["count"].sum() >= BIN_READINGS_MIN * (end - begin):
            _put_bins(one, part)


def _put_bins(one: dict[str, Any], part: dict[str, NDArray[Any]]) -> None:
    with np.errstate(over="ignore"):
        mean = part["mean"].astype(np.float32)
    if not np.isfinite(mean).all():
        return
    number, scale = part["number"], one["scale"]
    one["bin_s"] = BIN_S[one["width"]]
    if number[-1] != len(number) - 1:
        one["bins"] = number.astype(np.int16)
    if scale is None:
        one |= {"bin_low": part["low"], "bin_high": part["high"]}
    else:
        one["bin_low_scaled"] = np.rint(part["low"] * scale).astype(np.int32)
        one["bin_high_scaled"] = np.rint(part["high"] * scale).astype(np.int32)
    one["bin_mean"] = mean
    one["bin_count"] = part["count"].astype(np.int16)
    if (part["good"] != part["count"]).any():
        one["bin_good"] = part["good"].astype(np.int16)


# ── for the database ─────────────────────────────────────────────────────────────────────────────


def packed(made: Sequence[dict[str, Any]], type_oid: int) -> bytes:
    """The chunks as a binary array of the table's row type."""
    rows = [_row(one) for one in made]
    head = struct.pack(">iiIii", 1, 0, type_oid, len(rows), 1)
    return head + b"".join(struct.pack(">i", len(row)) + row for row in rows)


def _row(one: dict[str, Any]) -> bytes:
    parts = [struct.pack(">i", len(COLUMNS))]
    for name, oid in COLUMNS.items():
        value = one[name]
        if value is None:
            parts.append(struct.pack(">Ii", oid, -1))
            continue
        if oid in _SCALARS:
            shifted = value - EPOCH_2000_US if oid == TIMESTAMPTZ else value
            data = struct.pack(_SCALARS[oid], shifted)
        else:
            assert _ARRAYS[value.dtype] == oid, f"{name} is an array of another type"
            data = pack(value)
        parts.append(struct.pack(">Ii", oid, len(data)) + data)
    return b"".join(parts)
