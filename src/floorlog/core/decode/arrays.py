"""A JSON array of readings and frames."""

from floorlog.core.decode import wire
from floorlog.core.decode.fault import READINGS_MAX, Fault
from floorlog.core.decode.formats import Listing
from floorlog.core.decode.leniency import parse
from floorlog.core.reading import Code


def split(payload: bytes) -> list[bytes]:
    """The elements as they stand in the text."""
    elements = parse(wire.raw_array, payload)
    if len(elements) > READINGS_MAX:
        raise Fault(Code.TOO_LARGE, f"array of {len(elements)} elements")
    return [bytes(element) for element in elements]


def recognises(payload: bytes) -> bool:
    """Whether the text begins as an array."""
    return payload.startswith(b"[")


FORMAT = Listing("array", recognises, split)
