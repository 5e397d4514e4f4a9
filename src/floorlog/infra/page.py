"""Page: one task that shows the record; nothing comes in, a person comes by port forwarding."""

from cdktn_provider_aws.ecs_service import EcsService

from floorlog.infra import access
from floorlog.infra.keys import Keys
from floorlog.infra.part import Room, allow
from floorlog.infra.processor import Sources, run, settings
from floorlog.infra.task import Container, Ground, task

PORT = 8080
# What the agent of Systems Manager writes to, which carries the forwarded port.
AGENT = ("/var/lib/amazon", "/var/log/amazon")


def page(
    room: Room, ground: Ground, sources: Sources, keys: Keys, account: str
) -> EcsService | None:
    """The page's service; None where no page is asked for."""
    if not room.parameters.page:
        return None
    role = access.role(room, "iot-page-task-role", "who the page is", account)
    channels = ["CreateControlChannel", "CreateDataChannel", "OpenControlChannel",
                "OpenDataChannel"]  # fmt: skip
    login = sources.secrets.arns["floorlog_operator"]
    access.grant(
        room,
        role,
        "iot-page-policy",
        "read its log-in and the cache; be reached by Systems Manager",
        *access.read_secrets([login], keys.arn, room.parameters.aws_region),
        allow("Cache", ["elasticache:Connect"], [sources.cache.arn, sources.cache.user_arn]),
        # These actions know no resource.
        allow("Forwarding", [f"ssmmessages:{channel}" for channel in channels], "*"),
    )
    own = {**settings(room, sources, "floorlog_operator"), "web_port": str(PORT)}
    containers = [Container("page", ["web"], own, writable=AGENT)]
    definition = task(room, ground, "iot-page", "shows the record as it grows", role, containers)
    return run(room, ground, "iot-page-service", definition.arn, 1, enable_execute_command=True)
