"""The live feed: server-sent events, from which a page that comes back can go on."""

from collections.abc import AsyncIterator

from floorlog.web.access.role import ALL
from floorlog.web.api.problem import Refusal
from floorlog.web.api.route import Call, Route, Stream

NAME_CHARACTERS_MAX = 64


async def live(call: Call) -> AsyncIterator[bytes]:
    """`board` with everything, then `series`, `values`, `findings`, `alarms`; `pulse` each second.

    With the header Last-Event-ID only what was told since that event, when that is still known.
    """
    feed = call.services.feed
    last = call.headers.get("last-event-id", "")[:NAME_CHARACTERS_MAX]
    client = feed.join(call.hang_up, last)
    if client is None:
        raise Refusal(503, "too many pages are open; close some", Retry_After="10")
    call.gone.append(client.leave)
    call.out["X-Accel-Buffering"] = "no"
    try:
        yield b"retry: 1000\n\n"
        while (message := await client.next()) is not None and call.still():
            yield message
    finally:
        feed.leave(client)


ROUTES = (
    Route("GET", "/api/v1/live", live, ALL, "What moves, as server-sent events",
          Stream("text/event-stream; charset=utf-8", "Server-sent events; see the reference"),
          statuses=(503,)),
)  # fmt: skip
