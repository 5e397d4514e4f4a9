"""Asset shift: sensors of one asset whose levels move away from before, taken together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floorlog.core.detect.acceptance import REASON
from floorlog.core.detect.detector import NEVER, Floats, Memory, Times, number, span
from floorlog.core.detect.rounds import Places
from floorlog.core.reading import MICROSECONDS, Anomaly
from floorlog.core.rules import NONE

FIELDS = {
    "far": "f8",  # the series' distance from its windows of before, in their scales
    "now": "f8",
    "usual": "f8",
    "ts": "i8",  # µs UTC of the reading that said so
    "seen_s": "i8",  # its arrival
    "waits": "f8",  # 1: not yet looked at with the others of its asset
    "start": "i8",  # of the asset's finding, where this series led when it began
    "calm": "i8",  # since when it is calm again
    "peak": "f8",
    "expected": "f8",
}
MEMBERS_MIN = 3
"""An asset of fewer number series is judged by series alone; what is open there still ends."""
TOP = ((1, 5.5), (2, 4.5))
"""So many sensors, this far on average: a finding begins."""
STAY = 2.5
"""It goes on while any sensor is this far: until windows are taken in again."""
OFF_DELAY_S = 40.0
AGE_S_MAX = 3600
"""What a series said longer ago does not count."""
LAPSED = "no more readings of the asset: how it went on is not known"
NO_ASSET = "its asset is not judged as a whole any more"
ELSEWHERE = "its sensor came to an asset in which another one led before"


@dataclass(frozen=True, slots=True)
class Members:
    """Who belongs to which asset, as columns by row."""

    asset: NDArray[np.int32]  # number of the asset, NONE = of none
    series: NDArray[np.int32]  # id in the record: the same in every process, as rows are not

    @classmethod
    def of(cls, asset: NDArray[np.int32], series: NDArray[np.int32], count: int) -> "Members":
        """Of the first `count` rows; those that the columns do not reach belong to none."""
        more = np.full(max(0, count - len(asset)), NONE, np.int32)
        return cls(np.append(asset[:count], more), np.append(series[:count], more))

    def beside(self, row: int) -> Places:
        """The rows of the same asset, the row included."""
        return np.flatnonzero(self.asset == self.asset[row])


@dataclass(slots=True)
class Levels:
    """Blocks that ended in a batch, as columns: where levels are."""

    row: Places
    ts: Times
    arrival_s: Times
    far: Floats
    now: Floats
    usual: Floats


class AssetShift:
    """The levels of an asset's sensors leave those of before: one far, or two quite far.

    Each sensor's distance is that of the detector unusual's part shift: the newest 16 readings
    against 64 windows before, in the windows' scales. The asset is judged as each arrival second
    has passed, by the newest distance of each of its sensors: the farthest by 5.5 scales, or the
    two farthest by 4.5 on average. One finding names the sensor that led, and goes on until all
    are within 2.5 scales for 40 s, or nothing was heard of the asset for an hour, or an operator
    said that what the sensor does is normal. In history, where hours arrive in a second, only the
    state at the end of each arrival second is seen. Score: the farthest distance.
    Source: two-window change detection (Kifer, Ben-David and Gehrke, VLDB 2004), top-k over an
    asset's sensors.
    """

    name = "asset_shift"
    version = 1
    severity = 1

    def follow(
        self,
        memory: Memory,
        levels: Levels,
        members: Members,
        clock_s: int,
        accepted: Mapping[int, Iterable[int]] | None = None,
    ) -> list[Anomaly]:
        """Take a batch's levels in, second by second, and judge each second that has passed.

        `accepted`: by arrival second, rows whose reading then is the first since an operator said
        that they are normal.
        """
        found: list[Anomaly] = []
        accepted = accepted or {}
        order = np.lexsort((levels.ts, levels.row, levels.arrival_s))
        seconds = levels.arrival_s[order]
        cuts = np.flatnonzero(np.diff(seconds)) + 1
        split = np.split(order, cuts) if len(order) else []
        parts = {int(levels.arrival_s[part[0]]): part for part in split}
        for second in sorted({*parts, *accepted}):
            found.extend(self._close(memory, members, second))
            found.extend(self._forget(memory, accepted.get(second, ()), second))
            part = parts.get(second, order[:0])
            row = levels.row[part]
            for name in ("far", "now", "usual", "ts"):
                memory[name][row] = getattr(levels, name)[part]
            memory["seen_s"][row] = levels.arrival_s[part]
            memory["waits"][row] = 1.0
        found.extend(self._close(memory, members, clock_s))
        return found

    def deadline_s(self, memory: Memory, members: Members, clock_s: int) -> int | None:
        """The next clock second at which an asset's silence ends its finding; None for never."""
        due = [self._known_s(memory, members, row) + 1 for row in _open(memory)]
        return min((second for second in due if second > clock_s), default=None)

    def reason(self, now: float, usual: float, others: int) -> str:
        """The sensor that led, and how many moved with it."""
        text = f"its level moved from about {number(usual)} to {number(now)}"
        return f"{text}, and {others} more of the asset moved with it" if others else text

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _close(self, memory: Memory, members: Members, second: int) -> list[Anomaly]:
        """Judge what was said before this second and not looked at since; let silent ones end."""
        found = self._looked_at(memory, members, second)
        for row in _open(memory):
            known_s = self._known_s(memory, members, row)
            if members.asset[row] < 0:  # at its last word: which batch shows it plays no part
                at = max(int(memory["ts"][row]), int(memory["start"][row]))
                found.append(self._end(memory, row, at, NO_ASSET))
            elif known_s < second:
                at = max(known_s * MICROSECONDS, int(memory["start"][row]))
                found.append(self._end(memory, row, at, LAPSED))
        return found

    def _known_s(self, memory: Memory, members: Members, row: int) -> int:
        """Until when what is known of the asset of a row counts."""
        return int(memory["seen_s"][members.beside(row)].max()) + AGE_S_MAX

    def _forget(self, memory: Memory, rows: Iterable[int], second: int) -> list[Anomaly]:
        """What accepted series said counts no more, and what they led ends."""
        found = []
        for row in rows:
            if memory["start"][row] != NEVER:
                at = max(second * MICROSECONDS, int(memory["start"][row]))
                found.append(self._end(memory, row, at, REASON))
            for name, kind in FIELDS.items():
                memory[name][row] = NEVER if kind == "i8" else 0.0
        return found

    def _looked_at(self, memory: Memory, known: Members, second: int) -> list[Anomaly]:
        waits = (memory["waits"] > 0.0) & (memory["seen_s"] < second)
        if not waits.any():
            return []
        memory["waits"][waits] = 0.0
        members = known.asset
        touched = np.unique(members[waits])
        touched = touched[touched >= 0]
        if not len(touched):
            return []
        now_s = int(memory["seen_s"][waits].max())
        count = int(members.max()) + 1
        fresh = (memory["seen_s"] != NEVER) & (memory["seen_s"] >= now_s - AGE_S_MAX)
        fresh &= members >= 0
        rows = np.flatnonzero(fresh)
        order = rows[np.lexsort((known.series[rows], -memory["far"][rows], members[rows]))]
        begins = np.searchsorted(members[order], np.arange(count))
        sizes = np.bincount(members[order], minlength=count)
        open_rows = np.flatnonzero(memory["start"] != NEVER)
        open_rows = open_rows[np.lexsort((known.series[open_rows], memory["start"][open_rows]))]
        lead: dict[int, list[int]] = {}
        for row in open_rows.tolist():
            lead.setdefault(int(members[row]), []).append(row)
        many = sizes >= MEMBERS_MIN
        # What is open goes on and ends also where sensors have gone.
        is_open = np.isin(np.arange(count), members[open_rows])
        touched = touched[many[touched] | (is_open[touched] & (sizes[touched] > 0))]
        on = np.zeros(len(touched), np.bool_)
        total = np.zeros(len(touched))
        for place in range(TOP[-1][0]):
            there = np.minimum(begins[touched] + place, len(order) - 1)
            total = total + memory["far"][order[there]]
            for size, limit in TOP:
                if size == place + 1:
                    on |= (total >= limit * size) & many[touched]
        first = order[begins[touched]]
        found: list[Anomaly] = []
        for at in np.flatnonzero(on | is_open[touched]).tolist():
            code, top = int(touched[at]), int(first[at])
            mine = order[begins[code] : begins[code] + sizes[code]]
            leads = lead.get(code, [])
            found.extend(
                self._judge(memory, top, mine, leads[0] if leads else None, on=bool(on[at]))
            )
            ts = int(memory["ts"][mine].max())
            found.extend(
                self._end(memory, row, max(ts, int(memory["start"][row])), ELSEWHERE)
                for row in leads[1:]
            )
        return found

    def _judge(
        self, memory: Memory, top: int, mine: Places, lead: int | None, *, on: bool
    ) -> list[Anomaly]:
        far, ts = float(memory["far"][top]), int(memory["ts"][mine].max())
        if lead is None:
            memory["start"][top], memory["calm"][top], memory["peak"][top] = ts, NEVER, far
            memory["expected"][top] = memory["usual"][top]
            others = int((memory["far"][mine] >= STAY).sum()) - 1
            now, usual = float(memory["now"][top]), float(memory["usual"][top])
            return [self._event(memory, top, "start", ts, self.reason(now, usual, max(others, 0)))]
        memory["peak"][lead] = max(float(memory["peak"][lead]), far)
        if on or far >= STAY:
            memory["calm"][lead] = NEVER
            return []
        if memory["calm"][lead] == NEVER:
            memory["calm"][lead] = ts
        if ts - int(memory["calm"][lead]) < OFF_DELAY_S * MICROSECONDS:
            return []
        lasted_s = (ts - int(memory["start"][lead])) / MICROSECONDS
        return [self._end(memory, lead, ts, f"levels as before after {span(lasted_s)}")]

    def _end(self, memory: Memory, lead: int, at: int, reason: str) -> Anomaly:
        event = self._event(memory, lead, "end", at, reason)
        memory["start"][lead] = memory["calm"][lead] = NEVER
        memory["peak"][lead] = memory["expected"][lead] = 0.0
        return event

    def _event(self, memory: Memory, row: int, phase: str, at: int, reason: str) -> Anomaly:
        peak = float(memory["peak"][row])
        return Anomaly(
            row, self.name, phase, int(memory["start"][row]), at, self.severity, peak,
            float(memory["now"][row]), float(memory["expected"][row]), reason,
        )  # fmt: skip


def _open(memory: Memory) -> list[int]:
    """The rows that lead a finding."""
    rows: list[int] = np.flatnonzero(memory["start"] != NEVER).tolist()
    return rows
