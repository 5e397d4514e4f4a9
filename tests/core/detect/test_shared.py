"""What every registered detector keeps to: a new one is taken in by being registered."""

import math
import warnings
from collections import Counter

import numpy as np
import pytest
from made_day import BEGIN_S, Day, made_day, readings

from floorlog.core.detect import DETECTORS, SILENCE, describe
from floorlog.core.detect.detector import Detector
from floorlog.core.detect.panel import Panel
from floorlog.core.reading import Anomaly
from floorlog.core.rules import Rules

EVERY = pytest.mark.parametrize("detector", DETECTORS, ids=[d.name for d in DETECTORS])


@pytest.fixture(scope="module")
def day() -> Day:
    """The first part of a day with faults of every kind."""
    return made_day(11).part(0, 1500)


def feed(panel: Panel, day: Day) -> list[Anomaly]:
    """Judge readings as one batch."""
    clock_s = int(day.readings.arrival_s[-1]) if len(day) else BEGIN_S
    return panel.advance(day.readings, day.fresh, day.rules, day.kind, clock_s)


def state(panel: Panel) -> list[bytes]:
    """Every series' bytes."""
    return panel.dump_all(np.arange(len(panel)))


@EVERY
def test_anomalies_are_finite_and_whole(detector: Detector, day: Day) -> None:
    """Every field of every event is usable: finite numbers, severity 1 to 3, a sentence."""
    for event in feed(Panel((detector,)), day):
        assert all(map(math.isfinite, (event.score, event.value, event.expected)))
        assert event.severity in {1, 2, 3}
        assert event.phase in {"start", "end"}
        assert event.start <= event.at
        assert 5 < len(event.reason) < 200
        assert "nan" not in event.reason


@EVERY
def test_findings_begin_once_and_end_at_most_once(detector: Detector, day: Day) -> None:
    """Row, detector and start name one finding: one start event, one end event after it."""
    events = feed(Panel((detector,)), day)
    starts = Counter((e.row, e.detector, e.start) for e in events if e.phase == "start")
    ends = Counter((e.row, e.detector, e.start) for e in events if e.phase == "end")
    assert set(starts.values()) | set(ends.values()) <= {1}
    assert set(ends) <= set(starts)


@EVERY
def test_the_future_changes_nothing(detector: Detector, day: Day) -> None:
    """What was found in a prefix is found in the same bits when any other future follows it."""
    known = day.part(0, 900)
    other = made_day(11).part(0, 1500)
    other.readings.value[900:] *= -3.0
    prefix = Counter(map(repr, feed(Panel((detector,)), known)))
    for whole in (day, other):
        assert prefix <= Counter(map(repr, feed(Panel((detector,)), whole)))


@EVERY
def test_any_cut_gives_the_same_bits(detector: Detector, day: Day) -> None:
    """Batches of one reading, of few, of many and of all: the same anomalies, the same bytes."""
    whole = Panel((detector,))
    found = Counter(map(repr, feed(whole, day)))
    singles = range(200)
    for cuts in ([*singles, 300], range(0, len(day), 17), range(0, len(day), 400)):
        panel = Panel((detector,))
        cut: Counter[str] = Counter()
        for begin, end in zip(cuts, [*cuts[1:], len(day)], strict=True):
            cut.update(map(repr, feed(panel, day.part(begin, end))))
        assert cut == found
        assert state(panel) == state(whole)


@EVERY
def test_the_same_again(detector: Detector, day: Day) -> None:
    """Two panels fed alike are alike, and so are those of another object of the detector."""
    one, two = Panel((detector,)), Panel((type(detector)(),))
    assert feed(one, day) == feed(two, day)
    assert state(one) == state(two)


@EVERY
def test_state_is_bounded_and_comes_back(detector: Detector, day: Day) -> None:
    """A series' bytes stay within 6 KiB, do not grow with time, and go on as if never stored."""
    panel = Panel((detector,))
    feed(panel, day.part(0, 1000))
    blobs = state(panel)
    other = Panel((detector,))
    for row, blob in enumerate(blobs):
        other.load(row, blob)
    assert state(other) == blobs
    rest = day.part(1000, len(day))
    assert feed(other, rest) == feed(panel, rest)
    assert state(other) == state(panel)
    assert max(map(len, state(panel))) <= 6144
    assert len(detector.memory) <= 200


