"""The catalogue: defaults and what overrides them, its columns, its errors."""

import math

import numpy as np
import pytest

from floorlog.core.catalogue import Catalogue, Limits, Metric, Range
from floorlog.core.detect.unit_error import CELSIUS
from floorlog.core.reading import Kind
from floorlog.core.series import KnownSeries, SeriesTable
from floorlog.core.unit import ucum
from floorlog.errors import InputError

PLANT = {
    "metrics": {
        "temperature": {
            "unit": "Cel",
            "range": {"lo": -40, "hi": 200, "reject": True},
            "limits": {"hi": 90, "hihi": 95, "dead_band": 1, "on_delay_s": 5},
            "rate_per_s": 2,
            "interval_s": 1,
        },
        "status": {"states": ["running", "stopped", "fault"], "abnormal": ["fault"]},
    },
    "devices": {
        "press-07": {"asset": "line-1", "metrics": {"temperature": {"limits": {"hi": 85}}}},
        "press-08": {"asset": "line-1"},
        "pump": {"metrics": {"flow": {"interval_s": 10}}},
    },
}


def plant() -> Catalogue:
    return Catalogue.of(PLANT, "test")


def test_an_asset_is_the_device_unless_it_is_grouped():
    """The partition key: the group's name, by default the device's."""
    catalogue = plant()
    assert [catalogue.asset(name) for name in ("press-07", "press-08", "pump", "new")] == [
        "line-1",
        "line-1",
        "pump",
        "new",
    ]


def test_a_device_overrides_defaults_one_by_one():
    """A device's limit replaces that limit alone; everything else stays the default's."""
    own = plant().metric("press-07", "temperature")
    assert own is not None
    assert own.limits == Limits(hi=85, hihi=95, dead_band=1, on_delay_s=5)
    assert own.range == Range(-40, 200, reject=True)
    assert plant().metric("press-08", "temperature") == plant().metrics["temperature"]
    assert plant().metric("pump", "flow") == Metric(interval_s=10)
    assert plant().metric("pump", "level") is None


def test_json_and_back_is_the_same():
    """Encoding loses nothing, and equal catalogues give equal bytes."""
    assert Catalogue.decode(plant().encode()) == plant()
    turned = dict(reversed(PLANT["devices"].items()))
    assert Catalogue.of({**PLANT, "devices": turned}, "test").encode() == plant().encode()
    assert Catalogue.decode(b"{}") == Catalogue()


def test_kinds_follow_from_what_is_asked():
    """States make a state series; range, limits and rate a number; the rest says nothing."""
    assert Metric(states=("a",)).kind() is Kind.STATE
    assert Metric(abnormal=("a",)).kind() is Kind.STATE
    assert Metric(rate_per_s=1).kind() is Kind.NUMBER
    assert Metric(unit="Cel", interval_s=1).kind() is None


def test_rules_are_columns_by_row():
    """Each row gets its series' numbers, and NaN where nothing is asked."""
    table = SeriesTable()
    table.row("press-07", "temperature")
    table.row("new", "colour")
    rules = plant().rules(table, {})
    assert len(rules) == 2
    expected = {
        "lolo": math.nan, "lo": math.nan, "hi": 85, "hihi": 95, "dead_band": 1, "on_delay_s": 5,
        "off_delay_s": math.nan, "rate_per_s": 2, "interval_s": 1, "range_lo": -40, "range_hi": 200,
    }  # fmt: skip
    for name, number in expected.items():
        np.testing.assert_equal(getattr(rules, name), [number, math.nan])
    assert rules.range_reject.tolist() == [True, False]


def test_rules_grow_with_the_table_and_the_states():
    """Rows and state codes that come later are covered, and the revision moves when they are."""
    table = SeriesTable()
    states: dict[str, int] = {}
    rules = plant().rules(table, states)
    before = rules.revision
    table.row("press-07", "status")
    table.row("press-08", "status")
    rules.cover(table, states)
    assert len(rules) == 2
    assert rules.abnormal == {}
    assert rules.revision > before
    states["fault"] = 7
    before = rules.revision
    rules.cover(table, states)
    assert rules.abnormal == {0: frozenset({7}), 1: frozenset({7})}
    assert rules.revision > before
    before = rules.revision
    rules.cover(table, states)
    assert rules.revision == before
    table.row("pump", "status")
    rules.cover(table, states)
    assert rules.abnormal[2] == frozenset({7})


def test_rules_that_need_other_series_wait_for_them():
    """Set-points, equipment states and units are found when their series are registered."""
    content = {
        "metrics": {
            "temperature": {
                "deviation": {"follows": {"metric": "setpoint"}, "hi": 5, "on_delay_s": 3},
                "suppressed": {
                    "follows": {"device": "plc", "metric": "mode"},
                    "states": ["startup", "maintenance"],
                    "settle_s": 60,
                },
                "severity": {"deviation": "high"},
            }
        },
        "devices": {"press": {"metrics": {"temperature": {"severity": {"hi": "low"}}}}},
    }
    table = SeriesTable()
    row = table.row("press", "temperature")
    rules = Catalogue.of(content, "test").rules(table, {"startup": 4})
    assert rules.setpoint_row[row] == rules.mode_row[row] == -1
    assert rules.deviation_hi[row] == 5
    assert rules.deviation_on_delay_s[row] == 3
    assert rules.settle_s[row] == 60
    assert rules.suppressing == {row: frozenset({4})}
    assert rules.severities == {row: {"deviation": 3, "hi": 1}}
    setpoint, mode = table.row("press", "setpoint"), table.row("plc", "mode")
    table.learn([KnownSeries(1, "press", "temperature", Kind.NUMBER, "°C", 1)])
    before = rules.revision
    rules.cover(table, {"startup": 4, "maintenance": 9})
    assert rules.setpoint_row.tolist() == [setpoint, -1, -1]
    assert rules.mode_row.tolist() == [mode, -1, -1]
    assert rules.suppressing == {row: frozenset({4, 9})}
    assert rules.quantity[row] == CELSIUS
    assert rules.revision > before


