"""The JSON objects of the wire: typed for the common case, raw for the careful one."""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

QUALITY_MAX = 0xFFFF_FFFF
"""OPC UA status codes are 32 bits wide."""

Number = float | str | bool
"""A value on the wire: a number, a state's name, or a truth value."""


class Wire(Struct, gc=False):
    """A reading or a frame whose fields all have the expected types; None = not there."""

    device_id: str
    ts: str | int | float
    metric: str | None = None
    value: Number | None = None
    values: dict[str, Number] | None = None
    unit: str | None = None
    units: dict[str, str] | None = None
    quality: Annotated[int, Meta(ge=0, le=QUALITY_MAX)] = 0


class Loose(Struct):
    """The same fields as they stand in the text; an empty Raw = not there."""

    device_id: Raw = Raw()
    ts: Raw = Raw()
    metric: Raw = Raw()
    value: Raw = Raw()
    values: Raw = Raw()
    unit: Raw = Raw()
    units: Raw = Raw()
    quality: Raw = Raw()


typed = msgspec.json.Decoder(Wire)
typed_array = msgspec.json.Decoder(list[Wire])
loose = msgspec.json.Decoder(Loose)
raw_array = msgspec.json.Decoder(list[Raw])
raw_map = msgspec.json.Decoder(dict[str, Raw])
raw = msgspec.json.Decoder(Raw)
plain = msgspec.json.Decoder()


def there(field: Raw) -> bool:
    """Whether a field was given: absent and null are the same."""
    return bool(field) and bytes(field) != b"null"
