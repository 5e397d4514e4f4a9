"""Plain SQL over the stored rows gives the ledger's bytes, for every kind, open or sealed."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from floorlog.core.ledger import form
from floorlog.core.ledger.batch import Registry, leaves_of, root_of
from floorlog.core.ledger.tree import leaf_hash, root
from floorlog.core.protocol import KnownSeries, Register
from floorlog.core.reading import Anomaly, Code, Counts, Gap, Kind, Reject
from floorlog.core.series import SeriesKey

SQL = (Path(__file__).parent / "ledger.sql").read_text()
NASTY = "naïve \U0001f4a7 'quoted' \\ back"


@pytest.fixture
def checked(record) -> Iterator[object]:
    """The record with the SQL of the ledger beside it."""
    record.run(SQL)
    yield record
    record.run("DROP SCHEMA check_ledger CASCADE")
    record.run("RESET search_path")


def us(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)


def plant(record, store, lease) -> tuple[Registry, list[int]]:
    """Three devices whose series interleave, one series of states; their registry and ids."""
    devices = ("press-1", NASTY, "press-1", "oven", NASTY, "press-1")
    keys = tuple(
        SeriesKey(device, f"m{n}", Kind(n == 3), None if n == 1 else "Cel", device)
        for n, device in enumerate(devices)
    )
    reply = store.register(Register(lease, keys, ("running", NASTY)))
    registry = Registry()
    registry.learn(reply.series)
    registry.learn_states(dict(record.run("SELECT name, code FROM floorlog.state")))
    ids = {series.metric: series.series_id for series in reply.series}
    return registry, [ids[f"m{n}"] for n in range(len(devices))]


def full_batch(record, lease, ids, states, number):
    """A batch with everything: late, conflicting, uncertain, far apart, rejects and the rest."""
    random = np.random.default_rng(number)
    rows = []
    for series_id in ids:
        count = int(random.integers(0, 4))
        times = random.choice([0, 1_500_000, 7_200_000_001, -86_400_000_000, 9_999], count)
        value = states if series_id == ids[3] else [71.3, -0.0, 1e-300, 2.0**53]
        rows += [(series_id, int(at), float(random.choice(value))) for at in times]
    batch = record.batch(lease, number, rows)
    kept, n = batch.readings, len(rows)
    kept = replace(
        kept,
        quality=random.choice([0, 0x40940000, 2**32 - 1], n).astype(np.uint32),
        arrival_s=batch.clock_s - random.integers(0, 3, n),
    )
    nasty = Reject(Code.MALFORMED, NASTY + "\0\ud800", b"\x00\xff{", 0, -1)
    anomaly = Anomaly(0, "novelty", "start", 5, 7, 2, 1.5, -0.0, 3.25, NASTY)
    return replace(
        batch,
        counts=Counts(3, n + 2, n, 2, 0, int(n > 1)),
        readings=kept,
        conflict=np.arange(n) == 1,
        late=random.integers(0, 2, n).astype(bool),
        rejects=(nasty, replace(nasty, element=3)),
        reject_sequences=(2**127, 5),
        anomalies=(anomaly, replace(anomaly, phase="end", at=9)),
        anomaly_series=(ids[4], ids[0]),
        gaps=(Gap(-5, 2**60, NASTY),),
    )


def hashed(batch, registry):
    """The batch with its leaves counted, as the consumer commits it."""
    leaves, top = root_of(batch, registry)
    return replace(batch, leaves=leaves, root=top)


def filled(record, store, lease, count=6):
    """A record of some batches, one of them a tick; the batches and the registry."""
    registry, ids = plant(record, store, lease)
    states = [float(code) for (code,) in record.run("SELECT code FROM floorlog.state")]
    batches = [full_batch(record, lease, ids, states, n + 1) for n in range(count)]
    batches.append(record.batch(lease, count + 1))
    batches = [hashed(batch, registry) for batch in batches]
    for batch in batches:
        record.commit(store, batch)
    return batches, registry


def test_leaves_from_open_rows(checked) -> None:
    """Every batch's leaves, in order, and its root, as SQL finds them in the rows."""
    store, lease = checked.begin()
    batches, registry = filled(checked, store, lease)
    for batch in batches:
        ((leaves, top),) = checked.run(
            "SELECT l, tree_root(l) FROM batch_leaves(%s, %s, false) AS l",
            lease.lease_id,
            batch.number,
        )
        assert [bytes(leaf) for leaf in leaves] == leaves_of(batch, registry)
        assert (len(leaves), bytes(top)) == root_of(batch, registry)
        assert bytes(top) == root(leaves)


