"""Who may do what: every route with every role, log-ins, lock-outs, tokens, and other sites."""

import json
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from click.testing import CliRunner
from provider import Provider as MadeProvider

from floorlog.cli import floorlog
from floorlog.config import load
from floorlog.core.alarm import OPERATIONS
from floorlog.errors import SettingError
from floorlog.web.access.access import Doors
from floorlog.web.access.login import PasswordLogin
from floorlog.web.access.oidc import Oidc, Provider
from floorlog.web.access.role import Role
from floorlog.web.access.session import IDLE_SECONDS_MAX
from floorlog.web.access.users import Passwords, User, UserFile, hash_of_token
from floorlog.web.app import hosts_of, open_services
from floorlog.web.services import Services
from floorlog.web.table import ROUTES
from floorlog.web.work import jobs as work
from floorlog.web.work.errand import Ground
from floorlog.web.work.jobs import Jobs

pytestmark = [pytest.mark.xdist_group("page"), pytest.mark.slow]

PASSWORD = "correct horse battery"
JSON = {"Content-Type": "application/json"}
# Written a second time, by what each address is for: whoever changes a right changes it here too.
OPERATE = {Role.OPERATOR, Role.ENGINEER, Role.ADMIN}
ENGINEER = {Role.ENGINEER, Role.ADMIN}
AUDIT = {Role.AUDITOR, Role.ADMIN}
PUBLIC = {"/healthz", "/api/v1/health", "/api/v1/session", "/api/v1/login", "/api/v1/openapi.json"}
RIGHTS: dict[tuple[str, str], set[Role]] = {
    ("PUT", "/api/v1/catalogue"): ENGINEER,
    ("GET", "/api/v1/audit"): AUDIT | ENGINEER,
    ("GET", "/api/v1/people"): AUDIT,
    ("GET", "/api/v1/proof"): AUDIT,
    ("POST", "/api/v1/logout"): set(Role),
    ("POST", "/api/v1/uploads"): ENGINEER,
    ("PUT", "/api/v1/uploads/{upload}"): ENGINEER,
    ("DELETE", "/api/v1/uploads/{upload}"): ENGINEER,
    ("POST", "/api/v1/imports/look"): ENGINEER,
    ("POST", "/api/v1/imports/rehearsal"): ENGINEER,
    ("POST", "/api/v1/imports"): ENGINEER,
    ("POST", "/api/v1/backtests"): ENGINEER,
    ("POST", "/api/v1/rejects/{reject}/replay"): ENGINEER,
    ("POST", "/api/v1/verifications"): AUDIT,
    ("POST", "/api/v1/exports"): AUDIT | ENGINEER,
    ("GET", "/api/v1/exports/{job}"): AUDIT | ENGINEER,
    ("GET", "/api/v1/jobs"): AUDIT | ENGINEER,
    ("GET", "/api/v1/jobs/{job}"): AUDIT | ENGINEER,
    ("DELETE", "/api/v1/jobs/{job}"): AUDIT | ENGINEER,
    **{("POST", f"/api/v1/alarms/{event}"): OPERATE for event in OPERATIONS},
    **{
        ("POST", f"/api/v1/alarms/{event}"): ENGINEER
        for event in ("suppress", "unsuppress", "remove", "restore")
    },
}


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class House:
    """A page with doors: a user of each role, one program, a clock, and perhaps a provider."""

    def __init__(
        self, open_page: Callable[..., Any], path: Path, provider: str = "", **options: str
    ) -> None:
        self.file = UserFile(path)
        self.clock = Clock()
        hashed = Passwords().hash(PASSWORD)
        for role in Role:
            self.file.put(User(f"a {role}", role, password=hashed))
        self.file.put(User("prometheus", Role.VIEWER, token=hash_of_token("flt_secret")))
        self.provider = provider
        self.jobs = Jobs(lambda: "", Ground("", anchor="somewhere"), str(path.parent))
        self.page = open_page(furnish=self.furnish, **options)

    def furnish(self, feed: Any, record: Any) -> Services:
        self.doors = doors = Doors(record, self.file, self.clock)
        oidc = None
        if self.provider:
            # The port is known only later; the tests put this page's own into the answers.
            made = Provider(self.provider, "floorlog", "a:secret", "roles", "http://127.0.0.1:1")
            oidc = Oidc(doors, made)
        ways = PasswordLogin(doors, self.file, is_secure=False)
        return Services(feed, record, doors, password=ways, oidc=oidc, jobs=self.jobs)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[Any, bytes]:
        data = b"" if body is None else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.page.send(method, path, data, {**(JSON if data else {}), **sent})

    def log_in(self, name: str, password: str = PASSWORD, status: int = 200) -> dict[str, str]:
        """Headers of a session."""
        answer, body = self.ask("POST", "/api/v1/login", {"name": name, "password": password})
        assert answer.status == status, body
        if status != 200:
            return {}
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return {"Cookie": cookie, "X_Floorlog_Token": json.loads(body)["token"]}

    def audited(self, action: str) -> list[dict[str, Any]]:
        session = self.log_in("a auditor")
        _, body = self.ask("GET", f"/api/v1/audit?action={action}&limit=200", **session)
        return json.loads(body)["events"]


