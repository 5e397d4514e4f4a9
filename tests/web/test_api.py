"""The page's JSON: what it gives, what it bounds, and to whom."""

import time
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import urlencode

import pytest

from floorlog.cache import Endpoint
from floorlog.core.reading import Anomaly, Kind

# One set of servers for all files that need them.
pytestmark = [pytest.mark.xdist_group("page"), pytest.mark.slow]
NOBODY = Endpoint("127.0.0.1", 9)


def now_us() -> int:
    return time.time_ns() // 1000


def test_last_values_say_what_they_are(plant, page, until):
    """Series with unit and expectations from the catalogue, values with time, arrival, quality."""
    plant.catalogue(
        {
            "metrics": {"level": {"limits": {"lo": 1, "hi": 9}, "interval_s": 2}},
            "devices": {"press-07": {"asset": "line-1"}},
        }
    )
    plant.register([], ("running",))
    level, mode = (
        plant.row("press-07", "level", unit="Cel"),
        plant.row("press-07", "mode", Kind.STATE),
    )
    at = now_us()
    plant.commit([(level, at, 5.25), (mode, at, float(plant.states["running"]))])

    def described() -> dict[str, dict[str, Any]]:
        series = page.json("/api/v1/last")["series"]
        return {one["metric"]: one for one in series if one["device"] == "press-07"}

    until(lambda: len(described()) == 2 and described()["level"].get("unit"), 20)
    by_metric = described()
    last = page.json("/api/v1/last")
    by_metric["level"].pop("is_learning", None)
    assert by_metric["level"] == {
        "i": by_metric["level"]["i"], "device": "press-07", "metric": "level", "unit": "Cel",
        "asset": "line-1", "lo": 1.0, "hi": 9.0, "interval_s": 2.0,
    }  # fmt: skip
    values = {index: (ts, value) for index, ts, _, _, value in last["values"]}
    assert values[by_metric["level"]["i"]] == (at, 5.25)
    assert values[by_metric["mode"]["i"]] == (at, "running")
    assert abs(last["now"] - now_us()) < 2_000_000


def test_status_counts_by_shard_and_in_total(plant, page):
    """The same counts as `floorlog status`, lag in ms, rejects by code."""
    row = plant.row("counted", "level")
    before = page.json("/api/v1/status")["total"]
    plant.commit([(row, now_us(), 1.0)], received=4, duplicate=1, rejected=2)
    status = page.json("/api/v1/status")
    wanted = {
        "records": 1,
        "received": 4,
        "stored": 1,
        "rejected": 2,
        "duplicate": 1,
        "conflict": 0,
    }
    assert {name: status["total"][name] - before[name] for name in wanted} == wanted
    assert status["total"]["gaps"] == 0
    (shard,) = status["shards"].values()
    assert {name: shard[name] for name in wanted} == {n: status["total"][n] for n in wanted}
    assert shard["lag"] == 0
    assert shard["owner"] == "ann"


def test_readings_are_bounded(plant, page):
    """Oldest first, newest kept when there are more than asked for, and it says so."""
    row = plant.row("bounded", "level")
    begin = now_us() - 60_000_000
    plant.commit([(row, begin + n * 1_000_000, float(n)) for n in range(50)])
    query = {"device": "bounded", "metric": "level", "from": begin, "to": begin + 50_000_000}
    all_of = page.json(f"/api/v1/readings?{urlencode(query)}")
    assert [value for _, value, *_ in all_of["readings"]] == [float(n) for n in range(50)]
    assert not all_of["truncated"]
    some = page.json(f"/api/v1/readings?{urlencode({**query, 'rows': 3})}")
    assert [value for _, value, *_ in some["readings"]] == [47.0, 48.0, 49.0]
    assert some["truncated"]
    none = page.json("/api/v1/readings?device=unknown&metric=level")
    assert none["readings"] == []


@pytest.mark.parametrize("place", ["[1,-1]", "[1]", '["a",0]', "[1,0,0]"])
def test_a_cursor_that_was_never_given_is_refused(page, place):
    """As the asker's mistake: the record is not said to be away."""
    cursor = urlsafe_b64encode(place.encode()).decode().rstrip("=")
    for what in ("rejects", "gaps"):
        said = page.json(f"/api/v1/{what}?cursor={cursor}", 400)
        assert said["detail"].startswith("cursor:")


def test_anomalies_open_and_ended(plant, page):
    """An open finding and one that ended lately, with reason and severity."""
    row = plant.row("found", "level")
    at = now_us()
    plant.commit(
        [(row, at, 9.0)],
        (
            Anomaly(row, "limit", "start", at, at, 3, 1.0, 9.0, 5.0, "above the high limit"),
            Anomaly(row, "rate", "start", at, at, 2, 1.0, 9.0, 5.0, "too fast"),
            Anomaly(row, "rate", "end", at, at + 5, 2, 1.0, 9.0, 5.0, "usual again"),
        ),
    )
    findings = page.json("/api/v1/anomalies")["findings"]
    found = {one["detector"]: one for one in findings if one["device"] == "found"}
    assert found["limit"]["end"] is None
    assert found["limit"]["severity"] == 3
    assert found["rate"]["end"] == at + 5


def test_health_says_what_is_away(plant, open_page, until):
    """Without a cache the page still has every value, from the record; health names the cache."""
    plant.commit([(plant.row("away", "level"), now_us(), 1.5)])
    page = open_page(NOBODY)
    until(lambda: page.shows("away"))
    until(lambda: page.get("/api/v1/health")[0].status == 200)
    health = page.json("/api/v1/health")
    assert health["record"] is None
    assert "cache at 127.0.0.1:9" in health["cache"]


def test_a_record_that_is_away_is_said(plant, open_page, until):
    """503 with one line that names the database and the mend; the page itself stays up."""
    page = open_page(dsn=plant.dsn() + "_that_is_not_there")
    until(lambda: "not yet" not in page.json("/api/v1/health", 503)["record"])
    assert "database" in page.json("/api/v1/health", 503)["record"]
    assert "the record does not answer" in page.json("/api/v1/status", 503)["detail"]
    assert page.json("/healthz") == {"alive": True}
    assert page.get("/")[0].status == 200
