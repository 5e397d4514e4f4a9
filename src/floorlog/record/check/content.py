"""Batches with all that they stored, as proofs and exports need them: checked against the log.

Nothing is handed out that a verifier would refuse: a batch whose content, entry and leaf in the log
do not agree is an error that names it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from floorlog.core.ledger import form
from floorlog.core.ledger.batch import Columns, Registry, groups, reading_leaves, records_in
from floorlog.core.ledger.tree import Collapsed, span_root
from floorlog.core.reading import Kind
from floorlog.core.series import KnownSeries
from floorlog.errors import RecordError
from floorlog.record.check.batch import ERRORS, Batch
from floorlog.record.check.expiry import runs_of
from floorlog.record.check.log import shard_values
from floorlog.record.check.sealed import Asked, SealedBatches, in_order, merged
from floorlog.record.check.series import part_of
from floorlog.record.check.stored import OpenRow, unpack
from floorlog.record.proof import Known, Logged, Values
from floorlog.record.rows import QUERIES, Connection, Row, Rows, time_us
from floorlog.record.verifier import time_text

Event = tuple[int, str, Values]  # place of the leaf, kind, values


@dataclass(frozen=True, slots=True)
class Entry:
    """A batch, and where its entry stands in the log.

    Attributes:
        position: None while it has no place.
        logged: the leaf's hash in the log; None as well then.
        previous: hash of the entry before it, or of those of the parents.
        batch: the row.
    """

    position: int | None
    logged: bytes | None
    previous: bytes
    batch: Batch


@dataclass(frozen=True, slots=True)
class Content:
    """A batch as the ledger has it, and its events beside it.

    Attributes:
        logged: shard, entry, place, readings and leaves.
        events: rejects, anomalies and gaps, by place.
        anomaly_series: the series of each anomaly, by place.
        expired: what stands for what expired, as the query `expired` has it.
    """

    logged: Logged
    events: list[Event]
    anomaly_series: dict[int, int]
    expired: list[Row]


class Source:
    """Reads batches of one record, in the connection's open transaction.

    Args:
        connection: settled, in its transaction.

    Attributes:
        known: the names of all series and states.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.known = known_of(connection)
        self._shards = {row[0]: row for row in self._all("shards")}
        self._sealed = SealedBatches(connection, _wrong_chunk)

    def entries(self, keys: Sequence[tuple[int, int]]) -> list[Entry]:
        """The entries of these batches (lease id, number), in the order of the log."""
        rows = self._ask("entries_of", keys)
        return [Entry(row[0], row[1], row[2] or b"", Batch(*row[3:])) for row in rows]

    def contents(self, entries: Sequence[Entry]) -> list[Content]:
        """All that these batches stored; every one must have its place in the log.

        Raises:
            RecordError: a batch is not as the log has it.
        """
        entries_values = [self._checked(entry) for entry in entries]
        keys = [(one.batch.lease_id, one.batch.number) for one in entries]
        rows = _by_batch(self._ask("open_rows_of", keys))
        try:
            opened = unpack([[OpenRow(*row) for row in rows[key]] for key in keys]).columns
            columns = merged(opened, self._read_sealed([one.batch for one in entries]))
            leaves = _leaves(columns, self.known.registry, len(keys))
        except ERRORS as error:
            if len(entries) == 1:
                raise _broken(self._name(entries[0]), entries[0], str(error)) from error
            return [content for entry in entries for content in self.contents([entry])]
        times = [time_text(time_us(one.batch.recorded)) for one in entries]
        events = {
            name: _by_batch(self._ask(query, keys, times=times))
            for name, query in (("reject", "rejects_of"), ("anomaly", "anomalies_of"))
        }
        events["gap"] = _by_batch(self._ask("gaps_of", keys))
        events["expired"] = _by_batch(self._ask("expired_of", keys))
        assert columns.batch is not None, "unpack numbers the batches"
        ends = np.searchsorted(columns.batch, np.arange(len(keys) + 1))
        return [
            self._content(
                entry,
                entries_values[n],
                part_of(columns, slice(int(ends[n]), int(ends[n + 1]))),
                leaves[n],
                {name: of[keys[n]] for name, of in events.items()},
            )
            for n, entry in enumerate(entries)
        ]

    def _read_sealed(self, batches: Sequence[Batch]) -> Columns:
        """The sealed readings of batches, which may come in any order."""
        order = sorted(range(len(batches)), key=lambda n: (batches[n].lease_id, batches[n].number))
        found = self._sealed.of(
            [
                Asked(one.lease_id, one.number, one.clock_s, one.stored)
                for one in (batches[n] for n in order)
            ]
        )
        assert found.batch is not None, "SealedBatches numbers the batches"
        return in_order(found, np.array(order, np.int64)[found.batch])

    def _checked(self, entry: Entry) -> Values:
        """The values of an entry that is the one in the log."""
        shard = self._shards.get(entry.batch.lease_id)
        if shard is None:
            raise _broken(f"lease {entry.batch.lease_id}", entry, "its shard is not there")
        try:
            values = entry_values(entry, form.SHARD.digest(*shard_values(shard)))
            good = form.ENTRY.digest(*values) == entry.logged
        except ERRORS as error:
            raise _broken(shard[3], entry, str(error)) from error
        if not good:
            raise _broken(shard[3], entry, "its entry is not that of the log")
        return values

    def _content(
        self,
        entry: Entry,
        values: Values,
        columns: Columns,
        leaves: list[bytes],
        rows: dict[str, list[Row]],
    ) -> Content:
        shard = self._shards[entry.batch.lease_id]
        try:
            found = _events(rows, self.known.registry)
        except ERRORS as error:
            raise _broken(shard[3], entry, str(error)) from error
        every = leaves + [one[0] for one in found]
        assert entry.position is not None, "an entry with its leaf has a place"
        logged = Logged(shard_values(shard), values, entry.position, columns, every)
        if rows["expired"]:
            logged = replace(logged, collapsed=self._collapsed(entry, every, rows["expired"]))
        subtree, size = logged.tree()
        if size != entry.batch.leaves or span_root(subtree, 0, size) != entry.batch.root:
            raise _broken(shard[3], entry, "what it holds is not what was stored")
        places = [logged.place(len(leaves) + n) for n in range(len(found))]
        events = [(places[n], kind, values) for n, (_, kind, values, _) in enumerate(found)]
        series = {places[n]: one[3] for n, one in enumerate(found) if one[1] == "anomaly"}
        return Content(logged, events, series, rows["expired"])

    def _collapsed(self, entry: Entry, leaves: list[bytes], expired: list[Row]) -> Collapsed:
        try:
            return Collapsed(leaves, runs_of(expired))
        except ERRORS as error:
            raise _broken(self._name(entry), entry, f"what expired: {error}") from error

    def _name(self, entry: Entry) -> str:
        shard = self._shards.get(entry.batch.lease_id)
        return shard[3] if shard else f"lease {entry.batch.lease_id}"

    def _all(self, query: str) -> list[Row]:
        return self._connection.execute(QUERIES[query].text, binary=True).fetchall()

    def _ask(self, query: str, keys: Sequence[tuple[int, int]], **more: object) -> list[Row]:
        values = {"leases": [one[0] for one in keys], "numbers": [one[1] for one in keys], **more}
        return self._connection.execute(QUERIES[query].text, values, binary=True).fetchall()


