"""The page's server: what answers where, and its life from start to SIGTERM."""

import asyncio
import errno
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from socket import socket
from typing import Any
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from floorlog.cache import endpoint_of
from floorlog.config import Settings
from floorlog.errors import PortInUse, SettingError
from floorlog.record.log.anchor import Anchor, open_anchor
from floorlog.source.secret import Login
from floorlog.source.sender import Sender
from floorlog.web import pages, table
from floorlog.web.access.access import Doors, Loopback
from floorlog.web.access.guard import LOOPBACK_HOSTS, host_of
from floorlog.web.access.login import PasswordLogin
from floorlog.web.access.oidc import Oidc, Provider
from floorlog.web.access.proxy import Networks, networks_of
from floorlog.web.access.role import LOCAL
from floorlog.web.access.users import UserFile
from floorlog.web.api.endpoint import Api
from floorlog.web.api.health import Gauge
from floorlog.web.api.record import Record, RecordReader
from floorlog.web.feed import Feed
from floorlog.web.services import Services
from floorlog.web.work.errand import Ground
from floorlog.web.work.jobs import Jobs
from floorlog.web.work.upload import Uploads

log = logging.getLogger("floorlog.web")

HERE = Path(__file__).parent
BODY_BYTES_MAX = 4 << 20
IDLE_SECONDS_MAX = 60


def make_app(
    services: Services,
    hosts: frozenset[str] | None = LOOPBACK_HOSTS,
    proxies: Networks = (),
) -> Application:
    """Everything that answers.

    Args:
        services: the feed, started by the caller, and the rest.
        hosts: names that the page is reached by, in lower case; None lets any pass.
        proxies: whose word on who asks is taken.
    """
    return Application(
        [
            ("/", pages.Overview),
            ("/device", pages.Device),
            ("/alarms", pages.Alarms),
            ("/explore", pages.Explore),
            ("/record", pages.TheRecord),
            ("/catalogue", pages.TheCatalogue),
            ("/import", pages.Import),
            ("/audit", pages.Audit),
            ("/login", pages.WayIn),
            ("/login/oidc", pages.ToProvider),
            ("/login/callback", pages.FromProvider),
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
        proxies=proxies,
        services=services,
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
    # Threads of its own: what somebody asks for long must not keep live values and alarms waiting.
    feed = Feed(Record(lambda: RecordReader(dsn)), endpoint, Gauge(settings.lease_seconds, data))
    anchor = open_anchor(settings.anchor, settings) if settings.anchor else None
    services = open_services(settings, feed, record, anchor, open_jobs(settings, dsn))
    place = (settings.web_host, settings.web_port if port is None else port)
    asyncio.run(_serve(services, settings, place, ready))


async def _serve(
    services: Services,
    settings: Settings,
    place: tuple[str, int],
    ready: Callable[[str], None] | None,
) -> None:
    feed, record = services.feed, services.record
    server = HTTPServer(
        make_app(services, hosts_of(settings), networks_of(settings.web_proxies)),
        max_body_size=BODY_BYTES_MAX,
        max_buffer_size=BODY_BYTES_MAX,
        idle_connection_timeout=IDLE_SECONDS_MAX,
    )
    sockets = _bind(*place)
    server.add_sockets(sockets)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    feed.start()
    if ready is not None:
        own = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/"
        ready(settings.web_url or own)
    try:
        await stopped.wait()
    finally:
        server.stop()
        await feed.stop()
        await server.close_all_connections()
        if services.jobs is not None:
            await services.jobs.close()
        record.close()
        feed.record.close()


def open_jobs(settings: Settings, dsn: Callable[[], str]) -> Jobs:
    """The work that is done in processes of its own, as the settings allow it."""
    ground = Ground(
        dsn="", anchor=settings.anchor, region=settings.region, anchor_days=settings.anchor_days,
        signing_key=settings.signing_key, stream=settings.stream,
    )  # fmt: skip
    return Jobs(dsn, ground, settings.web_spool)


def open_services(
    settings: Settings, feed: Feed, record: Record, anchor: Anchor | None, jobs: Jobs | None = None
) -> Services:
    """The parts of the process, with the ways in that the settings name.

    Raises:
        SettingError: the page would be open to others without asking who they are, or a way in
            cannot be used.
    """
    users = UserFile(Path(settings.users)) if settings.users else None
    work: dict[str, Any] = {
        "jobs": jobs,
        "uploads": None if jobs is None else Uploads(jobs),
        "sender": (lambda: Sender(settings.stream, settings.region)) if settings.stream else None,
    }
    if users is None and not settings.oidc_issuer:
        if settings.web_host not in {"127.0.0.1", "localhost", "::1"} or settings.web_url:
            raise SettingError(
                "without log-ins the page is for this machine alone",
                where="FLOORLOG_WEB_HOST, FLOORLOG_WEB_URL",
                fix="set FLOORLOG_USERS or FLOORLOG_OIDC_ISSUER, or leave both out",
            )
        log.info(
            "local mode: on loopback alone, and whoever reaches it may do everything, as %s",
            LOCAL.actor,
        )
        return Services(feed, record, Loopback(), anchor, **work)
    doors = Doors(record, users)
    is_secure = settings.web_url.startswith("https:")
    password = None if users is None else PasswordLogin(doors, users, is_secure=is_secure)
    if users is not None:
        users.users()  # what is wrong with it is said now
    provider = Provider(
        settings.oidc_issuer, settings.oidc_client, settings.oidc_secret,
        settings.oidc_role_claim, settings.web_url,
    )  # fmt: skip
    oidc = Oidc(doors, provider) if settings.oidc_issuer else None
    return Services(feed, record, doors, anchor, password, oidc, **work)


def hosts_of(settings: Settings) -> frozenset[str]:
    """The names by which the page may be asked for."""
    named = urlsplit(settings.web_url).netloc
    return LOOPBACK_HOSTS | ({host_of(named)} if named else set())


def _bind(host: str, port: int) -> list[socket]:
    try:
        return bind_sockets(port, host)
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise
        raise PortInUse(
            f"port {port} is {'in use' if error.errno == errno.EADDRINUSE else 'not allowed'}",
            where="the page",
            fix="choose another with --port or FLOORLOG_WEB_PORT; 0 takes a free one",
        ) from error
