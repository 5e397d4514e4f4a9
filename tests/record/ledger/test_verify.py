"""Verification: an intact record passes, in whole and in part; everything else is named."""

import json
import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest
from sealing import seal
from written import Plant, Shard, Written, lead, more

from floorlog.errors import InputError
from floorlog.record.check.rebuild import rebuild
from floorlog.record.check.verify import Report, verify
from floorlog.status import as_object
from floorlog.store.migrate import READER, WRITER
from floorlog.store.reader import Reader

pytestmark = pytest.mark.slow  # a database

VERIFICATIONS = 25


def verified(written: Written, **asked) -> Report:
    return verify(written.dsn(READER), written.anchor, **asked)


def test_an_intact_record_passes(written) -> None:
    """All readings and entries, with nothing wrong and nothing unanchored."""
    report = verified(written)
    assert report.wrong == []
    ((batches, stored),) = written.run("SELECT count(*), sum(stored) FROM floorlog.batch")
    assert (report.ok, report.entries, report.readings) == (True, batches, stored)
    assert report.unanchored_seconds == 0
    assert report.anchored == written.run("SELECT count(*) FROM floorlog.log_leaf")[0][0]


def test_parts_pass_too(written) -> None:
    """Of one device, or since a time, fewer entries are checked, and chained to those before."""
    whole = verified(written)
    for asked in ({"device": "oven"}, {"since": "2026-01-01T00:00Z"}):
        report = verified(written, **asked)
        assert report.wrong == []
        assert report.ok
    assert verified(written, device="oven").entries < whole.entries
    assert verified(written, since="infinity").entries == 0
    written.run("UPDATE floorlog.batch SET received = received + 1 WHERE number = 3")
    places = {(one.shard, one.batch) for one in verified(written, device="oven").wrong}
    assert places == {("shard-0", 3), ("shard-1", 3), ("shard-2", 3)}


@pytest.mark.parametrize("part", [("--device", "oven"), ("--since", "2026-01-01T00:00Z")])
def test_a_part_is_not_taken_for_the_whole(written, command, capsys, part) -> None:
    """Exit code 0 is for an intact record alone: 3 where a part is sound, 1 where it is not."""
    assert json.loads(command("verify", "--json"))["partial"] is False
    with pytest.raises(SystemExit) as ended:
        command("verify", "--json", *part)
    assert ended.value.code == 3
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["partial"]) == (True, True)
    written.run("UPDATE floorlog.batch SET received = received + 1 WHERE number = 3")
    with pytest.raises(SystemExit) as ended:
        command("verify", *part)
    assert ended.value.code == 1


def test_one_thing_is_one(written) -> None:
    """The line of the verdict counts what is wrong as people do."""
    written.run(
        "UPDATE floorlog.batch SET received = received + 1 WHERE (lease_id, number) = (2, 3)"
    )
    report = verified(written)
    for count, says in ((1, "NOT INTACT: 1 thing is wrong: "), (2, "2 things are wrong: ")):
        assert says in replace(report, wrong_count=count).as_text()


def test_what_is_asked_wrongly_is_told(written) -> None:
    """One line for a device or time that there is not, and for a key that is none."""
    with pytest.raises(InputError, match="no device 'press-9'"):
        verified(written, device="press-9")
    with pytest.raises(InputError, match="is no time"):
        verified(written, since="soon")
    with pytest.raises(InputError, match="is no key"):
        verified(written, key="abc")


def test_sums_that_were_tampered_with_hide_nothing(written) -> None:
    """Whatever is done to them, the batch is found wrong, and no innocent series named."""
    change = (
        "UPDATE floorlog.open_row SET value[2] = value[2] + 1 WHERE lease_id = 2 AND number = 3"
    )
    written.run(change)
    ((series,),) = written.run(
        "SELECT series[2] FROM floorlog.open_row WHERE lease_id = 2 AND number = 3 AND part = 0"
    )
    report = verified(written)
    assert {one.series for one in report.wrong} == {series}
    assert all((one.shard, one.batch) == ("shard-1", 3) for one in report.wrong)
    for sums in ("NULL", "''", "'\\x00'", "sha256(locator)", "set_byte(locator, 3, 7)"):
        written.run(f"UPDATE floorlog.batch SET locator = {sums} WHERE (lease_id, number) = (2, 3)")
        report = verified(written)
        assert not report.ok
        assert {(one.shard, one.batch, one.series) for one in report.wrong} == {
            ("shard-1", 3, None)
        }
    written.run("UPDATE floorlog.batch SET locator = sha256(root) WHERE number = 4")
    assert {one.batch for one in verified(written).wrong} == {3}, "they are no evidence"


