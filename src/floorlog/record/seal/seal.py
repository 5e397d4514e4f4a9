"""Sealing: open rows become chunks, small chunks wider ones, a step and a transaction at a time.

A slot is sealed when no batch has touched it for some minutes of the database's time, or when its
rows have waited for an hour. What comes later is sealed later, into the chunk that is there where
one of the two is small. Nothing here is trusted: the database's function compares what comes out.
"""

import logging
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, NamedTuple, Self

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Dumper, PyFormat
from psycopg.pq import Format

from floorlog.record.seal.chunk import Columns, Place, chunks_of, packed
from floorlog.store.chunk import CONFLICT, LATE, READINGS_MAX, Chunk, Chunks
from floorlog.store.link import Connection
from floorlog.store.open_row import WIDTHS_US, readings_of
from floorlog.store.outcome import REFUSING_CLASSES
from floorlog.store.queries import parse

log = logging.getLogger("floorlog.seal")

QUERIES = parse(files("floorlog.record.seal").joinpath("seal.sql").read_text("utf-8"))
QUIET_SECONDS = 300.0
AGE_SECONDS = 3_600.0
TRIES_SECONDS = 10.0  # in which a step tries another when one was not done
REFUSED_SECONDS = 600.0  # before a slot that was refused is tried again
# A step's: what it costs in memory, here and in the server, and how long its transaction is.
STEP_READINGS_MAX = 600_000
STEP_READINGS_MIN = 10_000  # halved down to this where the server does not finish in time
STEP_CHUNKS_MAX = 4_000
PAGE_READINGS = 100_000  # so many are fetched at once, in this many rows at most
PAGE_ROWS_MIN = 16
PAGE_ROWS_MAX = 2_000
PAGE_SLOTS = 20
PAGES_MAX = 10  # of slots at one look; the next one goes on from there
SLOT_ROWS_MAX = 2_000  # of a slot, looked at to see whether it is quiet
SMALL = 256  # readings: below, a chunk is joined with others; see the index chunk_small
WIDENED = 2  # so many widths can still be widened
REFUSED = "FL004"
UNREADABLE = (ValueError, ArithmeticError, LookupError, TypeError, StopIteration, struct.error)

Ints = NDArray[np.int64]
Slot = tuple[int, int]  # width and number
FIRST: Slot = (-1, 0)  # before all others


class Key(NamedTuple):
    """Which chunk."""

    series_id: int
    width: int
    slot: int
    part: int


class There(NamedTuple):
    """A chunk that is there, without its readings."""

    key: Key
    lease_id: int
    size: int  # readings


@dataclass(slots=True)
class Step:
    """One swap: what goes, in its order, and where it comes to."""

    width: int
    slot: int
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    chunks: list[There] = field(default_factory=list)
    kept: list[There] = field(default_factory=list)  # beside which new chunks find a free part


class Packed:
    """Chunks ready to be sent, as an array of the table's row type."""

    def __init__(self, data: bytes, oid: int) -> None:
        self.data = data
        self.oid = oid


class PackedDumper(Dumper):
    """Sends them."""

    format = Format.BINARY

    def get_key(self, obj: Packed, format: PyFormat) -> Any:  # noqa: A002, ANN401 - psycopg's names
        """Tell databases apart, whose types have other numbers."""
        del format
        return (self.cls, obj.oid)

    def upgrade(self, obj: Packed, format: PyFormat) -> Self:  # noqa: A002 - psycopg's name
        """A dumper that knows the type."""
        del format
        dumper = type(self)(self.cls)
        dumper.oid = obj.oid
        return dumper

    def dump(self, obj: Packed) -> bytes:
        """The bytes."""
        return obj.data


