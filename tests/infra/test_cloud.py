"""End to end before AWS: from apply to destroy, with policies enforced (see applied.py)."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import botocore.exceptions
import psycopg
import pytest

from floorlog.cache import Connection, Endpoint, read_all

sys.path.insert(0, str(Path(__file__).parent))
from applied import (
    PROGRAMS,
    READINGS,
    WAIT_SECONDS,
    Cloud,
    asked,
    deploy,
    deployed,
    servers_here,
    until,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def cloud(plugin: Path, serve_cloud, infra_python, tmp_path_factory, not_run) -> Iterator[Cloud]:
    """The whole stack, its database included, on a local cloud of this module's own."""
    del plugin
    if not PROGRAMS.exists():
        not_run("needs Debian's postgresql-15, which speaks TLS: the embedded one does not")
    folder = tmp_path_factory.mktemp("applied")
    with (
        servers_here() as here,
        serve_cloud(here.services.kinesis_endpoint, here.file) as endpoint,
        deployed(endpoint, here, infra_python, asked(here), folder) as made,
    ):
        yield made


MANAGER = "secretsmanager"
ADMIN, WRITER = "ADMIN", "WRITER"  # stand for ARNs that are known once applied
NEW = {"SecretId": WRITER, "SecretString": json.dumps({})}
FORBIDDEN: list[tuple[str, str, str, dict[str, Any]]] = [
    ("ecs-task-role-dev", "kinesis", "put_record",
     {"StreamName": "sensor-data-stream-dev", "Data": b"{}", "PartitionKey": "x"}),
    ("ecs-task-role-dev", "kinesis", "delete_stream", {"StreamName": "sensor-data-stream-dev"}),
    ("ecs-task-role-dev", "kinesis", "list_shards", {"StreamName": "another"}),
    ("ecs-task-role-dev", MANAGER, "get_secret_value", {"SecretId": ADMIN}),
    ("ecs-task-role-dev", MANAGER, "put_secret_value",
     NEW),
    ("ecs-task-role-dev", "s3", "delete_object", {"Bucket": "BUCKET", "Key": "notes/x"}),
    ("ecs-task-role-dev", "s3", "get_object", {"Bucket": "another", "Key": "x"}),
    ("ecs-task-role-dev", "kms", "schedule_key_deletion", {"KeyId": "alias/iot-signing-key-dev"}),
    ("ecs-task-role-dev", "logs", "delete_log_group", {"logGroupName": "/aws/iot-processing-dev"}),
    ("iot-migration-task-role-dev", MANAGER, "put_secret_value",
     NEW),
    ("iot-producer-role-dev", "kinesis", "describe_stream_summary",
     {"StreamName": "sensor-data-stream-dev"}),
    ("iot-producer-role-dev", "kinesis", "put_record",
     {"StreamName": "another", "Data": b"{}", "PartitionKey": "x"}),
    ("ecs-execution-role-dev", "logs", "create_log_stream",
     {"logGroupName": "/aws/another", "logStreamName": "x"}),
    ("ecs-execution-role-dev", MANAGER, "get_secret_value", {"SecretId": WRITER}),
]  # fmt: skip


def run_all(cloud: Cloud) -> None:
    """Two processors with their keepers started, half sent, rotated, the rest sent."""
    cloud.start("iot-page-dev", "page")
    for _ in range(2):
        cloud.start("iot-processor-dev", "processor")
        cloud.start("iot-processor-dev", "keeper")
    cloud.send(0)
    cloud.wait_stored(READINGS)
    cloud.run("iot-rotation-dev", "rotation")
    # Connections that are open go on after a rotation: lose them, so that all must log in anew.
    cloud.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'floorlog%'"
    )
    cloud.send(READINGS)
    cloud.wait_stored(2 * READINGS)
    try:
        until("a note is anchored", lambda: any(".note" in name for name in cloud.anchored()))
    except AssertionError as error:
        said = [line for task in cloud.tasks if "keeper" in task.name for line in task.lines[-5:]]
        raise AssertionError("\n".join([str(error), *cloud.anchored(), *said])) from error


