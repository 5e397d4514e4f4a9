"""`floorlog correct`: says what a reading should have been, and leaves the reading as it is."""

import math
from dataclasses import dataclass

from floorlog.errors import InputError
from floorlog.record.act.act import Connection, acting, actor_of, ask, text_of
from floorlog.record.verifier import time_text

QUALITY_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Corrected:
    """A correction as it was stored.

    Attributes:
        correction_id: its number.
        recorded_at: when, µs UTC.
        was, value: what stands in the reading, what it should have been: number or state.
        was_quality, quality: OPC UA status codes.
    """

    correction_id: int
    recorded_at: int
    was: float | str
    was_quality: int
    value: float | str
    quality: int


def correct(
    dsn: str,
    device: str,
    metric: str,
    at: int,
    value: str | None,
    quality: int | None,
    *,
    by: str,
    reason: str,
) -> Corrected:
    """Correct the reading that stands of a series at a time.

    Args:
        dsn: of the operator's role.
        device: the device.
        metric: the metric.
        at: the reading's time, µs UTC.
        value: what it should have been, as written; None leaves the value as it is.
        quality: OPC UA status code; None leaves it as it was.
        by: a person's name or pseudonym.
        reason: why.

    Raises:
        InputError: there is no such reading, it says so already, or the value cannot be one.
        ServiceError: the record cannot be reached.
    """
    said = text_of("a reason", reason, "--reason")
    if value is None and quality is None:
        raise InputError("nothing is corrected", where="VALUE", fix="give a value or --quality")
    with acting(dsn) as connection:
        number, text = _value(connection, device, metric, at, value)
        actor = actor_of(connection, by)
        ((number_of, recorded, was, was_text, was_quality, now, now_text, now_quality),) = ask(
            connection, "correct", device=device, metric=metric, at=at, value=number, text=text,
            quality=quality, actor=actor, reason=said,
        )  # fmt: skip
    return Corrected(
        number_of,
        recorded,
        was if was_text is None else was_text,
        was_quality,
        text or now_text or now,  # a state that is new is not seen by the statement that adds it
        now_quality,
    )


def _value(
    connection: Connection, device: str, metric: str, at: int, value: str | None
) -> tuple[float | None, str | None]:
    """The value as a number or as a state's name, as the series has them."""
    found = ask(connection, "kind_of_series", device=device, metric=metric)
    if not found:
        raise InputError(
            f"the record has no series {device} {metric}",
            where="record",
            fix="the page lists all devices and metrics",
        )
    if not ask(connection, "stands", device=device, metric=metric, at=at):
        around = ask(connection, "neighbours", device=device, metric=metric, at=at)
        near = " and ".join(time_text(us) for us in around[0] if us is not None)
        raise InputError(
            f"{device} {metric} has no reading of {time_text(at)}",
            where="TIME",
            fix=f"the nearest are of {near}" if near else "none is within a day of it",
        )
    if value is None or found[0][0]:
        return None, value
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(
            f"{value!r} is no number that could be stored",
            where="VALUE",
            fix=f"{device} {metric} has numbers: write 71.3",
        )
    return number, None
