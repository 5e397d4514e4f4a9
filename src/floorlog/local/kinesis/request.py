"""Requests: what each operation takes, with the service model's names and constraints."""

from typing import Annotated, Literal

import msgspec

from floorlog.local.kinesis.limit import REQUEST_RECORDS_MAX


def wire_name(attribute: str) -> str:
    """Return the service model's name for an attribute: `stream_arn` is `StreamARN`."""
    return "".join("ARN" if word == "arn" else word.capitalize() for word in attribute.split("_"))


Count = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
HashKey = Annotated[str, msgspec.Meta(pattern=r"^(0|([1-9][0-9]{0,38}))$")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9_.-]+$")]
PartitionKey = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
SequenceNumber = Annotated[str, msgspec.Meta(pattern=r"^(0|([1-9][0-9]{0,128}))$")]
TokenText = Annotated[str, msgspec.Meta(min_length=1, max_length=1_048_576)]
IteratorText = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
KeyId = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
Arn = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
TagKey = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
TagValue = Annotated[str, msgspec.Meta(max_length=256)]
EncryptionType = Literal["NONE", "KMS"]
FilterType = Literal[
    "AFTER_SHARD_ID",
    "AT_TRIM_HORIZON",
    "FROM_TRIM_HORIZON",
    "AT_LATEST",
    "AT_TIMESTAMP",
    "FROM_TIMESTAMP",
]
IteratorType = Literal[
    "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"
]


class Request(msgspec.Struct, rename=wire_name, frozen=True):
    """What all operations share: nothing; unknown members are passed over as the service does."""


class StreamRequest(Request, frozen=True, kw_only=True):
    """A request about one stream, given by name, by ARN, or by both."""

    stream_name: Name | None = None
    stream_arn: Arn | None = None


class StreamModeDetails(Request, frozen=True):
    """PROVISIONED, or ON_DEMAND, which this server does not offer."""

    stream_mode: Literal["PROVISIONED", "ON_DEMAND"]


class CreateStream(Request, frozen=True, kw_only=True):
    """CreateStream."""

    stream_name: Name
    shard_count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    stream_mode_details: StreamModeDetails | None = None
    tags: dict[TagKey, TagValue] | None = None
    max_record_size_in_ki_b: int | None = msgspec.field(default=None, name="MaxRecordSizeInKiB")


class DescribeLimits(Request, frozen=True):
    """DescribeLimits."""


class DescribeStream(StreamRequest, frozen=True, kw_only=True):
    """DescribeStream."""

    limit: Count = 100
    exclusive_start_shard_id: Name | None = None


class ListStreams(Request, frozen=True, kw_only=True):
    """ListStreams."""

    limit: Count = 100
    exclusive_start_stream_name: Name | None = None
    next_token: TokenText | None = None


class ShardFilter(Request, frozen=True, kw_only=True):
    """Which shards ListShards lists."""

    type: FilterType
    shard_id: Name | None = None
    timestamp: float | None = None


class ListShards(StreamRequest, frozen=True, kw_only=True):
    """ListShards."""

    next_token: TokenText | None = None
    exclusive_start_shard_id: Name | None = None
    max_results: Count = 1_000
    stream_creation_timestamp: float | None = None
    shard_filter: ShardFilter | None = None


class DryRunRequest(StreamRequest, frozen=True, kw_only=True):
    """A request about a stream's data, which may ask only whether it would succeed."""

    dry_run: bool = False


class PutRecord(DryRunRequest, frozen=True, kw_only=True):
    """PutRecord."""

    data: bytes
    partition_key: PartitionKey
    explicit_hash_key: HashKey | None = None
    sequence_number_for_ordering: SequenceNumber | None = None


class Entry(Request, frozen=True, kw_only=True, gc=False):
    """One record of PutRecords."""

    data: bytes
    partition_key: PartitionKey
    explicit_hash_key: HashKey | None = None


class PutRecords(DryRunRequest, frozen=True, kw_only=True):
    """PutRecords."""

    records: Annotated[list[Entry], msgspec.Meta(min_length=1, max_length=REQUEST_RECORDS_MAX)]


class GetShardIterator(DryRunRequest, frozen=True, kw_only=True):
    """GetShardIterator."""

    shard_id: Name
    shard_iterator_type: IteratorType
    starting_sequence_number: SequenceNumber | None = None
    timestamp: float | None = None


class GetRecords(Request, frozen=True, kw_only=True):
    """GetRecords; the iterator says which stream."""

    shard_iterator: IteratorText
    limit: Count = 10_000
    stream_arn: Arn | None = None
    dry_run: bool = False


class SplitShard(StreamRequest, frozen=True, kw_only=True):
    """SplitShard."""

    shard_to_split: Name
    new_starting_hash_key: HashKey


class MergeShards(StreamRequest, frozen=True, kw_only=True):
    """MergeShards."""

    shard_to_merge: Name
    adjacent_shard_to_merge: Name


class UpdateShardCount(StreamRequest, frozen=True, kw_only=True):
    """UpdateShardCount."""

    target_shard_count: Annotated[int, msgspec.Meta(ge=1)]
    scaling_type: Literal["UNIFORM_SCALING"]


class RetentionPeriod(StreamRequest, frozen=True, kw_only=True):
    """IncreaseStreamRetentionPeriod and DecreaseStreamRetentionPeriod."""

    retention_period_hours: int


class Encryption(StreamRequest, frozen=True, kw_only=True):
    """StartStreamEncryption and StopStreamEncryption."""

    encryption_type: EncryptionType
    key_id: KeyId


class AddTags(StreamRequest, frozen=True, kw_only=True):
    """AddTagsToStream."""

    tags: Annotated[dict[TagKey, TagValue], msgspec.Meta(min_length=1, max_length=200)]


class RemoveTags(StreamRequest, frozen=True, kw_only=True):
    """RemoveTagsFromStream."""

    tag_keys: Annotated[list[TagKey], msgspec.Meta(min_length=1, max_length=50)]


class ListTags(StreamRequest, frozen=True, kw_only=True):
    """ListTagsForStream."""

    exclusive_start_tag_key: TagKey | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=50)] = 50
