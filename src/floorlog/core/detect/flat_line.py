"""Flat line: a value that stays the same for longer than the catalogue allows."""

import numpy as np

from floorlog.core.detect.detector import (
    NEVER,
    Detector,
    Finding,
    Memory,
    Sample,
    Verdict,
    number,
    span,
)
from floorlog.core.rules import Rules


class FlatLine(Detector):
    """A value that stays exactly the same for longer than the catalogue's `stuck_s`.

    A rule, where `stuck` learns: for series that are quantised or seldom move, of which the plant
    knows how long they may stand still. Score: how long, in times of what is allowed. Source:
    flat-line test of QARTOD (IOOS manual for real-time quality control, test 8).
    """

    name = "flat_line"
    memory = {"begun": "i8"}  # noqa: RUF012 - declared ClassVar by Detector

    def prepare(self, rules: Rules) -> Rules | None:
        """The rules, when any series may stay only so long."""
        return rules if bool((rules.stuck_s > 0).any()) else None

    def judge(self, sample: Sample, memory: Memory, asked: Rules) -> Verdict:
        """The time since the value last changed, against what is allowed."""
        begun = memory["begun"]
        allowed = asked.stuck_s[sample.row]
        # After a pause that is long for the series nobody knows what was in between.
        fresh = (sample.change > 0) | sample.paused | (begun == NEVER)
        np.copyto(begun, sample.ts, where=fresh & (allowed > 0))
        since = np.where(allowed > 0, begun, sample.ts)
        lasted_s = (sample.ts - since) * 1e-6
        on = lasted_s > allowed
        score = np.where(allowed > 0, lasted_s / np.maximum(allowed, 1e-6), 0.0)
        return Verdict(on, score, sample.value, stay=~fresh & (allowed > 0), since=since)

    def reason(self, finding: Finding) -> str:
        """For how long, at which value."""
        if finding.phase == "end":
            return f"changes again after {span(finding.lasted_s)}, now {number(finding.value)}"
        return (
            f"stays at exactly {number(finding.value)} for {span(finding.lasted_s)}, "
            f"longer than allowed"
        )
