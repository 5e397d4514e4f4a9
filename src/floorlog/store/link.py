"""One connection, made when needed and made anew after it was lost."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from floorlog.store.arrays import adapt
from floorlog.store.patient import Patient
from floorlog.store.queries import sql

# A connection string, or who gives one for each new connection: a password may change in mid-run.
Dsn = str | Callable[[], str]

Connection = psycopg.Connection[tuple[Any, ...]]
TRANSACTION_TIMEOUT_SINCE = 170000
PREPARED_MAX = 250  # queries by the types of their parameters: NULL or not


def string_of(dsn: Dsn) -> str:
    """The connection string, asked for now."""
    return dsn if isinstance(dsn, str) else dsn()


class Link:
    """A connection whose time-outs follow the lease: a paused worker must not block take-over.

    Args:
        dsn: connection string of the writer's role, or who gives it for each new connection.
        worker: name of the worker; the session carries it.
        lease_s: length of the lease, seconds.
    """

    def __init__(self, dsn: Dsn, worker: str, lease_s: float) -> None:
        self._lease_s = lease_s
        self._name = f"floorlog {worker}".encode()[:63].decode(errors="ignore")
        self._dsn = dsn
        self._connection: Connection | None = None

    def idle(self) -> Connection:
        """A connection without an open transaction; raises psycopg.Error when none can be had."""
        connection = self._connection
        if connection is not None and not connection.closed:
            if connection.info.transaction_status != TransactionStatus.IDLE:
                self.recover()
            if self._connection is not None and not self._connection.closed:
                return self._connection
        self._connection = self._connect()
        return self._connection

    def open_transaction(self) -> Connection | None:
        """The connection with the transaction that is open in it; None when there is none."""
        connection = self._connection
        if connection is None or connection.closed:
            return None
        if connection.info.transaction_status != TransactionStatus.INTRANS:
            return None
        return connection

    def recover(self) -> None:
        """End what is open; drop a connection that does not obey."""
        connection = self._connection
        if connection is None or connection.closed:
            self._connection = None
            return
        if connection.info.transaction_status == TransactionStatus.IDLE:
            return
        try:
            connection.execute(sql("rollback"))
        except psycopg.Error:
            self.close()

    def close(self) -> None:
        """End the connection; the next command makes another."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None

    def _conninfo(self) -> str:
        third_s = max(1, math.ceil(self._lease_s / 3))
        return make_conninfo(
            string_of(self._dsn),
            connect_timeout=max(2, third_s),
            application_name=self._name,
            keepalives=1,
            keepalives_idle=third_s,
            keepalives_interval=max(1, third_s // 2),
            keepalives_count=2,
            tcp_user_timeout=round(self._lease_s * 1000),
        )

    def _connect(self) -> Connection:
        connection = Patient.connect(self._conninfo(), autocommit=True, prepare_threshold=0)
        # The server ends a statement after one lease; if it has not, it does not run itself.
        connection.patience_s = 2 * self._lease_s
        try:
            connection.prepared_max = PREPARED_MAX
            adapt(connection)
            settings = self._settings(connection.info.server_version)
            connection.execute(
                sql("set_session"), {"names": list(settings), "values": list(settings.values())}
            )
        except psycopg.Error:
            connection.close()
            raise
        return connection

    def _settings(self, server_version: int) -> dict[str, str]:
        lease_ms = round(self._lease_s * 1000)
        settings = {
            "search_path": "floorlog, pg_catalog",
            "timezone": "UTC",
            "statement_timeout": str(lease_ms),
            "lock_timeout": str(max(500, lease_ms // 2)),
            "idle_in_transaction_session_timeout": str(max(500, lease_ms // 2)),
            "tcp_user_timeout": str(lease_ms),
            "client_connection_check_interval": str(max(500, lease_ms // 4)),
            # Queries by slot reach few rows of many: the planner's guess must not be a whole scan.
            "enable_hashjoin": "off",
            "enable_mergejoin": "off",
            "jit": "off",
        }
        if server_version >= TRANSACTION_TIMEOUT_SINCE:
            settings["transaction_timeout"] = str(120_000 + lease_ms)
        return settings


@contextmanager
def transaction(connection: Connection, begin: str = "begin") -> Iterator[None]:
    """One transaction: committed at the end, rolled back when an error leaves it."""
    connection.execute(sql(begin))
    try:
        yield
    except BaseException:
        with suppress(psycopg.Error):
            connection.execute(sql("rollback"))
        raise
    connection.execute(sql("commit"))
