"""Sealing beside what is bent, what comes meanwhile, and what expiry puts back."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from floorlog.core.protocol import Foreign, Lookup
from floorlog.record.seal import seal
from floorlog.record.seal.seal import Sealer
from floorlog.store import sealed
from floorlog.store.chunk import READINGS_MAX
from floorlog.store.link import Link
from floorlog.store.migrate import KEEPER

SECOND = 1_000_000
HOUR = 3_600 * SECOND
VIEW = "SELECT * FROM floorlog.reading"
WINDOWS = "SELECT series_id, newest_window FROM floorlog.series_home ORDER BY series_id"


@pytest.fixture
def sealer(record):
    """A sealer that waits for nothing, on the keeper's role."""
    link = Link(record.dsn(KEEPER), "keeper", 30)
    yield Sealer(link.idle(), quiet_s=0, age_s=0)
    link.close()


def seal_all(sealer: Sealer) -> None:
    while sealer.step():
        pass


def test_a_bent_chunk_does_not_stop_the_keeper(record, sealer) -> None:
    """Its slot is left as it is, and told of; every other slot is sealed."""
    store, lease = record.begin()
    (one,) = record.register(store, lease, 1)
    for number in range(1, 11):
        record.commit(store, record.batch(lease, number, [(one, number * SECOND, 1.0)]))
    seal_all(sealer)
    record.run("UPDATE floorlog.chunk SET value_narrow = value_narrow || 1::int2")
    record.commit(store, record.batch(lease, 11, [(one, 11 * SECOND, 2.0)]))
    record.commit(store, record.batch(lease, 12, [(one, 5 * HOUR, 2.0)]))
    seal_all(sealer)
    assert sealer.refused > 0
    assert record.run("SELECT count(*) FROM floorlog.open_row") == [(0,)]


def test_rows_that_come_of_age_meanwhile_are_no_harm(record, sealer, monkeypatch) -> None:
    """A shard's rows between two pages: no row is taken twice, and none is refused."""
    monkeypatch.setattr(seal, "PAGE_ROWS_MIN", 4)
    monkeypatch.setattr(seal, "PAGE_ROWS_MAX", 4)
    ann, left = record.begin(shards=2)
    bob, right = record.begin("bob", shards=2)
    (one,) = record.register(ann, left, 1)
    (two,) = record.register(bob, right, 1, "other")
    for number in range(1, 9):
        record.commit(ann, record.batch(left, number, [(one, number * SECOND, 1.0)]))
        record.commit(bob, record.batch(right, number, [(two, number * SECOND, 1.0)]))
    honest, pages = Sealer._ask, []

    def ask(self: Sealer, name: str, **values: object) -> list[tuple[Any, ...]]:
        found = honest(self, name, **values)
        if name == "rows_of_slot":
            pages.append(len(found))
            if len(pages) == 3:
                record.commit(ann, record.batch(left, 9, [(one, 9 * SECOND, 1.0)]))
        return found

    monkeypatch.setattr(Sealer, "_ask", ask)
    expected = len(record.run(VIEW)) + 1
    seal_all(sealer)
    assert sealer.refused == 0
    assert len(pages) > 3
    assert len(record.run(VIEW)) == expected


def paired(record) -> tuple[str, int]:
    """A batch whose last reading that a chunk can hold is contradicted by the next."""
    store, lease = record.begin()
    (one,) = record.register(store, lease, 1)
    times = [min(place, READINGS_MAX - 1) if place <= READINGS_MAX else place
             for place in range(READINGS_MAX + 9)]  # fmt: skip
    rows = [(one, at * 100_000, float(place)) for place, at in enumerate(times)]
    conflict = np.zeros(len(rows), np.bool_)
    conflict[READINGS_MAX] = True
    batch = record.batch(lease, 1, rows)
    record.commit(store, replace(batch, conflict=conflict))
    return "SELECT hashes FROM floorlog.leaves_of(%s, 1, 1, '{}', '{}')", lease.lease_id


def test_no_chunk_ends_between_readings_of_one_batch_and_time(record, sealer) -> None:
    """Only their chunk tells their order: it makes the leaf."""
    leaves, lease_id = paired(record)
    before = record.run(leaves, lease_id)
    seal_all(sealer)
    assert record.run("SELECT count FROM floorlog.chunk ORDER BY part") == [
        (READINGS_MAX - 1,),
        (10,),
    ]
    assert record.run(leaves, lease_id) == before


def test_a_leaf_of_chunks_that_cut_a_pair_is_the_same(record, sealer, monkeypatch) -> None:
    """As keepers before made them: the second half in a wider chunk, or in a later part."""
    monkeypatch.setattr(seal, "_cut", lambda _columns, _begin, at: at)
    leaves, lease_id = paired(record)
    before = record.run(leaves, lease_id)
    assert sealer.step() == READINGS_MAX + 9
    counts = "SELECT count FROM floorlog.chunk ORDER BY width, part"
    assert record.run(counts) == [(READINGS_MAX,), (9,)]
    assert record.run(leaves, lease_id) == before
    seal_all(sealer)
    assert record.run("SELECT width FROM floorlog.chunk ORDER BY 1") == [(0,), (2,)]
    assert record.run(leaves, lease_id) == before


