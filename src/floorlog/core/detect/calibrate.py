"""Calibrate: from any statistic of a series to one scale, by the statistic's own tail."""

import numpy as np

from floorlog.core.detect.detector import SCORE_MAX, Flags, Floats, Memory
from floorlog.core.detect.logarithm import log10

FIELDS = {
    "count": "f8",  # blocks learned from
    "quantile": "f8",  # above which the tail is
    "tail_count": "f8",
    "tail_mean": "f8",  # of the excess over the quantile
    "tail_square": "f8",
}
SHARE = 0.05
"""The share of blocks that are the tail."""
SHARE_LOG10 = 1.3010299956639813  # −log10 of it
QUANTILE_GAIN = 1.0 / 32.0
TAIL_GAIN = 1.0 / 64.0
UNSETTLED = 8.0  # blocks at first whose statistics mean nothing yet
FIRST = 14.0  # up to this one, the highest stands in for the quantile
READY = 25.0  # blocks before anything is said
KNOWN_MAX = 64.0  # no more of the tail is held for known: what is rare may yet be commoner
EXCESS_MAX = 8.0  # an excess counts at most this many usual ones


LIGHT = 0.17
HEAVY = 0.23
"""The mean excess over the quantile, as a part of it: 0.14 of normal noise, 0.24 of Laplace's."""
LIGHT_KNOWN = 64.0  # excesses from which a light tail is held for shown


def score(
    memory: Memory, stat: Floats, floor: tuple[float, float], trusted: float, *, light: bool = False
) -> Floats:
    """−log10 of the share of blocks with a statistic as high as this one; 0 while learning.

    Above the tracked 95 % quantile the excess follows an exponential law whose width, at least what
    its mean and its mean square say, is known from few excesses: so what is expected of the next
    one is a Lomax law. `floor`: the least that quantile and width can be, by what the statistic is,
    held for as sure as if learned from `trusted` blocks of the tail. `light`: where the tail is
    shown to be as light as that of normal noise, squares follow the exponential law instead.
    Source: peaks over threshold, Pickands (1975), in streams Siffer et al., KDD
    2017; predictive distributions, Aitchison and Dunsmore (1975).
    """
    quantile = np.maximum(memory["quantile"], floor[0])
    found = SHARE_LOG10 * stat / np.maximum(quantile, 1e-290)
    high = np.flatnonzero(stat > quantile)
    if len(high):
        width = np.maximum(memory["tail_mean"][high], np.sqrt(memory["tail_square"][high] * 0.5))
        width = np.maximum(width, max(floor[1], 1e-290))
        known = np.minimum(memory["tail_count"][high] + trusted, KNOWN_MAX)
        excess = np.minimum((stat[high] - quantile[high]) / width, SCORE_MAX)
        if light:
            excess = _lightened(excess, width, quantile[high], memory["tail_count"][high])
        found[high] = SHARE_LOG10 + known * log10(1.0 + excess / known)
    ready = memory["count"] >= READY
    return np.where(ready, np.minimum(found, SCORE_MAX), 0.0)


def _lightened(excess: Floats, width: Floats, quantile: Floats, count: Floats) -> Floats:
    """Excesses in widths, as far as the tail is shown to be light: of the squares instead."""
    part = (HEAVY - width / quantile) * (1.0 / (HEAVY - LIGHT))
    part = np.minimum(np.maximum(part, 0.0), 1.0) * np.minimum(count * (1.0 / LIGHT_KNOWN), 1.0)
    beyond = excess * width
    squares = beyond * (beyond + 2.0 * quantile) / (2.0 * width * (quantile + width))
    found: Floats = np.minimum(excess + part * np.maximum(squares - excess, 0.0), SCORE_MAX)
    return found


def learn(memory: Memory, stat: Floats, new: Flags | None, gate: Floats) -> None:
    """Take the statistics that are `new` (None = all) into the tail, `gate` times as fast."""
    quantile, blocks = memory["quantile"], memory["count"]
    mean, square, count = memory["tail_mean"], memory["tail_square"], memory["tail_count"]
    fresh = stat > 0.0 if new is None else new & (stat > 0.0)
    blocks += fresh
    fresh &= blocks > UNSETTLED
    np.copyto(quantile, np.maximum(quantile, stat), where=fresh & (blocks <= FIRST))
    over: Flags = (stat > quantile) & fresh
    excess = np.minimum(stat - quantile, np.where(count > 0.0, mean * EXCESS_MAX, SCORE_MAX))
    pull = np.where(over, 1.0 - SHARE, -SHARE) * gate * fresh
    pull *= np.maximum(QUANTILE_GAIN, 4.0 / (blocks + 8.0))
    quantile += pull * np.where(quantile > 0.0, quantile, stat)
    gain = np.maximum(TAIL_GAIN, 1.0 / (count + 1.0)) * gate
    taken = over & (blocks > FIRST)
    gain *= taken
    mean += gain * (excess - mean)
    square += gain * (excess * excess - square)
    count += taken
