"""The cache is a view: never in the way, never rolled back, right again within 5 seconds."""

import logging
import random
import signal
import time
from collections.abc import Callable

import pytest
from redis.cluster import RedisCluster

from floorlog.cache import KEY, Endpoint, Last
from floorlog.cache.last_values import ANOMALIES_MAX
from floorlog.core.reading import Anomaly, Kind

pytestmark = pytest.mark.slow  # starts a cache

T0 = 1_767_225_600_000_000
RIGHT_AGAIN_SECONDS = 5.0


def test_numbers_and_states_are_seen_at_once(cache, shard, writer, until):
    """A committed batch's newest values are in the cache within a second, states by name."""
    level, mode = shard.add("press-07"), shard.add("press-07", "mode", Kind.STATE)
    shard.states["running"] = 7
    began = time.monotonic()
    writer().publish(shard.batch([(level, 0, 71.3), (level, 1000, 71.4), (mode, 500, 7.0)]))
    until(lambda: len(cache.values()) == 2)
    assert time.monotonic() - began < 1.0
    assert cache.values() == {
        ("press-07", "level"): Last(T0 + 1000, T0 // 10**6, 0, 71.4, "press-07", "level"),
        ("press-07", "mode"): Last(T0 + 500, T0 // 10**6, 0, "running", "press-07", "mode"),
    }


def test_any_client_reads_it(cache, shard, writer, until):
    """The hash is plain JSON in one slot: a stock cluster client reads it."""
    writer().publish(shard.batch([(shard.add("a"), 0, 1.5)]))
    until(cache.values)
    stock = RedisCluster(cache.endpoint.host, cache.endpoint.port)
    assert stock.hget(KEY, "a\x1flevel") == b'[%d,%d,0,1.5,"a","level"]' % (T0, T0 // 10**6)
    stock.close()


def test_late_equal_and_conflicting_readings_do_not_move_it(cache, shard, writer, until):
    """Late data never rolls a value back; at one time the first stands; conflicts do not count."""
    a, b = shard.add("a"), shard.add("b")
    one = writer()
    one.publish(shard.batch([(a, 100, 1.0), (b, 100, 1.0)]))
    until(lambda: len(cache.values()) == 2)
    one.publish(shard.batch([(a, 50, 2.0), (b, 100, 3.0)]))
    one.publish(shard.batch([(a, 200, 4.0), (a, 200, 5.0), (b, 300, 6.0)], conflict=(1, 2)))
    until(lambda: cache.values()["a", "level"].value == 4.0)
    assert cache.values()["b", "level"].value == 1.0


def test_another_worker_s_late_data_does_not_move_it(cache, shard, writer, until):
    """Who knows only older values (a zombie, a replay) cannot overwrite newer ones."""
    a, done = shard.add("a"), shard.add("done")
    writer().publish(shard.batch([(a, 100, 1.0)]))
    until(cache.values)
    writer().publish(shard.batch([(a, 99, 2.0), (a, 100, 3.0), (done, 0, 0.0)][1:]))
    writer().publish(shard.batch([(a, 99, 2.0)]))
    until(lambda: len(cache.values()) == 2)
    time.sleep(0.2)
    assert cache.values()["a", "level"].value == 1.0


def test_any_order_ends_at_the_newest(cache, shard, writer, until):
    """Batches in any order, through two writers, end at the newest value of every series."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    rows = [shard.add(f"d{n}") for n in range(40)]
    readings = [(row, t, row * 1000.0 + t) for row in rows for t in range(25)]
    chance.shuffle(readings)
    writers = [writer(), writer()]
    for at in range(0, len(readings), 50):
        chance.choice(writers).publish(shard.batch(readings[at : at + 50]))
    expected = {f"d{n}": row * 1000.0 + 24 for n, row in enumerate(rows)}
    until(lambda: {d: last.value for (d, _), last in cache.values().items()} == expected)


@pytest.mark.parametrize("loss", ["FLUSHALL", "DEL"])
def test_right_again_after_a_flush_quiet_series_included(cache, shard, writer, until, loss):
    """A flush or an eviction is noticed within 5 s; what nobody here read comes from the record."""
    quiet = Last(T0 - 5, T0 // 10**6, 0, 9.0, "quiet", "level")
    asked: list[int] = []

    def record() -> list[Last]:
        asked.append(1)
        return [quiet]

    writer(record=record).publish(shard.batch([(shard.add("a"), 0, 1.0)]))
    until(lambda: len(cache.values()) == 2)
    before = cache.values()
    cache.call(*([loss] if loss == "FLUSHALL" else [loss, KEY]))
    assert not cache.values()
    assert until(lambda: cache.values() == before) < RIGHT_AGAIN_SECONDS
    assert len(asked) == 2


def test_every_worker_writes_again_what_it_knows(cache, shard, writer, until):
    """One worker's writing after a flush does not hide the flush from another."""
    other = type(shard)(2)
    writer().publish(shard.batch([(shard.add("a"), 0, 1.0)]))
    writer().publish(other.batch([(other.add("b"), 0, 2.0)]))
    until(lambda: len(cache.values()) == 2)
    cache.flush()
    assert until(lambda: len(cache.values()) == 2) < RIGHT_AGAIN_SECONDS


def test_right_again_after_kill_and_restart(cache, shard, writer, until, caplog):
    """Values committed while the cache was dead are there within 5 s of its return; 2 log lines."""
    caplog.set_level(logging.WARNING, "floorlog.cache")
    a, b = shard.add("a"), shard.add("b")
    one = writer()
    one.publish(shard.batch([(a, 0, 1.0)]))
    until(cache.values)
    dead = cache.supervisor.kill("valkey", hold=True)
    began = time.monotonic()
    for n in range(20):
        one.publish(shard.batch([(a, n, 1.0 + n), (b, n, 2.0 + n)]))
    assert time.monotonic() - began < 0.1
    time.sleep(2.5)
    cache.supervisor.restart("valkey")
    assert cache.supervisor.pid("valkey") not in {0, dead}
    wanted = {("a", "level"): 20.0, ("b", "level"): 21.0}
    took = until(lambda: {k: v.value for k, v in cache.values().items()} == wanted)
    assert took < RIGHT_AGAIN_SECONDS
    until(lambda: len(caplog.records) == 2)
    assert "storing goes on" in caplog.records[0].message
    assert "right again" in caplog.records[1].message


def test_a_cache_that_hangs_never_delays_storing(cache, shard, writer, until):
    """With the server stopped no publish waits for it; it is right 5 s after going on."""
    rows = [shard.add(f"d{n}") for n in range(900)]
    one = writer()
    one.publish(shard.batch([(row, 0, 1.0) for row in rows]))
    until(lambda: len(cache.values()) == 900)
    cache.supervisor.kill("valkey", signal.SIGSTOP)
    try:
        slowest = 0.0
        for n in range(1, 60):
            command = shard.batch([(row, n, float(n)) for row in rows])
            began = time.perf_counter()
            one.publish(command)
            slowest = max(slowest, time.perf_counter() - began)
            time.sleep(0.03)
    finally:
        cache.supervisor.kill("valkey", signal.SIGCONT)
    assert slowest < 0.5
    took = until(lambda: {v.value for v in cache.values().values()} == {59.0})
    assert took < RIGHT_AGAIN_SECONDS


def test_a_dead_cache_costs_bounded_memory(shard, writer):
    """However long it is away: one value per series, and a bounded number of anomaly events."""
    rows = [shard.add(f"d{n}") for n in range(50)]
    one = writer(Endpoint("127.0.0.1", 9))
    finding = Anomaly(rows[0], "limit", "start", T0, T0, 3, 1.0, 9.0, float("nan"), "above hi")
    for n in range(ANOMALIES_MAX // 10):
        one.publish(shard.batch([(row, n, 0.0) for row in rows], anomalies=(finding,) * 20))
    assert len(one._anomalies) <= ANOMALIES_MAX
    assert len(one._shards[1]._ts) == 50
    for lease_id in range(2, 1000):
        one.publish(type(shard)(lease_id, shard.table).batch([(rows[0], 0, 0.0)]))
    assert len(one._shards) <= 256


def test_a_shard_that_was_handed_over_is_let_go(shard, writer):
    """After `forget`, and after the shard came back with a new table, old rows are gone."""
    one = writer(Endpoint("127.0.0.1", 9))
    one.publish(shard.batch([(shard.add("a"), 0, 1.0)]))
    again = type(shard)(1)
    one.publish(again.batch([(again.add("z"), 0, 1.0)]))
    assert one._shards[1].table is again.table
    one.forget(1)
    assert not one._shards


def test_what_waits_is_written_at_the_end(cache, shard, writer):
    """`close` writes what the timer had not yet, and returns quickly also without a cache."""
    a = shard.add("a")
    one = writer()
    for n in range(5):
        one.publish(shard.batch([(a, n, float(n))]))
    one.close()
    assert cache.values()["a", "level"].value == 4.0
    none = writer(Endpoint("127.0.0.1", 9))
    none.publish(shard.batch([(a, 9, 9.0)]))
    began = time.monotonic()
    none.close()
    assert time.monotonic() - began < 2.0


def test_a_record_that_fails_is_asked_again(cache, shard, writer, until):
    """When record and cache are both away, the rebuilding stays due and the thread lives."""
    answers: list[Callable[[], list[Last]]] = []

    def record() -> list[Last]:
        answers.append(record)
        if len(answers) < 3:
            raise OSError("the database starts up")
        return [Last(T0, T0 // 10**6, 0, 1.0, "quiet", "level")]

    writer(record=record).publish(shard.batch([(shard.add("a"), 0, 1.0)]))
    until(lambda: len(cache.values()) == 2)
    assert len(answers) == 3
