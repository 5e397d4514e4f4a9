"""The store: carries out the commands of the protocol that concern the database."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import psycopg

from floorlog.core.protocol import (
    Check,
    Commit,
    Committed,
    Failed,
    Fenced,
    Foreign,
    ForeignReadings,
    Found,
    Lease,
    Load,
    Lookup,
    Refused,
    Register,
    Registered,
    Rehomed,
    Release,
    Renew,
    Renewed,
    Stale,
    Standing,
    StoredState,
    Survey,
    Surveyed,
    Take,
    Unknown,
    Want,
)
from floorlog.store import leases, lookup, registry, takeover
from floorlog.store.commit import Committer
from floorlog.store.link import Connection, Dsn, Link
from floorlog.store.outcome import said

Reply = TypeVar("Reply")


class Store:
    """One connection to the record, for one thread.

    After an error the next command connects anew. Every method takes a command and returns its
    reply, as core/protocol.py defines them; none raises for what the database or the network does.

    Args:
        dsn: connection string of the writer's role, or who gives it for each new connection.
        stream_arn: the stream that is read.
        created_at: when the stream was created: tells streams of one name apart.
        worker: this worker's name, its own among all that live.
        lease_s: how long a lease lasts without a sign of life, seconds.
        series_max: series above this many are not registered.
    """

    def __init__(
        self,
        dsn: Dsn,
        *,
        stream_arn: str,
        created_at: datetime,
        worker: str,
        lease_s: float,
        series_max: int = 100_000,
    ) -> None:
        self._link = Link(dsn, worker, lease_s)
        self._desk = leases.Desk(stream_arn, created_at, worker, lease_s)
        self._committer = Committer(lease_s)
        self._series_max = series_max
        self._lease_s = lease_s

    def close(self) -> None:
        """End the connection."""
        self._link.close()

    # ── the coordinator's commands ───────────────────────────────────────────────────────────

    def survey(self, command: Survey) -> Surveyed | Failed:
        """See protocol.Survey."""
        return self._ask(lambda connection: self._desk.survey(connection, command.shards))

    def take(self, command: Take) -> Lease | Failed | None:
        """See protocol.Take."""
        reply = self._ask(lambda connection: self._desk.take(connection, command.lease_id))
        if isinstance(reply, Failed):
            # A silent owner's open transaction may be what stands in the way.
            self._ask(lambda connection: self._desk.end_blockers(connection, command.lease_id))
        return reply

    def want(self, command: Want) -> Failed | None:
        """See protocol.Want."""
        return self._ask(lambda connection: self._desk.want(connection, command.lease_id))

    def leave(self) -> Failed | None:
        """Say that this worker ends, so that the others take its leases as they come free."""
        return self._ask(self._desk.leave)

    # ── the consumer's commands ──────────────────────────────────────────────────────────────

    def load(self, command: Load) -> StoredState | Fenced | Failed:
        """See protocol.Load."""
        return self._ask(lambda connection: takeover.load(connection, command.lease))

    def register(self, command: Register) -> Registered | Fenced | Failed:
        """See protocol.Register."""
        return self._ask(
            lambda connection: registry.register(connection, command, self._series_max)
        )

    def lookup(self, command: Lookup) -> Found | Stale | Rehomed | Fenced | Failed:
        """See protocol.Lookup; after Found the transaction is open for one Commit(locked=True)."""
        reply = self._ask(lambda connection: lookup.look_up(connection, command))
        if isinstance(reply, tuple):
            found, versions = reply
            self._committer.versions = versions
            return found
        self._link.recover()
        return reply

    def commit(self, command: Commit) -> Committed | Stale | Fenced | Refused | Unknown | Failed:
        """See protocol.Commit."""
        if command.locked:
            connection = self._link.open_transaction()
            if connection is None:
                self._link.recover()
                return Failed("the transaction that the lookup opened is gone")
        else:
            try:
                connection = self._link.idle()
            except psycopg.Error as error:
                return Failed(said(error))
        try:
            return self._committer.commit(connection, command)
        finally:
            self._link.recover()

    def check(self, command: Check) -> Standing | Failed:
        """See protocol.Check."""
        return self._ask(lambda connection: takeover.check(connection, command.lease))

    def foreign(self, command: Foreign) -> ForeignReadings | Failed:
        """See protocol.Foreign."""
        return self._ask(
            lambda connection: takeover.foreign(connection, command.lease_id, command.since)
        )

    def renew(self, command: Renew) -> Renewed | Fenced | Failed:
        """See protocol.Renew."""
        return self._ask(lambda connection: self._desk.renew(connection, command))

    def release(self, command: Release) -> Failed | None:
        """See protocol.Release."""
        return self._ask(lambda connection: self._desk.release(connection, command.lease))

    def _ask(self, work: Callable[[Connection], Reply]) -> Reply | Failed:
        """Do the work on a connection without an open transaction; errors become Failed."""
        try:
            return work(self._link.idle())
        except (psycopg.Error, UnicodeError) as error:
            self._link.recover()
            return Failed(said(error))
