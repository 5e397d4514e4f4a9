"""What an asset's sensors do together: found once, by the one that led, however batches are cut."""

from itertools import pairwise

import numpy as np
import pytest
from made_day import BEGIN_S, Day, readings

from floorlog.core.detect.asset_shift import FIELDS, AssetShift, Levels
from floorlog.core.detect.detector import NEVER
from floorlog.core.detect.learned import Learned
from floorlog.core.detect.panel import Panel
from floorlog.core.reading import Anomaly
from floorlog.core.rules import Rules

ROWS = 8
LENGTH = 1500
FAULT = 1000


def plant(seed: int, size: float = 4.0, moved: tuple[int, ...] = (1, 2)) -> Day:
    """Two assets of four sensors at 1 Hz; some of the first one's move at a second."""
    chance = np.random.default_rng(seed)
    value = 50 + chance.normal(size=(LENGTH, ROWS))
    value[FAULT : FAULT + 300, list(moved)] += size
    ts = (BEGIN_S + np.repeat(np.arange(LENGTH), ROWS)) * 1_000_000
    rules = Rules.empty(ROWS)
    rules.asset[:] = np.arange(ROWS) // 4
    rules.changed()
    some = readings(np.tile(np.arange(ROWS, dtype=np.int32), LENGTH), ts, value.ravel())
    fresh = np.ones(len(some), np.bool_)
    return Day(some, fresh, rules, np.zeros(ROWS, np.int8), BEGIN_S + LENGTH + 5)


def run(day: Day, cuts: list[int], *, reload: bool = False) -> tuple[list[Anomaly], list[bytes]]:
    """Feed it cut at these places, with ticks between, perhaps by way of bytes."""
    panel = Panel([Learned()])
    found: list[Anomaly] = []
    for begin, end in pairwise([0, *cuts, len(day)]):
        part = day.part(begin, end)
        clock_s = int(part.readings.arrival_s[-1]) if end > begin else 0
        found += panel.advance(part.readings, part.fresh, day.rules, day.kind, clock_s)
        if reload:
            other = Panel([Learned()])
            for row, blob in enumerate(panel.dump_all(np.arange(ROWS))):
                other.load(row, blob)
            nothing = day.part(0, 0)
            found += other.advance(nothing.readings, nothing.fresh, day.rules, day.kind, clock_s)
            panel = other
    nothing = day.part(0, 0)
    found += panel.advance(nothing.readings, nothing.fresh, day.rules, day.kind, day.end_s)
    return sorted(found, key=repr), panel.dump_all(np.arange(ROWS))


def of_assets(found: list[Anomaly]) -> list[tuple[int, str, float]]:
    """Row, phase and second of the events of assets."""
    return [
        (event.row, event.phase, event.at / 1e6 - BEGIN_S)
        for event in sorted(found, key=lambda event: event.at)
        if event.detector == "asset_shift"
    ]


def test_two_sensors_that_move_are_one_finding() -> None:
    """Within half a minute, of one of them, naming the other; it ends when they are back."""
    found, _ = run(plant(3), [])
    (row, phase, at), *rest = of_assets(found)
    assert (row in (1, 2), phase, FAULT <= at <= FAULT + 30) == (True, "start", True)
    assert [(who, what) for who, what, _ in rest] == [(row, "end")]
    assert FAULT + 300 < rest[0][2] < FAULT + 420
    events = [event for event in found if event.detector == "asset_shift"]
    first = min(events, key=lambda event: event.at)
    assert "its level moved from about 50" in first.reason


def test_an_asset_at_rest_is_left_alone() -> None:
    """Noise alone, of two assets: nothing."""
    assert of_assets(run(plant(4, size=0.0), [])[0]) == []


@pytest.mark.slow
def test_any_cut_gives_the_same_bits() -> None:
    """Cut at chance, within seconds too, and through bytes: the same findings and state."""
    day = plant(5)
    whole = run(day, [])
    assert of_assets(whole[0])
    for seed in range(12):
        chance = np.random.default_rng(seed)
        cuts = np.sort(chance.integers(0, len(day), int(chance.integers(1, 80)))).tolist()
        assert run(day, cuts, reload=seed % 2 == 0) == whole


def test_the_future_changes_nothing() -> None:
    """What was found of a prefix is found in the same bits when other futures follow it."""
    day, other = plant(6), plant(6)
    cut = (FAULT + 60) * ROWS
    other.readings.value[cut:] *= -2.0
    known = [event for event in run(day, [])[0] if event.at < (BEGIN_S + FAULT + 59) * 1_000_000]
    again = [event for event in run(other, [])[0] if event.at < (BEGIN_S + FAULT + 59) * 1_000_000]
    assert known == again != []


def test_a_finding_of_an_asset_that_lost_its_sensors_ends() -> None:
    """With two sensors left none begins any more, but what is open ends when they are calm."""
    memory = {
        name: np.full(3, NEVER if kind == "i8" else 0, np.int64 if kind == "i8" else np.float64)
        for name, kind in FIELDS.items()
    }
    asset = np.zeros(3, np.int32)

    def say(second: int, *far: float) -> list[str]:
        count = len(far)
        when = np.full(count, second)
        some = Levels(
            np.arange(count), when * 1_000_000, when, np.array(far), np.zeros(count),
            np.zeros(count),
        )  # fmt: skip
        return [event.phase for event in AssetShift().follow(memory, some, asset, second + 1)]

    assert say(1_000, 9.0, 9.0, 9.0) == ["start"]
    assert say(9_000, 9.0, 9.0) == []
    assert say(9_100, 0.0, 0.0) == []
    assert say(9_200, 0.0, 0.0) == ["end"]
    assert say(9_300, 9.0, 9.0) == []
