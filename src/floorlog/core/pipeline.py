"""From a batch of records to what one transaction commits: (state, batch) → (outcome, state)."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from floorlog.core import marks as mark
from floorlog.core import snapshot, why
from floorlog.core.catalogue import Catalogue, SeriesRules
from floorlog.core.decode import decode
from floorlog.core.detect import aside
from floorlog.core.detect.detector import NEVER
from floorlog.core.detect.panel import Panel
from floorlog.core.draft import Draft, Outcome, Question
from floorlog.core.ledger.batch import Registry
from floorlog.core.protocol import (
    Found,
    Registered,
    StoredBatch,
    StoredReadings,
    StoredState,
)
from floorlog.core.reading import (
    MICROSECONDS,
    Anomaly,
    Code,
    Counts,
    Kind,
    Readings,
    Record,
    Reject,
    no_readings,
)
from floorlog.core.series import UNREGISTERED, KnownSeries, SeriesKey, SeriesTable, hash_key
from floorlog.core.validate import pending, validate

SERIES_MAX = 1_000_000
"""A shard's table of series may hold this many; readings of more are `too_many_series`."""
UNSAID = -1
"""Of a series' calibration: the record was not told yet."""


@dataclass(slots=True)
class Pipeline:
    """One shard's state, and the pure steps that a batch takes through it.

    A batch goes draft → (register) → inspect → (lookup) → settle → commit → accept; after a commit
    that did not happen, `undo` takes the state back and the steps can be taken again.
    """

    lease_id: int
    future_seconds: int = 300
    table: SeriesTable = field(default_factory=SeriesTable)
    marks: mark.Marks = field(default_factory=mark.Marks)
    panel: Panel = field(default_factory=Panel)
    states: dict[str, int] = field(default_factory=dict)
    registry: Registry = field(default_factory=Registry)
    catalogue: Catalogue = field(default_factory=Catalogue)
    catalogue_version: int = 0
    clock_s: int = -1
    partition_keys: dict[int, str] = field(default_factory=dict)  # row → last partition key
    hashes: dict[int, int] = field(default_factory=dict)  # row → its hash
    asides: aside.Asides = field(default_factory=aside.Asides)  # detectors that failed
    ready: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))  # by row, as said
    _ready: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    _said: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))
    _is_ours: bool = True  # a release with the same detectors wrote what was taken over
    _undo: tuple[object, tuple[aside.Aside, ...]] | None = None
    _rules: SeriesRules | None = None

    # ── the steps ────────────────────────────────────────────────────────────────────────────

    def draft(self, records: Sequence[Record]) -> Draft:
        """Decode records; never raises for what they hold."""
        arrivals = np.array([record.arrival for record in records], np.int64) // MICROSECONDS
        clocks = np.maximum.accumulate(np.maximum(arrivals, self.clock_s))
        clock_s = int(clocks[-1]) if len(clocks) else self.clock_s
        decoded = decode(records, self.table, clocks)
        return Draft(tuple(records), clock_s, decoded, list(decoded.rejects))

    def unregistered(self, draft: Draft) -> tuple[tuple[SeriesKey, ...], tuple[str, ...]]:
        """The series and state names of the draft that the record has to give ids to."""
        keys, names = pending(
            draft.decoded, self.table, self.states, draft.records, self.catalogue,
            self.future_seconds,
        )  # fmt: skip
        room = max(0, SERIES_MAX - len(self.table))
        moved = self._rekeyed(draft)
        return (*keys[:room], *moved), tuple(names)

    def register(self, registered: Registered) -> None:
        """Take the ids over; a series made just now holds no reading, so its mark is known."""
        self.learn(registered.series)
        for series in registered.series:
            row = self.table.row_of(series.series_id)
            if series.series_id in registered.fresh:
                self.marks.known[row] = series.home == self.lease_id
        self.states.update(registered.states)
        self.registry.learn_states(registered.states)

    def learn(self, series: Iterable[KnownSeries]) -> None:
        """Take over what the record says; a series that comes home has an unknown mark."""
        known = list(series)
        before = {
            entry.series_id: int(self.table.home[self.table.row_of(entry.series_id)])
            for entry in known
            if self.table.knows(entry.series_id)
        }
        self.table.learn(known)
        self.registry.learn(known)
        self.marks.grow(len(self.table))
        for entry in known:
            if before.get(entry.series_id) != entry.home:
                self.marks.known[self.table.row_of(entry.series_id)] = False

    def inspect(self, draft: Draft) -> Question | None:
        """Validate, and say what has to be looked up; None when the marks decide everything."""
        self.marks.grow(len(self.table))
        if draft.valid is None:
            if draft.decoded.strangers:
                draft.decoded = draft.decoded.placed(self.table)
                self._rekeyed(draft)  # of series made just now: their first partition key
            draft.valid, rejects = validate(
                draft.decoded, self.table, self.rules(), self.states, self.future_seconds
            )
            draft.rejects.extend(rejects)
        readings = draft.valid
        mine = self.table.home[readings.row] == self.lease_id
        ask = mark.unsure(readings, mine, self.marks)
        if not ask.any():
            return None
        rows, ts = readings.row[ask], readings.ts[ask]
        keys = np.unique(np.stack([rows.astype(np.int64), ts]), axis=1)
        rows = keys[0].astype(np.int32)
        homes = self.table.home[rows]
        unknown = np.unique(rows[(homes == self.lease_id) & ~self.marks.known[rows]])
        return Question(
            homes=tuple(sorted({self.lease_id, *homes.tolist()})),
            series=self.table.id[rows],
            ts=keys[1],
            home=homes,
            marks_of=tuple(self.table.id[unknown].tolist()),
        )

    def settle(self, draft: Draft, question: Question | None, found: Found | None) -> Outcome:
        """Decide every reading's fate, feed the detectors, and state what is to be committed."""
        readings = draft.valid
        if readings is None:
            message = "inspect comes before settle"
            raise ValueError(message)
        held = self._absorb(question, found) if question and found else None
        mine = self.table.home[readings.row] == self.lease_id
        fate = mark.sift(readings, mine, self.marks, held)
        keep = np.flatnonzero(fate != mark.Fate.DUPLICATE)
        conflicting = fate[keep] == mark.Fate.CONFLICT
        stored = readings.take(keep)
        behind = mark.late(stored, conflicting, self._fed())
        order = np.lexsort((stored.ts, self.table.id[stored.row]))
        stored, conflicting, behind = stored.take(order), conflicting[order], behind[order]
        anomalies = self._judge(stored, conflicting, behind, draft.clock_s)
        counts = Counts(
            records=len(draft.records),
            received=draft.decoded.received,
            stored=len(stored),
            rejected=len(draft.rejects),
            duplicate=len(readings) - len(stored),
            conflict=int(conflicting.sum()),
        )
        return Outcome(
            draft.clock_s, counts, stored, conflicting, behind, tuple(draft.rejects), anomalies,
            self._calibration(),
        )  # fmt: skip

    def tick(self, clock_s: int) -> Outcome:
        """Let time pass without records, so that silence can be noticed."""
        nothing = no_readings()
        flags = np.zeros(0, np.bool_)
        clock_s = max(clock_s, self.clock_s)
        anomalies = self._judge(nothing, flags, flags, clock_s)
        return Outcome(clock_s, Counts(), nothing, flags, flags, (), anomalies)

    def undo(self) -> None:
        """Take the detectors back to before the last settle or tick."""
        if self._undo is not None:
            self.panel.restore(self._undo[0])
            self.asides.held = self._undo[1]
            self._undo = None

    def accept(self, outcome: Outcome) -> None:
        """The outcome is committed: raise the marks and move the clock."""
        self._undo = None
        self.asides.replayed.clear()  # it is in the record now
        self.ready = self._said
        mine = self.table.home[outcome.stored.row] == self.lease_id
        if mine.all():
            mark.advance(self.marks, outcome.stored, outcome.conflict)
        else:
            mark.advance(self.marks, outcome.stored.take(mine), outcome.conflict[mine])
        self.clock_s = outcome.clock_s

    def refuse(self, draft: Draft, places: NDArray[np.intp], reason: str) -> None:
        """Turn valid readings that the database will not have into rejects."""
        if draft.valid is None:
            return
        for place in places.tolist():
            record = int(draft.valid.record[place])
            draft.rejects.append(
                Reject(
                    Code.REFUSED,
                    reason,
                    draft.records[record].data,
                    record,
                    int(draft.valid.element[place]),
                )
            )
        keep = np.ones(len(draft.valid), np.bool_)
        keep[places] = False
        draft.valid = draft.valid.take(keep)

    def refuse_all(self, draft: Draft, reason: str) -> None:
        """Keep every record of the draft as one reject: the last resort, nothing is lost."""
        draft.valid = no_readings()
        draft.rejects = [
            Reject(Code.REFUSED, reason, record.data, place, -1)
            for place, record in enumerate(draft.records)
        ]
        draft.decoded = replace(draft.decoded, received=len(draft.records))

    # ── the state ────────────────────────────────────────────────────────────────────────────

    def adopt(self, version: int, catalogue: bytes) -> None:
        """Judge by this version of the catalogue from the next batch on."""
        self.catalogue_version = version
        self.catalogue = Catalogue.decode(catalogue)
        self._rules = None

    def rules(self) -> SeriesRules:
        """The catalogue's rules by row, for every row of the table."""
        if self._rules is None:
            self._rules = self.catalogue.rules(self.table, self.states)
        self._rules.cover(self.table, self.states)
        return self._rules

    def alarms(self, found: tuple[Anomaly, ...]) -> tuple[tuple[int, bool], ...]:
        """Per finding: the priority of its alarm, and whether it latches."""
        keys, asked = self.table.keys, self.catalogue.alarm
        return tuple(asked(*keys[one.row], one.severity) for one in found)

    def restore(self, stored: StoredState, hash_begin: int, hash_end: int) -> dict[int, int]:
        """Rebuild the state from the record.

        A detector that fails at it is set aside from that batch on, and the next batch says so.

        Returns per lease the version up to which foreign readings are in the marks.
        """
        empty = self.panel.copy()
        while True:
            try:
                return self._rebuild(stored, hash_begin, hash_end)
            except aside.Again:
                self.panel.restore(empty)

    def _rebuild(self, stored: StoredState, hash_begin: int, hash_end: int) -> dict[int, int]:
        self.clock_s, self.asides.held, self._is_ours = -1, (), True
        self.states = dict(stored.states)
        self.registry.learn_states(self.states)
        self.learn(stored.series)
        self.hashes = {self.table.row_of(series): key for series, key in stored.hashes.items()}
        newest = max(stored.catalogues, default=0)
        good = {self.lease_id: 0}
        if stored.snapshot is not None:
            good.update([self._take_over(stored.snapshot, None)])
        else:
            inherit = (hash_begin, hash_end)
            good.update(self._take_over(blob, inherit) for blob in stored.parent_snapshots)
        for batch in stored.tail:
            if batch.catalogue != self.catalogue_version and batch.catalogue in stored.catalogues:
                self.adopt(batch.catalogue, stored.catalogues[batch.catalogue])
            self._replay(batch)
        if newest and newest != self.catalogue_version:
            self.adopt(newest, stored.catalogues[newest])
        self._undo = None
        if self._is_ours and not self.asides.held:  # else all is said once more
            with suppress(Exception):  # also where a detector fails at this: the next batch says so
                self._ready = self.panel.ready()
                self.ready = self._said = self._readiness()[0]
        return good

    def dump(self, version: int) -> bytes:
        """The state as bytes; `version`: of the lease, up to which foreign readings are in it."""
        table, marks = self.table, self.marks
        rows = np.flatnonzero(table.id[: len(table)] != UNREGISTERED)
        rows = rows[np.argsort(table.id[rows], kind="stable")]
        kept = []
        for row, detectors in zip(rows.tolist(), self.panel.dump_all(rows), strict=True):
            held = marks.at(row)
            key = self.hashes.get(row)
            kept.append(
                snapshot.SeriesState(
                    int(table.id[row]),
                    b"" if key is None else key.to_bytes(16),
                    bool(marks.known[row]) and int(table.home[row]) == self.lease_id,
                    int(marks.ts[row]) if held else None,
                    held,
                    detectors,
                )
            )
        return snapshot.encode(self.lease_id, version, self.clock_s, kept, self.asides.held)

    def merge(self, foreign: StoredReadings) -> None:
        """Raise the marks by what other shards stored of series whose home is here."""
        for (row, ts), values in self._held(foreign).items():
            if self.table.home[row] == self.lease_id:
                self.marks.raise_to(row, ts, values)

    def deadline_s(self) -> int | None:
        """The clock at which a tick may find something, None for never."""
        try:
            due = self.panel.deadline_s(self.rules())
        except Exception:  # noqa: BLE001 - the tick fails at the same, and says so
            due = self.clock_s + 1
        again = min((one.until_s() for one in self.asides.held), default=None)
        return min((one for one in (due, again) if one is not None), default=None)

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _take_over(self, blob: bytes, inherit: tuple[int, int] | None) -> tuple[int, int]:
        """Put a snapshot into the state; with `inherit` only series in that hash range.

        Returns the snapshot's lease, and the version of it that the marks are good for.
        """
        whole = snapshot.decode(blob)
        table, marks = self.table, self.marks
        self.panel.grow(len(table))
        marks.grow(len(table))
        for state in whole.series:
            if (inherit and not state.inside(*inherit)) or not table.knows(state.series_id):
                continue
            row = table.row_of(state.series_id)
            if state.hash_key:
                self.hashes[row] = int.from_bytes(state.hash_key)
            if state.mark is not None:
                marks.raise_to(row, state.mark, state.held)
            marks.known[row] = state.known and int(table.home[row]) == self.lease_id
            self._is_ours &= self.panel.load(row, state.detectors)
        self.asides.add(aside.inherited(whole.asides, table, self.lease_id, heir=bool(inherit)))
        self.clock_s = max(self.clock_s, whole.clock_s)
        return whole.lease_id, whole.version

    def _fed(self) -> NDArray[np.int64]:
        self.panel.grow(len(self.table))
        return self.panel.feed_ts()

    def _judge(
        self,
        stored: Readings,
        conflict: NDArray[np.bool_],
        late: NDArray[np.bool_],
        clock_s: int,
    ) -> tuple[Anomaly, ...]:
        kept, rules = self.panel.copy(), self.rules()
        self._undo = (kept, self.asides.held)
        fresh = ~(conflict | late)
        told = [aside.ended(one, clock_s) for one in self.asides.due(clock_s)]
        told += [aside.began(one, clock_s, aside.REPLAYED) for one in self.asides.unsaid()]

        def step() -> list[Anomaly]:
            names = self.asides.names()
            found = self.panel.advance(stored, fresh, rules, self.table.kind, clock_s, names)
            found = [self.named(event) for event in found]
            self._ready = self.panel.ready()
            return found

        speaker = self._speaker()
        found, failed = self.asides.guarded(self.panel, kept, speaker, clock_s, step)
        if not speaker:  # nothing could say so, and there is no state that it could matter to
            self.asides.held = ()
        return (*self._told(told + failed), *found)

    def _speaker(self) -> int:
        """The series whose findings tell of failed detectors; 0 where there is none at all."""
        every = self.table.id[: len(self.table)]
        ours = every[self.table.home[: len(self.table)] == self.lease_id]
        return int(ours.min()) if len(ours) else int(every.min()) if len(every) else 0

    def _told(self, events: Iterable[Anomaly]) -> tuple[Anomaly, ...]:
        """Findings that name series by their ids, as the shard's; another shard says the rest."""
        rows = ((event, self.table.row_of(event.row)) for event in events if event.row)
        return tuple(replace(event, row=row) for event, row in rows)

    def named(self, event: Anomaly) -> Anomaly:
        """Its reason as a sentence with names: detectors know rows, and states by numbers alone."""
        device, metric = self.table.keys[event.row]
        state = None
        if self.table.kind[event.row] == Kind.STATE:
            state = next((name for name, code in self.states.items() if code == event.value), None)
        asked = self.catalogue.metric(device, metric)
        unit = (asked and asked.unit) or self.table.units[event.row]
        words = why.sentence(event, self.table.keys, unit, self.catalogue_version, state)
        return replace(event, reason=words)

    def _calibration(self) -> tuple[tuple[int, bool], ...]:
        """Series of this shard, by id, that have learned enough since last said, or learn anew."""
        if self.asides.held:
            self._said = self.ready  # as said before: not all of them can tell
            return ()
        self._said, ready = self._readiness()
        fed = self.panel.feed_ts() != NEVER
        before = np.full(len(ready), UNSAID, np.int8)
        before[: len(self.ready)] = self.ready
        rows = np.flatnonzero(self._said != before)
        rows = rows[(self.table.home[rows] == self.lease_id) & fed[rows]]
        return tuple((int(self.table.id[row]), bool(ready[row])) for row in rows.tolist())

    def _readiness(self) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
        """What is to be said of each row, and which have learned enough."""
        ready = self._ready | (self.table.kind[: len(self._ready)] != Kind.NUMBER)
        fed = self.panel.feed_ts() != NEVER
        return np.where(fed, ready, UNSAID).astype(np.int8), ready

    def _absorb(self, question: Question, found: Found) -> mark.Held:
        for (row, ts), values in self._held(found.marks).items():
            self.marks.raise_to(row, ts, values)
        for series_id in question.marks_of:
            row = self.table.row_of(series_id)
            self.marks.known[row] = self.table.home[row] == self.lease_id
        return self._held(found.held)

    def _held(self, readings: StoredReadings) -> mark.Held:
        """Stored readings by (row, ts), those that stand before those that conflict."""
        held: mark.Held = {}
        columns = (readings.series, readings.ts, readings.value, readings.quality)
        order = np.argsort(readings.conflict, kind="stable")
        rows = zip(*(column[order].tolist() for column in columns), strict=True)
        for series_id, ts, value, quality in rows:
            if self.table.knows(series_id):
                held.setdefault((self.table.row_of(series_id), ts), []).append((value, quality))
        return held

    def _replay(self, batch: StoredBatch) -> None:
        """Do to the state what this committed batch once did."""
        kept = batch.readings
        rows = np.array([self.table.row_of(series) for series in kept.series.tolist()], np.int32)
        nought = np.zeros(len(rows), np.int32)
        stored = Readings(
            rows, kept.ts, kept.value, kept.quality, kept.arrival_s, nought, nought
        )  # fmt: skip
        mine = self.table.home[rows] == self.lease_id
        self.marks.grow(len(self.table))
        mark.advance(self.marks, stored.take(mine), kept.conflict[mine])
        order = np.lexsort((kept.arrival_s, rows))
        fresh = ~(kept.conflict | kept.late)
        self.panel.grow(len(self.table))
        self.asides.follow(batch.number, batch.clock_s, batch.asides)
        names = self.asides.names()
        try:
            self.panel.advance(
                stored.take(order),
                fresh[order],
                self.rules(),
                self.table.kind,
                batch.clock_s,
                names,
            )
        except Exception:
            if not self.asides.failed_again(self.panel, self._speaker(), batch):
                raise
            raise aside.Again from None
        self.clock_s = batch.clock_s

    def _rekeyed(self, draft: Draft) -> list[SeriesKey]:
        """Registered series whose partition key is not the last one known."""
        decoded = draft.decoded
        row, record = decoded.row[::-1], decoded.record[::-1]
        if (row < 0).any():
            row, record = row[row >= 0], record[row >= 0]
        if not len(row):
            return []
        rows, newest = np.unique(row, return_index=True)
        records = record[newest]
        changed = []
        for row, record in zip(rows.tolist(), records.tolist(), strict=True):
            key = draft.records[record].partition_key
            if self.partition_keys.get(row) == key:
                continue
            self.partition_keys[row] = key
            hashed = hash_key(key)
            if self.hashes.get(row) == hashed:
                continue
            first = row not in self.hashes
            self.hashes[row] = hashed
            if not first:
                device, metric = self.table.keys[row]
                kind = self.table.kind[row]
                changed.append(SeriesKey(device, metric, kind, self.table.units[row], key))
        return changed
