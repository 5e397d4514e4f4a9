"""The pages themselves: frames without data, which the live feed fills; and the way in."""

from collections.abc import Awaitable
from urllib.parse import quote

from tornado.web import HTTPError, StaticFileHandler

from floorlog.web.access.access import Doors
from floorlog.web.access.guard import HEADERS, Guarded, host_of
from floorlog.web.access.oidc import COOKIE, FLOW_SECONDS_MAX, Oidc
from floorlog.web.access.session import cookie
from floorlog.web.services import Services


class Page(Guarded):
    """A page for those who are logged in; others are led to the way in."""

    @property
    def services(self) -> Services:
        """Of this process."""
        found: Services = self.settings["services"]
        return found

    def prepare(self) -> Awaitable[None] | None:
        """As on every answer, and lead strangers to the way in."""
        super().prepare()
        access = self.services.access
        if access.needs_login and access.knows(self.request) is None:
            self.redirect(f"/login?to={quote(self.request.uri or '/', safe='')}")
        return None


class Overview(Page):
    """All devices, what is abnormal, and the pipeline's health."""

    def get(self) -> None:
        """The frame."""
        self.render("overview.html", title="Overview", room="/")


class Device(Page):
    """One device: its values, their last minutes, its anomalies."""

    def get(self) -> None:
        """The frame; `name` is the device, whatever it consists of."""
        name = self.get_query_argument("name", strip=False)
        self.render("device.html", title=name, room="/", device=name)


class Alarms(Page):
    """Alarms as they stand, what operators do to them, and the load that they are."""

    def get(self) -> None:
        """The frame."""
        self.render("alarms.html", title="Alarms", room="/alarms")


class Explore(Page):
    """Several series in one picture, over any span."""

    def get(self) -> None:
        """The frame."""
        self.render("explore.html", title="Explore", room="/explore")


class TheRecord(Page):
    """What was refused, lost, done and signed."""

    def get(self) -> None:
        """The frame."""
        self.render("record.html", title="Record", room="/record")


class TheCatalogue(Page):
    """What is expected of devices: read, checked and changed."""

    def get(self) -> None:
        """The frame."""
        self.render("catalogue.html", title="Catalogue", room="/catalogue")


class Import(Page):
    """A table becomes readings: its file, how it is laid out, a dry run, the import."""

    def get(self) -> None:
        """The frame."""
        self.render("import.html", title="Import", room="/import")


class Audit(Page):
    """Verification, what was known when, and exports."""

    def get(self) -> None:
        """The frame."""
        self.render("audit.html", title="Audit", room="/audit")


class WayIn(Guarded):
    """Where people log in."""

    def get(self) -> None:
        """A form for name and password, a link to the provider, or both."""
        services: Services = self.settings["services"]
        if not services.access.needs_login:
            self.redirect("/")
            return
        self.render(
            "login.html", title="Log in", room="", password=services.password, oidc=services.oidc
        )


class ToProvider(Guarded):
    """On to the provider."""

    async def get(self) -> None:
        """With a cookie that ties what comes back to this browser."""
        ways = _oidc(self.settings["services"])
        address, state = await ways.begin(str(self.request.remote_ip))
        self._flow_cookie(state, FLOW_SECONDS_MAX, is_secure=ways.is_secure)
        self.redirect(address)

    def _flow_cookie(self, value: str, seconds: int, *, is_secure: bool) -> None:
        secure = "; Secure" if is_secure else ""
        text = f"{COOKIE}={value}; Path=/login; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"
        self.add_header("Set-Cookie", text)


class FromProvider(ToProvider):
    """Back from the provider."""

    async def get(self) -> None:
        """Open a session for who came back."""
        services: Services = self.settings["services"]
        ways = _oidc(services)
        state, code, refused = (self.get_query_argument(n, "") for n in ("state", "code", "error"))
        held = self.request.cookies.get(COOKIE)
        who = await ways.finish(state, held.value if held is not None else "", code, refused)
        doors: Doors = ways.doors
        await doors.audit(who.actor, "login", {"way": "oidc", "role": str(who.role)})
        doors.sessions.end(doors.cookie(self.request))
        value, _ = doors.sessions.open(who, doors.clock())
        self.add_header("Set-Cookie", cookie(value, is_secure=ways.is_secure))
        self._flow_cookie("", 0, is_secure=ways.is_secure)
        self.redirect("/")


def _oidc(services: Services) -> Oidc:
    if services.oidc is None:
        raise HTTPError(404, "nobody logs in here at a provider")
    return services.oidc


class Missing(Guarded):
    """Any other address."""

    def get(self) -> None:
        """Say so, with the way back; to programs as a problem."""
        if self.request.path.startswith("/api/"):
            raise HTTPError(404, "there is no such address: see /api/v1/openapi.json")
        self.set_status(404)
        self.render("missing.html", title="Not found", room="")

    post = put = delete = patch = get


class Static(StaticFileHandler):
    """Style, modules and pictures of the package, under the same rules."""

    def set_default_headers(self) -> None:
        """As on every answer."""
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def set_extra_headers(self, path: str) -> None:
        """Let the browser ask each time and get a short 304: an upgrade is seen at once."""
        del path
        self.set_header("Cache-Control", "no-cache")

    def prepare(self) -> None:
        """As on every answer."""
        hosts = self.settings.get("hosts")
        if hosts is not None and host_of(self.request.host) not in hosts:
            self.send_error(421, reason="Misdirected Request")
