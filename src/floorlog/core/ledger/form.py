"""Kinds of things in the ledger, and the bytes that stand for each.

A leaf's content is one byte for the kind, one for the version of its form, and the fields. A field
is written as in PostgreSQL's binary COPY: four bytes for its length, then its binary value; NULL is
the length -1 alone. So plain SQL writes the same bytes with int4send, int8send, float8send and
convert_to. Only readings, of which there are many, have records of fixed size: see `reading_leaf`.
"""

import struct
from dataclasses import dataclass

from floorlog.core.ledger.tree import HASH_BYTES, leaf_hash

Value = int | float | str | bytes | None

VERSION = 1
_LENGTH = struct.Struct(">i")
_INT = struct.Struct(">iq")
_FLOAT = struct.Struct(">id")
_NULL = _LENGTH.pack(-1)


@dataclass(frozen=True, slots=True)
class Form:
    """How one kind is written.

    Attributes:
        number: of the kind; never used for another one.
        name: of the kind.
        fields: name and type of each. Types: int (8 bytes), float (8 bytes, IEEE 754), text
            (UTF-8), bytes, hash (32 bytes), hashes (any number of them, one after the other);
            a question mark after the type allows NULL.
    """

    number: int
    name: str
    fields: tuple[tuple[str, str], ...]

    def write(self, *values: Value) -> bytes:
        """The leaf's content. Raises ValueError for values that are not of the form."""
        if len(values) != len(self.fields):
            message = f"{self.name} has {len(self.fields)} fields, not {len(values)}"
            raise ValueError(message)
        parts = [bytes((self.number, VERSION))]
        for (field, kind), value in zip(self.fields, values, strict=True):
            try:
                parts.append(_written(kind, value))
            except (TypeError, struct.error) as error:
                message = f"{self.name}.{field} is no {kind}: {value!r:.80}"
                raise ValueError(message) from error
        return b"".join(parts)

    def digest(self, *values: Value) -> bytes:
        """The leaf's hash."""
        return leaf_hash(self.write(*values))

    def read(self, content: bytes) -> tuple[Value, ...]:
        """The values of a leaf's content. Raises ValueError when it is not of the form."""
        if content[:2] != bytes((self.number, VERSION)):
            message = f"no {self.name} of version {VERSION}"
            raise ValueError(message)
        place = 2
        values: list[Value] = []
        for field, kind in self.fields:
            if place + 4 > len(content):
                message = f"{self.name} ends before {field}"
                raise ValueError(message)
            length = _LENGTH.unpack_from(content, place)[0]
            place += 4
            end = place + max(length, 0)
            if length < -1 or end > len(content):
                message = f"{self.name}.{field} has the impossible length {length}"
                raise ValueError(message)
            values.append(None if length < 0 else _read(kind, content[place:end]))
            place = end
        if self.write(*values) != content:
            message = f"{self.name} is followed by something else"
            raise ValueError(message)
        return tuple(values)


def _written(kind: str, value: Value) -> bytes:
    if value is None and kind.endswith("?"):
        return _NULL
    match kind.rstrip("?"):
        case "int" if isinstance(value, int):
            return _INT.pack(8, value)
        case "float" if isinstance(value, float):
            return _FLOAT.pack(8, value)
        case "text" if isinstance(value, str):
            value = value.encode()
            return _LENGTH.pack(len(value)) + value
        case "bytes" if isinstance(value, bytes):
            return _LENGTH.pack(len(value)) + value
        case "hash" if isinstance(value, bytes) and len(value) == HASH_BYTES:
            return _LENGTH.pack(len(value)) + value
        case "hashes" if isinstance(value, bytes) and len(value) % HASH_BYTES == 0:
            return _LENGTH.pack(len(value)) + value
    message = f"not {kind}"
    raise TypeError(message)


def _read(kind: str, value: bytes) -> Value:
    match kind.rstrip("?"):
        case "int" if len(value) == 8:
            return int.from_bytes(value, signed=True)
        case "float" if len(value) == 8:
            return float(struct.unpack(">d", value)[0])
        case "text":
            return value.decode()
        case "bytes" | "hash" | "hashes":
            return value
    message = f"{len(value)} bytes are no {kind}"
    raise ValueError(message)


def _form(number: int, name: str, fields: str) -> Form:
    pairs = (field.split(":") for field in fields.split())
    return Form(number, name, tuple((field, kind) for field, kind in pairs))


# ── leaves of a batch's tree, in this order ──────────────────────────────────────────────────────
READINGS = 1  # all readings of one device in one batch
REJECT = _form(2, "reject", "sequence:text element:int code:text reason:text data:bytes")
ANOMALY = _form(
    3,
    "anomaly",
    "series:hash severity:int phase:text detector:text start_us:int at_us:int score:float"
    " value:float expected:float reason:text",
)
GAP = _form(4, "gap", "begin_us:int end_us:int cause:text")

# ── leaves of the log ────────────────────────────────────────────────────────────────────────────
SERIES = _form(16, "series", "series_id:int device:text metric:text kind:int unit:text?")
STATE = _form(17, "state", "code:int name:text")
SHARD = _form(
    18,
    "shard",
    "lease_id:int arn:text created_us:int shard_id:text parents:text hash_begin:text hash_end:text",
)
CATALOGUE = _form(19, "catalogue", "version:int body:hash recorded_us:int")
AUDIT = _form(20, "audit", "recorded_us:int actor:text action:text detail:hash")
ALARM = _form(
    21,
    "alarm",
    "event_id:int recorded_us:int series:hash detector:text event:text at_us:int start_us:int"
    " before:text after:text active:int latch:int priority:int actor:text reason:text"
    " until_us:int lease_id:int batch:int",
)
CORRECTION = _form(
    22,
    "correction",
    "correction_id:int recorded_us:int actor:text reason:text ts_us:int was_name:hash"
    " was_value:float was_quality:int name:hash value:float quality:int",
)
EXPIRY = _form(
    23,
    "expiry",
    "expiry_id:int recorded_us:int shard:hash first_number:int last_number:int series:hashes"
    " batches:int readings:int rejects:int anomalies:int events:text root:hash",
)
ENTRY = _form(
    32,
    "entry",
    "shard:hash number:int epoch:int clock_s:int recorded_us:int catalogue:int"
    " sequence_before:text sequence:text records:int received:int stored:int rejected:int"
    " duplicate:int conflict:int leaves:int root:hash previous:hashes",
)

# ── leaves of an expiry's tree ───────────────────────────────────────────────────────────────────
EXPIRED = _form(24, "expired", "number:int spans:text hashes:hashes readings:int rejects:int")

# ── named by a reading alone ─────────────────────────────────────────────────────────────────────
NAMED_STATE = _form(48, "named_state", "series:hash state:hash")

FORMS = (
    REJECT, ANOMALY, GAP, SERIES, STATE, SHARD, CATALOGUE, AUDIT, ALARM, CORRECTION, EXPIRY,
    ENTRY, EXPIRED, NAMED_STATE,
)  # fmt: skip
