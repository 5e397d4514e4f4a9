"""What a drill compares: a bounded part, cut at the same places of the stream in both records."""

import pytest

from floorlog.local.drill_rows import as_far, first_part, readings, stands

pytestmark = pytest.mark.slow  # writes a record of many rows

STORED = "SELECT coalesce(sum(stored), 0) FROM floorlog.batch WHERE lease_id = %s AND number <= %s"
START_US = -(10**18)


def test_the_part_is_bounded_and_as_large_as_may_be(written) -> None:
    """No more readings than asked for, and one batch further would be more."""
    upto = stands(written.dsn())
    assert set(upto) == {"shard-0", "shard-1", "shard-2"}
    for readings_max in (1, 40, 75, 10**6):
        part = first_part(written.dsn(), {}, upto, readings_max)
        for shard, stand in upto.items():
            number = part[shard].number if shard in part else 0
            stored = written.run(STORED, stand.lease_id, number)[0][0]
            following = written.run(STORED, stand.lease_id, number + 1)[0][0]
            assert stored <= readings_max
            assert number == stand.number or following > readings_max
        found = readings(written.dsn(), {}, part, START_US)
        assert sum(found.values()) == sum(
            written.run(STORED, stand.lease_id, stand.number)[0][0] for stand in part.values()
        )
        # The same stream in the same batches reaches as far with the same batch.
        assert as_far(written.dsn(), {}, {**upto}, part) == part
    assert first_part(written.dsn(), {}, upto, 10**6) == upto


def test_what_lies_between_two_stands_alone(written) -> None:
    """Readings of batches after one stand, up to another; each once for each time it is stored."""
    upto = stands(written.dsn())
    part = first_part(written.dsn(), {}, upto, 75)
    first = readings(written.dsn(), {}, part, START_US)
    rest = readings(written.dsn(), part, upto, START_US)
    assert first + rest == readings(written.dsn(), {}, upto, START_US)
    assert (
        sum((first + rest).values()) == written.run("SELECT count(*) FROM floorlog.reading")[0][0]
    )