def test_acts_of_operators_are_rules_of_their_series():
    """The last acceptance counts; what is excluded of a device is so of each of its series."""
    acts = {
        "accepted": [
            {"device": "press", "metric": "speed", "at_us": 7},
            {"device": "press", "metric": "speed", "at_us": 5},
        ],
        "excluded": [
            {"device": "press", "begin_us": 1, "end_us": 2},
            {"device": "press", "metric": "speed", "begin_us": 3, "end_us": 4},
        ],
    }
    table = SeriesTable()
    speed, force = table.row("press", "speed"), table.row("press", "force")
    rules = Catalogue.of({"acts": acts}, "test").rules(table, {})
    np.testing.assert_equal(rules.accepted_us, [7, math.nan])
    assert rules.excluded == {speed: ((1, 2), (3, 4)), force: ((1, 2),)}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"stric": True}, "stric"),
        ({"metrics": {"t": {"unt": "K"}}}, "metrics.t: Object contains unknown field `unt`"),
        ({"metrics": {"t": {"limits": {"lo": 5, "hi": 3}}}}, "lo 5 lies above hi 3"),
        ({"metrics": {"t": {"limits": {"hi": math.inf}}}}, "hi is not finite"),
        ({"metrics": {"t": {"limits": {"dead_band": -1}}}}, "metrics.t: .*dead_band"),
        ({"metrics": {"t": {"range": {"lo": 5, "hi": 3}}}}, "metrics.t: range"),
        ({"metrics": {"t": {"rate_per_s": 0}}}, "metrics.t: .*rate_per_s"),
        ({"metrics": {"t": {"interval_s": math.inf}}}, "metrics.t: .*finite"),
        ({"metrics": {"t": {"states": ["a"], "abnormal": ["b"]}}}, "'b', which states"),
        ({"metrics": {"t": {"states": ["a"], "rate_per_s": 1}}}, "metrics.t: states and"),
        ({"metrics": {"t": {"deviation": {"hi": 1}}}}, "metrics.t: deviation needs either"),
        ({"metrics": {"t": {"deviation": {"setpoint": 1}}}}, "metrics.t: deviation needs lo or"),
        ({"metrics": {"t": {"deviation": {"setpoint": 1, "lo": 2}}}}, "lo must be 0 or less"),
        ({"metrics": {"t": {"severity": {"lou": "low"}}}}, "metrics.t: severity: 'lou' is none of"),
        ({"metrics": {"t": {"severity": {"lo": "urgent"}}}}, "metrics.t: .*urgent"),
        ({"metrics": {"t": {"suppressed": {"follows": {"metric": "s"}, "states": []}}}},
         "metrics.t: suppressed needs"),
        ({"metrics": {"t": {"counter": {"step": 0}}}}, "metrics.t: .*step"),
        ({"acts": {"excluded": [{"device": "d", "begin_us": 2, "end_us": 2}]}}, "end after"),
        ({"metrics": {"": {}}}, "metrics"),
        ({"metrics": {"a\0": {}}}, "metrics"),
        ({"devices": {"d": {"asset": "x" * 201}}}, "devices.d: .*asset"),
        ({"devices": {"d": {"metrics": {"t": {"unit": 1}}}}}, "devices.d.metrics.t: .*unit"),
        ({"metrics": {"t": {"limits": {"hi": 3}}},
          "devices": {"d": {"metrics": {"t": {"limits": {"lo": 5}}}}}}, "devices.d.metrics.t"),
        ([], "object"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(content: object, named: str):
    """The error names the entry and what is wrong with it."""
    with pytest.raises(InputError, match=named) as caught:
        Catalogue.of(content, "plant.yaml")
    assert caught.value.where == "plant.yaml"


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b'{"strict":1}'])
def test_what_is_no_catalogue_is_an_input_error(data: bytes):
    """Whatever is stored as a catalogue, the error is one for people."""
    with pytest.raises(InputError):
        Catalogue.decode(data)


@pytest.mark.parametrize(
    ("given", "code"),
    [("°C", "Cel"), ("degC", "Cel"), ("Cel", "Cel"), ("C", "C"), ("m³/h", "m3/h"), ("µm", "um"),
     ("μm", "um"), ("kg·m", "kg.m"), ("m / s", "m/s"), ("Ω", "Ohm"), ("\u2126", "Ohm"),
     ("psi", "[psi]"), ("bar", "bar")],
)  # fmt: skip
def test_usual_spellings_of_units_are_one(given: str, code: str):
    """Spellings that people use compare as the UCUM code; what is none of them stays as it is."""
    assert ucum(given) == code
    assert ucum(code) == code


def test_alarms_by_rule_or_severity():
    """The rule's priority and latching, by device over the metric's; without one the severity."""
    catalogue = Catalogue.of(
        {
            "metrics": {"level": {"alarm": {"priority": "critical", "latch": True}}, "flow": {}},
            "devices": {"pump": {"metrics": {"level": {"alarm": {"priority": "low"}}}}},
        },
        "here",
    )
    assert catalogue.alarm("press", "level", 2) == (4, True)
    assert catalogue.alarm("pump", "level", 2) == (1, False)
    assert catalogue.alarm("press", "flow", 3) == (3, False)
    assert catalogue.alarm("press", "unknown", 1) == (1, False)
    with pytest.raises(InputError, match="alarm"):
        Catalogue.of({"metrics": {"level": {"alarm": {"priority": "urgent"}}}}, "here")
