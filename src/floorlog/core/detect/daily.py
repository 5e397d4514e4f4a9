"""Daily: the residual to what is usual at this time of day, in this state of the equipment."""

from typing import ClassVar

import numpy as np

from floorlog.core.detect.block import Block
from floorlog.core.detect.detector import SCORE_MAX, Flags, Floats, Memory
from floorlog.core.detect.rounds import Places
from floorlog.core.reading import MICROSECONDS

BINS = 24
STATES = 4
"""States of the equipment that are told apart: the last one is all that are not the first ones."""
DAYS_MIN = 3.0
"""Days on which an hour was seen, before it is usual."""
GAIN = 1.0 / 7.0
SCALE_GAIN = 1.0 / 512.0
CLIP = 4.0
DAY_S = 86_400
STAY_S = 900.0
"""So long in a state, within an hour, counts as a day of it; a shorter stay in part."""


class Daily:
    """A level that is not usual at this hour of the day, in this state of the equipment.

    Each of 24 hours (UTC) has a level, the mean of its last week or so. Where the catalogue names
    the series that holds the equipment's state, each of the first three that it was in, and all
    others together, has 24 of its own; a block in which the state changes is not judged. Scale: the
    usual distance of block means from it, over all hours. A series without a daily rhythm is no
    worse off: its hours are alike. Source: seasonal profiles, as in Holt-Winters (Winters 1960),
    without a trend.
    """

    name = "daily"
    memory: ClassVar[dict[str, str]] = {
        "hour": "f8",  # the one that the sum is of
        "sum": "f8",
        "blocks": "f8",
        "usual": f"f8:{BINS}",  # in the first state, or where none is known
        "days": f"f8:{BINS}",
        "scale": "f8",
        "seen": "f8",
    }
    by_state: ClassVar[dict[str, str]] = {
        "known": f"f8:{STATES - 1}",  # codes of the first states + 1; 0 = not seen yet
        "state": "f8",  # slot of the state that the sum is of
        "stay_s": "f8",  # how long the sum is
        "usual_in": f"f8:{(STATES - 1) * BINS}",  # in the other states
        "days_in": f"f8:{(STATES - 1) * BINS}",
    }
    floor = (2.5, 0.6)
    trusted = 1.0
    lasting = False

    def telling(self, memory: Memory) -> tuple[Floats, Flags] | None:  # noqa: ARG002 - what is new
        """What the tail may learn, and where: what is new."""
        return None

    def phrase(self) -> str:
        """What is unusual."""
        return "not usual at this hour"

    def measure(self, block: Block, memory: Memory) -> tuple[Floats, Floats, Flags | None]:
        """The distance of the block's mean from its hour's level, in usual distances."""
        everyone = np.arange(len(block.mean))
        now = block.ts // MICROSECONDS % DAY_S * BINS // DAY_S
        turned = (now != memory["hour"]) & (memory["blocks"] > 0.0)
        same = np.ones(len(now), np.bool_)
        state = None
        if block.state is not None:
            state = _slot(block.state, memory["known"])
            same = state == memory["state"]
            turned |= ~same & (memory["blocks"] > 0.0)
        some = np.flatnonzero(turned)
        if len(some):
            self._learn(memory, some, block.state)
        memory["hour"][:] = now
        memory["sum"] += block.mean
        memory["blocks"] += 1.0
        if block.state is not None and state is not None:
            memory["state"][:] = state
            memory["stay_s"] += block.elapsed_s * (same & (block.state >= 0.0))
        usual = _pick(memory, "usual", state, now, everyone)
        days = _pick(memory, "days", state, now, everyone)
        known = (days >= DAYS_MIN) & same
        residual = np.abs(block.mean - usual)
        scale = np.maximum(memory["scale"], np.maximum(block.unit * 0.05, 1e-290))
        seen = memory["seen"]
        gain = np.maximum(SCALE_GAIN, 1.0 / (seen + 1.0)) * known * block.gate
        bound = np.where(seen >= 32.0, scale * CLIP, SCORE_MAX * 1e200)
        memory["scale"] += gain * (np.minimum(residual, bound) - memory["scale"])
        seen += known
        ready = known & (seen >= 32.0)
        stat = np.where(ready, np.minimum(residual / scale, SCORE_MAX), 0.0)
        return stat, usual, ready

    def _learn(self, memory: Memory, some: Places, states: Floats | None) -> None:
        """An hour, or a stay in a state, has passed: its mean is taken into its level."""
        hour = memory["hour"][some].astype(np.intp)
        mean = memory["sum"][some] / memory["blocks"][some]
        state = None if states is None else memory["state"][some]
        part: Floats | float = 1.0
        if states is not None:
            stay = np.minimum(memory["stay_s"][some] * (1.0 / STAY_S), 1.0)
            part = np.where(states[some] >= 0.0, stay, 1.0)
            memory["stay_s"][some] = 0.0
        days = _pick(memory, "days", state, hour, some)
        old = _pick(memory, "usual", state, hour, some)
        gain = np.maximum(GAIN, 1.0 / (days + 1.0)) * part
        _keep(memory, "usual", state, hour, some, old + gain * (mean - old))
        _keep(memory, "days", state, hour, some, days + part)
        memory["sum"][some] = memory["blocks"][some] = 0.0


def _slot(codes: Floats, known: Floats) -> Floats:
    """Where what is usual in a state is kept: codes number the names of the whole record.

    Args:
        codes: of the states, by series; −1 = none is known, which counts as the first.
        known: the field of this name; takes in states at first sight.
    """
    slot = np.where(codes < 0.0, 0.0, STATES - 1.0)
    rest = codes >= 0.0
    for place, kept in enumerate(known):
        np.copyto(kept, codes + 1.0, where=rest & (kept == 0.0))
        same = rest & (kept == codes + 1.0)
        slot = np.where(same, float(place), slot)
        rest &= ~same
    return slot


def _pick(
    memory: Memory, name: str, state: Floats | None, hour: Places, which: Places
) -> Floats:  # fmt: skip
    """What is kept of an hour in a state, by series."""
    first: Floats = memory[name][hour, which]
    if state is None:
        return first
    other = np.maximum(state - 1.0, 0.0).astype(np.intp) * BINS + hour
    return np.where(state > 0.0, memory[f"{name}_in"][other, which], first)


def _keep(
    memory: Memory, name: str, state: Floats | None, hour: Places, which: Places, value: Floats
) -> None:
    if state is None:
        memory[name][hour, which] = value
        return
    first, other = np.flatnonzero(state <= 0.0), np.flatnonzero(state > 0.0)
    memory[name][hour[first], which[first]] = value[first]
    place = (state[other] - 1.0).astype(np.intp) * BINS + hour[other]
    memory[f"{name}_in"][place, which[other]] = value[other]
