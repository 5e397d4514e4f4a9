"""Sealing killed at random moments: nothing is lost, nothing doubled, and all still verifies."""

import random
import subprocess
import sys
import time

import pytest
from sealing import seal
from written import more

from floorlog.record.check.verify import verify
from floorlog.store.migrate import KEEPER

KILLS = 5
VIEW = "SELECT * FROM floorlog.reading"
# Many small steps, each a transaction, that a kill may fall into.
CHILD = """
import sys
from floorlog.record.seal import seal
from floorlog.store.link import Link
seal.STEP_READINGS_MAX, seal.PAGE_ROWS_MIN, seal.PAGE_ROWS_MAX = 7, 1, 1
sealer = seal.Sealer(Link(sys.argv[1], "keeper", 30).idle(), quiet_s=0, age_s=0)
print("ready", flush=True)
while sealer.step():
    pass
"""


def shown(written) -> list[str]:
    return sorted(repr(row) for row in written.run(VIEW))


def settled(written) -> None:
    """Wait until the server has noticed that the killed session's client is gone."""
    deadline = time.monotonic() + 60
    while written.run(
        "SELECT FROM pg_stat_activity WHERE application_name = 'floorlog keeper'"
        " AND datname = current_database()"
    ):
        assert time.monotonic() < deadline, "a killed session does not end"
        time.sleep(0.02)


def kill_often(written, kills: int, seed: int) -> int:
    """Seal in a process that is killed so often; returns how many kills met it at work."""
    dice = random.Random(seed)
    expected = shown(written)
    met = 0
    for turn in range(kills):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, written.dsn(KEEPER)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(dice.uniform(0.0, 0.05))
        met += child.poll() is None
        child.kill()
        child.wait()
        child.stdout.close()
        settled(written)
        assert shown(written) == expected
        if not written.run("SELECT FROM floorlog.open_row LIMIT 1"):
            more(written, f"shard-{10 + turn}")
            expected = shown(written)
    seal(written)
    assert shown(written) == expected
    written.keep()
    report = verify(written.dsn(), written.anchor)
    assert report.wrong == []
    assert report.readings == len(expected)
    return met


@pytest.mark.slow
def test_sealing_killed_at_random(written) -> None:
    """Five times in CI."""
    assert kill_often(written, KILLS, seed=1) > 0


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_sealing_killed_fifty_times(written) -> None:
    """Fifty times in the long run."""
    assert kill_often(written, 50, seed=time.time_ns()) > 0
