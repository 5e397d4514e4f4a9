"""Unusual: what several learned ways to look at a series find together, on one scale."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from floorlog.core.detect import block as gathering
from floorlog.core.detect import calibrate
from floorlog.core.detect.acceptance import STATES
from floorlog.core.detect.block import Block
from floorlog.core.detect.blocks import SIZE, Blocks
from floorlog.core.detect.blocks import Part as Round
from floorlog.core.detect.cells import Cells
from floorlog.core.detect.detector import (
    SCORE_MAX,
    Detector,
    Finding,
    Flags,
    Floats,
    Memory,
    Sample,
    Verdict,
    number,
)
from floorlog.core.detect.rounds import Places, Rounds
from floorlog.core.detect.views import VIEWS

NOTE = 1.4
"""Shipped threshold: by its own past a series does so less than once in 25 days."""
ALARM = 3.0
"""From here on, once in 1,000 days, a finding is of medium severity."""
STAY = 0.0
"""A finding goes on while readings score this: once a day."""
TAIL = 1.5
"""−log10 of a share of blocks: nothing commoner is unusual, however seldom blocks come."""
RAISE = 1.0
"""What a finding adds to the series' threshold for the next one …"""
RAISE_S = 43_200.0
"""… less and less for so long: the series' budget."""
BLOCKS_MIN = 25.0
"""Blocks to learn from before anything is said."""
SINCE_MIN = 8.0
"""The same after a pause."""
GATE = 1.0 / 8.0
"""How much slower is learned inside a finding."""
SEEN = 2.5
"""A score from which on a level that the slow view finds is the quick one's."""
NAMED_WITHIN = 8.0
"""Blocks in which a finding may get the name of what lasts, though that is not as rare."""
OFF_DELAY_S = 60.0
OFF_DELAY_READINGS = 40.0
RARE_MAX = 6
SHARE_MIN = 0.5  # of the leading view's score, from which on another one is named beside it


LEVEL_FIELDS = ("far", "now", "mean")
"""What the view shift keeps of a series' level, for the asset that it belongs to."""


class View(Protocol):
    """One learned way to look at a series.

    `measure` is asked once for each block of four readings and learns from it. It returns a
    statistic, 0 or more, what was expected, and where there is a new statistic (None = for all).
    As with detectors everything is elementwise, by + − × ÷, sqrt and comparisons alone.
    """

    @property
    def name(self) -> str:
        """What its findings are called."""
        ...

    @property
    def memory(self) -> Mapping[str, str]:
        """Its fields, as a detector's."""
        ...

    @property
    def floor(self) -> tuple[float, float]:
        """The least that the 95 % quantile of its statistic, and the width beyond, can be."""
        ...

    @property
    def trusted(self) -> float:
        """How many blocks of the tail `floor` stands for."""
        ...

    @property
    def lasting(self) -> bool:
        """Whether it says what has become of a series: it then gives an open finding its name."""
        ...

    def measure(self, block: Block, memory: Memory) -> tuple[Floats, Floats, Flags | None]:
        """The statistic of each block, what was expected, and where there is a statistic."""
        ...

    def telling(self, memory: Memory) -> tuple[Floats, Flags] | None:
        """After `measure`: what the tail may learn, and where; None = the statistic where new."""
        ...

    def phrase(self) -> str:
        """What is unusual, as the beginning of a sentence."""
        ...


