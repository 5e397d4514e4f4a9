"""One subscriber a process: keeps the board up to date and tells every open page what moved."""

import asyncio
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from floorlog.cache import Changed, Endpoint, Heard, Last, Lost, Whole, listen
from floorlog.errors import FloorlogError
from floorlog.store.alarms import StoredAlarm
from floorlog.store.answers import Finding
from floorlog.web.api.health import Gauge, Health
from floorlog.web.api.record import Answers, Record, last_of
from floorlog.web.board import NOT_NORMAL, Board

log = logging.getLogger("floorlog.web")

CLIENTS_MAX = 256
MESSAGES_MAX = 120  # two minutes of a page that reads nothing
BYTES_MAX = 16 * 1024 * 1024
BEAT_SECONDS = 1.0
KEPT_SECONDS = 120.0  # what a page that comes back within it is told of what it missed
KEPT_BYTES_MAX = 16 * 1024 * 1024
ALARMS_ROWS_MAX = 5_000
ALARMS_WINDOW_SECONDS = 120
FINDINGS_ROWS_MAX = 1_000
FINDINGS_WINDOW_SECONDS = 3_600
# How often the record is asked: while the cache tells what moves, and while it is away.
EVERY_SECONDS = {"status": 1.0, "names": 10.0, "size": 10.0, "values": 30.0, "findings": 3.0,
                 "alarms": 1.0}  # fmt: skip
WITHOUT_CACHE_SECONDS = {"values": 1.0, "findings": 1.0}
UNWATCHED_FACTOR = 5.0


def event(kind: str, content: object, name: str = "") -> bytes:
    """A server-sent event; one with a name can be gone on from."""
    told = f"id: {name}\n".encode() if name else b""
    return b"%sevent: %s\ndata: %s\n\n" % (told, kind.encode(), msgspec.json.encode(content))


class Kept:
    """What was told lately, so that a page that comes back misses nothing.

    Names are `boot-number`: after a restart of the process no page goes on from another's numbers.
    """

    def __init__(self) -> None:
        self._boot = secrets.token_hex(4)
        self._told: deque[tuple[float, int, bytes]] = deque()
        self._bytes = 0
        self._number = 0

    @property
    def newest(self) -> str:
        """The name of the newest event."""
        return f"{self._boot}-{self._number}"

    def add(self, kind: str, content: object) -> bytes:
        """Make an event and keep it, as long as time and bytes allow."""
        self._number += 1
        message = event(kind, content, self.newest)
        now_s = time.monotonic()
        self._told.append((now_s, self._number, message))
        self._bytes += len(message)
        while self._bytes > KEPT_BYTES_MAX or now_s - self._told[0][0] > KEPT_SECONDS:
            self._bytes -= len(self._told.popleft()[2])
        return message

    def since(self, name: str) -> list[bytes] | None:
        """What was told after an event; None where that is not known any more."""
        boot, _, digits = name.partition("-")
        if boot != self._boot or not digits.isdecimal() or int(digits) > self._number:
            return None
        first = self._told[0][1] if self._told else self._number + 1
        if int(digits) + 1 < first:
            return None
        return [message for _, number, message in self._told if number > int(digits)]


class Client:
    """One open page: a bounded queue. What overflows it is hung up on, and comes again by itself.

    Args:
        hang_up: cuts the connection.
    """

    def __init__(self, hang_up: Callable[[], None]) -> None:
        self._hang_up = hang_up
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._ready = asyncio.Event()
        self.gone = False

    def put(self, message: bytes) -> None:
        """Queue a message, or hang up on a page that does not keep up."""
        if self.gone:
            return
        self._queue.append(message)
        self._bytes += len(message)
        if len(self._queue) > MESSAGES_MAX or self._bytes > BYTES_MAX:
            self.leave()
            self._hang_up()
        self._ready.set()

    def leave(self) -> None:
        """Nothing more is wanted."""
        self.gone = True
        self._queue.clear()
        self._bytes = 0
        self._ready.set()

    async def next(self) -> bytes | None:
        """All that waits, as one; None at the end."""
        while not self._queue and not self.gone:
            self._ready.clear()
            await self._ready.wait()
        if self.gone:
            return None
        waiting = b"".join(self._queue)
        self._queue.clear()
        self._bytes = 0
        return waiting