def test_leaves_from_sealed_chunks(checked) -> None:
    """The same leaves out of one row a series, in which the batches are mixed."""
    store, lease = checked.begin()
    batches, registry = filled(checked, store, lease)
    checked.run("SELECT seal()")
    checked.run("DELETE FROM floorlog.open_row")
    ((mixed,),) = checked.run(
        "SELECT max(cardinality(ARRAY(SELECT DISTINCT unnest(batch)))) FROM chunk"
    )
    assert mixed > 1
    for batch in batches:
        ((leaves,),) = checked.run(
            "SELECT batch_leaves(%s, %s, true)", lease.lease_id, batch.number
        )
        assert [bytes(leaf) for leaf in leaves] == leaves_of(batch, registry)


def test_a_changed_row_changes_its_root(checked) -> None:
    """Flags, arrival, quality, value, time and order: SQL's root is another one after each."""
    store, lease = checked.begin()
    registry, ids = plant(checked, store, lease)
    rows = [(ids[0], 0, 1.0), (ids[0], 0, 2.0), (ids[2], 5, 3.0)]
    batch = checked.batch(lease, 1, rows)
    late = np.array([False, True, True])
    kept = replace(
        batch.readings, quality=np.array([0, 1, 0], np.uint32), arrival_s=batch.clock_s - late
    )
    batch = replace(batch, readings=kept, late=late, conflict=late)
    checked.commit(store, batch)
    changes = [
        "late = '{2}'", "late = NULL", "conflict = '{3}'", "quality = '{1,1,0}'", "quality = NULL",
        "arrived = NULL", "arrived = '{0,1,2}'", "value = '{1,2,4}'", "value = '{2,1,3}'",
        "clock_s = 0", "ts = '{0,1,5}'", "t_min = t_min + 1", "tick_us = 1000", "number = 2",
        f"series = '{{{ids[0]},{ids[2]},{ids[2]}}}'",
    ]  # fmt: skip
    for change in changes:
        checked.run("BEGIN")
        checked.run(f"UPDATE floorlog.open_row SET {change}")
        ((top,),) = checked.run("SELECT tree_root(batch_leaves(%s, 1, false))", lease.lease_id)
        checked.run("ROLLBACK")
        assert bytes(top) != root_of(batch, registry)[1], change


def test_entries(checked) -> None:
    """An entry's hash from the batch's row, with its shard, root, and the heads before it."""
    store, lease = checked.begin()
    batches, registry = filled(checked, store, lease)
    shard = shard_of(checked, lease)
    for previous in (b"", b"p" * 32, b"q" * 64):
        for batch in batches:
            ((recorded, hashed),) = checked.run(
                "SELECT recorded_at, entry_hash(lease_id, number, %s) FROM floorlog.batch"
                " WHERE number = %s",
                previous, batch.number,
            )  # fmt: skip
            c = batch.counts
            written = form.ENTRY.write(
                leaf_hash(shard), batch.number, batch.epoch, batch.clock_s, us(recorded),
                batch.catalogue, str(batch.checkpoint), str(batch.sequence), c.records, c.received,
                c.stored, c.rejected, c.duplicate, c.conflict, *root_of(batch, registry), previous,
            )  # fmt: skip
            assert leaf_hash(written) == bytes(hashed)


def test_heads_are_chained(checked) -> None:
    """The store chains each batch's entry to the one before, as plain SQL finds it in the rows."""
    store, lease = checked.begin()
    batches, registry = filled(checked, store, lease)
    for batch in batches:
        assert (batch.leaves, batch.root) == root_of(batch, registry)
    wrong = checked.run(
        "SELECT number FROM (SELECT b.*, lag(b.head, 1, '') OVER (ORDER BY b.number) AS before"
        " FROM floorlog.batch AS b) AS b"
        " WHERE head IS DISTINCT FROM entry_hash(lease_id, number, before)"
    )
    assert wrong == []
    ((head,),) = checked.run(
        "SELECT l.head = b.head FROM floorlog.lease AS l JOIN floorlog.batch AS b"
        " ON b.lease_id = l.lease_id AND b.number = l.number"
    )
    assert head


