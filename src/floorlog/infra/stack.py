"""The stack, in the order of the data's path: who puts, what is read, where it is kept."""

from pathlib import Path

from cdktn import App, LocalBackend, S3Backend, TerraformOutput, TerraformStack
from cdktn_provider_aws.data_aws_caller_identity import DataAwsCallerIdentity
from cdktn_provider_aws.provider import AwsProvider

from floorlog.infra import observe, processor
from floorlog.infra.access import execution_role
from floorlog.infra.anchor import anchor
from floorlog.infra.balancer import balancer
from floorlog.infra.cache import cache
from floorlog.infra.database import database
from floorlog.infra.endpoints import endpoints
from floorlog.infra.firewall import firewall
from floorlog.infra.keys import keys
from floorlog.infra.network import network
from floorlog.infra.page import PORT, page
from floorlog.infra.parameters import Parameters
from floorlog.infra.part import Room
from floorlog.infra.registry import registry
from floorlog.infra.secrets import secrets
from floorlog.infra.stream import stream
from floorlog.infra.task import Ground
from floorlog.infra.upkeep import upkeep

NAME = "floorlog"
# The database, and what it would be refused to exist without.
RECORD = (
    "aws_db_instance.postgres",
    "aws_db_subnet_group.db-subnets",
    "aws_db_parameter_group.db-settings",
    "aws_security_group.rds-sg",
    "aws_iam_role.monitoring-role",
    "aws_iam_role_policy_attachment.monitoring-policy",
    "aws_cloudwatch_log_group.db-log-postgresql",
    "aws_cloudwatch_log_group.db-log-upgrade",
)


def build(scope: TerraformStack, asked: Parameters, version: str) -> None:
    """Everything that a deployment consists of."""
    room = Room(scope, asked)
    account = DataAwsCallerIdentity(scope, "account").account_id

    own = keys(room, account)
    net = network(room, own, account)
    walls = firewall(room, net)
    endpoints(room, net, walls)

    source = stream(room, account)
    view = cache(room, net, walls, own)
    record = database(room, net, walls, own, account)
    logins = secrets(room, record, own)
    notes = anchor(room, account)

    images = registry(room, own, version)
    logs = observe.log_group(room, own)
    tasks = processor.cluster(room)
    ground = Ground(
        images.image,
        logs.name,
        execution_role(room, account, images.arn, logs.arn),
        tasks.arn,
        net.of_tasks(isolated=asked.isolated),
        walls.tasks,
    )
    sources = processor.Sources(source, view, logins, notes)
    jobs = upkeep(room, ground, record, logins, own, account)
    service = processor.processor(room, ground, sources, own, account)
    door = balancer(room, net, own, account, PORT)
    page(room, ground, sources, own, account, door)
    topic = observe.observe(room, own, logs, source, record)

    outputs: dict[str, object] = {
        "vpc_id": net.vpc_id,
        "kinesis_stream_name": source.name,
        "ecs_cluster_name": tasks.name,
        "redis_endpoint": view.endpoint,
        "rds_endpoint": f"{record.host}:{record.port}",
        "db_secret_arn": logins.writer,
        "image_repository": images.url,
        "image": images.image,
        "processor_service": service.name,
        "migration_task": jobs.migration,
        "rotation_task": jobs.rotation,
        "task_subnets": ground.subnets,
        "task_security_group": walls.tasks,
        "alarm_topic_arn": topic.arn,
    }
    if door is not None:
        outputs["page_address"] = door.address  # what the name in page_url must point to
    if notes is not None:
        outputs["anchor_bucket"] = notes.bucket
    for name, value in outputs.items():
        TerraformOutput(scope, name, value=value)


def synthesise(asked: Parameters, folder: Path, version: str) -> Path:
    """Write the Terraform configuration into a folder.

    Returns:
        The folder that Terraform works in; it holds `cdk.tf.json`.
    """
    # Write-only attributes and the lock file of S3 came with Terraform 1.11.
    app = App(outdir=str(folder), context={"targetVersions": {"terraform": ">=1.11.0"}})
    scope = TerraformStack(app, NAME)
    # Tags are a list of one block: as a plain mapping they would be dropped without a word.
    AwsProvider(scope, "aws", region=asked.aws_region, default_tags=[{"tags": asked.tags}])
    scope.add_override("terraform.required_version", ">= 1.11.0")
    scope.add_override("terraform.required_providers.aws.version", asked.provider_version)
    if asked.state_bucket:
        S3Backend(
            scope,
            bucket=asked.state_bucket,
            key=f"floorlog/{asked.environment_suffix}.tfstate",
            region=asked.state_region,
            encrypt=True,
            use_lockfile=True,
        )
    else:
        LocalBackend(scope, path=f"{asked.environment_suffix}.tfstate")
    build(scope, asked, version)
    if kept := _kept(asked):
        scope.add_override("removed", kept)
    app.synth()
    return folder / "stacks" / NAME


def _kept(asked: Parameters) -> list[dict[str, object]]:
    """What a deployment that made them lets go of, and does not destroy, once another is named."""
    given = {"database_host": RECORD, "stream_arn": ("aws_kinesis_stream.stream",)}
    addresses = [each for name, found in given.items() if getattr(asked, name) for each in found]
    return [{"from": each, "lifecycle": {"destroy": False}} for each in addresses]
