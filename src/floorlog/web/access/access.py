"""Who may ask: the door that every request passes."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError

from floorlog.errors import FloorlogError
from floorlog.web.access.limit import Buckets
from floorlog.web.access.proxy import neighbourhood
from floorlog.web.access.role import LOCAL, Identity, Role
from floorlog.web.access.session import COOKIE, Session, Sessions
from floorlog.web.access.users import User, UserFile
from floorlog.web.api.problem import Refusal
from floorlog.web.api.record import Record
from floorlog.web.api.route import Route

log = logging.getLogger("floorlog.access")

TOKEN_HEADER = "X-Floorlog-Token"  # noqa: S105 - a header's name
ASKED_PER_S, ASKED_AT_ONCE = 50.0, 500.0
BEARER_CHARACTERS_MAX = 200
SAFE = ("GET", "HEAD")


class Access(Protocol):
    """Decides who asks, and whether they may."""

    needs_login: bool

    async def admit(self, route: Route, request: HTTPServerRequest) -> Identity:
        """Who asks. Raises HTTPError 401, 403 or 429."""
        ...

    def knows(self, request: HTTPServerRequest) -> Session | None:
        """The session of a request, where there is one."""
        ...

    def still(self, request: HTTPServerRequest) -> Callable[[], bool]:
        """Asked again later, while an answer lasts: whether its session does."""
        ...


def same_origin(request: HTTPServerRequest) -> None:
    """Refuse what a page of another site sends. Raises HTTPError 403."""
    site = request.headers.get("Sec-Fetch-Site", "")
    origin = request.headers.get("Origin", "")
    if site not in {"", "same-origin", "none"}:
        raise HTTPError(403, "requests that change something come from this page's own address")
    if origin and urlsplit(origin).netloc.lower() != request.host.lower():
        raise HTTPError(403, f"{origin[:200]} is another site")


class Loopback:
    """Local mode: the page listens on loopback alone, and whoever reaches it may do everything."""

    needs_login = False

    async def admit(self, route: Route, request: HTTPServerRequest) -> Identity:
        """The local user; what another site's page has the browser send is refused."""
        if route.writes:
            same_origin(request)
        return LOCAL

    def knows(self, request: HTTPServerRequest) -> Session | None:  # noqa: ARG002 - as others need it
        """None: nobody logs in."""
        return None

    def still(self, request: HTTPServerRequest) -> Callable[[], bool]:  # noqa: ARG002 - as others need it
        """Always."""
        return lambda: True


class Doors:
    """People and programs that log in: by session, or by a token of the user file.

    Args:
        record: where audit events go.
        users: the user file; None where people come by OIDC alone.
        clock: seconds, never going back.
    """

    needs_login = True

    def __init__(
        self, record: Record, users: UserFile | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.sessions = Sessions()
        self.users = users
        self.record = record
        self.clock = clock
        self._asked = Buckets(ASKED_PER_S, ASKED_AT_ONCE)
        self._actors: dict[str, str] = {}

    async def admit(self, route: Route, request: HTTPServerRequest) -> Identity:
        """Who asks, by session or token. Raises HTTPError 401, 403 or 429."""
        wait_s = self._asked.take(neighbourhood(str(request.remote_ip)), self.clock())
        if wait_s:
            raise Refusal(429, "too many requests from this address", Retry_After=_whole(wait_s))
        if route.writes:
            same_origin(request)
        who = await self._bearer(request)
        session = None if who is not None else self.knows(request)
        if session is not None:
            who = session.who
        if route.roles is None:
            return who or Identity("nobody", Role.VIEWER)
        if who is None:
            raise Refusal(401, "log in first", WWW_Authenticate="Bearer")
        if who.role not in route.roles:
            await self.audit(who.actor, "refused", {"address": route.name, "role": str(who.role)})
            needed = ", ".join(sorted(route.roles))
            raise HTTPError(403, f"{who.role} may not do this: it is for {needed}")
        given = request.headers.get(TOKEN_HEADER, "")
        if route.writes and session is not None and not session.has(given):
            raise HTTPError(403, f"the header {TOKEN_HEADER} lacks the session's token")
        return who

    def knows(self, request: HTTPServerRequest) -> Session | None:
        """The session of a request's cookie."""
        value = self.cookie(request)
        return self._lasting(value, is_touched=True) if value else None

    def _lasting(self, value: str, *, is_touched: bool) -> Session | None:
        session = self.sessions.find(value, self.clock(), is_touched=is_touched)
        if session is not None and session.is_filed and not self._is_listed(session.who):
            self.sessions.end(value)
            return None
        return session

    def _is_listed(self, who: Identity) -> bool:
        """Whether the user file still says so: it is read anew when it changed."""
        try:
            user = None if self.users is None else self.users.find(who.name)
        except FloorlogError as error:
            log.error("%s", error)
            return False
        return user is not None and user.role is who.role

    def still(self, request: HTTPServerRequest) -> Callable[[], bool]:
        """Whether the session or token that a request came with still lasts."""
        token = self._token(request)
        if token:
            known = self._with_token(token)
            return lambda: known is not None and self._with_token(token) == known
        value = self.cookie(request)
        return lambda: not value or self._lasting(value, is_touched=False) is not None

    def cookie(self, request: HTTPServerRequest) -> str:
        """The value of the session's cookie; empty where there is none."""
        found = request.cookies.get(COOKIE)
        return found.value if found is not None else ""

    async def actor_of(self, name: str) -> str:
        """The pseudonym of a name, from the record. Raises ServiceError."""
        if name not in self._actors:
            self._actors[name] = await self.record.ask(lambda answers: answers.pseudonym(name))
        return self._actors[name]

    async def audit(self, actor: str, action: str, detail: dict[str, str]) -> None:
        """Keep what somebody did or was refused. Raises ServiceError."""
        text = json.dumps(detail)
        await self.record.ask(lambda answers: answers.audit(actor, action, text))

    async def _bearer(self, request: HTTPServerRequest) -> Identity | None:
        token = self._token(request)
        if not token:
            return None
        user = await asyncio.to_thread(self._with_token, token)
        if user is None:
            raise Refusal(401, "the token is none that is known", WWW_Authenticate="Bearer")
        return Identity(await self.actor_of(user.name), user.role, user.name)

    def _token(self, request: HTTPServerRequest) -> str:
        """The token that a request came with; empty where there is none, or none could be known."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or self.users is None:
            return ""
        return token[:BEARER_CHARACTERS_MAX]

    def _with_token(self, token: str) -> User | None:
        try:
            return None if self.users is None else self.users.with_token(token)
        except FloorlogError as error:
            log.error("%s", error)
            return None


def _whole(seconds: float) -> str:
    return str(max(1, round(seconds + 0.5)))