class Sealer:
    """Seals one record, on a session of the keeper's role without an open transaction.

    Args:
        connection: the session.
        quiet_s: seconds of the database's clock after which an untouched slot is sealed.
        age_s: seconds after which rows are sealed although their slot is still touched.

    Attributes:
        readings: moved so far, by all steps.
        refused: steps that the database refused.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        quiet_s: float = QUIET_SECONDS,
        age_s: float = AGE_SECONDS,
    ) -> None:
        self._connection = connection
        self._quiet_s = quiet_s
        self._age_s = age_s
        self._held_off: dict[Slot, float] = {}
        self._after = FIRST  # where the next look begins
        self._readings_max = STEP_READINGS_MAX
        self.readings = 0
        self.refused = 0
        connection.adapters.register_dumper(Packed, PackedDumper)
        types = self._ask("chunk_type")[0]
        self._row_oid, self._array_oid = int(types[0]), int(types[1])

    def step(self, before: Callable[[], None] = lambda: None) -> int:
        """Do one swap; returns how many readings it moved, 0 when there is nothing to do for now.

        Args:
            before: called before each swap that is tried: it may take a while.

        Raises:
            psycopg.Error: the database does not answer.
        """
        began_s = time.monotonic()
        # What is tried again is: but a keeper has more to do than sealing.
        while time.monotonic() - began_s < TRIES_SECONDS and (planned := self._plan()) is not None:
            before()
            try:
                return self._swap(planned)
            except psycopg.errors.QueryCanceled as error:
                if self._readings_max <= STEP_READINGS_MIN:
                    self._refuse(planned, str(error))
                self._readings_max = max(self._readings_max // 2, STEP_READINGS_MIN)
            except psycopg.Error as error:
                if error.sqlstate != REFUSED and str(error.sqlstate)[:2] not in REFUSING_CLASSES:
                    raise
                self._refuse(planned, str(error))
            except UNREADABLE as error:  # chunks or rows that nobody here wrote
                self._refuse(planned, f"{type(error).__name__}: {error}")
        return 0

    def _refuse(self, step: Step, says: str) -> None:
        self.refused += 1
        self._held_off[step.width, step.slot] = time.monotonic() + REFUSED_SECONDS
        line = says.strip().splitlines()[0]
        log.error("NOT SEALED: slot %d of width %d: %s", step.slot, step.width, line)

    # ── planning ─────────────────────────────────────────────────────────────────────────────

    def _plan(self) -> Step | None:
        now = time.monotonic()
        self._held_off = {slot: until for slot, until in self._held_off.items() if until > now}
        for width, slot, rows in self._due():
            step = self._of_rows(width, slot, rows)
            if step.rows:
                return step
        for width in range(WIDENED):
            widened = self._of_chunks(width)
            if widened is not None:
                return widened
        return None

    def _due(self) -> Iterator[tuple[int, int, int]]:
        """Slots to be sealed and how many rows they have, from where the last look ended."""
        after = self._after
        is_last = after == FIRST
        for _ in range(PAGES_MAX):
            self._after = after
            page = self._ask(
                "slots_after", width=after[0], slot=after[1], slots_max=PAGE_SLOTS,
                quiet_s=self._quiet_s, age_s=self._age_s, rows_max=SLOT_ROWS_MAX,
            )  # fmt: skip
            for width, slot, rows in page:
                if rows and (width, slot) not in self._held_off:
                    yield width, slot, rows
            if len(page) == PAGE_SLOTS:
                after = page[-1][:2]
                continue
            after = self._after = FIRST
            if is_last:
                return
            is_last = True
        self._after = after

    def _of_rows(self, width: int, slot: int, rows: int) -> Step:
        """As many rows of a slot as one step takes; a slot of several steps in even parts."""
        step = Step(width, slot)
        of_slot = {"width": width, "slot": slot, "quiet_s": self._quiet_s}
        size, limit, page_rows = 0, self._readings_max, PAGE_ROWS_MIN
        last = (0, 0, 0)
        while size < limit:
            after = {"lease_id": last[0], "number": last[1], "part": last[2]}
            page = self._ask("rows_of_slot", **of_slot, rows_max=page_rows, **after)
            for row in page:
                step.rows.append(row)
                size += len(row[8])
                if size >= limit:
                    break
            if len(page) < page_rows:
                break
            last = page[-1][:3]
            steps = -(-rows * size // (len(step.rows) * self._readings_max))
            limit = min(limit, -(-rows * size // (len(step.rows) * steps)))
            asked = min(PAGE_READINGS, max(limit - size, 0)) * len(step.rows) // size + 1
            page_rows = max(PAGE_ROWS_MIN, min(asked, PAGE_ROWS_MAX))
        if step.rows:
            self._add_chunks(step, size)
        return step

    def _add_chunks(self, step: Step, size: int) -> None:
        """The chunks of the slot that are small, or get only few readings more."""
        added: defaultdict[tuple[int, int], int] = defaultdict(int)
        for row in step.rows:
            series, counts = np.unique(row[8], return_counts=True)
            for series_id, count in zip(series.tolist(), counts.tolist(), strict=True):
                added[series_id, row[0]] += count
        series = np.array(sorted({series_id for series_id, _ in added}), np.int32)
        rows = self._ask("chunks_there", width=step.width, slot=step.slot, series=series)
        joined = set()
        for series_id, part, lease_id, count in rows:
            there = There(Key(series_id, step.width, step.slot, part), lease_id, count)
            more = added.get((series_id, lease_id), 0)
            fits = more and min(count, more) < SMALL and count + more <= READINGS_MAX
            is_first = (series_id, lease_id) not in joined
            if fits and is_first and size + count <= 2 * self._readings_max:
                joined.add((series_id, lease_id))
                step.chunks.append(there)
                size += count
            else:
                step.kept.append(there)

    def _of_chunks(self, width: int) -> Step | None:
        """Small chunks of one wider slot that is over, and the small one that is there."""
        wide_us = WIDTHS_US[width + 1]
        slots = wide_us // WIDTHS_US[width]
        rows = self._ask(
            "small_chunks", width=width, wide_us=wide_us, slots=slots, quiet_s=self._quiet_s,
            chunks_max=STEP_CHUNKS_MAX,
        )  # fmt: skip
        found = [There(Key(row[2], row[0], row[1], row[3]), row[4], row[5]) for row in rows]
        free = [one for one in found if (width + 1, one.key.slot // slots) not in self._held_off]
        if not free:
            return None
        wide = free[0].key.slot // slots
        chosen = [one for one in free if one.key.slot // slots == wide]
        step = Step(width + 1, wide)
        series = np.array(sorted({one.key.series_id for one in chosen}), np.int32)
        added: defaultdict[tuple[int, int], int] = defaultdict(int)
        for one in chosen:
            added[one.key.series_id, one.lease_id] += one.size
        joined = set()
        for row in self._ask("chunks_there", width=width + 1, slot=wide, series=series):
            there = There(Key(row[0], width + 1, wide, row[1]), row[2], row[3])
            more = added.get((row[0], row[2]), 0)
            fits = more and min(there.size, more) < SMALL and there.size + more <= READINGS_MAX
            if fits and (row[0], row[2]) not in joined:
                joined.add((row[0], row[2]))
                step.chunks.append(there)
            else:
                step.kept.append(there)
        step.chunks += sorted(chosen, key=lambda one: (one.key.series_id, one.key.slot))
        return step

    # ── swapping ─────────────────────────────────────────────────────────────────────────────

    def _swap(self, step: Step) -> int:
        series, lease, columns, recorded = self._columns(step)
        order = np.lexsort((lease, series))  # stable: each chunk keeps its order
        series, lease = series[order], lease[order]
        columns = Columns(*(getattr(columns, name)[order] for name in Columns.__slots__))
        begins = _begins(series, lease, columns)
        states = {row[0] for row in self._ask("state_series")}
        places = _places(step, series[begins].tolist(), lease[begins].tolist(), states)
        made = packed(chunks_of(places, begins, columns, recorded), self._row_oid)
        stored = [row[3] for row in step.rows]
        old = [one.key for one in step.chunks]
        values = {
            "recorded_from": _moment(min(stored, default=0)),
            "recorded_to": _moment(max(stored, default=0)),
            "leases": np.array([row[0] for row in step.rows], np.int32),
            "numbers": np.array([row[1] for row in step.rows], np.int64),
            "parts": np.array([row[2] for row in step.rows], np.int16),
            "old_series": np.array([key.series_id for key in old], np.int32),
            "old_widths": np.array([key.width for key in old], np.int16),
            "old_slots": np.array([key.slot for key in old], np.int32),
            "old_parts": np.array([key.part for key in old], np.int16),
            "made": Packed(made, self._array_oid),
        }
        moved = int(self._ask("seal", **values)[0][0])
        self.readings += moved
        return moved

    def _columns(self, step: Step) -> tuple[Ints, Ints, Columns, tuple[int, int]]:
        """Series, lease and all else of the readings, chunks first, in the order of the step.

        Last, between which times (µs UTC) all was stored.
        """
        parts = []
        recorded = [row[3] for row in step.rows]
        if step.chunks:
            part, bounds = self._sealed([one.key for one in step.chunks])
            parts.append(part)
            recorded += bounds
        if step.rows:
            parts.append(_opened(step.rows))
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return columns[0], columns[1], Columns(*columns[2:]), (min(recorded), max(recorded))

    def _sealed(self, keys: Sequence[Key]) -> tuple[tuple[NDArray[Any], ...], list[int]]:
        rows = self._ask(
            "chunks_named",
            series=np.array([key.series_id for key in keys], np.int32),
            widths=np.array([key.width for key in keys], np.int16),
            slots=np.array([key.slot for key in keys], np.int32),
            parts=np.array([key.part for key in keys], np.int16),
        )
        chunks = [Chunk(*row[2:]) for row in rows]
        found = Chunks(chunks).take()
        part = (
            found.series.astype(np.int64),
            np.array([one.lease_id for one in chunks], np.int64)[found.chunk],
            found.number,
            found.ts,
            found.value,
            found.quality,
            found.arrived,
            found.flags,
        )
        return part, [bound for row in rows for bound in row[:2]]

    def _ask(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(QUERIES[name].text, values, binary=True).fetchall()


def _opened(rows: Sequence[tuple[Any, ...]]) -> tuple[NDArray[Any], ...]:
    found = readings_of([row[5:] for row in rows])
    counts = [len(row[8]) for row in rows]
    lease, number, clock_s = (
        np.repeat(np.array([row[at] for row in rows], np.int64), counts) for at in (0, 1, 4)
    )
    return (
        found.series.astype(np.int64),
        lease,
        number,
        found.ts,
        found.value,
        found.quality.astype(np.int64),
        clock_s - found.arrival_s,
        found.conflict * CONFLICT + found.late * LATE,
    )


def _begins(series: Ints, lease: Ints, columns: Columns) -> Ints:
    """Where chunks begin: with each series and shard, and after so many readings.

    Readings of one batch and time stay together: only their chunk tells their order.
    """
    changes = (series[1:] != series[:-1]) | (lease[1:] != lease[:-1])
    edges = np.flatnonzero(np.append(True, changes)).tolist()
    ends = [*edges[1:], len(series)]
    begins = []
    for begin, end in zip(edges, ends, strict=True):
        at = begin
        while at < end:
            begins.append(at)
            at = _cut(columns, at, at + READINGS_MAX) if at + READINGS_MAX < end else end
    return np.array(begins, np.int64)


def _cut(columns: Columns, begin: int, at: int) -> int:
    """The last place up to this one that cuts nothing of one batch and time; this where none is."""
    place = at
    while place > begin and (columns.number[place], columns.ts[place]) == (
        columns.number[place - 1],
        columns.ts[place - 1],
    ):
        place -= 1
    return place if place > begin else at


def _places(step: Step, series: list[int], leases: list[int], states: set[int]) -> list[Place]:
    """A free part for each chunk."""
    taken = {(one.key.series_id, one.key.part) for one in step.kept}
    nexts: defaultdict[int, int] = defaultdict(int)
    places = []
    for series_id, lease_id in zip(series, leases, strict=True):
        part = nexts[series_id]
        while (series_id, part) in taken:
            part += 1
        nexts[series_id] = part + 1
        places.append(Place(series_id, lease_id, step.width, step.slot, part, series_id in states))
    return places


def _moment(us: int) -> str:
    """µs UTC as PostgreSQL reads a time, exactly."""
    seconds, rest = divmod(us, 1_000_000)
    stamp = np.datetime64(seconds, "s")
    return f"{stamp}.{rest:06}Z"