def shard_of(record, lease) -> bytes:
    ((lease_id, arn, created, shard, parents, begin, end),) = record.run(
        "SELECT l.lease_id, s.arn, s.created_at, l.shard_id, l.parents, l.hash_begin, l.hash_end"
        " FROM floorlog.lease AS l JOIN floorlog.stream AS s USING (stream_id)"
        " WHERE l.lease_id = %s",
        lease.lease_id,
    )
    joined = ",".join(str(parent) for parent in parents)
    return form.SHARD.write(lease_id, arn, us(created), shard, joined, str(begin), str(end))


def test_leaves_of_the_log(checked) -> None:
    """Series, states, shards, catalogues and audit events: the same hash from the row."""
    store, lease = checked.begin(shards=3)
    checked.run("UPDATE floorlog.lease SET parents = '{2,3}' WHERE lease_id = %s", lease.lease_id)
    registry, _ = plant(checked, store, lease)
    body = '{ "devices": {}, "n": 1.50 }'
    checked.run("INSERT INTO floorlog.catalogue (version, body) VALUES (1, %s)", body)
    checked.run(
        "INSERT INTO floorlog.audit_event (actor, action, detail) VALUES (%s, 'ack', %s)",
        NASTY,
        body,
    )
    found = checked.run("SELECT s.series_id, digest(s) FROM floorlog.series AS s")
    assert {series_id: bytes(digest) for series_id, digest in found} == registry.digests
    for code, name, digest in checked.run("SELECT code, name, digest(s) FROM floorlog.state AS s"):
        assert form.STATE.digest(code, name) == bytes(digest)
    ((digest,),) = checked.run(
        "SELECT digest(l) FROM floorlog.lease AS l WHERE lease_id = %s", lease.lease_id
    )
    assert leaf_hash(shard_of(checked, lease)) == bytes(digest)
    hashed = hashlib.sha256(body.encode()).digest()
    ((at, digest),) = checked.run(
        "SELECT recorded_at, digest(c) FROM floorlog.catalogue AS c WHERE version = 1"
    )
    assert form.CATALOGUE.digest(1, hashed, us(at)) == bytes(digest)
    ((at, digest),) = checked.run("SELECT recorded_at, digest(a) FROM floorlog.audit_event AS a")
    assert form.AUDIT.digest(us(at), NASTY, "ack", hashed) == bytes(digest)


def test_leaves_of_corrections(checked) -> None:
    """Of a number and of a state: the same hash from the row, by plain SQL and by the record's."""
    store, lease = checked.begin()
    registry, ids = plant(checked, store, lease)
    ((code,),) = checked.run("SELECT code FROM floorlog.state WHERE name = 'running'")
    for series_id, was, value in ((ids[0], 71.3, -0.0), (ids[3], 0.0, float(code))):
        ((number, at, by_page, by_record),) = checked.run(
            "INSERT INTO floorlog.correction AS c (ts_us, was_value, was_quality, value, quality,"
            " series_id, actor, reason) VALUES (-5, %s, 0, %s, 4294967295, %s, 'p', %s)"
            " RETURNING correction_id, recorded_at, check_ledger.digest(c), floorlog.digest(c)",
            was, value, series_id, NASTY,
        )  # fmt: skip
        written = form.CORRECTION.digest(
            number, us(at), "p", NASTY, -5, registry.name(series_id, was), was, 0,
            registry.name(series_id, value), value, 2**32 - 1,
        )  # fmt: skip
        assert written == bytes(by_page) == bytes(by_record)


def test_a_series_belongs_to_its_digest() -> None:
    """Renaming a device, a unit or an id makes another digest; NULL is not an empty unit."""
    one = KnownSeries(1, "a", "b", Kind.NUMBER, None, 1)
    changed = [
        replace(one, series_id=2), replace(one, device="ab", metric=""), replace(one, unit=""),
        replace(one, kind=Kind.STATE), replace(one, unit="b", metric=""),
    ]  # fmt: skip
    digests = set()
    for series in (one, *changed):
        registry = Registry()
        registry.learn([series])
        digests |= set(registry.digests.values())
    assert len(digests) == len(changed) + 1
