"""PutRecord and PutRecords: route each record to its shard and hand the pages to the journal."""

import hashlib
from typing import Final

from floorlog.local.kinesis import answer, request
from floorlog.local.kinesis.account import Account
from floorlog.local.kinesis.limit import RECORD_BYTES_MAX, REQUEST_BYTES_MAX
from floorlog.local.kinesis.order import Call
from floorlog.local.kinesis.page import Record, pack, size_bytes
from floorlog.local.kinesis.refusal import dry_run, invalid_argument, invalid_value, throttled
from floorlog.local.kinesis.shard import HASH_KEY_MAX, Shard
from floorlog.local.kinesis.shelf import PageRow, add
from floorlog.local.kinesis.stream import Stream

THROTTLED: Final = "ProvisionedThroughputExceededException"

Result = answer.PutResult


def hash_key(partition_key: str, explicit: str | None) -> bytes:
    """Return the 16-byte hash key: the explicit one, or the MD5 of the partition key."""
    if explicit is None:
        return hashlib.md5(partition_key.encode(), usedforsecurity=False).digest()
    value = int(explicit)
    if value > HASH_KEY_MAX:
        raise invalid_argument(
            f"Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. "
            f"Specified value was {value}"
        )
    return value.to_bytes(16, "big")


def put_record(account: Account, wanted: request.PutRecord) -> answer.PutRecord:
    """Add one record; throttling refuses the request."""
    stream = account.find_live(wanted.stream_name, wanted.stream_arn)
    record = Record(wanted.partition_key, wanted.data)
    size = _checked_size(record)
    shard = stream.route(hash_key(wanted.partition_key, wanted.explicit_hash_key))
    account.journal.check_room()
    if wanted.dry_run:
        raise dry_run()
    if account.limits and not shard.meter.admit_write(size, account.now_ms()):
        raise throttled(account.rate_exceeded(stream, shard))
    first, arrival_ms = _store(account, stream, {shard.number: [record]})[shard.number]
    return answer.PutRecord(shard.id, shard.sequence_number(first, arrival_ms), _encryption(stream))


def put_records(account: Account, wanted: request.PutRecords) -> answer.PutRecords:
    """Add up to 500 records; each is stored or refused on its own."""
    stream = account.find_live(wanted.stream_name, wanted.stream_arn)
    entries = [
        (
            Record(entry.partition_key, entry.data),
            stream.route(hash_key(entry.partition_key, entry.explicit_hash_key)),
        )
        for entry in wanted.records
    ]
    sizes = [_checked_size(record) for record, _ in entries]
    if sum(sizes) > REQUEST_BYTES_MAX:
        raise invalid_argument(f"Records size exceeds 5 MB limit: {sum(sizes)} bytes.")
    account.journal.check_room()
    if wanted.dry_run:
        raise dry_run()
    taken: dict[int, list[Record]] = {}
    places: list[tuple[Shard, int] | Result] = []
    for (record, shard), size in zip(entries, sizes, strict=True):
        refused = _refused(account, stream, shard, size)
        if refused is not None:
            places.append(refused)
            continue
        batch = taken.setdefault(shard.number, [])
        places.append((shard, len(batch)))
        batch.append(record)
    given = _store(account, stream, taken)
    results: list[Result] = []
    for place in places:
        if isinstance(place, Result):
            results.append(place)
        else:
            shard, offset = place
            first, arrival_ms = given[shard.number]
            results.append(Result(shard.id, shard.sequence_number(first + offset, arrival_ms)))
    failed = sum(isinstance(place, Result) for place in places)
    return answer.PutRecords(failed, results, _encryption(stream))


def shards_of(
    stream: Stream, entries: list[request.Entry] | list[request.PutRecord]
) -> frozenset[str]:
    """Return the ids of the shards that these records go to."""
    return frozenset(
        stream.route(hash_key(entry.partition_key, entry.explicit_hash_key)).id for entry in entries
    )


def _checked_size(record: Record) -> int:
    if len(record.data) > RECORD_BYTES_MAX:
        raise invalid_value(
            "Value at 'data' failed to satisfy constraint: "
            f"Member must have length less than or equal to {RECORD_BYTES_MAX}"
        )
    size = size_bytes(record)
    if size > RECORD_BYTES_MAX:
        raise invalid_argument(
            f"Data and partition key of a record are {size} bytes; {RECORD_BYTES_MAX} is the most."
        )
    return size


def _refused(account: Account, stream: Stream, shard: Shard, size: int) -> Result | None:
    if account.orders.active:
        call = Call("PutRecords", stream.name, frozenset([shard.id]))
        order = account.orders.take(call, ["throttle", "error"], by_record=True)
        if order is not None and order.kind == "error":
            return Result(error_code="InternalFailure", error_message="Internal service failure.")
        if order is not None:
            return _throttled(account, stream, shard)
    if account.limits and not shard.meter.admit_write(size, account.now_ms()):
        return _throttled(account, stream, shard)
    return None


def _throttled(account: Account, stream: Stream, shard: Shard) -> Result:
    return Result(error_code=THROTTLED, error_message=account.rate_exceeded(stream, shard))


def _store(
    account: Account, stream: Stream, taken: dict[int, list[Record]]
) -> dict[int, tuple[int, int]]:
    """Queue the records of each shard.

    Return (first index, arrival in ms) by the shard's number.
    """
    now_ms = account.now_ms()
    given: dict[int, tuple[int, int]] = {}
    pages: list[PageRow] = []
    advances: list[tuple[int, int, int]] = []
    settled: list[tuple[Shard, int, int]] = []
    for number, records in taken.items():
        shard = stream.shards[number]
        first, arrival_ms = given[number] = shard.advance(len(records), now_ms)
        pages.append(
            (
                shard.row_base + first,
                shard.key,
                arrival_ms,
                stream.key_id is not None,
                pack(records),
            )
        )
        advances.append((shard.next_index, arrival_ms, shard.key))
        settled.append((shard, shard.next_index, arrival_ms))

    def settle() -> None:
        for shard, end_index, arrival_ms in settled:
            shard.settle(end_index, arrival_ms)

    if pages:
        size = sum(len(page[-1]) for page in pages)
        account.journal.submit(add(pages, advances), settle, control=False, size_bytes=size)
    return given


def _encryption(stream: Stream) -> str | None:
    return None if stream.key_id is None else "KMS"
