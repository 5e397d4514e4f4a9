"""Endpoints: how isolated tasks reach AWS without a way to anything else."""

from cdktn_provider_aws.data_aws_ec2_managed_prefix_list import DataAwsEc2ManagedPrefixList
from cdktn_provider_aws.vpc_endpoint import VpcEndpoint
from cdktn_provider_aws.vpc_security_group_egress_rule import VpcSecurityGroupEgressRule

from floorlog.infra.firewall import HTTPS_PORT, Firewall, connect, group, ports
from floorlog.infra.network import Network
from floorlog.infra.part import HOURS_A_MONTH, Room

SERVICES = {
    "kinesis-streams": "the stream",
    "secretsmanager": "log-ins of the database",  # pragma: allowlist secret - a name
    "logs": "logs and metrics",
    "ecr.api": "the image",
    "ecr.dkr": "the image's layers",
    "kms": "the signing key",
}


def endpoints(room: Room, network: Network, firewall: Firewall) -> None:
    """One endpoint a service that the tasks call, S3 by route; nothing when not isolated."""
    if not room.parameters.isolated:
        return
    inner = group(room, network, "endpoints-sg", "AWS services: the tasks alone")
    connect(room, "tasks-to-endpoints", firewall.tasks, inner.id, HTTPS_PORT)
    region = room.parameters.aws_region
    services = dict(SERVICES)
    if room.parameters.page:
        services["ssmmessages"] = "whoever forwards the page's port"
    for service, purpose in services.items():
        plain = service.replace(".", "-")
        room.add(
            VpcEndpoint,
            f"endpoint-{plain}",
            f"isolated tasks reach {purpose}",
            usage={"endpoint hour": HOURS_A_MONTH * len(network.private)},
            vpc_id=network.vpc_id,
            service_name=f"com.amazonaws.{region}.{service}",
            vpc_endpoint_type="Interface",
            private_dns_enabled=True,
            subnet_ids=network.private,
            security_group_ids=[inner.id],
            tags={"Name": room.name(f"iot-endpoint-{plain}")},
        )
    _to_storage(room, firewall)
    if network.private_routes is not None:
        room.add(
            VpcEndpoint,
            "endpoint-s3",
            "isolated tasks reach the image's layers and the anchors",
            vpc_id=network.vpc_id,
            service_name=f"com.amazonaws.{region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[network.private_routes],
            tags={"Name": room.name("iot-endpoint-s3")},
        )


def _to_storage(room: Room, firewall: Firewall) -> None:
    """S3 by route keeps its public addresses, which a group must let through by their list."""
    name = f"com.amazonaws.{room.parameters.aws_region}.s3"
    listed = DataAwsEc2ManagedPrefixList(room.scope, "s3-addresses", name=name)
    room.add(
        VpcSecurityGroupEgressRule,
        "tasks-to-s3",
        "isolated tasks fetch the image's layers and put notes, by TLS only",
        security_group_id=firewall.tasks,
        description="S3 of this region, TLS",
        prefix_list_id=listed.id,
        **ports(HTTPS_PORT),
        tags={"Name": room.name("tasks-to-s3")},
    )
