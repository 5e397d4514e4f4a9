"""The alarm budget: a fault rings once, few ring in a storm, the first first, and none is lost."""

import random
from dataclasses import replace

import pytest

from floorlog.core.alarm import Alarm, Event, Illegal, State, change
from floorlog.core.alarm_budget import (
    ACTIVE,
    FAULT_US,
    PLACES,
    REJOIN_US,
    STANDING,
    AlarmBudget,
    Standing,
)
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


def seen(detector: str, number: int = 0) -> tuple[str, str, str]:
    """An alarm of one series, or of another."""
    return f"pump-{number:04}", "level", detector


def grouped(plant: Plant) -> set[str]:
    return {who[2] for who, alarm in plant.alarms.items() if alarm.state is State.SUPPRESSED}


def faulty(*others: tuple[str, int], priority: int = 2) -> Plant:
    """A spike of a series a minute ago, and what other detectors say of it by now."""
    plant = Plant()
    plant.raise_(seen("spike"), T0, priority=priority)
    assert plant.judge(T0 + SECOND) == []
    for detector, worth in others:
        plant.raise_(seen(detector), T0 + MINUTE, priority=worth)
    plant.judge(T0 + MINUTE)
    return plant


def test_one_fault_rings_once() -> None:
    """What others learned of the series is grouped under what stands, each as an event."""
    plant = faulty(("shift", 2), ("asset_shift", 1), ("novelty", 2))
    assert [step.alarm[2] for step in plant.rung()] == ["spike"]
    assert grouped(plant) == {"shift", "asset_shift", "novelty"}
    assert sum(step.event is Event.RAISE for step in plant.steps) == 4
    reasons = {act.reason for acts in plant.acts for act in acts}
    assert reasons == {"this series rang already, first [spike]"}


def test_of_two_in_one_batch_the_first_rings() -> None:
    """Not neither of them, and not the second."""
    plant = Plant()
    for detector in ("spike", "asset_shift", "shift"):
        plant.raise_(seen(detector), T0)
    plant.judge(T0)
    assert [step.alarm[2] for step in plant.rung()] == ["spike"]
    assert grouped(plant) == {"asset_shift", "shift"}


@pytest.mark.parametrize("detector", ["limit", "critical_limit", "stuck", "silence", "rate"])
def test_rules_ring_by_themselves(detector: str) -> None:
    """Whatever a model said of the series before, what a person set is told."""
    assert grouped(faulty((detector, 1))) == set()


def test_what_is_more_rings() -> None:
    """A higher priority, another series; and critical ones, whatever stands."""
    plant = faulty(("shift", 3), priority=2)
    plant.raise_(seen("shift", 1), T0 + MINUTE)
    plant.judge(T0 + MINUTE)
    assert grouped(plant) == set()
    assert grouped(faulty(("shift", 4), priority=4)) == set()


@pytest.mark.parametrize(("pause", "told"), [(0, False), (REJOIN_US - 1, False), (REJOIN_US, True)])
def test_a_fault_ends_and_another_begins(pause: int, told: bool) -> None:
    """Within five minutes of its end it is the same fault, later another one."""
    plant = faulty()
    over = T0 + 10 * MINUTE
    plant.add(seen("spike"), Event.RETURN, over, over)
    plant.judge(over)
    plant.raise_(seen("shift"), over + pause)
    plant.judge(over + pause)
    assert ("shift" in [step.alarm[2] for step in plant.rung()]) is told


@pytest.mark.parametrize(("after", "told"), [(FAULT_US - 1, False), (FAULT_US, True)])
def test_what_stands_for_long_explains_nothing_new(after: int, told: bool) -> None:
    """An alarm that was acknowledged and stands since yesterday hides no other fault."""
    plant = faulty()
    plant.add(seen("spike"), Event.ACKNOWLEDGE, T0, T0 + 50 * MINUTE)
    plant.raise_(seen("shift"), T0 + after)
    plant.judge(T0 + after)
    assert ("shift" in [step.alarm[2] for step in plant.rung()]) is told


def test_the_same_fault_changes_its_name() -> None:
    """In one batch the spike ends and the shift begins: one alarm, as long as nobody saw it."""
    plant = faulty()
    later = T0 + 3 * MINUTE
    plant.raise_(seen("shift"), later, priority=2)
    plant.add(seen("spike"), Event.RETURN, later, later)
    plant.judge(later)
    assert grouped(plant) == {"shift"}
    plant.judge(later + 60 * MINUTE)
    assert grouped(plant) == {"shift"}
    # Acknowledged, the spike leaves the list: what still holds takes its place.
    plant.add(seen("spike"), Event.ACKNOWLEDGE, later, later + 61 * MINUTE)
    plant.judge(later + 61 * MINUTE)
    assert plant.alarms[seen("shift")].state is State.UNACKNOWLEDGED


