"""Readings of a series as they are known now, or were known as of a size of the log or a moment."""

from dataclasses import dataclass
from typing import Any

from floorlog.errors import InputError
from floorlog.record.act.act import Connection, acting, ask
from floorlog.record.export.prove import moment_us
from floorlog.store.reader import moment

ROWS_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading beside its correction; times in µs UTC, qualities OPC UA status codes.

    Attributes:
        flags: 1 contradicts an earlier one, 2 late, 4 corrected.
        corrected: what it should have been; None where nothing says so.
    """

    ts: int
    value: float | str | None
    quality: int
    flags: int
    recorded_at: int
    corrected: float | str | None
    corrected_quality: int | None


@dataclass(frozen=True, slots=True)
class Known:
    """What was known.

    Attributes:
        log_size: as of which size of the log; None: now, the part without a place included.
        readings: the oldest first.
    """

    log_size: int | None
    readings: list[Reading]


def readings(
    dsn: str,
    device: str,
    metric: str,
    begin: int,
    end: int,
    *,
    as_of: str | None = None,
    rows_max: int = ROWS_MAX,
) -> Known:
    """Readings of one series from `begin` up to before `end` (µs UTC).

    Args:
        dsn: of a role that may read.
        device: the device.
        metric: the metric.
        begin: µs UTC.
        end: µs UTC.
        as_of: a size of the log in digits, or a time in ISO 8601; None: what is known now.
        rows_max: so many at most, the oldest.

    Raises:
        InputError: as_of is neither.
        ServiceError: the record cannot be reached.
    """
    values: dict[str, Any] = {
        "device": device, "metric": metric, "from_time": moment(begin), "to_time": moment(end),
        "rows_max": rows_max,
    }  # fmt: skip
    with acting(dsn) as connection:
        size = None if as_of is None else _size(connection, as_of)
        if size is None:
            rows = ask(connection, "readings_now", **values)
        else:
            rows = ask(connection, "readings_as_of", **values, log_size=size)
    return Known(size, [Reading(*row) for row in (_shown(*row) for row in rows)])


def _size(connection: Connection, as_of: str) -> int:
    """The size of the log that is meant."""
    if as_of.isascii() and as_of.isdigit() and len(as_of) <= 18:
        return int(as_of)
    try:
        at = moment(moment_us(as_of, "--as-of"))
    except InputError as error:
        raise InputError(
            f"{as_of!r} is neither a size of the log nor a time",
            where="--as-of",
            fix="write 4711 or 2026-01-31T12:00Z",
        ) from error
    ((size,),) = ask(connection, "log_size_at", moment=at)
    return int(size)


def _shown(*row: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a row of the queries
    ts, value, text, quality, flags, recorded_at, corrected, corrected_text, corrected_quality = row
    return (
        ts, value if text is None else text, quality, flags, recorded_at,
        corrected if corrected_text is None else corrected_text, corrected_quality,
    )  # fmt: skip
