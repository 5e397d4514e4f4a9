"""A stream: its shards, the routing of hash keys to them, and its states."""

from bisect import bisect_right
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final

from floorlog.local.kinesis.shard import HASH_KEY_MAX, Shard

HOUR_MS: Final = 3_600_000
RETENTION_HOURS_MIN: Final = 24
RETENTION_HOURS_MAX: Final = 8_760


class Status(StrEnum):
    """A stream's states, as Kinesis names them."""

    CREATING = "CREATING"
    ACTIVE = "ACTIVE"
    UPDATING = "UPDATING"
    DELETING = "DELETING"


def hash_ranges(count: int) -> list[tuple[int, int]]:
    """Return `count` inclusive ranges of equal size (within one) that cover all hash keys."""
    bounds = [(HASH_KEY_MAX + 1) * part // count for part in range(count + 1)]
    return [(start, end - 1) for start, end in pairwise(bounds)]


@dataclass(slots=True)
class Stream:
    """One stream.

    `horizon_ms` is a trim ordered by hand, before which nothing is kept whatever the retention.
    """

    key: int
    name: str
    arn: str
    created_ms: int
    status: Status
    ready_ms: int
    retention_hours: int = RETENTION_HOURS_MIN
    key_id: str | None = None
    horizon_ms: int = 0
    next_number: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    shards: dict[int, Shard] = field(default_factory=dict)
    _open: list[Shard] = field(default_factory=list)
    _bounds: list[bytes] = field(default_factory=list)

    def progress(self, now_ms: int) -> None:
        """Finish a transition whose time has come.

        A stream being deleted stays so until it is dropped.
        """
        if self.status in {Status.CREATING, Status.UPDATING} and now_ms >= self.ready_ms:
            self.status = Status.ACTIVE

    def keep_from_ms(self, now_ms: int) -> int:
        """Return the arrival before which records have expired."""
        return max(self.horizon_ms, now_ms - self.retention_hours * HOUR_MS)

    def index_open(self) -> None:
        """Rebuild the routing table after shards were added or closed."""
        self._open = sorted(
            (shard for shard in self.shards.values() if shard.open), key=lambda shard: shard.start
        )
        self._bounds = [shard.start.to_bytes(16, "big") for shard in self._open[1:]]

    @property
    def open_shards(self) -> list[Shard]:
        """The shards that take records, in the order of their hash keys."""
        return self._open

    def route(self, hash_key: bytes) -> Shard:
        """Return the open shard for a 16-byte big-endian hash key."""
        return self._open[bisect_right(self._bounds, hash_key)]

    def children(self, parent: Shard) -> list[Shard]:
        """Return the shards that follow a closed shard, in order of number."""
        return [shard for shard in self.shards.values() if parent.number in shard.parents]

    def replace(
        self, parents: list[Shard], ranges: list[tuple[int, int]], now_ms: int, first_key: int
    ) -> list[Shard]:
        """Close `parents`, open one child for each of `ranges`, and return the children.

        A child's sequence numbers start with a creation at least one second after every parent's,
        so they are greater than the parents' even where one second sees several reshards.
        """
        for parent in parents:
            parent.closed_ms = now_ms
        created_s = max([now_ms // 1000, *(parent.sequence_created_s + 1 for parent in parents)])
        children = [
            Shard(
                key=first_key + place,
                stream_key=self.key,
                number=self.next_number + place,
                start=start,
                end=end,
                created_ms=now_ms,
                sequence_created_s=created_s,
                parents=tuple(parent.number for parent in parents),
            )
            for place, (start, end) in enumerate(ranges)
        ]
        self.next_number += len(children)
        self.shards.update((child.number, child) for child in children)
        self.index_open()
        return children
