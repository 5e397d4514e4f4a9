"""Validation: every code, the order of the checks, and what becomes of values and qualities."""

import json
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from floorlog.core.catalogue import Catalogue
from floorlog.core.decode import Decoded, decode
from floorlog.core.reading import (
    GOOD,
    UNCERTAIN,
    UNCERTAIN_OUT_OF_RANGE,
    Code,
    Kind,
    Readings,
    Record,
    Reject,
)
from floorlog.core.series import KnownSeries, SeriesKey, SeriesTable
from floorlog.core.validate import pending, validate

NOW_S = 1_767_225_600
BAD = 0x8000_0000


class Shard:
    """A table, states and a catalogue, with a record that registers whatever is pending."""

    def __init__(self, catalogue: dict[str, object] | None = None) -> None:
        self.catalogue = Catalogue.of(catalogue or {}, "test")
        self.table = SeriesTable()
        self.states = {"false": 0, "true": 1}
        self.rules = self.catalogue.rules(self.table, self.states)
        self.keys: list[SeriesKey] = []
        self.names: list[str] = []

    def decode(self, readings: Iterable[dict[str, object]]) -> Decoded:
        fields = {"device_id": "press", "metric": "t", "ts": NOW_S}
        datas = [json.dumps({**fields, **reading}).encode() for reading in readings]
        records = [Record(at, f"key-{at}", 0, data) for at, data in enumerate(datas)]
        return decode(records, self.table, np.full(len(records), NOW_S))

    def judge(self, *readings: dict[str, object]) -> tuple[Readings, list[Reject]]:
        batch = self.decode(readings)
        assert not batch.rejects, batch.rejects
        keys, names = pending(batch, self.table, self.states, batch.records, self.catalogue)
        self.keys += keys
        self.names += names
        known = len(self.keys) - len(keys)
        self.table.learn(
            KnownSeries(known + place, key.device, key.metric, key.kind, key.unit, 1)
            for place, key in enumerate(keys, 1)
        )
        for name in names:
            self.states[name] = len(self.states)
        assert pending(batch, self.table, self.states, batch.records, self.catalogue) == ([], [])
        return validate(batch, self.table, self.rules, self.states)

    def codes(self, *readings: dict[str, object]) -> list[Code | None]:
        """Per reading the code of its reject, None where it stands."""
        stand, rejects = self.judge(*readings)
        found: list[Code | None] = [None] * len(readings)
        for reject in rejects:
            found[reject.record] = reject.code
        assert len(stand) == found.count(None)
        return found


LIMITED = {"metrics": {"t": {"unit": "Cel", "range": {"lo": -40, "hi": 200}}}}
REJECTING = {"metrics": {"t": {"range": {"lo": 0, "hi": 100, "reject": True}}}}
STATES = {"metrics": {"t": {"states": ["on", "off", "fault"], "abnormal": ["fault"]}}}


def test_what_is_in_order_stands_as_it_is():
    """Values, times, qualities and places are those that were decoded."""
    stand, rejects = Shard().judge({"value": 1.5, "quality": BAD}, {"value": 2, "ts": NOW_S + 1})
    assert not rejects
    assert stand.value.tolist() == [1.5, 2.0]
    assert stand.ts.tolist() == [NOW_S * 10**6, (NOW_S + 1) * 10**6]
    assert stand.quality.tolist() == [BAD, GOOD]
    assert stand.record.tolist() == [0, 1]
    assert stand.arrival_s.tolist() == [NOW_S, NOW_S]


def test_negative_zero_becomes_zero():
    """−0.0 and 0.0 are one value, so a retry that differs in the sign is the same reading."""
    stand, _ = Shard().judge({"value": -0.0})
    assert not np.signbit(stand.value).any()


def test_states_become_codes():
    """Names get codes in order of first sight, truth values the two that every plant has."""
    shard = Shard()
    stand, rejects = shard.judge(
        *({"value": value} for value in ("running", True, "stopped", False, "running", "true"))
    )
    assert not rejects
    assert stand.value.tolist() == [2, 1, 3, 0, 2, 1]
    assert shard.names == ["running", "stopped"]
    assert shard.keys[0].kind is Kind.STATE


@pytest.mark.parametrize(
    ("value", "quality", "expected"),
    [
        (200, GOOD, GOOD),
        (-40, GOOD, GOOD),
        (200.1, GOOD, UNCERTAIN_OUT_OF_RANGE),
        (-40.1, 0x0000_0400, UNCERTAIN_OUT_OF_RANGE),  # Good, with information bits
        (201, UNCERTAIN, UNCERTAIN),
        (201, BAD, BAD),
    ],
)
def test_out_of_range_is_stored_as_uncertain(value: float, quality: int, expected: int):
    """A number outside the range is kept; its quality falls to Uncertain, never rises."""
    stand, rejects = Shard(LIMITED).judge({"value": value, "quality": quality})
    assert not rejects
    assert stand.value.tolist() == [value]
    assert stand.quality.tolist() == [expected]


