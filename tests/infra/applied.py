"""The stack applied on the local cloud, and its tasks run from what was applied.

Environment and roles come from the applied task definitions; policies are enforced. Three things
differ from AWS, because no such service is here: the cache and the database are this machine's, so
their address, and that they speak no TLS (tested in tests/edge), are put in place of the applied.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import boto3
import psycopg

from floorlog.infra.terraform import Terraform
from floorlog.local.services import Services
from floorlog.local.supervisor import Supervisor

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

    def end(self) -> None:
        """Kill it if it still runs, and let go of what it said."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.reader is not None:
            self.reader.join(10)
        if self.process.stdout:
            self.process.stdout.close()


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


@contextmanager
def services_here() -> Iterator[Services]:
    """PostgreSQL with an administrator who is no superuser, as on RDS; cache; stream."""
    with tempfile.TemporaryDirectory(prefix="floorlog-") as name:
        Path(name).chmod(0o755)
        with Supervisor(Path(name) / "data") as running:
            with psycopg.connect(running.postgres_dsn(), autocommit=True) as connection:
                connection.execute("CREATE ROLE iotadmin LOGIN CREATEROLE CREATEDB PASSWORD 'x'")
                connection.execute("CREATE DATABASE iotdb OWNER iotadmin")
            yield running


def given(endpoint: str, services: Services) -> dict[str, Any]:
    """What an administrator has before: the database, its secret and its security group."""
    keys = {
        "region_name": REGION,
        "endpoint_url": endpoint,
        "aws_access_key_id": ADMIN_KEYS["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": ADMIN_KEYS["AWS_SECRET_ACCESS_KEY"],
    }
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


@contextmanager
def applied(
    endpoint: str, services: Services, configuration: dict[str, Any], folder: Path
) -> Iterator[Cloud]:
    """The stack, applied around a database that existed; its tasks end with it."""
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
            task.end()
