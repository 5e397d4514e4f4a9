"""Recovery after a restore: what is declared, what is refused, and what verification says."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

import pytest
from written import Written, lead, more

from floorlog.core.ledger.fork import Fork
from floorlog.core.ledger.tree import root
from floorlog.errors import InputError, RecordError
from floorlog.record.check.verify import Report, verify
from floorlog.record.log.anchor import Directory, note_text, open_signer
from floorlog.record.log.recover import recover
from floorlog.store.migrate import KEEPER, LOGIN_ROLES, READER

pytestmark = pytest.mark.slow  # databases are copied
SHARDS = count(10)
NOW = datetime(2026, 5, 3, 9, 30, tzinfo=UTC)
HASHES = "SELECT hash FROM floorlog.log_leaf ORDER BY position"


@contextmanager
def backup(written: Written) -> Iterator[Written]:
    """The database as it is now, to be restored later beside the same anchors."""
    ground = written.ground
    name = f"backup_{next(ground.number)}"
    ground.run(f"CREATE DATABASE {name} TEMPLATE {written.database}")
    for role in LOGIN_ROLES:
        ground.run(f"ALTER ROLE {role} IN DATABASE {name} SET search_path = floorlog")
    yield replace(written, database=name)
    ground.run(f"DROP DATABASE {name} WITH (FORCE)")


def recovered(written: Written, **asked) -> Fork | None:
    signer = open_signer(written.key_path, may_create=False)
    given = {"reason": "the disk was lost", "actor": "ann", "now": NOW, **asked}
    return recover(written.dsn(KEEPER), written.anchor, signer, **given)


def verified(written: Written) -> Report:
    return verify(written.dsn(READER), written.anchor)


def grow(written: Written) -> None:
    more(written, f"shard-{next(SHARDS)}")
    written.keep()


def test_a_restored_record_goes_on_after_a_statement(written) -> None:
    """Refused before; declared, it goes on in a branch of its own, and verify says so."""
    with backup(written) as restored:
        grow(written)
        kept = restored.run(HASHES)
        ahead = written.anchor.sizes()[-1]
        assert any("the log ends at" in one.says for one in verified(restored).wrong)
        with pytest.raises(RecordError, match=r"THE LOG SHRANK.*floorlog recover"):
            restored.keep()
        fork = recovered(restored)
        assert fork is not None
        assert (fork.number, fork.parent, fork.size, fork.lost_size) == (1, 0, len(kept), ahead)
        assert fork.root == root([leaf for (leaf,) in kept])
        report = verified(restored)
        assert (report.ok, report.wrong) == (True, [])
        assert report.forks == [
            {"number": 1, "parent": 0, "size": fork.size, "lost_size": ahead}
            | {"at": "2026-05-03T09:30:00Z", "reason": "the disk was lost"}
        ]
        assert "declared fork 1" in report.as_text()
        grow(restored)
        report = verified(restored)
        assert (report.wrong, report.unanchored_seconds, len(report.forks)) == ([], 0, 1)
        assert restored.anchor.sizes()[-1] == report.anchored > fork.size
        # What was given up can neither be verified nor go on.
        assert not verified(written).ok
        with pytest.raises(RecordError, match=r"THE LOG (SHRANK|WAS CHANGED)"):
            written.keep()


def test_the_log_itself_tells_of_it(written) -> None:
    """One audit event, sequenced and signed like any other, also when recovery was cut off."""
    event = "SELECT actor, detail ->> 'fork' FROM floorlog.audit_event WHERE action = 'recover'"
    with backup(written) as restored:
        grow(written)
        assert recovered(restored) is not None
        assert restored.run(event) == [("ann", "1")]
        restored.run("DELETE FROM floorlog.audit_event WHERE action = 'recover'")
        assert recovered(restored, actor="bob") is None
        assert recovered(restored) is None
        assert restored.run(event) == [("bob", "1")]
        restored.keep()
        logged = "SELECT count(*) FROM floorlog.log_leaf AS l JOIN floorlog.audit_event AS a"
        logged += " ON l.kind = 20 AND l.id = a.event_id WHERE a.action = 'recover'"
        assert restored.run(logged) == [(1,)]
        assert verified(restored).ok


def test_nothing_is_declared_without_need(written) -> None:
    """A log that goes on from its anchors, also with leaves that were not anchored yet."""
    assert recovered(written) is None
    more(written)
    assert recovered(written) is None
    assert not (written.directory / "anchors" / "fork-0001").exists()


@pytest.mark.parametrize("place", ["first", "last", "missing"])
def test_a_changed_database_is_not_declared(written, place) -> None:
    """Neither below the last common note nor above it: tiles know those leaves."""
    more(written)
    keeper = written.keeper(anchor_s=1e9)
    keeper._anchored_at = float("inf")  # gives positions, and signs nothing
    lead(keeper)
    keeper._link.close()
    position = {"first": "3", "last": "(SELECT max(position) FROM floorlog.log_leaf)"}
    with backup(written) as restored:
        assert written.anchor.sizes()[-1] < len(restored.run(HASHES))
        grow(written)
        if place == "missing":
            restored.run("DELETE FROM floorlog.log_leaf WHERE position = 9")
        else:
            change = "UPDATE floorlog.log_leaf SET hash = sha256('') WHERE position = "
            restored.run(change + position[place])
        with pytest.raises(RecordError, match=r"NO OLDER STATE|is missing"):
            recovered(restored)
        assert written.anchor.statements() == []


def test_a_backup_between_two_notes_is_declared(written) -> None:
    """Leaves above the last common note are compared with the tiles; without those, refused."""
    more(written)
    keeper = written.keeper(anchor_s=1e9)
    keeper._anchored_at = float("inf")
    lead(keeper)
    keeper._link.close()
    with backup(written) as restored:
        grow(written)
        tiles = written.directory / "anchors" / "tile"
        tiles.rename(tiles.with_name("away"))
        with pytest.raises(RecordError, match="lack the tile tile/0/000"):
            recovered(restored)
        tiles.with_name("away").rename(tiles)
        fork = recovered(restored)
        assert fork is not None
        assert fork.size == len(restored.run(HASHES))
        assert verified(restored).ok


def test_forks_of_forks(written) -> None:
    """A second restore of the branch, then one of the log that the first one had given up."""
    with backup(written) as old:
        grow(written)
        with backup(written) as given_up:
            grow(written)
            assert recovered(old).number == 1
            grow(old)
            with backup(old) as branch:
                grow(old)
                fork = recovered(branch, reason="again")
                assert (fork.number, fork.parent) == (2, 1)
                grow(branch)
                report = verified(branch)
                assert (report.wrong, [one["reason"] for one in report.forks]) == (
                    [],
                    ["the disk was lost", "again"],
                )
                fork = recovered(given_up, reason="a better backup was found")
                assert (fork.number, fork.parent) == (3, 0)
                grow(given_up)
                assert verified(given_up).wrong == []
                assert not verified(branch).ok


def test_a_running_keeper_of_what_was_given_up_signs_no_more(written) -> None:
    """It does not put its notes into the other one's branch."""
    with backup(written) as restored:
        keeper = written.keeper()
        lead(keeper)
        more(written)
        keeper.round()
        assert recovered(restored) is not None
        sizes = restored.anchor.sizes()
        more(written, "shard-8")
        with pytest.raises(RecordError, match="WAS FORKED behind this keeper"):
            keeper.round()
        assert restored.anchor.sizes() == sizes
    keeper._link.close()


