"""A page: the records that one request added to one shard, stored together."""

from collections.abc import Iterable

import msgspec


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a producer gave: the partition key and the bytes."""

    key: str
    data: bytes


class Page(msgspec.Struct, frozen=True, gc=False):
    """Consecutive records of one shard with one arrival; `first_index` is the first one's index."""

    first_index: int
    arrival_ms: int
    encrypted: bool
    records: list[Record]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Record])


def pack(records: Iterable[Record]) -> bytes:
    """Return the stored form of a page's records."""
    return _encoder.encode(list(records))


def unpack(body: bytes) -> list[Record]:
    """Return the records of a stored page."""
    return _decoder.decode(body)


def size_bytes(record: Record) -> int:
    """Return a record's size as Kinesis counts it: data and partition key."""
    key = record.key
    return len(record.data) + (len(key) if key.isascii() else len(key.encode()))
