"""Stuck: a value that stopped changing although it usually changes."""

import numpy as np

from floorlog.core.detect.detector import (
    SCORE_MAX,
    Detector,
    Finding,
    Memory,
    Sample,
    Verdict,
    number,
    span,
)
from floorlog.core.detect.logarithm import log10

RUN_MIN = 18.0
"""Equal readings below which nothing is stuck."""
LASTED_MIN_S = 10.0
"""And seconds."""
TAIL = 7.0
"""−log10 of the probability of a run so much longer than the longest of all before it."""
SCORE_MIN = 8.0
"""−log10 of the probability of so long a run, below which it is stuck."""
CHANGE_MAX = 0.97
"""More surely than this no value changes from one reading to the next."""
FORGET = 1.0 / 65536.0
"""How fast the longest usual run comes down, a run."""
CHANGES_MIN = 240.0
"""Changes to be seen before a series is judged."""
RARE_MAX = 15
"""No rarer than this is said of a run."""


class Stuck(Detector):
    """A value that stays the same for much longer than it ever did, though it usually changes.

    Learns the mean and the longest usual run of equal readings (a decaying maximum), so that
    quantised series, which keep their value for many readings, are judged by how long they usually
    do. If each reading changed with the same chance, a run of n would have the probability
    (1 − 1 / mean run) to the power n. Stuck is a run of 18 readings and 10 s or more, less probable
    than 1 in 10^8, and 7 / log10(runs so far) times the longest usual one: runs that are spread
    wider than that law have a tail of their own. Constant series are never judged, nor is the value
    at which the series rested for long the last time (a machine that is off). Of low severity: it
    asks for maintenance. Score: −log10 of that probability. Source: flat-line test of QARTOD (IOOS
    manual for real-time quality control, test 8), with a learned in place of a fixed run length.
    """

    name = "stuck"
    severity = 1
    learned = True
    memory = {  # noqa: RUF012 - declared ClassVar by Detector
        "changes": "f8",
        "run": "f8",
        "run_mean": "f8",
        "run_peak": "f8",
        "begun": "i8",
        "rests": "f8",  # runs so far that were far longer than usual
        "rest": "f8",  # the value of the last one
    }

    def judge(self, sample: Sample, memory: Memory, asked: object) -> Verdict:  # noqa: ARG002 - asks no rule
        """Lengthen the run, or learn from it when it ends."""
        changes, run, mean = memory["changes"], memory["run"], memory["run_mean"]
        peak, begun = memory["run_peak"], memory["begun"]
        rests, rest = memory["rests"], memory["rest"]
        moved = sample.change > 0
        rested = moved & (run >= np.maximum(RUN_MIN, peak + peak))
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
        on = (run >= RUN_MIN) & (lasted_s >= LASTED_MIN_S)
        on &= (changes >= CHANGES_MIN) & ((rests == 0.0) | (sample.value != rest))
        score = np.zeros(len(run))
        long = np.flatnonzero(run >= RUN_MIN)
        if len(long):
            keeps = 1.0 - np.minimum(1.0 / np.maximum(mean[long], 1.0), CHANGE_MAX)
            score[long] = np.minimum(-log10(np.maximum(keeps, 1e-300)) * run[long], SCORE_MAX)
            factor = TAIL / log10(np.maximum(changes[long], CHANGES_MIN))
            on[long] &= (score[long] >= SCORE_MIN) & (run[long] >= peak[long] * factor)
        stay = ~moved
        return Verdict(on, score, sample.value, stay=stay, since=begun.copy())

    def reason(self, finding: Finding) -> str:
        """For how long, at which value."""
        if finding.phase == "end":
            return f"changes again after {span(finding.lasted_s)}, now {number(finding.value)}"
        return (
            f"stays at exactly {number(finding.value)} for {span(finding.lasted_s)}: "
            f"fewer than one such run in 10^{min(int(finding.score), RARE_MAX)} by its own past"
        )
