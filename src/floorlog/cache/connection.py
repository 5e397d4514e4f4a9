"""The few words of the Redis protocol that a view in one hash slot needs.

An own client, because redis-py costs every worker 0.25 CPU-seconds and 25 MB at start: a sixth of
both budgets, for six commands. All keys lie in one slot, so there is one connection; MOVED and ASK
are followed, and after any loss the next call begins again at the endpoint that was configured.
"""

import select
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from floorlog.errors import ServiceError

REDIRECTS_MAX = 4
REPLY_BYTES_MAX = 256 * 1024 * 1024
NESTING_MAX = 4
RECEIVE_BYTES = 65_536

Reply = bytes | int | None | list["Reply"]


class CacheError(ServiceError):
    """The cache did not do what it was asked: unreachable, too slow, or refusing."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the cache is and how it wants to be spoken to."""

    host: str
    port: int
    tls: bool = False
    password: str | Callable[[], str] = ""
    user: str = ""

    @classmethod
    def parse(cls, text: str, *, tls: bool = False, password: str = "") -> "Endpoint":
        """The endpoint of `host:port`. Raises CacheError when it is neither."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise CacheError(
                f"{text!r} is not host:port",
                where="REDIS_ENDPOINT",
                fix="set it to the cache's host and port, as in localhost:6379",
            )
        return cls(host.strip("[]"), int(port), tls, password)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Refusal(CacheError):
    """The cache answered with an error; its first word is the kind, as in MOVED or CROSSSLOT."""

    @property
    def kind(self) -> str:
        """MOVED, ASK, CROSSSLOT, NOAUTH, LOADING, ERR …."""
        return self.what.partition(" ")[0]


class Connection:
    """One connection, opened at the first call and again after every loss; for one thread.

    `opened` counts how often that happened: whoever must write everything again after a fail-over
    compares it.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float = 1.0) -> None:
        """No call waits longer than `timeout_s` for each of connecting, sending and the reply."""
        self.endpoint = endpoint
        self.timeout_s = timeout_s
        self.opened = 0
        self._socket: socket.socket | None = None
        self._buffer = bytearray()
        self._read = 0
        self._deadline_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def call(self, *parts: str | bytes | int, timeout_s: float | None = None) -> Reply:
        """Send one command and return its reply, following MOVED and ASK.

        Raises Refusal when the cache answers with an error (the connection stays), CacheError when
        it does not answer in time (the connection is closed).
        """
        for _ in range(REDIRECTS_MAX):
            self._deadline_s = time.monotonic() + (timeout_s or self.timeout_s)
            try:
                if self._socket is None:
                    self._open(self.endpoint.host, self.endpoint.port)
                self._send(parts)
                return self._reply()
            except Refusal as refusal:
                if refusal.kind not in {"MOVED", "ASK"}:
                    raise
                self._follow(refusal)
            except (OSError, ValueError) as error:
                self.close()
                raise self._error(_plain(error)) from error
            except CacheError:
                self.close()
                raise
        self.close()
        raise self._error(f"more than {REDIRECTS_MAX} redirections for one command")

    def tell(self, *parts: str | bytes | int) -> None:
        """Send one command whose answer, if any, `receive` brings: for subscriptions."""
        if self._socket is None:
            raise self._error("the connection is closed")
        try:
            self._send(parts)
        except OSError as error:
            self.close()
            raise self._error(_plain(error)) from error

    def receive(self, wait_s: float) -> Reply:
        """The next message that comes unasked (a subscription's), or None after `wait_s`."""
        if self._socket is None:
            raise self._error("the connection is closed")
        if self._read == len(self._buffer) and not self._pending(wait_s):
            return None
        self._deadline_s = time.monotonic() + self.timeout_s
        try:
            return self._reply()
        except (OSError, ValueError) as error:
            self.close()
            raise self._error(_plain(error)) from error

    def close(self) -> None:
        """Close; the next call opens anew."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._buffer.clear()
        self._read = 0

    def _open(self, host: str, port: int) -> None:
        self.close()
        raw = socket.create_connection((host, port), timeout=self.timeout_s)
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.endpoint.tls:
                raw = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
        except BaseException:
            raw.close()
            raise
        self._socket = raw
        self.opened += 1
        password = self.endpoint.password
        if password:
            try:
                word = password if isinstance(password, str) else password()
                self._send(
                    ("AUTH", self.endpoint.user, word) if self.endpoint.user else ("AUTH", word)
                )
                self._reply()
            except CacheError:
                self.close()
                raise

    def _follow(self, refusal: Refusal) -> None:
        """Go where MOVED or ASK point: `MOVED 3999 host:port`; no host means the same one."""
        host, _, port = refusal.what.split(" ")[-1].rpartition(":")
        same = self._socket.getpeername()[0] if self._socket is not None else self.endpoint.host
        try:
            self._open(host if host not in {"", "?"} else same, int(port))
            if refusal.kind == "ASK":
                self._send(("ASKING",))
                self._reply()
        except (OSError, ValueError) as error:
            self.close()
            raise self._error(f"redirected to {host}:{port}: {_plain(error)}") from error

    def _send(self, parts: tuple[str | bytes | int, ...]) -> None:
        assert self._socket is not None
        out = [b"*%d\r\n" % len(parts)]
        for part in parts:
            data = part if isinstance(part, bytes) else str(part).encode()
            out += [b"$%d\r\n" % len(data), data, b"\r\n"]
        self._socket.settimeout(self.timeout_s)
        self._socket.sendall(b"".join(out))

    def _reply(self, depth: int = 0) -> Reply:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"-":
            raise Refusal(rest.decode(errors="replace"), where=f"cache at {self.endpoint}")
        size = int(rest)
        if size > REPLY_BYTES_MAX or depth > NESTING_MAX or kind not in b"$*":
            raise ValueError(f"an answer that is none: {line[:40]!r}")
        if size < 0:
            return None
        if kind == b"*":
            return [self._reply(depth + 1) for _ in range(size)]
        data = self._exactly(size + 2)
        return data[:-2]

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n", self._read)) < 0:
            self._fill()
        line = bytes(self._buffer[self._read : end])
        self._read = end + 2
        self._settle()
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) - self._read < size:
            self._fill()
        data = bytes(self._buffer[self._read : self._read + size])
        self._read += size
        self._settle()
        return data

    def _settle(self) -> None:
        """Drop what was read, in large steps: moving the rest down for each line is quadratic."""
        if self._read == len(self._buffer) or self._read > 16 * RECEIVE_BYTES:
            del self._buffer[: self._read]
            self._read = 0

    def _fill(self) -> None:
        assert self._socket is not None
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._socket.settimeout(left_s)
        data = self._socket.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionResetError("it closed the connection")
        self._buffer += data

    def _pending(self, wait_s: float) -> bool:
        assert self._socket is not None
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        return bool(select.select([self._socket], [], [], wait_s)[0])

    def _error(self, what: str) -> CacheError:
        return CacheError(
            what,
            where=f"cache at {self.endpoint}",
            fix="check that it runs and that REDIS_ENDPOINT names it",
        )


def _plain(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
