"""`floorlog break`: harms a local record as its superuser, so that anybody can see it found."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import psycopg

from floorlog.errors import InputError, ServiceError
from floorlog.record.verifier import time_text
from floorlog.store.queries import parse

QUERIES = parse(files("floorlog.local").joinpath("harm.sql").read_text("utf-8"))
Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Harm:
    """What was done.

    Attributes:
        how: change, delete, swap, insert or truncate.
        says: what exactly, in a sentence.
        batches: shard and number of the batches that verification will name.
        series: the series that it will name, where it is one.
    """

    how: str
    says: str
    batches: Sequence[tuple[str, int]]
    series: int | None = None


@dataclass(frozen=True, slots=True)
class _Victim:
    """A batch that an anchored note covers."""

    lease_id: int
    number: int
    shard: str
    recorded_us: int

    def __str__(self) -> str:
        stored = time_text(self.recorded_us, "seconds")
        return f"batch {self.number} of shard {self.shard}, stored {stored}"


def harm(dsn: str, how: str, anchored: int, seed: int | None = None) -> Harm:
    """Harm a record, past every trigger and right.

    Args:
        dsn: the superuser's connection string.
        how: one of HOW.
        anchored: leaves of the log that the newest note covers: only what is older is harmed.
        seed: for the same choice again; None for any.

    Raises:
        InputError: the record has nothing yet that could be harmed so.
        ServiceError: the database does not answer.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    try:
        with psycopg.connect(dsn, connect_timeout=10) as connection:
            connection.execute(QUERIES["pass_all_guards"].text)
            return HOW[how](connection, anchored, chance)
    except psycopg.Error as error:
        raise ServiceError(
            f"the record cannot be harmed: {str(error).strip().splitlines()[0]}",
            where="database",
            fix="see that `floorlog up` runs",
        ) from error


def _rows(connection: Connection, name: str, **values: object) -> list[tuple[Any, ...]]:
    cursor = connection.execute(QUERIES[name].text, values)
    return cursor.fetchall() if cursor.description else []


def _victims(
    connection: Connection, anchored: int, count: int, chance: random.Random
) -> list[_Victim]:
    found = [_Victim(*row) for row in _rows(connection, "anchored_batches", anchored=anchored)]
    if len(found) < count:
        raise InputError(
            f"the record has not {count} batches with readings that are anchored",
            where="break",
            fix="let `floorlog up` run for a minute",
        )
    return chance.sample(found, count)


def _change(connection: Connection, anchored: int, chance: random.Random) -> Harm:
    (victim,) = _victims(connection, anchored, 1, chance)
    rows = _rows(connection, "readings_of_batch", lease_id=victim.lease_id, number=victim.number)
    row = chance.choice(rows)
    series_id, ts_us, device, metric, kind = row[:5]
    place = {"lease_id": victim.lease_id, "number": victim.number}
    place |= {"series_id": series_id, "ts_us": ts_us}
    changed = _rows(connection, "change_open", **place)
    was, now = (changed or _rows(connection, "change_sealed", **place))[0]
    what = f"state {was:.0f} to state {now:.0f}" if kind else f"{was!r} to {now!r}"
    says = f"changed {device} {metric} of {time_text(ts_us)} from {what} in {victim}"
    return Harm("change", says, [(victim.shard, victim.number)], series_id)


def _delete(connection: Connection, anchored: int, chance: random.Random) -> Harm:
    (victim,) = _victims(connection, anchored, 1, chance)
    place = {"lease_id": victim.lease_id, "number": victim.number}
    for name in ("delete_open", "delete_batch"):
        _rows(connection, name, **place)
    return Harm("delete", f"deleted {victim}", [(victim.shard, victim.number)])


def _swap(connection: Connection, anchored: int, chance: random.Random) -> Harm:
    one, other = _victims(connection, anchored, 2, chance)
    places = {"lease_id": one.lease_id, "number": one.number}
    places |= {"other_lease": other.lease_id, "other_number": other.number}
    _rows(connection, "swap_times", **places)
    says = f"exchanged when {one} and {other} were stored"
    return Harm("swap", says, [(one.shard, one.number), (other.shard, other.number)])


def _insert(connection: Connection, anchored: int, chance: random.Random) -> Harm:
    (victim,) = _victims(connection, anchored, 1, chance)
    place = {"lease_id": victim.lease_id, "number": victim.number}
    rows = _rows(connection, "readings_of_batch", **place)
    series_id, ts_us, device, metric, _ = chance.choice(rows)
    _rows(connection, "insert_reading", **place, series_id=series_id, ts_us=ts_us)
    says = f"added a reading of {device} {metric} at {time_text(ts_us + 1)} to {victim}"
    return Harm("insert", says, [(victim.shard, victim.number)], series_id)


def _truncate(connection: Connection, anchored: int, chance: random.Random) -> Harm:
    """The newest anchored batches of a shard go, with all that tells of them."""
    (victim,) = _victims(connection, anchored, 1, chance)
    place = {"lease_id": victim.lease_id, "number": victim.number}
    ((last,),) = _rows(connection, "last_number", lease_id=victim.lease_id)
    for name in ("cut_open", "cut_batches", "cut_log"):
        _rows(connection, name, **place)
    says = (
        f"cut shard {victim.shard} off: batches {victim.number} to {last} are gone, and with them"
    )
    says += " the log from there on; `floorlog keeper` will refuse to sign what is left"
    return Harm("truncate", says, [(victim.shard, victim.number)])


HOW: dict[str, Callable[[Connection, int, random.Random], Harm]] = {
    "change": _change,
    "delete": _delete,
    "swap": _swap,
    "insert": _insert,
    "truncate": _truncate,
}
