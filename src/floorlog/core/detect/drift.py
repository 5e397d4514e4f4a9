"""Drift: a level that has wandered out of where it has been, and goes on."""

from typing import ClassVar

import numpy as np

from floorlog.core.detect.block import Block
from floorlog.core.detect.detector import SCORE_MAX, Flags, Floats, Memory

EPOCH = 32.0
"""Windows whose lowest and highest are kept together …"""
EPOCHS = 4
"""… and so many of these: the band is of the last 96 to 128 windows."""
WINDOWS_MIN = 64.0
FROZEN_MAX = 64.0  # windows of a level outside: then it is a new normal, and learned afresh
COMPARED_MIN = 8.0  # windows, before a pause, that one after it can be held against
UNIT = 0.25
"""A unit is this part of the band's width …"""
FLOOR = 0.02
"""… and at least this part of the slow scale."""
EXCESS_MAX = 8.0
"""So many units at most are added in a window: one wild window is no drift."""
STILL = 2.0  # from this sum on the band stands still …
MOVING = 0.5  # … until it is back to here
MEAN_GAIN = 1.0 / 64.0
NOTHING = 1e-6
"""Stands in for a sum of 0, of which a tail learns nothing."""


class Drift:
    """A cumulative sum of how far the level lies outside the band of a hundred windows before.

    Windows of 96 readings. The band, from the lowest to the highest of the last 96 to 128 windows,
    is what the level may do: cycles that are shorter stay in it. What lies above it, or below it,
    in quarters of its width, is added up for as long as it lasts; inside at most one quarter a
    window is taken off again. From a sum of two on the band stands still, so that a slow drift does
    not take it along; after 64 windows it is a new normal. Source: CUSUM (Page, Biometrika
    1954), whose allowance is the band.
    """

    name = "drift"
    floor = (1.0, 0.8)
    trusted = 64.0
    lasting = True
    memory: ClassVar[dict[str, str]] = {
        "now": "f8",  # weighted mean of the newest blocks, as sharp as a window
        "sum": "f8",
        "tick": "f8",
        "newest": "f8",  # the last whole window, not yet remembered
        "has_newest": "f8",
        "count": "f8",
        "epoch": "f8",  # windows in the newest epoch
        "low": f"f8:{EPOCHS}",  # the newest epoch first
        "high": f"f8:{EPOCHS}",
        "mean": "f8",
        "above": "f8",  # the sums, in units times windows
        "below": "f8",
        "wary": "f8",  # 1: since a pause no window has shown whether the level is as before
        "frozen": "f8",  # windows since the band stands still; 0 = it does not
        "far": "f8",  # the statistic of the last block
        "farthest": "f8",  # since the band stands still
    }

    def __init__(self, every: int) -> None:
        """`every`: blocks in a window."""
        self.every = every

    def telling(self, memory: Memory) -> tuple[Floats, Flags] | None:
        """Once a window; of a time outside the band its highest sum, once it is over."""
        stat = np.where(memory["farthest"] > 0.0, memory["farthest"], memory["far"])
        ended: Flags = (memory["tick"] == 0.0) & (memory["frozen"] == 0.0)
        ended &= memory["count"] >= WINDOWS_MIN
        np.copyto(memory["farthest"], 0.0, where=ended)
        return np.maximum(stat, NOTHING), ended

    def phrase(self) -> str:
        """What is unusual."""
        return "a level that has wandered away"

    def measure(self, block: Block, memory: Memory) -> tuple[Floats, Floats, Flags | None]:
        """The higher of both sums."""
        now = memory["now"]
        block.take_anew(memory)
        now += (block.mean - now) * (2.0 / (self.every + 1.0))
        ready = (memory["count"] >= WINDOWS_MIN) & (memory["wary"] == 0.0)
        stat = self._add(block, memory, ready)
        memory["far"][:] = stat
        frozen, farthest = memory["frozen"], memory["farthest"]
        np.copyto(frozen, 1.0, where=(frozen == 0.0) & (stat >= STILL))
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

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _add(self, block: Block, memory: Memory, ready: Flags) -> Floats:
        """Add what lies outside the band to the sums."""
        low, high = memory["low"].min(axis=0), memory["high"].max(axis=0)
        unit = np.maximum(np.maximum((high - low) * UNIT, block.unit * FLOOR), 1e-290)
        stat = np.zeros(len(ready))
        now = memory["now"]
        for name, beyond in (("above", now - high), ("below", low - now)):
            total = memory[name]
            step = np.maximum(np.minimum(beyond / unit, EXCESS_MAX), -1.0) * (1.0 / self.every)
            total[:] = np.where(ready, np.minimum(np.maximum(total + step, 0.0), SCORE_MAX), 0.0)
            np.maximum(stat, total, out=stat)
        return stat

    def _window(self, stat: Floats, memory: Memory) -> None:
        """Windows end: the last but one widens the band, unless the band stands still."""
        mean = memory["sum"] * (1.0 / self.every)
        memory["sum"][:] = 0.0
        memory["tick"][:] = 0.0
        frozen, count, has = memory["frozen"], memory["count"], memory["has_newest"]
        was = frozen > 0.0
        over = was & (frozen > FROZEN_MAX)
        frozen[:] = np.where(was & (stat >= MOVING) & ~over, frozen + 1.0, 0.0)
        low, high = memory["low"].min(axis=0), memory["high"].max(axis=0)
        beyond = np.maximum(mean - high, low - mean)
        other = (beyond > (high - low) * UNIT) | (count < COMPARED_MIN)
        np.copyto(count, 0.0, where=over | ((memory["wary"] > 0.0) & other))
        memory["wary"][:] = 0.0
        np.copyto(has, 0.0, where=was)
        self._widen((has > 0.0) & ~was, memory)
        np.copyto(memory["newest"], mean, where=~was)
        np.copyto(has, 1.0, where=~was)

    def _widen(self, push: Flags, memory: Memory) -> None:
        """Take the newest whole windows into the band where they are to be pushed."""
        newest, count, epoch = memory["newest"], memory["count"], memory["epoch"]
        first = push & (count == 0.0)
        turn = push & ~first & (epoch >= EPOCH)
        for name, widest in (("low", np.minimum), ("high", np.maximum)):
            kept = memory[name]
            np.copyto(kept, newest, where=first)
            for place in range(EPOCHS - 1, 0, -1):
                np.copyto(kept[place], kept[place - 1], where=turn)
            np.copyto(kept[0], np.where(turn, newest, widest(kept[0], newest)), where=push)
        np.copyto(epoch, np.where(first | turn, 1.0, epoch + 1.0), where=push)
        gain = np.maximum(MEAN_GAIN, 1.0 / (count + 1.0))
        np.copyto(memory["mean"], memory["mean"] + gain * (newest - memory["mean"]), where=push)
        count += push
