"""Reads the record for a back-test: slice by slice, whole series as arrays."""

from collections.abc import Callable, Iterator
from importlib.resources import files

import numpy as np
import psycopg

from floorlog.core.backtest import Columns, Judge, Report, compare
from floorlog.core.catalogue import Catalogue
from floorlog.errors import InputError, ServiceError
from floorlog.store.arrays import adapt
from floorlog.store.catalogue import newest
from floorlog.store.queries import parse, sql
from floorlog.store.reader import moment

QUERIES = parse(files("floorlog.record.trial").joinpath("backtest.sql").read_text("utf-8"))
SLICE_US_FIRST = 600_000_000
SLICE_READINGS = 200_000
"""What a slice aims at: detectors are fastest with many readings, memory is the limit."""
STATEMENT_SECONDS_MAX = 300
Tell = Callable[[float, int], None]
"""Told of the share of the span that is done, and of the readings so far."""


def present_catalogue(dsn: str) -> tuple[int, Catalogue]:
    """The newest version of the catalogue. Raises ServiceError where the record does not answer."""
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as connection:
            version, body = newest(connection)
    except psycopg.Error as error:
        raise _unanswered(error) from error
    return version, Catalogue.decode(body.encode())


def backtest(
    dsn: str, present: Judge, asked: Judge, begin: int, end: int, tell: Tell = lambda *_: None
) -> Report:
    """Judge what the record holds from `begin` up to before `end` (µs UTC) by both.

    Late readings and conflicts, which no detector saw, are left out. Detectors begin as with a new
    record: learned ones say nothing until they are calibrated.

    Args:
        dsn: of a role that may read.
        present: judges by the present configuration.
        asked: judges by the one that is asked about.
        begin: first time stamp, µs UTC.
        end: first time stamp not judged any more, µs UTC.
        tell: hears of the progress, several times a minute.

    Raises:
        InputError: the span ends before it begins.
        ServiceError: the record cannot be reached.
    """
    if begin >= end:
        raise InputError("the span ends before it begins", where="--to", fix="swap its ends")
    try:
        for reached, series in _slices(dsn, begin, end):
            present.columns(series)
            asked.columns(series)
            tell((reached - begin) / (end - begin), asked.readings)
    except psycopg.Error as error:
        raise _unanswered(error) from error
    return compare(present, asked)


def _slices(dsn: str, begin: int, end: int) -> Iterator[tuple[int, list[Columns]]]:
    """The series of one slice after the other, with the time up to which they go."""
    with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as connection:
        adapt(connection)
        settings = {"timezone": "UTC", "statement_timeout": f"{STATEMENT_SECONDS_MAX}s"}
        connection.execute(
            sql("set_session"), {"names": list(settings), "values": list(settings.values())}
        )
        length = SLICE_US_FIRST
        at = begin
        while at < end:
            until = min(at + length, end)
            rows = connection.execute(
                QUERIES["readings_by_series"].text,
                {"from_time": moment(at), "to_time": moment(until)},
                binary=True,
            ).fetchall()
            series = [_columns(*row) for row in rows]
            yield until, series
            count = sum(len(each.ts) for each in series)
            if count * 2 < SLICE_READINGS:
                length *= 2
            elif count > SLICE_READINGS * 2:
                length = max(length // 2, 1_000_000)
            at = until


def _columns(
    device: str, metric: str, unit: str | None, ts: np.ndarray, value: np.ndarray,
    text: list[str] | None, quality: np.ndarray, arrival_s: np.ndarray,
) -> Columns:  # fmt: skip
    order = np.argsort(ts, kind="stable")
    names = None if text is None else [text[place] for place in order.tolist()]
    return Columns(
        device, metric, unit, ts[order], value[order] if names is None else names,
        quality[order], arrival_s[order],
    )  # fmt: skip


def _unanswered(error: psycopg.Error) -> ServiceError:
    return ServiceError(
        f"the record does not answer: {str(error).strip().splitlines()[0]}",
        where="database",
        fix="see that it runs and is migrated, and that host, port and password are right",
    )
