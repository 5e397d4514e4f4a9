"""Sequence numbers: 56-digit decimals laid out like Kinesis's, ordered from parent to child.

From the most significant hexadecimal digit: `2`, the shard's creation in seconds (9), the shard's
number (1), the record's index in the shard (16), the stream's key (2), the arrival in seconds (9),
the shard's number (8), `2`. A child's creation is always later than its parents', so its numbers
are greater than all of theirs. The stream's key tells streams of one second apart. 186 bits.
"""

import re
from typing import Final, NamedTuple

VERSION: Final = 2
CREATED_SHIFT: Final = 148
NIBBLE_SHIFT: Final = 144
INDEX_SHIFT: Final = 80
STREAM_SHIFT: Final = 72
ARRIVAL_SHIFT: Final = 36
NUMBER_SHIFT: Final = 4
SECONDS_MASK: Final = (1 << 36) - 1
INDEX_MASK: Final = (1 << 64) - 1
NUMBER_MASK: Final = (1 << 32) - 1
NIBBLE_MASK: Final = 0xF
STREAM_MASK: Final = 0xFF
HEAD: Final = VERSION << 184
DIGITS: Final = re.compile(r"[1-9][0-9]{55}", re.ASCII)


class Sequence(NamedTuple):
    """The parts of a sequence number.

    `place` is the record's index in the shard, `stream` the low byte of the stream's key.
    """

    created_s: int
    number: int
    place: int
    stream: int
    arrival_s: int


def prefix(created_s: int, number: int, stream_key: int) -> int:
    """Return the part that all sequence numbers of one shard share, for `compose`."""
    return (
        HEAD
        | created_s << CREATED_SHIFT
        | (number & NIBBLE_MASK) << NIBBLE_SHIFT
        | (stream_key & STREAM_MASK) << STREAM_SHIFT
        | number << NUMBER_SHIFT
        | VERSION
    )


def compose(shard_prefix: int, index: int, arrival_s: int) -> str:
    """Return the sequence number of the record at `index` that arrived at `arrival_s`."""
    return str(shard_prefix | index << INDEX_SHIFT | arrival_s << ARRIVAL_SHIFT)


def parse(text: str) -> Sequence | None:
    """Return the parts of a sequence number, or None where it is not one of this server's."""
    if DIGITS.fullmatch(text) is None:
        return None
    value = int(text)
    number = value >> NUMBER_SHIFT & NUMBER_MASK
    nibble = value >> NIBBLE_SHIFT & NIBBLE_MASK
    if value >> 184 != VERSION or value & NIBBLE_MASK != VERSION or nibble != number & NIBBLE_MASK:
        return None
    return Sequence(
        created_s=value >> CREATED_SHIFT & SECONDS_MASK,
        number=number,
        place=value >> INDEX_SHIFT & INDEX_MASK,
        stream=value >> STREAM_SHIFT & STREAM_MASK,
        arrival_s=value >> ARRIVAL_SHIFT & SECONDS_MASK,
    )
