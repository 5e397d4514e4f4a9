"""Firewall: nothing may come to a processor; database and cache hear the tasks alone."""

from dataclasses import dataclass
from typing import Any

from cdktn_provider_aws.security_group import SecurityGroup
from cdktn_provider_aws.vpc_security_group_egress_rule import VpcSecurityGroupEgressRule
from cdktn_provider_aws.vpc_security_group_ingress_rule import VpcSecurityGroupIngressRule

from floorlog.infra.network import Network
from floorlog.infra.part import Room

REDIS_PORT = 6379
HTTPS_PORT = 443


@dataclass(frozen=True)
class Firewall:
    """Identifiers of the security groups."""

    tasks: str
    redis: str
    rds: str


def firewall(room: Room, network: Network) -> Firewall:
    """Three groups, and between them just the two ports that are needed."""
    tasks = group(room, network, "ecs-tasks-sg", "tasks: nothing comes in")
    redis = group(room, network, "redis-sg", "cache: the tasks alone")
    port = room.parameters.database_port
    pairs = {"redis": (redis.id, REDIS_PORT)}
    if room.parameters.database_host:
        rds_id = room.parameters.database_security_group_id
    else:
        rds_id = group(room, network, "rds-sg", "database: the tasks alone").id
    pairs["rds"] = (rds_id, port)
    for name, (other, number) in pairs.items():
        connect(room, f"tasks-to-{name}", tasks.id, other, number)
    if not room.parameters.isolated:
        room.add(
            VpcSecurityGroupEgressRule,
            "tasks-to-aws",
            "tasks reach AWS's services, by TLS only",
            security_group_id=tasks.id,
            description="AWS services, TLS",
            cidr_ipv4="0.0.0.0/0",
            **ports(HTTPS_PORT),
            tags={"Name": room.name("tasks-to-aws")},
        )
    return Firewall(tasks.id, redis.id, rds_id)


def group(room: Room, network: Network, plain: str, why: str) -> Any:  # noqa: ANN401 - a construct
    """A security group without any rule."""
    return room.add(
        SecurityGroup,
        plain,
        why,
        name=room.name(plain),
        description=why,
        vpc_id=network.vpc_id,
        tags={"Name": room.name(plain)},
    )


def connect(room: Room, key: str, client: str, server: str, port: int) -> None:
    """Let one group reach another on one port: out of the one, into the other."""
    for way, kind, own, other in (
        ("out", VpcSecurityGroupEgressRule, client, server),
        ("in", VpcSecurityGroupIngressRule, server, client),
    ):
        room.add(
            kind,
            f"{key}-{way}",
            f"port {port}, one group to the other",
            security_group_id=own,
            referenced_security_group_id=other,
            description=f"{key}, port {port}",
            **ports(port),
            tags={"Name": room.name(f"{key}-{way}")},
        )


def ports(port: int) -> dict[str, Any]:
    """One port of TCP, as a rule names it."""
    return {"ip_protocol": "tcp", "from_port": port, "to_port": port}
