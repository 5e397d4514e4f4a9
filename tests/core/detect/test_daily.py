"""The profile of the day: by hour, and by the equipment's state where one is named."""

import numpy as np
import pytest
from made_day import BEGIN_S, readings

from floorlog.core.detect.daily import STATES, Daily, _slot
from floorlog.core.detect.learned import Learned
from floorlog.core.detect.panel import Panel
from floorlog.core.reading import Anomaly
from floorlog.core.rules import Rules

STEP_S = 60
DAYS = 16
COUNT = DAYS * 86_400 // STEP_S
FAULT = COUNT - 120
CODES = np.array([57.0, 9.0, 31.0])  # of the states' names among all of a plant


def plant(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A machine's state, that changes every few hours by chance, and what it draws: 10, 40, 70."""
    chance = np.random.default_rng(seed)
    state = np.repeat(chance.integers(0, 3, COUNT // 97 + 1), 97)[:COUNT].astype(np.float64)
    state[FAULT - 200 :] = 1.0
    value = 10 + 30 * state + chance.normal(size=COUNT)
    value[FAULT:] += 30  # as it would be in the other state
    return state, value


def judge(state: np.ndarray, value: np.ndarray, *, named: bool, per_batch: int) -> list[Anomaly]:
    """What the profile alone finds, its series following the state or not."""
    rules, kind = Rules.empty(2), np.array([0, 1], np.int8)
    if named:
        rules.set(0, mode_row=1)
    panel, found = Panel([Learned(views=[Daily()])]), []
    for first in range(0, COUNT, per_batch):
        part = slice(first, min(first + per_batch, COUNT))
        count = part.stop - part.start
        at_s = np.repeat(BEGIN_S + np.arange(part.start, part.stop) * STEP_S, 2)
        at_s[::2] -= STEP_S // 2  # a state is in force for what comes in later seconds
        codes = CODES[state[part].astype(np.intp)]
        both = np.stack([codes, value[part]], axis=1).ravel()
        some = readings(np.tile(np.array([1, 0], np.int32), count), at_s * 1_000_000, both)
        fresh = np.ones(len(some), np.bool_)
        found += panel.advance(some, fresh, rules, kind, int(some.arrival_s[-1]))
    return [event for event in found if event.detector == "daily"]


@pytest.mark.slow
def test_what_is_usual_in_another_state_is_found() -> None:
    """A level of another state is unusual in this one; without a named state it is not."""
    state, value = plant(1)
    named = [e for e in judge(state, value, named=True, per_batch=1000) if e.phase == "start"]
    fault_s = BEGIN_S + FAULT * STEP_S
    assert [0 <= event.at / 1e6 - fault_s < 20 * STEP_S for event in named] == [True]
    assert "not usual at this hour" in named[0].reason
    assert abs(named[0].expected - 40) < 3
    blind = [e for e in judge(state, value, named=False, per_batch=1000) if e.phase == "start"]
    assert [event for event in blind if event.at / 1e6 >= fault_s] == []


@pytest.mark.slow
def test_states_and_batches_give_the_same_bits() -> None:
    """Cut otherwise: the same findings."""
    state, value = plant(2)
    one = judge(state, value, named=True, per_batch=1000)
    assert one == judge(state, value, named=True, per_batch=333)
    assert one


def test_the_first_states_of_each_series_have_a_place_each() -> None:
    """Whatever their codes; later ones share the last place, and what is not known takes none."""
    known = np.zeros((STATES - 1, 2))
    slots = [
        _slot(np.array(codes), known).tolist()
        for codes in ((9.0, -1.0), (0.0, 40.0), (41.0, 9.0), (77.0, 40.0), (9.0, 0.0), (-1.0, 78.0))
    ]
    assert slots == [[0, 0], [1, 0], [2, 1], [3, 0], [0, 2], [0, 3]]