def test_no_series_is_silent_while_it_is_abnormal() -> None:
    """What stands is acknowledged, then over: of the others one rings, those below it do not."""
    plant = faulty(("shift", 1), ("novelty", 2))
    plant.add(seen("spike"), Event.ACKNOWLEDGE, T0, T0 + 2 * MINUTE)
    plant.judge(T0 + 2 * MINUTE)
    assert grouped(plant) == {"shift", "novelty"}
    plant.add(seen("spike"), Event.RETURN, T0, T0 + 3 * MINUTE)
    plant.judge(T0 + 3 * MINUTE)
    assert grouped(plant) == {"shift"}
    for detector in ("novelty", "shift"):
        plant.add(seen(detector), Event.RETURN, T0, T0 + 4 * MINUTE)
    plant.judge(T0 + 4 * MINUTE)
    assert plant.alarms[seen("shift")].state is State.NORMAL


def test_what_is_on_the_list_stays_on_it() -> None:
    """An alarm that returned and nobody saw is raised again beside another: it rings."""
    plant = faulty(("shift", 3))
    plant.add(seen("spike"), Event.RETURN, T0, T0 + 2 * MINUTE)
    plant.judge(T0 + 2 * MINUTE)
    plant.raise_(seen("spike"), T0 + 20 * MINUTE)
    assert plant.judge(T0 + 20 * MINUTE) == []


def test_what_grows_worse_in_its_group_rings() -> None:
    """Above what stands of its series at once; in a storm where it has a place, critical always."""
    plant = faulty(("shift", 1))
    plant.add(seen("shift"), Event.RETURN, T0, T0 + 2 * MINUTE)
    plant.raise_(seen("shift"), T0 + 2 * MINUTE, priority=3)
    plant.judge(T0 + 2 * MINUTE)
    assert grouped(plant) == set()
    plant = Plant()
    storm(plant, 300, priority=3)
    held = next(iter(plant.budget.grouped))
    for priority, state in ((3, State.SUPPRESSED), (4, State.UNACKNOWLEDGED)):
        plant.add(held, Event.RETURN, T0, T0 + 2 * MINUTE)
        plant.raise_(held, T0 + 2 * MINUTE, priority=priority)
        plant.judge(T0 + 2 * MINUTE)
        assert plant.alarms[held].state is state


RULES, LEARNED = ("limit",), ("limit", "spike", "shift", "drift", "asset_shift")


def random_plant(seed: int, detectors: tuple[str, ...] = RULES, rounds: int = 60) -> Plant:
    """Anything that can happen, in any order."""
    chance = random.Random(seed)
    plant = Plant(chance.choice([1, 3, 10]))
    now = T0
    for _ in range(rounds):
        now += chance.choice([SECOND, 5 * SECOND, MINUTE, 11 * MINUTE])
        for _ in range(chance.choice([0, 1, 4, 40])):
            event = chance.choice([Event.RAISE] * 4 + list(Event))
            at = now - chance.randrange(MINUTE)
            who = name(chance.randrange(80 // len(detectors)))
            who = (*who[:2], chance.choice(detectors))
            if event is not Event.UNSUPPRESS or chance.random() < 0.2:
                plant.add(who, event, at, now, chance.randrange(1, 5))
        plant.judge(now)
    return plant


@pytest.mark.parametrize("detectors", [RULES, LEARNED])
@pytest.mark.parametrize("seed", range(30))
def test_the_same_rounds_give_the_same_acts(seed: int, detectors: tuple[str, ...]) -> None:
    """A fold: again from the beginning, the same rounds decide the same."""
    plant = random_plant(seed, detectors)
    again = AlarmBudget(plant.budget._places)
    begin = 0
    for (end, now), acts in zip(plant.rounds, plant.acts, strict=True):
        assert again.judge(plant.steps[begin:end][::-1], now, asset) == acts
        begin = end


def restart(plant: Plant, recent: list[Step], rings: list) -> AlarmBudget:
    """A budget that begins anew by what the record keeps."""
    last = {step.alarm: step for step in plant.steps}
    standing = [
        (who, Standing(step.priority, step.number, step.after in ACTIVE, step.recorded))
        for who, step in last.items() if step.after in STANDING
    ]  # fmt: skip
    made = AlarmBudget()
    made.learn(recent, rings, standing, asset)
    return made


@pytest.mark.parametrize("detectors", [RULES, LEARNED])
@pytest.mark.parametrize("seed", range(30))
def test_a_restart_forgets_no_group(seed: int, detectors: tuple[str, ...]) -> None:
    """Who is grouped is known again, and let go once it is quiet and its series has none else."""
    plant = random_plant(seed, detectors)
    held = {who: ring for who, ring in plant.budget.grouped.items()
            if plant.alarms[who].state is State.SUPPRESSED}  # fmt: skip
    _, now = plant.rounds[-1]
    recent = [step for step in plant.steps if step.recorded > now - 2 * WINDOW_US]
    rings = [replace(ring, active=plant.alarms[who].active) for who, ring in held.items()]
    plant.budget, plant.judged = restart(plant, recent, rings), len(plant.steps)
    for minute in range(1, 400):
        plant.judge(now + minute * MINUTE)
    on_list = [(who, plant.priority(who)) for who, alarm in plant.alarms.items()
               if alarm.state in STANDING]  # fmt: skip
    for who in held:
        if plant.alarms[who].state is State.SUPPRESSED:
            assert who[2] != "limit"
            assert any(one[:2] == who[:2] and priority >= plant.priority(who)
                       for one, priority in on_list)  # fmt: skip
