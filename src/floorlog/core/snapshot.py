"""A shard's state as bytes: what take-over starts from, and what children inherit."""

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from floorlog.core.pipeline import Pipeline

FORMAT = 1


class SeriesState(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of one series."""

    series_id: int
    hash_key: bytes  # of its last partition key, 16 bytes; empty when unknown
    known: bool
    mark: int | None  # µs UTC
    held: list[tuple[float, int]]  # values with qualities at the mark, the first one first
    detectors: bytes


class Snapshot(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of a shard. `version` is the lease version whose foreign readings are in it."""

    format: int
    lease_id: int
    version: int
    clock_s: int
    series: list[SeriesState]


def dump(pipeline: "Pipeline", version: int) -> bytes:
    """The pipeline's state, series in order of their ids."""
    table, marks = pipeline.table, pipeline.marks
    pipeline.panel.grow(len(table))
    rows = sorted((row for row in range(len(table)) if table.id[row]), key=lambda r: table.id[r])
    kept = []
    for row in rows:
        held = marks.at(row)
        key = pipeline.hashes.get(row)
        kept.append(
            SeriesState(
                int(table.id[row]),
                b"" if key is None else key.to_bytes(16),
                bool(marks.known[row]) and table.home[row] == pipeline.lease_id,
                int(marks.ts[row]) if held else None,
                held,
                pipeline.panel.dump(row),
            )
        )
    whole = Snapshot(FORMAT, pipeline.lease_id, version, pipeline.clock_s, kept)
    return msgspec.msgpack.encode(whole)


def load(pipeline: "Pipeline", blob: bytes, inherit: tuple[int, int] | None) -> tuple[int, int]:
    """Put a snapshot into a pipeline; with `inherit` only series whose hash is in that range.

    Returns the snapshot's lease, and the version of it that the marks are good for.
    """
    whole = msgspec.msgpack.decode(blob, type=Snapshot)
    if whole.format != FORMAT:
        message = f"snapshot format {whole.format} is not {FORMAT}"
        raise ValueError(message)
    table, marks = pipeline.table, pipeline.marks
    pipeline.panel.grow(len(table))
    for state in whole.series:
        key = int.from_bytes(state.hash_key)
        if inherit and not (state.hash_key and inherit[0] <= key <= inherit[1]):
            continue
        if not table.knows(state.series_id):
            continue
        row = table.row_of(state.series_id)
        if state.hash_key:
            pipeline.hashes[row] = key
        marks.grow(row + 1)
        if state.mark is not None:
            marks.raise_to(row, state.mark, state.held)
        marks.known[row] = state.known and table.home[row] == pipeline.lease_id
        pipeline.panel.load(row, state.detectors)
    pipeline.clock_s = max(pipeline.clock_s, whole.clock_s)
    return whole.lease_id, whole.version
