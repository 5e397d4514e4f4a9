"""Back-test: two configurations, the same readings, and what differs."""

import json

import numpy as np

from floorlog.core.backtest import Columns, Judge, compare
from floorlog.core.catalogue import Catalogue, Device, Limits, Metric
from floorlog.core.reading import Record

T0_S = 1_767_225_600
HI = {hi: Catalogue(metrics={"m": Metric(limits=Limits(hi=hi, off_delay_s=0))}) for hi in (5, 8)}


def records(values: list[float]) -> list[Record]:
    """One device at 1 Hz, a record a reading."""
    return [
        Record(
            n, "d", (T0_S + n) * 1_000_000,
            json.dumps({"device_id": "d", "metric": "m", "ts": T0_S + n, "value": v}).encode(),
        )
        for n, v in enumerate(values)
    ]  # fmt: skip


def columns(device: str, values: list[float], begin_s: int = T0_S) -> Columns:
    """One series as the record gives it, live."""
    seconds = begin_s + np.arange(len(values))
    quality = np.zeros(len(values), np.int64)
    return Columns(device, "m", None, seconds * 1_000_000, np.array(values), quality, seconds)


def test_records_and_columns_give_the_same_findings() -> None:
    """What comes by the wire and what comes out of the record is judged alike, as by the worker."""
    values = [1.0, 6, 9, 9, 4, 9, 4, 6]
    one, two = Judge(HI[5], 3), Judge(HI[5], 3)
    for begin in range(0, len(values), 3):
        one.records(records(values)[begin : begin + 3])
        part = values[begin : begin + 3]
        two.columns([columns("d", part, T0_S + begin)])
    assert one.findings() == two.findings()
    told = [
        (f.start // 1_000_000 - T0_S, f.end and f.end // 1_000_000 - T0_S) for f in one.findings()
    ]
    assert told == [(1, 4), (5, 6), (7, None)]
    assert one.findings()[0].reason == "m of d: 6 is above the high limit 5 [limit, catalogue 3]"


def test_what_differs_is_named() -> None:
    """Gained, lost and kept are told apart by series, detector and time; hours are per sensor."""
    values = [1.0, 6, 1, 9, 9, 1] + [1.0] * 355
    present, asked = Judge(HI[8]), Judge(HI[5])
    for judge in (present, asked):
        judge.columns([columns("d", values), columns("e", [1.0] * 361)])
    report = compare(present, asked)
    assert (report.readings, report.series) == (2 * 361, 2)
    assert report.sensor_hours == 0.2
    assert (report.present.findings, report.asked.findings) == (1, 2)
    assert report.asked.per_1000_sensor_hours == 10000.0
    assert report.asked.by_detector == {"limit": 2}
    assert report.asked.peak_10_min == 2
    assert [f.start // 1_000_000 - T0_S for f in report.gained] == [1]
    assert report.lost == []
    assert compare(asked, present).lost == report.gained


def test_the_first_of_an_asset_is_its_first_out() -> None:
    """Of several devices of an asset, the finding that began first."""
    devices = {"d": Device(asset="line"), "e": Device(asset="line")}
    catalogue = Catalogue(metrics=HI[5].metrics, devices=devices)
    present, asked = Judge(Catalogue()), Judge(catalogue)
    for judge in (present, asked):
        judge.columns([columns("d", [1, 1, 9, 9]), columns("e", [1, 9, 9, 9])])
    found = compare(present, asked).asked.first_out
    assert list(found) == ["line"]
    assert found["line"].device == "e"


def test_states_and_their_names() -> None:
    """State series out of the record are judged by their names."""
    catalogue = Catalogue(metrics={"m": Metric(abnormal=("fault",))})
    judge = Judge(catalogue)
    seconds = T0_S + np.arange(3)
    zeros = np.zeros(3, np.int64)
    states = ["run", "fault", "run"]
    judge.columns([Columns("d", "m", None, seconds * 1_000_000, states, zeros, seconds)])
    (found,) = judge.findings()
    assert found.reason.startswith("m of d: fault: in a state")


def test_what_was_imported_later_makes_nobody_silent() -> None:
    """Readings that arrived a year later do not move the clock by which others are silent."""
    judge = Judge(Catalogue())
    old = columns("old", [1.0, 2.0] * 50)
    old.arrival_s = old.arrival_s + 31_000_000
    for begin in range(0, 100, 10):
        live = columns("live", [1.0, 2.0] * 5, T0_S + begin)
        judge.columns([live, old] if begin == 50 else [live])
    assert judge.findings() == []
