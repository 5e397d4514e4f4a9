"""The one handler behind all routes: who asks, what is asked, the answer, or the problem."""

import inspect
from collections.abc import AsyncIterator
from typing import Any, get_origin, get_type_hints

import msgspec
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from floorlog.web.access.guard import Guarded
from floorlog.web.api.problem import Refusal
from floorlog.web.api.route import Call, Query, Route, Stream, fault

JSON = "application/json"
BYTES = "application/octet-stream"


class Api(Guarded):
    """Answers every method of one address."""

    def initialize(self, routes: dict[str, Route], services: Any) -> None:  # noqa: ANN401 - of the whole process
        """Given once by `make_app`."""
        self.routes, self.services = routes, services
        self.call: Call | None = None
        self.begun = False

    async def prepare(self) -> None:
        """Refuse other hosts, other methods, too many questions, and who may not ask."""
        super().prepare()
        route = self.routes.get(str(self.request.method))
        if route is None:
            allow = ", ".join(sorted(self.routes))
            raise Refusal(405, f"{self.request.method} is not for this address", Allow=allow)
        self.route = route
        self.who = await self.services.access.admit(route, self.request)

    async def get(self, **parts: str) -> None:
        """Any method: the route knows."""
        await self._answer(parts)

    post = put = delete = get

    async def _answer(self, parts: dict[str, str]) -> None:
        route = self.route
        call = Call(
            query=self._query(route.query),
            body=self._body(route),
            parts=self._parts(route, parts),
            who=self.who,
            services=self.services,
            headers={name.lower(): value for name, value in self.request.headers.get_all()},
            address=str(self.request.remote_ip),
            request=self.request,
            still=self.services.access.still(self.request),
            hang_up=self._hang_up,
        )
        self.call = call
        if isinstance(route.answer, Stream):
            await self._stream(call, route.answer)
            return
        found = route.does(call)
        assert inspect.isawaitable(found), route.path
        content = await found
        self.set_status(call.status or route.status)
        self._put_headers(call)
        if route.answer is str:
            self.finish(str(content))
        else:
            self.send(content)

    def _put_headers(self, call: Call) -> None:
        for name, value in call.out.items():
            if name == "Set-Cookie":
                self.add_header(name, value)
            else:
                self.set_header(name, value)

    async def _stream(self, call: Call, kind: Stream) -> None:
        """Write piece by piece, no faster than the client reads; cut off where it goes wrong."""
        pieces = self.route.does(call)
        assert isinstance(pieces, AsyncIterator), self.route.path
        try:
            first = await anext(pieces, b"")
            self.set_header("Content-Type", kind.media_type)
            self._put_headers(call)
            self.begun = True
            self.write(first)
            await self.flush()
            async for piece in pieces:
                self.write(piece)
                await self.flush()
        except StreamClosedError:
            return
        except BaseException:
            if self.begun:
                # An answer that ends in order would look whole.
                self._hang_up()
            raise
        finally:
            await pieces.aclose()  # type: ignore[attr-defined] # an asynchronous generator has it

    def _hang_up(self) -> None:
        stream: Any = getattr(self.request.connection, "stream", None)
        if stream is not None:
            stream.close()

    def on_connection_close(self) -> None:
        """The client went: whoever waits for something to tell it is told."""
        if self.call is not None:
            for act in self.call.gone:
                act()

    def write_error(self, status_code: int, **details: object) -> None:
        """A problem, unless an answer had begun."""
        if not self.begun:
            super().write_error(status_code, **details)

    def _query(self, kind: type[Query]) -> Query:
        given: dict[str, object] = {}
        hints = get_type_hints(kind, include_extras=False)
        fields = {one.encode_name: one.name for one in msgspec.structs.fields(kind)}
        for name, sent in self.request.query_arguments.items():
            # As they are: Tornado would put spaces in the place of control characters.
            values = [_text(name, value) for value in sent]
            if name in fields and _is_list(hints[fields[name]]):
                given[name] = values
            elif len(values) > 1:
                raise HTTPError(400, f"{name}: given {len(values)} times")
            else:
                given[name] = values[0]
        try:
            query = msgspec.convert(given, kind, strict=False)
        except msgspec.ValidationError as error:
            raise HTTPError(400, fault(error, tuple(fields))) from error
        for name in given:
            if getattr(query, fields[name]) is None:
                raise HTTPError(400, f"{name}: leave it out, if it is nothing")
        return query

    def _body(self, route: Route) -> object:
        data = self.request.body
        if route.body is None:
            if data:
                raise HTTPError(400, "this address takes no body")
            return None
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        wanted = BYTES if route.body is bytes else JSON
        if kind != wanted:
            raise HTTPError(415, f"send {wanted}")
        if len(data) > route.body_bytes_max:
            raise HTTPError(413, f"at most {route.body_bytes_max} bytes")
        if route.body is bytes:
            return data
        try:
            return msgspec.json.decode(data, type=route.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise HTTPError(400, f"the body: {error}") from error

    def _parts(self, route: Route, parts: dict[str, str]) -> dict[str, str]:
        found = {}
        for name, value in parts.items():
            try:
                found[name] = msgspec.convert(value, route.parts[name], strict=False)
            except msgspec.ValidationError as error:
                raise HTTPError(404, f"{name}: {error}") from error
        return found


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise HTTPError(400, f"{name}: not UTF-8") from error


def _is_list(hint: object) -> bool:
    if get_origin(hint) in (list, tuple):
        return True
    return any(_is_list(part) for part in getattr(hint, "__args__", ()) if part is not hint)
