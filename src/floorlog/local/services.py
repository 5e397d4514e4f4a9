"""What the rest needs to know of running local services: addresses, secrets, logs."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from floorlog import config
from floorlog.errors import DataDirectoryError, ServiceError
from floorlog.local.birth import PidFile
from floorlog.local.place import is_locked
from floorlog.local.ports import LOOPBACK
from floorlog.local.postgres import DATABASE, SUPERUSER, PostgresAddress

REGION = "eu-west-2"
STREAM_NAME = "floorlog"
PORTS_NAME = "services.json"
SECRET_NAME = "secret"  # noqa: S105 - a file's name


@dataclass(frozen=True)
class Services:
    """The services of one data directory, as they are now.

    Attributes:
        directory: the data directory.
        postgres: where PostgreSQL is, None if it is not run.
        redis_endpoint: Valkey as `host:port`, "" if it is not run.
        kinesis_endpoint: the URL of the Kinesis-compatible server, "" if it is not run.
        pids: the present process of each service; another one after a restart.
        logs: each service's log.
    """

    directory: Path
    postgres: PostgresAddress | None
    redis_endpoint: str
    kinesis_endpoint: str
    pids: Mapping[str, int] = field(default_factory=dict)
    logs: Mapping[str, Path] = field(default_factory=dict)

    def postgres_dsn(self, role: str = SUPERUSER, database: str = DATABASE) -> str:
        """A connection string for a role; the superuser when none is named.

        Raises:
            ServiceError: PostgreSQL is not among these services.
        """
        return self._address().dsn(role, database)

    def secret_path(self, role: str) -> Path:
        """Write the role's log-in as AWS's secrets hold it, readable by its owner only.

        JSON with `username`, `password`, `host`, `port` and `dbname`, for
        `DB_SECRET_ARN=file:PATH`.
        """
        address = self._address()
        content = {
            "username": role,
            "password": address.password(role),
            "host": LOOPBACK,
            "port": address.port,
            "dbname": DATABASE,
        }
        directory = self.directory / "secrets"
        directory.mkdir(mode=0o700, exist_ok=True)
        path = directory / f"{role}.json"
        partial = path.with_suffix(f".partial-{os.getpid()}")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(msgspec.json.encode(content))
        partial.replace(path)
        return path

    def environment(self, role: str = SUPERUSER, stream_name: str = STREAM_NAME) -> dict[str, str]:
        """The variables that a worker or the page needs to find these services.

        To be merged with FLOORLOG_* of the caller's and the present environment.
        """
        found = {
            "KINESIS_STREAM_NAME": stream_name,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if self.kinesis_endpoint:
            found["AWS_ENDPOINT_URL_KINESIS"] = self.kinesis_endpoint
        if self.redis_endpoint:
            found["REDIS_ENDPOINT"] = self.redis_endpoint
        if self.postgres is not None:
            found["DB_SECRET_ARN"] = f"file:{self.secret_path(role)}"
        # Who names other places knows better: the same disk is no good place for anchors.
        given = config.inherited()
        places = {
            "anchor": self.directory / "anchors",
            "signing_key": self.directory / "keeper" / "signing.key",
        }
        for name, place in places.items():
            found[config.variable(name)] = given.get(config.variable(name)) or str(place)
        return found

    def _address(self) -> PostgresAddress:
        if self.postgres is None:
            raise ServiceError(
                "PostgreSQL is not among the services that run",
                where=str(self.directory),
                fix="start it with the others",
            )
        return self.postgres


def describe(directory: Path, ports: Mapping[str, int]) -> Services:
    """The services of a directory from the ports they have."""
    run, logs = directory / "run", directory / "log"
    files = {path.stem: PidFile.read(path) for path in sorted(run.glob("*.pid"))}
    pids = {name: file.pid for name, file in files.items() if file is not None and file.is_alive()}
    return Services(
        directory,
        PostgresAddress(ports["postgres"], read_secret(directory)) if "postgres" in ports else None,
        f"{LOOPBACK}:{ports['valkey']}" if "valkey" in ports else "",
        f"http://{LOOPBACK}:{ports['kinesis']}" if "kinesis" in ports else "",
        pids,
        {name: logs / f"{name}.log" for name in files},
    )


def running(directory: Path) -> Services:
    """The services that another process runs in this data directory.

    Raises:
        ServiceError: none run there.
    """
    if not is_locked(directory):
        raise ServiceError(
            "no local services run here",
            where=str(directory),
            fix="start them with `floorlog up`, or name their directory with --data DIR",
        )
    return describe(directory, read_ports(directory))


def read_ports(directory: Path) -> dict[str, int]:
    """The ports of the last start; none if the file is missing or damaged, for new ones will do."""
    try:
        return msgspec.json.decode((directory / PORTS_NAME).read_bytes(), type=dict[str, int])
    except (OSError, msgspec.MsgspecError):
        return {}


def write_ports(directory: Path, ports: Mapping[str, int]) -> None:
    """Remember the ports."""
    partial = directory / f"{PORTS_NAME}.partial"
    partial.write_bytes(msgspec.json.encode(dict(ports)))
    partial.replace(directory / PORTS_NAME)


def read_secret(directory: Path) -> str:
    """The secret that PostgreSQL's passwords come from; made at the first start.

    Raises:
        DataDirectoryError: it cannot be read, or is gone though there is data that needs it.
    """
    path = directory / SECRET_NAME
    try:
        if not path.exists() and not (directory / "postgres" / "data").exists():
            partial = path.with_suffix(".partial")
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
            partial.replace(path)
        secret = path.read_text()
    except OSError as error:
        raise DataDirectoryError(
            f"the secret for PostgreSQL's passwords cannot be read: {error.strerror}",
            where=str(path),
            fix="put it back from a backup, or choose another directory with --data DIR",
        ) from error
    if len(secret) != 64:
        raise DataDirectoryError(
            "the secret for PostgreSQL's passwords is damaged",
            where=str(path),
            fix="put it back from a backup, or choose another directory with --data DIR",
        )
    return secret
