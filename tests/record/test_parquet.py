"""Parquet: what is written, pyarrow reads back bit for bit."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from floorlog.record.export.parquet import Column, Writer

COLUMNS = (
    Column("ts", "time"),
    Column("device", "text"),
    Column("value", "double", is_optional=True),
    Column("text", "text", is_optional=True),
    Column("quality", "uint32"),
    Column("flags", "int32"),
    Column("batch", "int64"),
)


def made(count: int, seed: int) -> list:
    random = np.random.default_rng(seed)
    pool = np.array([71.3, -0.0, 5e-324, 1e308, np.nan, np.inf])
    words = [b"", "läuft \U0001f4a7".encode(), b"x" * 300, None]
    return [
        random.integers(-(2**62), 2**62, count),
        [words[n] for n in random.integers(0, 3, count)],
        pool[random.integers(0, len(pool), count)],
        [words[n] for n in random.integers(0, 4, count)],
        random.integers(0, 2**32, count, dtype=np.uint32),
        random.integers(-4, 4, count, dtype=np.int32),
        random.integers(-(2**63), 2**63 - 1, count),
    ]


def written(groups: list[list]) -> io.BytesIO:
    file = io.BytesIO()
    writer = Writer(file, COLUMNS, "floorlog test")
    for group in groups:
        writer.group(group)
    writer.close()
    file.seek(0)
    return file


@pytest.mark.parametrize("counts", [[], [0], [1], [7, 1, 8], [1000, 9, 2049], [5] * 40])
def test_pyarrow_reads_what_was_written(counts) -> None:
    """Every value, null and bit of every row group, whatever their sizes."""
    groups = [made(count, seed) for seed, count in enumerate(counts)]
    table = pq.read_table(written(groups))
    assert table.num_rows == sum(counts)
    for place, column in enumerate(COLUMNS):
        parts = [group[place] for group in groups]
        found = table.column(column.name)
        if column.kind == "text":
            wanted = [one and one.decode() for part in parts for one in part]
            wanted = ["" if one == b"" else one for one in wanted]
            assert found.to_pylist() == wanted
            continue
        array = np.concatenate([np.zeros(0), *parts]) if not parts else np.concatenate(parts)
        if column.kind == "double":
            assert found.null_count == int(np.isnan(array).sum())
            found = found.fill_null(np.nan)
            array = np.where(np.isnan(array), np.nan, array)
        raw = found.cast(pa.int64()) if column.kind == "time" else found
        assert raw.to_numpy().tobytes() == array.astype(raw.to_numpy().dtype).tobytes()


def test_types_and_statistics() -> None:
    """Times are UTC µs with their range in the footer, texts are strings, quality is unsigned."""
    first = made(100, 1)
    first[0] = np.arange(100) + 1_767_225_600_000_000
    file = pq.ParquetFile(written([first, made(50, 2)]))
    schema = file.schema_arrow
    assert schema.field("ts").type == pa.timestamp("us", tz="UTC")
    assert schema.field("device").type == pa.string()
    assert schema.field("quality").type == pa.uint32()
    assert [schema.field(one.name).nullable for one in COLUMNS] == [
        one.is_optional for one in COLUMNS
    ]
    assert file.metadata.created_by == "floorlog test"
    assert file.num_row_groups == 2
    found = file.metadata.row_group(0).column(0).statistics
    assert (found.min.isoformat(), found.max.microsecond) == ("2026-01-01T00:00:00+00:00", 99)
