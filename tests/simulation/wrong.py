"""Protocols that are known to be wrong, each by one change: the simulator must catch them all."""

from made_record import MadeLease, MadeRecord
from world import Protocol

from floorlog.core import protocol as p
from floorlog.core.consumer import Consumer
from floorlog.core.cursor import Cursor
from floorlog.core.draft import Question
from floorlog.core.pipeline import Pipeline
from floorlog.core.reading import Batch


class NoFence(MadeRecord):
    """Commits whatever comes, also from a worker that lost its lease."""

    def bar(self, lease: MadeLease, batch: Batch) -> object:
        del lease, batch
        return None


class NoEpoch(MadeRecord):
    """Compares the checkpoint's sequence number alone, and takes what an older epoch offers."""

    def bar(self, lease: MadeLease, batch: Batch) -> object:
        return None if batch.sequence > lease.checkpoint or batch.ended else p.Unknown()


class NoVersion(MadeRecord):
    """Does not tell the home shard that another one stored readings of its series."""

    def bar(self, lease: MadeLease, batch: Batch) -> object:
        found = super().bar(lease, batch)
        return None if isinstance(found, p.Stale) else found

    def lookup(self, who: object, command: p.Lookup) -> object:
        self.leases[command.lease.lease_id].version = command.version
        return super().lookup(who, command)


class NoLocks(MadeRecord):
    """Looks duplicates up without locking the leases of the shards concerned."""

    def lookup(self, who: object, command: p.Lookup) -> object:
        found = super().lookup(who, command)
        self.unlock(who)
        return found

    def commit(self, who: object, command: p.Commit) -> object:
        return super().commit(who, p.Commit(command.batch, locked=False, probe=command.probe))

    def bar(self, lease: MadeLease, batch: Batch) -> object:
        found = super().bar(lease, batch)
        return None if isinstance(found, p.Stale) else found


class CheckpointApart(MadeRecord):
    """Writes the readings in one transaction and the checkpoint in a second one, later."""

    def _write(self, lease: MadeLease, batch: Batch) -> None:
        before = lease.checkpoint, lease.number
        super()._write(lease, batch)
        if self.commits % 9 == 0:  # the worker dies between the two
            lease.checkpoint, lease.number = before
            self.batches.pop()
            lease.epoch += 1
            lease.owner = None


class ChildFirst(MadeRecord):
    """Lets a child shard start while its parents still hold unread records."""

    def parents_ended(self, lease: MadeLease) -> bool:
        del lease
        return True

    def survey(self, worker: str, shards: tuple[p.Shard, ...]) -> p.Surveyed:
        orphans = tuple(p.Shard(s.shard_id, (), s.hash_begin, s.hash_end) for s in shards)
        return super().survey(worker, orphans)


class AssumesCommitted(Consumer):
    """Takes an unknown outcome for a commit."""

    def _resolve(self, batch, outcome):
        committed = p.Committed(self.version, self.database_now, wanted=False)
        yield from self._accepted(batch, outcome, committed)
        return True


class EpochOnly(MadeRecord):
    """Compares the epoch, and lets the checkpoint jump."""

    def bar(self, lease: MadeLease, batch: Batch) -> object:
        return p.Fenced() if lease.epoch != batch.epoch or lease.ended else None


class SkipsOnError(Consumer):
    """Goes on after a failed commit as if the batch had been stored."""

    def _try_commit(self, batch, outcome, *, locked):
        done = yield from super()._try_commit(batch, outcome, locked=locked)
        if done is False:
            self.cursor.passed(batch.counts.records, batch.sequence, batch.read_at)
        return True


class RefetchesAtTip(Consumer):
    """After an expired iterator reads on from where the stream is now."""

    def _seek(self):
        yield from super()._seek()
        cursor = self.cursor
        if cursor.iterator and cursor.checkpoint >= 0:
            shard, _, made = cursor.iterator.split("/")
            cursor.iterator = f"{shard}/{cursor.checkpoint + 70}/{made}"


class EndsEarly(Consumer):
    """Ends a shard when its last read came, not when its last record is committed."""

    def _commit_next(self):
        if self.cursor.closed:
            self.cursor.pending.clear()
        yield from super()._commit_next()


class SilentLoss(Cursor):
    """Does not notice what the stream dropped before it was read."""

    def _notice_gap(self, reply: p.Fetched, asked_at: int) -> None:
        del reply, asked_at


class LosesSilently(Consumer):
    """Reads with a cursor that records no gap."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.cursor = SilentLoss(self.limits, self.lease.checkpoint, self.lease.read_at)


class OwnMarksOnly(Pipeline):
    """Trusts its own marks for every series, also for one whose home is another shard."""

    def inspect(self, draft: object) -> Question | None:
        self.table.home[:] = self.lease_id
        self.marks.known[:] = True
        return super().inspect(draft)


class ForgetsMarks(Pipeline):
    """Starts with empty marks after a take-over."""

    def restore(self, stored: p.StoredState, hash_begin: int, hash_end: int) -> dict[int, int]:
        good = super().restore(stored, hash_begin, hash_end)
        self.marks.ts[:] = -1
        self.marks.known[:] = True
        return good


WRONG = {
    "no fence": Protocol(record=NoFence),
    "no epoch": Protocol(record=NoEpoch),
    "no version": Protocol(record=NoVersion),
    "no locks": Protocol(record=NoLocks),
    "checkpoint in a second transaction": Protocol(record=CheckpointApart),
    "child before parent": Protocol(record=ChildFirst),
    "unknown taken for committed": Protocol(consumer=AssumesCommitted),
    "skips a batch on error": Protocol(consumer=SkipsOnError, record=EpochOnly),
    "reads on at the tip": Protocol(consumer=RefetchesAtTip),
    "ends a shard early": Protocol(consumer=EndsEarly),
    "loses silently": Protocol(consumer=LosesSilently),
    "own marks only": Protocol(pipeline=OwnMarksOnly),
    "forgets marks": Protocol(pipeline=ForgetsMarks),
}
