"""The fields of a reading, each from the JSON text that stands for it, or a Fault."""

import math
import re

import msgspec
from msgspec import Raw

from floorlog.core.decode import timestamp, wire
from floorlog.core.decode.fault import Fault, check_name
from floorlog.core.decode.leniency import parse
from floorlog.core.reading import Code

_INTEGER = re.compile(rb"-?\d+")
_NUMBER = re.compile(rb"-?\d[\d.eE+-]*")
_DIGITS_MAX = 400
"""No float64 has more digits before its point; Python's own limit is 4,300."""

_text = msgspec.json.Decoder(str)


def name(field: Raw, what: str) -> str:
    """A device or metric."""
    if not wire.there(field):
        raise Fault(Code.MISSING_FIELD, f"{what} is missing")
    if not bytes(field).startswith(b'"'):
        raise Fault(Code.MALFORMED, f"{what} is not a text")
    return check_name(parse(_text, bytes(field)), what)


def ts(field: Raw) -> int:
    """A time stamp, µs UTC."""
    if not wire.there(field):
        raise Fault(Code.MISSING_FIELD, "ts is missing")
    text = bytes(field)
    if text.startswith(b'"'):
        return timestamp.from_text(parse(_text, text))
    if len(text) > _DIGITS_MAX or _NUMBER.fullmatch(text) is None:
        raise Fault(Code.BAD_TIME, "ts is neither a text nor an epoch number")
    return timestamp.from_number(int(text) if _INTEGER.fullmatch(text) else float(text))


def value(field: Raw) -> float | str:
    """A number, or the name of a state; truth values are the states "true" and "false"."""
    text = bytes(field)
    if not text:
        raise Fault(Code.MISSING_FIELD, "value is missing")
    if text.startswith(b'"'):
        return check_name(parse(_text, text), "the state's name")
    if text in (b"true", b"false"):
        return text.decode()
    if _INTEGER.fullmatch(text) is not None:
        return _exact(text)
    if _NUMBER.fullmatch(text) is None:
        raise Fault(Code.NOT_A_NUMBER, "value is null, NaN, infinite, a list or an object")
    number = float(text)
    if math.isinf(number):
        raise Fault(Code.NOT_A_NUMBER, "value is beyond the range of float64")
    return number


def _exact(text: bytes) -> float:
    """A whole number as float64, or the Fault that float64 cannot hold it."""
    if len(text) <= _DIGITS_MAX:
        whole = int(text)
        try:
            number = float(whole)
        except OverflowError:
            number = math.nan
        if number == whole:
            return number
    raise Fault(Code.INEXACT_INTEGER, "value is a whole number that float64 cannot hold exactly")


def unit(field: Raw) -> str | None:
    """A unit's code; absent, null and empty are all none."""
    if not wire.there(field) or bytes(field) == b'""':
        return None
    if not bytes(field).startswith(b'"'):
        raise Fault(Code.MALFORMED, "unit is not a text")
    return check_name(parse(_text, bytes(field)), "unit")


def quality(field: Raw) -> int:
    """An OPC UA status code; absent and null are 0, Good."""
    if not wire.there(field):
        return 0
    text = bytes(field)
    if len(text) <= _DIGITS_MAX and _INTEGER.fullmatch(text) is not None:
        status = int(text)
        if 0 <= status <= wire.QUALITY_MAX:
            return status
    raise Fault(Code.MALFORMED, f"quality is not a whole number from 0 to {wire.QUALITY_MAX}")
