"""Logging in by OpenID Connect: authorization code with PKCE, at any provider.

Source: OpenID Connect Core 1.0 and Discovery 1.0, RFC 7636 (PKCE), RFC 9207 is not needed with one
issuer. The ID token comes from the token endpoint over TLS, which stands for its signature (Core,
3.1.3.7, 6); all else that it must say is checked.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.web import HTTPError

from floorlog.errors import ServiceError, SettingError
from floorlog.web.access.access import Doors
from floorlog.web.access.guard import LOOPBACK_HOSTS
from floorlog.web.access.limit import Buckets
from floorlog.web.access.proxy import neighbourhood
from floorlog.web.access.role import Identity, Role

FLOWS_MAX = 1_000
FLOW_SECONDS_MAX = 600
ANSWER_BYTES_MAX = 1 << 20
SECONDS_MAX = 10
LEEWAY_SECONDS = 120
KNOWN_SECONDS = 3_600
COOKIE = "floorlog_flow"
CALLBACK = "/login/callback"
RANKED = (Role.ADMIN, Role.ENGINEER, Role.OPERATOR, Role.AUDITOR, Role.VIEWER)


@dataclass(frozen=True, slots=True)
class Provider:
    """Where people log in.

    Attributes:
        issuer: its address, as its tokens say it.
        client: this page's id there.
        secret: this page's secret there; empty for a public client.
        role_claim: the claim that lists roles, as `operator` or `floorlog-operator`.
        address: this page's, as browsers reach it.
    """

    issuer: str
    client: str
    secret: str
    role_claim: str
    address: str


@dataclass(frozen=True, slots=True)
class Flow:
    """One log-in that is under way."""

    verifier: str
    nonce: str
    begun_s: float


class Oidc:
    """Sends browsers to the provider, and reads what they bring back.

    Args:
        doors: where sessions are opened.
        provider: where people log in.

    Raises:
        SettingError: the issuer or this page's address could be read or changed on the way.
    """

    def __init__(self, doors: Doors, provider: Provider) -> None:
        self.doors = doors
        self.provider = provider
        self._flows: OrderedDict[str, Flow] = OrderedDict()
        self._found: tuple[float, dict[str, Any]] | None = None
        self._tries = Buckets(1.0, 20.0)
        for name, address in (("OIDC_ISSUER", provider.issuer), ("WEB_URL", provider.address)):
            parts = urlsplit(address)
            if parts.scheme != "https" and (parts.hostname or "") not in LOOPBACK_HOSTS:
                raise SettingError(
                    f"FLOORLOG_{name} is {address!r}, which is not https",
                    where="environment",
                    fix="set it to an https address",
                )

    @property
    def is_secure(self) -> bool:
        """The page is reached by https."""
        return self.provider.address.startswith("https:")

    async def begin(self, address: str) -> tuple[str, str]:
        """Where to send the browser, and the flow's cookie. Raises HTTPError 429."""
        if self._tries.take(neighbourhood(address), self.doors.clock()):
            raise HTTPError(429, "too many log-ins from this address")
        found = await self._discover()
        state, flow = secrets.token_urlsafe(32), self._flow()
        self._flows[state] = flow
        while len(self._flows) > FLOWS_MAX:
            self._flows.popitem(last=False)
        digest = hashlib.sha256(flow.verifier.encode()).digest()
        query = {
            "response_type": "code", "client_id": self.provider.client, "scope": "openid profile",
            "redirect_uri": self._callback, "state": state, "nonce": flow.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }  # fmt: skip
        glue = "&" if "?" in found["authorization_endpoint"] else "?"
        return f"{found['authorization_endpoint']}{glue}{urlencode(query)}", state

    async def finish(self, state: str, cookie: str, code: str, refused: str) -> Identity:
        """Who came back. Raises HTTPError 400, 401 or 403; refusals are audit events."""
        flow = self._flows.pop(state, None)
        own = hmac.compare_digest(state.encode(errors="replace"), cookie.encode(errors="replace"))
        if flow is None or not own or self.doors.clock() - flow.begun_s > FLOW_SECONDS_MAX:
            raise HTTPError(400, "this log-in is not one that began here: begin anew")
        if refused or not code:
            await self.doors.audit("nobody", "login.refused", {"way": "oidc"})
            raise HTTPError(401, "the provider did not log you in")
        claims = await self._claims(code, flow)
        name = str(claims.get("preferred_username") or claims.get("email") or claims["sub"])[:150]
        actor = await self.doors.actor_of(f"{name} ({urlsplit(self.provider.issuer).netloc})"[:200])
        role = self._role(claims)
        if role is None:
            await self.doors.audit(actor, "login.refused", {"way": "oidc", "why": "no role"})
            raise HTTPError(403, f"the provider's {self.provider.role_claim} hold no role for you")
        return Identity(actor, role, name)

    def _flow(self) -> Flow:
        return Flow(secrets.token_urlsafe(48), secrets.token_urlsafe(32), self.doors.clock())

    @property
    def _callback(self) -> str:
        return self.provider.address.rstrip("/") + CALLBACK

    def _role(self, claims: dict[str, Any]) -> Role | None:
        """The strongest role that the claim names."""
        named = claims.get(self.provider.role_claim)
        listed = named if isinstance(named, list) else [named]
        held = {str(one).removeprefix("floorlog-") for one in listed}
        return next((role for role in RANKED if str(role) in held), None)

    async def _discover(self) -> dict[str, Any]:
        now_s = self.doors.clock()
        if self._found is None or now_s - self._found[0] > KNOWN_SECONDS:
            address = self.provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
            found = await self._fetch(address)
            if found.get("issuer") != self.provider.issuer:
                raise self._wrong(f"it calls itself {found.get('issuer')!r}")
            for name in ("authorization_endpoint", "token_endpoint"):
                parts = urlsplit(str(found.get(name, "")))
                if parts.scheme != "https" and (parts.hostname or "") not in LOOPBACK_HOSTS:
                    raise self._wrong(f"its {name} is not https")
            self._found = (now_s, found)
        return self._found[1]

    async def _claims(self, code: str, flow: Flow) -> dict[str, Any]:
        found = await self._discover()
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self._callback,
            "client_id": self.provider.client, "code_verifier": flow.verifier,
        }  # fmt: skip
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if self.provider.secret:
            # RFC 6749, 2.3.1: both are form-encoded before they are joined.
            pair = f"{quote(self.provider.client, '')}:{quote(self.provider.secret, '')}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        answer = await self._fetch(found["token_endpoint"], urlencode(form), headers)
        claims = _payload(str(answer.get("id_token", "")))
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        now = time.time()
        checks = {
            "issuer": claims.get("iss") == self.provider.issuer,
            "audience": self.provider.client in audiences
            and claims.get("azp", self.provider.client) == self.provider.client,
            "nonce": hmac.compare_digest(
                str(claims.get("nonce", "")).encode(), flow.nonce.encode()
            ),
            "end": _number(claims.get("exp")) > now - LEEWAY_SECONDS,
            "begin": _number(claims.get("iat")) < now + LEEWAY_SECONDS,
            "subject": bool(claims.get("sub")),
        }
        if wrong := [name for name, is_right in checks.items() if not is_right]:
            await self.doors.audit("nobody", "login.refused", {"way": "oidc", "why": wrong[0]})
            raise HTTPError(401, f"the provider's token is not for this log-in: {wrong[0]}")
        return claims

    async def _fetch(
        self, address: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        client = AsyncHTTPClient(force_instance=True, max_body_size=ANSWER_BYTES_MAX)
        try:
            answer = await client.fetch(
                address,
                method="GET" if body is None else "POST",
                body=body,
                headers=headers,
                follow_redirects=False,
                connect_timeout=SECONDS_MAX,
                request_timeout=SECONDS_MAX,
            )
            found = json.loads(answer.body)
        except HTTPClientError as error:
            if body is not None and error.code in {400, 401, 403}:
                await self.doors.audit("nobody", "login.refused", {"way": "oidc", "why": "code"})
                raise HTTPError(401, "the provider does not know this log-in") from error
            raise self._wrong(f"it answers {error.code}") from error
        except (OSError, ValueError) as error:
            raise self._wrong(f"it does not answer: {error}") from error
        finally:
            client.close()
        if not isinstance(found, dict):
            raise self._wrong("it answers with something else than an object")
        return found

    def _wrong(self, what: str) -> ServiceError:
        return ServiceError(
            what, where=f"the provider {self.provider.issuer}", fix="see FLOORLOG_OIDC_ISSUER"
        )


def _payload(token: str) -> dict[str, Any]:
    """The claims of a token. Raises HTTPError 401."""
    parts = token.split(".")
    try:
        text = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        found = json.loads(text)
    except (IndexError, ValueError) as error:
        raise HTTPError(401, "the provider gave no token") from error
    if not isinstance(found, dict):
        raise HTTPError(401, "the provider gave no token")
    return found


def _number(value: object) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else float("nan")  # type: ignore[arg-type] # looked at above
