"""The plan: what Terraform would make of the configuration, resource by resource."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from floorlog.errors import FloorlogError
from floorlog.infra.estimate import prose
from floorlog.infra.terraform import Terraform

sys.path.insert(0, str(Path(__file__).parent))
from applied import ADMIN_KEYS

pytestmark = pytest.mark.slow
VARIANTS = ("usual", "everything")
# The page's door is planned and checked when there is time: it adds to the first.
DOOR = pytest.param("door", marks=pytest.mark.long)
SUFFIX = {"usual": "dev", "door": "dev", "everything": "prod-2"}
REGION = {"usual": "eu-west-2", "door": "eu-west-2", "everything": "eu-central-1"}
Planner = Callable[[str], tuple[Terraform, dict[str, Any]]]

# Where a kind of resource keeps its name; None for kinds that AWS gives none.
NAMED = {
    "aws_appautoscaling_policy": "name",
    "aws_appautoscaling_target": "resource_id",
    "aws_cloudwatch_dashboard": "dashboard_name",
    "aws_cloudwatch_log_group": "name",
    "aws_cloudwatch_log_metric_filter": "name",
    "aws_cloudwatch_metric_alarm": "alarm_name",
    "aws_db_instance": "identifier",
    "aws_db_parameter_group": "name",
    "aws_db_subnet_group": "name",
    "aws_default_security_group": "tags",
    "aws_ecr_lifecycle_policy": "repository",
    "aws_ecr_repository": "name",
    "aws_ecs_cluster": "name",
    "aws_ecs_service": "name",
    "aws_ecs_task_definition": "family",
    "aws_elasticache_replication_group": "replication_group_id",
    "aws_elasticache_subnet_group": "name",
    "aws_elasticache_user": "user_id",
    "aws_elasticache_user_group": "user_group_id",
    "aws_flow_log": "tags",
    "aws_iam_policy": "name",
    "aws_iam_role": "name",
    "aws_iam_role_policy": "name",
    "aws_iam_role_policy_attachment": None,
    "aws_internet_gateway": "tags",
    "aws_kinesis_stream": "name",
    "aws_kms_alias": "name",
    "aws_lb": "name",
    "aws_lb_listener": "tags",
    "aws_lb_target_group": "name",
    "aws_kms_key": "tags",
    "aws_route": None,
    "aws_route_table": "tags",
    "aws_route_table_association": None,
    "aws_s3_bucket": "bucket",
    "aws_s3_bucket_lifecycle_configuration": None,
    "aws_s3_bucket_notification": None,
    "aws_s3_bucket_object_lock_configuration": None,
    "aws_s3_bucket_policy": None,
    "aws_s3_bucket_public_access_block": None,
    "aws_s3_bucket_server_side_encryption_configuration": None,
    "aws_s3_bucket_versioning": None,
    "aws_scheduler_schedule": "name",
    "aws_secretsmanager_secret": "name",  # pragma: allowlist secret - a name
    "aws_secretsmanager_secret_version": None,
    "aws_security_group": "name",
    "aws_sns_topic": "name",
    "aws_sns_topic_subscription": None,
    "aws_subnet": "tags",
    "aws_vpc": "tags",
    "aws_vpc_endpoint": "tags",
    "aws_vpc_security_group_egress_rule": "tags",
    "aws_vpc_security_group_ingress_rule": "tags",
}
# What each kind that keeps data must say of encryption; a key's ARN is known only when applied.
ENCRYPTED = {
    "aws_cloudwatch_log_group": ["kms_key_id"],
    "aws_db_instance": ["storage_encrypted", "kms_key_id", "performance_insights_kms_key_id"],
    "aws_ecr_repository": ["encryption_configuration"],
    "aws_elasticache_replication_group": ["at_rest_encryption_enabled", "kms_key_id",
                                          "transit_encryption_enabled"],
    "aws_kinesis_stream": ["kms_key_id"],
    "aws_s3_bucket_server_side_encryption_configuration": ["rule"],
    "aws_scheduler_schedule": ["kms_key_arn"],
    "aws_secretsmanager_secret": ["kms_key_id"],
    "aws_sns_topic": ["kms_master_key_id"],
}  # fmt: skip
REGION_NAME = re.compile(r"\b(?:us|eu|ap|sa|ca|me|af|il|mx)-(?:[a-z]+-)?[a-z]+-\d\b")


def resources(plan: dict[str, Any]) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Each resource to be made: kind, address, what is known, and what will be."""
    return [
        (each["type"], each["address"], each["change"]["after"], each["change"]["after_unknown"])
        for each in plan["resource_changes"]
        if each["mode"] == "managed"
    ]


