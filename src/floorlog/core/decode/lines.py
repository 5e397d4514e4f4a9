"""JSON lines: one reading or frame a line; blank lines mean nothing."""

import re

from floorlog.core.decode import wire
from floorlog.core.decode.fault import READINGS_MAX, Fault
from floorlog.core.decode.formats import Listing
from floorlog.core.decode.leniency import parse
from floorlog.core.reading import Code

_WHOLE_OBJECT = re.compile(rb"^[ \t]*\{.*\}[ \t\r]*$", re.MULTILINE)


def split(payload: bytes) -> list[bytes]:
    """The lines that are not blank."""
    if payload.count(b"\n") > 2 * READINGS_MAX:
        raise Fault(Code.TOO_LARGE, f"more than {2 * READINGS_MAX} lines")
    lines = [line for line in map(bytes.strip, payload.split(b"\n")) if line]
    if len(lines) > READINGS_MAX:
        raise Fault(Code.TOO_LARGE, f"{len(lines)} lines")
    return lines


def recognises(payload: bytes) -> bool:
    """Whether the text is lines: not one object, and some line looks like a whole object."""
    if b"\n" not in payload or _WHOLE_OBJECT.search(payload) is None:
        return False
    try:
        parse(wire.raw, payload)
    except Fault:
        return True
    return False


FORMAT = Listing("lines", recognises, split)