class Learned(Detector):
    """A series that does what it hardly ever did, seen in several ways on one scale.

    Each way to look at it, listed below, gives a statistic; the statistic's own tail says what
    share of the past was as far out (calibrate.py). The rarest one leads, and gives the finding its
    name. Score: log10 of the days in which chance does so once, by blocks of four readings; a
    finding begins at 1.4 (25 days), is of medium severity from 3 (1,000 days), and goes on while
    chance would do so once a day. Each finding raises the threshold of its series tenfold, for half
    a day less and less. Inside a finding everything is learned eight times slower. Nothing is
    said in the first 100 readings, nor in the first 32 after a pause.
    Source: fusion of calibrated tails as in Siffer et al., KDD 2017, and Tippett's least p (1931).
    """

    name = "unusual"
    version = 2
    learned = True
    severity = 1

    def __init__(self, views: Sequence[View] = VIEWS, note: float = NOTE) -> None:
        """`views`: the ways to look; `note`: the threshold, as shipped unless a bench sweeps it."""
        self.note = note
        self.views = tuple(views)
        self.parts = tuple(view.name for view in self.views)
        fields = {
            **gathering.FIELDS,
            "score": "f8",  # of the last block
            "raised": "f8",  # how much the threshold is
            "held": "f8",  # blocks since a finding began that goes on; 0 = inside none
            "since": "f8",  # blocks since a pause
            "scores": f"f8:{len(self.views)}",
        }
        for view in self.views:
            fields |= {f"{view.name}.{field}": kind for field, kind in view.memory.items()}
            fields |= {_tail(view.name, field): kind for field, kind in calibrate.FIELDS.items()}
        self.memory = fields  # type: ignore[misc]  # as its views need
        self.states = {
            f"{view.name}.{field}": kind
            for view in self.views
            for field, kind in getattr(view, "by_state", {}).items()
        }
        self._lasting = [at for at, view in enumerate(self.views) if view.lasting]
        self.leveller = next((name for name in self.parts if name == "shift"), None)
        self._single = self.parts.index("spike") if "spike" in self.parts else None

    def judge_blocks(
        self, sample: Sample, rounds: Rounds, frozen: Flags | None, cells: Cells
    ) -> Verdict:
        """Judge a batch's readings, block by block; those that are `frozen` are passed over."""
        section = cells.sections[self.name]
        phase = cells.columns(self.name)["phase"][rounds.rows]
        blocks = Blocks(rounds, None if frozen is None else ~frozen, phase)
        rows = rounds.rows[blocks.who]
        grid = cells.take(self.name, rows)
        aside = _Aside(self.name + STATES, rows, cells, sample.mode is not None)
        answer = _Answer(sample, len(self.views))
        if frozen is not None:
            answer.stay |= frozen
        size, memory = -1, {}
        for now, part in blocks.parts():
            if now != size:
                size = now
                memory = section.views(grid[:, :size]) | aside.views(slice(size))
            far = gathering.add(sample, part, memory)
            self._glance(part, far, memory, answer)
            ended = np.flatnonzero(part.offset == SIZE - 1)
            rank, place = part.rank[ended], part.place[ended]
            if len(ended) == size:
                at = np.empty(size, np.intp)
                at[rank] = place
                self._end(sample, at, memory, answer)
            elif len(ended):
                some, more = grid[:, rank], aside.part(rank)
                self._end(
                    sample, place, section.views(some) | aside.views(slice(None), more), answer
                )
                grid[:, rank] = some
                aside.back(rank, more)
        cells.put(self.name, rows, grid)
        aside.put()
        return answer.verdict()

    def judge(self, sample: Sample, memory: Memory, asked: object) -> Verdict:  # noqa: ARG002 - as declared
        """Not asked: it judges blocks."""
        raise AssertionError

    def delays_s(self, sample: Sample, asked: object) -> tuple[Floats, Floats]:  # noqa: ARG002 - asks no rule
        """At once on; off after a minute, and at least some readings, of calm."""
        none = np.zeros(len(sample.row))
        return none, np.maximum(OFF_DELAY_S, sample.elapsed_s * OFF_DELAY_READINGS)

    def grade(self, score: float) -> int:
        """Low, or medium when so rare that it is worth a look."""
        return 2 if score >= ALARM else 1

    def renames(self, part: int, other: int) -> bool:
        """A view of what lasts gives its name to what a passing one began."""
        return other in self._lasting and part not in self._lasting

    def ready(self, memory: Memory) -> Flags:
        """Enough blocks."""
        return memory["blocks"] >= BLOCKS_MIN

    def reason(self, finding: Finding) -> str:
        """What leads, the value beside the expected one, how rare that is, and what agrees."""
        if finding.phase == "end":
            return f"as usual again, at {number(finding.value)}"
        lead = self.parts[finding.part]
        days = 10.0 ** min(finding.score, RARE_MAX)
        text = (
            f"{self.views[finding.part].phrase()}: {number(finding.value)} where about "
            f"{number(finding.expected)} was expected; by its own past less than once in "
            f"{days:.3g} days"
        )
        top = max((share for name, share in finding.shares if name == lead), default=0.0)
        others = [
            f"{name} {share / top:.0%}"
            for name, share in finding.shares
            if name != lead and top > 0 and share >= SHARE_MIN * top
        ]
        return f"{text} ({lead}, with {', '.join(others)})" if others else f"{text} ({lead})"

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _glance(self, part: Round, far: Floats, memory: Memory, answer: "_Answer") -> None:
        """Score single readings where the tail of blocks says that they may be rare."""
        rank, place = part.rank, part.place
        score = memory["score"][rank]
        stay = _least(memory, STAY)
        answer.stay[place] = score >= stay[rank]
        answer.score[place] = np.maximum(score, 0.0)
        if self._single is None:
            return
        view = self.views[self._single]
        tail = {field: memory[_tail(view.name, field)] for field in calibrate.FIELDS}
        worth = np.flatnonzero(far > tail["quantile"][rank])
        if not len(worth):
            return
        rank, place = rank[worth], place[worth]
        some = {name: column[rank] for name, column in tail.items()}
        score = (
            calibrate.score(some, far[worth], view.floor, view.trusted, light=True)
            - memory["day"][rank]
        )
        ready = (_ready(memory) & (memory["anew"] == 0.0))[rank]
        answer.stay[place] |= (score >= stay[rank]) & ready
        on = (score >= (_least(memory, self.note) + memory["raised"])[rank]) & ready
        if not on.any():
            return
        rank, place, score = rank[on], place[on], score[on]
        answer.begin(place, score, memory["near"][rank], np.full(len(rank), self._single))
        answer.scores[:, place] = memory["scores"][:, rank]
        answer.scores[self._single, place] = score + memory["day"][rank]
        memory["spiked"][rank] = 1.0

    def _end(self, sample: Sample, place: Places, memory: Memory, answer: "_Answer") -> None:
        """Blocks end: what each view says, which says the most, and what is learned of them."""
        anew = memory["anew"] > 0.0
        gate = np.where(memory["held"] > 0.0, GATE, 1.0)
        mode = None if sample.mode is None else sample.mode[place]
        block = gathering.settle(memory, sample.ts[place], anew, gate, mode)
        lowered = memory["raised"] - block.elapsed_s * (RAISE / RAISE_S)
        np.maximum(lowered, 0.0, out=memory["raised"])
        top = np.full(len(place), -SCORE_MAX)
        lead, expected = np.zeros(len(place), np.int8), block.level
        levels: dict[int, Floats] = {}
        for which, view in enumerate(self.views):
            mine = _fields(view, memory, stated=mode is not None)
            stat, wanted, new = view.measure(block, mine)
            tail = {field: memory[_tail(view.name, field)] for field in calibrate.FIELDS}
            light = which == self._single
            score = calibrate.score(tail, stat, view.floor, view.trusted, light=light)
            calibrate.learn(tail, *(view.telling(mine) or (stat, new)), gate)
            kept = memory["scores"][which]
            np.copyto(kept, score, where=True if new is None else new)
            better = score > top if new is None else (score > top) & new
            top = np.where(better, score, top)
            lead = np.where(better, np.int8(which), lead)
            expected = np.where(better, wanted, expected)
            if view.lasting:
                levels[which] = wanted
        least = _least(memory, self.note)
        known = self._prefer(memory, lead, least + memory["day"])
        for which, wanted in levels.items():
            np.copyto(expected, wanted, where=known & (lead == which))
        score = memory["scores"].max(axis=0) - memory["day"]
        memory["score"][:] = score
        memory["since"] += 1.0
        np.copyto(memory["since"], 0.0, where=anew)
        ready = _ready(memory)
        stay = (score >= _least(memory, STAY)) & ready
        answer.stay[place] |= stay
        answer.score[place] = np.maximum(answer.score[place], score)
        top -= memory["day"]
        on = ((top >= least + memory["raised"]) | (known & _young(memory))) & ready
        some = np.flatnonzero(on)
        if len(some):
            answer.begin(place[some], top[some], expected[some], lead[some])
            answer.scores[:, place[some]] = memory["scores"][:, some]
        inside = memory["held"] > 0.0
        begun = (on | (memory["spiked"] > 0.0)) & ~inside
        memory["raised"] += begun * RAISE
        memory["held"][:] = np.where(begun | (inside & stay), memory["held"] + 1.0, 0.0)
        gathering.clear(memory)
        if self.leveller is not None:
            for name, column in zip(LEVEL_FIELDS, answer.levels, strict=True):
                column[place] = memory[f"{self.leveller}.{name}"]

    def _prefer(self, memory: Memory, lead: NDArray[np.int8], least: Floats) -> Flags:
        """Let a view of what lasts lead where it alone would do; where that is so.

        What the quick view of levels sees as well as the slow one is its own: a step also moves
        slow means.
        """
        if not self._lasting:
            return np.zeros(len(lead), np.bool_)
        scores = memory["scores"]
        which = self._lasting[0]
        top, best = scores[which], np.full(len(lead), which, np.int8)
        for which in self._lasting[1:]:
            better = scores[which] > top
            if self.leveller is not None:
                better &= scores[self._lasting[0]] < SEEN
            top = np.where(scores[which] > top, scores[which], top)
            best = np.where(better, np.int8(which), best)
        known: Flags = top >= least
        np.copyto(lead, best, where=known)
        return known


