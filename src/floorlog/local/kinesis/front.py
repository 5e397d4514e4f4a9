"""The front: HTTP in, the operation's answer or refusal out, and the ordered faults in between."""

import asyncio
import sys
import traceback
import uuid
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import msgspec
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine
from tornado.iostream import StreamClosedError

from floorlog.local.kinesis import admin
from floorlog.local.kinesis.account import Account
from floorlog.local.kinesis.operation import OPERATIONS, call, read
from floorlog.local.kinesis.order import Call, OrderBook
from floorlog.local.kinesis.refusal import (
    Refusal,
    expired_iterator,
    internal_failure,
    not_serialisable,
    throttled,
)

TARGET: Final = "Kinesis_20131202."
CONTENT_TYPE: Final = "application/x-amz-json-1.1"
JSON_TYPES: Final = {CONTENT_TYPE, "application/json"}

_encoder = msgspec.json.Encoder()


class Dropped(Exception):
    """An order says that the connection is closed instead of answering."""


class Front:
    """Answers the requests of one HTTP server, each as a task of the event loop."""

    def __init__(self, account: Account) -> None:
        """Answer for `account`."""
        self._account = account
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, request: HTTPServerRequest) -> None:
        """Begin to answer a request."""
        task = asyncio.create_task(self._serve(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Give up the requests that are still being answered."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, request: HTTPServerRequest) -> None:
        try:
            status, kind, body = await self._answer(request)
        except Dropped:
            if isinstance(request.connection, HTTP1Connection):
                request.connection.detach().close()
            return
        headers = HTTPHeaders(
            {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                "x-amzn-RequestId": str(uuid.uuid4()),
                "Date": formatdate(usegmt=True),
            }
        )
        connection = request.connection
        if connection is None:
            return
        try:
            sent = connection.write_headers(
                ResponseStartLine("HTTP/1.1", status, HTTPStatus(status).phrase), headers, body
            )
            connection.finish()
            await sent
        except StreamClosedError:
            return

    async def _answer(self, request: HTTPServerRequest) -> tuple[int, str, bytes]:
        if "Origin" in request.headers:
            return (
                403,
                "application/json",
                b'{"error":"Browsers are not served: this server is for programs."}',
            )
        target = request.headers.get("X-Amz-Target")
        if request.path.startswith("/_") or target is None:
            reply = admin.answer(self._account, request.method or "", request.path, request.body)
            await self._account.journal.wait(self._account.journal.control_ticket)
            return reply.status, "application/json", _encoder.encode(reply.body)
        try:
            result = await self._operate(target, request)
        except Refusal as refusal:
            return refusal.status, CONTENT_TYPE, _refusal_body(refusal)
        except Dropped:
            raise
        except Exception:  # noqa: BLE001 - the client is told of any failure
            traceback.print_exc(file=sys.stderr)
            failure = internal_failure()
            return failure.status, CONTENT_TYPE, _refusal_body(failure)
        return 200, CONTENT_TYPE, b"" if result is None else _encoder.encode(result)

    async def _operate(self, target: str, request: HTTPServerRequest) -> msgspec.Struct | None:
        account = self._account
        name = target.removeprefix(TARGET)
        operation = OPERATIONS.get(name) if target.startswith(TARGET) else None
        if operation is None:
            raise Refusal(
                "UnknownOperationException", f"{target} is not offered by this local server."
            )
        if request.headers.get("Content-Type", CONTENT_TYPE).partition(";")[0] not in JSON_TYPES:
            raise not_serialisable(f"This server speaks {CONTENT_TYPE} only.")
        wanted = read(operation, request.body)
        account.count_call(name, getattr(wanted, "stream_name", None))
        book = account.orders
        subject = call(account, name, wanted) if book.active else None
        if subject is not None:
            await _disturb(book, subject)
        result = operation.run(account, wanted)
        journal = account.journal
        await journal.wait(journal.ticket if operation.puts else journal.control_ticket)
        order = None if subject is None else book.take(subject, ["error_after", "drop"])
        if order is None:
            return result
        raise internal_failure() if order.kind == "error_after" else Dropped


async def _disturb(book: OrderBook, subject: Call) -> None:
    """Carry out the orders that come before acting."""
    order = book.take(subject, ["delay"])
    if order is not None:
        await asyncio.sleep(order.delay_ms / 1000)
    order = book.take(subject, ["throttle", "error", "expire"])
    if order is None:
        return
    match order.kind:
        case "throttle":
            raise throttled(f"Rate exceeded for {subject.operation} (ordered).")
        case "expire":
            raise expired_iterator("Iterator expired (ordered).")
        case _:
            raise internal_failure()


def _refusal_body(refusal: Refusal) -> bytes:
    return _encoder.encode({"__type": refusal.code, "message": refusal.message})
