"""Stuck and novelty: what they find, and what they leave alone."""

from collections.abc import Callable

import numpy as np
import pytest
from made_day import BEGIN_S, judge, readings

from floorlog.core.detect.hold import OTHER, WORSE
from floorlog.core.detect.learned import Learned
from floorlog.core.detect.panel import Panel
from floorlog.core.detect.stuck import Stuck
from floorlog.core.reading import Anomaly
from floorlog.core.rules import Rules

SERIES = 24
Values = np.ndarray


def found(events: list[Anomaly], phase: str = "start") -> list[tuple[int, float]]:
    """Row and second of each event."""
    return [(e.row, e.at / 1e6 - BEGIN_S) for e in events if e.phase == phase]


def noise(count: int, series: int = SERIES, seed: int = 1) -> Values:
    """Normal noise of deviation 1 on a daily cycle of amplitude 20; shape (count, series)."""
    chance = np.random.default_rng(seed)
    cycle = 20 * np.sin(np.arange(count) / 86_400 * 2 * np.pi)
    return 60 + cycle[:, None] + chance.normal(size=(count, series))


@pytest.mark.parametrize(
    ("size", "share"),
    [
        (6.0, 0.85),
        pytest.param(9.0, 1.0, marks=pytest.mark.slow),
        pytest.param(-9.0, 1.0, marks=pytest.mark.slow),
    ],
)
def test_a_sustained_step_is_found(size: float, share: float) -> None:
    """A step of 6 deviations is found in most series, one of 9 in all, within 10 s."""
    value = noise(5000)
    value[4000:] += size
    starts = [row for row, at in found(judge(value, detectors=[Learned()])) if 4000 <= at < 4010]
    assert len(set(starts)) >= share * SERIES


def test_a_spike_is_found_and_passes() -> None:
    """One reading 8 deviations off is found in every series, and the finding ends soon."""
    value = noise(4300)
    value[4000] += 8
    events = judge(value, detectors=[Learned()])
    assert {row for row, at in found(events) if at == 4000} == set(range(SERIES))
    ends = [(row, at) for row, at in found(events, "end") if at < 4120]
    assert len(ends) >= 0.9 * SERIES


@pytest.mark.slow
def test_a_slow_drift_is_found_and_a_cycle_is_not() -> None:
    """A level that leaves its band by 0.3 deviations a minute is a drift; cycles before are not."""
    chance = np.random.default_rng(8)
    at = np.arange(13_000.0)[:, None]
    value = 3 * np.sin(at / 4500 * 2 * np.pi) + chance.normal(size=(13_000, 8))
    value[9000:] += 0.3 / 60 * (at[9000:] - 9000)
    starts = [e for e in judge(value, detectors=[Learned()]) if e.phase == "start"]
    assert min(e.at / 1e6 - BEGIN_S for e in starts) > 9300
    assert {e.row for e in starts if e.detector == "drift"} == set(range(8))


@pytest.mark.slow
def test_a_pause_lets_go_of_nothing_where_the_level_is_as_before() -> None:
    """Two minutes away, and back as before: a step soon afterwards is found, as without a pause."""
    value = noise(3000, 8)
    value[2200:] += 9
    at = np.arange(3000) + (np.arange(3000) >= 2100) * 120
    ts = (BEGIN_S + np.repeat(at, 8)) * 1_000_000
    some = readings(np.tile(np.arange(8), 3000), ts, value.ravel())
    kind, fresh = np.zeros(8, np.int8), np.ones(24_000, np.bool_)
    events = Panel([Learned()]).advance(some, fresh, Rules.empty(8), kind, BEGIN_S + 3200)
    found_of = {e.row for e in events if e.detector == "shift" and e.phase == "start"}
    assert found_of == set(range(8))


@pytest.mark.slow
def test_heavy_tails_are_not_taken_for_normal_noise() -> None:
    """Of Laplace's noise, 8 deviations in 100,000 readings a few times, next to nothing is said."""
    value = np.random.default_rng(5).laplace(size=(8000, 24)) / np.sqrt(2)
    assert len(found(judge(value, detectors=[Learned()]))) <= 4


@pytest.mark.slow
def test_noise_raises_no_more_than_one_in_ten_hours() -> None:
    """At 1 Hz, a daily cycle with noise: at most one false finding in 10 sensor-hours."""
    count = 6000
    events = judge(noise(count, 60), detectors=[Learned(), Stuck()])
    assert len(found(events)) <= count * 60 / 36_000


def drifting(at: Values, chance: np.random.Generator) -> Values:
    """A slow drift."""
    return 0.01 * at + chance.normal(size=at.shape)


def quantised(at: Values, chance: np.random.Generator) -> Values:
    """A daily cycle in steps of 0.1."""
    return np.round(20 * np.sin(at / 86_400 * 6.283) + chance.normal(size=at.shape) * 0.03, 1)


def smooth(at: Values, chance: np.random.Generator) -> Values:
    """A cycle without noise: long runs where it turns."""
    return np.round(100 * np.sin(at / 4000 * 6.283), 1)


