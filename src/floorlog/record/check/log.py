"""The log against its anchors, and each of its leaves against the thing that it stands for."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from floorlog.core.ledger import form
from floorlog.core.ledger.batch import Registry
from floorlog.core.ledger.note import Checkpoint
from floorlog.core.ledger.tree import HASH_BYTES, Growing
from floorlog.record.check.batch import ERRORS
from floorlog.record.check.finding import Findings, span, spans
from floorlog.record.rows import QUERIES, Connection, Row, Rows, time_us

ENTRY = 32
BLAMED_MAX = 1_000_000  # leaves that are compared one by one
NAMED_MAX = 20  # things that one line names
NAMES = {
    16: "series", 17: "state", 18: "shard", 19: "catalogue", 20: "event", 21: "alarm event",
    22: "correction", 23: "expiry",
}  # fmt: skip
QUERY = {
    16: "series", 17: "states", 18: "shards", 19: "catalogues", 20: "events", 21: "alarm_events",
    22: "corrections", 23: "expiries",
}  # fmt: skip

RECORDED = {19: 2, 20: 1, 21: 1, 22: 1, 23: 1}  # where a thing says when it was recorded


class Log:
    """The log as the anchors know it.

    Args:
        notes: the anchored notes, by size, ascending.
        findings: what is wrong.
        outside: the leaves between two sizes as the tiles outside have them, or None.

    Attributes:
        size: its leaves.
        good: so many of its first leaves are as they were anchored.
        anchored: size in the newest anchored note.
    """

    def __init__(
        self,
        notes: Mapping[int, Checkpoint | None],
        findings: Findings,
        outside: Callable[[int, int], list[bytes] | None] = lambda _begin, _end: None,
    ) -> None:
        self._notes = notes
        self._outside = outside
        self._changed: frozenset[int] | None = None  # positions; None where nobody knows which
        self._findings = findings
        self.size = 0
        self.good = 0
        self.anchored = max(notes, default=0)
        self.suspect: tuple[int, int] | None = None  # the first span that was changed

    def read(self, connection: Connection) -> None:
        """Read the whole log; compare its root with every note."""
        tree = Growing()
        sizes = iter(sorted(self._notes))
        due = next(sizes, None) or next(sizes, None)  # a fork at 0 leaves holds of any log
        rows = Rows(connection, "leaves", {})
        while page := rows.page():
            self._positions(page)
            hashes = [hashed if len(hashed) == HASH_BYTES else bytes(32) for _, hashed in page]
            begin = 0
            while due is not None and due <= tree.size + len(hashes) - begin:
                end = begin + due - tree.size
                tree.extend(hashes[begin:end])
                self._compare(due, tree.root())
                begin, due = end, next(sizes, None)
            tree.extend(hashes[begin:])
        if due is not None:
            self._findings.evidence(
                "log",
                f"the log ends at {self.size} leaves, but {self.anchored} are anchored: it was"
                " cut off, or an older state was restored",
            )
            self.suspect = self.suspect or (self.good, self.anchored)
        if self.suspect is not None:
            begin, end = self.suspect
            outside = None
            if self.anchored - begin <= BLAMED_MAX:
                outside = self._outside(begin, self.anchored)
            end = end if outside is None else self.anchored
            self._blame(connection, begin, end, outside)

    def _positions(self, page: list[Row]) -> None:
        for position, _ in page:
            if position != self.size:
                missing = position > self.size
                says = (
                    f"positions {span(self.size, position - 1)} are missing"
                    if missing
                    else f"position {position} stands twice"
                )
                self._findings.evidence("log", says)
                self.size = position
            self.size += 1

    def _compare(self, size: int, root: bytes) -> None:
        note = self._notes[size]
        if note is None or self.suspect is not None:
            return
        if note.root == root:
            self.good = size
        else:
            self.suspect = (self.good, size)

    def is_kept(self, position: int) -> bool:
        """Whether a leaf is known to be as it was anchored."""
        if position < self.good:
            return True
        known = self._changed is not None and position < self.anchored
        return known and self._changed is not None and position not in self._changed

    def is_forged(self, position: int | None) -> bool:
        """Whether a leaf may be another than the one that was anchored in its place."""
        return position is not None and position < self.anchored and not self.is_kept(position)

    def _blame(
        self, connection: Connection, begin: int, end: int, outside: list[bytes] | None
    ) -> None:
        """Say which leaves were changed, or in which part, and which batches have them."""
        rows = connection.execute(
            QUERIES["log_span"].text, {"begin": begin, "end": end}, binary=True
        ).fetchall()
        here = {position: hashed for position, hashed, *_ in rows}
        places = [
            begin + at for at, leaf in enumerate(outside or ()) if here.get(begin + at) != leaf
        ]
        if places:
            self._changed = frozenset(places)
            rows = [row for row in rows if row[0] in self._changed]
            said = spans(places)
        else:
            said = f"{begin} to {end - 1}"
        held = sorted({(lease, number) for _, _, kind, lease, number in rows if kind == ENTRY})
        parts = [
            f"{spans([number for one, number in held if one == lease])} of shard {lease}"
            for lease in sorted({lease for lease, _ in held})
        ]
        those = f"; batches {', '.join(parts)} are there" if parts else ""
        other = [f"{NAMES[kind]} {number}" for _, _, kind, _, number in rows if kind in NAMES]
        if other:
            more = f" and {len(other) - NAMED_MAX} more" if len(other) > NAMED_MAX else ""
            those += f"; so are {', '.join(other[:NAMED_MAX])}{more}"
        self._findings.evidence("log", f"leaves {said} are not those that were anchored{those}")


def check_notes(
    connection: Connection,
    bodies: Mapping[int, bytes],
    read: Callable[[int], bytes | None],
    findings: Findings,
) -> None:
    """The copies of notes against the anchors; the newest may not be copied yet.

    Args:
        connection: in its transaction.
        bodies: the notes that were anchored before the transaction began.
        read: a note that was anchored since then; None where there is none.
        findings: what is wrong.
    """
    copies: dict[int, str] = {}
    rows = Rows(connection, "notes", {})
    while page := rows.page():
        for size, body in page:
            kept = bodies.get(size) or read(size)
            if size in copies:
                findings.derived("note", f"the copy of the note of {size} leaves stands twice")
            copies[size] = body
            if kept is None:
                findings.derived("note", f"the note of {size} leaves is not anchored")
            elif body.encode() != kept:
                findings.derived("note", f"the copy of the note of {size} leaves is another")
    missing = sorted(set(bodies) - set(copies) - {max(bodies, default=0)})
    if missing:
        findings.derived("note", f"copies of the notes of {spans(missing)} leaves are missing")


def shard_values(row: Row) -> tuple[Any, ...]:
    """The values of a shard's leaf from a row of the query `shards`."""
    lease_id, arn, created, shard_id, parents, begin, end = row[:7]
    created_us = 0 if created is None else time_us(created)
    return lease_id, arn or "", created_us, shard_id, parents[1:-1], begin, end


