"""Data-blind baselines: an alarm every so often, and a random alarm at the same rate."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from detection.sets import Recording

Rows = list[int]
RANDOM_ROUNDS = 20


def every(recordings: Sequence[Recording], rows: int) -> list[Rows]:
    """An alarm each so many rows of each file, whatever it holds."""
    return [list(range(rows, len(recording), rows)) for recording in recordings]


def chance(recordings: Sequence[Recording], alarms: int, seed: int) -> list[Rows]:
    """So many alarms, thrown over all rows of all files."""
    random = np.random.default_rng(seed)
    lengths = np.array([len(recording) for recording in recordings])
    owner = random.choice(len(recordings), size=alarms, p=lengths / lengths.sum())
    found: list[Rows] = [[] for _ in recordings]
    for which in owner.tolist():
        found[which].append(int(random.integers(lengths[which])))
    return [sorted(set(rows)) for rows in found]


def best_every(
    recordings: Sequence[Recording], value: Callable[[list[Rows]], float], steps: Sequence[int]
) -> tuple[int, float]:
    """The step that a baseline would have chosen with hindsight, and what it is worth."""
    return max(((step, value(every(recordings, step))) for step in steps), key=lambda one: one[1])


def mean_chance(
    recordings: Sequence[Recording], value: Callable[[list[Rows]], float], alarms: int
) -> float:
    """What random alarms at the same rate are worth on average."""
    worth = [value(chance(recordings, alarms, seed)) for seed in range(RANDOM_ROUNDS)]
    return round(float(np.mean(worth)), 3)


def flags(
    recordings: Sequence[Recording], alarms: Sequence[Rows], rows: int
) -> list[NDArray[np.bool_]]:
    """Each alarm held for so many rows."""
    found = []
    for recording, mine in zip(recordings, alarms, strict=True):
        inside = np.zeros(len(recording), np.bool_)
        for row in mine:
            inside[row : row + rows] = True
        found.append(inside)
    return found
