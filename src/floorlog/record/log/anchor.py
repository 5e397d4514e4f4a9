"""Anchors: signed notes kept where the database's owner cannot rewrite them, and who signs them."""

import contextlib
import os
import re
import secrets
import shutil
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from floorlog.config import Settings
from floorlog.core.ledger.fork import BRANCHES_MAX, Fork, Span, chain
from floorlog.core.ledger.note import Checkpoint, VerifierKey, decode64
from floorlog.core.ledger.tree import HASH_BYTES
from floorlog.errors import InputError, RecordError, SettingError
from floorlog.record.log.bucket import SCHEME, Objects
from floorlog.record.log.sign import public_key, signed_note
from floorlog.record.verifier import Key, Wrong, checkpoint

KEY_NAME = "verifier.key"
STATEMENT = "statement.note"
STAMP = ".tsr"  # after the name of a note
PREFIX = "PRIVATE+KEY+"
_NOTE = re.compile(r"([0-9]{12,})\.note")


class Anchor(ABC):
    """A place that takes things under a name and never gives one up for another.

    Each branch of the log (see core.ledger.fork) has its notes and tiles below a name of its own;
    sizes and notes are those of one branch's whole log, its parents' share included.
    """

    @abstractmethod
    def names(self, begins: str) -> list[str]:
        """The names that begin so, down to the next slash, ascending. Raises OSError."""

    @abstractmethod
    def get(self, name: str) -> bytes:
        """What was kept. Raises FileNotFoundError where nothing is, OSError as files do."""

    @abstractmethod
    def keep(self, name: str, data: bytes) -> bool:
        """Keep something whole and for good; False where there is something. Raises OSError."""

    def spare(self, begins: str) -> None:
        """Let go of what a full tile holds as well; a place that gives up nothing does nothing."""
        del begins

    def get_many(self, names: Sequence[str]) -> list[bytes]:
        """What was kept under these names, in their order."""
        return [self.get(name) for name in names]

    def put(self, name: str, data: bytes) -> None:
        """Keep something; once more is no harm. Raises RecordError where another is there."""
        if not self.keep(name, data) and self.get(name) != data:
            raise RecordError(
                f"ANOTHER {name} is anchored already",
                where="anchor",
                fix="two records sign with one key: give each its own anchors and key",
            )

    def statements(self) -> list[bytes]:
        """The signed fork statements, by number. Raises OSError."""
        found: list[bytes] = []
        while len(found) < BRANCHES_MAX:
            try:
                found.append(self.get(place(len(found) + 1, STATEMENT)))
            except FileNotFoundError:
                break
        return found

    def forks(self) -> list[Fork]:
        """What the fork statements say, signatures unchecked. Raises RecordError."""
        try:
            return [Fork.parse(note_text(one)) for one in self.statements()]
        except ValueError as error:
            raise RecordError(
                f"A FORK STATEMENT is not good: {error}",
                where="anchor",
                fix="put it back from a copy; find out who changed it",
            ) from error

    def spans(self) -> list[Span]:
        """Which branches hold the log as it goes on now. Raises RecordError."""
        forks = self.forks()
        return chain(forks, len(forks))

    def notes_along(self, spans: Sequence[Span]) -> dict[int, str]:
        """The names of the notes of these spans, by size, ascending."""
        found = {}
        for span in spans:
            for name in self.names(place(span.branch, "")):
                matched = _NOTE.fullmatch(name.rpartition("/")[2])
                if matched and span.above < int(matched[1]) <= span.upto:
                    found[int(matched[1])] = name
        return found

    def sizes(self) -> list[int]:
        """The sizes of the log that are anchored, ascending."""
        return list(self.notes_along(self.spans()))

    def read(self, size: int) -> bytes:
        """The note of this size. Raises FileNotFoundError where there is none."""
        return self.get(place(span_of(self.spans(), size).branch, note_name(size)))

    def key(self) -> str:
        """The verifier key kept beside the notes; "" for none."""
        try:
            return self.get(KEY_NAME).decode().strip()
        except FileNotFoundError:
            return ""

    def put_key(self, key: str) -> None:
        """Keep the verifier key, once."""
        self.keep(KEY_NAME, f"{key}\n".encode())


def place(branch: int, name: str) -> str:
    """The full name of something of a branch."""
    return f"fork-{branch:04}/{name}" if branch else name


def note_name(size: int) -> str:
    """The name of a note within its branch."""
    return f"{size:012}.note"


def note_text(note: bytes) -> str:
    """The text of a note, its signatures not looked at. Raises ValueError."""
    return note.decode().rpartition("\n\n")[0] + "\n"


def span_of(spans: Sequence[Span], size: int) -> Span:
    """The span that a size of the log lies in. Raises FileNotFoundError where none can be."""
    for span in spans:
        if span.above < size <= span.upto:
            return span
    raise FileNotFoundError(f"no log has {size} leaves")


class Directory(Anchor):
    """Things as files of a directory; raises OSError as files do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self, begins: str) -> list[str]:
        """See Anchor."""
        folder, _, start = begins.rpartition("/")
        if not (self.path / folder).is_dir():
            return []
        with os.scandir(self.path / folder) as entries:
            found = [entry.name for entry in entries if entry.name.startswith(start or "")]
        parent = f"{folder}/" if folder else ""
        return sorted(f"{parent}{name}" for name in found if not name.startswith("."))

    def get(self, name: str) -> bytes:
        """See Anchor."""
        return (self.path / name).read_bytes()

    def spare(self, begins: str) -> None:
        """See Anchor."""
        shutil.rmtree(self.path / begins, ignore_errors=True)

    def keep(self, name: str, data: bytes) -> bool:
        """See Anchor."""
        path = self.path / name
        if path.exists():
            return False
        _make_folder(path.parent)
        partial = path.parent / f".{path.name}.{os.getpid()}"
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
        _sync(path.parent)
        return True


def _make_folder(path: Path) -> None:
    if not path.is_dir():
        _make_folder(path.parent)
        path.mkdir(mode=0o755, exist_ok=True)
        _sync(path.parent)


def _sync(folder: Path) -> None:
    """See to it that a new name outlasts a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Bucket(Anchor):
    """Things as objects of a bucket, which gives up nothing before its time."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def names(self, begins: str) -> list[str]:
        """See Anchor."""
        return self._objects.names(begins)

    def get(self, name: str) -> bytes:
        """See Anchor."""
        return self._objects.get(name)

    def get_many(self, names: Sequence[str]) -> list[bytes]:
        """See Anchor."""
        return self._objects.get_many(names)

    def keep(self, name: str, data: bytes) -> bool:
        """See Anchor."""
        return self._objects.keep(name, data)


def open_anchor(where: str, settings: Settings) -> Anchor:
    """The anchors at a place: a directory, or `s3://bucket/prefix`.

    Raises:
        SettingError: the place is of a kind that is not known.
    """
    if where.startswith(SCHEME):
        return Bucket(Objects(where, settings.region, settings.anchor_days))
    if "://" in where:
        raise SettingError(
            f"FLOORLOG_ANCHOR is {where!r}, which is neither a directory nor s3://bucket/prefix",
            where="environment",
            fix="set it to a place that the database's owner cannot write to",
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
