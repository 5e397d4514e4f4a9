"""Daily: the residual to what is usual at this time of day."""

from typing import ClassVar

import numpy as np

from floorlog.core.detect.block import Block
from floorlog.core.detect.detector import SCORE_MAX, Flags, Floats, Memory
from floorlog.core.detect.rounds import Places
from floorlog.core.reading import MICROSECONDS

BINS = 24
DAYS_MIN = 3.0
"""Days on which an hour was seen, before it is usual."""
GAIN = 1.0 / 7.0
SCALE_GAIN = 1.0 / 512.0
CLIP = 4.0
DAY_S = 86_400


class Daily:
    """A level that is not usual at this hour of the day.

    Each of 24 hours (UTC) has a level, the mean of its last week or so. Scale: the usual distance
    of block means from it, over all hours. A series without a daily rhythm is no worse off: its
    hours are alike. Source: seasonal profiles, as in Holt-Winters (Winters 1960), without a trend.
    """

    name = "daily"
    memory: ClassVar[dict[str, str]] = {
        "hour": "f8",  # the one that the sum is of
        "sum": "f8",
        "blocks": "f8",
        "usual": f"f8:{BINS}",
        "days": f"f8:{BINS}",
        "scale": "f8",
        "seen": "f8",
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
        some = np.flatnonzero(turned)
        if len(some):
            self._learn(memory, some)
        memory["hour"][:] = now
        memory["sum"] += block.mean
        memory["blocks"] += 1.0
        usual, days = memory["usual"][now, everyone], memory["days"][now, everyone]
        known = days >= DAYS_MIN
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

    def _learn(self, memory: Memory, some: Places) -> None:
        """An hour has passed: its mean is taken into its level."""
        hour = memory["hour"][some].astype(np.intp)
        mean = memory["sum"][some] / memory["blocks"][some]
        days = memory["days"][hour, some]
        old = memory["usual"][hour, some]
        gain = np.maximum(GAIN, 1.0 / (days + 1.0))
        memory["usual"][hour, some] = old + gain * (mean - old)
        memory["days"][hour, some] = days + 1.0
        memory["sum"][some] = memory["blocks"][some] = 0.0
