"""The nouns: what the core takes in and gives out."""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

GOOD = 0x00000000
"""OPC UA status code Good."""
UNCERTAIN = 0x40000000
"""OPC UA status code Uncertain: the severity bits alone."""
UNCERTAIN_OUT_OF_RANGE = 0x40940000
"""OPC UA UncertainEngineeringUnitsExceeded: a number outside the catalogue's range."""

MICROSECONDS = 1_000_000


class Kind(IntEnum):
    """What the values of a series are."""

    NUMBER = 0
    STATE = 1


class Code(StrEnum):
    """Why an input could not become a reading. Codes are stable: they are stored and documented."""

    MALFORMED = "malformed"
    MISSING_FIELD = "missing_field"
    NOT_A_NUMBER = "not_a_number"
    NOT_A_STATE = "not_a_state"
    INEXACT_INTEGER = "inexact_integer"
    BAD_TIME = "bad_time"
    FUTURE_TIME = "future_time"
    UNIT_MISMATCH = "unit_mismatch"
    OUT_OF_RANGE = "out_of_range"
    TOO_LARGE = "too_large"
    TOO_MANY_SERIES = "too_many_series"
    UNKNOWN_SERIES = "unknown_series"
    INVALID_TEXT = "invalid_text"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the stream, as fetched; an aggregate counts as one."""

    sequence: int
    partition_key: str
    arrival: int  # µs UTC: ApproximateArrivalTimestamp
    data: bytes


@dataclass(frozen=True, slots=True)
class Reject:
    """An input that could not become a reading, kept with its bytes."""

    code: Code
    reason: str
    data: bytes
    record: int  # the record's place in its batch
    element: int  # the element's place in its record, or -1 for the whole record


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings as columns of one length, in order of arrival unless said otherwise."""

    row: NDArray[np.int32]  # row of the shard's SeriesTable
    ts: NDArray[np.int64]  # µs UTC
    value: NDArray[np.float64]  # number, or state code
    quality: NDArray[np.uint32]  # OPC UA status code
    arrival_s: NDArray[np.int64]  # whole seconds UTC: the shard's clock when the record arrived
    record: NDArray[np.int32]  # the record's place in its batch
    element: NDArray[np.int32]  # the element's place in its record

    def __len__(self) -> int:
        """Count of readings."""
        return len(self.row)

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> "Readings":
        """The chosen readings, in the order chosen."""
        return Readings(
            self.row[which],
            self.ts[which],
            self.value[which],
            self.quality[which],
            self.arrival_s[which],
            self.record[which],
            self.element[which],
        )


def no_readings() -> Readings:
    """No readings."""
    return Readings(
        np.zeros(0, np.int32),
        np.zeros(0, np.int64),
        np.zeros(0),
        np.zeros(0, np.uint32),
        np.zeros(0, np.int64),
        np.zeros(0, np.int32),
        np.zeros(0, np.int32),
    )


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One event of a detector's finding: its start or its end."""

    row: int  # row of the shard's SeriesTable
    detector: str
    phase: str  # "start" or "end"
    start: int  # µs UTC: with row and detector the finding's identity
    at: int  # µs UTC of this event
    severity: int  # 1 low, 2 medium, 3 high
    score: float
    value: float
    expected: float
    reason: str
    other: int = -1  # row of a series that the reason names as `{other}`; -1 = none


@dataclass(frozen=True, slots=True)
class Gap:
    """A loss of input that is known: what arrived in this span may be missing."""

    begin: int  # µs UTC, arrival time
    end: int  # µs UTC, arrival time
    cause: str


@dataclass(frozen=True, slots=True)
class Counts:
    """received = stored + rejected + duplicate; conflict is part of stored; in readings."""

    records: int = 0
    received: int = 0
    stored: int = 0
    rejected: int = 0
    duplicate: int = 0
    conflict: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction commits from one shard."""

    lease_id: int
    epoch: int
    number: int  # 1, 2, 3 … within the lease, the previous batch's plus one
    version: int  # of the lease, as this consumer last saw it (raised by foreign batches)
    checkpoint: int  # sequence number before this batch; -1 = nothing read yet
    sequence: int  # sequence number after it; the same for a tick
    clock_s: int  # the batch's arrival clock, whole seconds UTC, never going back
    catalogue: int  # version of the catalogue it was judged by
    counts: Counts
    series: NDArray[np.int32]  # durable series id per reading, sorted by (series, ts, arrival)
    readings: Readings  # the stored ones, in the same order
    conflict: NDArray[np.bool_]  # per reading: same series and ts stood already, differing
    late: NDArray[np.bool_]  # per reading: not above what its shard had already read
    home: NDArray[np.int32]  # per reading: lease id of the series' home
    rejects: tuple[Reject, ...] = ()
    reject_sequences: tuple[int, ...] = ()  # per reject
    anomalies: tuple[Anomaly, ...] = ()
    anomaly_series: tuple[int, ...] = ()  # durable series id per anomaly
    alarms: tuple[tuple[int, bool], ...] = ()  # per anomaly: priority, and whether it latches
    gaps: tuple[Gap, ...] = ()
    leaves: int = 0  # of the tree over readings, rejects, anomalies and gaps (core/ledger)
    root: bytes = sha256().digest()  # of that tree
    snapshot: bytes | None = None  # the shard's state after batch `snapshot_number`
    snapshot_number: int = 0  # the batch before this one, when a snapshot is given
    ended: bool = False  # the shard's last batch
    behind_ms: int = 0
    read_at: int = -1  # µs UTC of arrival up to which the shard has been read
    calibration: tuple[tuple[int, bool], ...] = ()  # series id, whether it has learned enough
    moved: tuple[int, ...] = field(default=())  # lease ids of other homes touched, ascending
