"""Sealing a record of everything: all still verifies, and every proof is what it was."""

import pytest
from sealing import seal

from floorlog.record.verify import verify


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
