"""Every figure of detection as one object, from any folder laid out like the one with the sets.

`.venv/bin/python bench/detection/run.py --data DIR --json` (`--without CATEGORY` leaves a folder of
the sets out; `--quick` leaves injected faults, load and cost out). One configuration, as shipped.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from detection import blind, faults, feed, load, nab_score, onset, sets, storm
from detection.feed import Found
from detection.sets import Recording
from floorlog.core.detect import TOGETHER, VIEWS
from floorlog.core.detect.learned import NOTE, Learned

SCORED = {each.name for each in (*TOGETHER, *VIEWS)}
"""What is scored: findings on the learned scale, and of assets; not silence and rules."""
STEPS = (100, 200, 300, 400, 600, 800, 1200)
SWEEP = (0.9, 1.2, 1.6)
"""Other thresholds at which the optimiser looks, beside the shipped one and above each."""
Alarms = list[list[int]]


def learned(recordings: Sequence[Recording], note: float, step_s: float) -> list[list[Found]]:
    """Findings of the learned scale, by recording."""
    found = feed.feed(recordings, [Learned(note=note)], step_s)
    return [[one for one in mine if one.event.detector in SCORED] for mine in found]


def nab(recordings: Sequence[Recording]) -> dict[str, object]:
    """Both profiles at the shipped and at the optimiser's threshold, baselines beside them."""
    runs = {note: learned(recordings, note, 3 * 86_400) for note in (NOTE, *SWEEP)}
    figures: dict[str, object] = {}
    shipped = runs[NOTE]
    count = sum(map(len, feed.starts(shipped)))
    for profile, weight in nab_score.FP_WEIGHTS.items():
        curves = {
            note: nab_score.sweep(recordings, _scores(recordings, found), weight)
            for note, found in runs.items()
        }
        threshold, best = max(map(nab_score.best, curves.values()), key=lambda pair: pair[1])

        def worth(alarms: Alarms, weight: float = weight) -> float:
            rows = [_marks(r, mine) for r, mine in zip(recordings, alarms, strict=True)]
            return nab_score.at(nab_score.sweep(recordings, rows, weight), 1.0)

        step, regular = blind.best_every(recordings, worth, STEPS)
        figures[profile] = {
            "shipped_threshold": round(nab_score.at(curves[NOTE], 1e-9), 1),
            "optimiser_threshold": round(best, 1),
            "threshold_found": round(threshold, 2),
            f"blind_every_{step}_rows": round(regular, 1),
            "blind_random_same_rate": blind.mean_chance(recordings, worth, count),
        }
    return {"files": len(recordings), "findings": count, **figures}


def _scores(recordings: Sequence[Recording], found: Sequence[Sequence[Found]]) -> list[np.ndarray]:
    scores = []
    for recording, mine in zip(recordings, feed.starts(found), strict=True):
        score = np.zeros(len(recording))
        for one in mine:
            score[one.row] = max(score[one.row], one.event.score)
        scores.append(score)
    return scores


def _marks(recording: Recording, rows: Sequence[int]) -> np.ndarray:
    score = np.zeros(len(recording))
    score[list(rows)] = 1.0
    return score


def onsets(recordings: Sequence[Recording], within_s: float) -> dict[str, object]:
    """Onsets in time against false ones, strictly and with a minute's grace; baselines beside."""
    found = learned(recordings, NOTE, 1000)
    alarms = [[one.row for one in mine] for mine in feed.starts(found)]
    medium = [[one.row for one in mine] for mine in feed.starts(found, severity=2)]
    strict = onset.onsets(recordings, alarms, within_s)
    rate = max(strict.false + strict.caught, 1)
    step = max(int(sum(map(len, recordings)) / rate), 1)
    random = blind.chance(recordings, rate, 1)
    figures: dict[str, object] = {
        "strict": strict.as_dict(),
        "up_to_60_s_early_not_false": onset.onsets(recordings, alarms, within_s, 60.0).as_dict(),
        "medium_severity_strict": onset.onsets(recordings, medium, within_s).as_dict(),
        "blind_every": onset.onsets(recordings, blind.every(recordings, step), within_s).as_dict(),
        "blind_random_same_rate": onset.onsets(recordings, random, within_s).as_dict(),
    }
    if any(not recording.spans for recording in recordings):
        held = [feed.held(r, mine) for r, mine in zip(recordings, found, strict=True)]
        share = float(np.concatenate(held).mean())
        from_row = [np.arange(len(recording)) >= 570 for recording in recordings]
        rows = max(int(share * step), 1)
        figures["official"] = onset.outlier(recordings, held)
        figures["official_blind_from_row_570"] = onset.outlier(recordings, from_row)
        figures["official_blind_every"] = onset.outlier(
            recordings, blind.flags(recordings, blind.every(recordings, step), rows)
        )
        figures["official_blind_random"] = onset.outlier(
            recordings, blind.flags(recordings, random, rows)
        )
    return figures


def measure(data: Path, without: Sequence[str], *, quick: bool) -> dict[str, object]:
    """All figures; a set whose folder is not there is left out."""

    def of(read: Callable[[Path], list[Recording]]) -> list[Recording]:
        return [r for r in read(data) if r.category not in without]

    found: dict[str, object] = {"without": list(without), "threshold_days_log10": NOTE}
    if (data / "nab").is_dir():
        found["nab"] = nab(of(sets.nab))
    if (data / "skab").is_dir():
        found["skab"] = onsets(of(sets.skab), 60.0)
    if (data / "3w22").is_dir():
        found["3w22"] = onsets(of(sets.three_w), 600.0)
    if not quick:
        found["injected_faults"] = faults.measure().as_object()
        found["alarm_load_1000_sensors_24_h"] = {**load.day(3), **storm.measure(3)}
        found["cost_1000_series"] = load.cost(3)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--without", action="append", default=[], metavar="CATEGORY")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--json", action="store_true", help="one line instead of an indented object"
    )
    asked = parser.parse_args()
    found = measure(asked.data, asked.without, quick=asked.quick)
    print(json.dumps(found, indent=None if asked.json else 2))


if __name__ == "__main__":
    main()
