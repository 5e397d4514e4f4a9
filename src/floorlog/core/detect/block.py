"""Block: what is gathered of four readings of a series, and held against its past when they end."""

from dataclasses import dataclass

import numpy as np

from floorlog.core.detect.blocks import SIZE, Part
from floorlog.core.detect.detector import NEVER, SCORE_MAX, Flags, Floats, Memory, Sample, Times
from floorlog.core.detect.logarithm import log10
from floorlog.core.detect.rounds import Places
from floorlog.core.reading import MICROSECONDS

FIELDS = {
    "phase": "f8",  # readings of the block so far
    "total": "f8",
    "peak": "f8",  # the farthest of them from what is near, in near scales
    "spread": "f8",  # the sum of those
    "moves": "f8",  # readings that changed
    "anew": "f8",  # 1: a pause lies in the block
    "seen": "f8",  # 1: the series has been seen
    "least": "f8",  # the smallest change in it
    "spiked": "f8",  # 1: a finding began inside it
    "step": "f8",  # the smallest change ever
    "near": "f8",  # the level that single readings are held against
    "near_scale": "f8",  # their mean distance from it
    "blocks": "f8",  # ended so far
    "ended_us": "i8",  # last reading of the last block
    "pace_s": "f8",  # usual length of a block
    "day": "f8",  # log10 of blocks a day
    "level": "f8",  # the slow level
    "square": "f8",  # mean square distance from it
}
SUMS = ("phase", "total", "peak", "spread", "moves", "anew", "least", "spiked")
"""What begins at 0 with each block."""
DAY_S = 86_400.0
LEVEL_GAIN = 1.0 / 256.0
LEVEL_CLIP = 4.0
SETTLE = 12.0  # blocks before residuals are clipped
NEAR_GAIN = 1.0 / 8.0
NEAR_SCALE_GAIN = 1.0 / 64.0
NEAR_CLIP = 3.0
PACE_GAIN = 1.0 / 64.0
PACE_EVERY = 64.0  # blocks after which log10 of it is taken anew


@dataclass(slots=True)
class Block:
    """Blocks that ended, of distinct series, as columns."""

    mean: Floats
    z: Floats  # the mean as distance from the slow level, in slow scales
    unit: Floats  # one slow scale
    level: Floats  # the slow level
    peak: Floats  # the farthest single reading from what was near, in near scales
    near: Floats  # what was near
    ts: Times  # µs UTC of the last reading
    elapsed_s: Floats  # since the block before; 0 after a pause
    anew: Flags  # came after a pause
    gate: Floats  # how fast to learn: 1 as usual, less inside a finding
    state: Floats | None = None  # code of the equipment's state at its end; −1 = none is known

    def take_anew(self, memory: Memory) -> None:
        """After a pause a level is taken as it is, until a window shows whether it is another.

        `memory` is that of a statistic over windows: shift, drift.
        """
        if self.anew.any():
            np.copyto(memory["now"], self.mean, where=self.anew)
            for name in ("sum", "tick", "has_newest", "frozen", "farthest"):
                np.copyto(memory[name], 0.0, where=self.anew)
            np.copyto(memory["wary"], 1.0, where=self.anew)


def add(sample: Sample, part: Part, memory: Memory) -> Floats:
    """Take a round's readings into their blocks; how far each is from what is near, in scales."""
    size = len(memory["phase"])
    rank, place = part.rank, part.place
    flat = rank * SIZE + part.offset
    unseen = memory["seen"] == 0.0
    np.copyto(memory["anew"], 1.0, where=unseen)
    if unseen.any():
        np.copyto(memory["near"], sample.value[place][_first(part, size)], where=unseen)
        memory["seen"][:] = 1.0
    paused = _grid(size, flat, sample.paused[place])
    paused[0] |= memory["anew"] > 0.0
    for column in range(1, SIZE):
        paused[column] |= paused[column - 1]
    np.copyto(memory["anew"], 1.0, where=paused[-1])
    change = _grid(size, flat, sample.change[place])
    value = sample.value[place]
    far = np.abs(value - memory["near"][rank])
    far /= near_scale(memory)[rank]
    far = np.where(paused.T.ravel()[flat], 0.0, np.minimum(far, SCORE_MAX))
    values, distance = _grid(size, flat, value), _grid(size, flat, far)
    total, spread, peak, least = (memory[n] for n in ("total", "spread", "peak", "least"))
    for column in range(SIZE):
        total += values[column]
        spread += distance[column]
        np.maximum(peak, distance[column], out=peak)
        moved = change[column] > 0.0
        memory["moves"] += moved
        smaller = np.where(least > 0.0, np.minimum(least, change[column]), change[column])
        np.copyto(least, smaller, where=moved)
    memory["phase"] += np.bincount(rank, minlength=size)
    return far


