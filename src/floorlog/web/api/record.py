"""Questions to the record from the page's event loop: two threads, a bounded number waiting."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from floorlog.cache import Last
from floorlog.core.catalogue import Catalogue
from floorlog.errors import ServiceError
from floorlog.record.export.prove import Proven, prove
from floorlog.record.log.anchor import Anchor
from floorlog.store.answers import StoredValue
from floorlog.store.browser import Browser
from floorlog.store.catalogue import put_catalogue, require_version
from floorlog.store.link import Dsn, string_of

THREADS = 2
WAITING_MAX = 32

T = TypeVar("T")


class RecordReader(Browser):
    """The store's reader, which knows the newest catalogue besides; kept while it is the newest."""

    def __init__(self, dsn: Dsn) -> None:
        super().__init__(dsn)
        self._known: tuple[int, Catalogue] = (-1, Catalogue())

    def catalogue(self) -> Catalogue:
        """The newest version of the catalogue. Raises ServiceError, InputError."""
        found = self.catalogue_now()
        if found.version != self._known[0]:
            self._known = (found.version, Catalogue.decode(found.body.encode()))
        return self._known[1]

    def put_catalogue(self, body: bytes, *, made_from: int, actor: str, dry_run: bool) -> int:
        """Make a catalogue the newest version; see the store's. A dry run only compares versions.

        Raises:
            Illegal: another version than `made_from` is the newest.
        """
        if dry_run:
            return require_version(self.catalogue_now().version, made_from)
        return put_catalogue(string_of(self._dsn), body, made_from=made_from, actor=actor)

    def dsn(self) -> str:
        """The connection string, asked for now."""
        return string_of(self._dsn)

    def prove(
        self, anchor: Anchor, key: str, device: str, metric: str, ts_us: int, which: int
    ) -> Proven:
        """Prove a reading; see record.prove."""
        return prove(string_of(self._dsn), anchor, key, device, metric, ts_us, which)


Answers = RecordReader


class TooBusy(ServiceError):
    """More questions wait than the page takes."""


class Record:
    """Asks in threads, each with a connection of its own.

    Args:
        open_answers: makes one connection's worth of answers.
    """

    def __init__(self, open_answers: Callable[[], Answers]) -> None:
        self._open = open_answers
        self._own = threading.local()
        self._made: list[Answers] = []
        self._waiting = 0
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="record")

    async def ask(self, question: Callable[[Answers], T]) -> T:
        """Ask one question. Raises TooBusy at once, ServiceError when the record fails."""
        if self._waiting >= WAITING_MAX:
            raise TooBusy(
                f"{WAITING_MAX} questions wait already", where="the page", fix="ask again later"
            )
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._answer, question)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End threads and connections."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for answers in self._made:
            answers.close()

    def _answer(self, question: Callable[[Answers], T]) -> T:
        answers: Answers | None = getattr(self._own, "answers", None)
        if answers is None:
            answers = self._own.answers = self._open()
            self._made.append(answers)
        return question(answers)


def last_of(stored: StoredValue) -> Last | None:
    """A stored value as the cache holds it; None for a number that JSON cannot say."""
    value = stored.text if stored.value is None else stored.value
    if value is None:
        return None
    return Last(
        stored.ts, stored.recorded_at // 1_000_000, stored.quality, value, stored.device,
        stored.metric,
    )  # fmt: skip
