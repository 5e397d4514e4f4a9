"""`floorlog export`: a part of the record as files that verify where there is nothing else.

Everything streams: in memory are a lot of batches, one row group, and a line a series. All is
written beside the place where it shall be, the manifest last, and moved there when it is whole.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import psycopg
from numpy.typing import NDArray

from floorlog.core.ledger import form
from floorlog.errors import InputError, RecordError
from floorlog.record.check.batch import ERRORS
from floorlog.record.check.content import Content, Event, Source
from floorlog.record.export.prove import Note, newest_note, tree_of, verifier_text
from floorlog.record.export.sheet import Sheet
from floorlog.record.export.summary import Summary
from floorlog.record.log.anchor import Anchor, Signer
from floorlog.record.proof import (
    ExportLines,
    Known,
    leaves_of_readings,
    manifest,
    manifest_text,
)
from floorlog.record.rows import LATEST_US, QUERIES, Connection, Row, Rows, settle, unread
from floorlog.record.verifier import time_text

LOT_READINGS = 60_000
LOT_BATCHES = 500
Tell = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is exported.

    Attributes:
        from_us, to_us: readings from one time up to before another, µs UTC; None: no limit.
        device: of this device alone; None: all.
    """

    from_us: int | None = None
    to_us: int | None = None
    device: str | None = None

    def holds(self, us: int) -> bool:
        """Whether a time is in the span."""
        low = -LATEST_US if self.from_us is None else self.from_us
        return low <= us < (LATEST_US if self.to_us is None else self.to_us)

    def as_texts(self) -> dict[str, str | None]:
        """For the manifest."""
        limits = {"from": self.from_us, "to": self.to_us}
        texts = {name: None if us is None else time_text(us) for name, us in limits.items()}
        return {**texts, "device": self.device}

    @property
    def query(self) -> str:
        """The query that finds its batches."""
        if self.device is not None:
            return "batches_of_device"
        return "batches_in_span" if self.from_us or self.to_us else "batches_whole"

    def values(self) -> dict[str, object]:
        """The values of its query."""
        return {
            "from_us": -LATEST_US if self.from_us is None else self.from_us,
            "to_us": LATEST_US if self.to_us is None else self.to_us,
            "from_time": "-infinity" if self.from_us is None else time_text(self.from_us),
            "to_time": "infinity" if self.to_us is None else time_text(self.to_us),
            "device": self.device,
        }


@dataclass(slots=True)
class Exported:
    """What an export holds.

    Attributes:
        readings, events, batches, corrections: counts of what is proven by value.
        unanchored: batches that belong to it and were left out, since no note covers them yet.
        is_signed: whether its manifest is.
        key: by which it verifies.
        files: SHA-256 by path.
    """

    readings: int = 0
    events: int = 0
    batches: int = 0
    corrections: int = 0
    unanchored: int = 0
    is_signed: bool = False
    key: str = ""
    files: dict[str, str] = field(default_factory=dict)


class Folder:
    """The files of an export in the making, each hashed as it is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.digests: dict[str, str] = {}

    @contextmanager
    def file(self, name: str) -> "Iterator[Hashed]":
        """A new file; durable when it is left."""
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        with path.open("xb") as file:
            hashed = Hashed(file)
            yield hashed
            file.flush()
            os.fsync(file.fileno())
        self.digests[name] = hashed.digest.hexdigest()

    def put(self, name: str, data: bytes) -> None:
        """A whole file."""
        with self.file(name) as file:
            file.write(data)


class Hashed:
    """A file that is only written, and its SHA-256."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Append bytes."""
        self.digest.update(data)
        return self._file.write(data)


