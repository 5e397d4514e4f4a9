"""Sealing a record of everything: all still verifies, and every proof is what it was."""

import numpy as np
import pytest
from sealing import seal

from floorlog.record.check.sealed import _order
from floorlog.record.check.verify import verify
from floorlog.store.chunk import CONFLICT, LATE, Sealed


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


@pytest.mark.slow
def test_a_device_is_verified_out_of_chunks(written) -> None:
    """Its batches are found by what is sealed, as they were by open rows."""
    before = verify(written.dsn(), written.anchor, device="oven")
    seal(written)
    after = verify(written.dsn(), written.anchor, device="oven")
    assert (after.ok, after.readings, after.entries) == (True, before.readings, before.entries)
    assert after.entries > 0


@pytest.mark.slow
def test_a_sealed_reading_of_no_batch_is_found(written) -> None:
    """A chunk that was put in beside the others, of a batch that never was."""
    seal(written)
    written.run(
        "CREATE TEMP TABLE one AS SELECT * FROM floorlog.chunk LIMIT 1;"
        "UPDATE one SET part = 99, number_min = 900, number_max = 900, number_narrow = NULL,"
        " number_wide = NULL;"
        "INSERT INTO floorlog.chunk SELECT * FROM one"
    )
    found = verify(written.dsn(), written.anchor)
    assert not found.ok
    assert any(one.where == "chunk" and "of no batch" in one.says for one in found.wrong)


@pytest.mark.parametrize("flags", [[CONFLICT, LATE], [LATE, CONFLICT]])
def test_what_stands_comes_before_what_contradicts_it(flags: list[int]) -> None:
    """Also where an older keeper cut the two apart, and the later half is read first."""
    same, none = np.full(2, 7), np.zeros(2, np.int64)
    found = Sealed(none, same, same, same, np.array([1.0, 2.0]), none, none, np.array(flags))
    assert found.take(_order(found, 7)).flags.tolist() == [LATE, CONFLICT]
