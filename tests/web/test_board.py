"""The board: newest stands, nothing ends twice, everything is bounded."""

import msgspec

from floorlog.cache import Last, LiveAnomaly
from floorlog.core.catalogue import Catalogue
from floorlog.core.reading import Kind
from floorlog.store.answers import Finding, SeriesName
from floorlog.web import board as board_of
from floorlog.web.board import Board


def last(ts: int, value: float | str = 1.0, device: str = "a") -> Last:
    return Last(ts, ts, 0, value, device, "level")


def event(phase: str, start: int = 1, at: int = 1, device: str = "a") -> LiveAnomaly:
    return LiveAnomaly(device, "level", "limit", phase, start, at, 2, 1.0, 1.0, 1.0, f"why {phase}")


def finding(start: int, end: int | None) -> Finding:
    return Finding("a", "level", "limit", start, end, 2, 1.0, float("nan"), 1.0, "why", 0)


def test_the_newest_value_stands():
    """Whichever of cache and record tells it, in whatever order; at one time the first."""
    board = Board()
    added, moved = board.take_values([last(5, 1.0)])
    assert [one.device for one in added] == ["a"]
    assert len(moved) == 1
    assert board.take_values([last(4, 2.0), last(5, 3.0)]) == ([], [])
    assert board.values[0][4] == 1.0
    assert board.take_values([last(6, 4.0)])[1] == [(0, 6, 6, 0, 4.0)]


def test_a_finding_ends_once_whoever_tells_it():
    """Start and end come from cache and record in any order: told once each, never reopened."""
    board = Board()
    assert len(board.take_live([event("start")])) == 1
    assert board.take_stored([finding(1, None)]) == []
    (ended,) = board.take_stored([finding(1, 9)])
    assert (ended.end, ended.reason) == (9, "why start")
    assert board.take_live([event("start"), event("end", 1, 9)]) == []
    (other,) = board.take_live([event("end", 7, 8)])
    assert other.end == 8
    assert board.take_live([event("start", 7)]) == []


def test_what_is_not_finite_is_left_empty():
    """JSON has no NaN: the value of a silence is none."""
    board = Board()
    (shown,) = board.take_stored([finding(1, None)])
    assert shown.value is None
    msgspec.json.encode(shown)


def test_everything_is_bounded(monkeypatch):
    """Series, open findings and ended ones; what goes beyond is counted."""
    monkeypatch.setattr(board_of, "SERIES_MAX", 3)
    monkeypatch.setattr(board_of, "OPEN_MAX", 4)
    monkeypatch.setattr(board_of, "ENDED_MAX", 2)
    board = Board()
    board.take_values([last(1, 1.0, f"d{n}") for n in range(5)])
    assert len(board.series) == 3
    assert board.left_out == 2
    board.take_live([event("start", n) for n in range(10)])
    assert len(board.findings) == 6
    board.take_live([event("end", n, 100 + n) for n in range(6)])
    assert sorted(f.end for f in board.findings.values()) == [104, 105]


def test_units_and_expectations_come_later():
    """A description changes when record or catalogue say more, and only then is it told."""
    board = Board()
    board.take_values([last(1)])
    names = [SeriesName(1, "a", "level", Kind.NUMBER, "bar")]
    assert [one.unit for one in board.take_names(names, Catalogue())] == ["bar"]
    assert board.take_names(names, Catalogue()) == []
    asked = {"metrics": {"level": {"unit": "Pa", "limits": {"hi": 5}, "range": {"lo": 0}}}}
    (changed,) = board.take_names(names, Catalogue.of(asked, "here"))
    assert (changed.unit, changed.hi, changed.range_lo, changed.lo) == ("Pa", 5.0, 0.0, None)
    added, _ = board.take_values([last(1, 1.0, "new")])
    assert added[0].hi == 5.0
    learning = [SeriesName(1, "a", "level", Kind.NUMBER, "bar", is_learning=True)]
    (changed,) = [one for one in board.take_names(learning, Catalogue()) if one.device == "a"]
    assert changed.is_learning


def test_sparks_are_few_and_of_numbers():
    """A value each ten seconds or more, the newest thirty of each series; states have none."""
    board = Board()
    board.take_values([last(0, "running", "s")])
    for second in range(1000):
        board.take_values([last(second * 1_000_000, float(second))])
    (spark,) = board.sparks.values()
    assert list(spark.values) == [float(second) for second in range(700, 1000, 10)]
    assert spark.ts == 990_000_000
