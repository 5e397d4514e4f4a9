"""What each kind of format says of itself: how to know it and how to read it."""

from collections.abc import Callable
from dataclasses import dataclass

from floorlog.core.decode.entry import Entry
from floorlog.core.decode.wire import Loose


@dataclass(frozen=True, slots=True)
class Envelope:
    """Bytes around other inputs. `unpack` raises a Fault, never gives more than the limits."""

    name: str
    magic: bytes
    unpack: Callable[[bytes], list[bytes]]


@dataclass(frozen=True, slots=True)
class Listing:
    """A text of many elements. `split` raises a Fault; elements are given as found."""

    name: str
    recognises: Callable[[bytes], bool]
    split: Callable[[bytes], list[bytes]]


@dataclass(frozen=True, slots=True)
class Shape:
    """A JSON object that holds readings. `read` never raises for what the object holds."""

    name: str
    recognises: Callable[[Loose], bool]
    read: Callable[[Loose, bytes], list[Entry]]
