"""What every answer of the page carries, and which hosts it answers for."""

from collections.abc import Awaitable

import msgspec
from tornado.web import HTTPError, RequestHandler

from floorlog.errors import FloorlogError
from floorlog.web.access.proxy import Networks, client_of
from floorlog.web.api.problem import MEDIA_TYPE, Refusal, problem_of

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Server": "floorlog",
}
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})


def host_of(header: str) -> str:
    """The host of a Host header, without its port, in lower case."""
    host, colon, port = header.rpartition(":")
    return (host if colon and port.isdecimal() else header).lower()


class Guarded(RequestHandler):
    """Headers on every answer, also on errors; other hosts' names are refused.

    A page of another site can have its own name point at 127.0.0.1 and then read what the browser
    lets it: the Host header tells them apart.
    """

    def set_default_headers(self) -> None:
        """The same for all."""
        for name, value in HEADERS.items():
            self.set_header(name, value)
        self.set_header("Cache-Control", "no-store")

    def prepare(self) -> Awaitable[None] | None:
        """Know who asks; refuse a request that was meant for another host."""
        proxies: Networks = self.settings.get("proxies", ())
        if proxies:
            forwarded = self.request.headers.get_list("X-Forwarded-For")
            self.request.remote_ip = client_of(str(self.request.remote_ip), forwarded, proxies)
        hosts = self.settings.get("hosts")
        if hosts is not None and host_of(self.request.host) not in hosts:
            raise HTTPError(421, reason="Misdirected Request")
        return None

    def data_received(self, chunk: bytes) -> None:
        """Nothing is taken in."""

    def write_error(self, status_code: int, **details: object) -> None:
        """A problem: what is wrong, and how to mend it."""
        caught = details.get("exc_info")
        error = caught[1] if isinstance(caught, tuple) else None
        for name, value in error.headers.items() if isinstance(error, Refusal) else ():
            self.set_header(name, value)
        found = problem_of(error, status_code, self._reason)
        self.set_status(found.status)
        self.send(found, MEDIA_TYPE)

    def log_exception(self, kind: object, error: object, trace: object) -> None:
        """What a person can mend is no crash: no trace of it in the log."""
        if not isinstance(error, FloorlogError | HTTPError):
            super().log_exception(kind, error, trace)  # type: ignore[arg-type] # as Tornado gave them

    def send(self, content: object, media_type: str = "application/json; charset=utf-8") -> None:
        """Answer with JSON."""
        self.set_header("Content-Type", media_type)
        self.finish(msgspec.json.encode(content))
