"""The live feed: at once, whole after each loss, and no page can hold up another."""

import asyncio
import json
import signal
import socket
import time
from typing import Any

import psycopg
import pytest

from floorlog.cache import Changed, Endpoint, Last
from floorlog.core.reading import Anomaly
from floorlog.web.api.health import Gauge
from floorlog.web.feed import BYTES_MAX, CLIENTS_MAX, MESSAGES_MAX, Client, Feed, event

# One set of servers for all files that need them.
pytestmark = [pytest.mark.xdist_group("page"), pytest.mark.slow]
NOBODY = Endpoint("127.0.0.1", 9)
SEEN_SECONDS_MAX = 2.0


def now_us() -> int:
    return time.time_ns() // 1000


def health(page: Any) -> Any:
    """What /api/v1/health says, whichever status it has."""
    return json.loads(page.get("/api/v1/health")[1])


def next_value(stream: Any, ts: int) -> Any:
    """The feed's event for the reading of this time stamp."""
    while True:
        _, values = stream.next("values")
        for value in values:
            if value[1] == ts:
                return value[4]


def next_finding(stream: Any, start: int) -> Any:
    """The feed's next word of the finding that started then."""
    while True:
        for finding in stream.next("findings")[1]:
            if finding["start"] == start:
                return finding


def test_a_reading_is_on_the_page_within_two_seconds(plant, page, follow, until):
    """From commit to the page's event, through the cache."""
    row = plant.row("a", "level")
    plant.commit([(row, now_us(), 1.0)])
    until(lambda: page.shows("a"))
    stream = follow(page)
    assert stream.response.getheader("Content-Type").startswith("text/event-stream")
    kind, board = stream.next()
    assert kind == "board"
    assert "a" in {one["device"] for one in board["series"]}
    for n in range(3):
        at = now_us()
        plant.commit([(row, at, 2.0 + n)])
        began = time.monotonic()
        assert next_value(stream, at) == 2.0 + n
        assert time.monotonic() - began < SEEN_SECONDS_MAX


def test_the_same_without_a_cache(plant, open_page, follow, until):
    """With the cache away, values and anomalies come from the record within the same time."""
    row = plant.row("without", "level")
    plant.commit([(row, now_us(), 1.0)])
    page = open_page(NOBODY)
    until(lambda: page.shows("without"))
    stream = follow(page)
    stream.next("pulse")
    at = now_us()
    plant.commit(
        [(row, at, 2.0)], (Anomaly(row, "limit", "start", at, at, 3, 1.0, 2.0, 1.5, "too high"),)
    )
    began = time.monotonic()
    wanted = {"values", "findings"}
    while wanted:
        wanted.discard(stream.next("values", "findings")[0])
    assert time.monotonic() - began < SEEN_SECONDS_MAX + 0.5


@pytest.mark.slow
def test_an_anomaly_begins_and_ends_in_place(plant, page, follow, until):
    """One finding, told twice: open, then ended; what a retry tells again is not told again."""
    row = plant.row("a", "level")
    plant.commit([(row, now_us(), 1.0)])
    until(lambda: page.shows("a"))
    stream = follow(page)
    stream.next("board")
    at = now_us()
    begin = Anomaly(row, "limit", "start", at, at, 3, 1.0, 9.0, 5.0, "above the high limit")
    plant.commit([(row, at, 9.0)], (begin,))
    shown = next_finding(stream, at)
    assert (shown["device"], shown["severity"], shown["end"]) == ("a", 3, None)
    plant.commit(
        [(row, at + 5, 1.0)],
        (Anomaly(row, "limit", "end", at, at + 5, 3, 1.0, 1.0, 5.0, "back inside"),),
    )
    shown = next_finding(stream, at)
    assert shown["end"] == at + 5
    assert shown["reason"] == "above the high limit"
    time.sleep(3.5)  # the record is asked again meanwhile
    (kept,) = [f for f in page.feed.board.findings.values() if f.start == at]
    assert kept.end == at + 5


@pytest.mark.slow
def test_every_second_a_pulse(bare_page, follow):
    """The browser can tell a silent plant from a dead feed."""
    stream = follow(bare_page)
    stream.next("pulse")
    times = []
    for _ in range(3):
        _, pulse = stream.next("pulse")
        times.append(time.monotonic())
        assert abs(pulse["now"] - now_us()) < 2_000_000
    assert 0.5 < times[1] - times[0] < 2.0


def test_a_new_series_brings_its_description(plant, page, follow, until):
    """It is described before its first value, and again when the record tells its unit."""
    plant.commit([(plant.row("a", "level"), now_us(), 1.0)])
    until(lambda: page.shows("a"))
    stream = follow(page)
    stream.next("board")
    at = now_us()
    plant.commit([(plant.row("b", "speed", unit="m/s"), at, 1.0)])
    told: list[dict[str, Any]] = []
    while not any(one.get("unit") == "m/s" for one in told):
        kind, content = stream.next("series", "values")
        if kind == "series":
            told += [one for one in content if one["device"] == "b"]
        else:
            assert told or all(value[1] != at for value in content)


