"""Sequence gap: a counter that skips numbers."""

import numpy as np

from floorlog.core.detect.detector import (
    SCORE_MAX,
    Detector,
    Finding,
    Floats,
    Memory,
    Sample,
    Verdict,
    number,
    span,
)
from floorlog.core.rules import Rules

MISSING_MAX = 1e15
"""A skip of more is none: such numbers are not exact."""


class SequenceGap(Detector):
    """A counter that the catalogue names, whose value does not follow from the one before.

    A producer's sequence number is such a counter: send it as a metric, and what was lost before
    the stream is found. The same number again is none; going back to 0, or to at most one step, is
    a restart and none either; any other way back is. The finding ends when numbers have followed
    for the catalogue's off-delay of limits, at once where it names none. Score: how many numbers
    are out of sequence. Source: OPC UA Part 4, sequence numbers of notifications; RFC 3550.
    """

    name = "sequence_gap"
    suppressible = False

    def prepare(self, rules: Rules) -> Rules | None:
        """The rules, when any series counts."""
        return rules if bool((rules.counter_step > 0).any()) else None

    def judge(self, sample: Sample, memory: Memory, asked: Rules) -> Verdict:  # noqa: ARG002 - needs no memory
        """What should have come, against what came."""
        step, wrap = asked.counter_step[sample.row], asked.counter_wrap[sample.row]
        due = sample.previous + step
        size = np.where(wrap > 0, wrap + 1.0, np.inf)
        expected = np.where(due > wrap, due - size, due)
        ahead = sample.value - expected
        ahead = np.where((ahead < 0) & (wrap > 0), ahead + size, ahead)
        missing = np.abs(ahead) / step
        restart = (sample.value < sample.previous) & (sample.value <= step) & (sample.value >= 0)
        restart &= ~(wrap > 0)
        moved = sample.change > 0
        on = moved & (missing > 0) & (missing < MISSING_MAX) & ~restart
        score = np.where(on, np.minimum(missing, SCORE_MAX), 0.0)
        return Verdict(on, score, np.where(np.isfinite(expected), expected, sample.previous))

    def delays_s(self, sample: Sample, asked: Rules) -> tuple[Floats, Floats]:
        """At once on; off after the catalogue's off-delay, else at once."""
        off = asked.off_delay_s[sample.row]
        return np.zeros(len(off)), np.where(off >= 0, off, 0.0)

    def reason(self, finding: Finding) -> str:
        """Which number was due, which came."""
        if finding.phase == "end":
            return (
                f"numbers follow again at {number(finding.value)}, after {span(finding.lasted_s)}"
            )
        missing = f"{finding.score:.15g}"
        return (
            f"counted to {finding.value:.15g} where {finding.expected:.15g} was due: "
            f"{missing} number{'' if missing == '1' else 's'} out of sequence"
        )
