"""A made-up record: the store's side of the protocol, with its transactions, in memory."""

from dataclasses import dataclass, field

import numpy as np

from floorlog.core import protocol as p
from floorlog.core.detect.aside import Aside, recorded
from floorlog.core.reading import MICROSECONDS, Batch, Gap
from floorlog.core.series import KnownSeries, hash_key


def set_aside(batch: Batch) -> tuple[Aside, ...]:
    """What the batch's findings say was set aside."""
    found = zip(batch.anomalies, batch.anomaly_series, strict=True)
    return recorded((one.detector, who, one.start) for one, who in found if one.phase == "start")


@dataclass
class Row:
    """One stored reading."""

    series: int
    ts: int
    value: float
    quality: int
    arrival_s: int
    conflict: bool
    late: bool
    lease_id: int
    number: int
    home: int
    home_version: int


@dataclass
class MadeLease:
    """One lease's row."""

    lease_id: int
    shard: p.Shard
    parents: tuple[int, ...]
    owner: str | None = None
    wanted_by: str | None = None
    epoch: int = 0
    version: int = 0
    checkpoint: int = -1
    number: int = 0
    clock_s: int = -1
    read_at: int = -1
    expires: float = 0.0
    ended: bool = False
    snapshot: bytes | None = None
    snapshot_number: int = 0
    locked_by: object = None
    locked_until: float = 0.0
    received: int = 0
    accounted: int = 0