def test_a_page_that_does_not_read_is_hung_up_on(plant, page, follow, until):
    """It is cut off at a bound; other pages hear everything meanwhile."""
    plant.commit([(plant.row("a", "level"), now_us(), 1.0)])
    until(lambda: page.shows("a"))
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", page.port))
    slow.sendall(b"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    good = follow(page)
    until(lambda: len(page.feed._clients) == 2)
    large = [Last(0, 0, 0, "x" * 2000, f"d{n}", "m") for n in range(1000)]

    def flood() -> None:
        newer = tuple(Last(now_us(), 0, 0, one.value, one.device, one.metric) for one in large)
        page.feed.take(Changed(newer, ()))

    for _ in range(BYTES_MAX // 2_000_000 + 4):
        page.loop.call_soon_threadsafe(flood)
        good.next("values")
    until(lambda: len(page.feed._clients) == 1)
    slow.close()
    good.next("pulse")


def test_a_closed_page_is_forgotten(bare_page, follow, until):
    """Nothing is kept for who went."""
    before = len(bare_page.feed._clients)
    stream = follow(bare_page)
    stream.next("board")
    assert len(bare_page.feed._clients) == before + 1
    stream.close()
    until(lambda: len(bare_page.feed._clients) <= before)


def test_too_many_pages_are_refused(bare_page):
    """The 65th is told to close some; the others live on."""
    clients = []
    while (client := bare_page.feed.join(lambda: None)) is not None:
        clients.append(client)
    assert len(bare_page.feed._clients) == CLIENTS_MAX
    assert "too many pages" in bare_page.json("/api/v1/live", 503)["detail"]
    for client in clients:
        bare_page.feed.leave(client)


def test_a_defect_in_one_question_ends_no_other():
    """What fails for a reason that nobody foresaw is shown, and asked again."""

    class Wrong:
        def __init__(self) -> None:
            self.asked = 0
            self.enough = asyncio.Event()

        async def ask(self, _: Any) -> Any:
            self.asked += 1
            if self.asked >= 12:
                self.enough.set()
            raise KeyError("defect")

    async def run() -> str | None:
        wrong: Any = Wrong()
        feed = Feed(wrong, NOBODY, Gauge(10.0, None))
        feed.record_fault = None
        looking = asyncio.create_task(feed._look())
        await asyncio.wait_for(wrong.enough.wait(), 60)
        looking.cancel()
        return feed.record_fault

    fault = asyncio.run(run())
    assert fault is not None
    assert "see its log" in fault


def test_a_client_s_queue_is_bounded():
    """By messages and by bytes; what is left over is dropped with the client."""

    async def overflow(message: bytes, count: int) -> list[str]:
        cut: list[str] = []
        client = Client(lambda: cut.append("cut"))
        for _ in range(count):
            client.put(message)
        assert not client._queue
        assert await client.next() is None
        return cut

    assert asyncio.run(overflow(b"x", MESSAGES_MAX + 1)) == ["cut"]
    assert asyncio.run(overflow(b"x" * (BYTES_MAX // 4), 5)) == ["cut"]


@pytest.mark.slow
def test_the_cache_s_death_and_return_are_survived(plant, page, follow, until):
    """Values go on coming while it is dead and after it is back; the page says which it is."""
    supervisor, row = plant.servers.supervisor, plant.row("a", "level")
    plant.commit([(row, now_us(), 1.0)])
    until(lambda: health(page)["cache"] is None)
    stream = follow(page)
    dead = supervisor.kill("valkey", signal.SIGKILL, hold=True)
    until(lambda: health(page)["cache"] is not None)
    at = now_us()
    plant.commit([(row, at, 2.0)])
    assert next_value(stream, at) == 2.0
    supervisor.restart("valkey")
    supervisor.wait_ready("valkey", dead)
    until(lambda: health(page)["cache"] is None)
    at = now_us()
    plant.commit([(row, at, 3.0)])
    assert next_value(stream, at) == 3.0


@pytest.mark.slow
def test_a_lost_database_connection_is_made_anew(plant, page, follow, until):
    """The record's session may be ended at any time: the page says so at most for a moment."""
    plant.commit([(plant.row("a", "level"), now_us(), 1.0)])
    until(lambda: health(page)["record"] is None)
    with psycopg.connect(plant.servers.dsn(database=plant.database), autocommit=True) as connection:
        ended = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name = 'floorlog reader'"
        ).fetchone()
    assert ended is not None
    assert ended[0] >= 1
    follow(page)
    time.sleep(1.5)
    until(lambda: health(page)["record"] is None)


def test_events_are_one_line_of_json():
    """Whatever a name holds, an event ends where it should."""
    message = event("values", ["a\nb\r\n\r\nevent: x", "\u2028"]).decode()
    head, data, *rest = message.split("\n")
    assert head == "event: values"
    assert rest == ["", ""]
    assert json.loads(data.removeprefix("data: ")) == ["a\nb\r\n\r\nevent: x", "\u2028"]
