"""Where a consumer stands: what was lost is a gap, from the first arrival that may be missing."""

from floorlog.core.cursor import Cursor, Limits
from floorlog.core.protocol import Fetched
from floorlog.core.reading import MICROSECONDS, Record

MADE = 1_000_200_000  # when the lease was made, µs
RETENTION_S = 8.0


def fetched(*arrivals: int) -> Fetched:
    records = tuple(Record(n, "k", at, b"{}") for n, at in enumerate(arrivals, 1))
    return Fetched(records, "next", 0)


def cursor(*, fresh: bool) -> Cursor:
    made = Cursor(Limits(), -1, MADE, fresh)
    made.retention_s = RETENTION_S
    return made


def test_a_loss_before_the_lease_was_made_is_in_the_gap():
    """What the shard held when its lease was made is lost with the rest if nobody reads in time.

    Found by the simulation's seed 1260: the gap began with the lease, 200 ms too late.
    """
    at = cursor(fresh=True)
    now = MADE + 18 * MICROSECONDS
    at.take_in(fetched(), now)
    (gap,) = at.gaps
    assert gap.begin <= MADE - int(RETENTION_S * MICROSECONDS)
    assert gap.end == now - int(RETENTION_S * MICROSECONDS)


def test_a_gap_begins_where_was_read_before():
    """A child's shard, or one that was read, holds nothing older than that."""
    for at in (cursor(fresh=False), cursor(fresh=True)):
        if at.fresh:
            at.take_in(fetched(), MADE + MICROSECONDS)  # nothing is there: read up to now
        begin = at.read_at
        at.take_in(fetched(), MADE + 18 * MICROSECONDS)
        (gap,) = at.gaps
        assert gap.begin == begin


def test_a_shard_that_is_read_in_time_has_no_gap():
    """Records older than the lease that are still there are read, not lost."""
    at = cursor(fresh=True)
    at.take_in(fetched(MADE - MICROSECONDS, MADE), MADE + MICROSECONDS)
    assert not at.gaps
    assert len(at.pending) == 2


def test_a_fresh_shard_that_is_gone_is_lost_from_the_first():
    """The shard vanished unread: the gap covers what it could still hold."""
    at = cursor(fresh=True)
    at.lose_rest(MADE + MICROSECONDS)
    (gap,) = at.gaps
    assert gap.begin == MADE - int(RETENTION_S * MICROSECONDS)