@EVERY
def test_silent_on_an_empty_batch(detector: Detector, day: Day) -> None:
    """No readings, no clock: nothing is found and nothing changes."""
    panel = Panel((detector,))
    feed(panel, day)
    before = state(panel)
    assert feed(panel, Day(day.part(0, 0).readings, day.fresh[:0], day.rules, day.kind)) == []
    assert state(panel) == before


@EVERY
@pytest.mark.parametrize("value", [0.0, -7.1])
def test_silent_on_a_constant(detector: Detector, value: float) -> None:
    """A series that never changes, and breaks no rule, is never found."""
    count = 1500
    ts = (BEGIN_S + np.arange(count)) * 1_000_000
    some = readings(np.zeros(count, np.int32), ts, np.full(count, value))
    kind = np.array([detector.kind], np.int8)
    fresh = np.ones(count, np.bool_)
    assert Panel((detector,)).advance(some, fresh, Rules.empty(1), kind, BEGIN_S + count) == []


@EVERY
def test_extremes_do_no_harm(detector: Detector) -> None:
    """Huge, tiny and denormal numbers warn of nothing, and leave finite findings and state."""
    extremes = [1e308, -1e308, 5e-324, -5e-324, 0.0, 1.7e308, 2.2e-308, 1.0]
    value = np.tile(np.repeat(extremes, 40), 4)
    value[1::2] *= 0.5
    ts = (BEGIN_S + np.arange(len(value))) * 1_000_000
    rules = Rules.empty(1)
    rules.set(0, hi=1.0, lo=-1.0, hihi=1e308, range_lo=-1e300, range_hi=5e-324, rate_per_s=5e-324)
    rules.set(0, abnormal=(1,))
    panel = Panel((detector,))
    kind = np.zeros(1, np.int8)
    if detector.kind == 1:
        value, kind = value > 1, np.ones(1, np.int8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        some = readings(np.zeros(len(value), np.int32), ts, value)
        found = panel.advance(some, np.ones(len(value), np.bool_), rules, kind, BEGIN_S)
    for event in found:
        assert all(map(math.isfinite, (event.score, event.value, event.expected)))
    for name, section in panel._cells.sections.items():
        for field, column in panel._cells.columns(name).items():
            assert section.fields[field] == "i8" or np.isfinite(column).all(), (name, field)


@EVERY
def test_each_series_is_judged_alone(detector: Detector, day: Day) -> None:
    """A series' findings are the same beside others as by itself."""
    together = feed(Panel((detector,)), day)
    for row in (0, 6, 9):
        alone = day.readings.take(day.readings.row == row)
        part = Day(alone, day.fresh[day.readings.row == row], day.rules, day.kind)
        found = [e for e in feed(Panel((detector,)), part) if e.detector == detector.name]
        assert found == [e for e in together if e.row == row and e.detector == detector.name]


@pytest.mark.parametrize("detector", [*DETECTORS, SILENCE], ids=lambda d: d.name)
def test_it_is_documented(detector: Detector) -> None:
    """Its docstring says what it finds and where the method is from, and the reference has it."""
    text = type(detector).__doc__ or ""
    assert len(text) > 80
    assert "Source" in text
    section = describe().split(f"## {detector.name}\n", 1)
    assert len(section) == 2
    assert "Source" in section[1].split("\n## ")[0]


def test_names_are_distinct_and_short() -> None:
    """Names stand in the record: lower case, distinct, without what the layout separates by."""
    names = [detector.name for detector in (*DETECTORS, SILENCE)]
    assert len(set(names)) == len(names)
    assert all(name.replace("_", "").isalpha() and name.islower() for name in names)


@pytest.mark.slow
@EVERY
def test_findings_come_and_go_rarely(detector: Detector) -> None:
    """White noise around a limit, for an hour: an alarm that flaps is bounded to two a minute."""
    chance = np.random.default_rng(5)
    count = 3600
    ts = (BEGIN_S + np.arange(count)) * 1_000_000
    rules = Rules.empty(1)
    rules.set(0, hi=0.0, lo=-9.0, hihi=3.0, range_hi=2.5, rate_per_s=3.0)
    kind = np.array([detector.kind], np.int8)
    if detector.kind == 1:  # a state series ends with its state: its producer bounds it
        return
    some = readings(np.zeros(count, np.int32), ts, chance.normal(size=count))
    panel = Panel((detector,))
    found = panel.advance(some, np.ones(count, np.bool_), rules, kind, BEGIN_S + count)
    assert len([e for e in found if e.phase == "start"]) <= 120
