"""Leases: who may take what, when, and what a child takes over from its parents."""

import time
from datetime import timedelta

import psycopg

from floorlog.core.protocol import (
    Commit,
    Failed,
    Fenced,
    Lease,
    Register,
    Registered,
    Release,
    Renew,
    Renewed,
    Shard,
    Survey,
    Surveyed,
    Take,
    Want,
)
from floorlog.core.reading import Kind
from floorlog.core.series import SeriesKey, hash_key
from floorlog.store.leases import parents_first

HALF = 2**127
WHOLE = Shard("parent", (), 0, 2 * HALF - 1)
LOW = Shard("low", ("parent",), 0, HALF - 1)
HIGH = Shard("high", ("parent",), HALF, 2 * HALF - 1)


def test_a_survey_says_alive_each_time_and_sees_a_shard_that_came(record) -> None:
    """Also from the second on, which ask for everything at once."""
    ann = record.store("ann")
    for count in (2, 2, 2, 3):
        record.run("UPDATE floorlog.worker SET seen_at = '2026-01-01'")
        seen = ann.survey(Survey(record.shards(count)))
        assert isinstance(seen, Surveyed)
        assert (len(seen.leases), seen.workers) == (count, ("ann",))


def test_a_survey_that_failed_asks_anew_what_the_stream_is(record) -> None:
    """The record may be another: what was put back can number its streams otherwise."""
    ann = record.store("ann")
    for _ in range(2):
        ann.survey(Survey(record.shards(1)))
    record.run("DELETE FROM floorlog.worker")
    record.run("DELETE FROM floorlog.lease")
    record.run("DELETE FROM floorlog.stream")
    assert isinstance(ann.survey(Survey(record.shards(1))), Failed)
    seen = ann.survey(Survey(record.shards(1)))
    assert isinstance(seen, Surveyed)
    assert (len(seen.leases), seen.workers) == (1, ("ann",))


def test_a_survey_makes_a_lease_for_every_shard_once(record) -> None:
    """However often and by however many workers surveyed: one lease a shard, all workers seen."""
    ann, bob = record.store("ann"), record.store("bob")
    first = ann.survey(Survey(record.shards(3)))
    second = bob.survey(Survey(record.shards(3)))
    assert isinstance(first, Surveyed)
    assert [lease.shard_id for lease in first.leases] == ["shard-0", "shard-1", "shard-2"]
    assert [lease.lease_id for lease in second.leases] == [lease.lease_id for lease in first.leases]
    assert second.workers == ("ann", "bob")
    assert all(lease.owner is None and lease.remaining_s <= 0 for lease in second.leases)


def test_a_silent_worker_does_not_count_as_live(record) -> None:
    """A worker that said nothing for a lease's length is not among the live ones."""
    ann, bob = record.store("ann", lease_s=1), record.store("bob", lease_s=1)
    ann.survey(Survey(()))
    record.run("UPDATE floorlog.worker SET seen_at = seen_at - interval '1.1 s'")
    assert bob.survey(Survey(())).workers == ("bob",)


def test_a_held_lease_is_not_taken(record) -> None:
    """Only one of two workers gets a lease, and the other may ask for it."""
    ann, lease = record.begin("ann")
    bob = record.store("bob")
    view = bob.survey(Survey(())).leases[0]
    assert (view.owner, view.ended) == ("ann", False)
    assert 4 < view.remaining_s <= 5
    assert bob.take(Take(lease.lease_id)) is None
    assert bob.want(Want(lease.lease_id)) is None
    renewed = ann.renew(Renew(lease, 0, -1))
    assert isinstance(renewed, Renewed)
    assert renewed.wanted


def test_a_wanted_lease_changes_hands(record) -> None:
    """Once released it goes to who asked, under a new epoch, and nobody asks for it any more."""
    ann, lease = record.begin("ann")
    bob = record.store("bob")
    bob.survey(Survey(()))
    bob.want(Want(lease.lease_id))
    ann.release(Release(lease))
    assert bob.survey(Survey(())).leases[0].wanted_by == "bob"
    taken = bob.take(Take(lease.lease_id))
    assert taken.epoch == lease.epoch + 1
    assert not bob.renew(Renew(taken, 0, -1)).wanted


def test_who_asks_first_is_not_ousted_while_it_lives(record) -> None:
    """A second worker's request waits until the first one is silent."""
    _, lease = record.begin("ann")
    bob, eve = record.store("bob"), record.store("eve")
    bob.survey(Survey(()))
    bob.want(Want(lease.lease_id))
    eve.want(Want(lease.lease_id))
    assert eve.survey(Survey(())).leases[0].wanted_by == "bob"
    record.run("UPDATE floorlog.worker SET seen_at = seen_at - interval '1 h' WHERE worker = 'bob'")
    eve.want(Want(lease.lease_id))
    assert eve.survey(Survey(())).leases[0].wanted_by == "eve"


