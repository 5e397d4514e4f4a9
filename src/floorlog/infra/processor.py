"""Processor: the tasks that read the stream into the record, and what keeps enough of them."""

from dataclasses import dataclass

from cdktn_provider_aws.appautoscaling_policy import AppautoscalingPolicy
from cdktn_provider_aws.appautoscaling_target import AppautoscalingTarget
from cdktn_provider_aws.cloudwatch_metric_alarm import CloudwatchMetricAlarm
from cdktn_provider_aws.ecs_cluster import EcsCluster
from cdktn_provider_aws.ecs_service import EcsService
from cdktn_provider_aws.iam_role import IamRole
from cdktn_provider_aws.iam_role_policy import IamRolePolicy

from floorlog.infra import access
from floorlog.infra.anchor import Anchor
from floorlog.infra.cache import Cache
from floorlog.infra.keys import Keys
from floorlog.infra.part import HOURS_A_MONTH, Room, allow, block
from floorlog.infra.secrets import Secrets
from floorlog.infra.stream import Stream
from floorlog.infra.task import SCRATCH, Container, Ground, task
from floorlog.infra.waivers import PUBLIC_ADDRESS

OUT_AGE_MS = 60_000  # behind by this much, one task more
IN_AGE_MS = 5_000  # and below this for long, one fewer
DATABASE_CA = "/etc/floorlog/rds-ca.pem"  # in the image
INSIGHTS = 30  # metrics that Container Insights makes of a cluster with one service, about


@dataclass(frozen=True)
class Sources:
    """What the processor reads and writes."""

    stream: Stream
    cache: Cache
    secrets: Secrets
    anchor: Anchor | None


def cluster(room: Room) -> EcsCluster:
    """The cluster that all tasks run in."""
    return room.add(
        EcsCluster,
        "cluster",
        "the tasks run in it",
        usage={"metric": INSIGHTS},
        name=room.name("iot-processing-cluster"),
        setting=[{"name": "containerInsights", "value": "enabled"}],
    )


def processor(room: Room, ground: Ground, sources: Sources, keys: Keys, account: str) -> EcsService:
    """Two tasks or more: each reads its share of the shards and offers to keep the log."""
    asked = room.parameters
    role, granted = task_role(room, sources, keys, account)
    containers = [_worker(room, sources)]
    if sources.anchor is not None:
        containers.append(_keeper(room, sources, sources.anchor))
    why = "the worker, and beside it the keeper's work, which one of all tasks does at a time"
    definition = task(room, ground, "iot-processor", why, granted, role, containers)
    service = run(room, ground, "iot-processor-service", definition.arn, asked.tasks)
    _scale(room, sources.stream, service)
    return service


def task_role(
    room: Room, sources: Sources, keys: Keys, account: str
) -> tuple[IamRole, IamRolePolicy]:
    """What the processor may do, and no more."""
    role = access.role(room, "ecs-task-role", "who the processor is", account)
    region = room.parameters.aws_region
    arns = sources.secrets.arns
    logins = [arns["floorlog_writer"]]
    statements = access.read_stream(sources.stream.arn, sources.stream.key_arn)
    if sources.anchor is not None:
        logins.append(arns["floorlog_keeper"])
        statements += _anchor_statements(sources.anchor)
    statements += access.read_secrets(logins, keys.arn, region)
    users = [sources.cache.arn, sources.cache.user_arn]
    statements.append(allow("Cache", ["elasticache:Connect"], users))
    why = "read the stream and its log-ins, log in to the cache, put notes"
    return role, access.grant(room, role, "ecs-task-policy", why, *statements)


