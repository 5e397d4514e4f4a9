"""The configuration: what was asked for, secrets nowhere, nobody allowed more than needed."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from floorlog import config
from floorlog.infra.estimate import prose
from floorlog.infra.parameters import parameters
from floorlog.infra.release import TARGETS, network

pytestmark = pytest.mark.slow
NAMES = ("usual", "everything", "door", "existing")
WAIVERS_MAX = 6
Configurations = dict[str, dict[str, Any]]

# What may be done to every resource of a kind, because AWS knows no narrower one; else never "*".
UNBOUND = {
    "ecr:GetAuthorizationToken",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
}


def resources(configuration: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Each resource: kind, key, properties."""
    return [
        (kind, key, each)
        for kind, found in configuration["resource"].items()
        for key, each in found.items()
    ]


def documents(configuration: dict[str, Any], attribute: str) -> dict[str, list[dict[str, Any]]]:
    """Statements of every policy written in an attribute, by resource."""
    return {
        f"{kind}.{key}": json.loads(each[attribute])["Statement"]
        for kind, key, each in resources(configuration)
        if attribute in each and kind.startswith("aws_iam")
    }


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def containers(configuration: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every container of every task, by name."""
    tasks = configuration["resource"]["aws_ecs_task_definition"].values()
    return {
        each["name"]: each for task in tasks for each in json.loads(task["container_definitions"])
    }


def test_synthesis_is_deterministic(
    configurations: Configurations, synthesised: Callable[[str], dict[str, Any]]
) -> None:
    """Another process in another folder makes the same bytes."""
    assert json.dumps(synthesised("usual")) == json.dumps(configurations["usual"])


@pytest.mark.parametrize("variant", NAMES)
def test_no_password_stands_in_the_configuration(
    configurations: Configurations, variant: str
) -> None:
    """Passwords are made while Terraform applies, and written where it keeps nothing."""
    text = json.dumps(configurations[variant])
    assert not re.search(r'"(password|auth_token|secret_string|master_password)": "', text)
    versions = configurations[variant]["resource"]["aws_secretsmanager_secret_version"]
    assert len(versions) == 4
    for version in versions.values():
        assert set(version) - {"//", "depends_on"} == {
            "secret_id",
            "secret_string_wo",
            "secret_string_wo_version",
        }
        content = version["secret_string_wo"]
        for key in ("username", "password", "engine", "host", "port", "dbname"):
            assert f'"{key}"' in content, content
        assert "ephemeral.aws_secretsmanager_random_password" in content


@pytest.mark.parametrize("variant", NAMES)
def test_each_policy_names_its_own_resources(configurations: Configurations, variant: str) -> None:
    """No action is a pattern; "*" is a resource only where AWS knows none."""
    found = documents(configurations[variant], "policy")
    assert len(found) >= 5
    for address, statements in found.items():
        for statement in statements:
            assert statement["Effect"] == "Allow"
            actions = listed(statement["Action"])
            assert not [action for action in actions if "*" in action], address
            places = listed(statement["Resource"])
            if "*" in places:
                assert set(actions) <= UNBOUND, (address, actions)
            for place in places:
                assert place == "*" or not place.startswith("*"), (address, place)


@pytest.mark.parametrize("variant", NAMES)
def test_roles_are_taken_on_by_known_services_for_this_account_alone(
    configurations: Configurations, variant: str
) -> None:
    """Each role says which service, and that it acts for this account."""
    for address, statements in documents(configurations[variant], "assume_role_policy").items():
        for statement in statements:
            principal = statement["Principal"]
            if "Service" in principal:
                condition = statement["Condition"]["StringEquals"]
                assert set(condition) == {"aws:SourceAccount"}, address
            else:
                assert principal["AWS"] == ["arn:aws:iam::123456789012:role/gateway"], address


@pytest.mark.parametrize("variant", NAMES)
def test_a_producer_may_put_and_nothing_else(configurations: Configurations, variant: str) -> None:
    """The producers' policy is PutRecord and PutRecords on one stream, and the stream's key."""
    policy = configurations[variant]["resource"]["aws_iam_policy"]["producer-policy"]
    actions = [a for s in json.loads(policy["policy"])["Statement"] for a in s["Action"]]
    wanted = ["kinesis:PutRecord", "kinesis:PutRecords"]
    assert actions == wanted + (["kms:GenerateDataKey"] if variant == "everything" else [])


@pytest.mark.parametrize("variant", NAMES)
def test_only_upkeep_sees_the_administrators_log_in(
    configurations: Configurations, variant: str
) -> None:
    """The processor's and the page's roles read their own secrets; the writer's is the output."""
    found = documents(configurations[variant], "policy")
    admin = "x" if variant == "existing" else "master_user_secret"
    for address, statements in found.items():
        reads = [
            place
            for statement in statements
            if "secretsmanager:GetSecretValue" in statement["Action"]
            for place in listed(statement["Resource"])
        ]
        has_admin = any(admin in place.rpartition(":")[2] for place in reads)
        assert has_admin == ("migration" in address or "rotation" in address), address
    assert configurations[variant]["output"]["db_secret_arn"]["value"] == (
        "${aws_secretsmanager_secret.secret-writer.arn}"
    )


@pytest.mark.parametrize("variant", NAMES)
def test_the_tasks_environment_is_what_the_worker_reads(
    configurations: Configurations, variant: str
) -> None:
    """Every variable is one of config.py's, and the worker's settings load from it."""
    known = {config.variable(name) for name in config.Settings.__struct_fields__}
    found = containers(configurations[variant])
    assert {"processor", "migration", "rotation"} <= set(found)
    for container in found.values():
        variables = {each["name"]: each["value"] for each in container["environment"]}
        assert set(variables) <= known
    worker = found["processor"]["environment"]
    variables = {each["name"]: each["value"] for each in worker}
    assert {"KINESIS_STREAM_NAME", "REDIS_ENDPOINT", "DB_SECRET_ARN", "AWS_REGION"} <= set(
        variables
    )
    settings = config.load(variables)
    assert settings.cache_tls
    assert settings.metrics == "emf"


@pytest.mark.parametrize("variant", NAMES)
def test_containers_are_locked_down(configurations: Configurations, variant: str) -> None:
    """Read-only root, no root user, more time to stop than a drain takes, logs with prefix ecs."""
    from floorlog.worker import DRAIN_SECONDS  # noqa: PLC0415 - brings psycopg, which few need

    for container in containers(configurations[variant]).values():
        assert container["readonlyRootFilesystem"] is True
        assert not container["user"].startswith("0")
        assert container["stopTimeout"] > 2 * DRAIN_SECONDS
        options = container["logConfiguration"]["options"]
        assert options["awslogs-stream-prefix"] == "ecs"
        assert "privileged" not in container
        assert ("secrets" in container) == (variant == "door" and container["name"] == "page")
    assert containers(configurations[variant])["processor"]["healthCheck"]["command"] == [
        "CMD",
        "floorlog",
        "health",
    ]


@pytest.mark.parametrize("variant", NAMES)
def test_every_resource_says_why_it_is_there(configurations: Configurations, variant: str) -> None:
    """Each has its reason beside it, and each waiver its own: at most six different ones."""
    waived = set()
    for address, words in prose(configurations[variant]).items():
        assert len(words.get("why", "")) > 8, address
        for check, reason in words.get("waived", {}).items():
            assert len(reason) > 40, (address, check)
            waived.add(check)
    assert len(waived) <= WAIVERS_MAX, waived


@pytest.mark.parametrize("variant", NAMES)
def test_the_outputs_that_were_asked_for_are_there(
    configurations: Configurations, variant: str
) -> None:
    """Network, stream, cluster, cache, database and the secret of the log-in are given out."""
    assert set(configurations[variant]["output"]) >= {
        "vpc_id",
        "kinesis_stream_name",
        "ecs_cluster_name",
        "redis_endpoint",
        "rds_endpoint",
        "db_secret_arn",
    }


def test_existing_parts_are_used_not_made(configurations: Configurations) -> None:
    """A VPC, stream and database that are named are neither made nor changed."""
    found = set(configurations["existing"]["resource"])
    for kind in ("vpc", "subnet", "kinesis_stream", "db_instance", "internet_gateway"):
        assert f"aws_{kind}" not in found
    outputs = configurations["existing"]["output"]
    assert outputs["kinesis_stream_name"]["value"] == "line-4"
    assert outputs["rds_endpoint"]["value"] == "db.example.test:5432"


def test_the_state_is_a_local_file_or_in_the_bucket(configurations: Configurations) -> None:
    """Without a bucket a file; with one the state is encrypted, locked and in the region."""
    assert list(configurations["usual"]["terraform"]["backend"]) == ["local"]
    bucket = configurations["existing"]["terraform"]["backend"]["s3"]
    assert bucket["bucket"] == "states-of-the-plant"
    assert bucket["region"] == "eu-west-2"
    assert bucket["encrypt"] is True
    assert bucket["use_lockfile"] is True
    assert bucket["key"] == "floorlog/dev.tfstate"


def test_throw_away_lifts_protection_and_nothing_else_does(configurations: Configurations) -> None:
    """The record is protected from deletion and has a last snapshot, unless all was thrown away."""
    record = configurations["usual"]["resource"]["aws_db_instance"]["postgres"]
    assert record["deletion_protection"] is True
    assert record["skip_final_snapshot"] is False
    assert record["final_snapshot_identifier"] == "iot-postgres-final-dev"
    secrets = configurations["existing"]["resource"]["aws_secretsmanager_secret"]
    assert {each["recovery_window_in_days"] for each in secrets.values()} == {0}
    kept = configurations["usual"]["resource"]["aws_secretsmanager_secret"]
    assert {each["recovery_window_in_days"] for each in kept.values()} == {30}


def test_scaling_follows_the_age_of_the_stream(configurations: Configurations) -> None:
    """Minimum two, at most a task a shard, by steps on iterator age; roll-back where it fails."""
    found = configurations["everything"]["resource"]
    target = found["aws_appautoscaling_target"]["scaling"]
    assert (target["min_capacity"], target["max_capacity"]) == (2, 6)
    alarm = found["aws_cloudwatch_metric_alarm"]["iterator-age-out"]
    assert alarm["metric_name"] == "GetRecords.IteratorAgeMilliseconds"
    assert alarm["alarm_actions"] == ["${aws_appautoscaling_policy.scale-out.arn}"]
    service = found["aws_ecs_service"]["iot-processor-service"]
    assert service["desired_count"] == 2
    assert service["deployment_circuit_breaker"] == {"enable": True, "rollback": True}
    assert service["network_configuration"]["assign_public_ip"] is False


def test_a_migration_has_its_way_before_the_rest_is_made(configurations: Configurations) -> None:
    """What is made first holds each route, rule and endpoint that a task needs, by its name."""
    targets = {each.removeprefix("-target=") for each in TARGETS["migration"]}
    there = set()
    for variant in ("usual", "everything"):
        made = {f"{kind}.{key}" for kind, key, _ in resources(configurations[variant])}
        there |= made
        ways = ("aws_route_table_association.", "aws_route.")
        assert {each for each in made if each.startswith(ways)} <= targets
    assert targets <= there
    assert {each.removeprefix("-target=") for each in TARGETS["repository"]} <= there


def test_the_door_to_the_page_is_within_and_speaks_tls(configurations: Configurations) -> None:
    """Internal, TLS 1.2 or 1.3, open to the named private networks; the page hears it alone."""
    found = configurations["door"]["resource"]
    balancer = found["aws_lb"]["page-balancer"]
    assert balancer["internal"] is True
    assert balancer["enable_deletion_protection"] is True
    assert balancer["security_groups"] == ["${aws_security_group.page-balancer-sg.id}"]
    listener = found["aws_lb_listener"]["page-listener"]
    assert (listener["port"], listener["protocol"]) == (443, "TLS")
    assert "TLS13-1-2" in listener["ssl_policy"]
    rules = found["aws_vpc_security_group_ingress_rule"]
    let_in = {
        (rule["security_group_id"], rule.get("cidr_ipv4"), rule["from_port"])
        for rule in rules.values()
        if "page" in rule["security_group_id"]
    }
    assert let_in == {
        ("${aws_security_group.page-balancer-sg.id}", "10.20.0.0/16", 443),
        ("${aws_security_group.page-balancer-sg.id}", "192.168.7.0/24", 443),
        ("${aws_security_group.page-sg.id}", None, 8080),
    }
    assert not [r for r in rules.values() if "ecs-tasks-sg" in r["security_group_id"]]
    service = found["aws_ecs_service"]["iot-page-service"]
    assert len(service["network_configuration"]["security_groups"]) == 2
    [target] = service["load_balancer"]
    assert (target["container_name"], target["container_port"]) == ("page", 8080)


def test_behind_the_door_people_log_in(configurations: Configurations) -> None:
    """The page's settings name the provider and load; its secret is no variable; else loopback."""
    page = containers(configurations["door"])["page"]
    variables = {each["name"]: each["value"] for each in page["environment"]}
    settings = config.load(variables)
    assert settings.web_url == "https://record.plant.example.test"
    assert settings.oidc_issuer == "https://login.example.test/plant"
    assert "FLOORLOG_OIDC_SECRET" not in variables
    [secret] = page["secrets"]
    assert (secret["name"], secret["valueFrom"][-7:]) == ("FLOORLOG_OIDC_SECRET", ":client")
    alone = containers(configurations["everything"])["page"]
    loaded = config.load({each["name"]: each["value"] for each in alone["environment"]})
    assert (loaded.web_host, loaded.web_url, loaded.oidc_issuer) == ("127.0.0.1", "", "")


@pytest.mark.parametrize("variant", NAMES)
def test_policies_are_there_before_the_tasks_that_need_them(
    configurations: Configurations, variant: str
) -> None:
    """Each task definition waits for its role's policy and Fargate's; a roll-back finds the old."""
    found = configurations[variant]["resource"]["aws_ecs_task_definition"]
    for task in found.values():
        waits = [each for each in task["depends_on"] if each.startswith("aws_iam_role_policy.")]
        assert "aws_iam_role_policy.ecs-execution-policy" in waits
        assert len(waits) == 2
        assert task["skip_destroy"] is (variant != "existing")


def test_isolated_tasks_reach_storage_by_its_route_alone(configurations: Configurations) -> None:
    """S3's addresses are public: without a rule for their list no image layer would arrive."""
    rules = configurations["everything"]["resource"]["aws_vpc_security_group_egress_rule"]
    rule = rules["tasks-to-s3"]
    assert rule["from_port"] == rule["to_port"] == 443
    assert "prefix_list" in rule["prefix_list_id"]
    assert (
        "tasks-to-s3"
        not in configurations["usual"]["resource"]["aws_vpc_security_group_egress_rule"]
    )


def test_a_schedule_can_be_read_by_who_carries_it_out(configurations: Configurations) -> None:
    """It is stored encrypted: the scheduler's role may decrypt that schedule, and nothing else."""
    statements = documents(configurations["usual"], "policy")[
        "aws_iam_role_policy.iot-scheduler-policy"
    ]
    [decrypt] = [each for each in statements if "kms:Decrypt" in each["Action"]]
    [schedule] = decrypt["Condition"]["ArnEquals"].values()
    assert schedule.endswith(":schedule/default/iot-rotation-dev")
    rates = [
        configurations[variant]["resource"]["aws_scheduler_schedule"]["rotation-schedule"][
            "schedule_expression"
        ]
        for variant in ("usual", "existing")
    ]
    assert rates == ["rate(30 days)", "rate(1 day)"]


def test_another_database_is_named_without_harm_to_the_first(
    configurations: Configurations,
) -> None:
    """One that the stack made stays with all that it needs; log-ins are written for the new one."""
    found = configurations["existing"]
    kept = {each["from"] for each in found["removed"] if each["lifecycle"] == {"destroy": False}}
    assert {"aws_db_instance.postgres", "aws_kinesis_stream.stream"} <= kept
    made = configurations["usual"]["resource"]
    for address in kept:
        kind, _, key = address.partition(".")
        assert key in made[kind], address
        assert key not in found["resource"].get(kind, {}), address
    assert "removed" not in configurations["usual"]
    for variant in ("usual", "existing"):
        versions = configurations[variant]["resource"]["aws_secretsmanager_secret_version"]
        for version in versions.values():
            assert "sha256" in version["secret_string_wo_version"]


@pytest.mark.parametrize("variant", NAMES)
def test_a_migration_needs_no_output_that_is_not_there_yet(
    configurations: Configurations, variants: dict[str, dict[str, Any]], variant: str
) -> None:
    """Outputs that refer to nothing are given out only at the end: before, the task has a place."""
    outputs = configurations[variant]["output"]
    early = {
        name: ["x"] if name == "task_subnets" else "x"
        for name, each in outputs.items()
        if "${" in json.dumps(each["value"])
    }
    assert {"ecs_cluster_name", "migration_task", "task_security_group"} <= set(early)
    assert ("task_subnets" in early) == (variant != "existing")
    asked = parameters(variants[variant])
    place = network(early, asked)["awsvpcConfiguration"]
    assert place["subnets"] == (["subnet-1", "subnet-2"] if variant == "existing" else ["x"])
    assert place["assignPublicIp"] == ("DISABLED" if variant == "everything" else "ENABLED")
