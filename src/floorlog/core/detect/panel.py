"""The panel: all detectors over all series of one shard."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floorlog.core.detect import (
    DETECTORS,
    SILENCE,
    TOGETHER,
    acceptance,
    asset_shift,
    cadence,
    context,
    correlation,
    hold,
    severity,
)
from floorlog.core.detect.arrivals import Arrivals
from floorlog.core.detect.asset_shift import AssetShift, Levels, Members
from floorlog.core.detect.cells import Cells
from floorlog.core.detect.correlation import BrokenCorrelation
from floorlog.core.detect.detector import (
    NEVER,
    VALUE_MAX,
    Detector,
    Flags,
    Floats,
    Memory,
    Sample,
    Times,
    Verdict,
)
from floorlog.core.detect.learned import Learned
from floorlog.core.detect.rounds import Places, Rounds
from floorlog.core.reading import Anomaly, Kind, Readings
from floorlog.core.rules import Rules

BAD = np.uint32(0x80000000)
"""The bit of an OPC UA status code that says: do not use the value."""
HELD = ":held"
WHOLE = "detection"
"""Stands for all detectors: in `asking`, what is no single detector's work."""
FEED = {
    "ts": "i8",  # the last reading fed, of any quality
    "value": "f8",
    "quality": "f8",
    "usable_ts": "i8",  # the last one that the detectors judged
    "usable_value": "f8",
    "wait_count": "f8",  # cadence by time stamps
    "wait_peak_s": "f8",
}
NO_LEVELS = Levels(
    np.zeros(0, np.intp), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0),
    np.zeros(0),
)  # fmt: skip
KINDS = (Kind.NUMBER, Kind.STATE)


@dataclass(frozen=True, slots=True)
class Last:
    """The last reading fed of every series, as columns by row; ts is NEVER where there is none."""

    ts: Times
    value: Floats
    quality: NDArray[np.uint32]