def _anchor_statements(anchor: Anchor) -> list[access.Statement]:
    return [
        allow("Notes", ["s3:GetObject", "s3:PutObject"], f"{anchor.bucket_arn}/*"),
        allow("ListNotes", ["s3:ListBucket"], anchor.bucket_arn),
        allow("SigningKey", ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"], anchor.key_arn),
    ]


def settings(room: Room, sources: Sources, role: str) -> dict[str, str]:
    """The settings that every task has, for a role of the database."""
    return {
        "stream": sources.stream.name,
        "redis": sources.cache.endpoint,
        "db_secret": sources.secrets.arns[role],
        "region": room.parameters.aws_region,
        "db_ca": DATABASE_CA,
        "cache_tls": "true",
        "cache_user": sources.cache.user,
        "cache_iam": sources.cache.group_id,
        "environment": room.parameters.environment_suffix,
        "log_format": "json",
    }


def _worker(room: Room, sources: Sources) -> Container:
    return Container(
        "processor",
        ["worker"],
        {
            **settings(room, sources, "floorlog_writer"),
            "metrics": "emf",
            "health_file": f"{SCRATCH}/heartbeat",
        },
        health=["floorlog", "health"],
    )


def _keeper(room: Room, sources: Sources, anchor: Anchor) -> Container:
    own = {
        "anchor": f"s3://{anchor.bucket}",
        "anchor_days": "0",  # the bucket's own lock, which a task cannot shorten
        "signing_key": f"kms:{anchor.key_arn}",
        "metrics": "emf",
    }
    return Container(
        "keeper",
        ["keeper"],
        {**settings(room, sources, "floorlog_keeper"), **own},
        essential=False,
    )


def run(
    room: Room, ground: Ground, plain: str, definition_arn: str, tasks: int,
    groups: tuple[str, ...] = (), **rest: object,
) -> EcsService:  # fmt: skip
    """A service that goes back to what it was where a new task does not become healthy."""
    asked = room.parameters
    hours = tasks * HOURS_A_MONTH
    usage = {
        "fargate vcpu hour": hours * asked.task_cpu / 1024,
        "fargate GB hour": hours * asked.task_memory / 1024,
    }
    if not asked.isolated:
        usage["public address hour"] = hours
    return room.add(
        EcsService,
        plain,
        "keeps its tasks running, over both zones",
        usage=usage,
        waived=() if asked.isolated else (PUBLIC_ADDRESS,),
        name=room.name(plain),
        cluster=ground.cluster_arn,
        task_definition=definition_arn,
        desired_count=tasks,
        launch_type="FARGATE",
        platform_version="LATEST",
        network_configuration={
            "subnets": ground.subnets,
            "security_groups": [ground.security_group, *groups],
            "assign_public_ip": not asked.isolated,
        },
        deployment_minimum_healthy_percent=100,
        deployment_maximum_percent=200,
        deployment_circuit_breaker={"enable": True, "rollback": True},
        enable_ecs_managed_tags=True,
        propagate_tags="SERVICE",
        lifecycle={"ignore_changes": ["desired_count"]},  # the scaling's to say
        **rest,
    )


def _scale(room: Room, stream: Stream, service: EcsService) -> None:
    asked = room.parameters
    cluster_name = room.name("iot-processing-cluster")
    target = room.add(
        AppautoscalingTarget,
        "scaling",
        f"{asked.tasks} to {asked.tasks_max} tasks: a shard is read by one",
        service_namespace="ecs",
        scalable_dimension="ecs:service:DesiredCount",
        resource_id=f"service/{cluster_name}/{service.name}",
        min_capacity=asked.tasks,
        max_capacity=asked.tasks_max,
    )
    for way, wait_s, steps in (
        ("out", 120, [("0", "240000", 1), ("240000", None, 2)]),
        ("in", 600, [(None, "0", -1)]),
    ):
        policy = room.add(
            AppautoscalingPolicy,
            f"scale-{way}",
            f"scales {way} by how old the oldest unread reading is",
            name=room.name(f"iot-scale-{way}"),
            policy_type="StepScaling",
            resource_id=target.resource_id,
            scalable_dimension=target.scalable_dimension,
            service_namespace=target.service_namespace,
            step_scaling_policy_configuration={
                "adjustment_type": "ChangeInCapacity",
                "cooldown": wait_s,
                "metric_aggregation_type": "Maximum",
                "step_adjustment": [
                    block(
                        metric_interval_lower_bound=lower,
                        metric_interval_upper_bound=upper,
                        scaling_adjustment=by,
                    )
                    for lower, upper, by in steps
                ],
            },
        )
        _age_alarm(room, stream, way, policy.arn)


def _age_alarm(room: Room, stream: Stream, way: str, action: str) -> None:
    out = way == "out"
    room.add(
        CloudwatchMetricAlarm,
        f"iterator-age-{way}",
        "tells the scaling that tasks are behind" if out else "or that they are not, for long",
        usage={"alarm": 1},
        alarm_name=room.name(f"iot-scale-{way}"),
        namespace="AWS/Kinesis",
        metric_name="GetRecords.IteratorAgeMilliseconds",
        dimensions={"StreamName": stream.name},
        statistic="Maximum",
        period=60,
        evaluation_periods=2 if out else 15,
        threshold=OUT_AGE_MS if out else IN_AGE_MS,
        comparison_operator="GreaterThanThreshold" if out else "LessThanThreshold",
        treat_missing_data="notBreaching" if out else "ignore",
        alarm_actions=[action],
    )
