"""A made-up world: workers, a stream and a record on one virtual clock, with faults by seed.

The same seed gives the same run, command for command.
"""

import heapq
import random
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field

from made_record import MadeRecord
from made_stream import MadeStream

from floorlog.core import protocol as p
from floorlog.core.consumer import Consumer
from floorlog.core.coordinator import Coordinator
from floorlog.core.cursor import Limits
from floorlog.core.detect.panel import Panel
from floorlog.core.pipeline import Pipeline
from floorlog.core.reading import Record

LEASE_SECONDS = 4.0
RUN_SECONDS = 25.0
SETTLE_SECONDS = 60.0
RETENTION_SECONDS = 90.0
FAULTS = ("crash_before", "crash_after", "lost_reply", "late_commit", "pause", "failed", "throttle")
DRAWN = (*FAULTS, "late_commit", "throttle")  # these two fit few commands: drawn twice as often


@dataclass(eq=False)
class Actor:
    """One generator at work: a coordinator or a consumer of one worker."""

    worker: "Process"
    steps: Generator[p.Command, p.Timed, str]
    name: str
    command: p.Command | None = None


@dataclass(eq=False)
class Process:
    """One worker process with a clock of its own."""

    name: str
    skew: float
    rate: float
    alive: bool = True
    stopping: bool = False
    actors: list[Actor] = field(default_factory=list)

    def clock(self, now: float) -> float:
        """The worker's monotonic clock: another origin and pace than the world's."""
        return self.skew + now * self.rate


@dataclass(frozen=True)
class Protocol:
    """The parts that decide; the tests of the simulator itself put wrong ones in."""

    consumer: type[Consumer] = Consumer
    pipeline: type[Pipeline] = Pipeline
    record: type[MadeRecord] = MadeRecord


