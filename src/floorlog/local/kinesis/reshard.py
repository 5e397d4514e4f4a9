"""Resharding: split, merge, and a change of the number of shards by splits and merges."""

from itertools import pairwise

from floorlog.local.kinesis import answer, request
from floorlog.local.kinesis.account import Account
from floorlog.local.kinesis.control import check_shard_limit, find_active
from floorlog.local.kinesis.refusal import Refusal, invalid_argument
from floorlog.local.kinesis.shard import Shard, shard_number
from floorlog.local.kinesis.stream import Status, Stream, hash_ranges


def split_shard(account: Account, wanted: request.SplitShard) -> None:
    """Close a shard and open two for its halves.

    The new starting hash key is the second one's first.
    """
    stream = find_active(account, wanted.stream_name, wanted.stream_arn)
    shard = _find_open(account, stream, wanted.shard_to_split)
    key = int(wanted.new_starting_hash_key)
    if not shard.start + 1 < key < shard.end:
        raise invalid_argument(
            f"NewStartingHashKey {key} used in SplitShard() on shard {shard.id} in stream "
            f"{stream.name} under account "
            f"{account.id} is not both greater than one plus the shard's StartingHashKey "
            f"{shard.start} and less than "
            f"the shard's EndingHashKey {shard.end}."
        )
    check_shard_limit(account, 1)
    _finish(account, stream, [shard, *_split(account, stream, shard, key)])


def merge_shards(account: Account, wanted: request.MergeShards) -> None:
    """Close two neighbours and open one shard for both."""
    stream = find_active(account, wanted.stream_name, wanted.stream_arn)
    first = _find_open(account, stream, wanted.shard_to_merge)
    second = _find_open(account, stream, wanted.adjacent_shard_to_merge)
    if second.end + 1 != first.start and first.end + 1 != second.start:
        raise invalid_argument(
            f"Shards {first.id} and {second.id} in stream {stream.name} under account "
            f"{account.id} are not an "
            "adjacent pair of shards eligible for merging"
        )
    _finish(account, stream, [first, second, _merge(account, stream, first, second)])


def update_shard_count(
    account: Account, wanted: request.UpdateShardCount
) -> answer.UpdateShardCount:
    """Bring a stream to a number of equal shards, by way of short-lived ones."""
    stream = find_active(account, wanted.stream_name, wanted.stream_arn)
    present, target = len(stream.open_shards), wanted.target_shard_count
    if account.limits and not present <= target * 2 <= present * 4:
        raise _out_of_reach(present, target)
    check_shard_limit(account, max(0, target - present))
    changed: dict[int, Shard] = {}
    starts = [start for start, _ in hash_ranges(target)]
    for start in starts:
        shard = stream.route(start.to_bytes(16, "big"))
        if shard.start != start:
            _note(changed, shard, *_split(account, stream, shard, start))
    for left_start, right_start in pairwise([*starts, None]):
        left = stream.route((left_start or 0).to_bytes(16, "big"))
        while left.end + 1 not in {right_start, 1 << 128}:
            right = stream.route((left.end + 1).to_bytes(16, "big"))
            merged = _merge(account, stream, left, right)
            _note(changed, left, right, merged)
            left = merged
    if changed:
        _finish(account, stream, list(changed.values()))
    return answer.UpdateShardCount(stream.name, stream.arn, present, target)


def _out_of_reach(present: int, target: int) -> Refusal:
    way = "up over double" if target > present else "down below half"
    return invalid_argument(
        f"UpdateShardCount cannot scale {way} your current open shard count. "
        f"Current open shard count: {present} Target shard count: {target}"
    )


def _find_open(account: Account, stream: Stream, name: str) -> Shard:
    number = shard_number(name)
    shard = None if number is None else account.shards(stream).get(number)
    if shard is None:
        raise account.no_shard(stream, name)
    if not shard.open:
        raise invalid_argument(
            f"Shard {shard.id} in stream {stream.name} under account {account.id} has already "
            f"been merged or split, "
            "and thus is not eligible for merging or splitting."
        )
    return shard


def _split(account: Account, stream: Stream, shard: Shard, key: int) -> list[Shard]:
    ranges = [(shard.start, key - 1), (key, shard.end)]
    return stream.replace([shard], ranges, account.now_ms(), account.give_shard_keys(2))


def _merge(account: Account, stream: Stream, first: Shard, second: Shard) -> Shard:
    ranges = [(min(first.start, second.start), max(first.end, second.end))]
    return stream.replace([first, second], ranges, account.now_ms(), account.give_shard_keys(1))[0]


def _note(changed: dict[int, Shard], *shards: Shard) -> None:
    changed.update((shard.number, shard) for shard in shards)


def _finish(account: Account, stream: Stream, changed: list[Shard]) -> None:
    account.begin(stream, Status.UPDATING)
    account.save(stream, changed)
    for shard in changed:
        if not shard.open:
            shard.closing_ticket = account.journal.ticket
