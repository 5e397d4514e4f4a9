"""Set-points, counters, flat lines, units, suppression, priorities and acts: exactly as asked."""

import numpy as np
import pytest
from made_day import BEGIN_S, judge, readings

from floorlog.core.detect.acceptance import REASON
from floorlog.core.detect.deviation import Deviation
from floorlog.core.detect.flat_line import FlatLine
from floorlog.core.detect.hold import OTHER, WORSE
from floorlog.core.detect.learned import Learned
from floorlog.core.detect.limit import CriticalLimit, Limit
from floorlog.core.detect.out_of_range import OutOfRange
from floorlog.core.detect.panel import Panel
from floorlog.core.detect.sequence_gap import SequenceGap
from floorlog.core.detect.unit_error import BAR, CELSIUS, FAHRENHEIT, KPA, PSI, UnitError
from floorlog.core.reading import Anomaly
from floorlog.core.rules import Rules

Told = list[tuple[str, float, float]]


def rules(rows: int = 1, **columns: float) -> Rules:
    """Rules of the first of some series."""
    asked = Rules.empty(rows)
    asked.set(0, **columns)
    return asked


def told(events: list[Anomaly], row: int = 0) -> Told:
    """Phase, start and time of each event of a series, in seconds from the first reading."""
    mine = [e for e in events if e.row == row]
    return [(e.phase, e.start / 1e6 - BEGIN_S, e.at / 1e6 - BEGIN_S) for e in mine]


def column(*values: float) -> np.ndarray:
    """One series' values, one a second."""
    return np.array(values, np.float64)[:, None]


# ── deviation ────────────────────────────────────────────────────────────────────────────────


def test_deviation_from_a_fixed_setpoint() -> None:
    """Further than allowed above or below; with its dead-band; the sentence has all three."""
    asked = rules(setpoint=50, deviation_lo=-2, deviation_hi=5, deviation_dead_band=1)
    asked.set(0, deviation_off_delay_s=0)
    value = column(50, 55, 55.5, 54.5, 53.9, 48, 47.5, 50)
    found = judge(value, rules=asked, detectors=[Deviation()])
    assert told(found) == [("start", 2, 2), ("end", 2, 4), ("start", 6, 6), ("end", 6, 7)]
    assert found[0].reason == "55.5 is 5.5 above the set-point 50"
    assert found[2].reason == "47.5 is 2.5 below the set-point 50"


def test_deviation_follows_another_series() -> None:
    """The set-point is what the other series said in an earlier second; none known, none judged."""
    asked = rules(2, setpoint_row=1, deviation_lo=-5, deviation_hi=5, deviation_off_delay_s=0)
    value = np.array([[99, 50], [50, 50], [50, 80], [50, 80], [80, 80], [80, 80]], np.float64)
    found = judge(value, rules=asked, detectors=[Deviation()])
    assert told(found) == [("start", 3, 3), ("end", 3, 4)]
    assert (found[0].value, found[0].expected) == (50, 80)


def test_history_follows_by_time_stamp() -> None:
    """Where all arrives in one second, the set-point with an earlier time stamp is in force."""
    asked = rules(2, setpoint_row=1, deviation_lo=-5, deviation_hi=5, deviation_off_delay_s=0)
    value = np.array([[50, 50], [50, 50], [50, 80], [50, 80], [80, 80]], np.float64)
    ts = np.repeat(BEGIN_S + np.arange(5), 2) * 1_000_000
    arrival_s = np.full(10, BEGIN_S + 1_000_000)
    for cut in range(11):
        panel, found = Panel([Deviation()]), []
        for part in (slice(0, cut), slice(cut, 10)):
            row = np.tile([0, 1], 5)[part]
            some = readings(row, ts[part], value.ravel()[part], arrival_s[part])
            fresh = np.ones(len(row), np.bool_)
            found += panel.advance(some, fresh, asked, np.zeros(2, np.int8), BEGIN_S + 1_000_000)
        mine = [event for event in found if event.detector == "deviation"]
        assert told(mine) == [("start", 3, 3), ("end", 3, 4)], cut


