"""Splits, merges and changes of count: the tree, the routing, and reading from parent to child."""

from itertools import pairwise

import pytest

from floorlog.local.kinesis.shard import shard_id

pytestmark = pytest.mark.slow  # starts servers

HOUR_MS = 3_600_000
TOP = 2**128


def name(number):
    return shard_id(number)


def put(server, value, hash_key, stream="plant"):
    return server.client.put_record(
        StreamName=stream, Data=value, PartitionKey="a", ExplicitHashKey=str(hash_key)
    )


def split(server, number=0, at=TOP // 2, stream="plant"):
    server.client.split_shard(
        StreamName=stream, ShardToSplit=name(number), NewStartingHashKey=str(at)
    )


def merge(server, left, right, stream="plant"):
    server.client.merge_shards(
        StreamName=stream, ShardToMerge=name(left), AdjacentShardToMerge=name(right)
    )


def span(shard):
    hashes = shard["HashKeyRange"]
    return int(hashes["StartingHashKey"]), int(hashes["EndingHashKey"])


def open_shards(server, stream="plant"):
    shards = server.shards(stream, ShardFilter={"Type": "AT_LATEST"})
    return sorted(shards, key=span)


def test_a_split_closes_the_parent_and_opens_two_halves(server):
    """Children cover the parent's range from the given key on; the parent gets an end."""
    split(server, at=1_000)
    parent, low, high = server.shards()
    assert (span(low), span(high)) == ((0, 999), (1_000, TOP - 1))
    assert [low["ParentShardId"], high["ParentShardId"]] == [parent["ShardId"]] * 2
    assert "AdjacentParentShardId" not in low
    assert "EndingSequenceNumber" in parent["SequenceNumberRange"]
    assert "EndingSequenceNumber" not in low["SequenceNumberRange"]
    assert put(server, b"x", 999)["ShardId"] == low["ShardId"]
    assert put(server, b"x", 1_000)["ShardId"] == high["ShardId"]


def test_a_merge_closes_two_neighbours_and_opens_one(server):
    """The child names both parents; the order of the request decides which comes first."""
    split(server)
    merge(server, 2, 1)
    child = server.shards()[3]
    assert (child["ParentShardId"], child["AdjacentParentShardId"]) == (name(2), name(1))
    assert span(child) == (0, TOP - 1)


def test_a_closed_shard_is_read_to_its_end_and_names_its_children(server):
    """The last records of a closed shard come with ChildShards and without a next iterator."""
    put(server, b"a", 0)
    put(server, b"b", 0)
    split(server)
    first = server.client.get_records(ShardIterator=server.iterator(name(0)), Limit=1)
    assert "NextShardIterator" in first
    assert "ChildShards" not in first
    last = server.client.get_records(ShardIterator=first["NextShardIterator"])
    assert [record["Data"] for record in last["Records"]] == [b"b"]
    assert "NextShardIterator" not in last
    assert last["MillisBehindLatest"] == 0
    children = [(c["ShardId"], c["ParentShards"], span(c)) for c in last["ChildShards"]]
    assert children == [
        (name(1), [name(0)], (0, TOP // 2 - 1)),
        (name(2), [name(0)], (TOP // 2, TOP - 1)),
    ]


@pytest.mark.parametrize("kind", ["LATEST", "TRIM_HORIZON"])
def test_an_empty_closed_shard_ends_at_once(server, kind):
    """A closed shard with nothing to read gives its children with the first answer."""
    split(server)
    merge(server, 1, 2)
    answer = server.read(name(1), kind)
    assert answer["Records"] == []
    assert "NextShardIterator" not in answer
    assert [child["ParentShards"] for child in answer["ChildShards"]] == [[name(1), name(2)]]


def test_an_iterator_from_before_the_split_reaches_the_end(server):
    """A consumer at the tip when the shard closes gets the end with its next call."""
    tip = server.client.get_records(ShardIterator=server.iterator(name(0)))["NextShardIterator"]
    split(server)
    answer = server.client.get_records(ShardIterator=tip)
    assert "NextShardIterator" not in answer
    assert len(answer["ChildShards"]) == 2


def test_the_ending_number_is_past_the_last_record(server):
    """AFTER or AT the EndingSequenceNumber nothing is left, at the last record just one."""
    number = put(server, b"a", 0)["SequenceNumber"]
    split(server)
    end = server.shards()[0]["SequenceNumberRange"]["EndingSequenceNumber"]
    assert int(end) > int(number)
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        assert server.data(name(0), kind, StartingSequenceNumber=end) == []
    assert server.data(name(0), "AT_SEQUENCE_NUMBER", StartingSequenceNumber=number) == [b"a"]


def test_numbers_rise_from_parent_to_child(server):
    """Through any reshards within one millisecond every child's numbers exceed its parents'."""
    numbers = [int(put(server, b"a", 0)["SequenceNumber"])]
    shard = 0
    for _ in range(7):
        split(server, shard)
        merge(server, shard + 1, shard + 2)
        shard += 3
        numbers.append(int(put(server, b"a", 0)["SequenceNumber"]))
    assert numbers == sorted(set(numbers))
    ends = {
        shard["ShardId"]: int(shard["SequenceNumberRange"].get("EndingSequenceNumber", TOP**2))
        for shard in server.shards()
    }
    for shard in server.shards():
        start = int(shard["SequenceNumberRange"]["StartingSequenceNumber"])
        for parent in ("ParentShardId", "AdjacentParentShardId"):
            assert start > ends.get(shard.get(parent), 0)


def test_what_cannot_be_split_or_merged_is_refused(server):
    """Closed, absent and distant shards, and keys at the edge of the range, are refused."""
    server.create("wide", 3)
    edge = span(server.shards("wide")[1])
    code = "InvalidArgumentException"
    for key in (0, edge[0], edge[0] + 1, edge[1], TOP - 1):
        server.refused(
            code,
            "split_shard",
            StreamName="wide",
            ShardToSplit=name(1),
            NewStartingHashKey=str(key),
        )
    pairs = {"StreamName": "wide", "ShardToMerge": name(0)}
    server.refused(code, "merge_shards", **pairs, AdjacentShardToMerge=name(2))
    server.refused(code, "merge_shards", **pairs, AdjacentShardToMerge=name(0))
    server.refused(
        "ResourceNotFoundException", "merge_shards", **pairs, AdjacentShardToMerge=name(9)
    )
    merge(server, 0, 1, "wide")
    message = server.refused(code, "merge_shards", **pairs, AdjacentShardToMerge=name(3))
    assert "already been merged or split" in message


@pytest.mark.parametrize("path", [[2, 4], [2, 3, 2, 1], [3, 5, 4, 2, 4], [4, 6, 3], [7, 7, 4]])
def test_a_change_of_count_makes_equal_shards_by_splits_and_merges(server, path):
    """After each UpdateShardCount the open shards are equal; all others are closed parents."""
    server.create("wide", path[0])
    for before, count in pairwise(path):
        answer = server.client.update_shard_count(
            StreamName="wide", TargetShardCount=count, ScalingType="UNIFORM_SCALING"
        )
        assert (answer["CurrentShardCount"], answer["TargetShardCount"]) == (before, count)
        spans = [span(shard) for shard in open_shards(server, "wide")]
        assert [start for start, _ in spans] == [TOP * part // count for part in range(count)]
        assert all(left[1] + 1 == right[0] for left, right in pairwise([*spans, (TOP, 0)]))
    every = {shard["ShardId"]: shard for shard in server.shards("wide")}
    for shard in every.values():
        parents = [shard[k] for k in ("ParentShardId", "AdjacentParentShardId") if k in shard]
        if len(parents) == 2:
            low, high = sorted(span(every[parent]) for parent in parents)
            assert (low[0], high[1], low[1] + 1) == (*span(shard), high[0])
        elif parents:
            start, end = span(every[parents[0]])
            assert start <= span(shard)[0] <= span(shard)[1] <= end


@pytest.mark.parametrize(("present", "target"), [(1, 3), (5, 2), (2, 5)])
def test_a_change_of_count_is_at_most_a_doubling_or_halving(limited, present, target):
    """More than twice or less than half the open shards is refused where limits are on."""
    limited.create("wide", present)
    message = limited.refused(
        "InvalidArgumentException",
        "update_shard_count",
        StreamName="wide",
        TargetShardCount=target,
        ScalingType="UNIFORM_SCALING",
    )
    assert str(target) in message
    assert len(limited.shards("wide")) == present


def test_listing_shards_goes_by_pages(server):
    """ListShards follows NextToken over all shards; tokens expire and stand alone."""
    server.create("wide", 7)
    found, where = [], {"StreamName": "wide"}
    while where:
        page = server.client.list_shards(MaxResults=3, **where)
        found.append([shard["ShardId"] for shard in page["Shards"]])
        where = {key: page[key] for key in page if key == "NextToken"}
    assert found == [[name(n) for n in part] for part in ((0, 1, 2), (3, 4, 5), (6,))]
    token = server.client.list_shards(StreamName="wide", MaxResults=3)["NextToken"]
    server.refused("InvalidArgumentException", "list_shards", StreamName="wide", NextToken=token)
    server.refused("InvalidArgumentException", "list_shards", NextToken="bm9uc2Vuc2U=")
    server.clock.pass_ms(300_001)
    server.refused("ExpiredNextTokenException", "list_shards", NextToken=token)


def test_a_page_keeps_its_filter(server):
    """The pages after the first hold to the filter that the listing began with."""
    server.create("wide", 4)
    merge(server, 0, 1, "wide")
    first = server.client.list_shards(
        StreamName="wide", MaxResults=1, ShardFilter={"Type": "AT_LATEST"}
    )
    second = server.client.list_shards(NextToken=first["NextToken"], MaxResults=1)
    third = server.client.list_shards(NextToken=second["NextToken"])
    found = [shard["ShardId"] for page in (first, second, third) for shard in page["Shards"]]
    assert found == [name(2), name(3), name(4)]
    assert "NextToken" not in third


def test_filters_choose_shards_by_when_they_were_open(server):
    """Each filter type gives exactly the shards that its words mean."""
    made_ms = server.clock.ms
    server.clock.pass_ms(HOUR_MS)
    split(server)
    server.clock.pass_ms(HOUR_MS)
    split(server, 1, TOP // 4)
    server.clock.pass_ms(HOUR_MS)

    def chosen(kind, **extra):
        shards = server.shards(ShardFilter={"Type": kind, **extra})
        return [int(shard["ShardId"][-2:]) for shard in shards]

    def at(hours):
        return {"Timestamp": (made_ms + int(hours * HOUR_MS)) / 1000}

    assert chosen("FROM_TRIM_HORIZON") == [0, 1, 2, 3, 4]
    assert chosen("AT_TRIM_HORIZON") == [0]
    assert chosen("AT_LATEST") == [2, 3, 4]
    assert chosen("AFTER_SHARD_ID", ShardId=name(1)) == [2, 3, 4]
    assert chosen("AT_TIMESTAMP", **at(0.5)) == [0]
    assert chosen("AT_TIMESTAMP", **at(1.5)) == [1, 2]
    assert chosen("AT_TIMESTAMP", **at(2.5)) == [2, 3, 4]
    assert chosen("FROM_TIMESTAMP", **at(0.5)) == [0, 1, 2, 3, 4]
    assert chosen("FROM_TIMESTAMP", **at(1.5)) == [1, 2, 3, 4]
    assert chosen("FROM_TIMESTAMP", **at(-9)) == [0, 1, 2, 3, 4]
    for wrong in ({"Type": "AT_TIMESTAMP"}, {"Type": "AFTER_SHARD_ID"}):
        server.refused(
            "InvalidArgumentException", "list_shards", StreamName="plant", ShardFilter=wrong
        )


def test_a_closed_shard_vanishes_with_its_last_record(server):
    """Past retention a closed shard is in no list and cannot be read; its children name it."""
    put(server, b"a", 0)
    split(server)
    iterator = server.iterator(name(0))
    server.clock.pass_ms(24 * HOUR_MS)
    assert len(server.shards()) == 3
    server.clock.pass_ms(1)
    assert [shard["ShardId"] for shard in server.shards()] == [name(1), name(2)]
    assert {shard["ParentShardId"] for shard in server.shards()} == {name(0)}
    described = server.client.describe_stream(StreamName="plant")["StreamDescription"]
    assert len(described["Shards"]) == 2
    server.refused("ResourceNotFoundException", "get_records", ShardIterator=iterator)
    server.refused(
        "ResourceNotFoundException",
        "get_shard_iterator",
        StreamName="plant",
        ShardId=name(0),
        ShardIteratorType="TRIM_HORIZON",
    )
    split(server, 1, 77)
    assert [shard["ShardId"] for shard in server.shards()][-1] == name(4)
