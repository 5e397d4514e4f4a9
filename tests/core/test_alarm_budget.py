"""The alarm budget: few ring in a storm, the first of all first, and none is lost by it."""

import random
from dataclasses import replace

import pytest

from floorlog.core.alarm import Alarm, Event, Illegal, State, change
from floorlog.core.alarm_budget import PLACES, AlarmBudget
from floorlog.core.alarm_load import FLOOD_BELOW, WINDOW_US, Step, first_out, load, peak, shown

SECOND = 1_000_000
MINUTE = 60 * SECOND
T0 = 1_767_225_600 * SECOND  # 2026-01-01


def asset(device: str) -> str:
    """Ten devices an asset."""
    return device[:-1]


class Plant:
    """Alarms by the table of transitions, their events, and a budget that judges them in rounds."""

    def __init__(self, places: int = PLACES) -> None:
        self.budget = AlarmBudget(places)
        self.alarms: dict = {}
        self.steps: list[Step] = []
        self.rounds: list[tuple[int, int]] = []
        self.acts: list = []
        self.judged = 0

    def add(self, name, event: Event, at: int, recorded: int, priority=1, *, by_design=False):
        """An event, if the table takes it and it changes something."""
        before = self.alarms.get(name, Alarm())
        try:
            after = change(before, event, until=at + WINDOW_US)
        except Illegal:
            return
        if after != before:
            self.alarms[name] = after
            states = before.state, after.state
            number = len(self.steps) + 1
            step = Step(name, event, *states, recorded, at, number, priority, by_design)
            self.steps.append(step)

    def raise_(self, name, at: int, recorded: int = 0, priority: int = 1) -> None:
        self.add(name, Event.RAISE, at, recorded or at, priority)

    def judge(self, now: int):
        """A round: what came since the last one is judged, and done."""
        part = self.steps[self.judged :]
        self.rounds.append((len(self.steps), now))
        self.judged = len(self.steps)
        acts = self.budget.judge(part, now, asset)
        self.acts.append(acts)
        for act in acts:
            state = self.alarms[act.alarm].state
            if (state is State.SUPPRESSED) is (act.event is Event.UNSUPPRESS):
                self.add(act.alarm, act.event, now, now, self.priority(act.alarm), by_design=True)
        return acts

    def priority(self, name) -> int:
        return next(step.priority for step in reversed(self.steps) if step.alarm == name)

    def rung(self) -> list[Step]:
        return shown(self.steps)


def name(number: int, metric: str = "level") -> tuple[str, str, str]:
    return f"pump-{number:04}", metric, "limit"


def storm(plant: Plant, count: int, begin: int = T0, priority: int = 1) -> None:
    """So many alarms of a minute, in rounds of two seconds; shards commit in no order of time."""
    chance = random.Random(5)
    when = sorted(begin + chance.randrange(MINUTE) for _ in range(count))
    for first in range(begin, begin + MINUTE, 2 * SECOND):
        part = [(at, n) for n, at in enumerate(when) if first <= at < first + 2 * SECOND]
        chance.shuffle(part)
        for at, n in part:
            plant.raise_(name(17 * n % count), at, first + 2 * SECOND, priority)
        plant.judge(first + 2 * SECOND)


@pytest.mark.parametrize("priority", [1, 2, 3])
def test_a_storm_of_500(priority: int) -> None:
    """At most ten ring in any ten minutes; the first is the first; every raise stays an event."""
    plant = Plant()
    storm(plant, 500, priority=priority)
    rung = plant.rung()
    assert 1 <= len(rung) <= PLACES
    assert peak([step.recorded for step in rung]) <= PLACES
    raised = [step for step in plant.steps if step.event is Event.RAISE]
    assert {step.alarm for step in raised} == {name(n) for n in range(500)}
    first = min(raised, key=lambda step: (step.at, step.number))
    assert min(rung, key=lambda step: (step.at, step.number)) == first
    reasons = [act.reason for acts in plant.acts for act in acts]
    assert len(reasons) == 500 - len(rung)
    head = f"first out: {first.alarm[1]} of {first.alarm[0]} [limit]"
    assert all(head in reason for reason in reasons if "of one asset" not in reason)
    found = load(plant.steps, T0, T0 + WINDOW_US)
    assert (found.rings, found.grouped) == (len(rung), 500 - len(rung))
    assert first_out(plant.steps, asset)[asset(first.alarm[0])] == first.alarm


def test_calm_days_lose_nothing() -> None:
    """An alarm in two minutes rings, each of them."""
    plant = Plant()
    for n in range(50):
        plant.raise_(name(10 * n), T0 + 2 * n * MINUTE)
        assert plant.judge(T0 + 2 * n * MINUTE) == []
    assert len(plant.rung()) == 50


def test_priority_is_kept_room_for() -> None:
    """A storm of low alarms leaves places for medium and high; critical ones always ring."""
    plant = Plant()
    storm(plant, 300)
    assert len(plant.rung()) == 6
    for n, priority in ((400, 2), (410, 2), (420, 2), (430, 3), (440, 3), (450, 4), (460, 4)):
        plant.raise_(name(n), T0 + 2 * MINUTE + n, priority=priority)
    plant.judge(T0 + 3 * MINUTE)
    late = [(step.alarm, step.priority) for step in plant.rung()[6:]]
    assert late == [(name(n), p) for n, p in ((400, 2), (410, 2), (430, 3), (450, 4), (460, 4))]


