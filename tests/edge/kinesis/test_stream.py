"""A stream's life: its states, what describes it, its lists, tags, key and retention."""

from itertools import pairwise

import pytest

pytestmark = pytest.mark.slow  # starts servers

HOUR_MS = 3_600_000


def status(server, name="plant"):
    return server.client.describe_stream(StreamName=name)["StreamDescription"]["StreamStatus"]


def test_a_stream_passes_through_its_states(start):
    """CREATING → ACTIVE → UPDATING → ACTIVE → DELETING → gone, as the clock passes."""
    server = start(transition_ms=500)
    server.create()
    assert status(server) == "CREATING"
    assert server.client.describe_stream(StreamName="plant")["StreamDescription"]["Shards"] == []
    record = {"StreamName": "plant", "Data": b"a", "PartitionKey": "a"}
    server.refused("ResourceNotFoundException", "put_record", **record)
    server.refused("ResourceInUseException", "list_shards", StreamName="plant")
    server.clock.pass_ms(500)
    assert status(server) == "ACTIVE"
    split = {"ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "1000"}
    server.client.split_shard(StreamName="plant", **split)
    assert status(server) == "UPDATING"
    server.client.put_record(**record)
    server.refused("ResourceInUseException", "split_shard", StreamName="plant", **split)
    server.clock.pass_ms(500)
    assert status(server) == "ACTIVE"
    server.client.delete_stream(StreamName="plant")
    assert status(server) == "DELETING"
    server.refused("ResourceInUseException", "create_stream", StreamName="plant", ShardCount=1)
    server.refused("ResourceNotFoundException", "put_record", **record)
    server.clock.pass_ms(500)
    server.refused("ResourceNotFoundException", "describe_stream", StreamName="plant")


def test_a_new_stream_of_an_old_name_is_another_stream(server):
    """A re-created stream has a later creation, no old records, and refuses old iterators."""
    server.client.put_record(StreamName="plant", Data=b"old", PartitionKey="a")
    before = server.client.describe_stream_summary(StreamName="plant")["StreamDescriptionSummary"]
    iterator = server.iterator("shardId-000000000000")
    server.client.delete_stream(StreamName="plant")
    server.create()
    after = server.client.describe_stream_summary(StreamName="plant")["StreamDescriptionSummary"]
    assert after["StreamCreationTimestamp"] > before["StreamCreationTimestamp"]
    assert server.data("shardId-000000000000") == []
    server.refused("ResourceNotFoundException", "get_records", ShardIterator=iterator)


def test_shards_share_the_hash_keys_evenly(server):
    """The shards of a new stream cover 0 … 2¹²⁸−1 without gap or overlap, equal within one."""
    server.create("wide", 3)
    ranges = [shard["HashKeyRange"] for shard in server.shards("wide")]
    bounds = [(int(r["StartingHashKey"]), int(r["EndingHashKey"])) for r in ranges]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == 2**128 - 1
    assert all(left[1] + 1 == right[0] for left, right in pairwise(bounds))
    sizes = [end - start for start, end in bounds]
    assert max(sizes) - min(sizes) <= 1


def test_listing_streams_goes_by_pages(server):
    """ListStreams gives names in order, page by page, by token and by last name."""
    for name in ("b", "c", "a"):
        server.create(name)
    names = ["a", "b", "c", "plant"]
    pages = server.client.get_paginator("list_streams").paginate(PaginationConfig={"PageSize": 2})
    assert [name for page in pages for name in page["StreamNames"]] == names
    first = server.client.list_streams(Limit=3)
    assert (first["StreamNames"], first["HasMoreStreams"]) == (names[:3], True)
    server.clock.pass_ms(300_001)
    server.refused("ExpiredNextTokenException", "list_streams", NextToken=first["NextToken"])
    server.refused("InvalidArgumentException", "list_streams", NextToken="bm9uc2Vuc2U=")
    last = server.client.list_streams(ExclusiveStartStreamName="c")
    assert (last["StreamNames"], last["HasMoreStreams"]) == (["plant"], False)


def test_describing_goes_by_pages_of_shards(server):
    """DescribeStream gives at most Limit shards after ExclusiveStartShardId."""
    server.create("wide", 5)
    pages = server.client.get_paginator("describe_stream").paginate(
        StreamName="wide", PaginationConfig={"PageSize": 2}
    )
    sizes = [len(page["StreamDescription"]["Shards"]) for page in pages]
    assert sizes == [2, 2, 1]


def test_tags_are_kept_and_listed_by_key(server):
    """Tags are added, changed, removed and listed by pages; at most 50."""
    client = server.client
    client.add_tags_to_stream(StreamName="plant", Tags={"b": "1", "a": "2", "c": "3"})
    client.add_tags_to_stream(StreamName="plant", Tags={"b": "9"})
    client.remove_tags_from_stream(StreamName="plant", TagKeys=["c"])
    page = client.list_tags_for_stream(StreamName="plant", Limit=1)
    assert (page["Tags"], page["HasMoreTags"]) == ([{"Key": "a", "Value": "2"}], True)
    rest = client.list_tags_for_stream(StreamName="plant", ExclusiveStartTagKey="a")
    assert (rest["Tags"], rest["HasMoreTags"]) == ([{"Key": "b", "Value": "9"}], False)
    many = {str(n): "" for n in range(51)}
    server.refused("InvalidArgumentException", "add_tags_to_stream", StreamName="plant", Tags=many)


def test_encryption_is_said_of_the_stream_and_its_records(server):
    """With a key the summary, the puts and the records put since then say KMS; without, NONE."""
    key = {"StreamName": "plant", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}
    record = {"StreamName": "plant", "Data": b"a", "PartitionKey": "a"}
    assert "EncryptionType" not in server.client.put_record(**record)
    server.client.start_stream_encryption(**key)
    summary = server.client.describe_stream_summary(StreamName="plant")["StreamDescriptionSummary"]
    assert (summary["EncryptionType"], summary["KeyId"]) == ("KMS", key["KeyId"])
    assert server.client.put_record(**record)["EncryptionType"] == "KMS"
    server.client.stop_stream_encryption(**key)
    summary = server.client.describe_stream_summary(StreamName="plant")["StreamDescriptionSummary"]
    assert summary["EncryptionType"] == "NONE"
    server.client.put_record(**record)
    records = server.read("shardId-000000000000")["Records"]
    assert [r.get("EncryptionType") for r in records] == [None, "KMS", None]


@pytest.mark.parametrize("hours", [23, 8_761])
def test_retention_has_bounds(server, hours):
    """Retention is 24 to 8,760 hours, and each operation changes it one way only."""
    stream = {"StreamName": "plant"}
    for operation in ("increase_stream_retention_period", "decrease_stream_retention_period"):
        server.refused("InvalidArgumentException", operation, **stream, RetentionPeriodHours=hours)
    server.client.increase_stream_retention_period(**stream, RetentionPeriodHours=48)
    server.refused(
        "InvalidArgumentException",
        "increase_stream_retention_period",
        **stream,
        RetentionPeriodHours=47,
    )
    server.client.decrease_stream_retention_period(**stream, RetentionPeriodHours=24)


def test_records_live_as_long_as_the_retention(server):
    """A record is read until its arrival is older than the retention, then never again."""
    shard = "shardId-000000000000"
    for data in (b"first", b"second"):
        server.client.put_record(StreamName="plant", Data=data, PartitionKey="a")
        server.clock.pass_ms(HOUR_MS)
    server.clock.pass_ms(22 * HOUR_MS)
    assert server.data(shard) == [b"first", b"second"]
    server.clock.pass_ms(1)
    assert server.data(shard) == [b"second"]
    server.clock.pass_ms(HOUR_MS)
    assert server.data(shard) == []


def test_longer_retention_keeps_more_and_does_not_revive(server):
    """What a longer retention covers stays; what had expired before stays gone."""
    shard = "shardId-000000000000"
    server.client.put_record(StreamName="plant", Data=b"early", PartitionKey="a")
    server.clock.pass_ms(25 * HOUR_MS)
    server.client.put_record(StreamName="plant", Data=b"kept", PartitionKey="a")
    server.client.increase_stream_retention_period(StreamName="plant", RetentionPeriodHours=72)
    server.clock.pass_ms(40 * HOUR_MS)
    assert server.data(shard) == [b"kept"]
    server.client.decrease_stream_retention_period(StreamName="plant", RetentionPeriodHours=24)
    assert server.data(shard) == []


def test_the_account_has_a_number_of_shards(limited):
    """More than 500 open shards are refused with LimitExceededException."""
    limited.refused("LimitExceededException", "create_stream", StreamName="big", ShardCount=500)
    assert limited.client.describe_limits()["OpenShardCount"] == 1


def test_control_operations_have_a_rate(limited):
    """The 11th DescribeStream within a second is refused, and the next second's is not."""
    for _ in range(10):
        limited.client.describe_stream(StreamName="plant")
    limited.refused("LimitExceededException", "describe_stream", StreamName="plant")
    limited.clock.pass_ms(1_000)
    limited.client.describe_stream(StreamName="plant")


def test_what_is_not_offered_is_refused_in_words(server):
    """On-demand mode, large records and unknown operations are refused, never half done."""
    for extra in (
        {"StreamModeDetails": {"StreamMode": "ON_DEMAND"}},
        {"ShardCount": 1, "MaxRecordSizeInKiB": 2048},
        {},
    ):
        server.refused("InvalidArgumentException", "create_stream", StreamName="other", **extra)
    message = server.refused("UnknownOperationException", "describe_account_settings")
    assert "DescribeAccountSettings" in message
    assert server.client.list_streams()["StreamNames"] == ["plant"]
