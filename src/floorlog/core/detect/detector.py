"""What a detector is: how it is asked, and what it answers."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from floorlog.core.reading import Kind
from floorlog.core.rules import Rules

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Flags = NDArray[np.bool_]
Memory = dict[str, NDArray[Any]]
"""A detector's memory of some series: its fields as columns, to be changed in place."""

NEVER = np.iinfo(np.int64).min
"""The time of what has not happened."""
VALUE_MAX = 1e300
"""Values are held within ± this before detectors see them, so that differences stay finite."""
SCORE_MAX = 1e9
"""Scores are held below this."""


@dataclass(slots=True)
class Sample:
    """Readings of usable quality as columns of one length, what went before beside them."""

    row: NDArray[np.intp]  # row of the shard's SeriesTable
    ts: Times  # µs UTC
    value: Floats  # number within ± VALUE_MAX, or state code
    previous: Floats  # the series' value before this one; the value itself at first
    elapsed_s: Floats  # since the reading before; 0 at first
    change: Floats  # |value − previous|
    paused: Flags  # came after a pause that is long for this series
    arrival_s: Times  # the shard's clock at arrival
    setpoint: Floats | None = None  # of the series that holds it; NaN = none is known
    mode: Floats | None = None  # code of the equipment's state; NaN = none is known


@dataclass(slots=True)
class Verdict:
    """What a detector thinks of each reading of a sample: columns of its length."""

    on: Flags  # bad enough for a finding to begin
    score: Floats  # how bad, 0 or more; read only where `on` or `stay`
    expected: Floats  # what would have been fine; read only where `on` or `stay`
    stay: Flags | None = None  # bad enough for an open finding to go on; `on` when not given
    since: Times | None = None  # µs UTC: when it began to be so; the reading's ts when not given
    part: NDArray[np.int8] | None = None  # which of the detector's parts leads, where `on`
    shares: NDArray[np.float32] | None = None  # shape (parts, readings): each part's score
    levels: tuple[Floats, ...] = ()  # where blocks end: how far the level is, its mean, the usual


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding that begins or ends, as `reason` is asked to put it in words."""

    phase: str  # "start" or "end"
    score: float  # at the end: the highest of the finding
    value: float
    expected: float
    lasted_s: float  # from the finding's beginning to now
    lapsed: bool  # ended because nothing more is known of the series
    part: int = 0  # which of the detector's parts led when it began
    shares: tuple[tuple[str, float], ...] = ()  # at the beginning: parts and their scores


class Detector(Protocol):
    """One way to find what is abnormal in a series.

    A subclass has a docstring with its method's source, a `name`, and `judge`. Without `memory`
    it is asked once for all readings of a batch. With `memory` it is asked once for the k-th new
    reading of every series, k = 0, 1, 2 …, and changes its memory in place. Either way everything
    is elementwise: a row of the answer depends on that row of the sample and of memory alone. For
    the same bits on every machine only + − × ÷, sqrt and comparisons are used.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1  # raise it when what memory means changes
    kind: ClassVar[Kind] = Kind.NUMBER  # of the series that it judges
    memory: ClassVar[dict[str, str]] = {}  # field → "f8", at first 0, or "i8", at first NEVER
    severity: ClassVar[int] = 2  # 1 low, 2 medium, 3 high
    suppressible: ClassVar[bool] = True  # by the equipment's state; False: it judges the measuring
    learned: ClassVar[bool] = False  # from the past: learns nothing where that does not count
    parts: tuple[str, ...] = ()  # whose names its findings have; none = its own

    def prepare(self, rules: Rules) -> object:
        """What `judge` needs of the rules, made once for each version; None = nothing to judge."""
        return rules

    def judge(self, sample: Sample, memory: Memory, asked: Any) -> Verdict:  # noqa: ANN401 - each detector gets back what its own `prepare` made
        """Judge readings of distinct series (with memory), or of any (without)."""
        ...

    def delays_s(self, sample: Sample, asked: Any) -> tuple[Floats, Floats]:  # noqa: ANN401, ARG002 - as in judge; a detector may ask its rules
        """Seconds that a series must be bad before a finding begins, and good before it ends."""
        none = np.zeros(len(sample.row))
        return none, none

    def ready(self, memory: Memory) -> Flags | None:  # noqa: ARG002 - a detector may have to learn
        """Of which series it has learned enough to judge them; None = it need not learn."""
        return None

    def renames(self, part: int, other: int) -> bool:  # noqa: ARG002 - a detector may have parts
        """Whether a finding that one of its parts began becomes another one's."""
        return False

    def grade(self, score: float) -> int:  # noqa: ARG002 - a detector may grade by score
        """The severity of a finding with this score."""
        return self.severity

    def reason(self, finding: Finding) -> str:
        """The finding in a plain sentence, without device, metric and unit."""
        ...


def number(value: float) -> str:
    """A number as a sentence shows it."""
    return f"{value:.6g}"


def span(seconds: float) -> str:
    """A length of time as a sentence shows it."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
