"""Sessions: who is logged in, known by a cookie that only the browser and this process hold."""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from floorlog.web.access.role import Identity

SESSIONS_MAX = 10_000
IDLE_SECONDS_MAX = 2 * 3_600
LIFE_SECONDS_MAX = 12 * 3_600
COOKIE = "floorlog_session"


@dataclass(slots=True)
class Session:
    """One log-in.

    Attributes:
        who: whose.
        token: what a request that changes something must carry besides the cookie.
        begun_s, seen_s: by a clock that never goes back.
        is_filed: the user file says who this is, and may take it back.
    """

    who: Identity
    token: str
    begun_s: float
    seen_s: float
    is_filed: bool = False

    def is_over(self, now_s: float) -> bool:
        """Idle for too long, or too old."""
        return now_s - self.seen_s > IDLE_SECONDS_MAX or now_s - self.begun_s > LIFE_SECONDS_MAX

    def has(self, token: str) -> bool:
        """Whether this is its token, told in constant time."""
        return hmac.compare_digest(self.token.encode(), token.encode(errors="replace"))


class Sessions:
    """All of this process's; gone when it ends. Cookies are kept as hashes."""

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, Session] = OrderedDict()

    def open(self, who: Identity, now_s: float, *, is_filed: bool = False) -> tuple[str, Session]:
        """A new session and its cookie's value; at the limit the oldest one ends."""
        value = secrets.token_urlsafe(32)
        session = Session(who, secrets.token_urlsafe(32), now_s, now_s, is_filed)
        self._held[_key(value)] = session
        if len(self._held) > SESSIONS_MAX:
            self._held.popitem(last=False)
        return value, session

    def find(self, value: str, now_s: float, *, is_touched: bool = True) -> Session | None:
        """The session of a cookie, if it is not over; asking keeps it from becoming idle."""
        key = _key(value)
        session = self._held.get(key)
        if session is None:
            return None
        if session.is_over(now_s):
            del self._held[key]
            return None
        if is_touched:
            session.seen_s = now_s
        return session

    def end(self, value: str) -> None:
        """End the session of a cookie."""
        self._held.pop(_key(value), None)


def _key(value: str) -> bytes:
    return hashlib.sha256(value.encode(errors="replace")).digest()


def cookie(value: str, *, is_secure: bool, seconds: int = LIFE_SECONDS_MAX) -> str:
    """The header that sets the session's cookie; an empty value with 0 seconds removes it."""
    secure = "; Secure" if is_secure else ""
    return f"{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"
