"""Time stamps: text and numbers to µs UTC, as columns and one by one."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from floorlog.core.decode import timestamp
from floorlog.core.decode.fault import Fault
from floorlog.core.reading import Code

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
offsets = st.integers(-(23 * 60 + 59), 23 * 60 + 59).map(
    lambda minutes: timezone(timedelta(minutes=minutes))
)


def micros(at: datetime) -> int:
    """By Python's own calendar, in whole numbers."""
    return (at - EPOCH) // timedelta(microseconds=1)


def one(stamp: str | float) -> int | None:
    """By careful reading, None where it is a fault."""
    read = timestamp.from_text if isinstance(stamp, str) else timestamp.from_number
    try:
        return read(stamp)  # type: ignore[arg-type]  # the reader of its kind
    except Fault:
        return None


def test_the_fault_is_bad_time():
    """What is no time has the code `bad_time` and a reason that names it."""
    with pytest.raises(Fault, match=r"01\.01\.2026") as caught:
        timestamp.from_text("01.01.2026 00:00")
    assert caught.value.code is Code.BAD_TIME


@given(st.lists(st.datetimes(timezones=offsets), min_size=1, max_size=20), st.sampled_from("T t"))
def test_texts_equal_pythons_calendar(times: list[datetime], separator: str):
    """Any date from year 1 to 9999 at any offset is the instant that Python says."""
    texts = [at.isoformat(sep=separator) for at in times]
    expected = [micros(at) for at in times]
    inside = [at if timestamp.TS_MIN <= at <= timestamp.TS_MAX else None for at in expected]
    assert [one(text) for text in texts] == inside
    doubted = [timestamp.DOUBT if at is None else at for at in inside]
    assert timestamp.column(texts).tolist() == doubted


@pytest.mark.parametrize(
    ("fraction", "cut"),
    [("", 0), (".0", 0), (".1", 100_000), (".123456", 123_456), (".1234567", 123_456),
     (".999999999", 999_999), (".000000999999999999", 0)],
)  # fmt: skip
def test_fractions_are_cut_to_microseconds(fraction: str, cut: int):
    """More digits than µs are cut, never rounded up into another second."""
    text = f"1970-01-01T00:00:00{fraction}Z"
    assert one(text) == cut
    assert timestamp.column([text]).tolist() == [cut]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, 0),
        (-1, -1_000_000),
        (10**11 - 1, (10**11 - 1) * 10**6),
        (10**11, 10**14),
        (10**14 - 1, (10**14 - 1) * 1000),
        (10**14, 10**14),
        (10**17 - 1, 10**17 - 1),
        (10**17, 10**14),
        (10**20 - 1, (10**20 - 1) // 1000),
        (10**20, None),
        (-(10**11) + 1, None),  # before the year 1
        (0.25, 250_000),
        (1767225600.123456, 1_767_225_600_123_456),
        (1767225600250.5, 1_767_225_600_250_500),
        (1e20, None),
        (2**63, 2**63 // 1000),
        (-(2**63), -(2**63) // 1000),
    ],
)
def test_numbers_are_told_apart_by_size(number: float, expected: int | None):
    """Seconds, ms, µs and ns meet at 10¹¹, 10¹⁴ and 10¹⁷; beyond 10²⁰ is no time."""
    assert one(number) == expected
    column = int(timestamp.column([number])[0])
    assert column in (expected, timestamp.DOUBT)
    if -(2**63) < number < 2**63:
        assert (column == timestamp.DOUBT) == (expected is None)


@given(
    st.lists(
        st.one_of(
            st.integers(-(10**20), 10**21),
            st.floats(allow_nan=False),
            st.from_regex(
                r"\d{4}-[01]\d-[0-3]\d[Tt ][0-2]\d:[0-6]\d:[0-6]\d"
                r"(\.\d{0,12})?(Z|z|[+-]\d\d:?\d\d)?",
                fullmatch=True,
            ),
            st.text(max_size=30),
        ),
        max_size=20,
    )
)
def test_a_column_never_contradicts_careful_reading(stamps: list[str | float]):
    """Where the column is sure, careful reading says the same; elsewhere the column doubts."""
    column = timestamp.column(stamps)
    assert column.dtype == np.int64
    for stamp, at in zip(stamps, column.tolist(), strict=True):
        assert at in (one(stamp), timestamp.DOUBT)


@pytest.mark.parametrize(
    "text",
    ["", "Z", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:60Z", "2026-02-30T00:00:00Z",
     "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z",
     "2026-01-01T00:60:00Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+24:00",
     "2026-01-01T00:00:00+00:60", "2026-01-01T00:00:00 Z", "0000-01-01T00:00:00Z",
     "２026-01-01T00:00:00Z", "2026-01-01T00:00:00Z\n", "2026-01-01T00:00:00." + "1" * 100 + "Z"],
)  # fmt: skip
def test_what_is_no_time_is_a_fault(text: str):
    """Dates that no calendar has, times without an offset and leap seconds are `bad_time`."""
    assert one(text) is None
    assert timestamp.column([text]).tolist() == [timestamp.DOUBT]
