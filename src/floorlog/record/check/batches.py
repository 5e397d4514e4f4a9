"""Every batch against its root, every entry against the chain and the log, every sum against both.

A wrong batch is not taken for its neighbours': each entry is compared with what its row, its head
and its leaf in the log say, and the chain goes on from what two of the three agree on.
"""

import struct
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from floorlog.core.ledger.batch import Columns, groups, reading_leaves, records_in
from floorlog.core.ledger.tree import Collapsed, root
from floorlog.record.check.batch import (
    ERRORS,
    Batch,
    Content,
    Entries,
    Shard,
    entry_hash,
    event_leaves,
)
from floorlog.record.check.expiry import Expiries, runs_of
from floorlog.record.check.finding import Findings, span, spans
from floorlog.record.check.log import Log, digest_of
from floorlog.record.check.sealed import Asked, SealedBatches, merged
from floorlog.record.check.series import SeriesNames, part_of
from floorlog.record.check.stored import OpenRow, unpack
from floorlog.record.proof import Known
from floorlog.record.rows import Connection, Row, Rows, time_us

LOT_READINGS = 60_000
LOT_BATCHES = 200
WINDOW_US = 300_000_000  # as store/commit.py writes it
SUMMED = ("records", "received", "stored", "rejected", "duplicate", "conflict", "gaps")


