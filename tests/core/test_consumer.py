"""The consumer's own decisions that no simulated world has to provoke."""

import json

import pytest
import zstandard

from floorlog.core.consumer import Consumer
from floorlog.core.cursor import Limits
from floorlog.core.pipeline import Pipeline
from floorlog.core.protocol import Lease
from floorlog.core.reading import Record

LEASE = Lease(1, "shard", 1, 0, -1, 0, -1, -1, (), 0, (1 << 128) - 1)


def record(sequence: int, readings: int) -> Record:
    """Readings of one device as compressed JSON lines."""
    lines = [
        json.dumps({"device_id": "d", "metric": "m", "ts": 1_767_225_600_000 + n, "value": n})
        for n in range(sequence * readings, (sequence + 1) * readings)
    ]
    return Record(sequence, "d", 10**15, zstandard.compress("\n".join(lines).encode()))


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
