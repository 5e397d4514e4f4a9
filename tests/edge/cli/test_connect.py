"""How other programs reach the record."""

import psycopg
import pytest

pytestmark = pytest.mark.slow  # needs the whole of `up`


def test_dsn_is_that_of_a_reader(floorlog, up):
    """It connects as a role that can read the record and cannot change it."""
    answer = floorlog("dsn", "--data", str(up.data))
    assert answer.code == 0, answer.err
    with psycopg.connect(answer.out.strip()) as connection:
        assert connection.execute("SELECT count(*) >= 0 FROM reading").fetchone() == (True,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM floorlog.reject")


def test_without_services_it_says_so(floorlog, tmp_path):
    """One line names the directory and the fix."""
    answer = floorlog("dsn", "--data", str(tmp_path))
    assert answer.code == 1
    assert "no local services run here" in answer.err
