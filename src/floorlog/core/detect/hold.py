"""Hold: from verdicts on single readings to findings that begin once and end once."""

from dataclasses import dataclass, replace

import numpy as np

from floorlog.core.detect.context import Context
from floorlog.core.detect.detector import (
    NEVER,
    Detector,
    Finding,
    Flags,
    Floats,
    Memory,
    Sample,
    Times,
    Verdict,
)
from floorlog.core.detect.rounds import Places, Rounds
from floorlog.core.reading import MICROSECONDS, Anomaly

FIELDS = {
    "start": "i8",  # µs UTC: when the open finding's condition began; NEVER = none is open
    "turn": "i8",  # µs UTC: since when it is bad (none open) or calm (one open); NEVER = is not so
    "peak": "f8",  # the open finding's highest score
    "expected": "f8",  # as at its beginning
}
PART = {"part": "f8"}
"""Of a detector with parts: which of them led when the open finding began."""
WORSE = "grew worse"
OTHER = "turned out to be something else"
LAPSED = "no more readings: how it went on is not known"


@dataclass(slots=True)
class Work:
    """The readings of one kind in one batch, laid out in rounds."""

    rounds: Rounds
    which: Places  # their places in the batch
    sample: Sample
    value: Floats  # as they came
    known: Times  # µs UTC: of the series' reading before; read only where `broken`
    known_value: Floats
    broken: Flags | None  # per reading: nothing was known of the series in between; None = none
    context: Context | None = None  # what other series and operators say; None = nothing


def follow(
    detector: Detector, hold: Memory, work: Work, verdict: Verdict, asked: object
) -> list[Anomaly]:  # fmt: skip
    """Begin and end the findings of one detector by its verdicts on a batch.

    Only series that are judged bad, or have a finding open or about to, are looked at: for all
    others nothing changes.
    """
    rounds = work.rounds
    rows = rounds.rows
    watched = hold["start"][rows] != NEVER
    watched |= hold["turn"][rows] != NEVER
    watched[rounds.rank[verdict.on]] = True
    ranks = np.flatnonzero(watched)
    if not len(ranks):
        return []
    places = np.flatnonzero(watched[rounds.rank])
    steps = _Steps(detector, work, verdict, asked, places)
    chosen = rows[ranks]
    mine = {name: column[chosen] for name, column in hold.items()}
    sizes = np.searchsorted(ranks, rounds.sizes).tolist()
    found: list[Anomaly] = []
    begin = 0
    for size in sizes:
        part = {name: column[:size] for name, column in mine.items()}
        found.extend(steps.step(part, slice(begin, begin + size)))
        begin += size
    for name in hold:
        hold[name][chosen] = mine[name]
    return found


def lapse(
    detector: Detector, hold: Memory, rows: Places, known: Times, value: Floats
) -> list[Anomaly]:
    """End the findings of series of which nothing more is known, at what was known last."""
    start, turn = hold["start"], hold["turn"]
    watched = rows[(start[rows] != NEVER) | (turn[rows] != NEVER)]
    ended = [
        _ended(detector, hold, row, row, int(known[row]), float(value[row]), lapsed=True)
        for row in watched[start[watched] != NEVER].tolist()
    ]
    turn[watched] = NEVER
    _clear(hold, watched)
    return ended


