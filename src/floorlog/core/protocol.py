"""The consumer's commands and their replies: all that it can ask of the world."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floorlog.core.detect.aside import Aside
from floorlog.core.reading import Batch, Record
from floorlog.core.series import KnownSeries, SeriesKey, SeriesTable

# ── nouns ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as the stream lists it."""

    shard_id: str
    parents: tuple[str, ...]
    hash_begin: int  # 0 … 2^128 − 1, inclusive
    hash_end: int


@dataclass(frozen=True, slots=True)
class LeaseView:
    """A lease as any worker sees it; times by the database's clock."""

    lease_id: int
    shard_id: str
    parents: tuple[int, ...]  # lease ids
    owner: str | None
    wanted_by: str | None
    remaining_s: float  # ≤ 0: expired
    ended: bool


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that this worker holds, as it was when taken."""

    lease_id: int
    shard_id: str
    epoch: int
    version: int
    checkpoint: int  # -1 = nothing read yet
    number: int  # of the last committed batch, 0 = none
    clock_s: int  # of the last committed batch; -1 = none
    read_at: int  # µs UTC of arrival up to which the shard has been read; -1 = unknown
    parents: tuple[int, ...]
    hash_begin: int
    hash_end: int


@dataclass(frozen=True, slots=True)
class StoredReadings:
    """Readings as the record holds them, columns of one length."""

    series: NDArray[np.int32]
    ts: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint32]
    arrival_s: NDArray[np.int64]
    conflict: NDArray[np.bool_]
    late: NDArray[np.bool_]

    def __len__(self) -> int:
        """Count of readings."""
        return len(self.series)


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """One committed batch of this lease, enough to repeat what it did to the state."""

    number: int
    clock_s: int
    catalogue: int
    readings: StoredReadings  # sorted by (series, ts, arrival)
    asides: tuple[Aside, ...] = ()  # detectors that it says were set aside with it


@dataclass(frozen=True, slots=True)
class StoredState:
    """All that take-over needs: a snapshot, what was committed after it, and the names."""

    snapshot: bytes | None  # of this lease
    parent_snapshots: tuple[bytes, ...]  # only while this lease has no batch of its own
    tail: tuple[StoredBatch, ...]  # batches above the snapshot's, ascending
    series: tuple[KnownSeries, ...]  # every series named by snapshots, tail, or homed here
    hashes: dict[int, int]  # series id → hash of its last partition key, for those with a home
    states: dict[str, int]  # state name → code
    catalogues: dict[int, bytes]  # version → JSON, those in the tail and the newest


# ── commands of the coordinator ──────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ListShards:
    """Ask the stream for its shards. Reply: tuple[Shard, ...] | Failed."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Say that this worker lives, make leases for new shards. Reply: Surveyed | Failed."""

    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True)
class Take:
    """Take a lease that is free, expired or ours by request. Reply: Lease | None | Failed."""

    lease_id: int


@dataclass(frozen=True, slots=True)
class Want:
    """Ask the owner of a lease to hand it over. Reply: None | Failed."""

    lease_id: int


@dataclass(frozen=True, slots=True)
class Start:
    """Run a consumer for this lease beside the coordinator. Reply: None."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait. Reply: True when the worker is asked to stop, else False."""

    seconds: float


# ── commands of a shard's consumer ───────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Load:
    """Read what take-over needs. Reply: StoredState | Fenced | Failed."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Seek:
    """Ask for an iterator AT a sequence number, -1 = the oldest. Reply: Sought | Gone | Failed."""

    shard_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read on. Reply: Fetched | Throttled | Expired | Gone | Failed."""

    shard_id: str
    iterator: str
    limit: int


@dataclass(frozen=True, slots=True)
class Register:
    """Make ids for series and state names at first sight. Reply: Registered | Fenced | Failed."""

    lease: Lease
    series: tuple[SeriesKey, ...]
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Open the batch's transaction, lock these leases in order, and look the keys up.

    Reply: Found | Stale | Rehomed | Fenced | Failed. After Found the transaction stays open until
    the next command, which is Commit(locked=True) or ends it. Fenced also when another batch than
    `number` is the last: an earlier commit of unknown outcome went through after all.
    """

    lease: Lease
    number: int  # of the last committed batch
    version: int  # of the own lease, as last seen
    homes: tuple[int, ...]  # lease ids of all homes concerned, own one included, ascending
    series: NDArray[np.int32]  # per key
    ts: NDArray[np.int64]  # per key
    home: NDArray[np.int32]  # per key: where the consumer believes the series' home to be
    marks_of: tuple[int, ...]  # series whose newest readings are wanted


@dataclass(frozen=True, slots=True)
class Commit:
    """Commit one batch in one transaction.

    Reply: Committed | Stale | Fenced | Refused | Unknown | Failed.

    `probe`: do everything, then roll back; the reply is Committed when it would have gone through.
    """

    batch: Batch
    locked: bool = False
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """Read where the lease stands, after an unknown outcome. Reply: Standing | Failed."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Foreign:
    """Read what other shards stored of series homed here. Reply: ForeignReadings | Failed."""

    lease_id: int
    since: int  # version


