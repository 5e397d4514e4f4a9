"""What the record answers to pages and commands."""

from dataclasses import dataclass

from floorlog.core.reading import Counts, Kind


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """Where one shard stands.

    `lag_ms` is 0 for one that ended, `clock_s` and `checkpoint` are -1 for none; `read_at` is the
    arrival in µs UTC up to which it was read.
    """

    shard_id: str
    stream_arn: str
    owner: str | None
    ended: bool
    batches: int
    clock_s: int
    lag_ms: int
    counts: Counts
    gaps: int
    checkpoint: int
    read_at: int


@dataclass(frozen=True, slots=True)
class Status:
    """Counts over all shards that ever were, and each shard of the streams that are there."""

    total: Counts
    gaps: int
    series: int
    findings: int
    shards: tuple[ShardStatus, ...]
    workers: dict[str, float]  # name → seconds since its last sign of life
    learning: int = 0  # series of which the learned detectors say nothing yet
    split: tuple[str, ...] = ()  # assets whose series came to several shards
    unanchored_s: float | None = None  # age of the oldest entry without a seal outside


@dataclass(frozen=True, slots=True)
class SeriesName:
    """A series of the record."""

    series_id: int
    device: str
    metric: str
    kind: Kind
    unit: str | None
    is_learning: bool = False  # its learned detectors say nothing yet


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A reading of the record: `value` is a number's, `text` a state's; times in µs UTC."""

    ts: int
    device: str
    metric: str
    value: float | None
    text: str | None
    quality: int
    recorded_at: int
    flags: int = 0  # 1: contradicts an earlier reading of its time, 2: late
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A detector's finding: open while `end` is None. Times in µs UTC."""

    device: str
    metric: str
    detector: str
    start: int
    end: int | None
    severity: int
    score: float
    value: float
    expected: float
    reason: str
    recorded_at: int


@dataclass(frozen=True, slots=True)
class StoredReject:
    """An input that did not become a reading."""

    recorded_at: int
    shard_id: str
    sequence: int
    element: int
    code: str
    reason: str
    data: bytes
    name: str = ""
    replayed: bool = False  # somebody has sent it again, or tried


@dataclass(frozen=True, slots=True)
class StoredGap:
    """A loss of input: what arrived between begin and end (µs UTC) may be missing."""

    recorded_at: int
    shard_id: str
    begin: int
    end: int
    cause: str


@dataclass(frozen=True, slots=True)
class StoredConflict:
    """Two readings of one series and time: the one that stands, and the one that contradicts it."""

    offered: StoredValue
    standing_value: float | None
    standing_text: str | None
    standing_quality: int
