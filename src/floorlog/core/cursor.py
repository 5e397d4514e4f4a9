"""Where a consumer stands in its shard: what is read, what waits, what was lost."""

from collections import deque
from dataclasses import dataclass, field
from itertools import islice

from floorlog.core.protocol import Fetched
from floorlog.core.reading import MICROSECONDS, Gap, Record


@dataclass(frozen=True, slots=True)
class Limits:
    """What a consumer may take, and how patient it is. Times in seconds."""

    lease_s: float = 10.0
    poll_s: float = 0.6  # between two reads at the tip
    fetch_s: float = 0.2  # between two reads at all: five a second, as Kinesis allows
    batch_records: int = 10_000
    batch_bytes: int = 4 * 1024 * 1024
    batch_readings: int = 20_000
    snapshot_s: float = 300.0
    snapshot_batches: int = 500
    snapshot_first_s: float = 30.0
    backoff_s: float = 0.1
    backoff_max_s: float = 2.0
    skew_s: float = 1.0  # between the stream's clock and the database's


@dataclass(slots=True)
class Cursor:
    """The reading side of a consumer's state; times of arrival are µs UTC."""

    limits: Limits
    checkpoint: int  # -1 = nothing read yet
    read_at: int  # the shard has been read up to this arrival; -1 = unknown
    fresh: bool = False  # nothing was ever read: the shard may hold what is older than `read_at`
    iterator: str | None = None
    retention_s: float = 0.0
    behind_ms: int = 0
    at_tip: bool = False
    closed: bool = False
    fetched_s: float = -1e9  # the worker's clock
    pending: deque[Record] = field(default_factory=deque)
    gaps: list[Gap] = field(default_factory=list)
    density: float = 0.02  # readings per byte of record, as last seen

    def safe_read_at(self) -> int:
        """Up to where nothing is left to commit: a gap not yet committed is not passed."""
        return self.gaps[0].begin if self.gaps else self.read_at

    def take_in(self, reply: Fetched, asked_at: int) -> None:
        """Add what was fetched; `asked_at` is the database's clock at the question, 0 unknown."""
        self.behind_ms = reply.behind_ms
        self.iterator = reply.iterator
        self._notice_gap(reply, asked_at)
        self.pending.extend(r for r in reply.records if r.sequence > self.checkpoint)
        self.closed = reply.iterator is None
        self.at_tip = reply.behind_ms == 0 and len(reply.records) < self.limits.batch_records
        # Children go on from a closed shard's `read_at`: when it closed, nobody said.
        if self.at_tip and not reply.records and asked_at and not self.closed:
            margin = int(self.limits.skew_s * MICROSECONDS)
            self.read_at = max(self.read_at, asked_at - margin)
            self.fresh = False

    def _notice_gap(self, reply: Fetched, asked_at: int) -> None:
        """Record a loss when the stream dropped records before they were read.

        The record at the checkpoint is proof that nothing behind it was dropped. Without it, what
        arrived between `read_at` and the oldest time still kept is lost or was never there.
        """
        first = reply.records[0] if reply.records else None
        if first is not None and first.sequence <= self.checkpoint:
            return
        if self.read_at < 0 or not self.retention_s or not (asked_at or first):
            return
        now = asked_at
        if first is not None:
            now = max(now, reply.records[-1].arrival + reply.behind_ms * 1000)
        end = now - int(self.retention_s * MICROSECONDS)
        if first is not None:
            end = min(end, first.arrival)
        if end > self.read_at:
            self.gaps.append(Gap(self._unread_from(), end, "expired before it was read"))
            if reply.iterator is not None:
                self.read_at, self.fresh = end, False

    def lose_rest(self, now: int) -> None:
        """The shard is gone: what was not read of it is lost."""
        begin = max(self._unread_from(), 0)
        self.gaps.append(Gap(begin, max(begin, now), "shard gone before it was read"))
        self.iterator = None
        self.closed = True

    def _unread_from(self) -> int:
        """The first arrival that may be lost: of a fresh shard, all that it held from the first."""
        return self.read_at - int(self.retention_s * MICROSECONDS) * self.fresh

    def next_records(self) -> tuple[Record, ...]:
        """As many pending records as one batch should hold, at least one."""
        count, size = 0, 0
        for record in islice(self.pending, self.limits.batch_records):
            size += len(record.data)
            full = size * self.density > self.limits.batch_readings
            if count and (full or size > self.limits.batch_bytes):
                break
            count += 1
        return tuple(islice(self.pending, count))

    def learn_density(self, readings: int, records: tuple[Record, ...]) -> None:
        """Remember how many readings a byte holds, for the size of the next batch."""
        size = sum(len(record.data) for record in records)
        self.density = max(1e-6, readings / max(1, size))

    def passed(self, records: int, sequence: int, read_at: int) -> None:
        """The first records that waited are committed."""
        self.checkpoint, self.read_at, self.fresh = sequence, read_at, False
        for _ in range(records):
            self.pending.popleft()
        self.gaps.clear()
