"""Lookups: under the locks of all homes, what the record holds of keys that marks cannot decide."""

import threading
import time
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from floorlog.core.protocol import (
    Check,
    Commit,
    Failed,
    Fenced,
    Foreign,
    Found,
    Load,
    Lookup,
    Rehomed,
    Renew,
    Shard,
    Stale,
    Survey,
    Take,
)
from floorlog.store.lookup import SPANS_MAX, spans

HALF = 2**127
HOUR = 3_600_000_000


def asked(lease, keys, home, *, number=0, marks_of=(), **changes) -> Lookup:
    """Look (series, µs) keys up that are believed to be at home in these leases."""
    homes = [home] * len(keys) if isinstance(home, int) else home
    plain = Lookup(
        lease,
        number,
        lease.version,
        tuple(sorted({lease.lease_id, *homes})),
        np.array([series for series, _ in keys], np.int32),
        np.array([ts for _, ts in keys], np.int64),
        np.array(homes, np.int32),
        marks_of,
    )
    return replace(plain, **changes)


def told(readings, t0):
    """Readings as (series, µs after t0, value), sorted."""
    return sorted(
        zip(
            readings.series.tolist(),
            (readings.ts - t0).tolist(),
            readings.value.tolist(),
            strict=True,
        )
    )


@pytest.fixture
def two(record):
    """Two workers with a shard each, and a series at home in the first."""
    ann, left = record.begin("ann", shards=2)
    bob = record.store("bob")
    right = bob.take(Take(left.lease_id + 1))
    (series,) = record.register(ann, left, 1)
    return ann, left, bob, right, series


def test_held_readings_are_found_wherever_they_are(record) -> None:
    """In slots of every width, by any batch; neighbours in time or series are not."""
    store, lease = record.begin()
    one, other = record.register(store, lease, 2)
    far = [(one, n * 400 * 86_400_000_000, float(n)) for n in range(30)]  # years: the widest slots
    days = [(one, n * HOUR + 1, 1000.0 + n) for n in range(100)]
    near = [(one, 5_000_000 + n, 2000.0 + n) for n in range(5)]
    for number, rows in enumerate([far, days, near], 1):
        record.commit(store, record.batch(lease, number, [*rows, (other, rows[2][1], -1.0)]))
    widths = {width for (width,) in record.run("SELECT width FROM floorlog.open_row")}
    assert widths == {0, 2, 3}
    wanted = [far[2], far[29], days[50], near[3]]
    keys = [(one, record.t0 + us) for _, us, _ in wanted]
    keys += [(one, record.t0 + 999), (other, record.t0 + far[29][1])]
    found = store.lookup(asked(lease, keys, lease.lease_id, number=3))
    assert isinstance(found, Found)
    assert told(found.held, record.t0) == sorted(wanted)


def test_marks_are_all_readings_at_the_newest_time(record) -> None:
    """Conflicts included; of series that lately were quiet, too; none for one without readings."""
    store, lease = record.begin()
    busy, quiet, empty = record.register(store, lease, 3)
    record.commit(store, record.batch(lease, 1, [(quiet, -50 * HOUR, 1.0), (quiet, 0, 7.0)]))
    record.commit(store, record.batch(lease, 2, [(quiet, 0, 8.0), (quiet, -HOUR, 5.0)]))
    for number in range(3, 9):
        record.commit(store, record.batch(lease, number, [(busy, number * 1_000_000, 1.0)]))
    late = record.batch(lease, 9, [(busy, 2_000_000, 4.0), (busy, 30 * HOUR, 5.0)])
    record.commit(store, late)
    query = asked(lease, [], [], number=9, marks_of=(busy, quiet, empty))
    found = store.lookup(query)
    assert told(found.marks, record.t0) == sorted(
        [(busy, 30 * HOUR, 5.0), (quiet, 0, 7.0), (quiet, 0, 8.0)]
    )


