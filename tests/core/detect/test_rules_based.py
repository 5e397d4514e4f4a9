"""Limits, range, rate and states, as the catalogue asks for them."""

import numpy as np
import pytest
from made_day import BEGIN_S, judge, readings

from floorlog.core.detect import DETECTORS
from floorlog.core.detect.limit import CriticalLimit, Limit
from floorlog.core.detect.off_normal import OffNormal
from floorlog.core.detect.out_of_range import OutOfRange
from floorlog.core.detect.panel import Panel
from floorlog.core.detect.rate import Rate
from floorlog.core.reading import Anomaly
from floorlog.core.rules import Rules

Told = list[tuple[str, float, float]]


def rules(**columns: float) -> Rules:
    """Rules of one series."""
    asked = Rules.empty(1)
    asked.set(0, **columns)
    return asked


def told(events: list[Anomaly]) -> Told:
    """Phase, start and time of each event, in seconds from the first reading."""
    return [
        (e.phase, e.start / 1e6 - BEGIN_S, e.at / 1e6 - BEGIN_S)
        for e in sorted(events, key=lambda e: (e.at, e.phase == "end"))
    ]


def column(*values: float) -> np.ndarray:
    """One series' values, one a second."""
    return np.array(values, np.float64)[:, None]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([5, 11, 11, 9, 9], [("start", 1, 1), ("end", 1, 3)]),
        ([5, 10, 10, 10], []),  # at the limit is not beyond it
        ([5, -1, 5, 5], [("start", 1, 1), ("end", 1, 2)]),
        ([11, 11], [("start", 0, 0)]),
        ([11, -1, 5], [("start", 0, 0), ("end", 0, 2)]),  # from above to below: one finding
    ],
)
def test_beyond_a_limit(value: list[float], found: Told) -> None:
    """A finding lasts from the first reading beyond a limit to the first one inside."""
    asked = rules(hi=10.0, lo=0.0, off_delay_s=0)
    assert told(judge(column(*value), rules=asked, detectors=[Limit()])) == found


def test_dead_band_keeps_an_alarm_from_chattering() -> None:
    """Inside the limit, yet within the dead-band, the finding stays."""
    asked = rules(hi=10.0, dead_band=1.0, off_delay_s=0)
    found = judge(column(11, 9.5, 11, 9.5, 9.0, 8.9), rules=asked, detectors=[Limit()])
    assert told(found) == [("start", 0, 0), ("end", 0, 4)]


def test_on_delay_passes_short_excursions() -> None:
    """Beyond for less than the on-delay is nothing; the finding begins when it first was beyond."""
    asked = rules(hi=10.0, on_delay_s=2.0, off_delay_s=0)
    found = judge(column(11, 11, 9, 11, 11, 11, 9), rules=asked, detectors=[Limit()])
    assert told(found) == [("start", 3, 5), ("end", 3, 6)]
    assert found[0].reason == "11 is above the high limit 10 for 2 s"


def test_off_delay_bridges_short_returns() -> None:
    """The finding ends when the value was inside for the whole off-delay."""
    asked = rules(hi=10.0, off_delay_s=2.0)
    found = judge(column(11, 9, 9, 11, 9, 9, 9, 9), rules=asked, detectors=[Limit()])
    assert told(found) == [("start", 0, 0), ("end", 0, 6)]


def test_without_an_off_delay_a_default_holds() -> None:
    """Where the catalogue names no off-delay it is 15 s."""
    value = column(11, *[9] * 20)
    assert told(judge(value, rules=rules(hi=10.0), detectors=[Limit()]))[1] == ("end", 0, 16)


def test_high_high_is_a_finding_of_its_own() -> None:
    """Beyond both, the high-high limit adds a finding of high severity."""
    asked = rules(hi=10.0, hihi=20.0, lo=-10, lolo=-20, off_delay_s=0)
    found = judge(column(11, 21, 11, 9), rules=asked)
    assert told([e for e in found if e.detector == "limit"]) == [("start", 0, 0), ("end", 0, 3)]
    high = [e for e in found if e.detector == "critical_limit"]
    assert told(high) == [("start", 1, 1), ("end", 1, 2)]
    assert {e.severity for e in high} == {3}
    low = judge(column(-21), rules=asked, detectors=[CriticalLimit()])
    assert low[0].reason == "-21 is below the low-low limit -20"


def test_the_reason_of_a_low_limit_names_it() -> None:
    """What is below a limit says so, with both numbers."""
    found = judge(column(1.5), rules=rules(lo=2.0), detectors=[Limit()])
    assert found[0].reason == "1.5 is below the low limit 2"
    assert (found[0].value, found[0].expected) == (1.5, 2.0)


