"""Injected faults: 1,000 and more, sizes and places by seed, on made series not used for tuning.

Run it: `.venv/bin/python bench/detection/faults.py [--seed N] [--faults N] [--json]`. Every number
comes from the seed: the same call injects the same faults on every machine.

A learned fault lies in a series of its own, four hours at 1 Hz, two and a half of them before it,
in the noise of one of STYLES; σ is the standard deviation of that noise. What begins before the
fault, or in a series without one, is false. A fault of a rule lies in ten minutes under a
catalogue's rule, and is found exactly when its finding has the very start and end that the rule's
definition gives.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from detection.fault_score import Injected, Score, score
from detection.rule_faults import RULES, judge_rules
from floorlog.core.detect.panel import Panel
from floorlog.core.detect.unit_error import BAR, CELSIUS, FAHRENHEIT, KPA, PSI, UNKNOWN
from floorlog.core.reading import Anomaly, Readings
from floorlog.core.rules import Rules

Floats = NDArray[np.float64]
BEGIN_S = 1_700_000_000
HOURS = 4
LENGTH = HOURS * 3600
QUIET_S = 9000
"""Before a fault: what a detector has to learn a series from."""
SIDE_BY_SIDE = 120
BATCH_S = 300
STYLES = ("white", "correlated", "cycle", "quantised", "wander")
LEARNED = ("shift", "drift", "stuck", "stuck_quantised", "spike", "dropout", "unit_error")
SEED = 20_261


@dataclass(frozen=True)
class Series:
    """A made series: values at 1 Hz, what is missing of it, and what was done to it."""

    value: Floats
    missing: NDArray[np.bool_]
    fault: Injected | None


def base(style: str, chance: np.random.Generator) -> tuple[Floats, float]:
    """Values of an ordinary sensor, and the standard deviation of its noise."""
    sigma = float(10 ** chance.uniform(-2, 1))
    level = sigma * float(chance.uniform(60, 300))
    noise = chance.normal(size=LENGTH)
    seconds = np.arange(LENGTH)
    if style == "correlated":
        noise = _filtered(noise, 0.5)
    elif style == "cycle":
        period_s = chance.uniform(3600, 7200)
        noise = noise + 3 * np.sin(2 * np.pi * (seconds / period_s + chance.random()))
    elif style == "wander":
        slow = _filtered(chance.normal(size=LENGTH), float(np.exp(-1 / 900)))
        noise = noise + 0.5 * slow
    elif style == "quantised":
        noise = np.round(noise * 2) / 2
    elif style == "coarse":  # keeps its value for several readings
        noise = np.round(_filtered(noise, 0.98) * 2) / 2
    return level + sigma * noise, sigma


def _filtered(noise: Floats, keep: float) -> Floats:
    """A first-order autoregression of unit variance."""
    out = np.empty_like(noise)
    last, gain = noise[0], np.sqrt(1 - keep * keep)
    for place, step in enumerate((noise * gain).tolist()):
        last = out[place] = keep * last + step
    return out


def make(kind: str, number: int, seed: int) -> Series:
    """The `number`-th series of a kind; "clean" has no fault."""
    kinds = ("clean", *LEARNED)
    chance = np.random.default_rng([seed, kinds.index(kind), number])
    style = "coarse" if kind == "stuck_quantised" else STYLES[number % len(STYLES)]
    value, sigma = base(style, chance)
    missing = np.zeros(LENGTH, np.bool_)
    if kind == "clean":
        return Series(value, missing, None)
    begin = QUIET_S + int(chance.integers(0, 900))
    end, size = INJECT[kind](value, missing, begin, sigma, chance)
    return Series(value, missing, Injected(kind, style, begin, end, size))


MISTAKES: tuple[tuple[int, float, float], ...] = (
    (UNKNOWN, 10, 0),
    (UNKNOWN, 0.1, 0),
    (UNKNOWN, 1000, 0),
    (UNKNOWN, 0.001, 0),
    (CELSIUS, 1.8, 32),
    (FAHRENHEIT, 1 / 1.8, -32 / 1.8),
    (BAR, 100, 0),
    (BAR, 14.5037738, 0),
    (PSI, 0.0689475729, 0),
    (KPA, 0.145037738, 0),
)
"""What the series measures, and factor and offset that a value is wrong by."""
Inject = Callable[[Floats, NDArray[np.bool_], int, float, np.random.Generator], tuple[int, float]]


def _shift(
    value: Floats, missing: NDArray[np.bool_], begin: int, sigma: float, chance: np.random.Generator
) -> tuple[int, float]:
    """The level moves by 3 to 6 σ, either way, for ten minutes."""
    del missing
    size = float(chance.uniform(3, 6))
    value[begin : begin + 600] += size * sigma * chance.choice([-1, 1])
    return begin + 600, size


def _drift(
    value: Floats, missing: NDArray[np.bool_], begin: int, sigma: float, chance: np.random.Generator
) -> tuple[int, float]:
    """The level moves on by 0.1 to 0.5 σ a minute for an hour."""
    del missing
    size = float(chance.uniform(0.1, 0.5))
    ramp = np.arange(1, 3601) / 60 * size * sigma
    value[begin : begin + 3600] += ramp * chance.choice([-1, 1])
    return begin + 3600, size


def _stuck(
    value: Floats, missing: NDArray[np.bool_], begin: int, sigma: float, chance: np.random.Generator
) -> tuple[int, float]:
    """The same value again for 20 to 120 intervals."""
    del missing, sigma
    size = int(chance.integers(20, 121))
    value[begin : begin + size + 1] = value[begin]
    return begin + size + 1, float(size)


def _stuck_quantised(
    value: Floats, missing: NDArray[np.bool_], begin: int, sigma: float, chance: np.random.Generator
) -> tuple[int, float]:
    """The same value for 20 to 60 times as long as the series usually keeps one."""
    del missing, sigma
    usual = LENGTH / max(1, int((np.diff(value) != 0).sum()))
    size = float(chance.uniform(20, 60))
    end = begin + int(size * usual)
    value[begin:end] = value[begin]
    return end, size


def _spike(
    value: Floats, missing: NDArray[np.bool_], begin: int, sigma: float, chance: np.random.Generator
) -> tuple[int, float]:
    """One reading 6 to 10 σ away; a finding may come within 5 s."""
    del missing
    size = float(chance.uniform(6, 10))
    value[begin] += size * sigma * chance.choice([-1, 1])
    return begin + 5, size


def _dropout(
    value: Floats, missing: NDArray[np.bool_], begin: int, sigma: float, chance: np.random.Generator
) -> tuple[int, float]:
    """No reading for 30 to 300 intervals."""
    del value, sigma
    size = int(chance.integers(30, 301))
    missing[begin : begin + size] = True
    return begin + size, float(size)


def _unit_error(
    value: Floats, missing: NDArray[np.bool_], begin: int, sigma: float, chance: np.random.Generator
) -> tuple[int, float]:
    """For 20 to 120 readings in another unit than the catalogue names; size: which of MISTAKES."""
    del missing, sigma
    end = begin + int(chance.integers(20, 121))
    size = int(chance.integers(len(MISTAKES)))
    _, factor, offset = MISTAKES[size]
    value[begin:end] = value[begin:end] * factor + offset
    return end, float(size)


INJECT: dict[str, Inject] = {
    "shift": _shift,
    "drift": _drift,
    "stuck": _stuck,
    "stuck_quantised": _stuck_quantised,
    "spike": _spike,
    "dropout": _dropout,
    "unit_error": _unit_error,
}


def judge(series: list[Series]) -> list[list[Anomaly]]:
    """What the panel as it is shipped finds in each, all side by side and live."""
    panel = Panel()
    count = len(series)
    rules, kind = Rules.empty(count), np.zeros(count, np.int8)
    for row, each in enumerate(series):
        if each.fault is not None and each.fault.kind == "unit_error":
            rules.quantity[row] = MISTAKES[int(each.fault.size)][0]
    found: list[list[Anomaly]] = [[] for _ in series]
    for some, clock_s in _batches(series):
        fresh = np.ones(len(some), np.bool_)
        for event in panel.advance(some, fresh, rules, kind, clock_s):
            found[event.row].append(event)
    return found


def _batches(series: list[Series]) -> Iterator[tuple[Readings, int]]:
    value = np.stack([each.value for each in series], axis=1)
    there = ~np.stack([each.missing for each in series], axis=1)
    count = len(series)
    for first in range(0, LENGTH, BATCH_S):
        part = slice(first, first + BATCH_S)
        keep = there[part].ravel()
        length = len(value[part])
        seconds = np.repeat(BEGIN_S + first + np.arange(length), count)[keep]
        row = np.tile(np.arange(count, dtype=np.int32), length)[keep]
        nought = np.zeros(len(row), np.int32)
        quality = np.zeros(len(row), np.uint32)
        some = Readings(
            row, seconds * 1_000_000, value[part].ravel()[keep], quality, seconds, nought, nought
        )
        yield some, BEGIN_S + first + length - 1


def measure(seed: int = SEED, faults: int = 1200, clean: int = 300) -> Score:
    """Inject `faults`, half of them learned kinds and half rules' kinds; score all of them.

    `clean`: series without a fault, of HOURS each, for the false ones.
    """
    learned = -(-faults // 2)
    asked = [(LEARNED[n % len(LEARNED)], n // len(LEARNED)) for n in range(learned)]
    asked += [("clean", n) for n in range(clean)]
    total = Score()
    for first in range(0, len(asked), SIDE_BY_SIDE):
        series = [make(kind, number, seed) for kind, number in asked[first : first + SIDE_BY_SIDE]]
        for each, events in zip(series, judge(series), strict=True):
            begin_s = LENGTH if each.fault is None else each.fault.begin
            score(total, each.fault, events, BEGIN_S, quiet_s=begin_s)
    for kind in RULES:
        judge_rules(total, kind, -(-(faults - learned) // len(RULES)), seed)
    return total


def main() -> None:
    """Measure, and print by kind and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--faults", type=int, default=1200)
    parser.add_argument("--clean", type=int, default=300, help="series without a fault")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    total = measure(asked.seed, asked.faults, asked.clean)
    print(json.dumps(total.as_object()) if asked.json else total.as_text())


if __name__ == "__main__":
    main()
