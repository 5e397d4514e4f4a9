"""Arrays travel in PostgreSQL's own binary form."""

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from floorlog.store.arrays import adapt, pack, unpack

TYPES = {"int2": np.int16, "int4": np.int32, "int8": np.int64, "float8": np.float64}


@given(
    st.sampled_from([np.int16, np.int32, np.int64]),
    st.lists(st.integers(-(2**15), 2**15 - 1), max_size=50),
)
def test_integers_come_back(dtype, values) -> None:
    """Packed and unpacked, an array is the same, its type included."""
    array = np.array(values, dtype)
    back = unpack(pack(array))
    assert back.dtype == array.dtype
    assert back.tolist() == values


@given(st.lists(st.floats(), max_size=50))
def test_floats_come_back_bit_for_bit(values) -> None:
    """Also negative zero, infinities and not-a-number."""
    array = np.array(values, np.float64)
    assert unpack(pack(array)).view(np.int64).tolist() == array.view(np.int64).tolist()


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_the_server_reads_and_writes_the_same_bytes(server, name: str, count: int) -> None:
    """What we send is what array_send would send, and what it sends is what we read."""
    array = (np.arange(count) - 7).astype(TYPES[name])
    with psycopg.connect(server.dsn(database="postgres"), autocommit=True) as connection:
        adapt(connection)
        connection.prepare_threshold = 0
        for given_array in (array, array[::-1]):
            sent, back, text = connection.execute(
                f"SELECT array_send(%(a)s::{name}[]), %(a)s::{name}[], %(a)s::{name}[]::text",
                {"a": given_array},
                binary=True,
            ).fetchone()
            assert bytes(sent) == pack(given_array)
            assert back.dtype == array.dtype
            assert back.tolist() == given_array.tolist()
            assert text == "{" + ",".join(str(int(one)) for one in given_array) + "}"


def test_every_integer_is_an_int8(server) -> None:
    """One plan per query, whatever the size of a number."""
    with psycopg.connect(server.dsn(database="postgres")) as connection:
        adapt(connection)
        for number in (1, 2**20, 2**40):
            row = connection.execute("SELECT pg_typeof(%s)::text", [number]).fetchone()
            assert row == ("bigint",)
