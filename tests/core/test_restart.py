"""A shard that is killed and taken over goes on bit for bit, although its rows are others."""

import json

import numpy as np
import pytest

from floorlog.core.detect.acceptance import REASON
from floorlog.core.draft import Outcome
from floorlog.core.pipeline import Pipeline
from floorlog.core.protocol import Registered, StoredBatch, StoredReadings, StoredState
from floorlog.core.reading import Kind, Record
from floorlog.core.series import KnownSeries

T0_S = 1_767_225_600
BATCHES, LENGTH = 45, 20
FAULT = range(500, 700)
DEVICES = ("d3", "d1", "d0", "d2")  # in order of first sight
IDS = {"d0": 5, "d1": 6, "d2": 7, "d3": 8}
SERIES = tuple(KnownSeries(IDS[d], d, "m", Kind.NUMBER, None, 1) for d in sorted(IDS))
WHOLE = (0, (1 << 128) - 1)
CATALOGUE = json.dumps({"devices": {device: {"asset": "line"} for device in DEVICES}}).encode()
ACCEPTED = json.dumps(
    {
        **json.loads(CATALOGUE),
        "acts": {"accepted": [{"device": "d0", "metric": "m", "at_us": (T0_S + 600) * 1_000_000}]},
    }
).encode()
CATALOGUES = {1: CATALOGUE, 2: ACCEPTED}


def records(number: int) -> list[Record]:
    """A reading a second of four sensors of one asset, of which three always say the same."""
    values = np.random.default_rng(11).normal(size=(BATCHES * LENGTH, 2))
    values[FAULT, 0] += 6.0
    made = []
    for n in range(number * LENGTH, (number + 1) * LENGTH):
        for place, device in enumerate(DEVICES):
            value = values[n, int(device == "d2")]
            content = {"device_id": device, "metric": "m", "ts": T0_S + n, "value": value}
            data = json.dumps(content).encode()
            made.append(Record(9 * n + place, "k", (T0_S + n) * 1_000_000, data))
    return made


class Shard:
    """A pipeline, and what the record holds of it."""

    def __init__(self, late: int = 0) -> None:
        """`late`: the first batch with readings of d2."""
        self.late = late
        self.pipeline = Pipeline(1)
        self.tail: list[StoredBatch] = []
        self.dumps: list[bytes] = []
        self.events: list[tuple[object, ...]] = []

    def commit(self, number: int) -> Outcome:
        """One batch; by another version of the catalogue in the middle of the fault."""
        pipeline = self.pipeline
        version = 1 + (number >= 30)
        if pipeline.catalogue_version != version:
            pipeline.adopt(version, CATALOGUES[version])
        self.dumps.append(pipeline.dump(0))
        there = number >= self.late
        draft = pipeline.draft([one for one in records(number) if there or b'"d2"' not in one.data])
        keys, _ = pipeline.unregistered(draft)
        for key in keys:  # one at a time: rows then are in order of first sight, not of ids
            one = KnownSeries(IDS[key.device], key.device, "m", key.kind, None, 1)
            pipeline.register(Registered((one,), frozenset({one.series_id}), {}))
        assert pipeline.inspect(draft) is None
        outcome = pipeline.settle(draft, None, None)
        pipeline.accept(outcome)
        kept, ids = outcome.stored, pipeline.table.id
        readings = StoredReadings(
            ids[kept.row], kept.ts, kept.value, kept.quality, kept.arrival_s, outcome.conflict,
            outcome.late,
        )  # fmt: skip
        self.tail.append(StoredBatch(number + 1, outcome.clock_s, version, readings))
        named = [
            (int(ids[e.row]), e.detector, e.phase, e.start, e.at, e.score, e.reason)
            for e in outcome.anomalies
        ]
        self.events += [(number, *event) for event in sorted(named)]
        self.events += [(number, "told", *told) for told in sorted(outcome.calibration)]
        return outcome

    def killed(self, snapshot: int) -> None:
        """Another worker goes on from a snapshot and what was committed after it."""
        blob = self.dumps[snapshot] if snapshot else None
        table = self.pipeline.table
        known = tuple(one for one in SERIES if table.knows(one.series_id))
        hashes = {one.series_id: self.pipeline.hashes[table.row_of(one.series_id)] for one in known}
        tail = tuple(self.tail[snapshot:])
        state = StoredState(blob, (), tail, known, hashes, {}, CATALOGUES)
        self.pipeline = Pipeline(1)
        self.pipeline.restore(state, *WHOLE)
        for row in range(len(self.pipeline.table)):  # what the record would answer when asked
            self.pipeline.marks.known[row] = True


def judged(seed: int | None) -> Shard:
    """All batches, killed at places of the seed's choice."""
    shard = Shard()
    chance = np.random.default_rng(seed)
    for number in range(BATCHES):
        shard.commit(number)
        if seed is not None and chance.random() < 0.25:
            shard.killed(int(chance.integers(max(0, number - 8), number + 1)))
    return shard


@pytest.mark.slow
def test_killed_at_any_places_it_finds_and_keeps_the_same_bits() -> None:
    """Equal sensors lead by their ids, acceptances end what they must, and nothing is told twice.

    Two runs without a kill and three with many: the same findings, calibration and state.
    """
    whole = judged(None)
    assert [key for key, _ in whole.pipeline.table.keys] == list(DEVICES)
    assets = [event[1:4] for event in whole.events if event[2] == "asset_shift"]
    assert assets[0] == (5, "asset_shift", "start")
    ends = [event for event in whole.events if event[2:4] == ("asset_shift", "end")]
    assert (ends[0][:2], REASON in str(ends[0][-1])) == ((30, 5), True)  # when it was accepted
    told = [event for event in whole.events if event[1] == "told"]
    assert len(told) == 8 + 2  # learning and ready, of four; learning and ready again, of one
    for seed in range(3):
        again = judged(seed)
        assert [key for key, _ in again.pipeline.table.keys] == sorted(DEVICES)
        assert again.events == whole.events, seed
        assert again.pipeline.dump(0) == whole.pipeline.dump(0), seed


@pytest.mark.slow
def test_killed_after_a_sensor_came_it_keeps_the_same_bits() -> None:
    """Batches from before a sensor's first reading are replayed as if nobody knew of it."""
    shards = Shard(late=12), Shard(late=12)
    for number in range(20):
        for shard in shards:
            shard.commit(number)
        if number == 15:
            shards[1].killed(6)
    whole, again = shards
    pairs = whole.pipeline.panel._cells.columns("broken_correlation")["count"]
    assert (pairs > 0.0).sum() == 6  # each pair of the four is compared
    assert again.events == whole.events
    assert again.pipeline.dump(0) == whole.pipeline.dump(0)


def test_what_a_newer_release_learns_afresh_the_record_hears() -> None:
    """Of series whose memory means something else now: learning, then ready; once each."""
    shard = Shard()
    for number in range(8):
        shard.commit(number)
    old = shard.pipeline.dump(0)
    assert b"unusual.2." in old
    shard.dumps.append(old.replace(b"unusual.2.", b"unusual.1."))
    shard.killed(8)
    shard.dumps.pop()
    shard.events.clear()
    for number in range(8, 14):
        shard.commit(number)
    told = [event[2:] for event in shard.events if event[1] == "told"]
    ids = sorted(IDS.values())
    assert told == [(one, False) for one in ids] + [(one, True) for one in ids]
