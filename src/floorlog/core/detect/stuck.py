"""Stuck: a value that stopped changing although it usually changes."""

import numpy as np

from floorlog.core.detect.detector import (
    Detector,
    Finding,
    Memory,
    Sample,
    Verdict,
    number,
    span,
)

RUN_MIN = 30.0
"""Equal readings, and seconds, below which nothing is stuck."""
FACTOR = 10.0
"""A run this many times the longest usual one is stuck."""
FORGET = 1.0 / 65536.0
"""How fast the longest usual run comes down, a run."""
CHANGES_MIN = 60.0
"""Changes to be seen before a series is judged."""
RUN_USUAL_MAX = 3.0
"""A series that usually keeps its value for more readings than this is not judged."""


class Stuck(Detector):
    """A value that stays the same for much longer than it ever did, though it usually changes.

    Learns the mean and the longest usual run of equal readings (a decaying maximum). Series that
    are constant, or keep a value for more than 3 readings on average, are never judged, nor is the
    value at which the series rested for long the last time (a machine that is off). Score: the run
    in units of the longest usual one. Source: flat-line test of QARTOD (IOOS manual for
    real-time quality control, test 8), with a learned in place of a fixed run length.
    """

    name = "stuck"
    memory = {  # noqa: RUF012 - declared ClassVar by Detector
        "changes": "f8",
        "run": "f8",
        "run_mean": "f8",
        "run_peak": "f8",
        "begun": "i8",
        "rests": "f8",  # long runs so far
        "rest": "f8",  # the value of the last one
    }

    def judge(self, sample: Sample, memory: Memory, asked: object) -> Verdict:  # noqa: ARG002 - asks no rule
        """Lengthen the run, or learn from it when it ends."""
        changes, run, mean = memory["changes"], memory["run"], memory["run_mean"]
        peak, begun = memory["run_peak"], memory["begun"]
        rests, rest = memory["rests"], memory["rest"]
        moved = sample.change > 0
        rested = moved & (run >= RUN_MIN)
        np.copyto(rest, sample.previous, where=rested)
        rests += rested
        ended = np.minimum(run, peak + peak + 1.0)
        gain = np.maximum(1.0 / 64.0, 1.0 / (changes + 1.0))
        np.copyto(mean, mean + (ended - mean) * gain, where=moved)
        np.copyto(peak, np.maximum(ended, peak - (peak - ended) * FORGET), where=moved)
        np.add(changes, 1.0, out=changes, where=moved)
        np.add(run, 1.0, out=run)
        fresh = moved | (run == 1.0)
        np.copyto(run, 1.0, where=fresh)
        np.copyto(begun, sample.ts, where=fresh)
        lasted_s = (sample.ts - begun) * 1e-6
        on = (run >= np.maximum(RUN_MIN, peak * FACTOR)) & (lasted_s >= RUN_MIN)
        on &= (changes >= CHANGES_MIN) & (mean <= RUN_USUAL_MAX)
        on &= (rests == 0.0) | (sample.value != rest)
        stay = ~moved
        return Verdict(on, run / np.maximum(peak, 1.0), sample.value, stay=stay, since=begun.copy())

    def reason(self, finding: Finding) -> str:
        """For how long, at which value."""
        if finding.phase == "end":
            return f"changes again after {span(finding.lasted_s)}, now {number(finding.value)}"
        return (
            f"stays at exactly {number(finding.value)} for {span(finding.lasted_s)}, "
            f"{finding.score:.3g} times its longest usual run"
        )
