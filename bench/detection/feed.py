"""Recordings through the panel as it is shipped: what it finds, by recording."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detection.sets import Recording
from floorlog.core.detect import DETECTORS
from floorlog.core.detect.detector import Detector
from floorlog.core.detect.panel import Panel
from floorlog.core.reading import Anomaly, Readings
from floorlog.core.rules import Rules

DAY_S = 86_400
FIRST_S = 1_760_054_400  # a midnight


@dataclass(frozen=True)
class Found:
    """An event of one recording."""

    row: int  # of the recording: the reading at which it came
    sensor: int
    event: Anomaly


def feed(
    recordings: Sequence[Recording], detectors: Sequence[Detector] = DETECTORS, step_s: float = 1000
) -> list[list[Found]]:
    """What the panel says of each recording, as an asset whose sensors are its columns.

    All recordings run side by side, moved by whole days so that they begin on one day; each
    reading arrives at its own time stamp, `step_s` of them in a batch. Nothing is scaled, sorted
    out or looked up beforehand.
    """
    panel = Panel(detectors)
    owner = [(at, sensor) for at, r in enumerate(recordings) for sensor in range(len(r.sensors))]
    rules = Rules.empty(len(owner))
    _group(rules, owner)
    moved = [FIRST_S - r.ts_s[0] // DAY_S * DAY_S for r in recordings]
    kind = np.zeros(len(owner), np.int8)
    found: list[list[Found]] = [[] for _ in recordings]
    for some, clock_s in _batches(recordings, moved, step_s):
        fresh = np.ones(len(some), np.bool_)
        for event in panel.advance(some, fresh, rules, kind, clock_s):
            at, sensor = owner[event.row]
            ts_s = recordings[at].ts_s
            row = int(np.searchsorted(ts_s, event.at / 1e6 - moved[at], side="right")) - 1
            if event.at <= (ts_s[-1] + moved[at]) * 1e6:
                found[at].append(Found(max(row, 0), sensor, event))
    return found


def starts(found: Sequence[Sequence[Found]], severity: int = 1) -> list[list[Found]]:
    """Of each recording the findings that begin, of at least this severity."""
    return [
        [one for one in mine if one.event.phase == "start" and one.event.severity >= severity]
        for mine in found
    ]


def held(recording: Recording, found: Sequence[Found], severity: int = 1) -> NDArray[np.bool_]:
    """By row: inside a finding of at least this severity."""
    turns = np.zeros(len(recording) + 1, np.int64)
    ends = {
        (one.event.row, one.event.detector, one.event.start): one.row
        for one in found
        if one.event.phase == "end"
    }
    for one in found:
        if one.event.phase == "start" and one.event.severity >= severity:
            end = ends.get((one.event.row, one.event.detector, one.event.start), len(recording))
            turns[one.row] += 1
            turns[max(end, one.row + 1)] -= 1
    inside: NDArray[np.bool_] = np.cumsum(turns[:-1]) > 0
    return inside


def _group(rules: Rules, owner: Sequence[tuple[int, int]]) -> None:
    """A recording is an asset."""
    rules.asset[:] = [at for at, _ in owner]
    rules.changed()


def _batches(
    recordings: Sequence[Recording], moved: Sequence[float], step_s: float
) -> Iterator[tuple[Readings, int]]:
    row, ts, value = [], [], []
    first = 0
    for recording, shift in zip(recordings, moved, strict=True):
        count = len(recording.sensors)
        us = np.round((recording.ts_s + shift) * 1e6).astype(np.int64)
        row.append(np.tile(np.arange(first, first + count), len(us)))
        ts.append(np.repeat(us, count))
        value.append(recording.value.ravel())
        first += count
    rows, times, values = map(np.concatenate, (row, ts, value))
    keep = np.isfinite(values)
    order = np.argsort(times[keep], kind="stable")
    rows, times, values = (column[keep][order] for column in (rows, times, values))
    newest: dict[int, int] = {}
    once = np.ones(len(rows), np.bool_)
    if np.unique(np.stack([rows, times]), axis=1).shape[1] < len(rows):
        for place, (who, when) in enumerate(zip(rows.tolist(), times.tolist(), strict=True)):
            once[place] = when > newest.get(who, -1)
            newest[who] = max(newest.get(who, -1), when)
        rows, times, values = rows[once], times[once], values[once]
    batch = times // int(step_s * 1e6)
    cuts = np.flatnonzero(np.diff(batch)) + 1
    for part in np.split(np.arange(len(rows)), cuts):
        arrival_s = times[part] // 1_000_000
        nought = np.zeros(len(part), np.int32)
        some = Readings(
            rows[part].astype(np.int32), times[part], values[part],
            np.zeros(len(part), np.uint32), arrival_s, nought, nought,
        )  # fmt: skip
        yield some, int(arrival_s[-1])
