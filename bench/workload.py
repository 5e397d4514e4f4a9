"""The canonical workload: readings of 300 devices with three metrics, the same at every run."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

READINGS = 100_000
BACKLOG_READINGS = 540_000  # what the plant sends in ten minutes
DEVICES = 300
METRICS = (("temperature", "Cel", 71.0), ("pressure", "bar", 52.0), ("flow", "m3/h", 18.0))
SERIES = DEVICES * len(METRICS)
SEED = 20_260_101
BASE_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
JITTER_MS = 40
SLICES = 10  # of a live second


@dataclass(frozen=True)
class Workload:
    """Readings as columns, in the order in which they are sent.

    Attributes:
        series: number 0 to 899; device = series // 3, metric = series % 3.
        ts_ms: ms since 1970, at 1 Hz a series, up to 40 ms beside the second.
        value: rounded to a hundredth.
    """

    series: NDArray[np.int32]
    ts_ms: NDArray[np.int64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.series)

    def records(self) -> Iterator[tuple[bytes, str]]:
        """Each reading as a record: its JSON of about 129 bytes, and its partition key."""
        columns = (self.series.tolist(), self.ts_ms.tolist(), self.value.tolist())
        for series, ts_ms, value in zip(*columns, strict=True):
            yield encode(series, ts_ms, value)

    def counted(self) -> Counter[tuple[str, str, int, float]]:
        """The multiset of (device, metric, ts in µs, value)."""
        columns = (self.series.tolist(), (self.ts_ms * 1000).tolist(), self.value.tolist())
        return Counter(
            (*names(series), ts, value) for series, ts, value in zip(*columns, strict=True)
        )


def join(parts: Sequence[Workload]) -> Workload:
    """Workloads one after the other."""
    columns = ([getattr(part, name) for part in parts] for name in ("series", "ts_ms", "value"))
    return Workload(*map(np.concatenate, columns))


def names(series: int) -> tuple[str, str]:
    """Device and metric of a series."""
    return f"hall-a.line2.press-{series // 3:03}", METRICS[series % 3][0]


def encode(series: int, ts_ms: int, value: float) -> tuple[bytes, str]:
    """A reading as one record: data and partition key."""
    device, metric = names(series)
    at = datetime.fromtimestamp(ts_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    text = (
        f'{{"device_id":"{device}","metric":"{metric}","ts":"{at}.{ts_ms % 1000:03}Z",'
        f'"value":{value},"unit":"{METRICS[series % 3][1]}","quality":0}}'
    )
    return text.encode(), device


def catch_up(readings: int = READINGS) -> Workload:
    """The first so many readings of the plant, second by second."""
    random = np.random.default_rng(SEED)
    place = np.arange(readings)
    series = (place % SERIES).astype(np.int32)
    second = place // SERIES
    jitter = random.integers(-JITTER_MS, JITTER_MS + 1, readings)
    return Workload(series, BASE_MS + second * 1000 + jitter, _values(random, series, second))


def live_slice(place: int, now_ms: int) -> Workload:
    """What is sent in tenth `place` of the live profile: 90 readings of 900 a second, stamped now.

    Each series comes once a second. The stamp is the time of sending: commit minus ts is latency.
    """
    random = np.random.default_rng((SEED, place))
    size = SERIES // SLICES
    series = (np.arange(size) + place % SLICES * size).astype(np.int32)
    second = np.full(size, place // SLICES)
    return Workload(series, np.full(size, now_ms), _values(random, series, second))


def _values(
    random: np.random.Generator, series: NDArray[np.int32], second: NDArray[np.int64]
) -> NDArray[np.float64]:
    level = np.array([base for _, _, base in METRICS])[series % 3]
    swing = np.sin((second + series * 7) / 60.0)
    return np.round(level + swing + random.normal(0.0, 0.2, len(series)), 2)
