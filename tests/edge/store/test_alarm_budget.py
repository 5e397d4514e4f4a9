"""The alarm budget on the record: rounds over the log, with what people do in between."""

import json

import psycopg
import pytest

from floorlog.core.alarm import Event
from floorlog.core.alarm_load import load
from floorlog.core.reading import Anomaly
from floorlog.record.alarm.budget import Budgeter
from floorlog.record.log.sequence import Sequencer
from floorlog.store.alarms import Alarms
from floorlog.store.migrate import KEEPER, OPERATOR
from floorlog.web.api.alarms import step_of

DAY_US = 86_400_000_000
DETECTORS = [f"part-{n:02}" for n in range(40)]


class Plant:
    """A shard whose findings begin and end as told, a keeper's session, and a desk."""

    def __init__(self, record) -> None:
        self.record = record
        self.store, self.lease = record.begin()
        self.ids = record.register(self.store, self.lease)
        self.number = 0
        self.connection = psycopg.connect(record.dsn(KEEPER), autocommit=True)
        self.log = Sequencer(self.connection)
        self.budgeter = Budgeter(self.connection, 10)
        self.desk = Alarms(record.dsn(OPERATOR))

    def find(
        self, *detectors: str, phase: str = "start", severity: int = 2, device: int | None = None
    ) -> None:
        """In one batch; the last one named tripped first."""
        self.number += 1
        first = self.record.t0 + 1000 * self.number
        found = tuple(
            Anomaly(0, one, phase, first - n, first - n, severity, 1.0, 9.0, 5.0, "too high")
            for n, one in enumerate(detectors)
        )
        # Three devices: none of them has the whole storm.
        places = [int(one[-2:]) if device is None else device for one in detectors]
        series = tuple(self.ids[place % len(self.ids)] for place in places)
        batch = self.record.batch(self.lease, self.number, anomalies=found, anomaly_series=series)
        self.record.commit(self.store, batch)

    def round(self) -> None:
        self.log.step()
        while self.budgeter.step(self.log.tree.size):
            pass

    def states(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for one in self.desk.alarms():
            found.setdefault(one.state, []).append(one.detector)
        return found

    def close(self) -> None:
        self.connection.close()
        self.desk.close()


@pytest.fixture
def plant(record):
    made = Plant(record)
    yield made
    made.close()


def test_a_storm_is_grouped_and_comes_back(plant) -> None:
    """By events with reason and actor, each round one audit event; later rounds let them go."""
    plant.round()
    plant.find(*DETECTORS)
    plant.round()
    states = plant.states()
    assert len(states["unacknowledged"]) == 8
    assert DETECTORS[-1] in states["unacknowledged"]
    grouped = [one for one in plant.desk.alarms() if one.state == "suppressed"]
    assert len(grouped) == 32
    assert all(f"[{DETECTORS[-1]}]" in one.grouped or "of one asset" in one.grouped
               for one in grouped)  # fmt: skip
    events = plant.desk.alarm_events(0, 1 << 53)
    assert sum(one.event == Event.RAISE for one in events) == 40
    assert {one.actor for one in events} == {"floorlog"}
    ((audit,),) = plant.record.run(
        "SELECT detail::text FROM floorlog.audit_event WHERE action = 'alarm.budget'"
    )
    assert json.loads(audit)["grouped"] == 32
    found = load([step_of(one) for one in reversed(events)], 0, 1 << 53)
    assert (found.rings, found.grouped) == (8, 32)
    # Over for all but one of them; eleven minutes on.
    plant.find(*DETECTORS[1:], phase="end")
    plant.round()
    move = "UPDATE floorlog.{} SET {} = {} - interval '11 minutes'"
    plant.record.run(move.format("alarm_event", *["recorded_at"] * 2))
    restarted = Budgeter(plant.connection, 10)
    plant.log.step()
    while restarted.step(plant.log.tree.size):
        pass
    assert "suppressed" not in plant.states()
    assert DETECTORS[0] in plant.states()["unacknowledged"]


def test_a_restart_knows_who_was_grouped(plant) -> None:
    """A budget that begins anew right after its round holds the same places and groups."""
    plant.round()
    plant.find(*DETECTORS)
    plant.round()
    restarted = Budgeter(plant.connection, 10)
    plant.log.step()
    restarted.step(plant.log.tree.size)
    plant.budgeter.step(plant.log.tree.size)
    old, new = plant.budgeter._budget, restarted._budget
    assert set(old.grouped) == set(new.grouped)
    assert sorted(ring.number for ring in old._rung) == sorted(ring.number for ring in new._rung)


def test_one_fault_rings_once(plant) -> None:
    """A second detector's alarm is grouped, by a budget begun anew too, until the first is gone."""
    plant.round()
    plant.find("spike", device=0)
    plant.round()
    plant.budgeter = Budgeter(plant.connection, 10)
    plant.find("shift", device=0)
    plant.find("shift", device=1)
    plant.round()
    grouped = [one for one in plant.desk.alarms() if one.state == "suppressed"]
    assert [(one.detector, one.grouped) for one in grouped] == [
        ("shift", "this series rang already, first [spike]")
    ]
    plant.find("spike", phase="end", device=0)
    plant.round()
    assert len(plant.states()["suppressed"]) == 1  # the spike waits to be seen
    (spike,) = plant.desk.alarms(states=["returned"])
    plant.desk.operate("anna", Event.ACKNOWLEDGE, [spike.name], reason="seen")
    plant.budgeter = Budgeter(plant.connection, 10)
    plant.round()
    assert plant.states()["unacknowledged"] == ["shift", "shift"]


def test_what_a_person_did_meanwhile_stands(plant) -> None:
    """An alarm acknowledged between a round's look and its acts is not suppressed."""
    plant.round()
    plant.find(*DETECTORS[:12])
    name = plant.desk.alarms()[0].name
    acted = plant.budgeter._keep

    def late(*arguments) -> None:
        plant.desk.operate("anna", Event.ACKNOWLEDGE, [one.name for one in plant.desk.alarms()],
                           reason="seen")  # fmt: skip
        acted(*arguments)

    plant.budgeter._keep = late
    plant.round()
    assert set(plant.states()) == {"acknowledged"}
    plant.budgeter._keep = acted
    plant.round()
    assert name in [one.name for one in plant.desk.alarms(states=["acknowledged"])]
    assert plant.budgeter._budget.grouped == {}


def test_a_first_start_leaves_what_stands_alone(plant) -> None:
    """Alarms that rang before there was a budget are not judged by it."""
    plant.find(*DETECTORS)
    plant.round()
    assert set(plant.states()) == {"unacknowledged"}
    plant.find("part-99")
    plant.round()
    assert len(plant.states()["suppressed"]) == 1  # but they did take the places


def test_only_the_keeper_may_group(plant) -> None:
    """Neither workers nor people: for those there is an operation of their own."""
    asked = "SELECT floorlog.group_alarms(1, '{}', '{}', '{}', '{}', NULL)"
    with (
        psycopg.connect(plant.record.dsn(OPERATOR)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(asked)
