"""Cadence: how long a series usually waits between readings."""

import numpy as np

from floorlog.core.detect.detector import Flags, Floats, Memory

FACTOR = 5.0
"""A wait this many times the longest usual one is a pause."""
LEARN_COUNT = 16
"""Waits to be seen before a cadence is known."""
FORGET = 1.0 / 64.0
"""How fast the longest usual wait comes down to the present one."""


def learn(memory: Memory, prefix: str, wait_s: Floats, waited: Flags) -> None:
    """Take one wait of each series into the longest usual one, where there was one.

    A wait counts at most twice the longest usual one, so that an outage does not become usual.
    """
    count, peak = memory[prefix + "_count"], memory[prefix + "_peak_s"]
    cap = peak + peak
    cap[count < LEARN_COUNT] = np.inf
    wait = np.minimum(wait_s, cap)
    lowered = peak - (peak - wait) * FORGET
    np.copyto(peak, np.maximum(wait, lowered), where=waited)
    np.add(count, 1.0, out=count, where=waited)


def pause_s(memory: Memory, prefix: str) -> Floats:
    """The wait that is a pause, in seconds; infinity until the cadence is known."""
    limit = memory[prefix + "_peak_s"] * FACTOR
    limit[memory[prefix + "_count"] < LEARN_COUNT] = np.inf
    return limit
