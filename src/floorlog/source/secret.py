"""The database's log-in: from Secrets Manager, or from a file that only its owner may read."""

from pathlib import Path
from urllib.parse import quote

import msgspec

from floorlog.config import Settings
from floorlog.errors import SettingError

FILE = "file:"
ARN = "arn:"


class Secret(msgspec.Struct):
    """What the secret holds."""

    username: str
    password: str
    host: str
    port: int
    dbname: str


def database_dsn(settings: Settings) -> str:
    """A connection string for the log-in that DB_SECRET_ARN names. Raises SettingError."""
    content = _content(settings)
    try:
        secret = msgspec.json.decode(content, type=Secret, strict=False)
    except msgspec.MsgspecError as error:
        raise SettingError(
            f"the secret does not hold what is needed: {error}",
            where="DB_SECRET_ARN",
            fix="it must be JSON with username, password, host, port and dbname",
        ) from error
    user, password = quote(secret.username, safe=""), quote(secret.password, safe="")
    host = quote(secret.host, safe=":.-[]")
    return f"postgresql://{user}:{password}@{host}:{secret.port}/{quote(secret.dbname, safe='')}"


def _content(settings: Settings) -> bytes:
    name = settings.db_secret
    if name.startswith(FILE):
        path = Path(name.removeprefix(FILE))
        try:
            return path.read_bytes()
        except OSError as error:
            raise SettingError(
                f"{path} cannot be read: {error.strerror}",
                where="DB_SECRET_ARN",
                fix="name a file that this user may read, or a secret's ARN",
            ) from error
    if not name.startswith(ARN):
        # Not shown: it may be the secret itself.
        raise SettingError(
            "is neither an ARN nor file:PATH",
            where="DB_SECRET_ARN",
            fix="set it to the secret's ARN, or to file: and the path of a file that holds it",
        )
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - only on AWS
    from botocore.session import Session  # noqa: PLC0415 - only on AWS

    client = Session().create_client("secretsmanager", region_name=settings.region)
    try:
        answer = client.get_secret_value(SecretId=name)
    except (BotoCoreError, ClientError) as error:
        raise SettingError(
            f"the secret {name} cannot be read: {error}",
            where="DB_SECRET_ARN",
            fix="check the ARN and that the task's role may call GetSecretValue on it",
        ) from error
    return str(answer["SecretString"]).encode()
