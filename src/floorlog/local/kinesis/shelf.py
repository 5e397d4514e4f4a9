"""The shelf: what lies in the database; reads for the event loop, work for the journal."""

import json
import secrets
import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

from floorlog.local.kinesis.journal import Work, connect
from floorlog.local.kinesis.page import Page, unpack
from floorlog.local.kinesis.shard import INDEX_BITS, Shard
from floorlog.local.kinesis.stream import Status, Stream

FILE_NAME: Final = "kinesis.sqlite3"
INDEX_MASK: Final = (1 << INDEX_BITS) - 1
PURGE_PAGES: Final = 2_000

_SAVE_STREAM: Final = "INSERT OR REPLACE INTO stream VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SAVE_SHARD: Final = "INSERT OR REPLACE INTO shard VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADVANCE: Final = (
    "UPDATE shard SET next_index = max(next_index, ?), last_arrival_ms = ? WHERE key = ?"
)
_PURGE: Final = (
    "DELETE FROM page WHERE id IN (SELECT id FROM page WHERE id >= ? AND id < ? LIMIT ?)"
)

PageRow = tuple[int, int, int, bool, bytes]


class Shelf:
    """The event loop's own connection, for reading; changes go through the journal's."""

    def __init__(self, directory: Path) -> None:
        """Open the database in `directory`, creating it if it is not there."""
        self.path = directory / FILE_NAME
        self._connection = connect(self.path)
        self._connection.executescript(files(__package__).joinpath("schema.sql").read_text("utf-8"))

    def close(self) -> None:
        """Close the reading connection."""
        self._connection.close()

    def secret(self) -> bytes:
        """Return the secret that authenticates tokens, made at the first start."""
        fresh = secrets.token_bytes(32)
        self._connection.execute(
            "INSERT OR IGNORE INTO setting VALUES ('token_secret', ?)", (fresh,)
        )
        row = self._connection.execute(
            "SELECT value FROM setting WHERE name = 'token_secret'"
        ).fetchone()
        return bytes(row[0])

    def last_keys(self) -> tuple[int, int]:
        """Return the greatest stream key and shard key ever given out."""
        rows = dict(self._connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
        return int(rows.get("stream", 0)), int(rows.get("shard", 0))

    def streams(self, arn_prefix: str) -> Iterator[Stream]:
        """Yield the stored streams with their shards."""
        for row in self._connection.execute("SELECT * FROM stream ORDER BY key").fetchall():
            stream = Stream(
                key=row[0],
                name=row[1],
                arn=arn_prefix + row[1],
                created_ms=row[2],
                status=Status(row[3]),
                ready_ms=row[4],
                retention_hours=row[5],
                key_id=row[6],
                horizon_ms=row[7],
                next_number=row[8],
                tags=json.loads(row[9]),
            )
            stream.shards = {shard.number: shard for shard in self._shards(stream.key)}
            stream.index_open()
            yield stream

    def orphans(self) -> list[Shard]:
        """Return the shards whose stream was deleted before all their pages were."""
        rows = self._connection.execute(
            "SELECT DISTINCT stream_key FROM shard EXCEPT SELECT key FROM stream"
        )
        return [shard for row in rows.fetchall() for shard in self._shards(row[0])]

    def _shards(self, stream_key: int) -> Iterator[Shard]:
        statement = "SELECT * FROM shard WHERE stream_key = ? ORDER BY number"
        for row in self._connection.execute(statement, (stream_key,)).fetchall():
            shard = Shard(
                key=row[0],
                stream_key=row[1],
                number=row[2],
                start=int(row[3]),
                end=int(row[4]),
                parents=tuple(json.loads(row[5])),
                created_ms=row[6],
                sequence_created_s=row[7],
                closed_ms=row[8],
                next_index=row[9],
                settled_index=row[9],
                last_arrival_ms=row[10],
            )
            self.find_oldest(shard, 0)
            yield shard

    def find_oldest(self, shard: Shard, keep_from_ms: int) -> None:
        """Set the shard's first index and arrival to those of its first since `keep_from_ms`."""
        row = self._connection.execute(
            "SELECT id, arrival_ms FROM page WHERE shard_key = ? AND arrival_ms >= ? ORDER BY "
            "arrival_ms, id LIMIT 1",
            (shard.key, keep_from_ms),
        ).fetchone()
        if row is None:
            shard.first_index, shard.oldest_ms = shard.settled_index, None
        else:
            shard.first_index, shard.oldest_ms = row[0] & INDEX_MASK, row[1]

    def index_at(self, shard: Shard, arrival_ms: int) -> int:
        """Return the index of the first record to arrive at `arrival_ms` or later, or the next."""
        row = self._connection.execute(
            "SELECT id FROM page WHERE shard_key = ? AND arrival_ms >= ? ORDER BY arrival_ms, id "
            "LIMIT 1",
            (shard.key, arrival_ms),
        ).fetchone()
        return shard.settled_index if row is None else row[0] & INDEX_MASK

    def pages(self, shard: Shard, index: int) -> Iterator[Page]:
        """Yield the shard's pages in order from that of `index` or the first after it."""
        wanted = shard.row_base + index
        row = self._connection.execute(
            "SELECT max(id) FROM page WHERE id <= ? AND id >= ?", (wanted, shard.row_base)
        ).fetchone()
        start = wanted if row[0] is None else row[0]
        rows = self._connection.execute(
            "SELECT id, arrival_ms, encrypted, body FROM page WHERE id >= ? AND id < ? ORDER BY id",
            (start, shard.row_end),
        )
        try:
            for row_id, arrival_ms, encrypted, body in rows:
                yield Page(row_id & INDEX_MASK, arrival_ms, bool(encrypted), unpack(body))
        finally:
            rows.close()


def save(stream: Stream, shards: list[Shard]) -> Work:
    """Return the work that stores a stream's row and those of `shards`, as they are now."""
    stream_row = (
        stream.key,
        stream.name,
        stream.created_ms,
        str(stream.status),
        stream.ready_ms,
        stream.retention_hours,
        stream.key_id,
        stream.horizon_ms,
        stream.next_number,
        json.dumps(stream.tags),
    )
    shard_rows = [_shard_row(stream, shard) for shard in shards]

    def work(connection: sqlite3.Connection) -> None:
        connection.execute(_SAVE_STREAM, stream_row)
        connection.executemany(_SAVE_SHARD, shard_rows)

    return work


def _shard_row(stream: Stream, shard: Shard) -> tuple[object, ...]:
    return (
        shard.key,
        stream.key,
        shard.number,
        str(shard.start),
        str(shard.end),
        json.dumps(shard.parents),
        shard.created_ms,
        shard.sequence_created_s,
        shard.closed_ms,
        shard.next_index,
        shard.last_arrival_ms,
    )


def add(pages: list[PageRow], advances: list[tuple[int, int, int]]) -> Work:
    """Return the work that stores pages and, per shard, (next index, last arrival, shard key)."""

    def work(connection: sqlite3.Connection) -> None:
        connection.executemany("INSERT INTO page VALUES (?, ?, ?, ?, ?)", pages)
        connection.executemany(_ADVANCE, advances)

    return work


def drop_stream(stream: Stream) -> Work:
    """Return the work that forgets a stream.

    Its shards are purged and dropped one by one after it.
    """
    key = stream.key

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM stream WHERE key = ?", (key,))

    return work


def drop_shard(shard: Shard) -> Work:
    """Return the work that forgets a shard whose pages have been purged."""
    key = shard.key

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM shard WHERE key = ?", (key,))

    return work


class Purge:
    """Deletes a shard's pages below a row id, a bounded number a commit.

    `more` says whether some are left.
    """

    def __init__(self, start: int, end: int) -> None:
        """Delete the rows start..end-1."""
        self._span = (start, end)
        self.more = True

    def __call__(self, connection: sqlite3.Connection) -> None:
        """Delete the next few."""
        deleted = connection.execute(_PURGE, (*self._span, PURGE_PAGES)).rowcount
        self.more = deleted == PURGE_PAGES
