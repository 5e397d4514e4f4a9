"""NumPy arrays to and from PostgreSQL's binary arrays, without a step per element.

The binary form (`array_send` in PostgreSQL's source): count of dimensions, flag for NULLs and
element type as int4, length and lower bound as int4, then per element its length and its bytes,
all big-endian.
"""

import struct
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Dumper, Loader, PyFormat
from psycopg.pq import Format
from psycopg.types.numeric import Int8BinaryDumper

_HEAD = struct.Struct(">iiIii")
# By dtype: type of the element, type of the array.
_TYPES: dict[np.dtype[Any], tuple[int, int]] = {
    np.dtype(np.int16): (21, 1005),
    np.dtype(np.int32): (23, 1007),
    np.dtype(np.int64): (20, 1016),
    np.dtype(np.float32): (700, 1021),
    np.dtype(np.float64): (701, 1022),
}
_BY_ELEMENT: dict[int, np.dtype[Any]] = {element: dtype for dtype, (element, _) in _TYPES.items()}
Key = tuple[type, ...]


def _cells(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """How an element lies in the message: its length, then its value."""
    return np.dtype([("size", ">i4"), ("value", dtype.newbyteorder(">"))])


def pack(array: NDArray[Any]) -> bytes:
    """A one-dimensional array of a type in _TYPES as PostgreSQL's binary array."""
    element, _ = _TYPES[array.dtype]
    if not len(array):
        return struct.pack(">iiI", 0, 0, element)
    cells = np.empty(len(array), _cells(array.dtype))
    cells["size"] = array.dtype.itemsize
    cells["value"] = array
    return _HEAD.pack(1, 0, element, len(array), 1) + cells.tobytes()


def unpack(data: bytes | bytearray | memoryview) -> NDArray[Any]:
    """PostgreSQL's binary array, without NULLs, as a NumPy array of its type."""
    dimensions, _, element = struct.unpack_from(">iiI", data)
    dtype = _BY_ELEMENT[element]
    if not dimensions:
        return np.empty(0, dtype)
    count = struct.unpack_from(">i", data, 12)[0]
    cells: NDArray[Any] = np.frombuffer(data, _cells(dtype), count, _HEAD.size)
    return cells["value"].astype(dtype)


class ArrayDumper(Dumper):
    """Sends one-dimensional arrays in binary."""

    format = Format.BINARY

    def get_key(self, obj: NDArray[Any], format: PyFormat) -> Key:  # noqa: A002 - psycopg's name
        """Tell arrays of different types apart."""
        del format
        return (self.cls, obj.dtype.type)

    def upgrade(self, obj: NDArray[Any], format: PyFormat) -> Self:  # noqa: A002 - psycopg's name
        """A dumper for arrays of this one's type."""
        del format
        dumper = type(self)(self.cls)
        dumper.oid = _TYPES[obj.dtype][1]
        return dumper

    def dump(self, obj: NDArray[Any]) -> bytes:
        """See pack."""
        return pack(obj)


class ArrayLoader(Loader):
    """Reads one-dimensional arrays of numbers, sent in binary."""

    format = Format.BINARY

    def load(self, data: Buffer) -> NDArray[Any]:
        """See unpack."""
        return unpack(data)


def adapt(context: Connection[Any] | AdaptContext) -> None:
    """Make a connection send and read arrays so, and every int as int8: one plan per query."""
    adapters = context.adapters
    adapters.register_dumper(np.ndarray, ArrayDumper)
    adapters.register_dumper(int, Int8BinaryDumper)
    for _, array in _TYPES.values():
        adapters.register_loader(array, ArrayLoader)
