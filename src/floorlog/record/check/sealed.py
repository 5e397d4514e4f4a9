"""Sealed readings by batch: what proofs, exports and verification recompute leaves from.

A chunk holds one series' readings of many batches; a batch's tree needs all series of one batch. So
chunks are read for a window of a shard's batches at a time, taken apart, and sorted by batch.
Nothing in them is trusted.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from floorlog.core.ledger.batch import Columns
from floorlog.record.rows import Connection, Row, Rows
from floorlog.store.chunk import CONFLICT, LATE, Chunk, Chunks, MalformedChunk, Sealed

Ints = NDArray[np.int64]
WINDOW_READINGS = 1_000_000
WINDOW_BATCHES_MAX = 20_000
PAGE_CHUNKS = 2_000
QUALITY_MAX = 2**32 - 1
INT2, INT4, INT8, FLOAT4, FLOAT8 = 21, 23, 20, 700, 701
_HEAD = struct.Struct(">iiIii")
_CELLS = {
    oid: np.dtype([("size", ">i4"), ("value", kind)])
    for oid, kind in ((INT2, ">i2"), (INT4, ">i4"), (INT8, ">i8"), (FLOAT4, ">f4"), (FLOAT8, ">f8"))
}
_SCALARS = 9  # columns of a chunk before its arrays
_TYPES = (INT2, INT8, INT2, INT4, INT8, INT2, INT4, FLOAT8, INT8, INT4, INT2)
Wrong = Callable[[Row, str], None]  # told of a chunk's row, and what is wrong with it


class Asked(NamedTuple):
    """A batch whose readings are asked for."""

    lease_id: int
    number: int
    clock_s: int
    stored: int


def array_of(sent: bytes, oid: int) -> NDArray[Any]:
    """An array as it was sent: one dimension from 1, without NULL. Raises ValueError."""
    dimensions, nulls, element = struct.unpack_from(">iiI", sent)
    if element == oid and not nulls:
        if dimensions == 0:
            return np.zeros(0, _CELLS[oid]["value"].newbyteorder("="))
        if dimensions == 1:
            size, begin = struct.unpack_from(">ii", sent, 12)
            if begin == 1 and len(sent) == _HEAD.size + size * _CELLS[oid].itemsize:
                cells = np.frombuffer(sent, _CELLS[oid], size, _HEAD.size)["value"]
                return np.asarray(cells.astype(cells.dtype.newbyteorder("=")))
    message = "an array is not as a keeper writes it"
    raise ValueError(message)


def chunk_of(row: Row) -> Chunk:
    """A chunk of a row whose first columns are a Chunk's. Raises ValueError."""
    arrays = zip(row[_SCALARS:], _TYPES, strict=False)
    return Chunk(
        *row[:_SCALARS],
        *(None if sent is None else array_of(sent, oid) for sent, oid in arrays),
    )


@dataclass(frozen=True, slots=True)
class _Window:
    """The sealed readings of a shard's batches from one number up to before another."""

    lease_id: int
    begin: int
    end: int
    found: Sealed  # by number, series, time

    def span(self, number: int) -> slice:
        """The readings of a batch."""
        begin, end = np.searchsorted(self.found.number, [number, number + 1])
        return slice(int(begin), int(end))