def _ready(memory: Memory) -> Flags:
    enough: Flags = (memory["blocks"] >= BLOCKS_MIN) & (memory["since"] >= SINCE_MIN)
    return enough


def _young(memory: Memory) -> Flags:
    """Inside a finding that may still turn out to be something else."""
    young: Flags = (memory["held"] > 0.0) & (memory["held"] <= NAMED_WITHIN)
    return young


def _least(memory: Memory, threshold: float) -> Floats:
    """A threshold, where blocks are so seldom that it would lie outside the tail: the tail's."""
    return np.maximum(threshold, TAIL - memory["day"])


class _Aside:
    """What is remembered of single states of the equipment, where the batch knows of any."""

    def __init__(self, name: str, rows: Places, cells: Cells, asked: bool) -> None:
        self.name, self.rows, self.cells = name, rows, cells
        self.asked = asked and name in cells.sections
        self.grid = cells.take(name, rows) if self.asked else np.zeros((0, len(rows)))

    def views(self, which: slice, grid: Floats | None = None) -> Memory:
        """Its fields as columns, of some of the rows."""
        if not self.asked:
            return {}
        whole = self.grid if grid is None else grid
        return self.cells.sections[self.name].views(whole[:, which])

    def part(self, rank: Places) -> Floats:
        """A copy of some of the rows' columns."""
        return self.grid[:, rank]

    def back(self, rank: Places, grid: Floats) -> None:
        """Take such a copy back."""
        self.grid[:, rank] = grid

    def put(self) -> None:
        """Write all back."""
        if self.asked:
            self.cells.put(self.name, self.rows, self.grid)


