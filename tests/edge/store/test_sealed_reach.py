"""How many chunks a question touches: those of its range, and two more of each series at most."""

from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest

from floorlog.record.seal import seal
from floorlog.record.seal.seal import Sealer
from floorlog.store.arrays import adapt
from floorlog.store.migrate import KEEPER, READER
from floorlog.store.queries import sql

HALF_HOUR = 1_800_000_000
SLOTS = 10 * 48
SERIES = 3
START = datetime(2026, 1, 1, tzinfo=UTC)
BEGIN = START + timedelta(days=4, minutes=10)
END = BEGIN + timedelta(hours=1)
OF_ONE = {"device": "press-0", "metric": "level"}
SPAN = {"from_time": BEGIN, "to_time": END}
# By query: its parameters, how many series it asks for, and how many half hours.
QUERIES = {
    "readings_of_series": ({**OF_ONE, **SPAN, "rows_max": 10**6}, 1, 3),
    "readings_in_span": ({**SPAN, "rows_max": 10**6}, SERIES, 3),
    "last_values": ({}, SERIES, 2),  # looks again up to four times, each further back
}
CALLS = {
    "SELECT * FROM floorlog.points('press-0', 'level', %(from_time)s, %(to_time)s, 20)": 1,
    # Its first and last half hour are looked at twice: whole, and reading by reading.
    "SELECT * FROM floorlog.hours(%(from_time)s, %(to_time)s)": SERIES * 2,
}


def touched(connection: psycopg.Connection) -> int:
    """Chunks that this session has read so far."""
    row = connection.execute(
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
        " WHERE relname = 'chunk'"
    ).fetchone()
    return int(row[0])


@pytest.mark.slow
@pytest.mark.parametrize("analyzed", [False, True])
def test_no_question_touches_more_chunks_than_its_range_needs(record, analyzed) -> None:
    """Of ten days of half hours of three series; also with a plan that is kept for any times."""
    store, lease = record.begin()
    series = record.register(store, lease, SERIES)
    record.commit(store, record.batch(lease, 1, []))
    record.run(
        "INSERT INTO floorlog.chunk (t_min, t_max, number_min, number_max, recorded_min,"
        " recorded_max, lowest, highest, average, series_id, slot, lease_id, count, tick_us, scale,"
        " newest, standing, good, width, part, value_narrow)"
        " SELECT t, t + 60000000, 1, 1, '-infinity', 'infinity', 1, 2, 1.5, s, t / 1800000000, %s,"
        " 2, 1000000, 1, 2, 2, 2, 0, 0, '{1,2}'"
        " FROM unnest(%s::int4[]) AS s, (SELECT %s + n * 1800000000::int8 AS t"
        " FROM generate_series(0, %s) AS n) AS slots",
        lease.lease_id, series, record.t0, SLOTS - 1,
    )  # fmt: skip
    newest = record.t0 + (SLOTS - 1) * HALF_HOUR
    record.run("UPDATE floorlog.series_home SET newest_window = %s", newest // 300_000_000)
    record.run("ANALYZE floorlog.chunk" if analyzed else "SELECT")
    with psycopg.connect(record.dsn(READER)) as connection:
        adapt(connection)
        asked = [(sql(name), *rest) for name, rest in QUERIES.items()]
        asked += [(call, SPAN, count, 3) for call, count in CALLS.items()]
        for query, values, count, slots in asked:
            for _ in range(7):  # beyond the five after which a plan is kept for any parameters
                before = touched(connection)
                assert connection.execute(query, values, prepare=True).fetchall(), query
                assert touched(connection) - before <= count * (slots + 2), query
        slots = (newest // HALF_HOUR) - np.arange(4)
        keys = {
            "series": np.full(4, series[0], np.int32), "widths": np.zeros(4, np.int16),
            "slots": slots.astype(np.int32), "begin": 0, "end": 2**62,
        }  # fmt: skip
        before = touched(connection)
        assert len(connection.execute(sql("chunks_in_slots"), keys).fetchall()) == 4
        assert touched(connection) - before <= 6


def rows_touched(connection: psycopg.Connection) -> int:
    """Open rows that this session has read so far, or that indexes told it of."""
    row = connection.execute(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables"
        " WHERE relname LIKE 'open_row%'"
    ).fetchone()
    return int(row[0])


@pytest.mark.slow
def test_a_look_for_what_to_seal_touches_few_rows_however_many_wait(record) -> None:
    """Of forty days of half hours: one slot's rows where it is due, else those of 200 slots."""
    days, waiting = 40, 10
    record.run(
        "INSERT INTO floorlog.open_row (number, t_min, t_max, clock_s, lease_id, slot, tick_us,"
        " width, part, series, ts, value)"
        " SELECT n, t + n, t + n, 0, 1, t / 1800000000, 1, 0, 0, '{1}', '{0}', '{1}'"
        " FROM (SELECT %s + d * 1800000000::int8 AS t FROM generate_series(1, %s) AS d) AS slots,"
        " generate_series(1, %s) AS n",
        record.t0, days * 48, waiting,
    )  # fmt: skip
    record.run("ANALYZE floorlog.open_row")
    with psycopg.connect(record.dsn(KEEPER)) as connection:
        adapt(connection)
        for waits_s, slots in ((0, seal.PAGE_SLOTS), (1e6, seal.PAGES_MAX * seal.PAGE_SLOTS)):
            sealer = Sealer(connection, quiet_s=waits_s, age_s=1e6)
            looks = []
            for _ in range(3):
                before = rows_touched(connection)
                looks.append(sealer._plan())
                touched_rows = rows_touched(connection) - before
                assert touched_rows <= slots * (4 * waiting + 2), "of so many slots, twice over"
            assert [one is not None for one in looks] == [waits_s == 0] * 3
        # Each look goes on where the last one ended, and after the last slot from the first.
        honest, begins = sealer._ask, []

        def ask(name: str, **values: object) -> list:
            if name == "slots_after":
                begins.append((values["width"], values["slot"]))
            return honest(name, **values)

        sealer._ask = ask
        for _ in range(12):
            assert sealer._plan() is None
        assert seal.FIRST in begins
        assert len(set(begins)) > days * 48 // seal.PAGE_SLOTS
