"""The load that alarms are: a day computed by hand, floods at their edges, and what came first."""

import random

from floorlog.core.alarm import Event, Priority, State
from floorlog.core.alarm_load import Flood, Step, first_out, floods, load, peak

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
T0 = 1_767_225_600 * SECOND  # 2026-01-01

LEVEL, FLOW, HEAT = ("tank", "level", "limit"), ("pump", "flow", "rate"), ("oven", "heat", "limit")
PUMP = ("pump", "power", "limit")
FILLER = [(f"valve-{n:02}", "position", "stuck") for n in range(12)]


class Day:
    """Writes events as the record holds them."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.state: dict = {}

    def add(self, name, event: Event, after: State, at: int, priority: int = 1) -> None:
        before = self.state.get(name, State.NORMAL)
        self.state[name] = after
        number = len(self.steps) + 1
        self.steps.append(Step(name, event, before, after, at, at, number, priority))

    def ring(self, name, at: int, priority: int = 1) -> None:
        self.add(name, Event.RAISE, State.UNACKNOWLEDGED, at, priority)

    def settle(self, name, at: int) -> None:
        self.add(name, Event.ACKNOWLEDGE, State.ACKNOWLEDGED, at)
        self.add(name, Event.RETURN, State.NORMAL, at)


def the_day() -> list[Step]:
    """One day, one operator.

    06:00 the tank's level rings (medium); acknowledged, normal at 06:30.
    08:00:00, :15, :30, :45 the pump's flow rings four times (low), each settled at once: chatter.
    12:00 to 12:11 twelve valves ring, one a minute (low); all settled at 12:20.
    22:00 the oven's heat rings (high) and stays.
    """
    day = Day()
    day.ring(LEVEL, T0 + 6 * HOUR, 2)
    day.settle(LEVEL, T0 + 6 * HOUR + 30 * MINUTE)
    for n in range(4):
        day.ring(FLOW, T0 + 8 * HOUR + 15 * n * SECOND)
        day.settle(FLOW, T0 + 8 * HOUR + (15 * n + 5) * SECOND)
    for n, name in enumerate(FILLER):
        day.ring(name, T0 + 12 * HOUR + n * MINUTE)
    for name in FILLER:
        day.settle(name, T0 + 12 * HOUR + 20 * MINUTE)
    day.ring(HEAT, T0 + 22 * HOUR, 3)
    return day.steps


def test_a_day_computed_by_hand() -> None:
    """Every figure of the_day, as counted on paper.

    Rings: 1 + 4 + 12 + 1 = 18 in 24 h: 0.75 an hour. Ten minutes hold at most 10 of the valves'
    (12:00 to 12:09, or one later; at 12:10 the one of 12:00 has left): no flood.
    """
    found = load(the_day(), T0, T0 + DAY, standing={PUMP: T0 - 2 * HOUR, LEVEL: T0 - DAY})
    assert found.hours == 24
    assert found.rings == 18
    assert found.per_operator_hour == 0.75
    assert found.peak == 10
    assert (found.flood_hours, found.floods) == (0, ())
    assert found.chattering == ((FLOW, 4),)
    assert found.stale == ((PUMP, 26.0),)  # the level was settled, the oven is two hours old
    assert found.worst[0] == (FLOW, 4)
    assert [count for _, count in found.worst] == [4] + [1] * 9
    assert found.worst_share == 13 / 18
    assert found.by_priority == (
        (Priority.LOW, 16), (Priority.MEDIUM, 1), (Priority.HIGH, 1), (Priority.CRITICAL, 0),
    )  # fmt: skip
    two = load(the_day(), T0, T0 + DAY, operators=2)
    assert two.per_operator_hour == 0.375


def test_a_flood_by_hand() -> None:
    """Twelve alarms 30 s apart: it begins with the 11th, and ends when the 8th has left."""
    times = [T0 + n * 30 * SECOND for n in range(12)]
    begin, end = times[10], times[7] + 10 * MINUTE
    assert floods(times, 1, T0 + HOUR) == [Flood(begin, end, 12)]
    assert floods(times, 1, end - 1) == [Flood(begin, None, 12)]
    assert floods(times[:10], 1, T0 + HOUR) == []
    assert floods(times, 2, T0 + HOUR) == []
    day = [
        Step(("d", str(n), "x"), Event.RAISE, State.NORMAL, State.UNACKNOWLEDGED, time, time, n, 1)
        for n, time in enumerate(times)
    ]
    found = load(day, T0, T0 + HOUR)
    assert found.flood_hours == (end - begin) / HOUR == 0.14166666666666666  # 8.5 minutes
    assert found.flood_share == found.flood_hours


def test_floods_against_the_definition() -> None:
    """At random times: second by second, the count of the last ten minutes decides."""
    for seed in range(20):
        chance = random.Random(seed)
        times = sorted(T0 + chance.randrange(3600) * SECOND for _ in range(chance.randint(5, 90)))
        now = T0 + 2 * HOUR
        inside, wanted = False, 0
        for second in range(7200):
            moment = T0 + second * SECOND
            count = sum(1 for time in times if moment - 10 * MINUTE < time <= moment)
            inside = count > 10 or (inside and count >= 5)
            wanted += inside
        found = floods(times, 1, now)
        assert sum((one.end or now) - one.begin for one in found) == wanted * SECOND
        assert peak(times) == max(
            sum(1 for time in times if first <= time < first + 10 * MINUTE) for first in times
        )


def test_an_empty_span() -> None:
    """Nothing rang: zeros, no division by them."""
    found = load([], T0, T0 + DAY)
    assert (found.rings, found.worst_share, found.peak, found.stale) == (0, 0.0, 0, ())


def test_only_what_asks_for_attention_rings() -> None:
    """A raise on a shelf does not; its coming back from the shelf does."""
    day = Day()
    day.ring(LEVEL, T0)
    day.add(LEVEL, Event.SHELVE, State.SHELVED, T0 + 1)
    day.add(LEVEL, Event.RETURN, State.SHELVED, T0 + 2)
    day.add(LEVEL, Event.RAISE, State.SHELVED, T0 + 3)
    assert load(day.steps, T0, T0 + DAY).rings == 1
    day.add(LEVEL, Event.EXPIRE, State.UNACKNOWLEDGED, T0 + 4)
    assert load(day.steps, T0, T0 + DAY).rings == 2


def test_first_out() -> None:
    """By the readings' time, whatever order they were stored in; gone when all has returned."""

    def step(name, event, at, number) -> Step:
        return Step(name, event, State.NORMAL, State.NORMAL, number, at, number, 1)

    def asset(device: str) -> str:
        return {"pump": "line-1", "tank": "line-1"}.get(device, device)

    steps = [
        step(LEVEL, Event.RAISE, 50, 1),
        step(HEAT, Event.RAISE, 10, 2),
        step(FLOW, Event.RAISE, 40, 3),  # stored after the level, but tripped before it
    ]
    assert first_out(steps, asset) == {"line-1": FLOW, "oven": HEAT}
    assert first_out(reversed(steps), asset) == {"line-1": FLOW, "oven": HEAT}
    steps += [step(FLOW, Event.RETURN, 60, 4), step(HEAT, Event.RETURN, 61, 5)]
    assert first_out(steps, asset) == {"line-1": FLOW}  # the level, its consequence, still stands
    steps += [step(LEVEL, Event.RETURN, 70, 6), step(PUMP, Event.RAISE, 80, 7)]
    assert first_out(steps, asset) == {"line-1": PUMP}
