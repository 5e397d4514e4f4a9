"""The bench's scorers, on detections whose worth follows from the published definitions."""

import sys
from math import exp
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))

from detection import blind, nab_score, onset
from detection.sets import Recording


def recording(count: int, *spans: tuple[int, int]) -> Recording:
    """A file of one sensor at 1 Hz."""
    return Recording("a/b", "a", np.arange(count) * 1.0, np.zeros((count, 1)), ("x",), list(spans))


def worth(file: Recording, rows: list[int], fp_weight: float = 0.11) -> float:
    """The normalised score of detections at these rows."""
    score = np.zeros(len(file))
    score[rows] = 1.0
    return nab_score.at(nab_score.sweep([file], [score], fp_weight), 1.0)


def test_nab_a_perfect_detector_has_100_and_a_silent_one_nothing() -> None:
    """The first row of every window and no other, against none at all."""
    file = recording(4000, (1000, 1200), (3000, 3200))
    assert worth(file, [1000, 3000]) == pytest.approx(100)
    assert worth(file, []) == 0
    assert worth(file, [1000]) == pytest.approx(50)


def test_nab_a_late_detection_is_worth_less_by_the_sigmoid() -> None:
    """In the middle of a window, against its begin; only the best one of a window counts."""
    file = recording(4000, (1000, 1200))
    middle = (2 / (1 + exp(-2.5)) - 1) / (2 / (1 + exp(-5)) - 1)
    assert worth(file, [1100]) == pytest.approx(100 * (middle + 1) / 2)
    assert worth(file, [1000, 1100, 1150]) == pytest.approx(100)


def test_nab_false_alarms_cost_by_how_far_they_are() -> None:
    """All before any window, less just after one, none in the probationary period."""
    file = recording(4000, (1000, 1200))
    assert worth(file, [800, 1000]) == pytest.approx(100 - 100 * 0.11 / 2)
    assert worth(file, [800, 1000], 0.22) == pytest.approx(100 - 100 * 0.22 / 2)
    assert worth(file, [500, 1000]) == pytest.approx(100)
    assert worth(file, [1000, 1201]) > worth(file, [1000, 1400]) > worth(file, [1000, 3000])


def test_onsets_in_time_late_early_and_false() -> None:
    """Each in its place; findings of an asset within a minute are one onset."""
    file = recording(3600, (1000, 1500))
    assert onset.onsets([file], [[1030]], 60).as_dict()["caught"] == 1
    late = onset.onsets([file], [[1100]], 60)
    assert (late.caught, late.false) == (0, 0)
    assert onset.onsets([file], [[970]], 60).false == 1
    assert onset.onsets([file], [[970]], 60, early_s=60).false == 0
    assert onset.onsets([file], [[100, 120, 150, 400]], 60).false == 2
    assert onset.onsets([file], [[]], 60).hours == pytest.approx(1)


def test_skab_official_figures() -> None:
    """Half of the event held and as many rows outside: F1, false and missing rows by definition."""
    file = recording(1000, (500, 700))
    held = np.zeros(1000, np.bool_)
    held[600:800] = True
    got = onset.outlier([file, recording(50)], [held, np.ones(50, np.bool_)])
    assert got == {"f1": 0.5, "far_percent": 12.5, "mar_percent": 50.0}


def test_baselines_are_blind() -> None:
    """They depend on lengths, a number and a seed alone."""
    files = [recording(1000), recording(300)]
    assert blind.every(files, 400) == [[400, 800], []]
    assert blind.chance(files, 20, 1) == blind.chance(files, 20, 1)
    assert sum(map(len, blind.chance(files, 20, 1))) <= 20
