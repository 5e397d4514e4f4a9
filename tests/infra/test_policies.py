"""Policies are exactly sufficient: without any one of its actions, a role's work stops, denied."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import botocore.exceptions
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from applied import PROGRAMS, Cloud, applied, given, servers_here, until


class Step(NamedTuple):
    """A container of a task, run without one action that a statement of its role allows."""

    task: str
    container: str
    role: str
    statement: str
    action: str
    key: str = ""  # the alias of the key on which alone it is removed


GET, OWN, SIGNING = (
    "secretsmanager:GetSecretValue",
    "alias/iot-key-dev",
    "alias/iot-signing-key-dev",
)
KEEPER = ("iot-processor-dev", "keeper", "ecs-task-role")
WORKER = ("iot-processor-dev", "processor", "ecs-task-role")
MIGRATION = ("iot-migration-dev", "migration", "iot-migration-task-role")
ROTATION = ("iot-rotation-dev", "rotation", "iot-rotation-task-role")
PAGE = ("iot-page-dev", "page", "iot-page-task-role")
# In an order in which each is still needed: a key is wrapped just once.
STEPS = [
    Step(*MIGRATION, "Secrets", GET),
    Step(*MIGRATION, "SecretsKey", "kms:Decrypt", OWN),
    Step(*KEEPER, "SigningKey", "kms:Encrypt"),
    Step(*KEEPER, "ListNotes", "s3:ListBucket"),
    Step(*KEEPER, "Notes", "s3:GetObject"),
    Step(*KEEPER, "SigningKey", "kms:GenerateDataKey"),
    Step(*KEEPER, "Notes", "s3:PutObject"),
    Step(*KEEPER, "SigningKey", "kms:Decrypt", SIGNING),
    Step(*WORKER, "Secrets", GET),
    Step(*WORKER, "SecretsKey", "kms:Decrypt", OWN),
    Step(*WORKER, "Stream", "kinesis:DescribeStreamSummary"),
    Step(*WORKER, "Stream", "kinesis:ListShards"),
    Step(*WORKER, "Stream", "kinesis:GetShardIterator"),
    Step(*WORKER, "Stream", "kinesis:GetRecords"),
    Step(*WORKER, "Cache", "elasticache:Connect"),
    Step(*PAGE, "Secrets", GET),
    Step(*PAGE, "SecretsKey", "kms:Decrypt", OWN),
    Step(*PAGE, "Cache", "elasticache:Connect"),
    Step(*ROTATION, "Secrets", GET),
    Step(*ROTATION, "SecretsKey", "kms:Decrypt", OWN),
    Step(*ROTATION, "NewVersion", "secretsmanager:DescribeSecret"),
    Step(*ROTATION, "NewVersion", "secretsmanager:PutSecretValue"),
    Step(*ROTATION, "NewVersionKey", "kms:GenerateDataKey"),
    Step(*ROTATION, "NewVersion", "secretsmanager:UpdateSecretVersionStage"),
]
GROUP = {"logGroupName": "/aws/iot-processing-dev", "logStreamName": "ecs/test/1"}
FLOWS = {"logGroupName": "/aws/iot-flow-logs-dev", "logStreamName": "eni-1"}
EVENTS = [{"timestamp": 1_767_225_600_000, "message": "x"}]
IMAGES = {"repositoryName": "iot-processor-dev"}
LAYER = "sha256:" + "0" * 64
RUN = {"cluster": "iot-processing-cluster-dev", "taskDefinition": "iot-rotation-dev"}
RECORD = {"StreamName": "sensor-data-stream-dev"}
NOTES = {"Bucket": "iot-anchors-123456789012-eu-west-2-dev"}
# What somebody else does with a role of ours (a producer, Fargate, the scheduler, the VPC), call by
# call: role, statement, action, and the call with its values.
CALLS: list[tuple[str, str, str, str, dict[str, Any]]] = [
    ("producer-role", "Put", "kinesis:PutRecord", "put_record",
     {**RECORD, "Data": b"{}", "PartitionKey": "x"}),
    ("producer-role", "Put", "kinesis:PutRecords", "put_records",
     {**RECORD, "Records": [{"Data": b"{}", "PartitionKey": "x"}]}),
    ("ecs-execution-role", "LogIn", "ecr:GetAuthorizationToken", "get_authorization_token", {}),
    ("ecs-execution-role", "Image", "ecr:BatchGetImage", "batch_get_image",
     {**IMAGES, "imageIds": [{"imageTag": "1"}]}),
    ("ecs-execution-role", "Image", "ecr:BatchCheckLayerAvailability",
     "batch_check_layer_availability", {**IMAGES, "layerDigests": [LAYER]}),
    ("ecs-execution-role", "Image", "ecr:GetDownloadUrlForLayer", "get_download_url_for_layer",
     {**IMAGES, "layerDigest": LAYER}),
    ("ecs-execution-role", "Logs", "logs:CreateLogStream", "create_log_stream", GROUP),
    ("ecs-execution-role", "Logs", "logs:PutLogEvents", "put_log_events",
     {**GROUP, "logEvents": EVENTS}),
    ("flow-log-role", "FlowLogs", "logs:CreateLogStream", "create_log_stream", FLOWS),
    ("flow-log-role", "FlowLogs", "logs:PutLogEvents", "put_log_events",
     {**FLOWS, "logEvents": EVENTS}),
    ("flow-log-role", "FlowLogs", "logs:DescribeLogStreams", "describe_log_streams",
     {"logGroupName": FLOWS["logGroupName"]}),
    ("iot-page-task-role", "Stream", "kinesis:PutRecord", "put_record",
     {**RECORD, "Data": b"{}", "PartitionKey": "x"}),
    ("iot-page-task-role", "Stream", "kinesis:PutRecords", "put_records",
     {**RECORD, "Records": [{"Data": b"{}", "PartitionKey": "x"}]}),
    ("iot-page-task-role", "Stream", "kinesis:ListShards", "list_shards", RECORD),
    ("iot-page-task-role", "Notes", "s3:GetObject", "get_object", {**NOTES, "Key": "none"}),
    ("iot-page-task-role", "ListNotes", "s3:ListBucket", "list_objects_v2", NOTES),
    ("iot-scheduler-role", "Run", "ecs:RunTask", "run_task", RUN),
    ("iot-scheduler-role", "Roles", "iam:PassRole", "run_task", RUN),
]  # fmt: skip
# What the local cloud cannot enforce, and why; nothing else is left out.
NOT_ENFORCED = {
    ("iot-page-task-role", "Forwarding"): "no Systems Manager agent runs here",
    ("iot-page-task-role", "StreamKey"): "only with a customer's key for the stream",
    ("iot-page-task-role", "NotesKey"): "moto decrypts objects without asking for their key",
    ("iot-scheduler-role", "Schedule"): "moto stores schedules as they are",
    (
        "ecs-task-role",
        "StreamKey",
    ): "only with a customer's key for the stream; our server has none",
    ("producer-policy", "Encrypt"): "the same",
    (
        "ecs-execution-role",
        "PageSecret",
    ): "only with a client's secret for the page: Fargate reads it",
}


def statements(configuration: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Every action that a configuration grants to whom, by which statement."""
    found = set()
    made = configuration["resource"]
    policies = [
        (each["role"].removeprefix("${aws_iam_role.").removesuffix(".id}"), each["policy"])
        for each in made["aws_iam_role_policy"].values()
    ]
    policies.append(("producer-policy", made["aws_iam_policy"]["producer-policy"]["policy"]))
    for who, document in policies:
        for each in json.loads(document)["Statement"]:
            found |= {(who, each["Sid"], action) for action in each["Action"]}
    return found