class Panel:
    """The detectors' state of every series of a shard, and the one way to move it on.

    Any cutting of the same readings into batches gives the same anomalies and the same bytes.
    """

    def __init__(self, detectors: Sequence[Detector] = DETECTORS) -> None:
        """Knows no series yet."""
        self._detectors = tuple(detectors)
        self._silence = SILENCE
        sections: dict[str, tuple[int, dict[str, str]]] = {
            "feed": (1, FEED),
            "context": (1, context.FIELDS),
            self._silence.name: (self._silence.version, self._silence.memory),
        }
        if any(isinstance(detector, Learned) for detector in self._detectors):
            for each, fields in zip(
                TOGETHER, (asset_shift.FIELDS, correlation.FIELDS), strict=True
            ):
                sections[each.name] = (each.version, fields)
        for detector in self._detectors:
            sections[detector.name] = (detector.version, detector.memory)
            if isinstance(detector, Learned) and detector.states:
                sections[detector.name + acceptance.STATES] = (detector.version, detector.states)
            held = {**hold.FIELDS, **(hold.PART if detector.parts else {})}
            sections[detector.name + HELD] = (detector.version, held)
        self._cells = Cells(sections)
        self._clock_s = NEVER
        self._rules: Rules | None = None
        self._revision = -1
        self._asked: dict[str, object] = {}
        self._context: context.Asked | None = None
        self._levels: list[Levels] = []
        self._accepted: dict[int, list[int]] = {}  # arrival second → rows
        self._without: frozenset[str] = frozenset()
        self._active = self._detectors
        self.asking = WHOLE  # the detector that is at work: who failed, when something is raised

    def __len__(self) -> int:
        """Count of rows that have a state."""
        return self._cells.count

    def grow(self, count: int) -> None:
        """Make room for at least `count` rows."""
        self._cells.grow(count)

    def advance(
        self,
        readings: Readings,
        fresh: Flags,
        rules: Rules,
        kind: NDArray[np.int8],
        clock_s: int,
        without: frozenset[str] = frozenset(),
    ) -> list[Anomaly]:
        """Judge the stored readings of a batch, or none at a tick, and move the state on.

        Args:
            readings: each series' fresh ones in order of their ts; otherwise in any order.
            fresh: per reading, neither late nor conflict.
            rules: as many rows as the readings name, or more.
            kind: of every row.
            clock_s: the shard's clock after the batch.
            without: names of detectors that are not asked; their memory stays as it is.

        Returns: starts and ends of findings, by (row, time, detector).
        """
        self.asking = WHOLE
        if WHOLE in without:
            return self._sleep(clock_s)
        with np.errstate(all="ignore"):
            self._ask(rules, without)
            found: list[Anomaly] = []
            gone = np.zeros(0, np.intp)
            if len(readings):
                gone = self._feed(readings, fresh, rules, kind, found)
            self._clock_s = max(self._clock_s, clock_s)
            self._tick(gone, rules, found)
        self.asking = WHOLE
        severity.rank(found, rules)
        found.sort(key=lambda event: (event.row, event.at, event.detector, event.phase))
        return found

    def deadline_s(self, rules: Rules | None = None) -> int | None:
        """The next clock second at which a tick may reveal something; None = no tick is needed."""
        with np.errstate(all="ignore"):
            due = [self._silence.deadline_s(self._cells.columns("silence"), self._clock_s)]
            rules = rules or Rules.empty(0)
            members = Members.of(rules.asset, rules.series, len(self))
            for each in self._together():
                memory = self._cells.columns(each.name)
                due.append(each.deadline_s(memory, members, self._clock_s))
        return min((second for second in due if second is not None), default=None)

    def ready(self) -> Flags:
        """Of which series the detectors of numbers have learned enough, by row."""
        found = np.ones(len(self), np.bool_)
        for detector in self._each(self._active):
            learned = detector.ready(self._cells.columns(detector.name))
            if learned is not None:
                found &= learned
        return found

    def feed_ts(self) -> Times:
        """The highest ts fed, by row, in µs UTC; the lowest int64 where there is none."""
        ts: Times = self._cells.columns("feed")["ts"]
        return ts

    def last(self) -> Last:
        """The last reading fed of every series."""
        feed = self._cells.columns("feed")
        return Last(feed["ts"].copy(), feed["value"].copy(), feed["quality"].astype(np.uint32))

    def dump(self, row: int) -> bytes:
        """One series' state."""
        return self.dump_all(np.array([row], np.intp))[0]

    def dump_all(self, rows: NDArray[np.intp]) -> list[bytes]:
        """The state of each of these series, as `load` takes it."""
        if len(rows):
            self.grow(int(rows.max()) + 1)
        return self._cells.dump(rows)

    def load(self, row: int, blob: bytes) -> bool:
        """Put one series' state back, bit for bit; RecordError when it cannot be understood.

        Returns whether all of it is known here, and nothing else is: else something learns afresh.
        """
        return self._cells.load(row, blob)

    def copy(self) -> object:
        """The whole state, for `restore`."""
        return self._cells.copy(), self._clock_s

    def restore(self, kept: Any) -> None:  # noqa: ANN401 - what copy gave, opaque to the caller
        """Take the whole state back to what `copy` gave."""
        cells, self._clock_s = kept
        self._cells.restore(cells)
        self._levels, self._accepted = [], {}

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _each(self, detectors: Iterable[Detector]) -> Iterator[Detector]:
        """One detector after the other, each known to be at work meanwhile."""
        for detector in detectors:
            self.asking = detector.name
            yield detector
        self.asking = WHOLE

    def _ask(self, rules: Rules, without: frozenset[str]) -> None:
        """Let the detectors prepare for the rules, once for each version of them."""
        same = rules is self._rules and rules.revision == self._revision
        if same and without == self._without:
            return
        self._rules = None  # until all are prepared
        self._active = tuple(each for each in self._detectors if each.name not in without)
        self._asked = {each.name: each.prepare(rules) for each in self._each(self._active)}
        self._context = context.prepare(rules)
        self._rules, self._revision, self._without = rules, rules.revision, without

    def _sleep(self, clock_s: int) -> list[Anomaly]:
        """Let a batch pass unseen: who was heard meanwhile is not known, so nobody fell silent."""
        self._clock_s = max(self._clock_s, clock_s)
        memory = self._cells.columns(self._silence.name)
        heard = (memory["seen_s"] != NEVER) & (memory["open_us"] == NEVER)
        np.copyto(memory["seen_s"], np.maximum(memory["seen_s"], self._clock_s), where=heard)
        return []

    def _feed(
        self,
        readings: Readings,
        fresh: Flags,
        rules: Rules,
        kind: NDArray[np.int8],
        found: list[Anomaly],
    ) -> Places:
        row = readings.row.astype(np.intp)
        self.grow(int(row.max()) + 1 if self._context is None else len(rules))
        ends, accepted = acceptance.accept(self._each(self._detectors), self._cells, rules, row)
        found.extend(ends)
        self._accepted = acceptance.seconds(accepted, row, readings.arrival_s)
        arrivals = Arrivals(row, readings.ts, readings.arrival_s, fresh)
        events, lapses, old = arrivals.feed(self._silence, self._cells, rules)
        found.extend(events)
        usable = fresh & (readings.quality < BAD)
        broken, gone = arrivals.broken(lapses, usable)
        self._remember(row, readings, fresh)
        memory = self._cells.columns("context")
        around = context.look(memory, readings, usable, old, rules, self._context)
        kinds = kind[row]
        for each in KINDS:
            which = np.flatnonzero(usable & (kinds == each))
            if len(which):
                work = self._work(row, which, readings, broken, around)
                found.extend(self._judge(each, work, old, rules))
        return gone

    def _remember(self, row: Places, readings: Readings, fresh: Flags) -> None:
        """Keep the last fresh reading of each series."""
        which = np.flatnonzero(fresh)
        feed = self._cells.columns("feed")
        ts = feed["ts"]
        np.maximum.at(ts, row[which], readings.ts[which])
        newest = which[readings.ts[which] == ts[row[which]]]
        feed["value"][row[newest]] = readings.value[newest]
        feed["quality"][row[newest]] = readings.quality[newest]

    def _judge(self, kind: Kind, work: hold.Work, old: Flags, rules: Rules) -> list[Anomaly]:
        verdicts, usual_s = self._rounds(kind, work)
        found: list[Anomaly] = []
        sample, past = work.sample, np.flatnonzero(old[work.which])
        if len(past):
            at = sample.row[past]
            found.extend(
                self._silence.pauses(
                    at, sample.ts[past], sample.elapsed_s[past], usual_s[past],
                    rules.interval_s[at],
                )
            )  # fmt: skip
        for detector in self._each(self._active):
            if detector.kind != kind:
                continue
            held = self._cells.columns(detector.name + HELD)
            asked = self._asked[detector.name]
            verdict = verdicts.get(detector.name)
            if isinstance(detector, Learned):
                frozen = None if work.context is None else work.context.frozen()
                verdict = detector.judge_blocks(sample, work.rounds, frozen, self._cells)
            elif verdict is None:
                verdict = self._verdict(detector, held, sample, asked)
            if verdict is not None:
                _hush(detector, verdict, work.context)
                found.extend(hold.follow(detector, held, work, verdict, asked))
                if verdict.levels:
                    self._levels.append(_levels(sample, verdict.levels))
        return found

    def _work(
        self, row: Places, which: Places, readings: Readings, broken: Flags | None,
        around: context.Context | None,
    ) -> hold.Work:  # fmt: skip
        """Lay the chosen readings out, what went before beside each."""
        rounds = Rounds(row[which])
        if rounds.order is not None:
            which = which[rounds.order]
        row = row[which]
        ts, raw = readings.ts[which], readings.value[which]
        value = np.minimum(np.maximum(raw, -VALUE_MAX), VALUE_MAX)
        feed = self._cells.columns("feed")
        before_ts, before = feed["usable_ts"][rounds.rows], feed["usable_value"][rounds.rows]
        if len(rounds.sizes) > 1:
            places = rounds.before()
            before_ts = np.concatenate([before_ts, ts[places]])
            before = np.concatenate([before, raw[places]])
            last = rounds.last()
            feed["usable_ts"][rounds.rows] = ts[last]
            feed["usable_value"][rounds.rows] = raw[last]
        else:
            feed["usable_ts"][rounds.rows] = ts
            feed["usable_value"][rounds.rows] = raw
        known = before_ts != NEVER
        elapsed_s = np.where(known, ts - before_ts, 0) / 1e6
        previous = np.where(known, np.minimum(np.maximum(before, -VALUE_MAX), VALUE_MAX), value)
        change = np.abs(value - previous)
        paused = np.zeros(len(ts), np.bool_)
        arrival_s = readings.arrival_s[which]
        around = None if around is None else around.take(which)
        setpoint = None if around is None else around.setpoint
        mode = None if around is None else around.mode
        sample = Sample(
            row, ts, value, previous, elapsed_s, change, paused, arrival_s, setpoint, mode
        )
        breaks = None if broken is None else broken[which]
        return hold.Work(rounds, which, sample, raw, before_ts, before, breaks, around)

    def _rounds(self, kind: Kind, work: hold.Work) -> tuple[dict[str, Verdict], Floats]:
        """Ask the detectors with memory, round by round; also what pause is usual, by reading."""
        rounds, rows = work.rounds, work.rounds.rows
        learners = [d for d in self._active if d.memory and d.kind == kind]
        learners = [d for d in learners if not isinstance(d, Learned)]
        learners = [d for d in learners if self._asked[d.name] is not None]
        names = ["feed", *(detector.name for detector in learners)]
        grids = {name: self._cells.take(name, rows) for name in names}
        usual_s = np.empty(len(work.value))
        answers: dict[str, list[Verdict]] = {detector.name: [] for detector in learners}
        size = -1
        memories: dict[str, Memory] = {}
        frozen = None if work.context is None else work.context.frozen()
        for begin, now in zip(rounds.begins, rounds.sizes, strict=True):
            if now != size:
                size = now
                memories = {
                    name: self._cells.sections[name].views(grid[:, :size])
                    for name, grid in grids.items()
                }
            part = slice(begin, begin + size)
            sample = _slice(work.sample, part)
            usual = cadence.pause_s(memories["feed"], "wait")
            usual_s[part] = usual
            np.greater(sample.elapsed_s, usual, out=sample.paused)
            cadence.learn(memories["feed"], "wait", sample.elapsed_s, sample.elapsed_s > 0)
            for detector in self._each(learners):
                asked = self._asked[detector.name]
                still = np.flatnonzero(frozen[part]) if frozen is not None else ()
                kept = grids[detector.name][:, still] if len(still) else None
                verdict = detector.judge(sample, memories[detector.name], asked)
                answers[detector.name].append(verdict)
                if kept is not None and detector.learned:
                    grids[detector.name][:, still] = kept
        for name, grid in grids.items():
            self._cells.put(name, rows, grid)
        return {name: _join(verdicts) for name, verdicts in answers.items()}, usual_s

    def _verdict(
        self, detector: Detector, held: Memory, sample: Sample, asked: object
    ) -> Verdict | None:
        """What a detector without memory says; None when nothing is asked and nothing is open."""
        if asked is not None and not detector.memory:
            return detector.judge(sample, {}, asked)
        if asked is not None or not (held["start"] != NEVER).any():
            return None
        # Its rules are gone: what is open ends as if all were well.
        count = len(sample.row)
        return Verdict(np.zeros(count, np.bool_), np.zeros(count), sample.previous)

    def _assets(self, rules: Rules, found: list[Anomaly]) -> None:
        """Judge the assets of every arrival second that has passed."""
        levels_of, self._levels = self._levels, []
        accepted, self._accepted = self._accepted, {}
        members = Members.of(rules.asset, rules.series, len(self))
        for each in self._together():
            if each.name in self._without:
                continue
            self.asking = each.name
            memory = self._cells.columns(each.name)
            first = accepted
            for levels in levels_of or (NO_LEVELS,):
                found.extend(each.follow(memory, levels, members, self._clock_s, first))
                first = {}
        self.asking = WHOLE

    def _together(self) -> list[AssetShift | BrokenCorrelation]:
        """What judges the sensors of an asset together, where the learned detector is there."""
        return [each for each in TOGETHER if each.name in self._cells.sections]

    def _tick(self, gone: Places, rules: Rules, found: list[Anomaly]) -> None:
        """What the clock reveals; findings of series that fell silent end."""
        memory = self._cells.columns("silence")
        everyone = np.arange(len(self))
        events, lapsed = self._silence.due(memory, everyone, self._clock_s)
        found.extend(events)
        self._assets(rules, found)
        lapsed[gone] = True
        rows = np.flatnonzero(lapsed)
        if not len(rows):
            return
        feed = self._cells.columns("feed")
        for detector in self._each(self._active):
            held = self._cells.columns(detector.name + HELD)
            found.extend(hold.lapse(detector, held, rows, feed["usable_ts"], feed["usable_value"]))


