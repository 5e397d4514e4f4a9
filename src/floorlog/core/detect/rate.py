"""Rate of change: a value that moves faster than the catalogue allows."""

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
)
from floorlog.core.detect.limit import OFF_DELAY_S
from floorlog.core.rules import Rules


class Rate(Detector):
    """A value that changes by more per second than the catalogue allows, between two readings.

    The finding ends when it has been slower for the off-delay (15 s where the catalogue names
    none). Score: the rate in units of the allowed one. Source: OPC UA Part 9,
    NonExclusiveRateOfChangeAlarmType; ISA-18.2 (IEC 62682), rate-of-change alarms.
    """

    name = "rate"

    def prepare(self, rules: Rules) -> Rules | None:
        """The rules, when any series has an allowed rate."""
        return rules if bool((rules.rate_per_s >= 0).any()) else None

    def judge(self, sample: Sample, memory: Memory, asked: Rules) -> Verdict:  # noqa: ARG002 - needs no memory
        """Change over elapsed time against the allowed rate."""
        allowed = asked.rate_per_s[sample.row]
        rate = sample.change / np.maximum(sample.elapsed_s, 1e-6)
        on = rate > allowed
        score = np.minimum(rate / np.maximum(allowed, 1e-300), SCORE_MAX)
        return Verdict(on, score, sample.previous)

    def delays_s(self, sample: Sample, asked: Rules) -> tuple[Floats, Floats]:
        """At once on; off after the catalogue's off-delay."""
        off = asked.off_delay_s[sample.row]
        return np.zeros(len(off)), np.where(off >= 0, off, OFF_DELAY_S)

    def reason(self, finding: Finding) -> str:
        """From where to where, and how many times too fast."""
        if finding.phase == "end":
            return f"changes slowly enough again, at {number(finding.value)}"
        return (
            f"went from {number(finding.expected)} to {number(finding.value)}, "
            f"{finding.score:.3g} times as fast as allowed"
        )