class SealedBatches:
    """The sealed readings of batches, in the order in which batches are asked for.

    Args:
        connection: settled, in its transaction.
        wrong: told of chunks that cannot be read; their readings are missing then.

    Attributes:
        readings: given so far.
    """

    def __init__(self, connection: Connection, wrong: Wrong) -> None:
        self._connection = connection
        self._wrong = wrong
        self.readings = 0
        self._window = _Window(0, 0, 0, Chunks([]).take())

    def of(self, asked: Sequence[Asked]) -> Columns:
        """The readings of batches, in the order of their leaves.

        Args:
            asked: ascending by shard and number.

        Returns:
            Columns whose `batch` is the place among those asked for.
        """
        parts, counts = [], []
        for batch in asked:
            window = self._at(batch)
            span = window.span(batch.number)
            parts.append(window.found.take(span))
            counts.append(span.stop - span.start)
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        self.readings += sum(counts)
        of_batch = np.repeat(np.arange(len(asked)), counts)
        return _columns(Sealed(*columns), of_batch, [batch.clock_s for batch in asked])

    def _at(self, batch: Asked) -> _Window:
        window = self._window
        if window.lease_id == batch.lease_id and window.begin <= batch.number < window.end:
            return window
        size = min(WINDOW_READINGS // max(batch.stored, 1) + 1, WINDOW_BATCHES_MAX)
        self._window = self._load(batch.lease_id, batch.number, batch.number + size)
        return self._window

    def _load(self, lease_id: int, begin: int, end: int) -> _Window:
        values = {"lease_id": lease_id, "begin": begin, "end": end}
        rows = Rows(self._connection, "chunks_of_window", values)
        parts = []
        while page := rows.page():
            for lot in _lots(page):
                found = self._take(lot, begin, end)
                parts.append(found)
        if not parts:
            return _Window(lease_id, begin, end, Chunks([]).take())
        found = Sealed(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        return _Window(lease_id, begin, end, found.take(_order(found, begin)))

    def _take(self, rows: Sequence[Row], begin: int, end: int) -> Sealed:
        """The readings of chunks that are of batches of a window."""
        chunks = []
        for row in rows:
            try:
                chunks.append(chunk_of(row))
            except (ValueError, TypeError, struct.error) as error:
                self._wrong(row, str(error))
        held = self._sound(rows, chunks)
        if not held.rows:
            return held.take()
        number = held.numbers()
        return held.take(np.flatnonzero((number >= begin) & (number < end)))

    def _sound(self, rows: Sequence[Row], chunks: list[Chunk]) -> Chunks:
        """Those of the chunks that can be taken apart."""
        while True:
            try:
                return Chunks(chunks)
            except MalformedChunk as error:
                bad = chunks.pop(error.place)
                row = next(row for row in rows if row[:_SCALARS] == bad[:_SCALARS])
                self._wrong(row, str(error))


def _lots(page: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for begin in range(0, len(page), PAGE_CHUNKS):
        yield page[begin : begin + PAGE_CHUNKS]


def _order(found: Sealed, begin: int) -> NDArray[np.intp]:
    """By batch, series and time; what is equal keeps its order. Chunks come by series and time.

    Of readings that share all three the one that stands comes first: keepers before cut such pairs
    in two, and the second half may lie in a chunk that comes before.
    """
    number = (found.number - begin).astype(np.uint16)  # few: sorted by radix
    order = np.argsort(number, kind="stable")
    series, ts = found.series[order], found.ts[order]
    conflict = found.flags & CONFLICT
    same = found.number[order][1:] == found.number[order][:-1]
    falls = ts[1:] < ts[:-1]
    if conflict.any():
        at = conflict[order]
        falls |= (ts[1:] == ts[:-1]) & (at[1:] < at[:-1])
    falls &= series[1:] == series[:-1]
    falls |= series[1:] < series[:-1]
    if (falls & same).any():
        return np.lexsort((conflict, found.ts, found.series, found.number))
    return order


def _columns(found: Sealed, of_batch: Ints, clocks: Sequence[int]) -> Columns:
    if len(found.quality) and not 0 <= found.quality.min() <= found.quality.max() <= QUALITY_MAX:
        message = "a quality is no status code"
        raise ValueError(message)
    if len(found.flags) and not 0 <= found.flags.min() <= found.flags.max() <= CONFLICT + LATE:
        message = "a flag is none that there is"
        raise ValueError(message)
    return Columns(
        found.series,
        found.ts,
        found.value,
        found.quality,
        np.array(clocks, np.int64)[of_batch] - found.arrived,
        (found.flags & CONFLICT) != 0,
        (found.flags & LATE) != 0,
        of_batch,
    )


def in_order(columns: Columns, batch: Ints) -> Columns:
    """The readings with other numbers for their batches, sorted by these."""
    order = np.argsort(batch, kind="stable")
    return Columns(
        columns.series[order],
        columns.ts[order],
        columns.value[order],
        columns.quality[order],
        columns.arrival_s[order],
        columns.conflict[order],
        columns.late[order],
        batch[order],
    )


def merged(opened: Columns, sealed: Columns) -> Columns:
    """The readings of batches out of open rows and out of chunks, in the order of their leaves."""
    if not len(sealed.series):
        return opened
    if not len(opened.series):
        return sealed
    assert opened.batch is not None, "unpack numbers the batches"
    assert sealed.batch is not None, "so does SealedBatches"
    series = np.concatenate([sealed.series, opened.series])
    ts = np.concatenate([sealed.ts, opened.ts])
    batch = np.concatenate([sealed.batch, opened.batch])
    conflict = np.concatenate([sealed.conflict, opened.conflict])
    order = np.lexsort((conflict, ts, series, batch))
    return Columns(
        series[order],
        ts[order],
        np.concatenate([sealed.value, opened.value])[order],
        np.concatenate([sealed.quality, opened.quality])[order],
        np.concatenate([sealed.arrival_s, opened.arrival_s])[order],
        conflict[order],
        np.concatenate([sealed.late, opened.late])[order],
        batch[order],
    )
