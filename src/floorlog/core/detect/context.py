"""Context: what another series of the asset said when a reading came, and what does not count.

A set-point or an equipment's state belongs to another series. Which of its readings is in force
must not depend on batches, nor on the order within a second, which the record does not keep. So for
live readings it is the newest that arrived in an earlier second; in history, where days arrive in a
second, it is the newest with an earlier time stamp.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floorlog.core.detect.detector import NEVER, Detector, Flags, Floats, Memory, Times
from floorlog.core.detect.rounds import Places
from floorlog.core.reading import MICROSECONDS, Readings
from floorlog.core.rules import NONE, Rules

FIELDS = {
    "seen_s": "i8",  # a series that others follow: arrival of its newest usable reading
    "ts": "i8",
    "value": "f8",
    "before_ts": "i8",  # the reading before that
    "before": "f8",
    "earlier_ts": "i8",  # the newest that arrived in an earlier second
    "earlier": "f8",
    "held_ts": "i8",  # a series that follows: its last reading that was suppressed
    "accepted_us": "f8",  # when an operator last said that it is normal now, µs UTC
}


@dataclass(frozen=True, slots=True)
class Context:
    """Per reading of a batch."""

    setpoint: Floats | None  # NaN where none is known; None = no series follows one
    mode: Floats | None  # code of the equipment's state; as the set-point
    suppressed: Flags | None  # the equipment is in a state in which no finding begins; None = none
    excluded: Flags | None  # an operator said that it does not count; None = none

    def take(self, which: Places) -> "Context":
        """That of these readings."""
        return Context(
            None if self.setpoint is None else self.setpoint[which],
            None if self.mode is None else self.mode[which],
            None if self.suppressed is None else self.suppressed[which],
            None if self.excluded is None else self.excluded[which],
        )

    def frozen(self) -> Flags | None:
        """Where nothing is learned; None = nowhere."""
        found = _either(self.suppressed, self.excluded)
        return found if found is not None and found.any() else None

    def quiet(self, detector: Detector) -> Flags | None:
        """Where no finding of this detector begins; None = nowhere."""
        return _either(
            self.suppressed if detector.suppressible else None,
            self.excluded if detector.learned else None,
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What the rules ask of context, made once for each version of them."""

    followed: Flags  # by row: others follow it
    modes: Times  # row and code of what suppresses, as one sorted number each
    spans: dict[int, tuple[tuple[int, int], ...]]
    has_setpoints: bool
    has_modes: bool


def _either(one: Flags | None, two: Flags | None) -> Flags | None:
    return one if two is None else two if one is None else one | two


def prepare(rules: Rules) -> Asked | None:
    """What the rules ask; None = nothing."""
    followed = np.zeros(len(rules), np.bool_)
    for column in (rules.setpoint_row, rules.mode_row):
        followed[column[column != NONE]] = True
    if not followed.any() and not rules.excluded:
        return None
    keys = [row << 32 | code for row, codes in rules.suppressing.items() for code in codes]
    return Asked(
        followed,
        np.array(sorted(keys), np.int64),
        rules.excluded,
        bool((rules.setpoint_row != NONE).any()),
        bool((rules.mode_row != NONE).any()),
    )


def look(
    memory: Memory, readings: Readings, usable: Flags, old: Flags, rules: Rules, asked: Asked | None
) -> Context | None:
    """The context of every reading of a batch; the memory moves on.

    `memory` holds FIELDS of all rows; `usable` readings alone are followed, `old` ones are history.
    """
    if asked is None:
        return None
    row = readings.row.astype(np.intp)
    known = _Known(memory, readings, row, usable & asked.followed[row])
    setpoint = None
    if asked.has_setpoints:
        setpoint = known.at(rules.setpoint_row[row], readings, old)
    suppressed = mode = None
    if asked.has_modes:
        mode = known.at(rules.mode_row[row], readings, old)
    if len(asked.modes) and mode is not None:
        suppressed = _suppressed(memory, readings, row, usable, mode, rules, asked)
    known.remember()
    excluded = _excluded(row, readings.ts, asked) if asked.spans else None
    return Context(setpoint, mode, suppressed, excluded)


