"""Proofs for the one-file verifier: of one reading, and line by line of an export."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floorlog.core.ledger import form
from floorlog.core.ledger.batch import CONFLICT, LATE, Columns, Registry, groups
from floorlog.core.ledger.tree import Collapsed, Subtree, cover, gap, leaf_hash, subtree_of
from floorlog.core.series import KnownSeries
from floorlog.record.verifier import HEADER, Names, time_text

Values = Sequence[form.Value]


@dataclass(frozen=True, slots=True)
class Logged:
    """One batch as it stands in the record and in the log.

    Attributes:
        shard: values of the shard's leaf (form.SHARD).
        entry: values of its entry (form.ENTRY).
        index: the entry's place in the log.
        columns: its readings.
        leaves: hashes of all its leaves that are there.
        collapsed: its tree, where other leaves expired; None where all are there.
    """

    shard: Values
    entry: Values
    index: int
    columns: Columns
    leaves: Sequence[bytes]
    collapsed: Collapsed | None = None

    def tree(self) -> tuple[Subtree, int]:
        """Its subtrees, and how many leaves it has, those that expired included."""
        if self.collapsed is None:
            return subtree_of(self.leaves), len(self.leaves)
        return self.collapsed.subtree, self.collapsed.size

    def place(self, leaf: int) -> int:
        """Where one of the leaves that are there stands among all."""
        return leaf if self.collapsed is None else self.collapsed.places[leaf]


@dataclass(frozen=True, slots=True)
class Known:
    """What names readings."""

    series: Mapping[int, KnownSeries]
    states: Mapping[int, str]  # by code
    registry: Registry

    def series_values(self, series_id: int) -> list[Any]:
        """Values of the leaf of a series."""
        one = self.series[series_id]
        return [one.series_id, one.device, one.metric, int(one.kind), one.unit]

    def used(self, rows: Iterable[Sequence[Any]]) -> tuple[list[int], list[int]]:
        """The series of these readings, and the codes of their states, ascending."""
        rows = list(rows)
        series = sorted({row[0] for row in rows})
        codes = {int(row[2]) for row in rows if self.series[row[0]].kind}
        return series, sorted(codes)


def plain(values: Values) -> list[Any]:
    """Values as JSON has them: bytes as hex."""
    return [value.hex() if isinstance(value, bytes) else value for value in values]


def _hex(hashes: Iterable[bytes]) -> list[str]:
    return [one.hex() for one in hashes]


def _rows(columns: Columns, which: NDArray[np.intp]) -> list[list[Any]]:
    flags = columns.conflict * CONFLICT + columns.late * LATE
    each = (
        columns.series, columns.ts, columns.value, columns.quality, columns.arrival_s, flags
    )  # fmt: skip
    return [list(row) for row in zip(*(one[which].tolist() for one in each), strict=True)]


def leaves_of_readings(batch: Logged, registry: Registry) -> list[NDArray[np.intp]]:
    """The readings of each leaf, as places in the columns."""
    order, begins = groups(batch.columns, registry)
    places = np.arange(len(batch.columns.series)) if order is None else order
    return np.split(places, begins[1:-1]) if len(places) else []


def prove(
    batch: Logged, place: int, known: Known, subtree: Subtree, size: int, note: str
) -> dict[str, Any]:
    """The proof of the reading at a place of the batch's columns, to be written as JSON.

    Args:
        batch: the batch that holds it.
        place: which reading.
        known: all series and states of its device.
        subtree: of the log, whose entries are leaves.
        size: of the log in the note.
        note: the signed note of the log at this size.
    """
    of_leaves = leaves_of_readings(batch, known.registry)
    index = next(n for n, places in enumerate(of_leaves) if place in places)
    rows = _rows(batch.columns, of_leaves[index])
    series, codes = known.used(rows)
    names = Names()
    for one in series:
        names.declare("series", known.series_values(one))
    for code in codes:
        names.declare("state", [code, known.states[code]])
    at = of_leaves[index].tolist().index(place)
    of_batch, leaves = batch.tree()
    return {
        "format": "floorlog-proof-1",
        "says": names.statement(rows[at], batch.entry, str(batch.shard[3])),
        "place": at,
        "series": [known.series_values(one) for one in series],
        "states": [[code, known.states[code]] for code in codes],
        "readings": rows,
        "leaf": batch.place(index),
        "cover": _hex(cover(of_batch, [batch.place(index)], leaves)),
        "shard": plain(batch.shard),
        "entry": plain(batch.entry),
        "index": batch.index,
        "log": _hex(cover(subtree, [batch.index], size)),
        "note": note,
    }


class ExportLines:
    """The lines of an export's ledger and readings; batches come in the order of the log.

    Holds one batch, and the ids of what was declared.
    """

    def __init__(self, known: Known, subtree: Subtree, size: int) -> None:
        self._known = known
        self._subtree = subtree
        self._size = size
        self._declared: set[tuple[str, Any]] = set()
        self._next = 0

    def header(self) -> str:
        """First line of the readings."""
        return HEADER + "\r\n"

    def batch(
        self,
        batch: Logged,
        devices: frozenset[str] | None = None,
        events: Sequence[tuple[int, str, Values]] = (),
    ) -> tuple[list[str], str]:
        """Lines for the ledger, and rows for the readings.

        Args:
            batch: the next batch.
            devices: those that are exported; None: all.
            events: rejects, anomalies and gaps: place of the leaf, kind, values.
        """
        leaves = leaves_of_readings(batch, self._known.registry)
        chosen = []
        rows = []
        for index, places in enumerate(leaves):
            device = self._known.series[int(batch.columns.series[places[0]])].device
            if devices is None or device in devices:
                chosen.append(batch.place(index))
                rows += _rows(batch.columns, places)
        of_batch, size = batch.tree()
        lines = [*self._declarations(batch, rows)]
        known = sorted([*chosen, *(event[0] for event in events)])
        value = [
            batch.index,
            _hex(gap(self._subtree, self._next, batch.index)),
            plain(batch.entry),
            chosen,
            [[place, kind, plain(values)] for place, kind, values in events],
            _hex(cover(of_batch, known, size)),
        ]
        self._next = batch.index + 1
        lines.append(_line("batch", value))
        return lines, self._csv(rows, batch)

    def correction(self, position: int, row: Sequence[Any]) -> list[str]:
        """Lines for the ledger: a correction, after the names of its values where they are new.

        Args:
            position: its leaf's place in the log, after that of the last line's.
            row: number, µs when it was recorded, actor, reason, µs of the reading, series, value
                and quality as they were, value and quality as they should have been.
        """
        series_id, was, now = row[5], row[6], row[8]
        wanted = [("series", series_id, self._known.series_values(series_id))]
        if self._known.series[series_id].kind:
            states = sorted({int(was), int(now)})
            wanted += [("state", code, [code, self._known.states[code]]) for code in states]
        lines = [*self._declared_once(wanted)]
        before = _hex(gap(self._subtree, self._next, position))
        lines.append(_line("correction", [position, before, list(row)]))
        self._next = position + 1
        return lines

    def end(self) -> str:
        """Last line of the ledger."""
        return _line("end", _hex(gap(self._subtree, self._next, self._size)))

    def _declarations(self, batch: Logged, rows: list[list[Any]]) -> Iterator[str]:
        series, codes = self._known.used(rows)
        wanted = [("shard", batch.entry[0], plain(batch.shard))]
        wanted += [("series", one, self._known.series_values(one)) for one in series]
        wanted += [("state", code, [code, self._known.states[code]]) for code in codes]
        yield from self._declared_once(wanted)

    def _declared_once(self, wanted: Iterable[tuple[str, Any, list[Any]]]) -> Iterator[str]:
        for kind, key, values in wanted:
            if (kind, key) not in self._declared:
                self._declared.add((kind, key))
                yield _line(kind, values)

    def _csv(self, rows: list[list[Any]], batch: Logged) -> str:
        text = io.StringIO()
        writer = csv.writer(text)
        for series_id, ts, value, quality, arrival_s, flags in rows:
            _, device, metric, kind, unit = self._known.series_values(series_id)
            shown = ("", self._known.states[int(value)]) if kind else (repr(value), "")
            arrived = time_text(arrival_s * 1_000_000, "seconds")
            writer.writerow(
                (
                    time_text(ts), device, metric, *shown, unit, quality, arrived, flags,
                    batch.shard[0], batch.entry[1], series_id, ts,
                )
            )  # fmt: skip
        return text.getvalue()


def _line(kind: str, value: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    return json.dumps([kind, value], ensure_ascii=False, separators=(",", ":")) + "\n"


def manifest(asked: Mapping[str, str | None], digests: Mapping[str, str]) -> bytes:
    """The manifest of an export: what was asked for, and the SHA-256 of every other file."""
    body = {"format": "floorlog-export-1", "asked": dict(asked), "files": dict(digests)}
    return (json.dumps(body, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def manifest_text(written: bytes) -> str:
    """What the note says that signs a manifest."""
    return f"floorlog-export-1\n{hashlib.sha256(written).hexdigest()}\n"


def entry_hash(batch: Logged) -> bytes:
    """The batch's leaf in the log."""
    return leaf_hash(form.ENTRY.write(*batch.entry))
