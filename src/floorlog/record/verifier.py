"""Verifies a proof of one reading, or an export, with the standard library of Python 3.9 alone.

    python verifier.py PROOF.json|EXPORT_DIRECTORY --key KEY

KEY is the log's public key, `name+hash+key`, or its file; get it from elsewhere than the proof.
Prints one line: what is proven (exit code 0), or what is wrong and where (1); 2: called wrongly.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import struct
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

Json = Any  # what JSON may hold, until it is checked

# Kinds of leaves: the number of each, and the types of its fields.
FORMS: dict[str, tuple[int, str]] = {
    "reject": (2, "text int text text bytes"),
    "anomaly": (3, "hash int text text int int float float float text"),
    "gap": (4, "int int text"),
    "series": (16, "int text text int text?"),
    "state": (17, "int text"),
    "shard": (18, "int text int text text text text"),
    "correction": (22, "int int text text int hash float int hash float int"),
    "entry": (32, "hash int int int int int text text int int int int int int int hash hashes"),
    "named_state": (48, "hash hash"),
}
SHARD, NUMBER, RECORDED, STORED, LEAVES, ROOT, PREVIOUS = 0, 1, 4, 10, 14, 15, 16  # of an entry
READINGS = b"\x00\x01\x01"  # leaf, kind, version
HEADER = "ts,device_id,metric,value,text,unit,quality,arrived_at,flags,shard,batch,series,ts_us"
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - only differences are used, always in UTC
MIN, MAX, BYTES_MAX = -(2**63), 2**63 - 1, 1 << 28  # of integers; of a proof or a line
LIMITS = ((0, 1, 2**31 - 1), (1, MIN, MAX), (3, 0, 2**32 - 1), (4, MIN, MAX), (5, 0, 3))


class Wrong(ValueError):
    """What is wrong, and where."""


MALFORMED = (LookupError, TypeError, AttributeError, RecursionError)
ERRORS = (ValueError, OSError, csv.Error, struct.error, *MALFORMED)


def need(condition: bool, what: str) -> None:
    """Stop unless the condition holds."""
    if not condition:
        raise Wrong(what)


def unhex(value: Json, what: str, size: int | None = None) -> bytes:
    """Bytes of lower-case hex."""
    good = type(value) is str and re.fullmatch("(?:[0-9a-f]{2})*", value) is not None
    need(good and size in (None, len(value) // 2), f"{what} is no hex, or not of its length")
    return bytes.fromhex(value)


def hashes(values: Json, what: str) -> Iterator[bytes]:
    """The hashes of a list, one after the other."""
    need(type(values) is list, f"{what} is no list")
    return iter([unhex(value, what, 32) for value in values])


def number(value: Json, what: str, low: int = MIN, high: int = MAX) -> int:
    """An integer, and nothing that only looks like one."""
    need(type(value) is int and low <= value <= high, f"{what} is no integer in its range")
    return int(value)


def field(kind: str, value: Json, what: str) -> bytes:
    """One field as in PostgreSQL's binary COPY."""
    if value is None and kind == "text?":
        return b"\xff\xff\xff\xff"
    if kind == "int":
        data = struct.pack(">q", number(value, what))
    elif kind == "float":
        need(type(value) is float, f"{what} is no float")
        data = struct.pack(">d", value)
    elif kind.startswith("text"):
        need(type(value) is str, f"{what} is no text")
        data = value.encode()
    else:
        data = unhex(value, what, 32 if kind == "hash" else None)
        need(kind != "hashes" or len(data) % 32 == 0, f"{what} is no list of hashes")
    return struct.pack(">i", len(data)) + data


def digest(kind: str, values: Json) -> bytes:
    """Hash of the leaf of this kind with these values."""
    fields = FORMS[kind][1].split()
    need(type(values) is list and len(values) == len(fields), f"{kind} has not its fields")
    content = [field(fields[n], one, f"{kind}, field {n + 1},") for n, one in enumerate(values)]
    return hashlib.sha256(bytes((0, FORMS[kind][0], 1)) + b"".join(content)).digest()


