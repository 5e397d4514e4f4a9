"""The record a page at a time, for pages and programs that go through all of it."""

from dataclasses import dataclass
from typing import Any

import psycopg

from floorlog.store.alarms import LAST_ID, Alarms
from floorlog.store.answers import StoredGap, StoredReject, StoredValue
from floorlog.store.queries import sql
from floorlog.store.reader import moment

Bucket = tuple[int, float, int, float, int, float, int, int]
"""Number, lowest and its time, highest and its time, mean, count, Good."""


@dataclass(frozen=True, slots=True)
class CorrectedValue(StoredValue):
    """A reading of the record, and what it should have been where that was said (flag 4)."""

    corrected: float | str | None = None
    corrected_quality: int | None = None


@dataclass(frozen=True, slots=True)
class StoredAudit:
    """What somebody did; `detail` is JSON."""

    event_id: int
    recorded_at: int
    actor: str
    action: str
    detail: str


@dataclass(frozen=True, slots=True)
class Noted:
    """The log's leaves, and its newest note (0 and None before the first)."""

    leaves: int
    size: int
    recorded_at: int | None
    body: str | None


@dataclass(frozen=True, slots=True)
class StoredCatalogue:
    """A version of the catalogue; `body` is JSON as it was given."""

    version: int
    recorded_at: int
    body: str


class Browser(Alarms):
    """A reader that goes through long answers in pages.

    Raises:
        ServiceError: by every method, when the database cannot be reached or does not answer.
    """

    def forward(
        self,
        device: str,
        metric: str,
        begin: int,
        end: int,
        *,
        skip: int,
        rows_max: int,
        log_size: int | None = None,
    ) -> list[CorrectedValue]:
        """Readings of one series from `begin` up to before `end` (µs UTC), oldest first.

        As of a log of so many leaves, or now.
        """
        rows = self._rows(
            "readings_forward", device=device, metric=metric, from_time=moment(begin),
            to_time=moment(end), skip=skip, rows_max=rows_max, log_size=log_size,
        )  # fmt: skip
        return [_corrected(device, metric, row) for row in rows]

    def back(
        self,
        device: str,
        metric: str,
        begin: int,
        end: int,
        *,
        rows_max: int,
        log_size: int | None = None,
    ) -> list[CorrectedValue]:
        """The same, newest first."""
        rows = self._rows(
            "readings_back", device=device, metric=metric, from_time=moment(begin),
            to_time=moment(end), rows_max=rows_max, log_size=log_size,
        )  # fmt: skip
        return [_corrected(device, metric, row) for row in rows]

    def trend(self, device: str, metric: str, begin: int, end: int, width: int) -> list[Bucket]:
        """A series of numbers by buckets of `width` µs from `begin` up to before `end` (µs UTC)."""
        return self._rows("trend", device=device, metric=metric, begin=begin, end=end, width=width)

    def spans(
        self, device: str, metric: str, begin: int, end: int, rows_max: int
    ) -> list[tuple[int, int, str]]:
        """A series of states as spans (begin, end, state), oldest first."""
        return self._rows(
            "spans_of_states", device=device, metric=metric, from_time=moment(begin),
            to_time=moment(end), rows_max=rows_max,
        )  # fmt: skip

    def reject_page(
        self, until: int, *, code: str | None, skip: int, rows_max: int
    ) -> list[StoredReject]:
        """Rejects stored until then (µs UTC), newest first."""
        rows = self._rows(
            "reject_page", until=moment(until), code=code, skip=skip, rows_max=rows_max
        )
        return [StoredReject(at, shard, int(number), *rest) for at, shard, number, *rest in rows]

    def gap_page(self, until: int, *, skip: int, rows_max: int) -> list[StoredGap]:
        """Gaps stored until then (µs UTC), newest first."""
        rows = self._rows("gap_page", until=moment(until), skip=skip, rows_max=rows_max)
        return [StoredGap(*row) for row in rows]

    def audit_page(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        before_id: int = LAST_ID,
        rows_max: int = 1_000,
    ) -> list[StoredAudit]:
        """Audit events, newest first."""
        rows = self._rows(
            "audit_page", actor=actor, action=action, before_id=before_id, rows_max=rows_max
        )
        return [StoredAudit(*row) for row in rows]

    def audit(self, actor: str, action: str, detail: str) -> None:
        """Keep what somebody did; `detail` is JSON."""
        try:
            self._open().execute(
                sql("add_audit"), {"actor": actor, "action": action, "detail": detail}
            )
        except psycopg.Error as error:
            raise self._failed(error) from error

    def pseudonym(self, name: str) -> str:
        """What stands for a person wherever something is done; a new one at first sight."""
        return str(self._rows("pseudonym", person=name)[0][0])

    def people(self) -> list[tuple[str, str | None]]:
        """Pseudonyms with the names that they stand for; None once that was erased."""
        return [(actor, name) for actor, name in self._rows("people")]

    def noted(self) -> Noted:
        """The log and its newest note."""
        ((leaves, size, recorded_at, body),) = self._rows("ledger_state")
        return Noted(leaves, size or 0, recorded_at, body)

    def log_size_at(self, at: int) -> int:
        """How many leaves the log had at a moment (µs UTC)."""
        return int(self._rows("log_size_at", moment=moment(at))[0][0])

    def catalogue_now(self) -> StoredCatalogue:
        """The newest version of the catalogue."""
        return StoredCatalogue(*self._rows("catalogue_now")[0])


def _corrected(device: str, metric: str, row: tuple[Any, ...]) -> CorrectedValue:
    ts, value, text, quality, flags, recorded_at, number, state, of_quality = row
    return CorrectedValue(
        ts, device, metric, value, text, quality, recorded_at, flags,
        corrected=number if state is None else state, corrected_quality=of_quality,
    )  # fmt: skip
