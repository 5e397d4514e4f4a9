"""Commit: all of a batch or nothing, once, and by nobody but the lease's holder."""

from dataclasses import replace

import numpy as np
import pytest

from floorlog.core.protocol import (
    Check,
    Commit,
    Failed,
    Fenced,
    Load,
    Refused,
    Renew,
    Stale,
    Survey,
    Take,
    Unknown,
)
from floorlog.core.reading import Anomaly, Code, Counts, Gap, Reject
from floorlog.store.catalogue import put_catalogue
from floorlog.store.migrate import OPERATOR


def test_what_was_committed_is_loaded(record) -> None:
    """The tail holds each batch's readings as they were, sorted, with clock and catalogue."""
    store, lease = record.begin()
    one, two, _ = record.register(store, lease)
    first = record.batch(lease, 1, [(one, 0, 1.5), (two, 3, -0.1)], quality=0x40940000, arrival_s=5)
    second = record.batch(lease, 2, [(two, 1_000_000, 2.5), (two, 86_400_000_000, 7.0)])
    for batch in (first, second):
        record.commit(store, batch)
    tail = store.load(Load(lease)).tail
    for stored, batch in zip(tail, (first, second), strict=True):
        assert (stored.number, stored.clock_s) == (batch.number, batch.clock_s)
        assert stored.readings.series.tolist() == batch.series.tolist()
        assert stored.readings.ts.tolist() == batch.readings.ts.tolist()
        assert stored.readings.value.tolist() == batch.readings.value.tolist()
        assert stored.readings.quality.tolist() == batch.readings.quality.tolist()
        assert stored.readings.arrival_s.tolist() == batch.readings.arrival_s.tolist()
        assert not stored.readings.late.any()
        assert not stored.readings.conflict.any()


def test_a_batch_is_committed_once(record) -> None:
    """The same batch again changes nothing: the caller is told to look where the lease stands."""
    store, lease = record.begin()
    (series,) = record.register(store, lease, 1)
    batch = record.batch(lease, 1, [(series, 0, 1.0)])
    record.commit(store, batch)
    assert store.commit(Commit(batch)) == Unknown()
    standing = store.check(Check(lease))
    assert (standing.epoch, standing.number, standing.checkpoint) == (lease.epoch, 1, 10)
    assert record.values() == [("press-0", 0, 1.0)]


@pytest.mark.parametrize(
    "wrong",
    [{"checkpoint": 7}, {"number": 3}, {"number": 1}],
    ids=["checkpoint", "ahead", "behind"],
)
def test_a_batch_that_does_not_follow_the_last_is_not_committed(record, wrong) -> None:
    """Both number and checkpoint are compared."""
    store, lease = record.begin()
    record.commit(store, record.batch(lease, 1))
    assert store.commit(Commit(replace(record.batch(lease, 2), **wrong))) == Unknown()
    assert store.check(Check(lease)).number == 1


def test_a_raised_version_makes_a_batch_stale(record) -> None:
    """Nothing of it is stored, and with the new version it goes through."""
    store, lease = record.begin()
    (series,) = record.register(store, lease, 1)
    record.run("UPDATE floorlog.lease SET version = 3")
    batch = record.batch(lease, 1, [(series, 0, 1.0)])
    assert store.commit(Commit(batch)) == Stale()
    assert record.values() == []
    assert record.commit(store, replace(batch, version=3)).version == 3


def test_an_ended_lease_takes_no_more(record) -> None:
    """The last batch gives the lease up; what comes after it is fenced."""
    store, lease = record.begin()
    record.commit(store, record.batch(lease, 1, ended=True))
    view = store.survey(Survey(())).leases[0]
    assert (view.ended, view.owner) == (True, None)
    assert store.take(Take(lease.lease_id)) is None
    assert store.commit(Commit(record.batch(lease, 2))) == Fenced()
    assert store.renew(Renew(lease, 0, -1)) == Fenced()


