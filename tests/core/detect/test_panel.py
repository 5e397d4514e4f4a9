"""The panel's own promises: marks, last values, qualities, storage, undo, cost."""

import numpy as np
import pytest
from made_day import BEGIN_S, readings

from floorlog.core.detect import DETECTORS
from floorlog.core.detect.cells import Cells
from floorlog.core.detect.limit import Limit
from floorlog.core.detect.panel import Panel
from floorlog.core.detect.rate import Rate
from floorlog.core.detect.stuck import Stuck
from floorlog.core.reading import Readings
from floorlog.core.rules import Rules
from floorlog.errors import RecordError

NEVER = np.iinfo(np.int64).min


def some(
    row: list[int],
    at_s: list[float],
    value: list[float],
    quality: list[int] | None = None,
) -> Readings:
    """Live readings at seconds after the beginning."""
    ts = np.array([BEGIN_S * 1_000_000 + int(at * 1e6) for at in at_s], np.int64)
    grades = None if quality is None else np.array(quality, np.uint32)
    return readings(row, ts, np.array(value), quality=grades)


def feed(panel: Panel, batch: Readings, rules: Rules, fresh: list[bool] | None = None) -> list:
    """One batch of numbers."""
    flags = np.ones(len(batch), np.bool_) if fresh is None else np.array(fresh, np.bool_)
    clock_s = int(batch.arrival_s.max())
    return panel.advance(batch, flags, rules, np.zeros(len(rules), np.int8), clock_s)


def test_marks_and_last_values_are_of_fresh_readings() -> None:
    """Late and conflicting readings move neither mark nor last value; Bad ones do both."""
    panel = Panel()
    rules = Rules.empty(3)
    panel.grow(3)
    assert panel.feed_ts().tolist() == [NEVER] * 3
    batch = some([0, 1, 0, 1, 0], [1, 1, 3, 2, 2], [10, 20, 30, 40, 50], [0, 0, 0, 0x80000000, 0])
    feed(panel, batch, rules, [True, True, True, True, False])
    at = [(ts - BEGIN_S * 1_000_000) / 1e6 for ts in panel.feed_ts()[:2]]
    assert at == [3, 2]
    last = panel.last()
    assert last.value[:2].tolist() == [30, 40]
    assert last.quality[:2].tolist() == [0, 0x80000000]
    assert last.ts[2] == NEVER


@pytest.mark.parametrize(("quality", "judged"), [
    (0x00000000, True), (0x40940000, True), (0x80000000, False), (0x80AB0000, False),
])  # fmt: skip
def test_bad_values_are_not_judged(quality: int, judged: bool) -> None:
    """A value whose quality says Bad is no value: limits do not look at it."""
    rules = Rules.empty(1)
    rules.set(0, hi=10.0)
    found = feed(Panel(), some([0], [0], [99.0], [quality]), rules)
    assert bool(found) == judged


def test_change_is_measured_between_usable_readings() -> None:
    """A Bad reading between two good ones is not there for the rate of change."""
    rules = Rules.empty(1)
    rules.set(0, rate_per_s=5.0)
    batch = some([0, 0, 0], [0, 1, 2], [0.0, 1e9, 8.0], [0, 0x80000000, 0])
    assert feed(Panel([Rate()]), batch, rules) == []


def test_rows_come_in_any_order_and_number() -> None:
    """Rows far above the present size are taken in; the order of series does not matter."""
    rules = Rules.empty(300)
    rules.set(299, hi=1.0)
    rules.set(7, hi=1.0)
    found = feed(Panel([Limit()]), some([299, 7, 299], [0, 0, 1], [5.0, 5.0, 5.0]), rules)
    assert [(e.row, e.phase) for e in found] == [(7, "start"), (299, "start")]


def grown(count: int = 40, seconds: int = 50) -> tuple[Panel, Rules, np.random.Generator]:
    """A panel that has seen something."""
    chance = np.random.default_rng(1)
    panel, rules = Panel(), Rules.empty(count)
    for row in range(count):
        rules.set(row, hi=1.5, interval_s=1.0)
    for second in range(seconds):
        value = chance.normal(size=count).tolist()
        feed(panel, some(list(range(count)), [second] * count, value), rules)
    return panel, rules, chance


def test_one_series_bytes_are_those_of_all() -> None:
    """`dump` of a row is its part of `dump_all`, and small."""
    panel, _, _ = grown()
    blobs = panel.dump_all(np.arange(40))
    assert [panel.dump(row) for row in range(40)] == blobs
    assert max(map(len, blobs)) <= 6144
    assert panel.dump_all(np.array([3, 1])) == [blobs[3], blobs[1]]
    assert panel.dump_all(np.zeros(0, np.intp)) == []


