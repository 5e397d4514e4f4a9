"""Taking over: the snapshot, what came after it, and what children start from."""

import pytest

from floorlog.core.detect.aside import Aside
from floorlog.core.protocol import Fenced, Load, Shard, Survey, Take
from floorlog.core.reading import Anomaly
from floorlog.core.series import hash_key
from floorlog.errors import RecordError

HALF = 2**127


def test_the_tail_begins_after_the_snapshot(record) -> None:
    """A snapshot is of the batch before the one that brings it: that one is repeated."""
    store, lease = record.begin()
    (series,) = record.register(store, lease, 1)
    for number in (1, 2, 3, 4):
        extra = {"snapshot": b"two", "snapshot_number": 2} if number == 3 else {}
        record.commit(store, record.batch(lease, number, [(series, number, 1.0)], **extra))
    state = store.load(Load(lease))
    assert state.snapshot == b"two"
    assert [batch.number for batch in state.tail] == [3, 4]
    record.commit(store, record.batch(lease, 5, snapshot=b"four", snapshot_number=4))
    state = store.load(Load(lease))
    assert (state.snapshot, [batch.number for batch in state.tail]) == (b"four", [5])


def test_a_state_is_kept_small_and_one_that_was_kept_as_it_is_is_read(record) -> None:
    """The server is given it compressed; a release before did not. A damaged one is named."""
    store, lease = record.begin()
    blob = bytes(range(100)) * 10_000
    record.commit(store, record.batch(lease, 1, snapshot=blob, snapshot_number=0))
    assert store.load(Load(lease)).snapshot == blob
    ((size,),) = record.run("SELECT pg_column_size(state) FROM floorlog.shard_state")
    assert size < len(blob) / 100
    record.run("UPDATE floorlog.shard_state SET state = %s", blob)
    assert store.load(Load(lease)).snapshot == blob
    record.run("UPDATE floorlog.shard_state SET state = %s", b"\x28\xb5\x2f\xfd" + blob)
    with pytest.raises(RecordError, match="cannot be unpacked"):
        store.load(Load(lease))


def test_a_batch_without_readings_is_part_of_the_tail(record) -> None:
    """Ticks move the clock when they are repeated."""
    store, lease = record.begin()
    record.commit(store, record.batch(lease, 1, clock_s=44))
    (tick,) = store.load(Load(lease)).tail
    assert (tick.number, tick.clock_s, len(tick.readings)) == (1, 44, 0)


def test_the_tail_says_which_detectors_were_set_aside(record) -> None:
    """By batch and only where it began: a replay leaves the same ones out."""
    store, lease = record.begin()
    (series,) = record.register(store, lease, 1)
    for number, names in ((1, ["limit"]), (2, ["set_aside:stuck", "set_aside:rate"]), (3, [])):
        found = [
            Anomaly(0, name, phase, 10 * number, 10 * number + 5, 3, 1.0, 0.0, 0.0, "failed")
            for name in names
            for phase in ("start", "end")
        ]
        more = {"anomalies": tuple(found), "anomaly_series": (series,) * len(found)}
        record.commit(store, record.batch(lease, number, **more))
    asides = [batch.asides for batch in store.load(Load(lease)).tail]
    assert asides == [(), (Aside("stuck", series, 20), Aside("rate", series, 20)), ()]


def test_names_states_and_hashes_are_loaded(record) -> None:
    """Every series with its home; hashes of those that are at home here."""
    store, lease = record.begin(shards=2)
    other = store.take(Take(lease.lease_id + 1))
    mine = record.register(store, lease, 2, "mine")
    theirs = record.register(store, other, 1, "theirs")
    state = store.load(Load(lease))
    assert {one.series_id: one.home for one in state.series} == {
        **dict.fromkeys(mine, lease.lease_id),
        theirs[0]: other.lease_id,
    }
    assert state.series[0].unit == "Cel"
    assert state.hashes == {mine[0]: hash_key("mine-0"), mine[1]: hash_key("mine-1")}
    assert state.states == {"false": 0, "true": 1}


def test_a_child_starts_from_its_parents_until_it_has_a_snapshot(record) -> None:
    """Also after its first batches, when it is taken over before its own first snapshot."""
    ann, left = record.begin("ann", shards=2)
    right = ann.take(Take(left.lease_id + 1))
    for parent, blob in ((left, b"left"), (right, b"right")):
        record.commit(ann, record.batch(parent, 1, ended=True, snapshot=blob, snapshot_number=0))
    merged = Shard("merged", ("shard-0", "shard-1"), 0, 2 * HALF - 1)
    view = ann.survey(Survey((merged,)))
    child = ann.take(Take(view.leases[-1].lease_id))
    assert ann.load(Load(child)).parent_snapshots == (b"left", b"right")
    record.commit(ann, record.batch(child, 1))
    state = ann.load(Load(child))
    assert (state.parent_snapshots, len(state.tail)) == ((b"left", b"right"), 1)
    record.commit(ann, record.batch(child, 2, snapshot=b"own", snapshot_number=1))
    state = ann.load(Load(child))
    assert (state.snapshot, state.parent_snapshots) == (b"own", ())


def test_a_lost_lease_is_not_loaded(record) -> None:
    """Whoever was overtaken learns it before it reads much."""
    store, lease = record.begin()
    record.run("UPDATE floorlog.lease SET epoch = epoch + 1")
    assert store.load(Load(lease)) == Fenced()
