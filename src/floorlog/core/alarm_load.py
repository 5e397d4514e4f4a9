"""What alarms ask of operators: floods, chatter, staleness, the worst ten, and what came first.

All of it is a fold over committed events, in an order that is stated at each function: the same
events give the same answer, whichever shard or process brought them.

Source: ANSI/ISA-18.2-2016, clause 16 (performance metrics) and EEMUA 191: a flood begins with more
than 10 alarms in 10 minutes and ends with fewer than 5; an alarm chatters at 3 or more a minute;
it is stale after 24 hours; about 80 % should be of low, 15 % of medium and 5 % of high priority.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from floorlog.core.alarm import CONDITION, SHOWN, Event, Priority, State

WINDOW_US = 600_000_000
FLOOD_ABOVE = 10  # alarms in a window with which a flood begins, for one operator
FLOOD_BELOW = 5  # with fewer it ends
CHATTER_US = 60_000_000
CHATTER_RAISES = 3
STALE_US = 86_400_000_000
WORST = 10
HOUR_US = 3_600_000_000

Name = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """One stored event of an alarm; times in µs UTC.

    Attributes:
        alarm: device, metric, detector.
        recorded: when it was stored: when an operator could see it.
        at: when it happened by the reading's own time.
        number: of the event; ascending within an alarm.
        priority: 1 to 4.
        by_design: whether the plant's budget did it (core/alarm_budget.py), and no person.
    """

    alarm: Name
    event: Event
    before: State
    after: State
    recorded: int
    at: int
    number: int
    priority: int
    by_design: bool = False

    @property
    def rings(self) -> bool:
        """Whether it asks for attention: the alarm becomes unacknowledged."""
        return self.after is State.UNACKNOWLEDGED and self.before is not State.UNACKNOWLEDGED


@dataclass(frozen=True, slots=True)
class Flood:
    """A time in which alarms came faster than a person can follow; `end` is None while it lasts."""

    begin: int
    end: int | None
    alarms: int


@dataclass(frozen=True, slots=True)
class Load:
    """The figures of one span of time.

    Attributes:
        hours: length of the span.
        rings: alarms that asked for attention.
        grouped: those that the budget grouped under another; none of the other figures counts them.
        per_operator_hour: those per hour and operator.
        peak: most of them within ten minutes.
        flood_hours: time in flood.
        flood_share: the same as part of the span.
        floods: each of them.
        chattering: alarms that chattered, with their most raises within a minute.
        stale: alarms that stand for more than 24 hours at the end, the longest first, with hours.
        worst: the ten that rang most, with counts.
        worst_share: their part of all.
        by_priority: counts, lowest first.
    """

    hours: float
    rings: int
    grouped: int
    per_operator_hour: float
    peak: int
    flood_hours: float
    flood_share: float
    floods: tuple[Flood, ...]
    chattering: tuple[tuple[Name, int], ...]
    stale: tuple[tuple[Name, float], ...]
    worst: tuple[tuple[Name, int], ...]
    worst_share: float
    by_priority: tuple[tuple[Priority, int], ...]


def floods(times: Iterable[int], operators: int, now: int) -> list[Flood]:
    """The floods among alarms that rang at these times (µs UTC, ascending), up to `now`.

    A flood begins with the alarm that makes more than 10 an operator within the last ten minutes,
    and ends when fewer than 5 are left in them.
    """
    window: deque[int] = deque()
    found: list[Flood] = []
    begin: int | None = None
    count = 0

    def settle(moment: int) -> None:
        """Let what is older than ten minutes at `moment` leave, and a flood end by it."""
        nonlocal begin
        while window and window[0] + WINDOW_US <= moment:
            left = window.popleft() + WINDOW_US
            if begin is not None and len(window) < FLOOD_BELOW * operators:
                found.append(Flood(begin, left, count))
                begin = None

    for time in times:
        settle(time)
        window.append(time)
        count += 1
        if begin is None and len(window) > FLOOD_ABOVE * operators:
            begin, count = time, len(window)
    settle(now)
    if begin is not None:
        found.append(Flood(begin, None, count))
    return found


def peak(times: Sequence[int], window_us: int = WINDOW_US) -> int:
    """Most alarms within ten minutes, or another window; times ascending."""
    first = most = 0
    for place, time in enumerate(times):
        while times[first] + window_us <= time:
            first += 1
        most = max(most, place - first + 1)
    return most


def load(
    steps: Iterable[Step],
    begin: int,
    end: int,
    *,
    operators: int = 1,
    standing: Mapping[Name, int] | None = None,
) -> Load:
    """The figures of a span.

    Args:
        steps: the events stored in it, in the order (recorded, number).
        begin: of the span, µs UTC.
        end: of the span, µs UTC, after its begin.
        operators: who share the alarms.
        standing: alarms that were shown at the begin, each with when that began.
    """
    ordered = sorted(steps, key=lambda step: (step.recorded, step.number))
    rung = [step for step in ordered if step.rings]
    rings = shown(ordered)
    times = [step.recorded for step in rings]
    hours = (end - begin) / HOUR_US
    found = floods(times, operators, end)
    flood_hours = sum((one.end or end) - one.begin for one in found) / HOUR_US
    counts = Counter(step.alarm for step in rings)
    worst = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:WORST]
    priorities = Counter(step.priority for step in rings)
    return Load(
        hours=hours,
        rings=len(rings),
        grouped=len(rung) - len(rings),
        per_operator_hour=len(rings) / hours / operators,
        peak=peak(times),
        flood_hours=flood_hours,
        flood_share=flood_hours / hours,
        floods=tuple(found),
        chattering=_chattering(ordered),
        stale=_stale(ordered, end, dict(standing or {})),
        worst=tuple(worst),
        worst_share=sum(count for _, count in worst) / len(rings) if rings else 0.0,
        by_priority=tuple((one, priorities[one.number]) for one in Priority),
    )


def shown(ordered: Iterable[Step]) -> list[Step]:
    """Those that rang and were not grouped by the budget; steps in the order of their numbers."""
    rings: list[Step] = []
    last: dict[Name, Step] = {}
    drowned: set[int] = set()
    for step in ordered:
        if step.rings:
            rings.append(step)
            last[step.alarm] = step
        elif step.by_design and step.event is Event.SUPPRESS and step.alarm in last:
            drowned.add(last[step.alarm].number)
    return [step for step in rings if step.number not in drowned]


def _chattering(ordered: Sequence[Step]) -> tuple[tuple[Name, int], ...]:
    raises: dict[Name, list[int]] = defaultdict(list)
    for step in ordered:
        if step.event is Event.RAISE:
            raises[step.alarm].append(step.recorded)
    found = []
    for name, times in raises.items():
        most = peak(times, CHATTER_US)
        if most >= CHATTER_RAISES:
            found.append((name, most))
    return tuple(sorted(found, key=lambda item: (-item[1], item[0])))


def _stale(
    ordered: Sequence[Step], end: int, since: dict[Name, int]
) -> tuple[tuple[Name, float], ...]:
    for step in ordered:
        if step.after not in SHOWN:
            since.pop(step.alarm, None)
        else:
            since.setdefault(step.alarm, step.recorded)
    old = [(name, (end - begin) / HOUR_US) for name, begin in since.items()]
    shown = [item for item in old if item[1] * HOUR_US > STALE_US]
    return tuple(sorted(shown, key=lambda item: (-item[1], item[0])))


def first_out(steps: Iterable[Step], asset_of: Callable[[str], str]) -> dict[str, Name]:
    """By asset, the alarm with which its present trouble began, while any of its alarms is active.

    Order: (at, number), the readings' own time: what tripped first, not what was stored first. So
    an earlier reading that another shard brings later takes the place that is its own.
    """
    conditions = [step for step in steps if step.event in CONDITION]
    active: dict[str, set[Name]] = defaultdict(set)
    first: dict[str, Name] = {}
    for step in sorted(conditions, key=lambda step: (step.at, step.number)):
        asset = asset_of(step.alarm[0])
        if step.event is Event.RAISE:
            if not active[asset]:
                first[asset] = step.alarm
            active[asset].add(step.alarm)
        else:
            active[asset].discard(step.alarm)
    return {asset: name for asset, name in first.items() if active[asset]}
