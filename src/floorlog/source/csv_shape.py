"""Guesses how a table is laid out: which columns hold time, device, metric and values."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfoNotFoundError

from floorlog.errors import InputError
from floorlog.source import csv_cell, csv_time
from floorlog.source.csv_file import Table, encoding_of, first_rows
from floorlog.source.csv_mapping import Mapping, ValueColumn
from floorlog.source.csv_time import TimeFormat, Zone

DELIMITERS = ("\t", ";", "|", ",")
SAMPLE_ROWS = 2000

_TIME = frozenset([
    "time", "timestamp", "ts", "datetime", "date", "zeit", "zeitstempel", "datum", "uhrzeit",
    "epoch", "unixtime", "unix", "utc", "t", "timeutc", "utctime", "measuredat", "createdat",
    "recordedat", "timems", "epochms", "unixtimestamp",
])  # fmt: skip
_DEVICE = frozenset([
    "device", "deviceid", "devicename", "machine", "machineid", "asset", "assetid", "equipment",
    "equipmentid", "sensorid", "sensor", "gerat", "geraet", "maschine", "anlage", "station", "well",
    "wellid", "node",
])  # fmt: skip
_METRIC = frozenset([
    "metric", "metricname", "signal", "signalname", "variable", "parameter", "measurement",
    "measure", "tag", "tagname", "channel", "point", "pointname", "name", "messgrosse", "kanal",
    "signalid", "field", "key", "sensorname", "sensortype",
])  # fmt: skip
_VALUE = frozenset([
    "value", "values", "wert", "messwert", "reading", "val", "measurementvalue", "v",
])  # fmt: skip
_GERMAN = str.maketrans({"ä": "a", "ö": "o", "ü": "u", "ß": "ss"})
_UNIT = frozenset(["unit", "units", "einheit", "uom"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a person says of the table; None = guess."""

    time: str | None = None
    device: str | None = None  # a column's name
    device_name: str | None = None  # for all rows
    metric: str | None = None
    values: Sequence[str] | None = None
    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    timezone: str | None = None
    day_first: bool | None = None


def guess(path: Path, wishes: Wishes = Wishes()) -> Mapping:  # frozen
    """The layout of a table by its first rows.

    Raises:
        InputError: the file cannot be read, holds no table or no time, or a wish names what is not
            there.
    """
    if wishes.timezone is not None:
        check_zone(wishes.timezone)
    with Table(path) as table:
        sample = table.sample()
        encoding = wishes.encoding or encoding_of(sample)
        try:
            "".encode(encoding)
        except LookupError as error:
            fix = "say utf-8, latin-1 or another that Python knows"
            raise InputError(f"{encoding} is no encoding", where="--encoding", fix=fix) from error
        delimiter = wishes.delimiter or _delimiter(sample, encoding, path)
        rows = first_rows(sample, encoding, delimiter)
        sheet = _Sheet(path, rows[: SAMPLE_ROWS + 50], delimiter, wishes)
        mapping = sheet.mapping(encoding)
        if mapping.time_format.ambiguous:
            mapping = _settle(table, mapping)
    return mapping


def device_of(path: Path) -> str:
    """The device that a file is named after."""
    name = path.name.removesuffix(".gz")
    return name.rsplit(".", 1)[0] or name


def check_zone(name: str) -> None:
    """Raise InputError where the zone is unknown."""
    try:
        Zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        fix = "say one such as Europe/Berlin or UTC; pip install tzdata where the system has none"
        raise InputError(f"the zone {name!r} is unknown", where="--timezone", fix=fix) from error


def _delimiter(sample: bytes, encoding: str, path: Path) -> str:
    """The delimiter that splits the most rows into one and the same number of fields."""
    best, best_share, split_at_all = "", 0.0, False
    for delimiter in DELIMITERS:
        rows = first_rows(sample, encoding, delimiter)[:SAMPLE_ROWS]
        if not rows:
            continue
        counts = Counter(map(len, rows))
        fields, often = max(counts.items(), key=lambda item: (item[1], item[0]))
        share = often / len(rows) if fields > 1 else 0.0
        split_at_all |= len(counts) > 1 or fields > 1
        # A decimal comma also splits evenly: the others come first and must only be as good.
        if share > best_share + (0.05 if best else 0.0):
            best, best_share = delimiter, share
    if not split_at_all:
        raise InputError(
            "has no columns: no row is split by ',', ';', '|' or a tab",
            where=str(path),
            fix="say --delimiter if another is used; a table needs a time and at least one value",
        )
    if best_share < 0.5:
        raise InputError(
            "has rows of many widths: the delimiters seem mixed",
            where=str(path),
            fix="say --delimiter, or write the file with one delimiter throughout",
        )
    return best


