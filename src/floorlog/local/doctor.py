"""Looks at each thing that Floorlog needs, and says what was found or how to mend it."""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from floorlog.cache import Connection, endpoint_of
from floorlog.config import Settings
from floorlog.errors import DataDirectoryError, FloorlogError, ServiceError, ServiceMissing
from floorlog.local.disk import free_bytes
from floorlog.local.place import barrier, is_locked, server_account
from floorlog.local.ports import LOOPBACK, is_free
from floorlog.local.programs import postgres_programs, valkey_program
from floorlog.source.kinesis import Refusal, Stream
from floorlog.source.secret import database_dsn
from floorlog.store.reader import Reader

PYTHON_MIN = (3, 11)
FREE_BYTES_MIN = 1 << 30
PORTS_TRIED = range(15_000, 15_020)


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that was looked at: `note` says where it is, or what is wrong and the fix."""

    name: str
    is_well: bool
    note: str

    def __str__(self) -> str:
        """One line."""
        return f"{'found  ' if self.is_well else 'MISSING'}  {self.name}: {self.note}"


def look(name: str, question: Callable[[], str]) -> Found:
    """Ask one question; a FloorlogError is the answer that it is missing."""
    try:
        return Found(name, is_well=True, note=question())
    except FloorlogError as error:
        return Found(name, is_well=False, note=" ".join(str(error).split()))


def look_at_machine(directory: Path) -> Iterable[Found]:
    """What `floorlog up` and `floorlog try` need of this machine."""
    account = server_account(directory)
    yield look("Python", _python)
    yield look("PostgreSQL", lambda: str(postgres_programs(account) / "postgres"))
    yield look("Valkey", lambda: str(valkey_program(account)))
    yield look("page", _page)
    yield look("data directory", lambda: _data_directory(directory))
    yield look("disk", lambda: _disk(directory))
    yield look("loopback", _loopback)


def look_at_settings(settings: Settings) -> Iterable[Found]:
    """What a worker needs: its stream, its database with the record in it, its cache."""
    yield look("stream", lambda: _stream(settings))
    yield look("database", lambda: _database(settings))
    yield look("cache", lambda: _cache(settings))


def _python() -> str:
    version = ".".join(str(number) for number in sys.version_info[:3])
    if sys.version_info < PYTHON_MIN:
        raise ServiceMissing(f"{version} is too old", fix="use Python 3.11 or newer")
    return version


def _page() -> str:
    if importlib.util.find_spec("tornado") is None:
        raise ServiceMissing(
            "the package tornado is missing", fix="install it: pip install 'floorlog[web]'"
        )
    return "tornado is installed"


def _nearest(directory: Path) -> Path:
    found = directory.absolute()
    while not found.exists() and found != found.parent:
        found = found.parent
    return found


def _data_directory(directory: Path) -> str:
    there = _nearest(directory)
    account = server_account(directory)
    barred = barrier(directory, account)
    if barred is not None and barred != directory:
        raise DataDirectoryError(
            f"{barred} does not let the servers' user {account.name if account else ''} through",
            where=str(directory),
            fix="choose another directory with --data DIR",
        )
    if not there.is_dir():
        raise DataDirectoryError(
            f"{there} is not a directory",
            where=str(directory),
            fix="choose another directory with --data DIR",
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise DataDirectoryError(
            f"you may not write in {there}",
            where=str(directory),
            fix="choose one that you may write with --data DIR",
        )
    return f"{directory}" + (", services run there" if is_locked(directory) else "")


def _disk(directory: Path) -> str:
    free = free_bytes(_nearest(directory))
    if free < FREE_BYTES_MIN:
        raise ServiceError(
            f"only {free / (1 << 20):.0f} MiB are free",
            where=str(directory),
            fix="free 1 GiB, or choose a directory on another disk with --data DIR",
        )
    return f"{free / (1 << 30):.1f} GiB free"


def _loopback() -> str:
    if not any(is_free(port) for port in PORTS_TRIED):
        raise ServiceError(
            f"no server can listen on {LOOPBACK}",
            where="loopback",
            fix="bring the interface lo up, or allow programs to listen on it",
        )
    return f"servers can listen on {LOOPBACK}"


def _stream(settings: Settings) -> str:
    stream = Stream(settings.stream, settings.region)
    try:
        arn, created = stream.identity()
    except (Refusal, OSError, msgspec.MsgspecError) as error:
        raise ServiceError(
            f"the stream {settings.stream} cannot be read: {error}",
            where="stream",
            fix="check KINESIS_STREAM_NAME, AWS_REGION and the keys",
        ) from error
    finally:
        stream.close()
    return f"{arn}, made {created:%Y-%m-%d %H:%M} UTC"


def _database(settings: Settings) -> str:
    reader = Reader(database_dsn(settings))
    try:
        status = reader.status()
    finally:
        reader.close()
    return f"the record holds {status.total.stored} readings of {status.series} series"


def _cache(settings: Settings) -> str:
    endpoint = endpoint_of(settings)
    with Connection(endpoint) as connection:
        connection.call("PING")
    return f"{endpoint} answers"
