"""A frame: many values of one device at one time.

{"device_id", "ts", "values": {metric: value, …}, "units"?: {metric: unit, …}, "quality"?}

Each value is one reading or one reject; what is wrong with the device or the time is wrong with
each of them.
"""

from functools import partial

import msgspec
from msgspec import Raw

from floorlog.core.decode import fields, wire
from floorlog.core.decode.entry import Entry, Found, Refused
from floorlog.core.decode.fault import Fault, check_name
from floorlog.core.decode.formats import Shape
from floorlog.core.decode.leniency import parse
from floorlog.core.decode.wire import Loose
from floorlog.core.reading import Code


def read(loose: Loose, text: bytes) -> list[Entry]:
    """One entry per value; one alone where the frame as such cannot be read."""
    try:
        values = _values(loose)
    except Fault as fault:
        return [Refused(fault, text)]
    try:
        shared = _shared(loose)
    except Fault as fault:
        return [Refused(fault, _alone(loose, metric, raw)) for metric, raw in values.items()]
    return [_entry(loose, metric, raw, shared) for metric, raw in values.items()]


def _values(loose: Loose) -> dict[str, Raw]:
    if wire.there(loose.metric) or wire.there(loose.value):
        raise Fault(Code.MALFORMED, "both values and metric or value")
    if not bytes(loose.values).startswith(b"{"):
        raise Fault(Code.MALFORMED, "values is not an object")
    values = parse(wire.raw_map, bytes(loose.values))
    if not values:
        raise Fault(Code.MISSING_FIELD, "values is empty")
    return values


def _shared(loose: Loose) -> tuple[str, int, int, dict[str, Raw]]:
    """Device, time, quality and units of the frame."""
    device = fields.name(loose.device_id, "device_id")
    ts = fields.ts(loose.ts)
    quality = fields.quality(loose.quality)
    units: dict[str, Raw] = {}
    if wire.there(loose.units):
        if not bytes(loose.units).startswith(b"{"):
            raise Fault(Code.MALFORMED, "units is not an object")
        units = parse(wire.raw_map, bytes(loose.units))
    return device, ts, quality, units


def _entry(
    loose: Loose, metric: str, value: Raw, shared: tuple[str, int, int, dict[str, Raw]]
) -> Entry:
    device, ts, quality, units = shared
    text = partial(_alone, loose, metric, value)
    try:
        check_name(metric, "metric")
        unit = fields.unit(units.get(metric, Raw()))
        return Found(device, metric, ts, fields.value(value), unit, quality, text)
    except Fault as fault:
        return Refused(fault, text())


def _alone(loose: Loose, metric: str, value: Raw) -> bytes:
    """The frame with this one value: what stands for it among the rejects, and can be replayed.

    A frame's own text would be kept once per value: a thousand bad values, a thousand frames.
    """
    kept = {
        field: getattr(loose, field)
        for field in ("device_id", "ts", "quality")
        if getattr(loose, field)
    }
    kept["values"] = {metric: value}
    if bytes(loose.units).startswith(b"{"):
        unit = parse(wire.raw_map, bytes(loose.units)).get(metric)
        if unit is not None:
            kept["units"] = {metric: unit}
    elif wire.there(loose.units):
        kept["units"] = loose.units
    return msgspec.json.encode(kept)


def recognises(loose: Loose) -> bool:
    """Whether the object is a frame."""
    return wire.there(loose.values)


FORMAT = Shape("frame", recognises, read)