@pytest.fixture
def house(open_page, tmp_path) -> House:
    return House(open_page, tmp_path / "users.json")


def status_of(house: House, method: str, path: str, **headers: str) -> int:
    """The status of a bare request, of which streams are not read."""
    connection = HTTPConnection("127.0.0.1", house.page.port, timeout=30)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=sent)
    response: HTTPResponse = connection.getresponse()
    connection.close()
    return response.status


def test_every_route_with_every_role(house):
    """What a role may not do is 403, and 401 without a log-in; all else gets past the door."""
    seen = set()
    for who in (None, *Role):
        for route in ROUTES:
            session = {} if who is None else house.log_in(f"a {who}")
            house.clock.now_s += 60  # the limits on tries and questions are another test's
            status = status_of(house, route.method, route.path, **session)
            if route.path in PUBLIC:
                assert status not in {401, 403, 500}, route
            elif who is None:
                assert status == 401, route
            elif who in RIGHTS.get((route.method, route.path), set(Role)):
                assert status not in {401, 403, 500}, (who, route)
            else:
                assert status == 403, (who, route)
            seen.add((who, route.method, route.path))
    assert len(seen) == 6 * len(ROUTES)
    assert {(method, path) for method, path in RIGHTS} <= {(r.method, r.path) for r in ROUTES}
    refused = house.audited("refused")
    assert {one["detail"]["role"] for one in refused} & {"viewer", "operator"}


def test_a_second_person_ends_only_jobs_of_his_roles(house, monkeypatch):
    """An auditor's verification is not there for an engineer; an export, both's, he may end."""
    monkeypatch.setattr(work, "COMMAND", (sys.executable, "-S", "-c", "input(); input()"))
    auditor, engineer, admin = (
        house.log_in(f"a {name}") for name in ("auditor", "engineer", "admin")
    )

    def ask(method: str, path: str, session: dict[str, str], status: int, body: Any = None) -> Any:
        answer, content = house.ask(method, f"/api/v1/{path}", body, **session)
        assert answer.status == status, content
        return json.loads(content)

    begun = [ask("POST", path, auditor, 200, {})["job"] for path in ("verifications", "exports")]
    verification, export = (f"jobs/{name}" for name in begun)
    for method in ("GET", "DELETE"):
        ask(method, verification, engineer, 404)
    assert ask("GET", verification, auditor, 200)["state"] == "running"
    for path, session in ((export, engineer), (verification, admin)):
        assert ask("DELETE", path, session, 200)["state"] == "ended"
    (told,) = house.audited("verify.over")
    assert told["detail"]["ended_by"] not in {"", told["actor"]}


def test_pages_lead_to_the_way_in(house):
    """Without a session no page, but a way in; with one the page; the way in only where needed."""
    answer, _ = house.ask("GET", "/device?name=a%20b")
    assert (answer.status, answer.headers["Location"]) == (
        302, f"/login?to={quote('/device?name=a%20b', safe='')}",
    )  # fmt: skip
    answer, body = house.ask("GET", "/login")
    assert answer.status == 200
    assert b'type="password"' in body
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert house.ask("GET", "/", **house.log_in("a viewer"))[0].status == 200


