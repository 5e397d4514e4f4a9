"""Arrivals: all stored readings of a batch, by series and second of arrival."""

import numpy as np

from floorlog.core.detect.cells import Cells
from floorlog.core.detect.detector import NEVER, Flags, Memory, Times
from floorlog.core.detect.rounds import Places, Rounds
from floorlog.core.detect.silence import Silence, is_old
from floorlog.core.reading import Anomaly
from floorlog.core.rules import Rules

LATEST = np.iinfo(np.int64).max


class Arrivals:
    """A batch's readings in groups: one series, one second of the arrival clock.

    Silence asks when a series was heard of, not in which order; so the groups are the same however
    the readings of a batch are sorted.
    """

    def __init__(self, row: Places, ts: Times, arrival_s: Times, fresh: Flags) -> None:
        """Group readings: columns of one length."""
        self.row, self.ts, self.arrival_s = row, ts, arrival_s
        count = len(row)
        first = np.where(fresh, ts, LATEST)
        last = np.where(fresh, ts, NEVER)
        if np.bincount(row).max() == 1:
            self.group = np.arange(count)
            self.who, self.when = row, arrival_s
        else:
            order = np.lexsort((arrival_s, row))
            rows, seconds = row[order], arrival_s[order]
            new = np.ones(count, np.bool_)
            new[1:] = (rows[1:] != rows[:-1]) | (seconds[1:] != seconds[:-1])
            begins = np.flatnonzero(new)
            self.group = np.empty(count, np.intp)
            self.group[order] = np.cumsum(new) - 1
            self.who, self.when = rows[begins], seconds[begins]
            first = np.minimum.reduceat(first[order], begins)
            last = np.maximum.reduceat(last[order], begins)
        self.first, self.last = first, last

    def feed(
        self, silence: Silence, cells: Cells, rules: Rules
    ) -> tuple[list[Anomaly], list[tuple[int, int]], Flags]:
        """Let every series be heard of, one second after the other.

        Returns silences, lapses as (row, second), and per reading whether it belongs to history.
        """
        rounds = Rounds(self.who)
        order = slice(None) if rounds.order is None else rounds.order
        who, when, first, last = (
            column[order] for column in (self.who, self.when, self.first, self.last)
        )
        interval_s = rules.interval_s[who]
        grid = cells.take(silence.name, rounds.rows)
        paced = np.empty(len(who), np.bool_)
        found: list[Anomaly] = []
        lapses: list[tuple[int, int]] = []
        memory: Memory = {}
        before = -1
        for begin, size in zip(rounds.begins, rounds.sizes, strict=True):
            part = slice(begin, begin + size)
            if size != before:
                memory = cells.sections[silence.name].views(grid[:, :size])
                before = size
            events, lapsed = silence.arrive(
                memory, who[part], when[part], first[part], last[part], interval_s[part]
            )
            found.extend(events)
            if lapsed.any():
                some = np.flatnonzero(lapsed) + begin
                lapses.extend(zip(who[some].tolist(), when[some].tolist(), strict=True))
            paced[part] = memory["paced"] > 0
        cells.put(silence.name, rounds.rows, grid)
        by_group = np.empty(len(who), np.bool_)
        by_group[order] = paced
        old = is_old(self.ts, self.arrival_s) & ~by_group[self.group]
        return found, lapses, old

    def broken(self, lapses: list[tuple[int, int]], usable: Flags) -> tuple[Flags | None, Places]:
        """First usable readings after a lapse; and rows that have none after their last one."""
        if not lapses:
            return None, np.zeros(0, np.intp)
        broken = np.zeros(len(self.row), np.bool_)
        gone = set()
        for row, second in lapses:
            after = np.flatnonzero((self.row == row) & usable & (self.arrival_s >= second))
            if len(after):
                broken[after[np.argmin(self.ts[after])]] = True
            else:
                gone.add(row)
        return broken, np.array(sorted(gone), np.intp)
