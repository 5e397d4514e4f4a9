"""Who may ask: the door that every request passes."""

from typing import Protocol

from tornado.httputil import HTTPServerRequest

from floorlog.web.role import LOCAL, Identity
from floorlog.web.route import Route


class Access(Protocol):
    """Decides who asks, and whether they may."""

    async def admit(self, route: Route, request: HTTPServerRequest) -> Identity:
        """Who asks. Raises HTTPError 401, 403 or 429."""
        ...


class Loopback:
    """Local mode: the page listens on loopback alone, and whoever reaches it may do everything."""

    async def admit(self, route: Route, request: HTTPServerRequest) -> Identity:  # noqa: ARG002 - as others need it
        """The local user."""
        return LOCAL
