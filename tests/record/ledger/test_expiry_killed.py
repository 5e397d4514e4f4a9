"""Expiry killed at random moments: what stays is all there once, and what went is declared."""

import random
import subprocess
import sys
import time
from collections import Counter

import pytest
from aged import AGED, DAYS
from sealing import seal
from test_seal_killed import settled
from written import Ground, Written

from floorlog.record.act.act import acting
from floorlog.record.act.retention import set_policy, step
from floorlog.record.check.verify import verify
from floorlog.store.migrate import KEEPER, OPERATOR

KILLS = 5
VIEW = "SELECT * FROM floorlog.reading"
# A batch a step, each a transaction, that a kill may fall into.
CHILD = """
import sys
from floorlog.record.act.retention import step
from floorlog.store.link import Link
connection = Link(sys.argv[1], "keeper", 30).idle()
print("ready", flush=True)
found = True
while found:
    with connection.transaction():
        found = step(connection, 1)
"""


def shown(written: Written) -> Counter[str]:
    return Counter(repr(row) for row in written.run(VIEW))


def due(written: Written) -> None:
    """Seal all, and let the older half go."""
    seal(written)
    set_policy(
        written.dsn(OPERATOR), "*", DAYS * 3 // 4, from_active=False, by="Ann", reason="the law"
    )


def left(written: Written) -> bool:
    """Whether there is anything to expire: tried, and undone."""
    with acting(written.dsn(KEEPER)) as connection:
        found = step(connection, 1)
        connection.rollback()
    return found is not None


def goal(ground: Ground) -> Counter[str]:
    """What an expiry that nobody kills leaves."""
    with ground.copy(AGED) as whole:
        due(whole)
        with acting(whole.dsn(KEEPER)) as connection:
            while step(connection, 100):
                pass
        return shown(whole)


def kill(written: Written, seconds: float) -> bool:
    """Expire in a process that is killed; whether that met it at work."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, written.dsn(KEEPER)], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    time.sleep(seconds)
    met = child.poll() is None
    child.kill()
    child.wait()
    child.stdout.close()
    settled(written)
    return met


def kill_often(ground: Ground, kills: int, seed: int) -> int:
    """So many kills, over as many records as that takes; how many met it at work."""
    dice = random.Random(seed)
    print(f"kills at random: seed {seed}")
    expected = goal(ground)
    done = met = 0
    while done < kills:
        with ground.copy(AGED) as written:
            due(written)
            before = shown(written)
            while done < kills and left(written):
                met += kill(written, dice.uniform(0.0, 0.15))
                done += 1
                now = shown(written)
                assert expected <= now <= before, "what stays is there, and nothing came"
                before = now
            with acting(written.dsn(KEEPER)) as connection:
                while step(connection, 100):
                    pass
            assert shown(written) == expected
            written.keep()
            report = verify(written.dsn(), written.anchor)
            assert report.wrong == []
            ((stored,),) = written.run("SELECT sum(stored) FROM floorlog.batch")
            assert report.readings + report.expired_readings == stored
            assert report.readings == expected.total()
    return met


@pytest.mark.slow
def test_expiry_killed_at_random(aged_ground) -> None:
    """Five times in CI."""
    assert kill_often(aged_ground, KILLS, seed=1) > 0


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_expiry_killed_fifty_times(aged_ground) -> None:
    """Fifty times in the long run."""
    assert kill_often(aged_ground, 50, seed=time.time_ns()) > 0
