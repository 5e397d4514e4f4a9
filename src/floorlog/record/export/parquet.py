"""Writes Apache Parquet: one flat table, row group by row group, in PLAIN encoding under zstd.

The part of the format that an export needs, and no more: data pages of version 1, definition levels
for columns that may be null, the footer in Thrift's compact protocol. Source: apache/parquet-format
(README.md, Encodings.md, LogicalTypes.md, parquet.thrift) and Thrift's compact protocol.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

import numpy as np
import zstandard
from numpy.typing import NDArray

MAGIC = b"PAR1"
Kind = Literal["int32", "int64", "uint32", "double", "text", "time"]
# Physical type, converted type, and how NumPy writes it.
_INT32, _INT64, _DOUBLE, _BYTES = 1, 2, 5, 6
_TYPES: dict[str, tuple[int, int | None, str]] = {
    "int32": (_INT32, None, "<i4"),
    "int64": (_INT64, None, "<i8"),
    "uint32": (_INT32, 13, "<u4"),
    "double": (_DOUBLE, None, "<f8"),
    "text": (_BYTES, 0, ""),
    "time": (_INT64, 10, "<i8"),  # µs UTC since 1970
}
_PLAIN, _RLE, _ZSTD = 0, 3, 6
_BOOL_TRUE, _BOOL_FALSE, _BYTE, _I32, _I64, _BINARY, _LIST, _STRUCT = 1, 2, 3, 5, 6, 8, 9, 12
LEVEL = 3  # of zstd

Texts = Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table."""

    name: str
    kind: Kind
    is_optional: bool = False


@dataclass(slots=True)
class Struct:
    """A Thrift struct in the making; fields are added in the order of their numbers."""

    data: bytearray = field(default_factory=bytearray)
    last: int = 0

    def boolean(self, number: int, *, value: bool) -> "Struct":
        """Add a bool."""
        return self._field(number, _BOOL_TRUE if value else _BOOL_FALSE, b"")

    def byte(self, number: int, value: int) -> "Struct":
        """Add an i8."""
        return self._field(number, _BYTE, struct.pack("b", value))

    def i32(self, number: int, value: int) -> "Struct":
        """Add an i32 or an enum's value."""
        return self._field(number, _I32, _zigzag(value))

    def i64(self, number: int, value: int) -> "Struct":
        """Add an i64."""
        return self._field(number, _I64, _zigzag(value))

    def binary(self, number: int, value: bytes) -> "Struct":
        """Add bytes or a text."""
        return self._field(number, _BINARY, _varint(len(value)) + value)

    def struct(self, number: int, value: "Struct") -> "Struct":
        """Add a struct."""
        return self._field(number, _STRUCT, value.finish())

    def list(self, number: int, kind: int, parts: Sequence[bytes]) -> "Struct":
        """Add a list of parts that are written already."""
        size = len(parts)
        head = bytes([size << 4 | kind]) if size < 15 else bytes([0xF0 | kind]) + _varint(size)
        return self._field(number, _LIST, head + b"".join(parts))

    def finish(self) -> bytes:
        """The bytes of the struct."""
        return bytes(self.data) + b"\0"

    def _field(self, number: int, kind: int, data: bytes) -> "Struct":
        step = number - self.last
        assert 0 < step < 16, "fields are added in order"
        self.data += bytes([step << 4 | kind]) + data
        self.last = number
        return self


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _zigzag(value: int) -> bytes:
    return _varint((value << 1) ^ (value >> 63))


