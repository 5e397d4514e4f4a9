"""Limits: a value beyond what the catalogue allows."""

from typing import ClassVar

import numpy as np

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
    span,
)
from floorlog.core.rules import Rules

OFF_DELAY_S = 15.0
"""Off-delay where the catalogue names none: bounds how often a noisy value can come and go."""


class Limit(Detector):
    """A value beyond the catalogue's high or low limit for its on-delay.

    The finding ends when the value has been inside by the dead-band for the off-delay (15 s where
    the catalogue names none). Score: how far beyond, in dead-bands, or else in hundredths of the
    limit. Source: OPC UA Part 9, NonExclusiveLimitAlarmType: High and Low; ISA-18.2 (IEC 62682),
    basic alarm design: limit, dead-band, on- and off-delay.
    """

    name = "limit"
    low: ClassVar[str] = "lo"
    high: ClassVar[str] = "hi"
    words: ClassVar[tuple[str, str]] = ("low limit", "high limit")

    def prepare(self, rules: Rules) -> Rules | None:
        """The rules, when any series has such a limit."""
        return rules if _any(getattr(rules, self.low)) or _any(getattr(rules, self.high)) else None

    def judge(self, sample: Sample, memory: Memory, asked: Rules) -> Verdict:  # noqa: ARG002 - needs no memory
        """Beyond a limit, or not yet inside by the dead-band."""
        value = sample.value
        low, high = getattr(asked, self.low)[sample.row], getattr(asked, self.high)[sample.row]
        over, under = value > high, value < low
        band = asked.dead_band[sample.row]
        band = np.where(band > 0, band, 0.0)
        stay = (value > high - band) | (value < low + band)
        expected = np.where(under | (value < low + band), low, high)
        size = np.where(band > 0, band, np.maximum(np.abs(expected) * 0.01, 1e-6))
        score = np.minimum(np.abs(value - expected) / size, SCORE_MAX)
        return Verdict(over | under, score, expected, stay=stay)

    def delays_s(self, sample: Sample, asked: Rules) -> tuple[Floats, Floats]:
        """The catalogue's delays."""
        on, off = asked.on_delay_s[sample.row], asked.off_delay_s[sample.row]
        return np.where(on > 0, on, 0.0), np.where(off >= 0, off, OFF_DELAY_S)

    def reason(self, finding: Finding) -> str:
        """Which limit, by which value, for how long."""
        below, above = self.words
        beyond = finding.value - finding.expected
        if finding.phase == "end":
            return f"back inside its limits at {number(finding.value)}"
        where = f"above the {above}" if beyond >= 0 else f"below the {below}"
        held = f" for {span(finding.lasted_s)}" if finding.lasted_s > 0 else ""
        return f"{number(finding.value)} is {where} {number(finding.expected)}{held}"


class CriticalLimit(Limit):
    """A value beyond the catalogue's high-high or low-low limit: as limit, of high severity.

    A finding of its own, beside the limit's. Source: OPC UA Part 9, NonExclusiveLimitAlarmType:
    HighHigh and LowLow; ISA-18.2 (IEC 62682).
    """

    name = "critical_limit"
    severity = 3
    low = "lolo"
    high = "hihi"
    words = ("low-low limit", "high-high limit")


def _any(column: Floats) -> bool:
    present: Flags = column == column  # noqa: PLR0124 - NaN alone differs from itself
    return bool(present.any())