def near_scale(memory: Memory) -> Floats:
    """The usual distance of readings from what is near, floored by what can be told apart."""
    floor = np.maximum(memory["step"] * 0.5, np.abs(memory["near"]) * 1e-9)
    return np.maximum(np.maximum(memory["near_scale"], floor), 1e-290)


def settle(
    memory: Memory, ts: Times, anew: Flags, gate: Floats, mode: Floats | None = None
) -> Block:
    """End blocks: learn level, scale and pace of them, and lay them out for the views.

    `mode`: code of the equipment's state at their end, NaN = unknown; None = of no series.
    """
    blocks = memory["blocks"]
    mean = memory["total"] * (1.0 / SIZE)
    peak, near = memory["peak"].copy(), memory["near"].copy()
    known = (memory["ended_us"] != NEVER) & ~anew
    elapsed_s = np.where(known, ts - memory["ended_us"], 0) * (1.0 / MICROSECONDS)
    memory["ended_us"][:] = ts
    _near(memory, mean, anew, gate)
    _narrow(memory)
    level, square = memory["level"], memory["square"]
    np.copyto(level, mean, where=blocks == 0.0)
    residual = mean - level
    bound = np.where(blocks >= SETTLE, np.sqrt(square) * LEVEL_CLIP, SCORE_MAX * 1e200)
    residual = np.maximum(np.minimum(residual, bound), -bound)
    gain = np.maximum(LEVEL_GAIN, 1.0 / (blocks + 1.0)) * gate
    gain *= memory["moves"] > 0.0  # what stays the same says nothing of how much is usual
    level += gain * residual
    square += gain * (np.minimum(residual * residual, 1e300) - square)
    floor = np.maximum(memory["step"] * 0.25, np.abs(level) * 1e-6)
    unit = np.maximum(np.maximum(np.sqrt(square), floor), 1e-290)
    _pace(memory, elapsed_s)
    blocks += 1.0
    z = np.maximum(np.minimum((mean - level) / unit, 1e6), -1e6)
    state = None if mode is None else np.where(mode >= 0.0, mode, -1.0)
    return Block(mean, z, unit, level.copy(), peak, near, ts, elapsed_s, anew, gate, state)


def clear(memory: Memory) -> None:
    """Begin the next blocks."""
    for name in SUMS:
        memory[name][:] = 0.0


def _near(memory: Memory, mean: Floats, anew: Flags, gate: Floats) -> None:
    near, scale = memory["near"], memory["near_scale"]
    bound = near_scale(memory)
    spread = memory["spread"] * bound * (1.0 / SIZE)
    bound = np.where(memory["blocks"] >= SETTLE, bound * NEAR_CLIP, SCORE_MAX * 1e200)
    move = np.maximum(np.minimum(mean - near, bound), -bound)
    near += move * (np.where(memory["blocks"] >= SETTLE, NEAR_GAIN, 0.5) * gate)
    np.copyto(near, mean, where=anew)
    gain = np.maximum(NEAR_SCALE_GAIN, 1.0 / (memory["blocks"] + 1.0)) * gate
    gain *= (memory["moves"] > 0.0) & ~anew
    scale += gain * (np.minimum(spread, bound) - scale)


def _pace(memory: Memory, elapsed_s: Floats) -> None:
    pace, blocks = memory["pace_s"], memory["blocks"]
    gain = np.maximum(PACE_GAIN, 1.0 / np.maximum(blocks, 1.0))
    pace += gain * (elapsed_s > 0.0) * (elapsed_s - pace)
    due = (blocks - np.floor(blocks * (1.0 / PACE_EVERY)) * PACE_EVERY == 0.0) | (blocks < 4.0)
    some = np.flatnonzero(due & (pace > 0.0))
    if len(some):
        memory["day"][some] = log10(DAY_S / np.minimum(np.maximum(pace[some], 1e-3), DAY_S))


def _narrow(memory: Memory) -> None:
    """The smallest change ever; it may grow again, by a hundredth of a percent a block."""
    step, least = memory["step"], memory["least"]
    smaller = np.where(step > 0.0, np.minimum(step * 1.0001, least), least)
    np.copyto(step, smaller, where=least > 0.0)


def _grid(size: int, flat: Places, column: Floats | Flags) -> Floats:
    """One column for each place in a block, 0 where it has no reading: shape (4, size)."""
    cells = np.zeros(size * SIZE, column.dtype)
    cells[flat] = column
    return np.ascontiguousarray(cells.reshape(size, SIZE).T)


def _first(part: Part, size: int) -> Places:
    """Where in a round the first reading of each series is."""
    first = np.empty(size, np.intp)
    first[part.rank[::-1]] = np.arange(len(part.rank))[::-1]
    return first
