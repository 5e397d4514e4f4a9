"""What the page shows, as this process knows it: series with their last values, and findings."""

from array import array
from collections.abc import Iterable

import msgspec

from floorlog.cache import Last, LiveAnomaly
from floorlog.core.alarm import Priority, State
from floorlog.core.catalogue import Catalogue
from floorlog.store.alarms import AlarmName, StoredAlarm
from floorlog.store.answers import Finding, SeriesName

SERIES_MAX = 20_000
OPEN_MAX = 5_000
ENDED_MAX = 100
NOT_NORMAL = tuple(str(state) for state in State if state is not State.NORMAL)

SPARK_US = 10_000_000
SPARK_POINTS = 30

Name = tuple[str, str]
Value = tuple[int, int, int, int, float | str]
"""Index of the series, ts, seen_s, quality, value."""


class Description(msgspec.Struct, omit_defaults=True):
    """A series and what the catalogue expects of it; `i` is its index on this board."""

    i: int
    device: str
    metric: str
    unit: str | None = None
    asset: str | None = None
    lolo: float | None = None
    lo: float | None = None
    hi: float | None = None
    hihi: float | None = None
    range_lo: float | None = None
    range_hi: float | None = None
    interval_s: float | None = None
    abnormal: tuple[str, ...] = ()
    is_learning: bool = False  # learned detectors say nothing of it yet