class _Answer:
    """The verdict on a batch's readings, filled round by round."""

    def __init__(self, sample: Sample, views: int) -> None:
        count = len(sample.row)
        self.on, self.stay = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        self.score, self.expected = np.zeros(count), sample.previous.copy()
        self.part = np.zeros(count, np.int8)
        self.scores = np.zeros((views, count), np.float32)
        self.levels = tuple(np.full(count, np.nan) for _ in LEVEL_FIELDS)  # NaN = no block ended

    def begin(
        self, place: Places, score: Floats, expected: Floats, part: NDArray[np.int8] | Places
    ) -> None:
        """These are bad enough; where one view said so already, the higher score stands."""
        higher = ~self.on[place] | (score > self.score[place])
        place = place[higher]
        self.on[place] = self.stay[place] = True
        self.score[place] = np.maximum(score[higher], 0.0)
        self.expected[place], self.part[place] = expected[higher], part[higher]

    def verdict(self) -> Verdict:
        """What was found."""
        return Verdict(
            self.on, self.score, self.expected, stay=self.stay, part=self.part, shares=self.scores,
            levels=self.levels,
        )  # fmt: skip


def _fields(view: View, memory: Memory, *, stated: bool) -> Memory:
    """What a view remembers, of single states of the equipment too where any is known."""
    names = [*view.memory, *(getattr(view, "by_state", ()) if stated else ())]
    return {field: memory[f"{view.name}.{field}"] for field in names}


def _tail(view: str, field: str) -> str:
    """Where a view's tail keeps a field: apart from what the view itself keeps."""
    return f"{view}:{field}"
