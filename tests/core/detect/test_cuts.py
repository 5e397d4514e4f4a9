"""State and anomalies are a function of the readings, not of how they were cut into batches."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_day import ROWS, Day, digest, made_day, run
from numpy._core._multiarray_umath import (
    __cpu_dispatch__,
    __cpu_features__,
)

from floorlog.core.detect import DETECTORS, SILENCE, VIEWS
from floorlog.core.reading import Anomaly

MADE_DAY = Path(__file__).parent / "made_day.py"


@pytest.fixture(scope="module")
def day() -> Day:
    """The day that made_day.py digests when run."""
    return made_day(7)


@pytest.fixture(scope="module")
def whole(day: Day) -> tuple[list[Anomaly], list[bytes]]:
    """The day judged as one batch."""
    return run(day, None)


def test_the_day_has_everything(day: Day, whole: tuple[list[Anomaly], list[bytes]]) -> None:
    """All detectors find and end something; late, bad, lapsed and historic things occur."""
    events = {(event.detector, event.phase) for event in whole[0]}
    plain = {SILENCE.name, *(d.name for d in DETECTORS if not d.parts)}
    assert events >= {(name, phase) for name in plain for phase in ("start", "end")}
    views = {(view.name, phase) for view in VIEWS for phase in ("start", "end")}
    assert len(events & views) >= 2
    assert any("not known" in event.reason for event in whole[0])
    assert any("pause" in event.reason for event in whole[0])
    assert (~day.fresh).sum() > 50
    assert (day.readings.quality != 0).sum() > 10
    assert len(whole[1]) == ROWS


def check(day: Day, whole: tuple[list[Anomaly], list[bytes]], seeds: range) -> None:
    expected = digest(*whole)
    for seed in seeds:
        got = digest(*run(day, np.random.default_rng(seed)))
        assert got == expected, f"cut {seed} differs"


def test_random_cuts_give_the_same_bits(day: Day, whole: tuple[list[Anomaly], list[bytes]]) -> None:
    """2 cuttings of a day, with ticks, reloads, undone batches and sorted ones: one digest."""
    check(day, whole, range(2))


@pytest.mark.slow
@pytest.mark.parametrize("first", [2, 52, 102, 152])
def test_many_random_cuts_give_the_same_bits(day: Day, first: int) -> None:
    """Another 200 cuttings, of the first third of the day, give one digest."""
    part = day.part(0, len(day) // 3)
    part.end_s = int(part.readings.arrival_s[-1]) + 20_000
    check(part, run(part, None), range(first, first + 50))


def test_a_change_of_one_bit_is_noticed(day: Day, whole: tuple[list[Anomaly], list[bytes]]) -> None:
    """The digest is not blind: one value changed in its last bit gives another."""
    other = made_day(7)
    usable = other.fresh & (other.readings.quality == 0)
    place = int(np.flatnonzero((other.readings.row == 0) & usable)[-1])
    other.readings.value[place] = np.nextafter(other.readings.value[place], np.inf)
    assert digest(*run(other, None)) != digest(*whole)


def disabled() -> list[str]:
    """What NumPy uses of this processor beyond its minimum: AVX-512 first, else the rest."""
    used = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    wide = [name for name in used if name.startswith("AVX512") or name == "X86_V4"]
    return wide or used


def test_other_vector_units_give_the_same_bits(
    whole: tuple[list[Anomaly], list[bytes]],
) -> None:
    """With AVX-512 off (or what this machine has instead) the day has the same digest."""
    features = disabled()
    print("switched off:", " ".join(features) or "nothing: this processor has only the minimum")
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(features)}
    done = subprocess.run(
        [sys.executable, str(MADE_DAY)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest(*whole)


def test_vector_units_were_really_switched_off() -> None:
    """The other process has the features off that this one names."""
    features = disabled()
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(features)}
    code = (
        "from numpy._core._multiarray_umath import __cpu_features__ as f; "
        f"print(any(f[name] for name in {features}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
