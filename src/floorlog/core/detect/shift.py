"""Shift: the level of now against the levels of before."""

from typing import ClassVar

import numpy as np

from floorlog.core.detect.block import Block
from floorlog.core.detect.detector import SCORE_MAX, Flags, Floats, Memory

WINDOWS = 64
"""Windows that are remembered; a power of two."""
WINDOWS_MIN = 32.0
FAR = 5.0  # from here on the windows are not taken in …
NEAR = 2.5  # … until the level is back to here
FLOOR = 0.1
"""The scale is at least this part of the slow scale."""
APART_MAX = 1e140
FROZEN_MAX = 64.0  # windows of a level that is far: then it is a new normal, and learned afresh
AS_BEFORE = 2.5
"""In scales: so near the windows of before must the first one after a pause be."""
COMPARED_MIN = 8.0  # windows, before a pause, that one after it can be held against


class Shift:
    """The mean of the newest window, far from those of the 64 windows before.

    Windows of 16 readings. Scale: the windows' standard deviation, floored by a part of the slow
    scale and of the smallest step. While the level is far, the windows remembered stand still, so
    that a fault is not learned and its end is no new shift; after 64 windows it is a new normal.
    After a pause the first window says whether the level is as before; if not, it is a new normal
    at once. Source: two-window change detection (Kifer, Ben-David and Gehrke, VLDB 2004) with gated
    adaptation.
    """

    name = "shift"
    floor = (3.0, 0.7)
    trusted = 64.0
    lasting = True
    memory: ClassVar[dict[str, str]] = {
        "now": "f8",  # weighted mean of the newest blocks, as sharp as a window
        "sum": "f8",
        "tick": "f8",
        "newest": "f8",  # the last whole window, not yet remembered
        "has_newest": "f8",
        "count": "f8",
        "window": f"f8:{WINDOWS}",
        "mean": "f8",
        "scale": "f8",
        "wary": "f8",  # 1: since a pause no window has shown whether the level is as before
        "frozen": "f8",  # windows since the level was found far; 0 = it is not
        "far": "f8",  # the statistic of the last block
        "farthest": "f8",  # since the level is far
    }

    def __init__(self, every: int) -> None:
        """`every`: blocks in a window."""
        self.every = every

    def telling(self, memory: Memory) -> tuple[Floats, Flags] | None:
        """Once a window; of a time when the level was far its farthest, once it is over.

        Else the tail would learn a fault while it lasts.
        """
        stat = np.where(memory["farthest"] > 0.0, memory["farthest"], memory["far"])
        ended: Flags = (memory["tick"] == 0.0) & (memory["frozen"] == 0.0)
        ended &= memory["count"] >= WINDOWS_MIN
        np.copyto(memory["farthest"], 0.0, where=ended)
        return stat, ended

    def phrase(self) -> str:
        """What is unusual."""
        return "a new level"

    def measure(self, block: Block, memory: Memory) -> tuple[Floats, Floats, Flags | None]:
        """The distance of the level from the windows before, in their scales."""
        now, count = memory["now"], memory["count"]
        block.take_anew(memory)
        now += (block.mean - now) * (2.0 / (self.every + 1.0))
        ready = (count >= WINDOWS_MIN) & (memory["wary"] == 0.0)
        z = _apart(now, memory, np.maximum(block.unit * FLOOR, 1e-290))
        stat = np.where(ready, np.minimum(z, SCORE_MAX), 0.0)
        memory["far"][:] = stat
        frozen = memory["frozen"]
        np.copyto(frozen, 1.0, where=(frozen == 0.0) & (stat >= FAR))
        farthest = memory["farthest"]
        np.copyto(farthest, np.maximum(farthest, stat), where=frozen > 0.0)
        expected = np.where(ready, memory["mean"], block.level)
        memory["sum"] += block.mean
        memory["tick"] += 1.0
        some = np.flatnonzero(memory["tick"] >= self.every)
        if len(some) == len(now):
            self._window(stat, memory)
        elif len(some):
            mine = {name: column[..., some] for name, column in memory.items()}
            self._window(stat[some], mine)
            for name, column in mine.items():
                memory[name][..., some] = column
        return stat, expected, ready

    def _window(self, stat: Floats, memory: Memory) -> None:
        """Windows end: the last but one is remembered, unless the level is far."""
        mean = memory["sum"] * (1.0 / self.every)
        memory["sum"][:] = 0.0
        memory["tick"][:] = 0.0
        frozen, count, has = memory["frozen"], memory["count"], memory["has_newest"]
        was = frozen > 0.0
        over = was & (frozen > FROZEN_MAX)
        frozen[:] = np.where(was & (stat >= NEAR) & ~over, frozen + 1.0, 0.0)
        wary = memory["wary"] > 0.0
        other = (_apart(mean, memory, 1e-290) >= AS_BEFORE) | (count < COMPARED_MIN)
        np.copyto(count, 0.0, where=over | (wary & other))
        memory["wary"][:] = 0.0
        np.copyto(has, 0.0, where=was)
        push = (has > 0.0) & ~was
        self._remember(push, memory)
        np.copyto(memory["newest"], mean, where=~was)
        np.copyto(has, 1.0, where=~was)

    def _remember(self, push: Flags, memory: Memory) -> None:
        """Take the newest whole windows in where they are to be pushed, and sum all up anew."""
        count, window = memory["count"], memory["window"]
        everyone = np.arange(len(count))
        slot = (count - np.floor(count * (1.0 / WINDOWS)) * WINDOWS).astype(np.intp)
        window[slot, everyone] = np.where(push, memory["newest"], window[slot, everyone])
        count += push
        there = np.arange(float(WINDOWS))[:, None] < count
        size = np.maximum(np.minimum(count, WINDOWS), 1.0)
        middle = _sum(np.where(there, window, 0.0)) / size
        apart = np.where(there, np.minimum(np.abs(window - middle), APART_MAX), 0.0)
        np.copyto(memory["mean"], middle, where=push)
        np.copyto(memory["scale"], np.sqrt(_sum(apart * apart) / size), where=push)


def _apart(level: Floats, memory: Memory, floor: Floats | float) -> Floats:
    """How far a level is from the windows, in their scales; less while they are few."""
    count = memory["count"]
    few = np.sqrt(np.maximum(count - 1.0, 0.0) / (count + 1.0))
    far: Floats = np.abs(level - memory["mean"]) / np.maximum(memory["scale"], floor) * few
    return far


def _sum(table: Floats) -> Floats:
    """The sum of rows, by halves: its order does not depend on how many columns there are."""
    while len(table) > 1:
        half = len(table) // 2
        table = table[:half] + table[half:]
    total: Floats = table[0]
    return total
