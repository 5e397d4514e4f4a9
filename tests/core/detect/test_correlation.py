"""Sensors of an asset that moved together and no longer do: found, however batches are cut."""

from itertools import pairwise

import numpy as np
import pytest
from made_day import BEGIN_S, Day, readings

from floorlog.core.detect.asset_shift import NO_ASSET, Members
from floorlog.core.detect.correlation import PARTNERS, Partners, _compare
from floorlog.core.detect.learned import Learned
from floorlog.core.detect.panel import Panel
from floorlog.core.reading import Anomaly
from floorlog.core.rules import NONE, Rules
from floorlog.core.why import sentence

ROWS = 6
LENGTH = 5600
FAULT = 4800


def wander(chance: np.random.Generator, count: int) -> np.ndarray:
    """A level that moves within about two minutes; unit variance."""
    out, last = np.empty(count), 0.0
    for place, step in enumerate((chance.normal(size=count) * 0.1342).tolist()):
        last = out[place] = 0.991 * last + step
    return out


def plant(seed: int, alone: int | None = 1, length: int = LENGTH) -> Day:
    """Assets of four and of two sensors that move together; one goes its own way from FAULT on."""
    chance = np.random.default_rng(seed)
    common = wander(chance, length), wander(chance, length)
    value = np.stack([common[row // 4] for row in range(ROWS)], axis=1)
    if alone is not None:
        value[FAULT:, alone] = wander(chance, length)[FAULT:]
    value[:, 2] *= -1.0
    value = 50 + value + 0.2 * chance.normal(size=value.shape)
    ts = (BEGIN_S + np.repeat(np.arange(length), ROWS)) * 1_000_000
    rules = Rules.empty(ROWS)
    rules.asset[:] = np.arange(ROWS) // 4
    rules.series[:] = 100 + np.arange(ROWS)
    rules.changed()
    some = readings(np.tile(np.arange(ROWS, dtype=np.int32), length), ts, value.ravel())
    fresh = np.ones(len(some), np.bool_)
    return Day(some, fresh, rules, np.zeros(ROWS, np.int8), BEGIN_S + length + 5)


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


def broken(found: list[Anomaly]) -> list[Anomaly]:
    """The events of broken correlations, by time."""
    mine = [event for event in found if event.detector == "broken_correlation"]
    return sorted(mine, key=lambda event: event.at)


@pytest.mark.slow
def test_a_sensor_that_goes_its_own_way_is_named() -> None:
    """At an ordinary level, within five minutes: one finding, of that sensor, naming another.

    With device and metric, as people know it; no number of the record's own.
    """
    first, *rest = broken(run(plant(3), [])[0])
    assert (first.row, first.phase) == (1, "start")
    assert FAULT < first.at / 1e6 - BEGIN_S < FAULT + 300
    assert first.other in {0, 2, 3}
    names = [("press-7", f"sensor-{row}") for row in range(ROWS)]
    told = sentence(first, names, None, 1, None)
    assert told.startswith("sensor-1 of press-7: at ")
    assert f"it no longer moves with sensor-{first.other} of press-7 (at " in told
    assert "series" not in told
    assert "{" not in told
    assert [event.row for event in rest] in ([], [1])


@pytest.mark.slow
def test_sensors_that_go_on_together_are_left_alone() -> None:
    """Of what moves together, or in opposite directions, nothing is said."""
    assert broken(run(plant(4, alone=None), [])[0]) == []


@pytest.mark.slow
def test_levels_that_wander_alone_are_no_pair() -> None:
    """Levels that seem to move together for a while, by chance, are not held for a pair."""
    chance = np.random.default_rng(9)
    count, rows = 12_000, 12
    value = 50 + np.stack([wander(chance, count) for _ in range(rows)], axis=1)
    value += np.cumsum(chance.normal(size=value.shape) * 0.02, axis=0)
    rules = Rules.empty(rows)
    rules.asset[:] = np.arange(rows) // 6
    rules.changed()
    ts = (BEGIN_S + np.repeat(np.arange(count), rows)) * 1_000_000
    some = readings(np.tile(np.arange(rows, dtype=np.int32), count), ts, value.ravel())
    fresh, kind = np.ones(len(some), np.bool_), np.zeros(rows, np.int8)
    events = Panel([Learned()]).advance(some, fresh, rules, kind, BEGIN_S + count)
    assert len(broken(events)) <= 1


@pytest.mark.slow
def test_any_cut_gives_the_same_bits() -> None:
    """Cut at chance, within seconds too, and through bytes: the same findings and state."""
    day = plant(5)
    whole = run(day, [])
    assert broken(whole[0])
    for seed in range(2):
        chance = np.random.default_rng(seed)
        cuts = np.sort(chance.integers(0, len(day), int(chance.integers(1, 60)))).tolist()
        assert run(day, cuts, reload=seed % 2 == 0) == whole


@pytest.mark.slow
def test_an_operator_s_word_ends_it() -> None:
    """Accepted as normal: the finding ends, and the pair is learned afresh."""
    day = plant(6, length=LENGTH + 400)
    cut = (FAULT + 500) * ROWS
    panel = Panel([Learned()])
    one, two = day.part(0, cut), day.part(cut, len(day))
    found = panel.advance(one.readings, one.fresh, day.rules, day.kind, BEGIN_S + FAULT + 499)
    start = broken(found)[0]
    day.rules.set(start.row, accepted_us=(BEGIN_S + FAULT + 500) * 1e6)
    rest = panel.advance(two.readings, two.fresh, day.rules, day.kind, day.end_s)
    (end,) = broken(rest)
    assert (end.row, end.phase, end.reason) == (
        start.row,
        "end",
        "accepted as normal by an operator",
    )


@pytest.mark.slow
@pytest.mark.parametrize("gone", [(0, 1, 2, 3), (1,)])
def test_what_is_no_asset_any_more_is_not_judged_as_one(gone: tuple[int, ...]) -> None:
    """An asset that is split, or a sensor that leaves it: what was found ends, nothing begins."""
    day = plant(6, length=LENGTH + 400)
    cut = (FAULT + 500) * ROWS
    panel = Panel([Learned()])
    one, two = day.part(0, cut), day.part(cut, len(day))
    found = panel.advance(one.readings, one.fresh, day.rules, day.kind, BEGIN_S + FAULT + 499)
    start = broken(found)[0]
    assert start.row == 1
    day.rules.asset[list(gone)] = NONE
    day.rules.changed()
    rest = panel.advance(two.readings, two.fresh, day.rules, day.kind, day.end_s)
    (end,) = broken(rest)
    assert (end.row, end.phase, end.reason) == (1, "end", NO_ASSET)
    assert (FAULT + 490) < end.at / 1e6 - BEGIN_S <= (FAULT + 500)


def test_a_pair_that_is_none_any_more_is_not_broken() -> None:
    """Of four sensors one leaves: what its place in the order made a pair is forgotten."""
    memory = Panel([Learned()])
    memory.grow(4)
    columns = memory._cells.columns("broken_correlation")
    columns["seen_s"][:] = columns["before_s"][:] = BEGIN_S  # nothing new to compare
    columns["partner"][1, 0], columns["broken"][1, 0] = 102.0, 5.0
    series = np.arange(100, 104, dtype=np.int32)
    for asset, stays in (((0, 0, 0, 0), True), ((0, NONE, 0, 0), False)):
        partners = Partners.of(Members(np.array(asset, np.int32), series))
        assert _compare(columns, partners, np.array([0]))[0] == stays
    assert columns["partner"][1, 0] == 0.0


def test_every_pair_of_a_small_asset_is_looked_at_once() -> None:
    """Of up to nine sensors each pair has one place; of more each has four."""
    for size in (1, 2, 3, 4, 7, 9):
        series = np.arange(size, dtype=np.int32)[::-1].copy()
        partners = Partners.of(Members(np.zeros(size, np.int32), series))
        pairs = [
            frozenset((row, int(other)))
            for slot in range(PARTNERS)
            for row, other in enumerate(partners.row[slot].tolist())
            if other != NONE
        ]
        assert len(pairs) == len(set(pairs)) == size * (size - 1) // 2
    many = Partners.of(Members(np.zeros(30, np.int32), np.arange(30, dtype=np.int32)))
    assert (many.row != NONE).all()