def entry_values(entry: Entry, shard: bytes) -> tuple[Any, ...]:
    """The values of a batch's entry (form.ENTRY); shard: the digest of its shard."""
    batch = entry.batch
    return (
        shard, batch.number, batch.epoch, batch.clock_s, time_us(batch.recorded), batch.catalogue,
        batch.sequence_before, batch.sequence, *batch[8:14], batch.leaves, batch.root,
        entry.previous,
    )  # fmt: skip


def known_of(connection: Connection) -> Known:
    """The names of all series and states, as the record has them."""
    registry = Registry()
    series: dict[int, KnownSeries] = {}
    rows = Rows(connection, "series", {})
    while page := rows.page():
        for number, device, metric, kind, unit in page:
            # A kind that there is not is told where the series is compared with its leaf.
            known = Kind(kind) if kind in set(Kind) else Kind.NUMBER
            series[number] = KnownSeries(number, device, metric, known, unit, 0)
    registry.learn(series.values())
    states: dict[int, str] = {}
    rows = Rows(connection, "states", {})
    while page := rows.page():
        states.update(page)
    registry.learn_states({name: code for code, name in states.items()})
    return Known(series, states, registry)


def _by_batch(rows: Sequence[Row]) -> dict[tuple[int, int], list[Row]]:
    found: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in rows:
        found[row[0], row[1]].append(row)
    return found


def _leaves(columns: Columns, registry: Registry, batches: int) -> list[list[bytes]]:
    """The leaves of readings of each batch."""
    found: list[list[bytes]] = [[] for _ in range(batches)]
    if len(columns.series) and columns.batch is not None:
        order, begins = groups(columns, registry)
        firsts = begins[:-1] if order is None else order[begins[:-1]]
        of_batch = columns.batch[firsts].tolist()
        leaves = reading_leaves(records_in(columns, registry, order), begins)
        for place, leaf in zip(of_batch, leaves, strict=True):
            found[place].append(leaf)
    return found


def _events(rows: dict[str, list[Row]], registry: Registry) -> list[tuple[bytes, str, Values, int]]:
    """Rejects, anomalies and gaps in the order of their leaves: hash, kind, values, series."""
    rejects = [(form.REJECT.digest(*row[3:]), "reject", row[3:], 0) for row in rows["reject"]]
    anomalies = []
    for row in rows["anomaly"]:
        values = (registry.digests[row[3]], *row[4:])
        anomalies.append((form.ANOMALY.digest(*values), "anomaly", values, row[3]))
    gaps = [(form.GAP.digest(*row[3:]), "gap", row[3:], 0) for row in rows["gap"]]
    return [
        *sorted(rejects, key=lambda one: one[0]),
        *sorted(anomalies, key=lambda one: (one[3], one[0])),
        *sorted(gaps, key=lambda one: one[0]),
    ]


def _wrong_chunk(row: Row, says: str) -> None:
    message = f"a chunk of series {row[0]}, batches {row[3]} to {row[4]}: {says}"
    raise ValueError(message)


def _broken(shard: str, entry: Entry, says: str) -> RecordError:
    return RecordError(
        f"THE RECORD IS NOT INTACT: batch {entry.batch.number} of shard {shard}: {says}",
        where="record",
        fix="run `floorlog verify`: it says what was changed",
    )
