"""The live feed: whole first, then what moves, and the truth about being away."""

import queue
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from floorlog.cache import CHANNEL, KEY, Changed, Endpoint, Heard, Last, Lost, Quiet, Whole, listen
from floorlog.core.reading import Anomaly

pytestmark = pytest.mark.slow  # starts a cache

T0 = 1_767_225_600_000_000


class Ear:
    """Listens in a thread, as the page does."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.heard: queue.Queue[Heard] = queue.Queue()
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(endpoint,), daemon=True)
        self._thread.start()

    def _run(self, endpoint: Endpoint) -> None:
        for heard in listen(endpoint, self.stopping):
            self.heard.put(heard)

    def next(self, kind: type[Heard], seconds: float = 8.0) -> Any:
        """The next of a kind; Quiet ones may come before it."""
        while True:
            heard = self.heard.get(timeout=seconds)
            if isinstance(heard, kind):
                return heard
            assert isinstance(heard, Quiet | Lost), heard

    def close(self) -> None:
        self.stopping.set()
        self._thread.join(3)
        assert not self._thread.is_alive()


@pytest.fixture
def ear() -> Iterator[Callable[[Endpoint], Ear]]:
    made: list[Ear] = []

    def make(endpoint: Endpoint) -> Ear:
        made.append(Ear(endpoint))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_the_whole_first_then_what_moves(cache, shard, writer, until, ear):
    """A listener gets all values, then each change with its anomaly events, in the same second."""
    a = shard.add("press-07")
    one = writer()
    one.publish(shard.batch([(a, 0, 1.0)]))
    until(cache.values)
    page = ear(cache.endpoint)
    assert page.next(Whole).values == (Last(T0, T0 // 10**6, 0, 1.0, "press-07", "level"),)
    finding = Anomaly(a, "limit", "start", T0, T0 + 1, 3, float("inf"), 9.0, 5.0, "above hi")
    one.publish(shard.batch([(a, 1, 9.0)], anomalies=(finding,)))
    values, anomalies = [], []
    while not (values and anomalies):
        changed = page.next(Changed)
        values += changed.values
        anomalies += changed.anomalies
    assert [last.value for last in values] == [9.0]
    (event,) = anomalies
    assert (event.device, event.detector, event.phase, event.start) == (
        "press-07", "limit", "start", T0,
    )  # fmt: skip
    assert event.score is None
    assert event.reason == "above hi"


def test_a_batch_larger_than_a_call_comes_in_parts(cache, shard, writer, ear):
    """More series than one call takes are all told, each once."""
    rows = [shard.add(f"d{n}") for n in range(1201)]
    page = ear(cache.endpoint)
    page.next(Whole)
    writer().publish(shard.batch([(row, 0, 1.0) for row in rows]))
    told: list[str] = []
    while len(told) < len(rows):
        told += [last.device for last in page.next(Changed).values]
    assert sorted(told) == sorted(f"d{n}" for n in range(1201))


@pytest.mark.slow
def test_a_dead_cache_is_said_and_its_return_too(cache, shard, writer, ear):
    """Lost comes when the server is killed, Whole with everything when it is back."""
    writer().publish(shard.batch([(shard.add("a"), 0, 1.0)]))
    page = ear(cache.endpoint)
    page.next(Whole)
    cache.supervisor.kill("valkey", hold=True)
    page.heard.queue.clear()
    assert "cache at" in page.next(Lost).reason
    cache.supervisor.restart("valkey")
    whole = page.next(Whole)
    assert whole.values or page.next(Changed).values


@pytest.mark.slow
def test_a_hanging_cache_is_noticed(cache, ear):
    """A server that keeps the connection and says nothing counts as lost after 3 s."""
    page = ear(cache.endpoint)
    page.next(Whole)
    cache.supervisor.kill("valkey", signal.SIGSTOP)
    try:
        page.next(Lost)
    finally:
        cache.supervisor.kill("valkey", signal.SIGCONT)
    page.next(Whole)


def test_what_others_wrote_is_passed_over(cache, shard, writer, until, ear):
    """Foreign fields in the hash and foreign messages on the channel harm nothing."""
    writer().publish(shard.batch([(shard.add("a"), 0, 1.0)]))
    until(cache.values)
    cache.call("HSET", KEY, "stranger", "not json")
    cache.call("HSET", KEY, "other", '{"ts":1}')
    page = ear(cache.endpoint)
    assert [last.device for last in page.next(Whole).values] == ["a"]
    for noise in ("", "[]", '{"values":[1],"anomalies":[]}'):
        cache.call("PUBLISH", CHANNEL, noise)
    cache.call("PUBLISH", CHANNEL, '{"values":[[1,1,0,"on","b","c"]],"anomalies":[]}')
    assert page.next(Changed).values == (Last(1, 1, 0, "on", "b", "c"),)
