"""`floorlog prove`: the proof of one reading, from the record and the newest signed note."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from floorlog.core.ledger.batch import CONFLICT, LATE
from floorlog.errors import InputError, RecordError
from floorlog.record.check.content import Content, Source
from floorlog.record.log.anchor import Anchor
from floorlog.record.log.log_tree import LogTree
from floorlog.record.proof import Known
from floorlog.record.proof import prove as proof_of
from floorlog.record.rows import QUERIES, Connection, settle, unread
from floorlog.record.verifier import ERRORS, Key, check_proof, checkpoint, time_text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMED_MAX = 20  # metrics, or readings of one time, that a message lists


@dataclass(frozen=True, slots=True)
class Note:
    """The newest note of a log, signed by the key."""

    text: str
    size: int
    root: bytes
    key: Key
    key_text: str


@dataclass(frozen=True, slots=True)
class At:
    """One of the readings of a series at one time, the one that stands first."""

    shard: int
    batch: int
    value: float | None
    text: str | None
    quality: int
    flags: int

    def __str__(self) -> str:
        """For a person: value, whether it stands, where it is."""
        shown = repr(self.value) if self.text is None else self.text
        stands = "in conflict" if self.flags & 1 else "stands"
        return f"{shown} ({stands}; shard {self.shard}, batch {self.batch})"


@dataclass(frozen=True, slots=True)
class Proven:
    """A proof, and what it does not say itself.

    Attributes:
        proof: as JSON has it.
        says: what the verifier finds in it.
        others: all readings of this series and time; the proof is of that at `which`.
        which: from 1.
        key: by which it was checked.
    """

    proof: dict[str, Any]
    says: str
    others: list[At]
    which: int
    key: str

    def as_bytes(self) -> bytes:
        """The bundle's file."""
        return (json.dumps(self.proof, ensure_ascii=False, indent=1) + "\n").encode()


def moment_us(text: str, where: str) -> int:
    """µs UTC of an ISO 8601 time or date; UTC where no offset is said. Raises InputError."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC)
        return (found - EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"{text!r} is no time", where=where, fix="write 2026-01-31T12:00:00.250Z"
        ) from error


def newest_note(anchor: Anchor, key: str) -> Note:
    """The newest note that is anchored.

    Raises:
        RecordError: there is none yet, or it is not signed by the key.
        InputError: the key is none.
    """
    text = key or anchor.key()
    sizes = anchor.sizes()
    if not sizes or not text:
        raise RecordError(
            "nothing is anchored yet", where="anchor", fix="let `floorlog keeper` run for a minute"
        )
    try:
        known = Key(text)
    except ValueError as error:
        raise InputError(
            f"{text:.80} is no key of a log: {error}",
            where="key",
            fix="give name+hash+key, as the keeper's verifier.key holds it",
        ) from error
    try:
        note = anchor.read(sizes[-1]).decode()
        _, size, root = checkpoint(note, [known])
    except ValueError as error:
        raise RecordError(
            f"THE NOTE of {sizes[-1]} leaves is not good: {error}",
            where="anchor",
            fix="put it back from a copy; find out who changed it",
        ) from error
    return Note(note, size, root, known, text)


def tree_of(connection: Connection, note: Note) -> LogTree:
    """The log's tree at the note's size. Raises RecordError where it is not what was signed."""
    tree = LogTree(connection, note.size)
    if tree.root() != note.root:
        raise RecordError(
            f"THE LOG WAS CHANGED: its first {note.size} leaves are not those that were signed",
            where="log",
            fix="run `floorlog verify`: it says what was changed",
        )
    return tree


def prove_in(
    connection: Connection, note: Note, device: str, metric: str, ts_us: int, which: int = 1
) -> Proven:
    """Prove a reading of the record that the connection's open transaction sees.

    Args:
        connection: in a transaction that began after the note was read.
        note: the newest one.
        device: the device.
        metric: the metric.
        ts_us: the reading's time, µs UTC.
        which: of several readings of this time, from 1: the one that stands is the first, those in
            conflict with it follow as they were stored.

    Raises:
        InputError: there is no such series or reading.
        RecordError: it is not anchored yet, or the record is not intact.
    """
    settle(connection)
    of_series = _series(connection, device, metric)
    values = {"device": device, "metric": metric, "ts_us": ts_us}
    found = [At(*row) for row in _rows(connection, "readings_at", values)]
    if not found:
        raise _nothing(connection, values)
    if not 1 <= which <= len(found):
        listed = "; ".join(f"{n}: {one}" for n, one in enumerate(found[:NAMED_MAX], 1))
        raise InputError(
            f"there is no reading {which} at that time", where="--which", fix=f"there are {listed}"
        )
    chosen = found[which - 1]
    source = Source(connection)
    (entry,) = source.entries([(chosen.shard, chosen.batch)])
    if entry.position is None or entry.position >= note.size:
        raise RecordError(
            f"batch {chosen.batch} of shard {chosen.shard}, which holds the reading, is not"
            " anchored yet",
            where="anchor",
            fix="try again in a minute; see that `floorlog keeper` runs",
        )
    (content,) = source.contents([entry])
    place = _place(content, source.known, of_series, ts_us, chosen)
    tree = tree_of(connection, note)
    proof = proof_of(content.logged, place, source.known, tree.subtree, note.size, note.text)
    try:
        says = check_proof(json.dumps(proof, ensure_ascii=False), [note.key])
    except ERRORS as error:
        raise RecordError(
            f"THE PROOF would not hold: {error}",
            where="record",
            fix="run `floorlog verify`: it says what was changed",
        ) from error
    return Proven(proof, says, found, which, note.key_text)


def prove(
    dsn: str, anchor: Anchor, key: str, device: str, metric: str, ts_us: int, which: int = 1
) -> Proven:
    """Prove a reading of a database's record; see `prove_in`.

    Raises:
        InputError: there is no such series or reading.
        RecordError: nothing is anchored yet, or the record is not intact.
        ServiceError: the database does not answer.
    """
    note = newest_note(anchor, key)
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
            connection.execute(QUERIES["open_verification"].text)
            return prove_in(connection, note, device, metric, ts_us, which)
    except psycopg.Error as error:
        raise unread(error) from error


def file_name(device: str, metric: str, time: str) -> str:
    """A name for the proof of a reading, of letters, digits, dots and dashes alone."""
    return re.sub(r"[^\w.-]+", "-", f"proof-{device}-{metric}-{time}") + ".json"


def write_new(path: Path, data: bytes) -> None:
    """Write a file that is not there yet. Raises InputError."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except OSError as error:
        raise InputError(
            f"{path.name} cannot be written: {error.strerror}",
            where=str(path),
            fix="name another file with --out FILE",
        ) from error


