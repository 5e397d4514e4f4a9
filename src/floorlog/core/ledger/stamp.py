"""Time stamps of notes (RFC 3161): the request, and what an authority's answer says.

The answer's signature is not checked here: that takes X.509 and the authority's certificate, and
`openssl ts -verify` does it. Checked is that the answer is one, and is about this very note.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

ANSWER_BYTES_MAX = 65_536
_SEQUENCE, _INTEGER, _OCTETS, _OID, _TIME, _EXPLICIT = 0x30, 0x02, 0x04, 0x06, 0x18, 0xA0
_SHA256 = bytes.fromhex("608648016503040201")
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_TST_INFO = bytes.fromhex("2a864886f70d0109100104")
_GRANTED = (0, 1)  # granted; granted with modifications


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a time stamp says.

    Attributes:
        at: the authority's time, ISO 8601, UTC.
        policy: the authority's policy, as a dotted number.
        serial: the authority's number of this stamp.
        nonce: that of the request; None where it is not repeated.
    """

    at: str
    policy: str
    serial: int
    nonce: int | None


class _Part(NamedTuple):
    """One value in DER: its tag and its content."""

    tag: int
    content: bytes


def request(note: bytes, nonce: int) -> bytes:
    """A request to stamp a note, with the authority's certificate in the answer.

    Args:
        note: the note as it is anchored.
        nonce: any number from 0 up to 2^63.
    """
    algorithm = _der(_SEQUENCE, _der(_OID, _SHA256), _der(0x05))
    imprint = _der(_SEQUENCE, algorithm, _der(_OCTETS, hashlib.sha256(note).digest()))
    return _der(
        _SEQUENCE, _integer(1), imprint, _integer(nonce), _der(0x01, b"\xff")
    )  # version, what is stamped, nonce, the certificate please


def read_stamp(answer: bytes, note: bytes) -> Stamp:
    """What an authority's answer says of a note.

    Raises:
        ValueError: it is no answer, a refusal, or about something else.
    """
    try:
        return _read(answer, note)
    except (IndexError, StopIteration) as error:
        message = "that is no answer of a time stamp authority"
        raise ValueError(message) from error


def _read(answer: bytes, note: bytes) -> Stamp:
    whole = list(_parts(_one(answer, _SEQUENCE)))
    status = int.from_bytes(_one_of(_parts(whole[0].content), _INTEGER))
    if status not in _GRANTED:
        message = f"the authority refused, with status {status}"
        raise ValueError(message)
    kind, signed = _parts(whole[1].content)
    _need(kind.content == _SIGNED_DATA and signed.tag == _EXPLICIT, "it holds no signed data")
    held = list(_parts(_one(signed.content, _SEQUENCE)))[2]
    kind, info = _parts(held.content)
    _need(kind.content == _TST_INFO and info.tag == _EXPLICIT, "it holds no time stamp")
    values = list(_parts(_one(_one(info.content, _OCTETS), _SEQUENCE)))
    _need(len(values) >= 5, "it ends too early")
    version, policy, imprint, serial, at = values[:5]
    nonces = [int.from_bytes(one.content) for one in values[5:] if one.tag == _INTEGER]
    _need(int.from_bytes(version.content) == 1, "its version is not 1")
    algorithm, hashed = _parts(imprint.content)
    _need(next(_parts(algorithm.content)).content == _SHA256, "it is not over SHA-256")
    _need(hashed.content == hashlib.sha256(note).digest(), "it is over something else")
    _need(at.tag == _TIME and policy.tag == _OID, "it tells no time")
    number = int.from_bytes(serial.content)
    return Stamp(_time(at.content), _dotted(policy.content), number, next(iter(nonces), None))


def _need(good: bool, message: str) -> None:
    if not good:
        raise ValueError(message)


def _one(data: bytes, tag: int) -> bytes:
    """The content of the one value that this is."""
    parts = list(_parts(data))
    _need(len(parts) == 1 and parts[0].tag == tag, "a value is not what it should be")
    return parts[0].content


def _one_of(parts: Iterator[_Part], tag: int) -> bytes:
    """The content of the first value, which must have this tag."""
    part = next(parts)
    _need(part.tag == tag, "a value is not what it should be")
    return part.content


def _parts(data: bytes) -> Iterator[_Part]:
    """The values that follow one another."""
    place = 0
    while place < len(data):
        tag, length = data[place], data[place + 1]
        place += 2
        if length & 0x80:
            count = length & 0x7F
            _need(0 < count <= 4, "a length is impossible")
            length = int.from_bytes(data[place : place + count])
            place += count
        _need(place + length <= len(data), "it ends too early")
        yield _Part(tag, data[place : place + length])
        place += length


def _der(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    assert len(content) < 128, "a request is short"
    return bytes((tag, len(content))) + content


def _integer(value: int) -> bytes:
    return _der(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1))


def _time(content: bytes) -> str:
    """From GeneralizedTime, YYYYMMDDhhmmss[.f…]Z."""
    text = content.decode("ascii")
    whole, _, fraction = text.removesuffix("Z").partition(".")
    _need(text.endswith("Z") and whole.isdigit() and len(whole) == 14, "its time is no time")
    # Not as naive times go: it says Z, and is written with Z again.
    read = datetime.strptime(whole, "%Y%m%d%H%M%S").isoformat()  # noqa: DTZ007 - see above
    return f"{read}{'.' if fraction else ''}{fraction}Z"


def _dotted(content: bytes) -> str:
    numbers: list[int] = []
    value = 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
