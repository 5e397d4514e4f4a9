"""The states of alarms: every state with every event, and what holds after any sequence."""

import random
from itertools import pairwise

import pytest

from floorlog.core.alarm import (
    CONDITION,
    OPERATIONS,
    SHOWN,
    TRANSITIONS,
    UNACKNOWLEDGED,
    Alarm,
    Change,
    Event,
    Illegal,
    Priority,
    State,
    at,
    change,
    fold,
)

# Written from the standard's diagram a second time, as sentences: state, event, what follows.
# "=": nothing changes; "?": unacknowledged when the condition holds, else normal; "-": refused.
BY_STANDARD = """
normal                 raise unacknowledged  return =  acknowledge -  reset -  shelve shelved
unacknowledged         raise =  return returned  acknowledge acknowledged  reset -  shelve shelved
acknowledged           raise =  return normal  acknowledge -  reset -  shelve shelved
returned               raise unacknowledged  return =  acknowledge normal  reset -  shelve shelved
latched_unacknowledged raise unacknowledged  return =  acknowledge latched_acknowledged  reset returned  shelve shelved
latched_acknowledged   raise unacknowledged  return =  acknowledge -  reset normal  shelve shelved
shelved                raise =  return =  acknowledge -  reset -  shelve =
suppressed             raise =  return =  acknowledge -  reset -  shelve -
out_of_service         raise =  return =  acknowledge -  reset -  shelve -
normal                 unshelve -  expire -  suppress suppressed  unsuppress -  remove out_of_service  restore -
unacknowledged         unshelve -  expire -  suppress suppressed  unsuppress -  remove out_of_service  restore -
acknowledged           unshelve -  expire -  suppress suppressed  unsuppress -  remove out_of_service  restore -
returned               unshelve -  expire -  suppress suppressed  unsuppress -  remove out_of_service  restore -
latched_unacknowledged unshelve -  expire -  suppress suppressed  unsuppress -  remove out_of_service  restore -
latched_acknowledged   unshelve -  expire -  suppress suppressed  unsuppress -  remove out_of_service  restore -
shelved                unshelve ?  expire ?  suppress -  unsuppress -  remove out_of_service  restore -
suppressed             unshelve -  expire -  suppress -  unsuppress ?  remove out_of_service  restore -
out_of_service         unshelve -  expire -  suppress -  unsuppress -  remove -  restore ?
"""  # noqa: E501 - a table is read across
FREE = {State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE}  # say nothing of the condition
ACTIVE = {State.UNACKNOWLEDGED, State.ACKNOWLEDGED}


def expected() -> dict[tuple[State, Event], str]:
    found = {}
    for line in BY_STANDARD.split("\n"):
        state, *rest = line.split() or [""]
        for event, target in zip(rest[::2], rest[1::2], strict=True):
            found[State(state), Event(event)] = target
    return found


def test_the_table_is_total() -> None:
    """Each of the 9 states has an answer for each of the 11 events, here and in the code."""
    every = {(state, event) for state in State for event in Event}
    assert len(every) == 99
    assert set(TRANSITIONS) == every == set(expected())


@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("latch", [False, True])
def test_every_state_and_event(active, latch) -> None:
    """What follows is the standard's, with and without condition, latching or not."""
    latched = {
        State.UNACKNOWLEDGED: "latched_unacknowledged",
        State.ACKNOWLEDGED: "latched_acknowledged",
    }
    for (state, event), target in expected().items():
        before = Alarm(state, active, latch, until=5 if state is State.SHELVED else 0)
        if target == "-":
            with pytest.raises(Illegal) as caught:
                change(before, event, until=9)
            assert (caught.value.state, caught.value.event) == (state, event)
            continue
        after = change(before, event, latch=latch, until=9)
        holds = {Event.RAISE: True, Event.RETURN: False}.get(event, active)
        by_condition = "unacknowledged" if holds else "normal"
        wanted = {"=": str(state), "?": by_condition}.get(target, target)
        if event is Event.RETURN and latch:
            wanted = latched.get(state, wanted)
        assert (after.state, after.active) == (wanted, holds), (state, event)
        is_new = event is Event.SHELVE
        assert after.until == ((9 if is_new else 5) if after.state is State.SHELVED else 0)


def test_a_finding_is_never_refused() -> None:
    """Whatever people did: raise and return have their place in every state."""
    assert all(TRANSITIONS[state, event] is not None for state in State for event in CONDITION)
    assert CONDITION | OPERATIONS | {Event.EXPIRE} == set(Event)


def test_ten_thousand_random_sequences_keep_what_must_hold() -> None:
    """After any sequence: condition and state agree, refusals change nothing, folds agree."""
    seen = set()
    for seed in range(10_000):
        chance = random.Random(seed)
        alarm, latch, condition = Alarm(), chance.random() < 0.5, False
        written = []
        for event in chance.choices(list(Event), k=chance.randint(1, 25)):
            until = chance.randint(1, 9)
            try:
                after = change(alarm, event, latch=latch, until=until)
            except Illegal:
                assert event not in CONDITION
                continue
            condition = event is Event.RAISE or (condition and event is not Event.RETURN)
            seen.add((alarm.state, event))
            alarm = after
            written.append(Change(("d", "m", "limit"), event, 0, latch, until))
            assert alarm.active == condition
            assert alarm.state in FREE or alarm.active == (alarm.state in ACTIVE)
            assert (alarm.until > 0) == (alarm.state is State.SHELVED)
            assert alarm.latch or not alarm.state.startswith("latched")
        assert fold(written) == ({("d", "m", "limit"): alarm} if written else {})
    legal = {key for key, target in TRANSITIONS.items() if target is not None}
    assert seen == legal


def test_nothing_is_forgotten_unseen() -> None:
    """No way leads from unacknowledged to normal without a person, shelves' ends included."""
    quiet = CONDITION | {Event.EXPIRE}
    reached, edge = {Alarm(State.UNACKNOWLEDGED, active=True)}, {Alarm(State.UNACKNOWLEDGED, True)}
    while edge:
        edge = {change(one, e) for one in edge for e in quiet if TRANSITIONS[one.state, e]}
        edge -= reached
        reached |= edge
    assert {one.state for one in reached} == {State.UNACKNOWLEDGED, State.RETURNED}


def test_shelves_end_by_themselves() -> None:
    """At its end, not a microsecond before, and as what the condition is by then."""
    shelved = change(Alarm(State.ACKNOWLEDGED, active=True), Event.SHELVE, until=100)
    assert at(shelved, 99) == shelved
    assert at(shelved, 100) == Alarm(State.UNACKNOWLEDGED, active=True)
    assert at(change(shelved, Event.RETURN), 100) == Alarm()
    assert at(Alarm(State.RETURNED), 100) == Alarm(State.RETURNED)


def test_a_fold_of_events_that_nobody_could_make() -> None:
    """It is refused, not bent into something."""
    with pytest.raises(Illegal, match="an alarm that is normal takes no acknowledge"):
        fold([Change(("d", "m", "limit"), Event.ACKNOWLEDGE, 0)])


def test_priorities_are_ordered() -> None:
    """1 to 4, and a severity outside is cut."""
    assert [one.number for one in Priority] == [1, 2, 3, 4]
    assert [Priority.of(one.number) for one in Priority] == list(Priority)
    assert (Priority.of(0), Priority.of(9)) == (Priority.LOW, Priority.CRITICAL)
    assert all(low.number < high.number for low, high in pairwise(Priority))
    assert UNACKNOWLEDGED <= SHOWN