@contextmanager
def made_whole(directory: Path) -> Iterator[Path]:
    """A directory that becomes `directory` when the block ends well, and is removed when not.

    What a killed export left is removed by the next one to the same place.

    Raises:
        InputError: there is something already, or it cannot be written.
    """
    directory = directory.absolute()
    partial = directory.with_name(f".{directory.name}.partial")
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise InputError(
                "there is something there already",
                where=str(directory),
                fix="name a directory that is empty or not there yet",
            )
        directory.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir(exist_ok=True)
        with _locked(partial):
            for left in partial.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            try:
                yield partial
                _sync(partial)
                partial.rename(directory)
                _sync(directory.parent)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
    except OSError as error:
        raise InputError(
            f"the export cannot be written: {error.strerror}",
            where=str(error.filename or directory),
            fix="see that there is room, and that you may write there",
        ) from error


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise InputError(
            "another export is being written there", where=str(directory), fix="wait for its end"
        ) from error
    finally:
        os.close(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Corrections:
    """The corrections of what is exported, in the order of the log, each as the log has it.

    Args:
        connection: settled, in its transaction.
        known: all series and states.
        asked: what is exported.
        size: of the log: what has no place below it is not proven yet.

    Attributes:
        count: written so far.
    """

    def __init__(self, connection: Connection, known: Known, asked: Asked, size: int) -> None:
        self._rows = Rows(connection, "corrections_placed", {**asked.values(), "size": size})
        self._known = known
        self.count = 0

    def before(self, position: int, lines: ExportLines) -> str:
        """Lines for those with a place in the log before this one. Raises RecordError."""
        text = ""
        while self._rows.head is not None and self._rows.head[0] < position:
            row = self._rows.take()
            assert row is not None, "there is a head"
            self._check(row)
            text += "".join(lines.correction(row[0], row[2:]))
            self.count += 1
        return text

    def _check(self, row: Row) -> None:
        """See that a correction is the one in the log."""
        number, at, actor, reason, ts_us, series_id, was, was_quality, value, quality = row[2:]
        try:
            was_name, name = (self._known.registry.name(series_id, one) for one in (was, value))
            made = form.CORRECTION.digest(
                number, at, actor, reason, ts_us, was_name, was, was_quality, name, value, quality
            )
        except ERRORS:
            made = b""
        if made != row[1]:
            raise RecordError(
                f"THE RECORD IS NOT INTACT: correction {number} is not that of the log",
                where="record",
                fix="run `floorlog verify`: it says what was changed",
            )


class Export:
    """Writes what is asked for into a folder, as the connection's open transaction sees it.

    Args:
        connection: in a transaction that began after the note was read.
        note: the newest one.
        asked: what to export.
        folder: where to.
    """

    def __init__(self, connection: Connection, note: Note, asked: Asked, folder: Folder) -> None:
        settle(connection)
        connection.execute(QUERIES["loosen_export"].text)
        self._connection = connection
        self._note = note
        self._asked = asked
        self._folder = folder
        self._source = Source(connection)
        self._tree = tree_of(connection, note)
        self.done = Exported()

    def run(self, tell: Tell) -> Exported:
        """Write all but the manifest; `tell` is told how many readings were read, of how many."""
        known, folder = self._source.known, self._folder
        with Summary(self._connection, known, folder.path) as summary:
            self._stream(summary, tell)
            summary.corrections(self._asked.values(), self._note.size)
            folder.put("checkpoint", self._note.text.encode())
            folder.put("verifier.py", verifier_text())
            with folder.file("summary.html") as page:
                texts, done = self._asked.as_texts(), self.done
                summary.write(page, texts, self._note, done.batches, done.unanchored)
        return self.done

    def _stream(self, summary: Summary, tell: Tell) -> None:
        """Write readings and ledger."""
        known, folder = self._source.known, self._folder
        lines = ExportLines(known, self._tree.subtree, self._note.size)
        with (
            folder.file("ledger.jsonl") as ledger,
            folder.file("readings.csv") as rows,
            Sheet(folder, known) as sheet,
        ):
            rows.write(lines.header().encode())
            corrections = Corrections(self._connection, known, self._asked, self._note.size)
            for content in self._contents(tell):
                ledger.write(corrections.before(content.logged.index, lines).encode())
                devices, events = self._chosen(content)
                declared, text = lines.batch(content.logged, devices, events)
                ledger.write("".join(declared).encode())
                rows.write(text.encode())
                for places in self._leaves(content, devices):
                    sheet.add(content.logged, places)
                    summary.readings(content.logged, places)
                    self.done.readings += len(places)
                summary.events(content, events)
                self.done.batches += 1
                self.done.events += len(events)
            ledger.write(corrections.before(self._note.size, lines).encode())
            ledger.write(lines.end().encode())
        self.done.corrections = corrections.count

    def _leaves(
        self, content: Content, devices: frozenset[str] | None
    ) -> Iterator[NDArray[np.intp]]:
        """The readings of each leaf that belongs to the export."""
        series = self._source.known.series
        for places in leaves_of_readings(content.logged, self._source.known.registry):
            device = series[int(content.logged.columns.series[places[0]])].device
            if devices is None or device in devices:
                yield places

    def _contents(self, tell: Tell) -> Iterator[Content]:
        """The batches in the order of the log, a lot at a time."""
        read = 0
        for lot in self._lots():
            total = lot[0][4]
            keys = [(row[1], row[2]) for row in lot]
            yield from self._source.contents(self._source.entries(keys))
            read += sum(row[3] for row in lot)
            tell(read, total)

    def _lots(self) -> Iterator[list[Row]]:
        rows = Rows(self._connection, self._asked.query, self._asked.values())
        lot: list[Row] = []
        size = 0
        while page := rows.page():
            for row in page:
                if row[0] is None or row[0] >= self._note.size:
                    self.done.unanchored += 1
                    continue
                lot.append(row)
                size += row[3]
                if size >= LOT_READINGS or len(lot) >= LOT_BATCHES:
                    yield lot
                    lot, size = [], 0
        if lot:
            yield lot

    def _chosen(self, content: Content) -> tuple[frozenset[str] | None, list[Event]]:
        """The devices and events of a batch that belong to the export; None: all devices."""
        device = self._asked.device
        if device is None:
            return None, content.events
        known, columns = self._source.known, content.logged.columns
        own = [one.series_id for one in known.series.values() if one.device == device]
        held = any(
            series_id in own and self._asked.holds(ts)
            for series_id, ts in zip(columns.series.tolist(), columns.ts.tolist(), strict=True)
        )
        events = [
            event
            for event in content.events
            if event[1] == "gap"
            or (event[1] == "anomaly" and content.anomaly_series[event[0]] in own)
        ]
        return frozenset([device] if held else []), events


def export(
    dsn: str,
    anchor: Anchor,
    key: str,
    asked: Asked,
    directory: Path,
    *,
    signer: Signer | None = None,
    tell: Tell = lambda _done, _total: None,
) -> Exported:
    """Export a part of a database's record into a directory.

    Args:
        dsn: connection string of a role that may read.
        anchor: the notes.
        key: the log's key; that beside the notes when it is empty.
        asked: what to export.
        directory: where to; empty, or not there yet.
        signer: signs the manifest, where the log's own key is at hand.
        tell: told how many readings were read, of how many.

    Raises:
        InputError: no such device, or the directory cannot take it.
        RecordError: nothing is anchored yet, or the record is not intact.
        ServiceError: the database does not answer.
    """
    note = newest_note(anchor, key)
    with made_whole(directory) as path:
        folder = Folder(path)
        try:
            with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
                connection.execute(QUERIES["open_verification"].text)
                _look(connection, asked)
                done = Export(connection, note, asked, folder).run(tell)
        except psycopg.Error as error:
            raise unread(error) from error
        folder.put(f"anchors/{note.size:012}.note", note.text.encode())
        written = manifest(asked.as_texts(), folder.digests)
        if signer is not None and str(signer.key) == note.key_text:
            folder.put("manifest.note", signer.sign(manifest_text(written)))
            done.is_signed = True
        folder.put("manifest.json", written)
    done.key, done.files = note.key_text, folder.digests
    return done


def _look(connection: Connection, asked: Asked) -> None:
    """See that there is what is asked for."""
    if asked.device is None:
        return
    values = {"device": asked.device}
    if not connection.execute(QUERIES["metrics_of_device"].text, values).fetchone():
        raise InputError(
            f"there is no device {asked.device!r}", where="--device", fix="the page lists all"
        )