def test_a_session(house):
    """Its cookie is HttpOnly and Lax; it says who asks, ends at log-out, and when it is idle."""
    answer, _ = house.ask("POST", "/api/v1/login", {"name": "a operator", "password": PASSWORD})
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie
    session = house.log_in("a operator")
    who = json.loads(house.ask("GET", "/api/v1/session", **session)[1])
    assert (who["name"], who["role"], who["ways"]) == ("a operator", "operator", ["password"])
    assert who["actor"].startswith("p-")
    house.clock.now_s += IDLE_SECONDS_MAX - 1
    assert house.ask("GET", "/api/v1/series", **session)[0].status == 200
    house.clock.now_s += IDLE_SECONDS_MAX + 1
    assert house.ask("GET", "/api/v1/series", **session)[0].status == 401
    session = house.log_in("a operator")
    assert house.ask("POST", "/api/v1/logout", **session)[0].status == 200
    assert house.ask("GET", "/api/v1/series", **session)[0].status == 401
    assert house.ask("GET", "/api/v1/series", Cookie="floorlog_session=x")[0].status == 401
    (login, *_), (logout, *_) = house.audited("login"), house.audited("logout")
    assert logout["actor"] == who["actor"]
    assert login["detail"]["way"] == "password"
    assert who["actor"] != "a operator"
    people = json.loads(house.ask("GET", "/api/v1/people", **house.log_in("a auditor"))[1])
    assert {"actor": who["actor"], "name": "a operator"} in people["people"]


def test_another_site_can_do_nothing(house, page):
    """Without the session's token, from another origin, or by a form: refused, also locally."""
    session = house.log_in("a operator")
    body = {"alarms": [{"device": "a", "metric": "b", "detector": "c"}]}

    def acknowledge(**headers: str) -> int:
        return house.ask("POST", "/api/v1/alarms/acknowledge", body, **headers)[0].status

    assert acknowledge(**session) == 404
    assert acknowledge(Cookie=session["Cookie"]) == 403
    assert acknowledge(**{**session, "X_Floorlog_Token": "x"}) == 403
    assert acknowledge(**session, Origin="https://evil.example") == 403
    assert acknowledge(**session, Sec_Fetch_Site="cross-site") == 403
    own = f"http://127.0.0.1:{house.page.port}"
    assert acknowledge(**session, Origin=own, Sec_Fetch_Site="same-origin") == 404
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer, _ = page.send(
            "POST", "/api/v1/alarms/acknowledge", json.dumps(body).encode(), {**JSON, **headers}
        )
        assert answer.status == 403


def test_wrong_passwords_shut_the_name(house):
    """After five the name is shut for a while, the right password included; then it opens."""
    for _ in range(5):
        house.log_in("a admin", "wrong", 401)
    house.log_in("a admin", PASSWORD, 429)
    house.log_in("a viewer")
    house.clock.now_s += 61
    house.log_in("a admin")
    house.log_in("nobody here", "wrong", 401)
    house.log_in("", "x", 400)
    refused = house.audited("login.refused")
    assert len({one["actor"] for one in refused} - {"nobody"}) >= 1
    assert any(one["detail"]["locked"] == "true" for one in refused)
    assert not any("nobody here" in json.dumps(one) for one in refused)


def test_too_many_tries_and_questions(house):
    """Both are bounded by address, and say when to come again."""
    tries = [
        house.ask("POST", "/api/v1/login", {"name": f"n{n}", "password": "x"})[0].status
        for n in range(22)
    ]
    assert tries[:20] == [401] * 20
    assert tries[-1] == 429
    house.clock.now_s += 600
    session = house.log_in("a viewer")
    statuses = set()
    for _ in range(600):
        answer, _ = house.ask("GET", "/healthz", **session)
        statuses.add(answer.status)
        if answer.status == 429:
            assert int(answer.headers["Retry-After"]) >= 1
            break
    assert statuses == {200, 429}


def test_a_program_has_a_token(house):
    """It asks without a cookie; a wrong one is refused; a removed one at once."""
    token = {"Authorization": "Bearer flt_secret"}
    assert house.ask("GET", "/metrics", **token)[0].status == 200
    assert house.ask("GET", "/metrics", Authorization="Bearer flt_other")[0].status == 401
    assert house.ask("POST", "/api/v1/alarms/reset", {}, **token)[0].status == 403
    house.file.remove("prometheus")
    assert house.ask("GET", "/metrics", **token)[0].status == 401