class Story:
    """All that was seen, in the order in which it happened; the tests look at it in any order."""

    def __init__(self, cloud: Cloud, python: Path) -> None:
        self.denied = {name(call): outcome(cloud, call) for call in FORBIDDEN}
        run_all(cloud)
        self.leases = cloud.sql(
            "SELECT received, stored, rejected, duplicate, owner FROM floorlog.lease"
        )
        self.values = cloud.sql("SELECT count(*), count(DISTINCT value) FROM floorlog.reading")
        self.cached = self._cached(cloud)
        self.health = healthy(cloud)
        self.page = shown(cloud)
        self.encrypted = cloud.sql(
            "SELECT a.usename, bool_and(s.ssl) FROM pg_stat_activity a"
            " JOIN pg_stat_ssl s USING (pid) WHERE a.usename LIKE 'floorlog_%' GROUP BY 1"
        )
        self.plain = plainly(cloud)
        self.connected = [a for a in cloud.gate("")["allowed"] if "elasticache:Connect" in a]
        self.running = [task for task in cloud.tasks if task.process.poll() is None]
        for task in self.running:
            task.process.terminate()
        self.exits = [task.process.wait(WAIT_SECONDS) for task in self.running]
        for task in self.running:
            assert task.reader
            task.reader.join(30)
        self.owners = {row[0] for row in cloud.sql("SELECT owner FROM floorlog.lease")}
        group = "/aws/iot-processing-dev"
        self.events = cloud.client("logs").filter_log_events(logGroupName=group)["events"]
        self.received = received(cloud)
        self.words = passwords(cloud)
        self.texts = texts(cloud)
        self.users = cached_as(cloud)
        deploy(cloud.endpoint, python, cloud.folder, "destroy", "--yes", "--and-the-record")
        self.state = json.loads((cloud.folder / "dev.tfstate").read_text())
        self.left = left(cloud)

    @staticmethod
    def _cached(cloud: Cloud) -> dict[str, object]:
        endpoint = Endpoint.parse(cloud.services.redis_endpoint)
        wanted = {f"press-{n % 20:02}": float(n) for n in range(2 * READINGS - 20, 2 * READINGS)}

        def found() -> dict[str, object]:
            return {last.device: last.value for last in read_all(endpoint)}

        until("the last values are in the cache", lambda: found() == wanted)
        return found()


def name(call: tuple[str, str, str, dict[str, Any]]) -> str:
    """A forbidden call, in words."""
    return " ".join([*call[:3], str(sorted(call[3].items()))])


def outcome(cloud: Cloud, call: tuple[str, str, str, dict[str, Any]]) -> str:
    """How a call ends: the error's code, or "allowed"."""
    role, service, operation, values = call
    real = {
        "ADMIN": record(cloud)["MasterUserSecret"]["SecretArn"],
        "WRITER": cloud.outputs["db_secret_arn"],
        "BUCKET": cloud.outputs["anchor_bucket"],
    }
    values = {key: real.get(str(value), value) for key, value in values.items()}
    try:
        getattr(cloud.client(service, role), operation)(**values)
    except botocore.exceptions.ClientError as error:
        headers = error.response["ResponseMetadata"]["HTTPHeaders"]
        return str(headers.get("x-amzn-errortype") or error.response["Error"]["Code"])
    return "allowed"


def record(cloud: Cloud) -> dict[str, Any]:
    """The database instance, as RDS describes it."""
    [found] = cloud.client("rds").describe_db_instances()["DBInstances"]
    return dict(found)


def shown(cloud: Cloud) -> str:
    """What the page's task answers on its loopback, where a forwarded port ends."""
    [page] = [task for task in cloud.tasks if "page" in task.name]
    address = until(
        "the page says where it is",
        lambda: re.search(r"http://127\.0\.0\.1:\d+/", "\n".join(page.lines)),
    )[0]
    with urlopen(f"{address}api/v1/devices", timeout=30) as answer:
        return str(answer.read().decode())


def plainly(cloud: Cloud) -> str:
    """What the database says to a task's role that speaks no TLS."""
    secret = cloud.client("secretsmanager").get_secret_value(
        SecretId=cloud.outputs["db_secret_arn"]
    )
    held = json.loads(secret["SecretString"])
    try:
        psycopg.connect(
            host=held["host"], port=held["port"], dbname=held["dbname"], user=held["username"],
            password=held["password"], sslmode="disable",
        ).close()  # fmt: skip
    except psycopg.OperationalError as error:
        return str(error)
    return "connected"


