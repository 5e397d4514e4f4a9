"""Orders: faults that a test asks for, each with what it hits and how often."""

from collections.abc import Collection
from typing import Annotated, Final, Literal

import msgspec

COUNT_MAX: Final = 1_000_000_000
ORDERS_MAX: Final = 1_000
DELAY_MS_MAX: Final = 600_000

Kind = Literal["throttle", "error", "error_after", "delay", "expire", "drop", "empty"]


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """One ordered fault.

    `kind`: throttle, error (500, nothing done), error_after (500 although done), delay (`delay_ms`
    before acting), expire (the iterator), drop (done, but the connection is closed without an
    answer), empty (GetRecords finds nothing though it is behind). `operation`, `stream` and
    `shard` narrow it down; `skip` lets that many calls pass first; then `count` calls are hit. In
    PutRecords, a throttle or error with a `shard` hits single records.
    """

    kind: Kind
    operation: str | None = None
    stream: str | None = None
    shard: str | None = None
    count: Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)] = 1
    skip: Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)] = 0
    delay_ms: Annotated[int, msgspec.Meta(ge=0, le=DELAY_MS_MAX)] = 0


class Placed(msgspec.Struct):
    """An order in force: its id, how often it is still to come, and how often it has bitten."""

    id: int
    order: Order
    remaining: int
    skip: int
    fired: int = 0


class Call(msgspec.Struct, frozen=True):
    """What an order is matched against: operation, stream's name and shards concerned."""

    operation: str
    stream: str | None
    shards: frozenset[str]


class OrderBook:
    """The orders in force and those carried out since the last clearing."""

    def __init__(self) -> None:
        """Start with none."""
        self._placed: list[Placed] = []
        self._next_id = 1

    @property
    def active(self) -> bool:
        """Whether any order is still to be carried out."""
        return any(placed.remaining for placed in self._placed)

    def place(self, order: Order) -> Placed | None:
        """Take an order; None where there are too many already."""
        if len(self._placed) >= ORDERS_MAX:
            return None
        placed = Placed(self._next_id, order, order.count, order.skip)
        self._next_id += 1
        self._placed.append(placed)
        return placed

    def listing(self) -> list[Placed]:
        """Return all orders, finished ones included, oldest first."""
        return list(self._placed)

    def clear(self, order_id: int | None = None) -> None:
        """Forget one order, or all."""
        self._placed = [
            placed for placed in self._placed if order_id is not None and placed.id != order_id
        ]

    def take(self, call: Call, kinds: Collection[Kind], *, by_record: bool = False) -> Order | None:
        """Return the oldest order of these kinds that hits this call, and count it.

        `by_record` asks for those that hit single records of a PutRecords; otherwise they are
        left out.
        """
        for placed in self._placed:
            order = placed.order
            if not placed.remaining or order.kind not in kinds or not _matches(order, call):
                continue
            if by_record != _hits_records(order, call):
                continue
            if placed.skip:
                placed.skip -= 1
                continue
            placed.remaining -= 1
            placed.fired += 1
            return order
        return None


def _hits_records(order: Order, call: Call) -> bool:
    return (
        call.operation == "PutRecords"
        and order.shard is not None
        and order.kind in {"throttle", "error"}
    )


def _matches(order: Order, call: Call) -> bool:
    return (
        order.operation in {None, call.operation}
        and order.stream in {None, call.stream}
        and (order.shard is None or order.shard in call.shards)
    )
