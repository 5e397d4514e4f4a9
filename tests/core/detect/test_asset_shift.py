"""What an asset's sensors do together: found once, by the one that led, however batches are cut."""

from itertools import pairwise

import numpy as np
import pytest
from made_day import BEGIN_S, Day, readings

from floorlog.core.detect.asset_shift import AGE_S_MAX, FIELDS, AssetShift, Levels, Members
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


class Asset:
    """What the detector keeps of some series, and what it is told of them."""

    def __init__(self, asset: list[int], series: list[int] | None = None) -> None:
        count = len(asset)
        self.memory = {
            name: np.full(count, NEVER if kind == "i8" else 0, np.int64 if kind == "i8" else float)
            for name, kind in FIELDS.items()
        }
        self.asset, self.series = asset, series or list(range(count))

    @property
    def members(self) -> Members:
        """As the rules have them."""
        return Members(np.array(self.asset, np.int32), np.array(self.series, np.int32))

    def say(
        self, second: int, far: dict[int, float], accepted: dict[int, list[int]] | None = None
    ) -> list[tuple[str, int]]:
        """Levels of some rows in a second; phases and series of what is found up to the next."""
        rows = np.array(list(far), np.intp)
        when = np.full(len(far), second)
        distance = np.array(list(far.values()))
        some = Levels(
            rows, when * 1_000_000, when, distance, np.zeros(len(far)), np.zeros(len(far))
        )
        found = AssetShift().follow(self.memory, some, self.members, second + 1, accepted)
        return [(event.phase, self.series[event.row]) for event in found]

    def tick(self, clock_s: int) -> list[tuple[str, int]]:
        """Phase and second of what a clock reveals."""
        none = Levels(*(np.zeros(0, kind) for kind in (np.intp, int, int, float, float, float)))
        found = AssetShift().follow(self.memory, none, self.members, clock_s)
        return [(event.phase, event.at // 1_000_000) for event in found]


def test_a_finding_of_an_asset_that_lost_its_sensors_ends() -> None:
    """With two sensors left none begins any more, but what is open ends when they are calm."""
    plant = Asset([0, 0, 0])
    assert plant.say(1_000, {0: 9.0, 1: 9.0, 2: 9.0}) == [("start", 0)]
    assert plant.say(4_400, {0: 9.0, 1: 9.0}) == []
    assert plant.say(7_000, {0: 0.0, 1: 0.0}) == []
    assert plant.say(7_100, {0: 0.0, 1: 0.0}) == [("end", 0)]
    assert plant.say(7_200, {0: 9.0, 1: 9.0}) == []


def test_which_of_equal_sensors_leads_is_the_same_in_every_process() -> None:
    """Rows differ from process to process: the series with the lowest id leads."""
    for series in ([5, 6, 7], [7, 6, 5], [6, 5, 7]):
        plant = Asset([0, 0, 0], series)
        assert plant.say(1_000, {0: 6.0, 1: 6.0, 2: 6.0}) == [("start", 5)]


@pytest.mark.parametrize("ticks", [[4_601], [4_000, 4_600, 4_602, 9_000], [8_000]])
def test_a_silent_asset_ends_its_finding(ticks: list[int]) -> None:
    """An hour after its last word, whichever tick reveals it; and that tick is asked for."""
    plant = Asset([0, 0, 0])
    assert plant.say(1_000, {0: 9.0, 1: 1.0, 2: 1.0}) == [("start", 0)]
    due = AssetShift().deadline_s(plant.memory, plant.members, 1_001)
    assert due == 1_000 + AGE_S_MAX + 1
    assert [event for clock_s in ticks for event in plant.tick(clock_s)] == [("end", 4_600)]
    assert AssetShift().deadline_s(plant.memory, plant.members, 9_001) is None


def test_a_silent_asset_that_speaks_again_has_ended_first() -> None:
    """Without a tick between, the next word reveals the same end, at the same time."""
    plant = Asset([0, 0, 0])
    assert plant.say(1_000, {0: 9.0, 1: 1.0, 2: 1.0}) == [("start", 0)]
    assert plant.say(9_000, {0: 9.0, 1: 9.0, 2: 1.0}) == [("end", 0), ("start", 0)]


def test_a_sensor_that_changes_assets_takes_no_finding_along() -> None:
    """Of two that lead in one asset the first one stays; both end, and none stands for ever."""
    plant = Asset([0, 0, 0, 1, 1, 1], [16, 15, 14, 13, 12, 11])
    assert plant.say(1_000, {0: 9.0, 1: 1.0, 2: 1.0}) == [("start", 16)]
    assert plant.say(1_100, {3: 9.0, 4: 1.0, 5: 1.0}) == [("start", 13)]
    plant.asset = [1] * 6
    assert plant.say(1_200, dict.fromkeys(range(6), 9.0)) == [("end", 13)]
    assert plant.say(1_300, dict.fromkeys(range(6), 0.0)) == []
    assert plant.say(1_400, dict.fromkeys(range(6), 0.0)) == [("end", 16)]
    assert (plant.memory["start"] == NEVER).all()


def test_a_sensor_that_left_its_asset_alone_ends_its_finding() -> None:
    """By silence, when it never says anything in its new asset; at once when it belongs to none."""
    plant = Asset([0, 0, 0])
    assert plant.say(1_000, {0: 9.0, 1: 1.0, 2: 1.0}) == [("start", 0)]
    plant.asset = [7, 0, 0]
    assert plant.say(4_000, {1: 1.0, 2: 1.0}) == []
    assert plant.tick(4_601) == [("end", 4_600)]
    assert plant.say(9_000, {0: 9.0, 1: 1.0, 2: 1.0}) == []
    plant.asset = [0, 0, 0]
    assert plant.say(9_001, {1: 1.0}) == [("start", 0)]
    plant.asset = [-1, 0, 0]
    assert plant.tick(9_500) == [("end", 9_001)]


def test_what_an_operator_calls_normal_ends_and_counts_no_more() -> None:
    """In its place in the order: what arrived before it was still judged."""
    plant = Asset([0, 0, 0, 0])
    assert plant.say(1_000, {0: 9.0, 1: 8.0, 2: 1.0, 3: 1.0}) == [("start", 0)]
    assert plant.say(1_010, {2: 1.0}, {1_010: [0]}) == [("end", 0), ("start", 1)]
    assert plant.memory["far"].tolist() == [0.0, 8.0, 1.0, 1.0]
    assert plant.say(1_020, {}, {1_020: [1]}) == [("end", 1)]
    assert plant.say(1_030, {2: 1.0}) == []
