"""The keeper: positions, roots and notes; and what it refuses to sign."""

import json
import os
import shutil
import time
from types import SimpleNamespace

import numpy as np
import psycopg
import pytest
from written import lead, more

from floorlog.core.ledger.note import VerifierKey
from floorlog.core.ledger.tree import Growing, root
from floorlog.errors import InputError, RecordError
from floorlog.keeper import LATE_SECONDS, RETRY_SECONDS, ROUND_SECONDS, SEAL_STEP_SECONDS_MAX
from floorlog.metrics import Measures
from floorlog.record.act.expire import BATCHES_MIN, Expirer
from floorlog.record.log.anchor import Directory, note_name, notes_of, open_signer
from floorlog.record.verifier import Key

pytestmark = pytest.mark.slow  # a database and a keeper

HASHES = "SELECT hash FROM floorlog.log_leaf ORDER BY position"


def anchored(written):
    key = Key(written.anchor.key())
    return notes_of(written.anchor, key, written.anchor.sizes())


def test_notes_are_of_the_log(written) -> None:
    """Each anchored note holds the root over the leaves that the database has; so does its copy."""
    hashes = [leaf for (leaf,) in written.run(HASHES)]
    notes = anchored(written)
    assert len(notes) == 3
    assert notes[-1].size == len(hashes)
    assert [note.root for note in notes] == [root(hashes[: note.size]) for note in notes]
    copies = dict(written.run("SELECT size, body FROM floorlog.note"))
    assert copies == {size: written.anchor.read(size).decode() for size in written.anchor.sizes()}


def test_a_keeper_goes_on_where_the_last_one_ended(written) -> None:
    """No leaf twice, none left out; without growth there is no further note."""
    before = written.anchor.sizes()
    written.keep()
    assert written.anchor.sizes() == before
    more(written)
    written.keep()
    assert len(written.anchor.sizes()) == len(before) + 1
    hashes = [leaf for (leaf,) in written.run(HASHES)]
    assert anchored(written)[-1].root == root(hashes)


def test_an_alarm_event_that_commits_late_is_in_the_log(written) -> None:
    """However long after its time, and although younger ones have their positions."""
    names = (
        "number, at_us, start_us, until_us, series_id, lease_id, priority, active, latch, detector,"
        " event, before, after, actor, reason"
    )
    late = written.run(
        f"INSERT INTO floorlog.alarm_event (recorded_at, {names})"
        f" SELECT a.recorded_at - interval '1 day', {names} FROM floorlog.alarm_event AS a"
        " ORDER BY a.event_id LIMIT 1 RETURNING event_id"
    )
    assert len(late) == 1
    written.keep()
    placed = written.run("SELECT id FROM floorlog.log_leaf WHERE kind = 21 ORDER BY id")
    assert placed == written.run("SELECT event_id FROM floorlog.alarm_event ORDER BY event_id")
    assert set(late) <= set(placed)


def test_no_time_is_no_number(written) -> None:
    """What has no time gets no µs either."""
    assert written.run("SELECT floorlog.to_us(NULL), floorlog.to_us('-infinity')") == [
        (None, -3_800_000_000_000_000_000)
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("DELETE FROM floorlog.log_leaf WHERE position > 20", "THE LOG SHRANK: it has 21 leaves"),
        (
            "UPDATE floorlog.log_leaf SET hash = sha256('') WHERE position = 9",
            "are not the anchored",
        ),
        ("DELETE FROM floorlog.log_leaf WHERE position = 9", "a position from"),
        ("TRUNCATE floorlog.log_leaf", "THE LOG SHRANK"),
    ],
)
def test_what_does_not_continue_the_anchor_is_not_signed(written, change, says) -> None:
    """One line says what is wrong, and no note is added."""
    before = written.anchor.sizes()
    more(written)
    written.run(change)
    with pytest.raises(RecordError, match=says) as error:
        written.keep()
    assert "\n" not in str(error.value)
    assert written.anchor.sizes() == before


def test_a_change_behind_a_running_keeper_is_not_signed(written) -> None:
    """It holds the root over what it read; a log that shrinks below that stops it."""
    keeper = written.keeper()
    lead(keeper)
    written.run("DELETE FROM floorlog.log_leaf WHERE position > 20")
    with pytest.raises(RecordError, match="THE LOG SHRANK"):
        keeper.round()
    keeper._link.close()


