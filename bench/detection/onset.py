"""Onsets caught in time against false ones: how a plant judges, and SKAB's official figures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detection.sets import Recording

Rows = Sequence[int]
ONSET_S = 60.0
"""Findings of an asset that follow each other faster are one onset."""


@dataclass(frozen=True)
class Onsets:
    """Of all recordings together."""

    events: int
    caught: int
    false: int
    hours: float
    delays_s: tuple[float, ...]  # of those caught

    def as_dict(self) -> dict[str, float]:
        """The figures that the table names."""
        return {
            "events": self.events,
            "caught": self.caught,
            "recall": round(self.caught / max(self.events, 1), 3),
            "false": self.false,
            "false_per_hour": round(self.false / self.hours, 3),
            "median_delay_s": float(np.median(self.delays_s)) if self.delays_s else -1.0,
        }


def onsets(
    recordings: Sequence[Recording], alarms: Sequence[Rows], within_s: float, early_s: float = 0.0
) -> Onsets:
    """Count events with an alarm in time, and false onsets of the asset.

    Args:
        recordings: the files, one asset each.
        alarms: per file, rows at which a finding of any of its sensors begins.
        within_s: how late an alarm may be.
        early_s: an alarm up to so long before an event is neither caught nor false.

    An onset of an asset is a finding that begins when none of it began in the minute before. An
    alarm within an event but too late is neither caught nor false. Hours are all that is recorded.
    """
    events = caught = false = 0
    hours = 0.0
    delays: list[float] = []
    for recording, rows in zip(recordings, alarms, strict=True):
        ts_s, abnormal = recording.ts_s, recording.abnormal()
        hours += recording.hours()
        begins = [ts_s[begin] for begin, _ in recording.spans]
        last = -np.inf
        for row in sorted(rows):
            early = any(0 < begin - ts_s[row] <= early_s for begin in begins)
            if not abnormal[row] and not early:
                false += bool(ts_s[row] - last > ONSET_S)
                last = ts_s[row]
        for begin, until in recording.spans:
            events += 1
            late = [ts_s[row] - ts_s[begin] for row in rows if begin <= row < until]
            in_time = [delay for delay in late if delay <= within_s]
            if in_time:
                caught += 1
                delays.append(min(in_time))
    return Onsets(events, caught, false, hours, tuple(delays))


def outlier(recordings: Sequence[Recording], held: Sequence[NDArray[np.bool_]]) -> dict[str, float]:
    """SKAB's official outlier figures over all rows of all labelled experiments, in percent.

    F1, false-alarm rate FP / (FP + TN), missing-alarm rate FN / (FN + TP); the anomaly-free run is
    not among them. Source: Katser and Kozitsin, Skoltech Anomaly Benchmark, 2020.
    """
    pairs = [(r, h) for r, h in zip(recordings, held, strict=True) if r.spans]
    true = np.concatenate([recording.abnormal() for recording, _ in pairs])
    said = np.concatenate([flags for _, flags in pairs])
    tp, fp = int((true & said).sum()), int((~true & said).sum())
    fn, tn = int((true & ~said).sum()), int((~true & ~said).sum())
    return {
        "f1": round(2 * tp / max(2 * tp + fp + fn, 1), 4),
        "far_percent": round(100 * fp / max(fp + tn, 1), 2),
        "mar_percent": round(100 * fn / max(fn + tp, 1), 2),
    }
