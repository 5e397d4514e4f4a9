"""Alarms in the record: raised by batches, changed by people, and never half."""

import threading
import time
from itertools import product

import psycopg
import pytest

from floorlog.core.alarm import TRANSITIONS, Alarm, Change, Event, State, change, fold
from floorlog.core.alarm import Illegal as Refused
from floorlog.core.reading import Anomaly
from floorlog.errors import Illegal, NotThere, ServiceError
from floorlog.store.alarms import Alarms
from floorlog.store.migrate import KEEPER, OPERATOR, READER, WRITER

DAY_US = 86_400_000_000
NAME = ("press-0", "level", "limit")


class Plant:
    """A shard of three series, whose findings begin and end as told."""

    def __init__(self, record) -> None:
        self.record = record
        self.store, self.lease = record.begin()
        self.ids = record.register(self.store, self.lease)
        self.number = 0

    def find(self, *found: tuple[int, str], detector: str = "limit", severity: int = 2, **rules):
        """Findings (series, phase), each in its turn, in one batch."""
        self.number += 1
        t0 = self.record.t0
        anomalies = tuple(
            Anomaly(0, detector, phase, t0, t0 + self.number, severity, 1.0, 9.0, 5.0, "too high")
            for _, phase in found
        )
        batch = self.record.batch(
            self.lease,
            self.number,
            anomalies=anomalies,
            anomaly_series=tuple(self.ids[at] for at, _ in found),
            **rules,
        )
        self.record.commit(self.store, batch)


@pytest.fixture
def plant(record) -> Plant:
    return Plant(record)


@pytest.fixture
def desk(record):
    made = Alarms(record.dsn(OPERATOR))
    yield made
    made.close()


def now_us() -> int:
    return time.time_ns() // 1000


def test_sql_has_the_same_table(record) -> None:
    """For all 99 pairs of state and event, with and without condition and latching."""
    for state, event, active, latch in product(State, Event, (False, True), (False, True)):
        holds = {Event.RAISE: True, Event.RETURN: False}.get(event, active)
        ((found,),) = record.run(
            "SELECT floorlog.alarm_next(%s, %s, %s, %s)", str(state), str(event), holds, latch
        )
        try:
            wanted = str(change(Alarm(state, active, latch), event, latch=latch).state)
        except Refused:
            wanted = None
        assert found == wanted, (state, event, active, latch)
    assert len(TRANSITIONS) == 99


def test_findings_raise_and_return_with_their_batch(plant, desk) -> None:
    """State, priority by rule or severity, event with batch and reason; latching as asked."""
    plant.find((0, "start"), (1, "start"), severity=2, alarms=((4, False), (2, True)))
    first, second = desk.alarms()
    assert first.name == NAME
    assert (first.state, first.active, first.priority) == ("unacknowledged", True, 4)
    assert (first.reason, first.event, first.actor) == ("too high", "raise", "floorlog")
    assert (second.priority, second.latch) == (2, True)
    plant.find((0, "end"), (1, "end"), alarms=((4, False), (2, True)))
    assert [one.state for one in desk.alarms()] == ["returned", "latched_unacknowledged"]
    events = desk.alarm_events(0, now_us() + DAY_US, name=NAME)
    assert [(e.event, e.before, e.after) for e in events] == [
        ("return", "unacknowledged", "returned"), ("raise", "normal", "unacknowledged"),
    ]  # fmt: skip
    assert events[1].at == plant.record.t0 + 1
    rows = plant.record.run("SELECT DISTINCT lease_id, number FROM floorlog.alarm_event ORDER BY 2")
    assert rows == [(plant.lease.lease_id, 1), (plant.lease.lease_id, 2)]


def test_start_and_end_in_one_batch(plant, desk) -> None:
    """In their order, more than once."""
    plant.find((0, "start"), (0, "end"), (0, "start"), (0, "end"))
    (alarm,) = desk.alarms()
    assert (alarm.state, alarm.active) == ("returned", False)
    assert len(desk.alarm_events(0, now_us() + DAY_US)) == 4


