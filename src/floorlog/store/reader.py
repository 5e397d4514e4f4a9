"""The record as pages and commands read it, under a role that may only read."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from floorlog.core.reading import Counts, Kind
from floorlog.errors import ServiceError
from floorlog.store.answers import (
    Finding,
    SeriesName,
    ShardStatus,
    Status,
    StoredConflict,
    StoredGap,
    StoredReject,
    StoredValue,
)
from floorlog.store.arrays import adapt
from floorlog.store.link import Dsn, string_of
from floorlog.store.patient import Patient
from floorlog.store.queries import sql

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATEMENT_SECONDS_MAX = 30


class Reader:
    """Questions to the record; one connection, for one thread, made anew after it was lost.

    Args:
        dsn: connection string of a role that may read, or who gives it for each new connection.

    Raises:
        ServiceError: by every method, when the database cannot be reached or does not answer.
    """

    def __init__(self, dsn: Dsn) -> None:
        self._dsn = dsn
        self._connection: Patient | None = None

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def status(self) -> Status:
        """Counts, lag and owner of every shard, and who lives."""
        rows = self._rows("status_of_shards")  # one statement: totals and shards of one moment
        return Status(
            total=Counts(*(sum(row[at] for row in rows) for at in range(7, 13))),
            gaps=sum(row[13] for row in rows),
            series=self._rows("count_series")[0][0],
            findings=self._rows("count_anomalies")[0][0],
            shards=tuple(
                ShardStatus(*(*row[:7], Counts(*row[7:13]), row[13], int(row[14]), row[15]))
                for row in rows
                if not row[16]
            ),
            workers=dict(self._rows("workers_seen")),
            learning=self._rows("count_learning")[0][0],
            split=tuple(asset for (asset,) in self._rows("split_assets")),
            unanchored_s=self._rows("unanchored")[0][0],
        )

    def size_bytes(self) -> int:
        """What the database takes on disk."""
        size: int = self._rows("size")[0][0]
        return size

    def series(self) -> list[SeriesName]:
        """Every series, by device and metric."""
        return [
            SeriesName(series_id, device, metric, Kind(kind), unit, is_learning)
            for series_id, device, metric, kind, unit, is_learning in self._rows("list_series")
        ]

    def last_values(self) -> list[StoredValue]:
        """The newest reading that stands of every series, by device and metric."""
        return [
            StoredValue(ts, device, metric, value, text, quality, recorded_at, unit=unit)
            for ts, device, metric, value, text, unit, quality, recorded_at in self._rows(
                "last_values"
            )
        ]

    def readings(
        self, device: str, metric: str, begin: int, end: int, rows_max: int
    ) -> list[StoredValue]:
        """Readings of one series from `begin` up to before `end` (µs UTC), newest first."""
        rows = self._rows(
            "readings_of_series", device=device, metric=metric, **_span(begin, end, rows_max)
        )
        return [
            StoredValue(ts, device, metric, value, text, quality, recorded_at, flags)
            for ts, value, text, quality, flags, recorded_at in rows
        ]

    def all_readings(self, begin: int, end: int, rows_max: int) -> list[StoredValue]:
        """Readings of all series from `begin` up to before `end` (µs UTC), in any order."""
        rows = self._rows("readings_in_span", **_span(begin, end, rows_max))
        return [
            StoredValue(ts, device, metric, value, text, quality, recorded_at, flags)
            for ts, device, metric, value, text, quality, flags, recorded_at in rows
        ]

    def findings(self, since: int, rows_max: int) -> list[Finding]:
        """Findings that are open, or were recorded or ended since then (µs UTC), newest first."""
        rows = self._rows("recent_findings", since=since, rows_max=rows_max)
        return [Finding(*row) for row in rows]

    def rejects_by_code(self, since: int) -> dict[str, int]:
        """How many rejects of each code were recorded since then (µs UTC)."""
        return dict(self._rows("rejects_by_code", since=moment(since)))

    def rejects(self, rows_max: int) -> list[StoredReject]:
        """The newest rejects."""
        return [
            StoredReject(at, shard_id, int(sequence), *rest)
            for at, shard_id, sequence, *rest in self._rows("recent_rejects", rows_max=rows_max)
        ]

    def gaps(self, rows_max: int) -> list[StoredGap]:
        """The newest gaps."""
        return [StoredGap(*row) for row in self._rows("recent_gaps", rows_max=rows_max)]

    def conflicts(self, begin: int, end: int, rows_max: int) -> list[StoredConflict]:
        """Conflicts recorded from `begin` up to `end` (µs UTC), newest first."""
        rows = self._rows("conflicts_in_span", **_span(begin, end, rows_max))
        return [
            StoredConflict(
                StoredValue(ts, device, metric, value, text, quality, recorded_at, flags=1),
                standing_value,
                standing_text,
                standing_quality,
            )
            for (
                ts,
                device,
                metric,
                value,
                text,
                quality,
                standing_value,
                standing_text,
                standing_quality,
                recorded_at,
            ) in rows
        ]

    def _rows(self, name: str, **parameters: object) -> list[tuple[Any, ...]]:
        try:
            return self._tried(name, **parameters)
        except psycopg.Error as error:
            raise self._failed(error) from error

    def _tried(self, name: str, **parameters: object) -> list[tuple[Any, ...]]:
        """The rows of a query; raises psycopg.Error."""
        return self._open().execute(sql(name), parameters, binary=True).fetchall()

    def _failed(self, error: psycopg.Error) -> ServiceError:
        """What a failed question means to who asked; the next one takes a new connection."""
        self.close()
        return ServiceError(
            f"the record does not answer: {str(error).strip().splitlines()[0]}",
            where="database",
            fix="see that it runs and is migrated, and that host, port and password are right",
        )

    def _open(self) -> Patient:
        if self._connection is None or self._connection.closed:
            self._connection = Patient.connect(
                string_of(self._dsn),
                autocommit=True,
                connect_timeout=5,
                application_name="floorlog reader",
                prepare_threshold=0,
            )
            self._connection.patience_s = _STATEMENT_SECONDS_MAX + 5
            adapt(self._connection)
            settings = {
                "timezone": "UTC",
                "statement_timeout": f"{_STATEMENT_SECONDS_MAX}s",
                "jit": "off",
            }
            self._connection.execute(
                sql("set_session"), {"names": list(settings), "values": list(settings.values())}
            )
        return self._connection


def moment(us: int) -> datetime:
    """µs UTC as a time, cut to what Python's calendar holds."""
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    try:
        return min(max(_EPOCH + timedelta(microseconds=us), first), last)
    except OverflowError:
        return first if us < 0 else last


def _span(begin: int, end: int, rows_max: int) -> dict[str, object]:
    return {"from_time": moment(begin), "to_time": moment(end), "rows_max": rows_max}
