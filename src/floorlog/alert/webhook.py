"""A webhook: a signed POST of JSON, with a key by which repetitions are known."""

import hashlib
import hmac
import ssl
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from floorlog.alert.notice import Notice, Undelivered

SECONDS_MAX = 10.0
ANSWER_BYTES_MAX = 65_536
AFTER_SECONDS_MAX = 3_600.0
PASSING = {408, 409, 425, 429}
HINTS = {
    401: ": see that both know the same secret",
    403: ": see that both know the same secret, and that it may be posted to",
    404: ": see that the channel's address is right",
    410: ": the address is given up; name another",
}
"""What a person can do about what no repetition mends."""


def signature(secret: bytes, at_s: int, body: bytes) -> str:
    """What the receiver computes again: HMAC-SHA256 over the time, a dot, and the body.

    Args:
        secret: known to both.
        at_s: seconds UTC; the receiver refuses old ones, so that nothing is played again.
        body: the request's, byte for byte.
    """
    signed = hmac.new(secret, f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={signed}"


class Webhook:
    """Posts to one address; redirects are not followed.

    Args:
        address: http or https.
        secret: with which requests are signed.
        clock: seconds UTC.
    """

    def __init__(self, address: str, secret: str, clock: Callable[[], float] = time.time) -> None:
        parts = urlsplit(address)
        self._is_secure = parts.scheme == "https"
        self._place = parts.netloc.rpartition("@")[2]
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secret = secret.encode()
        self._clock = clock

    def send(self, notice: Notice) -> None:
        """Deliver one; any 2xx counts. Raises Undelivered."""
        body = notice.as_json()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "floorlog",
            "Idempotency-Key": notice.key,
            "Floorlog-Signature": signature(self._secret, int(self._clock()), body),
        }
        connection = self._connection()
        try:
            connection.request("POST", self._path, body, headers)
            answer = connection.getresponse()
            answer.read(ANSWER_BYTES_MAX)
        except (OSError, HTTPException) as error:
            raise Undelivered(f"{self._place}: {error!r}") from error
        finally:
            connection.close()
        if 200 <= answer.status < 300:
            return
        is_final = answer.status < 500 and answer.status not in PASSING
        after_s = _seconds(answer.getheader("Retry-After", ""))
        hint = HINTS.get(answer.status, "")
        raise Undelivered(
            f"{self._place} answers {answer.status}{hint}", is_final=is_final, after_s=after_s
        )

    def _connection(self) -> HTTPConnection:
        if self._is_secure:
            context = ssl.create_default_context()
            return HTTPSConnection(self._place, timeout=SECONDS_MAX, context=context)
        return HTTPConnection(self._place, timeout=SECONDS_MAX)


def _seconds(text: str) -> float:
    return min(float(text), AFTER_SECONDS_MAX) if text.isdecimal() and len(text) < 8 else 0.0
