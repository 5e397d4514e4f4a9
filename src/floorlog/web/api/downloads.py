"""Readings as a file that streams: however long, a few thousand rows are in memory at a time."""

import csv
import io
import math
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floorlog import __version__
from floorlog.core.reading import MICROSECONDS
from floorlog.record.export.parquet import Column, Writer
from floorlog.record.verifier import time_text
from floorlog.store.browser import CorrectedValue
from floorlog.web.access.role import ALL
from floorlog.web.api.reads import SpanQuery, span_of
from floorlog.web.api.record import Answers, Record
from floorlog.web.api.route import Call, Route, Stream

ROWS = 5_000
SLICE_US = 3_600 * MICROSECONDS
SLICE_US_MAX = 32 * 86_400 * MICROSECONDS
SPAN_US_MAX = 20 * 366 * 86_400 * MICROSECONDS
PARQUET = (
    Column("ts", "time"),
    Column("device_id", "text"),
    Column("metric", "text"),
    Column("value", "double", is_optional=True),
    Column("text", "text", is_optional=True),
    Column("quality", "uint32"),
    Column("flags", "int32"),
    Column("recorded_at", "time"),
)
COLUMNS = ("ts", "device_id", "metric", "value", "text", "quality", "flags", "recorded_at")


async def readings_csv(call: Call) -> AsyncIterator[bytes]:
    """Readings of a series as CSV (RFC 4180), oldest first; an answer that breaks off is cut."""
    query = call.query
    begin, end = span_of(query, SPAN_US_MAX)
    call.out["Content-Disposition"] = 'attachment; filename="readings.csv"'
    yield (",".join(COLUMNS) + "\r\n").encode()
    async for found in pages(call.services.record, query.device, query.metric, begin, end):
        yield csv_of(found)


async def readings_parquet(call: Call) -> AsyncIterator[bytes]:
    """The same as Apache Parquet, in row groups of a few thousand; zstd, times in µs UTC."""
    query = call.query
    begin, end = span_of(query, SPAN_US_MAX)
    call.out["Content-Disposition"] = 'attachment; filename="readings.parquet"'
    sink = io.BytesIO()
    writer = Writer(sink, PARQUET, f"floorlog {__version__}")
    async for found in pages(call.services.record, query.device, query.metric, begin, end):
        writer.group(_columns(found))
        yield _drained(sink)
    writer.close()
    yield _drained(sink)


def _drained(sink: io.BytesIO) -> bytes:
    data = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return data


def _columns(found: list[CorrectedValue]) -> list[NDArray[Any] | Sequence[bytes | None]]:
    values = [math.nan if one.value is None else one.value for one in found]
    return [
        np.array([one.ts for one in found], np.int64),
        [one.device.encode() for one in found],
        [one.metric.encode() for one in found],
        np.array(values, np.float64),
        [None if one.text is None else one.text.encode() for one in found],
        np.array([one.quality for one in found], np.uint32),
        np.array([one.flags for one in found], np.int32),
        np.array([one.recorded_at for one in found], np.int64),
    ]


def csv_of(found: list[CorrectedValue]) -> bytes:
    """Rows of CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for one in found:
        value = "" if one.value is None else repr(one.value)
        writer.writerow(
            (time_text(one.ts), _plain(one.device), _plain(one.metric), value,
             _plain(one.text or ""), one.quality, one.flags, time_text(one.recorded_at))
        )  # fmt: skip
    return text.getvalue().encode()


def _plain(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


async def pages(
    record: Record, device: str, metric: str, begin: int, end: int
) -> AsyncIterator[list[CorrectedValue]]:
    """The readings of a span, oldest first, a bounded number at a time.

    A question reads what lies in a slice of time, which grows where there is little and shrinks
    where there is much: none costs more than some pages.
    """
    width = SLICE_US
    at = begin
    while at < end:
        edge = min(end, at + width)
        skip = 0
        while True:
            found = await record.ask(_page(device, metric, at, edge, skip))
            if found:
                yield found
            if len(found) < ROWS:
                break
            at, skip = _onwards(found, at, skip)
        if skip or len(found) == ROWS:
            width = max(width // 2, MICROSECONDS)
        elif len(found) < ROWS // 4:
            width = min(width * 2, SLICE_US_MAX)
        at = edge


def _onwards(found: list[CorrectedValue], at: int, skip: int) -> tuple[int, int]:
    final = found[-1].ts
    given = sum(1 for one in found if one.ts == final)
    return final, given + (skip if final == at else 0)


def _page(
    device: str, metric: str, begin: int, end: int, skip: int
) -> Callable[[Answers], list[CorrectedValue]]:
    def ask(answers: Answers) -> list[CorrectedValue]:
        return answers.forward(device, metric, begin, end, skip=skip, rows_max=ROWS)

    return ask


ROUTES = (
    Route("GET", "/api/v1/readings.csv", readings_csv, ALL, "Readings of one series as CSV",
          Stream("text/csv; charset=utf-8", "RFC 4180, a line a reading"), SpanQuery),
    Route("GET", "/api/v1/readings.parquet", readings_parquet, ALL,
          "Readings of one series as Parquet",
          Stream("application/vnd.apache.parquet", "Apache Parquet, one flat table"), SpanQuery),
)  # fmt: skip