# ── counters, flat lines ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "wrap", "missing"),
    [
        ([1, 2, 3, 4], None, []),
        ([1, 2, 5, 6], None, [(2, 2)]),
        ([7, 8, 0, 1], None, []),  # a restart
        ([7, 8, 1, 2], None, []),
        ([7, 8, 5, 6], None, [(2, 4)]),  # back in time
        ([7, 7, 8, 8], None, []),  # the same again
        ([254, 255, 0, 1], 255, []),
        ([254, 255, 2, 3], 255, [(2, 2)]),
        ([250, 251, 3, 4], 255, [(2, 7)]),
    ],
)
def test_a_counter_that_skips(value: list[int], wrap: int | None, missing: list) -> None:
    """Found at the very reading after the hole, with how many are missing."""
    asked = rules(counter_step=1, counter_wrap=np.nan if wrap is None else wrap)
    found = judge(column(*value), rules=asked, detectors=[SequenceGap()])
    starts = [(e.at / 1e6 - BEGIN_S, e.score) for e in found if e.phase == "start"]
    assert starts == missing
    assert len(found) == 2 * len(missing)


def test_a_flat_line_as_long_as_the_catalogue_says() -> None:
    """Longer than allowed at one value is found, begun with it; as long as allowed is not."""
    asked = rules(stuck_s=3)
    found = judge(column(1, 2, 2, 2, 2, 3, 4, 4, 4, 4, 4, 5), rules=asked, detectors=[FlatLine()])
    assert told(found) == [("start", 6, 10), ("end", 6, 11)]
    assert found[0].reason == "stays at exactly 4 for 4 s, longer than allowed"


# ── units ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("quantity", "level", "turn", "words"),
    [
        (CELSIUS, 70, lambda v: v * 1.8 + 32, "in °F instead of °C"),
        (FAHRENHEIT, 160, lambda v: (v - 32) / 1.8, "in °C instead of °F"),
        (CELSIUS, 70, lambda v: v + 273.15, "in K instead of °C"),
        (BAR, 6, lambda v: v * 100, "in kPa instead of bar"),
        (BAR, 6, lambda v: v * 14.5038, "in psi instead of bar"),
        (KPA, 600, lambda v: v * 0.145038, "in psi instead of kPa"),
        (PSI, 90, lambda v: v / 14.5038, "in bar instead of psi"),
        (0, 6, lambda v: v * 10, "ten times too large"),
        (0, 6, lambda v: v / 1000, "a thousand times too small"),
    ],
)
def test_a_unit_error_is_named(quantity: int, level: float, turn, words: str) -> None:
    """Three readings in another unit are found and named; when it is right again it ends."""
    chance = np.random.default_rng(3)
    value = level + chance.normal(size=(600, 8)) * level * 0.02
    value[500:540] = turn(value[500:540])
    asked = Rules.empty(8)
    asked.quantity[:] = quantity
    found = judge(value, rules=asked, detectors=[UnitError()])
    assert len(found) == 16
    for row in range(8):
        start, end = (e for e in found if e.row == row)
        assert (start.start / 1e6 - BEGIN_S, start.at / 1e6 - BEGIN_S) == (500, 502)
        assert words in start.reason
        assert end.at / 1e6 - BEGIN_S == 540


