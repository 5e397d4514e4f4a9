"""Operations: the one table of what the server offers, and how a request's body is read."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from floorlog.local.kinesis import control, get, listing, put, request, reshard
from floorlog.local.kinesis.account import Account
from floorlog.local.kinesis.order import Call
from floorlog.local.kinesis.refusal import Refusal, invalid_value, not_serialisable

Kind = TypeVar("Kind", bound=request.Request)


class Operation(NamedTuple):
    """An operation: how its body is decoded, what carries it out, and whether it puts records."""

    decoder: msgspec.json.Decoder[Any]
    run: Callable[[Account, Any], msgspec.Struct | None]
    puts: bool = False


def _operation(
    kind: type[Kind], run: Callable[[Account, Kind], msgspec.Struct | None], *, puts: bool = False
) -> Operation:
    return Operation(msgspec.json.Decoder(kind), run, puts)


OPERATIONS: Final[dict[str, Operation]] = {
    "CreateStream": _operation(request.CreateStream, control.create_stream),
    "DeleteStream": _operation(request.StreamRequest, control.delete_stream),
    "DescribeLimits": _operation(request.DescribeLimits, control.describe_limits),
    "DescribeStream": _operation(request.DescribeStream, control.describe_stream),
    "DescribeStreamSummary": _operation(request.StreamRequest, control.describe_stream_summary),
    "ListStreams": _operation(request.ListStreams, control.list_streams),
    "ListShards": _operation(request.ListShards, listing.list_shards),
    "PutRecord": _operation(request.PutRecord, put.put_record, puts=True),
    "PutRecords": _operation(request.PutRecords, put.put_records, puts=True),
    "GetShardIterator": _operation(request.GetShardIterator, get.get_shard_iterator),
    "GetRecords": _operation(request.GetRecords, get.get_records),
    "SplitShard": _operation(request.SplitShard, reshard.split_shard),
    "MergeShards": _operation(request.MergeShards, reshard.merge_shards),
    "UpdateShardCount": _operation(request.UpdateShardCount, reshard.update_shard_count),
    "IncreaseStreamRetentionPeriod": _operation(
        request.RetentionPeriod, control.increase_retention
    ),
    "DecreaseStreamRetentionPeriod": _operation(
        request.RetentionPeriod, control.decrease_retention
    ),
    "StartStreamEncryption": _operation(request.Encryption, control.start_encryption),
    "StopStreamEncryption": _operation(request.Encryption, control.stop_encryption),
    "AddTagsToStream": _operation(request.AddTags, control.add_tags),
    "RemoveTagsFromStream": _operation(request.RemoveTags, control.remove_tags),
    "ListTagsForStream": _operation(request.ListTags, control.list_tags),
}


def read(operation: Operation, body: bytes) -> Any:  # noqa: ANN401 - one request type per operation
    """Return the request in a body, or refuse a wrong type or value as the service does."""
    try:
        return operation.decoder.decode(body or b"{}")
    except msgspec.ValidationError as error:
        text = str(error)
        if ", got `" in text or "base64" in text:
            raise not_serialisable(text) from error
        raise invalid_value(text) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_serialisable(f"The body is not JSON: {error}") from error


def call(account: Account, name: str, wanted: msgspec.Struct) -> Call:
    """Return what orders are matched against: the stream and the shards that a request concerns.

    A request that will be refused anyway concerns no shard.
    """
    stream_name: str | None = getattr(wanted, "stream_name", None)
    shards: frozenset[str] = frozenset()
    try:
        if isinstance(wanted, request.GetRecords):
            stream, shard, _ = get.find_iterated(account, wanted.shard_iterator)
            return Call(name, stream.name, frozenset([shard.id]))
        if isinstance(wanted, request.StreamRequest):
            stream = account.find(wanted.stream_name, wanted.stream_arn)
            stream_name = stream.name
            if isinstance(wanted, request.PutRecord):
                shards = put.shards_of(stream, [wanted])
            elif isinstance(wanted, request.PutRecords):
                shards = put.shards_of(stream, wanted.records)
    except Refusal:
        return Call(name, stream_name, shards)
    named = (
        getattr(wanted, field, None) for field in ("shard_id", "shard_to_split", "shard_to_merge")
    )
    return Call(name, stream_name, shards | {shard for shard in named if shard is not None})