def test_another_key_is_found(written) -> None:
    """Who was given the log's key another way is told when the notes are signed by another."""
    key = written.anchor.key()
    other = written.directory / "other.key"
    from floorlog.record.log.anchor import open_signer  # noqa: PLC0415 - for this test alone

    report = verified(written, key=str(open_signer(other, may_create=True).key))
    assert not report.ok
    assert {one.where for one in report.wrong} == {"anchor"}
    assert verified(written, key=key).ok


def told(reader: Reader) -> float:
    """The seconds that the status tells, once they fill the tenth to which it tells them."""
    until = time.monotonic() + 30
    while not (seconds := as_object(reader.status())["unanchored_seconds"]):
        assert time.monotonic() < until
        time.sleep(0.05)
    return float(seconds)


def test_what_is_newer_than_the_anchor_is_named(written) -> None:
    """The span that nothing outside vouches for is told in seconds; it is not wrong."""
    more(written)
    report = verified(written)
    assert report.ok, report.wrong
    assert 0 < report.unanchored_seconds < 60
    with closing(Reader(written.dsn(READER))) as reader:
        assert 0 < told(reader) < 60
        # From when it was stored, whatever has no position yet, and once it has one.
        move = (
            "UPDATE floorlog.batch SET recorded_at = recorded_at + make_interval(mins => %s) WHERE"
            " lease_id = (SELECT l.lease_id FROM floorlog.lease AS l WHERE l.shard_id = 'shard-9')"
        )
        written.run(move, -20)
        assert 1200 <= told(reader) < 1260
        written.run(
            "INSERT INTO floorlog.audit_event (recorded_at, actor, action, detail)"
            " VALUES (now() - interval '30 min', 'ann', 'look', '{}')"
        )
        assert 1800 <= told(reader) < 1860
        sequenced = written.keeper(anchor_s=1e9)
        sequenced._anchored_at = float("inf")
        lead(sequenced)
        sequenced._link.close()
        assert 1800 <= told(reader) < 1860
        written.run(move, -20)
        assert 2400 <= told(reader) < 2460
        written.run(move, 40)
        written.keep()
        assert as_object(reader.status())["unanchored_seconds"] == 0
    assert verified(written).unanchored_seconds == 0


def test_no_alarm_while_others_write(written) -> None:
    """Verified many times while a worker commits and the keeper sequences and anchors."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        plant = Plant(written.dsn(WRITER))
        (lease,) = plant.take(Shard("shard-9", (), 0, 5))
        plant.register(lease)
        number = 0
        while not stop.wait(0.05):
            number += 1
            plant.commit(plant.batch(lease, number))
        plant.store.close()

    def keep() -> None:
        keeper = written.keeper()
        lead(keeper)
        while not stop.wait(0.1):
            keeper.round()
        keeper._link.close()

    def guarded(task) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - told by the test
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(task,)) for task in (work, keep)]
    for thread in threads:
        thread.start()
    try:
        reports = [verified(written) for _ in range(VERIFICATIONS)]
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert failed == []
    assert [report.wrong for report in reports if not report.ok] == []
    assert reports[-1].entries > reports[0].entries
    assert reports[-1].anchored > reports[0].anchored


@pytest.mark.parametrize(
    ("statement", "kind", "says"),
    [
        ("UPDATE floorlog.alarm_event SET actor = 'nobody'", "evidence", "is not what its leaf"),
        ("UPDATE floorlog.alarm_event SET at_us = 1", "evidence", "is not what its leaf"),
        ("UPDATE floorlog.alarm_event SET after = 'normal'", "evidence", "which its alarm did not"),
        ("DELETE FROM floorlog.alarm_event", "evidence", "is gone; leaf"),
        ("UPDATE floorlog.alarm SET state = 'normal'", "derived", "is kept as normal"),
        ("DELETE FROM floorlog.alarm", "derived", "is not kept"),
    ],
)
def test_changed_alarms_are_found(written, statement, kind, says) -> None:
    """Whatever a superuser does to an alarm's events, or to what is kept beside them."""
    assert written.run("SELECT count(*) > 0 FROM floorlog.log_leaf WHERE kind = 21") == [(True,)]
    written.run(statement)
    report = verified(written)
    assert not report.ok
    assert any(one.kind == kind and says in one.says for one in report.wrong), report.wrong