def test_a_batch_that_is_not_stored_raises_nothing(plant, desk) -> None:
    """The events are in its transaction: a zombie's are gone with it."""
    plant.find((0, "start"))
    plant.record.run("UPDATE floorlog.lease SET epoch = epoch + 1")
    with pytest.raises(AssertionError, match="Fenced"):
        plant.find((1, "start"))
    assert [one.name for one in desk.alarms()] == [NAME]
    assert len(desk.alarm_events(0, now_us() + DAY_US)) == 1


def test_people_change_alarms(plant, desk) -> None:
    """Acknowledge, shelve, unshelve: with actor, reason and time, each an audit event too."""
    plant.find((0, "start"), (1, "start"))
    names = [one.name for one in desk.alarms()]
    began = now_us()
    made = desk.operate("p-1", Event.ACKNOWLEDGE, names, reason="seen")
    assert [(e.after, e.actor, e.reason) for e in made] == [("acknowledged", "p-1", "seen")] * 2
    assert all(abs(e.at - began) < 60_000_000 for e in made)
    until = now_us() + DAY_US
    desk.operate("p-2", Event.SHELVE, [NAME], until=until, reason="sensor being replaced")
    shelved = next(one for one in desk.alarms() if one.name == NAME)
    assert (shelved.state, shelved.until, shelved.comment) == (
        "shelved", until, "sensor being replaced",
    )  # fmt: skip
    plant.find((0, "end"))
    desk.operate("p-2", Event.UNSHELVE, [NAME], reason="done")
    assert next(one for one in desk.alarms() if one.name == NAME).state == "normal"
    audited = plant.record.run("SELECT actor, action FROM floorlog.audit_event ORDER BY event_id")
    assert audited == [
        ("p-1", "alarm.acknowledge"), ("p-2", "alarm.shelve"), ("p-2", "alarm.unshelve"),
    ]  # fmt: skip


def test_what_the_table_refuses_changes_nothing(plant, desk) -> None:
    """Not even the other alarms of the same request; what was never raised is not there."""
    plant.find((0, "start"), (1, "start"))
    other = ("press-1", "level", "limit")
    desk.operate("p-1", Event.ACKNOWLEDGE, [NAME], reason="")
    with pytest.raises(Illegal, match="is acknowledged: it takes no acknowledge"):
        desk.operate("p-1", Event.ACKNOWLEDGE, [other, NAME], reason="")
    assert {one.name: one.state for one in desk.alarms()}[other] == "unacknowledged"
    for strange in (("press-2", "level", "limit"), ("nowhere", "level", "limit")):
        with pytest.raises(NotThere, match="never raised"):
            desk.operate("p-1", Event.ACKNOWLEDGE, [other, strange], reason="")
    assert plant.record.run("SELECT count(*) FROM floorlog.audit_event") == [(1,)]


def test_shelves_end_by_themselves(plant, desk) -> None:
    """Seen at once, before anybody wrote the event; written once, with the shelf's end as time."""
    plant.find((0, "start"))
    until = now_us() + 300_000
    desk.operate("p-1", Event.SHELVE, [NAME], until=until, reason="a moment")
    assert desk.alarms()[0].state == "shelved"
    time.sleep(0.35)
    assert (desk.alarms()[0].state, desk.alarms()[0].until) == ("unacknowledged", 0)
    (ended,) = [one for one in desk.changed_alarms(now_us() + DAY_US, 10) if one.name == NAME]
    assert ended.state == "unacknowledged"
    for wanted in (1, 0):
        with plant.record.connect(KEEPER) as keeper:
            assert keeper.execute("SELECT floorlog.expire_shelves(10)").fetchone() == (wanted,)
    desk.operate("p-1", Event.ACKNOWLEDGE, [NAME], reason="")
    events = desk.alarm_events(0, now_us() + DAY_US)
    assert [e.event for e in events] == ["acknowledge", "expire", "shelve", "raise"]
    assert (events[1].at, events[1].actor) == (until, "floorlog")


def test_an_operation_after_a_shelf_ends_it_first(plant, desk) -> None:
    """Whoever comes first writes the end: here a person, with the same event."""
    plant.find((0, "start"))
    until = now_us() + 100_000
    desk.operate("p-1", Event.SHELVE, [NAME], until=until, reason="a moment")
    time.sleep(0.15)
    desk.operate("p-1", Event.ACKNOWLEDGE, [NAME], reason="")
    events = desk.alarm_events(0, now_us() + DAY_US)
    assert [e.event for e in events] == ["acknowledge", "expire", "shelve", "raise"]
    assert events[1].at == until


