"""Stream: where producers put readings, encrypted, and the role that may put them there."""

import json
from dataclasses import dataclass

from cdktn_provider_aws.data_aws_kms_alias import DataAwsKmsAlias
from cdktn_provider_aws.iam_policy import IamPolicy
from cdktn_provider_aws.iam_role import IamRole
from cdktn_provider_aws.iam_role_policy_attachment import IamRolePolicyAttachment
from cdktn_provider_aws.kinesis_stream import KinesisStream

from floorlog.infra.part import HOURS_A_MONTH, Room, allow, policy, trust

SHARDS_MAX_HOURS = 24  # what the price of a shard includes


@dataclass(frozen=True)
class Stream:
    """The stream, and the customer's key that encrypts it: "" for AWS's own."""

    name: str
    arn: str
    key_arn: str


def stream(room: Room, account: str) -> Stream:
    """The stream, or the existing one that the parameters name; producers may put into it."""
    asked = room.parameters
    key_arn = _key(room)
    if asked.stream_arn:
        found = Stream(asked.stream_arn.rpartition("/")[2], asked.stream_arn, key_arn)
    else:
        usage = {"shard hour": asked.shards * HOURS_A_MONTH}
        if asked.retention_hours > SHARDS_MAX_HOURS:
            usage["shard hour, longer retention"] = asked.shards * HOURS_A_MONTH
        made = room.add(
            KinesisStream,
            "stream",
            "takes readings from producers and keeps them until they are recorded",
            usage=usage,
            name=room.name("sensor-data-stream"),
            shard_count=asked.shards,
            retention_period=asked.retention_hours,
            encryption_type="KMS",
            kms_key_id=asked.stream_key,
            stream_mode_details={"stream_mode": "PROVISIONED"},
        )
        found = Stream(made.name, made.arn, key_arn)
    _producer(room, found, account)
    return found


def _key(room: Room) -> str:
    """The ARN of a customer's key; readers and producers need leave to use it."""
    asked = room.parameters.stream_key
    if asked == "alias/aws/kinesis":
        return ""  # its own policy admits whoever may use the stream
    if asked.startswith("arn:"):
        return asked
    return str(DataAwsKmsAlias(room.scope, "stream-key", name=asked).target_key_arn)


def _producer(room: Room, stream: Stream, account: str) -> None:
    """A policy for whoever puts, and a role that has it: IoT Core's rules, and those named."""
    statements = [allow("Put", ["kinesis:PutRecord", "kinesis:PutRecords"], stream.arn)]
    if stream.key_arn:
        statements.append(allow("Encrypt", ["kms:GenerateDataKey"], stream.key_arn))
    made = room.add(
        IamPolicy,
        "producer-policy",
        "put records into this stream, and nothing else",
        name=room.name("iot-producer-policy"),
        policy=policy(*statements),
    )
    admitted = json.loads(trust("iot.amazonaws.com", account))
    if room.parameters.producers:
        named = {"AWS": list(room.parameters.producers)}
        admitted["Statement"].append(
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": named}
        )
    role = room.add(
        IamRole,
        "producer-role",
        "taken on by rules of IoT Core, and by the producers that the parameters name",
        name=room.name("iot-producer-role"),
        assume_role_policy=json.dumps(admitted, sort_keys=True),
    )
    room.add(
        IamRolePolicyAttachment,
        "producer-role-policy",
        "the role has that policy",
        role=role.name,
        policy_arn=made.arn,
    )