def test_out_of_range_is_rejected_where_the_catalogue_says_so():
    """With `reject` the number is no reading, whatever its quality."""
    shard = Shard(REJECTING)
    assert shard.codes(
        {"value": 100}, {"value": 100.5}, {"value": -1, "quality": BAD}, {"value": 0}
    ) == [None, Code.OUT_OF_RANGE, Code.OUT_OF_RANGE, None]


def test_the_future_begins_after_the_allowed_lead():
    """300 s ahead of arrival stand, a microsecond more does not; the past always stands."""
    last = (NOW_S + 300) * 10**6
    stamps = [last, last + 1, 0, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
    assert Shard().codes(*({"value": 1, "ts": ts} for ts in stamps)) == [
        None,
        Code.FUTURE_TIME,
        None,
        None,
        Code.FUTURE_TIME,
    ]


def test_the_first_reading_fixes_the_kind():
    """Numbers and states do not mix in one series; text that looks like a number is a state."""
    numbers = [{"value": 1}, {"value": "1"}, {"value": True}, {"value": 2}]
    assert Shard().codes(*numbers) == [None, Code.NOT_A_NUMBER, Code.NOT_A_NUMBER, None]
    states = [{"value": "1"}, {"value": 1}, {"value": True}]
    assert Shard().codes(*states) == [None, Code.NOT_A_STATE, None]


def test_the_catalogue_fixes_kind_and_states():
    """Where states are listed, others and numbers are rejects, from the first reading on."""
    shard = Shard(STATES)
    readings = [{"value": 7}, {"value": "on"}, {"value": "ON"}, {"value": "fault"}]
    assert shard.codes(*readings) == [Code.NOT_A_STATE, None, Code.NOT_A_STATE, None]
    assert shard.names == ["on", "fault"]
    assert shard.rules.abnormal == {0: frozenset({shard.states["fault"]})}
    limited = Shard(LIMITED)
    assert limited.codes({"value": "hot"}, {"value": 3}) == [Code.NOT_A_NUMBER, None]


def test_units_must_agree():
    """Another unit is a reject; no unit, or another spelling of the same, is not."""
    units = [None, "Cel", "°C", "K", "", "degC"]
    expected = [None, None, None, Code.UNIT_MISMATCH, None, None]
    assert Shard(LIMITED).codes(*({"value": 1, "unit": unit} for unit in units)) == expected


def test_the_first_unit_seen_is_the_series_unit():
    """Without a catalogue the first reading fixes the unit, also by giving none."""
    shard = Shard()
    first = [{"value": 1, "unit": "°C"}, {"value": 1, "unit": "K"}, {"value": 1}]
    assert shard.codes(*first) == [None, Code.UNIT_MISMATCH, None]
    assert shard.keys[0].unit == "Cel"
    assert Shard().codes({"value": 1}, {"value": 1, "unit": "K"}) == [None, None]


def test_strict_rejects_what_is_not_listed():
    """A strict catalogue lets only listed devices with listed or default metrics in."""
    shard = Shard(
        {
            "strict": True,
            "metrics": {"t": {}},
            "devices": {"press": {"metrics": {"p": {}}}, "idle": {}},
        }
    )
    readings = [
        {"value": 1},
        {"value": 1, "metric": "p"},
        {"value": 1, "metric": "q"},
        {"value": 1, "device_id": "idle"},
        {"value": 1, "device_id": "other"},
        {"value": 1, "device_id": "idle", "metric": "p"},
    ]
    unknown = Code.UNKNOWN_SERIES
    assert shard.codes(*readings) == [None, None, unknown, None, unknown, unknown]
    assert [(key.device, key.metric) for key in shard.keys] == [
        ("press", "t"),
        ("press", "p"),
        ("idle", "t"),
    ]


def test_a_series_without_an_id_is_one_too_many():
    """What the record did not register cannot be stored."""
    shard = Shard()
    batch = shard.decode([{"value": 1}])
    stand, (reject,) = validate(batch, shard.table, shard.rules, shard.states)
    assert len(stand) == 0
    assert reject.code is Code.TOO_MANY_SERIES


@pytest.mark.parametrize(
    ("catalogue", "reading"),
    [
        (None, {"value": 1, "ts": NOW_S + 301}),
        (LIMITED, {"value": 1, "unit": "K"}),
        (LIMITED, {"value": "hot"}),
        (STATES, {"value": "ON"}),
        (REJECTING, {"value": 101}),
        ({"strict": True}, {"value": 1}),
    ],
)
def test_a_rejected_reading_makes_no_series(
    catalogue: dict[str, object] | None, reading: dict[str, object]
):
    """Neither series nor state names come to be by readings that are rejected."""
    shard = Shard(catalogue)
    shard.judge(reading)
    assert shard.keys == []
    assert shard.names == []


def test_the_first_reading_that_stands_makes_the_series():
    """Kind, unit and partition key are those of the first reading that is not rejected."""
    shard = Shard(REJECTING)
    shard.judge({"value": 500, "unit": "K"}, {"value": 5, "unit": "Cel"}, {"value": 6})
    assert shard.keys == [SeriesKey("press", "t", Kind.NUMBER, "Cel", "key-1")]


def test_the_earlier_check_gives_the_code():
    """A reading that fails many checks gets the code of the first, as documented."""
    shard = Shard({"metrics": {"t": {"unit": "Cel", "range": {"hi": 1, "reject": True}}}})
    readings: list[dict[str, object]] = [
        {"value": "hot", "unit": "K", "ts": NOW_S + 1000},
        {"value": "hot", "unit": "K"},
        {"value": 9, "unit": "K"},
        {"value": 9},
        {"value": 1},
    ]
    assert shard.codes(*readings) == [
        Code.FUTURE_TIME,
        Code.NOT_A_NUMBER,
        Code.UNIT_MISMATCH,
        Code.OUT_OF_RANGE,
        None,
    ]


def test_the_records_kind_outlives_the_catalogues():
    """A catalogue that comes to want another kind does not stop a series that has one."""
    shard = Shard()
    assert shard.codes({"value": 1}) == [None]
    shard.catalogue = Catalogue.of(STATES, "test")
    shard.rules = shard.catalogue.rules(shard.table, shard.states)
    assert shard.codes({"value": 2}, {"value": "off"}) == [None, Code.NOT_A_NUMBER]


def test_rejects_come_with_bytes_place_and_reason():
    """Each reject holds the bytes of its own element, whatever the record held beside it."""
    shard = Shard(REJECTING)
    frame = b'{"device_id":"press","ts":1,"values":{"u":500, "t": 5e2 ,"v":1}}'
    one = b'{"device_id":"press","metric":"t","ts":1,"value":500}'
    records = [Record(0, "k", 0, frame), Record(1, "k", 0, b"[" + one + b", " + one + b"]")]
    batch = decode(records, shard.table, np.full(2, NOW_S))
    keys, _ = pending(batch, shard.table, shard.states, records, shard.catalogue)
    assert [key.metric for key in keys] == ["u", "v"]
    shard.table.learn([KnownSeries(9, "press", "t", Kind.NUMBER, None, 1)])
    shard.table.learn(
        KnownSeries(i, k.device, k.metric, k.kind, None, 1) for i, k in enumerate(keys, 1)
    )
    stand, rejects = validate(batch, shard.table, shard.rules, shard.states)
    assert stand.element.tolist() == [0, 2]
    assert [(reject.record, reject.element) for reject in rejects] == [(0, 1), (1, 0), (1, 1)]
    assert rejects[0].data == b'{"device_id":"press","ts":1,"values":{"t":5e2}}'
    assert [reject.data for reject in rejects[1:]] == [one, one]
    assert rejects[0].reason == "t of press lies outside 0 to 100"


READING = st.fixed_dictionaries(
    {
        "device_id": st.sampled_from(["press", "pump"]),
        "metric": st.sampled_from(["t", "u"]),
        "value": st.sampled_from([1, 50, 500, -0.0, "on", "off", "odd", True]),
        "ts": st.sampled_from([NOW_S, NOW_S + 300, NOW_S + 301]),
        "unit": st.sampled_from([None, "Cel", "°C", "K"]),
    }
)
CATALOGUE = {
    "metrics": {"t": {"unit": "Cel", "range": {"hi": 100, "reject": True}}},
    "devices": {"press": {"metrics": {"u": {"states": ["on", "off"]}}}},
}


@given(st.lists(READING, max_size=12), st.data())
def test_any_cutting_into_batches_judges_the_same(
    readings: list[dict[str, object]], data: st.DataObject
):
    """Series, names, values, qualities and codes do not depend on where batches begin."""
    whole, parts = Shard(CATALOGUE), Shard(CATALOGUE)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(readings)), max_size=3)))
    codes: list[Code | None] = []
    for begin, end in zip([0, *cuts], [*cuts, len(readings)], strict=True):
        codes += parts.codes(*readings[begin:end])
    assert whole.codes(*readings) == codes
    strip = [(key.device, key.metric, key.kind, key.unit) for key in whole.keys]
    assert [(key.device, key.metric, key.kind, key.unit) for key in parts.keys] == strip
    assert whole.names == parts.names