@pytest.mark.slow
def test_many_at_once_give_one_order(plant, desk) -> None:
    """Batches and people side by side: the events fold to what stands, none is lost."""
    plant.find(*((at, "start") for at in range(3)))
    names = [one.name for one in desk.alarms()]
    done = {"refused": 0}

    def operate(seed: int) -> None:
        own = Alarms(plant.record.dsn(OPERATOR))
        for n in range(12):
            event = (Event.ACKNOWLEDGE, Event.SUPPRESS, Event.UNSUPPRESS)[(n + seed) % 3]
            try:
                own.operate(f"p-{seed}", event, names[seed % 2 :], reason=str(n))
            except Illegal:
                done["refused"] += 1
        own.close()

    threads = [threading.Thread(target=operate, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for n in range(12):
        plant.find(*((at, ("end", "start")[n % 2]) for at in range(3)))
    for thread in threads:
        thread.join(60)
    events = desk.alarm_events(0, now_us() + DAY_US, rows_max=10_000)[::-1]
    folded = fold(Change(e.name, Event(e.event), e.at, e.latch, e.until) for e in events)
    stands = {one.name: (one.state, one.active) for one in desk.alarms()}
    assert {name: (str(one.state), one.active) for name, one in folded.items()} == stands
    assert len(events) > 3 + 24


def test_pages_of_the_list(plant, desk) -> None:
    """Each alarm once, most urgent first, by filter; however long the pages are."""
    plant.find((0, "start"), (1, "start"), (2, "start"), alarms=((1, False), (3, False), (2, True)))
    plant.find((0, "start"), (1, "start"), detector="rate", severity=3)
    whole = desk.alarms()
    assert [one.priority for one in whole] == [3, 3, 3, 2, 1]
    for size in (1, 2, 3):
        pages, after = [], {}
        while page := desk.alarms(rows_max=size, **after):
            pages += page
            after = {"after": page[-1].place}
        assert pages == whole
    assert [one.priority for one in desk.alarms(priority_min=2)] == [3, 3, 3, 2]
    assert {one.device for one in desk.alarms(devices=["press-2"])} == {"press-2"}
    assert desk.alarms(states=["shelved"]) == []
    events = desk.alarm_events(0, now_us() + DAY_US, rows_max=3)
    rest = desk.alarm_events(0, now_us() + DAY_US, before_id=events[-1].event_id)
    assert len(events) + len(rest) == 5
    before = desk.alarms_before(now_us() + DAY_US, 10)
    assert {one.name: one.after for one in before} == {one.name: one.state for one in whole}
    assert desk.alarms_before(plant.record.t0, 10) == []


def test_nobody_goes_round_the_functions(plant) -> None:
    """No role writes events or states itself; each has only the function that is its own."""
    one = "'{1}', '{x}', '{start}', '{1}', '{1}', '{1}', '{t}', '{y}'"
    find = f"SELECT floorlog.alarms_found(1, 1, {one})"
    operate = "SELECT floorlog.operate_alarms('p', 'reset', '{1}', '{x}', 0, '')"
    expire = "SELECT floorlog.expire_shelves(1)"
    step = "SELECT floorlog.expire_alarm(1, 'x'), floorlog.lock_alarms('{1}', '{x}')"
    may = {WRITER: find, OPERATOR: operate, KEEPER: expire, READER: ""}
    plant.find((0, "start"))
    for role, own in may.items():
        for statement in {find, operate, expire} - {own}:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                plant.record.run_as(role, statement)
        for statement in (
            "UPDATE floorlog.alarm SET state = 'normal'",
            "INSERT INTO floorlog.alarm (series_id, detector) VALUES (1, 'x')",
            "DELETE FROM floorlog.alarm_event",
            step,
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                plant.record.run_as(role, statement)


def test_a_record_that_is_away_is_said(plant) -> None:
    """A ServiceError, as of every reader."""
    desk = Alarms(psycopg.conninfo.make_conninfo(plant.record.dsn(OPERATOR), port=1))
    with pytest.raises(ServiceError, match="does not answer"):
        desk.operate("p", Event.RESET, [NAME], reason="")
