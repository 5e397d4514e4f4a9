"""Faults of rules: each under a catalogue's rule, and what the rule's definition makes of it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detection.fault_score import Score
from floorlog.core.detect.panel import Panel
from floorlog.core.reading import Anomaly, Readings
from floorlog.core.rules import Rules

Floats = NDArray[np.float64]
Made = tuple[Floats, int, int, int]  # values, and the seconds of start, of being told, and of end
BEGIN_S = 1_700_000_000
LENGTH = 600
OFF_S = 5.0
ON_S = 3


@dataclass(frozen=True)
class Kind:
    """One kind: which detector, the rule of its series, and how a fault is made."""

    detector: str
    rule: dict[str, float]
    make: Callable[[np.random.Generator], Made]
    states: frozenset[int] = frozenset()  # those that are abnormal
    setpoint: bool = False  # the series beside it holds the set-point


def _beyond(low: float, high: float, on_s: int = 0) -> Callable[[np.random.Generator], Made]:
    """A value in low … high for 10 to 60 s, in a series that is within 40 … 60 else."""

    def make(chance: np.random.Generator) -> Made:
        value = chance.uniform(40, 60, LENGTH)
        begin = int(chance.integers(100, 400))
        end = begin + int(chance.integers(10, 60))
        value[begin:end] = chance.uniform(low, high, end - begin)
        return value, begin, begin + on_s, end + int(OFF_S)

    return make


def _rate(chance: np.random.Generator) -> Made:
    """A step faster than 3 a second, in a series that moves by less than 2."""
    value = np.cumsum(chance.uniform(-2, 2, LENGTH))
    begin = int(chance.integers(100, 400))
    value[begin:] += (value[begin] - value[begin - 1] >= 0 or -1) * float(chance.uniform(3.1, 50))
    return value, begin, begin, begin + 1 + int(OFF_S)


def _off_normal(chance: np.random.Generator) -> Made:
    """States 1 to 3, and 7 or 8 for 10 to 60 s."""
    value = chance.integers(1, 4, LENGTH).astype(np.float64)
    begin = int(chance.integers(100, 400))
    end = begin + int(chance.integers(10, 60))
    value[begin:end] = chance.integers(7, 9, end - begin)
    return value, begin, begin, end


def _gap(chance: np.random.Generator) -> Made:
    """A counter that skips 1 to 500 numbers."""
    value = np.arange(LENGTH, dtype=np.float64) + chance.integers(0, 1_000_000)
    begin = int(chance.integers(100, 400))
    value[begin:] += chance.integers(1, 501)
    return value, begin, begin, begin + 1 + int(OFF_S)


def _flat(chance: np.random.Generator) -> Made:
    """The same value for 31 to 90 s, where 30 are allowed."""
    value = chance.uniform(40, 60, LENGTH)
    begin = int(chance.integers(100, 400))
    end = begin + int(chance.integers(32, 91))
    value[begin:end] = value[begin]
    return value, begin, begin + 31, end


BAND = {"dead_band": 2.0, "off_delay_s": OFF_S}
NEAR = {
    "deviation_lo": -15.0, "deviation_hi": 15.0, "deviation_dead_band": 2.0,
    "deviation_off_delay_s": OFF_S,
}  # fmt: skip
RULES: dict[str, Kind] = {
    "Hi": Kind("limit", {"hi": 70.0, **BAND}, _beyond(70.001, 99)),
    "Lo": Kind("limit", {"lo": 30.0, **BAND}, _beyond(1, 29.999)),
    "HiHi": Kind("critical_limit", {"hi": 70.0, "hihi": 100.0, **BAND}, _beyond(100.001, 150)),
    "LoLo": Kind("critical_limit", {"lo": 30.0, "lolo": 0.0, **BAND}, _beyond(-50, -0.001)),
    "Hi on-delay": Kind(
        "limit", {"hi": 70.0, "on_delay_s": ON_S, **BAND}, _beyond(70.001, 99, on_s=ON_S)
    ),
    "out of range": Kind(
        "out_of_range", {"range_lo": 0.0, "range_hi": 100.0, **BAND}, _beyond(100.001, 500)
    ),
    "rate of change": Kind("rate", {"rate_per_s": 3.0, "off_delay_s": OFF_S}, _rate),
    "deviation, fixed": Kind("deviation", {"setpoint": 50.0, **NEAR}, _beyond(65.001, 99)),
    "deviation, followed": Kind("deviation", NEAR, _beyond(65.001, 99), setpoint=True),
    "off-normal": Kind("off_normal", {}, _off_normal, frozenset({7, 8})),
    "sequence gap": Kind("sequence_gap", {"counter_step": 1.0, "off_delay_s": OFF_S}, _gap),
    "flat line": Kind("flat_line", {"stuck_s": 30.0}, _flat),
}


def judge_rules(total: Score, name: str, count: int, seed: int) -> None:
    """Make `count` faults of a kind, each in a series of its own, and note which are found exactly.

    Exactly: one finding of the kind's detector, with the start, the moment at which it is told and
    the end that the rule's definition gives.
    """
    kind = RULES[name]
    number = list(RULES).index(name)
    made = [kind.make(np.random.default_rng([seed, 1000 + number, n])) for n in range(count)]
    events = _judge(kind, np.stack([value for value, *_ in made], axis=1))
    for row, (_, start, told, end) in enumerate(made):
        mine = [
            (e.phase, e.start // 1_000_000 - BEGIN_S, e.at // 1_000_000 - BEGIN_S)
            for e in events
            if e.row == row and e.detector == kind.detector
        ]
        total.exact[name].append(mine == [("start", start, told), ("end", start, end)])


def _judge(kind: Kind, value: Floats) -> list[Anomaly]:
    """All series of a kind at once, live; where one follows a set-point, it is the last row's."""
    count = value.shape[1]
    rules = Rules.empty(count + 1)
    for row in range(count):
        rules.set(row, abnormal=kind.states, **kind.rule)
        if kind.setpoint:
            rules.set(row, setpoint_row=count)
    value = np.column_stack([value, np.full(LENGTH, 50.0)])
    kinds = np.full(count + 1, 1 if kind.states else 0, np.int8)
    panel = Panel()
    found: list[Anomaly] = []
    for first in range(0, LENGTH, 50):
        part = value[first : first + 50]
        seconds = np.repeat(BEGIN_S + first + np.arange(len(part)), count + 1)
        row = np.tile(np.arange(count + 1, dtype=np.int32), len(part))
        nought = np.zeros(len(row), np.int32)
        some = Readings(
            row, seconds * 1_000_000, part.ravel(), np.zeros(len(row), np.uint32), seconds, nought,
            nought,
        )  # fmt: skip
        fresh = np.ones(len(row), np.bool_)
        found += panel.advance(some, fresh, rules, kinds, int(seconds[-1]))
    return found
