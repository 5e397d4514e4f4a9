"""Acceptance: an operator said that what a series does now is normal."""

from collections.abc import Iterable

import numpy as np

from floorlog.core.detect import hold
from floorlog.core.detect.cells import Cells
from floorlog.core.detect.detector import NEVER, Detector, Memory, Times
from floorlog.core.detect.rounds import Places
from floorlog.core.reading import Anomaly
from floorlog.core.rules import Rules

STATES = ":states"
"""What a learned detector remembers of single states of the equipment is a section of its own."""
REASON = "accepted as normal by an operator"


def accept(
    detectors: Iterable[Detector], cells: Cells, rules: Rules, row: Places
) -> tuple[list[Anomaly], Places]:
    """Let what was learned of newly accepted series go, and end their learned findings.

    Comes before the series' next reading is judged, whichever batch brings it: the batch's version
    of the catalogue is the saying's place in the order. Limits and other rules stay as they are.

    Returns the ends, and the rows that were accepted.
    """
    said = rules.accepted_us
    if not (said > 0).any():
        return [], row[:0]
    rows = np.unique(row)
    kept = cells.columns("context")["accepted_us"]
    rows = rows[said[rows] > kept[rows]]
    kept[rows] = said[rows]
    found: list[Anomaly] = []
    for detector in detectors:
        if detector.learned and len(rows):
            found.extend(_end(detector, cells, rows))
            for name in (detector.name, detector.name + STATES):
                if name in cells.sections:
                    cells.clear(name, rows)
    return found, rows


def seconds(accepted: Places, row: Places, arrival_s: Times) -> dict[int, list[int]]:
    """Accepted rows by the arrival second of their first reading in a batch."""
    found: dict[int, list[int]] = {}
    for one in accepted.tolist():
        found.setdefault(int(arrival_s[row == one].min()), []).append(one)
    return found


def _end(detector: Detector, cells: Cells, rows: Places) -> list[Anomaly]:
    held: Memory = cells.columns(detector.name + ":held")
    feed = cells.columns("feed")
    ended = [
        hold.ended(
            detector, held, place, max(int(feed["usable_ts"][place]), int(held["start"][place])),
            float(feed["usable_value"][place]), REASON,
        )
        for place in rows[held["start"][rows] != NEVER].tolist()
    ]  # fmt: skip
    cells.clear(detector.name + ":held", rows)
    return ended
