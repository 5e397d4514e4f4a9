"""Writes docs/reference/ from the code: settings, commands, formats … Run it after a change."""

import sys
from pathlib import Path

import click

from floorlog import config
from floorlog.cli import floorlog
from floorlog.core.detect import describe

sys.path.insert(0, str(Path(__file__).resolve().parent))
import reference_api
import reference_columns
import reference_input

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE = "<!-- Made by script/reference.py from the code: change it there. -->\n"


def settings() -> str:
    """Give the page of all settings, as config.py describes them."""
    lines = [
        "# Settings",
        MADE,
        "The worker and the page read these from the environment; a wrong or missing one is",
        "named in one line at start.",
        "",
        "| variable | default | what it is |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{name}` | {value(default)} | {text} |" for name, default, text in config.reference()
    ]
    return "\n".join(lines) + "\n"


def value(default: str) -> str:
    """Write a default as a person would set it."""
    if default == "required":
        return default
    text = default.strip("'")
    return f"`{text}`" if text else "empty"


def commands() -> str:
    """Give the page of all commands: what each says with --help."""
    lines = ["# Commands", MADE]
    parent = floorlog.make_context("floorlog", [], resilient_parsing=True, terminal_width=90)
    for name in sorted(floorlog.commands):
        lines += command(name, floorlog.commands[name], parent)
    return "\n".join(lines)


def command(name: str, found: click.Command, parent: click.Context) -> list[str]:
    """Give the lines of one command, and of those within it."""
    context = click.Context(found, parent, name.rpartition(" ")[2], terminal_width=90)
    lines = [f"## {name}", "", "```", context.get_help(), "```", ""]
    if isinstance(found, click.Group):
        for inner in sorted(found.commands):
            lines += command(f"{name} {inner}", found.commands[inner], context)
    return lines


def detectors() -> str:
    """Give the page of all detectors: their docstrings."""
    heading, rest = describe().split("\n", 1)
    return f"{heading}\n{MADE}{rest}"


def wire() -> str:
    """Give the page of what a record of the stream may hold."""
    return f"# The wire's formats\n{MADE}\n{reference_input.wire()}"


def catalogue() -> str:
    """Give the page of the catalogue's file."""
    return f"# The catalogue's file\n{MADE}\n{reference_input.catalogue()}"


def api() -> str:
    """Give the page of the API."""
    return f"# The API\n{MADE}\n{reference_api.api()}"


def columns() -> str:
    """Give the page of every table's columns: the schema's comments."""
    return f"# Columns\n{MADE}\n{reference_columns.page()}"


PAGES = {
    "api.md": api,
    "settings.md": settings,
    "commands.md": commands,
    "detectors.md": detectors,
    "wire.md": wire,
    "catalogue.md": catalogue,
    "columns.md": columns,
}


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
