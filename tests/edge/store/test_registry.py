"""Numbers for series and codes for states, given once."""

import threading

from floorlog.core.protocol import Fenced, Register, Registered, Take
from floorlog.core.reading import Kind
from floorlog.core.series import SeriesKey, hash_key


def key(device: str, *, kind: Kind = Kind.NUMBER, unit: str | None = None, partition: str = "p"):
    return SeriesKey(device, "level", kind, unit, partition)


def test_a_series_gets_its_number_once(record) -> None:
    """Fresh names what this very command made; kind and unit stay as first seen."""
    store, lease = record.begin()
    first = store.register(Register(lease, (key("a", unit="Cel"), key("b")), ()))
    assert isinstance(first, Registered)
    assert first.fresh == {one.series_id for one in first.series}
    asked = (key("a", unit="bar", kind=Kind.STATE), key("c"))
    second = store.register(Register(lease, asked, ()))
    known = {one.device: one for one in second.series}
    assert known["a"].series_id == first.series[0].series_id
    assert (known["a"].unit, known["a"].kind, known["a"].home) == (
        "Cel",
        Kind.NUMBER,
        lease.lease_id,
    )
    assert second.fresh == {known["c"].series_id}


def test_states_get_codes_once(record) -> None:
    """Booleans have theirs from the start."""
    store, lease = record.begin()
    first = store.register(Register(lease, (), ("run", "true", "idle")))
    assert first.states == {"run": 2, "true": 1, "idle": 3}
    again = store.register(Register(lease, (), ("idle", "stop")))
    assert again.states == {"idle": 3, "stop": 4}


def test_over_the_limit_a_series_is_absent(record) -> None:
    """Known ones still come, new ones as far as there is room."""
    store, lease = record.begin(series_max=3)
    store.register(Register(lease, (key("a"), key("b")), ()))
    reply = store.register(Register(lease, (key("a"), key("c"), key("d")), ()))
    assert [one.device for one in reply.series] == ["a", "c"]
    reply = store.register(Register(lease, (key("b"), key("d")), ()))
    assert [one.device for one in reply.series] == ["b"]


def test_a_series_stays_at_home_where_it_was_first_seen(record) -> None:
    """Another shard that sees it is told its home, and does not touch its hash."""
    store, lease = record.begin(shards=2)
    other = store.take(Take(lease.lease_id + 1))
    store.register(Register(lease, (key("a", partition="here"),), ()))
    reply = store.register(Register(other, (key("a", partition="there"),), ()))
    assert reply.series[0].home == lease.lease_id
    assert reply.fresh == frozenset()
    assert record.run("SELECT key_hash FROM floorlog.series_home") == [(hash_key("here"),)]


def test_a_new_partition_key_is_remembered_at_home(record) -> None:
    """It decides which child inherits the series."""
    store, lease = record.begin()
    store.register(Register(lease, (key("a", partition="old"),), ()))
    reply = store.register(Register(lease, (key("a", partition="new"),), ()))
    assert reply.fresh == frozenset()
    assert record.run("SELECT key_hash FROM floorlog.series_home") == [(hash_key("new"),)]


def test_the_hash_is_kinesis_s(record) -> None:
    """MD5 as a 128-bit number: the value that AWS documents for a partition key."""
    assert hash_key("") == 0xD41D8CD98F00B204E9800998ECF8427E


def test_a_lost_or_ended_lease_registers_nothing(record) -> None:
    """Fenced, and no number is spent."""
    store, lease = record.begin()
    record.run("UPDATE floorlog.lease SET ended = true")
    assert store.register(Register(lease, (key("a"),), ("x",))) == Fenced()
    record.run("UPDATE floorlog.lease SET ended = false, epoch = 9")
    assert store.register(Register(lease, (key("a"),), ("x",))) == Fenced()
    assert record.run("SELECT series_id FROM floorlog.series") == []
    assert len(record.run("SELECT code FROM floorlog.state")) == 2


def test_two_workers_at_once_agree(record) -> None:
    """The same names from two shards at the same time: one number each, made by one of them."""
    ann, left = record.begin("ann", shards=2)
    bob = record.store("bob")
    right = bob.take(Take(left.lease_id + 1))
    replies = {}

    def register(name, store, lease, devices) -> None:
        keys = tuple(key(f"device-{n}") for n in devices)
        states = tuple(f"state-{n}" for n in devices)
        replies[name] = store.register(Register(lease, keys, states))

    jobs = [
        threading.Thread(target=register, args=("ann", ann, left, range(200))),
        threading.Thread(target=register, args=("bob", bob, right, range(199, -1, -1))),
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    one, two = replies["ann"], replies["bob"]
    numbers = {series.device: series.series_id for series in one.series}
    assert numbers == {series.device: series.series_id for series in two.series}
    assert len(one.fresh | two.fresh) == 200
    assert not one.fresh & two.fresh
    assert one.states == two.states
    assert sorted(numbers.values()) == list(range(1, 201))
