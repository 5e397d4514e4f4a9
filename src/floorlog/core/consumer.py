"""The consumer of one shard: yields commands, receives replies, does no I/O of its own.

Every `yield` hands a command to whoever carries it out (worker.py for real, the simulation in a
made-up world) and gets a `Timed` reply back. What the protocol promises is in DESIGN: one
transaction a batch, fenced by epoch and checkpoint, and never a blind retry.
"""

from collections.abc import Generator
from dataclasses import dataclass, field, replace

import numpy as np

from floorlog.core.cursor import Cursor, Limits
from floorlog.core.draft import Draft, Outcome, Question
from floorlog.core.ledger.batch import root_of
from floorlog.core.pipeline import Pipeline
from floorlog.core.protocol import (
    Check,
    Command,
    Commit,
    Committed,
    Expired,
    Fenced,
    Fetch,
    Fetched,
    Foreign,
    ForeignReadings,
    Found,
    Gone,
    Lease,
    ListShards,
    Load,
    Lookup,
    Publish,
    Refused,
    Register,
    Registered,
    Rehomed,
    Release,
    Renew,
    Renewed,
    Seek,
    Sleep,
    Sought,
    Stale,
    Standing,
    StoredState,
    Throttled,
    Timed,
    Unknown,
)
from floorlog.core.reading import MICROSECONDS, Batch, Record

Steps = Generator[Command, Timed, object]


class Lost(Exception):
    """The lease is not ours any more: stop without a trace."""


class HandOver(Exception):
    """Stop between two batches and give the lease back."""