def verifier_text() -> bytes:
    """The one-file verifier, as it ships."""
    return files("floorlog.record").joinpath("verifier.py").read_bytes()


def _rows(connection: Connection, name: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    return connection.execute(QUERIES[name].text, values, binary=True).fetchall()


def _series(connection: Connection, device: str, metric: str) -> int:
    found = _rows(connection, "series_named", {"device": device, "metric": metric})
    if found:
        return int(found[0][0])
    metrics = [name for (name,) in _rows(connection, "metrics_of_device", {"device": device})]
    listed = ", ".join(metrics[:NAMED_MAX]) + (" …" if len(metrics) > NAMED_MAX else "")
    raise InputError(
        f"{device!r} has no metric {metric!r}" if metrics else f"there is no device {device!r}",
        where="record",
        fix=f"it has {listed}" if metrics else "the page lists all devices",
    )


def _nothing(connection: Connection, values: dict[str, Any]) -> InputError:
    """What to say where there is no reading at this time."""
    ((before, after),) = _rows(connection, "readings_around", values)
    near = " and ".join(time_text(us) for us in (before, after) if us is not None)
    return InputError(
        f"{values['device']} {values['metric']} has no reading of {time_text(values['ts_us'])}",
        where="record",
        fix=f"the nearest are of {near}" if near else "none is within a day of it",
    )


def _place(content: Content, known: Known, series_id: int, ts_us: int, at: At) -> int:
    """Where a reading stands in its batch."""
    columns = content.logged.columns
    same = np.flatnonzero((columns.series == series_id) & (columns.ts == ts_us))
    for place in same.tolist():
        value = float(columns.value[place])
        shown = known.states.get(int(value)) if at.text is not None else value
        flags = columns.conflict[place] * CONFLICT + columns.late[place] * LATE
        stated = at.value if at.text is None else at.text
        if (shown, columns.quality[place], flags) == (stated, at.quality, at.flags):
            return int(place)
    raise RecordError(
        f"THE RECORD IS NOT INTACT: batch {at.batch} of shard {at.shard} shows other readings"
        " than it holds",
        where="record",
        fix="run `floorlog verify`: it says what was changed",
    )
