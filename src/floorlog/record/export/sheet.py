"""The readings of an export as Parquet: files of at most some millions of rows."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from floorlog.core.ledger.batch import CONFLICT, LATE
from floorlog.record.export.parquet import Column, Writer
from floorlog.record.proof import Known, Logged

COLUMNS = (
    Column("ts", "time"),
    Column("device_id", "text"),
    Column("metric", "text"),
    Column("value", "double", is_optional=True),
    Column("text", "text", is_optional=True),
    Column("unit", "text", is_optional=True),
    Column("quality", "uint32"),
    Column("arrived_at", "time"),
    Column("flags", "int32"),
    Column("shard", "int32"),
    Column("batch", "int64"),
    Column("series", "int32"),
    Column("recorded_at", "time"),
)
RECORDED = 4  # of an entry
GROUP_ROWS = 100_000
FILE_ROWS = 5_000_000  # so that a footer stays small, and one file can be read on a laptop


class Place(Protocol):
    """Where files go."""

    @contextmanager
    def file(self, name: str) -> Iterator[Any]:
        """A new file."""


class Sheet:
    """Takes readings batch by batch; holds one row group.

    Args:
        folder: where the files go, below `parquet/`.
        known: the names of all series and states.
    """

    def __init__(self, folder: Place, known: Known) -> None:
        self._folder = folder
        self._known = known
        self._parts: list[tuple[NDArray[Any], ...]] = []
        self._rows = 0
        self._files = 0
        self._open = ExitStack()
        self._writer: Writer | None = None

    def add(self, batch: Logged, places: NDArray[np.intp]) -> None:
        """Take some readings of a batch."""
        columns, count = batch.columns, len(places)
        flags = columns.conflict[places] * CONFLICT + columns.late[places] * LATE
        each = (
            columns.ts[places], columns.series[places], columns.value[places],
            columns.quality[places], columns.arrival_s[places] * 1_000_000, flags,
            np.full(count, batch.shard[0]), np.full(count, batch.entry[1]),
            np.full(count, batch.entry[RECORDED]),
        )  # fmt: skip
        self._parts.append(each)
        self._rows += count
        if self._rows >= GROUP_ROWS:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
            if self._writer is not None or not self._files:  # there is at least one file
                self._end(self._begin())
        self._open.close()

    def _flush(self) -> None:
        if not self._parts:
            return
        writer = self._begin()
        joined = [np.concatenate(part) for part in zip(*self._parts, strict=True)]
        ts, series, value, quality, arrived, flags, shard, batch, recorded = joined
        known, ids = self._known.series, series.tolist()
        names = {one: known[one] for one in set(ids)}
        device = {one: name.device.encode() for one, name in names.items()}
        metric = {one: name.metric.encode() for one, name in names.items()}
        unit = {
            one: None if name.unit is None else name.unit.encode() for one, name in names.items()
        }
        of_states = np.array([bool(names[one].kind) for one in ids], np.bool_)
        text: list[bytes | None] = [None] * len(ids)
        for at in np.flatnonzero(of_states).tolist():
            text[at] = self._known.states[int(value[at])].encode()
        writer.group(
            [
                ts, [device[one] for one in ids], [metric[one] for one in ids],
                np.where(of_states, np.nan, value), text, [unit[one] for one in ids], quality,
                arrived, flags, shard, batch, series, recorded,
            ]
        )  # fmt: skip
        self._parts, self._rows = [], 0
        if writer.rows >= FILE_ROWS:
            self._end(writer)

    def _begin(self) -> Writer:
        if self._writer is None:
            self._files += 1
            name = f"parquet/readings-{self._files:05}.parquet"
            file = self._open.enter_context(self._folder.file(name))
            self._writer = Writer(cast("BinaryIO", file), COLUMNS, "floorlog")
        return self._writer

    def _end(self, writer: Writer) -> None:
        writer.close()
        self._open.close()
        self._writer = None
