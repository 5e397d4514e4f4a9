"""Control operations on whole streams: life, description, retention, encryption, tags."""

from typing import Final

from floorlog.local.kinesis import answer, request
from floorlog.local.kinesis.account import Account
from floorlog.local.kinesis.limit import OPEN_SHARDS_MAX, RECORD_BYTES_MAX, TOKEN_MS_MAX
from floorlog.local.kinesis.listing import describe_shard
from floorlog.local.kinesis.mint import StreamPage
from floorlog.local.kinesis.refusal import (
    expired_next_token,
    in_use,
    invalid_argument,
    invalid_value,
    limit_exceeded,
)
from floorlog.local.kinesis.stream import (
    RETENTION_HOURS_MAX,
    RETENTION_HOURS_MIN,
    Status,
    Stream,
    hash_ranges,
)

PROVISIONED: Final = answer.StreamModeDetails("PROVISIONED")
TAGS_MAX: Final = 50


def create_stream(account: Account, wanted: request.CreateStream) -> None:
    """Create a stream whose shards share the hash keys evenly."""
    mode = wanted.stream_mode_details
    if mode is not None and mode.stream_mode != PROVISIONED.stream_mode:
        raise invalid_argument(
            "This local server offers StreamMode PROVISIONED only; give a ShardCount."
        )
    if wanted.max_record_size_in_ki_b not in {None, RECORD_BYTES_MAX // 1024}:
        raise invalid_argument("This local server offers MaxRecordSizeInKiB 1024 only.")
    if wanted.shard_count is None:
        raise invalid_argument("ShardCount must be given for a stream of mode PROVISIONED.")
    if any(stream.name == wanted.stream_name for stream in account.streams()):
        raise in_use(f"Stream {wanted.stream_name} under account {account.id} already exists.")
    tags = wanted.tags or {}
    if len(tags) > TAGS_MAX:
        raise invalid_argument(
            f"Failed to add tags to stream {wanted.stream_name}: more than {TAGS_MAX} tags."
        )
    check_shard_limit(account, wanted.shard_count)
    account.add(wanted.stream_name, tags, hash_ranges(wanted.shard_count))


def check_shard_limit(account: Account, more: int) -> None:
    """Refuse what would take the account over its number of open shards."""
    present = sum(len(stream.open_shards) for stream in account.streams())
    if account.limits and present + more > OPEN_SHARDS_MAX:
        raise limit_exceeded(
            f"This request would exceed the shard limit for the account {account.id}. "
            f"Current shard count for the account: {present}. Limit: {OPEN_SHARDS_MAX}. "
            f"Number of additional shards that would have resulted from this request: {more}."
        )


def find_active(account: Account, name: str | None, arn: str | None) -> Stream:
    """Return a stream that is not in the middle of another change, or refuse."""
    stream = account.find(name, arn)
    if stream.status is not Status.ACTIVE:
        raise in_use(
            f"Stream {stream.name} under account {account.id} not ACTIVE, instead in state "
            f"{stream.status.value}"
        )
    return stream


def delete_stream(account: Account, wanted: request.StreamRequest) -> None:
    """Begin to delete a stream with all its records."""
    stream = account.find(wanted.stream_name, wanted.stream_arn)
    account.begin(stream, Status.DELETING)
    account.save(stream, [])


def describe_stream(account: Account, wanted: request.DescribeStream) -> answer.DescribeStream:
    """Describe a stream and a page of its shards."""
    stream = account.find(wanted.stream_name, wanted.stream_arn)
    after = wanted.exclusive_start_shard_id or ""
    shards = [shard for shard in account.shards(stream).values() if shard.id > after]
    shards.sort(key=lambda shard: shard.number)
    if stream.status is Status.CREATING:
        shards = []
    return answer.DescribeStream(
        answer.StreamDescription(
            stream_name=stream.name,
            stream_arn=stream.arn,
            stream_status=stream.status.value,
            stream_mode_details=PROVISIONED,
            shards=[describe_shard(shard) for shard in shards[: wanted.limit]],
            has_more_shards=len(shards) > wanted.limit,
            retention_period_hours=stream.retention_hours,
            stream_creation_timestamp=stream.created_ms / 1000,
            enhanced_monitoring=[answer.EnhancedMetrics([])],
            encryption_type=encryption_type(stream),
            key_id=stream.key_id,
        )
    )


def describe_stream_summary(
    account: Account, wanted: request.StreamRequest
) -> answer.DescribeStreamSummary:
    """Describe a stream without its shards."""
    stream = account.find(wanted.stream_name, wanted.stream_arn)
    creating = stream.status is Status.CREATING
    return answer.DescribeStreamSummary(
        answer.StreamDescriptionSummary(
            stream_name=stream.name,
            stream_arn=stream.arn,
            stream_status=stream.status.value,
            stream_mode_details=PROVISIONED,
            retention_period_hours=stream.retention_hours,
            stream_creation_timestamp=stream.created_ms / 1000,
            enhanced_monitoring=[answer.EnhancedMetrics([])],
            encryption_type=encryption_type(stream),
            open_shard_count=0 if creating else len(stream.open_shards),
            consumer_count=0,
            key_id=stream.key_id,
        )
    )


def describe_limits(account: Account, _: request.DescribeLimits) -> answer.DescribeLimits:
    """Say how many shards the account may have and has."""
    present = sum(len(stream.open_shards) for stream in account.streams())
    return answer.DescribeLimits(OPEN_SHARDS_MAX, present, 0, 0)


def list_streams(account: Account, wanted: request.ListStreams) -> answer.ListStreams:
    """List streams by name, a page at a time."""
    after = wanted.exclusive_start_stream_name or ""
    if wanted.next_token is not None:
        token = account.mint.read(wanted.next_token)
        if not isinstance(token, StreamPage):
            raise invalid_argument("NextToken is not one that this account was given.")
        if account.now_ms() - token.issued_ms > TOKEN_MS_MAX:
            raise expired_next_token("NextToken has expired; begin the listing again.")
        after = token.after
    streams = [stream for stream in account.streams() if stream.name > after]
    more = len(streams) > wanted.limit
    streams = streams[: wanted.limit]
    return answer.ListStreams(
        stream_names=[stream.name for stream in streams],
        has_more_streams=more,
        stream_summaries=[
            answer.StreamSummary(
                stream.name, stream.arn, stream.status.value, PROVISIONED, stream.created_ms / 1000
            )
            for stream in streams
        ],
        next_token=account.mint.issue(StreamPage(streams[-1].name, account.now_ms()))
        if more
        else None,
    )


def encryption_type(stream: Stream) -> str:
    """Return KMS or NONE."""
    return "NONE" if stream.key_id is None else "KMS"


def increase_retention(account: Account, wanted: request.RetentionPeriod) -> None:
    """Keep records longer."""
    stream = find_active(account, wanted.stream_name, wanted.stream_arn)
    hours = _checked_hours(wanted)
    if hours < stream.retention_hours:
        raise invalid_argument(
            f"Requested retention period ({hours} hours) for stream {stream.name} can not be "
            f"shorter than "
            f"existing retention period ({stream.retention_hours} hours). Use "
            f"DecreaseRetentionPeriod API."
        )
    _retain(account, stream, hours)


def decrease_retention(account: Account, wanted: request.RetentionPeriod) -> None:
    """Keep records for a shorter time; those older are gone at once."""
    stream = find_active(account, wanted.stream_name, wanted.stream_arn)
    hours = _checked_hours(wanted)
    if hours > stream.retention_hours:
        raise invalid_argument(
            f"Requested retention period ({hours} hours) for stream {stream.name} can not be "
            f"longer than "
            f"existing retention period ({stream.retention_hours} hours). Use "
            f"IncreaseRetentionPeriod API."
        )
    _retain(account, stream, hours)


def _checked_hours(wanted: request.RetentionPeriod) -> int:
    hours = wanted.retention_period_hours
    if not RETENTION_HOURS_MIN <= hours <= RETENTION_HOURS_MAX:
        raise invalid_argument(
            f"Retention period must be {RETENTION_HOURS_MIN} to {RETENTION_HOURS_MAX} hours. "
            f"Specified: {hours}."
        )
    return hours


def _retain(account: Account, stream: Stream, hours: int) -> None:
    for shard in list(account.shards(stream).values()):
        account.trim(stream, shard)
    stream.retention_hours = hours
    account.begin(stream, Status.UPDATING)
    account.save(stream, [])


def start_encryption(account: Account, wanted: request.Encryption) -> None:
    """Note the key; records put from now on say that they are encrypted."""
    stream = find_active(account, wanted.stream_name, wanted.stream_arn)
    if wanted.encryption_type != "KMS":
        raise invalid_value(
            "Value at 'encryptionType' failed to satisfy constraint: Member must be KMS"
        )
    stream.key_id = wanted.key_id
    account.begin(stream, Status.UPDATING)
    account.save(stream, [])


def stop_encryption(account: Account, wanted: request.Encryption) -> None:
    """Forget the key."""
    stream = find_active(account, wanted.stream_name, wanted.stream_arn)
    if stream.key_id is None:
        raise invalid_argument(f"Stream {stream.name} under account {account.id} is not encrypted.")
    stream.key_id = None
    account.begin(stream, Status.UPDATING)
    account.save(stream, [])


def add_tags(account: Account, wanted: request.AddTags) -> None:
    """Add tags to a stream, or change them."""
    stream = account.find(wanted.stream_name, wanted.stream_arn)
    tags = stream.tags | wanted.tags
    if len(tags) > TAGS_MAX:
        raise invalid_argument(
            f"Failed to add tags to stream {stream.name}: more than {TAGS_MAX} tags."
        )
    stream.tags = tags
    account.save(stream, [])


def remove_tags(account: Account, wanted: request.RemoveTags) -> None:
    """Take tags off a stream."""
    stream = account.find(wanted.stream_name, wanted.stream_arn)
    stream.tags = {key: value for key, value in stream.tags.items() if key not in wanted.tag_keys}
    account.save(stream, [])


def list_tags(account: Account, wanted: request.ListTags) -> answer.ListTags:
    """List a stream's tags by key, a page at a time."""
    stream = account.find(wanted.stream_name, wanted.stream_arn)
    after = wanted.exclusive_start_tag_key or ""
    keys = [key for key in sorted(stream.tags) if key > after]
    page = [answer.Tag(key, stream.tags[key]) for key in keys[: wanted.limit]]
    return answer.ListTags(page, len(keys) > wanted.limit)
