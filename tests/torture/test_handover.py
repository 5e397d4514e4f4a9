"""How long a shard is without a reader: after a kill, and after an orderly end."""

import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from faults import TAKE_OVER_SECONDS, raised
from producer import Producer

HAND_OVER_SECONDS = 2.0
pytestmark = pytest.mark.slow


def test_take_over_and_hand_over_are_quick(new_site) -> None:
    """After kill -9 the survivor reads within the lease and 2 s; after SIGTERM within 2 s."""
    with new_site() as site, Producer(site) as producer:
        killed, ended = site.add_worker(), site.add_worker()
        site.wait_held()
        site.wait_progress()
        held = site.held(killed)
        began = time.monotonic()
        site.end_worker(killed, signal.SIGKILL)
        raised(site, held)
        took_over = time.monotonic() - began

        heir = site.add_worker()
        site.wait_held()
        site.wait_progress()
        held = site.held(ended)
        began = time.monotonic()
        site.signal(ended, signal.SIGTERM)
        raised(site, held)
        handed_over = time.monotonic() - began
        code = site.workers.pop(ended).wait(10)
        gone = time.monotonic() - began

        site.wait_progress()
        assert {stand.owner.rpartition("-")[0] for stand in site.stands().values()} == {heir}
        print(f"take-over {took_over:.2f} s, hand-over {handed_over:.2f} s, ended {gone:.2f} s")
        ledger = producer.finish()
        site.wait_stored(len(ledger.owed))
        ledger.assert_kept(site)
    assert took_over <= TAKE_OVER_SECONDS
    assert code == 0
    assert max(handed_over, gone) <= HAND_OVER_SECONDS
