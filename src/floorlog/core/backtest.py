"""Back-test: the same readings judged by another configuration, beside the present one."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from floorlog.core.alarm_load import peak
from floorlog.core.catalogue import Catalogue
from floorlog.core.detect.silence import LATENCY_S_MAX
from floorlog.core.draft import Draft
from floorlog.core.pipeline import Pipeline
from floorlog.core.protocol import Registered
from floorlog.core.reading import MICROSECONDS, Anomaly, Kind, Readings, Record
from floorlog.core.series import KnownSeries

LEASE = 1
FINDINGS_MAX = 200_000
"""Findings of one configuration that are kept one by one; the rest is counted."""
HOUR_US = 3_600_000_000


class Found(Struct, frozen=True):
    """A finding; `end` is None while it lasts. Times in µs UTC."""

    device: str
    metric: str
    detector: str
    start: int
    end: int | None
    severity: int
    score: float
    value: float
    expected: float
    reason: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Series and detector."""
        return self.device, self.metric, self.detector


class Summary(Struct, frozen=True):
    """What one configuration comes to."""

    findings: int
    per_1000_sensor_hours: float
    peak_10_min: int  # most that begin within ten minutes
    by_detector: dict[str, int]
    by_severity: dict[str, int]
    worst: list[tuple[str, str, str, int]]  # device, metric, detector, count: at most ten
    first_out: dict[
        str, Found
    ]  # by asset: the one that began first; an asset with none is left out


class Report(Struct, frozen=True):
    """Both, and what differs between them: `gained` has the asked one alone, `lost` the present."""

    readings: int
    series: int
    begin: int | None  # time stamps of the first and the last reading, µs UTC
    end: int | None
    sensor_hours: float
    present: Summary
    asked: Summary
    gained: list[Found]
    lost: list[Found]


@dataclass(slots=True)
class Columns:
    """Readings of one series in order of time stamps, that were neither late nor conflicts."""

    device: str
    metric: str
    unit: str | None
    ts: NDArray[np.int64]  # µs UTC
    value: NDArray[np.float64] | Sequence[str]  # numbers, or names of states
    quality: NDArray[np.int64]
    arrival_s: NDArray[np.int64]


def register(pipeline: Pipeline, draft: Draft) -> None:
    """Number a draft's new series and states here, where no database does."""
    keys, names = pipeline.unregistered(draft)
    if not keys and not names:
        return
    first = len(pipeline.table) + 1
    known = tuple(
        KnownSeries(first + n, key.device, key.metric, key.kind, key.unit, LEASE)
        for n, key in enumerate(keys)
    )
    codes = {name: len(pipeline.states) + n for n, name in enumerate(names)}
    fresh = frozenset(series.series_id for series in known)
    pipeline.register(Registered(known, fresh, codes))


