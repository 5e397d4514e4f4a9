"""The journal: one thread that makes changes durable, many waiting requests to a commit."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from floorlog.local.kinesis.refusal import internal_failure, throttled

Work = Callable[[sqlite3.Connection], None]

GROUP_MAX: Final = 256
PENDING_BYTES_MAX: Final = 64 * 1024 * 1024


class Change(NamedTuple):
    """One request's change: what to do in the database, and in memory once it is durable."""

    ticket: int
    work: Work
    settled: Callable[[], None] | None
    control: bool
    size_bytes: int


class Waiter(NamedTuple):
    """Somebody who waits until the change `ticket` is durable."""

    ticket: int
    future: asyncio.Future[None]


class Journal:
    """Changes are committed in the order submitted, in groups, by a thread of its own.

    `submit`, `wait` and `close` are called on the event loop's thread. A group that cannot be
    committed (a full disk) fails the requests in it; if it held a change to a stream or shard,
    memory is ahead of the disk and `broken` is called so that the server ends and starts again
    from what is durable.
    """

    def __init__(self, connection: sqlite3.Connection, broken: Callable[[str], None]) -> None:
        """Start the thread; `connection` belongs to it from now on. Needs a running event loop."""
        self._connection = connection
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._waiters: list[Waiter] = []
        self._pending_bytes = 0
        self._settled = 0
        self.ticket = 0
        self.control_ticket = 0
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def submit(
        self,
        work: Work,
        settled: Callable[[], None] | None = None,
        *,
        control: bool = True,
        size_bytes: int = 0,
    ) -> None:
        """Queue a change; `control` says that it alters streams or shards, not only records."""
        self.ticket += 1
        if control:
            self.control_ticket = self.ticket
        self._pending_bytes += size_bytes
        self._queue.put(Change(self.ticket, work, settled, control, size_bytes))

    def check_room(self) -> None:
        """Refuse new records while too many bytes wait for the disk."""
        if self._pending_bytes > PENDING_BYTES_MAX:
            raise throttled("Rate exceeded: the disk does not keep up with what is put.")

    def settled(self, ticket: int) -> bool:
        """Return whether the change `ticket` and all before it have left the queue."""
        return ticket <= self._settled

    async def wait(self, ticket: int) -> None:
        """Return when the change `ticket` and all before it are durable.

        Raise InternalFailure if they failed.
        """
        if ticket > self._settled:
            future = self._loop.create_future()
            self._waiters.append(Waiter(ticket, future))
            await future

    def close(self) -> None:
        """Commit what was submitted and end the thread."""
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        last = False
        while not last:
            group, last = self._collect()
            if group:
                failure = self._commit(group)
                if not last:
                    self._loop.call_soon_threadsafe(self._resolve, group, failure)

    def _collect(self) -> tuple[list[Change], bool]:
        group: list[Change] = []
        item = self._queue.get()
        while item is not None:
            group.append(item)
            if len(group) == GROUP_MAX:
                return group, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _commit(self, group: list[Change]) -> str | None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for change in group:
                change.work(connection)
            connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return str(error)
        return None

    def _resolve(self, group: list[Change], failure: str | None) -> None:
        self._settled = group[-1].ticket
        for change in group:
            self._pending_bytes -= change.size_bytes
            if failure is None and change.settled is not None:
                change.settled()
        waiting: list[Waiter] = []
        for waiter in self._waiters:
            if waiter.ticket > self._settled:
                waiting.append(waiter)
            elif not waiter.future.done():
                if failure is None:
                    waiter.future.set_result(None)
                else:
                    waiter.future.set_exception(internal_failure(f"Nothing was stored: {failure}."))
        self._waiters = waiting
        if failure is not None and any(change.control for change in group):
            self._broken(failure)


def connect(path: Path) -> sqlite3.Connection:
    """Open the database for one thread at a time; a commit returns when it is on disk."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA busy_timeout = 10000")
    return connection
