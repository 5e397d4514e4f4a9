"""Readings as rows of arrays: nothing is lost on the way there and back, and rows stay large."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from floorlog.core.protocol import Lease
from floorlog.core.reading import Batch
from floorlog.store import open_row
from floorlog.store.open_row import WIDTHS_US, choose_width, readings_of, rows_of

LEASE = Lease(7, "shard", 1, 0, -1, 0, -1, -1, (), 0, 1)
HALF_HOUR, DAY, THIRTY_DAYS, _ = WIDTHS_US
SECOND = 1_000_000
# Years 1 to 9999, and steps that make every tick and both kinds of offsets.
FAR = 250_000_000_000_000_000
times = st.one_of(
    st.integers(-62_135_596_800_000_000, FAR),
    st.integers(0, 10**6).map(lambda n: n * 1_000_000),
    st.integers(0, 10**6).map(lambda n: n * 1_000),
)
readings = st.lists(
    st.tuples(
        st.integers(1, 2**31 - 1),
        times,
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from([0, 0x40940000, 0x80000000, 2**32 - 1]),
        st.integers(0, 10**6),  # seconds before the batch's clock
        st.booleans(),
        st.booleans(),
        st.sampled_from([7, 7, 8, 9]),  # home
    ),
    max_size=300,
)


def batch_of(make, rows) -> Batch:
    """The batch that holds these readings."""
    batch = make(LEASE, 1)
    rows = sorted(rows, key=lambda row: row[:2])
    column = [np.array([row[n] for row in rows]) for n in range(8)] if rows else [np.zeros(0)] * 8
    stored = replace(
        batch.readings,
        row=np.zeros(len(rows), np.int32),
        ts=column[1].astype(np.int64),
        value=column[2].astype(np.float64),
        quality=column[3].astype(np.uint32),
        arrival_s=batch.clock_s - column[4].astype(np.int64),
    )
    home = column[7].astype(np.int32)
    return replace(
        batch,
        series=column[0].astype(np.int32),
        readings=stored,
        conflict=column[5].astype(np.bool_),
        late=column[6].astype(np.bool_),
        home=home,
        moved=tuple(sorted({*home.tolist()} - {7})),
    )


def told(series, ts, value, quality, arrival_s, conflict, late):
    """Readings as a sorted list of tuples, values bit for bit."""
    columns = (
        series,
        ts,
        np.ascontiguousarray(value).view(np.int64),
        quality,
        arrival_s,
        conflict,
        late,
    )
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


@given(readings)
def test_any_readings_come_back_as_they_were(batch_maker, rows) -> None:
    """Whatever the times, values, qualities, flags and homes: the same readings, bit for bit."""
    batch = batch_of(batch_maker, rows)
    made = rows_of(batch)
    back = readings_of(
        [
            (r.t_min, r.tick_us, batch.clock_s, r.series, r.ts, r.ts_wide, r.value, r.quality,
             r.arrived, r.conflict, r.late)
            for r in made
        ]
    )  # fmt: skip
    kept = batch.readings
    assert told(
        back.series, back.ts, back.value, back.quality, back.arrival_s, back.conflict, back.late
    ) == told(
        batch.series, kept.ts, kept.value, kept.quality, kept.arrival_s, batch.conflict, batch.late
    )


@given(readings)
def test_a_row_says_where_its_readings_are(batch_maker, rows) -> None:
    """Every row has one home and one slot that holds all its times; series ascend."""
    batch = batch_of(batch_maker, rows)
    for row in rows_of(batch):
        offset = row.ts_wide if row.ts is None else row.ts
        ts = row.t_min + offset.astype(np.int64) * row.tick_us
        assert ts.min() == row.t_min
        assert ts.max() == row.t_max
        assert (ts // WIDTHS_US[row.width] == row.slot).all()
        assert (np.diff(row.series) >= 0).all()
        mine = batch.home == (7 if row.home is None else row.home)
        assert set(row.series.tolist()) <= set(batch.series[mine].tolist())


@given(st.lists(times, min_size=1, max_size=500))
def test_the_width_keeps_rows_large(sample) -> None:
    """Rows are of 64 readings on average, or the only one, or no width would make them so."""
    ts = np.array(sample, np.int64)
    width = choose_width(ts)
    for narrower in range(width):
        slots = len(np.unique(ts // WIDTHS_US[narrower]))
        assert slots > 1
        assert slots * 64 > len(ts)
    if width < 3:
        slots = len(np.unique(ts // WIDTHS_US[width]))
        assert slots == 1 or slots * 64 <= len(ts)


def test_width_by_cadence() -> None:
    """Seconds go to half hours, minutes to days, hours to 30 days, days to the widest."""
    seconds = np.arange(10_000, dtype=np.int64) * SECOND
    assert choose_width(seconds) == 0
    assert choose_width(np.arange(10_000, dtype=np.int64) * 360 * SECOND) == 1
    assert choose_width(np.arange(10_000, dtype=np.int64) * 3_600 * SECOND) == 2
    assert choose_width(np.arange(10_000, dtype=np.int64) * 86_400 * SECOND) == 3
    assert choose_width(np.array([HALF_HOUR - 1, HALF_HOUR])) == 1
    assert choose_width(np.array([DAY - 1, DAY])) == 2
    assert choose_width(np.array([THIRTY_DAYS - 1, THIRTY_DAYS])) == 3


def test_one_stray_reading_does_not_widen_the_rest() -> None:
    """A live batch with one old straggler stays in half hours."""
    ts = np.append(np.full(449, DAY), 0)
    assert choose_width(ts) == 0


def test_nothing_is_stored_for_what_says_nothing(batch_maker) -> None:
    """No quality, arrival or flag column for readings that are Good, on time and new."""
    (row,) = rows_of(batch_maker(LEASE, 1, [(1, 0, 1.0), (2, SECOND, 2.0)]))
    assert (row.quality, row.arrived, row.conflict, row.late, row.ts_wide) == (None,) * 5
    assert row.tick_us == SECOND
    assert row.ts.tolist() == [0, 1]


def test_the_tick_loses_nothing(batch_maker) -> None:
    """s, ms or µs, the coarsest that is exact; wide offsets only where int4 is too small."""
    for offset, tick_us in [(3_000_000, 1_000_000), (3_000, 1_000), (3, 1)]:
        (row,) = rows_of(batch_maker(LEASE, 1, [(1, 0, 1.0), (2, offset, 2.0)]))
        assert (row.tick_us, row.ts.tolist()) == (tick_us, [0, 3])
    (row,) = rows_of(batch_maker(LEASE, 1, [(1, 0, 1.0), (2, 2**31 * 1_000, 2.0)]))
    assert row.ts.tolist() == [0, 2**31 // 1_000] if row.ts is not None else row.ts_wide.tolist()
    (row,) = rows_of(batch_maker(LEASE, 1, [(1, 0, 1.0), (2, 2**31, 2.0)]))
    assert row.ts is None
    assert row.ts_wide.tolist() == [0, 2**31]


def test_sorting_keeps_the_order_of_arrival() -> None:
    """Two readings of one series and time stay as they came."""
    zero = np.zeros(3, np.int64)
    unsorted = open_row.StoredReadings(
        np.array([2, 1, 1], np.int32),
        zero,
        np.array([5.0, 9.0, 3.0]),
        zero.astype(np.uint32),
        zero,
        np.array([False, False, True]),
        zero.astype(np.bool_),
    )
    assert open_row.sort(unsorted).value.tolist() == [9.0, 3.0, 5.0]
