"""Who reads which shard: one coordinator a worker, agreeing through the leases alone."""

from collections.abc import Generator
from dataclasses import dataclass, field

from floorlog.core.protocol import (
    Command,
    Lease,
    LeaseView,
    ListShards,
    Shard,
    Sleep,
    Start,
    Survey,
    Surveyed,
    Take,
    Timed,
    Want,
)


@dataclass(slots=True)
class Coordinator:
    """Takes leases until this worker has its fair share; yields commands like a consumer does."""

    worker_id: str
    survey_s: float = 1.0
    listing_s: float = 10.0
    patience: int = 5  # surveys after which a free lease is taken beyond the fair share
    shards: tuple[Shard, ...] = ()
    listed_s: float = -1e9
    idle: dict[int, int] = field(default_factory=dict)  # lease id → surveys it was seen free
    ended: frozenset[int] = frozenset()
    now_s: float = 0.0

    def run(self) -> Generator[Command, Timed, str]:
        """The coordinator's whole life; returns when the worker is asked to stop."""
        while True:
            yield from self._list()
            reply = yield from self._ask(Survey(self.shards))
            if isinstance(reply, Surveyed):
                yield from self._balance(reply)
            if (yield from self._ask(Sleep(self.survey_s))):
                return "stopped"

    def _ask(self, command: Command) -> Generator[Command, Timed, object]:
        timed = yield command
        self.now_s = timed.at_s
        return timed.reply

    def _list(self) -> Generator[Command, Timed, None]:
        """List the shards now and then, and whenever one has ended."""
        if self.shards and self.now_s - self.listed_s < self.listing_s:
            return
        reply = yield from self._ask(ListShards())
        if isinstance(reply, tuple):
            self.shards = reply
            self.listed_s = self.now_s

    def _balance(self, view: Surveyed) -> Generator[Command, Timed, None]:
        ended = frozenset(lease.lease_id for lease in view.leases if lease.ended)
        if ended != self.ended:
            self.ended = ended
            self.listed_s = -1e9
        ready = [lease for lease in view.leases if self._ready(lease, ended)]
        mine = sum(self._held_by(lease, self.worker_id) for lease in ready)
        fair = -(-len(ready) // max(1, len(view.workers)))
        idle = [lease for lease in ready if lease.owner is None or lease.remaining_s <= 0]
        self.idle = {lease.lease_id: self.idle.get(lease.lease_id, 0) + 1 for lease in idle}
        free = [lease for lease in idle if self._free(lease, view.workers)]
        for lease in self._in_turn(free, view.workers):
            overdue = self.idle[lease.lease_id] > self.patience
            if mine >= fair and not overdue:
                continue
            reply = yield from self._ask(Take(lease.lease_id))
            if isinstance(reply, Lease):
                mine += 1
                yield from self._ask(Start(reply))
        if mine < fair and not free:
            yield from self._ask_for_one(ready, fair, mine)

    def _ask_for_one(
        self, ready: list[LeaseView], fair: int, mine: int
    ) -> Generator[Command, Timed, None]:
        """Ask the worker with most leases for one, when it would still have as many as we."""
        held: dict[str, list[LeaseView]] = {}
        for lease in ready:
            if lease.owner is not None and lease.owner != self.worker_id:
                held.setdefault(lease.owner, []).append(lease)
        if any(lease.wanted_by == self.worker_id for lease in ready) or not held:
            return
        richest = max(sorted(held), key=lambda owner: len(held[owner]))
        if len(held[richest]) > mine + 1 or len(held[richest]) > fair:
            yield from self._ask(Want(held[richest][0].lease_id))

    def _ready(self, lease: LeaseView, ended: frozenset[int]) -> bool:
        return not lease.ended and all(parent in ended for parent in lease.parents)

    def _held_by(self, lease: LeaseView, worker_id: str) -> bool:
        return lease.owner == worker_id and lease.remaining_s > 0

    def _free(self, lease: LeaseView, workers: tuple[str, ...]) -> bool:
        """Whether nobody else who lives has been promised it, or did not come for it."""
        others = [worker for worker in workers if worker != self.worker_id]
        return lease.wanted_by not in others or self.idle[lease.lease_id] > self.patience

    def _in_turn(self, free: list[LeaseView], workers: tuple[str, ...]) -> list[LeaseView]:
        """Each worker begins at another place, so that they seldom reach for the same lease."""
        if not free:
            return []
        place = workers.index(self.worker_id) if self.worker_id in workers else 0
        begin = place % len(free)
        return free[begin:] + free[:begin]
