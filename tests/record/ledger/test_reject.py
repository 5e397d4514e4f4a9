"""Rejects are found, shown safely and sent again once; and everything received adds up."""

import json
import re

import pytest
from written import Written

from floorlog.cli import floorlog
from floorlog.core.reading import Code
from floorlog.errors import InputError, ServiceError
from floorlog.record.act.mend import ADVICE
from floorlog.record.act.reconcile import COUNTS, reconcile
from floorlog.record.act.reject import Asked, reject, rejects, replay, shown
from floorlog.record.check.verify import verify
from floorlog.store.migrate import OPERATOR, READER

pytestmark = pytest.mark.slow
GOOD = b'{"device_id":"press-1","metric":"m0","ts":1767225600,"value":1}'


def names(written: Written, **asked) -> list[str]:
    return [one.name for one in rejects(written.dsn(READER), Asked(**asked))]


class Stream:
    """Takes records, or fails as a stream does."""

    def __init__(self, error: Exception | None = None) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.error = error

    def __call__(self, entry) -> tuple[str, str]:
        if self.error is not None:
            raise self.error
        self.taken.append((entry.partition_key, entry.data))
        return "shard-0", str(len(self.taken))


def test_rejects_are_found(written) -> None:
    """By time, code, shard and what they hold; page by page, the newest first."""
    ((count,),) = written.run("SELECT count(*) FROM floorlog.reject")
    every = names(written, rows_max=1000)
    assert len(set(every)) == len(every) == count > 4
    paged = [name for skip in range(0, count, 3) for name in names(written, rows_max=3, skip=skip)]
    assert paged == every
    assert names(written, code="malformed") == every
    assert names(written, code="bad_time") == []
    of_one = names(written, shard="shard-2")
    assert 0 < len(of_one) < count
    assert names(written, text=b"\xff{") == every
    assert names(written, text=b"press") == []
    assert names(written, since=2**61) == names(written, until=0) == []


def test_every_code_says_how_to_mend_it() -> None:
    """No reject leaves its reader without a next step."""
    assert set(ADVICE) == set(Code)


@pytest.mark.parametrize(
    "data",
    [
        b"\x1b[2J\x1b]0;x\x07",
        "a\u202eb\u2028c\u200b".encode(),
        b"\r\n\x00\x9b31m",
        bytes(range(256)),
    ],
)
def test_bytes_are_shown_safely(data: bytes) -> None:
    """No byte of a reject moves the cursor, hides text or ends the line."""
    text = shown(data)
    assert text.isprintable()
    assert len(shown(data * 3_000)) < 60_000


def test_a_replay_leaves_its_trace(written) -> None:
    """The record goes out with the device as its key; actor, reason and record stay in the log."""
    stream = Stream()
    name = names(written)[0]
    made = replay(written.dsn(OPERATOR), name, stream, by="Eve", reason="mended: ä", data=GOOD)
    assert stream.taken == [("press-1", GOOD)]
    found, events = reject(written.dsn(READER), name)
    assert [one.action for one in events] == ["reject.replay", "reject.sent"]
    assert {one.actor for one in events} == {events[0].actor}
    assert re.fullmatch("p-[0-9a-f]{12}", events[0].actor)
    assert events[0].detail["reason"] == "mended: ä"
    assert events[0].detail["mended"] is True
    assert (events[1].detail["shard"], events[1].detail["sequence"]) == ("shard-0", "1")
    assert (made.sequence, made.event_id) == ("1", events[0].event_id)
    assert found.touched
    assert name not in names(written, open_only=True)
    assert len(names(written, open_only=True)) == len(names(written)) - 1
    written.keep()
    report = verify(written.dsn(READER), written.anchor)
    assert (report.ok, report.wrong) == (True, [])
    counted = reconcile(written.dsn(READER))
    assert (counted.ok, counted.replays) == (True, 1)


