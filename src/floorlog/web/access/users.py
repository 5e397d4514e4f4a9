"""The user file: who may log in, with which role, known by argon2id hashes alone."""

import hashlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

from floorlog.errors import InputError, SettingError
from floorlog.web.access.role import Role

if TYPE_CHECKING:
    from argon2 import PasswordHasher

USERS_MAX = 1_000
FILE_BYTES_MAX = 1 << 20
PASSWORD_LENGTH_MIN = 12
PASSWORD_LENGTH_MAX = 256
# OWASP's first choice for argon2id: 19 MiB, two passes. Small enough for a small web process.
MEMORY_KIB, PASSES, LANES = 19_456, 2, 1

UserName = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class User(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Somebody who may log in by password, or a program that has a token."""

    name: UserName
    role: Role
    password: str = ""  # argon2id in its usual form; empty: no log-in by password
    token: str = ""  # SHA-256 of a random token in hex; empty: none


class Users(Struct, frozen=True, forbid_unknown_fields=True):
    """The file's content."""

    users: Annotated[tuple[User, ...], Meta(max_length=USERS_MAX)] = ()


class UserFile:
    """A user file, read anew when it changed.

    Args:
        path: where it is; readable by its owner only.

    Raises:
        SettingError: by every method, where it cannot be read or is no user file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None
        self._by_name: dict[str, User] = {}
        self._by_token: dict[str, User] = {}

    def find(self, name: str) -> User | None:
        """The user of this name."""
        self._look()
        return self._by_name.get(name)

    def with_token(self, token: str) -> User | None:
        """The user who has this token."""
        self._look()
        return self._by_token.get(hash_of_token(token))

    def users(self) -> tuple[User, ...]:
        """All of them."""
        self._look()
        return tuple(self._by_name.values())

    def put(self, user: User) -> None:
        """Add a user, or replace the one of this name; the file is replaced whole."""
        self._look(may_miss=True)
        self._write([*(one for one in self._by_name.values() if one.name != user.name), user])

    def remove(self, name: str) -> None:
        """Remove a user. Raises InputError where there is none of this name."""
        if self.find(name) is None:
            raise InputError(
                f"there is no user {name!r}", where=str(self.path), fix="see `floorlog user list`"
            )
        self._write([one for one in self._by_name.values() if one.name != name])

    def _write(self, users: list[User]) -> None:
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                text = msgspec.json.format(msgspec.json.encode(Users(tuple(users))), indent=2)
                file.write(text + b"\n")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        except OSError as error:
            raise self._wrong(f"cannot be written: {error.strerror}") from error
        self._seen = None

    def _look(self, *, may_miss: bool = False) -> None:
        try:
            state = self.path.stat()
            seen = (state.st_mtime_ns, state.st_ino)
            if seen == self._seen:
                return
            if state.st_mode & 0o077:
                raise self._wrong("may be read by others than its owner", "chmod 600 it")
            data = self.path.read_bytes()[: FILE_BYTES_MAX + 1]
            found = msgspec.json.decode(data, type=Users)
        except FileNotFoundError as error:
            if may_miss:
                return
            raise self._wrong("is not there") from error
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._wrong(f"cannot be used: {error}") from error
        self._by_name = {one.name: one for one in found.users}
        self._by_token = {one.token: one for one in found.users if one.token}
        self._seen = seen

    def _wrong(
        self, what: str, fix: str = "make it with `floorlog user add NAME --role ROLE`"
    ) -> SettingError:
        return SettingError(f"the user file {what}", where=str(self.path), fix=fix)


class Passwords:
    """Hashes and checks passwords by argon2id.

    Raises:
        SettingError: the package argon2-cffi is not installed.
    """

    def __init__(self) -> None:
        self._hasher = _hasher()
        # Checked for names that are not there, so that time does not tell which are.
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    def hash(self, password: str) -> str:
        """A password's hash. Raises InputError for one that is too short or too long."""
        if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
            raise InputError(
                f"the password has {len(password)} characters",
                where="password",
                fix=f"take {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX}",
            )
        return self._hasher.hash(password)

    def matches(self, user: User | None, password: str) -> bool:
        """Whether this is the user's password; takes as long for nobody's."""
        from argon2.exceptions import (  # noqa: PLC0415 - only where people log in
            InvalidHashError,
            VerificationError,
        )

        known = user is not None and bool(user.password)
        hashed = user.password if user is not None and known else self._nobody
        try:
            self._hasher.verify(hashed, password[:PASSWORD_LENGTH_MAX])
        except (VerificationError, InvalidHashError):
            return False
        return known


def _hasher() -> "PasswordHasher":
    try:
        from argon2 import PasswordHasher  # noqa: PLC0415 - only where people log in
    except ImportError as error:
        raise SettingError(
            "logging in needs the package argon2-cffi",
            where="this installation",
            fix="pip install 'floorlog[access]'",
        ) from error
    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)


def new_token() -> str:
    """A token that nobody can guess."""
    return f"flt_{secrets.token_urlsafe(32)}"


def hash_of_token(token: str) -> str:
    """What is kept of a token: it is random, so that one SHA-256 keeps it."""
    return hashlib.sha256(token.encode()).hexdigest()