def square(at: Values, chance: np.random.Generator) -> Values:
    """A machine that works for a minute and pauses for one."""
    return np.where(at // 60 % 2 == 0, 0.0, 10.0) + chance.normal(size=at.shape) * 0.3


def resting(at: Values, chance: np.random.Generator) -> Values:
    """A machine that is off, at exactly 0, half of the time."""
    return np.where(at // 900 % 2 == 0, 0.0, 10.0 + chance.normal(size=at.shape))


def rare(at: Values, chance: np.random.Generator) -> Values:
    """A flag that is seldom up."""
    return (chance.random(at.shape) < 0.002).astype(np.float64)


def counter(at: Values, chance: np.random.Generator) -> Values:
    """A counter of pieces."""
    return np.cumsum(chance.poisson(1, size=at.shape), axis=0).astype(np.float64)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "most"),
    [
        (drifting, 1),
        (quantised, 1),
        (smooth, 0),
        (square, 1),
        (resting, 52),  # its first stops in life are news, and of 48 changes some seem so
        (rare, 1),
        (counter, 2),
    ],
)
def test_ordinary_series_are_left_alone(
    shape: Callable[[Values, np.random.Generator], Values], most: int
) -> None:
    """16 series for 1.4 h: next to nothing is found in what plants ordinarily send."""
    at = np.repeat(np.arange(5000.0)[:, None], 16, axis=1)
    value = shape(at, np.random.default_rng(4))
    assert len(found(judge(value, detectors=[Learned(), Stuck()]))) <= most


def test_novelty_says_nothing_until_calibrated() -> None:
    """Steps within the first 100 readings are learned from, not found."""
    value = noise(100)
    value[50:] += 50
    assert judge(value, detectors=[Learned()]) == []


@pytest.mark.slow
def test_a_fault_is_not_learned_at_once() -> None:
    """A step of 9 deviations stays found for a minute; after hours it is the new normal."""
    value = noise(12_000, 8)
    value[3000:] += 9
    events = judge(value, detectors=[Learned()])
    start = {row: at for row, at in found(events) if 3000 <= at < 3010}
    ended = [event for event in events if event.reason not in {WORSE, OTHER}]
    lasted = [
        at - start[row] for row, at in found(ended, "end") if row in start and at > start[row]
    ]
    assert min(lasted) >= 60
    assert len(lasted) >= len(start) == 8


@pytest.mark.slow
def test_a_pause_is_no_step() -> None:
    """After an hour without readings a new level is taken as it is."""
    before = noise(3000, 8)
    value = np.concatenate([before, before + 30])
    at = np.concatenate([np.arange(3000), np.arange(3000) + 6600])
    ts = (BEGIN_S + np.repeat(at, 8)) * 1_000_000
    some = readings(np.tile(np.arange(8), 6000), ts, value.ravel())
    kind, fresh = np.zeros(8, np.int8), np.ones(48_000, np.bool_)
    events = Panel([Learned()]).advance(some, fresh, Rules.empty(8), kind, BEGIN_S + 9600)
    near = [e for e in events if e.detector != "silence" and abs(e.at / 1e6 - BEGIN_S - 6600) < 60]
    assert near == []


def test_the_reason_says_value_and_expectation() -> None:
    """The sentence has both numbers, and no probability smaller than a past can show."""
    value = noise(3000, 1)
    value[2900:] += 500
    first = next(e for e in judge(value, detectors=[Learned()]) if e.at / 1e6 - BEGIN_S == 2900)
    assert f": {value[2900, 0]:.6g} where about " in first.reason
    assert "less than once in 1e+06 days (spike)" in first.reason
    assert first.severity == 2
    assert abs(first.expected - value[2899, 0]) < 5


def test_a_stuck_sensor_is_found_and_released() -> None:
    """A value frozen for 5 minutes is found after about 15 s, as begun with its first reading."""
    value = noise(2000)
    value[1000:1300] = value[1000]
    events = judge(value, detectors=[Stuck(), Learned()])
    stuck = [e for e in events if e.detector == "stuck"]
    assert {e.row for e in stuck} == set(range(SERIES))
    assert {e.start / 1e6 - BEGIN_S for e in stuck} == {1000}
    assert {at for _, at in found(stuck)} <= set(range(1014, 1020))
    assert {at for _, at in found(stuck, "end")} == {1300}
    # Being stuck must not narrow the scale: the release is no novelty.
    assert len([e for e in events if e.detector == "spike" and e.phase == "start"]) <= 1


@pytest.mark.parametrize(("hold", "run"), [(4, 65), (10, 175)])
def test_a_quantised_sensor_that_is_stuck_is_found(hold: int, run: int) -> None:
    """A sensor that keeps each value for several readings is stuck when it keeps one far longer."""
    value = np.repeat(np.random.default_rng(2).normal(size=(500, 4)), hold, axis=0)
    begin = 300 * hold
    value[begin : begin + 180] = value[begin]
    starts = found(judge(value, detectors=[Stuck()]))
    assert sorted(starts) == [(row, begin + run - 1) for row in range(4)]


@pytest.mark.slow
@pytest.mark.parametrize("chance", [0.5, 0.1, 0.02])
def test_a_quantised_sensor_may_rest_by_chance(chance: float) -> None:
    """Values that change by chance, often or seldom, are not stuck in 80,000 readings."""
    draw = np.random.default_rng(4)
    steps = draw.normal(size=(10_000, 8)) * (draw.random((10_000, 8)) < chance)
    assert judge(np.cumsum(steps, axis=0), detectors=[Stuck()]) == []


def test_a_resting_value_is_found_once() -> None:
    """A machine that stops at 0 for the first time is found; later stops at 0 are known."""
    value = noise(6000, 8)
    for begin in (1000, 2000, 3000, 4000):
        value[begin : begin + 300] = 0.0
    starts = found(judge(value, detectors=[Stuck()]))
    assert len(starts) == 8
    assert all(at < 1100 for _, at in starts)
