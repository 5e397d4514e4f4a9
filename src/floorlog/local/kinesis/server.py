"""The server: the parts put together, started and ended on a running event loop."""

import asyncio
import socket
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tornado.httpserver import HTTPServer

from floorlog.errors import DataDirectoryError, DiskFull, FloorlogError, PortInUse
from floorlog.local.kinesis.account import Account, Clock
from floorlog.local.kinesis.front import Front
from floorlog.local.kinesis.journal import Journal, connect
from floorlog.local.kinesis.lock import DirectoryLock
from floorlog.local.kinesis.shelf import Shelf

HOST: Final = "127.0.0.1"
BODY_BYTES_MAX: Final = 16 * 1024 * 1024
BACKLOG: Final = 128
SWEEP_SECONDS: Final = 60.0


def wall_clock_ms() -> int:
    """Return the present in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a server is started with.

    Port 0 is any free one, `transition_ms` how long CREATING and UPDATING last.
    """

    data: Path
    port: int = 0
    limits: bool = True
    account_id: str = "000000000000"
    region: str = "eu-west-2"
    transition_ms: int = 50
    now_ms: Clock = wall_clock_ms


class Server:
    """A Kinesis-compatible server on loopback with its data in one directory."""

    def __init__(self, options: Options) -> None:
        """Prepare; nothing is opened before `start`."""
        self._options = options
        self._failure: FloorlogError | None = None
        self._ended = asyncio.Event()
        self.port = 0

    async def start(self) -> int:
        """Open the data and the port, and return the port.

        Raises DataDirectoryLocked, DataDirectoryError or PortInUse, each with the fix.
        """
        options = self._options
        self._lock = DirectoryLock(options.data)
        try:
            self._socket = _listen(options.port)
            self._shelf = Shelf(options.data)
        except sqlite3.Error as error:
            self._lock.release()
            raise DataDirectoryError(
                f"the streams cannot be read ({error})",
                where=str(options.data),
                fix="free room on the disk, restore the directory, or give another with --data",
            ) from error
        except FloorlogError:
            self._lock.release()
            raise
        self._journal = Journal(connect(self._shelf.path), self._broken)
        self.account = Account(
            self._shelf,
            self._journal,
            options.now_ms,
            account_id=options.account_id,
            region=options.region,
            limits=options.limits,
            transition_ms=options.transition_ms,
        )
        self._front = Front(self.account)
        self._http = HTTPServer(self._front, max_body_size=BODY_BYTES_MAX)
        self._http.add_socket(self._socket)
        self._sweeper = asyncio.create_task(self._sweep())
        self.port = int(self._socket.getsockname()[1])
        return self.port

    async def stop(self) -> None:
        """End: no new requests, those under way given up, what was submitted committed."""
        self._sweeper.cancel()
        self._http.stop()
        await self._front.stop()
        await self._http.close_all_connections()
        self._journal.close()
        self._shelf.close()
        self._lock.release()

    def end(self) -> None:
        """Let `ended` return."""
        self._ended.set()

    async def ended(self) -> None:
        """Return when `end` is called.

        Raise DiskFull when changes cannot be made durable any more.
        """
        await self._ended.wait()
        if self._failure is not None:
            raise self._failure

    def _broken(self, failure: str) -> None:
        self._failure = DiskFull(
            f"the stream server could not store a change ({failure})",
            where=str(self._options.data),
            fix="free room on the disk and start again: all that was acknowledged is kept",
        )
        self._ended.set()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.account.sweep()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setblocking(False)
    try:
        listener.bind((HOST, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise PortInUse(
            f"the stream server cannot listen on port {port} ({error.strerror})",
            where=HOST,
            fix="end the program that uses it, or give another --port (0: any free one)",
        ) from error
    return listener
