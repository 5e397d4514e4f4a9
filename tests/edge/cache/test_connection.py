"""The wire: redirections, errors, slowness and nonsense are met as by any cluster client."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from floorlog.cache import CHANNEL, KEY, CacheError, Connection, Endpoint

pytestmark = pytest.mark.slow  # starts caches

Script = Callable[[list[bytes]], bytes | None]


class Fake:
    """A server of one's own making: answers each command by a function; None hangs up."""

    def __init__(self, answer: Script, context: ssl.SSLContext | None = None) -> None:
        self.commands: list[list[bytes]] = []
        self._answer, self._context = answer, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.port)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(2)

    def _run(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            with raw:
                try:
                    self._serve(self._context.wrap_socket(raw, True) if self._context else raw)
                except (OSError, ValueError):
                    continue

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as stream:
            while line := stream.readline():
                command = []
                for _ in range(int(line[1:])):
                    size = int(stream.readline()[1:])
                    command.append(stream.read(size + 2)[:-2])
                self.commands.append(command)
                reply = self._answer(command)
                if reply is None:
                    return
                client.sendall(reply)


@pytest.fixture
def fake() -> Iterator[Callable[..., Fake]]:
    made: list[Fake] = []

    def make(answer: Script, context: ssl.SSLContext | None = None) -> Fake:
        made.append(Fake(answer, context))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_the_real_server_refuses_what_aws_refuses(cache):
    """Untagged keys in one script answer CROSSSLOT here too; our key and channel share a slot."""
    with Connection(cache.endpoint) as connection:
        with pytest.raises(CacheError, match="CROSSSLOT"):
            connection.call("EVAL", "return 1", 2, "one", "two")
        assert connection.call("CLUSTER", "KEYSLOT", KEY) == connection.call(
            "CLUSTER", "KEYSLOT", CHANNEL
        )
        assert connection.call("PING") == b"PONG"
        assert connection.opened == 1


def test_every_kind_of_reply_is_understood(cache):
    """Texts, numbers, nothing, lists in lists, empty and binary values."""
    with Connection(cache.endpoint) as connection:
        binary = bytes(range(256)) * 1000
        connection.call("SET", KEY + "x", binary)
        assert connection.call("GET", KEY + "x") == binary
        assert connection.call("GET", KEY + "none") is None
        script = "return {1, 'two', {3, ''}, false}"
        assert connection.call("EVAL", script, 0) == [1, b"two", [3, b""], None]


def test_moved_is_followed_and_stays(fake):
    """After a fail-over the old node points to the new primary; later calls go straight there."""
    new = fake(lambda _: b"+OK\r\n")
    old = fake(lambda _: b"-MOVED 1 127.0.0.1:%d\r\n" % new.port)
    with Connection(old.endpoint) as connection:
        assert connection.call("SET", "a", 1) == b"OK"
        assert connection.call("SET", "a", 2) == b"OK"
        assert connection.opened == 2
    assert [len(server.commands) for server in (old, new)] == [1, 2]


def test_moved_without_a_host_means_the_same_host(fake):
    """A node that does not know its own name leaves the host out."""
    new = fake(lambda _: b":7\r\n")
    old = fake(lambda _: b"-MOVED 1 :%d\r\n" % new.port)
    with Connection(old.endpoint) as connection:
        assert connection.call("INCR", "a") == 7


def test_ask_is_followed_with_asking(fake):
    """While a slot moves, the other node takes the command after ASKING."""
    new = fake(lambda _: b"+OK\r\n")
    old = fake(lambda _: b"-ASK 1 127.0.0.1:%d\r\n" % new.port)
    with Connection(old.endpoint) as connection:
        connection.call("SET", "a", 1)
    assert new.commands == [[b"ASKING"], [b"SET", b"a", b"1"]]


def test_a_circle_of_redirections_ends(fake):
    """Two nodes that point at each other are an error, not a loop."""
    ports: list[int] = []
    servers = [
        fake(lambda _: b"-MOVED 1 127.0.0.1:%d\r\n" % ports[1]),
        fake(lambda _: b"-MOVED 1 127.0.0.1:%d\r\n" % ports[0]),
    ]
    ports += [server.port for server in servers]
    with (
        Connection(servers[0].endpoint) as connection,
        pytest.raises(CacheError, match="redirections"),
    ):
        connection.call("PING")


def test_a_dead_primary_is_left_for_the_endpoint(fake):
    """When the node that MOVED named dies, the next call begins at the configured endpoint."""
    alive = True
    new = fake(lambda _: b"+OK\r\n" if alive else None)
    old = fake(lambda _: b"-MOVED 1 127.0.0.1:%d\r\n" % new.port if alive else b"+HERE\r\n")
    with Connection(old.endpoint) as connection:
        assert connection.call("PING") == b"OK"
        alive = False
        with pytest.raises(CacheError):
            connection.call("PING")
        assert connection.call("PING") == b"HERE"


def test_a_dripping_server_runs_out_of_time(fake):
    """The limit holds for the whole reply, not for each byte of it."""
    slow = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        client, _ = slow.accept()
        with client:
            try:
                client.sendall(b"$100\r\n")
                while True:
                    client.sendall(b"x")
                    time.sleep(0.05)
            except OSError:
                return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    with closing(slow), Connection(Endpoint("127.0.0.1", slow.getsockname()[1]), 0.4) as connection:
        began = time.monotonic()
        with pytest.raises(CacheError, match="in time"):
            connection.call("PING")
        assert time.monotonic() - began < 1.0
    thread.join(2)


@pytest.mark.parametrize(
    "nonsense", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$99999999999\r\n", b"*1\r\n" * 9, b"$x\r\n"]
)
def test_nonsense_is_an_error(fake, nonsense):
    """What speaks another protocol is refused in one line, without reading on for ever."""
    with Connection(fake(lambda _: nonsense).endpoint) as connection:
        with pytest.raises(CacheError, match="cache at 127"):
            connection.call("PING")
        assert connection._socket is None


def test_the_password_goes_first(fake):
    """AUTH comes before anything else; without the right one nothing is sent on that connection."""
    server = fake(
        lambda c: b"+OK\r\n" if c[0] != b"AUTH" or c[1] == b"right" else b"-WRONGPASS no\r\n"
    )
    with Connection(Endpoint("127.0.0.1", server.port, password="right")) as connection:
        connection.call("PING")
    assert server.commands == [[b"AUTH", b"right"], [b"PING"]]
    with (
        Connection(Endpoint("127.0.0.1", server.port, password="wrong")) as connection,
        pytest.raises(CacheError, match="WRONGPASS") as caught,
    ):
        connection.call("PING")
    assert "wrong" not in str(caught.value)
    assert server.commands[-1] == [b"AUTH", b"wrong"]


def test_tls_checks_who_answers(fake, tmp_path, monkeypatch, not_run):
    """With TLS on, a server that nobody vouches for gets nothing, a known one works."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=cache"]
    try:
        subprocess.run(
            [*command, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True
        )
    except FileNotFoundError:
        not_run("needs the openssl program, to make a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = fake(lambda _: b"+PONG\r\n", context)
    endpoint = Endpoint("127.0.0.1", server.port, tls=True)
    with Connection(endpoint) as connection, pytest.raises(CacheError, match=r"(?i)certificate"):
        connection.call("PING")
    assert not server.commands
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Connection(endpoint) as connection:
        assert connection.call("PING") == b"PONG"


@pytest.mark.parametrize("text", ["", "localhost", "localhost:", ":6379", "h:0", "h:70000", "h:x"])
def test_an_endpoint_that_is_none_is_refused(text):
    """The message names the setting and shows how it looks."""
    with pytest.raises(CacheError, match=r"REDIS_ENDPOINT.*localhost:6379"):
        Endpoint.parse(text)


def test_an_endpoint_may_be_ipv6():
    """Brackets go, the port is the last part."""
    assert Endpoint.parse("[::1]:6379") == Endpoint("::1", 6379)