def signed(made: list[dict[str, Any]]) -> None:
    values = made[0]["value_narrow"] / made[0]["scale"]
    made[0].update(scale=None, value_narrow=None, value=np.where(values == 0, -0.0, values))


@pytest.mark.parametrize("bend", [signed, list.reverse], ids=["sign of nought", "order of parts"])
def test_what_compares_as_equal_is_still_not_the_same(record, sealer, monkeypatch, bend) -> None:
    """The sign of nought, and the order of a series' chunks, are part of what is compared."""
    store, lease = record.begin()
    (one,) = record.register(store, lease, 1)
    rows = [(one, place * 100_000, float(place)) for place in range(READINGS_MAX + 9)]
    record.commit(store, record.batch(lease, 1, rows))
    expected = record.run(VIEW)
    honest = seal.chunks_of

    def dishonest(*arguments: Any) -> list[dict[str, Any]]:
        made = honest(*arguments)
        bend(made)
        return made

    monkeypatch.setattr(seal, "chunks_of", dishonest)
    assert sealer.step() == 0
    assert sealer.refused == 1
    assert record.run(VIEW) == expected
    monkeypatch.undo()
    assert Sealer(sealer._connection, quiet_s=0, age_s=0).step() == len(rows)


def test_a_newest_reading_is_noted_again_after_expiry(record) -> None:
    """A worker that once saw a time far ahead still tells of what is newest without it."""
    store, lease = record.begin()
    (one,) = record.register(store, lease, 1)
    record.commit(store, record.batch(lease, 1, [(one, 9_000 * HOUR, 1.0)]))
    record.commit(store, record.batch(lease, 2, [(one, 0, 1.0)]))
    record.run("DELETE FROM floorlog.open_row WHERE number = 1")
    record.run("SELECT floorlog.lower_newest(%s)", [one])
    window = record.t0 // 300_000_000
    assert record.run(WINDOWS) == [(one, window)]
    record.commit(store, record.batch(lease, 3, [(one, HOUR, 1.0)]))
    assert record.run(WINDOWS) == [(one, window + 12)]


def test_what_expiry_put_back_is_told_to_its_home(record, sealer) -> None:
    """A foreign reading that was cut out of its chunk, and names no home any more."""
    ann, left = record.begin(shards=2)
    bob, right = record.begin("bob", shards=2)
    (one,) = record.register(ann, left, 1)
    for number in (1, 2):
        key = np.array([one], np.int32), np.array([record.t0 + number], np.int64)
        home = np.array([left.lease_id], np.int32)
        homes = (left.lease_id, right.lease_id)
        bob.lookup(Lookup(right, number - 1, right.version, homes, *key, home, ()))
        batch = record.batch(right, number, [(one, number, float(number))], moved=(left.lease_id,))
        record.commit(bob, replace(batch, home=home), locked=True)
    seal_all(sealer)
    before = ann.foreign(Foreign(left.lease_id, 1))
    assert before.readings.value.tolist() == [2.0]
    record.run("SELECT floorlog.expire_chunks(%s, 1, 1, %s)", right.lease_id, [one])
    assert record.run("SELECT number, home FROM floorlog.open_row") == [(2, None)]
    after = ann.foreign(Foreign(left.lease_id, 1))
    assert set(after.readings.value.tolist()) == {2.0}


def test_a_look_up_beside_expiry_misses_nothing(record, sealer, monkeypatch) -> None:
    """What goes back into open rows, and into a chunk again, between its statements."""
    store, lease = record.begin()
    (one,) = record.register(store, lease, 1)
    for number in (1, 2):
        record.commit(store, record.batch(lease, number, [(one, number, float(number))]))
    seal_all(sealer)
    honest, times = sealed.held, []

    def held(*arguments: Any) -> Any:
        times.append(len(times))
        if len(times) == 1:
            record.run("SELECT floorlog.expire_chunks(%s, 1, 1, %s)", lease.lease_id, [one])
            found = honest(*arguments)
            seal_all(sealer)
            return found
        return honest(*arguments)

    monkeypatch.setattr(sealed, "held", held)
    key = np.array([one], np.int32), np.array([record.t0 + 2], np.int64)
    home = np.array([lease.lease_id], np.int32)
    with record.connect("postgres") as other, other.transaction():
        other.execute("SELECT pg_advisory_xact_lock(4706887)")
        found = store.lookup(Lookup(lease, 2, lease.version, (lease.lease_id,), *key, home, (one,)))
    assert found.held.value.tolist() == [2.0]
    assert found.marks.value.tolist() == [2.0]
