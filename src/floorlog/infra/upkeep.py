"""Upkeep: tasks that run now and then; migration before a release, rotation of every log-in."""

import json
from dataclasses import dataclass

from cdktn_provider_aws.ecs_task_definition import EcsTaskDefinition
from cdktn_provider_aws.iam_role import IamRole
from cdktn_provider_aws.scheduler_schedule import SchedulerSchedule

from floorlog.infra import access
from floorlog.infra.database import Database
from floorlog.infra.keys import Keys
from floorlog.infra.part import Room, allow
from floorlog.infra.processor import DATABASE_CA
from floorlog.infra.secrets import Secrets
from floorlog.infra.task import Container, Ground, task

CHANGES = ("DescribeSecret", "PutSecretValue", "UpdateSecretVersionStage")


@dataclass(frozen=True)
class Upkeep:
    """The task definitions, by family."""

    migration: str
    rotation: str


def upkeep(
    room: Room, ground: Ground, database: Database, secrets: Secrets, keys: Keys, account: str
) -> Upkeep:
    """The two tasks that use the administrator's log-in, and the schedule of the second."""
    asked = room.parameters
    settings = {
        "db_secret": secrets.writer,
        "admin_secret": database.admin_secret_arn,
        "role_secrets": ",".join(f"{role}={arn}" for role, arn in secrets.arns.items()),
        "db_ca": DATABASE_CA,
        "region": asked.aws_region,
        "log_format": "json",
    }
    read = access.read_secrets(
        [*secrets.arns.values(), database.admin_secret_arn], keys.arn, asked.aws_region
    )
    service = f"secretsmanager.{asked.aws_region}.amazonaws.com"
    change = [
        allow(
            "NewVersion",
            [f"secretsmanager:{each}" for each in CHANGES],
            list(secrets.arns.values()),
        ),
        access.through("NewVersionKey", ["kms:GenerateDataKey"], keys.arn, service),
    ]
    made = {}
    for plain, command, why, statements in (
        ("migration", "migrate", "brings the database to this release, before its tasks", read),
        ("rotation", "rotate", "gives every role of the database a new password", read + change),
    ):
        role = access.role(room, f"iot-{plain}-task-role", f"who the {plain} task is", account)
        granted = access.grant(
            room, role, f"iot-{plain}-policy", f"what the {plain} does", *statements
        )
        containers = [Container(plain, [command], settings)]
        definition = task(
            room, ground, f"iot-{plain}", why, granted, role, containers,
            depends_on=list(secrets.versions),
        )  # fmt: skip
        made[plain] = (definition, role)
    _schedule(room, ground, *made["rotation"], account, keys)
    return Upkeep(made["migration"][0].family, made["rotation"][0].family)


def _schedule(
    room: Room,
    ground: Ground,
    definition: EcsTaskDefinition,
    role: IamRole,
    account: str,
    keys: Keys,
) -> None:
    starter = access.role(
        room,
        "iot-scheduler-role",
        "starts the rotation",
        account,
        service="scheduler.amazonaws.com",
    )
    name = room.name("iot-rotation")
    days = room.parameters.rotation_days
    region = room.parameters.aws_region
    schedule = f"arn:aws:scheduler:{region}:{account}:schedule/default/{name}"
    access.grant(
        room,
        starter,
        "iot-scheduler-policy",
        "that one task in this cluster",
        allow(
            "Run",
            ["ecs:RunTask"],
            f"{definition.arn_without_revision}:*",
            Condition={"ArnEquals": {"ecs:cluster": ground.cluster_arn}},
        ),
        allow("Roles", ["iam:PassRole"], [role.arn, ground.execution.role.arn]),
        # The schedule is stored encrypted; whoever carries it out must be able to read it.
        allow(
            "Schedule",
            ["kms:Decrypt"],
            keys.arn,
            Condition={"ArnEquals": {"kms:EncryptionContext:aws:scheduler:schedule:arn": schedule}},
        ),
    )
    room.add(
        SchedulerSchedule,
        "rotation-schedule",
        f"runs the rotation every {days} days",
        name=name,
        schedule_expression=f"rate({days} day{'s' if days > 1 else ''})",
        flexible_time_window={"mode": "FLEXIBLE", "maximum_window_in_minutes": 60},
        kms_key_arn=keys.arn,
        target={
            "arn": ground.cluster_arn,
            "role_arn": starter.arn,
            "input": json.dumps({}),
            "ecs_parameters": {
                "task_definition_arn": definition.arn_without_revision,
                "launch_type": "FARGATE",
                "task_count": 1,
                "network_configuration": {
                    "subnets": ground.subnets,
                    "security_groups": [ground.security_group],
                    "assign_public_ip": not room.parameters.isolated,
                },
            },
            "retry_policy": {"maximum_retry_attempts": 3, "maximum_event_age_in_seconds": 3600},
        },
    )
