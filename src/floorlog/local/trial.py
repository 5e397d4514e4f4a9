"""What `floorlog try` does: files through the real stream, worker and record."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from floorlog.core.reading import Counts
from floorlog.errors import ServiceError
from floorlog.local.services import REGION, STREAM_NAME, Services
from floorlog.local.supervisor import Supervisor
from floorlog.local.up import add_page, add_workers, open_record, open_stream
from floorlog.record.trial.intake import slices
from floorlog.source.sender import Entry, Sender
from floorlog.store.answers import Status
from floorlog.store.migrate import READER
from floorlog.store.reader import Reader

STANDSTILL_SECONDS_MAX = 60.0
LOOK_SECONDS = 0.1
SLICE_RECORDS = 200
SLICE_READINGS = 40_000  # so that the worker reads while the file is still being sent
# A shard takes 1 MiB a second; frames compress to a third of the file's text or less.
FILE_BYTES_A_SHARD = 16 << 20
GZIP_RATIO = 6
SHARDS_MAX = 8


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the files, in readings; `anomalies` are findings that began."""

    received: int
    stored: int
    rejected: int
    duplicate: int
    conflict: int
    gaps: int
    series: int
    anomalies: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: readings sent to the stream, and readings that the record accounts for."""

    sent: int
    received: int


@contextmanager
def place(data: Path | None) -> Iterator[Path]:
    """The data directory that was given, or one that is gone afterwards."""
    if data is not None:
        yield data
        return
    directory = Path(tempfile.mkdtemp(prefix="floorlog-try-"))
    try:
        yield directory
    finally:
        try:
            shutil.rmtree(directory, ignore_errors=True)
        except KeyboardInterrupt:
            shutil.rmtree(directory, ignore_errors=True)


def shards_for(*files: Path) -> int:
    """How many shards files of this size need to go through in good time."""
    text_bytes = sum(
        file.stat().st_size * (GZIP_RATIO if file.suffix == ".gz" else 1) for file in files
    )
    return max(1, min(SHARDS_MAX, -(-text_bytes // FILE_BYTES_A_SHARD)))


class Trial:
    """One set of services with one worker, for one call of `try`.

    Args:
        supervisor: of the services, started.
        services: those.
        shards: of the stream, if it has to be made.
    """

    def __init__(self, supervisor: Supervisor, services: Services, shards: int) -> None:
        self._supervisor = supervisor
        self._services = services
        open_record(services)
        open_stream(services, shards=shards)
        self._reader = Reader(services.postgres_dsn(READER))
        self._before = self._reader.status()
        self._last: Counts | None = None
        self._moved_at = time.monotonic()
        add_workers(supervisor, services, 1)

    def close(self) -> None:
        """End the connection to the record."""
        self._reader.close()

    def page(self, port: int) -> str:
        """Start the page; returns a word on where it is."""
        return add_page(self._supervisor, self._services, port)

    def replay(
        self, records: Iterable[tuple[Entry, int]], tell: Callable[[Progress], None]
    ) -> Result:
        """Send records, each with the number of its readings, and wait until all is accounted for.

        What an interrupted trial left in the stream is stored first and not counted.

        Raises:
            ServiceError: the record stands still for a minute though not everything arrived.
        """
        began = time.monotonic()
        sent = 0
        self._drain()
        sender = Sender(STREAM_NAME, REGION)
        try:
            for entries, readings in slices(records, SLICE_RECORDS, SLICE_READINGS):
                sender.put(entries)
                sent += readings
                tell(Progress(sent, self._received(self._reader.status())))
        finally:
            sender.close()
        after = self._settled(sent, sender.newest, tell)
        new, old = after.total, self._before.total
        return Result(
            received=new.received - old.received,
            stored=new.stored - old.stored,
            rejected=new.rejected - old.rejected,
            duplicate=new.duplicate - old.duplicate,
            conflict=new.conflict - old.conflict,
            gaps=after.gaps - self._before.gaps,
            series=after.series,
            anomalies=after.findings - self._before.findings,
            seconds=time.monotonic() - began,
        )

    def _received(self, status: Status) -> int:
        return status.total.received - self._before.total.received

    def _drain(self) -> None:
        """Wait until what earlier senders left in the stream is in the record."""
        begun_us = time.time_ns() // 1000
        while any(
            shard.batches and not shard.ended and shard.read_at < begun_us
            for shard in self._watch().shards
        ):
            self._supervisor.run(LOOK_SECONDS)
        self._before = self._watch()

    def _settled(
        self, sent: int, newest: Mapping[str, int], tell: Callable[[Progress], None]
    ) -> Status:
        """Wait until every shard is stored up to its newest record of what was sent."""
        while True:
            status = self._watch()
            tell(Progress(sent, self._received(status)))
            stored = {shard.shard_id: shard.checkpoint for shard in status.shards}
            if all(stored.get(shard, -1) >= sequence for shard, sequence in newest.items()):
                return status
            self._supervisor.run(LOOK_SECONDS)

    def _watch(self) -> Status:
        """The record's status. Raises ServiceError when it has not changed for a minute."""
        status = self._reader.status()
        if status.total != self._last:
            self._last, self._moved_at = status.total, time.monotonic()
        elif time.monotonic() - self._moved_at > STANDSTILL_SECONDS_MAX:
            raise ServiceError(
                f"{self._received(status)} readings have arrived, and nothing moves",
                where="worker",
                fix=f"see {self._services.directory / 'log' / 'worker-1.log'}",
            )
        return status
