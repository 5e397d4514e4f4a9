"""Access: who may do what; each policy names its own resources and no other."""

from dataclasses import dataclass

from cdktn_provider_aws.iam_role import IamRole
from cdktn_provider_aws.iam_role_policy import IamRolePolicy

from floorlog.infra.part import Room, allow, policy, trust

Statement = dict[str, object]
TASKS = "ecs-tasks.amazonaws.com"


@dataclass(frozen=True)
class Execution:
    """What Fargate starts tasks with, and the policy that must be there before it does."""

    role: IamRole
    policy: IamRolePolicy


def role(room: Room, plain: str, why: str, account: str, *, service: str = TASKS) -> IamRole:
    """A role that one service takes on for this account."""
    return room.add(
        IamRole,
        plain,
        why,
        name=room.name(plain),
        assume_role_policy=trust(service, account),
    )


def grant(room: Room, to: IamRole, plain: str, why: str, *statements: Statement) -> IamRolePolicy:
    """A policy of a role's own."""
    return room.add(
        IamRolePolicy,
        plain,
        why,
        name=room.name(plain),
        role=to.id,
        policy=policy(*statements),
    )


def read_stream(arn: str, key_arn: str) -> list[Statement]:
    """What a worker does with the stream."""
    actions = ["DescribeStreamSummary", "ListShards", "GetShardIterator", "GetRecords"]
    statements = [allow("Stream", [f"kinesis:{action}" for action in actions], arn)]
    if key_arn:
        statements.append(allow("StreamKey", ["kms:Decrypt"], key_arn))
    return statements


def put_records(arn: str, key_arn: str) -> list[Statement]:
    """What whoever sends files and rejects through the stream does with it."""
    actions = ["PutRecord", "PutRecords", "ListShards"]
    statements = [allow("Stream", [f"kinesis:{action}" for action in actions], arn)]
    if key_arn:
        statements.append(allow("StreamKey", ["kms:GenerateDataKey"], key_arn))
    return statements


def read_secrets(arns: list[str], key_arn: str, region: str) -> list[Statement]:
    """Read secrets, and decrypt what they are encrypted with, by way of Secrets Manager alone."""
    return [
        allow("Secrets", ["secretsmanager:GetSecretValue"], arns),
        through("SecretsKey", ["kms:Decrypt"], key_arn, f"secretsmanager.{region}.amazonaws.com"),
    ]


def through(sid: str, actions: list[str], key_arn: str, service: str) -> Statement:
    """The use of a key by way of one service."""
    condition = {"StringEquals": {"kms:ViaService": service}}
    return allow(sid, actions, key_arn, Condition=condition)


def execution_role(room: Room, account: str, repository_arn: str, log_arn: str) -> Execution:
    """What Fargate itself may do to start a task: fetch the image, write the log."""
    made = role(room, "ecs-execution-role", "Fargate starts tasks with it", account)
    secret = room.parameters.page_client_secret_arn
    layers = ["BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"]
    granted = grant(
        room,
        made,
        "ecs-execution-policy",
        "fetch the image, write the log",
        # ECR gives out its log-in for the whole account only.
        allow("LogIn", ["ecr:GetAuthorizationToken"], "*"),
        allow("Image", [f"ecr:{layer}" for layer in layers], repository_arn),
        allow("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], f"{log_arn}:*"),
        *([allow("PageSecret", ["secretsmanager:GetSecretValue"], secret)] if secret else []),
    )
    return Execution(made, granted)
