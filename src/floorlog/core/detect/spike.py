"""Spike: a single reading far from those just before."""

from typing import ClassVar

from floorlog.core.detect.block import Block
from floorlog.core.detect.detector import Flags, Floats, Memory


class Spike:
    """A single reading far from its series' recent level, in its usual distance from it.

    Level and scale are exponentially weighted means over blocks, of clipped residuals. It alone
    judges each reading as it comes; its tail is learned from the farthest of each block.
    Source: Holt (1957); Huber's psi (1964).
    """

    name = "spike"
    memory: ClassVar[dict[str, str]] = {}
    floor = (2.5, 0.42)
    trusted = 1.0
    lasting = False

    def measure(self, block: Block, memory: Memory) -> tuple[Floats, Floats, Flags | None]:  # noqa: ARG002 - the block knows all
        """The farthest reading of the block."""
        return block.peak, block.near, None

    def telling(self, memory: Memory) -> tuple[Floats, Flags] | None:  # noqa: ARG002 - what is new
        """What the tail may learn, and where: what is new."""
        return None

    def phrase(self) -> str:
        """What is unusual."""
        return "a reading far from those before"