def test_an_expired_lease_is_taken_and_its_owner_fenced(record) -> None:
    """After the take-over no commit, renewal or registration of the old owner counts."""
    ann, lease = record.begin("ann")
    record.run("UPDATE floorlog.lease SET expires_at = clock_timestamp()")
    bob = record.store("bob")
    taken = bob.take(Take(lease.lease_id))
    assert isinstance(taken, Lease)
    assert ann.commit(Commit(record.batch(lease, 1))) == Fenced()
    assert ann.renew(Renew(lease, 0, -1)) == Fenced()
    key = SeriesKey("press", "level", Kind.NUMBER, None, "press")
    assert ann.register(Register(lease, (key,), ())) == Fenced()
    ann.release(Release(lease))
    assert bob.survey(Survey(())).leases[0].owner == "bob"
    record.commit(bob, record.batch(taken, 1))


def test_a_late_owner_goes_on_while_nobody_took_over(record) -> None:
    """Expiry alone fences nobody: the epoch does."""
    ann, lease = record.begin("ann")
    record.run("UPDATE floorlog.lease SET expires_at = clock_timestamp() - interval '1 h'")
    record.commit(ann, record.batch(lease, 1))
    assert ann.survey(Survey(())).leases[0].remaining_s > 4


def test_a_renewal_says_how_far_the_shard_was_read(record) -> None:
    """read_at and behind_ms are as the holder last said; -1 says nothing of read_at."""
    ann, lease = record.begin("ann")
    ann.renew(Renew(lease, 700, 5_000))
    ann.renew(Renew(lease, 400, 4_000))
    ann.renew(Renew(lease, 300, -1))
    assert record.run("SELECT behind_ms, read_at FROM floorlog.lease") == [(300, 4_000)]


def test_a_child_waits_for_all_its_parents(record) -> None:
    """A merged shard is taken only when both parents have ended."""
    ann, left = record.begin("ann", shards=2)
    merged = Shard("merged", ("shard-0", "shard-1"), 0, 2 * HALF - 1)
    view = ann.survey(Survey((*record.shards(2), merged)))
    right = ann.take(Take(view.leases[1].lease_id))
    child = view.leases[2]
    assert child.parents == (left.lease_id, right.lease_id)
    record.commit(ann, record.batch(left, 1, ended=True))
    assert ann.take(Take(child.lease_id)) is None
    record.commit(ann, record.batch(right, 1, ended=True))
    assert isinstance(ann.take(Take(child.lease_id)), Lease)


def test_parents_that_nobody_lists_any_more_count_as_ended(record) -> None:
    """A child of an expired shard can be read."""
    ann = record.store()
    view = ann.survey(Survey((LOW,)))
    assert view.leases[0].parents == ()
    assert isinstance(ann.take(Take(view.leases[0].lease_id)), Lease)


def test_parents_listed_after_their_children_are_still_parents() -> None:
    """The order of the listing does not matter, and a circle does not hang."""
    grandchild = Shard("grandchild", ("low", "high"), 0, 1)
    ordered = parents_first([grandchild, HIGH, LOW, WHOLE])
    assert ordered[0] is WHOLE
    assert ordered[-1] is grandchild
    one, two = Shard("one", ("two",), 0, 1), Shard("two", ("one",), 0, 1)
    assert {shard.shard_id for shard in parents_first([one, two])} == {"one", "two"}


def test_children_inherit_exactly_the_series_of_their_range(record) -> None:
    """By the hash of the last partition key; clock and reading position go on from the parent."""
    ann = record.store()
    parent = ann.take(Take(ann.survey(Survey((WHOLE,))).leases[0].lease_id))
    series = record.register(ann, parent, count=20)
    last = record.batch(parent, 1, ended=True, clock_s=77, read_at=5_000)
    record.commit(ann, last)
    view = ann.survey(Survey((WHOLE, LOW, HIGH)))
    homes = {}
    for child in view.leases[1:]:
        lease = ann.take(Take(child.lease_id))
        assert (lease.number, lease.clock_s, lease.read_at) == (0, 77, 5_000)
        homes[lease.shard_id] = {
            one for (one,) in record.run(
                "SELECT series_id FROM floorlog.series_home WHERE lease_id = %s", lease.lease_id
            )
        }  # fmt: skip
    low = {one for n, one in enumerate(series) if hash_key(f"press-{n}") < HALF}
    assert homes == {"low": low, "high": set(series) - low}
    assert 0 < len(low) < 20