def digest_of(kind: int, row: Row) -> bytes:
    """The hash of a series, state, shard, catalogue or event of either kind."""
    if kind == 16:
        return form.SERIES.digest(*row)
    if kind == 17:
        return form.STATE.digest(*row)
    if kind == 18:
        return form.SHARD.digest(*shard_values(row))
    if kind == 19:
        version, body, recorded = row
        return form.CATALOGUE.digest(version, _sha256(body), time_us(recorded))
    if kind == 21:
        return _alarm_digest(row)
    _, recorded, actor, action, detail = row
    return form.AUDIT.digest(time_us(recorded), actor, action, _sha256(detail))


def _alarm_digest(row: Row) -> bytes:
    event_id, recorded, series, rest = row[0], row[1], row[2:7], row[7:]
    known = bytes(HASH_BYTES) if series[1] is None else form.SERIES.digest(*series)
    return form.ALARM.digest(event_id, time_us(recorded), known, *map(_whole, rest))


def _whole(value: object) -> Any:  # noqa: ANN401 - a field of the leaf
    """Yes and no as the ledger has them."""
    return int(value) if isinstance(value, bool) else value


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def digest_of_correction(row: Row, registry: Registry) -> bytes:
    """The hash of a correction, from a row of the query `corrections`."""
    number, recorded, actor, reason, ts_us, series_id, was, was_quality, value, quality = row
    was_name, name = (registry.name(series_id, one) for one in (was, value))
    return form.CORRECTION.digest(
        number, time_us(recorded), actor, reason, ts_us, was_name, was, was_quality, name, value,
        quality,
    )  # fmt: skip


def numbers_of(sent: str) -> list[int]:
    """The numbers of an array as text. Raises ValueError."""
    return [int(one) for one in sent.strip("{}").split(",") if one]