def test_everything_of_a_batch_is_stored(record) -> None:
    """Rejects with their bytes, anomalies, conflicts, gaps, counts, and the sequence range."""
    store, lease = record.begin()
    one, two = record.register(store, lease, 2)
    batch = replace(
        record.batch(lease, 1, [(one, 0, 1.0), (one, 0, 2.0), (two, 5, 3.0)]),
        conflict=np.array([False, True, False]),
        late=np.array([False, False, True]),
        counts=Counts(9, 8, 3, 2, 3, 1),
        rejects=(
            Reject(Code.MALFORMED, "not JSON: \0 \ud800", b"\0\xff{", 0, -1),
            Reject(Code.BAD_TIME, "no time", b"", 1, 4),
        ),
        reject_sequences=(2**185, 4),
        anomalies=(Anomaly(0, "limit", "start", 10, 20, 2, 1.5, 9.0, float("nan"), "above 8"),),
        anomaly_series=(two,),
        gaps=(Gap(100, 200, "retention"),),
        sequence=2**186,
        read_at=55,
        behind_ms=66,
    )
    record.commit(store, batch)
    assert record.run(
        "SELECT sequence, element, code, reason, data FROM floorlog.reject ORDER BY element"
    ) == [
        (2**185, -1, "malformed", "not JSON: \\0 \\ud800", b"\0\xff{"),
        (4, 4, "bad_time", "no time", b""),
    ]
    assert record.run(
        "SELECT series_id, detector, phase, start_us, at_us, severity, score, value,"
        " expected = 'NaN', reason FROM floorlog.anomaly"
    ) == [(two, "limit", "start", 10, 20, 2, 1.5, 9.0, True, "above 8")]
    assert record.run("SELECT series_id, ts_us, value FROM floorlog.conflict") == [
        (one, record.t0, 2.0)
    ]
    assert record.run("SELECT begin_us, end_us, cause FROM floorlog.gap") == [
        (100, 200, "retention")
    ]
    assert record.run(
        "SELECT sequence_before, sequence, records, received, stored, rejected, duplicate, conflict"
        " FROM floorlog.batch"
    ) == [(-1, 2**186, 9, 8, 3, 2, 3, 1)]
    assert record.run(
        "SELECT records, received, stored, rejected, duplicate, conflict, gaps, read_at, behind_ms"
        " FROM floorlog.lease"
    ) == [(9, 8, 3, 2, 3, 1, 1, 55, 66)]
    flags = record.run("SELECT device_id, value, flags FROM floorlog.reading ORDER BY value")
    assert flags == [("press-0", 1.0, 0), ("press-0", 2.0, 1), ("press-1", 3.0, 2)]
    loaded = store.load(Load(lease)).tail[0].readings
    assert loaded.conflict.tolist() == [False, True, False]
    assert loaded.late.tolist() == [False, False, True]


def test_counts_add_up_over_batches(record) -> None:
    """A lease's counts are the sums of its batches'."""
    store, lease = record.begin()
    for number in (1, 2, 3):
        record.commit(store, replace(record.batch(lease, number), counts=Counts(1, 6, 3, 2, 1, 1)))
    assert record.run(
        "SELECT records, received, stored, rejected, duplicate, conflict FROM floorlog.lease"
    ) == [(3, 18, 9, 6, 3, 3)]