def test_out_of_range_begins_and_ends() -> None:
    """A number outside the range is a finding of low severity."""
    asked = rules(range_lo=0.0, range_hi=100.0, off_delay_s=0)
    found = judge(column(50, 101, 101, 50), rules=asked, detectors=[OutOfRange()])
    assert told(found) == [("start", 1, 1), ("end", 1, 3)]
    assert found[0].severity == 1


def test_rate_is_per_second_of_elapsed_time() -> None:
    """The same change is too fast in one second and fine in five."""
    asked = rules(rate_per_s=3.0, off_delay_s=0)
    value = column(0, 10, 10, 10)
    fast = judge(value, step_s=1.0, rules=asked, detectors=[Rate()])
    assert told(fast) == [("start", 1, 1), ("end", 1, 2)]
    assert fast[0].reason == "went from 0 to 10, 3.33 times as fast as allowed"
    assert judge(value, step_s=5.0, rules=asked, detectors=[Rate()]) == []


def test_rules_that_are_gone_end_what_is_open() -> None:
    """When the catalogue drops a limit its open finding ends with the next calm readings."""
    panel = Panel()
    kind = np.zeros(1, np.int8)
    one = np.ones(1, np.bool_)

    def at(second: int, asked: Rules) -> list[Anomaly]:
        some = readings([0], np.array([(BEGIN_S + second) * 1_000_000]), np.array([11.0]))
        return panel.advance(some, one, asked, kind, BEGIN_S + second)

    assert [e.phase for e in at(0, rules(hi=10.0))] == ["start"]
    assert at(1, rules(hi=10.0)) == []
    assert [e.phase for e in at(2, Rules.empty(1))] == ["end"]


def test_rules_changed_in_place_are_seen() -> None:
    """`set` on rules in use takes effect with the next batch; so does writing and `changed`."""
    asked = rules(hi=10.0, off_delay_s=0.0)
    panel = Panel()
    one, kind = np.ones(1, np.bool_), np.zeros(1, np.int8)
    phases = []
    for second, change in enumerate([{}, {"hi": 5.0}, {"hi": 20.0}]):
        asked.set(0, **change)
        some = readings([0], np.array([(BEGIN_S + second) * 1_000_000]), np.array([7.0]))
        phases.append([e.phase for e in panel.advance(some, one, asked, kind, BEGIN_S)])
    assert phases == [[], ["start"], ["end"]]


def test_an_abnormal_state_lasts_as_long_as_the_state() -> None:
    """A state series is found while in a state that is named abnormal for that very series."""
    asked = Rules.empty(2)
    asked.set(0, abnormal=(3, 5))
    asked.set(1, abnormal=(4,))
    ts = np.repeat(BEGIN_S + np.arange(6), 2) * 1_000_000
    states = np.array([[1, 3], [3, 3], [5, 3], [2, 3], [5, 4], [5, 1]], np.float64)
    some = readings(np.tile([0, 1], 6), ts, states.ravel())
    panel = Panel([OffNormal()])
    kind = np.ones(2, np.int8)
    found = panel.advance(some, np.ones(12, np.bool_), asked, kind, BEGIN_S + 5)
    first = told([e for e in found if e.row == 0])
    assert first == [("start", 1, 1), ("end", 1, 3), ("start", 4, 4)]
    assert told([e for e in found if e.row == 1]) == [("start", 4, 4), ("end", 4, 5)]


def test_numbers_are_no_states_and_states_no_numbers() -> None:
    """Limits do not look at states, abnormal states not at numbers."""
    asked = rules(hi=10.0)
    asked.set(0, abnormal=(11,))
    some = readings([0], np.array([BEGIN_S * 1_000_000]), np.array([11.0]))
    one = np.ones(1, np.bool_)
    as_state = Panel(DETECTORS).advance(some, one, asked, np.ones(1, np.int8), BEGIN_S)
    as_number = Panel(DETECTORS).advance(some, one, asked, np.zeros(1, np.int8), BEGIN_S)
    assert [e.detector for e in as_state] == ["off_normal"]
    assert [e.detector for e in as_number] == ["limit"]


def test_rules_grow_and_keep() -> None:
    """Growing keeps what is set; new rows ask nothing; every change moves the revision."""
    asked = rules(hi=10.0)
    before = asked.revision
    asked.grow(3)
    assert len(asked) == 3
    assert asked.hi[0] == 10.0
    assert np.isnan(asked.hi[1:]).all()
    assert asked.revision > before
    asked.set(7, lo=1.0)
    assert len(asked) == 8
    assert len(asked.range_reject) == len(asked.interval_s) == 8
