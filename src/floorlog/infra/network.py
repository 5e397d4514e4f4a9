"""Network: a VPC over two zones; public subnets for the tasks, private ones for what they keep."""

from dataclasses import dataclass
from typing import Any

from cdktn import Fn
from cdktn_provider_aws.cloudwatch_log_group import CloudwatchLogGroup
from cdktn_provider_aws.data_aws_availability_zones import DataAwsAvailabilityZones
from cdktn_provider_aws.default_security_group import DefaultSecurityGroup
from cdktn_provider_aws.flow_log import FlowLog
from cdktn_provider_aws.iam_role import IamRole
from cdktn_provider_aws.iam_role_policy import IamRolePolicy
from cdktn_provider_aws.internet_gateway import InternetGateway
from cdktn_provider_aws.route import Route
from cdktn_provider_aws.route_table import RouteTable
from cdktn_provider_aws.route_table_association import RouteTableAssociation
from cdktn_provider_aws.subnet import Subnet
from cdktn_provider_aws.vpc import Vpc

from floorlog.infra.keys import Keys
from floorlog.infra.part import Room, allow, block, policy, trust
from floorlog.infra.waivers import SHORT_LOGS

CIDR = "10.0.0.0/16"
SUBNETS = {
    "public": ("10.0.1.0/24", "10.0.2.0/24"),
    "private": ("10.0.11.0/24", "10.0.12.0/24"),
}


@dataclass(frozen=True)
class Network:
    """Where things are put: identifiers of the VPC, its subnets, and the private routes."""

    vpc_id: str
    public: list[str]
    private: list[str]
    private_routes: str | None

    def of_tasks(self, *, isolated: bool) -> list[str]:
        """The subnets of the tasks."""
        return self.private if isolated else self.public


def network(room: Room, keys: Keys, account: str) -> Network:
    """The network, or the existing one that the parameters name."""
    asked = room.parameters
    if asked.vpc_id:
        public, private = list(asked.public_subnet_ids), list(asked.private_subnet_ids)
        return Network(asked.vpc_id, public, private, None)
    vpc = room.add(
        Vpc,
        "vpc",
        "keeps tasks, database and cache apart from everything else",
        cidr_block=CIDR,
        enable_dns_support=True,
        enable_dns_hostnames=True,
        tags={"Name": room.name("iot-vpc")},
    )
    room.add(
        DefaultSecurityGroup,
        "default-sg",
        "the VPC's default group lets nothing through",
        vpc_id=vpc.id,
        tags={"Name": room.name("iot-default-sg")},
    )
    _flow_log(room, keys, account, vpc)
    subnets = _subnets(room, vpc)
    _public_route(room, vpc, subnets["public"])
    routes = _routes(room, vpc, "private", "the private subnets' routes: within the VPC only")
    _associate(room, "private", routes, subnets["private"])
    return Network(vpc.id, _ids(subnets["public"]), _ids(subnets["private"]), routes.id)


def _ids(subnets: list[Any]) -> list[str]:
    return [subnet.id for subnet in subnets]


def _subnets(room: Room, vpc: Any) -> dict[str, list[Any]]:  # noqa: ANN401 - a construct
    # Without the filter, a local zone that the account opted in to could come first.
    regional = block(name="opt-in-status", values=["opt-in-not-required"])
    zones = DataAwsAvailabilityZones(room.scope, "zones", state="available", filter=[regional])
    purpose = {"public": "tasks, with a way out", "private": "database and cache, without one"}
    made: dict[str, list[Any]] = {}
    for kind, blocks in SUBNETS.items():
        made[kind] = [
            room.add(
                Subnet,
                f"{kind}-{number}",
                f"zone {number}: {purpose[kind]}",
                vpc_id=vpc.id,
                cidr_block=block,
                availability_zone=Fn.element(zones.names, number - 1),
                map_public_ip_on_launch=False,  # the tasks ask for theirs
                tags={"Name": room.name(f"iot-{kind}-subnet-{number}")},
            )
            for number, block in enumerate(blocks, 1)
        ]
    return made


def _public_route(room: Room, vpc: Any, subnets: list[Any]) -> None:  # noqa: ANN401 - a construct
    gateway = room.add(
        InternetGateway,
        "igw",
        "the way out to AWS's own services",
        vpc_id=vpc.id,
        tags={"Name": room.name("iot-igw")},
    )
    routes = _routes(room, vpc, "public", "the public subnets' routes")
    room.add(
        Route,
        "public-route",
        "what is not in the VPC goes through the gateway",
        route_table_id=routes.id,
        destination_cidr_block="0.0.0.0/0",
        gateway_id=gateway.id,
    )
    _associate(room, "public", routes, subnets)


def _routes(room: Room, vpc: Any, kind: str, why: str) -> Any:  # noqa: ANN401 - constructs
    name = room.name(f"iot-{kind}-rt")
    return room.add(RouteTable, f"{kind}-rt", why, vpc_id=vpc.id, tags={"Name": name})


def _associate(room: Room, kind: str, routes: Any, subnets: list[Any]) -> None:  # noqa: ANN401 - a construct
    for number, subnet in enumerate(subnets, 1):
        room.add(
            RouteTableAssociation,
            f"{kind}-rta-{number}",
            f"{kind} subnet {number} uses the {kind} routes",
            subnet_id=subnet.id,
            route_table_id=routes.id,
        )


def _flow_log(room: Room, keys: Keys, account: str, vpc: Any) -> None:  # noqa: ANN401 - a construct
    group = room.add(
        CloudwatchLogGroup,
        "flow-logs",
        "who spoke to whom, and what was refused",
        usage={"logs GB": 0.5},
        waived=(SHORT_LOGS,),
        name=f"/aws/{room.name('iot-flow-logs')}",
        retention_in_days=room.parameters.log_days,
        kms_key_id=keys.arn,
    )
    role = room.add(
        IamRole,
        "flow-log-role",
        "lets the VPC write its flow logs",
        name=room.name("iot-flow-log-role"),
        assume_role_policy=trust("vpc-flow-logs.amazonaws.com", account),
    )
    actions = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
    room.add(
        IamRolePolicy,
        "flow-log-policy",
        "to that group and no other",
        name=room.name("iot-flow-log-policy"),
        role=role.id,
        policy=policy(allow("FlowLogs", actions, f"{group.arn}:*")),
    )
    room.add(
        FlowLog,
        "flow-log",
        "records the VPC's traffic",
        vpc_id=vpc.id,
        traffic_type="ALL",
        log_destination=group.arn,
        iam_role_arn=role.arn,
        tags={"Name": room.name("iot-flow-log")},
    )
