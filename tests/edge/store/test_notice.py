"""Notices from the record: planned once, sent by one, settled once, and none holds up another."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest

from floorlog.alert.notice import Undelivered
from floorlog.alert.postman import Postman
from floorlog.alert.routes import Routes
from floorlog.alert.webhook import Webhook
from floorlog.core.alarm import Event
from floorlog.core.reading import Anomaly
from floorlog.errors import ServiceError
from floorlog.record.alarm.budget import Budgeter
from floorlog.record.alarm.notices import Outbox
from floorlog.record.log.sequence import Sequencer
from floorlog.store.alarms import Alarms
from floorlog.store.migrate import KEEPER, OPERATOR, READER, WRITER

sys.path.insert(0, str(Path(__file__).parent.parent / "alert"))

from receivers import Hooks, dead_port

SECRET = "0123456789abcdef"
ROUTES = msgspec.convert(
    {
        "channels": {"shift": {"kind": "log"}, "other": {"kind": "log"}},
        "routes": [
            {"channels": ["shift"], "events": ["raise", "return"]},
            {"channels": ["other"], "priority": "high", "assets": ["line-*"]},
        ],
    },
    Routes,
)


class Plant:
    """A shard whose findings begin and end as told."""

    def __init__(self, record) -> None:
        self.record = record
        self.store, self.lease = record.begin()
        self.ids = record.register(self.store, self.lease)
        self.number = 0

    def find(self, *detectors: str, phase: str = "start", severity: int = 3) -> None:
        self.number += 1
        at = self.record.t0 + self.number
        found = tuple(
            Anomaly(0, one, phase, at, at, severity, 1.0, 9.0, 5.0, "too high") for one in detectors
        )
        series = (self.ids[0],) * len(found)
        batch = self.record.batch(self.lease, self.number, anomalies=found, anomaly_series=series)
        self.record.commit(self.store, batch)

    def states(self) -> list[tuple[str, str, int]]:
        return self.record.run("SELECT channel, state, attempts FROM floorlog.notice ORDER BY 1, 2")

    def audited(self) -> list[tuple[str, str]]:
        return self.record.run(
            "SELECT action, detail->>'channel' FROM floorlog.audit_event"
            " WHERE action ^@ 'notice.' ORDER BY event_id"
        )


@pytest.fixture
def plant(record) -> Plant:
    return Plant(record)


@pytest.fixture
def box(record) -> Iterator[Callable[..., Outbox]]:
    made: list[Outbox] = []

    def make(channel: str = "shift", **options) -> Outbox:
        made.append(Outbox(record.dsn(KEEPER), channel, ROUTES, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_what_waits_is_planned_once(plant, box):
    """Raises and returns, in order, with what a person needs; acknowledging tells nobody."""
    plant.find("limit")
    shift = box(page="https://plant.example/")
    (one,) = shift.waiting()
    notice = one.notice
    assert (notice.event, notice.device, notice.priority) == ("raise", "press-0", "high")
    assert notice.address == "https://plant.example/device?name=press-0"
    assert notice.asset == "press-0"
    assert [again.event_id for again in shift.waiting()] == [one.event_id]
    shift.settle(one.event_id, "sent", "")
    assert shift.waiting() == []
    desk = Alarms(plant.record.dsn(OPERATOR))
    desk.operate("p-1", Event.ACKNOWLEDGE, [("press-0", "level", "limit")], reason="")
    desk.close()
    assert shift.waiting() == []
    plant.find("limit", phase="end")
    assert [each.notice.event for each in shift.waiting()] == ["return"]
    assert plant.audited() == [("notice.sent", "shift")]


def test_routes_decide_by_channel(plant, box):
    """What is not for a channel is decided once, too; the asset comes from the catalogue."""
    plant.record.run(
        "INSERT INTO floorlog.catalogue (version, body) VALUES (1, %s)",
        json.dumps({"devices": {"press-0": {"asset": "line-1"}}}),
    )
    plant.find("limit", severity=2)
    plant.find("rate", severity=3)
    assert [one.notice.detector for one in box("other").waiting()] == ["rate"]
    assert [one.notice.detector for one in box("shift").waiting()] == ["limit", "rate"]
    assert plant.states() == [
        ("other", "not routed", 0), ("other", "waiting", 0),
        ("shift", "waiting", 0), ("shift", "waiting", 0),
    ]  # fmt: skip


def test_what_the_budget_grouped_is_held(plant, box):
    """A ring waits for its round; what is grouped then is not told, the others are."""
    with psycopg.connect(plant.record.dsn(KEEPER), autocommit=True) as connection:
        log, budgeter = Sequencer(connection), Budgeter(connection, 10)
        log.step()
        budgeter.step(log.tree.size)
        plant.find(*(f"part-{n}" for n in range(8)))
        shift = box("shift")
        assert shift.waiting() == []
        assert plant.states() == []
        log.step()
        budgeter.step(log.tree.size)
        told = [one.notice.detector for one in shift.waiting()]
    assert told == [f"part-{n}" for n in range(5)]  # an asset's places
    assert Counter(state for _, state, _ in plant.states()) == {"waiting": 5, "held": 3}


def test_a_settled_notice_stays_so(plant, box):
    """Once in the record, whoever says it again; a failed attempt waits, longer each time."""
    plant.find("limit")
    shift = box()
    (one,) = shift.waiting()
    shift.settle(one.event_id, "waiting", "gone\0")
    assert shift.waiting() == []  # not due yet
    plant.record.run("UPDATE floorlog.notice SET tried_at = now() - interval '3 seconds'")
    assert len(shift.waiting()) == 1
    for state in ("sent", "sent", "given up"):
        shift.settle(one.event_id, state, "")
    assert plant.states() == [("shift", "sent", 2)]
    assert plant.audited() == [("notice.sent", "shift")]


def test_one_sends_for_a_channel(plant, box):
    """Of two keepers one; the other when that one has gone; other channels are free."""
    first, second, other = box(), box(), box("other")
    assert first.hold()
    assert not second.hold()
    assert other.hold()
    first.close()
    deadline = time.monotonic() + 30
    while not second.hold():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_flood_is_told_once(plant, box):
    """The alarm that makes it a flood says so; low ones after it are held, high ones are not."""
    shift = box()
    for n in range(10):
        plant.find(f"a{n}", severity=1)
    assert len(shift.waiting()) == 10
    plant.find("eleventh", severity=1)
    plant.find("low", severity=1)
    plant.find("high", severity=3)
    told = {one.notice.detector: one.notice.is_flood for one in shift.waiting()}
    assert "low" not in told
    assert told["eleventh"]
    assert not told["high"]
    assert not told["a9"]
    assert ("shift", "held", 0) in plant.states()


def test_old_news_is_not_told(plant, box):
    """After an hour the page shows it; settled notices are forgotten after a week."""
    plant.find("limit")
    plant.record.run("UPDATE floorlog.alarm_event SET recorded_at = now() - interval '2 hours'")
    shift = box()
    assert shift.waiting() == []
    plant.find("rate")
    (one,) = shift.waiting()
    shift.settle(one.event_id, "sent", "")
    plant.record.run("UPDATE floorlog.notice SET planned_at = now() - interval '8 days'")
    assert plant.record.run_as(KEEPER, "SELECT floorlog.forget_notices()") == [(1,)]


def test_only_the_keeper_sends(plant):
    """No other role plans or settles."""
    for role in (WRITER, OPERATOR, READER):
        for call in ("plan_notices('a', '{1}', '{sent}')", "settle_notice('a', 1, 'sent', '')"):
            with pytest.raises(Exception, match="permission denied"):
                plant.record.run_as(role, f"SELECT floorlog.{call}")


def test_a_record_that_is_away(plant, box):
    """A ServiceError, and the next question takes a new connection."""
    shift = box()
    assert shift.hold()
    plant.record.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name ^@ 'floorlog notices'"
    )
    with pytest.raises(ServiceError, match="does not answer"):
        shift.waiting()
    assert shift.waiting() == []


class Flaky:
    """A webhook whose process dies after it was told, before that was settled."""

    def __init__(self, url: str) -> None:
        self._hook = Webhook(url, SECRET)
        self.deaths = 1

    def send(self, notice) -> None:
        self._hook.send(notice)
        if self.deaths:
            self.deaths -= 1
            raise Undelivered("died in between")


@pytest.mark.slow
def test_a_dead_channel_delays_nothing_else(plant, box):
    """At least once to each channel, under one key; once in the record; the dead one waits."""
    hooks = Hooks()
    dead = Webhook(f"http://127.0.0.1:{dead_port()}/", SECRET)
    flaky = Flaky(hooks.url)
    plant.record.run(
        "INSERT INTO floorlog.catalogue (version, body) VALUES (1, %s)",
        json.dumps({"devices": {"press-0": {"asset": "line-1"}}}),
    )
    postman = Postman(
        {
            "shift": (lambda: flaky, lambda: box("shift")),
            "other": (lambda: dead, lambda: box("other")),
        }
    )
    postman.start()
    try:
        plant.find("limit")
        plant.find("rate")
        deadline = time.monotonic() + 60
        while plant.audited() != [("notice.sent", "shift")] * 2:
            assert time.monotonic() < deadline, plant.states()
            time.sleep(0.1)
    finally:
        postman.stop()
        hooks.close()
    keys = [headers["idempotency-key"] for headers, _ in hooks.got]
    assert len(set(keys)) == 2
    assert len(keys) == 3  # one of them twice, under the same key
    waiting = [state for channel, state, _ in plant.states() if channel == "other"]
    assert waiting == ["waiting", "waiting"]
