"""End to end before AWS: applied on the local cloud, and run with what was applied.

Environment and roles come from the applied task definitions; policies are enforced. Three things
differ from AWS, because no such service is here: the cache and the database are this machine's, so
their address, and that they speak no TLS (tested in tests/edge), are put in place of the applied.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import boto3
import botocore.exceptions
import psycopg
import pytest

from floorlog.cache import Endpoint, read_all
from floorlog.infra.terraform import Terraform
from floorlog.local.services import Services
from floorlog.local.supervisor import Supervisor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
REGION = "eu-west-2"
ACCOUNT = "123456789012"
READINGS = 2_000
WAIT_SECONDS = 180
ADMIN_KEYS = {
    "AWS_ACCESS_KEY_ID": "administrator",
    "AWS_SECRET_ACCESS_KEY": "local",  # pragma: allowlist secret - moto asks for none
    "AWS_EC2_METADATA_DISABLED": "true",
}
# What is not AWS's here, as the heading says.
NOT_HERE = {"FLOORLOG_DB_CA", "FLOORLOG_CACHE_TLS", "FLOORLOG_CACHE_IAM", "FLOORLOG_CACHE_USER"}


def until(what: str, found: Callable[[], Any]) -> Any:
    """Wait until something is so, for as long as a slow machine may take."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (value := found()):
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.3)
    return value


@dataclass
class Task:
    """A process that stands for one container of a task."""

    name: str
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    reader: threading.Thread | None = None