def test_steps_and_ramps_are_no_unit_errors() -> None:
    """What moves to some other level, or slowly to ten times the level, is named nothing."""
    chance = np.random.default_rng(3)
    value = 50 + chance.normal(size=(3000, 4))
    value[1000:, 0] += 100
    value[1000:, 1] *= np.linspace(1, 10, 2000)
    value[1000:, 2] = chance.normal(size=2000) * 0.01
    value[:, 3] = (np.arange(3000) // 100 % 2) * 10  # on and off
    assert judge(value, detectors=[UnitError()]) == []


# ── suppression, priorities, acts ────────────────────────────────────────────────────────────


def with_mode(value: list[float], mode: list[int], asked: Rules) -> list[Anomaly]:
    """Judge a series beside the state of its equipment, one reading of each a second."""
    count = len(value)
    ts = np.repeat(BEGIN_S + np.arange(count), 2) * 1_000_000
    some = readings(np.tile([0, 1], count), ts, np.stack([value, mode], axis=1).ravel())
    panel = Panel([Limit(), OutOfRange()])
    kind = np.array([0, 1], np.int8)
    fresh = np.ones(2 * count, np.bool_)
    return [e for e in panel.advance(some, fresh, asked, kind, BEGIN_S + count) if e.row == 0]


def test_findings_do_not_begin_in_suppressing_states() -> None:
    """Not in the state nor while it settles; what is open goes on; broken measuring is told."""
    asked = rules(2, hi=10, off_delay_s=0, range_hi=100, mode_row=1, settle_s=2)
    asked.suppressing[0] = frozenset({5})
    value = [11.0] * 10
    found = with_mode(value, [5, 5, 5, 1, 1, 1, 1, 1, 1, 1], asked)
    # Second 0 has no state before it; the state of second 2 is in force in second 3, settles to 5.
    assert told(found) == [("start", 0, 0)]
    found = with_mode([9.0, *value], [5, 5, 5, 1, 1, 1, 1, 1, 1, 1, 1], asked)
    assert told(found) == [("start", 6, 6)]
    found = with_mode([9.0, 200.0, 9.0], [5, 5, 5], asked)
    assert [e.detector for e in found] == ["out_of_range", "out_of_range"]


def test_priorities_are_the_catalogues() -> None:
    """Each limit has its own, for the finding's end too; the others keep the detector's."""
    asked = rules(lo=0, hi=10, hihi=20, off_delay_s=0)
    asked.severities[0] = {"hi": 1, "hihi": 2}
    found = judge(column(5, 11, 5, -1, 5, 21, 5), rules=asked, detectors=[Limit(), CriticalLimit()])
    told_ = [(e.detector, e.phase, e.severity) for e in found]
    assert told_[:4] == [
        ("limit", "start", 1), ("limit", "end", 1), ("limit", "start", 2), ("limit", "end", 2)
    ]  # fmt: skip
    assert [severity for name, _, severity in told_ if name == "critical_limit"] == [2, 2]


def test_a_new_normal_can_be_accepted() -> None:
    """After acceptance the open finding ends, says why, and the new level is learned afresh."""
    chance = np.random.default_rng(8)
    value = chance.normal(size=1200)
    value[800:] += 40
    panel = Panel([Limit(), Learned()])
    found: list[Anomaly] = []
    for begin in range(0, 1200, 10):
        asked = rules(hi=30.0)
        if begin >= 900:
            asked.set(0, accepted_us=1.0)
        ts = (BEGIN_S + begin + np.arange(10)) * 1_000_000
        some = readings(np.zeros(10, np.int32), ts, value[begin : begin + 10])
        fresh, kind = np.ones(10, np.bool_), np.zeros(1, np.int8)
        found += panel.advance(some, fresh, asked, kind, BEGIN_S + begin + 10)
    novelty = [e for e in found if e.detector != "limit" and e.reason not in {WORSE, OTHER}]
    assert told(novelty)[:2] == [("start", 800, 800), ("end", 800, 899)]
    assert novelty[1].reason == REASON
    assert len(novelty) == 2
    assert [e.phase for e in found if e.detector == "limit"] == ["start"]  # limits stay limits


def test_what_is_excluded_is_not_learned() -> None:
    """A period marked bad raises nothing learned and leaves what is known as it was."""
    chance = np.random.default_rng(8)
    value = chance.normal(size=(2000, 1))
    bad = value.copy()
    bad[1000:1500] = 80 + chance.normal(size=(500, 1)) * 9
    asked = rules(hi=30.0, off_delay_s=0)
    asked.excluded[0] = (((BEGIN_S + 1000) * 1_000_000, (BEGIN_S + 1500) * 1_000_000),)
    bad[1700] = value[1700] = 20.0
    found = judge(bad, rules=asked, detectors=[Limit(), Learned()])
    assert told([e for e in found if e.detector == "spike"])[0] == ("start", 1700, 1700)
    assert told([e for e in found if e.detector == "limit"]) == [
        ("start", 1000, 1000), ("end", 1000, 1500)
    ]  # fmt: skip
