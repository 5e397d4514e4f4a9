"""Reads one record element by element: slower, but it tells what is wrong with each.

This is the authority on what an input means. `columns` reads the same faster where nothing can be
in doubt; both agree on every input, which tests/core/decode checks.
"""

from floorlog.core.decode import registry, unpack, wire
from floorlog.core.decode.entry import Entry, Refused
from floorlog.core.decode.fault import READINGS_MAX, Fault
from floorlog.core.decode.leniency import parse
from floorlog.core.reading import Code


def entries(data: bytes) -> list[Entry]:
    """What the record holds, in order and at least one entry. Never raises for what it holds."""
    try:
        inner = unpack.user_records(data)
        return _entries(data) if inner is None else _aggregated(inner)
    except Fault as fault:
        return [Refused(fault, data, whole=True)]


def _aggregated(records: list[bytes]) -> list[Entry]:
    """Of many user records: one that cannot be opened is one refused entry."""
    found: list[Entry] = []
    for record in records:
        try:
            found.extend(_entries(record))
        except Fault as fault:
            found.append(Refused(fault, record))
        _check_count(found)
    return _something(found)


def _entries(data: bytes) -> list[Entry]:
    """Of one record or user record. Raises a Fault when it cannot be opened."""
    text = unpack.text(data)
    for listing in registry.LISTINGS:
        if listing.recognises(text):
            return _something(_listed(listing.split(text)))
    if not text:
        return _something([])
    # A lone object keeps the record's bytes as they are, where nothing had to be unpacked.
    found = _read(parse(wire.loose, text), data if text in data else text)
    _check_count(found)
    return found


def _listed(elements: list[bytes]) -> list[Entry]:
    found: list[Entry] = []
    for element in elements:
        try:
            found.extend(_read(parse(wire.loose, element), element))
        except Fault as fault:
            found.append(Refused(fault, element))
        _check_count(found)
    return found


def _read(loose: wire.Loose, text: bytes) -> list[Entry]:
    for shape in registry.SHAPES:
        if shape.recognises(loose):
            return shape.read(loose, text)
    raise AssertionError("the last shape recognises everything")


def _something(found: list[Entry]) -> list[Entry]:
    """What was found; nothing at all is a Fault, so that every record counts."""
    if not found:
        raise Fault(Code.MALFORMED, "the record holds no reading")
    return found


def _check_count(found: list[Entry]) -> None:
    if len(found) > READINGS_MAX:
        raise Fault(Code.TOO_LARGE, f"more than {READINGS_MAX} readings in one record")