class Growing:
    """RFC 6962's root computed from left to right, with one hash a level in memory."""

    def __init__(self) -> None:
        self.size, self.stack = 0, list[tuple[int, bytes]]()

    def push(self, level: int, found: bytes) -> None:
        """Add a complete subtree."""
        self.size += 1 << level
        while self.stack and self.stack[-1][0] == level:
            found = hashlib.sha256(b"\x01" + self.stack.pop()[1] + found).digest()
            level += 1
        self.stack.append((level, found))

    def skip(self, end: int, given: Iterator[bytes], *, last: bool = False) -> None:
        """Go on to leaf `end` with the hashes of the largest complete subtrees between."""
        need(self.size <= end < 2**62, f"leaf {end} is not after leaf {self.size}")
        while self.size < end:  # a hash that is missing leads to another root
            level = min(end - self.size, self.size & -self.size or MAX).bit_length() - 1
            self.push(level, next(given, b"missing"))
        need(not last or next(given, None) is None, "there is a hash too many")

    def finish(self, size: int, given: Iterator[bytes]) -> bytes:
        """The root, once the last hashes are taken."""
        self.skip(size, given, last=True)
        found = self.stack[-1][1] if self.stack else hashlib.sha256().digest()
        for _, left in reversed(self.stack[:-1]):
            found = hashlib.sha256(b"\x01" + left + found).digest()
        return found


def covered(known: Sequence[tuple[Json, bytes]], size: int, cover: Iterator[bytes]) -> bytes:
    """The root over known leaves, each with its place, and a cover for the others."""
    tree = Growing()
    for index, found in sorted((number(place, "a leaf's place", 0), one) for place, one in known):
        tree.skip(index, cover)
        tree.push(0, found)
    return tree.finish(size, cover)


# Ed25519 (RFC 8032), strictly: one encoding, no key of small order, no cofactor.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
Point = tuple[int, int, int, int]  # X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z


def add(a: Point, b: Point) -> Point:
    """Sum of two points (5.1.4)."""
    m, n = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    t, z = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = n - m, z - t, z + t, n + m
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(factor: int, point: Point) -> Point:
    """A multiple of a point. Not in constant time: not for secrets where somebody measures."""
    found: Point = (0, 1, 1, 0)
    while factor:
        found = add(found, point) if factor & 1 else found
        point, factor = add(point, point), factor >> 1
    return found


def encode_point(point: Point) -> bytes:
    """The 32 bytes of a point (5.1.2)."""
    x, y = (one * pow(point[2], P - 2, P) % P for one in point[:2])
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode_point(data: bytes) -> Point | None:
    """A point; None for what is none, or another way to write one (5.1.3)."""
    y = int.from_bytes(data, "little") & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    points = ((root, y, 1, root * y % P) for root in (x, P - x) if (root * root - square) % P == 0)
    return next((point for point in points if encode_point(point) == data), None)


BASE = decode_point(b"\x58" + b"\x66" * 31) or (0, 1, 1, 0)


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature is one of this message with this key (5.1.7)."""
    key, s = decode_point(public), int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or s >= ORDER or key is None or times(8, key)[0] == 0:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    return encode_point(add(times(s, BASE), times(ORDER - k, key))) == signature[:32]


def unbase64(text: str, size: int | None = None) -> bytes:
    """Bytes of canonical base64."""
    alphabet = re.fullmatch("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}[A-Za-z0-9+/=]=)?", text)
    data = base64.b64decode(text) if alphabet else b""
    good = base64.b64encode(data).decode() == text and size in (None, len(data))
    need(good, f"{text:.50} is no canonical base64, or not of its length")
    return data


class Key:
    """The public key of a log, `name+hash+key`, as in C2SP signed-note."""

    def __init__(self, text: str) -> None:
        self.name, stated, encoded = [*text.strip().split("+", 2), "", ""][:3]
        data = unbase64(encoded, 33)
        self.public = data[1:]
        self.id = hashlib.sha256(self.name.encode() + b"\n" + data).digest()[:4]
        need(data[0] == 1 and self.id.hex() == stated, "a key is name+hash+key, for Ed25519")


def signed_text(note: str, keys: Sequence[Key]) -> tuple[str, str]:
    """The text of a note that one of the keys signed, and that key's name."""
    text, divider, rest = note.rpartition("\n\n")
    lines = rest.split("\n")
    control = any(one < " " and one != "\n" for one in note)
    need(divider != "" and lines.pop() == "" and lines != [] and not control, "that is no note")
    signers = []
    for line in lines[:100]:
        parts = line.split(" ")
        need(len(parts) == 3 and parts[0] == "\u2014", "a line of the note is no signature")
        data = unbase64(parts[2])
        for key in (one for one in keys if (parts[1], data[:4]) == (one.name, one.id)):
            need(is_signed(key.public, f"{text}\n".encode(), data[4:]), "the signature is false")
            signers.append(key.name)
    need(signers != [], "the note is signed by none of the keys given")
    return text + "\n", signers[0]