def test_a_live_feed_ends_with_its_token(house):
    """A program that is removed hears no more, though it asked before; another's goes on."""
    house.file.put(User("other", Role.VIEWER, token=hash_of_token("flt_other")))
    feeds = {}
    for name in ("secret", "other"):
        connection = HTTPConnection("127.0.0.1", house.page.port, timeout=30)
        sent = {"Authorization": f"Bearer flt_{name}"}
        connection.request("GET", "/api/v1/live", headers=sent)
        feeds[name] = connection, connection.getresponse()
        assert feeds[name][1].readline().startswith(b"retry")
    house.file.remove("prometheus")
    feeds["secret"][1].read()  # ends
    assert [feeds["other"][1].readline() for _ in range(20)][-1]
    for connection, _ in feeds.values():
        connection.close()


def test_who_is_removed_is_out_at_once(house):
    """And whose role changed logs in anew; a live feed ends with its session."""
    session = house.log_in("a engineer")
    assert house.ask("GET", "/api/v1/series", **session)[0].status == 200
    connection = HTTPConnection("127.0.0.1", house.page.port, timeout=30)
    connection.request("GET", "/api/v1/live", headers={"Cookie": session["Cookie"]})
    live = connection.getresponse()
    assert live.readline().startswith(b"retry")
    house.file.remove("a engineer")
    assert house.ask("GET", "/api/v1/series", **session)[0].status == 401
    live.read()  # ends
    connection.close()


def test_the_user_file_by_commands(tmp_path):
    """Added, listed, given a token and removed; passwords are argon2id, the file its owner's."""
    path = tmp_path / "users.json"

    def run(*words: str, status: int = 0) -> str:
        done = CliRunner().invoke(floorlog, ["user", *words, "--file", str(path)])
        assert done.exit_code == status, done.output
        return done.output

    run("add", "ann", "--role", "operator", "--password", PASSWORD)
    token = run("token", "grafana", "--role", "viewer").strip()
    assert "ann\toperator\tpassword" in run("list")
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    assert "$argon2id$" in text
    assert PASSWORD not in text
    assert token not in text
    assert UserFile(path).with_token(token).name == "grafana"
    assert Passwords().matches(UserFile(path).find("ann"), PASSWORD)
    assert not Passwords().matches(UserFile(path).find("grafana"), PASSWORD)
    run("remove", "ann")
    assert "ann" not in run("list")
    run("remove", "ann", status=1)
    run("add", "bob", "--role", "admin", "--password", "short", status=1)
    path.chmod(0o644)
    with pytest.raises(SettingError, match="chmod 600"):
        UserFile(path).users()


def test_no_page_for_others_without_log_ins(tmp_path):
    """Local mode is loopback only; what would open it is refused with the setting's name."""
    required = {"KINESIS_STREAM_NAME": "s", "REDIS_ENDPOINT": "r:1", "DB_SECRET_ARN": "x"}

    def furnish(**more: str) -> Services:
        return open_services(load({**required, **more}), None, None, None)

    assert not furnish().access.needs_login
    for wrong in ({"FLOORLOG_WEB_HOST": "0.0.0.0"}, {"FLOORLOG_WEB_URL": "https://plant.example"}):
        with pytest.raises(SettingError, match="for this machine alone"):
            furnish(**wrong)
    with pytest.raises(SettingError, match="is not there"):
        furnish(FLOORLOG_USERS=str(tmp_path / "none.json"))
    with pytest.raises(SettingError, match="not https"):
        furnish(FLOORLOG_OIDC_ISSUER="http://login.example", FLOORLOG_WEB_URL="https://a.example")
    path = tmp_path / "users.json"
    UserFile(path).put(User("a", Role.VIEWER))
    opened = furnish(FLOORLOG_USERS=str(path), FLOORLOG_WEB_URL="https://plant.example:8443")
    assert opened.access.needs_login
    hosts = hosts_of(load({**required, "FLOORLOG_WEB_URL": "https://Plant.example:8443"}))
    assert "plant.example" in hosts


