"""A connection that gives up on a silent server.

The server's own time-outs do not run while it is paused, and its kernel goes on to acknowledge
packets, so that keepalives and tcp_user_timeout find nothing wrong either. Only a clock on this
side ends such a wait; the connection ends with it, for what it was doing is not known.
"""

from typing import Any, TypeVar

import psycopg

RV = TypeVar("RV")


class Patient(psycopg.Connection[tuple[Any, ...]]):
    """A connection on which no answer is waited for longer than `patience_s`, seconds.

    Raises psycopg.OperationalError then, and is closed.
    """

    patience_s: float | None = None

    def wait(
        self,
        gen: "psycopg.abc.PQGen[RV]",
        interval: float = 0.1,
        timeout: float | None = None,
    ) -> RV:
        """Carry out one exchange with the server."""
        if timeout is not None or self.patience_s is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.patience_s)
        except psycopg.errors._WaitTimeout as error:  # noqa: SLF001 - has no public name
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"the server was silent for {self.patience_s:.0f} s"
            ) from error
