"""One reject: its bytes, how to mend it, what was done to it; and sending it again."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

from msgspec import Meta, Struct

from floorlog.errors import NotThere
from floorlog.record.act.mend import advice
from floorlog.record.act.reject import Event, Reject, Replay, reject, replay, shown
from floorlog.source.sender import RECORD_BYTES_MAX, Sender
from floorlog.web.access.role import ALL, ENGINEERING
from floorlog.web.api.route import Call, Name, Reason, Route

RejectName = Annotated[str, Meta(pattern=r"^[0-9]{1,9}\.[0-9]{1,18}\.[0-9a-f]{8,64}$")]
BODY_BYTES_MAX = 3 << 20
# Each may wait a minute for the stream: it must not keep other questions waiting.
SENDERS = ThreadPoolExecutor(2, thread_name_prefix="sender")


class RejectEvent(Struct, frozen=True):
    """What was done to a reject; `recorded` in µs UTC."""

    event_id: int
    recorded: int
    actor: str
    action: str
    detail: dict[str, Any]


class RejectDetail(Struct, frozen=True):
    """A reject whole: `data` is base64, `text` the same as far as it can be shown safely."""

    name: str
    recorded: int
    shard: str
    sequence: str
    element: int
    code: str
    reason: str
    mend: str
    data: bytes
    text: str
    events: list[RejectEvent]


class Resending(Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is sent again; `data` (base64) in the place of what came, `key` as partition key.

    What was sent once is sent `again` only where that is said.
    """

    reason: Reason
    data: Annotated[bytes, Meta(min_length=1, max_length=RECORD_BYTES_MAX)] | None = None
    key: Name | None = None
    again: bool = False


class Resent(Struct, frozen=True):
    """As which record it went out, and the event that says so."""

    reject: str
    shard: str
    sequence: str
    event_id: int


async def one(call: Call) -> RejectDetail:
    """One reject by its name, with what was done to it."""
    name = call.parts["reject"]
    found, events = await call.services.record.ask(lambda a: reject(a.dsn(), name))
    return _detail(found, events)


def _detail(found: Reject, events: list[Event]) -> RejectDetail:
    made = [
        RejectEvent(one.event_id, one.recorded_at, one.actor, one.action, one.detail)
        for one in events
    ]
    return RejectDetail(
        found.name, found.recorded_at, found.shard, found.sequence, found.element, found.code,
        found.reason, advice(found.code), found.data, shown(found.data), made,
    )  # fmt: skip


async def send_again(call: Call) -> Resent:
    """Send a reject through the stream again, as it came or mended; its trace stays.

    What arrives counts as any other record does. 409 for what was sent already.
    """
    opened: Callable[[], Sender] | None = call.services.sender
    if opened is None:
        raise NotThere(
            "this process knows no stream", where="replay", fix="set KINESIS_STREAM_NAME for it"
        )
    name, body = call.parts["reject"], call.body
    dsn: str = await call.services.record.ask(lambda answers: answers.dsn())

    def send() -> Replay:
        sender = opened()
        try:
            return replay(
                dsn, name, sender.put_one, by=call.who.actor, reason=body.reason,
                data=body.data, key=body.key, again=body.again,
            )  # fmt: skip
        finally:
            sender.close()

    made = await asyncio.get_running_loop().run_in_executor(SENDERS, send)
    return Resent(made.reject, made.shard, made.sequence, made.event_id)


ROUTES = (
    Route("GET", "/api/v1/rejects/{reject}", one, ALL, "One reject", RejectDetail,
          parts={"reject": RejectName}, statuses=(404,)),
    Route("POST", "/api/v1/rejects/{reject}/replay", send_again, ENGINEERING,
          "Send a reject again", Resent, body=Resending, body_bytes_max=BODY_BYTES_MAX,
          parts={"reject": RejectName}, statuses=(404, 409)),
)  # fmt: skip