class World:
    """Runs two workers against a stream until everything that can be read is committed."""

    def __init__(self, seed: int, protocol: Protocol | None = None) -> None:
        self.protocol = protocol or Protocol()
        self.rng = random.Random(seed)
        self.poll_s = (0.3, 0.3, 0.6)[seed % 3]  # busy and leisurely worlds
        self.now = 1000.0
        self.hurried = self.rng.random() < 0.15  # retention shorter than outages
        retention = 8.0 if self.hurried else RETENTION_SECONDS
        self.stream = MadeStream(self.rng.choice((1, 2, 2, 3)), retention)
        self.record = self.protocol.record(LEASE_SECONDS)
        self.queue: list[tuple[float, int, object]] = []
        self.turn = 0
        self.born = 0
        self.sent: Counter[tuple[str, int, float]] = Counter()
        self.where: dict[int, tuple[str, int, float]] = {}
        self.seen: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.fault_rate = self.rng.choice((0.0, 0.005, 0.02, 0.05))
        self.quiet_from = self.now + RUN_SECONDS
        self.end = self.quiet_from + SETTLE_SECONDS
        self.ts = {f"d{i}": 1_000_000_000_000_000 for i in range(self.rng.randint(2, 5))}
        self.straying = self.rng.random() < 0.4  # one series in two shards
        self.last: list[tuple[str, bytes, tuple[str, int, float]]] = []

    def run(self) -> None:
        """Let the world's time pass."""
        for _ in range(2):
            self._birth(self.now + self.rng.random())
        self._at(self.now, self._produce)
        self._at(self.now + self.rng.uniform(3, 15), self._reshard)
        while self.queue:
            at, _, what = heapq.heappop(self.queue)
            if at > self.end:
                break
            self.now = self.record.now = at
            what()
            if self.now > self.quiet_from and self._done():
                break

    def lost(self) -> list[tuple[str, int, float]]:
        """Readings that were sent, can be read or were acknowledged as read, and are not stored."""
        stored = Counter(self._stored())
        gone = Counter(self._dropped_unread())
        return [key for key in self.sent if not stored[key] and not gone[key]]

    def doubled(self) -> list[tuple[str, int, float]]:
        """Readings stored more than once."""
        return [key for key, count in Counter(self._stored()).items() if count > 1]

    def uncovered(self) -> list[int]:
        """Arrivals of dropped, never read records that no gap names."""
        out = []
        for lease in self.record.leases.values():
            gaps = [gap for number, gap in self.record.gaps if number == lease.lease_id]
            out += [
                entry.arrival
                for entry in self._unread_drops(lease.lease_id)
                if not any(gap.begin <= entry.arrival <= gap.end for gap in gaps)
            ]
        return out

    def disordered(self) -> int:
        """Readings that came to the detectors too late, where every producer kept the order."""
        if self.straying or self.record.gaps:  # a retry of what was lost comes late
            return 0
        return sum(row.late for row in self.record.rows)

    def uncounted(self) -> list[int]:
        """Leases whose received is not stored + rejected + duplicate."""
        leases = self.record.leases.values()
        return [lease.lease_id for lease in leases if lease.received != lease.accounted]

    def faults(self) -> list[str]:
        """Every promise that this world saw broken."""
        found = {
            "lost": self.lost(),
            "doubled": self.doubled(),
            "a loss without a gap": self.uncovered(),
            "out of order": self.disordered(),
            "miscounted": self.uncounted(),
            "never finished": not self._done(),
        }
        return [name for name, broken in found.items() if broken]

    def needless(self) -> int:
        """Gaps in which nothing was dropped."""
        drops = {lease: self._unread_drops(lease) for lease in self.record.leases}
        return sum(
            not any(gap.begin <= drop.arrival <= gap.end for drop in drops[lease])
            for lease, gap in self.record.gaps
        )

    # ── the world's own events ───────────────────────────────────────────────────────────────

    def _at(self, when: float, what: object) -> None:
        self.turn += 1
        heapq.heappush(self.queue, (when, self.turn, what))

    def _produce(self) -> None:
        """Devices send; now and then a record again, sometimes by another partition key."""
        if self.now > self.quiet_from:
            return
        for device in self.ts:
            if self.rng.random() < 0.5:
                self.ts[device] += self.rng.randint(1, 3) * 1_000_000
                key = (device, self.ts[device], float(self.rng.randint(0, 10**9)))
                data = b'{"device_id":"%s","metric":"m","ts":%d,"value":%d}' % (
                    device.encode(), key[1], int(key[2]),
                )  # fmt: skip
                self._put(device, data, key)
        for device, data, key in self.last[-6:]:
            if self.rng.random() < 0.08:
                self._put(device, data, key)
        self._at(self.now + self.rng.uniform(0.05, 0.6), self._produce)

    def _put(self, device: str, data: bytes, key: tuple[str, int, float]) -> None:
        stray = self.straying and device == "d0" and self.rng.random() < 0.4
        record = self.stream.put(f"stray-{device}" if stray else device, data, self.now)
        self.sent[key] = 1
        self.where[record.sequence] = key
        self.last.append((device, data, key))

    def _reshard(self) -> None:
        if self.now > self.quiet_from:
            return
        pairs = self.stream.neighbours()
        if pairs and self.rng.random() < 0.4:
            self.stream.merge(*self.rng.choice(pairs))
            self.seen["merge"] += 1
        elif len(self.stream.open()) < 4:
            self.stream.split(self.rng.choice(self.stream.open()))
            self.seen["split"] += 1
        self._at(self.now + self.rng.uniform(4, 20), self._reshard)

    def _birth(self, when: float) -> None:
        def begin() -> None:
            self.born += 1
            skew, rate = self.rng.uniform(-1e4, 1e4), self.rng.uniform(0.97, 1.03)
            process = Process(f"w{self.born}", skew, rate)
            coordinator = Coordinator(process.name, survey_s=0.5, listing_s=2.0)
            self._start(Actor(process, coordinator.run(), "coordinator"))

        self._at(when, begin)

    def _start(self, actor: Actor) -> None:
        actor.worker.actors.append(actor)
        self._next(actor, None)

    def _kill(self, process: Process) -> None:
        """The process is gone; its open transactions end when the database notices."""
        if not process.alive:
            return
        process.alive = False
        for actor in process.actors:
            self.record.unlock(actor)
        self._birth(self.now + self.rng.uniform(0.1, 8.0))

    # ── carrying commands out ────────────────────────────────────────────────────────────────

    def _next(self, actor: Actor, reply: object) -> None:
        """Give the actor its reply, and put its next command on the queue."""
        try:
            if actor.command is None:
                actor.command = next(actor.steps)
            else:
                timed = p.Timed(reply, actor.worker.clock(self.now))
                actor.command = actor.steps.send(timed)
        except StopIteration as end:
            self.seen[f"end {end.value}"] += 1
            return
        if not isinstance(actor.command, p.Commit):
            self.record.unlock(actor)
        delay = self.rng.uniform(0.001, 0.03)
        if isinstance(actor.command, p.Sleep):
            delay += actor.command.seconds / actor.worker.rate
        self._at(self.now + delay, lambda: self._carry_out(actor))

    def _carry_out(self, actor: Actor) -> None:
        if not actor.worker.alive:
            return
        command = actor.command
        kind = type(command).__name__
        self.seen[kind] += 1
        fault = self._fault(command)
        if fault:
            self.seen[fault] += 1
            self.pairs[kind, fault] += 1
        if fault == "crash_before":
            self._kill(actor.worker)
            return
        if fault == "failed":
            self._next(actor, p.Failed("made up"))
            return
        if fault == "throttle":
            self._next(actor, p.Throttled())
            return
        if fault == "late_commit":
            when = self.now + self.rng.uniform(0.01, 3)
            self._at(when, lambda: self.record.commit(actor, command))
            self._at(self.now + 0.05, lambda: actor.worker.alive and self._next(actor, p.Unknown()))
            return
        if fault == "pause":
            when = self.now + self.rng.uniform(0.5, 3 * LEASE_SECONDS)
            self._at(when, lambda: self._act(actor, ""))
            return
        self._act(actor, fault)

    def _act(self, actor: Actor, fault: str) -> None:
        if not actor.worker.alive:
            return
        reply = self._reply(actor, actor.command)
        if fault == "crash_after":
            self._kill(actor.worker)
            return
        if fault == "lost_reply":
            reply = p.Unknown() if isinstance(actor.command, p.Commit) else p.Failed("reply lost")
        self._next(actor, reply)

    def _fault(self, command: p.Command | None) -> str:
        if self.now > self.quiet_from or self.rng.random() >= self.fault_rate:
            return ""
        fault = self.rng.choice(DRAWN)
        if isinstance(command, p.Sleep | p.Start | p.Publish):
            return fault if fault in ("crash_before", "crash_after", "pause") else ""
        if fault == "late_commit":
            return fault if isinstance(command, p.Commit) and not command.locked else ""
        if fault == "throttle":
            return fault if isinstance(command, p.Fetch) else ""
        if fault == "failed" and isinstance(command, p.Commit):
            self.record.unlock(None)
        return fault

    def _reply(self, actor: Actor, command: p.Command | None) -> object:
        record, name = self.record, actor.worker.name
        acts = {
            p.ListShards: lambda _: self.stream.listing(),
            p.Survey: lambda c: record.survey(name, c.shards),
            p.Take: lambda c: record.take(name, c.lease_id),
            p.Want: lambda c: record.want(name, c.lease_id),
            p.Start: lambda c: self._consume(actor.worker, c.lease),
            p.Sleep: lambda _: False,
            p.Load: lambda c: record.load(c.lease),
            p.Seek: self._read,
            p.Fetch: self._read,
            p.Register: record.register,
            p.Lookup: lambda c: record.lookup(actor, c),
            p.Commit: lambda c: record.commit(actor, c),
            p.Check: lambda c: record.check(c.lease),
            p.Foreign: lambda c: record.foreign(c.lease_id, c.since),
            p.Renew: record.renew,
            p.Release: lambda c: record.release(c.lease),
            p.Publish: lambda _: None,
        }
        return acts[type(command)](command)

    def _read(self, command: p.Seek | p.Fetch) -> object:
        self.stream.forget(self.now)
        if isinstance(command, p.Seek):
            return self.stream.seek(command, self.now)
        return self.stream.fetch(command, self.now)

    def _consume(self, process: Process, lease: p.Lease) -> None:
        limits = Limits(
            lease_s=LEASE_SECONDS, poll_s=self.poll_s, batch_records=7,
            snapshot_s=8.0, snapshot_first_s=2.0,
        )  # fmt: skip
        pipeline = self.protocol.pipeline(lease.lease_id, 10**9, panel=Panel(()))
        consumer = self.protocol.consumer(lease, limits, pipeline)
        actor = Actor(process, consumer.run(), f"consumer {lease.shard_id}")
        self._start(actor)

    # ── the reckoning ────────────────────────────────────────────────────────────────────────

    def _done(self) -> bool:
        """Whether every lease stands at the end of its shard, and every loss has its gap."""
        by_shard = {lease.shard.shard_id: lease for lease in self.record.leases.values()}
        for shard in self.stream.shards.values():
            lease = by_shard.get(shard.shard_id)
            if lease is None or self.stream.unread(shard.shard_id, lease.checkpoint):
                return False
            if shard.closed and not lease.ended:
                return False
        return not self.uncovered()  # a loss is noticed at the next read

    def _stored(self) -> list[tuple[str, int, float]]:
        names = {known.series_id: known.device for known in self.record.series.values()}
        return [(names[row.series], row.ts, row.value) for row in self.record.rows]

    def _unread_drops(self, lease_id: int) -> list[Record]:
        """Records that the stream dropped before this lease read them."""
        lease = self.record.leases[lease_id]
        read = self._spans(lease_id)
        dropped = self.stream.shards[lease.shard.shard_id].dropped
        return [record for record in dropped if not _inside(record.arrival, record.sequence, read)]

    def _spans(self, lease_id: int) -> tuple[int, list[tuple[int, int]]]:
        lost = [(gap.begin, gap.end) for number, gap in self.record.gaps if number == lease_id]
        return self.record.leases[lease_id].checkpoint, lost

    def _dropped_unread(self) -> list[tuple[str, int, float]]:
        stored = set(self._stored())
        dropped = [self.where[r.sequence] for s in self.stream.shards.values() for r in s.dropped]
        return [key for key in dropped if key not in stored]


def _inside(arrival: int, sequence: int, read: tuple[int, list[tuple[int, int]]]) -> bool:
    """Whether a record was read: at or below the checkpoint, and not in a span that was lost."""
    checkpoint, lost = read
    return sequence <= checkpoint and not any(begin <= arrival <= end for begin, end in lost)
