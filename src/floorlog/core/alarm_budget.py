"""The plant's alarm budget: what is one fault rings once, and in a storm few alarms ring.

A fold over committed events of alarms: which shard brought them plays no part. Its rounds are cut
by positions of the log; within a round rings are judged in the order (at, number), the time of the
readings first, so that what tripped first rings first. The same rounds give the same acts, and the
record keeps where each round that decided anything began and ended.

To group is the standard's suppression by design: the alarm's condition is followed on, every step
is an event, and nothing of it leaves the record. Critical alarms are never grouped.

Two detectors that learned a series' past see one fault each in its own way: what they find while
another alarm of the series stands is grouped under that one, unless its priority is higher. Rules,
which do not learn, always ring by themselves.

Source: ANSI/ISA-18.2-2016, clauses 12 (designed suppression, first-out) and 16 (floods: more than
10 alarms in 10 minutes, over when fewer than 5); EEMUA 191.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from floorlog.core.alarm import UNACKNOWLEDGED, Event, Priority, State
from floorlog.core.alarm_load import FLOOD_BELOW, WINDOW_US, Name, Step
from floorlog.core.detect import EXPERIENCED

PLACES = 10  # rings in any ten minutes
ASSET_PLACES = 5  # of these, one asset's
RUN_US = 60_000_000  # a pause so long parts what belongs to a storm from what came before
FAULT_US = 3_600_000_000  # an alarm that stands for longer explains nothing new
REJOIN_US = 300_000_000  # an alarm that returned so lately, unacknowledged, is the same fault's
ACTIVE = frozenset({State.UNACKNOWLEDGED, State.ACKNOWLEDGED})
STANDING = ACTIVE | UNACKNOWLEDGED  # on the list, and either active or not seen by anybody
# What each priority may fill of ten places: the last is kept for what turns out to be the first.
SHARE = {Priority.LOW: 6, Priority.MEDIUM: 8, Priority.HIGH: 9}


@dataclass(frozen=True, slots=True)
class Act:
    """What is to be done to an alarm, SUPPRESS or UNSUPPRESS, and why in words."""

    alarm: Name
    event: Event
    reason: str


@dataclass(frozen=True, slots=True)
class Ring:
    """An alarm that rang, or waits in a group.

    Attributes:
        recorded, at, number: of the event with which it rang; times in µs UTC.
        active: whether its condition holds.
    """

    alarm: Name
    asset: str
    recorded: int
    at: int
    number: int
    priority: int
    active: bool = True

    @property
    def turn(self) -> tuple[int, int]:
        """Its place in the order of what came first."""
        return self.at, self.number


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm on the list, under which others of its series are grouped.

    Attributes:
        number: of the event with which it came on the list, or a later one of its own.
        active: whether its condition holds.
        since: when that began to be so, as recorded, µs UTC.
    """

    priority: int
    number: int
    active: bool
    since: int


def words(head: Ring, *, of_asset: bool) -> str:
    """Why an alarm is grouped, naming the first one."""
    device, metric, detector = head.alarm
    whose = "of one asset " if of_asset else ""
    return f"too many alarms {whose}at once, first out: {metric} of {device} [{detector}]"


