"""The options by which a person says how tables are laid out, and what is made of them."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from floorlog.source.csv_mapping import Mapping


def layout(command: "Callable[..., None]") -> "Callable[..., None]":
    """Add the options by which a person says how a table is laid out."""
    options = [
        click.option("--timezone", metavar="ZONE", help="Of times without one; else UTC."),
        click.option("--time", metavar="COLUMN", help="The column of times."),
        click.option("--device", metavar="COLUMN", help="The column that names the device."),
        click.option("--device-name", metavar="NAME", help="The device of all rows."),
        click.option("--metric", metavar="COLUMN", help="The column that names the metric."),
        click.option("--value", "values", metavar="COLUMN", multiple=True, help="A value column."),
        click.option("--delimiter", metavar="CHARACTER", help="Between columns."),
        click.option("--decimal", type=click.Choice([".", ","]), help="Before decimals."),
        click.option("--encoding", metavar="NAME", help="Of the file's text."),
        click.option("--day-first/--month-first", default=None, help="Of dates such as 1/2/2026."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def mappings_of(files: "Sequence[Path]", wishes: dict[str, Any]) -> "list[Mapping]":
    """How the files become readings, which is shown on stderr."""
    from floorlog.source.convoy import guess_all
    from floorlog.source.csv_shape import Wishes

    mappings = guess_all(files, Wishes(**{**wishes, "values": wishes["values"] or None}))
    for mapping in mappings:
        say(mapping.describe())
    return mappings


def say(lines: list[str]) -> None:
    """Lines for the person, beside what the command prints."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)
