"""A detector that fails, in real workers: everything is stored, and an alarm says so."""

import signal
import sys
import time
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from ground import wait_until
from producer import Ledger, put_all

# Python imports a module of this name at its start: so the worker has one more detector.
MORE = '''
import floorlog.core.detect as registry
from floorlog.core.detect.detector import Detector, Verdict


class Fragile(Detector):
    """Fails at every value that ends in 00 to 09. Source: a test."""

    name = "fragile"

    def judge(self, sample, memory, asked):
        if (sample.value % 100 < 10).any():
            raise ZeroDivisionError("fragile indeed")
        return Verdict(sample.value < 0, sample.value, sample.previous)


registry.DETECTORS = (*registry.DETECTORS, Fragile())
'''
READINGS = 1_000
DEVICES = 10


def readings(first: int, count: int, ledger: Ledger) -> list[tuple[str, bytes]]:
    """Records of one reading each."""
    made = []
    now_ms = time.time_ns() // 1_000_000
    for n in range(first, first + count):
        device, ts = f"d{n % DEVICES}", now_ms - 60_000 + n
        made.append(
            (
                device,
                msgspec.json.encode({"device_id": device, "metric": "m", "ts": ts, "value": n}),
            )
        )
        ledger.owed[n] = (device, "m", ts * 1000)
    return made


@pytest.mark.long
def test_a_detector_that_fails_stops_no_worker(new_site, tmp_path: Path) -> None:
    """Also after a kill in between: stored once each, with an alarm and a line of the log a shard.

    Works the same when the worker that takes over has no such detector any more.
    """
    (tmp_path / "sitecustomize.py").write_text(MORE)
    ledger = Ledger()
    with new_site() as site:
        name = site.add_worker(PYTHONPATH=str(tmp_path))
        put_all(site, readings(1, READINGS, ledger))
        site.wait_stored(READINGS)
        site.end_worker(name, signal.SIGKILL)
        assert "the detector fragile failed (ZeroDivisionError at" in site.log(name).read_text()
        for more, variables in ((1, {"PYTHONPATH": str(tmp_path)}), (2, {})):
            name = site.add_worker(**variables)
            put_all(site, readings(1 + more * READINGS, READINGS, ledger))
            site.wait_stored((1 + more) * READINGS)
            site.end_worker(name, signal.SIGKILL)
        ledger.assert_kept(site)
        query = (
            "SELECT lease_id, count(*) FROM floorlog.anomaly"
            " WHERE detector = 'set_aside:fragile' AND phase = 'start' GROUP BY 1"
        )
        # Ten minutes have not passed: each shard said so once, whoever had it.
        assert [count for _, count in site.rows(query)] == [1, 1]
        alarms = "SELECT DISTINCT state FROM floorlog.alarm WHERE detector = 'set_aside:fragile'"
        assert wait_until("the alarm", lambda: site.rows(alarms)) == [("unacknowledged",)]
