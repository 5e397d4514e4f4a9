"""Connections that end at the worst moment: the outcome is never guessed."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from floorlog.core.protocol import Check, Commit, Committed, Failed, Renew, Standing, Unknown

pytestmark = pytest.mark.slow  # waits for time-outs


class Wire:
    """A TCP proxy in front of PostgreSQL that cuts the line as told.

    Attributes:
        cut: None passes all; "request" passes half of the next message and cuts; "reply" passes
            the message, lets the server finish, and cuts instead of passing its reply; "silence"
            holds everything back and leaves the line open, as a server that is paused does.
    """

    def __init__(self, port: int) -> None:
        self.cut: str | None = None
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for line in self._open:
            hang_up(line)
            line.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._open += [client, server]
            marked = threading.Event()
            for source, target, from_client in ((client, server, True), (server, client, False)):
                threading.Thread(
                    target=self._pass, args=(source, target, marked, from_client), daemon=True
                ).start()

    def _pass(self, source, target, marked: threading.Event, from_client: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 20):
                while self.cut == "silence":
                    time.sleep(0.02)
                if from_client and self.cut:
                    marked.set()
                if marked.is_set() and self.cut == "request":
                    target.sendall(data[: len(data) // 2])
                    break
                if marked.is_set() and not from_client:
                    time.sleep(0.2)  # the transaction is over by then
                    break
                target.sendall(data)
        hang_up(source)
        hang_up(target)


def hang_up(line: socket.socket) -> None:
    """End both directions, unless the other side has."""
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def wire(record) -> Iterator[Wire]:
    made = Wire(int(psycopg.conninfo.conninfo_to_dict(record.dsn())["port"]))
    yield made
    made.close()


@pytest.fixture
def wired(record, wire):
    """A store behind the wire with a lease, a series, and all statements prepared."""
    dsn = psycopg.conninfo.make_conninfo(record.dsn(), host="127.0.0.1", port=wire.port)
    store, lease = record.begin("ann", dsn=dsn)
    (series,) = record.register(store, lease, 1)
    record.commit(store, record.batch(lease, 1, [(series, 0, 0.0)]))
    record.commit(store, record.batch(lease, 2, [(series, 1, 1.0)]))
    return store, lease, series


def test_a_reply_lost_at_commit_is_unknown_and_the_batch_is_there(record, wire, wired) -> None:
    """The check says so, and a repeated batch would not be stored twice."""
    store, lease, series = wired
    batch = record.batch(lease, 3, [(series, 2, 2.0)])
    wire.cut = "reply"
    assert store.commit(Commit(batch)) == Unknown()
    wire.cut = None
    standing = store.check(Check(lease))
    assert isinstance(standing, Standing)
    assert (standing.number, standing.checkpoint) == (3, 30)
    assert store.commit(Commit(batch)) == Unknown()
    assert [value for _, _, value in record.values()] == [0.0, 1.0, 2.0]


def test_a_request_lost_at_commit_is_unknown_and_the_batch_is_not_there(
    record, wire, wired
) -> None:
    """The check says so, and the batch can be committed again."""
    store, lease, series = wired
    batch = record.batch(lease, 3, [(series, 2, 2.0)])
    wire.cut = "request"
    assert store.commit(Commit(batch)) == Unknown()
    wire.cut = None
    assert store.check(Check(lease)).number == 2
    record.commit(store, batch)
    assert [value for _, _, value in record.values()] == [0.0, 1.0, 2.0]


def test_a_silent_server_is_not_waited_for_for_ever(record, wire) -> None:
    """Its line stays open and nothing comes: given up, and gone on with when it speaks again."""
    dsn = psycopg.conninfo.make_conninfo(record.dsn(), host="127.0.0.1", port=wire.port)
    store, lease = record.begin("ann", dsn=dsn, lease_s=1)
    wire.cut = "silence"
    reply = store.renew(Renew(lease, 0, -1))
    assert isinstance(reply, Failed)
    assert "the server was silent for 2 s" in reply.reason
    wire.cut = None
    assert not isinstance(store.renew(Renew(lease, 0, -1)), Failed)


def test_a_session_that_is_ended_while_it_commits_is_unknown(record) -> None:
    """pg_terminate_backend in the middle: unknown, then found not done, then done."""
    ann, lease = record.begin("ann")
    (series,) = record.register(ann, lease, 1)
    blocker = record.store("bob")._link.idle()
    blocker.execute("BEGIN")
    blocker.execute("SELECT FROM floorlog.lease FOR UPDATE")
    replies = []
    batch = record.batch(lease, 1, [(series, 0, 1.0)])
    job = threading.Thread(target=lambda: replies.append(ann.commit(Commit(batch))))
    job.start()
    ended = []
    for _ in range(100):
        ended = record.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'floorlog ann' AND wait_event_type = 'Lock'"
        )
        if ended:
            break
        time.sleep(0.02)
    job.join(5)
    blocker.execute("ROLLBACK")
    assert ended == [(True,)]
    assert replies == [Unknown()]
    assert ann.check(Check(lease)).number == 0
    record.commit(ann, batch)
    assert len(record.values()) == 1


def test_a_check_waits_for_a_commit_under_way(record) -> None:
    """As long as the old session may still commit, nobody says where the lease stands."""
    ann, lease = record.begin("ann")
    old = record.store("ann")._link.idle()
    old.execute("BEGIN")
    old.execute("UPDATE floorlog.lease SET number = 1, checkpoint = 10")
    replies = []
    job = threading.Thread(target=lambda: replies.append(ann.check(Check(lease))))
    job.start()
    time.sleep(0.3)
    assert not replies
    old.execute("COMMIT")
    job.join(5)
    assert [reply.number for reply in replies] == [1]


def test_a_session_that_ended_before_is_noticed(record) -> None:
    """A batch sent into an ended session is not committed; at most two tries later it is."""
    ann, lease = record.begin("ann")
    record.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'floorlog ann'"
    )
    batch = record.batch(lease, 1)
    assert isinstance(ann.commit(Commit(batch)), Unknown | Failed)
    assert ann.check(Check(lease)).number == 0
    assert isinstance(ann.commit(Commit(batch)), Committed)


def test_a_paused_lookup_does_not_block_for_ever(record) -> None:
    """The server ends a transaction that idles; the locked commit then did not happen."""
    ann, lease = record.begin("ann", lease_s=1)
    connection = ann._link.idle()
    connection.execute("BEGIN")
    connection.execute("SELECT FROM floorlog.lease FOR UPDATE")
    time.sleep(0.7)
    assert isinstance(ann.commit(Commit(record.batch(lease, 1), locked=True)), Unknown | Failed)
    assert ann.check(Check(lease)).number == 0
    assert not isinstance(ann.renew(Renew(lease, 0, -1)), Failed)
