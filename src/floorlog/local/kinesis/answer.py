"""Answers: what each operation gives back, with the service model's names; None is left out."""

import msgspec

from floorlog.local.kinesis.request import wire_name


class Answer(msgspec.Struct, rename=wire_name, frozen=True, omit_defaults=True):
    """What all answers share."""


class StreamModeDetails(Answer, frozen=True):
    """The capacity mode; always PROVISIONED here."""

    stream_mode: str


class EnhancedMetrics(Answer, frozen=True):
    """The shard-level metrics that are on; none here."""

    shard_level_metrics: list[str]


class HashKeyRange(Answer, frozen=True):
    """Inclusive bounds, decimal."""

    starting_hash_key: str
    ending_hash_key: str


class SequenceNumberRange(Answer, frozen=True):
    """Bounds of a shard's sequence numbers; the end is absent while it is open."""

    starting_sequence_number: str
    ending_sequence_number: str | None = None


class ShardAnswer(Answer, frozen=True):
    """A shard in a listing."""

    shard_id: str
    hash_key_range: HashKeyRange
    sequence_number_range: SequenceNumberRange
    parent_shard_id: str | None = None
    adjacent_parent_shard_id: str | None = None


class ChildShard(Answer, frozen=True):
    """A shard that follows the one that was read to its end."""

    shard_id: str
    parent_shards: list[str]
    hash_key_range: HashKeyRange


class StreamDescription(Answer, frozen=True):
    """DescribeStream's answer within its envelope."""

    stream_name: str
    stream_arn: str
    stream_status: str
    stream_mode_details: StreamModeDetails
    shards: list[ShardAnswer]
    has_more_shards: bool
    retention_period_hours: int
    stream_creation_timestamp: float
    enhanced_monitoring: list[EnhancedMetrics]
    encryption_type: str
    key_id: str | None = None


class DescribeStream(Answer, frozen=True):
    """DescribeStream's answer."""

    stream_description: StreamDescription


class StreamDescriptionSummary(Answer, frozen=True):
    """DescribeStreamSummary's answer within its envelope."""

    stream_name: str
    stream_arn: str
    stream_status: str
    stream_mode_details: StreamModeDetails
    retention_period_hours: int
    stream_creation_timestamp: float
    enhanced_monitoring: list[EnhancedMetrics]
    encryption_type: str
    open_shard_count: int
    consumer_count: int
    key_id: str | None = None


class DescribeStreamSummary(Answer, frozen=True):
    """DescribeStreamSummary's answer."""

    stream_description_summary: StreamDescriptionSummary


class DescribeLimits(Answer, frozen=True):
    """DescribeLimits's answer."""

    shard_limit: int
    open_shard_count: int
    on_demand_stream_count: int
    on_demand_stream_count_limit: int


class StreamSummary(Answer, frozen=True):
    """A stream in ListStreams."""

    stream_name: str
    stream_arn: str
    stream_status: str
    stream_mode_details: StreamModeDetails
    stream_creation_timestamp: float


class ListStreams(Answer, frozen=True):
    """ListStreams's answer."""

    stream_names: list[str]
    has_more_streams: bool
    stream_summaries: list[StreamSummary]
    next_token: str | None = None


class ListShards(Answer, frozen=True):
    """ListShards's answer."""

    shards: list[ShardAnswer]
    next_token: str | None = None


class PutRecord(Answer, frozen=True):
    """PutRecord's answer."""

    shard_id: str
    sequence_number: str
    encryption_type: str | None = None


class PutResult(Answer, frozen=True, gc=False):
    """What became of one record of PutRecords: a shard and sequence number, or an error."""

    shard_id: str | None = None
    sequence_number: str | None = None
    error_code: str | None = None
    error_message: str | None = None


class PutRecords(Answer, frozen=True):
    """PutRecords's answer, results in the order of the request."""

    failed_record_count: int
    records: list[PutResult]
    encryption_type: str | None = None


class GetShardIterator(Answer, frozen=True):
    """GetShardIterator's answer."""

    shard_iterator: str


class RecordAnswer(Answer, frozen=True, gc=False):
    """A record read; the arrival is in seconds since the epoch."""

    sequence_number: str
    approximate_arrival_timestamp: float
    data: bytes
    partition_key: str
    encryption_type: str | None = None


class GetRecords(Answer, frozen=True):
    """GetRecords's answer.

    No next iterator at the end of a closed shard, with its children instead.
    """

    records: list[RecordAnswer]
    millis_behind_latest: int
    next_shard_iterator: str | None = None
    child_shards: list[ChildShard] | None = None


class UpdateShardCount(Answer, frozen=True):
    """UpdateShardCount's answer: open shards before, and wanted."""

    stream_name: str
    stream_arn: str
    current_shard_count: int
    target_shard_count: int


class Tag(Answer, frozen=True):
    """One tag."""

    key: str
    value: str


class ListTags(Answer, frozen=True):
    """ListTagsForStream's answer, in order of key."""

    tags: list[Tag]
    has_more_tags: bool
