"""Reads many records at once into columns, and says which ones need careful reading.

A record is either read here as a whole or not at all: whatever could be in doubt about it, be it a
time stamp of an odd shape, a number that may be inexact or a name not yet seen to be sound, leaves
the whole record to `careful`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter

import msgspec
import numpy as np
from numpy.typing import NDArray

from floorlog.core.decode import timestamp, unpack
from floorlog.core.decode.fault import READINGS_MAX, sound
from floorlog.core.decode.wire import Wire, typed, typed_array
from floorlog.core.reading import Record
from floorlog.core.series import SeriesTable

EXACT_BELOW = float(2**53)
"""From here on a whole number may not be what was written."""
DOUBTFUL = -2
NONE = -1
STRANGER = -3
"""Instead of a row: −3, −4, −5 … are the first, second, third name that the table does not know."""

_key = attrgetter("device_id", "metric")
_stamp, _value, _unit = attrgetter("ts"), attrgetter("value"), attrgetter("unit")
_quality, _held, _data = attrgetter("quality"), attrgetter("values"), attrgetter("data")


class Names(dict[str | None, int]):
    """Distinct names with a number each, in order of first sight; unsound ones are DOUBTFUL."""

    def __init__(self, none: tuple[str | None, ...] = ()) -> None:
        """`none`: names that stand for no name."""
        super().__init__(dict.fromkeys(none, NONE))
        self.names: list[str] = []

    def __missing__(self, name: str | None) -> int:
        """Give the next number."""
        if name is None or not sound(name):
            return DOUBTFUL
        self[name] = number = len(self.names)
        self.names.append(name)
        return number


@dataclass(slots=True)
class Columns:
    """Readings as columns of one length."""

    row: NDArray[np.int32]
    ts: NDArray[np.int64]
    value: NDArray[np.float64]
    text: NDArray[np.int32]
    unit: NDArray[np.int32]
    quality: NDArray[np.uint32]
    record: NDArray[np.int32]
    element: NDArray[np.int32]

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> "Columns":
        """The chosen readings, in the order chosen."""
        return Columns(*(getattr(self, name)[which] for name in COLUMN_NAMES))


COLUMN_NAMES = tuple(Columns.__slots__)


def joined(parts: Sequence[Columns], order: NDArray[np.intp]) -> Columns:
    """All readings of the parts, in the order chosen."""
    return Columns(
        *(np.concatenate([getattr(part, name) for part in parts])[order] for name in COLUMN_NAMES)
    )


class Rows:
    """Rows of the series table by name; a name without one gets the number of a stranger.

    Strangers are of one batch alone: which of them become series shows when they are judged, and
    what is rejected must leave nothing behind.
    """

    def __init__(self, table: SeriesTable) -> None:
        """No stranger yet."""
        self._known = table.index
        self._strange: dict[tuple[str, str], int] = {}
        self._frames: dict[tuple[str, ...], list[int]] = {}

    @property
    def strangers(self) -> list[tuple[str, str]]:
        """Device and metric of each stranger, in order of first sight."""
        return list(self._strange)

    def of(self, key: tuple[str, str | None]) -> int:
        """The row, a stranger's number where there is none, DOUBTFUL where a name is unsound."""
        device, metric = key
        named = (device, metric or "")
        found = self._known.get(named)
        if found is None:
            found = self._strange.get(named)
        if found is not None:
            return found
        if metric is None or not sound(device) or not sound(metric):
            return DOUBTFUL
        self._strange[named] = number = STRANGER - len(self._strange)
        return number

    def of_singles(self, wires: Sequence[Wire]) -> NDArray[np.int32]:
        """Row per reading."""
        known = self._known.__getitem__
        try:
            return np.fromiter(map(known, map(_key, wires)), np.int32, len(wires))
        except KeyError:
            return np.fromiter(map(self.of, map(_key, wires)), np.int32, len(wires))

    def of_frame(self, frame: Wire) -> list[int]:
        """Row per value; frames of one device mostly hold the same metrics in the same order."""
        assert frame.values is not None
        key = (frame.device_id, *frame.values)
        rows = self._frames.get(key)
        if rows is None:
            rows = [self.of((frame.device_id, metric)) for metric in frame.values]
            self._frames[key] = rows
        return rows


def open_records(records: Sequence[Record]) -> tuple[list[Wire], NDArray[np.int32], list[int]]:
    """The objects of all records, the record of each, and the records left to careful reading."""
    wires: list[Wire] = []
    where: list[int] = []  # of the records with other than one object
    counts: list[int] = []
    doubtful: list[int] = []
    place = 0
    while True:
        before = len(wires)
        try:
            # extend keeps what it took before an exception: that says which record raised it.
            wires.extend(map(typed.decode, map(_data, records[place:] if place else records)))
            break
        except Exception:  # noqa: BLE001 - any input may raise anything; it is read again with care, and rejected there
            place += len(wires) - before
        try:
            inside = _open(records[place].data)
        except Exception:  # noqa: BLE001 - as above: an empty result sends the record to careful reading
            inside = []
        if not inside:
            doubtful.append(place)
        wires.extend(inside)
        where.append(place)
        counts.append(len(inside))
        place += 1
    per_record = np.ones(len(records), np.int64)
    per_record[where] = counts
    return wires, np.repeat(np.arange(len(records), dtype=np.int32), per_record), doubtful