def cached_as(cloud: Cloud) -> set[str]:
    """Who was logged in at the cache since it started, the tests themselves left out."""
    with Connection(Endpoint.parse(cloud.services.redis_endpoint)) as connection:
        found = connection.call("ACL", "USERS")
    assert isinstance(found, list)
    return {str(bytes(each).decode()) for each in found if isinstance(each, bytes)} - {"default"}


def health(file: Path) -> tuple[int, str]:
    """What `floorlog health` says of a worker's heartbeat: its exit code, and its words."""
    done = subprocess.run(
        [sys.executable, "-m", "floorlog", "health"],
        env={"FLOORLOG_HEALTH_FILE": str(file), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def healthy(cloud: Cloud) -> list[tuple[int, str]]:
    """What `floorlog health` says of both processors, once each has had the time of a heartbeat."""
    files = [cloud.folder / f"heartbeat-{number}" for number in (1, 3)]
    until("both have a heartbeat", lambda: all(file.exists() for file in files))
    return [health(file) for file in files]


def received(cloud: Cloud) -> float:
    """Readings that CloudWatch's metric counts."""
    found = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="Floorlog",
        MetricName="received",
        Dimensions=[{"Name": "Environment", "Value": "dev"}],
        StartTime=time.time() - 3_600,
        EndTime=time.time() + 60,
        Period=3_600,
        Statistics=["Sum"],
    )
    return float(sum(each["Sum"] for each in found["Datapoints"]))


def passwords(cloud: Cloud) -> set[str]:
    """What the secrets of the roles hold, and held before the rotation."""
    secrets = cloud.client("secretsmanager")
    found = set()
    for listed in secrets.list_secrets()["SecretList"]:
        for stage in ("AWSCURRENT", "AWSPREVIOUS"):
            with suppress(botocore.exceptions.ClientError):
                held = secrets.get_secret_value(SecretId=listed["ARN"], VersionStage=stage)
                found.add(json.loads(held["SecretString"])["password"])
    return found


def texts(cloud: Cloud) -> dict[str, bytes]:
    """Everything in which a password could stand, by name."""
    group = "/aws/iot-processing-dev"
    events = cloud.client("logs").filter_log_events(logGroupName=group)["events"]
    said = "\n".join(
        [each["message"] for each in events] + [line for task in cloud.tasks for line in task.lines]
    )
    found = {
        "logs": said.encode(),
        "plan, shown": json.dumps(cloud.terraform.show("plan")).encode(),
    }
    for file in ("dev.tfstate", "plan", "cdk.tf.json"):
        found[file] = (cloud.folder / file).read_bytes()
    return found


def left(cloud: Cloud) -> list[str]:
    """What of the deployment is still there, of every kind that moto can list."""
    names = [each["Arn"] for each in cloud.client("iam").list_roles()["Roles"]]
    names += [each["Name"] for each in cloud.client("s3").list_buckets()["Buckets"]]
    for service, call, field, name in LISTS:
        answer = getattr(cloud.client(service), call)()
        found = answer[field]
        names += [each if name is None else each.get(name, "") for each in found]
    vpcs = cloud.client("ec2").describe_vpcs(Filters=[{"Name": "tag-key", "Values": ["Project"]}])
    return [found for found in names if re.search(r"-dev\b", found)] + vpcs["Vpcs"]


# What is listed after all is gone: service, call, field of the answer, field of the name.
LISTS = (
    ("secretsmanager", "list_secrets", "SecretList", "Name"),
    ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    ("kinesis", "list_streams", "StreamNames", None),
    ("rds", "describe_db_instances", "DBInstances", "DBInstanceIdentifier"),
    ("rds", "describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupName"),
    ("rds", "describe_db_snapshots", "DBSnapshots", "DBSnapshotIdentifier"),
    ("elasticache", "describe_replication_groups", "ReplicationGroups", "ReplicationGroupId"),
    ("elasticache", "describe_users", "Users", "UserId"),
    ("elasticache", "describe_user_groups", "UserGroups", "UserGroupId"),
    ("ecr", "describe_repositories", "repositories", "repositoryName"),
    ("ecs", "list_task_definitions", "taskDefinitionArns", None),
    ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    ("sns", "list_topics", "Topics", "TopicArn"),
    ("scheduler", "list_schedules", "Schedules", "Name"),
    ("kms", "list_aliases", "Aliases", "AliasName"),
)


@pytest.fixture(scope="module")
def story(cloud: Cloud, infra_python: Path) -> Story:
    """From apply to destroy."""
    return Story(cloud, infra_python)


def test_all_readings_arrive_once_over_a_rotation(story: Story) -> None:
    """What was sent stands in the record, each reading once, rejects none; both tasks read."""
    assert sum(row[1] for row in story.leases) == 2 * READINGS
    assert sum(row[2] for row in story.leases) == 0
    assert len({row[4] for row in story.leases}) == 2
    assert story.values == [(2 * READINGS, 2 * READINGS)]


def test_the_last_values_are_in_the_cache(story: Story) -> None:
    """Each series' newest value is there."""
    assert len(story.cached) == 20


def test_the_processors_are_healthy(story: Story) -> None:
    """`floorlog health`, as the task definition calls it, is content with both."""
    assert [code for code, _ in story.health] == [0, 0], story.health


def test_logs_and_measures_are_in_cloudwatch(story: Story) -> None:
    """Lines are JSON in the log group, and every reading is counted, though nobody put a metric."""
    lines = [each["message"] for each in story.events if each["message"].startswith("{")]
    assert "INFO" in {json.loads(line).get("level") for line in lines}
    assert story.received == 2 * READINGS


@pytest.mark.parametrize("call", FORBIDDEN, ids=[f"{c[0]}-{c[1]}-{c[2]}" for c in FORBIDDEN])
def test_a_forbidden_call_is_denied(story: Story, call: tuple[str, str, str, Any]) -> None:
    """No role can do what it does not need: other resources, other actions, others' secrets."""
    assert story.denied[name(call)] == "AccessDeniedException"


def test_no_password_is_in_state_plan_or_logs(story: Story) -> None:
    """The passwords that secrets hold now and held before stand in no file and no log line."""
    assert len(story.words) == 9  # four roles, rotated once, and the administrator
    assert b"sensor-data-stream-dev" in story.texts["dev.tfstate"]
    for word in story.words:
        assert len(word) == 40
        for place, text in story.texts.items():
            assert word.encode() not in text, place


@pytest.mark.timeout(1800)
def test_no_password_is_in_the_image(story: Story, image: dict[str, Any]) -> None:
    """Nor in any file of the image, as it would be pushed."""
    wanted = re.compile(b"|".join(word.encode() for word in story.words))
    looked = 0
    for path in Path(image["root"]).rglob("*"):
        if path.is_file() and not path.is_symlink():
            looked += 1
            assert not wanted.search(path.read_bytes()), path
    assert looked > 1_000
    assert not wanted.search(json.dumps(image).encode())


def test_tasks_end_in_order(story: Story) -> None:
    """SIGTERM drains: leases are given back, and exit is 0."""
    assert story.exits == [0] * 5
    assert story.owners == {None}


def test_the_database_is_spoken_to_by_tls_alone(story: Story) -> None:
    """Each role that is logged in has TLS, verified; without it the database lets none in."""
    assert {"floorlog_writer", "floorlog_operator"} <= {row[0] for row in story.encrypted}
    assert all(row[1] for row in story.encrypted)
    assert "no encryption" in story.plain


def test_the_cache_knows_the_tasks_by_their_roles(story: Story) -> None:
    """Processor and page came by TLS with tokens of their roles, as the user that was applied."""
    for role in ("ecs-task-role-dev", "iot-page-task-role-dev"):
        allowed = [each for each in story.connected if each.startswith(role)]
        assert len(allowed) == 2, story.connected  # the group, and the user
    assert story.users == {"iot-processor-dev"}


def test_the_page_shows_the_record(story: Story) -> None:
    """Its task answers where a forwarded port ends, with the devices that sent."""
    assert "press-07" in story.page


def test_destroy_leaves_nothing(story: Story) -> None:
    """The state is empty, and nothing with the suffix is left."""
    assert story.state["resources"] == []
    assert story.left == []
