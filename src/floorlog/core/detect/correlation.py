"""Correlation: two sensors of one asset that always moved together and no longer do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floorlog.core.detect.acceptance import REASON
from floorlog.core.detect.asset_shift import AGE_S_MAX, LAPSED, NO_ASSET, STAY, Levels, Members
from floorlog.core.detect.detector import NEVER, Flags, Floats, Memory, number, span
from floorlog.core.detect.rounds import Places
from floorlog.core.reading import MICROSECONDS, Anomaly
from floorlog.core.rules import NONE

PARTNERS = 4
"""Each sensor is compared with so many others of its asset: those that follow it by series."""
FIELDS = {
    "now": "f8",  # the series' level
    "far": "f8",  # how far that is from before, in scales
    "ts": "i8",  # µs UTC of the reading that said so
    "seen_s": "i8",  # its arrival
    "before_s": "i8",  # the arrival before that
    "waits": "f8",  # 1: not yet compared
    "start": "i8",  # of the asset's finding, where this series led when it began
    "calm": "i8",  # since when all of it is calm again
    "peak": "f8",
    "partner": f"f8:{PARTNERS}",  # ids of the series that the pairs are with
    "count": f"f8:{PARTNERS}",  # comparisons
    "mean": f"f8:{PARTNERS}",
    "other": f"f8:{PARTNERS}",  # the partner's mean
    "square": f"f8:{PARTNERS}",  # mean square distance from it
    "other_square": f"f8:{PARTNERS}",
    "product": f"f8:{PARTNERS}",
    "together": f"f8:{PARTNERS}",  # comparisons since they move together without a break
    "apart": f"f8:{PARTNERS}",  # mean square of the newest residuals; 1 = as usual
    "spread": f"f8:{PARTNERS}",  # how far that usually is from 1
    "broken": f"f8:{PARTNERS}",  # comparisons since it is too much; 0 = it is not
}
PAIRS = tuple(name for name, kind in FIELDS.items() if ":" in kind)
GAIN = 1.0 / 256.0
APART_GAIN = 1.0 / 16.0
TOGETHER = 0.8  # correlation from which on two move together …
ALONE = 0.7  # … until it is below this
TOGETHER_MIN = 768.0
"""Comparisons with a strong correlation before a break of it is news: chance has none so long."""
ROOM = 0.01  # the least that 1 − |correlation| counts
SQUARE_MAX = 16.0
LIMIT = 4.0
SPREADS = 8.0
"""A pair is broken when residuals are 4 times, and 8 usual spreads, as large as usual, …"""
CLOSE = 2.0
"""… until they are less than twice as large."""
BROKEN_MAX = 512.0  # comparisons: then it is the new normal, and learned afresh
OFF_DELAY_S = 600.0
FORGOTTEN = NEVER + 1
"""Instead of `seen_s`: has its place among the asset's sensors, but what it said counts no more."""


@dataclass(frozen=True, slots=True)
class Partners:
    """Whom each row is compared with: rows and series ids, shape (PARTNERS, rows), NONE = no one.

    A series counts once it has said something: a process that takes over knows those that came
    later from the start. In the asset's order of series each has those that follow it, around the
    end; a pair of few is looked at by one of the two only.
    """

    row: NDArray[np.intp]
    series: NDArray[np.float64]

    @classmethod
    def of(cls, members: Members) -> "Partners":
        """By who belongs to which asset."""
        count = len(members.asset)
        row = np.full((PARTNERS, count), NONE, np.intp)
        order = np.lexsort((np.arange(count), members.series, members.asset))
        order = order[members.asset[order] >= 0]
        codes = members.asset[order]
        _, begins, sizes = np.unique(codes, return_index=True, return_counts=True)
        begin, size = np.repeat(begins, sizes), np.repeat(sizes, sizes)
        nth = np.arange(len(order)) - begin
        for slot in range(PARTNERS):
            step = slot + 1
            there = (2 * step < size) | ((2 * step == size) & (nth < step))
            after = begin + (nth + step) % np.maximum(size, 1)
            row[slot, order[there]] = order[after[there]]
        series = np.where(row >= 0, members.series[row], NONE).astype(np.float64)
        return cls(row, series)


class BrokenCorrelation:
    """Sensors of an asset that moved together, one now going its own way at an ordinary level.

    Each sensor is compared with up to four others of its asset, each time a block of four of its
    readings has ended: correlation of levels over about the last 256 blocks. Once it was 0.8 and
    more for 768 comparisons, the residual of one sensor by the other is watched. A pair is broken
    when its squares are, over about 16 blocks, 4 times as large as usual and beyond what they ever
    spread. While a level is far from before nothing is said here: that is asset_shift's. One
    finding of the asset names the sensor that has the most broken pairs, and goes on until all
    pairs are within twice the usual for ten minutes, nothing was heard for an hour, or an operator
    accepts it; after 512 comparisons it is the new normal. Score: how many times the usual.
    Source: residual of a pair's regression, as in dynamic principal components (Ku, Storer and
    Georgakis, 1995), with exponentially weighted moments (Lowry et al., MEWMA, 1992).
    """

    name = "broken_correlation"
    version = 1
    severity = 1

    def __init__(self) -> None:
        """Knows no asset yet."""
        self._known: tuple[Members, Partners] | None = None  # the last answer of _of

    def follow(
        self,
        memory: Memory,
        levels: Levels,
        members: Members,
        clock_s: int,
        accepted: Mapping[int, Iterable[int]] | None = None,
    ) -> list[Anomaly]:
        """Take a batch's levels in, second by second, and compare as each second has passed."""
        found: list[Anomaly] = []
        accepted = accepted or {}
        inside = members.asset[levels.row] >= 0
        order = np.lexsort((levels.ts, levels.row, levels.arrival_s))
        order = order[inside[order]]
        seconds = levels.arrival_s[order]
        split = np.split(order, np.flatnonzero(np.diff(seconds)) + 1) if len(order) else []
        parts = {int(levels.arrival_s[part[0]]): part for part in split}
        for second in sorted({*parts, *accepted}):
            found.extend(self._close(memory, members, second))
            found.extend(self._forget(memory, members, accepted.get(second, ()), second))
            part = parts.get(second, order[:0])
            row = levels.row[part]
            anew = memory["seen_s"][row] != second
            memory["before_s"][row[anew]] = memory["seen_s"][row[anew]]
            for name in ("far", "now", "ts"):
                memory[name][row] = getattr(levels, name)[part]
            memory["seen_s"][row] = second
            memory["waits"][row] = 1.0
        found.extend(self._close(memory, members, clock_s))
        return found

    def deadline_s(self, memory: Memory, members: Members, clock_s: int) -> int | None:
        """The next clock second at which an asset's silence ends its finding; None for never."""
        rows = np.flatnonzero(memory["start"] != NEVER).tolist()
        due = [self._known_s(memory, members, row) + 1 for row in rows]
        return min((second for second in due if second > clock_s), default=None)

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _of(self, memory: Memory, every: Members) -> Partners:
        """The pairs of those that have said something."""
        heard = memory["seen_s"] != NEVER
        members = Members(np.where(heard, every.asset, np.int32(NONE)), every.series)
        known = self._known
        if (
            known is None
            or not np.array_equal(known[0].asset, members.asset)
            or not np.array_equal(known[0].series, members.series)
        ):
            known = self._known = members, Partners.of(members)
        return known[1]

    def _known_s(self, memory: Memory, members: Members, row: int) -> int:
        return int(memory["seen_s"][members.beside(row)].max()) + AGE_S_MAX

    def _close(self, memory: Memory, members: Members, second: int) -> list[Anomaly]:
        """Compare what was said before this second and was not compared; let silent ones end."""
        found: list[Anomaly] = []
        waits = (memory["waits"] > 0.0) & (memory["seen_s"] < second)
        rows = np.flatnonzero(waits & (members.asset >= 0))
        memory["waits"][waits] = 0.0
        if len(rows):
            partners = self._of(memory, members)
            broken = _compare(memory, partners, rows)
            touched = np.unique(members.asset[rows[broken]]).tolist()
            led = np.flatnonzero(memory["start"] != NEVER)
            heard = set(np.unique(members.asset[rows]).tolist())
            open_of = {int(members.asset[row]) for row in led.tolist()} & heard
            for code in sorted({*touched, *open_of}):
                found.extend(self._judge(memory, members, partners, code))
        for row in np.flatnonzero(memory["start"] != NEVER).tolist():
            known_s = self._known_s(memory, members, row)
            if members.asset[row] < 0:  # at its last word: which batch shows it plays no part
                at = max(int(memory["ts"][row]), int(memory["start"][row]))
                found.append(self._end(memory, row, at, NO_ASSET))
            elif known_s < second:
                at = max(known_s * MICROSECONDS, int(memory["start"][row]))
                found.append(self._end(memory, row, at, LAPSED))
        return found

    def _judge(
        self, memory: Memory, members: Members, partners: Partners, code: int
    ) -> list[Anomaly]:
        """Begin, hold or end the finding of one asset."""
        mine = np.flatnonzero(members.asset == code)
        mine = mine[np.lexsort((mine, members.series[mine]))]
        slots, places = np.nonzero(memory["broken"][:, mine] > 0.0)
        one, two = mine[places], partners.row[slots, mine[places]]
        worst = memory["apart"][slots, one]
        ts = int(memory["ts"][mine].max())
        leads = [row for row in mine.tolist() if memory["start"][row] != NEVER]
        if not leads:
            if not len(one):
                return []
            votes = [int(((one == row) | (two == row)).sum()) for row in mine.tolist()]
            lead = int(mine[int(np.argmax(votes))])
            pair = int(np.flatnonzero((one == lead) | (two == lead))[0])
            other = int(two[pair] if one[pair] == lead else one[pair])
            memory["start"][lead], memory["calm"][lead] = ts, NEVER
            memory["peak"][lead] = worst.max()
            reason = self._reason(memory, lead, other, max(votes) - 1)
            return [self._event(memory, lead, "start", ts, reason, other)]
        lead = leads[0]
        found = [
            self._end(memory, row, max(ts, int(memory["start"][row])), "another one led before")
            for row in leads[1:]
        ]
        if len(one):
            memory["peak"][lead] = max(float(memory["peak"][lead]), float(worst.max()))
            memory["calm"][lead] = NEVER
        elif memory["calm"][lead] == NEVER:
            memory["calm"][lead] = ts
        if memory["calm"][lead] != NEVER:
            calm_us = ts - int(memory["calm"][lead])
            if calm_us >= OFF_DELAY_S * MICROSECONDS:
                lasted_s = (ts - int(memory["start"][lead])) / MICROSECONDS
                text = f"moves with the others again after {span(lasted_s)}"
                found.append(self._end(memory, lead, ts, text))
        return found

    def _reason(self, memory: Memory, lead: int, other: int, more: int) -> str:
        """Who the other is stands in the event: its name is put in where names are known."""
        text = (
            f"at {number(float(memory['now'][lead]))} it no longer moves with {{other}} "
            f"(at {number(float(memory['now'][other]))}) of the same asset"
        )
        return f"{text}, nor with {more} more" if more > 0 else text

    def _forget(
        self, memory: Memory, members: Members, rows: Iterable[int], second: int
    ) -> list[Anomaly]:
        """Accepted series begin anew, in pairs of others too; what they led ends."""
        found = []
        for row in rows:
            if memory["start"][row] != NEVER:
                at = max(second * MICROSECONDS, int(memory["start"][row]))
                found.append(self._end(memory, row, at, REASON))
            for name, kind in FIELDS.items():
                memory[name][..., row] = NEVER if kind == "i8" else 0.0
            memory["seen_s"][row] = FORGOTTEN
            beside = members.beside(row)
            with_it = memory["partner"][:, beside] == members.series[row]
            for name in PAIRS:
                some = memory[name][:, beside]
                some[with_it] = 0.0
                memory[name][:, beside] = some
        return found

    def _end(self, memory: Memory, row: int, at: int, reason: str) -> Anomaly:
        event = self._event(memory, row, "end", at, reason)
        memory["start"][row] = memory["calm"][row] = NEVER
        memory["peak"][row] = 0.0
        return event

    def _event(
        self, memory: Memory, row: int, phase: str, at: int, reason: str, other: int = NONE
    ) -> Anomaly:
        now = float(memory["now"][row])
        return Anomaly(
            row, self.name, phase, int(memory["start"][row]), at, self.severity,
            float(memory["peak"][row]), now, now, reason, other,
        )  # fmt: skip


