"""Why an input could not be read, while it is being read; and the limits that all formats share."""

import re

from floorlog.core.reading import Code

UNPACKED_BYTES_MAX = 16 * 1024 * 1024
"""A record may unpack to this much; more is one reject `too_large`."""
READINGS_MAX = 100_000
"""A record may hold this many readings or elements; more is one reject `too_large`."""
COMMAS_MAX = 10 * READINGS_MAX
"""Bounds what a JSON parser may build of one record before its elements can be counted."""
NAME_CHARACTERS_MAX = 200
"""Devices, metrics, units and state names may be this long."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Fault(Exception):
    """An input that cannot become a reading: a stable code and a reason for people."""

    def __init__(self, code: Code, reason: str) -> None:
        """See `floorlog.core.reading.Code` for the codes."""
        super().__init__(reason)
        self.code = code
        self.reason = reason


def sound(name: str) -> bool:
    """Whether a name can be stored: 1 to 200 characters, no control characters or surrogates."""
    return 0 < len(name) <= NAME_CHARACTERS_MAX and _CONTROL.search(name) is None


def check_name(name: str, what: str) -> str:
    """The name as it is, or the Fault that says what is wrong with it."""
    if sound(name):
        return name
    if not name:
        raise Fault(Code.INVALID_TEXT, f"{what} is empty")
    if len(name) > NAME_CHARACTERS_MAX:
        limit = NAME_CHARACTERS_MAX
        raise Fault(Code.INVALID_TEXT, f"{what} has {len(name)} characters, {limit} are allowed")
    raise Fault(Code.INVALID_TEXT, f"{what} holds a control character")


def check_size(payload: bytes) -> None:
    """Raise the Fault of a text that would unpack to too much."""
    if len(payload) > UNPACKED_BYTES_MAX:
        raise Fault(Code.TOO_LARGE, f"more than {UNPACKED_BYTES_MAX} bytes")
    if len(payload) > COMMAS_MAX and payload.count(b",") > COMMAS_MAX:
        raise Fault(Code.TOO_LARGE, f"more than {COMMAS_MAX} values")
