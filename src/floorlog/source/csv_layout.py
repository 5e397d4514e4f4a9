"""How a table is laid out, as a person edits it: the guess is the first draft."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from floorlog.errors import InputError
from floorlog.source.csv_file import Table, first_rows
from floorlog.source.csv_mapping import Mapping, ValueColumn
from floorlog.source.csv_shape import Wishes, check_zone, guess

COLUMNS_MAX = 1_000
SHOWN_ROWS = 8
SHOWN_CHARACTERS = 60

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Place = Annotated[int, Meta(ge=0, lt=COLUMNS_MAX, description="a column, from 0")]


class ValueLayout(Struct, frozen=True, forbid_unknown_fields=True):
    """A column of values: its metric, its unit (UCUM or as written), states instead of numbers."""

    place: Place
    metric: Name
    unit: Annotated[str, Meta(min_length=1, max_length=50)] | None = None
    states: bool = False


class Layout(Struct, frozen=True, forbid_unknown_fields=True):
    """Which column means what, and how its cells are written.

    `time` is the column of times (a clock in a column of its own is found by itself); `device` the
    column that names the device, else `device_name` is that of all rows; with `metric` each row is
    one value of the metric that this column names, from the one column in `values`. Without
    `timezone` times that say no offset are UTC. `day_first` settles dates such as 1/2/2026.
    """

    time: Place
    device_name: Name
    values: Annotated[list[ValueLayout], Meta(min_length=1, max_length=COLUMNS_MAX)]
    device: Place | None = None
    metric: Place | None = None
    unit: Place | None = None
    delimiter: Annotated[str, Meta(pattern=r'^[^\x00\r\n" ]$')] = ","
    decimal: Annotated[str, Meta(pattern=r"^[.,]$")] = "."
    encoding: Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9._-]+$")] = (
        "utf-8"
    )
    timezone: Annotated[str, Meta(min_length=1, max_length=80)] | None = None
    day_first: bool | None = None


def layout_of(mapping: Mapping) -> Layout:
    """A mapping as a person edits it."""
    order = mapping.time_format.order
    return Layout(
        time=mapping.time_columns[0],
        device_name=mapping.device,
        values=[
            ValueLayout(one.place, one.metric[:200], one.unit, one.states)
            for one in mapping.values[:COLUMNS_MAX]
        ],
        device=mapping.device_column,
        metric=mapping.metric_column,
        unit=mapping.unit_column,
        delimiter=mapping.delimiter,
        decimal=mapping.decimal,
        encoding=mapping.encoding,
        timezone=mapping.timezone,
        day_first={"dmy": True, "mdy": False}.get(order),
    )


def mapping_of(path: Path, layout: Layout) -> Mapping:
    """The mapping that a layout asks of a table; nothing in it is guessed but what it leaves open.

    Raises:
        InputError: the file cannot be read, has no such column, or its time holds no times.
    """
    if layout.timezone is not None:
        check_zone(layout.timezone)
    wishes = Wishes(
        time=str(layout.time + 1), device_name=layout.device_name, values=("1",),
        delimiter=layout.delimiter, decimal=layout.decimal, encoding=layout.encoding,
        timezone=layout.timezone, day_first=layout.day_first,
    )  # fmt: skip
    found = guess(path, wishes)
    places = [layout.device, layout.metric, layout.unit, *(one.place for one in layout.values)]
    for place in places:
        if place is not None and place >= len(found.columns):
            raise InputError(
                f"has no column {place + 1}; it has {len(found.columns)}",
                where=path.name,
                fix="read its columns again, and choose among them",
            )
    if layout.metric is not None and len(layout.values) != 1:
        raise InputError(
            "rows that name their metric have one column of values",
            where="values",
            fix="choose one column of values, or no column of metrics",
        )
    metrics = [one.metric for one in layout.values]
    if layout.metric is None and len(set(metrics)) < len(metrics):
        twice = next(name for name in metrics if metrics.count(name) > 1)
        raise InputError(
            f"two columns are the metric {twice!r}",
            where="values",
            fix="give each column of values a metric of its own",
        )
    return replace(
        found,
        device_column=layout.device,
        metric_column=layout.metric,
        unit_column=layout.unit if layout.metric is not None else None,
        values=tuple(
            ValueColumn(one.place, one.metric, one.unit, one.states) for one in layout.values
        ),
    )


def first_cells(path: Path, mapping: Mapping) -> list[list[str]]:
    """The first rows below the header, long cells cut; for a person to compare with the mapping.

    Raises:
        InputError: the file cannot be read.
    """
    with Table(path) as table:
        rows = first_rows(table.sample(), mapping.encoding, mapping.delimiter)
    below = islice(rows, mapping.first_row, mapping.first_row + SHOWN_ROWS)
    return [[cell[:SHOWN_CHARACTERS] for cell in row[: len(mapping.columns)]] for row in below]
