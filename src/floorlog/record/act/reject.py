"""Rejects: found, shown safely, and sent again through the stream, each time with a trace."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from floorlog.core.decode import careful
from floorlog.core.decode.entry import Found
from floorlog.errors import FloorlogError, Illegal, InputError, NotThere
from floorlog.record.act.act import Connection, Row, acting, actor_of, add_event, text_of
from floorlog.record.act.mend import advice
from floorlog.record.verifier import time_text
from floorlog.source.sender import Entry
from floorlog.store.queries import parse
from floorlog.store.reader import moment

QUERIES = parse(files("floorlog.record.act").joinpath("reject.sql").read_text("utf-8"))
ROWS_MAX = 1_000
SHOWN_BYTES_MAX = 4_096
DIGITS = 8  # of a leaf's hash, which name a reject within its batch
_NAME = re.compile(r"(\d{1,10})\.(\d{1,18})\.([0-9a-f]{8,64})")
Put = Callable[[Entry], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Reject:
    """An input that became no reading.

    Attributes:
        lease_id, number: its batch.
        digest: hash of its leaf, hex.
        recorded_at: when it was stored, µs UTC.
        shard: name of the shard.
        sequence: sequence number of its record.
        element: place in the record, -1 for the whole.
        code, reason: why it became none.
        data: the bytes received.
        touched: somebody has sent it again, or tried.
    """

    lease_id: int
    number: int
    digest: str
    recorded_at: int
    shard: str
    sequence: str
    element: int
    code: str
    reason: str
    data: bytes = field(repr=False)
    touched: bool

    @property
    def key(self) -> str:
        """Its name in the events of what was done to it."""
        return f"{self.lease_id}.{self.number}.{self.digest}"

    @property
    def name(self) -> str:
        """How a person names it."""
        return f"{self.lease_id}.{self.number}.{self.digest[:DIGITS]}"

    def as_object(self, *, whole: bool = False) -> dict[str, Any]:
        """As JSON has it; the bytes as hex where it is asked for whole."""
        found: dict[str, Any] = {
            "name": self.name, "recorded_at": time_text(self.recorded_at), "shard": self.shard,
            "sequence": self.sequence, "element": self.element, "code": self.code,
            "reason": self.reason, "mend": advice(self.code), "bytes": len(self.data),
            "replayed": self.touched,
        }  # fmt: skip
        if whole:
            found |= {"digest": self.digest, "data_hex": self.data.hex()}
        return found


@dataclass(frozen=True, slots=True)
class Asked:
    """Which rejects; times in µs UTC, None for any.

    Attributes:
        since, until: when they were stored; `until` does not belong to it.
        code, shard: of these alone.
        text: bytes that it must hold.
        open_only: only those that nobody has sent again.
        rows_max, skip: a page.
    """

    since: int | None = None
    until: int | None = None
    code: str | None = None
    shard: str | None = None
    text: bytes | None = None
    open_only: bool = False
    rows_max: int = 50
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """What was done to a reject: when (µs UTC), by whom, what, and with which values."""

    event_id: int
    recorded_at: int
    actor: str
    action: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Replay:
    """A reject that was sent again: as which record."""

    reject: str
    shard: str
    sequence: str
    event_id: int


def rejects(dsn: str, asked: Asked) -> list[Reject]:
    """The rejects that are asked for, the newest first. Raises ServiceError."""
    first, last = -(2**62), 2**62
    values = {
        "since": moment(first if asked.since is None else asked.since),
        "until": moment(last if asked.until is None else asked.until),
        "code": asked.code, "shard": asked.shard, "text": asked.text,
        "open_only": asked.open_only, "rows_max": min(asked.rows_max, ROWS_MAX),
        "skip": asked.skip,
    }  # fmt: skip
    with acting(dsn) as connection:
        return [Reject(*row) for row in _ask(connection, "rejects", **values)]


def reject(dsn: str, name: str) -> tuple[Reject, list[Event]]:
    """One reject by its name, and what was done to it. Raises InputError, ServiceError."""
    with acting(dsn) as connection:
        found = _named(connection, name)
        return found, _events(connection, found)


def replay(
    dsn: str,
    name: str,
    put: Put,
    *,
    by: str,
    reason: str,
    data: bytes | None = None,
    key: str | None = None,
    again: bool = False,
) -> Replay:
    """Send a reject through the stream again, as it was or mended.

    What was sent is told to the log first, so that nobody sends it a second time by accident; what
    came of it is told afterwards.

    Args:
        dsn: of the operator's role.
        name: the reject's.
        put: sends a record; returns shard and sequence number.
        by: a person's name or pseudonym.
        reason: why.
        data: the mended bytes; None sends those that were received.
        key: partition key; None takes the device that the bytes name.
        again: also when it was sent already.

    Raises:
        InputError: there is no such reject, it was sent already, or would be rejected again.
        ServiceError: the record or the stream cannot be reached.
    """
    said = text_of("a reason", reason, "--reason")
    with acting(dsn) as connection:
        connection.execute(QUERIES["lock_reject"].text)
        found = _named(connection, name)
        _see_that_it_is_not_sent(_events(connection, found), again=again)
        sent = found.data if data is None else data
        entry = Entry(key or _key_of(sent, found), sent)
        actor = actor_of(connection, by)
        detail = {
            "reject": found.key, "sequence": found.sequence, "element": found.element,
            "mended": sent != found.data, "data_sha256": hashlib.sha256(sent).hexdigest(),
            "key": entry.partition_key, "reason": said,
        }  # fmt: skip
        number = add_event(connection, actor, "reject.replay", detail)
    try:
        shard, sequence = put(entry)
    except FloorlogError as error:
        _tell(dsn, actor, "reject.failed", reject=found.key, replay=number, says=error.what)
        raise
    _tell(
        dsn, actor, "reject.sent", reject=found.key, replay=number, shard=shard,
        sequence=sequence,
    )  # fmt: skip
    return Replay(found.name, shard, sequence, number)


def shown(data: bytes) -> str:
    """Bytes as a terminal can take them: nothing in them moves a cursor or hides text."""
    cut = data[:SHOWN_BYTES_MAX]
    text = cut.decode(errors="backslashreplace")
    safe = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
    more = len(data) - len(cut)
    return f"{safe} … and {more} bytes more" if more else safe


def _tell(dsn: str, actor: str, action: str, **detail: object) -> None:
    with acting(dsn) as connection:
        add_event(connection, actor, action, detail)


def _see_that_it_is_not_sent(events: list[Event], *, again: bool) -> None:
    """Raise InputError for what was sent, or may have been, unless it was asked for."""
    if not events or again or events[-1].action == "reject.failed":
        return
    last = [one for one in events if one.action == "reject.replay"][-1]
    came = events[-1].action == "reject.sent"
    raise Illegal(
        f"it was sent already, by {last.actor} at {time_text(last.recorded_at)}"
        f"{'' if came else ', and nobody knows whether it arrived'}",
        where="replay",
        fix="say --again to send it once more",
    )


def _key_of(data: bytes, found: Reject) -> str:
    """The device that the bytes name. Raises InputError for what would be rejected again."""
    device = ""
    for entry in careful.entries(data):
        if not isinstance(entry, Found):
            raise InputError(
                f"it would be rejected again: {entry.fault.code}: {entry.fault.reason}",
                where="replay",
                fix=f"mend it and give it with --mended FILE: {advice(str(entry.fault.code))}",
            )
        device = device or entry.device
    return device or found.digest


def _named(connection: Connection, name: str) -> Reject:
    match = _NAME.fullmatch(name)
    rows: list[Row] = []
    if match and int(match[1]) < 2**31 and int(match[2]) < 2**62:
        rows = _ask(connection, "rejects_of_batch", lease_id=int(match[1]), number=int(match[2]))
    found = [Reject(*row) for row in rows if match and row[2].startswith(match[3])]
    if not found:
        raise NotThere(
            f"there is no reject {name!r}", where="reject", fix="see `floorlog reject list`"
        )
    if len({one.digest for one in found}) > 1:
        raise InputError(
            f"{name} names {len(found)} rejects",
            where="reject",
            fix=f"give more digits: {', '.join(one.digest for one in found)}",
        )
    return found[0]


def _events(connection: Connection, of: Reject) -> list[Event]:
    rows = _ask(connection, "events_of_reject", reject=of.key)
    return [
        Event(number, recorded_at, actor, action, json.loads(detail))
        for number, recorded_at, actor, action, detail in rows
    ]


def _ask(connection: Connection, query: str, /, **values: object) -> list[Row]:
    return connection.execute(QUERIES[query].text, values, binary=True).fetchall()
