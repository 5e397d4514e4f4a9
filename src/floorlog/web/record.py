"""Questions to the record from the page's event loop: two threads, a bounded number waiting."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import psycopg

from floorlog.cache import Last
from floorlog.core.catalogue import Catalogue
from floorlog.errors import ServiceError
from floorlog.store.answers import Finding, SeriesName, Status, StoredValue
from floorlog.store.link import string_of
from floorlog.store.queries import sql
from floorlog.store.reader import Reader

THREADS = 2
WAITING_MAX = 32

T = TypeVar("T")


class Answers(Protocol):
    """What the page asks of the record; each method may raise ServiceError."""

    def status(self) -> Status:
        """Counts, shards and workers."""

    def size_bytes(self) -> int:
        """What the record takes on disk."""

    def series(self) -> list[SeriesName]:
        """Every series."""

    def last_values(self) -> list[StoredValue]:
        """The newest reading of every series."""

    def readings(
        self, device: str, metric: str, begin: int, end: int, rows_max: int
    ) -> list[StoredValue]:
        """Readings of one series, newest first."""

    def findings(self, since: int, rows_max: int) -> list[Finding]:
        """Findings that are open or were recorded or ended since then."""

    def rejects_by_code(self, since: int) -> dict[str, int]:
        """Rejects since then by code."""

    def catalogue(self) -> Catalogue:
        """The newest version of the catalogue."""

    def close(self) -> None:
        """End the connection."""


class RecordReader(Reader):
    """The store's reader, which knows the newest catalogue besides."""

    def catalogue(self) -> Catalogue:
        """The newest version of the catalogue. Raises ServiceError, InputError."""
        try:
            with psycopg.connect(
                string_of(self._dsn), autocommit=True, connect_timeout=5
            ) as connection:
                row = connection.execute(sql("newest_catalogue")).fetchone()
        except psycopg.Error as error:
            raise ServiceError(
                f"the catalogue cannot be read: {str(error).strip().splitlines()[0]}",
                where="database",
                fix="see that it runs and is migrated",
            ) from error
        return Catalogue.decode(row[1].encode()) if row else Catalogue()


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
