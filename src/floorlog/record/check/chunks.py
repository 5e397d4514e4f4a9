"""Chunks: what is kept beside the readings, each roll-up computed again from them."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from floorlog.record.check.finding import Findings
from floorlog.record.check.sealed import chunk_of
from floorlog.record.rows import Connection, Row, Rows
from floorlog.record.seal.chunk import DERIVED, Columns, roll_up
from floorlog.store.arrays import pack
from floorlog.store.chunk import Chunk, Chunks, MalformedChunk, Sealed
from floorlog.store.open_row import WIDTHS_US

PAGE_CHUNKS = 500
KEPT = (*DERIVED, "standing", "good")  # in the order of the query, after a chunk's own columns
OWN = len(Chunk._fields)
WIDTH, SLOT, PART = OWN + len(KEPT), OWN + len(KEPT) + 1, OWN + len(KEPT) + 2


@dataclass(frozen=True, slots=True)
class Made:
    """A chunk whose roll-ups were computed again.

    Attributes:
        row: of the query `chunks_whole`.
        made: what belongs beside its readings, by column.
        wrong: the columns that say something else.
    """

    row: Row
    made: dict[str, Any]
    wrong: list[str]


def check_chunks(connection: Connection, states: set[int], findings: Findings) -> None:
    """Every roll-up, slot and count of every chunk, and the times that its batches were stored at.

    Chunks that cannot be taken apart are told where batches are checked.

    Args:
        connection: settled, in its transaction.
        states: the series whose values are states.
        findings: what is wrong.
    """
    for one in wrong_chunks(connection, states):
        where = named((one.row[0], *one.row[WIDTH:]))
        says = f"{where} its {', '.join(one.wrong)} are not those of its readings"
        findings.derived("chunk", says, series=one.row[0])
    rows = Rows(connection, "chunks_out_of_time", {})
    while page := rows.page():
        for row in page:
            says = "holds a batch that was stored before or after what it says"
            findings.derived("chunk", f"{named(row)} {says}", series=row[0])


def wrong_chunks(connection: Connection, states: set[int]) -> Iterator[Made]:
    """The chunks beside whose readings something else is kept than belongs there."""
    rows = Rows(connection, "chunks_whole", {})
    while page := rows.page():
        for begin in range(0, len(page), PAGE_CHUNKS):
            yield from _wrong(page[begin : begin + PAGE_CHUNKS], states)


def named(row: Row) -> str:
    """A chunk in words, from series, width, slot and part."""
    return f"chunk {row[3]} of series {row[0]}, slot {row[2]} of width {row[1]},"


def _wrong(page: Sequence[Row], states: set[int]) -> Iterator[Made]:
    sound = _sound(page)
    if not sound:
        return
    rows, chunks = [row for row, _ in sound], Chunks([chunk for _, chunk in sound])
    made = [
        {"scale": row[8], **dict(zip(("width", "slot"), _place(row), strict=True))} for row in rows
    ]
    counts = chunks.counts
    begins = np.cumsum(counts) - counts
    with np.errstate(all="ignore"):
        found = chunks.take()
        roll_up(made, begins, counts, _columns(found), [row[0] in states for row in rows])
    for row, one in zip(rows, made, strict=True):
        wrong = _differs(row, one)
        if wrong:
            yield Made(row, one, wrong)


def _place(row: Row) -> tuple[int, int]:
    """The width and slot that hold a chunk: its own, or the narrowest where those cannot be."""
    t_min, t_max, own = row[5], row[6], row[WIDTH]
    for width in (own, *range(len(WIDTHS_US))):
        if 0 <= width < len(WIDTHS_US) and t_min // WIDTHS_US[width] == t_max // WIDTHS_US[width]:
            return width, t_min // WIDTHS_US[width]
    return own, row[SLOT]


def _sound(page: Sequence[Row]) -> list[tuple[Row, Chunk]]:
    """The rows that can be taken apart, alone."""
    found = []
    for row in page:
        try:
            chunk = chunk_of(row[:OWN])
            with np.errstate(all="ignore"):
                Chunks([chunk])
        except (MalformedChunk, ValueError, TypeError, struct.error):
            continue
        found.append((row, chunk))
    return found


def _columns(found: Sealed) -> Columns:
    return Columns(found.number, found.ts, found.value, found.quality, found.arrived, found.flags)


def _differs(row: Row, made: dict[str, Any]) -> list[str]:
    wrong = [
        name
        for name, stored in zip(KEPT, row[OWN : OWN + len(KEPT)], strict=True)
        if _sent(made[name]) != _sent(stored)
    ]
    if (made["width"], made["slot"]) != (row[WIDTH], row[SLOT]):
        wrong.append("slot")
    return wrong


def _sent(value: object) -> object:
    """As it is compared: arrays by their bytes, floats by their bits."""
    if isinstance(value, np.ndarray):
        return pack(value)
    return struct.pack("<d", value) if isinstance(value, float) else value