class Browser:
    """Follows a log-in at the provider by hand, cookies included."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.flow = ""

    def begin(self) -> str:
        answer, body = self.house.ask("GET", "/login/oidc")
        assert answer.status == 302, body
        self.flow = answer.headers["Set-Cookie"].partition(";")[0]
        return str(answer.headers["Location"])

    def at_provider(self, address: str) -> str:
        """What the provider sends the browser back with."""
        parts = urlsplit(address)
        connection = HTTPConnection(parts.netloc, timeout=30)
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert answer.status == 302
        return urlsplit(answer.headers["Location"]).query

    def finish(self, query: str, cookie: str | None = None) -> tuple[Any, bytes]:
        return self.house.ask(
            "GET", f"/login/callback?{query}", Cookie=self.flow if cookie is None else cookie
        )


@pytest.fixture
def provider() -> Iterator[MadeProvider]:
    made = MadeProvider()
    yield made
    made.close()


@pytest.fixture
def visited(open_page, tmp_path, provider) -> Browser:
    return Browser(House(open_page, tmp_path / "users.json", provider.issuer))


def test_logging_in_at_a_provider(visited, provider):
    """Code and PKCE; the strongest role that the claim names; an audit event; no second use."""
    provider.claims = {"preferred_username": "eve", "roles": ["floorlog-operator", "viewer"]}
    address = visited.begin()
    asked = parse_qs(urlsplit(address).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == ["http://127.0.0.1:1/login/callback"]
    query = visited.at_provider(address)
    answer, body = visited.finish(query)
    assert (answer.status, answer.headers["Location"]) == (302, "/"), body
    cookies = answer.headers.get_all("Set-Cookie")
    session = next(one for one in cookies if one.startswith("floorlog_session"))
    headers = {"Cookie": session.partition(";")[0]}
    who = json.loads(visited.house.ask("GET", "/api/v1/session", **headers)[1])
    assert (who["name"], who["role"]) == ("eve", "operator")
    assert who["ways"] == ["password", "oidc"]
    assert visited.finish(query)[0].status == 400
    assert visited.house.audited("login")[0]["detail"]["way"] in {"oidc", "password"}
    assert b"/login/oidc" in visited.house.ask("GET", "/login")[1]


@pytest.mark.parametrize(
    ("claims", "status", "says"),
    [
        ({"aud": "another"}, 401, "audience"),
        ({"aud": ["floorlog", "x"], "azp": "x"}, 401, "audience"),
        ({"iss": "https://evil.example"}, 401, "issuer"),
        ({"nonce": "old"}, 401, "nonce"),
        ({"exp": 1}, 401, "end"),
        ({"exp": None}, 401, "end"),
        ({"iat": 2**40}, 401, "begin"),
        ({"sub": ""}, 401, "subject"),
        ({"roles": ["king"]}, 403, "no role"),
        ({"roles": None}, 403, "no role"),
    ],
)
def test_a_token_that_is_not_for_this_log_in(visited, provider, claims, status, says):
    """Each claim that must hold is looked at."""
    provider.claims = {"roles": "viewer", **claims}
    answer, body = visited.finish(visited.at_provider(visited.begin()))
    assert answer.status == status
    assert says.encode() in body
    assert "floorlog_session=" not in str(answer.headers)


def test_a_log_in_that_did_not_begin_here(visited, provider):
    """Another browser's state, no cookie, a made-up code, a refusal, a provider that is gone."""
    provider.claims = {"roles": "viewer"}
    query = visited.at_provider(visited.begin())
    assert visited.finish(query, "floorlog_flow=other")[0].status == 400
    assert visited.finish(visited.at_provider(visited.begin()), "")[0].status == 400
    state = parse_qs(visited.at_provider(visited.begin()))["state"][0]
    assert visited.finish(f"state={state}&code=made-up")[0].status == 401
    address = visited.begin()
    visited.house.clock.now_s += 601
    assert visited.finish(visited.at_provider(address))[0].status == 400
    provider.refused = "access_denied"
    assert visited.finish(visited.at_provider(visited.begin()))[0].status == 401
    provider.refused = ""
    query = visited.at_provider(visited.begin())
    provider.close()
    assert visited.finish(query)[0].status == 503


def test_limits_forget_the_oldest():
    """However many addresses there are, memory is bounded; a bucket refills with time."""
    from floorlog.web.access.limit import KEYS_MAX, Buckets, Lockout  # noqa: PLC0415 - for this test alone

    buckets = Buckets(1.0, 2.0)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [0.0, 0.0, 1.0]
    assert buckets.take("a", 1.0) == 0.0
    lockout = Lockout(failures=2, seconds=10, seconds_max=25)
    assert [lockout.failed("a", 0.0) for _ in range(4)] == [False, True, True, True]
    assert lockout.shut_s("a", 5.0) == 20.0
    for n in range(KEYS_MAX + 5):
        buckets.take(str(n), 0.0)
        lockout.failed(str(n), 0.0)
    assert len(buckets._held) == len(lockout._failed) == KEYS_MAX
    lockout.passed("5000")
    assert lockout.shut_s("5000", 0.0) == 0.0
