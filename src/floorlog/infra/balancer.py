"""Balancer: a door to the page for private networks, with TLS and a certificate of the plant's."""

from dataclasses import dataclass
from typing import Any

from cdktn_provider_aws.lb import Lb
from cdktn_provider_aws.lb_listener import LbListener
from cdktn_provider_aws.lb_target_group import LbTargetGroup
from cdktn_provider_aws.s3_bucket import S3Bucket
from cdktn_provider_aws.vpc_security_group_ingress_rule import VpcSecurityGroupIngressRule

from floorlog.infra.bucket import admit, settle
from floorlog.infra.firewall import HTTPS_PORT, connect, group, ports
from floorlog.infra.keys import Keys
from floorlog.infra.network import Network
from floorlog.infra.part import HOURS_A_MONTH, Room, allow, block
from floorlog.infra.waivers import LOG_OF_A_LOG, ONE_REGION

TLS = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"  # TLS 1.2 with forward secrecy, and 1.3
DELIVERY = {"Service": "delivery.logs.amazonaws.com"}


@dataclass(frozen=True)
class Balancer:
    """The door: its address, the page's own security group, and what its service waits for."""

    address: str
    group: str
    target_arn: str
    listener: LbListener


def balancer(
    room: Room, network: Network, keys: Keys, account: str, page_port: int
) -> Balancer | None:
    """An internal balancer before the page; None where no address was asked for.

    It ends TLS and passes connections on as they are, client's address included; who somebody is
    the page itself asks, by OpenID Connect.
    """
    asked = room.parameters
    if not asked.page_url:
        return None
    outer = group(room, network, "page-balancer-sg", "the door: named private networks alone")
    inner = group(room, network, "page-sg", "the page: its door alone")
    connect(room, "balancer-to-page", outer.id, inner.id, page_port)
    for number, block_of_addresses in enumerate(asked.page_from, 1):
        room.add(
            VpcSecurityGroupIngressRule,
            f"page-from-{number}",
            "a private network from which people look at the page",
            security_group_id=outer.id,
            description="people, TLS",
            cidr_ipv4=block_of_addresses,
            **ports(HTTPS_PORT),
            tags={"Name": room.name(f"page-from-{number}")},
        )
    door = _door(room, network, outer, _log(room, keys, account))
    target = _target(room, network, page_port)
    listener = room.add(
        LbListener,
        "page-listener",
        "TLS, with the certificate that the parameters name",
        load_balancer_arn=door.arn,
        port=HTTPS_PORT,
        protocol="TLS",
        ssl_policy=TLS,
        certificate_arn=asked.page_certificate_arn,
        default_action=[block(type="forward", target_group_arn=target.arn)],
        tags={"Name": room.name("iot-page-listener")},
    )
    return Balancer(door.dns_name, inner.id, target.arn, listener)


def _door(room: Room, network: Network, outer: Any, log: tuple[Any, Any]) -> Lb:  # noqa: ANN401 - constructs
    bucket, admitted = log
    return room.add(
        Lb,
        "page-balancer",
        "the page's address within private networks",
        usage={"balancer hour": HOURS_A_MONTH},
        name=room.name("iot-page"),
        internal=True,
        load_balancer_type="network",
        subnets=network.private,
        security_groups=[outer.id],
        enable_cross_zone_load_balancing=True,
        enable_deletion_protection=not room.parameters.throw_away,
        access_logs={"bucket": bucket.bucket, "enabled": True},
        depends_on=[admitted],
    )


def _target(room: Room, network: Network, page_port: int) -> LbTargetGroup:
    return room.add(
        LbTargetGroup,
        "page-target",
        "the page's task, whichever address it has",
        name=room.name("iot-page"),
        port=page_port,
        protocol="TCP",
        target_type="ip",
        vpc_id=network.vpc_id,
        preserve_client_ip="true",  # the page's limits are by address
        deregistration_delay="30",
        health_check={"protocol": "TCP", "interval": 30},
    )


def _log(room: Room, keys: Keys, account: str) -> tuple[Any, Any]:
    """Who came when: the bucket, and the policy without which nothing is delivered."""
    asked = room.parameters
    bucket = room.add(
        S3Bucket,
        "page-log",
        "who came to the page's door, and when",
        waived=(ONE_REGION, LOG_OF_A_LOG),
        bucket=room.name(f"iot-page-log-{account}-{asked.aws_region}"),
        force_destroy=asked.throw_away,
    )
    settle(room, "page-log", bucket, keys.arn, days=asked.log_days)
    mine = {"aws:SourceAccount": account}
    owned = {"StringEquals": {**mine, "s3:x-amz-acl": "bucket-owner-full-control"}}
    place = f"{bucket.arn}/AWSLogs/{account}/*"
    admitted = admit(
        room,
        "page-log",
        bucket,
        allow("Deliver", ["s3:PutObject"], place, Principal=DELIVERY, Condition=owned),
        allow(
            "Look", ["s3:GetBucketAcl"], bucket.arn, Principal=DELIVERY,
            Condition={"StringEquals": mine},
        ),
    )  # fmt: skip
    return bucket, admitted
