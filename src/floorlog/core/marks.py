"""High-water marks: which readings are new, which came before, which contradict."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from floorlog.core.reading import Readings

NONE = np.iinfo(np.int64).min
"""The mark of a series without readings: below every time stamp."""

Held = dict[tuple[int, int], list[tuple[float, int]]]
"""What the record holds: (row, ts) → values with their qualities, the first one first."""


class Fate(IntEnum):
    """What becomes of a valid reading."""

    NEW = 0
    DUPLICATE = 1
    CONFLICT = 2


@dataclass(slots=True)
class Marks:
    """Per row the newest time stamp in the record, with every value held at it.

    `known` is False where the record has not told yet; such a row is always looked up.
    """

    ts: NDArray[np.int64] = field(default_factory=lambda: np.full(16, NONE, np.int64))
    value: NDArray[np.float64] = field(default_factory=lambda: np.zeros(16))
    quality: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(16, np.uint32))
    known: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(16, np.bool_))
    others: dict[int, list[tuple[float, int]]] = field(default_factory=dict)

    def grow(self, rows: int) -> None:
        """Make room for this many rows."""
        have = len(self.ts)
        if rows <= have:
            return
        more = max(rows, 2 * have) - have
        self.ts = np.concatenate([self.ts, np.full(more, NONE, np.int64)])
        self.value = np.concatenate([self.value, np.zeros(more)])
        self.quality = np.concatenate([self.quality, np.zeros(more, np.uint32)])
        self.known = np.concatenate([self.known, np.zeros(more, np.bool_)])

    def at(self, row: int) -> list[tuple[float, int]]:
        """Every value with quality held at the row's mark, the first one first."""
        if self.ts[row] == NONE:
            return []
        first = (float(self.value[row]), int(self.quality[row]))
        return [first, *self.others.get(row, [])]

    def raise_to(self, row: int, ts: int, held: Iterable[tuple[float, int]]) -> None:
        """Add what the record holds at `ts`; below the mark it changes nothing."""
        values = list(held)
        if not values or ts < self.ts[row]:
            return
        if ts == self.ts[row]:
            have = self.at(row)
            more = [value for value in values if value not in have]
            if more:
                self.others.setdefault(row, []).extend(more)
            return
        self.ts[row] = ts
        self.value[row], self.quality[row] = values[0]
        self.others.pop(row, None)
        if len(values) > 1:
            self.others[row] = values[1:]


def unsure(readings: Readings, mine: NDArray[np.bool_], marks: Marks) -> NDArray[np.bool_]:
    """Which readings only the record can tell about: foreign, unknown, or below the mark."""
    return ~mine | ~marks.known[readings.row] | (readings.ts < marks.ts[readings.row])


def sift(
    readings: Readings, mine: NDArray[np.bool_], marks: Marks, held: Held | None
) -> NDArray[np.int8]:
    """The fate of each reading, given in order of arrival.

    `mine`: the series' home is this shard, so that its mark counts. `held`: the record's answer
    for the readings that `unsure` named. The same bits with the same quality at the same time are
    a duplicate; anything else at that time is a conflict, and the first stands.
    """
    count = len(readings)
    fate = np.zeros(count, np.int8)
    if not count:
        return fate
    order = np.lexsort((readings.ts, readings.row))
    row, ts = readings.row[order], readings.ts[order]
    repeats = np.zeros(count, np.bool_)
    repeats[1:] = (row[1:] == row[:-1]) & (ts[1:] == ts[:-1])
    above = mine[order] & marks.known[row] & (ts > marks.ts[row])
    hard = ~above | repeats
    hard[:-1] |= repeats[1:]
    if not hard.any():
        return fate
    present: list[tuple[float, int]] = []
    last = (-1, 0)
    for place in order[hard].tolist():
        key = (int(readings.row[place]), int(readings.ts[place]))
        if key != last:
            present = _present(key, bool(mine[place]), marks, held)
            last = key
        value = (float(readings.value[place]), int(readings.quality[place]))
        if value in present:
            fate[place] = Fate.DUPLICATE
        elif present:
            fate[place] = Fate.CONFLICT
            present.append(value)
        else:
            present.append(value)
    return fate


def _present(
    key: tuple[int, int], mine: bool, marks: Marks, held: Held | None
) -> list[tuple[float, int]]:
    row, ts = key
    present = list(held.get(key, ())) if held else []
    if mine and ts == marks.ts[row]:
        present.extend(value for value in marks.at(row) if value not in present)
    return present


def advance(marks: Marks, stored: Readings, conflict: NDArray[np.bool_]) -> None:
    """Raise the marks of the rows by readings just stored, sorted by (row, ts, arrival)."""
    if not len(stored):
        return
    row, ts = stored.row, stored.ts
    newest = np.empty(len(stored), np.bool_)
    newest[-1] = True
    newest[:-1] = row[1:] != row[:-1]
    plain = newest & ~conflict & (ts > marks.ts[row])
    where = row[plain]
    marks.ts[where] = ts[plain]
    marks.value[where] = stored.value[plain]
    marks.quality[where] = stored.quality[plain]
    if marks.others:
        for cleared in marks.others.keys() & set(where.tolist()):
            del marks.others[cleared]
    for place in np.flatnonzero(conflict).tolist():
        at, when = int(row[place]), int(ts[place])
        group = np.flatnonzero((row == at) & (ts == when))
        values = zip(stored.value[group].tolist(), stored.quality[group].tolist(), strict=True)
        marks.raise_to(at, when, values)


def late(readings: Readings, skip: NDArray[np.bool_], fed: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which readings are not above all that their shard was fed before, in order of arrival.

    `skip`: readings that are not fed (conflicts). `fed`: per row the highest ts fed so far.
    """
    order = np.argsort(readings.row, kind="stable")
    row, ts, passed = readings.row[order], readings.ts[order], skip[order]
    begins = np.ones(len(row), np.bool_)
    begins[1:] = row[1:] != row[:-1]
    before = np.empty_like(ts)
    before[1:] = ts[:-1]
    before[begins] = fed[row[begins]]
    behind = ts <= before
    if not passed.any() and not behind.any():
        return np.zeros(len(row), np.bool_)
    found = np.empty(len(row), np.bool_)
    top = NONE
    for place, (start, at, when, not_fed) in enumerate(
        zip(begins.tolist(), row.tolist(), ts.tolist(), passed.tolist(), strict=True)
    ):
        if start:
            top = int(fed[at])
        found[place] = when <= top
        if not not_fed and when > top:
            top = when
    result = np.empty(len(row), np.bool_)
    result[order] = found
    return result
