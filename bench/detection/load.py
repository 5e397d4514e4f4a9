"""What a plant of 1,000 sensors tells its operator in a day, and what a reading costs."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from floorlog.core.detect.panel import Panel
from floorlog.core.reading import Anomaly, Readings
from floorlog.core.rules import Rules
from floorlog.core.snapshot import SeriesState, encode

SENSORS = 1000
PER_ASSET = 8
BEGIN_S = 1_760_054_400
DAY_S = 86_400
WINDOW_S = 600
STORM = 500
Floats = NDArray[np.float64]


def plant(seed: int, step_s: int, hours: float) -> Floats:
    """Levels with a daily cycle, noise that is correlated in part, wandering in a quarter."""
    chance = np.random.default_rng(seed)
    count = int(hours * 3600 / step_s)
    at = np.arange(count)[:, None] * (step_s / DAY_S)
    noise = chance.normal(size=(count, SENSORS))
    keep = chance.choice([0.0, 0.5, 0.8], size=SENSORS)
    for row in range(1, count):
        noise[row] += keep * (noise[row - 1] - noise[row])
    wander = np.cumsum(chance.normal(size=(count, SENSORS)), axis=0) * 0.01
    wander[:, SENSORS // 4 :] = 0
    cycle = chance.uniform(0, 4, SENSORS) * np.sin(2 * np.pi * (at + chance.random(SENSORS)))
    return 50 + cycle + noise + wander


def feed(
    value: Floats, step_s: int, per_batch: int = 10
) -> tuple[list[Anomaly], float, int, float]:
    """All findings of a live plant; CPU seconds of the panel; bytes and seconds of a snapshot."""
    panel = Panel()
    count, sensors = value.shape
    rules, kind = Rules.empty(sensors), np.zeros(sensors, np.int8)
    rules.asset[:] = np.arange(sensors) // PER_ASSET
    rules.changed()
    found: list[Anomaly] = []
    spent = 0.0
    for first in range(0, count, per_batch):
        part = value[first : first + per_batch]
        ts = (
            BEGIN_S + np.repeat(np.arange(first, first + len(part)), sensors) * step_s
        ) * 1_000_000
        nought = np.zeros(part.size, np.int32)
        row = np.tile(np.arange(sensors, dtype=np.int32), len(part))
        some = Readings(
            row, ts, part.ravel(), nought.astype(np.uint32), ts // 1_000_000, nought, nought
        )
        fresh = np.ones(part.size, np.bool_)
        begin = time.process_time()
        found += panel.advance(some, fresh, rules, kind, int(some.arrival_s[-1]))
        spent += time.process_time() - begin
    begin = time.process_time()
    states = panel.dump_all(np.arange(sensors))
    kept = [SeriesState(row, b"k" * 16, True, 0, [(0.0, 0)], one) for row, one in enumerate(states)]
    size = len(encode(1, 0, int(some.arrival_s[-1]), kept))
    return found, spent, size, time.process_time() - begin


def per_window(events: Sequence[Anomaly], severity: int) -> dict[str, float]:
    """Findings that begin, of at least this severity, in ten minutes: on average and at most."""
    at = sorted(e.at / 1e6 for e in events if e.phase == "start" and e.severity >= severity)
    if not at:
        return {"mean": 0.0, "most": 0}
    times = np.array(at)
    most = int((np.searchsorted(times, times + WINDOW_S) - np.arange(len(times))).max())
    return {"mean": round(len(at) * WINDOW_S / DAY_S, 3), "most": most, "all": len(at)}


def day(seed: int, step_s: int = 60) -> dict[str, object]:
    """A day of 1,000 sensors without a fault, once learned: alarms for each ten minutes."""
    value = plant(seed, step_s, 36)
    events, *_ = feed(value, step_s)
    learned = (BEGIN_S + 12 * 3600) * 1_000_000
    events = [event for event in events if event.at >= learned]
    return {
        "step_s": step_s,
        "alarms_per_10_min": per_window(events, 2),
        "findings_per_10_min": per_window(events, 1),
    }


def cost(seed: int, seconds: int = 120) -> dict[str, float]:
    """µs of CPU a reading over 1,000 series, ten readings each in a batch and one; of a snapshot.

    A snapshot is the state of all series as bytes, made every five minutes (`snapshot_seconds`).
    """
    value = plant(seed, 1, (seconds + 200) / 3600)
    figures: dict[str, float] = {}
    for per_batch in (10, 1):
        _, spent, state, kept = feed(value[: seconds + 200], 1, per_batch)
        figures[f"us_a_reading_{per_batch}_a_batch"] = round(1e6 * spent / value.size, 3)
        figures["bytes_a_series"] = round(state / SENSORS)
        figures["us_a_series_of_a_snapshot"] = round(1e6 * kept / SENSORS, 2)
    return figures