def test_a_foreign_batch_raises_the_home_s_version(record, two) -> None:
    """The home's next batch is stale until it has read what was stored of its series."""
    ann, left, bob, right, series = two
    key = (series, record.t0 + 5)
    assert isinstance(bob.lookup(asked(right, [key], left.lease_id)), Found)
    batch = record.batch(right, 1, [(series, 5, 1.5)], moved=(left.lease_id,))
    batch = replace(batch, home=np.array([left.lease_id], np.int32))
    assert record.commit(bob, batch, locked=True).version == 0
    assert ann.commit(Commit(record.batch(left, 1))) == Stale()
    assert ann.renew(Renew(left, 0, -1)).version == 1
    foreign = ann.foreign(Foreign(left.lease_id, 0))
    assert foreign.version == 1
    assert told(foreign.readings, record.t0) == [(series, 5, 1.5)]
    assert len(ann.foreign(Foreign(left.lease_id, 1)).readings) == 0
    record.commit(ann, replace(record.batch(left, 1), version=1))
    assert len(bob.load(Load(right)).tail[0].readings) == 1


def test_a_mixed_batch_keeps_rows_by_home(record, two) -> None:
    """Own readings are not told to anybody as foreign."""
    _, left, bob, right, series = two
    (own,) = record.register(bob, right, 1, "own")
    query = asked(right, [(series, record.t0)], left.lease_id)
    assert isinstance(bob.lookup(query), Found)
    batch = record.batch(right, 1, [(series, 0, 1.0), (own, 0, 2.0)], moved=(left.lease_id,))
    batch = replace(batch, home=np.array([left.lease_id, right.lease_id], np.int32))
    record.commit(bob, batch, locked=True)
    assert told(bob.foreign(Foreign(left.lease_id, 0)).readings, record.t0) == [(series, 0, 1.0)]
    assert len(bob.foreign(Foreign(right.lease_id, 0)).readings) == 0
    assert told(bob.load(Load(right)).tail[0].readings, record.t0) == [
        (series, 0, 1.0),
        (own, 0, 2.0),
    ]


def test_the_home_waits_while_a_foreign_batch_is_open(record, two) -> None:
    """Between lookup and commit nobody else commits to the shards concerned."""
    ann, left, bob, right, series = two
    bob.lookup(asked(right, [(series, record.t0)], left.lease_id))
    replies = []
    job = threading.Thread(target=lambda: replies.append(ann.commit(Commit(record.batch(left, 1)))))
    job.start()
    time.sleep(0.3)
    assert not replies
    batch = record.batch(right, 1, [(series, 0, 1.0)], moved=(left.lease_id,))
    batch = replace(batch, home=np.array([left.lease_id], np.int32))
    record.commit(bob, batch, locked=True)
    job.join(5)
    assert replies == [Stale()]


def test_two_lookups_of_the_same_shards_do_not_wait_in_a_circle(record, two) -> None:
    """Each locks in the order of lease ids: the second gets its turn when the first is done."""
    ann, left, bob, right, _ = two
    (theirs,) = record.register(bob, right, 1, "theirs")
    for number in range(1, 11):
        replies = []

        def work(store, lease, number=number, replies=replies) -> None:
            query = asked(lease, [(theirs, record.t0)], right.lease_id, number=number - 1)
            query = replace(query, homes=(left.lease_id, right.lease_id))
            found = store.lookup(query)
            replies.append(found)
            replies.append(store.commit(Commit(record.batch(lease, number), locked=True)))

        jobs = [threading.Thread(target=work, args=pair) for pair in ((ann, left), (bob, right))]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join(5)
        assert not any(isinstance(reply, Failed | Stale | Fenced) for reply in replies), replies


def test_any_other_command_ends_the_open_transaction(record, two) -> None:
    """A lookup without its commit holds nobody up."""
    ann, left, bob, right, series = two
    query = asked(right, [(series, record.t0)], left.lease_id)
    assert isinstance(bob.lookup(query), Found)
    assert isinstance(bob.lookup(query), Found)
    bob.check(Check(right))
    record.commit(ann, record.batch(left, 1))
    assert isinstance(bob.commit(Commit(record.batch(right, 1), locked=True)), Failed)
    record.commit(bob, record.batch(right, 1))


