"""What pages and commands read."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import psycopg
import pytest

from floorlog.core.protocol import Release, Survey
from floorlog.core.reading import Anomaly, Code, Counts, Gap, Kind, Reject
from floorlog.errors import InputError, ServiceError
from floorlog.store.answers import SeriesName
from floorlog.store.catalogue import put_catalogue
from floorlog.store.migrate import READER
from floorlog.store.reader import Reader, moment


def anomaly(phase: str, start: int, at: int) -> Anomaly:
    return Anomaly(0, "limit", phase, start, at, 3, 2.5, 9.0, 8.0, "above 8")


def test_status_has_totals_shards_and_workers(record) -> None:
    """Totals are over all shards there ever were, shards those of streams that are there."""
    store, lease = record.begin("ann", shards=2)
    batch = replace(record.batch(lease, 1), counts=Counts(9, 6, 3, 2, 1, 1), gaps=(Gap(1, 2, "x"),))
    record.commit(store, replace(batch, behind_ms=70))
    with record.reader() as reader:
        status = reader.status()
        first, second = status.shards
        assert (status.total, status.gaps, status.series) == (batch.counts, 1, 0)
        assert (first.shard_id, first.owner, first.batches) == ("shard-0", "ann", 1)
        assert (first.counts, first.gaps, first.lag_ms) == (batch.counts, 1, 70)
        assert (second.owner, second.counts) == (None, Counts())
        assert list(status.workers) == ["ann"]
        born = store._desk.created_at + timedelta(days=1)
        record.store("bob", created_at=born).survey(Survey(record.shards(1)))
        status = reader.status()
        assert (status.total, len(status.shards)) == (batch.counts, 1)


def test_lag_grows_while_nobody_reads(record) -> None:
    """Without an owner it is the time since the shard was last read; an ended shard has none."""
    store, lease = record.begin()
    ((now,),) = record.run("SELECT floorlog.to_us(clock_timestamp())")
    record.commit(store, record.batch(lease, 1, read_at=now - 9_000_000, behind_ms=5))
    store.release(Release(lease))
    with record.reader() as reader:
        assert 9_000 <= reader.status().shards[0].lag_ms < 60_000
        record.run("UPDATE floorlog.lease SET ended = true")
        assert reader.status().shards[0].lag_ms == 0


def test_series_and_values_are_listed_by_name(record) -> None:
    """Newest first within a series, no more than asked for."""
    store, lease = record.begin()
    one, two = record.register(store, lease, 2)
    for number in (1, 2, 3):
        rows = [(one, number, float(number)), (two, number, -1.0)]
        record.commit(store, record.batch(lease, number, rows))
    with record.reader() as reader:
        assert reader.series()[0] == SeriesName(
            one, "press-0", "level", Kind.NUMBER, "Cel", is_learning=True
        )
        last = reader.last_values()
        assert [(v.device, v.ts - record.t0, v.value) for v in last] == [
            ("press-0", 3, 3.0),
            ("press-1", 3, -1.0),
        ]
        assert last[0].unit == "Cel"
        some = reader.readings("press-0", "level", record.t0 + 1, record.t0 + 3, 10)
        assert [v.value for v in some] == [2.0, 1.0]
        assert len(reader.readings("press-0", "level", -(2**60), 2**60, 2)) == 2
        assert len(reader.all_readings(record.t0, record.t0 + 3, 100)) == 4
        assert reader.readings("nobody", "level", 0, 2**60, 10) == []
        assert reader.size_bytes() > 1_000_000


def test_findings_are_open_until_their_end(record) -> None:
    """Open ones always, ended ones while they are recent, the newest first."""
    store, lease = record.begin()
    (series,) = record.register(store, lease, 1)
    events = (anomaly("start", 10, 10), anomaly("end", 10, 20), anomaly("start", 30, 30))
    batch = replace(record.batch(lease, 1), anomalies=events, anomaly_series=(series,) * 3)
    record.commit(store, batch)
    with record.reader() as reader:
        both = reader.findings(0, 10)
        assert [(one.start, one.end) for one in both] == [(30, None), (10, 20)]
        assert (both[0].device, both[0].reason, both[0].severity) == ("press-0", "above 8", 3)
        assert [one.start for one in reader.findings(2**60, 10)] == [30]
        assert len(reader.findings(0, 1)) == 1
        assert reader.status().findings == 2


def test_rejects_gaps_and_conflicts_are_told(record) -> None:
    """With what somebody needs to find the cause."""
    store, lease = record.begin()
    (series,) = record.register(store, lease, 1)
    record.commit(store, record.batch(lease, 1, [(series, 0, 1.0)]))
    bad = Reject(Code.BAD_TIME, "no time", b"{}", 0, 3)
    batch = replace(
        record.batch(lease, 2, [(series, 0, 2.0)]),
        conflict=np.array([True]),
        rejects=(bad, bad),
        reject_sequences=(2**180, 5),
        gaps=(Gap(7, 8, "retention"),),
    )
    record.commit(store, batch)
    with record.reader() as reader:
        assert reader.rejects_by_code(0) == {"bad_time": 2}
        assert reader.rejects_by_code(2**61) == {}
        assert {one.sequence for one in reader.rejects(10)} == {2**180, 5}
        assert (reader.rejects(1)[0].data, reader.rejects(1)[0].shard_id) == (b"{}", "shard-0")
        (gap,) = reader.gaps(10)
        assert (gap.begin, gap.end, gap.cause) == (7, 8, "retention")
        (conflict,) = reader.conflicts(0, 2**61, 10)
        assert (conflict.offered.value, conflict.standing_value) == (2.0, 1.0)


def test_a_record_that_is_not_there_is_one_line_with_the_fix(record) -> None:
    """And the reader goes on when it is back."""
    reader = Reader(psycopg.conninfo.make_conninfo(record.dsn(READER), port=1))
    with pytest.raises(ServiceError, match=r"does not answer.*see that it runs"):
        reader.status()
    with record.reader() as good:
        good.status()
        record.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'floorlog reader'"
        )
        with pytest.raises(ServiceError):
            good.status()
        good.status()


def test_a_moment_is_cut_to_the_calendar() -> None:
    """No number of µs raises."""
    assert moment(0).isoformat() == "1970-01-01T00:00:00+00:00"
    assert moment(2**63).year == 9999
    assert moment(-(2**63)).year == 1


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"a": "\\u0000"} x'])
def test_a_catalogue_that_is_no_json_is_not_kept(record, body: bytes) -> None:
    """One line says so."""
    with pytest.raises(InputError, match="catalogue: "):
        put_catalogue(record.dsn(), body)


def test_who_may_not_write_cannot_put_a_catalogue(record) -> None:
    """The reader's role gets one clear line."""
    with pytest.raises(ServiceError, match="permission denied"):
        put_catalogue(record.dsn(READER), b"{}\n")