class Shown(msgspec.Struct, frozen=True):
    """A finding, open while `end` is None; times in µs UTC."""

    device: str
    metric: str
    detector: str
    start: int
    end: int | None
    severity: int
    value: float | None
    expected: float | None
    reason: str

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What names it."""
        return (self.device, self.metric, self.detector, self.start)


class Alarm(msgspec.Struct, frozen=True):
    """An alarm as it stands; times in µs UTC, `until` of its shelf."""

    device: str
    metric: str
    detector: str
    state: str
    active: bool
    priority: str
    raised: int
    until: int
    changed: int
    event_id: int
    reason: str
    event: str
    actor: str
    comment: str
    grouped: str = ""


class Spark:
    """What one series of numbers was lately: a value each ten seconds or more, at most thirty."""

    __slots__ = ("ts", "values")

    def __init__(self) -> None:
        self.ts = -SPARK_US
        self.values = array("f")

    def take(self, ts: int, value: float) -> None:
        """A value, which counts where the last one that did is old enough."""
        if ts - self.ts < SPARK_US:
            return
        self.ts = ts
        self.values.append(value)
        if len(self.values) > SPARK_POINTS:
            del self.values[0]


class Board:
    """Series, values and findings; every change says what there is to tell.

    At most 20,000 series and 5,000 open findings: what goes beyond is counted in `left_out`.
    """

    def __init__(self) -> None:
        self.series: list[Description] = []
        self.values: dict[int, Value] = {}
        self.sparks: dict[int, Spark] = {}
        self.findings: dict[tuple[str, str, str, int], Shown] = {}
        self.alarms: dict[AlarmName, Alarm] = {}
        self.knows_alarms = False
        self.left_out = 0
        self._index: dict[Name, int] = {}
        self._catalogue = Catalogue()
        self._units: dict[Name, str | None] = {}
        self._learning: set[Name] = set()

    def take_values(self, values: Iterable[Last]) -> tuple[list[Description], list[Value]]:
        """Keep what is newer; returns new series and values that moved."""
        added, moved = [], []
        for last in values:
            at = self._index.get((last.device, last.metric))
            if at is None:
                if len(self.series) >= SERIES_MAX:
                    self.left_out += 1
                    continue
                at = self._add(last.device, last.metric)
                added.append(self.series[at])
            held = self.values.get(at)
            if held is None or last.ts > held[1]:
                value = (at, last.ts, last.seen_s, last.quality, last.value)
                self.values[at] = value
                moved.append(value)
                if isinstance(last.value, float):
                    self._spark(at).take(last.ts, last.value)
        return added, moved

    def _spark(self, at: int) -> Spark:
        found = self.sparks.get(at)
        if found is None:
            found = self.sparks[at] = Spark()
        return found

    def take_names(self, series: Iterable[SeriesName], catalogue: Catalogue) -> list[Description]:
        """Units and expectations; returns the descriptions that changed."""
        known = list(series)
        self._units = {(one.device, one.metric): one.unit for one in known}
        self._learning = {(one.device, one.metric) for one in known if one.is_learning}
        self._catalogue = catalogue
        changed = []
        for at, old in enumerate(self.series):
            new = self._describe(at, old.device, old.metric)
            if new != old:
                self.series[at] = new
                changed.append(new)
        return changed

    def take_stored(self, stored: Iterable[Finding]) -> list[Shown]:
        """Findings as the record has them; returns those that are news."""
        return self._keep(
            Shown(f.device, f.metric, f.detector, f.start, f.end, f.severity, _finite(f.value),
                  _finite(f.expected), f.reason)
            for f in stored
        )  # fmt: skip

    def take_live(self, events: Iterable[LiveAnomaly]) -> list[Shown]:
        """Findings as the cache tells them; returns those that are news."""
        return self._keep(
            Shown(e.device, e.metric, e.detector, e.start, e.at if e.phase == "end" else None,
                  e.severity, e.value, e.expected, e.reason)
            for e in events
        )  # fmt: skip

    def take_alarms(self, stored: list[StoredAlarm], *, whole: bool) -> list[Alarm]:
        """Alarms as the record has them; returns those that changed. Normal ones are let go.

        Args:
            stored: some, or with `whole` every one that is not normal.
            whole: what is not among them is normal.
        """
        self.knows_alarms = True
        news = []
        if whole:
            for name in set(self.alarms) - {one.name for one in stored}:
                gone = self.alarms.pop(name)
                news.append(msgspec.structs.replace(gone, state=str(State.NORMAL), active=False))
        for one in stored:
            old = self.alarms.get(one.name)
            if old is not None and old.event_id > one.event_id:
                continue
            new = _alarm(one)
            if new == old or (old is None and one.state == State.NORMAL):
                continue
            if one.state == State.NORMAL:
                del self.alarms[one.name]
            elif old is None and len(self.alarms) >= OPEN_MAX:
                self.left_out += 1
                continue
            else:
                self.alarms[one.name] = new
            news.append(new)
        return news

    def _keep(self, findings: Iterable[Shown]) -> list[Shown]:
        news = []
        for new in findings:
            old = self.findings.get(new.key)
            # Nothing ends twice, and what began for a reason keeps it.
            if old is not None and (old.end is not None or new.end is None):
                continue
            if old is not None:
                new = msgspec.structs.replace(old, end=new.end)  # noqa: PLW2901 - the same finding
            elif new.end is None and len(self.findings) >= OPEN_MAX + ENDED_MAX:
                self.left_out += 1
                continue
            self.findings[new.key] = new
            news.append(new)
        if news:
            self._let_go()
        return news

    def _let_go(self) -> None:
        ended = [(f.end, key) for key, f in self.findings.items() if f.end is not None]
        for _, key in sorted(ended)[: max(0, len(ended) - ENDED_MAX)]:
            del self.findings[key]

    def _add(self, device: str, metric: str) -> int:
        at = self._index[device, metric] = len(self.series)
        self.series.append(self._describe(at, device, metric))
        return at

    def _describe(self, at: int, device: str, metric: str) -> Description:
        unit = self._units.get((device, metric))
        asked = self._catalogue.metric(device, metric)
        asset = self._catalogue.asset(device)
        made = Description(at, device, metric, unit, None if asset == device else asset)
        made.is_learning = (device, metric) in self._learning
        if asked is None:
            return made
        made.unit = asked.unit or unit
        made.interval_s = asked.interval_s
        made.abnormal = asked.abnormal
        if asked.limits is not None:
            limits = asked.limits
            made.lolo, made.lo, made.hi, made.hihi = limits.lolo, limits.lo, limits.hi, limits.hihi
        if asked.range is not None:
            made.range_lo, made.range_hi = asked.range.lo, asked.range.hi
        return made


def _alarm(one: StoredAlarm) -> Alarm:
    return Alarm(
        one.device, one.metric, one.detector, one.state, one.active, Priority.of(one.priority),
        one.raised, one.until, one.changed, one.event_id, one.reason, one.event, one.actor,
        one.comment, one.grouped,
    )  # fmt: skip


def _finite(number: float) -> float | None:
    return number if number - number == 0 else None
