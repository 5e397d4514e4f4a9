"""Acceptance: an operator said that what a series does now is normal."""

from collections.abc import Iterable

import numpy as np

from floorlog.core.detect import hold
from floorlog.core.detect.cells import Cells
from floorlog.core.detect.detector import NEVER, Detector, Memory
from floorlog.core.detect.rounds import Places
from floorlog.core.reading import Anomaly
from floorlog.core.rules import Rules

REASON = "accepted as normal by an operator"


def accept(detectors: Iterable[Detector], cells: Cells, rules: Rules, row: Places) -> list[Anomaly]:
    """Let what was learned of newly accepted series go, and end their learned findings.

    Comes before the series' next reading is judged, whichever batch brings it: the batch's version
    of the catalogue is the saying's place in the order. Limits and other rules stay as they are.
    """
    said = rules.accepted_us
    if not (said > 0).any():
        return []
    rows = np.unique(row)
    kept = cells.columns("context")["accepted_us"]
    rows = rows[said[rows] > kept[rows]]
    kept[rows] = said[rows]
    found: list[Anomaly] = []
    for detector in detectors:
        if detector.learned and len(rows):
            found.extend(_end(detector, cells, rows))
            cells.clear(detector.name, rows)
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
