"""Every operation's answers and errors, against botocore's own model of the service."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.session import get_session

from floorlog.local.kinesis.operation import OPERATIONS

pytestmark = pytest.mark.slow  # starts servers

SHARD = "shardId-000000000000"
ABSENT: dict[str, dict[str, Any]] = {
    "DeleteStream": {},
    "DescribeStream": {},
    "DescribeStreamSummary": {},
    "ListShards": {},
    "PutRecord": {"Data": b"a", "PartitionKey": "a"},
    "PutRecords": {"Records": [{"Data": b"a", "PartitionKey": "a"}]},
    "GetShardIterator": {"ShardId": SHARD, "ShardIteratorType": "LATEST"},
    "SplitShard": {"ShardToSplit": SHARD, "NewStartingHashKey": "7"},
    "MergeShards": {"ShardToMerge": SHARD, "AdjacentShardToMerge": "shardId-000000000001"},
    "UpdateShardCount": {"TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"},
    "IncreaseStreamRetentionPeriod": {"RetentionPeriodHours": 48},
    "DecreaseStreamRetentionPeriod": {"RetentionPeriodHours": 24},
    "StartStreamEncryption": {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"},
    "StopStreamEncryption": {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"},
    "AddTagsToStream": {"Tags": {"line": "3"}},
    "RemoveTagsFromStream": {"TagKeys": ["line"]},
    "ListTagsForStream": {},
}


def python_name(operation: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in operation).lstrip("_")


def test_every_operation_answers_in_the_shape_of_the_model(server):
    """Each operation succeeds at least once and its answer fits the model (checked on the wire)."""
    client, name = server.client, "tour"
    client.create_stream(StreamName=name, ShardCount=2, Tags={"site": "A"})
    client.describe_limits()
    client.list_streams(Limit=1)
    client.start_stream_encryption(StreamName=name, **ABSENT["StartStreamEncryption"])
    put = client.put_record(StreamName=name, Data=b"x", PartitionKey="k")
    client.put_records(StreamName=name, Records=[{"Data": b"y", "PartitionKey": "k"}] * 3)
    server.read(put["ShardId"], name=name)
    client.stop_stream_encryption(StreamName=name, **ABSENT["StopStreamEncryption"])
    client.add_tags_to_stream(StreamName=name, Tags={"line": "3"})
    client.remove_tags_from_stream(StreamName=name, TagKeys=["site"])
    client.list_tags_for_stream(StreamName=name)
    client.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=48)
    client.decrease_stream_retention_period(StreamName=name, RetentionPeriodHours=24)
    client.merge_shards(StreamName=name, **ABSENT["MergeShards"])
    client.split_shard(StreamName=name, ShardToSplit="shardId-000000000002", NewStartingHashKey="7")
    client.update_shard_count(StreamName=name, TargetShardCount=3, ScalingType="UNIFORM_SCALING")
    server.read(SHARD, name=name)
    client.describe_stream(StreamName=name)
    client.describe_stream_summary(StreamName=name)
    client.list_shards(StreamName=name, MaxResults=2)
    client.delete_stream(StreamName=name)
    assert {operation for operation, status in server.seen if status == 200} == set(OPERATIONS)


def test_the_offer_is_part_of_the_model():
    """Every operation offered exists in the service, with members of the service's own names."""
    model = get_session().get_service_model("kinesis")
    for name, operation in OPERATIONS.items():
        shape = model.operation_model(name).input_shape
        fields = operation.decoder.type.__struct_encode_fields__
        assert set(fields) <= set(shape.members), name
        assert set(shape.required_members) <= set(fields), name


@pytest.mark.parametrize("operation", sorted(ABSENT))
def test_an_absent_stream_is_not_found(server, operation):
    """Every operation on a stream answers ResourceNotFoundException where there is none."""
    message = server.refused(
        "ResourceNotFoundException",
        python_name(operation),
        StreamName="absent",
        **ABSENT[operation],
    )
    assert "absent" in message


@pytest.mark.parametrize("operation", sorted(ABSENT))
def test_the_arn_stands_for_the_name(server, operation):
    """Every operation takes StreamARN alone, and refuses an ARN that contradicts the name."""
    arn = server.client.describe_stream_summary(StreamName="plant")["StreamDescriptionSummary"][
        "StreamARN"
    ]
    arguments = dict(ABSENT[operation])
    other = "arn:aws:kinesis:eu-west-2:000000000000:stream/other"
    method = python_name(operation)
    server.refused("ResourceNotFoundException", method, StreamARN=other, **arguments)
    server.refused("InvalidArgumentException", method, StreamName="x", StreamARN=arn, **arguments)
    server.refused("InvalidArgumentException", method, StreamARN="arn:aws:sns:a:b", **arguments)
    server.refused("InvalidArgumentException", method, **arguments)
    if operation == "MergeShards":
        server.client.split_shard(StreamName="plant", **ABSENT["SplitShard"])
        arguments = {"ShardToMerge": "shardId-000000000001"}
        arguments["AdjacentShardToMerge"] = "shardId-000000000002"
    if operation == "StopStreamEncryption":
        server.client.start_stream_encryption(StreamName="plant", **arguments)
    getattr(server.client, method)(StreamARN=arn, **arguments)


def test_wrong_values_are_validation_errors(server, wire):
    """A value outside the model's bounds is a ValidationException."""
    server.client.close()
    server.client = wire.connect(server.port, parameter_validation=False)
    for operation, arguments in [
        ("create_stream", {"StreamName": "a b", "ShardCount": 1}),
        ("create_stream", {"StreamName": "ab", "ShardCount": 0}),
        ("list_shards", {"StreamName": "plant", "MaxResults": 10_001}),
        ("get_records", {"ShardIterator": "x", "Limit": 10_001}),
        ("put_record", {"StreamName": "plant", "Data": b"", "PartitionKey": "k" * 257}),
        ("put_record", {"StreamName": "plant", "Data": b"", "PartitionKey": ""}),
        ("put_records", {"StreamName": "plant", "Records": []}),
        ("split_shard", {"StreamName": "plant", "ShardToSplit": SHARD, "NewStartingHashKey": "01"}),
    ]:
        message = server.refused("ValidationException", operation, **arguments)
        assert "validation error" in message


def test_a_dry_run_changes_nothing(server):
    """DryRun is refused with DryRunOperationException and neither puts nor reads."""
    record = {"Data": b"a", "PartitionKey": "a"}
    code = "DryRunOperationException"
    server.refused(code, "put_record", StreamName="plant", DryRun=True, **record)
    server.refused(code, "put_records", StreamName="plant", DryRun=True, Records=[record])
    server.refused(code, "get_records", ShardIterator=server.iterator(SHARD), DryRun=True)
    server.refused(
        code,
        "get_shard_iterator",
        StreamName="plant",
        ShardId=SHARD,
        ShardIteratorType="LATEST",
        DryRun=True,
    )
    assert server.data(SHARD) == []


def test_arrival_has_milliseconds_and_creation_is_kept(server):
    """ApproximateArrivalTimestamp is the clock's millisecond, as is the stream's creation."""
    server.client.put_record(StreamName="plant", Data=b"a", PartitionKey="a")
    moment = datetime.fromtimestamp(server.clock.ms / 1000, UTC)
    assert server.read(SHARD)["Records"][0]["ApproximateArrivalTimestamp"] == moment
    summary = server.client.describe_stream_summary(StreamName="plant")["StreamDescriptionSummary"]
    assert summary["StreamCreationTimestamp"] == moment
