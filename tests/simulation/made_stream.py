"""A made-up stream: shards that split and merge, forget, throttle and expire iterators."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import pairwise

from floorlog.core.protocol import Expired, Fetch, Fetched, Gone, Seek, Shard, Sought
from floorlog.core.reading import MICROSECONDS, Record
from floorlog.core.series import hash_key

SPACE = 1 << 128
ITERATOR_SECONDS = 20.0


@dataclass
class MadeShard:
    """One shard; `dropped` records are past retention and can never be read again."""

    shard_id: str
    parents: tuple[str, ...]
    begin: int
    end: int
    records: list[Record] = field(default_factory=list)
    dropped: list[Record] = field(default_factory=list)
    closed: bool = False


class MadeStream:
    """Keeps what is put, in order, for `retention_s` of the world's time."""

    def __init__(self, shards: int, retention_s: float) -> None:
        self.retention_s = retention_s
        self.shards: dict[str, MadeShard] = {}
        self._sequence = 1000
        width = SPACE // shards
        for place in range(shards):
            self._add((), place * width, (place + 1) * width - 1)

    def put(self, partition_key: str, data: bytes, now: float) -> Record:
        """Append to the open shard that the key belongs to."""
        key = hash_key(partition_key)
        shard = next(s for s in self.open() if s.begin <= key <= s.end)
        self._sequence += 7
        record = Record(self._sequence, partition_key, int(now * MICROSECONDS), data)
        shard.records.append(record)
        return record

    def open(self) -> list[MadeShard]:
        """The shards that take records."""
        return [shard for shard in self.shards.values() if not shard.closed]

    def split(self, shard: MadeShard) -> None:
        """Close a shard and open two in its place."""
        middle = (shard.begin + shard.end) // 2
        shard.closed = True
        self._add((shard.shard_id,), shard.begin, middle)
        self._add((shard.shard_id,), middle + 1, shard.end)

    def merge(self, left: MadeShard, right: MadeShard) -> None:
        """Close two neighbours and open one in their place."""
        left.closed = right.closed = True
        self._add((left.shard_id, right.shard_id), left.begin, right.end)

    def neighbours(self) -> list[tuple[MadeShard, MadeShard]]:
        """Open shards that could be merged."""
        ranges = sorted(self.open(), key=lambda shard: shard.begin)
        return [(a, b) for a, b in pairwise(ranges) if a.end + 1 == b.begin]

    def forget(self, now: float) -> None:
        """Drop what is past retention."""
        horizon = int((now - self.retention_s) * MICROSECONDS)
        for shard in self.shards.values():
            count = bisect_left(shard.records, horizon, key=lambda record: record.arrival)
            shard.dropped += shard.records[:count]
            del shard.records[:count]

    def listing(self) -> tuple[Shard, ...]:
        """As ListShards answers."""
        return tuple(Shard(s.shard_id, s.parents, s.begin, s.end) for s in self.shards.values())

    def seek(self, command: Seek, now: float) -> Sought | Gone:
        """An iterator: the shard, the lowest sequence number wanted, and when it was made."""
        if command.shard_id not in self.shards:
            return Gone()
        return Sought(f"{command.shard_id}/{max(0, command.sequence)}/{now}", self.retention_s)

    def fetch(self, command: Fetch, now: float) -> Fetched | Expired:
        """Records from the iterator on."""
        name, at, made = command.iterator.split("/")
        if now - float(made) > ITERATOR_SECONDS:
            return Expired()
        shard = self.shards[name]
        start = bisect_left(shard.records, int(at), key=lambda record: record.sequence)
        records = tuple(shard.records[start : start + command.limit])
        following = start + len(records)
        last = records[-1].sequence if records else int(at) - 1
        rest = following < len(shard.records)
        iterator = None if shard.closed and not rest else f"{name}/{last + 1}/{now}"
        behind = 0
        if rest:
            behind = max(1, int(now * 1000) - shard.records[following].arrival // 1000)
        return Fetched(records, iterator, behind)

    def unread(self, shard_id: str, sequence: int) -> list[Record]:
        """What a shard still holds above a sequence number."""
        records = self.shards[shard_id].records
        return records[bisect_right(records, sequence, key=lambda record: record.sequence) :]

    def _add(self, parents: tuple[str, ...], begin: int, end: int) -> None:
        name = f"shard-{len(self.shards):03d}"
        self.shards[name] = MadeShard(name, parents, begin, end)