def test_recovery_and_a_keeper_do_not_cross(written) -> None:
    """While a keeper is at work nothing is declared; nor without a reason."""
    keeper = written.keeper()
    lead(keeper)
    with pytest.raises(InputError, match="a keeper is at work"):
        recovered(written)
    keeper._link.close()
    for reason in ("", "two\nlines", "x" * 501):
        with pytest.raises(InputError, match="a reason of one line"):
            recovered(written, reason=reason)


def test_a_forged_statement_is_found(written) -> None:
    """A statement that was changed, or signed by another key, declares nothing."""
    with backup(written) as restored:
        grow(written)
        recovered(restored)
        path = written.directory / "anchors" / "fork-0001" / "statement.note"
        body = path.read_bytes()
        other = open_signer(written.directory / "other.key", may_create=True)
        forged = Fork.parse(note_text(body))
        for data in (
            body.replace(b"the disk", b"the dish"),
            body[:-9],
            other.sign(str(forged)),
            other.sign(str(replace(forged, origin=other.key.name))),
        ):
            path.chmod(0o644)
            path.write_bytes(data)
            report = verified(restored)
            assert not report.ok
            assert any(one.says.startswith("fork statement 1") for one in report.wrong)
            with pytest.raises(RecordError):
                restored.keep()
        path.write_bytes(body)
        assert verified(restored).ok
        (written.directory / "anchors" / f"{forged.lost_size:012}.note").unlink()
        says = [one.says for one in verified(restored).wrong]
        assert says == ["fork statement 1 gives up a note that is not there"]


def test_a_branch_tells_what_was_anchored(written) -> None:
    """Sizes and notes are those of the log as it goes on: the parent's share and its own."""
    before = written.anchor.sizes()
    with backup(written) as restored:
        grow(written)
        lost = written.anchor.sizes()[-1]
        recovered(restored)
        assert Directory(written.directory / "anchors").sizes() == before
        grow(restored)
        after = restored.anchor.sizes()
        assert after[:-1] == before
        assert after[-1] == lost + 1  # the same batch once more, and the event
        assert len(restored.anchor.read(after[0])) > 0


def test_a_backup_from_before_anything_was_logged(written) -> None:
    """A fork at no leaves: nothing of the old log is left, and all goes on."""
    with backup(written) as restored:
        for table in ("log_leaf", "note"):
            restored.run(f"TRUNCATE floorlog.{table}")
        fork = recovered(restored)
        assert (fork.size, fork.parent) == (0, 0)
        assert verified(restored).wrong == []
        restored.keep()
        report = verified(restored)
        assert (report.wrong, report.forks[0]["size"]) == ([], 0)
        assert report.anchored == len(restored.run(HASHES))
