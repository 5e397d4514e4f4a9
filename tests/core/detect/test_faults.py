"""Injected faults, as bench/detection/faults.py makes them by seed: a part of its 1,200."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))

from detection import faults
from detection.fault_score import Injected, Score, score
from detection.rule_faults import RULES, judge_rules

from floorlog.core.reading import Anomaly

SEED = 4
QUICK = ("Hi on-delay", "deviation, followed", "sequence gap")


@pytest.mark.parametrize(
    "kind",
    [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in RULES],
)
def test_every_fault_of_a_rule_is_found_exactly(kind: str) -> None:
    """One finding, with the very start, moment and end that the rule's definition gives."""
    total = Score()
    judge_rules(total, kind, 25, SEED)
    assert total.exact[kind] == [True] * 25


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stuck", "stuck_quantised", "dropout", "unit_error"])
def test_faults_that_name_themselves_are_caught_and_named(kind: str) -> None:
    """95 in 100 are caught, 90 rightly named; nothing of their detectors is found before them."""
    total = Score()
    series = [faults.make(kind, n, SEED) for n in range(20)]
    for each, events in zip(series, faults.judge(series), strict=True):
        assert each.fault is not None
        score(total, each.fault, events, faults.BEGIN_S, quiet_s=each.fault.begin)
    (tally,) = total.tally(lambda fault: fault.kind).values()
    assert tally.caught >= 19
    assert tally.named >= 18
    assert not set(total.false) & {"stuck", "silence", "unit_error"}


def test_the_seed_alone_says_which_faults() -> None:
    """The same call makes the same series and faults; another seed makes others."""
    one, two, other = (faults.make("shift", 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.value, two.value)
    assert one.fault == two.fault
    assert one.fault != other.fault
    for kind in faults.LEARNED:
        made = faults.make(kind, 0, 1).fault
        assert made is not None
        assert faults.QUIET_S <= made.begin < made.end <= faults.LENGTH


def test_the_scorer_counts_what_it_says() -> None:
    """In time and rightly named, in time and wrongly named, late, early: each in its place."""

    def start(second: float, detector: str) -> Anomaly:
        us = int((100 + second) * 1e6)
        return Anomaly(0, detector, "start", us, us, 1, 1.0, 1.0, 1.0, "why it is so")

    total = Score()
    fault = Injected("shift", "white", 3600, 4200, 4.0)
    for events in (
        [start(3700, "shift")],
        [start(3700, "novelty"), start(3800, "shift")],
        [start(3700, "novelty")],
        [start(4200, "shift")],
        [start(10, "stuck"), start(3599, "shift")],
    ):
        score(total, fault, events, 100, quiet_s=3600)
    score(total, None, [start(5, "shift")], 100, quiet_s=7200)
    found = total.as_object()
    assert (found["caught"], found["named"]) == (0.6, 0.4)
    assert found["by_kind"]["shift"]["named_first"] == 0.2
    assert found["by_kind"]["shift"]["median_delay_s"] == 100
    assert found["false"] == {"shift": 2, "stuck": 1}
    assert found["quiet_sensor_hours"] == 7.0
    assert "caught 0.6, named 0.4" in total.as_text()
