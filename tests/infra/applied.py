"""The stack applied on the local cloud, and its tasks run from what was applied.

Environment and roles come from the applied task definitions; policies are enforced. The database is
Debian's PostgreSQL 15, which speaks TLS and nothing else to the tasks; the cache is Valkey behind
a door that speaks TLS and checks IAM's tokens (cloud/cache_door.py). Two things differ from AWS:
the cache's address, which moto makes up, and the authority that both servers' certificates are of.
"""

import json
import os
import socket
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
PROGRAMS = Path("/usr/lib/postgresql/15/bin")
TASKS = ("iotadmin", "floorlog_writer", "floorlog_keeper", "floorlog_operator", "floorlog_reader")


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


@dataclass(frozen=True)
class Here:
    """Real servers that stand for AWS's.

    Attributes:
        services: PostgreSQL, Valkey and the stream.
        folder: holds the authority `rds.pem`, and `real.json` for the local cloud.
        cache_port: where the cache's door is.
    """

    services: Services
    folder: Path
    cache_port: int

    @property
    def authority(self) -> Path:
        """Whom the certificates of database and cache are of."""
        return self.folder / "rds.pem"

    @property
    def file(self) -> Path:
        """What the local cloud is told of these servers."""
        return self.folder / "real.json"


@dataclass
class Cloud:
    """What was applied, and how to run it."""

    endpoint: str
    here: Here
    terraform: Terraform
    outputs: dict[str, Any]
    folder: Path
    tasks: list[Task] = field(default_factory=list)

    @property
    def services(self) -> Services:
        """The real servers."""
        return self.here.services

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
        here = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "PATH": os.environ["PATH"],
            "FLOORLOG_DB_CA": str(self.here.authority),
            "SSL_CERT_FILE": str(self.here.authority),  # what the cache's certificate is of
            "FLOORLOG_WEB_PORT": "0",
        }
        if "REDIS_ENDPOINT" in variables:
            here["REDIS_ENDPOINT"] = f"localhost:{self.here.cache_port}"
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


def openssl(*words: str | Path) -> None:
    """Run openssl, silently."""
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def certify(folder: Path) -> tuple[Path, Path]:
    """An authority of our own, and a certificate of it for `localhost` with its key."""
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    authority, own = folder / "rds.pem", folder / "rds.key"
    openssl("req", "-x509", *new, "-keyout", own, "-out", authority, "-days", "2",
            "-subj", "/CN=authority")  # fmt: skip
    request, certificate, key = (folder / f"server.{kind}" for kind in ("csr", "crt", "key"))
    names = folder / "names"
    names.write_text("subjectAltName=DNS:localhost\n")
    openssl("req", *new, "-keyout", key, "-out", request, "-subj", "/CN=localhost")
    openssl("x509", "-req", "-in", request, "-CA", authority, "-CAkey", own, "-CAcreateserial",
            "-days", "2", "-extfile", names, "-out", certificate)  # fmt: skip
    return certificate, key


def speak_tls(services: Services, certificate: Path, key: Path) -> None:
    """Have PostgreSQL speak TLS, and the tasks' roles get in by nothing else (rds.force_ssl)."""
    with psycopg.connect(services.postgres_dsn(), autocommit=True) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
        assert row
        data = Path(row[0])
        owner = data.stat()
        for file in (certificate, key):
            target = data / file.name
            target.write_bytes(file.read_bytes())
            target.chmod(0o600)
            os.chown(target, owner.st_uid, owner.st_gid)
        rules = data / "pg_hba.conf"
        refuse = f"hostnossl all {','.join(TASKS)} all reject\n"
        rules.write_text(refuse + rules.read_text())
        connection.execute("ALTER SYSTEM SET ssl_cert_file = 'server.crt'")
        connection.execute("ALTER SYSTEM SET ssl_key_file = 'server.key'")
        connection.execute("ALTER SYSTEM SET ssl = on")
        connection.execute("SELECT pg_reload_conf()")


