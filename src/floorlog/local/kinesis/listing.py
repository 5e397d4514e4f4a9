"""ListShards: which shards a filter means, and the pages of the list."""

from collections.abc import Iterable

from floorlog.local.kinesis import answer, request
from floorlog.local.kinesis.account import Account
from floorlog.local.kinesis.limit import TOKEN_MS_MAX
from floorlog.local.kinesis.mint import ShardPage
from floorlog.local.kinesis.refusal import expired_next_token, in_use, invalid_argument
from floorlog.local.kinesis.shard import Shard, shard_id, shard_number
from floorlog.local.kinesis.stream import Status, Stream

RESULTS_MAX = 1_000


def describe_range(shard: Shard) -> answer.HashKeyRange:
    """Return a shard's hash keys as the service writes them."""
    return answer.HashKeyRange(str(shard.start), str(shard.end))


def describe_shard(shard: Shard) -> answer.ShardAnswer:
    """Return a shard as listings show it."""
    parents = [shard_id(number) for number in shard.parents]
    return answer.ShardAnswer(
        shard_id=shard.id,
        hash_key_range=describe_range(shard),
        sequence_number_range=answer.SequenceNumberRange(
            shard.starting_sequence_number(), shard.ending_sequence_number()
        ),
        parent_shard_id=parents[0] if parents else None,
        adjacent_parent_shard_id=parents[1] if len(parents) > 1 else None,
    )


def list_shards(account: Account, wanted: request.ListShards) -> answer.ListShards:
    """List a stream's shards that have not expired, filtered, a page at a time."""
    if wanted.next_token is None:
        stream, page = _first_page(account, wanted)
    else:
        stream, page = _next_page(account, wanted, wanted.next_token)
    if stream.status in {Status.CREATING, Status.DELETING}:
        raise in_use(
            f"Stream {stream.name} under account {account.id} is in state {stream.status.value}."
        )
    shards = [shard for shard in _filtered(account, stream, page) if shard.number > page.after]
    shards.sort(key=lambda shard: shard.number)
    count = min(wanted.max_results, RESULTS_MAX)
    following = None
    if len(shards) > count:
        following = account.mint.issue(
            ShardPage(
                stream.key,
                shards[count - 1].number,
                account.now_ms(),
                page.filter_type,
                page.filter_ms,
            )
        )
    return answer.ListShards([describe_shard(shard) for shard in shards[:count]], following)


def _first_page(account: Account, wanted: request.ListShards) -> tuple[Stream, ShardPage]:
    stream = account.find(wanted.stream_name, wanted.stream_arn)
    created = wanted.stream_creation_timestamp
    if created is not None and int(created) != stream.created_ms // 1000:
        raise account.no_stream(f"{stream.name} created at {created}")
    chosen = wanted.shard_filter
    after_name = wanted.exclusive_start_shard_id
    filter_ms = 0
    if chosen is not None and chosen.type == "AFTER_SHARD_ID":
        if chosen.shard_id is None:
            raise invalid_argument(
                "ShardId must be specified when the ShardFilter type is AFTER_SHARD_ID."
            )
        after_name = chosen.shard_id
    elif chosen is not None and chosen.shard_id is not None:
        raise invalid_argument(
            "ShardId can be specified only when the ShardFilter type is AFTER_SHARD_ID."
        )
    if chosen is not None and chosen.type.endswith("_TIMESTAMP"):
        if chosen.timestamp is None:
            raise invalid_argument(
                f"Timestamp must be specified when the ShardFilter type is {chosen.type}."
            )
        filter_ms = round(chosen.timestamp * 1000)
    after = -1 if after_name is None else shard_number(after_name)
    if after is None:
        raise invalid_argument(f"{after_name} is not the id of a shard.")
    return stream, ShardPage(
        stream.key, after, 0, None if chosen is None else chosen.type, filter_ms
    )


def _next_page(account: Account, wanted: request.ListShards, text: str) -> tuple[Stream, ShardPage]:
    if (wanted.stream_name, wanted.stream_creation_timestamp, wanted.exclusive_start_shard_id) != (
        None,
        None,
        None,
    ):
        raise invalid_argument("NextToken and StreamName cannot be provided together.")
    page = account.mint.read(text)
    if not isinstance(page, ShardPage):
        raise invalid_argument("NextToken is not one that this account was given.")
    if account.now_ms() - page.issued_ms > TOKEN_MS_MAX:
        raise expired_next_token("NextToken has expired; begin the listing again.")
    stream = account.find_key(page.stream_key)
    if stream is None:
        raise account.no_stream("that NextToken belongs to")
    return stream, page


def _filtered(account: Account, stream: Stream, page: ShardPage) -> Iterable[Shard]:
    shards = account.shards(stream).values()
    horizon_ms = max(stream.keep_from_ms(account.now_ms()), stream.created_ms)
    at_ms = horizon_ms if page.filter_type == "AT_TRIM_HORIZON" else max(page.filter_ms, horizon_ms)
    match page.filter_type:
        case "AT_LATEST":
            return [shard for shard in shards if shard.open]
        case "AT_TRIM_HORIZON" | "AT_TIMESTAMP":
            return [
                shard for shard in shards if shard.created_ms <= at_ms <= _closed_ms(shard, at_ms)
            ]
        case "FROM_TIMESTAMP":
            return [shard for shard in shards if _closed_ms(shard, at_ms) >= at_ms]
        case _:
            return shards


def _closed_ms(shard: Shard, open_ms: int) -> int:
    return open_ms if shard.closed_ms is None else shard.closed_ms
