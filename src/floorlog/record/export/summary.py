"""The page of an export for a person: what it holds, and every mark in it."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import IO, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from floorlog.record.check.content import Content, Event
from floorlog.record.export.prove import Note
from floorlog.record.proof import Known, Logged
from floorlog.record.rows import QUERIES, Connection, Rows
from floorlog.record.verifier import time_text

DATA_BYTES_SHOWN = 200  # of a reject: all of it is in ledger.jsonl
RECORDED, NUMBER, SHARD_NAME = 4, 1, 3  # of an entry; of a shard
COPY_BYTES = 1 << 20
SECTIONS = {
    "conflict": (
        "Conflicts",
        "A second value for a time that had one. Both are kept; the first one stands.",
        ("device", "metric", "time", "this value", "the value that stands", "arrived", "batch"),
    ),
    "correction": (
        "Corrections",
        "What a reading should have been, said later. The reading itself stays as it is.",
        (
            "device",
            "metric",
            "time",
            "as stored",
            "as corrected",
            "by",
            "why",
            "when",
            "place in the log",
        ),
    ),
    "gap": (
        "Gaps",
        "Spans in which input was lost before it could be read. What arrived then may be missing.",
        ("shard", "from", "to", "cause", "recorded", "batch"),
    ),
    "reject": (
        "Rejects",
        "Input that could not become a reading. Its bytes are in ledger.jsonl, whole.",
        ("shard", "record", "element", "code", "why", "bytes", "recorded", "batch"),
    ),
    "expiry": (
        "Expired",
        "What batches lost by a declared expiry. Hashes stand for it, so that the rest is proven.",
        ("shard", "readings", "rejects", "number of the expiry", "recorded", "batch"),
    ),
    "anomaly": (
        "Findings",
        "What the detectors found.",
        ("device", "metric", "detector", "begin or end", "at", "value", "expected", "why", "batch"),
    ),
}


class Output(Protocol):
    """What the page is written to."""

    def write(self, data: bytes) -> int:
        """Append bytes."""


class Summary:
    """Gathers an export's marks as they stream by; rows wait in unnamed files.

    Args:
        connection: in its transaction; asked for the value that stands beside each conflict.
        known: the names of all series and states.
        place: a directory on the export's disk.
    """

    def __init__(self, connection: Connection, known: Known, place: Path) -> None:
        self._connection = connection
        self._known = known
        size = max(known.series, default=0) + 1
        self._count, self._good, self._late = np.zeros((3, size), np.int64)
        self._first = np.full(size, np.iinfo(np.int64).max)
        self._last = np.full(size, np.iinfo(np.int64).min)
        self._low, self._high = np.full(size, np.inf), np.full(size, -np.inf)
        self._of_series = np.zeros(size, np.int64)  # conflicts
        self._open = ExitStack()
        self._rows: dict[str, IO[bytes]] = {}
        for name in SECTIONS:
            file = tempfile.TemporaryFile(dir=place)  # noqa: SIM115 - the stack closes it
            self._rows[name] = self._open.enter_context(file)
        self.counts = dict.fromkeys(SECTIONS, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def readings(self, batch: Logged, places: NDArray[np.intp]) -> None:
        """Take readings of a batch."""
        columns = batch.columns
        series, ts, value = columns.series[places], columns.ts[places], columns.value[places]
        np.add.at(self._count, series, 1)
        np.add.at(self._good, series, columns.quality[places] == 0)
        np.add.at(self._late, series, columns.late[places])
        np.add.at(self._of_series, series, columns.conflict[places])
        np.minimum.at(self._first, series, ts)
        np.maximum.at(self._last, series, ts)
        np.minimum.at(self._low, series, value)
        np.maximum.at(self._high, series, value)
        for place in places[columns.conflict[places]].tolist():
            self._conflict(batch, place)

    def events(self, content: Content, events: Sequence[Event]) -> None:
        """Take rejects, anomalies and gaps of a batch."""
        batch = content.logged
        row: tuple[Any, ...]
        recorded, number = _time(batch.entry[RECORDED]), _batch(batch)
        for _, _, expiry, readings, rejects, *_ in content.expired:
            row = (batch.shard[SHARD_NAME], readings, rejects, expiry, recorded, number)
            self._add("expiry", row)
        for place, kind, values in events:
            if kind == "reject":
                sequence, element, code, reason, data = values
                where = "whole" if element == -1 else element
                row = (batch.shard[SHARD_NAME], sequence, where, code, reason, _data(data))
                row = (*row, recorded, number)
            elif kind == "gap":
                begin, end, cause = values
                row = (batch.shard[SHARD_NAME], _time(begin), _time(end), cause, recorded, number)
            else:
                series = self._known.series[content.anomaly_series[place]]
                _, _, phase, detector, _, at, _, value, expected, reason = values
                row = (series.device, series.metric, detector, phase, _time(at), value, expected)
                row = (*row, reason, number)
            self._add(kind, row)

    def corrections(self, asked: Mapping[str, object], size: int) -> None:
        """Take the corrections of a span (asked: device, from_us, to_us) in a log of this size."""
        rows = Rows(self._connection, "corrections_in_span", asked)
        while found := rows.page():
            for position, device, metric, ts_us, *values, actor, reason, recorded in found:
                was, was_text, was_quality, value, text, quality = values
                row = (
                    device, metric, _time(ts_us), _shown(was, was_text, was_quality),
                    _shown(value, text, quality), actor, reason, _time(recorded),
                    "none yet" if position is None or position >= size else position,
                )  # fmt: skip
                self._add("correction", row)

    def write(
        self, page: Output, asked: Mapping[str, str | None], note: Note, batches: int, left_out: int
    ) -> None:
        """Write the page.

        Args:
            page: where to.
            asked: what was asked for, in words: from, to, device.
            note: the one that all is proven by.
            batches: how many are exported.
            left_out: how many belong to it that the note does not cover.
        """
        template = files("floorlog.record.export").joinpath("summary.html").read_text("utf-8")
        head, tail = template.split("<!-- marks -->")
        span = " ".join(f"{word} {asked[word]}" for word in ("from", "to") if asked[word])
        newer = (
            f"{left_out} newer batches belong here and are left out: no signed note covers them"
            " yet."
        )
        readings = int(self._count.sum())
        values = {
            "span": span or "all time",
            "device": asked["device"] or "all devices",
            "readings": readings,
            "batches": batches,
            "series": int((self._count > 0).sum()),
            "good": f"{100 * int(self._good.sum()) / max(1, readings):.2f} %",
            "late": int(self._late.sum()),
            "left_out": newer if left_out else "Nothing that belongs here was left out.",
            "origin": note.text.split("\n", 1)[0],
            "size": note.size,
            "key": note.key_text,
            **{f"n_{name}": count for name, count in self.counts.items()},
        }
        written = Template(head).substitute({k: escape(str(v)) for k, v in values.items()})
        page.write(written.encode())
        for name in SECTIONS:
            self._section(page, name)
        page.write(b"<h2>Series</h2>\n")
        self._table_of_series(page)
        page.write(tail.encode())

    def _section(self, page: Output, name: str) -> None:
        title, says, heads = SECTIONS[name]
        count = self.counts[name]
        page.write(f"<h2 id={name}>{title}: {count}</h2>\n<p>{says}</p>\n".encode())
        rows = self._rows[name]
        if count:
            page.write(_head(heads))
            rows.seek(0)
            while block := rows.read(COPY_BYTES):
                page.write(block)
            page.write(b"</table>\n")

    def _table_of_series(self, page: Output) -> None:
        heads = (
            "device", "metric", "unit", "readings", "first", "last", "least", "most", "Good",
            "late", "conflicts",
        )  # fmt: skip
        page.write(_head(heads))
        for series_id in np.flatnonzero(self._count).tolist():
            one, count = self._known.series[series_id], int(self._count[series_id])
            span = (self._low[series_id], self._high[series_id])
            row = (
                one.device, one.metric, one.unit or "", count, _time(int(self._first[series_id])),
                _time(int(self._last[series_id])),
                *(("", "") if one.kind else (repr(float(value)) for value in span)),
                f"{100 * int(self._good[series_id]) / count:.2f} %", int(self._late[series_id]),
                int(self._of_series[series_id]),
            )  # fmt: skip
            page.write(_row("conflict" if self._of_series[series_id] else "", row))
        page.write(b"</table>\n")

    def _conflict(self, batch: Logged, place: int) -> None:
        columns = batch.columns
        ts_us = int(columns.ts[place])
        one = self._known.series[int(columns.series[place])]
        values = {"device": one.device, "metric": one.metric, "ts_us": ts_us}
        found = self._connection.execute(
            QUERIES["readings_at"].text, values, binary=True
        ).fetchall()
        standing = [row for row in found if not row[5] & 1]
        stands = "not in the record" if not standing else _shown(*standing[0][2:5])
        value = float(columns.value[place])
        text = self._known.states[int(value)] if one.kind else None
        row = (
            one.device, one.metric, _time(ts_us), _shown(value, text, int(columns.quality[place])),
            stands, _time(int(columns.arrival_s[place]) * 1_000_000),
            _batch(batch),
        )  # fmt: skip
        self._add("conflict", row)

    def _add(self, name: str, row: Sequence[Any]) -> None:
        self._rows[name].write(_row(name, row))
        self.counts[name] += 1


def _head(names: Sequence[str]) -> bytes:
    cells = "".join(f"<th scope=col>{escape(name)}" for name in names)
    return f"<table>\n<tr>{cells}\n".encode()


def _row(mark: str, cells: Sequence[Any]) -> bytes:
    written = "".join(f"<td>{escape(str(cell))}" for cell in cells)
    opening = f"<tr class={mark}>" if mark else "<tr>"
    return f"{opening}{written}\n".encode(errors="backslashreplace")


def _shown(value: float | None, text: str | None, quality: int) -> str:
    shown = repr(value) if text is None else text
    return shown if quality == 0 else f"{shown} (quality {quality:#010x})"


def _batch(batch: Logged) -> str:
    return " ".join(map(str, (batch.shard[SHARD_NAME], batch.entry[NUMBER])))


def _data(data: object) -> str:
    assert isinstance(data, bytes), "a reject has its bytes"
    more = " …" if len(data) > DATA_BYTES_SHOWN else ""
    return data[:DATA_BYTES_SHOWN].decode(errors="backslashreplace") + more


def _time(us: object) -> str:
    assert isinstance(us, int), "a time is an integer"
    return time_text(us)
