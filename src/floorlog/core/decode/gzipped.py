"""gzip around another input, members one after the other included."""

import zlib

from floorlog.core.decode.fault import UNPACKED_BYTES_MAX, Fault
from floorlog.core.decode.formats import Envelope
from floorlog.core.reading import Code

_GZIP_ONLY = 16 + zlib.MAX_WBITS


def unpack(data: bytes) -> list[bytes]:
    """The one input inside; checksum and length are checked."""
    parts: list[bytes] = []
    room = UNPACKED_BYTES_MAX
    while data:
        member = zlib.decompressobj(_GZIP_ONLY)
        try:
            part = member.decompress(data, room + 1)
        except zlib.error as error:
            raise Fault(Code.MALFORMED, f"not a gzip stream: {error}") from error
        if len(part) > room:
            raise Fault(Code.TOO_LARGE, f"gzip: more than {UNPACKED_BYTES_MAX} bytes inside")
        if not member.eof:
            raise Fault(Code.MALFORMED, "gzip stream is cut off")
        room -= len(part)
        parts.append(part)
        data = member.unused_data.lstrip(b"\0")  # gzip(1) allows padding
    return [b"".join(parts)]


FORMAT = Envelope("gzip", b"\x1f\x8b", unpack)
