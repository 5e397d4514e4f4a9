"""Logging in and out: by password here, by OIDC in oidc.py."""

import asyncio
from typing import Annotated

from msgspec import Meta, Struct
from tornado.web import HTTPError

from floorlog.web.access.access import Doors
from floorlog.web.access.limit import Buckets, Guesses
from floorlog.web.access.proxy import neighbourhood
from floorlog.web.access.role import ALL, AUDITING, Identity
from floorlog.web.access.session import cookie
from floorlog.web.access.users import PASSWORD_LENGTH_MAX, Passwords, User, UserFile, UserName
from floorlog.web.api.problem import Refusal
from floorlog.web.api.route import Call, Query, Route

TRIES_PER_S, TRIES_AT_ONCE = 1 / 6, 20.0  # from one address
CHECKS_AT_ONCE = 2  # of passwords: each takes 19 MiB for some tens of ms


class PasswordLogin:
    """Checks passwords: few at once, few from an address, and not after many wrong ones.

    Args:
        doors: where sessions are opened.
        users: who may log in.
        is_secure: the page is reached by https.
    """

    def __init__(self, doors: Doors, users: UserFile, *, is_secure: bool) -> None:
        self.doors = doors
        self.is_secure = is_secure
        self._users = users
        self._passwords = Passwords()
        self._tries = Buckets(TRIES_PER_S, TRIES_AT_ONCE)
        self._guesses = Guesses()
        self._free = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def check(self, name: str, password: str, address: str) -> Identity:
        """Who this is. Raises HTTPError 401 or 429; each refusal is an audit event."""
        now_s = self.doors.clock()
        near = neighbourhood(address)
        wait_s = self._tries.take(near, now_s) or self._guesses.shut_s(name, near, now_s)
        if wait_s:
            after = str(round(wait_s + 0.5))
            raise Refusal(429, "too many tries: wait, then try again", Retry_After=after)
        async with self._free:
            user = await asyncio.to_thread(self._matching, name, password)
        if user is None:
            shut = self._guesses.failed(name, near, self.doors.clock())
            known = await asyncio.to_thread(self._users.find, name) is not None
            # A name that is not there may be a password typed into the wrong field.
            actor = await self.doors.actor_of(name) if known else "nobody"
            detail = {"address": address, "locked": str(shut).lower()}
            await self.doors.audit(actor, "login.refused", detail)
            raise HTTPError(401, "name or password is wrong")
        self._guesses.passed(name, near)
        return Identity(await self.doors.actor_of(user.name), user.role, user.name)

    def _matching(self, name: str, password: str) -> User | None:
        user = self._users.find(name)
        return user if self._passwords.matches(user, password) else None


class Credentials(Struct, frozen=True, forbid_unknown_fields=True):
    """What a person knows."""

    name: UserName
    password: Annotated[str, Meta(min_length=1, max_length=PASSWORD_LENGTH_MAX)]


class SessionEntry(Struct, frozen=True):
    """Who asks; `token` belongs into the header X-Floorlog-Token of what changes something.

    `ways` in which somebody can log in: password, oidc; none in local mode, where nobody needs to.
    """

    name: str | None
    actor: str | None
    role: str | None
    token: str | None
    ways: list[str]


def entry(call: Call, who: Identity | None, token: str | None) -> SessionEntry:
    """A session as the API gives it."""
    ways = [name for name in ("password", "oidc") if getattr(call.services, name) is not None]
    if who is None:
        return SessionEntry(None, None, None, None, ways)
    return SessionEntry(who.name, who.actor, str(who.role), token, ways)


async def session(call: Call) -> SessionEntry:
    """Who asks, or that nobody is logged in."""
    access = call.services.access
    if not access.needs_login:
        return entry(call, call.who, None)
    found = access.knows(call.request)
    return entry(call, None if found is None else found.who, found and found.token)


async def log_in(call: Call) -> SessionEntry:
    """Log in by name and password. Five wrong ones in a row shut the name to that address."""
    ways: PasswordLogin | None = call.services.password
    if ways is None:
        raise HTTPError(404, "nobody logs in here by password")
    who = await ways.check(call.body.name, call.body.password, call.address)
    return await enter(call, ways.doors, who, "password", is_secure=ways.is_secure)


async def enter(
    call: Call, doors: Doors, who: Identity, way: str, *, is_secure: bool
) -> SessionEntry:
    """Open a session, with an audit event; the one that the browser had before ends."""
    await doors.audit(who.actor, "login", {"way": way, "role": str(who.role)})
    doors.sessions.end(doors.cookie(call.request))
    value, opened = doors.sessions.open(who, doors.clock(), is_filed=way == "password")
    call.out["Set-Cookie"] = cookie(value, is_secure=is_secure)
    return entry(call, who, opened.token)


async def log_out(call: Call) -> SessionEntry:
    """End the session."""
    access = call.services.access
    if isinstance(access, Doors):
        await access.audit(call.who.actor, "logout", {})
        access.sessions.end(access.cookie(call.request))
        call.out["Set-Cookie"] = cookie("", is_secure=False, seconds=0)
    return entry(call, None, None)


class Person(Struct, frozen=True):
    """Whom a pseudonym stands for; null once the name was erased."""

    actor: str
    name: str | None


class People(Struct, frozen=True):
    """The names behind pseudonyms."""

    people: list[Person]


async def people(call: Call) -> People:
    """Whom the pseudonyms in audit events stand for, as far as names were not erased."""
    found = await call.services.record.ask(lambda answers: answers.people())
    return People([Person(*row) for row in found])


ROUTES = (
    Route("GET", "/api/v1/session", session, None, "Who asks", SessionEntry),
    Route("POST", "/api/v1/login", log_in, None, "Log in by password", SessionEntry,
          body=Credentials, statuses=(401, 403, 404)),
    Route("POST", "/api/v1/logout", log_out, ALL, "Log out", SessionEntry),
    Route("GET", "/api/v1/people", people, AUDITING, "Names behind pseudonyms", People, Query),
)  # fmt: skip
