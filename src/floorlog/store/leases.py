"""Who reads which shard: surveys, leases and signs of life, by the database's clock alone."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from floorlog.core.protocol import (
    Fenced,
    Lease,
    LeaseView,
    Renew,
    Renewed,
    Shard,
    Surveyed,
)
from floorlog.store.link import Connection, transaction
from floorlog.store.queries import sql
from floorlog.store.splits import Splits

Rows = psycopg.Cursor[tuple[Any, ...]]
SURVEYS_BETWEEN_CHORES = 500
SURVEYS_BETWEEN_LOOKS = 20  # for assets in several shards
# Why a month may not be made now: its lock is not to be had, or a row of it came meanwhile.
NOT_NOW = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.CheckViolation,
)


@dataclass(slots=True)
class Desk:
    """What one worker asks about leases of one stream; `lease_s` is a lease's length in seconds."""

    stream_arn: str
    created_at: datetime
    worker: str
    lease_s: float
    splits: Splits = field(default_factory=Splits)
    _surveys: int = 0
    # The stream's number in this session; another may be to another record.
    _known: tuple[Connection, int] | None = None

    def survey(self, connection: Connection, shards: Iterable[Shard]) -> Surveyed:
        """Give a sign of life, make leases for new shards, and list all leases."""
        seen = None
        if self._known is not None and self._known[0] is connection:
            seen = self._look(connection, self._known[1])
        if seen is None or not {shard.shard_id for shard in shards} <= {
            view.shard_id for view in seen.leases
        }:
            seen = self._meet(connection, shards)
        if self._surveys % SURVEYS_BETWEEN_CHORES == 0:
            connection.execute(sql("forget_workers"))
            _make_months(connection)
        self._surveys += 1
        if self._surveys % SURVEYS_BETWEEN_LOOKS == 0:
            with suppress(psycopg.Error):  # it can wait for the next look, leases cannot
                self.splits.look(connection)
        return seen

    def _look(self, connection: Connection, stream_id: int) -> Surveyed:
        """What every second asks, in one round trip: it costs the server half of what six do."""
        self._known = None  # until it is answered: the record may be another
        with connection.pipeline():
            self._say_alive(connection, stream_id)
            leases, live = self._ask(connection, stream_id)
        self._known = (connection, stream_id)
        return _surveyed(leases, live)

    def _meet(self, connection: Connection, shards: Iterable[Shard]) -> Surveyed:
        """The first survey of a session, and one that makes leases for new shards."""
        with transaction(connection):
            stream_id, gone = self._stream(connection)
            self._say_alive(connection, stream_id)
            seen = _surveyed(*self._ask(connection, stream_id))
            known = {view.shard_id for view in seen.leases}
            new = [shard for shard in shards if shard.shard_id not in known]
            for shard in parents_first(new):
                self._add(connection, stream_id, shard, gone=gone)
            if new:
                seen = _surveyed(*self._ask(connection, stream_id))
        self._known = (connection, stream_id)
        return seen

    def take(self, connection: Connection, lease_id: int) -> Lease | None:
        """Take the lease if it is free and all its parents ended; a child inherits its series."""
        with transaction(connection):
            family = connection.execute(
                sql("lock_family"), {"lease_id": lease_id}, binary=True
            ).fetchall()
            own = [row for row in family if row[0] == lease_id]
            parents = [row for row in family if row[0] != lease_id]
            if not own or own[0][1] or not own[0][2] or not all(row[1] for row in parents):
                return None
            read_at, clock_s = -1, -1
            if own[0][3] == 0 and parents:
                read_at = min((row[4] for row in parents if row[4] >= 0), default=-1)
                clock_s = max(row[5] for row in parents)
                connection.execute(
                    sql("inherit_series"), {"lease_id": lease_id, "parents": own[0][6]}
                )
            taken = connection.execute(
                sql("take_lease"),
                {
                    "lease_id": lease_id,
                    "worker": self.worker,
                    "lease_s": float(self.lease_s),
                    "read_at": read_at,
                    "clock_s": clock_s,
                },
                binary=True,
            ).fetchone()
        assert taken is not None, "the row is locked"
        return Lease(
            lease_id=taken[0],
            shard_id=taken[1],
            epoch=taken[2],
            version=taken[3],
            checkpoint=int(taken[4]),
            number=taken[5],
            clock_s=taken[6],
            read_at=taken[7],
            parents=tuple(taken[8].tolist()),
            hash_begin=int(taken[9]),
            hash_end=int(taken[10]),
        )

    def end_blockers(self, connection: Connection, lease_id: int) -> None:
        """End transactions that the lease's silent owner left open for longer than a lease.

        A worker stopped while it sent a batch leaves a session that waits for the rest: no
        time-out of PostgreSQL 15 and 16 ends that.
        """
        connection.execute(
            sql("end_blockers"), {"lease_id": lease_id, "lease_s": float(self.lease_s)}
        )

    def want(self, connection: Connection, lease_id: int) -> None:
        """Ask the owner for the lease."""
        connection.execute(
            sql("want_lease"),
            {"lease_id": lease_id, "worker": self.worker, "lease_s": float(self.lease_s)},
        )

    def renew(self, connection: Connection, command: Renew) -> Renewed | Fenced:
        """Prolong the lease."""
        row = connection.execute(
            sql("renew_lease"),
            {
                "lease_id": command.lease.lease_id,
                "epoch": command.lease.epoch,
                "worker": self.worker,
                "lease_s": float(self.lease_s),
                "behind_ms": command.behind_ms,
                "read_at": command.read_at,
            },
            binary=True,
        ).fetchone()
        if row is None:
            return Fenced()
        version, now, wanted, catalogue = row
        newer = connection.execute(
            sql("newer_catalogue"), {"version": catalogue}, binary=True
        ).fetchone()
        return Renewed(version, now, wanted, (newer[0], newer[1].encode()) if newer else None)

    def release(self, connection: Connection, lease: Lease) -> None:
        """Give the lease back; without effect when it is not this worker's any more."""
        connection.execute(
            sql("release_lease"),
            {"lease_id": lease.lease_id, "epoch": lease.epoch, "worker": self.worker},
        )

    def leave(self, connection: Connection) -> None:
        """Count no more among the workers, without waiting for the lease's length of silence."""
        connection.execute(sql("say_goodbye"), {"worker": self.worker})

    def _stream(self, connection: Connection) -> tuple[int, bool]:
        name = {"arn": self.stream_arn, "created_at": self.created_at}
        row = connection.execute(sql("find_stream"), name, binary=True).fetchone()
        if row is None:
            connection.execute(sql("add_stream"), name)
            connection.execute(sql("end_older_streams"), name)
            row = connection.execute(sql("find_stream"), name, binary=True).fetchone()
        assert row is not None, "inserted in this transaction, or by another"
        return row[0], row[1]

    def _say_alive(self, connection: Connection, stream_id: int) -> None:
        connection.execute(sql("say_alive"), {"stream_id": stream_id, "worker": self.worker})

    def _ask(self, connection: Connection, stream_id: int) -> tuple[Rows, Rows]:
        """All leases, and the workers that live."""
        stream = {"stream_id": stream_id}
        leases = connection.execute(sql("leases_of_stream"), stream, binary=True)
        since = {**stream, "lease_s": float(self.lease_s)}
        return leases, connection.execute(sql("live_workers"), since, binary=True)

    def _add(self, connection: Connection, stream_id: int, shard: Shard, *, gone: bool) -> None:
        connection.execute(
            sql("add_lease"),
            {
                "stream_id": stream_id,
                "shard_id": shard.shard_id,
                "parents": list(shard.parents),
                "hash_begin": str(shard.hash_begin),
                "hash_end": str(shard.hash_end),
                "gone": gone,
            },
        )


def _surveyed(leases: Rows, live: Rows) -> Surveyed:
    views = tuple(
        LeaseView(lease_id, shard_id, tuple(parents.tolist()), owner, wanted_by, left, ended)
        for lease_id, shard_id, parents, owner, wanted_by, left, ended in leases
    )
    return Surveyed(views, tuple(worker for (worker,) in live))


def parents_first(shards: Iterable[Shard]) -> list[Shard]:
    """The shards, each after its parents as far as they are among them."""
    waiting = {shard.shard_id: shard for shard in shards}
    ordered: list[Shard] = []
    while waiting:
        ready = [
            shard
            for shard in waiting.values()
            if not any(parent in waiting for parent in shard.parents)
        ] or list(waiting.values())  # a circle cannot be: but it must not hang us
        ordered.extend(waiting.pop(shard.shard_id) for shard in ready)
    return ordered


def _make_months(connection: Connection) -> None:
    """Make the months to come, unless somebody reads for long: there is time for it later.

    A new month is attached under a lock that waits for every reader, and makes all others wait.
    """
    with suppress(*NOT_NOW), transaction(connection):
        connection.execute(sql("wait_briefly"))
        connection.execute(sql("make_months"))