def test_a_probe_stores_nothing(record) -> None:
    """It answers as the batch would have been answered, and leaves no trace."""
    store, lease = record.begin()
    (series,) = record.register(store, lease, 1)
    batch = record.batch(lease, 1, [(series, 0, 1.0)], gaps=(Gap(1, 2, "x"),))
    record.commit(store, batch, probe=True)
    bad = replace(
        batch, anomalies=(Anomaly(0, "x", "?", 0, 0, 1, 0, 0, 0, ""),), anomaly_series=(1,)
    )
    assert isinstance(store.commit(Commit(bad, probe=True)), Refused)
    assert store.check(Check(lease)).number == 0
    assert record.values() == []
    record.commit(store, batch)
    assert record.run("SELECT newest_window FROM floorlog.series_home") == [
        (record.t0 // 300_000_000,)
    ]


def test_after_many_probes_a_batch_still_goes_through(record) -> None:
    """Probes that pass and probes that are refused leave a connection that can commit."""
    store, lease = record.begin()
    (series,) = record.register(store, lease, 1)
    batch = record.batch(lease, 1, [(series, 0, 1.0)])
    bad = replace(
        batch, anomalies=(Anomaly(0, "x", "?", 0, 0, 1, 0, 0, 0, ""),), anomaly_series=(1,)
    )
    for _ in range(3):
        assert isinstance(store.commit(Commit(bad, probe=True)), Refused)
        for _ in range(2):
            record.commit(store, batch, probe=True)
    record.commit(store, batch)


@pytest.mark.parametrize(
    "bad",
    [
        Anomaly(0, "x", "middle", 0, 0, 1, 0.0, 0.0, 0.0, ""),
        Anomaly(0, "nul\0", "start", 0, 0, 1, 0.0, 0.0, 0.0, ""),
        Anomaly(0, "surrogate\ud800", "start", 0, 0, 1, 0.0, 0.0, 0.0, ""),
        Anomaly(0, "x", "start", 2**70, 0, 1, 0.0, 0.0, 0.0, ""),
    ],
    ids=["constraint", "nul", "surrogate", "number"],
)
def test_what_the_database_never_takes_is_refused(record, bad) -> None:
    """Also when our side finds it; nothing is stored, and the next batch goes through."""
    store, lease = record.begin()
    (series,) = record.register(store, lease, 1)
    good = record.batch(lease, 1, [(series, 0, 1.0)])
    reply = store.commit(Commit(replace(good, anomalies=(bad,), anomaly_series=(series,))))
    assert isinstance(reply, Refused)
    assert reply.reason
    assert record.values() == []
    record.commit(store, good)


def test_what_may_work_another_time_is_not_refused(record) -> None:
    """A lock held too long, a full disk, a dead-lock: Failed, and nothing is stored."""
    store, lease = record.begin(lease_s=1)
    other = record.store("bob")
    held = other._link.idle()
    held.execute("BEGIN")
    held.execute("SELECT FROM floorlog.lease FOR UPDATE")
    reply = store.commit(Commit(record.batch(lease, 1)))
    assert isinstance(reply, Failed)
    assert "55P03" in reply.reason
    held.execute("ROLLBACK")
    record.commit(store, record.batch(lease, 1))


def test_a_lookup_s_transaction_must_be_there(record) -> None:
    """A locked commit without it did certainly not happen."""
    store, lease = record.begin()
    assert isinstance(store.commit(Commit(record.batch(lease, 1), locked=True)), Failed)
    record.commit(store, record.batch(lease, 1))


def test_an_asker_and_a_newer_catalogue_are_told(record) -> None:
    """Commit and Renew say that the lease is wanted, and bring the newest catalogue."""
    store, lease = record.begin()
    assert put_catalogue(record.dsn(OPERATOR), b'{"strict": true}') == 1
    assert put_catalogue(record.dsn(OPERATOR), b'{"strict": true}') == 1
    reply = record.commit(store, record.batch(lease, 1))
    assert reply.catalogue == (1, b'{"strict": true}')
    assert not reply.wanted
    record.run("UPDATE floorlog.lease SET wanted_by = 'bob'")
    assert store.renew(Renew(lease, 0, -1)).catalogue == (1, b'{"strict": true}')
    reply = record.commit(store, record.batch(lease, 2, catalogue=1))
    assert reply.catalogue is None
    assert reply.wanted
    assert store.renew(Renew(lease, 0, -1)).catalogue is None
    assert store.load(Load(lease)).catalogues == {0: b"{}", 1: b'{"strict": true}'}


def test_the_clock_of_replies_is_the_database_s(record) -> None:
    """Now is µs UTC, by the server."""
    store, lease = record.begin()
    ((before,),) = record.run("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8")
    now = record.commit(store, record.batch(lease, 1)).now
    assert before <= now <= store.check(Check(lease)).now


def test_the_newest_window_only_rises(record) -> None:
    """Late readings, and a store that knows nothing yet, do not take it back."""
    store, lease = record.begin()
    one, two = record.register(store, lease, 2)
    hour = 3_600_000_000
    record.commit(store, record.batch(lease, 1, [(one, 2 * hour, 1.0), (two, 0, 1.0)]))
    record.commit(store, record.batch(lease, 2, [(one, 0, 1.0), (two, hour, 1.0)]))
    store.close()
    again = record.store("ann")
    record.commit(again, record.batch(lease, 3, [(one, hour, 1.0), (two, 5, 1.0)]))
    window = record.t0 // 300_000_000
    assert record.run(
        "SELECT series_id, newest_window FROM floorlog.series_home ORDER BY series_id"
    ) == [(one, window + 24), (two, window + 12)]