def test_one_asset_leaves_room_for_others() -> None:
    """Five of one asset ring; its others are grouped under its own first."""
    plant = Plant()
    for n in range(9):
        plant.raise_(name(n), T0 + n)
    acts = plant.judge(T0 + SECOND)
    assert [act.alarm for act in acts] == [name(n) for n in range(5, 9)]
    assert all(act.reason.endswith("of one asset at once, first out: level of pump-0000 [limit]")
               for act in acts)  # fmt: skip
    plant.raise_(name(50), T0 + 2 * SECOND)
    assert plant.judge(T0 + 3 * SECOND) == []


def test_what_turns_out_to_be_the_first_takes_the_last_place() -> None:
    """Another shard brings an earlier reading after the places were taken: it rings."""
    plant = Plant()
    storm(plant, 300, priority=3)
    plant.raise_(name(990), T0 - SECOND, T0 + 2 * MINUTE, priority=3)
    assert plant.judge(T0 + 2 * MINUTE) == []
    assert len(plant.rung()) == PLACES
    plant.raise_(name(980), T0 - 2 * SECOND, T0 + 2 * MINUTE, priority=3)
    (act,) = plant.judge(T0 + 2 * MINUTE)
    assert act.reason.endswith("level of pump-0990 [limit]")


def test_after_the_storm() -> None:
    """What is over goes to normal at once, what is not rings again, never more than its places."""
    plant = Plant()
    storm(plant, 200)
    for n in range(150):
        plant.add(name(n), Event.RETURN, T0 + 2 * MINUTE, T0 + 2 * MINUTE)
    for minute in range(2, 600):
        plant.judge(T0 + minute * MINUTE)
    counts = dict.fromkeys(State, 0)
    for alarm in plant.alarms.values():
        counts[alarm.state] += 1
    assert counts[State.SUPPRESSED] == 0
    assert counts[State.UNACKNOWLEDGED] >= 44
    released = [step.recorded for step in plant.steps if step.event is Event.UNSUPPRESS
                and step.after is State.UNACKNOWLEDGED]  # fmt: skip
    assert peak(released) <= FLOOD_BELOW
    assert peak(sorted(step.recorded for step in plant.rung())) <= PLACES


def test_people_come_first() -> None:
    """What was acknowledged before its round is not grouped; who takes one out has it."""
    plant = Plant()
    for n in range(30):
        plant.raise_(name(10 * n), T0 + n)
    plant.add(name(290), Event.ACKNOWLEDGE, T0 + SECOND, T0 + SECOND)
    acts = plant.judge(T0 + 2 * SECOND)
    assert name(290) not in [act.alarm for act in acts]
    taken = acts[0].alarm
    plant.add(taken, Event.UNSUPPRESS, T0 + 3 * SECOND, T0 + 3 * SECOND)
    plant.judge(T0 + 4 * SECOND)
    assert taken not in plant.budget.grouped
    assert plant.alarms[taken].state is State.UNACKNOWLEDGED


def random_plant(seed: int, rounds: int = 60) -> Plant:
    """Anything that can happen, in any order."""
    chance = random.Random(seed)
    plant = Plant(chance.choice([1, 3, 10]))
    now = T0
    for _ in range(rounds):
        now += chance.choice([SECOND, 5 * SECOND, MINUTE, 11 * MINUTE])
        for _ in range(chance.choice([0, 1, 4, 40])):
            event = chance.choice([Event.RAISE] * 4 + list(Event))
            at = now - chance.randrange(MINUTE)
            who = name(chance.randrange(80))
            if event is not Event.UNSUPPRESS or chance.random() < 0.2:
                plant.add(who, event, at, now, chance.randrange(1, 5))
        plant.judge(now)
    return plant


@pytest.mark.parametrize("seed", range(30))
def test_the_same_rounds_give_the_same_acts(seed: int) -> None:
    """A fold: again from the beginning, and gone on from what the record knows after any round."""
    plant = random_plant(seed)
    again = AlarmBudget(plant.budget._places)
    begin = 0
    for (end, now), acts in zip(plant.rounds, plant.acts, strict=True):
        assert again.judge(plant.steps[begin:end][::-1], now, asset) == acts
        begin = end


@pytest.mark.parametrize("seed", range(30))
def test_a_restart_forgets_no_group(seed: int) -> None:
    """Who is suppressed by the budget is known again, and let go once it is quiet."""
    plant = random_plant(seed)
    held = {who: ring for who, ring in plant.budget.grouped.items()
            if plant.alarms[who].state is State.SUPPRESSED}  # fmt: skip
    restarted = AlarmBudget()
    _, now = plant.rounds[-1]
    recent = [step for step in plant.steps if step.recorded > now - 2 * WINDOW_US]
    rings = [replace(ring, active=plant.alarms[who].active) for who, ring in held.items()]
    restarted.learn(recent, rings, asset)
    plant.budget, plant.judged = restarted, len(plant.steps)
    for minute in range(1, 400):
        plant.judge(now + minute * MINUTE)
    left = [who for who in held if plant.alarms[who].state is State.SUPPRESSED]
    assert left == []
