"""From a record's bytes to the texts inside: aggregates opened, compression undone."""

from floorlog.core.decode import registry
from floorlog.core.decode.fault import Fault, check_size
from floorlog.core.reading import Code

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAGICS = tuple(envelope.magic for envelope in (registry.AGGREGATE, *registry.COMPRESSIONS))


def user_records(data: bytes) -> list[bytes] | None:
    """The records inside an aggregate, None when it is none. Raises a Fault."""
    if data.startswith(registry.AGGREGATE.magic):
        return registry.AGGREGATE.unpack(data)
    return None


def text(data: bytes) -> bytes:
    """The text of one record or user record, without white space around it. Raises a Fault."""
    for compression in registry.COMPRESSIONS:
        if data.startswith(compression.magic):
            (data,) = compression.unpack(data)
            if data.startswith(_MAGICS):
                raise Fault(
                    Code.MALFORMED,
                    "packed twice: one compression is allowed, in an aggregate at most",
                )
            break
    check_size(data)
    return data.removeprefix(BYTE_ORDER_MARK).strip()
