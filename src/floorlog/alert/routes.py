"""Who is told what: the file of channels and routes."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml
from msgspec import Meta, Struct

from floorlog.alert.email import Email, Tls
from floorlog.alert.log import Log
from floorlog.alert.notice import Channel, Notice
from floorlog.alert.sns import Sns
from floorlog.alert.webhook import Webhook
from floorlog.core.alarm import Priority
from floorlog.errors import SettingError

FILE_BYTES_MAX = 1 << 20
CHANNELS_MAX = 32
ROUTES_MAX = 256
Name = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[\w.-]+$")]
Address = Annotated[
    str, Meta(min_length=3, max_length=254, pattern=r"^[^\s<>,;\x00-\x1f]+@[^\s<>,;]+$")
]


class LogChannel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="log"):
    """A line in the keeper's log."""

    def open(self) -> Channel:
        """Ready to send."""
        return Log()


class WebhookChannel(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="webhook"
):
    """A signed POST."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+")]
    secret: Annotated[str, Meta(min_length=16, max_length=512)]

    def open(self) -> Channel:
        """Ready to send."""
        return Webhook(self.url, self.secret)


class EmailChannel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="email"):
    """A mail to some people."""

    host: Annotated[str, Meta(min_length=1)]
    sender: Address
    to: Annotated[tuple[Address, ...], Meta(min_length=1, max_length=50)]
    port: Annotated[int, Meta(ge=1, le=65_535)] = 587
    tls: Tls = "starttls"
    user: str = ""
    password: str = ""

    def open(self) -> Channel:
        """Ready to send."""
        log_in = (self.user, self.password) if self.user else None
        return Email(self.host, self.port, self.tls, log_in, self.sender, self.to)


class SnsChannel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="sns"):
    """A topic of Amazon SNS."""

    topic: Annotated[str, Meta(pattern=r"^arn:[\w-]+:sns:[\w-]+:\d{12}:[\w.-]+$")]

    def open(self) -> Channel:
        """Ready to send."""
        return Sns(self.topic)


AnyChannel = LogChannel | WebhookChannel | EmailChannel | SnsChannel


class Route(Struct, frozen=True, forbid_unknown_fields=True):
    """Which alarms go to which channels."""

    channels: Annotated[tuple[Name, ...], Meta(min_length=1)]
    priority: Priority = Priority.LOW  # and higher
    assets: tuple[str, ...] = ("*",)  # patterns: * any characters, ? one
    detectors: tuple[str, ...] = ("*",)
    events: tuple[Literal["raise", "return"], ...] = ("raise",)

    def takes(self, notice: Notice) -> bool:
        """Whether the notice goes this way."""
        event = "return" if notice.event == "return" else "raise"
        return (
            event in self.events
            and Priority(notice.priority).number >= self.priority.number
            and any(fnmatchcase(notice.asset, one) for one in self.assets)
            and any(fnmatchcase(notice.detector, one) for one in self.detectors)
        )


class Routes(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    channels: Annotated[dict[Name, AnyChannel], Meta(max_length=CHANNELS_MAX)]
    routes: Annotated[tuple[Route, ...], Meta(max_length=ROUTES_MAX)]

    def __post_init__(self) -> None:
        """Refuse routes to channels that there are not."""
        for route in self.routes:
            for name in route.channels:
                if name not in self.channels:
                    raise ValueError(f"a route leads to {name!r}, which is no channel")

    def leads(self, notice: Notice, channel: str) -> bool:
        """Whether the notice goes to the channel."""
        return any(channel in route.channels and route.takes(notice) for route in self.routes)


def read_routes(path: Path) -> Routes:
    """The file's content, YAML or JSON.

    Raises:
        SettingError: it cannot be read or used, or others than its owner and group may read it.
    """

    def wrong(what: str, fix: str = "see docs/howto/notify.md") -> SettingError:
        return SettingError(f"the file of notices {what}", where=str(path), fix=fix)

    try:
        if path.stat().st_mode & 0o007:
            raise wrong("may be read by everybody, and holds secrets", "chmod 640 it")
        data = path.read_bytes()[: FILE_BYTES_MAX + 1]
        return msgspec.convert(yaml.safe_load(data.decode()), Routes)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise wrong(f"cannot be used: {' '.join(str(error).split())}") from error
