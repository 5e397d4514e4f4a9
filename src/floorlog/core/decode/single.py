"""One reading: {"device_id", "metric", "ts", "value", "unit"?, "quality"?}."""

from functools import partial

from floorlog.core.decode import fields, wire
from floorlog.core.decode.entry import Entry, Found, Refused
from floorlog.core.decode.fault import Fault
from floorlog.core.decode.formats import Shape
from floorlog.core.decode.wire import Loose
from floorlog.core.reading import Code

_NEEDED = ("device_id", "metric", "ts")


def read(loose: Loose, text: bytes) -> list[Entry]:
    """The reading, or why it is none."""
    try:
        return [_found(loose, text)]
    except Fault as fault:
        return [Refused(fault, text)]


def _found(loose: Loose, text: bytes) -> Found:
    missing = [needed for needed in _NEEDED if not wire.there(getattr(loose, needed))]
    if not loose.value:
        missing.append("value")
    if missing:
        raise Fault(Code.MISSING_FIELD, f"{', '.join(missing)} missing")
    return Found(
        fields.name(loose.device_id, "device_id"),
        fields.name(loose.metric, "metric"),
        fields.ts(loose.ts),
        fields.value(loose.value),
        fields.unit(loose.unit),
        fields.quality(loose.quality),
        partial(bytes, text),
    )


def recognises(loose: Loose) -> bool:
    """Whether the object is one reading: whatever is not a frame."""
    return not wire.there(loose.values)


FORMAT = Shape("single", recognises, read)