class AlarmBudget:
    """Who rings and who is grouped.

    Args:
        places: rings in any ten minutes, critical ones aside; at least 1.
    """

    def __init__(self, places: int = PLACES) -> None:
        self._places = places
        self._asset_places = max(1, places * ASSET_PLACES // PLACES)
        self._rung: list[Ring] = []
        self._raised: list[int] = []
        self.grouped: dict[Name, Ring] = {}
        self._standing: dict[tuple[str, str], dict[str, Standing]] = {}  # by series, detector

    def learn(
        self,
        steps: Iterable[Step],
        grouped: Iterable[Ring],
        standing: Iterable[tuple[Name, Standing]],
        asset: Callable[[str], str],
    ) -> None:
        """Begin anew: the events of the last twenty minutes that were judged, and what is so now.

        What was suppressed right after it rang took no place.

        Args:
            steps: those events, in any order.
            grouped: alarms that the budget suppressed and that still are.
            standing: alarms on the list, in a state of STANDING.
            asset: of a device, as the catalogue has it by now.
        """
        self.grouped = {ring.alarm: ring for ring in grouped}
        self._standing = {}
        for name, one in standing:
            self._standing.setdefault(name[:2], {})[name[2]] = one
        for step in sorted(steps, key=lambda step: step.number):
            if step.event is Event.RAISE:
                self._raised.append(step.recorded)
            if step.rings:
                self._rung.append(_ring(step, asset))
            elif step.event is Event.SUPPRESS and step.by_design:
                last = [ring for ring in self._rung if ring.alarm == step.alarm][-1:]
                self._rung = [ring for ring in self._rung if ring not in last]

    def judge(self, steps: Sequence[Step], now: int, asset: Callable[[str], str]) -> list[Act]:
        """One round.

        Args:
            steps: the events that got their position since the round before, in any order.
            now: time of the round, µs UTC; never less than before.
            asset: of a device, as the catalogue has it by now.
        """
        ordered = sorted(steps, key=lambda step: step.number)
        last = {step.alarm: step.after for step in ordered}
        worse = {step.alarm for step in ordered if self._follow(step, asset)}
        rings = [step for step in ordered if step.rings and not step.by_design]
        acts: list[Act] = []
        for step in sorted(rings, key=lambda step: (step.at, step.number)):
            ring = _ring(step, asset)
            is_open = step.event is Event.RAISE and last[step.alarm] in UNACKNOWLEDGED
            waits = step.before in UNACKNOWLEDGED and self._has_place(ring)
            # What was seen already, or has its place and waits to be, is not taken away again.
            if ring.alarm in self.grouped or not is_open or waits:
                self._rung.append(ring)
                continue
            # What is on the list already, returned, is never taken from it for another one.
            known = self._known(ring) if step.before is State.NORMAL else None
            reason = known or self._refusal(ring)
            if reason is None:
                self._rung.append(ring)
            else:
                active = last[step.alarm] is State.UNACKNOWLEDGED
                self.grouped[ring.alarm] = replace(ring, active=active)
                self._standing.get(ring.alarm[:2], {}).pop(ring.alarm[2], None)
                acts.append(Act(ring.alarm, Event.SUPPRESS, reason))
        acts += self._escalate(worse)
        self._forget(now)
        return acts + self._release(now)

    def _follow(self, step: Step, asset: Callable[[str], str]) -> bool:
        """Keep up with what stands and what is grouped; whether a grouped one grew worse."""
        if step.event is Event.RAISE:
            self._raised.append(step.recorded)
        self._stand(step)
        held = self.grouped.get(step.alarm)
        if held is None:
            if step.by_design and step.event is Event.SUPPRESS:
                # A person's act came between the round and the suppression.
                self.grouped[step.alarm] = _ring(step, asset)
        elif step.event is Event.RAISE:
            changed = replace(held, recorded=step.recorded, priority=step.priority, active=True)
            self.grouped[step.alarm] = changed
            return step.priority > held.priority
        elif step.event is Event.RETURN:
            self.grouped[step.alarm] = replace(held, active=False)
        elif step.after is not State.SUPPRESSED:
            del self.grouped[step.alarm]  # a person took it out, or it is not in service any more
        return False

    def _stand(self, step: Step) -> None:
        """Keep up with what is on the list."""
        series, detector = step.alarm[:2], step.alarm[2]
        mine = self._standing.setdefault(series, {})
        before = mine.pop(detector, None)
        if step.after in STANDING:
            active = step.after in ACTIVE
            since, number, priority = step.recorded, step.number, step.priority
            if before is not None:
                number = before.number
                since = before.since if before.active is active else since
                priority = priority if step.event is Event.RAISE else before.priority
            mine[detector] = Standing(priority, number, active, since)
        elif not mine:
            del self._standing[series]

    def _known(self, ring: Ring) -> str | None:
        """Why it tells nothing new, as an alarm of its series stands; None when it does."""
        heads = [
            (one.number, detector)
            for detector, one in self._over(ring)
            if one.number < ring.number
            and one.since > ring.recorded - (FAULT_US if one.active else REJOIN_US)
        ]
        return f"this series rang already, first [{min(heads)[1]}]" if heads else None

    def _over(self, ring: Ring) -> list[tuple[str, Standing]]:
        """Other alarms that stand of its series, under which it can be grouped, with detectors."""
        _, _, mine = ring.alarm
        if mine not in EXPERIENCED or ring.priority >= Priority.CRITICAL.number:
            return []
        every = self._standing.get(ring.alarm[:2], {}).items()
        return [
            (name, one) for name, one in every if name != mine and one.priority >= ring.priority
        ]

    def _escalate(self, worse: set[Name]) -> list[Act]:
        """Let those ring that grew worse while they were grouped, where there is a place."""
        acts = []
        for alarm in sorted(worse & self.grouped.keys()):
            ring = self.grouped[alarm]
            if ring.active and not self._over(ring) and self._refusal(ring) is None:
                acts.append(self._ring_again(ring, "it grew worse"))
        return acts

    def _ring_again(self, ring: Ring, reason: str) -> Act:
        """Out of its group and onto the list."""
        del self.grouped[ring.alarm]
        self._rung.append(ring)
        one = Standing(ring.priority, ring.number, active=True, since=ring.recorded)
        self._standing.setdefault(ring.alarm[:2], {})[ring.alarm[2]] = one
        return Act(ring.alarm, Event.UNSUPPRESS, reason)

    def _has_place(self, ring: Ring) -> bool:
        since = ring.recorded - WINDOW_US
        return any(one.alarm == ring.alarm and one.recorded > since for one in self._rung)

    def _refusal(self, ring: Ring) -> str | None:
        """Why it may not ring; None when it may."""
        if ring.priority >= Priority.CRITICAL.number:
            return None
        rung = [one for one in self._rung if one.recorded > ring.recorded - WINDOW_US]
        mine = [one for one in rung if one.asset == ring.asset]
        if len(mine) >= self._asset_places:
            return words(min(mine, key=lambda one: one.turn), of_asset=True)
        most = max(1, self._places * SHARE[Priority.of(ring.priority)] // PLACES)
        if len(rung) < most:
            return None
        head = _first(rung)
        if ring.turn < head.turn and len(rung) < self._places:
            return None
        return words(head, of_asset=False)

    def _release(self, now: int) -> list[Act]:
        """Once it is quiet: what is over goes to normal, what is not rings as places come free.

        What tells nothing new beside an alarm that stands of its series stays grouped.
        """
        if len(self._raised) >= FLOOD_BELOW or not self.grouped:
            return []
        order = sorted(self.grouped.values(), key=lambda ring: (-ring.priority, *ring.turn))
        free = min(FLOOD_BELOW, self._places) - len(self._within(now))
        acts = []
        for ring in order:
            if not ring.active:
                del self.grouped[ring.alarm]
                acts.append(Act(ring.alarm, Event.UNSUPPRESS, "it is over"))
            elif free > 0 and not self._over(ring):
                free -= 1
                acts.append(self._ring_again(replace(ring, recorded=now), "it still stands"))
        return acts

    def _within(self, now: int) -> list[Ring]:
        return [one for one in self._rung if one.recorded > now - WINDOW_US]

    def _forget(self, now: int) -> None:
        self._rung = [one for one in self._rung if one.recorded > now - 2 * WINDOW_US]
        self._raised = [one for one in self._raised if one > now - WINDOW_US]


def _ring(step: Step, asset: Callable[[str], str]) -> Ring:
    return Ring(
        step.alarm, asset(step.alarm[0]), step.recorded, step.at, step.number, step.priority
    )


def _first(rung: Sequence[Ring]) -> Ring:
    """The first out of the last run: of rings without a pause of a minute between them."""
    newest = sorted(rung, key=lambda one: one.recorded, reverse=True)
    run = newest[:1]
    for one in newest[1:]:
        if run[-1].recorded - one.recorded > RUN_US:
            break
        run.append(one)
    return min(run, key=lambda one: one.turn)
