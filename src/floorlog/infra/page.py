"""Page: one task that shows the record, reached by port forwarding or by a balancer within."""

from cdktn_provider_aws.ecs_service import EcsService

from floorlog.infra import access
from floorlog.infra.anchor import Anchor
from floorlog.infra.balancer import Balancer
from floorlog.infra.keys import Keys
from floorlog.infra.part import Room, allow, block
from floorlog.infra.processor import Sources, run, settings
from floorlog.infra.task import SCRATCH, Container, Ground, task

PORT = 8080
# What the agent of Systems Manager writes to, which carries the forwarded port.
AGENT = ("/var/lib/amazon", "/var/log/amazon")
EVERYWHERE = "0.0.0.0"  # noqa: S104 # nosec B104 - the balancer's group alone may come, and log-ins are on
START_SECONDS = 180  # before the balancer's judgement of a new task counts


def page(
    room: Room,
    ground: Ground,
    sources: Sources,
    keys: Keys,
    account: str,
    balancer: Balancer | None,
) -> EcsService | None:
    """The page's service; None where no page is asked for."""
    asked = room.parameters
    if not asked.page:
        return None
    role = access.role(room, "iot-page-task-role", "who the page is", account)
    channels = ["CreateControlChannel", "CreateDataChannel", "OpenControlChannel",
                "OpenDataChannel"]  # fmt: skip
    login = sources.secrets.arns["floorlog_operator"]
    granted = access.grant(
        room,
        role,
        "iot-page-policy",
        "read its log-in, the cache and notes, send files; be reached by Systems Manager",
        *access.read_secrets([login], keys.arn, asked.aws_region),
        *access.put_records(sources.stream.arn, sources.stream.key_arn),
        *_read_notes(sources.anchor, asked.aws_region),
        allow("Cache", ["elasticache:Connect"], [sources.cache.arn, sources.cache.user_arn]),
        # These actions know no resource.
        allow("Forwarding", [f"ssmmessages:{channel}" for channel in channels], "*"),
    )
    container = _container(room, sources)
    definition = task(
        room, ground, "iot-page", "shows the record as it grows", granted, role, [container]
    )
    service = "iot-page-service"
    if balancer is None:
        return run(room, ground, service, definition.arn, 1, enable_execute_command=True)
    target = block(
        target_group_arn=balancer.target_arn, container_name=container.name, container_port=PORT
    )
    return run(
        room, ground, service, definition.arn, 1, (balancer.group,),
        enable_execute_command=True,
        load_balancer=[target],
        health_check_grace_period_seconds=START_SECONDS,
        depends_on=[balancer.listener],
    )  # fmt: skip


def _read_notes(anchor: Anchor | None, region: str) -> list[access.Statement]:
    """Read notes, to verify and to export. Their key is used by way of S3 alone: it cannot sign."""
    if anchor is None:
        return []
    return [
        allow("Notes", ["s3:GetObject"], f"{anchor.bucket_arn}/*"),
        allow("ListNotes", ["s3:ListBucket"], anchor.bucket_arn),
        access.through("NotesKey", ["kms:Decrypt"], anchor.key_arn, f"s3.{region}.amazonaws.com"),
    ]


def _container(room: Room, sources: Sources) -> Container:
    """On loopback without log-ins; behind a balancer for its network, with OpenID Connect."""
    asked = room.parameters
    own = {
        **settings(room, sources, "floorlog_operator"),
        "web_port": str(PORT),
        "web_spool": SCRATCH,  # files that people send, and exports
    }
    if sources.anchor is not None:
        own |= {"anchor": f"s3://{sources.anchor.bucket}", "anchor_days": "0"}
    secrets = {}
    if asked.page_url:
        own.update(
            web_host=EVERYWHERE,
            web_url=asked.page_url,
            oidc_issuer=asked.page_issuer,
            oidc_client=asked.page_client,
            oidc_role_claim=asked.page_role_claim,
        )
        if asked.page_client_secret_arn:
            secrets["oidc_secret"] = asked.page_client_secret_arn
    return Container(
        "page", ["web"], own, writable=AGENT, port=PORT if asked.page_url else 0, secrets=secrets
    )
