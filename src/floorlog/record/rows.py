"""Rows of a long answer, read a page at a time through a cursor of the server."""

import struct
from collections.abc import Iterator, Mapping
from importlib.resources import files
from itertools import count
from typing import Any

import psycopg
from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.types.numeric import Int8BinaryDumper

from floorlog.errors import ServiceError
from floorlog.store.queries import parse

Connection = psycopg.Connection[Any]
Row = tuple[Any, ...]

_FILES = ("verify.sql", "evidence.sql")
QUERIES = parse("\n".join(files("floorlog.record").joinpath(f).read_text("utf-8") for f in _FILES))
PAGE_BYTES = 4 << 20
PAGE_ROWS = (8, 2_000)
EPOCH_2000_US = 946_684_800_000_000
LATEST_US = 3_800_000_000_000_000_000  # as the record cuts times: see to_us in SQL
_ARRAYS = (1005, 1007, 1016, 1021, 1022)  # int2, int4, int8, float4, float8
_SETTINGS = {
    "search_path": "pg_catalog",
    "timezone": "UTC",
    "statement_timeout": "15min",
    "enable_seqscan": "off",
    "enable_sort": "off",
    "enable_hashjoin": "on",
    "jit": "off",
}
_names = count()


class _Bytes(Loader):
    """Arrays as the server sends them: what lies in them is checked, not trusted."""

    format = Format.BINARY

    def load(self, data: Any) -> bytes:  # noqa: ANN401 - psycopg's buffer
        """As they are."""
        return bytes(data)


def unread(error: psycopg.Error) -> ServiceError:
    """What is said of a record that cannot be read."""
    return ServiceError(
        f"the record cannot be read: {str(error).strip().splitlines()[0]}",
        where="database",
        fix="see that it runs and is migrated",
    )


def settle(connection: Connection) -> None:
    """Make a connection in a transaction ready for Rows."""
    for array in _ARRAYS:
        connection.adapters.register_loader(array, _Bytes)
    connection.adapters.register_dumper(int, Int8BinaryDumper)
    values = {"names": list(_SETTINGS), "values": list(_SETTINGS.values())}
    connection.execute(QUERIES["set_verification"].text, values)


def time_us(sent: bytes) -> int:
    """µs since 1970 of a timestamptz as it is sent, cut as the record cuts them."""
    found: int = struct.unpack(">q", sent)[0]
    if abs(found) >= 2**63 - 1:  # the infinities
        return LATEST_US if found > 0 else -LATEST_US
    return min(max(found + EPOCH_2000_US, -LATEST_US), LATEST_US)


class Rows:
    """The rows of a named query.

    Attributes:
        head: the next row; None at the end.
    """

    def __init__(self, connection: Connection, name: str, values: Mapping[str, Any]) -> None:
        self._connection = connection
        self._cursor = f"rows_{next(_names)}"
        connection.execute(
            f"DECLARE {self._cursor} NO SCROLL CURSOR FOR {QUERIES[name].text}",
            values,
            prepare=False,
        )
        self._page_rows = PAGE_ROWS[0]
        self._page: Iterator[Row] = iter(())
        self.head: Row | None = None
        self.take()

    def take(self) -> Row | None:
        """The next row; the one after it becomes the head."""
        taken = self.head
        self.head = next(self._page, None)
        if self.head is None and self._page_rows:
            self._fetch()
            self.head = next(self._page, None)
        return taken

    def page(self) -> list[Row]:
        """All rows that are at hand, at least one; empty at the end."""
        if self.head is None:
            return []
        found = [self.head, *self._page]
        self.head = None
        self.take()
        return found

    def of(self, key: Row) -> list[Row]:
        """The rows that begin with this key, when they are next."""
        found = []
        size = len(key)
        while self.head is not None and self.head[:size] == key:
            found.append(self.head)
            self.take()
        return found

    def before(self, key: Row) -> list[Row]:
        """The rows that come before this key."""
        found = []
        size = len(key)
        while self.head is not None and self.head[:size] < key:
            found.append(self.head)
            self.take()
        return found

    def _fetch(self) -> None:
        rows = self._connection.execute(
            f"FETCH {self._page_rows} FROM {self._cursor}",
            binary=True,
            prepare=False,
        ).fetchall()
        if len(rows) < self._page_rows:
            self._page_rows = 0
            self._connection.execute(f"CLOSE {self._cursor}", prepare=False)
        else:
            size = sum(len(part) for part in rows[-1] if isinstance(part, bytes | str)) + 100
            self._page_rows = min(max(PAGE_BYTES // size, PAGE_ROWS[0]), PAGE_ROWS[1])
        self._page = iter(rows)