@pytest.mark.parametrize(
    ("change", "query", "reply"),
    [
        ("epoch = epoch + 1", {}, Fenced()),
        ("ended = true", {}, Fenced()),
        ("version = 4", {}, Stale()),
        ("number = 0", {"number": 1}, Fenced()),
    ],
)
def test_a_lookup_learns_that_its_lease_moved_on(record, two, change, query, reply) -> None:
    """Before anything is stored, and without keeping locks."""
    ann, left, bob, right, series = two
    record.run(f"UPDATE floorlog.lease SET {change} WHERE lease_id = %s", right.lease_id)
    question = replace(asked(right, [(series, record.t0)], left.lease_id), **query)
    assert bob.lookup(question) == reply
    record.commit(ann, record.batch(left, 1))


def test_a_wrong_belief_about_the_home_is_corrected(record, two) -> None:
    """Nothing is found or moved: the right home is told."""
    _, left, bob, right, series = two
    reply = bob.lookup(asked(right, [(series, record.t0)], right.lease_id))
    assert isinstance(reply, Rehomed)
    assert [(one.series_id, one.home) for one in reply.series] == [(series, left.lease_id)]


def test_a_series_of_an_ended_shard_without_heir_comes_home(record, two) -> None:
    """Told once as moved; then it is looked up as an own one, with its mark."""
    ann, left, bob, right, series = two
    record.commit(ann, record.batch(left, 1, [(series, 3, 1.0)], ended=True))
    query = asked(right, [(series, record.t0 + 3)], left.lease_id)
    reply = bob.lookup(query)
    assert isinstance(reply, Rehomed)
    assert [(one.series_id, one.home) for one in reply.series] == [(series, right.lease_id)]
    again = asked(right, [(series, record.t0 + 3)], right.lease_id, marks_of=(series,))
    found = bob.lookup(again)
    assert told(found.held, record.t0) == told(found.marks, record.t0) == [(series, 3, 1.0)]


def test_a_series_of_a_gone_stream_comes_home(record) -> None:
    """Series go on under a stream of the same name made anew."""
    ann, lease = record.begin("ann")
    (series,) = record.register(ann, lease, 1)
    record.commit(ann, record.batch(lease, 1, [(series, 3, 1.0)]))
    bob = record.store("bob", created_at=ann._desk.created_at + timedelta(days=1))
    new = bob.take(Take(bob.survey(Survey(record.shards(1))).leases[0].lease_id))
    reply = bob.lookup(asked(new, [(series, record.t0)], lease.lease_id))
    assert [one.home for one in reply.series] == [new.lease_id]


def test_a_child_that_took_over_is_the_home(record) -> None:
    """What the child inherited is not adopted by others: they are told the child."""
    ann, left = record.begin("ann", shards=2)
    right = ann.take(Take(left.lease_id + 1))
    (series,) = record.register(ann, left, 1)
    record.commit(ann, record.batch(left, 1, ended=True))
    child_shard = Shard("child", ("shard-0",), 0, 2 * HALF - 1)
    child = ann.take(Take(ann.survey(Survey((child_shard,))).leases[-1].lease_id))
    reply = ann.lookup(asked(right, [(series, record.t0)], left.lease_id))
    assert [one.home for one in reply.series] == [child.lease_id]


@given(st.lists(st.integers(-(10**17), 10**17), min_size=1, max_size=600))
def test_spans_hold_every_time(times) -> None:
    """Few, in order, disjoint, and nothing is outside."""
    ts = np.array(times, np.int64)
    begins, ends = spans(ts)
    assert len(begins) == len(ends) <= SPANS_MAX
    assert (begins <= ends).all()
    assert (begins[1:] > ends[:-1]).all()
    place = np.searchsorted(begins, ts, "right") - 1
    assert (ts <= ends[place]).all()
    assert set(begins.tolist()) | set(ends.tolist()) <= set(times)