@pytest.mark.slow
def test_every_action_is_removed_once_or_listed(configurations: dict[str, dict[str, Any]]) -> None:
    """The steps and calls below and the list of what cannot be enforced are all that is granted."""
    granted = {
        (who, sid, action)
        for each in configurations.values()
        for who, sid, action in statements(each)
    }
    shown = {(step.role, step.statement, step.action) for step in STEPS}
    shown |= {
        ("producer-policy" if role == "producer-role" else role, sid, action)
        for role, sid, action, *_ in CALLS
    }
    left_out = {each for each in granted - shown if each[:2] in NOT_ENFORCED}
    assert granted - shown == left_out
    assert shown <= granted
    assert {each[:2] for each in left_out} == set(NOT_ENFORCED)


def name_of(role: str) -> str:
    """A role's name once applied, by its key in the configuration."""
    return f"iot-{role}-dev" if role in {"producer-role", "flow-log-role"} else f"{role}-dev"


@pytest.fixture(scope="module")
def cloud(plugin: Path, serve_cloud, synthesiser, tmp_path_factory, not_run) -> Iterator[Cloud]:
    """The stack around a database that existed, on a local cloud of this module's own."""
    del plugin
    if not PROGRAMS.exists():
        not_run("needs Debian's postgresql-15, which speaks TLS: the embedded one does not")
    folder = tmp_path_factory.mktemp("applied")
    with (
        servers_here() as here,
        serve_cloud(here.services.kinesis_endpoint, here.file) as endpoint,
        applied(endpoint, here, synthesiser(given(endpoint, here)), folder) as made,
    ):
        yield made


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_no_action_of_a_role_is_spare(cloud: Cloud) -> None:
    """Each action of each role that a task uses is removed in turn: its run is denied just that."""
    for step in STEPS:
        if step.action == "kms:Encrypt":
            cloud.run("iot-migration-dev", "migration")
        removed = step.action
        if step.key:
            key = cloud.client("kms").describe_key(KeyId=step.key)["KeyMetadata"]["Arn"]
            removed = f"{step.action} {key}"
        cloud.gate("forget/")
        cloud.gate(f"remove/{quote(removed, safe='')}")
        wanted = f"{name_of(step.role)} {removed}"
        task = cloud.start(step.task, step.container)
        try:
            until(
                f"{step.role} is denied {removed}",
                lambda wanted=wanted: any(
                    each.startswith(wanted) for each in cloud.gate("")["denied"]
                ),
            )
            denied = {each.split(" ")[1] for each in cloud.gate("")["denied"]}
            assert denied == {step.action}, (step, denied)
        finally:
            task.end()
            cloud.gate(f"restore/{quote(removed, safe='')}")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_others_need_each_action_of_our_roles(cloud: Cloud) -> None:
    """Without its action a producer's, Fargate's, the scheduler's or the VPC's call is denied."""
    for role, _, action, operation, values in CALLS:
        service = "ecs" if operation == "run_task" else action.partition(":")[0]
        client = cloud.client(service, name_of(role))
        cloud.gate("forget/")
        cloud.gate(f"remove/{action}")
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            getattr(client, operation)(**values)
        cloud.gate(f"restore/{action}")
        denied = cloud.gate("")["denied"]
        assert any(each.startswith(f"{name_of(role)} {action}") for each in denied), action
        message = str(caught.value)
        # S3's client reads no JSON: what it was told, the gate alone says.
        assert service == "s3" or ("AccessDenied" in message and action in message), message
        # It may end with another error (no such image), but it is not denied.
        said = ""
        try:
            getattr(client, operation)(**values)
        except botocore.exceptions.ClientError as error:
            said = str(error)
        assert "AccessDenied" not in said, action