def _open(data: bytes) -> list[Wire]:
    """The objects of one record that is not one plain object. Raises anything when in doubt."""
    inner = unpack.user_records(data)
    if inner is not None:
        try:
            return list(map(typed.decode, inner))
        except msgspec.DecodeError:  # not one plain object in each
            opened = list(map(_open_text, inner))
            if not all(opened):  # an empty one is a reject with a place among the others
                raise ValueError from None
            return list(chain.from_iterable(opened))
    return _open_text(data)


def _open_text(data: bytes) -> list[Wire]:
    text = unpack.text(data)
    if text.startswith(b"["):
        return typed_array.decode(text)
    wires = typed.decode_lines(text)
    if len(wires) != text.count(b"\n") + 1:  # objects over many lines, or blank lines
        raise ValueError
    return wires


def read(
    wires: Sequence[Wire], of: NDArray[np.int32], rows: Rows, texts: Names, units: Names
) -> tuple[Columns, NDArray[np.int32]]:
    """Columns of the objects, and the records (sorted) among them that need careful reading.

    `of`: the record of each object. Readings of the records in need are left out.
    """
    held = list(map(_held, wires))
    framed = list(map(bool, held))
    if not any(framed):
        columns = _singles(wires, of, rows, texts, units)
    elif all(framed):
        columns = _frames(wires, of, rows, texts, units)
    else:
        columns = _both(wires, of, rows, texts, units, np.array(framed))
    starts = np.flatnonzero(np.diff(columns.record, prepend=-1))
    lengths = np.diff(starts, append=len(columns.record))
    columns.element = np.arange(len(columns.record), dtype=np.int32)
    columns.element -= np.repeat(starts.astype(np.int32), lengths)
    doubt = (columns.row == DOUBTFUL) | (columns.ts == timestamp.DOUBT)
    doubt |= (columns.text == DOUBTFUL) | (columns.unit == DOUBTFUL)
    doubt |= np.abs(columns.value) >= EXACT_BELOW
    doubt |= columns.element >= READINGS_MAX
    if {} in held:  # has no reading of its own that could carry the doubt
        doubt |= np.isin(columns.record, of[[values == {} for values in held]])
    if not doubt.any():
        return columns, np.empty(0, np.int32)
    doubtful = np.unique(columns.record[doubt])
    return columns.take(~np.isin(columns.record, doubtful)), doubtful


def _singles(
    wires: Sequence[Wire], of: NDArray[np.int32], rows: Rows, texts: Names, units: Names
) -> Columns:
    count = len(wires)
    value, text = _values(list(map(_value, wires)), texts)
    return Columns(
        rows.of_singles(wires),
        timestamp.column(list(map(_stamp, wires))),
        value,
        text,
        np.fromiter(map(units.__getitem__, map(_unit, wires)), np.int32, count),
        np.fromiter(map(_quality, wires), np.uint32, count),
        of,
        of,
    )


def _frames(
    wires: Sequence[Wire], of: NDArray[np.int32], rows: Rows, texts: Names, units: Names
) -> Columns:
    row: list[int] = []
    values: list[float | str | bool | None] = []
    unit: list[int] = []
    ends: list[int] = []
    ts = timestamp.column(list(map(_stamp, wires)))
    for place, frame in enumerate(wires):
        assert frame.values is not None
        row += rows.of_frame(frame)
        values += frame.values.values()
        ends.append(len(row))
        if frame.units:
            unit.extend([NONE] * (ends[-1] - len(frame.values) - len(unit)))
            unit.extend(units[frame.units.get(metric)] for metric in frame.values)
        if frame.metric is not None or frame.value is not None:
            ts[place] = timestamp.DOUBT
    count = len(row)
    value, text = _values(values, texts)
    per_frame = np.diff(np.array(ends), prepend=0)
    return Columns(
        np.array(row, np.int32),
        np.repeat(ts, per_frame),
        value,
        text,
        np.array(unit + [NONE] * (count - len(unit)), np.int32),
        np.repeat(np.fromiter(map(_quality, wires), np.uint32, len(wires)), per_frame),
        np.repeat(of, per_frame),
        np.repeat(of, per_frame),
    )


def _both(
    wires: Sequence[Wire],
    of: NDArray[np.int32],
    rows: Rows,
    texts: Names,
    units: Names,
    framed: NDArray[np.bool_],
) -> Columns:
    """Frames and single readings mixed: each read as a column, then brought into order."""
    one = np.flatnonzero(~framed)
    many = np.flatnonzero(framed)
    frames = [wires[place] for place in many.tolist()]
    parts = (
        _singles([wires[place] for place in one.tolist()], of[one], rows, texts, units),
        _frames(frames, of[many], rows, texts, units),
    )
    order = (one, np.repeat(many, [len(frame.values or ()) for frame in frames]))
    at = np.argsort(np.concatenate(order), kind="stable")
    return joined(parts, at)


def _values(
    values: list[float | str | bool | None], texts: Names
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Numbers and text numbers: one of them is meant by each value."""
    count = len(values)
    kinds = list(map(type, values))
    if kinds.count(float) == count:
        return np.array(values, np.float64), np.full(count, NONE, np.int32)
    value = np.zeros(count)
    text = np.full(count, NONE, np.int32)
    numbers = [place for place, kind in enumerate(kinds) if kind is float]
    value[numbers] = [values[place] for place in numbers]
    others = [place for place, kind in enumerate(kinds) if kind is not float]
    text[others] = [_state(values[place], texts) for place in others]
    return value, text


def _state(value: float | str | bool | None, texts: Names) -> int:
    if value is True:
        return texts["true"]
    if value is False:
        return texts["false"]
    assert not isinstance(value, float)
    return texts[value]