def checkpoint(note: str, keys: Sequence[Key]) -> tuple[str, int, bytes]:
    """Origin, size and root of a log, as signed (C2SP tlog-checkpoint)."""
    text, signer = signed_text(note, keys)
    lines = text.split("\n")[:-1]
    good = len(lines) >= 3 and "" not in lines
    need(good and re.fullmatch("0|[1-9][0-9]{0,17}", lines[1]) is not None, "no checkpoint")
    need(lines[0] == signer, f"the log {lines[0]} is signed by the key of {signer}")
    return lines[0], int(lines[1]), unbase64(lines[2], 32)


def time_text(us: int, digits: str = "microseconds") -> str:
    """A time as ISO 8601 in UTC; as a number of µs where there is no such year."""
    try:
        return (EPOCH + timedelta(microseconds=us)).isoformat(timespec=digits) + "Z"
    except OverflowError:
        return str(us)


class Names:
    """The series and states that were declared, and the digests that name readings."""

    def __init__(self) -> None:
        self.series: dict[int, tuple[bytes, Json]] = {}
        self.states: dict[int, tuple[bytes, Json]] = {}
        self.codes: dict[str, int] = {}

    def declare(self, kind: str, values: Json) -> None:
        """Take a series or state over; what was declared before stays as it was."""
        made = digest(kind, values)
        known = self.series if kind == "series" else self.states
        need(known.setdefault(values[0], (made, values))[0] == made, f"{kind} is declared twice")
        if kind == "state":
            self.codes[values[1]] = values[0]

    def of(self, series_id: int) -> Json:
        """Id, device, metric, kind and unit of a series."""
        need(series_id in self.series, "a series is not declared")
        return self.series[series_id][1]

    def name(self, series_id: int, value: Json) -> bytes:
        """The digest that names a value of a series: with its state, where it is one."""
        if self.of(series_id)[3] == 0:
            return self.series[series_id][0]
        need(value in self.states, f"state {value} is not declared")
        return digest("named_state", [self.series[series_id][0].hex(), self.states[value][0].hex()])

    def record(self, row: Json) -> bytes:
        """The 64 bytes of a reading: series id, ts µs, value, quality, arrival s, flags."""
        need(type(row) is list and len(row) == 6 and type(row[2]) is float, "no reading")
        for place, low, high in LIMITS:
            number(row[place], "a reading's field", low, high)
        series_id, ts, value, quality, arrival_s, flags = row
        return self.name(series_id, value) + struct.pack(
            ">qdIIq", ts, value, flags, quality, arrival_s
        )

    def statement(self, row: Json, entry: Json, shard: str) -> str:
        """What the proof of a reading says, in words."""
        series_id, ts, value, quality, arrival_s, flags = row
        _, device, metric, kind, unit = self.of(series_id)
        shown = repr(value) if kind == 0 else self.states[value][1][1]
        marks = ("", ", in conflict with an earlier one", ", late", ", in conflict and late")
        return (
            f"{device} {metric} = {shown}{' ' + unit if unit else ''} (quality {quality:#010x}"
            f"{marks[flags]}) of {time_text(ts)}, arrived {time_text(arrival_s * 10**6, 'seconds')}"
            f", stored {time_text(entry[RECORDED])} in batch {entry[NUMBER]} of shard {shard}"
        )


def decode(text: str, names: str = "") -> Json:
    """Strict JSON: no name twice, no NaN; an object of exactly these names, if any are given."""

    def one_object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        need(len(dict(pairs)) == len(pairs), "a name stands twice")
        return dict(pairs)

    value = json.loads(text, object_pairs_hook=one_object, parse_constant=lambda _: None)
    need(not names or (type(value) is dict and set(value) == set(names.split())), "other fields")
    return value


