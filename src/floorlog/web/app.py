"""The page's server: what answers where, and its life from start to SIGTERM."""

import asyncio
import errno
import signal
from collections.abc import Callable
from pathlib import Path
from socket import socket

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from floorlog.cache import endpoint_of
from floorlog.config import Settings
from floorlog.errors import PortInUse
from floorlog.record.anchor import open_anchor
from floorlog.source.secret import Login
from floorlog.web import pages, table
from floorlog.web.access import Loopback
from floorlog.web.endpoint import Api
from floorlog.web.feed import Feed
from floorlog.web.guard import LOOPBACK_HOSTS
from floorlog.web.health import Gauge
from floorlog.web.record import Record, RecordReader
from floorlog.web.services import Services

HERE = Path(__file__).parent
BODY_BYTES_MAX = 4 << 20
IDLE_SECONDS_MAX = 60


def make_app(services: Services, hosts: frozenset[str] | None = LOOPBACK_HOSTS) -> Application:
    """Everything that answers.

    Args:
        services: the feed, started by the caller, and the rest.
        hosts: names that the page is reached by, in lower case; None lets any pass.
    """
    return Application(
        [
            ("/", pages.Overview),
            ("/device", pages.Device),
            *(
                (path, Api, {"routes": routes, "services": services})
                for path, routes in table.by_path().items()
            ),
            ("/static/(.*)", pages.Static, {"path": str(HERE / "static")}),
        ],
        default_handler_class=pages.Missing,
        template_path=str(HERE / "templates"),
        autoescape="xhtml_escape",
        compress_response=False,
        hosts=hosts,
        log_function=lambda _: None,
    )


def serve(
    settings: Settings,
    *,
    port: int | None = None,
    data: Path | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Show the page on loopback until SIGTERM or Ctrl-C.

    Args:
        settings: where record and cache are; `web_port` is the port, 0 for a free one.
        port: another port than the settings'.
        data: a directory on the record's disk, to tell how long it lasts; None when it is remote.
        ready: told the page's address once it answers.

    Raises:
        PortInUse: the port belongs to another program.
        SettingError: the settings name no database log-in or cache that could be.
    """
    dsn = Login(settings)
    dsn()  # what is wrong with it is said now
    endpoint = endpoint_of(settings)
    record = Record(lambda: RecordReader(dsn))
    feed = Feed(record, endpoint, Gauge(settings.lease_seconds, data))
    anchor = open_anchor(settings.anchor, settings) if settings.anchor else None
    services = Services(feed, record, Loopback(), anchor)
    asyncio.run(_serve(services, settings.web_port if port is None else port, ready))


async def _serve(services: Services, port: int, ready: Callable[[str], None] | None) -> None:
    feed, record = services.feed, services.record
    server = HTTPServer(
        make_app(services),
        max_body_size=BODY_BYTES_MAX,
        max_buffer_size=BODY_BYTES_MAX,
        idle_connection_timeout=IDLE_SECONDS_MAX,
    )
    sockets = _bind(port)
    server.add_sockets(sockets)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    feed.start()
    if ready is not None:
        ready(f"http://127.0.0.1:{sockets[0].getsockname()[1]}/")
    try:
        await stopped.wait()
    finally:
        server.stop()
        await feed.stop()
        await server.close_all_connections()
        record.close()


def _bind(port: int) -> list[socket]:
    try:
        return bind_sockets(port, "127.0.0.1")
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise
        raise PortInUse(
            f"port {port} is {'in use' if error.errno == errno.EADDRINUSE else 'not allowed'}",
            where="the page",
            fix="choose another with --port or FLOORLOG_WEB_PORT; 0 takes a free one",
        ) from error
