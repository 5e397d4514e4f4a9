"""Limits: what Kinesis allows a record, a request and a shard, and the meters of the rates."""

from collections import deque
from typing import Final

MIB: Final = 1024 * 1024
RECORD_BYTES_MAX: Final = MIB
REQUEST_BYTES_MAX: Final = 5 * MIB
REQUEST_RECORDS_MAX: Final = 500
ANSWER_BYTES_MAX: Final = 10 * MIB
ANSWER_RECORDS_MAX: Final = 10_000
WRITE_BYTES_PER_SECOND: Final = MIB
WRITE_RECORDS_PER_SECOND: Final = 1_000
READ_BYTES_PER_SECOND: Final = 2 * MIB
READ_CALLS_PER_SECOND: Final = 5
ITERATOR_CALLS_PER_SECOND: Final = 5
OPEN_SHARDS_MAX: Final = 500
TOKEN_MS_MAX: Final = 300_000
SECOND_MS: Final = 1_000

CALLS_PER_SECOND: Final = {
    "CreateStream": 5,
    "DeleteStream": 5,
    "DescribeLimits": 1,
    "DescribeStream": 10,
    "DescribeStreamSummary": 20,
    "ListStreams": 5,
    "ListShards": 1_000,
    "SplitShard": 5,
    "MergeShards": 5,
    "UpdateShardCount": 10,
    "IncreaseStreamRetentionPeriod": 5,
    "DecreaseStreamRetentionPeriod": 5,
    "AddTagsToStream": 5,
    "RemoveTagsFromStream": 5,
    "ListTagsForStream": 5,
}
"""Control operations a second: ListShards per stream, the others per account."""


class Bucket:
    """A token bucket that holds one second's allowance and fills continuously."""

    __slots__ = ("filled_ms", "level", "per_second")

    def __init__(self, per_second: int) -> None:
        """Start full, at `per_second` tokens."""
        self.per_second = per_second
        self.level = float(per_second)
        self.filled_ms: int | None = None

    def available(self, now_ms: int) -> float:
        """Return the tokens there are at `now_ms`; negative while an overdraft is paid off."""
        if self.filled_ms is not None and now_ms > self.filled_ms:
            gained = (now_ms - self.filled_ms) * self.per_second / SECOND_MS
            self.level = min(float(self.per_second), self.level + gained)
        if self.filled_ms is None or now_ms > self.filled_ms:
            self.filled_ms = now_ms
        return self.level

    def take(self, tokens: int) -> None:
        """Use up `tokens`, below zero if need be."""
        self.level -= tokens

    def overdraw(self, tokens: int) -> None:
        """Use up `tokens`.

        An amount above a second's allowance is not helped by what had been saved.
        """
        if tokens >= self.per_second:
            self.level = min(self.level, 0.0)
        self.level -= tokens


class CallLog:
    """At most `calls` in any one second."""

    __slots__ = ("calls", "times_ms")

    def __init__(self, calls: int) -> None:
        """Start with no call made."""
        self.calls = calls
        self.times_ms: deque[int] = deque(maxlen=calls)

    def admit(self, now_ms: int) -> bool:
        """Return whether one more call may be made at `now_ms`, and if so count it."""
        if len(self.times_ms) == self.calls and now_ms - self.times_ms[0] < SECOND_MS:
            return False
        self.times_ms.append(now_ms)
        return True


class ShardMeter:
    """The rates of one shard; kept in memory, so a restart begins with full allowances."""

    __slots__ = ("iterator_calls", "read_bytes", "read_calls", "write_bytes", "write_records")

    def __init__(self) -> None:
        """Start with every allowance full."""
        self.write_bytes = Bucket(WRITE_BYTES_PER_SECOND)
        self.write_records = Bucket(WRITE_RECORDS_PER_SECOND)
        self.read_bytes = Bucket(READ_BYTES_PER_SECOND)
        self.read_calls = CallLog(READ_CALLS_PER_SECOND)
        self.iterator_calls = CallLog(ITERATOR_CALLS_PER_SECOND)

    def admit_write(self, size_bytes: int, now_ms: int) -> bool:
        """Return whether a record of `size_bytes`, key included, may be written, and count it."""
        if (
            self.write_bytes.available(now_ms) < size_bytes
            or self.write_records.available(now_ms) < 1
        ):
            return False
        self.write_bytes.take(size_bytes)
        self.write_records.take(1)
        return True

    def admit_read(self, now_ms: int) -> bool:
        """Return whether one GetRecords may be answered now, and if so count the call."""
        return self.read_bytes.available(now_ms) > 0 and self.read_calls.admit(now_ms)
