"""A day of a small plant with faults of every kind, and ways to cut it into batches.

Run as a script it prints a digest of the day's anomalies and state: for other machines' arithmetic.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from floorlog.core.detect import DETECTORS
from floorlog.core.detect.detector import Detector
from floorlog.core.detect.panel import Panel
from floorlog.core.reading import Anomaly, Readings
from floorlog.core.rules import Rules

BEGIN_S = 1_760_000_000
DAY_S = 86_400
BAD = 0x80000000
STATE_ROWS = (9, 10)
ROWS = 19


@dataclass
class Day:
    """Readings in order of arrival, and what they are judged by."""

    readings: Readings
    fresh: NDArray[np.bool_]
    rules: Rules
    kind: NDArray[np.int8]
    end_s: int = BEGIN_S + DAY_S + 20_000

    def __len__(self) -> int:
        """Count of readings."""
        return len(self.readings)

    def part(self, begin: int, end: int) -> "Day":
        """The readings from `begin` to `end`."""
        return replace(
            self,
            readings=self.readings.take(np.arange(begin, end)),
            fresh=self.fresh[begin:end],
        )


def readings(
    row: Sequence[int] | NDArray[np.int32],
    ts: NDArray[np.int64],
    value: NDArray[np.float64],
    arrival_s: NDArray[np.int64] | None = None,
    quality: NDArray[np.uint32] | None = None,
) -> Readings:
    """Readings of these columns; live and good where nothing else is said."""
    count = len(ts)
    nought = np.zeros(count, np.int32)
    return Readings(
        np.asarray(row, np.int32),
        np.asarray(ts, np.int64),
        np.asarray(value, np.float64),
        np.zeros(count, np.uint32) if quality is None else np.asarray(quality, np.uint32),
        np.asarray(ts, np.int64) // 1_000_000 if arrival_s is None else arrival_s,
        nought,
        nought,
    )


def judge(
    value: NDArray[np.float64],
    step_s: float = 1.0,
    rules: Rules | None = None,
    detectors: Sequence[Detector] = DETECTORS,
) -> list[Anomaly]:
    """The anomalies of numbers, shape (times, series), that arrive live every `step_s`."""
    times, rows = value.shape
    ts = (BEGIN_S * 1_000_000 + np.arange(times) * (step_s * 1e6)).astype(np.int64)
    panel = Panel(detectors)
    rules = rules or Rules.empty(rows)
    kind = np.zeros(rows, np.int8)
    found: list[Anomaly] = []
    for begin in range(0, times, 1000):
        part = slice(begin, min(begin + 1000, times))
        count = part.stop - part.start
        row = np.tile(np.arange(rows, dtype=np.int32), count)
        some = readings(row, np.repeat(ts[part], rows), value[part].ravel())
        clock_s = int(some.arrival_s[-1])
        found += panel.advance(some, np.ones(len(some), np.bool_), rules, kind, clock_s)
    return found


def made_day(seed: int) -> Day:
    """Nineteen series, two of states, with every fault that a detector is for."""
    chance = np.random.default_rng(seed)
    columns: list[tuple[NDArray[np.int64], ...]] = []
    for row in range(ROWS):
        step_s = 150 if row == 1 else (200, 200, 240, 300)[row % 4] if row != 11 else 3600
        at_s = np.arange(0, DAY_S, step_s, dtype=np.int64)
        ts = at_s * 1_000_000 + chance.integers(0, 900_000, len(at_s))
        value = _values(row, len(at_s), at_s, chance)
        quality = np.where(chance.random(len(at_s)) < 0.01, BAD, 0)
        delay_s = chance.integers(0, 3, len(at_s))
        if row == 13:  # history: all of it arrives within minutes, one day late, with a pause
            keep = (at_s < 30_000) | (at_s > 40_000)
            ts = ts - (2 * DAY_S * 1_000_000)
            delay_s = np.sort(chance.integers(0, 200, len(at_s))) - at_s + 50_000
        elif row == 12:  # ends inside a finding
            keep = at_s < 60_000
        else:
            silent_s = chance.integers(20_000, 55_000) if row != 1 else DAY_S
            keep = (at_s < silent_s) | (at_s > silent_s + 9_000)
        late = keep & (chance.random(len(at_s)) < 0.02) & (row not in (12, 13))
        delay_s = np.where(late, delay_s + 1_000, delay_s)
        arrival_s = BEGIN_S + at_s + delay_s
        parts = (np.full(len(at_s), row), BEGIN_S * 1_000_000 + ts, value, quality, arrival_s)
        columns.append(tuple(part[keep] for part in parts))
        again = np.flatnonzero(keep)[:: int(chance.integers(80, 120))]
        conflicts = [part[again] for part in parts]
        conflicts[2] = conflicts[2] + 1
        columns.append(tuple(conflicts))
    row, ts, value, quality, arrival_s = (np.concatenate(c) for c in zip(*columns, strict=True))
    order = np.argsort(arrival_s, kind="stable")
    some = readings(row, ts, value, arrival_s, quality).take(order)
    newest = np.full(ROWS, np.iinfo(np.int64).min)
    fresh = np.zeros(len(some), np.bool_)
    for place, (who, when) in enumerate(zip(some.row.tolist(), some.ts.tolist(), strict=True)):
        fresh[place] = when > newest[who]
        newest[who] = max(newest[who], when)
    kind = np.zeros(ROWS, np.int8)
    kind[list(STATE_ROWS)] = 1
    return Day(some, fresh, _rules(), kind)


def _values(
    row: int, count: int, at_s: NDArray[np.int64], chance: np.random.Generator
) -> NDArray[np.float64]:
    noise = chance.normal(size=count)
    value: NDArray[np.float64]
    cycle = 10 * np.sin(at_s / DAY_S * 2 * np.pi)
    value = 50 + cycle + noise
    if row == 1:
        value[540:550] += 12
    elif row == 2:
        value = np.round(20 + cycle / 10 + noise * 0.02, 1)
    elif row == 3:
        value[:] = 7.0
    elif row == 4:
        value = 50 + np.repeat(chance.normal(size=count // 40 + 1) * 20, 40)[:count] + noise
    elif row == 5:
        value[330:390] = value[330]  # stuck
    elif row == 6:
        value[::50] += 60  # beyond limits, range and rate
    elif row in STATE_ROWS:
        value = np.repeat(chance.integers(0, 4, count // 5 + 1), 5)[:count].astype(np.float64)
    elif row == 12:
        value[at_s > 50_000] = 95
    return _values_of_rules(row, value, noise, at_s)


def _values_of_rules(
    row: int, value: NDArray[np.float64], noise: NDArray[np.float64], at_s: NDArray[np.int64]
) -> NDArray[np.float64]:
    setpoint = 50 + 10.0 * (at_s // 7000 % 3)
    if row == 14:  # the set-point of row 15
        return setpoint
    if row == 15:
        value = setpoint + noise * 0.5
        value[::60] += 20
    elif row == 16:
        value = 50 + noise
        value[(at_s > 65_000) & (at_s < 70_000)] *= 10
    elif row == 17:
        value = np.arange(len(at_s)) + (at_s > 65_000) * 7.0
    elif row == 18:
        value = 20 + at_s // 6000 + 0.5 * (at_s > 70_000)
    return value


def _rules() -> Rules:
    rules = Rules.empty(ROWS)
    rules.set(6, hi=70, hihi=100, lo=30, dead_band=1, range_lo=0, range_hi=105, rate_per_s=0.2)
    rules.set(0, hi=60, lo=40, dead_band=0.5, on_delay_s=200, off_delay_s=200)
    rules.set(12, hi=70, lo=10, off_delay_s=0)
    rules.set(9, abnormal=(2, 3), interval_s=150)
    rules.set(7, interval_s=300)
    rules.set(15, setpoint_row=14, deviation_lo=-5, deviation_hi=5, deviation_off_delay_s=300)
    rules.set(15, mode_row=9, settle_s=400)
    rules.suppressing[15] = frozenset({1})
    rules.set(0, accepted_us=BEGIN_S * 1e6)
    rules.excluded[4] = (((BEGIN_S + 20_000) * 1_000_000, (BEGIN_S + 30_000) * 1_000_000),)
    rules.set(17, counter_step=1)
    rules.set(18, stuck_s=4000)
    rules.severities[6] = {"hi": 3, "lo": 1, "rate": 1}
    return rules


def run(day: Day, chance: np.random.Generator | None) -> tuple[list[Anomaly], list[bytes]]:
    """Judge the day, in one batch or cut by chance, with everything that may come between."""
    panel = Panel()
    found: list[Anomaly] = []
    cuts = [0, len(day)]
    if chance is not None:
        cuts += chance.integers(0, len(day) + 1, int(chance.integers(1, 60))).tolist()
    cuts.sort()
    for begin, end in pairwise(cuts):
        part = day.part(begin, end)
        clock_s = int(part.readings.arrival_s[-1]) if end > begin else 0
        if chance is None:
            found += panel.advance(part.readings, part.fresh, day.rules, day.kind, clock_s)
            continue
        part = shuffled(part, chance)
        if chance.random() < 0.2:
            before = panel.copy()
            panel.advance(part.readings, part.fresh, day.rules, day.kind, clock_s)
            panel.restore(before)
        found += panel.advance(part.readings, part.fresh, day.rules, day.kind, clock_s)
        if chance.random() < 0.2:
            found += tick(panel, day, end, chance)
        if chance.random() < 0.2:
            panel = reloaded(panel)
    nothing = day.part(0, 0)
    found += panel.advance(nothing.readings, nothing.fresh, day.rules, day.kind, day.end_s)
    return found, panel.dump_all(np.arange(ROWS))


def shuffled(part: Day, chance: np.random.Generator) -> Day:
    """The batch as it arrived, or by series and time, as the record keeps it."""
    some = part.readings
    if chance.random() < 0.5:
        return part
    order = np.lexsort((some.ts, some.row))
    return replace(part, readings=some.take(order), fresh=part.fresh[order])


def tick(panel: Panel, day: Day, end: int, chance: np.random.Generator) -> list[Anomaly]:
    """Let the clock go on, at most to the next arrival."""
    last = int(day.readings.arrival_s[end - 1]) if end else BEGIN_S
    next_s = int(day.readings.arrival_s[end]) if end < len(day) else day.end_s
    clock_s = int(chance.integers(last, next_s + 1))
    nothing = day.part(0, 0)
    return panel.advance(nothing.readings, nothing.fresh, day.rules, day.kind, clock_s)


def reloaded(panel: Panel) -> Panel:
    """Another panel with the same state, by way of bytes."""
    other = Panel()
    for row, blob in enumerate(panel.dump_all(np.arange(len(panel)))):
        other.load(row, blob)
    return other


def digest(found: list[Anomaly], state: list[bytes]) -> str:
    """One line that differs when any bit differs; the order of anomalies does not count."""
    events = sorted(repr(event) for event in found)
    return hashlib.sha256(repr((events, state)).encode()).hexdigest()


if __name__ == "__main__":
    print(digest(*run(made_day(7), None)))
