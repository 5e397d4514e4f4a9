"""Databases and caches of the local cloud are real servers, and answer as AWS documents."""

import json
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from botocore.exceptions import ClientError

from floorlog.cache import CacheError, Connection, Endpoint
from floorlog.cache.log_in import Token

sys.path.insert(0, str(Path(__file__).parent))
from applied import ADMIN_KEYS, PROGRAMS, REGION, Here, servers_here, until

pytestmark = pytest.mark.slow
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
Client = Callable[[str], Any]


@pytest.fixture(scope="module")
def here(not_run) -> Iterator[Here]:
    """PostgreSQL with TLS, Valkey, and the stream's server."""
    if not PROGRAMS.exists():
        not_run("needs Debian's postgresql-15, which speaks TLS: the embedded one does not")
    with servers_here() as found:
        yield found


@pytest.fixture(scope="module")
def client(here: Here, serve_cloud) -> Iterator[Client]:
    """The administrator's clients of a local cloud of this module's own."""
    with serve_cloud(here.services.kinesis_endpoint, here.file) as address:
        yield lambda service: boto3.client(
            service,
            region_name=REGION,
            endpoint_url=address,
            aws_access_key_id=ADMIN_KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ADMIN_KEYS["AWS_SECRET_ACCESS_KEY"],
        )


def test_a_database_instance_is_a_real_one(here: Here, client: Client) -> None:
    """Made with database, owner and managed password; protected until told; then gone."""
    rds, secrets = client("rds"), client("secretsmanager")
    assert here.services.postgres
    asked = {
        "DBInstanceIdentifier": "one",
        "DBInstanceClass": "db.t3.micro",
        "Engine": "postgres",
        "AllocatedStorage": 20,
        "DBName": "madehere",
        "MasterUsername": "iotadmin",
        "ManageMasterUserPassword": True,
        "Port": here.services.postgres.port,
        "DeletionProtection": True,
    }
    rds.create_db_instance(**asked)
    [made] = rds.describe_db_instances(DBInstanceIdentifier="one")["DBInstances"]
    arn = made["MasterUserSecret"]["SecretArn"]
    held = json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"])
    assert set(held) == {"username", "password"}
    found = {
        "host": made["Endpoint"]["Address"],
        "port": made["Endpoint"]["Port"],
        "dbname": "madehere",
        "user": held["username"],
        "password": held["password"],
        "sslmode": "verify-full",
        "sslrootcert": str(here.authority),
    }
    with psycopg.connect(**found) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert row == (False, True)
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(**{**found, "sslmode": "disable"})
    gone = {"DBInstanceIdentifier": "one", "SkipFinalSnapshot": True}
    with pytest.raises(ClientError, match="InvalidParameterCombination"):
        rds.delete_db_instance(**gone)
    rds.modify_db_instance(DBInstanceIdentifier="one", DeletionProtection=False)
    rds.delete_db_instance(**gone)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(**found)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        secrets.get_secret_value(SecretId=arn)


@pytest.fixture(scope="module")
def group(client: Client) -> str:
    """A replication group, a user of its group, a user of none, and three roles."""
    cache, iam = client("elasticache"), client("iam")
    iam_user = {"Engine": "redis", "AuthenticationMode": {"Type": "iam"}}
    limited = "on ~{floorlog}* resetchannels -@all +hset +hget"
    users = {}
    for name in ("task", "loner"):
        asked = {"UserId": name, "UserName": name, "AccessString": limited, **iam_user}
        users[name] = cache.create_user(**asked)["ARN"]
    cache.create_user(
        UserId="nobody", UserName="default", Engine="redis", AccessString="off -@all",
        AuthenticationMode={"Type": "no-password-required"},
    )  # fmt: skip
    cache.create_user_group(UserGroupId="g", Engine="redis", UserIds=["task", "nobody"])
    arn = cache.create_replication_group(
        ReplicationGroupId="r",
        ReplicationGroupDescription="d",
        Engine="redis",
        CacheNodeType="cache.t3.micro",
        NumNodeGroups=1,
        ReplicasPerNodeGroup=1,
        AutomaticFailoverEnabled=True,
        UserGroupIds=["g"],
    )["ReplicationGroup"]["ARN"]
    grants = {"may": [arn, users["task"], users["loner"]], "half": [arn], "none": []}
    for role, resources in grants.items():
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)
        if resources:
            allow = {"Effect": "Allow", "Action": ["elasticache:Connect"], "Resource": resources}
            document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
            iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=document)
    return "r"