@dataclass(slots=True)
class Judge:
    """One configuration on its way through the readings."""

    catalogue: Catalogue
    version: int = 0
    pipeline: Pipeline = field(init=False)
    open: dict[tuple[int, str, int], Found] = field(default_factory=dict)
    ended: list[Found] = field(default_factory=list)
    uncounted: int = 0  # findings beyond FINDINGS_MAX
    readings: int = 0
    first: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # ts by row
    last: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        """Know nothing yet."""
        self.pipeline = Pipeline(LEASE)
        self.pipeline.adopt(self.version, self.catalogue.encode())

    def records(self, records: Sequence[Record]) -> None:
        """Judge records as the stream would bring them."""
        pipeline = self.pipeline
        draft = pipeline.draft(records)
        register(pipeline, draft)
        question = pipeline.inspect(draft)
        outcome = pipeline.settle(draft, question, None)
        pipeline.accept(outcome)
        self._count(outcome.stored)
        self._take(outcome.anomalies)

    def columns(self, series: Iterable[Columns]) -> None:
        """Judge readings out of the record, all of a span of time."""
        parts = [self._readings(each) for each in series if len(each.ts)]
        if not parts:
            return
        whole = Readings(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        # What was imported later than it happened says nothing of what the clock was then.
        live = whole.arrival_s - whole.ts // MICROSECONDS <= LATENCY_S_MAX
        clock_s = int(whole.arrival_s[live].max()) if live.any() else 0
        pipeline = self.pipeline
        rules = pipeline.rules()
        fresh = np.ones(len(whole), np.bool_)
        found = pipeline.panel.advance(whole, fresh, rules, pipeline.table.kind, clock_s)
        self._count(whole)
        self._take(pipeline.named(event) for event in found)

    def spans(self) -> dict[tuple[str, str], tuple[int, int]]:
        """The first and the last time stamp of each series that had readings, µs UTC."""
        rows = np.flatnonzero(self.last >= self.first)
        keys = self.pipeline.table.keys
        return {keys[row]: (int(self.first[row]), int(self.last[row])) for row in rows.tolist()}

    def findings(self) -> list[Found]:
        """All of them, by start, then series and detector; those that last still have no end."""
        found = [*self.ended, *self.open.values()]
        return sorted(found, key=lambda each: (each.start, each.key))

    def _readings(self, each: Columns) -> tuple[NDArray[np.generic], ...]:
        """One series as columns of Readings; made known at first sight."""
        table, states = self.pipeline.table, self.pipeline.states
        is_state = not isinstance(each.value, np.ndarray)
        row = table.row(each.device, each.metric)
        if not table.knows(row + 1):
            kind = Kind.STATE if is_state else Kind.NUMBER
            known = KnownSeries(row + 1, each.device, each.metric, kind, each.unit, LEASE)
            self.pipeline.learn([known])
        value = np.asarray(
            [states.setdefault(name, len(states)) for name in each.value]
            if is_state
            else each.value,
            np.float64,
        )
        nought = np.zeros(len(value), np.int32)
        rows = np.full(len(value), row, np.int32)
        quality = each.quality.astype(np.uint32)
        return rows, each.ts, value, quality, each.arrival_s, nought, nought

    def _count(self, readings: Readings) -> None:
        more = len(self.pipeline.table) - len(self.first)
        self.first = np.append(self.first, np.full(more, np.iinfo(np.int64).max))
        self.last = np.append(self.last, np.full(more, np.iinfo(np.int64).min))
        np.minimum.at(self.first, readings.row, readings.ts)
        np.maximum.at(self.last, readings.row, readings.ts)
        self.readings += len(readings)

    def _take(self, events: Iterable[Anomaly]) -> None:
        """Fold events into findings, in the order in which they would be committed."""
        for event in events:
            device, metric = self.pipeline.table.keys[event.row]
            key = event.row, event.detector, event.start
            begun = self.open.pop(key, None)
            end = event.at if event.phase == "end" else None
            if begun is None:
                begun = Found(
                    device, metric, event.detector, event.start, end, event.severity,
                    event.score, event.value, event.expected, event.reason,
                )  # fmt: skip
            if end is None:
                self.open[key] = begun
            elif len(self.ended) < FINDINGS_MAX:
                self.ended.append(
                    Found(
                        begun.device, begun.metric, begun.detector, begun.start, end,
                        event.severity, event.score, begun.value, begun.expected, begun.reason,
                    )
                )  # fmt: skip
            else:
                self.uncounted += 1


def compare(present: Judge, asked: Judge) -> Report:
    """What two configurations made of the same readings.

    Sensor-hours are the time from the first to the last reading of each series, added up. A finding
    is gained or lost when the other configuration has none of the same series and detector at any
    moment of it.
    """
    spans = asked.spans()
    hours = sum(last - first for first, last in spans.values()) / HOUR_US
    ours, theirs = asked.findings(), present.findings()
    return Report(
        asked.readings,
        len(spans),
        min((first for first, _ in spans.values()), default=None),
        max((last for _, last in spans.values()), default=None),
        round(hours, 3),
        _summary(present, theirs, hours),
        _summary(asked, ours, hours),
        _alone(ours, theirs),
        _alone(theirs, ours),
    )


def _summary(judge: Judge, found: Sequence[Found], hours: float) -> Summary:
    count = len(found) + judge.uncounted
    worst = Counter(each.key for each in found).most_common(10)
    first: dict[str, Found] = {}
    for each in found:  # by start: the first of an asset is its first-out
        first.setdefault(judge.catalogue.asset(each.device), each)
    return Summary(
        count,
        round(1000 * count / hours, 3) if hours else 0.0,
        peak([each.start for each in found]) if found else 0,
        dict(sorted(Counter(each.detector for each in found).items())),
        dict(sorted(Counter(("low", "medium", "high")[e.severity - 1] for e in found).items())),
        [(*key, number) for key, number in worst],
        first,
    )


def _alone(ours: Sequence[Found], theirs: Sequence[Found]) -> list[Found]:
    """Those of ours that no finding of theirs of the same series and detector overlaps."""
    spans: dict[tuple[str, str, str], list[Found]] = defaultdict(list)
    for each in theirs:
        spans[each.key].append(each)
    return [each for each in ours if not any(_overlap(each, o) for o in spans[each.key])]


def _overlap(one: Found, two: Found) -> bool:
    return (one.end is None or two.start <= one.end) and (two.end is None or one.start <= two.end)
