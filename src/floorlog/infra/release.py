"""Release: the database is brought to a release by one task, before that release's tasks start."""

import time
from collections.abc import Mapping
from typing import Any

from floorlog.errors import ServiceError
from floorlog.infra.parameters import Parameters

# The migration's task definition brings database, log-ins, image and log group with it; the ways
# that a task takes through the network nothing refers to, so they are named. What a deployment does
# not have (endpoints, or public routes) Terraform passes over.
_WAYS = [
    "aws_ecs_task_definition.iot-migration-task",
    "aws_ecs_cluster.cluster",
    "aws_iam_role_policy.ecs-execution-policy",
    "aws_route.public-route",
    *(
        f"aws_route_table_association.{kind}-rta-{n}"
        for kind in ("public", "private")
        for n in (1, 2)
    ),
    "aws_vpc_security_group_egress_rule.tasks-to-aws",
    "aws_vpc_security_group_egress_rule.tasks-to-s3",
    *(
        f"aws_vpc_security_group_{way}gress_rule.tasks-to-{other}-{side}"
        for other in ("rds", "endpoints")
        for way, side in (("e", "out"), ("in", "in"))
    ),
    *(
        f"aws_vpc_endpoint.endpoint-{service}"
        for service in ("secretsmanager", "logs", "ecr-api", "ecr-dkr", "s3")
    ),
]
TARGETS = {
    "repository": ["-target=aws_ecr_repository.repository"],
    "migration": [f"-target={address}" for address in _WAYS],
}
WAIT_SECONDS = 900
POLL_SECONDS = 5.0


def migrate(outputs: Mapping[str, Any], asked: Parameters) -> str:
    """Run the migration task to its end; returns one line. Raises ServiceError.

    Args:
        outputs: what is known after the resources of TARGETS["migration"] were made.
        asked: the deployment's parameters.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - a plan starts sooner without it
    from botocore.session import Session  # noqa: PLC0415 - a plan starts sooner without it

    try:
        client = Session().create_client("ecs", region_name=asked.aws_region)
        return _run(client, outputs, network(outputs, asked))
    except (BotoCoreError, ClientError) as error:
        raise ServiceError(
            f"the migration cannot be run: {error}",
            where="ECS",
            fix="check your AWS credentials; then apply again, which goes on from here",
        ) from error


def network(outputs: Mapping[str, Any], asked: Parameters) -> dict[str, Any]:
    """Where the migration's task runs, as ECS wants it told.

    An output that refers to no resource, such as the subnets of a VPC that existed, Terraform gives
    out only after everything was made: those are known from the parameters.
    """
    given = asked.private_subnet_ids if asked.isolated else asked.public_subnet_ids
    return {
        "awsvpcConfiguration": {
            "subnets": outputs.get("task_subnets") or list(given),
            "securityGroups": [outputs["task_security_group"]],
            "assignPublicIp": "DISABLED" if asked.isolated else "ENABLED",
        }
    }


def _run(client: Any, outputs: Mapping[str, Any], where: dict[str, Any]) -> str:  # noqa: ANN401 - botocore's clients have no types
    cluster = outputs["ecs_cluster_name"]
    answer = client.run_task(
        cluster=cluster,
        taskDefinition=outputs["migration_task"],
        launchType="FARGATE",
        networkConfiguration=where,
    )
    if not answer["tasks"]:
        raise _failed(f"it was not started: {answer.get('failures')}")
    arn = answer["tasks"][0]["taskArn"]
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        task = client.describe_tasks(cluster=cluster, tasks=[arn])["tasks"][0]
        if task["lastStatus"] == "STOPPED":
            code = task["containers"][0].get("exitCode")
            if code == 0:
                return "the database is at this release"
            raise _failed(f"it ended with {code}: {task.get('stoppedReason', 'no reason given')}")
        time.sleep(POLL_SECONDS)
    raise _failed(f"it has not ended after {WAIT_SECONDS} s")


def _failed(what: str) -> ServiceError:
    return ServiceError(
        f"the migration failed, so the old tasks go on: {what}",
        where="ECS",
        fix="read its log in /aws/iot-processing, stream ecs/migration; then apply again",
    )
