"""JSON as some producers write it: NaN and Infinity where JSON knows none.

They are read as null, which is no number either, so that one of them costs one value of a frame
and not the frame.
"""

import re
from typing import Protocol, TypeVar

import msgspec

from floorlog.core.decode.fault import Fault
from floorlog.core.reading import Code

_SUSPECT = re.compile(rb"[NI](?:aN|nf)|nan|inf")
_STRING_OR_WORD = re.compile(
    rb'"(?:[^"\\]|\\.)*+"|[-+]?(?:NaN|nan|Infinity|infinity|Inf|inf)(?![A-Za-z0-9_])', re.DOTALL
)
_LONE_SURROGATE = re.compile(
    rb"(?<!\\)(?:\\\\)*(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)

T_co = TypeVar("T_co", covariant=True)


class _Decoder(Protocol[T_co]):
    def decode(self, buf: bytes, /) -> T_co: ...


def parse(decoder: _Decoder[T_co], text: bytes) -> T_co:
    """Decode with a msgspec decoder, or raise a Fault `malformed` or `invalid_text`."""
    try:
        return decoder.decode(text)
    except RecursionError as error:
        raise Fault(Code.MALFORMED, "nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        if _SUSPECT.search(text) is not None:
            calm = _STRING_OR_WORD.sub(_null_for_word, text)
            if calm != text:
                return parse(decoder, calm)
        raise _fault(text, error) from error


def _null_for_word(match: re.Match[bytes]) -> bytes:
    found = match.group()
    return found if found.startswith(b'"') else b"null"


def _fault(text: bytes, error: Exception) -> Fault:
    try:
        text.decode()
    except UnicodeDecodeError as invalid:
        return Fault(Code.INVALID_TEXT, f"not UTF-8: {invalid.reason} at byte {invalid.start}")
    if _LONE_SURROGATE.search(text) is not None:
        return Fault(Code.INVALID_TEXT, "half of a surrogate pair")
    return Fault(Code.MALFORMED, f"not JSON of a reading or frame: {error}")
