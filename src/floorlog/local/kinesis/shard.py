"""A shard: a range of hash keys that takes records until a split or merge closes it."""

from dataclasses import dataclass, field
from typing import Final

from floorlog.local.kinesis import sequence
from floorlog.local.kinesis.limit import ShardMeter

HASH_KEY_MAX: Final = (1 << 128) - 1
INDEX_BITS: Final = 40
"""A record's row id is `key << INDEX_BITS | index`: one ordered run of row ids a shard."""


def shard_id(number: int) -> str:
    """Return the shard's name as Kinesis writes it."""
    return f"shardId-{number:012d}"


def shard_number(name: str) -> int | None:
    """Return the number in a shard's name, or None where the name is not one of Kinesis's."""
    digits = name.removeprefix("shardId-")
    if len(digits) != 12 or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits)


@dataclass(slots=True)
class Shard:
    """One shard's place in the tree of reshards and the state of its sequence of records.

    `key` is unique over all streams ever; `number` within the stream. Hash keys `start`..`end` are
    inclusive. `next_index` is the next record's index; records below `settled_index` are durable,
    those below `first_index` are trimmed. `oldest_ms` is the arrival of the oldest retained
    record, None where there is none. `closing_ticket` is the journal's ticket of the change that
    closed the shard.
    """

    key: int
    stream_key: int
    number: int
    start: int
    end: int
    created_ms: int
    sequence_created_s: int
    parents: tuple[int, ...] = ()
    closed_ms: int | None = None
    next_index: int = 1
    settled_index: int = 1
    first_index: int = 1
    last_arrival_ms: int = 0
    oldest_ms: int | None = None
    closing_ticket: int = 0
    meter: ShardMeter = field(default_factory=ShardMeter)
    prefix: int = field(init=False)

    def __post_init__(self) -> None:
        """Compose the part that all sequence numbers of the shard share."""
        self.prefix = sequence.prefix(self.sequence_created_s, self.number, self.stream_key)

    @property
    def id(self) -> str:
        """The shard's name."""
        return shard_id(self.number)

    @property
    def row_base(self) -> int:
        """The row id of the shard's index 0."""
        return self.key << INDEX_BITS

    @property
    def row_end(self) -> int:
        """One more than the shard's greatest row id."""
        return (self.key + 1) << INDEX_BITS

    @property
    def open(self) -> bool:
        """Whether the shard takes new records."""
        return self.closed_ms is None

    def sequence_number(self, index: int, arrival_ms: int) -> str:
        """Return the sequence number of the record at `index`."""
        return sequence.compose(self.prefix, index, arrival_ms // 1000)

    def starting_sequence_number(self) -> str:
        """Return a number below those of all records of the shard."""
        return self.sequence_number(0, self.sequence_created_s * 1000)

    def ending_sequence_number(self) -> str | None:
        """Return a number above those of all records of a closed shard; None while it is open."""
        if self.closed_ms is None:
            return None
        return self.sequence_number(self.next_index, max(self.closed_ms, self.last_arrival_ms))

    def advance(self, count: int, now_ms: int) -> tuple[int, int]:
        """Give out `count` indices and return (first index, arrival in ms).

        Arrivals never go back.
        """
        first = self.next_index
        self.next_index += count
        self.last_arrival_ms = max(self.last_arrival_ms, now_ms)
        return first, self.last_arrival_ms

    def settle(self, end_index: int, arrival_ms: int) -> None:
        """Note that the records below `end_index` are durable."""
        self.settled_index = max(self.settled_index, end_index)
        if self.oldest_ms is None:
            self.oldest_ms = arrival_ms
