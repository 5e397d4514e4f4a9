"""Readings laid out so that the k-th new ones of all series stand side by side."""

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.intp]


class Rounds:
    """The order in which readings of many series are judged.

    Series are ranked by how many readings they have, most first. Round k holds the k-th reading
    of each series that has one: the series of ranks 0 … sizes[k] − 1, in this order.
    """

    __slots__ = ("begins", "order", "rank", "rows", "sizes")

    order: Places | None  # place of each laid-out reading in the input; None = as it was
    rows: Places  # row by rank
    rank: Places  # of each laid-out reading
    sizes: list[int]
    begins: list[int]  # where each round begins

    def __init__(self, row: Places) -> None:
        """Lay out readings of these rows, each series' in the order given."""
        count = len(row)
        per_row = np.bincount(row)
        if count == 0 or per_row.max() == 1:
            self.order, self.rows, self.rank = None, row, np.arange(count)
            self.sizes, self.begins = [count] if count else [], [0] if count else []
            return
        # Few rows fit in 16 bits, which NumPy sorts by radix: several times faster.
        by_row = np.argsort(row.astype(np.uint16) if len(per_row) < 65536 else row, kind="stable")
        present = np.flatnonzero(per_row)
        counts = per_row[present]
        ranked = np.argsort(-counts, kind="stable")
        rank_of = np.empty(len(ranked), np.intp)
        rank_of[ranked] = np.arange(len(ranked))
        nth = np.arange(count) - np.repeat(np.cumsum(counts) - counts, counts)
        sizes = np.bincount(nth)
        begins = np.cumsum(sizes) - sizes
        rank = np.repeat(rank_of, counts)
        place = begins[nth] + rank
        self.order = np.empty(count, np.intp)
        self.order[place] = by_row
        self.rank = np.empty(count, np.intp)
        self.rank[place] = rank
        self.rows = present[ranked]
        self.sizes, self.begins = sizes.tolist(), begins.tolist()

    def before(self) -> Places:
        """For each laid-out reading after the first round: the place of its series' one before."""
        first = self.sizes[0]
        sizes = np.array(self.sizes)
        places: Places = np.arange(first, len(self.rank)) - np.repeat(sizes[:-1], sizes[1:])
        return places

    def last(self) -> Places:
        """The place of each series' last reading, by rank."""
        last = np.empty(len(self.rows), np.intp)
        last[self.rank] = np.arange(len(self.rank))
        return last
