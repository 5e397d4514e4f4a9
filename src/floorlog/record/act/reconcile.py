"""`floorlog reconcile`: received = stored + rejected + duplicate, by shard and hour, no hole.

Hours are those of storing. What verification computes again from every reading is taken from the
batches here, which takes seconds instead of minutes: see `floorlog verify`.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from typing import Any

import psycopg

from floorlog.record.act.act import Connection, Row
from floorlog.record.rows import unread
from floorlog.record.verifier import time_text
from floorlog.store.arrays import adapt
from floorlog.store.queries import parse
from floorlog.store.reader import moment

QUERIES = parse(files("floorlog.record.act").joinpath("reconcile.sql").read_text("utf-8"))
COUNTS = ("records", "received", "stored", "rejected", "duplicate", "conflict")
EVER = (-(2**62), 2**62)


@dataclass(frozen=True, slots=True)
class Loss:
    """Input that is missing, as was told at the time: a span of arrival, and why."""

    begin: str
    end: str
    cause: str


@dataclass(slots=True)
class Hour:
    """What one shard stored in one hour.

    Attributes:
        hour: its beginning.
        shard, arn: the shard and its stream.
        first_batch, last_batch: their numbers.
        sequence_before, sequence: the span of sequence numbers, joined without a hole.
        records … conflict: sums over the batches; conflicts are part of stored.
        expired: readings that are in `stored`, and expired since.
        gaps: losses of input that the batches tell of.
        wrong: what does not add up, in words.
    """

    hour: str
    shard: str
    arn: str
    first_batch: int
    last_batch: int
    sequence_before: str
    sequence: str
    records: int
    received: int
    stored: int
    rejected: int
    duplicate: int
    conflict: int
    expired: int = 0
    gaps: list[Loss] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The answer.

    Attributes:
        ok: everything adds up.
        hours: by shard and hour.
        wrong: what does not add up for a shard as a whole.
        corrections, replays: counted apart; replays are rejects that were sent again.
    """

    ok: bool
    hours: list[Hour]
    wrong: list[str]
    corrections: int
    replays: int

    def as_object(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def as_text(self) -> str:
        """For a person."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        shard = None
        for one in self.hours:
            if (one.arn, one.shard) != shard:
                shard = (one.arn, one.shard)
                yield f"{one.shard} of {one.arn}"
                names = "".join(f"{name:>11}" for name in COUNTS)
                yield f"  {'hour':17}{names}  batches"
            counts = "".join(f"{getattr(one, name):>11}" for name in COUNTS)
            yield f"  {one.hour[:16]:17}{counts}  {one.first_batch} to {one.last_batch}"
            if one.expired:
                yield f"      {one.expired} of the stored readings expired since"
            for gap in one.gaps:
                yield f"      gap from {gap.begin} to {gap.end}: {gap.cause}"
            for says in one.wrong:
                yield f"      WRONG: {says}"
        yield from (f"WRONG: {says}" for says in self.wrong)
        gaps = sum(len(one.gaps) for one in self.hours)
        yield (
            f"{'everything adds up' if self.ok else 'IT DOES NOT ADD UP'}: "
            + ", ".join(f"{sum(getattr(o, n) for o in self.hours)} {n}" for n in COUNTS[1:])
            + f"; {gaps} gaps; apart from these {self.corrections} corrections and"
            f" {self.replays} rejects sent again"
        )


def reconcile(dsn: str, since: int | None = None, until: int | None = None) -> Reconciled:
    """Reconcile what was stored from `since` up to before `until` (µs UTC; None: all).

    Raises:
        ServiceError: the record does not answer.
    """
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
            adapt(connection)
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.execute("SET LOCAL timezone = 'UTC'")
            return _reconcile(connection, since, until)
    except psycopg.Error as error:
        raise unread(error) from error


def _reconcile(connection: Connection, since: int | None, until: int | None) -> Reconciled:
    first, last = EVER[0] if since is None else since, EVER[1] if until is None else until
    span = {"since": moment(first), "until": moment(last)}
    shards = {row[0]: row for row in _ask(connection, "shards_to_reconcile")}
    hours = {
        (row[0], row[1]): _hour(row, shards.get(row[0])) for row in _ask(connection, "hours", span)
    }
    gone = {(row[0], row[1]): row[2:] for row in _ask(connection, "expired_by_hour", span)}
    for name, query in (("rejected", "rejects_by_hour"), ("conflict", "conflicts_by_hour")):
        there = {(row[0], row[1]): row[2] for row in _ask(connection, query, span)}
        for key, one in hours.items():
            _compare(one, name, there.get(key, 0), gone.get(key))
    for lease_id, hour, begin, end, cause in _ask(connection, "gaps_between", span):
        if (lease_id, hour) in hours:
            loss = Loss(time_text(begin), time_text(end), cause)
            hours[lease_id, hour].gaps.append(loss)
    wrong = [says for row in shards.values() for says in _wrong_of(row)]
    ((corrections, replays),) = _ask(connection, "counted_apart", span)
    found_hours = list(hours.values())
    ok = not wrong and not any(one.wrong for one in found_hours)
    return Reconciled(ok, found_hours, wrong, corrections, replays)


def _compare(hour: Hour, name: str, found: int, gone: Row | None) -> None:
    """Rows that are there against those that were counted, less what expired."""
    counted = getattr(hour, name)
    if gone is not None:
        hour.expired = int(gone[0])
        # How many conflicts were among the readings that expired, nothing tells any more.
        most = int(gone[1]) if name == "rejected" else min(max(counted - found, 0), hour.expired)
        found += most
    if counted != found:
        hour.wrong.append(f"{counted} {name} are counted, {found} are there")


def _hour(row: Row, shard: Row | None) -> Hour:
    _, hour, low, high, batches, *counts, unequal, holes, before, after = row
    name, arn = (shard[1], shard[2]) if shard else (f"lease {row[0]}", "")
    made = Hour(time_text(hour), name, arn, low, high, before, after, *_six(counts))
    if unequal:
        made.wrong.append(f"{unequal} batches: received is not stored + rejected + duplicate")
    if holes:
        made.wrong.append(f"{holes} batches do not follow the one before: a hole")
    if shard is None:
        made.wrong.append("the shard is not there")
    if batches != high - low + 1:
        made.wrong.append(f"{batches} batches are there of {high - low + 1}")
    return made


def _six(counts: list[Any]) -> tuple[int, int, int, int, int, int]:
    """Sums come as numeric."""
    one, two, three, four, five, six = (int(count) for count in counts)
    return one, two, three, four, five, six


def _wrong_of(row: Row) -> Iterator[str]:
    """What a shard's row says, against its batches."""
    _, name, _, _, checkpoint, number, stated, summed, last, sequence = row
    if (checkpoint, number) != (sequence, last):
        yield (
            f"{name} stands at batch {number} and sequence number {checkpoint}, its batches end"
            f" with {last} and {sequence}"
        )
    for count, a, b in zip(COUNTS, stated, summed, strict=True):
        if a != b:
            yield f"{name} says {a} {count}, its batches {b}"


def _ask(connection: Connection, query: str, values: dict[str, Any] | None = None) -> list[Row]:
    return connection.execute(QUERIES[query].text, values, binary=True).fetchall()
