"""How a table becomes readings: which columns mean what, said in lines for the screen."""

from dataclasses import dataclass
from pathlib import Path

from floorlog.source.csv_time import TimeFormat

_NAMED_DELIMITER = {"\t": "tab", ";": "';'", "|": "'|'", ",": "','"}


@dataclass(frozen=True, slots=True)
class ValueColumn:
    """A column of values."""

    place: int
    metric: str
    unit: str | None = None
    states: bool = False  # names of states, not numbers


@dataclass(frozen=True, slots=True)
class Mapping:
    """How a table becomes readings."""

    path: Path
    encoding: str
    delimiter: str
    decimal: str
    columns: tuple[str, ...]
    first_row: int  # rows before the first reading, header included
    time_columns: tuple[int, ...]  # one, or date and time of day
    time_format: TimeFormat
    timezone: str | None
    device: str  # where no column says it
    device_column: int | None
    metric_column: int | None  # long: the row's metric; wide: None
    unit_column: int | None
    values: tuple[ValueColumn, ...]  # long: the one column of values

    def describe(self) -> list[str]:
        """The mapping in lines for the screen."""
        named = self.columns
        decimal = ", decimal comma" if self.decimal == "," else ""
        time = " + ".join(f"'{named[place]}'" for place in self.time_columns)
        split = _NAMED_DELIMITER.get(self.delimiter, repr(self.delimiter))
        lines = [
            f"file    {self.path.name}: {self.encoding}, split by {split}{decimal}",
            f"time    {time}, {self.time_format}{self._zone()}",
        ]
        if self.time_format.ambiguous:
            lines.append(
                "        day and month could be the other way round: say --day-first or "
                "--month-first"
            )
        if self.device_column is None:
            lines.append(f"device  {self.device}, by the file's name")
        else:
            lines.append(f"device  '{named[self.device_column]}'")
        if self.metric_column is not None:
            unit = "" if self.unit_column is None else f", unit '{named[self.unit_column]}'"
            lines.append(
                f"values  '{named[self.values[0].place]}', one row a value, "
                f"metric '{named[self.metric_column]}'{unit}"
            )
        else:
            lines.append(f"values  {', '.join(map(_said, self.values))}")
        unused = [f"'{named[place]}'" for place in self._unused()]
        if unused:
            lines.append(f"unused  {', '.join(unused)}")
        return lines

    def _zone(self) -> str:
        if not self.time_format.naive:
            return ""
        if self.timezone is None:
            return "; no zone is given: taken as UTC (--timezone ZONE says otherwise)"
        return f", in {self.timezone}"

    def _unused(self) -> list[int]:
        used = {*self.time_columns, self.device_column, self.metric_column, self.unit_column}
        used |= {column.place for column in self.values}
        return [place for place in range(len(self.columns)) if place not in used]


def _said(column: ValueColumn) -> str:
    unit = f" [{column.unit}]" if column.unit else ""
    return f"{column.metric}{unit}{' (states)' if column.states else ''}"