def test_one_keeper_at_a_time(written) -> None:
    """The second waits, and takes over when the first one's session ends."""
    one, two = written.keeper(), written.keeper()
    lead(one)
    assert two.round() == RETRY_SECONDS
    one._link.close()
    lead(two)
    two._link.close()


def test_a_note_is_never_given_up(written) -> None:
    """Another note of the same size is refused; the same one again is not."""
    anchor = written.anchor
    size = anchor.sizes()[-1]
    anchor.put(note_name(size), anchor.read(size))
    with pytest.raises(RecordError, match="ANOTHER"):
        anchor.put(note_name(size), b"other")


def test_anchors_belong_to_one_key(written) -> None:
    """A lost key is not replaced in silence, nor does another one sign."""
    written.key_path.unlink()
    with pytest.raises(RecordError, match="the anchors are signed by"):
        written.keeper()
    with pytest.raises(InputError, match="cannot be read"):
        open_signer(written.key_path.with_name("none"), may_create=False)


def test_the_key_is_private(tmp_path) -> None:
    """Made with mode 0600, read again as the same, refused when others may read it or torn."""
    path = tmp_path / "keeper" / "signing.key"
    made = open_signer(path, may_create=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert open_signer(path, may_create=False).key == made.key
    assert VerifierKey.parse(str(made.key)) == made.key
    path.chmod(0o640)
    with pytest.raises(InputError, match="others may read"):
        open_signer(path, may_create=False)
    path.chmod(0o600)
    path.write_text(path.read_text()[:-9])
    with pytest.raises(InputError, match="no signing key"):
        open_signer(path, may_create=False)


def test_a_torn_note_is_never_seen(tmp_path) -> None:
    """What is left of a write that was cut off counts as nothing."""
    anchor = Directory(tmp_path / "anchors")
    anchor.put(note_name(7), b"seven")
    (tmp_path / "anchors" / f".000000000009.note.{os.getpid()}").write_bytes(b"ni")
    anchor.put(note_name(9), b"nine")
    assert anchor.sizes() == [7, 9]
    assert anchor.read(9) == b"nine"


def test_many_leaves_at_once_make_the_same_tree() -> None:
    """Growing.extend is Growing.add, however the leaves are cut."""
    random = np.random.default_rng(3)
    leaves = [random.bytes(32) for _ in range(1_000)]
    one, other = Growing(), Growing()
    place = 0
    while place < len(leaves):
        end = place + int(random.integers(0, 200))
        for leaf in leaves[place:end]:
            one.add(leaf)
        other.extend(leaves[place:end])
        assert (one.size, one.root()) == (other.size, other.root())
        place = end


def test_an_anchor_that_is_away_is_told(written, monkeypatch, caplog) -> None:
    """Leaves get their positions all the same; the age is measured, and all is made good."""
    monkeypatch.setattr("floorlog.keeper.LATE_SECONDS", 0)
    monkeypatch.setattr("floorlog.keeper.FLUSH_SECONDS", 0)
    lines: list[str] = []
    keeper = written.keeper()
    keeper._measures = Measures("test", lines.append)
    lead(keeper)
    keeper._tell()
    assert json.loads(lines[-1])["anchor_age_s"] in (0, [0], [0.0])
    assert "NOTHING WAS ANCHORED" not in caplog.text
    place = written.directory / "anchors"
    place.rename(written.directory / "away")
    place.write_text("no directory")
    more(written)
    size = written.run("SELECT count(*) FROM floorlog.log_leaf")
    assert keeper._attempt(keeper.round) == RETRY_SECONDS
    assert written.run("SELECT count(*) FROM floorlog.log_leaf") > size
    keeper._tell()
    assert "NOTHING CAN BE ANCHORED" in caplog.text
    assert "NOTHING WAS ANCHORED" in caplog.text
    age = json.loads(lines[-1])["anchor_age_s"]
    assert (age[0] if isinstance(age, list) else age) > 0
    place.unlink()
    (written.directory / "away").rename(place)
    keeper.round()
    keeper._link.close()
    assert anchored(written)[-1].size == written.run("SELECT count(*) FROM floorlog.log_leaf")[0][0]


def test_anchors_that_are_gone_are_not_begun_anew(written) -> None:
    """A place that is empty, such as a disk that is not mounted: refused, in one line."""
    place = written.directory / "anchors"
    place.rename(written.directory / "away")
    with pytest.raises(RecordError, match="THE ANCHORS ARE GONE"):
        written.keep()
    shutil.rmtree(place)
    (written.directory / "away").rename(place)
    written.anchor.path.joinpath(note_name(written.anchor.sizes()[-1])).unlink()
    with pytest.raises(RecordError, match="THE ANCHORS ARE GONE"):
        written.keep()


def test_what_cannot_be_sealed_or_expire_keeps_nothing_else_from_its_turn(
    written, monkeypatch, caplog
) -> None:
    """A step that the server never finishes: the other's turn comes, and the log goes on."""

    def canceled(*_: object) -> None:
        raise psycopg.errors.QueryCanceled("too slow")

    keeper = written.keeper()
    lead(keeper)
    keeper._seal_at = keeper._rest_until = float("-inf")  # a record that has aged was sealed above
    monkeypatch.setattr("floorlog.keeper.Sealer.step", canceled)
    monkeypatch.setattr("floorlog.record.act.expire.step", canceled)
    keeper._expirer = Expirer()
    assert keeper._attempt(keeper.round) == RETRY_SECONDS
    assert "NOTHING CAN EXPIRE" not in caplog.text
    for _ in range(9):  # in halves, until it gives up for a while
        lead(keeper)
    assert "NOTHING CAN EXPIRE" in caplog.text
    size = written.run("SELECT count(*) FROM floorlog.log_leaf")
    more(written)
    assert keeper.round() == ROUND_SECONDS
    assert written.run("SELECT count(*) FROM floorlog.log_leaf") > size
    keeper._link.close()


def test_an_entry_is_anchored_in_time_beside_the_longest_steps(written, monkeypatch) -> None:
    """Sealing and expiry that always take as long as they may: no entry is older than a minute.

    By a clock of our own. After each note something is stored at once: it waits the longest.
    """
    clock = SimpleNamespace(now=1000.0, time_ns=time.time_ns)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr("floorlog.keeper.time", clock)
    ages, steps = [], []
    keeper = written.keeper(anchor_s=30.0)
    lead(keeper)
    honest, born = keeper._sign, [clock.now]

    def sign(sequencer) -> None:
        size = len(written.anchor.sizes())
        honest(sequencer)
        if len(written.anchor.sizes()) > size:
            ages.append(clock.now - born[0])
            born[0] = clock.now
            more(written, f"shard-{20 + len(ages)}")

    def sealed(_, before) -> int:
        before()
        clock.now += SEAL_STEP_SECONDS_MAX
        steps.append("seal")
        return steps.count("seal") % 3

    def expired(self, _) -> bool:
        clock.now += self.step_s
        steps.append("expire")
        self._batches = max(BATCHES_MIN, self._batches // 2)
        return True

    keeper._expirer._next = keeper._seal_at = keeper._rest_until = float("-inf")
    keeper._anchored_at = clock.now
    monkeypatch.setattr(keeper, "_sign", sign)
    monkeypatch.setattr("floorlog.keeper.Sealer.step", sealed)
    monkeypatch.setattr("floorlog.keeper.Expirer.step", expired)
    more(written)
    while len(ages) < 12:
        pause_s = keeper.round()
        clock.now += pause_s
        assert len(steps) < 100
    keeper._link.close()
    assert {"seal", "expire"} == set(steps)
    assert max(ages) <= LATE_SECONDS


def test_a_budget_that_fails_keeps_nothing_from_being_anchored(written, caplog) -> None:
    """It is said once, and tried again each round."""

    class Broken:
        rounds = 0

        def step(self, _size: int) -> bool:
            self.rounds += 1
            raise psycopg.errors.DeadlockDetected("each waits for the other")

    keeper = written.keeper()
    lead(keeper)
    keeper._budgeter = broken = Broken()
    for n in range(3):
        before = written.anchor.sizes()
        more(written, f"shard-{90 + n}")
        lead(keeper)
        assert max(written.anchor.sizes()) > max(before)
    assert broken.rounds >= 3
    assert caplog.text.count("not grouped") == 1
    keeper._link.close()
