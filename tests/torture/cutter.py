"""A wire to PostgreSQL that can be cut at a batch's COMMIT: before it, or before its answer."""

import select
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field

from floorlog.local.ports import LOOPBACK

STARTUP_CODES = (80877103, 80877104)  # SSLRequest, GSSENCRequest: the start proper follows
CHUNK_BYTES = 1 << 16
CALM_SECONDS = 0.03


@dataclass
class Dialogue:
    """What one client said so far, as far as it matters for knowing a batch's COMMIT."""

    begun: bool = False
    pending: bytes = b""
    texts: dict[bytes, bytes] = field(default_factory=dict)  # prepared statement → its text
    batch: bool = False  # a batch was sent in the transaction that is open

    def commits(self, data: bytes) -> int | None:
        """Where in `data` the COMMIT of a batch begins; None if it holds none."""
        held = len(self.pending)
        self.pending += data
        place, found = 0, None
        while (length := self._length(place)) is not None:
            if self._is_commit(self.pending[place : place + length]) and found is None:
                found = max(0, place - held)
            place += length
        self.pending = self.pending[place:]
        return found

    def _length(self, place: int) -> int | None:
        head = 1 if self.begun else 0
        if len(self.pending) < place + head + 4:
            return None
        length = head + struct.unpack_from("!I", self.pending, place + head)[0]
        return length if len(self.pending) >= place + length else None

    def _is_commit(self, message: bytes) -> bool:
        if not self.begun:
            self.begun = struct.unpack_from("!I", message, 4)[0] not in STARTUP_CODES
            return False
        kind, body = message[:1], message[5:]
        text = b""
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self.texts[name] = text
            return False
        if kind == b"B":
            text = self.texts.get(body.split(b"\0", 2)[1], b"")
        elif kind == b"Q":
            text = body
        self.batch |= b"FROM floorlog.advance(" in text
        if text.lstrip(b"\n -").upper().startswith(b"COMMIT"):
            ended, self.batch = self.batch, False
            return ended
        return False


class Cutter:
    """Listens on loopback and passes everything on to PostgreSQL, until it is told to cut.

    Attributes:
        port: where it listens.
        cuts: how often it cut, by way: "commit" (never sent on: the transaction must abort) or
            "answer" (PostgreSQL said COMMIT, and nobody heard it), "hold" (a whole batch waits
            on the wire until `release`).
        refusals: how many held batches the fence then refused.
    """

    def __init__(self, target: int) -> None:
        self.cuts = {"commit": 0, "answer": 0, "hold": 0}
        self.refusals = 0
        self._held = threading.Event()
        self._target = target
        self._order: str | None = None
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut_next(self, way: str) -> None:
        """Cut the connection whose batch commits next."""
        with self._lock:
            self._order = way

    def release(self) -> None:
        """Let the batch that is held go on its way."""
        self._held.set()

    def close(self) -> None:
        """Let go of everything."""
        self.release()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pair in self._pairs:
            _end(*pair)
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection((LOOPBACK, self._target), 5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs.append((client, server))
            wires = (client, server, threading.Event(), threading.Event())
            for work in (self._forth, self._back):
                threading.Thread(target=work, args=wires, daemon=True).start()

    def _taken(self, *ways: str) -> str | None:
        with self._lock:
            if self._order not in ways:
                return None
            order, self._order = self._order, None
            return order

    def _forth(
        self,
        client: socket.socket,
        server: socket.socket,
        silent: threading.Event,
        late: threading.Event,
    ) -> None:
        """From the worker to PostgreSQL."""
        dialogue = Dialogue()
        with suppress(OSError):
            while data := client.recv(CHUNK_BYTES):
                if self._order == "hold":
                    # Its BEGIN alone must not go on: the session would soon be ended as idle.
                    data += _what_follows(client)
                begun = dialogue.batch
                at = dialogue.commits(data)
                if (at is not None or dialogue.batch) and not begun and self._taken("hold"):
                    self._held.clear()
                    self.cuts["hold"] += 1
                    self._held.wait()
                    late.set()
                order = None if at is None else self._taken("commit", "answer")
                if order == "commit":
                    server.sendall(data[:at])
                    self.cuts["commit"] += 1
                    break
                if order == "answer":
                    silent.set()
                server.sendall(data)
        if not silent.is_set():
            _end(client, server)

    def _back(
        self,
        client: socket.socket,
        server: socket.socket,
        silent: threading.Event,
        late: threading.Event,
    ) -> None:
        """From PostgreSQL to the worker."""
        said = b""
        with suppress(OSError):
            while data := server.recv(CHUNK_BYTES):
                if late.is_set() and b"\0CFL001\0" in data:
                    self.refusals += 1
                    late.clear()
                if not silent.is_set():
                    client.sendall(data)
                    continue
                said += data
                if b"COMMIT\0" in said:
                    self.cuts["answer"] += 1
                    break
        _end(client, server)


def _what_follows(client: socket.socket) -> bytes:
    """What else comes until nothing came for a moment."""
    data = b""
    while select.select([client], [], [], CALM_SECONDS)[0] and (more := client.recv(CHUNK_BYTES)):
        data += more
    return data


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