@pytest.fixture
def log_in(here: Here, client: Client, group: str, monkeypatch: pytest.MonkeyPatch):
    """A connection to the cache's door as who a role is."""
    monkeypatch.setenv("SSL_CERT_FILE", str(here.authority))

    def connect(role: str, user: str = "task", to: str = group) -> Connection:
        arn = f"arn:aws:iam::123456789012:role/{role}"
        keys = client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
        monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
        token = Token(user, to, REGION)()
        return Connection(Endpoint("localhost", here.cache_port, True, token, user), 10.0)

    return connect


def test_a_role_that_may_connect_is_the_user_it_says(log_in) -> None:
    """With a token of its role a task may do what the user's access string says, no more."""
    with log_in("may") as connection:
        connection.call("HSET", "{floorlog}x", "f", "1")
        assert connection.call("HGET", "{floorlog}x", "f") == b"1"
        with pytest.raises(CacheError, match="NOPERM"):
            connection.call("FLUSHALL")
        with pytest.raises(CacheError, match="NOPERM"):
            connection.call("HGET", "another", "f")


@pytest.mark.parametrize(
    ("role", "user", "to"),
    [
        ("none", "task", "r"),  # no policy
        ("half", "task", "r"),  # to the group, but not as that user
        ("may", "loner", "r"),  # a user of no group
        ("may", "stranger", "r"),
        ("may", "task", "another"),
    ],
)
def test_other_tokens_are_refused(log_in, role: str, user: str, to: str) -> None:
    """No right to connect, another user, another group: WRONGPASS, as for a wrong password."""
    with log_in(role, user, to) as connection, pytest.raises(CacheError, match="WRONGPASS"):
        connection.call("HGET", "{floorlog}x", "f")


def test_a_token_that_was_changed_is_refused(log_in, here: Here) -> None:
    """Its signature covers user, group and time."""
    good = log_in("may").endpoint
    for changed in (
        good.password.replace("X-Amz-Expires=900", "X-Amz-Expires=901"),
        good.password.replace("X-Amz-Expires=900", "X-Amz-Expires=800"),
        good.password[:-1] + ("0" if good.password[-1] != "0" else "1"),
        "a-password",
    ):
        endpoint = Endpoint("localhost", here.cache_port, True, changed, "task")
        with (
            Connection(endpoint, 10.0) as connection,
            pytest.raises(CacheError, match="WRONGPASS"),
        ):
            connection.call("HGET", "{floorlog}x", "f")


def test_the_cache_speaks_nothing_but_tls(here: Here, log_in) -> None:
    """Without TLS there is no answer, and a certificate of a stranger is not taken."""
    del log_in
    with (
        Connection(Endpoint("localhost", here.cache_port), 5.0) as plain,
        pytest.raises(CacheError),
    ):
        plain.call("PING")
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.get_server_certificate(
            ("localhost", here.cache_port), ca_certs=ssl.get_default_verify_paths().openssl_cafile
        )


@pytest.mark.parametrize(("command", "code", "said"), [("--version", 0, "floorlog"), ("x", 2, "x")])
def test_a_task_on_fargate_runs(client: Client, command: str, code: int, said: str) -> None:
    """It runs with the definition's command, stops with its exit code, and is heard in its log."""
    ecs, ec2, logs = client("ecs"), client("ec2"), client("logs")
    suffix = f"{code}"
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.8.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName=f"t{suffix}", Description="d", VpcId=vpc)
    client("iam").create_role(RoleName=f"job{suffix}", AssumeRolePolicyDocument=TRUST)
    logs.create_log_group(logGroupName=f"jobs{suffix}")
    ecs.create_cluster(clusterName="run")
    options = {"awslogs-group": f"jobs{suffix}", "awslogs-stream-prefix": "ecs"}
    ecs.register_task_definition(
        family="job",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        taskRoleArn=f"arn:aws:iam::123456789012:role/job{suffix}",
        containerDefinitions=[
            {
                "name": "job",
                "image": "i",
                "command": [command],
                "environment": [],
                "logConfiguration": {"logDriver": "awslogs", "options": options},
            }
        ],
    )
    where = {"subnets": [subnet], "securityGroups": [group["GroupId"]]}
    started = ecs.run_task(
        cluster="run",
        taskDefinition="job",
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": where},
    )
    arn = started["tasks"][0]["taskArn"]

    def stopped() -> bool:
        found = ecs.describe_tasks(cluster="run", tasks=[arn])["tasks"][0]
        return bool(found["lastStatus"] == "STOPPED")

    until("the task has stopped", stopped)
    [task] = ecs.describe_tasks(cluster="run", tasks=[arn])["tasks"]
    assert task["lastStatus"] == "STOPPED"
    assert task["containers"][0]["exitCode"] == code
    assert "Essential container" in task["stoppedReason"]
    events = logs.filter_log_events(logGroupName=f"jobs{suffix}")["events"]
    assert said in " ".join(each["message"] for each in events)
    assert events[0]["logStreamName"].startswith("ecs/job/")
