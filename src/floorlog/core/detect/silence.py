"""Silence: a series that stopped sending, and pauses in history."""

import numpy as np

from floorlog.core.detect import cadence
from floorlog.core.detect.detector import NEVER, Flags, Floats, Memory, Times, span
from floorlog.core.detect.rounds import Places
from floorlog.core.reading import MICROSECONDS, Anomaly

LATENCY_S_MAX = 300
"""Readings no older than this on arrival are live."""
PACE_MAX = 2.0
"""Older ones are live too when time stamps move at most this much faster than arrivals."""
PACE_S = 64
"""Arrival seconds over which that is measured."""
WAIT_S_MIN = 10.0
"""A series that is live is not called silent sooner."""
PAUSE_S_MIN = 5.0
"""A pause in history is not called one when shorter."""
LAPSE_S = 3600.0
"""A live series of unknown cadence: after so long nothing is known of its findings."""
LAPSE_HISTORY_S = 60.0
"""A series whose history is being read: after so long it has ended."""
SCORE_MAX = 1e6
FOREVER_S = 1 << 40


class Silence:
    """No reading of a series, number or state, for much longer than usual.

    Live series are judged by the arrival clock: five times the catalogue's interval, or else five
    times the longest usual wait between arrivals (a decaying maximum, known after 16 waits), and at
    least 10 s. The finding begins at that moment by the arrival clock and ends with the next
    arrival; whether a tick or the next reading reveals it changes nothing. Series whose time
    stamps run through the past (older than 5 minutes on arrival and moving faster than arrivals)
    are judged by their time stamps: each pause of five intervals or usual waits, and at least
    5 s, is one finding. Score: the silence, or when it begins the wait allowed, in seconds.
    Source: the stale and communication-failure tests of ISA-18.2 (IEC 62682) and of EEMUA 191.
    """

    name = "silence"
    version = 1
    severity = 2
    memory = {  # noqa: RUF012 - never changed
        "seen_s": "i8",  # arrival of the last reading
        "open_us": "i8",  # start of the open silence
        "wait_count": "f8",
        "wait_peak_s": "f8",
        "interval_s": "f8",  # the catalogue's, when the last reading came; 0 = none
        "live": "f8",
        "paced": "f8",  # 1: time stamps move as arrivals do
        "anchor_s": "i8",  # where the pace is measured from: arrival
        "anchor_us": "i8",  # and time stamp
    }

    def allowed_s(self, memory: Memory) -> tuple[Times, Flags]:
        """Whole seconds without arrival after which a series has lapsed; whether it is silent."""
        asked = memory["interval_s"] * cadence.FACTOR
        learned = np.maximum(cadence.pause_s(memory, "wait"), WAIT_S_MIN)
        wait = np.where(asked > 0, np.maximum(asked, 1.0), learned)
        live = (memory["live"] > 0) | (memory["paced"] > 0)
        silent = live & (wait < np.inf)
        lapse = np.where(silent, wait, np.where(live, LAPSE_S, LAPSE_HISTORY_S))
        return np.ceil(np.minimum(lapse, FOREVER_S)).astype(np.int64), silent

    def arrive(
        self, memory: Memory, row: Places, arrival_s: Times, first: Times, last: Times,
        interval_s: Floats,
    ) -> tuple[list[Anomaly], Flags]:  # fmt: skip
        """Series seen again, each in one arrival second.

        `first` and `last` are the time stamps of their first and last fresh readings in that second
        (NEVER = none is fresh). Returns the silences that this reveals or ends, and which series
        had lapsed.
        """
        seen = memory["seen_s"]
        known = seen != NEVER
        wait = np.where(known, arrival_s - seen, 0)
        allowed, silent = self.allowed_s(memory)
        lapsed = wait > allowed
        found = self._end(memory, row, arrival_s, allowed, lapsed & silent) if lapsed.any() else []
        cadence.learn(memory, "wait", wait.astype(np.float64), wait > 0)
        np.copyto(memory["interval_s"], np.where(interval_s > 0, interval_s, 0.0))
        seen[:] = arrival_s
        fresh = last != NEVER
        np.copyto(memory["live"], ~is_old(last, arrival_s), where=fresh)
        self._pace(memory, arrival_s, first, fresh)
        return found, lapsed

    def due(self, memory: Memory, row: Places, clock_s: int) -> tuple[list[Anomaly], Flags]:
        """The silences that the clock reveals, and which series have lapsed by now."""
        seen = memory["seen_s"]
        allowed, silent = self.allowed_s(memory)
        lapsed = (seen != NEVER) & (clock_s - np.maximum(seen, 0) > allowed)
        begin = np.flatnonzero(lapsed & silent & (memory["open_us"] == NEVER))
        found = [self._start(memory, int(row[at]), at, int(allowed[at])) for at in begin.tolist()]
        return found, lapsed

    def deadline_s(self, memory: Memory, clock_s: int) -> int | None:
        """The next clock second at which a series lapses that has not by this one."""
        seen = memory["seen_s"]
        allowed, _ = self.allowed_s(memory)
        due = np.maximum(seen, 0) + allowed + 1
        due = due[(seen != NEVER) & (due > clock_s)]
        return int(due.min()) if len(due) else None

    def pauses(
        self, row: Places, ts: Times, elapsed_s: Floats, usual_s: Floats, interval_s: Floats
    ) -> list[Anomaly]:
        """The pauses before readings of history; `usual_s` is each series' learned one."""
        asked = interval_s * cadence.FACTOR
        allowed = np.where(asked > 0, asked, np.maximum(usual_s, PAUSE_S_MIN))
        found: list[Anomaly] = []
        for at in np.flatnonzero(elapsed_s > allowed).tolist():
            now, wait, waited = int(ts[at]), float(allowed[at]), float(elapsed_s[at])
            before = now - round(waited * MICROSECONDS)
            # Odd, so that it can never be a start by the arrival clock, which is in whole seconds.
            start = before + int(wait * MICROSECONDS) | 1
            who = int(row[at])
            found.append(self._event(who, "start", start, start, wait, wait, _none(wait)))
            reason = f"readings again after a pause of {span(waited)}"
            found.append(self._event(who, "end", start, max(now, start), waited, wait, reason))
        return found

    def _end(
        self, memory: Memory, row: Places, arrival_s: Times, allowed: Times, silent: Flags
    ) -> list[Anomaly]:
        found = []
        for at in np.flatnonzero(silent).tolist():
            if memory["open_us"][at] == NEVER:
                found.append(self._start(memory, int(row[at]), at, int(allowed[at])))
            start, now = int(memory["open_us"][at]), int(arrival_s[at])
            silence_s = float(now - int(memory["seen_s"][at]))
            reason = f"readings again after {span(silence_s)}"
            who, wait = int(row[at]), float(allowed[at])
            now_us = now * MICROSECONDS
            found.append(self._event(who, "end", start, now_us, silence_s, wait, reason))
            memory["open_us"][at] = NEVER
        return found

    def _start(self, memory: Memory, row: int, at: int, wait: int) -> Anomaly:
        start = (int(memory["seen_s"][at]) + wait) * MICROSECONDS
        memory["open_us"][at] = start
        return self._event(row, "start", start, start, float(wait), float(wait), _none(float(wait)))

    def _event(
        self, row: int, phase: str, start: int, at: int, value: float, expected: float, reason: str
    ) -> Anomaly:
        score = min(value, SCORE_MAX)
        return Anomaly(
            row, self.name, phase, start, at, self.severity, score, value, expected, reason
        )  # fmt: skip

    def _pace(self, memory: Memory, arrival_s: Times, first: Times, fresh: Flags) -> None:
        anchor_s, anchor_us = memory["anchor_s"], memory["anchor_us"]
        new = anchor_s == NEVER
        passed = arrival_s - np.where(new, arrival_s, anchor_s)
        far = passed >= PACE_S
        move = fresh & (new | far)
        if not move.any():
            return
        moved = (first - np.where(new, first, anchor_us)).astype(np.float64)
        paced = far & (moved <= passed * (PACE_MAX * MICROSECONDS))
        np.copyto(memory["paced"], paced, where=move)
        np.copyto(anchor_s, arrival_s, where=move)
        np.copyto(anchor_us, first, where=move)


def is_old(ts: Times, arrival_s: Times) -> Flags:
    """Whether readings were older on arrival than live ones are."""
    return ts // MICROSECONDS < arrival_s - LATENCY_S_MAX


def _none(wait_s: float) -> str:
    return f"no reading for {span(wait_s)}"
