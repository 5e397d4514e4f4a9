"""Operators' acts have their place in the order of batches: a replay gives the same bits."""

import json

import numpy as np
import pytest

from floorlog.core.catalogue import Catalogue
from floorlog.core.condition import Accepted, Acts
from floorlog.core.detect.acceptance import REASON
from floorlog.core.draft import Outcome
from floorlog.core.pipeline import Pipeline
from floorlog.core.protocol import Registered, StoredBatch, StoredReadings, StoredState
from floorlog.core.reading import Anomaly, Kind, Record
from floorlog.core.series import KnownSeries
from floorlog.core.why import LEARNED

T0_S = 1_767_225_600
SERIES = KnownSeries(7, "d", "m", Kind.NUMBER, "bar", 1)
ACCEPTED = Catalogue(acts=Acts((Accepted("d", "m", T0_S * 1_000_000),)))
BATCH = 50
CATALOGUES = {1: Catalogue().encode(), 2: ACCEPTED.encode()}


def records(first: int) -> list[Record]:
    """Noise that goes up by 40 deviations from reading 1000 on, one record a second."""
    values = np.random.default_rng(5).normal(size=2000)
    values[1000:] += 40
    made = []
    for n in range(first, first + BATCH):
        content = {"device_id": "d", "metric": "m", "ts": T0_S + n, "value": values[n]}
        made.append(Record(n, "d", (T0_S + n) * 1_000_000, json.dumps(content).encode()))
    return made


def commit(pipeline: Pipeline, first: int) -> Outcome:
    """Take one batch through all steps."""
    draft = pipeline.draft(records(first))
    keys, names = pipeline.unregistered(draft)
    if keys or names:
        pipeline.register(Registered((SERIES,), frozenset({7}), {}))
    assert pipeline.inspect(draft) is None
    outcome = pipeline.settle(draft, None, None)
    pipeline.accept(outcome)
    return outcome


def stored(number: int, outcome: Outcome, catalogue: int) -> StoredBatch:
    """The batch as take-over reads it."""
    kept = outcome.stored
    readings = StoredReadings(
        np.full(len(kept), 7, np.int32), kept.ts, kept.value, kept.quality, kept.arrival_s,
        outcome.conflict, outcome.late,
    )  # fmt: skip
    return StoredBatch(number, outcome.clock_s, catalogue, readings)


def run(accept_at: int | None) -> tuple[Pipeline, list[Anomaly], list[StoredBatch], list[bytes]]:
    """Judge it all; from batch `accept_at` on by the catalogue in which it was accepted."""
    pipeline = Pipeline(1)
    pipeline.adopt(1, CATALOGUES[1])
    found: list[Anomaly] = []
    tail: list[StoredBatch] = []
    dumps = []
    for number in range(40):
        if number == accept_at:
            pipeline.adopt(2, CATALOGUES[2])
        dumps.append(pipeline.dump(0))
        outcome = commit(pipeline, number * BATCH)
        found += outcome.anomalies
        tail.append(stored(number + 1, outcome, pipeline.catalogue_version))
    return pipeline, found, tail, dumps


@pytest.mark.slow
def test_an_acceptance_ends_the_finding_and_replays() -> None:
    """From every snapshot, with the batches after it, comes the state of the uninterrupted run."""
    pipeline, found, tail, dumps = run(accept_at=22)
    (ended,) = [event for event in found if REASON in event.reason]
    assert (
        ended.reason
        == f"m of d (bar): {REASON} [{ended.detector}, model {LEARNED[ended.detector]}]"
    )
    assert ended.at // 1_000_000 - T0_S == 22 * BATCH - 1
    starts = [event for event in found if event.detector in LEARNED and event.phase == "start"]
    assert starts[0].at // 1_000_000 - T0_S in range(1000, 1020)
    assert starts[-1].start == ended.start
    for place in (0, 21, 22, 23, 39):
        again = Pipeline(1)
        snapshot = dumps[place] if place else None
        state = StoredState(snapshot, (), tuple(tail[place:]), (SERIES,), {}, {}, CATALOGUES)
        again.restore(state, 0, (1 << 128) - 1)
        assert again.panel.dump(0) == pipeline.panel.dump(0), place


def test_the_record_is_told_when_a_series_is_known() -> None:
    """Learning from its first reading, calibrated once, and learning again once accepted."""
    pipeline = Pipeline(1)
    pipeline.adopt(1, CATALOGUES[1])
    told = {}
    for number in range(40):
        if number == 30:
            pipeline.adopt(2, CATALOGUES[2])
        for event in commit(pipeline, number * BATCH).calibration:
            told[number] = event
    assert list(told.values()) == [(7, False), (7, True), (7, False), (7, True)]
    first, ready, anew, again = told
    assert (first, anew) == (0, 30)
    assert 1 <= ready < 20
    assert anew < again


def test_what_is_not_committed_is_told_again() -> None:
    """After an undone batch its calibration is in the next one."""
    pipeline = Pipeline(1)
    draft = pipeline.draft(records(0))
    pipeline.register(Registered((SERIES,), frozenset({7}), {}))
    pipeline.inspect(draft)
    assert pipeline.settle(draft, None, None).calibration == ((7, False),)
    pipeline.undo()
    assert pipeline.settle(draft, None, None).calibration == ((7, False),)
