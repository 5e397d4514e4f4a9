"""Findings on states say the state's name, which only the record's codes stand for inside."""

import json

from floorlog.core.catalogue import Catalogue, Metric
from floorlog.core.pipeline import Pipeline
from floorlog.core.protocol import Registered
from floorlog.core.reading import Kind, Record
from floorlog.core.series import KnownSeries

T0_S = 1_767_225_600
STATES = ("running", "fault", "jammed")


def record(second: int, state: str) -> Record:
    content = {"device_id": "d", "metric": "status", "ts": T0_S + second, "value": state}
    return Record(second, "d", (T0_S + second) * 1_000_000, json.dumps(content).encode())


def test_an_abnormal_state_is_named() -> None:
    """The reason holds the name of the state that the series is in."""
    metric = Metric(states=STATES, abnormal=STATES[1:])
    pipeline = Pipeline(1, catalogue=Catalogue(metrics={"status": metric}))
    draft = pipeline.draft([record(0, "running"), record(1, "jammed"), record(2, "running")])
    series = KnownSeries(7, "d", "status", Kind.STATE, None, 1)
    codes = {name: number for number, name in enumerate(STATES, 10)}
    pipeline.register(Registered((series,), frozenset({7}), codes))
    assert pipeline.inspect(draft) is None
    start, end = pipeline.settle(draft, None, None).anomalies
    assert (start.detector, start.phase, end.phase) == ("off_normal", "start", "end")
    assert start.reason == (
        "status of d: jammed: in a state that the catalogue names abnormal "
        "[off_normal, catalogue 0]"
    )
    assert "back in a normal state" in end.reason
