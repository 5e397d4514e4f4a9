"""Sealing a record of everything: all still verifies, and every proof is what it was."""

import pytest

from floorlog.record.seal import Sealer
from floorlog.record.verify import verify
from floorlog.store.link import Link
from floorlog.store.migrate import KEEPER


def seal(written) -> int:
    """Seal all that is there; returns how many readings went through steps."""
    link = Link(written.dsn(KEEPER), "keeper", 30)
    try:
        sealer = Sealer(link.idle(), quiet_s=0, age_s=0)
        while sealer.step():
            pass
        assert sealer.refused == 0
        return sealer.readings
    finally:
        link.close()


@pytest.mark.slow
def test_a_sealed_record_verifies(written) -> None:
    """Every leaf comes out of chunks as it came out of open rows."""
    before = verify(written.dsn(), written.anchor)
    assert before.ok
    assert seal(written) >= before.readings > 100
    assert written.run("SELECT count(*) FROM floorlog.open_row") == [(0,)]
    after = verify(written.dsn(), written.anchor)
    assert after.wrong == []
    assert (after.ok, after.readings, after.entries) == (True, before.readings, before.entries)