class Writer:
    """Writes one file.

    Args:
        file: to be written from its beginning.
        columns: of the table.
        made_by: who writes it.

    Attributes:
        rows: written so far.
    """

    def __init__(self, file: BinaryIO, columns: Sequence[Column], made_by: str) -> None:
        self._file = file
        self._columns = columns
        self._made_by = made_by
        self._groups: list[bytes] = []
        self._at = 0
        self._zstd = zstandard.ZstdCompressor(level=LEVEL)
        self.rows = 0
        self._write(MAGIC)

    def group(self, values: Sequence[NDArray[Any] | Texts]) -> None:
        """Write one row group.

        Args:
            values: of each column, all of one length: an array, of texts a sequence; a null is
                None, or NaN in a column of doubles that may be null.
        """
        rows = len(values[0])
        if not rows:
            return
        chunks, sizes = [], [0, 0]
        for column, one in zip(self._columns, values, strict=True):
            assert len(one) == rows, f"{column.name} has {len(one)} values, not {rows}"
            chunk, whole, packed = self._chunk(column, one)
            chunks.append(chunk)
            sizes[0] += whole
            sizes[1] += packed
        group = Struct().list(1, _STRUCT, chunks).i64(2, sizes[0]).i64(3, rows).i64(6, sizes[1])
        self._groups.append(group.finish())
        self.rows += rows

    def close(self) -> None:
        """Write the footer; the file itself stays open."""
        root = Struct().binary(4, b"reading").i32(5, len(self._columns)).finish()
        schema = [root, *(_schema(column) for column in self._columns)]
        footer = Struct().i32(1, 2).list(2, _STRUCT, schema).i64(3, self.rows)
        footer.list(4, _STRUCT, self._groups).binary(6, self._made_by.encode())
        by_type = Struct().struct(1, Struct()).finish()  # without it nobody uses minima and maxima
        footer.list(7, _STRUCT, [by_type] * len(self._columns))
        written = footer.finish()
        self._write(written + struct.pack("<I", len(written)) + MAGIC)

    def _chunk(self, column: Column, values: NDArray[Any] | Texts) -> tuple[bytes, int, int]:
        """Write one column's page; its ColumnChunk, bytes whole and packed."""
        physical, _, _ = _TYPES[column.kind]
        page = _page(column, values)
        packed = self._zstd.compress(page)
        data = Struct().i32(1, len(values)).i32(2, _PLAIN).i32(3, _RLE).i32(4, _RLE)
        head = Struct().i32(1, 0).i32(2, len(page)).i32(3, len(packed)).struct(5, data).finish()
        begin = self._at
        self._write(head + packed)
        encodings = [_zigzag(_PLAIN), _zigzag(_RLE)]
        path = _varint(len(column.name)) + column.name.encode()
        meta = Struct().i32(1, physical).list(2, _I32, encodings).list(3, _BINARY, [path])
        meta.i32(4, _ZSTD).i64(5, len(values)).i64(6, len(head) + len(page))
        meta.i64(7, len(head) + len(packed)).i64(9, begin)
        if column.kind == "time" and not column.is_optional:
            assert isinstance(values, np.ndarray), "times are an array"
            low, high = (struct.pack("<q", int(one)) for one in (values.min(), values.max()))
            meta.struct(12, Struct().i64(3, 0).binary(5, high).binary(6, low))
        chunk = Struct().i64(2, begin).struct(3, meta).finish()
        return chunk, len(head) + len(page), len(head) + len(packed)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._at += len(data)


def _page(column: Column, values: NDArray[Any] | Texts) -> bytes:
    """A page's content: definition levels where a value may be null, then the values."""
    if column.kind == "text":
        assert not isinstance(values, np.ndarray), "texts are a sequence"
        if not column.is_optional:
            return _texts([one or b"" for one in values])
        there = np.array([one is not None for one in values], np.bool_)
        return _levels(there) + _texts([one for one in values if one is not None])
    array = np.asarray(values, _TYPES[column.kind][2])
    if not column.is_optional:
        return bytes(array.tobytes())
    there = ~np.isnan(array)
    return _levels(there) + bytes(array[there].tobytes())


def _texts(values: Sequence[bytes]) -> bytes:
    return b"".join([part for one in values for part in (len(one).to_bytes(4, "little"), one)])


def _levels(there: NDArray[np.bool_]) -> bytes:
    """Definition levels of one bit: a single bit-packed run, after its length."""
    bits = np.packbits(there, bitorder="little").tobytes()
    run = _varint(len(bits) << 1 | 1) + bits
    return len(run).to_bytes(4, "little") + run


def _schema(column: Column) -> bytes:
    physical, converted, _ = _TYPES[column.kind]
    found = Struct().i32(1, physical).i32(3, int(column.is_optional))
    found.binary(4, column.name.encode())
    if converted is not None:
        found.i32(6, converted)
    if column.kind == "text":
        found.struct(10, Struct().struct(1, Struct()))
    elif column.kind == "time":
        unit = Struct().struct(2, Struct())
        found.struct(10, Struct().struct(8, Struct().boolean(1, value=True).struct(2, unit)))
    elif column.kind == "uint32":
        found.struct(10, Struct().struct(10, Struct().byte(1, 32).boolean(2, value=False)))
    return found.finish()