class Batches:
    """Checks the batches of a record, or of a part of it.

    Attributes:
        readings, entries: what was checked.
        unanchored_us: when the first batch was stored that no anchored note covers; None for none.
    """

    def __init__(
        self,
        connection: Connection,
        log: Log,
        known: Known,
        findings: Findings,
        expiries: Expiries,
        *,
        since: str,
        series: Sequence[int] | None,
    ) -> None:
        self._connection = connection
        self._log = log
        self._registry = known.registry
        self._names = SeriesNames(known.series)
        self._doubted: set[tuple[int, int]] = set()  # batches whose entry is not as anchored
        self._findings = findings
        self._expiries = expiries
        self._values = {"since": since, "series": None if series is None else list(series)}
        self._is_whole = since == "-infinity" and series is None
        self._newest = np.full(1, np.iinfo(np.int64).min)
        self._sealed = SealedBatches(connection, self._wrong_chunk)
        self.shards = self._open_shards()
        self.readings = self.entries = 0
        self.unanchored_us: int | None = None

    def run(self, tell: Callable[[int], None]) -> None:
        """Check all; `tell` is told how many readings were checked."""
        entries = Entries(self._connection, self._lost)
        lot: list[Content] = []
        size = 0
        for content in self._contents():
            self._chain(content.batch, entries)
            lot.append(content)
            size += content.batch.stored
            if size >= LOT_READINGS or len(lot) >= LOT_BATCHES:
                self._check(lot)
                tell(self.readings)
                lot, size = [], 0
        self._check(lot)
        if self._is_whole:
            entries.finish()
            shards = {lease_id: shard.name for lease_id, shard in self.shards.items()}
            self._expiries.finish(self._findings, shards)
            for shard in self.shards.values():
                self._check_sums(shard)
            self._check_newest()
            self._check_orphans()
        tell(self.readings)

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    def _open_shards(self) -> dict[int, Shard]:
        rows = Rows(self._connection, "shards", {})
        found = {}
        while page := rows.page():
            for row in page:
                digest = digest_of(18, row)
                found[row[0]] = Shard(row, digest)
                if row[7] not in (None, digest):
                    self._findings.derived("shard", "its digest is another", shard=row[3])
        return found

    def _contents(self) -> Iterator[Content]:
        names = ("open_rows", "rejects", "anomalies", "gaps", "conflicts", "expired")
        since = {"since": self._values["since"]}
        batches = Rows(self._connection, "batches", self._values)
        streams = [Rows(self._connection, name, since) for name in names]
        last: Row = ()
        while batches.head is not None:
            batch = Batch(*batches.head)
            batches.take()
            key = (batch.lease_id, batch.number)
            if key == last:
                self._wrong(batch, "batch", "stands twice")
                continue
            last = key
            parts = []
            for name, stream in zip(names, streams, strict=True):
                self._orphans(name, stream.before(key))
                parts.append(stream.of(key))
            open_rows = [OpenRow(*row) for row in parts[0]]
            yield Content(batch, open_rows, *parts[1:])
        for name, stream in zip(names, streams, strict=True):
            while page := stream.page():
                self._orphans(name, page)

    def _orphans(self, name: str, rows: Sequence[Row]) -> None:
        if rows and self._is_whole:
            for lease_id, number in sorted({row[:2] for row in rows}):
                self._findings.evidence(
                    name.removesuffix("s"), "belongs to no batch", shard=self._name(lease_id),
                    batch=number,
                )  # fmt: skip

    def _name(self, lease_id: int) -> str:
        shard = self.shards.get(lease_id)
        return f"lease {lease_id}" if shard is None else shard.name

    def _wrong(
        self,
        batch: Batch,
        where: str,
        says: str,
        *,
        derived: bool = False,
        series: int | None = None,
    ) -> None:
        add = self._findings.derived if derived else self._findings.evidence
        add(
            where, says, shard=self._name(batch.lease_id), batch=batch.number, series=series,
            recorded_us=time_us(batch.recorded),
        )  # fmt: skip
        if not derived:
            self._doubted.add((batch.lease_id, batch.number))

    def _wrong_chunk(self, row: Row, says: str) -> None:
        self._findings.evidence(
            "chunk", f"of batches {row[3]} to {row[4]}: {says}"[:200], shard=self._name(row[1]),
            series=row[0],
        )  # fmt: skip

    def _lost(self, leaves: list[Row]) -> None:
        """Entries of the log without a batch: those between batches are told by the numbers."""
        if not self._is_whole:
            return
        for lease_id in sorted({leaf[0] for leaf in leaves}):
            shard = self.shards.get(lease_id)
            last = shard.last.number if shard and shard.last else 0
            gone = [leaf for leaf in leaves if leaf[0] == lease_id and leaf[1] > last]
            strange = [leaf[2] for leaf in leaves if leaf[0] == lease_id and leaf[1] < 1]
            if strange:
                says = f"leaves {spans(strange)} are of batches that cannot be"
                self._findings.evidence("log", says, shard=self._name(lease_id))
            if gone:
                numbers, places = zip(*((leaf[1], leaf[2]) for leaf in gone), strict=True)
                says = f"batches {spans(numbers)} are gone; the log has them as {spans(places)}"
                self._findings.evidence("batch", says, shard=self._name(lease_id), batch=numbers[0])

    # ── the chain ────────────────────────────────────────────────────────────────────────────

    def _chain(self, batch: Batch, entries: Entries) -> None:
        before, leaves = entries.at(batch.lease_id, batch.number)
        self.entries += 1
        shard = self.shards.get(batch.lease_id)
        if shard is None:
            self._wrong(batch, "batch", "is of a shard that is not there")
            return
        last = shard.last.number if shard.last else 0
        if self._is_whole and batch.number != last + 1:
            missing = span(last + 1, batch.number - 1)
            self._wrong(batch, "batch", f"batches {missing} before it are gone")
        adjacent = batch.number == last + 1 and (shard.last is not None or self._is_whole)
        previous = self._previous(shard, batch, before) if not adjacent else None
        if adjacent:
            previous = self._heads(shard) if batch.number == 1 else shard.head
        self._vote(batch, shard, previous, leaves)
        for place, name in enumerate(SUMMED[:-1]):
            shard.sums[place] += getattr(batch, name)
        shard.last = batch

    def _previous(self, shard: Shard, batch: Batch, before: bytes | None) -> bytes | None:
        """The head before a batch whose neighbour was not read; None where nobody knows."""
        return self._heads(shard) if batch.number == 1 else before

    def _heads(self, shard: Shard) -> bytes:
        """The heads of a shard's parents, whose last batches came before."""
        parents = [self.shards[one] for one in shard.parents if one in self.shards]
        return b"".join(one.head if one.last and self._is_whole else one.row[8] for one in parents)

    def _vote(
        self, batch: Batch, shard: Shard, previous: bytes | None, leaves: Sequence[Row]
    ) -> None:
        logged = leaves[0][3] if leaves else None
        position = leaves[0][2] if leaves else None
        if len(leaves) > 1:
            places = spans([leaf[2] for leaf in leaves])
            self._wrong(batch, "log", f"has not one leaf in the log, but {places}", derived=True)
        if leaves and shard.unlogged:
            missing = span(shard.unlogged, batch.number - 1)
            self._wrong(
                batch, "log", f"is in the log; batches {missing} before it are gone from it"
            )
        shard.unlogged = 0 if leaves else shard.unlogged or batch.number
        if position is None or position >= self._log.anchored:
            at = time_us(batch.recorded)
            self.unanchored_us = min(at, self.unanchored_us or at)
        try:
            hashed = None if previous is None else entry_hash(batch, shard.digest, previous)
        except ERRORS:
            hashed = b"no entry"
        known = batch.head if hashed is None else hashed
        is_right = known in (batch.head, logged)
        if not is_right:
            self._wrong(batch, "batch", "the entry is not the one that was chained and logged")
        if batch.head not in {logged or known, known}:
            self._wrong(batch, "head", "its head is not the hash of its entry", derived=True)
        if logged is not None and logged not in (known, batch.head):
            self._wrong(batch, "log", f"leaf {position} of the log is not its entry")
        elif logged is not None and logged != known and is_right and position is not None:
            # The row and its head agree, against the log: who is right, the anchors say.
            is_kept = self._log.is_kept(position)
            where = "batch" if is_kept else "log"
            self._wrong(batch, where, f"its entry is not leaf {position} of the log")
        if self._log.is_forged(position):
            self._doubted.add((batch.lease_id, batch.number))
        shard.head = known if is_right else (logged or batch.head)

    # ── what is stored ───────────────────────────────────────────────────────────────────────

    def _check(self, lot: list[Content]) -> None:
        """Check the content of many batches at once; one by one where that fails."""
        if not lot:
            return
        columns = None
        try:
            columns, wrong = self._columns(lot)
            leaves = self._leaves(lot, columns)
        except ERRORS as error:
            if len(lot) > 1:
                for content in lot:
                    self._check([content])
            else:
                self._wrong_readings(lot[0], columns, f"cannot be read: {error}"[:200])
            return
        for place, where, says in wrong:
            self._wrong(lot[place].batch, where, says, derived=where != "readings")
        ends = np.searchsorted(columns.batch, np.arange(len(lot) + 1))  # type: ignore[arg-type] # set by unpack
        for place, content in enumerate(lot):
            part = part_of(columns, slice(*ends[place : place + 2].tolist()))
            self._check_content(content, part, leaves[place])
            self._check_conflicts(content, part)
        self.readings += len(columns.series)
        self._raise_newest(columns)

    def _columns(self, lot: list[Content]) -> tuple[Columns, list[tuple[int, str, str]]]:
        """The readings of some batches, and what is wrong with the rows that hold them."""
        opened, wrong = unpack([content.rows for content in lot])
        batches = [content.batch for content in lot]
        asked = [Asked(b.lease_id, b.number, b.clock_s, b.stored) for b in batches]
        return merged(opened, self._sealed.of(asked)), wrong

    def _leaves(self, lot: list[Content], columns: Columns) -> list[list[bytes]]:
        found: list[list[bytes]] = [[] for _ in lot]
        if len(columns.series):
            order, begins = groups(columns, self._registry)
            records = records_in(columns, self._registry, order)
            firsts = begins[:-1] if order is None else order[begins[:-1]]
            of_batch = columns.batch[firsts].tolist()  # type: ignore[index] # set by unpack
            for place, leaf in zip(of_batch, reading_leaves(records, begins), strict=True):
                found[place].append(leaf)
        for place, content in enumerate(lot):
            found[place] += event_leaves(content, self._registry)
        return found

    def _check_content(self, content: Content, part: Columns, leaves: list[bytes]) -> None:
        batch, readings = content.batch, len(part.series)
        rejects = len(content.rejects) + sum(row[4] for row in content.expired)
        readings += sum(row[3] for row in content.expired)
        size, top = self._tree(content, leaves)
        if (size, top) != (batch.leaves, batch.root):
            says = f"what it holds is not what was stored: {readings} readings, {size} leaves"
            says = f"{says} of {batch.stored} and {batch.leaves}"
            self._wrong_readings(content, part, says)
        elif (batch.lease_id, batch.number) in self._doubted:
            self._wrong_series(content, part, "not what was stored, and the batch was forged")
        elif content.expired:
            self._wrong_series(content, part, "gone, but the expiry is declared of other series")
        if (size, top) == (batch.leaves, batch.root) and (readings, rejects) != (
            batch.stored,
            batch.rejected,
        ):
            says = f"{readings} readings and {rejects} rejects"
            self._wrong(batch, "batch", f"{says}, not as many as it counts")
        if any(row.clock_s != batch.clock_s for row in content.rows):
            self._wrong(batch, "clock_s", "a row has another clock", derived=True)
        times = [row.recorded_at for row in content.rows]
        for rows in (content.rejects, content.anomalies, content.gaps, content.conflicts):
            times += [row[2] for row in rows]
        if any(time != batch.recorded for time in times):
            self._wrong(batch, "recorded_at", "a row has another time of storing", derived=True)
        if batch.lease_id in self.shards:
            self.shards[batch.lease_id].sums[6] += len(content.gaps)

    def _wrong_readings(self, content: Content, part: Columns | None, says: str) -> None:
        """Name the series of a batch that are not as they were stored; else the batch alone."""
        found = None if part is None else self._wrong_series(content, part, says)
        if found == []:
            says += "; its readings are as they were, its rejects, anomalies or gaps are not"
        if not found:
            self._wrong(content.batch, "readings", says)

    def _wrong_series(self, content: Content, part: Columns, says: str) -> list[int] | None:
        gone = self._expiries.series(content.expired)
        found = self._names.wrong(content.batch, part, gone)
        for one in found or ():
            text = self._names.text(one, part)
            self._wrong(content.batch, "readings", f"{text}: {says}", series=one)
        return found

    def _tree(self, content: Content, leaves: list[bytes]) -> tuple[int, bytes]:
        """How many leaves there are, those included that expired, and their root."""
        if not content.expired:
            return len(leaves), root(leaves)
        try:
            self._expiries.see(content.expired)
            tree = Collapsed(leaves, runs_of(content.expired))
            return tree.size, tree.root()
        except ERRORS as error:
            self._wrong(content.batch, "expiry", f"what expired cannot be read: {error}"[:200])
            return len(leaves), b""

    def _check_conflicts(self, content: Content, columns: Columns) -> None:
        flagged = np.flatnonzero(columns.conflict)
        if not len(flagged) and not content.conflicts:
            return
        found = sorted(
            (int(columns.series[at]), int(columns.ts[at]), columns.value[at].tobytes(),
             int(columns.quality[at]))
            for at in flagged
        )  # fmt: skip
        stated = sorted(
            (series, ts, struct.pack("<d", value), quality)
            for *_, series, ts, value, quality in content.conflicts
        )
        if found != stated:
            says = "its conflicts are not those that its readings flag"
            self._wrong(content.batch, "conflict", says, derived=True)

    # ── sums ─────────────────────────────────────────────────────────────────────────────────

    def _check_sums(self, shard: Shard) -> None:
        row, last = shard.row, shard.last
        stated = (row[8], row[9], row[10], row[12])
        shown = (b"", 0, "-1", 0)
        if last is not None:
            shown = (last.head, last.number, last.sequence, last.catalogue)
        names = ("head", "number", "checkpoint", "catalogue")
        wrong = [name for name, a, b in zip(names, stated, shown, strict=True) if a != b]
        if last is not None and row[11] != last.clock_s:
            wrong.append("clock_s")
        wrong += [name for name, a, b in zip(SUMMED, row[13:20], shard.sums, strict=True) if a != b]
        if wrong:
            says = f"{', '.join(wrong)} of the shard's row are not those of its batches"
            self._findings.derived("lease", says, shard=shard.name)

    def _raise_newest(self, columns: Columns) -> None:
        if not len(columns.series) or not self._is_whole:
            return
        top = int(columns.series.max()) + 1
        if top > len(self._newest):
            more = np.full(max(top, 2 * len(self._newest)) - len(self._newest), self._newest[0])
            self._newest = np.append(self._newest, more)
        np.maximum.at(self._newest, columns.series, columns.ts)

    def _check_orphans(self) -> None:
        """Sealed readings that no batch asked for."""
        held = Rows(self._connection, "sealed_count", {}).take()
        if held is None or held[0] == self._sealed.readings:
            return
        rows = Rows(self._connection, "sealed_orphans", {})
        while page := rows.page():
            for series_id, lease_id, width, slot, part in page:
                says = f"{part} of slot {slot}, width {width}, holds readings of no batch"
                self._findings.evidence("chunk", says, shard=self._name(lease_id), series=series_id)

    def _check_newest(self) -> None:
        rows = Rows(self._connection, "newest", {})
        none = np.iinfo(np.int64).min
        noted = np.zeros(len(self._newest), np.bool_)
        while page := rows.page():
            for series_id, window in page:
                is_known = 0 < series_id < len(self._newest)
                held = is_known and self._newest[series_id] != none
                stated = int(self._newest[series_id]) // WINDOW_US if held else None
                if window != stated or (is_known and noted[series_id]):
                    says = f"its newest reading is not noted: {window} instead of {stated}"
                    self._findings.derived("newest_window", says, series=series_id)
                noted[series_id * is_known] = True
        for series_id in np.flatnonzero((self._newest != none) & ~noted).tolist():
            self._findings.derived("newest_window", "its home is gone", series=series_id)
