"""What a route is: its address, who may use it, what it takes and gives, and who answers."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from types import UnionType
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from floorlog.web.access.role import Identity, Roles

MOMENT_US_MAX = 1 << 61
LIMIT_MAX = 10_000
BODY_BYTES_MAX = 65_536

Name = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$", title="name")
]
Words = Annotated[str, Meta(max_length=1_000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]
Reason = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1_000,
        pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*\S[^\x00-\x08\x0b-\x1f\x7f]*$",
    ),
]
Moment = Annotated[int, Meta(ge=-MOMENT_US_MAX, le=MOMENT_US_MAX, description="µs since 1970, UTC")]
Limit = Annotated[int, Meta(ge=1, le=LIMIT_MAX, description="most rows of the answer")]
Cursor = Annotated[
    str,
    Meta(max_length=1_000, pattern=r"^[A-Za-z0-9_-]*$", description="`next` of the page before"),
]


class Query(Struct, forbid_unknown_fields=True, kw_only=True):
    """The arguments of a question; what is not a field is refused."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that is written piece by piece."""

    media_type: str
    description: str


@dataclass(slots=True)
class Call:
    """One request on its way.

    Attributes:
        query: an instance of the route's.
        body: an instance of the route's; None where it takes none.
        parts: of the path.
        who: who asks.
        services: what the process has: feed, record …
        headers: of the request, by lower-case name.
        address: who asks, by network address.
        request: as it came.
        still: asked while an answer lasts: whether who asked may still have it.
        out: headers for the answer.
        status: of the answer, where it is not the route's.
        gone: called when the client has gone.
        hang_up: cuts the connection.
    """

    query: Any
    body: Any
    parts: dict[str, str]
    who: Identity
    services: Any
    headers: dict[str, str]
    address: str
    request: Any
    still: Callable[[], bool]
    out: dict[str, str] = field(default_factory=dict)
    status: int | None = None
    gone: list[Callable[[], None]] = field(default_factory=list)
    hang_up: Callable[[], None] = lambda: None


Answer = Callable[[Call], Awaitable[object]] | Callable[[Call], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation.

    Attributes:
        method: GET, POST, PUT or DELETE.
        path: its address, parts in braces.
        does: answers: a coroutine function, or an asynchronous generator for a Stream.
        roles: who may; None: everybody, also who has not said who they are.
        summary: what for, in a line.
        answer: the type of the answer.
        query: the type of its arguments.
        body: the type of what it takes in.
        body_bytes_max: most that it takes in.
        parts: the types of the path's parts.
        statuses: what it may answer besides what every route may.
        status: of a good answer.
    """

    method: str
    path: str
    does: Answer
    roles: Roles | None
    summary: str
    answer: type[Any] | UnionType | Stream
    query: type[Query] = Query
    body: Any = None
    body_bytes_max: int = BODY_BYTES_MAX
    parts: dict[str, Any] = field(default_factory=dict)
    statuses: tuple[int, ...] = ()
    status: int = 200

    @property
    def pattern(self) -> str:
        """The path as Tornado matches it."""
        return re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)

    @property
    def name(self) -> str:
        """The operation's name: `get_alarms`."""
        words = re.findall(r"\w+", self.path.removeprefix("/api/v1"))
        return "_".join([self.method.lower(), *words]).replace("-", "_")

    @property
    def writes(self) -> bool:
        """Whether it changes anything."""
        return self.method not in {"GET", "HEAD"}


def fault(error: msgspec.ValidationError, fields: tuple[str, ...]) -> str:
    """What msgspec found, with the name of the argument in front."""
    text = re.sub(r"`int( [^`|]*)?( \| null)?`", r"a whole number\1", str(error))
    text = text.removesuffix(", got `str`")
    found = re.search(r" - at `\$\.?([^`]*)`$", text)
    if not found:
        return text
    place = found[1] or "the request"
    name = next((name for name in fields if place.startswith(name)), place)
    return f"{name}: {text[: found.start()].removesuffix(', got `str`')}"
