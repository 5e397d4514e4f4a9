"""Deviation: a value too far from its set-point."""

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
from floorlog.core.detect.limit import OFF_DELAY_S
from floorlog.core.rules import NONE, Rules


class Deviation(Detector):
    """A value further from its set-point than the catalogue allows, for the on-delay.

    The set-point is fixed, or the newest usable value of another series of the asset: of those that
    arrived in an earlier second than the reading (in history: with an earlier time stamp), so that
    batches make no difference. Without a known set-point nothing is judged. Ends as a limit's
    finding does. Score: how far beyond what is allowed, in dead-bands, or else in hundredths of the
    set-point. Source: OPC UA Part 9, NonExclusiveDeviationAlarmType.
    """

    name = "deviation"

    def prepare(self, rules: Rules) -> Rules | None:
        """The rules, when any series has a set-point."""
        asked = (rules.setpoint == rules.setpoint) | (rules.setpoint_row != NONE)
        return rules if bool(asked.any()) else None

    def judge(self, sample: Sample, memory: Memory, asked: Rules) -> Verdict:  # noqa: ARG002 - needs no memory
        """The difference from the set-point against what is allowed."""
        setpoint = _setpoint(sample, asked)
        low = setpoint + asked.deviation_lo[sample.row]
        high = setpoint + asked.deviation_hi[sample.row]
        band = asked.deviation_dead_band[sample.row]
        band = np.where(band > 0, band, 0.0)
        value = sample.value
        stay = (value > high - band) | (value < low + band)
        # As long as the set-point is not known an open finding can not be said to be over.
        stay |= ~np.isfinite(setpoint)
        beyond = np.maximum(np.nan_to_num(value - high), np.nan_to_num(low - value))
        size = np.where(band > 0, band, np.maximum(np.abs(setpoint) * 0.01, 1e-6))
        score = np.minimum(np.nan_to_num(np.maximum(beyond, 0.0) / size), SCORE_MAX)
        on = (value > high) | (value < low)
        return Verdict(on, score, np.nan_to_num(setpoint), stay=stay)

    def delays_s(self, sample: Sample, asked: Rules) -> tuple[Floats, Floats]:
        """The catalogue's delays."""
        on = asked.deviation_on_delay_s[sample.row]
        off = asked.deviation_off_delay_s[sample.row]
        return np.where(on > 0, on, 0.0), np.where(off >= 0, off, OFF_DELAY_S)

    def reason(self, finding: Finding) -> str:
        """The value, its set-point, the difference, and for how long."""
        if finding.phase == "end":
            return f"back near its set-point at {number(finding.value)}"
        off = finding.value - finding.expected
        held = f" for {span(finding.lasted_s)}" if finding.lasted_s > 0 else ""
        side = "above" if off >= 0 else "below"
        return (
            f"{number(finding.value)} is {number(abs(off))} {side} the set-point "
            f"{number(finding.expected)}{held}"
        )


def _setpoint(sample: Sample, asked: Rules) -> Floats:
    """The set-point of each reading, NaN where none is known."""
    fixed = asked.setpoint[sample.row]
    if sample.setpoint is None:
        return fixed
    return np.where(asked.setpoint_row[sample.row] != NONE, sample.setpoint, fixed)