class _Steps:
    """One detector's verdicts on the watched readings of a batch, taken round by round."""

    def __init__(
        self, detector: Detector, work: Work, verdict: Verdict, asked: object, places: Places
    ) -> None:
        sample = work.sample
        self.detector = detector
        self.row, self.ts = sample.row[places], sample.ts[places]
        self.value = work.value[places]
        self.on = verdict.on[places]
        self.stay = self.on if verdict.stay is None else self.on | verdict.stay[places]
        self.score, self.expected = verdict.score[places], verdict.expected[places]
        self.since = self.ts if verdict.since is None else verdict.since[places]
        self.part = None if verdict.part is None else verdict.part[places]
        self.shares = None if verdict.shares is None else verdict.shares[:, places]
        # Where nothing is asked any more, what is open ends at once.
        on_s = off_s = np.zeros(len(places))
        if asked is not None:
            on_s, off_s = detector.delays_s(_part(sample, places), asked)
        self.on_delay, self.off_delay = on_s * MICROSECONDS, off_s * MICROSECONDS
        self.broken = None if work.broken is None else work.broken[places]
        if self.broken is not None and not self.broken.any():
            self.broken = None
        self.known, self.known_value = work.known[places], work.known_value[places]

    def step(self, hold: Memory, part: slice) -> list[Anomaly]:
        """One reading of each watched series."""
        found: list[Anomaly] = []
        start, turn = hold["start"], hold["turn"]
        if self.broken is not None:
            found.extend(self._break(hold, part))
        ts, on, stay = self.ts[part], self.on[part], self.stay[part]
        is_open = start != NEVER
        turning = np.where(is_open, ~stay, on)
        moment = np.where(is_open, ts, self.since[part])
        np.copyto(turn, np.where(turn == NEVER, moment, turn), where=turning)
        np.copyto(turn, NEVER, where=~turning)
        delay = np.where(is_open, self.off_delay[part], self.on_delay[part])
        due = turning & (ts - turn >= delay)
        score = self.score[part]
        peak = hold["peak"]
        if self.part is not None:
            found.extend(self._worse(hold, part, is_open & on))
        np.copyto(peak, np.maximum(peak, score), where=is_open & on)
        if not due.any():
            return found
        begins, ends = np.flatnonzero(due & ~is_open), np.flatnonzero(due & is_open)
        start[begins] = turn[begins]
        peak[begins] = score[begins]
        hold["expected"][begins] = self.expected[part][begins]
        if self.part is not None:
            hold["part"][begins] = self.part[part][begins]
        turn[due] = NEVER
        found.extend(self._begun(hold, part, place) for place in begins.tolist())
        for place in ends.tolist():
            at = part.start + place
            row, moment_us, value = int(self.row[at]), int(self.ts[at]), float(self.value[at])
            found.append(_ended(self.detector, hold, place, row, moment_us, value, lapsed=False))
        _clear(hold, ends)
        return found

    def _worse(self, hold: Memory, part: slice, on: Flags) -> list[Anomaly]:
        """Open findings that turn out to be worth more, or something else: ended, begun anew."""
        assert self.part is not None
        found = []
        higher = self.score[part] > hold["peak"]
        differs = self.part[part] != hold["part"]
        for place in np.flatnonzero(on & (differs | higher)).tolist():
            at = part.start + place
            score = float(self.score[at])
            grade = self.detector.grade
            worse = grade(score) > grade(float(hold["peak"][place]))
            named = self.detector.renames(int(hold["part"][place]), int(self.part[at]))
            if not worse and not named:
                continue
            now, value = int(self.ts[at]), float(self.value[at])
            done = ended(self.detector, hold, place, now, value, OTHER if named else WORSE)
            found.append(replace(done, row=int(self.row[at])))
            hold["start"][place] = now
            hold["peak"][place] = max(score, float(hold["peak"][place]))
            hold["expected"][place], hold["part"][place] = self.expected[at], self.part[at]
            found.append(self._begun(hold, part, place))
        return found

    def _break(self, hold: Memory, part: slice) -> list[Anomaly]:
        assert self.broken is not None
        broken = np.flatnonzero(self.broken[part])
        found = []
        for place in broken[hold["start"][broken] != NEVER].tolist():
            at = part.start + place
            known, value = int(self.known[at]), float(self.known_value[at])
            row = int(self.row[at])
            found.append(_ended(self.detector, hold, place, row, known, value, lapsed=True))
        hold["turn"][broken] = NEVER
        _clear(hold, broken)
        return found

    def _begun(self, hold: Memory, part: slice, place: int) -> Anomaly:
        at = part.start + place
        start, now = int(hold["start"][place]), int(self.ts[at])
        score, expected = float(hold["peak"][place]), float(hold["expected"][place])
        value = float(self.value[at])
        lasted_s = (now - start) / MICROSECONDS
        finding = Finding("start", score, value, expected, lasted_s, lapsed=False)
        if self.shares is not None:
            shares = zip(self.detector.parts, self.shares[:, at].tolist(), strict=True)
            finding = replace(finding, part=int(hold["part"][place]), shares=tuple(shares))
        return Anomaly(
            int(self.row[at]),
            _name(self.detector, hold, place),
            "start",
            start,
            now,
            self.detector.grade(score),
            score,
            value,
            expected,
            self.detector.reason(finding),
        )


def _clear(hold: Memory, places: Places) -> None:
    hold["start"][places] = NEVER
    for name in hold:
        if name not in {"start", "turn"}:
            hold[name][places] = 0.0


def _ended(
    detector: Detector, hold: Memory, place: int, row: int, at: int, value: float, *, lapsed: bool
) -> Anomaly:
    start, score = int(hold["start"][place]), float(hold["peak"][place])
    expected = float(hold["expected"][place])
    finding = Finding("end", score, value, expected, (at - start) / MICROSECONDS, lapsed)
    reason = LAPSED if lapsed else detector.reason(finding)
    return replace(ended(detector, hold, place, at, value, reason), row=row)


def ended(
    detector: Detector, hold: Memory, place: int, at: int, value: float, reason: str
) -> Anomaly:
    """The end of the finding that is open in a place of `hold`, as the event of that row."""
    start, score = int(hold["start"][place]), float(hold["peak"][place])
    expected = float(hold["expected"][place])
    severity = detector.grade(score)
    return Anomaly(
        place, _name(detector, hold, place), "end", start, at, severity, score, value, expected,
        reason,
    )  # fmt: skip


def _name(detector: Detector, hold: Memory, place: int) -> str:
    """The detector's name, or that of the part which led when the finding began."""
    return detector.parts[int(hold["part"][place])] if detector.parts else detector.name


def _part(sample: Sample, places: Places) -> Sample:
    return Sample(
        sample.row[places],
        sample.ts[places],
        sample.value[places],
        sample.previous[places],
        sample.elapsed_s[places],
        sample.change[places],
        sample.paused[places],
        sample.arrival_s[places],
    )