@contextmanager
def servers_here() -> Iterator[Here]:
    """PostgreSQL 15 by TLS, cache and stream."""
    with tempfile.TemporaryDirectory(prefix="floorlog-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        certificate, key = certify(folder)
        with Supervisor(folder / "data", postgres_programs=PROGRAMS) as running:
            speak_tls(running, certificate, key)
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = int(free.getsockname()[1])
            told = {
                "python": sys.executable,
                "variables": {"FLOORLOG_DB_CA": str(folder / "rds.pem")},
                "postgres": running.postgres_dsn(),
                "host": "localhost",
                "cache": running.redis_endpoint,
                "cache_port": port,
                "certificate": str(certificate),
                "key": str(key),
            }
            here = Here(running, folder, port)
            here.file.write_text(json.dumps(told))
            yield here


def asked(here: Here) -> dict[str, Any]:
    """Parameters for a deployment with everything, its database included."""
    assert here.services.postgres
    port = here.services.postgres.port
    image = "example.test/floorlog:1"
    return {"throw_away": True, "image": image, "page": True, "database_port": port}


def given(endpoint: str, here: Here) -> dict[str, Any]:
    """The same around what an administrator has before: database, secret and security group."""
    dsn = here.services.postgres_dsn()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE iotadmin LOGIN CREATEROLE CREATEDB PASSWORD 'x'")
        connection.execute("CREATE DATABASE iotdb OWNER iotadmin")
    keys = {
        "region_name": REGION,
        "endpoint_url": endpoint,
        "aws_access_key_id": ADMIN_KEYS["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": ADMIN_KEYS["AWS_SECRET_ACCESS_KEY"],
    }
    content = json.dumps({"username": "iotadmin", "password": "x"})
    secret = boto3.client("secretsmanager", **keys).create_secret(Name="rds", SecretString=content)
    group = boto3.client("ec2", **keys).create_security_group(GroupName="db", Description="db")
    return {
        **asked(here),
        "database_host": "localhost",
        "database_admin_secret_arn": secret["ARN"],
        "database_security_group_id": group["GroupId"],
    }


@contextmanager
def applied(
    endpoint: str, here: Here, configuration: dict[str, Any], folder: Path
) -> Iterator[Cloud]:
    """The stack, applied; its tasks end with it."""
    (folder / "cdk.tf.json").write_text(json.dumps(configuration, indent=1))
    terraform = Terraform(folder, {**ADMIN_KEYS, "AWS_ENDPOINT_URL": endpoint}, 900)
    terraform.initialise()
    terraform.run("plan", "-out=plan")
    terraform.run("apply", "-auto-approve", "-parallelism=30", "plan")
    made = Cloud(endpoint, here, terraform, terraform.outputs(), folder)
    try:
        yield made
    finally:
        for task in made.tasks:
            task.end()


@contextmanager
def deployed(
    endpoint: str, here: Here, python: Path, parameters: dict[str, Any], folder: Path
) -> Iterator[Cloud]:
    """The stack as `floorlog deploy` plans and applies it, migration included."""
    (folder / "deploy.toml").write_text(
        "".join(f"{name} = {json.dumps(value)}\n" for name, value in parameters.items())
    )
    deploy(endpoint, python, folder, "apply", "--yes", "--only", "repository")
    assert "iot-processor-dev" in deploy(endpoint, python, folder, "outputs"), "to push the image"
    deploy(endpoint, python, folder, "plan")
    said = deploy(endpoint, python, folder, "apply", "--yes")
    assert "the database is at this release" in said, said
    terraform = Terraform(folder, {**ADMIN_KEYS, "AWS_ENDPOINT_URL": endpoint}, 900)
    made = Cloud(endpoint, here, terraform, terraform.outputs(), folder)
    try:
        yield made
    finally:
        for task in made.tasks:
            task.end()


def deploy(endpoint: str, python: Path, folder: Path, *words: str) -> str:
    """One command of `floorlog deploy`, as a person gives it; what it says."""
    found = [python, "-m", "floorlog", "deploy", *words, "--parameters", folder / "deploy.toml"]
    done = subprocess.run(
        [*found, "--folder", folder],
        env={**os.environ, **ADMIN_KEYS, "AWS_ENDPOINT_URL": endpoint,
             "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "18,20,22"},
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr
