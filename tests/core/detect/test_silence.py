"""Silence: by the arrival clock for live series, by time stamps for history."""

import numpy as np
import pytest
from made_day import BEGIN_S, readings

from floorlog.core.detect.panel import Panel
from floorlog.core.reading import Anomaly
from floorlog.core.rules import Rules

DAY_S = 86_400


class Shard:
    """One panel, fed by seconds after the beginning."""

    def __init__(self, rows: int = 1, *, state: bool = False, **columns: float) -> None:
        self.panel = Panel()
        self.rules = Rules.empty(rows)
        if columns:
            self.rules.set(0, **columns)
        self.kind = np.full(rows, 1 if state else 0, np.int8)

    def arrive(
        self, at_s: list[int], old_s: int = 0, ts_s: list[int] | None = None, row: int = 0,
        value: float = 1.0,
    ) -> list[Anomaly]:  # fmt: skip
        """Readings that arrive at these seconds, stamped so much earlier or as told."""
        arrival = BEGIN_S + np.array(at_s, np.int64)
        stamp = arrival - old_s if ts_s is None else BEGIN_S + np.array(ts_s, np.int64)
        some = readings(
            np.full(len(at_s), row), stamp * 1_000_000, np.full(len(at_s), value), arrival
        )
        fresh = np.ones(len(at_s), np.bool_)
        return self._of(self.panel.advance(some, fresh, self.rules, self.kind, int(arrival[-1])))

    def late(self, at_s: int) -> list[Anomaly]:
        """One late reading."""
        some = readings(
            [0], np.array([BEGIN_S * 1_000_000]), np.ones(1), np.array([BEGIN_S + at_s])
        )
        nothing = np.zeros(1, np.bool_)
        return self._of(self.panel.advance(some, nothing, self.rules, self.kind, BEGIN_S + at_s))

    def tick(self, at_s: int) -> list[Anomaly]:
        """Time passes."""
        none = readings([], np.zeros(0, np.int64), np.zeros(0))
        nothing = np.zeros(0, np.bool_)
        return self._of(self.panel.advance(none, nothing, self.rules, self.kind, BEGIN_S + at_s))

    def deadline(self) -> int | None:
        """The deadline in seconds after the beginning."""
        deadline_s = self.panel.deadline_s()
        return None if deadline_s is None else deadline_s - BEGIN_S

    def _of(self, events: list[Anomaly]) -> list[Anomaly]:
        return [event for event in events if event.detector in {"silence", "limit"}]


def starts(events: list[Anomaly]) -> list[float]:
    """When silences began, in seconds after the beginning."""
    return [
        e.start / 1e6 - BEGIN_S for e in events if e.detector == "silence" if e.phase == "start"
    ]


def test_the_catalogues_interval_counts_five_times() -> None:
    """Asked for 4 s, a series is silent 20 s after its last arrival: not at 20, but at 21."""
    shard = Shard(interval_s=4.0)
    shard.arrive([0])
    assert shard.deadline() == 21
    assert shard.tick(20) == []
    found = shard.tick(21)
    assert starts(found) == [20]
    assert found[0].reason == "no reading for 20 s"
    assert shard.tick(22) == []


@pytest.mark.parametrize("ticks", [[], [21], [25, 400], [20, 21, 22, 499]])
def test_whoever_reveals_it_the_silence_is_the_same(ticks: list[int]) -> None:
    """Found at one tick, at many or only by the next reading: the same start and the same end."""
    shard = Shard(interval_s=4.0)
    found = shard.arrive([0])
    for at_s in ticks:
        found += shard.tick(at_s)
    found += shard.arrive([500])
    assert [(e.phase, e.start, e.at) for e in found] == [
        ("start", (BEGIN_S + 20) * 1_000_000, (BEGIN_S + 20) * 1_000_000),
        ("end", (BEGIN_S + 20) * 1_000_000, (BEGIN_S + 500) * 1_000_000),
    ]
    assert found[1].reason == "readings again after 8.33 min"
    assert found[1].value == 500.0


def test_a_cadence_is_learned() -> None:
    """After 16 waits of 10 s, and not before, 50 s without arrival are silence."""
    shard = Shard()
    shard.arrive([*range(0, 160, 10)])
    assert starts(shard.tick(160 + 1000)) == []
    shard = Shard()
    shard.arrive([*range(0, 170, 10)])
    assert shard.deadline() == 160 + 51
    assert starts(shard.tick(160 + 51)) == [160 + 50]


def test_a_fast_series_has_ten_seconds() -> None:
    """However fast a series is, less than 10 s is no silence: a hiccup of the stream is not."""
    shard = Shard()
    shard.arrive([*range(100)])
    assert shard.tick(99 + 10) == []
    assert starts(shard.tick(99 + 11)) == [109]


def test_a_gateway_that_sends_once_a_minute_is_not_silent_between() -> None:
    """Sixty readings at once, once a minute: the wait between arrivals counts, not the readings."""
    shard = Shard()
    for minute in range(20):
        stamps = [minute * 60 + second for second in range(-59, 1)]
        assert starts(shard.arrive([minute * 60] * 60, ts_s=stamps)) == []
    last = 19 * 60
    assert starts(shard.tick(last + 300)) == []
    assert starts(shard.tick(last + 301)) == [last + 300]


def test_an_outage_does_not_become_usual() -> None:
    """After a silence of an hour the next one is noticed about as soon as the first."""
    shard = Shard()
    shard.arrive([*range(0, 1000, 10)])
    shard.arrive([*range(4600, 5600, 10)])
    assert starts(shard.tick(5590 + 100)) != []


def test_a_state_series_falls_silent_too() -> None:
    """Silence does not ask what kind the values are."""
    shard = Shard(state=True, interval_s=1.0)
    shard.arrive([0, 1, 2])
    assert starts(shard.tick(8)) == [7]


def test_late_readings_are_heard() -> None:
    """A late reading is a sign of life: it puts silence off, and ends one."""
    shard = Shard(interval_s=4.0)
    shard.arrive([0, 4])
    shard.late(15)
    assert shard.tick(25) == []
    assert starts(shard.tick(36)) == [35]
    assert [e.phase for e in shard.late(40)] == ["end"]


def test_history_is_not_silent_by_the_clock() -> None:
    """An import of last month that has ended raises nothing, however long the shard lives on."""
    shard = Shard(interval_s=1.0)
    stamps = [*range(-30 * DAY_S, -30 * DAY_S + 500)]
    shard.arrive([0] * 250 + [1] * 250, ts_s=stamps)
    assert starts(shard.tick(10 * DAY_S)) == []


def test_pauses_in_history_are_found_by_their_time_stamps() -> None:
    """A pause of five usual waits is one finding, placed where it was in the past."""
    shard = Shard()
    stamps = [*range(-DAY_S, -DAY_S + 100), *range(-DAY_S + 200, -DAY_S + 300)]
    found = shard.arrive([0] * 200, ts_s=stamps)
    assert [round(at) for at in starts(found)] == [-DAY_S + 99 + 5]
    assert [e.phase for e in found] == ["start", "end"]
    assert found[1].at == (BEGIN_S - DAY_S + 200) * 1_000_000
    assert found[1].reason == "readings again after a pause of 101 s"


def test_a_wrong_clock_does_not_hide_silence() -> None:
    """A device whose clock is an hour behind is live once its pace shows it."""
    shard = Shard(interval_s=2.0)
    found = shard.arrive([*range(0, 300, 2)], old_s=3600)
    found += shard.tick(298 + 11)
    assert starts(found) == [308]


def test_a_series_that_ends_ends_its_findings() -> None:
    """With the silence the open limit finding ends, at the last that is known."""
    shard = Shard(interval_s=1.0, hi=10.0)
    shard.arrive([0, 1], value=5.0)
    shard.arrive([2, 3], value=11.0)
    found = shard.tick(60)
    ends = [e for e in found if e.phase == "end"]
    assert [(e.detector, e.at) for e in ends] == [("limit", (BEGIN_S + 3) * 1_000_000)]
    assert ends[0].reason == "no more readings: how it went on is not known"
    again = shard.arrive([70], value=11.0)
    assert ("limit", "start") in {(e.detector, e.phase) for e in again}


@pytest.mark.parametrize("tick", [True, False])
def test_an_import_that_ends_ends_its_findings(tick: bool) -> None:
    """History that breaks off inside a finding ends it a minute later, by tick or next reading."""
    shard = Shard(hi=10.0)
    found = shard.arrive([0] * 20, ts_s=[*range(-DAY_S, -DAY_S + 20)], value=11.0)
    if tick:
        assert shard.deadline() == 61
        found += shard.tick(61)
    found += shard.arrive([100], ts_s=[-DAY_S + 20], value=5.0)
    ends = [(e.detector, e.at) for e in found if e.phase == "end"]
    assert ends == [("limit", (BEGIN_S - DAY_S + 19) * 1_000_000)]


def test_no_series_no_deadline() -> None:
    """A shard without series needs no tick; one whose series have all lapsed neither."""
    shard = Shard(interval_s=1.0)
    assert shard.deadline() is None
    shard.arrive([0])
    assert shard.deadline() == 6
    shard.tick(6)
    assert shard.deadline() is None


def test_the_earliest_deadline_counts() -> None:
    """Of many series the one that lapses first sets the deadline."""
    shard = Shard(rows=3)
    for row, interval_s in enumerate([9.0, 3.0, 5.0]):
        shard.rules.set(row, interval_s=interval_s)
        shard.arrive([row], row=row)
    assert shard.deadline() == 1 + 15 + 1