class Feed:
    """Everything the pages see, from the cache as it moves and from the record in between.

    Args:
        record: the truth.
        endpoint: the cache.
        gauge: makes health of the record's status.
    """

    def __init__(self, record: Record, endpoint: Endpoint, gauge: Gauge) -> None:
        self.board = Board()
        self.health: Health | None = None
        self.cache_fault: str | None = "not yet heard"
        self.record_fault: str | None = "not yet asked"
        self._record = record
        self._endpoint = endpoint
        self._gauge = gauge
        self._size_bytes: int | None = None
        self._clients: set[Client] = set()
        self._kept = Kept()
        self._stopping = threading.Event()
        self._due_s: dict[str, float] = dict.fromkeys(EVERY_SECONDS, 0.0)
        self._tasks: list[asyncio.Task[None]] = []
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; from within the running loop."""
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._listen, args=(loop,), name="feed", daemon=True)
        self._thread.start()
        self._tasks = [loop.create_task(self._look()), loop.create_task(self._beat())]

    async def stop(self) -> None:
        """End the thread and the tasks, and every page's connection."""
        self._stopping.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in list(self._clients):
            client.leave()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 5.0)

    def join(self, hang_up: Callable[[], None], last: str = "") -> Client | None:
        """A new page, told everything first; None when there are too many.

        Args:
            hang_up: cuts the connection.
            last: the name of the last event that it got before; then it is told what it missed.
        """
        if len(self._clients) >= CLIENTS_MAX:
            return None
        if not self._clients:
            # Nobody looked: what is known may be seconds old.
            self._hurry("status", "values", "findings", "alarms")
        client = Client(hang_up)
        missed = self._kept.since(last) if last else None
        if missed is None:
            client.put(event("board", self.whole(), self._kept.newest))
        else:
            client.put(b"".join(missed) + event("pulse", self.pulse()))
        self._clients.add(client)
        return client

    @property
    def record(self) -> Record:
        """Whom it asks."""
        return self._record

    @property
    def clients(self) -> int:
        """How many pages follow."""
        return len(self._clients)

    def leave(self, client: Client) -> None:
        """A page that is gone."""
        client.leave()
        self._clients.discard(client)

    def whole(self) -> dict[str, Any]:
        """Everything, as the first event and /api/v1/last give it."""
        return {
            "series": self.board.series,
            "values": list(self.board.values.values()),
            "findings": list(self.board.findings.values()),
            "alarms": list(self.board.alarms.values()),
            **self.pulse(),
        }

    def pulse(self) -> dict[str, Any]:
        """What comes every second, whatever else is away."""
        return {
            "now": time.time_ns() // 1000,
            "health": self.health,
            "cache": self.cache_fault,
            "record": self.record_fault,
            "left_out": self.board.left_out,
        }

    def take(self, heard: Heard) -> None:
        """What the cache said; in the loop's thread."""
        match heard:
            case Lost(reason):
                if self.cache_fault is None:
                    log.warning("%s; values come from the record", reason)
                    self._hurry("values", "findings")
                self.cache_fault = reason
            case Whole(values):
                self.cache_fault = None
                self._tell_values(values)
            case Changed(values, anomalies):
                self._tell_values(values)
                if news := self.board.take_live(anomalies):
                    self._tell("findings", news)
                    # Stored before it was told: the record knows the alarm already.
                    self._hurry("alarms")

    def _tell_values(self, values: Iterable[Last]) -> None:
        added, moved = self.board.take_values(values)
        if added:
            self._tell("series", added)
            self._hurry("names")
        if moved:
            self._tell("values", moved)

    def _tell(self, kind: str, content: object) -> None:
        self._send(self._kept.add(kind, content))

    def _send(self, message: bytes) -> None:
        for client in list(self._clients):
            client.put(message)

    def _hurry(self, *questions: str) -> None:
        self._due_s.update(dict.fromkeys(questions, 0.0))

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        for heard in listen(self._endpoint, self._stopping):
            try:
                loop.call_soon_threadsafe(self.take, heard)
            except RuntimeError:
                return  # the loop is closed: the process ends

    async def _beat(self) -> None:
        while True:
            if self._clients:
                self._send(event("pulse", self.pulse()))
            await asyncio.sleep(BEAT_SECONDS)

    async def _look(self) -> None:
        """Ask the record what is due, one question after the other."""
        acts = {
            "status": self._look_at_status,
            "names": self._look_at_names,
            "size": self._look_at_size,
            "values": self._look_at_values,
            "findings": self._look_at_findings,
            "alarms": self._look_at_alarms,
        }
        while True:
            for name, act in acts.items():
                if time.monotonic() < self._due_s[name]:
                    continue
                self._due_s[name] = time.monotonic() + self._pause_s(name)
                try:
                    await act()
                except FloorlogError as error:
                    self._missed(name, str(error))
                except Exception:
                    # Else the page would go on showing as well what nobody looks at any more.
                    log.exception("the question of %s failed; it is asked again", name)
                    self._missed(name, f"the page's own question of {name} failed: see its log")
            await asyncio.sleep(0.1)

    def _missed(self, name: str, fault: str) -> None:
        if self.record_fault is None:
            log.warning("%s", fault)
        self.record_fault = fault
        self.board.knows_alarms = False  # what changes meanwhile is not in the window afterwards
        self._due_s[name] = time.monotonic() + 1.0

    def _pause_s(self, name: str) -> float:
        pause = EVERY_SECONDS[name]
        if self.cache_fault is not None:
            pause = WITHOUT_CACHE_SECONDS.get(name, pause)
        return pause if self._clients else pause * UNWATCHED_FACTOR

    async def _look_at_status(self) -> None:
        status = await self._record.ask(lambda answers: answers.status())
        self.health = self._gauge.read(status, self._size_bytes, time.monotonic())
        self.record_fault = None

    async def _look_at_size(self) -> None:
        self._size_bytes = await self._record.ask(lambda answers: answers.size_bytes())

    async def _look_at_names(self) -> None:
        series, catalogue = await self._record.ask(lambda a: (a.series(), a.catalogue()))
        if changed := self.board.take_names(series, catalogue):
            self._tell("series", changed)

    async def _look_at_values(self) -> None:
        stored = await self._record.ask(lambda answers: answers.last_values())
        self._tell_values([last for one in stored if (last := last_of(one)) is not None])

    async def _look_at_findings(self) -> None:
        since = (int(time.time()) - FINDINGS_WINDOW_SECONDS) * 1_000_000

        def recent(answers: Answers) -> list[Finding]:
            # A window read anew each time: what commits late under an earlier time is not missed.
            return answers.findings(since, FINDINGS_ROWS_MAX)

        if news := self.board.take_stored(await self._record.ask(recent)):
            self._tell("findings", news)

    def hurry_alarms(self) -> None:
        """Somebody changed alarms through this process: tell the pages at once."""
        self._hurry("alarms")

    async def _look_at_alarms(self) -> None:
        first = not self.board.knows_alarms
        since = (int(time.time()) - ALARMS_WINDOW_SECONDS) * 1_000_000

        def recent(answers: Answers) -> list[StoredAlarm]:
            if first:
                return answers.alarms(states=NOT_NORMAL, rows_max=ALARMS_ROWS_MAX)
            # As with findings: a window, for numbers of events do not commit in order.
            return answers.changed_alarms(since, ALARMS_ROWS_MAX)

        if news := self.board.take_alarms(await self._record.ask(recent), whole=first):
            self._tell("alarms", news)