def test_a_newer_release_takes_an_older_state_over() -> None:
    """A detector whose memory means something else now begins to learn; all else is as it was."""
    panel, rules, _ = grown(seconds=120)
    rules.set(0, hi=6.0, off_delay_s=0.0)
    rules.set(5, hi=6.0, off_delay_s=0.0)
    feed(panel, some([5], [119.5], [0.0]), rules)
    found = feed(panel, some([5, 5], [120, 121], [0.0, 9.0]), rules)
    assert ("limit", "start") in [(event.detector, event.phase) for event in found]
    assert panel.ready()[5]
    old = panel.dump(5)
    versions = {detector.name: detector.version for detector in DETECTORS}
    for part in ("limit:held", "unusual", "unusual:held"):
        version = versions[part.partition(":")[0]]
        now, before = f"{part}.{version}.".encode(), f"{part}.{version - 1}.".encode()
        assert now in old
        old = old.replace(now, before)
    other = Panel()
    other.load(0, old)
    assert not other.ready()[0]
    assert other.feed_ts()[0] == panel.feed_ts()[5]
    ends = feed(other, some([0], [122], [0.0]), rules)
    assert [(event.detector, event.phase) for event in ends] == [("limit", "end")]


def test_an_older_memory_may_have_had_other_fields() -> None:
    """What has another width is let go; what lies behind it is still found."""
    first = Cells({"a": (1, {"x": "f8"}), "b": (1, {"y": "f8"})})
    first.grow(1)
    first.grid[:, 0] = (1.5, 2.5)
    later = Cells({"a": (2, {"x": "f8", "z": "i8"}), "b": (1, {"y": "f8"})})
    later.load(0, first.dump(np.array([0]))[0])
    assert later.columns("a")["x"].tolist() == [0.0]
    assert later.columns("a")["z"].tolist() == [NEVER]
    assert later.columns("b")["y"].tolist() == [2.5]
    later.columns("a")["x"][:] = 1.0
    with pytest.raises(RecordError, match="version 2, this release has 1"):
        first.load(0, later.dump(np.array([0]))[0])


def test_a_series_moves_to_another_row_and_shard() -> None:
    """Bytes loaded into any row of another panel are that series' state there."""
    panel, _, _ = grown()
    other = Panel()
    other.load(77, panel.dump(5))
    assert other.dump(77) == panel.dump(5)
    assert other.feed_ts()[77] == panel.feed_ts()[5]
    assert other.deadline_s() == panel.deadline_s()


def test_undo_takes_everything_back() -> None:
    """After `restore` the bytes are as at `copy`, rows that came since are blank."""
    panel, rules, _ = grown()
    before, kept, deadline_s = panel.dump_all(np.arange(40)), panel.copy(), panel.deadline_s()
    rules.grow(200)
    feed(panel, some([0, 150], [60, 60], [1e6, 1e6]), rules)
    assert panel.dump_all(np.arange(40)) != before
    panel.restore(kept)
    assert panel.dump_all(np.arange(40)) == before
    assert panel.dump(150) == Panel().dump(0)
    assert panel.deadline_s() == deadline_s


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda blob: blob[:5], "too few"),
        (lambda blob: b"\x63" + blob[1:], "format 99"),
        (lambda blob: blob[:-1], "bytes of cells"),
        (lambda blob: blob + b"\0" * 8, "bytes of cells"),
        (lambda blob: blob[:11] + b"\xff" + blob[12:], "layout"),
        (lambda blob: blob.replace(b"silence.1", b"silence.9"), "version 9"),
    ],
)
def test_bytes_that_cannot_be_understood_are_refused(damage, words: str) -> None:
    """Damaged, newer or foreign bytes: one clear error with the fix, and nothing changes."""
    panel, _, _ = grown()
    before = panel.dump(5)
    with pytest.raises(RecordError) as caught:
        panel.load(5, damage(before))
    assert words in str(caught.value)
    assert caught.value.fix
    assert panel.dump(5) == before


def test_a_new_detector_begins_to_learn_and_an_old_one_is_forgotten() -> None:
    """Bytes of a release with other detectors load: what both have is kept."""
    rules = Rules.empty(1)
    rules.set(0, hi=1.0, rate_per_s=1.0)
    old = Panel([Limit(), Rate()])
    feed(old, some([0], [0], [5.0]), rules)
    new = Panel([Stuck(), Limit()])
    new.load(0, old.dump(0))
    assert new.feed_ts()[0] == old.feed_ts()[0]
    ended = feed(new, some([0, 0], [1, 40], [0.0, 0.0]), rules)
    assert [(e.detector, e.phase) for e in ended] == [("limit", "end")]


def test_a_snapshot_is_small() -> None:
    """The state of 1,000 series takes at most 4 KiB each."""
    panel, _, _ = grown(1000, 3)
    blobs = panel.dump_all(np.arange(1000))
    assert sum(map(len, blobs)) <= 4_096_000
    assert len(DETECTORS) >= 7
