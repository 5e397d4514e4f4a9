"""Notes, checkpoints and keys as C2SP writes them, and what is not one."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from floorlog.core.ledger.note import (
    NOTE_BYTES_MAX,
    Checkpoint,
    Signature,
    VerifierKey,
    decode64,
    read_note,
    write_note,
)

# From Go's golang.org/x/mod/sumdb/note, which C2SP's specification grew out of.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
WISDOM = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
SIGNED = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)
# From C2SP's tlog-checkpoint and signed-note.
SOFA = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5"
    "/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
POEM = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "\u2014 quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrM"
    "ouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
)


def test_a_published_key_and_note() -> None:
    """The key's hash is the one that Go computed, and the note is written as Go wrote it."""
    key = VerifierKey.parse(PETER)
    assert (key.name, key.key_id.hex(), str(key)) == ("PeterNeumann", "c74f20a3", PETER)
    note = f"{WISDOM}\n\u2014 PeterNeumann {SIGNED}\n".encode()
    text, (signature,) = read_note(note)
    assert text == WISDOM
    assert (signature.name, signature.key_id) == (key.name, key.key_id)
    assert len(signature.signature) == 64
    assert write_note(text, [signature]) == note


@pytest.mark.parametrize("note", [SOFA, POEM])
def test_notes_of_the_specification(note) -> None:
    """The specification's examples are read, and written again byte for byte."""
    text, signatures = read_note(note.encode())
    assert note.startswith(text + "\n\u2014")
    assert write_note(text, signatures) == note.encode()


def test_the_checkpoint_of_the_specification() -> None:
    """Origin, size and root are read from it."""
    text, _ = read_note(SOFA.encode())
    point = Checkpoint.parse(text)
    assert (point.origin, point.size) == ("example.com/behind-the-sofa", 20852163)
    assert point.root.hex().startswith("0ac5186a91863e8e")
    assert str(point) == text


@given(
    st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), min_size=1),
    st.integers(0, 2**62),
    st.binary(min_size=32, max_size=32),
    st.lists(st.from_regex(r"[a-z]+ [0-9]+", fullmatch=True), max_size=3),
)
def test_any_checkpoint_comes_back(origin, size, root, extensions) -> None:
    """What was written is read, lines of extensions included."""
    point = Checkpoint(origin, size, root, tuple(extensions))
    assert Checkpoint.parse(str(point)) == point
    signature = Signature("floor.example/log", b"abcd", b"s" * 64)
    assert read_note(write_note(str(point), [signature])) == (str(point), [signature])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n1\n",
        "origin\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n٣\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n9999999999999999999\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=\n",  # not canonical
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw==\n",  # 31 bytes
        "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n" + "x\n" * 17,
    ],
)
def test_what_is_no_checkpoint(text) -> None:
    """Missing lines, other ways to write a number or a root, and too much are refused."""
    with pytest.raises(ValueError, match=r".+"):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"text\n",
        b"text\n\n",
        SOFA.encode()[:-1],
        SOFA.encode() + b"\n",
        SOFA.encode().replace(b"\n\xe2", b"\xe2"),
        SOFA.encode().replace("\u2014".encode(), b"-"),
        SOFA.encode().replace(b"sofa\n", b"sofa\r\n"),
        SOFA.encode().replace(b"sofa\n", b"so\xfffa\n"),
        SOFA.encode().replace(b"sofa Az3g", b"so+fa Az3g"),
        SOFA.encode().replace(b"sofa Az3g", b"sofa  Az3g"),
        SOFA.encode().replace(b"AYQ8=", b"AYQ9="),
        b"text\n\n\xe2\x80\x94 name AAAA\n",
        SOFA.encode() + SOFA.encode()[SOFA.encode().index(b"\xe2") :] * 16,
        b"x" * NOTE_BYTES_MAX + SOFA.encode(),
    ],
)
def test_what_is_no_note(note) -> None:
    """Cut, padded, with control characters, bad names, bad base64, too much of it."""
    with pytest.raises(ValueError, match=r".+"):
        read_note(note)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PeterNeumann",
        PETER.replace("c74f", "c75f"),
        PETER.replace("Peter", "Pete"),
        PETER.replace("+ARpc", "+AhpC"),
        PETER[:-4],
        PETER.replace("PeterNeumann", ""),
    ],
)
def test_what_is_no_key(text) -> None:
    """A key whose name, hash or bytes do not belong together is refused."""
    with pytest.raises(ValueError, match=r".+"):
        VerifierKey.parse(text)


def test_a_text_that_would_not_come_back_is_not_written() -> None:
    """A text without its last line feed, or with a control character, is an error."""
    for text in ("no line feed", "tab\there\n"):
        with pytest.raises(ValueError, match="control"):
            write_note(text, [])


@given(st.binary(max_size=40))
def test_base64_has_one_form(data) -> None:
    """What differs in unused bits or white space is refused."""
    text = base64.b64encode(data).decode()
    assert decode64(text) == data
    for bent in (text + "\n", " " + text, text + "=", text.rstrip("=") + "=" * 3):
        with pytest.raises(ValueError, match="base64"):
            decode64(bent)
