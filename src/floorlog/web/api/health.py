"""The pipeline's health: counts, throughput, who reads which shard, and how long the disk lasts."""

import os
from collections import deque
from pathlib import Path

import msgspec

from floorlog.store.answers import ShardStatus, Status

RATE_SECONDS = 10.0
DISK_SAMPLE_SECONDS = 10.0
DISK_SAMPLES_MAX = 360
DISK_SECONDS_MIN = 120.0  # before that, files made ahead of their use look like growth
STALE_LEASES = 2.0
DAY_SECONDS = 86_400.0


class ShardHealth(msgspec.Struct, frozen=True):
    """One shard: `state` is live, unread (nobody, or a worker that fell silent) or ended."""

    shard: str
    state: str
    owner: str | None
    silent_s: float | None  # since the owner's last sign of life
    lag_ms: int
    received: int
    stored: int
    rejected: int
    duplicate: int
    conflict: int
    gaps: int


class Health(msgspec.Struct, frozen=True):
    """All of it; `rate_per_s` is readings received, None until it was measured."""

    records: int
    received: int
    stored: int
    rejected: int
    duplicate: int
    conflict: int
    gaps: int
    rate_per_s: float | None
    size_bytes: int | None
    free_bytes: int | None
    days_left: float | None  # None: not shrinking, or not measured
    workers: int
    stale: tuple[str, ...]  # what a person should know about workers, in words
    shards: tuple[ShardHealth, ...]


class Gauge:
    """Turns the record's status into health, with the samples that rates need.

    Args:
        lease_s: length of a lease, seconds.
        data: a directory on the record's disk; None when that is another machine's.
    """

    def __init__(self, lease_s: float, data: Path | None = None) -> None:
        self._lease_s = lease_s
        self._data = data
        self._received: deque[tuple[float, int]] = deque(maxlen=64)
        self._free: deque[tuple[float, int]] = deque(maxlen=DISK_SAMPLES_MAX)

    def read(self, status: Status, size_bytes: int | None, now_s: float) -> Health:
        """Health at this moment; `now_s` is any clock that never goes back."""
        shards = tuple(self._shard(one, status.workers) for one in status.shards)
        total = status.total
        return Health(
            records=total.records,
            received=total.received,
            stored=total.stored,
            rejected=total.rejected,
            duplicate=total.duplicate,
            conflict=total.conflict,
            gaps=status.gaps,
            rate_per_s=self._rate(total.received, now_s),
            size_bytes=size_bytes,
            free_bytes=self._free_bytes(now_s),
            days_left=self._days_left(),
            workers=sum(1 for s in status.workers.values() if s <= STALE_LEASES * self._lease_s),
            stale=_words(shards),
            shards=shards,
        )

    def _shard(self, one: ShardStatus, workers: dict[str, float]) -> ShardHealth:
        silent_s = workers.get(one.owner) if one.owner is not None else None
        state = "live"
        if one.ended:
            state = "ended"
        elif silent_s is None or silent_s > STALE_LEASES * self._lease_s:
            state = "unread"
        counts = one.counts
        return ShardHealth(
            one.shard_id, state, one.owner, silent_s, one.lag_ms, counts.received, counts.stored,
            counts.rejected, counts.duplicate, counts.conflict, one.gaps,
        )  # fmt: skip

    def _rate(self, received: int, now_s: float) -> float | None:
        samples = self._received
        if samples and received < samples[-1][1]:
            samples.clear()  # another record
        samples.append((now_s, received))
        while now_s - samples[0][0] > RATE_SECONDS and len(samples) > 2:
            samples.popleft()
        began_s, before = samples[0]
        return (received - before) / (now_s - began_s) if now_s - began_s >= 1 else None

    def _free_bytes(self, now_s: float) -> int | None:
        if self._data is None:
            return None
        try:
            disk = os.statvfs(self._data)
        except OSError:
            return None
        free = disk.f_bavail * disk.f_frsize
        if not self._free or now_s - self._free[-1][0] >= DISK_SAMPLE_SECONDS:
            self._free.append((now_s, free))
        return free

    def _days_left(self) -> float | None:
        if len(self._free) < 2:
            return None
        (first_s, first), (last_s, last) = self._free[0], self._free[-1]
        if last_s - first_s < DISK_SECONDS_MIN or last >= first:
            return None
        return last / ((first - last) / (last_s - first_s)) / DAY_SECONDS


def _words(shards: tuple[ShardHealth, ...]) -> tuple[str, ...]:
    said = []
    for one in shards:
        if one.state != "unread":
            continue
        if one.owner is None:
            said.append(f"nobody reads {one.shard}")
        elif one.silent_s is None:
            said.append(f"{one.owner}, which read {one.shard}, is gone")
        else:
            said.append(f"{one.owner}, which reads {one.shard}, silent for {one.silent_s:.0f} s")
    return tuple(said)