def check_proof(text: str, keys: Sequence[Key]) -> str:
    """Check the proof of one reading; returns what it proves."""
    parts = "format says place series states readings leaf cover shard entry index log note"
    proof = decode(text, parts)
    need(proof["format"] == "floorlog-proof-1", "the format is not floorlog-proof-1")
    names = Names()
    for kind, part in (("series", "series"), ("state", "states")):
        for values in proof[part]:
            names.declare(kind, values)
    rows = proof["readings"]
    leaf = hashlib.sha256(READINGS + b"".join(names.record(row) for row in rows)).digest()
    used = sorted({row[0] for row in rows})
    need([one[0] for one in proof["series"]] == used, "series are not those of the readings")
    codes = sorted({row[2] for row in rows if names.of(row[0])[3] != 0})
    need([one[0] for one in proof["states"]] == codes, "states are not those of the readings")
    need(len({names.of(one)[1] for one in used}) == 1, "readings are not of one device")
    entry_hash, entry = digest("entry", proof["entry"]), proof["entry"]
    need(digest("shard", proof["shard"]).hex() == entry[SHARD], "the shard is not the entry's")
    root = covered([(proof["leaf"], leaf)], entry[LEAVES], hashes(proof["cover"], "the cover"))
    need(root.hex() == entry[ROOT], "the readings are not those of the batch")
    origin, size, signed = checkpoint(proof["note"], keys)
    root = covered([(proof["index"], entry_hash)], size, hashes(proof["log"], "the log"))
    need(root == signed, "the entry is not in the signed log")
    row = rows[number(proof["place"], "the place", 0, len(rows) - 1)]
    says = names.statement(row, entry, proof["shard"][3])
    need(proof["says"] == says, f"the proof says something else than {says}")
    return f"{says}: entry {proof['index']} of {size} in the log {origin}"


class Export:
    """Checks an export line by line, holding one line of its ledger at a time."""

    def __init__(self, base: Path) -> None:
        self.base, self.names, self.log, self.at, self.whole = base, Names(), Growing(), "", True
        self.shards: dict[str, int] = {}  # digest → lease id
        self.heads: dict[str, tuple[int, str]] = {}  # digest of the shard → number and hash
        self.readings = self.batches = self.events = self.corrections = 0
        self.rows = self.csv_rows()
        self.row = next(self.rows, None)

    def csv_rows(self) -> Iterator[list[str]]:
        """The rows of the readings."""
        with (self.base / "readings.csv").open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file, strict=True)
            need(next(rows, None) == HEADER.split(","), "readings.csv has other columns")
            for row in rows:
                self.at = f"readings.csv, line {rows.line_num}: "
                yield row

    def record(self, row: list[str]) -> bytes:
        """The bytes of the reading in a row, every field of which must be as it is written."""
        series_id, ts, quality, flags = (int(row[place]) for place in (11, 12, 6, 8))
        _, device, metric, kind, unit = self.names.of(series_id)
        value = float(row[3]) if kind == 0 else float(self.names.codes.get(row[4], -1))
        shown = ["", row[4]] if kind else [repr(value), ""]
        arrival_s = (datetime.fromisoformat(row[7][:19]) - EPOCH) // timedelta(seconds=1)
        written = [time_text(ts), device, metric, *shown, unit or "", str(quality)]
        written += [time_text(arrival_s * 1_000_000, "seconds"), str(flags), *row[9:11]]
        need(row == [*written, str(series_id), str(ts)], "a field is not as an export writes it")
        return self.names.record([series_id, ts, value, quality, arrival_s, flags])

    def leaves(self, batch: list[str]) -> list[bytes]:
        """The leaves of the rows of a batch: one for each device."""
        found, device = list[Json](), None
        while self.row is not None and self.row[9:11] == batch:
            if self.row[1] != device:
                found.append(hashlib.sha256(READINGS))
                device = self.row[1]
            found[-1].update(self.record(self.row))
            self.row, self.readings = next(self.rows, None), self.readings + 1
        return [one.digest() for one in found]

    def batch(self, *value: Json) -> bytes:
        """Check a batch against its entry; its leaf in the log."""
        entry, places, rows, cover = value
        hashed, (shard, name) = digest("entry", entry), entry[:2]
        need(shard in self.shards, "the shard is not declared")
        read, at = self.readings, self.at
        found = self.leaves([str(self.shards[shard]), str(name)])
        self.at = at
        need(len(places) == len(found), f"batch {name} has {len(found)} devices in readings.csv")
        known = [(places[n], one) for n, one in enumerate(found)]
        for place, kind, values in rows:
            need(kind in {"reject", "anomaly", "gap"}, "a row is of no known kind")
            known.append((place, digest(kind, values)))
        root = covered(known, entry[LEAVES], hashes(cover, "the cover"))
        need(root.hex() == entry[ROOT], f"batch {name} is not as the ledger has it")
        last, previous = self.heads.get(shard, (name - 1, entry[PREVIOUS]))
        need(last + 1 != name or entry[PREVIOUS] == previous, "the entry does not follow the last")
        self.heads[shard] = (name, hashed.hex())
        self.whole &= last + 1 == name and self.readings - read == entry[STORED]
        self.batches, self.events = self.batches + 1, self.events + len(rows)
        return hashed

    def correction(self, row: Json) -> bytes:
        """The leaf of a correction: its series stands for the names of both values."""
        was, now = (self.names.name(row[5], row[place]).hex() for place in (6, 8))
        self.corrections += 1
        return digest("correction", [*row[:5], was, *row[6:8], now, *row[8:]])

    def line(self, line: str, size: int, root: bytes) -> str:
        """Check a line of the ledger; returns its kind. The last line leads to the log's root."""
        kind, value = decode(line)
        if kind in {"batch", "correction"}:
            index, before, *rest = value
            found = self.batch(*rest) if kind == "batch" else self.correction(*rest)
            self.log.skip(number(index, "its place", 0), hashes(before, "before"), last=True)
            self.log.push(0, found)
        elif kind == "shard":
            self.shards[digest("shard", value).hex()] = value[0]
        elif kind == "end":
            need(self.log.finish(size, hashes(value, "the end")) == root, "not in the signed log")
        else:
            need(kind in {"series", "state"}, "the line is of no known kind")
            self.names.declare(kind, value)
        return str(kind)

    def run(self, size: int, root: bytes) -> None:
        """Check all."""
        kind = ""
        with (self.base / "ledger.jsonl").open(encoding="utf-8") as lines:
            for place, line in enumerate(iter(lambda: lines.readline(BYTES_MAX), "")):
                self.at = f"ledger.jsonl, line {place + 1}: "
                need(kind != "end", "there is a line after the end")
                kind = self.line(line, size, root)
        need(kind == "end" and self.row is None, "there are readings or lines without their proof")


