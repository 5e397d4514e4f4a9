"""The named queries of the store, read once."""

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import LiteralString

_HEAD = re.compile(r"^-- :name (\w+)\n((?:-- .*\n)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Query:
    """One statement: its name, what it is for, and its text."""

    name: str
    purpose: str
    text: LiteralString


def parse(text: str) -> dict[str, Query]:
    """The queries of a file: `-- :name x`, lines of comment that say its purpose, the statement.

    Raises:
        ValueError: a name stands twice, or a query has no purpose or no statement.
    """
    found: dict[str, Query] = {}
    heads = list(_HEAD.finditer(text))
    for place, head in enumerate(heads):
        end = heads[place + 1].start() if place + 1 < len(heads) else len(text)
        name = head[1]
        purpose = " ".join(line[3:] for line in head[2].splitlines())
        statement = text[head.end() : end].strip().rstrip(";")
        if name in found or not purpose or not statement:
            message = f"query {name}: the name stands twice, or the purpose or statement is missing"
            raise ValueError(message)
        found[name] = Query(name, purpose, statement)
    return found


FILES = ("queries.sql", "chunks.sql", "alarms.sql", "detection.sql", "pages.sql")
QUERIES = parse(
    "".join(files("floorlog.store").joinpath(name).read_text("utf-8") for name in FILES)
)


def sql(name: str) -> LiteralString:
    """The text of a named query."""
    return QUERIES[name].text
