"""What careful reading makes of one element: a reading found, or an input refused."""

from collections.abc import Callable
from dataclasses import dataclass

from floorlog.core.decode.fault import Fault


@dataclass(frozen=True, slots=True)
class Found:
    """One reading, and how to get at the bytes that say it."""

    device: str
    metric: str
    ts: int  # µs UTC
    value: float | str  # a string is a state's name
    unit: str | None
    quality: int
    text: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Refused:
    """One input that could not be read, with its bytes; `whole`: the record as such."""

    fault: Fault
    data: bytes
    whole: bool = False


Entry = Found | Refused
