"""The database's log-in: from Secrets Manager, or from a file that only its owner may read."""

import logging
import threading
import time
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from floorlog.config import Settings, variable
from floorlog.errors import SettingError

log = logging.getLogger("floorlog.secret")

FILE = "file:"
ARN = "arn:"
Kind = TypeVar("Kind")
FRESH_SECONDS = 3.0  # a secret is read again for a new connection, but not for each of a storm


class Secret(msgspec.Struct):
    """What the secret holds."""

    username: str
    password: str
    host: str
    port: int
    dbname: str


class Administrator(msgspec.Struct):
    """What RDS keeps of its administrator: where the database is, another secret says."""

    username: str
    password: str


class Login:
    """A connection string that is asked for with every new connection, so that it is never stale.

    A rotation changes the password under connections that are open; they go on. A new one gets what
    the secret holds then. While Secrets Manager does not answer, what it last said is used.

    Args:
        settings: where the secret is.

    Raises:
        SettingError: by the first call, when the secret cannot be read or is none.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._dsn = ""
        self._read_at = float("-inf")

    def __call__(self) -> str:
        """The connection string, with a password at most some seconds old."""
        with self._lock:
            if not self._dsn or time.monotonic() - self._read_at > FRESH_SECONDS:
                try:
                    self._dsn = database_dsn(self._settings)
                except SettingError as error:
                    if not self._dsn:
                        raise
                    log.warning("the log-in that was read before is used again: %s", error)
                self._read_at = time.monotonic()
            return self._dsn


def database_dsn(settings: Settings) -> str:
    """A connection string for the log-in that DB_SECRET_ARN names. Raises SettingError."""
    secret = _decode(read(settings, settings.db_secret), Secret, "DB_SECRET_ARN")
    return _dsn(settings, secret, secret.username, secret.password)


def admin_dsn(settings: Settings) -> str:
    """The administrator's, on the database that DB_SECRET_ARN names. Raises SettingError."""
    where = variable("admin_secret")
    secret = _decode(read(settings, settings.db_secret), Secret, "DB_SECRET_ARN")
    admin = _decode(read(settings, settings.admin_secret, where), Administrator, where)
    return _dsn(settings, secret, admin.username, admin.password)


def role_secrets(settings: Settings) -> dict[str, str]:
    """The secret of each log-in role, by role. Raises SettingError."""
    found = {}
    for entry in filter(None, settings.role_secrets.split(",")):
        role, equals, name = entry.partition("=")
        if not equals:
            raise SettingError(
                f"{entry!r} is no ROLE=ARN",
                where=variable("role_secrets"),
                fix="write it as floorlog_writer=arn:…,floorlog_keeper=arn:…",
            )
        found[role] = name
    return found


def password(settings: Settings, name: str) -> str:
    """The password within a secret. Raises SettingError."""
    where = variable("role_secrets")
    return _decode(read(settings, name, where), Administrator, where).password


def read(settings: Settings, name: str, where: str = "DB_SECRET_ARN") -> bytes:
    """The content of a secret or file. Raises SettingError."""
    if name.startswith(FILE):
        path = Path(name.removeprefix(FILE))
        try:
            return path.read_bytes()
        except OSError as error:
            raise SettingError(
                f"{path} cannot be read: {error.strerror}",
                where=where,
                fix="name a file that this user may read, or a secret's ARN",
            ) from error
    if not name.startswith(ARN):
        # Not shown: it may be the secret itself.
        raise SettingError(
            "is neither an ARN nor file:PATH",
            where=where,
            fix="set it to the secret's ARN, or to file: and the path of a file that holds it",
        )
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - what runs locally starts sooner without it

    try:
        answer = client(settings).get_secret_value(SecretId=name, VersionStage="AWSCURRENT")
    except (BotoCoreError, ClientError) as error:
        raise SettingError(
            f"the secret {name} cannot be read: {error}",
            where=where,
            fix="check the ARN and that the task's role may call GetSecretValue on it",
        ) from error
    return str(answer["SecretString"]).encode()


def client(settings: Settings) -> Any:  # noqa: ANN401 - botocore's clients have no types
    """A client of Secrets Manager."""
    from botocore.session import Session  # noqa: PLC0415 - what runs locally starts sooner without it

    return Session().create_client("secretsmanager", region_name=settings.region)


def _decode(content: bytes, kind: type[Kind], where: str) -> Kind:
    try:
        return msgspec.json.decode(content, type=kind, strict=False)
    except msgspec.MsgspecError as error:
        needs = ", ".join(kind.__annotations__)
        raise SettingError(
            f"the secret does not hold what is needed: {error}",
            where=where,
            fix=f"it must be JSON with {needs}",
        ) from error


def _dsn(settings: Settings, place: Secret, user: str, word: str) -> str:
    host = quote(place.host, safe=":.-[]")
    log_in = f"{quote(user, safe='')}:{quote(word, safe='')}"
    dsn = f"postgresql://{log_in}@{host}:{place.port}/{quote(place.dbname, safe='')}"
    if not settings.db_ca:
        return dsn
    # The server must be the one that is meant, by a certificate of these authorities.
    return f"{dsn}?sslmode=verify-full&sslrootcert={quote(settings.db_ca, safe='')}"