def test_a_merged_child_goes_on_from_the_earlier_reading_position(record) -> None:
    """read_at is the least of the parents', the clock the greatest."""
    ann, left = record.begin("ann", shards=2)
    right = ann.take(Take(left.lease_id + 1))
    record.commit(ann, record.batch(left, 1, ended=True, clock_s=70, read_at=9_000))
    record.commit(ann, record.batch(right, 1, ended=True, clock_s=90, read_at=7_000))
    merged = Shard("merged", ("shard-0", "shard-1"), 0, 2 * HALF - 1)
    view = ann.survey(Survey((merged,)))
    child = ann.take(Take(view.leases[-1].lease_id))
    assert (child.clock_s, child.read_at) == (90, 7_000)


def test_a_stream_made_anew_ends_the_old_one_with_gaps(record) -> None:
    """Same name, later creation: old leases end, each with a gap; old workers are fenced."""
    ann, lease = record.begin("ann", shards=2)
    record.commit(ann, record.batch(lease, 1, read_at=record.t0))
    born = ann._desk.created_at
    bob = record.store("bob", created_at=born + timedelta(days=1))
    view = bob.survey(Survey(record.shards(2)))
    assert len(view.leases) == 2
    assert not any(one.ended for one in view.leases)
    gaps = record.run(
        "SELECT lease_id, number, begin_us, cause FROM floorlog.gap ORDER BY lease_id"
    )
    assert gaps[0] == (lease.lease_id, 2, record.t0, "stream gone")  # an entry of its own
    assert len(gaps) == 2
    assert ann.commit(Commit(record.batch(lease, 2))) == Fenced()
    assert all(one.ended for one in ann.survey(Survey(record.shards(2))).leases)
    bob.survey(Survey(record.shards(2)))
    assert len(record.run("SELECT lease_id FROM floorlog.gap")) == 2


def test_another_stream_is_not_touched(record) -> None:
    """Streams of other names keep their leases."""
    ann, lease = record.begin("ann", arn="arn:one")
    bob = record.store("bob", arn="arn:two", created_at=ann._desk.created_at + timedelta(days=1))
    bob.survey(Survey(record.shards(1)))
    record.commit(ann, record.batch(lease, 1))


def test_an_open_transaction_of_a_silent_owner_does_not_block_take_over(record) -> None:
    """A session stopped in the middle of a commit is ended by whoever takes the lease."""
    ann, lease = record.begin("ann", lease_s=1)
    stuck = ann._link.idle()
    stuck.execute("SET idle_in_transaction_session_timeout = 0")
    stuck.execute("BEGIN")
    stuck.execute("UPDATE floorlog.lease SET behind_ms = 1")
    bob = record.store("bob", lease_s=1)
    begun = time.monotonic()
    taken = bob.take(Take(lease.lease_id))
    while not isinstance(taken, Lease):
        assert taken is None or isinstance(taken, Failed)
        assert time.monotonic() - begun < 4
        time.sleep(0.05)
        taken = bob.take(Take(lease.lease_id))
    assert ann.commit(Commit(record.batch(lease, 1))) == Fenced()


def test_time_outs_follow_the_lease(record) -> None:
    """Every session of the writer carries them, and its worker's name."""
    ann = record.store("ann", lease_s=4)
    connection = ann._link.idle()

    def shown(name: str) -> str:
        return connection.execute("SELECT current_setting(%s)", [name]).fetchone()[0]

    assert shown("idle_in_transaction_session_timeout") == "2s"
    assert shown("lock_timeout") == "2s"
    assert shown("statement_timeout") == "4s"
    assert shown("application_name") == "floorlog ann"
    assert int(connection.info.get_parameters()["tcp_user_timeout"]) == 4_000


def test_without_a_database_commands_fail_and_recover_later(record) -> None:
    """Nothing raises; the next command connects anew."""
    ann, lease = record.begin("ann")
    nowhere = record.store("eve", dsn=psycopg.conninfo.make_conninfo(record.dsn(), port=1))
    assert isinstance(nowhere.survey(Survey(())), Failed)
    assert isinstance(nowhere.commit(Commit(record.batch(lease, 1))), Failed)
    record.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'floorlog ann'"
    )
    assert isinstance(ann.renew(Renew(lease, 0, -1)), Failed | Renewed)
    assert isinstance(ann.renew(Renew(lease, 0, -1)), Renewed)
    key = SeriesKey("press", "level", Kind.NUMBER, None, "press")
    assert isinstance(ann.register(Register(lease, (key,), ())), Registered)
