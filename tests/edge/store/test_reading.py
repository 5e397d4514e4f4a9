"""Readings as rows: the view, the functions that prune, and the newest value of each series."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest

from floorlog.core.protocol import Register
from floorlog.core.reading import Kind
from floorlog.core.series import SeriesKey
from floorlog.store.arrays import adapt
from floorlog.store.migrate import READER
from floorlog.store.queries import sql

SECOND = 1_000_000
HOUR = 3_600 * SECOND
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(us: int) -> datetime:
    """The time so many µs after T0."""
    return START + timedelta(microseconds=us)


def random_world(record, seed: int):
    """Random batches: late, conflicting, wide apart, flagged as a consumer would."""
    dice = random.Random(seed)
    store, lease = record.begin()
    series = record.register(store, lease, 6)
    held: set[tuple[int, int]] = set()
    for number in range(1, 30):
        step = dice.choice([SECOND, 60 * SECOND, HOUR, 40 * 24 * HOUR])
        some = dice.sample(series[: dice.choice([2, 6])], 2)
        rows = [
            (dice.choice(some), dice.randrange(-20, 20) * step + number * SECOND, dice.random())
            for _ in range(dice.choice([1, 5, 200]))
        ]
        batch = record.batch(lease, number, rows)
        conflict = []
        for key in zip(batch.series.tolist(), batch.readings.ts.tolist(), strict=True):
            conflict.append(key in held)
            held.add(key)
        record.commit(store, replace(batch, conflict=np.array(conflict)))


def test_the_view_shows_a_reading_as_it_was(record) -> None:
    """Times to the µs, states by name, unit, quality, both clocks, flags, batch and half hour."""
    store, lease = record.begin()
    reply = store.register(
        Register(
            lease,
            (
                SeriesKey("press", "level", Kind.NUMBER, "Cel", "press"),
                SeriesKey("press", "status", Kind.STATE, None, "press"),
            ),
            ("running",),
        )
    )
    number, state = (one.series_id for one in reply.series)
    batch = record.batch(lease, 1, [(number, 123_456, 71.3), (state, HOUR, 2.0)], arrival_s=7)
    record.commit(store, replace(batch, clock_s=9, late=np.array([True, False])))
    rows = record.run(
        "SELECT ts, device_id, metric, value, text, unit, quality, flags, arrived_at, shard, batch,"
        " bucket FROM floorlog.reading ORDER BY ts"
    )
    arrived = datetime.fromtimestamp(7, UTC)
    assert rows == [
        (at(123_456), "press", "level", 71.3, None, "Cel", 0, 2, arrived, 1, 1, START),
        (at(HOUR), "press", "status", None, "running", None, 0, 0, arrived, 1, 1, at(HOUR)),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_the_functions_find_what_the_view_shows(record, seed: int) -> None:
    """For any span and series: exactly the view's readings in it, ends as promised."""
    random_world(record, seed)
    everything = record.run("SELECT * FROM floorlog.reading")
    assert len(everything) > 1000
    dice = random.Random(seed)
    times = sorted(row[0] for row in everything)
    for _ in range(8):
        begin, end = sorted((dice.choice(times), dice.choice(times)))
        device = f"press-{dice.randrange(6)}"
        inside = [row for row in everything if begin <= row[0] < end]
        assert sorted(
            record.run("SELECT * FROM floorlog.readings(%s, %s)", begin, end), key=repr
        ) == sorted(inside, key=repr)
        assert sorted(
            record.run("SELECT * FROM floorlog.readings(%s, 'level', %s, %s)", device, begin, end),
            key=repr,
        ) == sorted((row for row in inside if row[1] == device), key=repr)
    whole = "SELECT count(*) FROM floorlog.readings('-infinity', 'infinity')"
    assert record.run(whole) == [(len(everything),)]


@pytest.mark.parametrize("seed", range(4))
def test_last_values_are_the_newest_that_stand(record, seed: int) -> None:
    """Of every series that has any, however quiet; a conflict does not replace the first."""
    random_world(record, 100 + seed)
    expected = record.run(
        "SELECT DISTINCT ON (device_id) ts, device_id, value FROM floorlog.reading"
        " WHERE flags & 1 = 0 ORDER BY device_id, ts DESC"
    )
    found = record.run("SELECT ts, device_id, value FROM floorlog.last_values() ORDER BY device_id")
    assert found == expected


