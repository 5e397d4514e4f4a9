"""The alarm load of 1,000 sensors: a day without a fault, one with, and a storm of 500 sensors.

    python bench/detection/storm.py [--seed 3] [--step 10]

A reading each ten seconds of every sensor goes through the panel as shipped, a batch each ten
seconds; every finding raises or returns its alarm by the table of ISA-18.2, and after each batch
the plant's alarm budget has its round, as the keeper has. After twelve hours of learning a day is
counted. Prints one JSON object: alarms in ten minutes with the budget, with it and an operator who
acknowledges each five minutes after it rang, and without; what came first, and whether every
finding is still an event.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from detection import load
from floorlog.core.alarm import UNACKNOWLEDGED, Alarm, Event, Priority, change
from floorlog.core.alarm_budget import AlarmBudget
from floorlog.core.alarm_load import Name, Step, peak, shown
from floorlog.core.reading import Anomaly

LEARNED_S = 12 * 3600
STORM_S = 30 * 3600  # after the begin
STORM_SPREAD_S = 60
SEEN_US = 300_000_000
SINGLE_FAULTS, ASSET_FAULTS = 20, 4  # of a day
US = 1_000_000
Floats = NDArray[np.float64]


def asset(device: str) -> str:
    """Eight sensors are an asset."""
    return str(int(device) // load.PER_ASSET)


@dataclass
class Desk:
    """Alarms as findings move them, with the budget's rounds in between.

    Attributes:
        budget: None = every alarm rings.
        attended: whether somebody acknowledges each alarm five minutes after it rang.
    """

    budget: AlarmBudget | None
    attended: bool = False
    steps: list[Step] = field(default_factory=list)
    alarms: dict[Name, Alarm] = field(default_factory=dict)
    waiting: dict[Name, int] = field(default_factory=dict)  # since when, where attended

    def take(self, found: Sequence[Anomaly], now: int) -> None:
        """A batch, and the round after it."""
        first = len(self.steps)
        for name in [name for name, at in self.waiting.items() if at + SEEN_US <= now]:
            del self.waiting[name]
            if self.alarms[name].state in UNACKNOWLEDGED:
                self._add(name, Event.ACKNOWLEDGE, now, now, 1)
        for one in found:
            event = Event.RAISE if one.phase == "start" else Event.RETURN
            self._add((str(one.row), "value", one.detector), event, one.at, now, one.severity)
        if self.budget is None:
            return
        for act in self.budget.judge(self.steps[first:], now, asset):
            self._add(act.alarm, act.event, now, now, 1, by_design=True)

    def _add(
        self, name: Name, event: Event, at: int, now: int, severity: int, *, by_design: bool = False
    ) -> None:
        before = self.alarms.get(name, Alarm())
        after = change(before, event)
        if after == before:
            return
        self.alarms[name] = after
        number, priority = len(self.steps) + 1, Priority.of(severity).number
        step = Step(name, event, before.state, after.state, now, at, number, priority, by_design)
        self.steps.append(step)
        if self.attended and step.rings:
            self.waiting.setdefault(name, now)


def harm(value: Floats, step_s: int, seed: int) -> None:
    """Faults of a usual day: shifts of 5 to 8 sigma for 10 to 30 minutes, of sensors and assets."""
    chance = np.random.default_rng(seed)
    for n in range(SINGLE_FAULTS + ASSET_FAULTS):
        sensors = [int(chance.integers(load.SENSORS))]
        if n >= SINGLE_FAULTS:
            sensors = list(range(sensors[0] // 8 * 8, sensors[0] // 8 * 8 + 8))
        begin = int(chance.integers(LEARNED_S, 35 * 3600)) // step_s
        end = begin + int(chance.uniform(600, 1800)) // step_s
        value[begin:end, sensors] += chance.choice([-1, 1]) * chance.uniform(5, 8)


def strike(value: Floats, step_s: int, seed: int) -> None:
    """Half of the plant, within a minute and for half an hour: 8 to 20 sigma off."""
    chance = np.random.default_rng(seed)
    for sensor in chance.permutation(load.SENSORS)[: load.STORM]:
        begin = (STORM_S + int(chance.integers(STORM_SPREAD_S))) // step_s
        value[begin : begin + 1800 // step_s, sensor] += chance.uniform(8, 20)


def figures(desk: Desk, begin_s: int, end_s: int) -> dict[str, object]:
    """Alarms of a span that rang: in ten minutes on average and at most; how many were grouped."""
    first, last = ((load.BEGIN_S + at) * US for at in (begin_s, end_s))
    rung = [step for step in desk.steps if step.rings and first <= step.recorded < last]
    seen = [step for step in shown(desk.steps) if first <= step.recorded < last]
    windows = (end_s - begin_s) / load.WINDOW_S
    return {
        "per_10_min_mean": round(len(seen) / windows, 3),
        "per_10_min_most": peak([step.recorded for step in seen]),
        "rang": len(seen),
        "grouped": len(rung) - len(seen),
    }


def count(value: Floats, step_s: int) -> dict[str, object]:
    """A plant's day, with the budget and beside it without."""
    budgeted, plain = Desk(AlarmBudget()), Desk(None)
    attended = Desk(AlarmBudget(), attended=True)
    found, *_ = load.feed(value, step_s, per_batch=1)
    learned = [one for one in found if one.at >= (load.BEGIN_S + LEARNED_S) * US]
    batches: dict[int, list[Anomaly]] = {}
    for one in learned:
        batches.setdefault(one.at // (step_s * US), []).append(one)
    span = range((load.BEGIN_S + LEARNED_S) // step_s, (load.BEGIN_S + 37 * 3600) // step_s)
    for batch in span:
        now = (batch + 1) * step_s * US
        for desk in (budgeted, attended, plain):
            desk.take(batches.get(batch, ()), now)
    raised = [step for step in budgeted.steps if step.event is Event.RAISE]
    wanted = [step for step in plain.steps if step.event is Event.RAISE]
    result: dict[str, object] = {
        "day": figures(budgeted, LEARNED_S, 36 * 3600),
        "day_attended": figures(attended, LEARNED_S, 36 * 3600),
        "day_without_budget": figures(plain, LEARNED_S, 36 * 3600),
        "findings": sum(one.phase == "start" for one in learned),
        "raise_events_lost": len(wanted) - len(raised),
        "left_grouped_at_the_end": sum(a.state == "suppressed" for a in budgeted.alarms.values()),
    }
    storm = [s for s in wanted if s.recorded >= (load.BEGIN_S + STORM_S) * US]
    if len(storm) > load.STORM // 2:
        first = min(storm, key=lambda step: (step.at, step.number))
        hour = figures(budgeted, STORM_S, STORM_S + 3600)
        at = [(s.at, s.number) for s in shown(budgeted.steps) if s.recorded >= first.recorded]
        result["storm_hour"] = hour
        result["storm_hour_without_budget"] = figures(plain, STORM_S, STORM_S + 3600)
        result["first_out_rang"] = bool(at) and min(at)[0] == first.at
    return result


def measure(seed: int = 3, step_s: int = 10) -> dict[str, object]:
    """Three days of the same plant."""
    made: dict[str, object] = {"sensors": load.SENSORS, "step_s": step_s}
    value = load.plant(seed, step_s, 36)
    made["fault_free"] = count(value, step_s)
    harm(value, step_s, seed)
    made["normal_faults"] = count(value, step_s)
    strike(value, step_s, seed)
    made["storm_of_500"] = count(value, step_s)
    return made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--step", type=int, default=10, help="seconds between two readings")
    asked = parser.parse_args()
    print(json.dumps(measure(asked.seed, asked.step)))


if __name__ == "__main__":
    main()
