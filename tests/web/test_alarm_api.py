"""Alarms through the API: the list, what people do, the events, the load, and the live feed."""

import json
import time
from urllib.parse import urlencode

import pytest

from floorlog.core.reading import Anomaly

pytestmark = [pytest.mark.xdist_group("page"), pytest.mark.slow]


def now_us() -> int:
    return time.time_ns() // 1000


class Bench:
    """A device whose findings begin and end as told, on a page."""

    def __init__(self, plant, page, device: str) -> None:
        self.plant, self.page, self.device = plant, page, device
        self.row = plant.row(device, "level")

    def find(self, phase: str, detector: str = "limit", severity: int = 3) -> int:
        at = now_us()
        found = Anomaly(self.row, detector, phase, at, at, severity, 1.0, 9.0, 5.0, "too high")
        self.plant.commit([(self.row, at, 9.0)], (found,))
        return at

    def ref(self, detector: str = "limit") -> dict[str, str]:
        return {"device": self.device, "metric": "level", "detector": detector}

    def alarms(self, **query) -> list[dict]:
        asked = urlencode({"device": self.device, **query}, doseq=True)
        return self.page.json(f"/api/v1/alarms?{asked}")["alarms"]

    def do(self, operation: str, status: int = 200, **body):
        content = {"alarms": [self.ref()], **body}
        return self.page.post(f"/api/v1/alarms/{operation}", content, status)


@pytest.fixture
def bench(plant, page, request):
    return Bench(plant, page, request.node.name)


def test_the_life_of_an_alarm(bench):
    """Raised, acknowledged with a comment, shelved with a timer, back, returned; each an event."""
    at = bench.find("start")
    (alarm,) = bench.alarms()
    assert (alarm["state"], alarm["priority"], alarm["raised"]) == ("unacknowledged", "high", at)
    assert (alarm["reason"], alarm["first_out"], alarm["until"]) == ("too high", True, None)
    (made,) = bench.do("acknowledge", reason="I see it")["events"]
    assert (made["before"], made["after"]) == ("unacknowledged", "acknowledged")
    bench.do("shelve", reason="sensor is being replaced", seconds=3600)
    assert bench.alarms() == []
    (alarm,) = bench.alarms(state=["shelved", "normal"])
    assert alarm["until"] - now_us() == pytest.approx(3600e6, abs=60e6)
    assert (alarm["comment"], alarm["actor"]) == ("sensor is being replaced", "local")
    bench.do("unshelve")
    bench.find("end")
    assert bench.alarms()[0]["state"] == "returned"
    bench.do("acknowledge")
    assert bench.alarms() == []
    query = urlencode({"device": bench.device})
    events = bench.page.json(f"/api/v1/alarm-events?{query}")["events"]
    told = ["acknowledge", "return", "unshelve", "shelve", "acknowledge", "raise"]
    assert [one["event"] for one in events] == told
    audited = bench.page.json("/api/v1/audit?action=alarm.shelve")["events"]
    assert any(one["detail"]["reason"] == "sensor is being replaced" for one in audited)


def test_what_the_state_does_not_allow_is_a_conflict(bench):
    """409 with the state; 404 for what was never raised; 400 for what lacks a reason or a timer."""
    bench.find("start")
    bench.do("acknowledge")
    said = bench.do("acknowledge", 409)
    assert said["type"] == "urn:floorlog:problem:conflict"
    assert "is acknowledged: it takes no acknowledge" in said["detail"]
    bench.do("reset", 409)
    bench.do("unshelve", 409)
    assert "never raised" in bench.do("acknowledge", 404, alarms=[bench.ref("rate")])["detail"]
    assert "reason" in bench.do("shelve", 400, seconds=60)["detail"]
    assert "reason" in bench.do("shelve", 400, seconds=60, reason=" ")["detail"]
    assert "seconds" in bench.do("shelve", 400, reason="x")["detail"]
    assert "seconds" in bench.do("acknowledge", 400, seconds=60)["detail"]
    assert "reason" in bench.do("suppress", 400)["detail"]
    for wrong in ({"alarms": []}, {"reason": 5}, {"strange": 1}, {"reason": "\0"}):
        bench.do("acknowledge", 400, **wrong)
    bench.do("silence", 404)


def test_many_at_once_all_or_none(bench):
    """One illegal among them: none has changed."""
    for detector in ("limit", "rate", "stuck"):
        bench.find("start", detector)
    refs = [bench.ref(one) for one in ("limit", "rate", "stuck")]
    bench.do("acknowledge", alarms=refs[:1])
    bench.do("acknowledge", 409, alarms=refs)
    assert sorted(one["state"] for one in bench.alarms()) == [
        "acknowledged", "unacknowledged", "unacknowledged",
    ]  # fmt: skip
    assert len(bench.do("acknowledge", alarms=refs[1:] + refs[1:])["events"]) == 2