@dataclass(frozen=True, slots=True)
class Renew:
    """Prolong the lease, say how far it has read. Reply: Renewed | Fenced | Failed."""

    lease: Lease
    behind_ms: int
    read_at: int


@dataclass(frozen=True, slots=True)
class Release:
    """Give the lease back. Reply: None | Failed."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell cache and page of a committed batch; may be dropped. Reply: None."""

    batch: Batch
    table: SeriesTable
    states: dict[str, int]  # state name → code


Command = (
    ListShards | Survey | Take | Want | Start | Sleep | Load | Seek | Fetch | Register | Lookup
    | Commit | Check | Foreign | Renew | Release | Publish
)  # fmt: skip

# ── replies ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Surveyed:
    """All leases of the stream, and how many workers live."""

    leases: tuple[LeaseView, ...]
    workers: tuple[str, ...]  # live ones, this one included, sorted


@dataclass(frozen=True, slots=True)
class Sought:
    """An iterator, and how long the stream keeps a record."""

    iterator: str
    retention_s: float


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records in order. `iterator` is None at the end of a closed shard."""

    records: tuple[Record, ...]
    iterator: str | None
    behind_ms: int


@dataclass(frozen=True, slots=True)
class Registered:
    """The series asked for as the record knows them, and the codes of the state names.

    `fresh` holds the ids that this very command made: the record holds no reading of them.
    """

    series: tuple[KnownSeries, ...]
    fresh: frozenset[int]
    states: dict[str, int]


@dataclass(frozen=True, slots=True)
class Found:
    """What the record already holds for the keys, and the newest readings that were asked for."""

    held: StoredReadings
    marks: StoredReadings  # all readings at the newest ts of each series asked for


@dataclass(frozen=True, slots=True)
class ForeignReadings:
    """Readings that others stored above the version asked for, and the version reached."""

    readings: StoredReadings
    version: int


@dataclass(frozen=True, slots=True)
class Committed:
    """The batch is in the record."""

    version: int
    now: int  # µs UTC, the database's clock
    wanted: bool  # another worker asks for the lease
    catalogue: tuple[int, bytes] | None = None  # a newer one, to judge the next batch by


@dataclass(frozen=True, slots=True)
class Renewed:
    """The lease is prolonged."""

    version: int
    now: int
    wanted: bool
    catalogue: tuple[int, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the lease stands now."""

    epoch: int
    checkpoint: int
    number: int
    version: int
    now: int


@dataclass(frozen=True, slots=True)
class Stale:
    """Another shard's batch raised the version; nothing was committed."""


@dataclass(frozen=True, slots=True)
class Rehomed:
    """Some series have another home than believed; nothing was committed."""

    series: tuple[KnownSeries, ...]


@dataclass(frozen=True, slots=True)
class Fenced:
    """The lease is not ours any more; nothing was committed."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The database refuses this data for ever; nothing was committed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The connection was lost while committing: committed or not, nobody said."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not happen, and may work another time."""

    reason: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """The stream asks for patience."""


@dataclass(frozen=True, slots=True)
class Expired:
    """The iterator is too old; ask for a new one."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The shard or the stream does not exist any more."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A reply, and when it came by the worker's own monotonic clock."""

    reply: object
    at_s: float


__all__ = [
    "Check", "Command", "Commit", "Committed", "Expired", "Failed", "Fenced",
    "Fetch", "Fetched", "Foreign", "ForeignReadings", "Found", "Gone", "Lease", "LeaseView",
    "ListShards", "Load", "Lookup", "Publish", "Refused", "Register", "Registered", "Rehomed",
    "Release", "Renew", "Renewed", "Seek", "Shard", "Sleep", "Sought", "Stale", "Standing", "Start",
    "StoredBatch", "StoredReadings", "StoredState", "Survey", "Surveyed", "Take", "Throttled",
    "Timed", "Unknown", "Want",
]  # fmt: skip
