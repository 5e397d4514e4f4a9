"""Signed notes and checkpoints, as C2SP signed-note and tlog-checkpoint define them.

Only their text: signatures are made and checked where keys are (record/).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from floorlog.core.ledger.tree import HASH_BYTES, SIZE_MAX

ED25519 = 1
NOTE_BYTES_MAX = 131_072
SIGNATURES_MAX = 16
EXTENSIONS_MAX = 16
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,255}")
_SIGNATURE = re.compile("\u2014 ([^ ]+) ([A-Za-z0-9+/=]+)")
_SIZE = re.compile("0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public key of a log, as it is given to whoever verifies."""

    name: str
    public: bytes  # Ed25519

    @property
    def key_id(self) -> bytes:
        """The four bytes by which a signature names its key."""
        kind = bytes((ED25519,))
        return hashlib.sha256(self.name.encode() + b"\n" + kind + self.public).digest()[:4]

    def __str__(self) -> str:
        key = base64.b64encode(bytes((ED25519,)) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """From `name+hash+key`. Raises ValueError."""
        name, _, rest = text.strip().partition("+")
        stated, _, encoded = rest.partition("+")
        key = decode64(encoded)
        if len(key) != HASH_BYTES + 1 or key[0] != ED25519 or not _NAME.fullmatch(name):
            message = "a key is written name+hash+key, for Ed25519"
            raise ValueError(message)
        found = cls(name, key[1:])
        if found.key_id.hex() != stated:
            message = f"the key's hash is {found.key_id.hex()}, not {stated}"
            raise ValueError(message)
        return found


@dataclass(frozen=True, slots=True)
class Signature:
    """A line of a note: who signed, and how."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a note of a log says."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The text that is signed."""
        root = base64.b64encode(self.root).decode()
        return "".join(f"{line}\n" for line in (self.origin, self.size, root, *self.extensions))

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """From a note's text. Raises ValueError."""
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() != "" or "" in lines or len(lines) > 3 + EXTENSIONS_MAX:
            message = "a checkpoint has the lines origin, size and root, and none is empty"
            raise ValueError(message)
        if not _SIZE.fullmatch(lines[1]) or int(lines[1]) > SIZE_MAX:
            message = f"{lines[1]:.30} is no size of a log"
            raise ValueError(message)
        root = decode64(lines[2])
        if len(root) != HASH_BYTES:
            message = f"a root has {HASH_BYTES} bytes, not {len(root)}"
            raise ValueError(message)
        return cls(lines[0], int(lines[1]), root, tuple(lines[3:]))


def decode64(text: str) -> bytes:
    """Base64 in its one canonical form. Raises ValueError for any other."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        message = f"no base64: {text:.60}"
        raise ValueError(message) from error
    if base64.b64encode(data).decode() != text:
        message = f"no canonical base64: {text:.60}"
        raise ValueError(message)
    return data


def write_note(text: str, signatures: Sequence[Signature]) -> bytes:
    """A note: its text, an empty line, the signatures."""
    if not text.endswith("\n") or _has_control(text):
        message = "a note's text ends with a line feed and has no other control character"
        raise ValueError(message)
    lines = "".join(
        f"\u2014 {one.name} {base64.b64encode(one.key_id + one.signature).decode()}\n"
        for one in signatures
    )
    return f"{text}\n{lines}".encode()


def read_note(note: bytes) -> tuple[str, list[Signature]]:
    """A note's text, which is what was signed, and its signatures, unchecked. Raises ValueError."""
    if len(note) > NOTE_BYTES_MAX:
        message = f"a note has at most {NOTE_BYTES_MAX} bytes, not {len(note)}"
        raise ValueError(message)
    whole = note.decode()
    text, divider, rest = whole.rpartition("\n\n")
    lines = rest.split("\n")
    if not divider or _has_control(whole) or lines.pop() != "" or not lines:
        message = "a note is a text, an empty line and signatures"
        raise ValueError(message)
    if len(lines) > SIGNATURES_MAX:
        message = f"a note has at most {SIGNATURES_MAX} signatures, not {len(lines)}"
        raise ValueError(message)
    return text + "\n", [_signature(line) for line in lines]


def _signature(line: str) -> Signature:
    found = _SIGNATURE.fullmatch(line)
    if not found or not _NAME.fullmatch(found[1]):
        message = f"no line of a signature: {line:.60}"
        raise ValueError(message)
    data = decode64(found[2])
    if len(data) < 5:
        message = "a signature is missing after its key's hash"
        raise ValueError(message)
    return Signature(found[1], data[:4], data[4:])


def _has_control(text: str) -> bool:
    return any(character < " " and character != "\n" for character in text)
