"""Unit error: values that would be as usual if they were in another unit."""

from typing import NamedTuple

import numpy as np

from floorlog.core.detect.detector import (
    SCORE_MAX,
    VALUE_MAX,
    Detector,
    Finding,
    Flags,
    Floats,
    Memory,
    Sample,
    Verdict,
    number,
)
from floorlog.core.detect.rounds import Places
from floorlog.core.rules import Rules
from floorlog.core.unit import ucum

UNKNOWN, CELSIUS, FAHRENHEIT, KELVIN, BAR, KPA, PSI, OTHER = range(8)
_QUANTITIES = {
    "Cel": CELSIUS, "[degF]": FAHRENHEIT, "K": KELVIN, "bar": BAR, "kPa": KPA, "[psi]": PSI,
}  # fmt: skip
PSI_OF_BAR = 14.503773773
CHANGES_MIN = 60.0
"""Changes to learn from before a series is judged."""
FAR = 6.0
"""A value this many spreads away from the level is far."""
NEAR = 5.0
"""As another unit it must be as near as this many spreads."""
MEAN_READINGS = 8.0
"""And the mean of so many readings as near as chance allows: closer by the root of their count."""
SPREADS_MIN = 10.0
"""Levels of fewer spreads are not judged: near zero every factor fits."""
READINGS_MIN = 3.0
"""Readings in a row before it is said."""
RELEARN = 1000.0
"""So many far readings in a row are the new normal."""
GAIN = 1.0 / 64.0


class Mistake(NamedTuple):
    """One way to be wrong: expected = factor · value + offset."""

    words: str
    factor: float
    offset: float
    expects: tuple[int, ...]  # quantities of the series that it can happen to; () = any


MISTAKES = (
    Mistake("ten times too large", 0.1, 0.0, ()),
    Mistake("a thousand times too large", 0.001, 0.0, ()),
    Mistake("ten times too small", 10.0, 0.0, ()),
    Mistake("a thousand times too small", 1000.0, 0.0, ()),
    Mistake("in °F instead of °C", 1 / 1.8, -32 / 1.8, (CELSIUS,)),
    Mistake("in °C instead of °F", 1.8, 32.0, (FAHRENHEIT,)),
    Mistake("in K instead of °C", 1.0, -273.15, (CELSIUS,)),
    Mistake("in °C instead of K", 1.0, 273.15, (KELVIN,)),
    Mistake("in kPa instead of bar", 0.01, 0.0, (BAR,)),
    Mistake("in bar instead of kPa", 100.0, 0.0, (KPA,)),
    Mistake("in psi instead of bar", 1 / PSI_OF_BAR, 0.0, (BAR,)),
    Mistake("in bar instead of psi", PSI_OF_BAR, 0.0, (PSI,)),
    Mistake("in kPa instead of psi", PSI_OF_BAR / 100, 0.0, (PSI,)),
    Mistake("in psi instead of kPa", 100 / PSI_OF_BAR, 0.0, (KPA,)),
)
_FACTORS = np.array([mistake.factor for mistake in MISTAKES])[:, None]
_OFFSETS = np.array([mistake.offset for mistake in MISTAKES])[:, None]
_POSSIBLE = np.array(
    [[not m.expects or quantity in m.expects for quantity in range(8)] for m in MISTAKES]
)


def quantity_of(unit: str | None) -> int:
    """The number of what a unit measures, as far as mistakes are known of it."""
    return UNKNOWN if unit is None else _QUANTITIES.get(ucum(unit), OTHER)


