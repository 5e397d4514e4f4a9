"""zstd around another input, frames one after the other included."""

from typing import TYPE_CHECKING

from floorlog.core.decode.fault import UNPACKED_BYTES_MAX, Fault
from floorlog.core.decode.formats import Envelope
from floorlog.core.reading import Code

if TYPE_CHECKING:
    from zstandard import ZstdDecompressor

_STEP_BYTES = 256
"""Fed at a time: 256 bytes unpack to 8 MiB at most (blocks of 4 bytes that give 128 KiB each)."""


def unpack(data: bytes) -> list[bytes]:
    """The one input inside; a checksum is checked where there is one."""
    import zstandard  # noqa: PLC0415  # a worker that never meets zstd does not pay for it

    decompressor = zstandard.ZstdDecompressor(max_window_size=UNPACKED_BYTES_MAX)
    try:
        size = zstandard.get_frame_parameters(data).content_size
        if size not in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR):
            if size > UNPACKED_BYTES_MAX:
                raise _too_large()
            try:
                return [decompressor.decompress(data, allow_extra_data=False)]
            except zstandard.ZstdError:
                pass  # more than one frame, or broken: step by step tells which
        return [_by_steps(decompressor, data)]
    except (zstandard.ZstdError, MemoryError) as error:
        raise Fault(Code.MALFORMED, f"not a zstd frame: {error}") from error


def _by_steps(decompressor: "ZstdDecompressor", data: bytes) -> bytes:
    parts: list[bytes] = []
    room = UNPACKED_BYTES_MAX
    while data:
        frame = decompressor.decompressobj()
        for start in range(0, len(data), _STEP_BYTES):
            part = frame.decompress(data[start : start + _STEP_BYTES])
            room -= len(part)
            if room < 0:
                raise _too_large()
            parts.append(part)
            if frame.eof:
                data = frame.unused_data + data[start + _STEP_BYTES :]
                break
        else:
            raise Fault(Code.MALFORMED, "zstd frame is cut off")
    return b"".join(parts)


def _too_large() -> Fault:
    return Fault(Code.TOO_LARGE, f"zstd: more than {UNPACKED_BYTES_MAX} bytes inside")


FORMAT = Envelope("zstd", b"\x28\xb5\x2f\xfd", unpack)