def test_pages_and_filters(bench):
    """In pages each alarm once; by priority, asset and state."""
    for n, detector in enumerate(("a", "b", "c", "d", "e")):
        bench.find("start", detector, severity=1 + n % 3)
    whole = bench.alarms()
    assert [one["priority"] for one in whole] == ["high", "medium", "medium", "low", "low"]
    pages, cursor = [], ""
    while True:
        asked = urlencode({"device": bench.device, "limit": 2, "cursor": cursor})
        page = bench.page.json(f"/api/v1/alarms?{asked}")
        pages += page["alarms"]
        cursor = page["next"]
        if cursor is None:
            break
    assert pages == whole
    assert len(bench.alarms(priority="medium")) == 3
    assert len(bench.alarms(asset=bench.device)) == 5
    assert bench.alarms(asset="elsewhere") == []
    assert bench.alarms(state="shelved") == []


def test_a_flood_and_the_load(bench):
    """Eleven alarms at once are a flood, as the list says; the load counts them."""
    begin = now_us()
    for n in range(11):
        bench.find("start", f"f{n}")
    listed = bench.page.json(f"/api/v1/alarms?{urlencode({'device': bench.device})}")
    assert listed["flood"]["end"] is None
    assert listed["flood"]["alarms"] >= 11
    query = urlencode({"from": begin, "to": now_us(), "operators": 2})
    load = bench.page.json(f"/api/v1/alarm-load?{query}")
    assert load["alarms"] == 11 == load["peak_in_ten_minutes"]
    assert load["alarms_per_operator_hour"] == pytest.approx(11 / load["hours"] / 2)
    assert load["by_priority"]["high"] == 11
    assert len(load["worst"]) == 10
    for wrong in ({"from": 5, "to": 5}, {"from": 0, "to": begin}, {"operators": 0}):
        assert bench.page.get(f"/api/v1/alarm-load?{urlencode(wrong)}")[0].status == 400


def test_alarms_come_live(bench, follow):
    """A raise and what somebody does are events of the feed, at once."""
    bench.find("start", "warm-up")
    stream = follow(bench.page)
    stream.next("board")
    bench.find("start")

    def told(state: str) -> dict:
        while True:
            for one in stream.next("alarms")[1]:
                if (one["device"], one["detector"], one["state"]) == (bench.device, "limit", state):
                    return one

    assert told("unacknowledged")["priority"] == "high"
    bench.do("acknowledge", reason="on my way")
    assert told("acknowledged")["comment"] == "on my way"
    _, board = follow(bench.page).next("board")
    shown = {
        one["detector"]: one["state"] for one in board["alarms"] if one["device"] == bench.device
    }
    assert shown == {"warm-up": "unacknowledged", "limit": "acknowledged"}


def test_a_page_that_comes_back_misses_nothing(bench, follow):
    """With the name of its last event it is told what it missed, not everything; else all."""
    bench.find("start", "warm-up")
    stream = follow(bench.page)
    stream.next("board")
    name = stream.name
    stream.close()
    wanted = [bench.find("start", f"missed-{n}") for n in range(3)]
    time.sleep(1.5)
    back = follow(bench.page, last=name)
    raised = set()
    while not set(wanted) <= raised:
        kind, content = back.next()
        assert kind != "board"
        if kind == "alarms":
            raised |= {one["raised"] for one in content if one["device"] == bench.device}
    for strange in ("", "x", f"{name}9999", "deadbeef-1"):
        assert follow(bench.page, last=strange).next("board", "alarms")[0] == "board"


def test_an_operation_needs_json(bench):
    """A form, as another site could send it, is refused; so are bodies where none belongs."""
    for kind in ("application/x-www-form-urlencoded", "text/plain", None):
        headers = {"Content-Type": kind} if kind else {}
        answer = bench.page.send("POST", "/api/v1/alarms/acknowledge", b"{}", headers)
        assert answer[0].status == 415
    big = json.dumps({"alarms": [bench.ref()], "reason": "x" * 1_070_000}).encode()
    headers = {"Content-Type": "application/json"}
    assert bench.page.send("POST", "/api/v1/alarms/acknowledge", big, headers)[0].status == 413
    assert bench.page.send("GET", "/api/v1/alarms", b"{}", headers)[0].status == 400
    response, _ = bench.page.send("DELETE", "/api/v1/alarms", b"", {})
    assert (response.status, response.headers["Allow"]) == (405, "GET")