def of_kind(plan: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The resources of a kind, by the last part of their address."""
    return {a.partition(".")[2]: known for k, a, known, _ in resources(plan) if k == kind}


@pytest.mark.parametrize("variant", [*VARIANTS, DOOR])
def test_every_name_ends_in_the_suffix(planned: Planner, variant: str) -> None:
    """Of every resource that has a name; a new kind must say where it keeps its own."""
    plan = planned(variant)[1]
    end = f"-{SUFFIX[variant]}"
    for kind, address, known, _ in resources(plan):
        field = NAMED[kind]
        if field is None:
            continue
        name = known[field]["Name"] if field == "tags" else known[field]
        if name.startswith("/aws/rds/instance/"):
            name = name.split("/")[4]  # RDS chose the rest
        assert name.endswith(end), (address, name)


@pytest.mark.parametrize("variant", [*VARIANTS, DOOR])
def test_what_keeps_data_is_encrypted(planned: Planner, variant: str) -> None:
    """Each resource that keeps data says by which key."""
    found = set()
    for kind, address, known, unknown in resources(planned(variant)[1]):
        for field in ENCRYPTED.get(kind, []):
            found.add(kind)
            assert known.get(field) or unknown.get(field), (address, field)
    assert found == set(ENCRYPTED)
    stream = of_kind(planned(variant)[1], "aws_kinesis_stream")["stream"]
    assert stream["encryption_type"] == "KMS"


@pytest.mark.parametrize("variant", [*VARIANTS, DOOR])
def test_nothing_is_open_to_the_world(planned: Planner, variant: str) -> None:
    """Rules let in one group each, on one port; out goes TLS, and nothing at all when isolated."""
    plan = planned(variant)[1]
    people = {"10.20.0.0/16", "192.168.7.0/24"} if variant == "door" else set()
    for name, rule in of_kind(plan, "aws_vpc_security_group_ingress_rule").items():
        assert not rule["cidr_ipv4"] or rule["cidr_ipv4"] in people, name
        assert not rule["cidr_ipv6"], name
        assert rule["from_port"] == rule["to_port"] > 0, name
    out = of_kind(plan, "aws_vpc_security_group_egress_rule")
    wide = {name: rule["from_port"] for name, rule in out.items() if rule["cidr_ipv4"]}
    assert wide == ({} if variant == "everything" else {"tasks-to-aws": 443})
    ports = {name: rule["from_port"] for name, rule in out.items()}
    assert (ports["tasks-to-redis-out"], ports["tasks-to-rds-out"]) == (6379, 5432)
    for name, group in of_kind(plan, "aws_security_group").items():
        assert not group.get("ingress"), name
        assert not group.get("egress"), name
    assert of_kind(plan, "aws_db_instance")["postgres"]["publicly_accessible"] is False


@pytest.mark.parametrize("variant", [*VARIANTS, DOOR])
def test_every_resource_that_takes_tags_has_them(planned: Planner, variant: str) -> None:
    """The default tags reach each of them: a plain mapping would be dropped without a word."""
    wanted = {"Environment": SUFFIX[variant], "Project": "floorlog"}
    if variant == "usual":
        wanted["CostCentre"] = "plant-7"
    tagged = 0
    for _, address, known, _ in resources(planned(variant)[1]):
        if "tags_all" in known:
            tagged += 1
            assert wanted.items() <= known["tags_all"].items(), address
    assert tagged > 50


@pytest.mark.parametrize("variant", [*VARIANTS, DOOR])
def test_everything_stays_in_one_region(planned: Planner, variant: str) -> None:
    """No other region is named anywhere in the plan, and nothing is copied out of it."""
    terraform, plan = planned(variant)
    text = json.dumps(plan["planned_values"])
    assert set(REGION_NAME.findall(text)) <= {REGION[variant]}
    configuration = json.loads((terraform.folder / "cdk.tf.json").read_text())
    assert [each["region"] for each in configuration["provider"]["aws"]] == [REGION[variant]]
    kinds = {kind for kind, *_ in resources(plan)}
    assert not {kind for kind in kinds if "replica" in kind and "group" not in kind}


def test_the_network_is_the_one_asked_for(planned: Planner) -> None:
    """VPC, subnets, gateway and routes have the names and blocks of the request, over two zones."""
    plan = planned("usual")[1]
    vpc = of_kind(plan, "aws_vpc")["vpc"]
    assert (vpc["cidr_block"], vpc["tags"]["Name"]) == ("10.0.0.0/16", "iot-vpc-dev")
    assert vpc["enable_dns_hostnames"]
    assert vpc["enable_dns_support"]
    subnets = of_kind(plan, "aws_subnet").values()
    assert {each["tags"]["Name"]: each["cidr_block"] for each in subnets} == {
        "iot-public-subnet-1-dev": "10.0.1.0/24",
        "iot-public-subnet-2-dev": "10.0.2.0/24",
        "iot-private-subnet-1-dev": "10.0.11.0/24",
        "iot-private-subnet-2-dev": "10.0.12.0/24",
    }
    assert len({each["availability_zone"] for each in subnets}) == 2
    names = {each["tags"]["Name"] for each in of_kind(plan, "aws_route_table").values()}
    assert "iot-public-rt-dev" in names
    assert of_kind(plan, "aws_internet_gateway")["igw"]["tags"]["Name"] == "iot-igw-dev"


def test_stream_tasks_and_logs_are_those_asked_for(planned: Planner) -> None:
    """Stream of two shards, cluster, task of 256/512, service of two, log group of seven days."""
    plan = planned("usual")[1]
    stream = of_kind(plan, "aws_kinesis_stream")["stream"]
    assert (stream["name"], stream["shard_count"]) == ("sensor-data-stream-dev", 2)
    assert (stream["retention_period"], stream["kms_key_id"]) == (24, "alias/aws/kinesis")
    assert of_kind(plan, "aws_ecs_cluster")["cluster"]["name"] == "iot-processing-cluster-dev"
    task = of_kind(plan, "aws_ecs_task_definition")["iot-processor-task"]
    assert (task["family"], task["cpu"], task["memory"]) == ("iot-processor-dev", "256", "512")
    service = of_kind(plan, "aws_ecs_service")["iot-processor-service"]
    assert (service["name"], service["desired_count"]) == ("iot-processor-service-dev", 2)
    logs = of_kind(plan, "aws_cloudwatch_log_group")["logs"]
    assert (logs["name"], logs["retention_in_days"]) == ("/aws/iot-processing-dev", 7)
    roles = {each["name"] for each in of_kind(plan, "aws_iam_role").values()}
    assert {"ecs-execution-role-dev", "ecs-task-role-dev"} <= roles
    groups = {each["name"] for each in of_kind(plan, "aws_security_group").values()}
    assert {"ecs-tasks-sg-dev", "redis-sg-dev", "rds-sg-dev"} <= groups


def test_the_cache_is_the_one_asked_for(planned: Planner) -> None:
    """Redis 7 in cluster mode with a replica, encrypted both ways, in two zones, by log-in only."""
    redis = of_kind(planned("usual")[1], "aws_elasticache_replication_group")["redis"]
    assert redis["replication_group_id"] == "iot-redis-dev"
    assert redis["engine_version"].startswith("7")
    assert redis["parameter_group_name"] == "default.redis7.cluster.on"
    assert (redis["num_node_groups"], redis["replicas_per_node_group"]) == (1, 1)
    assert (redis["node_type"], redis["port"]) == ("cache.t3.micro", 6379)
    assert redis["automatic_failover_enabled"]
    assert redis["multi_az_enabled"]
    assert redis["transit_encryption_mode"] == "required"
    assert redis["subnet_group_name"] == "redis-subnet-group-dev"
    users = of_kind(planned("usual")[1], "aws_elasticache_user")
    assert users["redis-user"]["authentication_mode"][0]["type"] == "iam"
    assert users["redis-nobody"]["access_string"] == "off -@all"


def test_the_database_is_the_one_asked_for(planned: Planner) -> None:
    """PostgreSQL 15 in two zones, encrypted, growing, backed up, logged, TLS only, hard to lose."""
    plan = planned("usual")[1]
    record = of_kind(plan, "aws_db_instance")["postgres"]
    wanted = {
        "identifier": "iot-postgres-dev",
        "engine": "postgres",
        "engine_version": "15",
        "instance_class": "db.t3.micro",
        "allocated_storage": 20,
        "max_allocated_storage": 200,
        "storage_type": "gp3",
        "db_name": "iotdb",
        "username": "iotadmin",
        "manage_master_user_password": True,
        "password": None,
        "multi_az": True,
        "storage_encrypted": True,
        "backup_retention_period": 7,
        "enabled_cloudwatch_logs_exports": ["postgresql", "upgrade"],
        "db_subnet_group_name": "iot-db-subnet-group-dev",
        "deletion_protection": True,
        "skip_final_snapshot": False,
    }
    assert {name: record[name] for name in wanted} == wanted
    group = of_kind(plan, "aws_db_parameter_group")["db-settings"]
    settings = {each["name"]: each["value"] for each in group["parameter"]}
    assert settings["rds.force_ssl"] == "1"


def test_anchors_cannot_be_changed_in_their_time(planned: Planner) -> None:
    """The bucket locks each note for ten years, from everybody, and is never public."""
    plan = planned("usual")[1]
    lock = of_kind(plan, "aws_s3_bucket_object_lock_configuration")["anchors-lock"]
    retention = lock["rule"][0]["default_retention"][0]
    assert (retention["mode"], retention["days"]) == ("COMPLIANCE", 3_650)
    private = of_kind(plan, "aws_s3_bucket_public_access_block")["anchors-private"]
    assert private["block_public_acls"]
    assert private["block_public_policy"]
    assert private["ignore_public_acls"]
    assert private["restrict_public_buckets"]


@pytest.mark.parametrize("variant", [*VARIANTS, DOOR])
def test_no_password_stands_in_the_plan(planned: Planner, variant: str) -> None:
    """What is ephemeral has no value in the plan, and write-only attributes show none."""
    plan = planned(variant)[1]
    assert len(of_kind(plan, "aws_secretsmanager_secret_version")) == 4
    for version in of_kind(plan, "aws_secretsmanager_secret_version").values():
        assert version["secret_string"] is None
        assert version["secret_string_wo"] is None
    assert '"random_password"' not in json.dumps(plan["planned_values"])


@pytest.fixture(scope="session")
def checkov(not_run: Callable[[str], NoReturn]) -> Path:
    """The interpreter that has checkov."""
    named = os.environ.get("FLOORLOG_CHECKOV_PYTHON")
    beside = Path(__file__).parents[2] / ".venv-checkov" / "bin" / "python"
    found = Path(named) if named else beside
    if not found.exists():
        not_run("the environment `checkov` is not there: script/test makes it where terraform is")
    return found


@pytest.mark.parametrize("variant", [*VARIANTS, DOOR])
def test_checkov_finds_nothing_that_is_not_waived(
    planned: Planner, checkov: Path, variant: str
) -> None:
    """Every check passes, or the resource says beside itself why it fails; no waiver is spare."""
    terraform, plan = planned(variant)
    (terraform.folder / "plan.json").write_text(json.dumps(plan))
    command = [checkov, "-m", "checkov.main", "-f", "plan.json", "--framework", "terraform_plan",
               "--skip-download", "--output", "json", "--quiet"]  # fmt: skip
    done = subprocess.run(
        command, cwd=terraform.folder, capture_output=True, text=True, check=False, timeout=110
    )
    results = json.loads(done.stdout)
    failed = {(each["resource"], each["check_id"]) for each in results["results"]["failed_checks"]}
    configuration = json.loads((terraform.folder / "cdk.tf.json").read_text())
    waived = {
        (address, check)
        for address, words in prose(configuration).items()
        for check in words.get("waived", {})
    }
    assert failed == waived
    assert results["summary"]["passed"] > 150


def test_a_wrong_configuration_is_one_line_of_terraforms(planned: Planner, tmp_path: Path) -> None:
    """What Terraform refuses arrives as an error that names the command and its words."""
    (tmp_path / "cdk.tf.json").write_text('{"resource": {"aws_vpc": {"x": {"cidr_blok": "y"}}}}')
    terraform = Terraform(tmp_path)
    with pytest.raises(FloorlogError, match="terraform validate failed"):
        terraform.run("validate")
    del planned


@pytest.mark.long
def test_naming_another_database_destroys_nothing(
    plugin: Path,
    endpoint: str,
    synthesiser: Callable[[dict[str, Any]], dict[str, Any]],
    tmp_path: Path,
) -> None:
    """What the stack made for its own database and stream is let go of, none of it deleted."""
    del plugin
    asked = {"environment_suffix": "first", "throw_away": True}
    kept = ("aws_db_subnet_group.db-subnets", "aws_db_parameter_group.db-settings",
            "aws_security_group.rds-sg", "aws_kinesis_stream.stream")  # fmt: skip
    (tmp_path / "cdk.tf.json").write_text(json.dumps(synthesiser(asked)))
    terraform = Terraform(tmp_path, {**ADMIN_KEYS, "AWS_ENDPOINT_URL": endpoint}, 300)
    terraform.initialise()
    terraform.run("apply", "-auto-approve", *(f"-target={each}" for each in kept))
    log_in = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:x"
    other = {
        "stream_arn": "arn:aws:kinesis:eu-west-2:123456789012:stream/line-4",
        "database_host": "restored.example.test",
        "database_admin_secret_arn": log_in,
        "database_security_group_id": "sg-0123456789abcdef0",
    }
    (tmp_path / "cdk.tf.json").write_text(json.dumps(synthesiser({**asked, **other})))
    terraform.run("plan", "-out=plan")
    changes = {
        each["address"]: each["change"]["actions"]
        for each in terraform.show("plan")["resource_changes"]
    }
    assert [changes[address] for address in kept] == [["forget"]] * len(kept)
    assert not [address for address, actions in changes.items() if "delete" in actions]
