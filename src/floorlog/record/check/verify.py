"""Verification: everything computed again from the stored rows, against the anchors outside."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import psycopg

from floorlog.core.ledger.fork import Fork
from floorlog.core.reading import Kind
from floorlog.errors import InputError, ServiceError
from floorlog.record.check.alarms import check_alarms
from floorlog.record.check.batches import Batches
from floorlog.record.check.chunks import check_chunks
from floorlog.record.check.content import known_of
from floorlog.record.check.expiry import Expiries
from floorlog.record.check.finding import Findings, Wrong
from floorlog.record.check.log import Log, check_notes, check_things
from floorlog.record.check.retention import check_allowed
from floorlog.record.check.schema import check_schema
from floorlog.record.log.anchor import Anchor
from floorlog.record.log.anchored import Anchored
from floorlog.record.rows import QUERIES, Connection, settle, time_us, unread
from floorlog.record.verifier import time_text

Tell = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Report:
    """What verification found.

    Attributes:
        ok: nothing of what was checked is wrong, and a signed note outside the database vouches for
            it. Only where `partial` is false, that is the whole record.
        readings, entries: what was checked.
        wrong: what is wrong, the first thousand.
        wrong_count: how many are wrong.
        unanchored_seconds: age of the oldest entry that no anchored note covers; 0 for none.
        readings_per_core_second: of this process's own time.
        key: who signed.
        anchored: leaves in the newest anchored note.
        forks: restores that were declared, as their statements say.
        stamps: time stamps of notes, with the time that each tells.
        expiries, expired_readings: steps of expiry that the log declares, and what went by them.
        partial: only a device or a time was asked for: what else was changed, or taken away, shows
            only in a verification of all.
    """

    ok: bool
    readings: int
    entries: int
    wrong: list[Wrong]
    wrong_count: int
    unanchored_seconds: float
    readings_per_core_second: int
    key: str
    anchored: int
    forks: list[dict[str, Any]]
    stamps: list[dict[str, Any]]
    expiries: int
    expired_readings: int
    partial: bool = False

    def as_object(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def as_text(self) -> str:
        """For a person: what is wrong, then one line."""
        lines = [_line(one) for one in self.wrong]
        if self.wrong_count > len(self.wrong):
            lines.append(f"… and {self.wrong_count - len(self.wrong)} more")
        intact = "what there is of the part asked for is intact" if self.partial else "intact"
        things = "1 thing is" if self.wrong_count == 1 else f"{self.wrong_count} things are"
        state = intact if self.ok else f"NOT INTACT: {things} wrong"
        lines.append(
            f"{state}: {self.readings} readings in {self.entries} batches, the log anchored up to"
            f" {self.anchored} leaves by {self.key or 'nobody'}"
        )
        if self.partial:
            lines.append(
                "PARTIAL: whether anything else was changed, or taken away, shows only without"
                " --device and --since (exit code 3)"
            )
        lines += [_fork_line(one) for one in self.forks]
        if self.stamps:
            newest = self.stamps[-1]
            lines.append(
                f"{len(self.stamps)} notes have a time stamp of another authority; the newest says"
                f" that {newest['size']} leaves were there at {newest['at']}"
            )
        if self.expiries:
            lines.append(
                f"declared: {self.expired_readings} readings expired in {self.expiries} steps,"
                " which the log names; see `floorlog retention log`"
            )
        if self.unanchored_seconds:
            lines.append(
                f"the last {self.unanchored_seconds:.0f} s are not anchored yet: nothing outside"
                " the database vouches for them"
            )
        return "\n".join(lines)


def _line(one: Wrong) -> str:
    place = [
        f"shard {one.shard}" if one.shard is not None else "",
        f"batch {one.batch}" if one.batch is not None else "",
        f"series {one.series}" if one.series is not None else "",
        f"stored {time_text(one.recorded_us)}" if one.recorded_us is not None else "",
    ]
    return f"{one.kind} {one.where}: {', '.join(part for part in [*place, one.says] if part)}"


def _fork_object(fork: Fork) -> dict[str, Any]:
    names = ("number", "parent", "size", "lost_size", "at", "reason")
    return {name: getattr(fork, name) for name in names}


def _fork_line(fork: Mapping[str, Any]) -> str:
    return (
        f"declared fork {fork['number']}: at {fork['at']} an older state was restored, with"
        f" {fork['size']} leaves of the log; what was anchored above that, up to"
        f" {fork['lost_size']}, is given up: {fork['reason']}"
    )


def check(
    connection: Connection,
    anchored: Anchored,
    *,
    since: str = "-infinity",
    device: str | None = None,
    tell: Tell = lambda _done, _total: None,
    findings: Findings | None = None,
) -> Report:
    """Verify the record that the connection's open transaction sees.

    Args:
        connection: in a transaction, on binary results.
        anchored: the notes, read before the transaction began.
        since: only batches stored from then on (ISO 8601); the log is read whole.
        device: only batches that hold readings of this device.
        tell: told how many readings were checked, of how many.
        findings: what was found before.

    Raises:
        InputError: there is no such device.
    """
    began = time.process_time()
    settle(connection)
    findings = Findings() if findings is None else findings
    for says in (*anchored.findings, *anchored.stamp_findings):
        findings.evidence("anchor", says)
    now, total = _one(connection, "totals", since=since)
    chosen = None if device is None else _series_of(connection, device)
    log = Log(anchored.notes, findings, anchored.leaves)
    log.read(connection)
    if log.size and not anchored.notes:
        findings.evidence("anchor", "no note is anchored: nothing outside the database vouches")
    check_notes(connection, anchored.bodies, anchored.late, findings)
    known = known_of(connection)
    registry = known.registry
    expiries = Expiries(connection)
    newer_us = check_things(connection, log, registry, findings, expiries.events)
    check_allowed(connection, expiries.rows, known.series, findings)
    check_alarms(connection, findings)
    batches = Batches(connection, log, known, findings, expiries, since=since, series=chosen)
    batches.run(lambda done: tell(done, total))
    partial = since != "-infinity" or chosen is not None
    if not partial:
        states = {one.series_id for one in known.series.values() if one.kind == Kind.STATE}
        check_chunks(connection, states, findings)
    spent = max(time.process_time() - began, 1e-6)
    oldest = min(
        (one for one in (newer_us, batches.unanchored_us) if one is not None), default=None
    )
    return Report(
        ok=not findings.count,
        readings=batches.readings,
        entries=batches.entries,
        wrong=findings.wrong,
        wrong_count=findings.count,
        unanchored_seconds=0.0 if oldest is None else max(0.0, (time_us(now) - oldest) / 1e6),
        readings_per_core_second=round(batches.readings / spent),
        key=anchored.key,
        anchored=log.anchored,
        forks=[_fork_object(one) for one in anchored.forks],
        stamps=anchored.stamps,
        expiries=expiries.count,
        expired_readings=expiries.readings,
        partial=partial,
    )


def verify(
    dsn: str,
    anchor: Anchor,
    key: str = "",
    *,
    since: str = "-infinity",
    device: str | None = None,
    tell: Tell = lambda _done, _total: None,
) -> Report:
    """Verify the record of a database; see `check`. `key` may be several, after one another.

    Raises:
        InputError: no such device, or no key.
        ServiceError: the database does not answer.
    """
    try:
        anchored = Anchored(anchor, key)
        with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
            findings = Findings()
            check_schema(connection, findings)
            connection.execute(QUERIES["open_verification"].text)
            return check(
                connection, anchored, since=since, device=device, tell=tell, findings=findings
            )
    except psycopg.errors.InvalidDatetimeFormat as error:
        raise InputError(
            f"{since!r} is no time", where="--since", fix="write 2026-01-31T12:00Z"
        ) from error
    except psycopg.Error as error:
        raise unread(error) from error
    except OSError as error:
        raise ServiceError(
            f"the anchors cannot be read: {error.strerror}",
            where=str(error.filename),
            fix="set FLOORLOG_ANCHOR to the directory of the notes",
        ) from error


def _one(connection: Connection, name: str, **values: object) -> tuple[Any, ...]:
    row = connection.execute(QUERIES[name].text, values, binary=True).fetchone()
    assert row is not None, "an aggregate returns a row"
    return tuple(row)


def _series_of(connection: Connection, device: str) -> list[int]:
    rows = connection.execute(QUERIES["series_of_device"].text, {"device": device}, binary=True)
    found = [series_id for (series_id,) in rows]
    if not found:
        raise InputError(
            f"the record knows no device {device!r}", where="--device", fix="look at the page"
        )
    return found