def digest_of_expiry(row: Row, registry: Registry) -> bytes:
    """The hash of an expiry, from a row of the query `expiries`. Raises ValueError, LookupError."""
    number, recorded, first, last, series, batches, readings, rejects, anomalies = row[:9]
    events, root = row[9:11]
    return form.EXPIRY.digest(
        number, time_us(recorded), form.SHARD.digest(*shard_values(row[11:18])), first, last,
        b"".join(registry.digests[one] for one in numbers_of(series)), batches, readings, rejects,
        anomalies, events, root,
    )  # fmt: skip


def check_things(
    connection: Connection,
    log: Log,
    registry: Registry,
    findings: Findings,
    expired: Collection[tuple[int, int]] = (),
) -> int | None:
    """Every series, state, shard, catalogue, event, correction and expiry against its leaf.

    Args:
        connection: in its transaction.
        log: as the anchors know it.
        registry: the names of series and states.
        findings: what is wrong.
        expired: kind and number of the leaves whose events are gone by declaration.

    Returns:
        When the first was recorded that no anchored note covers, µs UTC; None for none.
    """
    newer: list[int] = []
    leaves = Rows(connection, "leaves_of_things", {})
    for kind in NAMES:
        for other in leaves.before((kind,)):
            _strange(other, findings)
        things = _each(Rows(connection, QUERY[kind], {}))
        gone = {number for of, number in expired if of == kind}
        newer += _merge(kind, leaves, things, log, registry, gone, findings)
    while leaves.head is not None:
        _strange(leaves.head, findings)
        leaves.take()
    for stream_id, arn in connection.execute(QUERIES["bare_streams"].text, binary=True):
        findings.evidence("stream", f"stream {stream_id} ({arn}) has no shard in the log")
    return min(newer, default=None)


def _strange(leaf: Row, findings: Findings) -> None:
    findings.derived("log", f"leaf {leaf[2]} is of no kind that there is: {leaf[0]}")


def _each(rows: Rows) -> Iterator[Row]:
    while page := rows.page():
        yield from page


def _digest(kind: int, thing: Row, registry: Registry) -> bytes | None:
    """The hash of a thing; None for one that names what is not there."""
    if kind < 22:
        return digest_of(kind, thing)
    try:
        made = digest_of_correction if kind == 22 else digest_of_expiry
        return made(thing, registry)
    except ERRORS:
        return None


def _merge(
    kind: int,
    leaves: Rows,
    things: Iterator[Row],
    log: Log,
    registry: Registry,
    gone: Collection[int],
    findings: Findings,
) -> list[int]:
    """Things and leaves of one kind, both by their number, those that are gone apart.

    Returns when the first was recorded that no anchored note covers, where it says when.
    """
    name = NAMES[kind]
    last: object = None
    newer: list[int] = []
    for thing in things:
        if thing[0] == last:
            findings.evidence(name, f"{name} {last} stands twice")
            continue
        last = thing[0]
        for lost in leaves.before((kind, thing[0])):
            _lost(name, lost, gone, findings)
        found = leaves.of((kind, thing[0]))
        if kind in RECORDED and (not found or found[0][2] >= log.anchored):
            newer = [min([*newer, time_us(thing[RECORDED[kind]])])]
        place = {"series": thing[0]} if kind == 16 else {}
        if len(found) > 1 or any(leaf[4] != 0 for leaf in found):
            places = spans(sorted(leaf[2] for leaf in found))
            says = f"{name} {thing[0]} has not one leaf of its own, but {places}"
            findings.derived("log", says, **place)
        if found and _digest(kind, thing, registry) != found[0][3]:
            position = found[0][2]
            if log.is_kept(position) or position >= log.anchored:
                says = f"{name} {thing[0]} is not what its leaf {position} says"
                findings.evidence(name, says, **place)
            else:
                says = f"leaf {position} is not that of {name} {thing[0]}, or both were changed"
                findings.evidence("log", says, **place)
        elif not found and log.size and kind in {17, 19} and thing[0] == 0:
            findings.evidence("log", f"{name} 0 has no leaf")
    while leaves.head is not None and leaves.head[0] == kind:
        _lost(name, leaves.head, gone, findings)
        leaves.take()
    return newer


def _lost(name: str, leaf: Row, gone: Collection[int], findings: Findings) -> None:
    if leaf[1] in gone:
        return
    place = {"series": leaf[1]} if name == "series" else {}
    findings.evidence(name, f"{name} {leaf[1]} is gone; leaf {leaf[2]} of the log has it", **place)