@dataclass
class Cloud:
    """What was applied, and how to run it."""

    endpoint: str
    services: Services
    terraform: Terraform
    outputs: dict[str, Any]
    folder: Path
    tasks: list[Task] = field(default_factory=list)

    def client(self, service: str, role: str = "") -> Any:
        """A client: the administrator's, or a role's."""
        keys = {"aws_access_key_id": "administrator", "aws_secret_access_key": "local"}
        if role:
            found = self.assume(role)
            keys = {
                "aws_access_key_id": found["AWS_ACCESS_KEY_ID"],
                "aws_secret_access_key": found["AWS_SECRET_ACCESS_KEY"],
                "aws_session_token": found["AWS_SESSION_TOKEN"],
            }
        return boto3.client(service, region_name=REGION, endpoint_url=self.endpoint, **keys)

    def assume(self, role: str) -> dict[str, str]:
        """The environment of who has taken on a role."""
        arn = role if role.startswith("arn:") else f"arn:aws:iam::{ACCOUNT}:role/{role}"
        found = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="task")["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
            "AWS_SESSION_TOKEN": found["SessionToken"],
        }

    def gate(self, words: str) -> dict[str, list[str]]:
        """Tell the gate something; what it allowed and denied so far."""
        with urlopen(f"{self.endpoint}/gate/{words}", timeout=30) as answer:
            found: dict[str, list[str]] = json.load(answer)
        return found

    def environment(self, family: str, container: str) -> tuple[list[str], dict[str, str]]:
        """Command and environment of a container, as they were applied, and its role's keys."""
        definition = self.client("ecs").describe_task_definition(taskDefinition=family)
        applied = definition["taskDefinition"]
        found = next(c for c in applied["containerDefinitions"] if c["name"] == container)
        variables = {each["name"]: each["value"] for each in found["environment"]}
        variables = {name: v for name, v in variables.items() if name not in NOT_HERE}
        here = {"AWS_ENDPOINT_URL": self.endpoint, "PATH": os.environ["PATH"]}
        if "REDIS_ENDPOINT" in variables:
            here["REDIS_ENDPOINT"] = self.services.redis_endpoint
        if "FLOORLOG_HEALTH_FILE" in variables:
            here["FLOORLOG_HEALTH_FILE"] = str(self.folder / f"heartbeat-{len(self.tasks)}")
        keys = self.assume(applied["taskRoleArn"])
        return found["command"], {**variables, **here, **keys, "AWS_EC2_METADATA_DISABLED": "true"}

    def start(self, family: str, container: str) -> Task:
        """Start a container's command; what it says goes to CloudWatch, as Fargate sends it."""
        command, variables = self.environment(family, container)
        process = subprocess.Popen(
            [sys.executable, "-m", "floorlog", *command],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        task = Task(f"ecs/{container}/{len(self.tasks)}", process)
        self.tasks.append(task)
        task.reader = threading.Thread(target=self._ship, args=(task,), daemon=True)
        task.reader.start()
        return task

    def run(self, family: str, container: str) -> str:
        """Run a container to its end; returns what it said."""
        task = self.start(family, container)
        code = task.process.wait(WAIT_SECONDS)
        assert task.reader
        task.reader.join(10)
        assert code == 0, "\n".join(task.lines)
        return "\n".join(task.lines)

    def _ship(self, task: Task) -> None:
        logs = self.client("logs", "ecs-execution-role-dev")
        group = "/aws/iot-processing-dev"
        logs.create_log_stream(logGroupName=group, logStreamName=task.name)
        assert task.process.stdout
        for line in task.process.stdout:
            task.lines.append(line.rstrip("\n"))
            event = {"timestamp": time.time_ns() // 1_000_000, "message": task.lines[-1]}
            with suppress(OSError):
                logs.put_log_events(logGroupName=group, logStreamName=task.name, logEvents=[event])

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the record, as the superuser."""
        dsn = self.services.postgres_dsn(database="iotdb")
        with psycopg.connect(dsn, autocommit=True) as connection:
            return connection.execute(statement).fetchall()

    def stored(self) -> int:
        """Readings in the record."""
        return int(self.sql("SELECT coalesce(sum(stored), 0) FROM floorlog.lease")[0][0])

    def wait_stored(self, count: int) -> None:
        """Wait until so many readings are stored; says what the tasks said where they are not."""
        try:
            until(f"{count} are stored", lambda: self.stored() >= count)
        except AssertionError as error:
            said = [line for task in self.tasks for line in [task.name, *task.lines[-3:]]]
            raise AssertionError("\n".join([f"{error}: {self.stored()}", *said])) from error

    def anchored(self) -> list[str]:
        """Names of all objects in the bucket of the anchors."""
        found = self.client("s3").list_objects_v2(Bucket=self.outputs["anchor_bucket"])
        return [each["Key"] for each in found.get("Contents", [])]

    def send(self, first: int) -> None:
        """Put as many readings as READINGS, of twenty devices, as a producer."""
        kinesis = self.client("kinesis", "iot-producer-role-dev")
        for at in range(first, first + READINGS, 500):
            records = [
                {
                    "Data": json.dumps(
                        {
                            "device_id": f"press-{n % 20:02}",
                            "metric": "temperature",
                            "ts": 1_767_225_600_000 + 1_000 * n,
                            "value": float(n),
                        }
                    ).encode(),
                    "PartitionKey": f"press-{n % 20:02}",
                }
                for n in range(at, at + 500)
            ]
            while records:
                answer = kinesis.put_records(
                    StreamName=self.outputs["kinesis_stream_name"], Records=records
                )
                kept = zip(records, answer["Records"], strict=True)
                records = [record for record, told in kept if "ErrorCode" in told]
                time.sleep(0.5)


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    """PostgreSQL with an administrator who is no superuser, as on RDS; cache; stream."""
    with tempfile.TemporaryDirectory(prefix="floorlog-") as name:
        Path(name).chmod(0o755)
        with Supervisor(Path(name) / "data") as running:
            with psycopg.connect(running.postgres_dsn(), autocommit=True) as connection:
                connection.execute("CREATE ROLE iotadmin LOGIN CREATEROLE CREATEDB PASSWORD 'x'")
                connection.execute("CREATE DATABASE iotdb OWNER iotadmin")
            yield running


@pytest.fixture(scope="module")
def endpoint(serve_cloud, services: Services) -> Iterator[str]:
    """The local cloud's address."""
    with serve_cloud(services.kinesis_endpoint) as address:
        yield address


def given(endpoint: str, services: Services) -> dict[str, Any]:
    """What an administrator has before: the database, its secret and its security group."""
    keys = {"region_name": REGION, "endpoint_url": endpoint, "aws_access_key_id": "administrator",
            "aws_secret_access_key": "local"}  # fmt: skip
    content = json.dumps({"username": "iotadmin", "password": "x"})
    secret = boto3.client("secretsmanager", **keys).create_secret(Name="rds", SecretString=content)
    group = boto3.client("ec2", **keys).create_security_group(GroupName="db", Description="db")
    assert services.postgres
    return {
        "throw_away": True,
        "image": "example.test/floorlog:1",
        "database_host": "127.0.0.1",
        "database_port": services.postgres.port,
        "database_admin_secret_arn": secret["ARN"],
        "database_security_group_id": group["GroupId"],
    }


@pytest.fixture(scope="module")
def cloud(
    endpoint: str, services: Services, plugin: Path, synthesiser, tmp_path_factory
) -> Iterator[Cloud]:
    """The stack, applied on the local cloud around a database that existed."""
    del plugin
    folder = tmp_path_factory.mktemp("applied")
    configuration = synthesiser(given(endpoint, services))
    (folder / "cdk.tf.json").write_text(json.dumps(configuration, indent=1))
    terraform = Terraform(folder, {**ADMIN_KEYS, "AWS_ENDPOINT_URL": endpoint}, 300)
    terraform.initialise()
    terraform.run("plan", "-out=plan")
    terraform.run("apply", "-auto-approve", "-parallelism=30", "plan")
    made = Cloud(endpoint, services, terraform, terraform.outputs(), folder)
    try:
        yield made
    finally:
        for task in made.tasks:
            if task.process.poll() is None:
                task.process.kill()
            task.process.wait()
            if task.reader is not None:
                task.reader.join(10)
            if task.process.stdout:
                task.process.stdout.close()


FORBIDDEN: list[tuple[str, str, str, dict[str, Any]]] = [
    ("ecs-task-role-dev", "kinesis", "put_record",
     {"StreamName": "sensor-data-stream-dev", "Data": b"{}", "PartitionKey": "x"}),
    ("ecs-task-role-dev", "kinesis", "delete_stream", {"StreamName": "sensor-data-stream-dev"}),
    ("ecs-task-role-dev", "kinesis", "list_shards", {"StreamName": "another"}),
    ("ecs-task-role-dev", "secretsmanager", "get_secret_value", {"SecretId": "ADMIN"}),
    ("ecs-task-role-dev", "secretsmanager", "put_secret_value",
     {"SecretId": "WRITER", "SecretString": "{}"}),
    ("ecs-task-role-dev", "s3", "delete_object", {"Bucket": "BUCKET", "Key": "notes/x"}),
    ("ecs-task-role-dev", "s3", "get_object", {"Bucket": "another", "Key": "x"}),
    ("ecs-task-role-dev", "kms", "schedule_key_deletion", {"KeyId": "alias/iot-signing-key-dev"}),
    ("ecs-task-role-dev", "logs", "delete_log_group", {"logGroupName": "/aws/iot-processing-dev"}),
    ("iot-migration-task-role-dev", "secretsmanager", "put_secret_value",
     {"SecretId": "WRITER", "SecretString": "{}"}),
    ("iot-producer-role-dev", "kinesis", "describe_stream_summary",
     {"StreamName": "sensor-data-stream-dev"}),
    ("iot-producer-role-dev", "kinesis", "put_record",
     {"StreamName": "another", "Data": b"{}", "PartitionKey": "x"}),
    ("ecs-execution-role-dev", "logs", "create_log_stream",
     {"logGroupName": "/aws/another", "logStreamName": "x"}),
    ("ecs-execution-role-dev", "secretsmanager", "get_secret_value", {"SecretId": "WRITER"}),
]  # fmt: skip


def run_all(cloud: Cloud) -> None:
    """Migrated, two processors with their keepers started, half sent, rotated, the rest sent."""
    cloud.run("iot-migration-dev", "migration")
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

    def __init__(self, cloud: Cloud) -> None:
        self.denied = {name(call): outcome(cloud, call) for call in FORBIDDEN}
        run_all(cloud)
        self.leases = cloud.sql(
            "SELECT received, stored, rejected, duplicate, owner FROM floorlog.lease"
        )
        self.values = cloud.sql("SELECT count(*), count(DISTINCT value) FROM floorlog.reading")
        self.cached = self._cached(cloud)
        self.health = [health(cloud.folder / f"heartbeat-{number}") for number in (1, 3)]
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
        cloud.terraform.run("destroy", "-auto-approve", "-parallelism=30")
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
        "ADMIN": cloud.client("secretsmanager").describe_secret(SecretId="rds")["ARN"],
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


def health(file: Path) -> int:
    """What `floorlog health` says of a worker's heartbeat."""
    done = subprocess.run(
        [sys.executable, "-m", "floorlog", "health"],
        env={"FLOORLOG_HEALTH_FILE": str(file), "PATH": os.environ["PATH"]},
        capture_output=True,
        check=False,
    )
    return done.returncode


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
    return found - {"x"}


def texts(cloud: Cloud) -> dict[str, bytes]:
    """Everything in which a password could stand, by name."""
    said = "\n".join(line for task in cloud.tasks for line in task.lines)
    found = {
        "logs": said.encode(),
        "plan, shown": json.dumps(cloud.terraform.show("plan")).encode(),
    }
    for file in ("dev.tfstate", "plan", "cdk.tf.json"):
        found[file] = (cloud.folder / file).read_bytes()
    return found


def left(cloud: Cloud) -> list[str]:
    """What of the deployment is still there."""
    secrets = cloud.client("secretsmanager").list_secrets()["SecretList"]
    groups = cloud.client("logs").describe_log_groups()["logGroups"]
    roles = cloud.client("iam").list_roles()["Roles"]
    buckets = cloud.client("s3").list_buckets()["Buckets"]
    names = [each["Name"] for each in secrets] + [each["logGroupName"] for each in groups]
    names += [each["RoleName"] for each in roles] + [each["Name"] for each in buckets]
    names += cloud.client("kinesis").list_streams()["StreamNames"]
    return [found for found in names if re.search(r"-dev\b", found)]


@pytest.fixture(scope="module")
def story(cloud: Cloud) -> Story:
    """From apply to destroy."""
    return Story(cloud)


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
    assert story.health == [0, 0]


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
    assert len(story.words) == 8  # four roles, rotated once
    assert b"sensor-data-stream-dev" in story.texts["dev.tfstate"]
    for word in story.words:
        assert len(word) == 40
        for place, text in story.texts.items():
            assert word.encode() not in text, place


def test_tasks_end_in_order(story: Story) -> None:
    """SIGTERM drains: leases are given back, and exit is 0."""
    assert story.exits == [0, 0, 0, 0]
    assert story.owners == {None}


def test_destroy_leaves_nothing(story: Story) -> None:
    """The state is empty, and nothing with the suffix is left."""
    assert story.state["resources"] == []
    assert story.left == []
