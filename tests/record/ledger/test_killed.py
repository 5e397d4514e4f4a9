"""Sequencing and anchoring cut off at every call, killed at any moment: all is there once."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from base64 import b64decode
from itertools import count

import msgspec
import pytest
from written import Plant, Shard, Written, lead, more

from floorlog import config
from floorlog.core.ledger.tree import root
from floorlog.local.child import leashed
from floorlog.record.check.verify import verify
from floorlog.record.log.anchor import Anchor
from floorlog.record.log.publish import read_leaves
from floorlog.store.migrate import KEEPER, OPERATOR, READER, WRITER

KILLS = 5
LEAVES = "SELECT position, kind, lease_id, id, hash FROM floorlog.log_leaf ORDER BY position"


class Killed(BaseException):
    """The keeper's process ends here."""


class Cut(Anchor):
    """An anchor at which the keeper ends: at one of its calls, before it has an effect or after."""

    def __init__(self, below: Anchor, call: int, *, has_effect: bool) -> None:
        self._below = below
        self._left = call
        self._has_effect = has_effect

    def names(self, begins: str) -> list[str]:
        return self._cut(lambda: self._below.names(begins))

    def get(self, name: str) -> bytes:
        return self._cut(lambda: self._below.get(name))

    def keep(self, name: str, data: bytes) -> bool:
        return self._cut(lambda: self._below.keep(name, data))

    def spare(self, begins: str) -> None:
        self._cut(lambda: self._below.spare(begins))

    def _cut(self, work):
        self._left -= 1
        if self._left == 0 and not self._has_effect:
            raise Killed
        done = work()
        if self._left == 0:
            raise Killed
        return done


def assert_whole(written: Written) -> None:
    """Each batch, series, shard and event has one leaf, all are anchored, and all verifies."""
    rows = written.run(LEAVES)
    assert [row[0] for row in rows] == list(range(len(rows)))
    assert len({row[1:4] for row in rows}) == len(rows)
    batches = written.run("SELECT lease_id, number FROM floorlog.batch ORDER BY 1, 2")
    assert sorted(row[2:4] for row in rows if row[1] == 32) == batches
    events = written.run("SELECT event_id FROM floorlog.audit_event ORDER BY 1")
    assert sorted((row[3],) for row in rows if row[1] == 20) == events
    hashes = [row[4] for row in rows]
    anchor = written.anchor
    assert anchor.sizes()[-1] == len(rows)
    assert read_leaves(anchor, anchor.spans(), 0, len(rows)) == hashes
    report = verify(written.dsn(READER), anchor)
    assert report.wrong == []
    assert (report.ok, report.anchored, report.unanchored_seconds) == (True, len(rows), 0)
    assert report.entries == len(batches)


@pytest.mark.slow
def test_a_keeper_that_ends_at_any_call_leaves_all_to_the_next(written) -> None:
    """At each call to the anchor in turn, before and after it; then another one goes on."""
    shards = count(20)
    for call in count(1):
        ended = 0
        for has_effect in (False, True):
            more(written, f"shard-{next(shards)}")
            keeper = written.keeper()
            keeper._publisher._anchor = Cut(written.anchor, call, has_effect=has_effect)
            try:
                lead(keeper)
            except Killed:
                ended += 1
            keeper._link.close()
        if not ended:
            break
    assert call > 8  # what there is to cut: statements, notes, key, tiles, the note
    assert_whole(written)
    leaves = [row[4] for row in written.run(LEAVES)]
    for size in written.anchor.sizes():
        lines = written.anchor.read(size).decode().splitlines()
        assert lines[1] == str(size)
        assert root(leaves[:size]) == b64decode(lines[2])


def start_keeper(written: Written) -> subprocess.Popen[bytes]:
    """`floorlog keeper` as a process, which the kernel kills with this one."""
    address = written.ground.services.postgres
    secret = written.directory / "keeper.json"
    content = {
        "username": KEEPER, "password": address.password(KEEPER), "host": "127.0.0.1",
        "port": address.port, "dbname": written.database,
    }  # fmt: skip
    if not secret.exists():
        secret.touch(mode=0o600)
        secret.write_bytes(msgspec.json.encode(content))
    variables = {
        "DB_SECRET_ARN": f"file:{secret}",
        "KINESIS_STREAM_NAME": "none",
        "REDIS_ENDPOINT": "127.0.0.1:1",
        "FLOORLOG_ANCHOR": str(written.anchor.path),
        "FLOORLOG_ANCHOR_SECONDS": "1",
        "FLOORLOG_SIGNING_KEY": str(written.key_path),
    }
    argv = leashed([sys.executable, "-m", "floorlog", "keeper"], None, signal.SIGKILL)
    with (written.directory / "keeper.log").open("ab") as log:
        return subprocess.Popen(argv, env=config.inherited(variables), stdout=log, stderr=log)


def kill_again_and_again(written: Written, kills: int, seed: int) -> None:
    """A keeper killed at random moments while a worker commits and people act."""
    chance = random.Random(seed)
    print(f"kills at random: seed {seed}")
    stop = threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            plant = Plant(written.dsn(WRITER))
            (lease,) = plant.take(Shard("shard-9", (), 0, 5))
            plant.register(lease)
            for number in count(1):
                if stop.wait(0.02):
                    break
                plant.commit(plant.batch(lease, number))
                if number % 10 == 0:
                    with written.connect(OPERATOR) as person:
                        person.execute(
                            "INSERT INTO floorlog.audit_event (actor, action, detail)"
                            " VALUES ('ann', 'look', '{}')"
                        )
            plant.store.close()
        except BaseException as error:  # noqa: BLE001 - told by the test
            failed.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    notes = len(written.anchor.sizes())
    try:
        for _ in range(kills):
            keeper = start_keeper(written)
            time.sleep(chance.uniform(0.3, 2.5))
            os.kill(keeper.pid, signal.SIGKILL)
            assert keeper.wait(30) == -signal.SIGKILL, (
                written.directory / "keeper.log"
            ).read_text()
    finally:
        stop.set()
        worker.join(60)
    assert failed == []
    written.keep()
    assert len(written.anchor.sizes()) > notes
    assert_whole(written)


@pytest.mark.slow
def test_a_keeper_killed_at_random(written) -> None:
    """Five times by kill -9."""
    kill_again_and_again(written, KILLS, random.randrange(10**6))


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_a_keeper_killed_at_random_for_long(written, long_seconds) -> None:
    """Fifty times and more by kill -9."""
    deadline = time.monotonic() + long_seconds
    kill_again_and_again(written, 50, random.randrange(10**6))
    while time.monotonic() < deadline:
        kill_again_and_again(written, 10, random.randrange(10**6))


def test_events_that_commit_late_are_in_the_log(written) -> None:
    """An audit event whose transaction ends after the log went past its number: signed later."""
    event = (
        "INSERT INTO floorlog.audit_event (actor, action, detail) VALUES ('ann', %s, '{}')"
        " RETURNING event_id"
    )
    keeper = written.keeper()
    lead(keeper)
    with written.connect(OPERATOR) as slow:
        slow.autocommit = False
        ((late,),) = slow.execute(event, ["slow"]).fetchall()
        with written.connect(OPERATOR) as fast:
            ((early,),) = fast.execute(event, ["fast"]).fetchall()
        assert late < early
        keeper.round()
        assert [row[3] for row in written.run(LEAVES) if row[1] == 20][-1] == early
        slow.commit()
    keeper.round()
    keeper._link.close()
    assert [row[3] for row in written.run(LEAVES) if row[1] == 20][-2:] == [early, late]
    assert_whole(written)