def _compare(memory: Memory, partners: Partners, rows: Places) -> Flags:
    """Compare rows with their partners and learn; which of them have a broken pair."""
    row, series = partners.row[:, rows], partners.series[:, rows]
    pair = {name: memory[name][:, rows] for name in PAIRS}
    fresh = (row >= 0) & (memory["seen_s"][row] > memory["before_s"][rows])
    fresh &= memory["seen_s"][row] > FORGOTTEN
    series = np.where(row >= 0, series, 0.0)
    another = pair["partner"] != series
    for name in PAIRS:
        np.copyto(pair[name], 0.0, where=another)
    np.copyto(pair["partner"], series, where=another)
    count, together, apart = pair["count"], pair["together"], pair["apart"]
    one, two = memory["now"][rows] - pair["mean"], memory["now"][row] - pair["other"]
    size = np.sqrt(pair["square"]) * np.sqrt(pair["other_square"])
    alike = np.where(size > 0.0, pair["product"] / np.maximum(size, 1e-290), 0.0)
    alike = np.minimum(np.maximum(alike, -1.0), 1.0)
    strong = np.abs(alike) >= np.where(together > 0.0, ALONE, TOGETHER)
    broken = pair["broken"] > 0.0
    np.copyto(
        together,
        np.where((strong | broken) & (count * GAIN >= 0.25), together + 1.0, 0.0),
        where=fresh,
    )
    known = together >= TOGETHER_MIN
    residual = one / np.maximum(np.sqrt(pair["square"]), 1e-290)
    second = two / np.maximum(np.sqrt(pair["other_square"]), 1e-290)
    residual = np.where(alike < 0.0, residual + second, residual - second)
    square = residual * residual / (2.0 * np.maximum(1.0 - np.abs(alike), ROOM))
    calm = (memory["far"][rows] < STAY) & (memory["far"][row] < STAY)
    move = fresh & (together > 0.0) & calm
    apart += np.where(move, APART_GAIN * (np.minimum(square, SQUARE_MAX) - apart), 0.0)
    limit = np.maximum(1.0 + SPREADS * pair["spread"], LIMIT)
    bad = known & calm & np.where(broken, apart >= CLOSE, apart >= limit)
    over = pair["broken"] >= BROKEN_MAX
    np.copyto(pair["broken"], np.where(bad & ~over, pair["broken"] + 1.0, 0.0), where=fresh)
    for name in ("count", "together", "apart", "spread"):
        np.copyto(pair[name], 0.0, where=fresh & over)
    _learn(pair, one, two, fresh & ~bad & calm)
    for name in PAIRS:
        memory[name][:, rows] = pair[name]
    return np.asarray((pair["broken"] > 0.0).any(axis=0), np.bool_)


def _learn(pair: Memory, one: Floats, two: Floats, fresh: Flags) -> None:
    """Take the levels of pairs, given as distances from their means, into what is usual."""
    gain = np.maximum(GAIN, 1.0 / (pair["count"] + 1.0)) * fresh
    pair["mean"] += gain * one
    pair["other"] += gain * two
    rest = 1.0 - gain
    for name, product in (
        ("square", one * one),
        ("other_square", two * two),
        ("product", one * two),
    ):
        pair[name] += gain * (np.minimum(np.maximum(product, -1e300), 1e300) * rest - pair[name])
    far = np.minimum(np.abs(pair["apart"] - 1.0), np.maximum(3.0 * pair["spread"], 0.5))
    pair["spread"] += gain * (far - pair["spread"])
    pair["count"] += fresh