@dataclass(slots=True)
class Consumer:
    """Consumes the shard of one lease until it is asked to stop, fenced, or the shard ends."""

    lease: Lease
    limits: Limits
    pipeline: Pipeline
    cursor: Cursor = field(init=False)
    number: int = field(init=False)  # of the last committed batch
    version: int = field(init=False)  # of the lease, as last heard
    wanted: bool = False
    now_s: float = 0.0  # the worker's monotonic clock
    database_now: int = 0  # µs UTC, when the worker's clock showed `database_seen_s`
    database_seen_s: float = 0.0
    renewed_s: float = 0.0
    snapshot_clock_s: int = -1
    snapshot_number: int = 0
    snapshots: int = 0
    doubtful: bool = False  # a commit of unknown outcome was found not done, and is tried again
    misses: int = 0  # failures in a row, for the back-off

    def __post_init__(self) -> None:
        """Begin where the lease stands."""
        fresh = self.lease.number == 0 and not self.lease.parents
        self.cursor = Cursor(self.limits, self.lease.checkpoint, self.lease.read_at, fresh)
        self.number = self.lease.number
        self.version = self.lease.version

    def run(self) -> Generator[Command, Timed, str]:
        """The whole life of the consumer; returns why it ended."""
        try:
            yield from self._load()
            while not self.cursor.closed or self.cursor.pending:
                yield from self._pace()
                if not self.cursor.pending:
                    yield from self._read()
                yield from self._commit_next()
            yield from self._commit_tick(self.pipeline.clock_s, ended=True)
        except Lost:
            yield from self._ask(Release(self.lease))  # has no effect when another epoch began
            return "fenced"
        except HandOver:
            yield from self._ask(Release(self.lease))
            return "released"
        return "ended"

    # ── waiting and asking ───────────────────────────────────────────────────────────────────

    def _ask(self, command: Command) -> Steps:
        timed = yield command
        self.now_s = timed.at_s
        return timed.reply

    def _sleep(self, seconds: float) -> Generator[Command, Timed, None]:
        stop = yield from self._ask(Sleep(max(0.0, seconds)))
        if stop:
            raise HandOver

    def _back_off(self) -> Generator[Command, Timed, None]:
        """Wait after a failure, twice as long each time; keep the lease meanwhile."""
        self.misses += 1
        delay = min(self.limits.backoff_max_s, self.limits.backoff_s * 2 ** min(self.misses, 16))
        yield from self._sleep(delay)
        yield from self._renew_if_due()

    def _pace(self) -> Generator[Command, Timed, None]:
        """Hand over when asked, renew in time, and do not read faster than the shard allows."""
        if self.wanted:
            raise HandOver
        yield from self._renew_if_due()
        wait = 0.0
        if not self.cursor.pending:
            pause = self.limits.poll_s if self.cursor.at_tip else self.limits.fetch_s
            wait = self.cursor.fetched_s + pause - self.now_s
        yield from self._sleep(wait)

    def _now(self) -> int:
        """The database's clock, µs UTC, as far as it is known here."""
        if not self.database_now:
            return 0
        return self.database_now + int((self.now_s - self.database_seen_s) * MICROSECONDS)

    def _heard(self, reply: Committed | Renewed) -> None:
        self.database_now, self.database_seen_s = reply.now, self.now_s
        self.renewed_s = self.now_s
        self.wanted = reply.wanted
        self.misses = 0
        if reply.catalogue is not None:
            self.pipeline.adopt(*reply.catalogue)

    def _renew_if_due(self) -> Generator[Command, Timed, None]:
        if self.now_s - self.renewed_s < self.limits.lease_s / 3:
            return
        cursor = self.cursor
        command = Renew(self.lease, cursor.behind_ms, cursor.safe_read_at())
        reply = yield from self._ask(command)
        if isinstance(reply, Fenced):
            raise Lost
        if isinstance(reply, Renewed):
            self._heard(reply)
            if reply.version != self.version:
                yield from self._refresh()

    # ── taking over ──────────────────────────────────────────────────────────────────────────

    def _load(self) -> Generator[Command, Timed, None]:
        while True:
            reply = yield from self._ask(Load(self.lease))
            if isinstance(reply, StoredState):
                break
            if isinstance(reply, Fenced):
                raise Lost
            yield from self._back_off()
        pipeline = self.pipeline
        good = pipeline.restore(reply, self.lease.hash_begin, self.lease.hash_end)
        pipeline.clock_s = max(pipeline.clock_s, self.lease.clock_s)
        own = good.pop(self.lease.lease_id)
        for lease_id, version in good.items():
            yield from self._merge(lease_id, version)
        self.version = own
        yield from self._refresh()
        self.snapshot_number = self.number
        # What failed in the replay is in no batch yet: a state keeps it from failing there again.
        self.snapshot_clock_s = -1 if pipeline.asides.unsaid() else pipeline.clock_s
        self.renewed_s = -1e9
        yield from self._renew_if_due()

    def _refresh(self) -> Generator[Command, Timed, None]:
        """Take in what other shards stored of the series homed here."""
        self.version = yield from self._merge(self.lease.lease_id, self.version)

    def _merge(self, lease_id: int, since: int) -> Generator[Command, Timed, int]:
        while True:
            reply = yield from self._ask(Foreign(lease_id, since))
            if isinstance(reply, ForeignReadings):
                self.pipeline.merge(reply.readings)
                return reply.version
            yield from self._back_off()

    # ── reading the stream ───────────────────────────────────────────────────────────────────

    def _read(self) -> Generator[Command, Timed, None]:
        """One read of the stream; afterwards `pending` may hold records."""
        if self.cursor.iterator is None:
            yield from self._seek()
        if self.cursor.iterator is None:
            return
        self.cursor.fetched_s = self.now_s
        asked_at = self._now()
        command = Fetch(self.lease.shard_id, self.cursor.iterator, self.limits.batch_records)
        reply = yield from self._ask(command)
        match reply:
            case Fetched():
                self.misses = 0
                self.cursor.take_in(reply, asked_at)
            case Expired():
                self.cursor.iterator = None
            case Throttled():
                yield from self._back_off()
            case Gone():
                self.cursor.iterator = None
                yield from self._shard_gone()
            case _:
                self.cursor.iterator = None
                yield from self._back_off()

    def _seek(self) -> Generator[Command, Timed, None]:
        reply = yield from self._ask(Seek(self.lease.shard_id, self.cursor.checkpoint))
        if isinstance(reply, Sought):
            self.cursor.iterator, self.cursor.retention_s = reply.iterator, reply.retention_s
        elif isinstance(reply, Gone):
            yield from self._shard_gone()
        else:
            yield from self._back_off()

    def _shard_gone(self) -> Generator[Command, Timed, None]:
        """The shard does not exist: end the lease only when the stream's listing agrees."""
        listed = yield from self._ask(ListShards())
        if not isinstance(listed, tuple):
            raise HandOver
        if any(shard.shard_id == self.lease.shard_id for shard in listed):
            yield from self._back_off()
            return
        self.cursor.lose_rest(self._now())

    # ── committing ───────────────────────────────────────────────────────────────────────────

    def _commit_next(self) -> Generator[Command, Timed, None]:
        if self.cursor.pending:
            yield from self._commit_records()
        elif self.cursor.gaps and not self.cursor.closed:
            yield from self._commit_tick(self.pipeline.clock_s, ended=False)
        elif self.cursor.at_tip and not self.cursor.closed:
            due = self.pipeline.deadline_s()
            now_s = self.cursor.read_at // MICROSECONDS
            if due is not None and self.cursor.read_at >= 0 and due <= now_s:
                yield from self._commit_tick(now_s, ended=False)

    def _commit_tick(self, clock_s: int, *, ended: bool) -> Generator[Command, Timed, None]:
        """Commit a batch without records: time passed, a gap was found, or the shard ended."""
        while True:
            state = self._snapshot(now=ended)
            outcome = self.pipeline.tick(clock_s)
            batch = replace(self._batch(outcome, (), state), ended=ended)
            if (yield from self._try_commit(batch, outcome, locked=False)) is True:
                return

    def _commit_records(self) -> Generator[Command, Timed, None]:
        draft = self._draft()
        records = draft.records
        yield from self._register(draft)
        while True:
            question = self.pipeline.inspect(draft)
            found = None
            if question is not None:
                found = yield from self._look_up(question)
                if found is None:
                    continue
            state = self._snapshot(now=False)
            outcome = self.pipeline.settle(draft, question, found)
            batch = self._batch(outcome, records, state)
            reply = yield from self._try_commit(batch, outcome, locked=question is not None)
            if isinstance(reply, Refused):
                yield from self._set_apart(draft, reply.reason)
            elif reply:
                return

    def _draft(self) -> Draft:
        """Decode the next records; where they hold far more than was guessed, the first of them.

        Else the first batch of well compressed records could take longer than a lease, and would
        be taken up again for ever.
        """
        records = self.cursor.next_records()
        draft = self.pipeline.draft(records)
        most = self.cursor.limits.batch_readings
        while len(records) > 1 and len(draft.decoded.row) > 2 * most:
            records = records[: max(1, len(records) * most // len(draft.decoded.row))]
            draft = self.pipeline.draft(records)
        self.cursor.learn_density(len(draft.decoded.row), records)
        return draft

    def _register(self, draft: Draft) -> Generator[Command, Timed, None]:
        keys, names = self.pipeline.unregistered(draft)
        while keys or names:
            reply = yield from self._ask(Register(self.lease, keys, names))
            if isinstance(reply, Registered):
                self.pipeline.register(reply)
                return
            if isinstance(reply, Fenced):
                raise Lost
            yield from self._back_off()

    def _look_up(self, question: Question) -> Generator[Command, Timed, Found | None]:
        """Ask the record under the locks of all homes; None = the question has to be put anew."""
        reply = yield from self._ask(
            Lookup(
                self.lease, self.number, self.version, question.homes, question.series,
                question.ts, question.home, question.marks_of,
            )
        )  # fmt: skip
        match reply:
            case Found():
                return reply
            case Stale():
                yield from self._refresh()
            case Rehomed():
                self.pipeline.learn(reply.series)
            case Fenced():
                raise Lost
            case _:
                yield from self._back_off()
        return None

    def _try_commit(
        self, batch: Batch, outcome: Outcome, *, locked: bool
    ) -> Generator[Command, Timed, bool | Refused]:
        """Commit once. True: it is in the record. False: it is not, and may be tried anew."""
        reply = yield from self._ask(Commit(batch, locked))
        match reply:
            case Committed():
                yield from self._accepted(batch, outcome, reply)
                return True
            case Unknown():
                return (yield from self._resolve(batch, outcome))
            case Fenced():
                raise Lost
            case Refused():
                self.pipeline.undo()
                return reply
            case Stale():
                self.pipeline.undo()
                yield from self._refresh()
            case _:
                self.pipeline.undo()
                yield from self._back_off()
        return False

    def _resolve(self, batch: Batch, outcome: Outcome) -> Generator[Command, Timed, bool]:
        """The outcome is unknown: read the checkpoint, then decide."""
        while True:
            reply = yield from self._ask(Check(self.lease))
            if isinstance(reply, Standing):
                break
            yield from self._sleep_quietly()
        if reply.epoch != self.lease.epoch:
            raise Lost
        if reply.number == batch.number and not self.doubtful:
            committed = Committed(reply.version, reply.now, wanted=False)
            yield from self._accepted(batch, outcome, committed)
            return True
        self.pipeline.undo()
        if reply.number != batch.number - 1:
            # An earlier try went through after all: the record, not this state, knows its content.
            raise Lost
        self.doubtful = True
        return False

    def _sleep_quietly(self) -> Generator[Command, Timed, None]:
        """Wait while an outcome is unknown: being asked to stop does not settle it."""
        self.misses += 1
        yield from self._ask(Sleep(min(self.limits.backoff_max_s, 0.05 * 2 ** min(self.misses, 8))))

    def _accepted(
        self, batch: Batch, outcome: Outcome, reply: Committed
    ) -> Generator[Command, Timed, None]:
        """The batch is in the record: move on, and tell the cache."""
        self.pipeline.accept(outcome)
        self.cursor.passed(batch.counts.records, batch.sequence, batch.read_at)
        self.number = batch.number
        self.doubtful = False
        if batch.snapshot is not None or self.snapshot_clock_s < 0:  # its age: from its first batch
            self.snapshot_clock_s, self.snapshot_number = batch.clock_s, batch.number
            self.snapshots += batch.snapshot is not None
        self._heard(reply)
        table = self.pipeline.table
        yield from self._ask(Publish(batch, table, self.pipeline.states))
        if reply.version != self.version:
            yield from self._refresh()

    def _set_apart(self, draft: Draft, reason: str) -> Generator[Command, Timed, None]:
        """Find the readings that the database refuses, and turn them into rejects."""
        bad: list[int] = []
        valid = draft.valid
        spans = [range(len(valid))] if valid is not None else []
        if (yield from self._refused(draft, range(0))):
            spans = []
        while spans:
            span = spans.pop()
            if not (yield from self._refused(replace(draft, rejects=[]), span)):
                continue
            if len(span) == 1:
                bad.append(span[0])
            else:
                middle = len(span) // 2
                spans += [span[:middle], span[middle:]]
        if bad:
            self.pipeline.refuse(draft, np.array(bad, np.intp), reason)
        else:
            self.pipeline.refuse_all(draft, reason)

    def _refused(self, draft: Draft, span: range) -> Generator[Command, Timed, bool]:
        """Whether the database refuses these readings; nothing is committed."""
        trial = replace(draft)
        if trial.valid is not None:
            trial.valid = trial.valid.take(np.arange(span.start, span.stop))
        while True:
            outcome = self.pipeline.settle(trial, None, None)
            batch = self._batch(outcome, draft.records, None)
            own = np.full_like(batch.home, self.lease.lease_id)
            reply = yield from self._ask(
                Commit(replace(batch, home=own, moved=()), locked=False, probe=True)
            )
            self.pipeline.undo()
            if isinstance(reply, Committed | Refused):
                return isinstance(reply, Refused)
            if isinstance(reply, Fenced):
                raise Lost
            if isinstance(reply, Stale):
                yield from self._refresh()
            else:
                yield from self._back_off()

    def _snapshot(self, *, now: bool) -> bytes | None:
        """The state after the last batch, when it is time to keep it."""
        limits = self.limits
        patience = limits.snapshot_s if self.snapshots else limits.snapshot_first_s
        old = self.pipeline.clock_s - self.snapshot_clock_s >= patience
        many = self.number - self.snapshot_number >= limits.snapshot_batches
        if now or (self.number and (old or many)):
            return self.pipeline.dump(self.version)
        return None

    def _batch(self, outcome: Outcome, records: tuple[Record, ...], state: bytes | None) -> Batch:
        pipeline = self.pipeline
        table = pipeline.table
        stored = outcome.stored
        home = table.home[stored.row]
        others = np.unique(home[home != self.lease.lease_id])
        sequence = records[-1].sequence if records else self.cursor.checkpoint
        read_at = self.cursor.read_at
        if records:
            # The first records may be older than the lease, whose making `read_at` begins with.
            first = self.cursor.checkpoint < 0
            read_at = records[-1].arrival if first else max(read_at, records[-1].arrival)
        batch = Batch(
            lease_id=self.lease.lease_id,
            epoch=self.lease.epoch,
            number=self.number + 1,
            version=self.version,
            checkpoint=self.cursor.checkpoint,
            sequence=sequence,
            clock_s=outcome.clock_s,
            catalogue=pipeline.catalogue_version,
            counts=outcome.counts,
            series=table.id[stored.row],
            readings=stored,
            conflict=outcome.conflict,
            late=outcome.late,
            home=home,
            rejects=outcome.rejects,
            reject_sequences=tuple(records[bad.record].sequence for bad in outcome.rejects),
            anomalies=outcome.anomalies,
            anomaly_series=tuple(int(table.id[found.row]) for found in outcome.anomalies),
            alarms=pipeline.alarms(outcome.anomalies),
            gaps=tuple(self.cursor.gaps),
            calibration=outcome.calibration,
            snapshot=state,
            snapshot_number=self.number,
            behind_ms=self.cursor.behind_ms,
            read_at=read_at,
            moved=tuple(others.tolist()),
        )
        leaves, root = root_of(batch, pipeline.registry)
        return replace(batch, leaves=leaves, root=root)
