"""Blocks: every four readings of a series, which the learned detectors take as one step.

Between the ends of blocks what is learned stands still, so that readings of one block are judged
side by side. Blocks are counted per series from its first reading, so batches do not shift them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floorlog.core.detect.detector import Flags
from floorlog.core.detect.rounds import Places, Rounds

SIZE = 4
"""Readings in a block."""


@dataclass(slots=True)
class Part:
    """The readings of one round: up to the rest of one block of each series."""

    place: Places  # of each reading in the laid-out batch
    rank: Places  # whose reading, 0 … the round's size − 1
    offset: Places  # its place in its block


class Blocks:
    """The readings of a batch, block by block.

    Series are ranked by how many blocks they touch, most first; round k holds the k-th block that
    each series touches, as far as the batch has its readings.
    """

    def __init__(self, rounds: Rounds, chosen: Flags | None, phase: NDArray[np.float64]) -> None:
        """Lay blocks out.

        `chosen`: which of the laid-out readings count, None = all. `phase`: by rank of rounds,
        readings since the end of the last block.
        """
        places = np.arange(len(rounds.rank)) if chosen is None else np.flatnonzero(chosen)
        rank = rounds.rank[places]
        order = np.argsort(rank, kind="stable")  # laid out by round: each series' stay in order
        rank, places = rank[order], places[order]
        counts = np.bincount(rank, minlength=len(rounds.rows))
        nth = np.arange(len(rank)) - np.repeat(np.cumsum(counts) - counts, counts)
        begun = phase.astype(np.intp)
        step = nth + begun[rank]
        touched = np.where(counts > 0, (counts + begun + SIZE - 1) // SIZE, 0)
        self.who = np.argsort(-touched, kind="stable")  # rank of rounds, by rank here
        self.who = self.who[: int((touched > 0).sum())]
        mine = np.empty(len(touched), np.intp)
        mine[self.who] = np.arange(len(self.who))
        block = step // SIZE
        order = np.argsort(block, kind="stable")
        self.place, self.rank = places[order], mine[rank[order]]
        self.offset = step[order] - block[order] * SIZE
        ends = np.cumsum(np.bincount(block[order])) if len(order) else np.zeros(0, np.intp)
        self.ends = ends.tolist()
        more = len(touched) - np.cumsum(np.bincount(touched, minlength=len(self.ends) + 1))
        self.sizes = more[: len(self.ends)].tolist()

    def parts(self) -> list[tuple[int, Part]]:
        """Each round's size and readings."""
        found = []
        begin = 0
        for size, end in zip(self.sizes, self.ends, strict=True):
            part = slice(begin, end)
            found.append((size, Part(self.place[part], self.rank[part], self.offset[part])))
            begin = end
        return found
