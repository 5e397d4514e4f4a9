"""Readings through the API: pages, down-sampling that keeps extremes, states, downloads."""

import csv
import io
import json
import math
import random
import time
from urllib.parse import urlencode

import psycopg
import pyarrow.parquet
import pytest

from floorlog.core.reading import Kind
from floorlog.store.migrate import KEEPER, OPERATOR

pytestmark = [pytest.mark.xdist_group("page"), pytest.mark.slow]
SECOND = 1_000_000


def now_us() -> int:
    return time.time_ns() // 1000


def ask(page, address: str, status: int = 200, **query):
    return page.json(f"/api/v1/{address}?{urlencode(query, doseq=True)}", status)


@pytest.fixture
def noisy(plant, request):
    """A series of 3,000 readings with two spikes, and the time of the first."""
    device = request.node.name
    row = plant.row(device, "level")
    begin = now_us() - 3_000 * SECOND
    chance = random.Random(7)
    values = [math.sin(n / 50) + chance.random() / 10 for n in range(3_000)]
    values[1234], values[2345] = 99.5, -77.25
    plant.commit([(row, begin + n * SECOND, value) for n, value in enumerate(values)])
    return device, begin, values


@pytest.mark.parametrize(
    ("buckets", "width", "source"),
    [
        (170, -(-3_000 * SECOND // 170), "readings"),
        (17, 180 * SECOND, "minutes"),
        (1, 3_600 * SECOND, "half hours"),
    ],
)
def test_down_sampling_loses_no_extreme(page, noisy, buckets, width, source):
    """Each bucket's lowest and highest with their times, by hand from the readings."""
    device, begin, values = noisy
    end = begin + 3_000 * SECOND
    span = {"from": begin, "to": end, "buckets": buckets}
    found = ask(page, "trend", device=device, metric="level", **span)
    assert (found["width"], found["source"]) == (width, source)
    for first, low, low_at, high, high_at, mean, count, good in found["buckets"]:
        assert source == "readings" or first % width == 0
        inside = {
            begin + n * SECOND: value
            for n, value in enumerate(values)
            if first <= begin + n * SECOND < first + width
        }
        assert (low, high) == (min(inside.values()), max(inside.values()))
        assert (inside[low_at], inside[high_at]) == (low, high)
        assert (count, good) == (len(inside), len(inside))
        assert mean == pytest.approx(sum(inside.values()) / len(inside))
    assert sum(one[6] for one in found["buckets"]) == 3_000
    assert max(one[3] for one in found["buckets"]) == 99.5
    assert min(one[1] for one in found["buckets"]) == -77.25
    ask(page, "trend", 400, device=device, metric="level", buckets=0)
    assert ask(page, "trend", device="none", metric="level")["buckets"] == []


def test_pages_of_readings_hold_each_once(page, noisy):
    """Forward from the first page's `next`, whatever their length."""
    device, begin, values = noisy
    span = {"device": device, "metric": "level", "from": begin, "to": begin + 3_000 * SECOND}
    newest = ask(page, "readings", rows=700, **span)
    assert newest["truncated"]
    assert [row[1] for row in newest["readings"]] == values[-700:]
    found, cursor = [], newest["next"]
    while cursor:
        part = ask(page, "readings", rows=700, cursor=cursor, **span)
        found += part["readings"]
        cursor = part["next"]
    assert [row[1] for row in found] == values
    for wrong in ("x", "WzFd", "bnVsbA", "W251bGwsMF0"):
        ask(page, "readings", 400, cursor=wrong, **span)


def test_readings_of_one_time_are_not_lost_between_pages(plant, page, request):
    """Many readings of one time, more than a page holds."""
    device = request.node.name
    row = plant.row(device, "level")
    at = now_us()
    plant.commit([(row, at, float(n)) for n in range(25)])
    span = {"device": device, "metric": "level", "from": at, "to": at + 1, "rows": 4}
    found, cursor = [], ask(page, "readings", **span)["next"]
    while cursor:
        part = ask(page, "readings", cursor=cursor, **span)
        found += [row[1] for row in part["readings"]]
        cursor = part["next"]
    assert sorted(found) == [float(n) for n in range(25)]


def test_as_of_and_corrected(plant, page, request):
    """Before its batch is in the log a reading was not known; a correction stands beside it."""
    device = request.node.name
    row = plant.row(device, "level")
    at = now_us()
    plant.commit([(row, at, 5.0)])
    span = {"device": device, "metric": "level", "from": at, "to": at + 1}
    with psycopg.connect(plant.dsn(KEEPER), autocommit=True) as keeper:
        size = keeper.execute("SELECT floorlog.sequence(100000)").fetchone()[0]
    with psycopg.connect(plant.dsn(OPERATOR), autocommit=True) as operator:
        operator.execute(
            "SELECT floorlog.correct(%s, 'level', %s, 4.5, NULL, NULL, 'p-1', 'gauge read wrong')",
            (device, at),
        )
    assert ask(page, "readings", **span)["readings"] == [[at, 5.0, 0, 4, 4.5]]
    assert ask(page, "readings", as_of=size, **span)["readings"] == [[at, 5.0, 0, 0, None]]
    assert ask(page, "readings", as_of=0, **span)["readings"] == []
    ask(page, "readings", 400, as_of=-1, **span)


def test_states_as_spans(plant, page, request):
    """A span for each stretch in one state."""
    device = request.node.name
    plant.register([], ("idle", "busy"))
    row = plant.row(device, "mode", Kind.STATE)
    idle, busy = float(plant.states["idle"]), float(plant.states["busy"])
    begin = now_us() - 100 * SECOND
    told = [idle, idle, busy, busy, busy, idle]
    plant.commit([(row, begin + n * SECOND, state) for n, state in enumerate(told)])
    span = {"device": device, "metric": "mode", "from": begin, "to": begin + 100 * SECOND}
    found = ask(page, "states", **span)
    assert found["spans"] == [
        [begin, begin + SECOND, "idle"], [begin + 2 * SECOND, begin + 4 * SECOND, "busy"],
        [begin + 5 * SECOND, begin + 5 * SECOND, "idle"],
    ]  # fmt: skip
    assert ask(page, "states", limit=2, **span)["truncated"]


def test_csv_streams_all(page, noisy):
    """More rows than a page of the record, each once, exact to the last digit; times as text."""
    device, begin, values = noisy
    span = {"device": device, "metric": "level", "from": begin, "to": begin + 3_000 * SECOND}
    response, body = page.get(f"/api/v1/readings.csv?{urlencode(span)}")
    assert response.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    assert [float(row["value"]) for row in rows] == values
    assert {row["device_id"] for row in rows} == {device}
    assert all(row["ts"].endswith("Z") for row in rows)
    assert page.get("/api/v1/readings.csv?device=a")[0].status == 400


def test_a_text_is_no_formula(plant, page, request):
    """What a spreadsheet would run is kept from it."""
    plant.register([], ("=1+1",))
    row = plant.row("@" + request.node.name, "mode", Kind.STATE)
    plant.commit([(row, now_us(), float(plant.states["=1+1"]))])
    query = urlencode({"device": "@" + request.node.name, "metric": "mode"})
    body = page.get(f"/api/v1/readings.csv?{query}")[1].decode()
    assert "'=1+1" in body
    assert ",=1" not in body
    assert "\n@" not in body


def test_parquet_streams_all(page, noisy):
    """The same rows, as another reader of the format finds them."""
    device, begin, values = noisy
    span = {"device": device, "metric": "level", "from": begin, "to": begin + 3_000 * SECOND}
    response, body = page.get(f"/api/v1/readings.parquet?{urlencode(span)}")
    assert response.status == 200
    table = pyarrow.parquet.read_table(io.BytesIO(body))
    assert table["value"].to_pylist() == values
    assert table["device_id"].to_pylist() == [device] * len(values)
    assert [one.timestamp() for one in table["ts"].to_pylist()][:1] == [begin / SECOND]
    empty = page.get("/api/v1/readings.parquet?device=none&metric=none")[1]
    assert pyarrow.parquet.read_table(io.BytesIO(empty)).num_rows == 0


def test_series_and_devices_in_pages(plant, page, request):
    """Each once, in order, with kind, unit and asset."""
    names = [f"{request.node.name}-{n}" for n in range(5)]
    for name in names:
        for metric in ("a", "b"):
            plant.row(name, metric, unit="Cel")
    for address, field in (("series", "series"), ("devices", "devices")):
        found, cursor = [], ""
        while cursor is not None:
            part = ask(page, address, limit=3, cursor=cursor)
            found += part[field]
            cursor = part["next"]
        mine = [one for one in found if one["device"] in names]
        assert len(mine) == (10 if address == "series" else 5)
        assert [one["device"] for one in mine] == sorted(one["device"] for one in mine)
    one = ask(page, "series", device=names[0])["series"][0]
    assert one == {
        "device": names[0], "metric": "a", "kind": "number", "unit": "Cel", "asset": names[0],
    }  # fmt: skip


def test_metrics_for_prometheus(plant, page, request, until):
    """Text format 0.0.4: every sample after its help and type; counts as the record has them."""
    plant.commit([(plant.row(request.node.name, "level"), now_us(), 1.0)])
    until(lambda: b"floorlog_stored_total{" in page.get("/metrics")[1])
    response, body = page.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    declared = set()
    for line in body.decode().splitlines():
        if line.startswith("# TYPE"):
            declared.add(line.split()[2])
        elif not line.startswith("#"):
            name = line.partition("{")[0].split()[0]
            assert name in declared, line
            float(line.rpartition(" ")[2])
    assert "floorlog_record_up 1" in body.decode()


def test_the_catalogue_can_be_changed(plant, page):
    """From the version it was made of, else a conflict; a dry run writes nothing."""
    now = page.json("/api/v1/catalogue")
    body = {"metrics": {"level": {"limits": {"hi": 5}}}}
    change = {"version": now["version"], "body": body}
    headers = {"Content-Type": "application/json"}

    def put(content) -> tuple[int, dict]:
        data = json.dumps(content).encode()
        response, answer = page.send("PUT", "/api/v1/catalogue", data, headers)
        return response.status, json.loads(answer)

    assert put({**change, "dry_run": True}) == (200, {"version": now["version"]})
    assert put(change) == (200, {"version": now["version"] + 1})
    assert put(change)[0] == 409
    wrong = {"metrics": {"level": {"limits": {"lo": 9, "hi": 5}}}}
    status, said = put({"version": now["version"] + 1, "body": wrong})
    assert status == 400
    assert "lies above" in said["detail"]
    kept = page.json("/api/v1/catalogue")
    assert kept["body"]["metrics"] == body["metrics"]
    assert page.json("/api/v1/audit?action=catalogue.put")["events"][0]["actor"] == "local"


def test_what_was_refused_lost_and_signed(plant, page):
    """Rejects, gaps and the log answer, in pages; a proof says what is missing for it."""
    assert page.json("/api/v1/rejects?limit=1")["rejects"] == []
    assert page.json("/api/v1/gaps")["gaps"] == []
    assert page.json("/api/v1/ledger")["noted"] == 0
    said = ask(page, "proof", 404, device="a", metric="b", ts=1)
    assert "FLOORLOG_ANCHOR" in said["detail"]
