"""A batch on its way: what is drafted, asked of the record, and comes of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floorlog.core.decode import Decoded
from floorlog.core.reading import Anomaly, Counts, Readings, Record, Reject


@dataclass(slots=True)
class Draft:
    """A batch on its way: decoded, then valid, then sifted."""

    records: tuple[Record, ...]
    clock_s: int
    decoded: Decoded
    rejects: list[Reject]
    valid: Readings | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What only the record can answer: keys to look up, and rows whose mark is unknown."""

    homes: tuple[int, ...]  # lease ids concerned, own one included, ascending
    series: NDArray[np.int32]
    ts: NDArray[np.int64]
    home: NDArray[np.int32]
    marks_of: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the batch comes to; the consumer adds the lease and commits it."""

    clock_s: int
    counts: Counts
    stored: Readings  # sorted by (series, ts, arrival)
    conflict: NDArray[np.bool_]
    late: NDArray[np.bool_]
    rejects: tuple[Reject, ...]
    anomalies: tuple[Anomaly, ...]
    calibration: tuple[tuple[int, bool], ...] = ()  # series id, whether it has learned enough