def test_a_part_says_that_it_is_one(written) -> None:
    """What was taken away whole is seen by nobody who looks at what is there: it is said so."""
    oven = "(SELECT series_id FROM floorlog.series WHERE device = 'oven')"
    written.run(f"DELETE FROM floorlog.open_row WHERE series && ARRAY{oven}::int4[]")
    part = verify(written.dsn(), written.anchor, device="oven")
    assert (part.ok, part.readings, part.partial) == (True, 0, True)
    assert "taken away" in part.as_text()
    assert "\nintact" not in f"\n{part.as_text()}"
    whole = verify(written.dsn(), written.anchor)
    assert not whole.ok
    assert not whole.partial


@pytest.mark.parametrize(
    "added",
    [
        "INSERT INTO floorlog.audit_event (actor, action, detail) VALUES ('ann', 'look', '{}')",
        "INSERT INTO floorlog.catalogue (version, body) VALUES (3, '{}')",
    ],
)
def test_events_without_an_anchor_are_told(written, added) -> None:
    """Not batches alone: what a note does not cover could be anything, and its span is named."""
    assert verified(written).unanchored_seconds == 0
    written.run(added)
    written.run("SELECT pg_sleep(0.2)")
    assert verified(written).unanchored_seconds > 0.1
    written.run("SELECT floorlog.sequence(1000)")
    assert verified(written).unanchored_seconds > 0.1
    written.keep()
    assert verified(written).unanchored_seconds == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            "UPDATE floorlog.log_leaf SET id = -id WHERE kind = 32 AND lease_id = 2 AND id = 8",
            "are of batches that cannot be",
        ),
        ("DELETE FROM floorlog.lease WHERE lease_id = 2", "shard 2 is gone"),
    ],
)
def test_what_a_campaign_found(written, change, says) -> None:
    """A leaf of a batch that cannot be, and a shard that is gone: named, whatever else there is."""
    written.run(f"SET session_replication_role = replica; {change}")
    report = verified(written)
    assert not report.ok
    assert any(says in one.says for one in report.wrong), report.wrong


def test_chunks_that_changed_places_and_twins_are_made_again(written) -> None:
    """Two chunks in each other's place and an alarm kept twice do not stop a rebuild."""
    seal(written)
    written.run(
        "ALTER TABLE floorlog.alarm DROP CONSTRAINT alarm_pkey;"
        " INSERT INTO floorlog.alarm (series_id, detector) VALUES (2, 'none'), (2, 'none')"
    )
    pairs = written.run(
        "SELECT a.slot, b.slot, a.series_id, a.width FROM floorlog.chunk AS a"
        " JOIN floorlog.chunk AS b USING (series_id, width, part)"
        " WHERE a.slot < b.slot ORDER BY 3, 1, 2 LIMIT 1"
    )
    (low, high, series, width) = pairs[0]
    place = f"WHERE series_id = {series} AND width = {width} AND slot ="
    for old, new in ((low, -7), (high, low), (-7, high)):
        written.run(f"UPDATE floorlog.chunk SET slot = {new} {place} {old}")
    assert {one.where for one in verified(written).wrong} == {"chunk", "alarm"}
    before, after = rebuild(written.dsn(), written.anchor, "")
    assert (before.ok, after.ok) == (False, True)