def test_a_conflict_stands_beside_what_it_contradicts(record) -> None:
    """conflicts() gives both values."""
    store, lease = record.begin()
    (series,) = record.register(store, lease, 1)
    record.commit(store, record.batch(lease, 1, [(series, 5, 1.0)]))
    second = record.batch(lease, 2, [(series, 5, 2.0)], quality=7)
    record.commit(store, replace(second, conflict=np.array([True])))
    assert record.run(
        "SELECT ts, device_id, value, quality, standing_value, standing_quality"
        " FROM floorlog.conflicts('-infinity', 'infinity')"
    ) == [(at(5), "press-0", 2.0, 7, 1.0, 0)]


def test_times_before_1970_are_found(record) -> None:
    """Slots count downwards there, and do not meet in the middle."""
    store, lease = record.begin()
    (series,) = record.register(store, lease, 1)
    old = -record.t0 - 1  # 1 µs before 1970
    record.commit(store, record.batch(lease, 1, [(series, old, 1.0)]))
    record.commit(
        store, record.batch(lease, 2, [(series, old - 50 * HOUR, 2.0), (series, old + 1, 3.0)])
    )
    assert record.run(
        "SELECT value FROM floorlog.readings("
        "'press-0', 'level', '1969-12-31T23:00Z', '1970-01-01T00:00Z')"
    ) == [(1.0,)]
    assert record.run("SELECT value FROM floorlog.last_values()") == [(3.0,)]


MINUTES = 3 * 24 * 60
QUERIES = {
    "readings_of_series": {"device": "press-0", "metric": "level", "rows_max": 10**6},
    "readings_in_span": {"rows_max": 10**6},
    "rows_in_spans": {},
    "rows_ending_in": {},
    "last_values": {},
}


def touched(connection: psycopg.Connection) -> int:
    """Open rows that this session has read so far."""
    row = connection.execute(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables"
        " WHERE relname LIKE 'open_row_%'"
    ).fetchone()
    return int(row[0])


@pytest.mark.parametrize("analyzed", [False, True])
def test_no_query_touches_more_rows_than_its_range_needs(record, analyzed) -> None:
    """Of three days of minutes, a range of 20 minutes reads its 20 rows and at most two more."""
    store, lease = record.begin()
    one, two = record.register(store, lease, 2)
    record.run(
        "INSERT INTO floorlog.open_row (number, t_min, t_max, clock_s, lease_id, slot, tick_us,"
        " width, part, series, ts, value)"
        " SELECT m, t, t, t / 1000000, %s, t / 1800000000, 1, 0, 0, %s, '{0,0}', '{1,2}'"
        " FROM (SELECT m, %s + m * 60000000::int8 AS t FROM generate_series(0, %s) AS m) AS minute",
        lease.lease_id, [one, two], record.t0, MINUTES - 1,
    )  # fmt: skip
    newest = record.t0 + (MINUTES - 1) * 60 * SECOND
    record.run("UPDATE floorlog.series_home SET newest_window = %s", newest // 300_000_000)
    if analyzed:
        record.run("ANALYZE floorlog.open_row")
    begin = record.t0 + 30 * HOUR
    end = begin + 1_200 * SECOND
    span = {
        "from_time": at(30 * HOUR), "to_time": at(30 * HOUR + 1_200 * SECOND),
        "begins": np.array([begin]), "ends": np.array([end - 1]),
        "cut": begin, "end": end - 1, "below": 2**62,
    }  # fmt: skip
    with psycopg.connect(record.dsn(READER)) as connection:
        adapt(connection)
        for name, more in QUERIES.items():
            for _ in range(7):  # beyond the five after which a plan is kept for any parameters
                before = touched(connection)
                found = connection.execute(sql(name), {**span, **more}, prepare=True).fetchall()
                assert found, name
                assert touched(connection) - before <= (22 if name != "last_values" else 6), name
