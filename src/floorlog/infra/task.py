"""Task: the one way in which a container of the image is described to Fargate."""

import json
from dataclasses import dataclass, field
from typing import Any

from cdktn_provider_aws.ecs_task_definition import EcsTaskDefinition
from cdktn_provider_aws.iam_role import IamRole
from cdktn_provider_aws.iam_role_policy import IamRolePolicy

from floorlog import config
from floorlog.infra.access import Execution
from floorlog.infra.part import Room

USER = "10001:10001"  # as in the Dockerfile
SCRATCH = "/run/floorlog"  # the one place that may be written: heartbeat, error reports
STOP_SECONDS = 60  # above the worker's drain time


@dataclass(frozen=True)
class Ground:
    """What all tasks have in common."""

    image: str
    log_group: str
    execution: Execution
    cluster_arn: str
    subnets: list[str]
    security_group: str


@dataclass(frozen=True)
class Container:
    """One command of the image."""

    name: str
    command: list[str]
    settings: dict[str, str]  # by field of Settings
    essential: bool = True
    health: list[str] = field(default_factory=list)
    writable: tuple[str, ...] = ()
    port: int = 0
    secrets: dict[str, str] = field(default_factory=dict)  # field of Settings to a secret's ARN


def environment(settings: dict[str, str]) -> list[dict[str, str]]:
    """The variables of these settings, named by config.py as the worker reads them."""
    named = {config.variable(name): value for name, value in settings.items()}
    assert set(settings) <= set(config.Settings.__struct_fields__), settings
    return [{"name": name, "value": named[name]} for name in sorted(named)]


def task(
    room: Room, ground: Ground, plain: str, why: str, granted: IamRolePolicy, role: IamRole,
    containers: list[Container], depends_on: list[Any] | None = None,
) -> EcsTaskDefinition:  # fmt: skip
    """A task definition of containers that all run the image, each with its own command.

    It comes after the policies that its tasks need: one that starts before them is refused, and
    enough of those end a deployment. A revision stays when a newer one takes its place, because a
    roll-back starts it again; in a throw-away environment nothing stays.
    """
    asked = room.parameters
    described = [_container(room, ground, each) for each in containers]
    volumes = sorted({mount["sourceVolume"] for each in described for mount in each["mountPoints"]})
    return room.add(
        EcsTaskDefinition,
        f"{plain}-task",
        why,
        family=room.name(plain),
        cpu=str(asked.task_cpu),
        memory=str(asked.task_memory),
        network_mode="awsvpc",
        requires_compatibilities=["FARGATE"],
        runtime_platform={"cpu_architecture": "X86_64", "operating_system_family": "LINUX"},
        execution_role_arn=ground.execution.role.arn,
        task_role_arn=role.arn,
        container_definitions=json.dumps(described, sort_keys=True),
        volume=[{"name": name} for name in volumes],
        skip_destroy=not asked.throw_away,
        depends_on=[granted, ground.execution.policy, *(depends_on or [])],
    )


def _container(room: Room, ground: Ground, container: Container) -> dict[str, Any]:
    mounts = {"scratch": SCRATCH}
    mounts.update({path.strip("/").replace("/", "-"): path for path in container.writable})
    described: dict[str, Any] = {
        "name": container.name,
        "image": ground.image,
        "command": container.command,
        "essential": container.essential,
        "environment": environment(container.settings),
        "user": USER,
        "readonlyRootFilesystem": True,
        "linuxParameters": {"initProcessEnabled": True},
        "stopTimeout": STOP_SECONDS,
        "mountPoints": [
            {"sourceVolume": name, "containerPath": path, "readOnly": False}
            for name, path in mounts.items()
        ],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": ground.log_group,
                "awslogs-region": room.parameters.aws_region,
                "awslogs-stream-prefix": "ecs",
            },
        },
    }
    if not container.essential:
        described["restartPolicy"] = {"enabled": True, "restartAttemptPeriod": 60}
    if container.health:
        described["healthCheck"] = {
            "command": ["CMD", *container.health],
            "interval": 30,
            "timeout": 20,
            "retries": 3,
            "startPeriod": 120,
        }
    if container.secrets:
        named = {config.variable(name): arn for name, arn in container.secrets.items()}
        described["secrets"] = [{"name": name, "valueFrom": arn} for name, arn in named.items()]
    if container.port:
        described["portMappings"] = [{"containerPort": container.port, "protocol": "tcp"}]
    return described
