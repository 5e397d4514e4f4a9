"""The Numenta Anomaly Benchmark's score, from its published definition.

Source: Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly
Benchmark", ICMLA 2015, and the benchmark's documentation of profiles, probation and scaling.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, floor

import numpy as np
from numpy.typing import NDArray

from detection.sets import Recording

FP_WEIGHTS = {"standard": 0.11, "reward_low_fp": 0.22}
"""What a false alarm costs in each profile; a caught window is worth 1, a missed one costs 1."""
PROBATION_SHARE = 0.15
PROBATION_ROWS_MAX = 750  # 15 % of 5,000
FAR_BEYOND = 3.0  # window widths after a window, where a false alarm costs all


@dataclass(frozen=True)
class Weighed:
    """A file's rows as the score sees them."""

    worth: NDArray[np.float64]  # of a detection at this row: as true above 0, as false below
    window: NDArray[np.int64]  # which window of the file, −1 = none
    counts: NDArray[np.bool_]  # past the probationary period


def sigmoid(position: float) -> float:
    """The scaled sigmoid: near 1 at a window's begin, 0 at its end, −1 far beyond."""
    return -1.0 if position > FAR_BEYOND else 2.0 / (1.0 + exp(5.0 * position)) - 1.0


def weighed(recording: Recording) -> Weighed:
    """What a detection at each row is worth before a profile's weights."""
    count = len(recording)
    worth, window = np.full(count, -1.0), np.full(count, -1, np.int64)
    best = sigmoid(-1.0)
    for number, (begin, end) in enumerate(recording.spans):
        width, right = end - begin, end - 1
        following = [a for a, _ in recording.spans if a >= end]
        until = min(following, default=count)
        for row in range(begin, end):
            worth[row] = sigmoid(-(right - row + 1) / width) / best
            window[row] = number
        for row in range(end, until):
            worth[row] = sigmoid((row - right) / (width - 1))
    probation = min(floor(PROBATION_SHARE * count), PROBATION_ROWS_MAX)
    return Weighed(worth, window, np.arange(count) >= probation)


def sweep(
    recordings: Sequence[Recording], scores: Sequence[NDArray[np.float64]], fp_weight: float
) -> list[tuple[float, float]]:
    """(threshold, normalised score) for every threshold that the scores allow, highest first.

    Args:
        recordings: the files.
        scores: per file and row how abnormal it is; a row is a detection when at or above a
            threshold; 0 or less never is.
        fp_weight: of a false alarm.

    Normalised so that a detector that is silent has 0 and a perfect one 100.
    """
    values, worths, windows = [], [], []
    total = 0
    for recording, score in zip(recordings, scores, strict=True):
        file = weighed(recording)
        which = np.flatnonzero(file.counts & (score > 0))
        values.append(score[which])
        worths.append(file.worth[which])
        windows.append(np.where(file.window[which] >= 0, file.window[which] + total, -1))
        # Rows in probation count in no way; a window that ends within it is not there.
        total += len(recording.spans)
    reached = sum(
        bool(end > np.flatnonzero(weighed(r).counts)[0]) for r in recordings for _, end in r.spans
    )
    value, worth, window = map(np.concatenate, (values, worths, windows))
    order = np.argsort(-value, kind="stable")
    held = np.full(total, -1.0)
    raw = -float(reached)
    found = [(float("inf"), 0.0)]
    for place, row in enumerate(order.tolist()):
        which = int(window[row])
        if which < 0:
            raw += float(worth[row]) * fp_weight
        elif worth[row] > held[which]:
            raw += float(worth[row]) - float(held[which])
            held[which] = worth[row]
        last = place + 1 == len(order) or value[order[place + 1]] < value[row]
        if last:
            found.append((float(value[row]), 100 * (raw + reached) / (2 * reached)))
    return found


def at(curve: Sequence[tuple[float, float]], threshold: float) -> float:
    """The normalised score at one threshold."""
    return [score for limit, score in curve if limit >= threshold][-1]


def best(curve: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The optimiser's threshold and its score."""
    return max(curve, key=lambda pair: pair[1])
