"""Anchors: signed notes kept where the database's owner cannot rewrite them, and who signs them."""

import contextlib
import os
import re
import secrets
from base64 import b64encode
from pathlib import Path
from typing import Protocol

from floorlog.core.ledger.note import Checkpoint, VerifierKey, decode64
from floorlog.core.ledger.tree import HASH_BYTES
from floorlog.errors import InputError, RecordError, SettingError
from floorlog.record.sign import public_key, signed_note
from floorlog.record.verifier import Key, Wrong, checkpoint

KEY_NAME = "verifier.key"
PREFIX = "PRIVATE+KEY+"
_NOTE = re.compile(r"([0-9]{12,})\.note")


class Anchor(Protocol):
    """A place that takes notes and never gives one up for another."""

    def sizes(self) -> list[int]:
        """The sizes of the log that are anchored, ascending."""

    def read(self, size: int) -> bytes:
        """The note of this size. Raises FileNotFoundError where there is none."""

    def put(self, size: int, note: bytes) -> None:
        """Keep a note. Raises RecordError where another one of this size is there."""

    def key(self) -> str:
        """The verifier key kept beside the notes; "" for none."""

    def put_key(self, key: str) -> None:
        """Keep the verifier key, once."""


class Directory:
    """Notes as files of a directory, named by the log's size; raises OSError as files do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def sizes(self) -> list[int]:
        """See Anchor."""
        if not self.path.is_dir():
            return []
        with os.scandir(self.path) as entries:
            names = [_NOTE.fullmatch(entry.name) for entry in entries]
        return sorted(int(name[1]) for name in names if name)

    def read(self, size: int) -> bytes:
        """See Anchor."""
        return self._file(size).read_bytes()

    def put(self, size: int, note: bytes) -> None:
        """See Anchor."""
        path = self._file(size)
        if not self._keep(path, note) and path.read_bytes() != note:
            raise RecordError(
                f"ANOTHER NOTE of {size} leaves is anchored already",
                where=str(path),
                fix="two records sign with one key: give each its own anchors and key",
            )

    def key(self) -> str:
        """See Anchor."""
        path = self.path / KEY_NAME
        return path.read_text("utf-8").strip() if path.exists() else ""

    def put_key(self, key: str) -> None:
        """See Anchor."""
        self._keep(self.path / KEY_NAME, f"{key}\n".encode())

    def _file(self, size: int) -> Path:
        return self.path / f"{size:012}.note"

    def _keep(self, path: Path, data: bytes) -> bool:
        """Write a file whole and for good; False where there is one already."""
        if path.exists():
            return False
        self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
        partial = self.path / f".{path.name}.{os.getpid()}"
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o444)
        try:
            path.hardlink_to(partial)  # fails where there is one, unlike a rename
        except FileExistsError:
            return False
        finally:
            partial.unlink()
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return True


def open_anchor(where: str) -> Anchor:
    """The anchors at a place. Raises SettingError for a place of a kind that is not known."""
    if "://" in where:
        raise SettingError(
            f"FLOORLOG_ANCHOR is {where!r}, which is no directory",
            where="environment",
            fix="set it to a directory that the database's owner cannot write to",
        )
    return Directory(Path(where))


def notes_of(anchor: Anchor, key: Key, sizes: list[int]) -> list[Checkpoint]:
    """The checkpoints of these notes, each signed by the key. Raises RecordError."""
    found = []
    for size in sizes:
        try:
            origin, stated, root = checkpoint(anchor.read(size).decode(), [key])
            if stated != size:
                raise Wrong(f"it speaks of {stated} leaves")
        except ValueError as error:
            raise RecordError(
                f"THE NOTE of {size} leaves is not good: {error}",
                where="anchor",
                fix="put it back from a copy; find out who changed it",
            ) from error
        found.append(Checkpoint(origin, stated, root))
    return found


class Signer:
    """The key that signs a log's notes, in a file that only its owner may read.

    Attributes:
        key: what an auditor verifies with.
    """

    def __init__(self, name: str, secret: bytes) -> None:
        self._secret = secret
        self.key = VerifierKey(name, public_key(secret))

    def note(self, size: int, root: bytes) -> bytes:
        """The signed note of a log."""
        return self.sign(str(Checkpoint(self.key.name, size, root)))

    def sign(self, text: str) -> bytes:
        """A signed note of any text, which ends with a line feed."""
        return signed_note(text, self.key.name, self._secret)


def open_signer(path: Path, *, may_create: bool) -> Signer:
    """The signer of a key file, as Go's note package writes it: PRIVATE+KEY+name+hash+key.

    Args:
        path: the file.
        may_create: make a key where there is none.

    Raises:
        InputError: the file cannot be read, is not private, or holds no key.
    """
    try:
        if not path.exists() and may_create:
            _create(path)
        mode = path.stat().st_mode
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the signing key cannot be read: {error}",
            where=str(path),
            fix="put it back from a backup, or set FLOORLOG_SIGNING_KEY to where it is",
        ) from error
    if mode & 0o077:
        raise InputError(
            "others may read the signing key", where=str(path), fix=f"chmod 600 {path}"
        )
    name, _, rest = text.removeprefix(PREFIX).partition("+")
    with contextlib.suppress(ValueError):
        secret = decode64(rest.partition("+")[2])[1:]
        if text.startswith(PREFIX) and len(secret) == HASH_BYTES:
            signer = Signer(name, secret)
            if rest.partition("+")[0] == signer.key.key_id.hex():
                return signer
    raise InputError(
        "the file holds no signing key",
        where=str(path),
        fix="put it back from a backup: PRIVATE+KEY+name+hash+key, for Ed25519",
    )


def _create(path: Path) -> None:
    secret = secrets.token_bytes(HASH_BYTES)
    name = f"floorlog-{secrets.token_hex(4)}"
    stated = VerifierKey(name, public_key(secret)).key_id.hex()
    written = f"{PREFIX}{name}+{stated}+{b64encode(bytes((1,)) + secret).decode()}\n"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(written)
        file.flush()
        os.fsync(file.fileno())
