"""GetShardIterator and GetRecords: find a place in a shard and read on from it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from floorlog.local.kinesis import answer, request, sequence
from floorlog.local.kinesis.account import Account
from floorlog.local.kinesis.limit import ANSWER_BYTES_MAX, TOKEN_MS_MAX
from floorlog.local.kinesis.listing import describe_range
from floorlog.local.kinesis.mint import ShardIterator
from floorlog.local.kinesis.order import Call
from floorlog.local.kinesis.page import Page, Record, size_bytes
from floorlog.local.kinesis.refusal import (
    Refusal,
    dry_run,
    expired_iterator,
    invalid_argument,
    throttled,
)
from floorlog.local.kinesis.shard import Shard, shard_id
from floorlog.local.kinesis.stream import Stream

AFTER: Final = "AFTER_SEQUENCE_NUMBER"
AT: Final = "AT_SEQUENCE_NUMBER"


def get_shard_iterator(
    account: Account, wanted: request.GetShardIterator
) -> answer.GetShardIterator:
    """Return an iterator for one of the five kinds of place in a shard."""
    stream = account.find_live(wanted.stream_name, wanted.stream_arn)
    shard = account.find_shard(stream, wanted.shard_id)
    if account.limits and not shard.meter.iterator_calls.admit(account.now_ms()):
        raise throttled(account.rate_exceeded(stream, shard))
    index = _place(account, stream, shard, wanted)
    if wanted.dry_run:
        raise dry_run()
    return answer.GetShardIterator(_issue(account, stream, shard, index))


def _place(account: Account, stream: Stream, shard: Shard, wanted: request.GetShardIterator) -> int:
    kind = wanted.shard_iterator_type
    if kind == "TRIM_HORIZON":
        return 0
    if kind == "LATEST":
        return shard.settled_index
    if kind == "AT_TIMESTAMP":
        return _place_at_time(account, shard, wanted.timestamp)
    text = wanted.starting_sequence_number
    if text is None:
        raise invalid_argument(
            f"Must either specify StartingSequenceNumber or Timestamp for iterator type {kind}."
        )
    parts = sequence.parse(text)
    home = (shard.number, shard.sequence_created_s, shard.stream_key & sequence.STREAM_MASK)
    if parts is None or (parts.number, parts.created_s, parts.stream) != home:
        raise _foreign(account, stream, shard, text, parts)
    if parts.place > shard.next_index:
        raise _foreign(account, stream, shard, text, None)
    return parts.place if kind == AT else parts.place + 1


def _place_at_time(account: Account, shard: Shard, timestamp: float | None) -> int:
    if timestamp is None:
        raise invalid_argument(
            "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP."
        )
    at_ms, now_ms = round(timestamp * 1000), account.now_ms()
    if at_ms > now_ms:
        raise invalid_argument(
            "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "
            f"timestampInMillis: {at_ms}, currentTimestampInMillis: {now_ms}"
        )
    return account.shelf.index_at(shard, at_ms)


def _foreign(
    account: Account, stream: Stream, shard: Shard, text: str, parts: sequence.Sequence | None
) -> Refusal:
    if parts is not None and parts.number != shard.number:
        return invalid_argument(
            f"Invalid StartingSequenceNumber. It encodes {shard_id(parts.number)}, while it was "
            f"used in a call to a "
            f"shard with {shard.id}"
        )
    return invalid_argument(
        f"StartingSequenceNumber {text} used in GetShardIterator on shard {shard.id} in stream "
        f"{stream.name} under "
        f"account {account.id} is invalid because it did not come from this stream."
    )


def _issue(account: Account, stream: Stream, shard: Shard, index: int) -> str:
    return account.mint.issue(
        ShardIterator(shard.key, stream.key, shard.number, index, account.now_ms())
    )


def find_iterated(account: Account, text: str) -> tuple[Stream, Shard, ShardIterator]:
    """Return the stream and shard that an iterator reads, and the iterator.

    Refuse one that is not ours.
    """
    token = account.mint.read(text)
    if not isinstance(token, ShardIterator):
        raise invalid_argument("Invalid ShardIterator.")
    stream = account.find_key(token.stream_key)
    if stream is None:
        raise account.no_stream("of this ShardIterator")
    stream = account.find_live(stream.name, None)
    return stream, account.find_shard(stream, shard_id(token.number)), token


def get_records(account: Account, wanted: request.GetRecords) -> answer.GetRecords:
    """Return the records from an iterator on: at most `Limit`, and at most 10 MiB."""
    stream, shard, token = find_iterated(account, wanted.shard_iterator)
    if wanted.stream_arn not in {None, stream.arn}:
        raise invalid_argument(
            "StreamARN is not that of the stream which the ShardIterator belongs to."
        )
    now_ms = account.now_ms()
    if now_ms - token.issued_ms > TOKEN_MS_MAX:
        raise expired_iterator(
            f"Iterator expired. The iterator was created at time {_written(token.issued_ms)} "
            f"while right now it is "
            f"{_written(now_ms)} which is further in the future than the tolerated delay of "
            f"{TOKEN_MS_MAX} milliseconds."
        )
    if wanted.dry_run:
        raise dry_run()
    if account.limits and not shard.meter.admit_read(now_ms):
        raise throttled(account.rate_exceeded(stream, shard))
    account.trim(stream, shard)
    index = max(token.index, shard.first_index)
    if account.orders.active and account.orders.take(
        Call("GetRecords", stream.name, frozenset([shard.id])), ["empty"]
    ):
        return answer.GetRecords(
            [], max(1, now_ms - (shard.oldest_ms or now_ms)), _issue(account, stream, shard, index)
        )
    return _read(account, stream, shard, index, wanted.limit)


def _read(
    account: Account, stream: Stream, shard: Shard, index: int, limit: int
) -> answer.GetRecords:
    complete = not shard.open and account.journal.settled(shard.closing_ticket)
    records: list[answer.RecordAnswer] = []
    total = last_ms = 0
    more = False
    for place, record, page in _records(account, shard, index):
        size = size_bytes(record)
        if len(records) == limit or (records and total + size > ANSWER_BYTES_MAX):
            more = True
            break
        total += size
        index, last_ms = place + 1, page.arrival_ms
        records.append(
            answer.RecordAnswer(
                shard.sequence_number(place, page.arrival_ms),
                page.arrival_ms / 1000,
                record.data,
                record.key,
                "KMS" if page.encrypted else None,
            )
        )
    if account.limits:
        shard.meter.read_bytes.overdraw(total)
    if complete and not more:
        return answer.GetRecords(
            records, 0, None, [_child(child) for child in stream.children(shard)]
        )
    behind_ms = max(1, account.now_ms() - last_ms) if more else 0
    return answer.GetRecords(records, behind_ms, _issue(account, stream, shard, index))


def _records(account: Account, shard: Shard, index: int) -> Iterator[tuple[int, Record, Page]]:
    for page in account.shelf.pages(shard, index):
        skipped = max(0, index - page.first_index)
        for place, record in enumerate(page.records[skipped:], page.first_index + skipped):
            yield place, record, page


def _child(child: Shard) -> answer.ChildShard:
    return answer.ChildShard(
        child.id, [shard_id(number) for number in child.parents], describe_range(child)
    )


def _written(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%a %b %d %H:%M:%S UTC %Y")
