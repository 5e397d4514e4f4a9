"""The consumer's own decisions that no simulated world has to provoke."""

import json

import numpy as np
import pytest
import zstandard

from floorlog.core.consumer import Consumer
from floorlog.core.cursor import Limits
from floorlog.core.pipeline import Pipeline
from floorlog.core.protocol import (
    Commit,
    Committed,
    Fetch,
    Fetched,
    Foreign,
    ForeignReadings,
    Lease,
    Load,
    Register,
    Registered,
    Renew,
    Renewed,
    Seek,
    Sought,
    StoredReadings,
    StoredState,
    Timed,
)
from floorlog.core.reading import MICROSECONDS, Batch, Kind, Record
from floorlog.core.series import KnownSeries

LEASE = Lease(1, "shard", 1, 0, -1, 0, -1, -1, (), 0, (1 << 128) - 1)


def record(sequence: int, readings: int) -> Record:
    """Readings of one device as compressed JSON lines."""
    lines = [
        json.dumps({"device_id": "d", "metric": "m", "ts": 1_767_225_600_000 + n, "value": n})
        for n in range(sequence * readings, (sequence + 1) * readings)
    ]
    return Record(sequence, "d", 10**15, zstandard.compress("\n".join(lines).encode()))


@pytest.mark.slow
@pytest.mark.parametrize(("readings", "most"), [(1_000, 10_000), (20_000, 20_000)])
def test_a_first_batch_of_dense_records_is_not_larger_than_others(readings, most):
    """A byte may hold far more than guessed: one batch must not take longer than a lease.

    What a record holds by itself is the least that a batch can be.
    """
    consumer = Consumer(LEASE, Limits(batch_readings=5_000), Pipeline(1))
    consumer.cursor.pending.extend(record(n, readings) for n in range(1, 31))
    guessed = consumer.cursor.next_records()
    assert len(guessed) > 1
    draft = consumer._draft()
    assert 0 < len(draft.decoded.row) <= most
    assert draft.records == guessed[: len(draft.records)]
    assert len(consumer.cursor.next_records()) <= max(1, most // readings)


def test_a_new_shards_first_snapshot_waits() -> None:
    """A backlog's first minute is not spent on keeping a state that was just begun."""
    batches = committed(Consumer(LEASE, Limits(snapshot_first_s=30.0), Pipeline(1)), 40)
    assert [batch.number for batch in batches if batch.snapshot is not None] == [32]


def committed(consumer: Consumer, count: int) -> list[Batch]:
    """What a consumer commits of a new shard of one record a second; everything succeeds."""
    nothing = StoredReadings(*(np.zeros(0, kind) for kind in "ilfIl??"))
    replies = {
        Load: StoredState(None, (), (), (), {}, {}, {0: b"{}"}),
        Foreign: ForeignReadings(nothing, 0),
        Renew: Renewed(0, 0, False),
        Seek: Sought("0", 86_400.0),
        Commit: Committed(0, 0, False),
        Register: Registered((KnownSeries(1, "d", "m", Kind.NUMBER, None, 1),), frozenset({1}), {}),
    }
    batches: list[Batch] = []
    steps = consumer.run()
    command, now_s = next(steps), 0.0
    while len(batches) < count:
        now_s += 1.0
        reply = replies.get(type(command))
        if isinstance(command, Fetch):
            place = int(command.iterator) + 1
            line = json.dumps({"device_id": "d", "metric": "m", "ts": place, "value": 1.5})
            arrival = (1_767_225_600 + place) * MICROSECONDS
            reply = Fetched((Record(place, "d", arrival, line.encode()),), str(place), 0)
        elif isinstance(command, Commit):
            batches.append(command.batch)
        command = steps.send(Timed(reply, now_s))
    return batches
