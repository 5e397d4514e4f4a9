"""Aggregates of the Kinesis Producer Library: many user records in one record.

Magic number, protobuf message AggregatedRecord, MD5 of the message: as the Kinesis Producer
Library's aggregation-format.md specifies. The message classes are made when first met.
"""

from functools import cache
from hashlib import md5
from typing import Any

from floorlog.core.decode.fault import READINGS_MAX, Fault
from floorlog.core.decode.formats import Envelope
from floorlog.core.reading import Code

MAGIC = b"\xf3\x89\x9a\xc2"
_DIGEST_BYTES = 16

# name, number, type, label, sub-message; types and labels as in descriptor.proto
_STRING, _BYTES, _UINT64, _MESSAGE = 9, 12, 4, 11
_OPTIONAL, _REQUIRED, _REPEATED = 1, 2, 3
_MESSAGES = {
    "Tag": [("key", 1, _STRING, _REQUIRED, ""), ("value", 2, _STRING, _OPTIONAL, "")],
    "Record": [
        ("partition_key_index", 1, _UINT64, _REQUIRED, ""),
        ("explicit_hash_key_index", 2, _UINT64, _OPTIONAL, ""),
        ("data", 3, _BYTES, _REQUIRED, ""),
        ("tags", 4, _MESSAGE, _REPEATED, "Tag"),
    ],
    "AggregatedRecord": [
        ("partition_key_table", 1, _STRING, _REPEATED, ""),
        ("explicit_hash_key_table", 2, _STRING, _REPEATED, ""),
        ("records", 3, _MESSAGE, _REPEATED, "Record"),
    ],
}


@cache
def aggregated_record() -> Any:  # noqa: ANN401  # a class that exists only when the program runs
    """The message class AggregatedRecord."""
    from google.protobuf import (  # noqa: PLC0415  # a worker that never meets KPL does not pay for it
        descriptor_pb2,
        descriptor_pool,
        message_factory,
    )

    file = descriptor_pb2.FileDescriptorProto(
        name="floorlog/kpl.proto", package="floorlog.kpl", syntax="proto2"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, label, of in fields:
            type_name = f".floorlog.kpl.{of}" if of else None
            message.field.add(
                name=field, number=number, type=kind, label=label, type_name=type_name
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("floorlog.kpl.AggregatedRecord")
    )


def unpack(data: bytes) -> list[bytes]:
    """The user records, in order."""
    message, digest = data[len(MAGIC) : -_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if md5(message, usedforsecurity=False).digest() != digest:
        raise Fault(Code.MALFORMED, "KPL aggregate: its MD5 differs, so it is cut off or changed")
    aggregate = aggregated_record()()
    try:
        aggregate.ParseFromString(message)
    except Exception as error:  # protobuf's own class, which is not imported here
        raise Fault(Code.MALFORMED, "KPL aggregate: not an AggregatedRecord") from error
    if len(aggregate.records) > READINGS_MAX:
        raise Fault(Code.TOO_LARGE, f"KPL aggregate of more than {READINGS_MAX} records")
    return [record.data for record in aggregate.records]


def pack(records: list[tuple[str, bytes]]) -> bytes:
    """An aggregate of (partition key, data), as a producer would send it."""
    aggregate = aggregated_record()()
    keys: dict[str, int] = {}
    for key, data in records:
        aggregate.records.add(partition_key_index=keys.setdefault(key, len(keys)), data=data)
    aggregate.partition_key_table.extend(keys)
    message: bytes = aggregate.SerializeToString()
    return MAGIC + message + md5(message, usedforsecurity=False).digest()


FORMAT = Envelope("kpl", MAGIC, unpack)
