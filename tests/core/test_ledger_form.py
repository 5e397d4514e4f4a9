"""The bytes of each kind: the published vectors, computed here a second time from the page."""

import hashlib
import json
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from floorlog.core.ledger import form
from floorlog.core.ledger.tree import leaf_hash

VECTORS = json.loads((Path(__file__).parent / "ledger_vectors.json").read_text())
LEAVES = VECTORS["leaves"]
FORM = {one.name: one for one in form.FORMS}
TYPED = {
    "int": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(allow_nan=False),
    "text": st.text(st.characters(exclude_categories=["Cs"])),
    "bytes": st.binary(),
    "hash": st.binary(min_size=32, max_size=32),
    "hashes": st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(b"".join),
}
WRONG = {"int": ["1", 2**63, None, 1.0], "float": [1, "1.0", None], "text": [b"x", None, 1]}
WRONG |= {"bytes": ["x", None], "hash": [b"x" * 31, "x" * 32, None], "hashes": [b"x" * 33, None]}


def field(kind: str, value: object) -> bytes:
    """A field as docs/reference/ledger.md says, independent of the code."""
    if value is None:
        return b"\xff\xff\xff\xff"
    data = {
        "int": lambda v: struct.pack(">q", v),
        "float": lambda v: struct.pack(">d", v),
        "text": lambda v: v.encode("utf-8"),
    }.get(kind.rstrip("?"), bytes.fromhex)(value)
    return struct.pack(">i", len(data)) + data


def values(vector: dict) -> list:
    """The values of a vector as the code takes them."""
    of_bytes = {"bytes", "hash", "hashes"}
    return [
        bytes.fromhex(value) if kind in of_bytes else value for _, kind, value in vector["fields"]
    ]


def test_every_kind_has_a_vector() -> None:
    """No kind and no field is without one; numbers are used once."""
    assert {vector["kind"] for vector in LEAVES} == set(FORM)
    for vector in LEAVES:
        named = tuple((name, kind) for name, kind, _ in vector["fields"])
        assert named == FORM[vector["kind"]].fields
        assert vector["number"] == FORM[vector["kind"]].number
    numbers = [one.number for one in form.FORMS]
    assert len({*numbers, form.READINGS}) == len(numbers) + 1


@pytest.mark.parametrize("vector", LEAVES, ids=[vector["kind"] for vector in LEAVES])
def test_vectors(vector) -> None:
    """Content and hash are the published ones, by the code and by the page."""
    by_page = bytes((vector["number"], 1)) + b"".join(
        field(kind, value) for _, kind, value in vector["fields"]
    )
    by_code = FORM[vector["kind"]].write(*values(vector))
    assert by_code.hex() == by_page.hex() == vector["content"]
    assert leaf_hash(by_code).hex() == hashlib.sha256(b"\x00" + by_page).hexdigest()
    assert leaf_hash(by_code).hex() == vector["hash"]
    assert list(FORM[vector["kind"]].read(by_code)) == values(vector)


def test_vectors_of_readings() -> None:
    """The leaves of a batch of two devices whose series interleave, word for word from the page."""
    batch = VECTORS["batch"]
    device = {series_id: name for series_id, name, *_ in batch["series"]}
    digest = {
        series_id: hashlib.sha256(
            b"\x00\x10\x01" + field("int", series_id) + field("text", name)
            + field("text", metric) + field("int", kind) + field("text", unit)
        ).digest()
        for series_id, name, metric, kind, unit in batch["series"]
    }  # fmt: skip
    is_state = {series_id: kind == 1 for series_id, _, _, kind, _ in batch["series"]}
    state = {
        code: hashlib.sha256(b"\x00\x11\x01" + field("int", code) + field("text", name)).digest()
        for code, name in batch["states"]
    }
    records: dict[str, bytes] = {}
    for series_id, ts, value, quality, arrival_s, flags in batch["readings"]:
        name = digest[series_id]
        if is_state[series_id]:
            both = field("hash", name.hex()) + field("hash", state[value].hex())
            name = hashlib.sha256(b"\x00\x30\x01" + both).digest()
        record = name + struct.pack(">qdIIq", ts, value, flags, quality, arrival_s)
        records[device[series_id]] = records.get(device[series_id], b"\x01\x01") + record
    assert [content.hex() for content in records.values()] == batch["contents"]
    hashes = [hashlib.sha256(b"\x00" + content).digest() for content in records.values()]
    assert [one.hex() for one in hashes] == batch["hashes"]
    assert hashlib.sha256(b"\x01" + b"".join(hashes)).hexdigest() == batch["root"]


@given(st.sampled_from(form.FORMS), st.data())
def test_any_values_come_back(one, data) -> None:
    """What a form writes it reads; the bytes cut anywhere, or followed by more, are refused."""
    drawn = []
    for _, kind in one.fields:
        plain = TYPED[kind.rstrip("?")]
        drawn.append(data.draw(st.none() | plain if kind.endswith("?") else plain))
    content = one.write(*drawn)
    assert one.read(content) == tuple(drawn)
    cut = data.draw(st.integers(0, len(content) - 1))
    for bent in (content[:cut], content + b"\0", bytes([content[0] ^ 1]) + content[1:]):
        with pytest.raises(ValueError, match=r".+"):
            one.read(bent)


@given(st.lists(st.text(max_size=4), min_size=3, max_size=3, unique=True))
def test_fields_do_not_flow_into_each_other(texts) -> None:
    """Texts joined at another place are other bytes."""
    a, b, c = texts
    written = {
        form.AUDIT.write(0, actor, action, bytes(32))
        for actor, action in [(a + b, c), (a, b + c), (a + b + c, ""), ("", a + b + c)]
    }
    assert len(written) == len({(a + b, c), (a, b + c), (a + b + c, ""), ("", a + b + c)})


@pytest.mark.parametrize("one", form.FORMS, ids=lambda one: one.name)
def test_other_values_are_refused(one) -> None:
    """A value of another type, a hash of another length, too few or too many: a clear error."""
    vector = next(vector for vector in LEAVES if vector["kind"] == one.name)
    good = values(vector)
    for place, (name, kind) in enumerate(one.fields):
        for wrong in WRONG.get(kind, []):
            with pytest.raises(ValueError, match=f"{one.name}.{name} is no {kind}"):
                one.write(*good[:place], wrong, *good[place + 1 :])
    for count in (good[:-1], [*good, 1]):
        with pytest.raises(ValueError, match="fields"):
            one.write(*count)


def test_kinds_are_told_apart() -> None:
    """No two kinds write the same content, whatever they hold."""
    firsts = sorted(one.number for one in form.FORMS)
    assert all(a < b for a, b in pairwise(firsts))
