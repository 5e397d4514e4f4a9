"""Expiry as the keeper carries it out: small steps, each a transaction of its own."""

import logging
import time
from collections.abc import Callable

import psycopg

from floorlog.record.act import Connection
from floorlog.record.retention import Step, step

log = logging.getLogger("floorlog.keeper")

BATCHES_MAX = 600  # a step's, beside the rest of the chunks that it would cut
LOOK_SECONDS = 600.0  # between two looks at whether anything is due: whole days count
RETRY_SECONDS = 3_600.0  # after a batch that is not what was stored: a person has to look


class Expirer:
    """Looks now and then for what may expire, and lets it go step by step.

    Args:
        monotonic: the clock, for tests.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._next = float("-inf")

    def step(self, connection: Connection) -> bool:
        """One step where it is time; whether there may be more to do at once.

        Raises:
            psycopg.Error: the database does not answer.
        """
        if self._monotonic() < self._next:
            return False
        try:
            with connection.transaction():
                connection.execute("SET LOCAL statement_timeout = '10min'")
                found = step(connection, BATCHES_MAX)
        except psycopg.Error as error:
            if error.sqlstate != "FL004":
                raise
            log.error("NOTHING CAN EXPIRE: %s", error.diag.message_primary)  # noqa: TRY400 - one line says it all
            self._next = self._monotonic() + RETRY_SECONDS
            return False
        if found is None:
            self._next = self._monotonic() + LOOK_SECONDS
            return False
        _tell(found)
        return True


def _tell(found: Step) -> None:
    if found.expiry_id is not None:
        log.info(
            "expiry %d: %d readings, %d rejects, %d anomalies of %d batches; %d bytes became %d",
            found.expiry_id, found.readings, found.rejects, found.anomalies, found.batches,
            found.bytes_before, found.bytes_after,
        )  # fmt: skip
