"""The account: all streams in memory, read from the shelf and changed through the journal."""

import re
from collections.abc import Callable
from typing import Final

from floorlog.local.kinesis.journal import Journal
from floorlog.local.kinesis.limit import CALLS_PER_SECOND, CallLog
from floorlog.local.kinesis.mint import Mint
from floorlog.local.kinesis.order import OrderBook
from floorlog.local.kinesis.refusal import Refusal, invalid_argument, limit_exceeded, not_found
from floorlog.local.kinesis.shard import Shard, shard_number
from floorlog.local.kinesis.shelf import Purge, Shelf, drop_shard, drop_stream, save
from floorlog.local.kinesis.stream import Status, Stream

Clock = Callable[[], int]
"""Returns milliseconds since the epoch."""

ARN: Final = re.compile(r"arn:aws[^:]*:kinesis:[^:]*:(\d{12}):stream/(.+)", re.ASCII)


class Account:
    """The streams of one AWS account in one region."""

    def __init__(
        self,
        shelf: Shelf,
        journal: Journal,
        now_ms: Clock,
        *,
        account_id: str,
        region: str,
        limits: bool,
        transition_ms: int,
    ) -> None:
        """Load what the shelf holds.

        `transition_ms` is how long a stream stays CREATING, UPDATING, DELETING.
        """
        self.shelf = shelf
        self.journal = journal
        self.now_ms = now_ms
        self.id = account_id
        self.limits = limits
        self.transition_ms = transition_ms
        self.arn_prefix = f"arn:aws:kinesis:{region}:{account_id}:stream/"
        self.orders = OrderBook()
        self.mint = Mint(shelf.secret())
        self._calls: dict[str, CallLog] = {}
        self._stream_key, self._shard_key = shelf.last_keys()
        self._last_created_ms = 0
        self._streams: dict[str, Stream] = {}
        for stream in shelf.streams(self.arn_prefix):
            self._last_created_ms = max(self._last_created_ms, stream.created_ms)
            if stream.status is Status.DELETING and stream.ready_ms <= now_ms():
                self._discard(stream)
            else:
                self._streams[stream.name] = stream
        for shard in shelf.orphans():
            self._purge(shard, shard.row_end)

    # Streams and shards by name.

    def streams(self) -> list[Stream]:
        """Return the streams in order of name, each in the state it has now."""
        now_ms = self.now_ms()
        for stream in list(self._streams.values()):
            if stream.status is Status.DELETING and now_ms >= stream.ready_ms:
                del self._streams[stream.name]
                self._discard(stream)
            else:
                stream.progress(now_ms)
        return [self._streams[name] for name in sorted(self._streams)]

    def find(self, name: str | None, arn: str | None) -> Stream:
        """Return the stream of that name or ARN, or refuse."""
        if arn is not None:
            match = ARN.fullmatch(arn)
            if match is None:
                raise invalid_argument(f"StreamARN {arn} is not the ARN of a stream.")
            if name not in {None, match[2]}:
                raise invalid_argument(
                    f"StreamName {name} and StreamARN {arn} are not the same stream."
                )
            if self.arn_prefix + match[2] != arn:
                raise self.no_stream(match[2])
            name = match[2]
        if name is None:
            raise invalid_argument("Either StreamName or StreamARN must be given.")
        stream = self._streams.get(name)
        if stream is None:
            raise self.no_stream(name)
        now_ms = self.now_ms()
        if stream.status is Status.DELETING and now_ms >= stream.ready_ms:
            self.streams()
            raise self.no_stream(name)
        stream.progress(now_ms)
        return stream

    def find_live(self, name: str | None, arn: str | None) -> Stream:
        """Return a stream that can be written and read: not one being created or deleted."""
        stream = self.find(name, arn)
        if stream.status in {Status.CREATING, Status.DELETING}:
            raise self.no_stream(stream.name)
        return stream

    def find_key(self, key: int) -> Stream | None:
        """Return the stream with that key, None where it is gone."""
        name = next((stream.name for stream in self._streams.values() if stream.key == key), None)
        return None if name is None else self.find(name, None)

    def find_shard(self, stream: Stream, name: str) -> Shard:
        """Return a stream's shard that has not expired, or refuse."""
        number = shard_number(name)
        shard = None if number is None else self.shards(stream).get(number)
        if shard is None:
            raise self.no_shard(stream, name)
        return shard

    def shards(self, stream: Stream) -> dict[int, Shard]:
        """Return a stream's shards by number, without closed ones that are past retention."""
        keep_from_ms = stream.keep_from_ms(self.now_ms())
        for shard in list(stream.shards.values()):
            if shard.closed_ms is not None and shard.closed_ms < keep_from_ms:
                del stream.shards[shard.number]
                self._purge(shard, shard.row_end)
        return stream.shards

    def trim(self, stream: Stream, shard: Shard, keep_from_ms: int | None = None) -> None:
        """Drop a shard's records from before `keep_from_ms`, or else those past retention."""
        if keep_from_ms is None:
            keep_from_ms = stream.keep_from_ms(self.now_ms())
        if shard.oldest_ms is not None and shard.oldest_ms < keep_from_ms:
            self.shelf.find_oldest(shard, keep_from_ms)
            self._purge(shard, shard.row_base + shard.first_index)

    def sweep(self) -> None:
        """Drop everything that has expired, in all streams."""
        for stream in self.streams():
            for shard in list(self.shards(stream).values()):
                self.trim(stream, shard)

    # Changes.

    def add(self, name: str, tags: dict[str, str], ranges: list[tuple[int, int]]) -> Stream:
        """Create a stream with one shard for each range of hash keys."""
        now_ms = self.now_ms()
        created_ms = self._last_created_ms = max(now_ms, self._last_created_ms + 1)
        self._stream_key += 1
        stream = Stream(
            key=self._stream_key,
            name=name,
            arn=self.arn_prefix + name,
            created_ms=created_ms,
            status=Status.CREATING,
            ready_ms=now_ms + self.transition_ms,
            tags=tags,
        )
        self._streams[name] = stream
        self.save(stream, stream.replace([], ranges, created_ms, self.give_shard_keys(len(ranges))))
        return stream

    def give_shard_keys(self, count: int) -> int:
        """Reserve `count` consecutive shard keys and return the first."""
        first = self._shard_key + 1
        self._shard_key += count
        return first

    def begin(self, stream: Stream, status: Status) -> None:
        """Put a stream into a passing state."""
        stream.status = status
        stream.ready_ms = self.now_ms() + self.transition_ms

    def save(self, stream: Stream, shards: list[Shard]) -> None:
        """Make a stream and these of its shards durable as they are now."""
        self.journal.submit(save(stream, shards))

    def _discard(self, stream: Stream) -> None:
        self.journal.submit(drop_stream(stream))
        for shard in stream.shards.values():
            self._purge(shard, shard.row_end)

    def _purge(self, shard: Shard, end: int, purge: Purge | None = None) -> None:
        work = purge or Purge(shard.row_base, end)

        def again() -> None:
            if work.more:
                self._purge(shard, end, work)
            elif end == shard.row_end:
                self.journal.submit(drop_shard(shard), control=False)

        self.journal.submit(work, again, control=False)

    # What is said to those who ask for too much, or for what is not there.

    def count_call(self, operation: str, stream: str | None) -> None:
        """Refuse a control operation that is asked for more often than Kinesis allows."""
        per_second = CALLS_PER_SECOND.get(operation)
        if per_second is None or not self.limits:
            return
        scope = f"{operation}/{stream}" if operation == "ListShards" else operation
        log = self._calls.setdefault(scope, CallLog(per_second))
        if not log.admit(self.now_ms()):
            raise limit_exceeded(f"Rate exceeded for {operation} under account {self.id}.")

    def no_stream(self, name: str) -> Refusal:
        """Return the refusal for a stream that is not there."""
        return not_found(f"Stream {name} under account {self.id} not found.")

    def no_shard(self, stream: Stream, name: str) -> Refusal:
        """Return the refusal for a shard that is not there."""
        return not_found(
            f"Shard {name} in stream {stream.name} under account {self.id} does not exist"
        )

    def rate_exceeded(self, stream: Stream, shard: Shard) -> str:
        """Return Kinesis's words for a shard that is asked for more than its throughput."""
        return (
            f"Rate exceeded for shard {shard.id} in stream {stream.name} under account {self.id}."
        )
