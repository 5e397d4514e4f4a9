"""Streams a table's readings as frames, in bounded memory."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice

import msgspec
import numpy as np
from numpy.typing import NDArray

from floorlog.source import csv_cell, csv_time
from floorlog.source.csv_cell import Value
from floorlog.source.csv_file import Table
from floorlog.source.csv_mapping import Mapping
from floorlog.source.csv_time import UNREADABLE, Zone

BLOCK_ROWS = 4096
SKIPS_KEPT_MAX = 20
_NUMBER_IS_US = range(10**14, 10**17)
"""Numbers that decode takes for µs; other times are written as text."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Frame(msgspec.Struct, omit_defaults=True, gc=False):
    """Values of one device at one time, as on the wire."""

    device_id: str
    ts: int | str
    values: dict[str, Value]
    units: dict[str, str] | None = None


@dataclass(slots=True)
class Replay:
    """One table as blocks of frames, each row's in the order of the file.

    What is not sent is counted: `skipped` rows with the first reasons in `skips`, `empty` cells.
    `zone` counts the times that a change of the clock blurs.
    """

    mapping: Mapping
    block_rows: int = BLOCK_ROWS
    readings: int = 0  # in the frames given so far
    rows: int = 0
    skipped: int = 0
    skips: list[str] = field(default_factory=list)
    empty: int = 0
    read_bytes: int = 0
    size_bytes: int = 0
    zone: Zone = field(init=False)
    _told: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        """Begin with nothing counted."""
        mapping = self.mapping
        long = mapping.metric_column is not None or mapping.device_column is not None
        self.zone = Zone(mapping.timezone, repeats=long)

    def __iter__(self) -> Iterator[list[Frame]]:
        """Blocks of frames. Raises InputError when the file breaks off."""
        mapping = self.mapping
        frames = self._wide if mapping.metric_column is None else self._long
        with Table(mapping.path) as table:
            self.size_bytes = table.size_bytes
            rows = (
                (number, row)
                for number, row in enumerate(table.rows(mapping.encoding, mapping.delimiter), 1)
                if row
            )
            _skip_until(rows, mapping)
            while block := list(islice(rows, self.block_rows)):
                self.rows += len(block)
                found = frames(*self._timed(block))
                self.readings += sum(len(frame.values) for frame in found)
                self.read_bytes = table.position_bytes()
                yield found
            self.read_bytes = self.size_bytes

    def warnings(self) -> list[str]:
        """What a person should know of the file, in lines for the screen."""
        zone = self.zone
        lines = [f"{self.skipped} rows skipped: {'; '.join(self.skips[:3])}"] * bool(self.skipped)
        if zone.doubled:
            lines.append(
                f"{zone.doubled} times lie in an hour that {zone.name} has twice, the first "
                f"{zone.doubled_first}: taken as its first pass until they go back"
            )
        if zone.skipped:
            lines.append(
                f"{zone.skipped} times do not exist in {zone.name}, the first "
                f"{zone.skipped_first}: taken as if the clock had not been changed"
            )
        return lines

    def _skip(self, number: int, reason: str) -> None:
        self.skipped += 1
        if len(self.skips) < SKIPS_KEPT_MAX:
            self.skips.append(f"row {number}: {reason}")

    def _timed(
        self, block: list[tuple[int, list[str]]]
    ) -> tuple[list[list[str]], Sequence[int | str]]:
        """The block's rows that have the right width and a time, and the times as on the wire."""
        width = len(self.mapping.columns)
        numbers = [number for number, _ in block]
        rows = [row for _, row in block]
        if set(map(len, rows)) != {width}:
            numbers, rows = self._of_width(numbers, rows, width)
        place, *clock = self.mapping.time_columns
        texts = [row[place] for row in rows]
        if clock:
            texts = [f"{date} {row[clock[0]]}" for date, row in zip(texts, rows, strict=True)]
        ts, local = csv_time.read(texts, self.mapping.time_format)
        self.zone.to_utc(ts, local)
        readable = ts != UNREADABLE
        if not readable.all():
            for at in np.flatnonzero(~readable).tolist():
                self._skip(numbers[at], f"{texts[at][:40]!r} is no time")
            rows = [row for row, ok in zip(rows, readable.tolist(), strict=True) if ok]
        return rows, _stamps(ts[readable])

    def _of_width(
        self, numbers: list[int], rows: list[list[str]], width: int
    ) -> tuple[list[int], list[list[str]]]:
        kept_numbers, kept = [], []
        for number, row in zip(numbers, rows, strict=True):
            if len(row) < width or any(cell.strip() for cell in row[width:]):
                self._skip(number, f"{len(row)} fields instead of {width}")
            else:
                kept_numbers.append(number)
                kept.append(row[:width])
        return kept_numbers, kept

    def _wide(self, rows: list[list[str]], stamps: Sequence[int | str]) -> list[Frame]:
        """A frame a row."""
        mapping = self.mapping
        if not rows:
            return []
        cells = list(zip(*rows, strict=True))
        columns = [
            csv_cell.states(cells[column.place])
            if column.states
            else csv_cell.numbers(cells[column.place], mapping.decimal)
            for column in mapping.values
        ]
        metrics = [column.metric for column in mapping.values]
        if mapping.device_column is None:
            devices: Sequence[str] = [mapping.device] * len(rows)
        else:
            devices = [cell.strip() for cell in cells[mapping.device_column]]
        frames = []
        for device, ts, values in zip(devices, stamps, zip(*columns, strict=True), strict=True):
            if None in values:
                held = {
                    metric: value
                    for metric, value in zip(metrics, values, strict=True)
                    if value is not None
                }
                self.empty += len(metrics) - len(held)
                if not held:
                    continue
            else:
                held = dict(zip(metrics, values, strict=True))
            frames.append(Frame(device or mapping.device, ts, held))
        self._tell_units(frames, {c.metric: c.unit for c in mapping.values if c.unit})
        return frames

    def _tell_units(self, frames: list[Frame], units: dict[str, str]) -> None:
        """Say each series' unit with its first value: the record keeps it from there on."""
        if not units:
            return
        missing = {
            device: units.keys() - self._told[device] for device in {f.device_id for f in frames}
        }
        for frame in frames:
            wanted = missing[frame.device_id]
            if wanted and (now := wanted & frame.values.keys()):
                frame.units = {metric: units[metric] for metric in sorted(now)}
                wanted -= now
                self._told[frame.device_id] |= now

    def _long(self, rows: list[list[str]], stamps: Sequence[int | str]) -> list[Frame]:
        """A frame for neighbouring rows of one device and time."""
        mapping = self.mapping
        metric_at, device_at, unit_at = (
            mapping.metric_column, mapping.device_column, mapping.unit_column,
        )  # fmt: skip
        if not rows:
            return []
        cells = list(zip(*rows, strict=True))
        assert metric_at is not None
        values = csv_cell.numbers(cells[mapping.values[0].place], mapping.decimal)
        metrics = list(map(str.strip, cells[metric_at]))
        devices = (
            [mapping.device] * len(rows)
            if device_at is None
            else list(map(str.strip, cells[device_at]))
        )
        units = None if unit_at is None else list(map(str.strip, cells[unit_at]))
        frames: list[Frame] = []
        last = Frame("", "", {})
        for at, value in enumerate(values):
            if value is None:
                self.empty += 1
                continue
            device, metric = devices[at] or mapping.device, metrics[at]
            if last.device_id != device or last.ts != stamps[at] or metric in last.values:
                last = Frame(device, stamps[at], {})
                frames.append(last)
            last.values[metric] = value
            if units is not None and units[at] and metric not in self._told[device]:
                self._told[device].add(metric)
                last.units = {**(last.units or {}), metric: units[at]}
        return frames


def _skip_until(rows: Iterator[tuple[int, list[str]]], mapping: Mapping) -> None:
    """Pass titles and header: `first_row` counts rows that are not blank."""
    passed = 0
    while passed < mapping.first_row:
        _, row = next(rows)
        passed += any(cell.strip() for cell in row)


def _stamps(ts: NDArray[np.int64]) -> Sequence[int | str]:
    """Times as on the wire: µs where decode takes the number for µs, else text."""
    stamps: list[int] = ts.tolist()
    if not stamps or (min(stamps) in _NUMBER_IS_US and max(stamps) in _NUMBER_IS_US):
        return stamps
    return [
        each if each in _NUMBER_IS_US
        else (_EPOCH + timedelta(microseconds=each)).replace(tzinfo=None).isoformat() + "Z"
        for each in stamps
    ]  # fmt: skip
