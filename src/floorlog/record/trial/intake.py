"""Takes a table in: through the stream as every producer's data, then waits for the record."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from floorlog.core.reading import Counts
from floorlog.errors import InputError, ServiceError
from floorlog.source.pack import pack
from floorlog.source.replay import Replay
from floorlog.source.sender import Entry, Sender
from floorlog.store.answers import Status
from floorlog.store.reader import Reader

SLICE_RECORDS = 100
SLICE_READINGS = 20_000
LOOK_SECONDS = 0.3
STANDSTILL_SECONDS_MAX = 120.0
READINGS_MAX = 50_000_000


@dataclass(frozen=True, slots=True)
class Intake:
    """What was sent, and what the record took in meanwhile.

    Attributes:
        sent: readings of the table.
        records: of the stream.
        skipped: rows that are no readings.
        empty: cells without one.
        says: what a person should know of the file.
        taken: how the record's counts grew from before the first record to after the last one,
            from whichever sender.
        seconds: how long that took.
    """

    sent: int
    records: int
    skipped: int
    empty: int
    says: list[str]
    taken: Counts
    seconds: float


def take_in(
    replay: Replay,
    asset: Callable[[str], str],
    sender: Sender,
    reader: Reader,
    tell: Callable[[int], None] = lambda _: None,
) -> Intake:
    """Send a table's readings, and wait until the record has taken up the last of them.

    Args:
        replay: the table, from its beginning.
        asset: the asset of a device, which is the partition key.
        sender: of the stream.
        reader: of the record.
        tell: hears of the readings sent so far, some times a second.

    Raises:
        InputError: the file breaks off, holds a record that a stream does not take, or more than 50
            million readings.
        ServiceError: stream or record cannot be reached, or the record stands still for two
            minutes though not everything has arrived; what was sent is stored later all the same.
    """
    began = time.monotonic()
    before = reader.status()
    sent = records = 0
    for entries, readings in slices(pack(replay, asset), SLICE_RECORDS, SLICE_READINGS):
        sender.put(entries)
        sent += readings
        records += len(entries)
        tell(sent)
        if sent > READINGS_MAX:
            raise InputError(
                f"the file has more than {READINGS_MAX} readings, and the first {sent} were sent",
                where="import",
                fix="cut it into smaller ones; what was sent is not stored twice",
            )
    after = _settled(reader, sender.newest)
    return Intake(
        sent, records, replay.skipped, replay.empty, replay.warnings(),
        _grown(before.total, after.total), time.monotonic() - began,
    )  # fmt: skip


def slices(
    records: Iterable[tuple[Entry, int]], records_max: int, readings_max: int
) -> Iterator[tuple[list[Entry], int]]:
    """Records in portions, with the number of readings in each.

    A portion ends with the record that brings it to so many records, or to so many readings.
    """
    entries: list[Entry] = []
    readings = 0
    for entry, count in records:
        entries.append(entry)
        readings += count
        if len(entries) >= records_max or readings >= readings_max:
            yield entries, readings
            entries, readings = [], 0
    if entries:
        yield entries, readings


def _settled(reader: Reader, newest: dict[str, int]) -> Status:
    """Wait until every shard is stored up to its newest record of what was sent."""
    moved_at, last = time.monotonic(), -1
    while True:
        status = reader.status()
        stored = {shard.shard_id: shard.checkpoint for shard in status.shards}
        if all(stored.get(shard, -1) >= sequence for shard, sequence in newest.items()):
            return status
        reached = sum(stored.get(shard, -1) for shard in newest)
        if reached != last:
            moved_at, last = time.monotonic(), reached
        elif time.monotonic() - moved_at > STANDSTILL_SECONDS_MAX:
            raise ServiceError(
                "all was sent, but the record does not move",
                where="worker",
                fix="see that a worker runs; what was sent is stored when it does",
            )
        time.sleep(LOOK_SECONDS)


def _grown(before: Counts, after: Counts) -> Counts:
    names = ("records", "received", "stored", "rejected", "duplicate", "conflict")
    return Counts(**{name: getattr(after, name) - getattr(before, name) for name in names})