class UnitError(Detector):
    """Values that jump to where the usual ones would lie in another unit.

    Learns level and spread (mean absolute deviation) of the values that are not far, by
    exponentially weighted means. When values jump away and each of 3 in a row, read as ten or a
    thousand times too large or too small, as °F for °C, or as kPa or psi for bar (and the ways
    back), is where it always was, that is named. Other units are tried only where the series' own
    is known, by the catalogue or its readings: a machine at 20 when off and at 68 when on is none
    of it. Score: how far the values are away, in spreads. After 1000 readings the new level is
    taken as normal. Source: unit checks of data-quality rules, as in ISO 8000-61, made relative to
    the series' own past.
    """

    name = "unit_error"
    suppressible = False
    learned = True
    memory = {  # noqa: RUF012 - declared ClassVar by Detector
        "changes": "f8",
        "level": "f8",
        "spread": "f8",
        "away": "f8",  # far readings in a row
        "mistake": "f8",  # number, from 1, of what they may be; 0 = nothing
        "back": "f8",  # their mean, put right
        "begun": "i8",
    }

    def prepare(self, rules: Rules) -> Rules:
        """The rules: which unit a series is in."""
        return rules

    def judge(self, sample: Sample, memory: Memory, asked: Rules) -> Verdict:
        """Look at what is far from the level; learn from what is not."""
        level, spread, away = memory["level"], memory["spread"], memory["away"]
        offset = sample.value - level
        size = np.abs(offset)
        floor = np.maximum(np.maximum(spread, np.abs(level) * 1e-6), 1e-290)
        known = (memory["changes"] >= CHANGES_MIN) & (np.abs(level) > floor * SPREADS_MIN)
        far = known & (size > floor * FAR)
        if far.any() or away.any():
            _look(sample, memory, asked, far, floor)
        on = far & (memory["mistake"] > 0) & (away >= READINGS_MIN)
        expected = np.where(
            far, np.minimum(np.maximum(memory["back"], -VALUE_MAX), VALUE_MAX), level
        )
        stay = far & (memory["mistake"] > 0)
        since = np.where(stay, memory["begun"], sample.ts)
        verdict = Verdict(on, np.minimum(size / floor, SCORE_MAX), expected, stay=stay, since=since)
        _learn(sample, memory, offset, size, far)
        return verdict

    def reason(self, finding: Finding) -> str:
        """How the values seem to be wrong."""
        if finding.phase == "end":
            return f"as usual again, at {number(finding.value)}"
        return (
            f"{number(finding.value)} is where about {number(finding.expected)} would be "
            f"{_closest(finding.value, finding.expected)}: a unit error?"
        )


def _look(sample: Sample, memory: Memory, asked: Rules, far: Flags, floor: Floats) -> None:
    """Follow what is far: with which mistake it began, and whether it is one still."""
    away, mistake, back = memory["away"], memory["mistake"], memory["back"]
    at = np.flatnonzero(far)
    best, right = _best(sample, memory, asked, at, floor)
    first = away[at] == 0
    before = mistake[at]
    said = np.where(first, best, np.where(best == before, before, 0.0))
    count = away[at] + 1.0
    mean = np.where(first, right, back[at] + (right - back[at]) / count)
    allowed = floor[at] * (NEAR / np.sqrt(count)) + _slack(memory, at)
    near = np.abs(mean - memory["level"][at]) <= allowed
    said = np.where(near | (count > MEAN_READINGS), said, 0.0)
    begun = np.where(first, sample.ts[at], memory["begun"][at])
    away[~far], mistake[~far], back[~far] = 0.0, 0.0, 0.0
    memory["begun"][at] = begun
    away[at], mistake[at], back[at] = count, said, mean


def _best(
    sample: Sample, memory: Memory, asked: Rules, at: Places, floor: Floats
) -> tuple[Floats, Floats]:
    """The mistake, from 1, that puts each of these values nearest, 0 for none; and where to."""
    right = _FACTORS * sample.value[at] + _OFFSETS
    right = np.minimum(np.maximum(right, -VALUE_MAX), VALUE_MAX)
    distance = np.abs(right - memory["level"][at])
    distance[~_POSSIBLE[:, asked.quantity[sample.row[at]]]] = np.inf
    best = np.argmin(distance, axis=0)
    column = np.arange(len(at))
    near = distance[best, column] <= floor[at] * NEAR + _slack(memory, at)
    return np.where(near, best + 1.0, 0.0), right[best, column]


def _slack(memory: Memory, at: Places) -> Floats:
    """Half a hundredth of the level: a conversion is rounded."""
    slack: Floats = np.abs(memory["level"][at]) * 0.005
    return slack


def _learn(sample: Sample, memory: Memory, offset: Floats, size: Floats, far: Flags) -> None:
    """Level and spread from what is not far; all anew when the far has become normal."""
    changes, away = memory["changes"], memory["away"]
    anew = away >= RELEARN
    for name in ("changes", "level", "spread", "away", "mistake", "back"):
        memory[name][anew] = 0.0
    gain = np.maximum(GAIN, 1.0 / (changes + 1.0))
    begun = changes > 0
    # Until the level is known a value counts as it is; then at most four spreads.
    bound = np.where(changes > 16, memory["spread"] * 4.0, np.inf)
    learning = ~far & ~anew & ((sample.change > 0) | (changes == 0))
    step = np.minimum(np.maximum(offset, -bound), bound) * gain
    np.copyto(
        memory["level"], np.where(begun, memory["level"] + step, sample.value), where=learning
    )
    held = np.where(begun, np.minimum(size, bound), 0.0)
    spread = memory["spread"] + (held - memory["spread"]) * gain
    np.copyto(memory["spread"], spread, where=learning)
    np.add(changes, 1.0, out=changes, where=learning)


def _closest(value: float, expected: float) -> str:
    """The words of the mistake that leads from the one to the other."""
    distances = [abs(m.factor * value + m.offset - expected) for m in MISTAKES]
    return MISTAKES[distances.index(min(distances))].words
