"""One series in two shards, with retries in both: each reading is stored once."""

import signal
import sys
import time
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from faults import raised
from ground import LEASE_SECONDS
from producer import Ledger, put_all

from floorlog.core.series import hash_key

ROUNDS = 20
READINGS = 100  # a round and shard
pytestmark = pytest.mark.slow


def keys() -> tuple[str, str]:
    """A partition key for each of two shards."""
    tried = [str(n) for n in range(100)]
    low = next(key for key in tried if hash_key(key) < 2**127)
    return low, next(key for key in tried if hash_key(key) >= 2**127)


def test_one_series_through_two_shards(new_site) -> None:
    """Every reading comes four times, by both shards, around a worker's death: stored once."""
    ledger = Ledger()
    value, sent = 0, 0
    start_ms = time.time_ns() // 1_000_000 - 60_000
    with new_site() as site:
        workers = [site.add_worker(), site.add_worker()]
        site.wait_held()
        began = time.monotonic()
        for turn in range(ROUNDS):
            records = []
            for key in keys():
                batch = []
                for _ in range(READINGS):
                    value += 1
                    ts = start_ms + value
                    batch.append({"device_id": "d", "metric": "m", "ts": ts, "value": value})
                    ledger.owed[value] = ("d", "m", ts * 1000)
                records.append((key, msgspec.json.encode(batch)))
            (low, one), (high, two) = records
            # Each at its own shard, a retry at once, and both again at the other's.
            sendings = [*records, *records, (high, one), (low, two), (high, one), (low, two)]
            put_all(site, sendings)
            sent += len(sendings) * READINGS
            if turn == ROUNDS // 2:
                held = site.held(workers[0])
                site.end_worker(workers[0], signal.SIGKILL)
                raised(site, held)
        site.wait_received(sent)
        seconds = time.monotonic() - began
        ledger.assert_kept(site)
        assert site.count("duplicate") == sent - len(ledger.owed)
        assert site.count("conflict") == 0
        stored = [stand.number for stand in site.stands().values()]
        print(
            f"{sent} readings in {seconds:.1f} s around a take-over of {LEASE_SECONDS} s: {stored}"
        )
