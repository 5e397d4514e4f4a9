"""Expiry as the keeper carries it out: small steps, each a transaction of its own."""

import logging
import time
from collections.abc import Callable

import psycopg

from floorlog.record.act.act import Connection
from floorlog.record.act.retention import Step, step
from floorlog.store.outcome import REFUSING_CLASSES

log = logging.getLogger("floorlog.keeper")

BATCHES_MAX = 600  # a step's, beside the rest of the chunks that it would cut
BATCHES_MIN = 10
STEP_SECONDS_MAX = 20  # then it is undone, and half as much is tried
LAST_SECONDS_MAX = 45  # of the least that is tried
LOOK_SECONDS = 600.0  # between two looks at whether anything is due: whole days count
RETRY_SECONDS = 3_600.0  # after what cannot expire: a person has to look


class Expirer:
    """Looks now and then for what may expire, and lets it go step by step.

    Args:
        monotonic: the clock, for tests.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._next = float("-inf")
        self._batches = BATCHES_MAX

    def is_due(self) -> bool:
        """Whether it is time for a step."""
        return self._monotonic() >= self._next

    @property
    def step_s(self) -> int:
        """How long the next step may take, seconds."""
        return STEP_SECONDS_MAX if self._batches > BATCHES_MIN else LAST_SECONDS_MAX

    def step(self, connection: Connection) -> bool:
        """One step where it is time; whether there may be more to do at once.

        Raises:
            psycopg.Error: the database does not answer.
        """
        if not self.is_due():
            return False
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL statement_timeout = '{self.step_s}s'")
                found = step(connection, self._batches)
        except psycopg.errors.QueryCanceled as error:
            if self._batches > BATCHES_MIN:
                self._batches = max(BATCHES_MIN, self._batches // 2)
                return True
            return self._hold_off(error)
        except psycopg.Error as error:
            if str(error.sqlstate)[:2] not in REFUSING_CLASSES:
                raise
            return self._hold_off(error)
        if found is None:
            self._next = self._monotonic() + LOOK_SECONDS
            return False
        self._batches = min(BATCHES_MAX, self._batches + BATCHES_MIN)
        _tell(found)
        return True

    def _hold_off(self, error: psycopg.Error) -> bool:
        """What cannot expire must not keep all else from being done."""
        log.error("NOTHING CAN EXPIRE: %s", error.diag.message_primary)
        self._next = self._monotonic() + RETRY_SECONDS
        return False


def _tell(found: Step) -> None:
    if found.left:
        log.error("NOT EXPIRED: %s; see `floorlog verify`", found.left)
    if found.expiry_id is not None:
        log.info(
            "expiry %d: %d readings, %d rejects, %d anomalies of %d batches; %d bytes became %d",
            found.expiry_id, found.readings, found.rejects, found.anomalies, found.batches,
            found.bytes_before, found.bytes_after,
        )  # fmt: skip
