"""Packs frames into records: JSON lines compressed with zstd, each asset's in their order."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import zstandard

from floorlog.source.replay import Frame
from floorlog.source.sender import RECORD_BYTES_MAX, Entry

RECORD_READINGS_MAX = 5_000
"""Less than a batch holds, so that its time in the detectors stays well below a lease."""
ROUND_READINGS = 20_000
"""What one record of each asset holds together. Detectors take one step for each time of a batch,
however many series have it: where records are short, a batch holds many assets side by side."""
RECORD_READINGS_MIN = 100
"""Shorter ones compress badly, and a shard takes a thousand records a second."""
TEXT_BYTES_MAX = 4 * 1024 * 1024
"""What one record may unpack to; decode takes 16 MiB."""
HELD_BYTES_MAX = 16 * 1024 * 1024
"""What all assets' records in the making may hold together; then all are sent as they are."""
_LEVEL = 3


class Packed(NamedTuple):
    """A record to send, and how many readings it holds."""

    entry: Entry
    readings: int


@dataclass(slots=True)
class _Bundle:
    """A record in the making."""

    lines: list[bytes] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)  # readings per line
    readings: int = 0
    size_bytes: int = 0


def pack(
    blocks: Iterable[Sequence[Frame]],
    asset: Callable[[str], str] = str,
    *,
    readings_max: int = RECORD_READINGS_MAX,
    bytes_max: int = RECORD_BYTES_MAX,
) -> Iterator[Packed]:
    """Frames as records to send.

    Args:
        blocks: frames, in blocks of any size.
        asset: the asset of a device, which is the partition key.
        readings_max: in one record, less where there are many assets; a frame of more is a record
            of its own.
        bytes_max: of one record, its partition key included; a frame that does not fit makes a
            larger one, which the sender refuses.
    """
    encode = msgspec.json.Encoder().encode
    bundles: dict[str, _Bundle] = {}
    keys: dict[str, str] = {}
    held_bytes = 0
    limit = readings_max
    for block in blocks:
        for frame in block:
            key = keys.get(frame.device_id)
            if key is None:
                key = keys[frame.device_id] = asset(frame.device_id)
                share = max(RECORD_READINGS_MIN, ROUND_READINGS // (len(bundles) + 1))
                limit = min(readings_max, share)
            line, count = encode(frame), len(frame.values)
            bundle = bundles.get(key)
            if bundle is None:
                bundle = bundles[key] = _Bundle()
            elif bundle.readings + count > limit or bundle.size_bytes + len(line) > TEXT_BYTES_MAX:
                held_bytes -= bundle.size_bytes
                yield from _records(key, bundle.lines, bundle.counts, bytes_max)
                bundle = bundles[key] = _Bundle()
            bundle.lines.append(line)
            bundle.counts.append(count)
            bundle.readings += count
            bundle.size_bytes += len(line)
            held_bytes += len(line)
        if held_bytes > HELD_BYTES_MAX:
            yield from _all(bundles, bytes_max)
            bundles, held_bytes = {}, 0
    yield from _all(bundles, bytes_max)


def _all(bundles: dict[str, _Bundle], bytes_max: int) -> Iterator[Packed]:
    for key, bundle in bundles.items():
        yield from _records(key, bundle.lines, bundle.counts, bytes_max)


def _records(
    key: str, lines: Sequence[bytes], counts: Sequence[int], bytes_max: int
) -> Iterator[Packed]:
    """One record of these lines, or halves of them where it would be too large."""
    entry = Entry(key, zstandard.compress(b"\n".join(lines), _LEVEL))
    if entry.size_bytes <= bytes_max or len(lines) == 1:
        yield Packed(entry, sum(counts))
        return
    half = len(lines) // 2
    yield from _records(key, lines[:half], counts[:half], bytes_max)
    yield from _records(key, lines[half:], counts[half:], bytes_max)