@dataclass
class MadeRecord:
    """What the database would hold. `now` is set by the world before each call."""

    lease_s: float
    now: float = 0.0
    leases: dict[int, MadeLease] = field(default_factory=dict)
    workers: dict[str, float] = field(default_factory=dict)
    series: dict[tuple[str, str], KnownSeries] = field(default_factory=dict)
    hashes: dict[int, int] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=lambda: {"false": 0, "true": 1})
    rows: list[Row] = field(default_factory=list)
    by_key: dict[tuple[int, int], list[Row]] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    gaps: list[tuple[int, Gap]] = field(default_factory=list)
    commits: int = 0
    lookups: int = 0

    # ── the coordinator's side ───────────────────────────────────────────────────────────────

    def survey(self, worker: str, shards: tuple[p.Shard, ...]) -> p.Surveyed:
        by_shard = {lease.shard.shard_id: lease for lease in self.leases.values()}
        for shard in shards:
            if shard.shard_id not in by_shard:
                parents = tuple(by_shard[name].lease_id for name in shard.parents)
                made = MadeLease(len(self.leases) + 1, shard, parents)
                self.leases[made.lease_id] = by_shard[shard.shard_id] = made
        self.workers[worker] = self.now + self.lease_s
        views = tuple(
            p.LeaseView(
                lease.lease_id, lease.shard.shard_id, lease.parents, lease.owner, lease.wanted_by,
                lease.expires - self.now, lease.ended,
            )
            for lease in self.leases.values()
        )  # fmt: skip
        return p.Surveyed(views, tuple(sorted(w for w, t in self.workers.items() if t > self.now)))

    def take(self, worker: str, lease_id: int) -> p.Lease | p.Failed | None:
        lease = self.leases[lease_id]
        if self._locked(lease, None):
            return p.Failed("locked")
        held = lease.owner is not None and lease.expires > self.now
        if lease.ended or held or not self.parents_ended(lease):
            return None
        if lease.number == 0 and lease.parents:
            self._adopt(lease)
        if lease.read_at < 0:
            lease.read_at = int(self.now * MICROSECONDS)
        lease.epoch += 1
        lease.owner, lease.wanted_by = worker, None
        lease.expires = self.now + self.lease_s
        return p.Lease(
            lease.lease_id, lease.shard.shard_id, lease.epoch, lease.version, lease.checkpoint,
            lease.number, lease.clock_s, lease.read_at, lease.parents,
            lease.shard.hash_begin, lease.shard.hash_end,
        )  # fmt: skip

    def parents_ended(self, lease: MadeLease) -> bool:
        return all(self.leases[parent].ended for parent in lease.parents)

    def _adopt(self, lease: MadeLease) -> None:
        parents = [self.leases[parent] for parent in lease.parents]
        lease.read_at = min(parent.read_at for parent in parents)
        lease.clock_s = max(parent.clock_s for parent in parents)
        for key, known in self.series.items():
            hashed = self.hashes[known.series_id]
            inside = lease.shard.hash_begin <= hashed <= lease.shard.hash_end
            if known.home in lease.parents and inside:
                self.series[key] = _rehomed(known, lease.lease_id)

    def want(self, worker: str, lease_id: int) -> None:
        lease = self.leases[lease_id]
        if lease.wanted_by is None:
            lease.wanted_by = worker

    # ── the consumer's side ──────────────────────────────────────────────────────────────────

    def load(self, lease: p.Lease) -> p.StoredState | p.Fenced:
        if not self._ours(lease):
            return p.Fenced()
        own = self.leases[lease.lease_id]
        parents = [self.leases[parent].snapshot for parent in own.parents]
        tail = tuple(
            p.StoredBatch(b.number, b.clock_s, b.catalogue, self._stored(b), set_aside(b))
            for b in self.batches
            if b.lease_id == lease.lease_id and b.number > own.snapshot_number
        )
        inherited = () if own.snapshot else tuple(blob for blob in parents if blob)
        return p.StoredState(
            own.snapshot, inherited, tail, tuple(self.series.values()), dict(self.hashes),
            dict(self.states), {},
        )  # fmt: skip

    def register(self, command: p.Register) -> p.Registered | p.Fenced:
        if not self._ours(command.lease) or self.leases[command.lease.lease_id].ended:
            return p.Fenced()
        fresh = set()
        for key in command.series:
            name = (key.device, key.metric)
            if name not in self.series:
                number = len(self.series) + 1
                home = command.lease.lease_id
                self.series[name] = KnownSeries(
                    number, key.device, key.metric, key.kind, key.unit, home
                )
                self.hashes[number] = hash_key(key.partition_key)
                fresh.add(number)
            elif self.series[name].home == command.lease.lease_id:
                self.hashes[self.series[name].series_id] = hash_key(key.partition_key)
        for name in command.states:
            self.states.setdefault(name, len(self.states))
        known = tuple(self.series[key.device, key.metric] for key in command.series)
        return p.Registered(known, frozenset(fresh), dict(self.states))

    def lookup(self, who: object, command: p.Lookup) -> object:
        self.lookups += 1
        leases = [self.leases[number] for number in command.homes]
        if any(self._locked(lease, who) for lease in leases):
            return p.Failed("lock timeout")
        own = self.leases[command.lease.lease_id]
        if not self._ours(command.lease) or own.number != command.number:
            return p.Fenced()
        if own.version != command.version:
            return p.Stale()
        moved = self._moved(command)
        if moved:
            return p.Rehomed(moved)
        for lease in leases:
            lease.locked_by, lease.locked_until = who, self.now + self.lease_s / 2
        keys = zip(command.series.tolist(), command.ts.tolist(), strict=True)
        held = [row for key in keys for row in self.by_key.get(key, ())]
        newest = []
        for series in command.marks_of:
            rows = [row for row in self.rows if row.series == series]
            top = max((row.ts for row in rows), default=None)
            newest += [row for row in rows if row.ts == top]
        return p.Found(columns(held), columns(newest))

    def commit(self, who: object, command: p.Commit) -> object:
        batch = command.batch
        lease = self.leases[batch.lease_id]
        if command.locked and lease.locked_by is not who:
            return p.Failed("the transaction was ended")
        if self._locked(lease, who):
            return p.Failed("lock timeout")
        bar = self.bar(lease, batch)
        if bar is not None:
            self.unlock(who)
            return bar
        self._write(lease, batch)
        self.unlock(who)
        return p.Committed(lease.version, int(self.now * MICROSECONDS), lease.wanted_by is not None)

    def bar(self, lease: MadeLease, batch: Batch) -> object:
        """Why this batch may not be committed; None when it may."""
        if lease.epoch != batch.epoch or lease.ended:
            return p.Fenced()
        if lease.checkpoint != batch.checkpoint or lease.number != batch.number - 1:
            return p.Unknown()
        return None if lease.version == batch.version else p.Stale()

    def check(self, lease: p.Lease) -> object:
        own = self.leases[lease.lease_id]
        if self._locked(own, None):
            return p.Failed("lock timeout")
        now = int(self.now * MICROSECONDS)
        return p.Standing(own.epoch, own.checkpoint, own.number, own.version, now)

    def foreign(self, lease_id: int, since: int) -> p.ForeignReadings:
        rows = [r for r in self.rows if r.home == lease_id and r.home_version > since]
        return p.ForeignReadings(columns(rows), self.leases[lease_id].version)

    def renew(self, command: p.Renew) -> object:
        lease = self.leases[command.lease.lease_id]
        if not self._ours(command.lease):
            return p.Fenced()
        if self._locked(lease, None):
            return p.Failed("lock timeout")
        lease.expires = self.now + self.lease_s
        lease.read_at = command.read_at if command.read_at >= 0 else lease.read_at
        now = int(self.now * MICROSECONDS)
        return p.Renewed(lease.version, now, lease.wanted_by is not None)

    def release(self, lease: p.Lease) -> None:
        if self._ours(lease):
            own = self.leases[lease.lease_id]
            own.owner, own.expires = None, self.now

    def unlock(self, who: object) -> None:
        """End the transaction that this actor holds open."""
        for lease in self.leases.values():
            if lease.locked_by is who:
                lease.locked_by = None

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _ours(self, lease: p.Lease) -> bool:
        return self.leases[lease.lease_id].epoch == lease.epoch

    def _locked(self, lease: MadeLease, who: object) -> bool:
        return (
            lease.locked_by is not None
            and lease.locked_by is not who
            and lease.locked_until > self.now
        )

    def _moved(self, command: p.Lookup) -> tuple[KnownSeries, ...]:
        by_id = {known.series_id: known for known in self.series.values()}
        pairs = zip(command.series.tolist(), command.home.tolist(), strict=True)
        return tuple({by_id[s] for s, home in pairs if by_id[s].home != home})

    def _write(self, lease: MadeLease, batch: Batch) -> None:
        self.commits += 1
        versions = {}
        for other in batch.moved:
            self.leases[other].version += 1
            versions[other] = self.leases[other].version
        r = batch.readings
        for i, series in enumerate(batch.series.tolist()):
            home = int(batch.home[i])
            foreign = home != batch.lease_id
            row = Row(
                series, int(r.ts[i]), float(r.value[i]), int(r.quality[i]), int(r.arrival_s[i]),
                bool(batch.conflict[i]), bool(batch.late[i]), batch.lease_id, batch.number,
                home if foreign else 0, versions[home] if foreign else 0,
            )  # fmt: skip
            self.rows.append(row)
            self.by_key.setdefault((row.series, row.ts), []).append(row)
        self.batches.append(batch)
        self.gaps += [(batch.lease_id, gap) for gap in batch.gaps]
        lease.checkpoint, lease.number = batch.sequence, batch.number
        lease.clock_s = batch.clock_s
        lease.read_at = batch.read_at if batch.read_at >= 0 else lease.read_at
        lease.expires = self.now + self.lease_s
        counts = batch.counts
        lease.received += counts.received
        lease.accounted += counts.stored + counts.rejected + counts.duplicate
        if batch.snapshot is not None:
            lease.snapshot, lease.snapshot_number = batch.snapshot, batch.snapshot_number
        if batch.ended:
            lease.ended, lease.owner = True, None

    def _stored(self, batch: Batch) -> p.StoredReadings:
        r = batch.readings
        return p.StoredReadings(
            batch.series, r.ts, r.value, r.quality, r.arrival_s, batch.conflict, batch.late
        )


def _rehomed(known: KnownSeries, home: int) -> KnownSeries:
    return KnownSeries(
        known.series_id, known.device, known.metric, known.kind, known.unit, home
    )  # fmt: skip


def columns(rows: list[Row]) -> p.StoredReadings:
    """Rows as columns."""
    return p.StoredReadings(
        np.array([row.series for row in rows], np.int32),
        np.array([row.ts for row in rows], np.int64),
        np.array([row.value for row in rows], np.float64),
        np.array([row.quality for row in rows], np.uint32),
        np.array([row.arrival_s for row in rows], np.int64),
        np.array([row.conflict for row in rows], np.bool_),
        np.array([row.late for row in rows], np.bool_),
    )
