"""A batch as verification reads it: its row, all that it stored, its shard, its leaf in the log."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from floorlog.core.ledger import form
from floorlog.core.ledger.batch import Registry
from floorlog.record.check.stored import OpenRow
from floorlog.record.rows import Connection, Row, Rows, time_us

# What a row that was tampered with may raise on its way; its lot is then looked at one by one.
ERRORS = (ValueError, LookupError, OverflowError, TypeError, struct.error)


class Batch(NamedTuple):
    """A batch as the query `batches` gives it."""

    lease_id: int
    number: int
    epoch: int
    clock_s: int
    recorded: bytes
    sequence_before: str
    sequence: str
    catalogue: int
    records: int
    received: int
    stored: int
    rejected: int
    duplicate: int
    conflict: int
    leaves: int
    root: bytes
    head: bytes
    locator: bytes | None = None


@dataclass(slots=True)
class Content:
    """A batch with all that it stored."""

    batch: Batch
    rows: list[OpenRow]
    rejects: list[Row]
    anomalies: list[Row]
    gaps: list[Row]
    conflicts: list[Row]
    expired: list[Row]


@dataclass(slots=True)
class Shard:
    """What is known of a shard, and what its batches added up to."""

    row: Row
    digest: bytes
    sums: list[int] = field(default_factory=lambda: [0] * 7)
    last: Batch | None = None
    head: bytes = b""
    unlogged: int = 0  # the first batch of those just passed that the log has not; 0: none

    @property
    def name(self) -> str:
        """Its name in the stream."""
        return str(self.row[3])

    @property
    def parents(self) -> list[int]:
        """Leases of its parents, ascending."""
        return sorted(int(one) for one in self.row[4][1:-1].split(",") if one.isdigit())


class Entries:
    """The log's leaves of entries, walked beside the batches."""

    def __init__(self, connection: Connection, lost: Callable[[list[Row]], None]) -> None:
        self._rows = Rows(connection, "leaves_of_entries", {})
        self._lost = lost

    def at(self, lease_id: int, number: int) -> tuple[bytes | None, list[Row]]:
        """The hash of the entry before this one, as the log has it; the leaves of this one."""
        passed = self._rows.before((lease_id, number))
        before = None
        if passed and passed[-1][:2] == (lease_id, number - 1):
            before = passed.pop()[3]
        self._lost(passed)
        return before, self._rows.of((lease_id, number))

    def step_back(self, lease_id: int, number: int) -> None:
        """Pass over the leaves before a batch that is not the next one, without a word."""
        self._rows.before((lease_id, number))

    def finish(self) -> None:
        """Pass over the rest."""
        while page := self._rows.page():
            self._lost(page)


def entry_hash(batch: Batch, shard: bytes, previous: bytes) -> bytes:
    """The hash of a batch's entry."""
    return form.ENTRY.digest(
        shard, batch.number, batch.epoch, batch.clock_s, time_us(batch.recorded), batch.catalogue,
        batch.sequence_before, batch.sequence, *batch[8:14], batch.leaves, batch.root, previous,
    )  # fmt: skip


def event_leaves(content: Content, registry: Registry) -> list[bytes]:
    """The hashes of rejects, anomalies and gaps, in order."""
    rejects = sorted(form.REJECT.digest(*row[3:]) for row in content.rejects)
    anomalies = sorted(
        (row[3], form.ANOMALY.digest(registry.digests[row[3]], *row[4:]))
        for row in content.anomalies
    )
    gaps = sorted(form.GAP.digest(*row[3:]) for row in content.gaps)
    return rejects + [digest for _, digest in anomalies] + gaps
