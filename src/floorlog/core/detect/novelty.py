"""Novelty: a course of values unlike any that the series is remembered to have taken."""

import numpy as np

from floorlog.core.detect.block import Block
from floorlog.core.detect.detector import Flags, Floats, Memory

LENGTH = 4
"""Steps of a course."""
PROTOTYPES = 16
LEARN_GAIN = 1.0 / 32.0
FORGET = 1.0 / 512.0  # how fast a prototype that is not met loses weight, a step
TYPICAL_GAIN = 1.0 / 128.0
NEW = 2.0  # a course this many typical distances from all prototypes becomes one
CLIP = 3.0
TYPICAL_MIN = 0.02
FAR = 1e6  # stands in for the distance from a prototype that is not there


class Novelty:
    """The last 16 readings (novelty) or 32 (slow_novelty), unlike any course remembered.

    The course is four means of a block or of two, in scales of the series' slow level. It is held
    against sixteen prototypes, a bounded memory of courses: the nearest one learns from it, and a
    course far from all replaces the prototype met least. Statistic: the distance from the nearest.
    Source: prototype and nearest-neighbour novelty (Burnaev and Ishimtsev, conformal k-NN, 2016),
    with leader clustering (Hartigan 1975) in place of a stored past.
    """

    floor = (0.2, 0.05)
    trusted = 1.0
    lasting = False

    def __init__(self, name: str, every: int) -> None:
        """`every`: blocks in a step."""
        self.name = name
        self.every = every
        self.memory = {
            "tick": "f8",
            "sum": "f8",
            "recent": f"f8:{LENGTH}",  # the newest first
            "steps": "f8",
            "typical": "f8",
            "weight": f"f8:{PROTOTYPES}",
            "prototype": f"f8:{PROTOTYPES * LENGTH}",
        }

    def telling(self, memory: Memory) -> tuple[Floats, Flags] | None:  # noqa: ARG002 - what is new
        """What the tail may learn, and where: what is new."""
        return None

    def phrase(self) -> str:
        """What is unusual."""
        return "a course unlike those before"

    def measure(self, block: Block, memory: Memory) -> tuple[Floats, Floats, Flags | None]:
        """The distance of the course that ends here from the nearest prototype."""
        if self.every == 1:
            stat, expected = _step(memory, block.z)
            return stat, block.level + expected * block.unit, None
        memory["sum"] += block.z
        memory["tick"] += 1.0
        new = memory["tick"] >= self.every
        stat, expected = np.zeros(len(new)), block.level.copy()
        some = np.flatnonzero(new)
        if not len(some):
            return stat, expected, new
        mean = memory["sum"][some] * (1.0 / self.every)
        memory["tick"][some] = memory["sum"][some] = 0.0
        if len(some) == len(new):
            stat, wanted = _step(memory, mean)
            return stat, block.level + wanted * block.unit, None
        mine = {name: column[..., some] for name, column in memory.items()}
        stat[some], wanted = _step(mine, mean)
        for name, column in mine.items():
            memory[name][..., some] = column
        expected[some] += wanted * block.unit[some]
        return stat, expected, new


def _step(memory: Memory, z: Floats) -> tuple[Floats, Floats]:
    """The distance of each series' course from its nearest prototype, and where that one ends."""
    count = len(z)
    everyone = np.arange(count)
    recent, weight, steps = memory["recent"], memory["weight"], memory["steps"]
    prototype = memory["prototype"].reshape(LENGTH, PROTOTYPES, count)
    for place in range(LENGTH - 1, 0, -1):
        recent[place] = recent[place - 1]
    recent[0] = z
    square = (prototype[0] - recent[0]) ** 2
    for place in range(1, LENGTH):
        square += (prototype[place] - recent[place]) ** 2
    square = np.where(weight > 0.0, square, FAR)
    nearest = square.argmin(axis=0)
    distance = np.sqrt(square[nearest, everyone] * (1.0 / LENGTH))
    real = weight[nearest, everyone] > 0.0
    full = steps >= LENGTH
    typical = memory["typical"]
    usual = np.maximum(typical, TYPICAL_MIN)
    apart = ~real | (distance > usual * NEW)
    distance = np.where(real, distance, 0.0)
    expected = np.where(real, prototype[0, nearest, everyone], 0.0)
    gain = np.maximum(TYPICAL_GAIN, 1.0 / (steps + 1.0)) * (real & full)
    bound = np.where(steps > 16.0, usual * CLIP, 10.0)
    typical += gain * (np.minimum(distance, bound) - typical)
    weight *= 1.0 - FORGET
    which = np.where(apart, weight.argmin(axis=0), nearest)
    met = weight[which, everyone]
    share = np.where(apart, 1.0, np.maximum(LEARN_GAIN, 1.0 / (met + 1.0))) * full
    for place in range(LENGTH):
        old = prototype[place, which, everyone]
        prototype[place, which, everyone] = old + share * (recent[place] - old)
    weight[which, everyone] = np.where(full, np.where(apart, 1.0, met + 1.0), met)
    steps += 1.0
    return np.where(full & real, distance, 0.0), expected
