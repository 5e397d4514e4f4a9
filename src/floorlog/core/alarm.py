"""Alarms: the states of ISA-18.2 and IEC 62682 as one total table of transitions.

An alarm is one detector's finding on one series. Its condition (`active`) comes from the findings;
its state from the condition and from what people do. While it is shelved, suppressed or out of
service its condition is followed on, so that it comes back as what it is by then.

Source: ANSI/ISA-18.2-2016 and IEC 62682:2014, alarm state transition diagram (states A to I).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum, unique


@unique
class State(StrEnum):
    """What an alarm is; the letter is the standard's."""

    NORMAL = "normal"  # A
    UNACKNOWLEDGED = "unacknowledged"  # B
    ACKNOWLEDGED = "acknowledged"  # C
    RETURNED = "returned"  # D: back to normal, never acknowledged
    LATCHED_UNACKNOWLEDGED = "latched_unacknowledged"  # E: back to normal, waits for a reset
    LATCHED_ACKNOWLEDGED = "latched_acknowledged"  # F
    SHELVED = "shelved"  # G: by a person, for a time
    SUPPRESSED = "suppressed"  # H: by design
    OUT_OF_SERVICE = "out_of_service"  # I


@unique
class Event(StrEnum):
    """What can happen to an alarm."""

    RAISE = "raise"  # the condition begins
    RETURN = "return"  # the condition ends
    ACKNOWLEDGE = "acknowledge"
    RESET = "reset"  # of a latched alarm
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    EXPIRE = "expire"  # the shelf's time is over
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    REMOVE = "remove"  # from service
    RESTORE = "restore"  # to service


@unique
class Priority(StrEnum):
    """How soon somebody has to act, lowest first."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def number(self) -> int:
        """1 for low … 4 for critical, as the record has it."""
        return list(Priority).index(self) + 1

    @classmethod
    def of(cls, number: int) -> "Priority":
        """The priority of a number, or of a finding's severity; what lies outside is cut."""
        every = list(cls)
        return every[min(max(number, 1), len(every)) - 1]


CONDITION = frozenset({Event.RAISE, Event.RETURN})
OPERATIONS = frozenset(Event) - CONDITION - {Event.EXPIRE}
SHOWN = frozenset(State) - {State.NORMAL, State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE}
UNACKNOWLEDGED = frozenset({State.UNACKNOWLEDGED, State.RETURNED, State.LATCHED_UNACKNOWLEDGED})

SHELF_SECONDS_MAX = 30 * 86_400


class Again:
    """A target where the condition decides: unacknowledged when it holds, else normal."""


Target = State | type[Again] | None
_A, _B, _C, _D = State.NORMAL, State.UNACKNOWLEDGED, State.ACKNOWLEDGED, State.RETURNED
_E, _F = State.LATCHED_UNACKNOWLEDGED, State.LATCHED_ACKNOWLEDGED
_G, _H, _I = State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE

# A column for each event, in the order of Event; None: refused.
_COLUMNS = tuple(Event)
_ROWS: dict[State, tuple[Target, ...]] = {
    #   raise return ack   reset shelve unshelve expire suppress unsuppress remove restore
    _A: (_B, _A, None, None, _G, None, None, _H, None, _I, None),
    _B: (_B, _D, _C, None, _G, None, None, _H, None, _I, None),
    _C: (_C, _A, None, None, _G, None, None, _H, None, _I, None),
    _D: (_B, _D, _A, None, _G, None, None, _H, None, _I, None),
    _E: (_B, _E, _F, _D, _G, None, None, _H, None, _I, None),
    _F: (_B, _F, None, _A, _G, None, None, _H, None, _I, None),
    _G: (_G, _G, None, None, _G, Again, Again, None, None, _I, None),
    _H: (_H, _H, None, None, None, None, None, None, Again, _I, None),
    _I: (_I, _I, None, None, None, None, None, None, None, None, Again),
}
TRANSITIONS: dict[tuple[State, Event], Target] = {
    (state, event): target
    for state, targets in _ROWS.items()
    for event, target in zip(_COLUMNS, targets, strict=True)
}
_LATCHING = {_B: _E, _C: _F}  # where a latching alarm goes when its condition ends


class Illegal(ValueError):
    """What was asked for cannot be done to an alarm in this state."""

    def __init__(self, state: State, event: Event) -> None:
        """Say which state stands against which event."""
        super().__init__(f"an alarm that is {state.replace('_', ' ')} takes no {event}")
        self.state = state
        self.event = event


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm as it stands.

    Attributes:
        state: what it is.
        active: whether its condition holds now.
        latch: whether it stays after its condition ended, until it is reset.
        until: end of the shelf, µs UTC; 0 when it is not shelved.
    """

    state: State = State.NORMAL
    active: bool = False
    latch: bool = False
    until: int = 0


def change(alarm: Alarm, event: Event, *, latch: bool = False, until: int = 0) -> Alarm:
    """The alarm after an event.

    Args:
        alarm: before.
        event: what happens.
        latch: of a raise: what the rule says of it by then.
        until: of a shelving: its end, µs UTC.

    Raises:
        Illegal: the table refuses it; findings (raise, return) are never refused.
    """
    target = TRANSITIONS[alarm.state, event]
    if target is None:
        raise Illegal(alarm.state, event)
    active = event is Event.RAISE or (alarm.active and event is not Event.RETURN)
    if isinstance(target, State):
        state = target
    else:
        state = State.UNACKNOWLEDGED if active else State.NORMAL
    if event is Event.RETURN and alarm.latch:
        state = _LATCHING.get(alarm.state, state)
    return replace(
        alarm,
        state=state,
        active=active,
        latch=latch if event is Event.RAISE else alarm.latch,
        until=_until(alarm, event, state, until),
    )


def _until(alarm: Alarm, event: Event, state: State, until: int) -> int:
    if state is not State.SHELVED:
        return 0
    return until if event is Event.SHELVE else alarm.until


def at(alarm: Alarm, now: int) -> Alarm:
    """The alarm at a moment (µs UTC): a shelf whose time is over has expired by itself."""
    if alarm.state is State.SHELVED and alarm.until <= now:
        return change(alarm, Event.EXPIRE)
    return alarm


@dataclass(frozen=True, slots=True)
class Change:
    """One event of one alarm, as the record has it.

    Attributes:
        alarm: what names the alarm.
        event: what happened.
        at: when, µs UTC; of findings the time of the reading.
        latch: of a raise: whether it latches.
        until: of a shelving: its end, µs UTC.
    """

    alarm: tuple[str, str, str]
    event: Event
    at: int
    latch: bool = False
    until: int = 0


def fold(changes: Iterable[Change]) -> dict[tuple[str, str, str], Alarm]:
    """Every alarm as it stands after these events, in the order of the record.

    Raises:
        Illegal: the events were not made by this table.
    """
    alarms: dict[tuple[str, str, str], Alarm] = {}
    for one in changes:
        before = alarms.get(one.alarm, Alarm())
        alarms[one.alarm] = change(before, one.event, latch=one.latch, until=one.until)
    return alarms