class _Sheet:
    """The first rows of a table, while its layout is being guessed."""

    def __init__(self, path: Path, rows: list[list[str]], delimiter: str, wishes: Wishes) -> None:
        self.path, self.delimiter, self.wishes = path, delimiter, wishes
        widths = Counter(map(len, rows))
        self.width = max(widths.items(), key=lambda item: (item[1], item[0]))[0]
        # Titles above the table have another width.
        self.preamble = next(at for at, row in enumerate(rows) if len(row) == self.width)
        if self.preamble:
            self._check_title(delimiter.join(rows[self.preamble - 1]))
        self.rows = [row for row in rows[self.preamble :] if len(row) == self.width]
        self.header, self.columns = self._header()
        self.body = self.rows[self.header :][:SAMPLE_ROWS]
        if not self.body:
            raise InputError(
                "has a header and no rows", where=str(path), fix="give a file with readings"
            )

    def _check_title(self, line: str) -> None:
        """Refuse a header that another delimiter splits: it would be taken for a title."""
        for other in DELIMITERS:
            if other != self.delimiter and line.count(other) == self.width - 1:
                raise InputError(
                    f"has a header split by {other!r} above rows split by {self.delimiter!r}",
                    where=str(self.path),
                    fix="write the file with one delimiter throughout",
                )

    def _header(self) -> tuple[int, tuple[str, ...]]:
        """How many rows the header has, 0 or 1, and the columns' names."""
        first = self.rows[0]
        numeric = [csv_cell.number(cell, ",") is not None for cell in first]
        times = [csv_time.guess([cell], named=False, day_first=None) for cell in first]
        if any(numeric) or any(time is not None for time in times):
            return 0, tuple(f"column {place}" for place in range(1, self.width + 1))
        names: list[str] = []
        for place, cell in enumerate(first, 1):
            name = cell.strip() or f"column {place}"
            names.append(name if name not in names else f"{name} {place}")
        return 1, tuple(names)

    def cells(self, place: int) -> list[str]:
        """A column's cells that are not empty."""
        return [
            plain
            for row in self.body
            if (plain := row[place].strip()).lower() not in csv_cell.EMPTY
        ]

    def find(self, name: str, flag: str) -> int:
        """The column that a person named, by name or number."""
        for place, column in enumerate(self.columns):
            if name in (column, csv_cell.name_and_unit(column)[0]) or name == str(place + 1):
                return place
        raise InputError(
            f"has no column {name!r}; it has {self.listed()}",
            where=str(self.path),
            fix=f"say one of these with {flag}",
        )

    def listed(self) -> str:
        """The columns, for people."""
        shown = ", ".join(f"'{column}'" for column in self.columns[:30])
        return shown + (f" and {len(self.columns) - 30} more" if len(self.columns) > 30 else "")

    def named(self, names: frozenset[str], taken: set[int]) -> int | None:
        """The first column with one of these names, spelt somehow."""
        for place, column in enumerate(self.columns):
            plain = re.sub(r"[\W_]+", "", csv_cell.name_and_unit(column)[0].lower())
            plain = plain.translate(_GERMAN)
            if plain in names and place not in taken:
                return place
        return None

    def mapping(self, encoding: str) -> Mapping:
        """The layout."""
        time_columns, form = self._time()
        taken = set(time_columns)
        device, metric, value, unit = self._keys(taken)
        taken |= {place for place in (device, metric, value, unit) if place is not None}
        others = [
            cell
            for place in range(self.width)
            if place not in time_columns
            for cell in self.cells(place)
        ]
        decimal = self.wishes.decimal or csv_cell.decimal_of(others, self.delimiter)
        if metric is not None and value is not None:
            values: tuple[ValueColumn, ...] = (ValueColumn(value, self.columns[value]),)
        else:
            values = self._values(taken, decimal)
        return Mapping(
            self.path,
            encoding,
            self.delimiter,
            decimal,
            self.columns,
            self.preamble + self.header,
            time_columns,
            form,
            self.wishes.timezone,
            self.wishes.device_name or device_of(self.path),
            device,
            metric,
            unit,
            values,
        )

    def _time(self) -> tuple[tuple[int, ...], TimeFormat]:
        """The time's columns and format; the first that has a time's name and holds times."""
        wish = self.wishes.time
        if wish is not None:
            place = self.find(wish, "--time")
            form = self._form(place, named=True)
            if form is None:
                raise InputError(
                    f"column {wish!r} holds no times: {self.cells(place)[:1]}",
                    where=str(self.path),
                    fix=f"say another with --time; there are {self.listed()}",
                )
            return self._with_clock(place), form
        first = self.named(_TIME, set())
        named = [] if first is None else [first]
        for place in range(self.width):
            if place not in named and self.named(_TIME, set(range(place))) == place:
                named.append(place)
        for place in [*named, *(place for place in range(self.width) if place not in named)]:
            form = self._form(place, named=place in named)
            if form is not None:
                return self._with_clock(place), form
        raise InputError(
            f"has no column of times; it has {self.listed()}",
            where=str(self.path),
            fix="say --time COLUMN if one of these is the time; it needs a date, not only hours",
        )

    def _form(self, place: int, *, named: bool) -> TimeFormat | None:
        cells = self.cells(place)
        if not cells:
            return None
        return csv_time.guess(cells, named=named, day_first=self.wishes.day_first)

    def _with_clock(self, place: int) -> tuple[int, ...]:
        """The column, and with it the time of day where that stands in a column of its own."""
        cells = self.cells(place)
        if any(":" in cell or cell.isdecimal() for cell in cells):
            return (place,)
        for other in range(self.width):
            clocks = self.cells(other)
            if other != place and clocks and all(map(csv_time.is_clock, clocks)):
                return place, other
        return (place,)

    def _keys(self, taken: set[int]) -> tuple[int | None, int | None, int | None, int | None]:
        """Columns of device, metric, value and unit; metric and value only where it is long."""
        wishes = self.wishes
        device = self._wished(wishes.device, "--device")
        if device is None and wishes.device_name is None:
            device = self._repeated(self.named(_DEVICE, taken))
        used = taken | {device} if device is not None else set(taken)
        metric = self._wished(wishes.metric, "--metric")
        value = None
        if wishes.values is not None and len(wishes.values) == 1:
            value = self.find(wishes.values[0], "--value")
        if metric is None and wishes.values is None:
            metric = self._repeated(self.named(_METRIC, used))
            if metric is None and device is not None and self.named(_VALUE, used) is not None:
                rest = self.width - len(used)
                # time, sensor, value: what looked like the device names the series
                if rest == 1 and wishes.device is None:
                    device, metric = None, device
        if metric is not None and value is None:
            value = self.named(_VALUE, used | {metric})
        if metric is None or value is None:
            return device, None, None, None
        return device, metric, value, self.named(_UNIT, used | {metric, value})

    def _wished(self, name: str | None, flag: str) -> int | None:
        return None if name is None else self.find(name, flag)

    def _repeated(self, place: int | None) -> int | None:
        """The column where its cells are names that come again, else None."""
        if place is None:
            return None
        cells = self.cells(place)
        fraction = sum("." in cell and csv_cell.number(cell, ".") is not None for cell in cells)
        few = len(set(cells)) <= max(1, len(cells) // 2) or len(cells) < 5
        return place if cells and few and fraction == 0 else None

    def _values(self, taken: set[int], decimal: str) -> tuple[ValueColumn, ...]:
        """A metric a column."""
        if self.wishes.values is not None:
            places = [self.find(name, "--value") for name in self.wishes.values]
        else:
            places = [place for place in range(self.width) if place not in taken]
        if not places:
            raise InputError(
                f"has no column of values; it has {self.listed()}",
                where=str(self.path),
                fix="say --value COLUMN",
            )
        named = [csv_cell.name_and_unit(self.columns[place]) for place in places]
        often = Counter(name for name, _ in named)
        found = []
        for place, (name, unit) in zip(places, named, strict=True):
            cells = self.cells(place)
            numbers = sum(csv_cell.number(cell, decimal) is not None for cell in cells)
            full = self.columns[place] if often[name] > 1 else name
            found.append(ValueColumn(place, full, unit, numbers < 0.5 * len(cells)))
        return tuple(found)


def _settle(table: Table, mapping: Mapping) -> Mapping:
    """Day or month first, by all of the file: the first above 12 tells."""
    place = mapping.time_columns[0]
    seen: set[str] = set()
    for row in table.rows(mapping.encoding, mapping.delimiter):
        day = row[place][:6] if place < len(row) else ""
        if day in seen:
            continue
        seen.add(day)
        form = csv_time.guess([row[place]], named=True, day_first=None) if day else None
        if form is not None and form.order in ("dmy", "mdy") and not form.ambiguous:
            return replace(
                mapping, time_format=replace(mapping.time_format, order=form.order, ambiguous=False)
            )
    order = "dmy" if mapping.delimiter == ";" or mapping.decimal == "," else "mdy"
    return replace(mapping, time_format=replace(mapping.time_format, order=order))
