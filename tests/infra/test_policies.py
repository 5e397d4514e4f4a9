"""Policies are exactly sufficient: without any one of its actions, a role's work stops, denied.

Not enforced by the local cloud, and so not shown: elasticache:Connect (no such cache here),
kms:Decrypt and kms:GenerateDataKey by way of Secrets Manager and S3 (moto encrypts nothing),
ecr:* of the execution role, ecs:RunTask and iam:PassRole of the scheduler, ssmmessages:* of the
page.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import botocore.exceptions
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from applied import Cloud, applied, given, services_here, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
MANAGER = "secretsmanager:"
# In an order in which each is still needed: a key is wrapped just once.
NEEDED = [
    ("iot-migration-dev", "migration", "iot-migration-task-role-dev", f"{MANAGER}GetSecretValue"),
    ("iot-processor-dev", "keeper", "ecs-task-role-dev", "kms:Encrypt"),
    ("iot-processor-dev", "keeper", "ecs-task-role-dev", "s3:ListBucket"),
    ("iot-processor-dev", "keeper", "ecs-task-role-dev", "s3:GetObject"),
    ("iot-processor-dev", "keeper", "ecs-task-role-dev", "s3:PutObject"),
    ("iot-processor-dev", "keeper", "ecs-task-role-dev", "kms:Decrypt"),
    ("iot-processor-dev", "processor", "ecs-task-role-dev", f"{MANAGER}GetSecretValue"),
    ("iot-processor-dev", "processor", "ecs-task-role-dev", "kinesis:DescribeStreamSummary"),
    ("iot-processor-dev", "processor", "ecs-task-role-dev", "kinesis:ListShards"),
    ("iot-processor-dev", "processor", "ecs-task-role-dev", "kinesis:GetShardIterator"),
    ("iot-processor-dev", "processor", "ecs-task-role-dev", "kinesis:GetRecords"),
    ("iot-rotation-dev", "rotation", "iot-rotation-task-role-dev", f"{MANAGER}GetSecretValue"),
    ("iot-rotation-dev", "rotation", "iot-rotation-task-role-dev", f"{MANAGER}DescribeSecret"),
    ("iot-rotation-dev", "rotation", "iot-rotation-task-role-dev", f"{MANAGER}PutSecretValue"),
    ("iot-rotation-dev", "rotation", "iot-rotation-task-role-dev",
     f"{MANAGER}UpdateSecretVersionStage"),
]  # fmt: skip


@pytest.fixture(scope="module")
def cloud(plugin: Path, serve_cloud, synthesiser, tmp_path_factory) -> Iterator[Cloud]:
    """The stack on a local cloud of this module's own."""
    del plugin
    folder = tmp_path_factory.mktemp("applied")
    with services_here() as services, serve_cloud(services.kinesis_endpoint) as endpoint:
        configuration = synthesiser(given(endpoint, services))
        with applied(endpoint, services, configuration, folder) as made:
            yield made


def test_no_action_of_a_role_is_spare(cloud: Cloud) -> None:
    """Each action of each role that a task uses is removed in turn: its run is denied just that."""
    for family, container, role, action in NEEDED:
        if container == "keeper" and action == "kms:Encrypt":
            cloud.run("iot-migration-dev", "migration")
        cloud.gate("forget/")
        cloud.gate(f"remove/{action}")
        task = cloud.start(family, container)
        try:
            until(
                f"{role} is denied {action}",
                lambda wanted=f"{role} {action} ": any(
                    each.startswith(wanted) for each in cloud.gate("")["denied"]
                ),
            )
            denied = {each.split(" ")[1] for each in cloud.gate("")["denied"]}
            assert denied == {action}, (container, denied)
        finally:
            task.end()
            cloud.gate(f"restore/{action}")


def test_producers_and_fargate_need_each_of_their_actions(cloud: Cloud) -> None:
    """Without PutRecord, PutRecords, CreateLogStream or PutLogEvents the call itself is denied."""
    stream = cloud.outputs["kinesis_stream_name"]
    group = {"logGroupName": "/aws/iot-processing-dev", "logStreamName": "ecs/test/1"}
    record = {"Data": b"{}", "PartitionKey": "x"}
    events = [{"timestamp": 1_767_225_600_000, "message": "x"}]
    calls = {
        "kinesis:PutRecord": ("iot-producer-role-dev", "put_record",
                              {"StreamName": stream, **record}),
        "kinesis:PutRecords": ("iot-producer-role-dev", "put_records",
                               {"StreamName": stream, "Records": [record]}),
        "logs:CreateLogStream": ("ecs-execution-role-dev", "create_log_stream", group),
        "logs:PutLogEvents": ("ecs-execution-role-dev", "put_log_events",
                              {**group, "logEvents": events}),
    }  # fmt: skip
    for action, (role, operation, values) in calls.items():
        client = cloud.client(action.partition(":")[0], role)
        cloud.gate(f"remove/{action}")
        with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
            getattr(client, operation)(**values)
        cloud.gate(f"restore/{action}")
        getattr(client, operation)(**values)