class _Known:
    """The followed series' readings of a batch, on top of what is remembered of them."""

    def __init__(self, memory: Memory, readings: Readings, row: Places, which: Flags) -> None:
        places = np.flatnonzero(which)
        order = places[np.lexsort((readings.ts[places], row[places]))]
        self.memory = memory
        self.row, self.ts = row[order], readings.ts[order]
        self.value, self.arrival_s = readings.value[order], readings.arrival_s[order]

    def at(self, other: NDArray[np.int32], readings: Readings, old: Flags) -> Floats:
        """The value in force of the row that each reading follows; NaN where none is known."""
        found = np.full(len(other), np.nan)
        for live in (True, False):
            which = np.flatnonzero((other != NONE) & (old != live))
            if len(which):
                mine = other[which].astype(np.intp)
                when = readings.arrival_s if live else readings.ts
                found[which] = self._newest(mine, when[which], live=live)
        return found

    def _newest(self, mine: Places, when: Times, *, live: bool) -> Floats:
        """The newest value of rows `mine` before `when`: an arrival second, or a time stamp."""
        theirs = self.arrival_s if live else self.ts
        rank = np.unique(np.concatenate([theirs, when]), return_inverse=True)[1].reshape(-1)
        keys = self.row.astype(np.int64) << 32 | rank[: len(theirs)]
        place = np.searchsorted(keys, mine.astype(np.int64) << 32 | rank[len(theirs) :]) - 1
        inside = place >= 0
        inside[inside] = self.row[place[inside]] == mine[inside]
        found = self._remembered(mine, when, live=live)
        found[inside] = self.value[place[inside]]
        return found

    def _remembered(self, mine: Places, when: Times, *, live: bool) -> Floats:
        memory = {name: self.memory[name][mine] for name in FIELDS}
        last = memory["ts"] != NEVER
        if live:
            second = np.where(memory["earlier_ts"] != NEVER, memory["earlier"], np.nan)
            fits = memory["seen_s"] < when
        else:
            second = np.where(memory["before_ts"] != NEVER, memory["before"], np.nan)
            fits = memory["ts"] < when
        return np.where(last, np.where(fits, memory["value"], second), np.nan)

    def remember(self) -> None:
        """Keep the newest readings of each followed series."""
        if not len(self.row):
            return
        ends = np.flatnonzero(np.append(self.row[1:] != self.row[:-1], True))
        begins = np.append(0, ends[:-1] + 1)
        row, second = self.row[ends], self.arrival_s[ends]
        kept = {name: self.memory[name][row] for name in FIELDS}
        same = self.arrival_s == np.repeat(second, ends - begins + 1)
        earlier = ends - np.add.reduceat(same.astype(np.int64), begins)
        inside = earlier >= begins
        at = np.maximum(earlier, 0)
        moved = (kept["seen_s"] != NEVER) & (kept["seen_s"] < second)
        for name, column in (("ts", self.ts), ("value", self.value)):
            old = kept["earlier_ts" if name == "ts" else "earlier"]
            outside = np.where(moved, kept[name], old)
            self._put(row, "earlier", name, np.where(inside, column[at], outside))
            before = np.where(ends > begins, column[np.maximum(ends - 1, 0)], kept[name])
            self._put(row, "before", name, before)
            self.memory[name][row] = column[ends]
        self.memory["seen_s"][row] = second

    def _put(self, row: Places, which: str, name: str, column: Times | Floats) -> None:
        self.memory[f"{which}_ts" if name == "ts" else which][row] = column


def _suppressed(
    memory: Memory, readings: Readings, row: Places, usable: Flags, mode: Floats, rules: Rules,
    asked: Asked,
) -> Flags:  # fmt: skip
    """Whether the mode in force suppresses, or did so less than the settling time before."""
    keys = row.astype(np.int64) << 32 | np.nan_to_num(mode, nan=-1.0).astype(np.int64)
    at = np.minimum(np.searchsorted(asked.modes, keys), len(asked.modes) - 1)
    now: Flags = (asked.modes[at] == keys) & (mode >= 0)
    settle_s = rules.settle_s[row]
    found = now.copy()
    follows = np.flatnonzero((settle_s > 0) & usable & (rules.mode_row[row] != NONE))
    order = follows[np.lexsort((readings.ts[follows], row[follows]))]
    if not len(order):
        return found
    who, ts = row[order], readings.ts[order]
    places = np.arange(len(order))
    first = np.append(True, who[1:] != who[:-1])
    begin = np.maximum.accumulate(np.where(first, places, 0))
    last = np.maximum.accumulate(np.where(now[order], places, -1))
    held = np.where(last >= begin, ts[np.maximum(last, 0)], memory["held_ts"][who])
    since = (ts - np.maximum(held, 0)).astype(np.float64)
    found[order] |= (held != NEVER) & (since <= settle_s[order] * MICROSECONDS)
    ends = np.append(first[1:], True)
    memory["held_ts"][who[ends]] = held[ends]
    return found


def _excluded(row: Places, ts: Times, asked: Asked) -> Flags:
    found = np.zeros(len(row), np.bool_)
    for who in set(np.unique(row).tolist()) & asked.spans.keys():
        mine = np.flatnonzero(row == who)
        for begin_us, end_us in asked.spans[who]:
            found[mine] |= (ts[mine] >= begin_us) & (ts[mine] < end_us)
    return found
