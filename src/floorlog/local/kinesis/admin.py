"""The admin side: health, and faults on demand (`/_health`, `/_faults`)."""

from typing import Annotated, Any, Literal

import msgspec

from floorlog.local.kinesis.account import Account
from floorlog.local.kinesis.order import ORDERS_MAX, Order
from floorlog.local.kinesis.refusal import Refusal
from floorlog.local.kinesis.shard import Shard


class Trim(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="trim"):
    """Drop at once what arrived `older_than_ms` ago or earlier, of one shard or the stream.

    For a whole stream this moves its horizon: closed shards that ended before it vanish, as past
    retention.
    """

    stream: str
    shard: str | None = None
    older_than_ms: Annotated[int, msgspec.Meta(ge=0)] = 0


class _Kind(msgspec.Struct):
    kind: str | None = None


class Reply(msgspec.Struct):
    """An answer of the admin side: HTTP status and what becomes the JSON body."""

    status: Literal[200, 400, 404, 405]
    body: Any


def answer(account: Account, method: str, path: str, body: bytes) -> Reply:
    """Carry out one admin request.

    GET /_health; GET /_faults lists the orders, POST /_faults places one (or trims), DELETE
    /_faults clears all, DELETE /_faults/ID one.
    """
    if path == "/_health":
        return Reply(
            200, {"status": "ok", "streams": [stream.name for stream in account.streams()]}
        )
    parts = path.strip("/").split("/")
    if parts[0] != "_faults":
        return Reply(404, {"error": f"{path} is not here; there are /_health and /_faults."})
    match method:
        case "GET":
            return Reply(200, {"faults": account.orders.listing()})
        case "POST":
            return _place(account, body)
        case "DELETE":
            if len(parts) > 1 and not parts[1].isdecimal():
                return Reply(
                    400, {"error": f"{parts[1]} is not the id of a fault; GET /_faults lists them."}
                )
            account.orders.clear(int(parts[1]) if len(parts) > 1 else None)
            return Reply(200, {"faults": account.orders.listing()})
        case _:
            return Reply(405, {"error": f"{method} is not offered; use GET, POST or DELETE."})


def _place(account: Account, body: bytes) -> Reply:
    try:
        if msgspec.json.decode(body, type=_Kind).kind == "trim":
            return Reply(200, {"dropped_to": _trim(account, msgspec.json.decode(body, type=Trim))})
        placed = account.orders.place(msgspec.json.decode(body, type=Order))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Reply(400, {"error": f"Not a fault that can be ordered: {error}"})
    except Refusal as error:
        return Reply(400, {"error": str(error)})
    if placed is None:
        return Reply(
            400,
            {"error": f"There are {ORDERS_MAX} faults already; clear them with DELETE /_faults."},
        )
    return Reply(200, placed)


def _trim(account: Account, order: Trim) -> dict[str, str]:
    stream = account.find(order.stream, None)
    keep_from_ms = account.now_ms() - order.older_than_ms + 1
    shards: list[Shard]
    if order.shard is None:
        stream.horizon_ms = max(stream.horizon_ms, keep_from_ms)
        account.save(stream, [])
        shards = list(account.shards(stream).values())
    else:
        shards = [account.find_shard(stream, order.shard)]
    for shard in shards:
        account.trim(stream, shard, keep_from_ms)
    return {
        shard.id: shard.sequence_number(shard.first_index, shard.last_arrival_ms)
        for shard in shards
    }
