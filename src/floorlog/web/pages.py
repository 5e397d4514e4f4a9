"""The pages themselves: frames without data, which the live feed fills."""

from tornado.web import HTTPError, StaticFileHandler

from floorlog.web.guard import HEADERS, Guarded, host_of


class Overview(Guarded):
    """All devices, what is abnormal, and the pipeline's health."""

    def get(self) -> None:
        """The frame."""
        self.render("overview.html", title="Overview")


class Device(Guarded):
    """One device: its values, their last minutes, its anomalies."""

    def get(self) -> None:
        """The frame; `name` is the device, whatever it consists of."""
        name = self.get_query_argument("name", strip=False)
        self.render("device.html", title=name, device=name)


class Missing(Guarded):
    """Any other address."""

    def get(self) -> None:
        """Say so, with the way back; to programs as a problem."""
        if self.request.path.startswith("/api/"):
            raise HTTPError(404, "there is no such address: see /api/v1/openapi.json")
        self.set_status(404)
        self.render("missing.html", title="Not found")

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