def test_nothing_is_sent_twice_by_accident(written) -> None:
    """A second time only with `again`; after a failure, without it."""
    name, other, third = names(written)[:3]
    dsn = written.dsn(OPERATOR)
    stream = Stream()
    said = {"by": "Eve", "reason": "x", "data": GOOD}
    replay(dsn, name, stream, **said)
    with pytest.raises(InputError, match="sent already, by p-") as error:
        replay(dsn, name, stream, **said)
    assert "--again" in str(error.value)
    assert len(stream.taken) == 1
    replay(dsn, name, stream, again=True, **said)
    assert len(stream.taken) == 2
    with pytest.raises(ServiceError, match="is not there"):
        replay(dsn, other, Stream(ServiceError("the stream is not there")), **said)
    replay(dsn, other, stream, **said)
    with pytest.raises(KeyboardInterrupt):
        replay(dsn, third, Stream(KeyboardInterrupt()), **said)
    with pytest.raises(InputError, match="nobody knows whether it arrived"):
        replay(dsn, third, stream, **said)
    assert len(stream.taken) == 3


def test_what_would_be_rejected_again_is_not_sent(written) -> None:
    """The reason and the way out are said, and no trace is left."""
    name = names(written)[0]
    before = written.run("SELECT count(*) FROM floorlog.audit_event")
    stream = Stream()
    for data in (None, b"{}", b'{"device_id":"a"}'):
        with pytest.raises(InputError, match="rejected again"):
            replay(written.dsn(OPERATOR), name, stream, by="Eve", reason="x", data=data)
    with pytest.raises(InputError, match="no reject"):
        replay(written.dsn(OPERATOR), "1.1.00000000", stream, by="Eve", reason="x", data=GOOD)
    assert stream.taken == []
    assert written.run("SELECT count(*) FROM floorlog.audit_event") == before


def test_everything_adds_up(written) -> None:
    """Per shard and hour, and in sum as the shards' rows say; gaps stand with their cause."""
    found = reconcile(written.dsn(READER))
    assert (found.ok, found.wrong) == (True, [])
    assert [one for hour in found.hours for one in hour.wrong] == []
    ((*sums, gaps),) = written.run(
        f"SELECT {', '.join(f'sum({name})' for name in COUNTS)}, sum(gaps) FROM floorlog.lease"
    )
    assert [sum(getattr(one, name) for one in found.hours) for name in COUNTS] == sums
    assert sum(len(one.gaps) for one in found.hours) == gaps > 0
    assert {gap.cause for one in found.hours for gap in one.gaps} == {"late"}
    assert found.corrections == 3
    assert reconcile(written.dsn(READER), since=2**61).hours == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("UPDATE floorlog.batch SET received = received + 1 WHERE (lease_id, number) = (1, 3)",
         "received is not stored"),
        ("DELETE FROM floorlog.batch WHERE (lease_id, number) = (1, 3)", "a hole"),
        ("UPDATE floorlog.batch SET sequence = 35 WHERE (lease_id, number) = (1, 3)", "a hole"),
        ("DELETE FROM floorlog.batch WHERE lease_id = 3 AND number = 3", "stands at batch 3"),
        ("DELETE FROM floorlog.reject WHERE (lease_id, number) = (1, 1)", "are there"),
        ("DELETE FROM floorlog.conflict WHERE (lease_id, number) = (1, 1)", "are there"),
        ("UPDATE floorlog.lease SET stored = stored + 1 WHERE lease_id = 2", "its batches"),
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_named(written, change, says) -> None:
    """With shard and hour, and not ok."""
    written.run(change)
    found = reconcile(written.dsn(READER))
    assert not found.ok
    assert says in " ".join([*found.wrong, *(one for hour in found.hours for one in hour.wrong)])
    assert "IT DOES NOT ADD UP" in found.as_text()


def test_commands_of_rejects(written, command) -> None:
    """List, show and reconcile, for people and as JSON; exit code 1 where it does not add up."""
    listed = json.loads(command("reject", "list", "--rows", "2", "--json"))
    assert len(listed) == 2
    name = listed[0]["name"]
    assert name in command("reject", "list")
    assert command("reject", "list", "--until", "2026-01-01") == "no rejects that match\n"
    whole = json.loads(command("reject", "show", name, "--json"))
    assert bytes.fromhex(whole["data_hex"]) == b"\x00\xff{"
    assert "send valid JSON" in command("reject", "show", name)
    assert json.loads(command("reconcile", "--json"))["ok"] is True
    assert "everything adds up" in command("reconcile")
    written.run("UPDATE floorlog.lease SET stored = stored + 1 WHERE lease_id = 2")
    with pytest.raises(SystemExit) as ended:
        floorlog.main(["reconcile"], standalone_mode=False)
    assert ended.value.code == 1