def _levels(sample: Sample, columns: tuple[Floats, ...]) -> Levels:
    """Where blocks ended, and with them what is known of levels."""
    far, now, usual = columns
    ended = np.flatnonzero(far == far)  # noqa: PLR0124 - NaN alone differs from itself
    return Levels(
        sample.row[ended], sample.ts[ended], sample.arrival_s[ended], far[ended], now[ended],
        usual[ended],
    )  # fmt: skip


def _hush(detector: Detector, verdict: Verdict, around: context.Context | None) -> None:
    """Where a finding may not begin none does; one that is open goes on until all is well."""
    quiet = None if around is None else around.quiet(detector)
    if quiet is None:
        return
    verdict.stay = verdict.on if verdict.stay is None else verdict.on | verdict.stay
    verdict.on = verdict.on & ~quiet


def _slice(sample: Sample, part: slice) -> Sample:
    return Sample(
        sample.row[part],
        sample.ts[part],
        sample.value[part],
        sample.previous[part],
        sample.elapsed_s[part],
        sample.change[part],
        sample.paused[part],
        sample.arrival_s[part],
    )


def _join(verdicts: list[Verdict]) -> Verdict:
    """The verdicts of all rounds, end to end."""
    if len(verdicts) == 1:
        return verdicts[0]
    since = [verdict.since for verdict in verdicts if verdict.since is not None]
    stay = [verdict.stay for verdict in verdicts if verdict.stay is not None]
    return Verdict(
        np.concatenate([verdict.on for verdict in verdicts]),
        np.concatenate([verdict.score for verdict in verdicts]),
        np.concatenate([verdict.expected for verdict in verdicts]),
        stay=np.concatenate(stay) if stay else None,
        since=np.concatenate(since) if since else None,
    )
