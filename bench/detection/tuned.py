"""Figures with one category left out of the tuning: its files judged by what the others chose.

`.venv/bin/python bench/detection/tuned.py --data DIR`. Tuned are the shipped threshold (NAB) and
the limits of assets (SKAB, 3W); each category in turn is left out, the best value for the rest is
taken, and the left-out files are judged by it. A gain that vanishes here is none.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from detection import feed, nab_score, onset, sets
from detection.feed import Found
from detection.run import learned
from detection.sets import Recording
from floorlog.core.detect import asset_shift
from floorlog.core.detect.learned import NOTE

NOTES = (1.0, 1.2, NOTE, 1.6, 1.8, 2.0)
TIMES = (0.85, 0.9, 1.0, 1.1, 1.2)
"""Limits of assets, in times of those shipped."""
Runs = dict[float, list[list[Found]]]
Judge = Callable[[Sequence[Recording], Sequence[Sequence[Found]]], float]


def left_out(recordings: Sequence[Recording], runs: Runs, judge: Judge) -> dict[str, object]:
    """By category the value that the others chose, and what is found with each file's."""
    chosen = {}
    for category in sorted({recording.category for recording in recordings}):
        rest = [at for at, each in enumerate(recordings) if each.category != category]
        worth = {
            value: judge([recordings[at] for at in rest], [found[at] for at in rest])
            for value, found in runs.items()
        }
        chosen[category] = max(worth, key=lambda value: worth[value])
    mixed = [runs[chosen[each.category]][at] for at, each in enumerate(recordings)]
    return {"chosen": chosen, "left_out": judge(recordings, mixed)}


def nab(recordings: Sequence[Recording]) -> dict[str, object]:
    """The standard and the low-FP score."""
    runs = {note: learned(recordings, note, 3 * 86_400) for note in NOTES}
    figures: dict[str, object] = {}
    for profile, weight in nab_score.FP_WEIGHTS.items():

        def judge(
            some: Sequence[Recording], found: Sequence[Sequence[Found]], weight: float = weight
        ) -> float:
            rows = []
            for recording, mine in zip(some, feed.starts(found), strict=True):
                marks = np.zeros(len(recording))
                marks[[one.row for one in mine]] = 1.0
                rows.append(marks)
            return round(nab_score.at(nab_score.sweep(some, rows, weight), 1.0), 1)

        figures[profile] = {
            **left_out(recordings, runs, judge),
            "shipped": judge(recordings, runs[NOTE]),
            "by_value": {note: judge(recordings, found) for note, found in runs.items()},
        }
    return figures


def assets(recordings: Sequence[Recording], within_s: float) -> dict[str, object]:
    """Onsets: caught minus a twentieth of an event for each false one."""
    shipped = asset_shift.TOP
    (one, farthest), (two, both) = shipped
    runs: Runs = {}
    for times in TIMES:
        asset_shift.TOP = ((one, farthest * times), (two, both * times))
        runs[times] = learned(recordings, NOTE, 1000)
    asset_shift.TOP = shipped

    def count(some: Sequence[Recording], found: Sequence[Sequence[Found]]) -> onset.Onsets:
        alarms = [[one.row for one in mine] for mine in feed.starts(found)]
        return onset.onsets(some, alarms, within_s)

    def judge(some: Sequence[Recording], found: Sequence[Sequence[Found]]) -> float:
        got = count(some, found)
        return round(got.caught - got.false / 20, 2)

    figures = left_out(recordings, runs, judge)
    chosen = figures["chosen"]
    assert isinstance(chosen, dict)
    mixed = [runs[chosen[each.category]][at] for at, each in enumerate(recordings)]
    return {
        "chosen": chosen,
        "left_out": count(recordings, mixed).as_dict(),
        "shipped": count(recordings, runs[1.0]).as_dict(),
        "by_value": {
            times: [got.caught, got.false]
            for times, got in ((times, count(recordings, found)) for times, found in runs.items())
        },
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    found = {
        "nab": nab(sets.nab(data)),
        "skab": assets(sets.skab(data), 60.0),
        "3w22": assets(sets.three_w(data), 600.0),
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
