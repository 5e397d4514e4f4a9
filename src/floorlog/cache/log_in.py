"""How a task logs in to the cache: by a password, or by tokens that its AWS role signs."""

import threading
import time

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.session import Session

from floorlog.cache.connection import CacheError, Endpoint
from floorlog.config import Settings

TOKEN_SECONDS = 900  # how long ElastiCache takes one
FRESH_SECONDS = 600.0


class Token:
    """A password for one user of one replication group, signed anew before it is too old.

    Source: "Authenticating with IAM" of ElastiCache's user guide: a presigned request `connect`.

    Args:
        user: name of the cache's user.
        group: name of the replication group.
        region: where it is.
    """

    def __init__(self, user: str, group: str, region: str) -> None:
        self._user = user
        self._group = group
        self._region = region
        self._lock = threading.Lock()
        self._token = ""
        self._signed_at = float("-inf")

    def __call__(self) -> str:
        """A token that is good for some minutes at least. Raises CacheError without credentials."""
        with self._lock:
            if time.monotonic() - self._signed_at > FRESH_SECONDS:
                self._token = self._sign()
                self._signed_at = time.monotonic()
            return self._token

    def _sign(self) -> str:
        try:
            credentials = Session().get_credentials()
            if credentials is None:
                raise CacheError(
                    "no AWS credentials to sign its token with",
                    where="cache",
                    fix="give the task a role, or set FLOORLOG_CACHE_PASSWORD instead",
                )
            host = f"https://{self._group}/"
            request = AWSRequest("GET", f"{host}?Action=connect&User={self._user}")
            frozen = credentials.get_frozen_credentials()
            SigV4QueryAuth(frozen, "elasticache", self._region, TOKEN_SECONDS).add_auth(request)
        except BotoCoreError as error:
            raise CacheError(
                f"its token cannot be signed: {error}",
                where="cache",
                fix="check the task's role",
            ) from error
        return str(request.url).removeprefix("https://")


def endpoint_of(settings: Settings) -> Endpoint:
    """The cache that the settings name, and how to log in there. Raises CacheError."""
    found = Endpoint.parse(settings.redis, tls=settings.cache_tls, password=settings.cache_password)
    user = settings.cache_user
    if not settings.cache_iam:
        return Endpoint(found.host, found.port, found.tls, found.password, user)
    token = Token(user, settings.cache_iam, settings.region)
    return Endpoint(found.host, found.port, found.tls, token, user)