def check_export(base: Path, keys: Sequence[Key]) -> str:
    """Check an export; returns what it proves."""
    manifest = (base / "manifest.json").read_bytes()
    stated = decode(manifest.decode(), "format asked files")
    need(stated["format"] == "floorlog-export-1", "the format is not floorlog-export-1")
    files, own = stated["files"], {"manifest.json"}
    if (base / "manifest.note").exists():
        text = signed_text((base / "manifest.note").read_text(encoding="utf-8"), keys)[0]
        own_text = f"floorlog-export-1\n{hashlib.sha256(manifest).hexdigest()}\n"
        need(text == own_text, "manifest.note is of another")
        own.add("manifest.note")
    there = {path.relative_to(base).as_posix() for path in base.rglob("*") if not path.is_dir()}
    other = there ^ (own | set(files))
    need(not other, f"not in manifest and export both: {', '.join(sorted(other))}")
    for name, one in files.items():
        hashed = hashlib.sha256()
        with (base / name).open("rb") as file:
            while block := file.read(1 << 20):
                hashed.update(block)
        need(one == hashed.hexdigest(), f"{name} is not the file of the manifest")
    origin, size, root = checkpoint((base / "checkpoint").read_text(encoding="utf-8"), keys)
    export = Export(base)
    try:
        export.run(size, root)
    except ERRORS as error:
        raise Wrong(f"{export.at}{error}") from None
    part = "all that they hold" if export.whole else "a part of what they hold"
    return (
        f"{export.readings} readings and {export.events} events of {export.batches} batches, {part}"
        f"; {export.corrections} corrections; in the log {origin} of {size} entries; {len(files)}"
        f" files are those of the manifest, which is {'signed' if len(own) == 2 else 'NOT SIGNED'}"
    )


def main(arguments: list[str]) -> int:
    """Run from the command line."""
    keys = [arguments[n + 1] for n, one in enumerate(arguments[:-1]) if one == "--key"]
    if not keys or len(arguments) != 1 + 2 * len(keys) or arguments[0].startswith("-"):
        sys.stderr.write("usage: python verifier.py PROOF.json|EXPORT_DIRECTORY --key KEY\n")
        return 2
    path = Path(arguments[0])
    try:
        known = [Key(key if key.count("+") > 1 else Path(key).read_text("utf-8")) for key in keys]
        if path.is_dir():
            proven = check_export(path, known)
        else:
            with path.open("rb") as file:
                proven = check_proof(file.read(BYTES_MAX).decode(), known)
    except ERRORS as error:
        sys.stdout.write(f"WRONG: {' '.join(str(error).split())}\n")
        return 1
    sys.stdout.write(f"proven: {proven}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
