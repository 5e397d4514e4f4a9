"""A shard's state as bytes: what take-over starts from, and what children inherit."""

from collections.abc import Iterable

import msgspec

from floorlog.core.detect.aside import Aside
from floorlog.errors import RecordError

FORMAT = 1


class SeriesState(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of one series."""

    series_id: int
    hash_key: bytes  # of its last partition key, 16 bytes; empty when unknown
    known: bool  # the series' home was this shard, and its mark was known
    mark: int | None  # µs UTC
    held: list[tuple[float, int]]  # values with qualities at the mark, the first one first
    detectors: bytes

    def inside(self, begin: int, end: int) -> bool:
        """Whether the series' records fall into this hash range."""
        return bool(self.hash_key) and begin <= int.from_bytes(self.hash_key) <= end


class Snapshot(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of a shard. `version` is the lease version whose foreign readings are in it."""

    format: int
    lease_id: int
    version: int
    clock_s: int
    series: list[SeriesState]
    asides: tuple[Aside, ...] = ()  # detectors that are set aside; absent in older snapshots


def encode(
    lease_id: int,
    version: int,
    clock_s: int,
    series: list[SeriesState],
    asides: Iterable[Aside] = (),
) -> bytes:
    """The bytes of a snapshot."""
    whole = Snapshot(FORMAT, lease_id, version, clock_s, series, tuple(asides))
    return msgspec.msgpack.encode(whole)


def decode(blob: bytes) -> Snapshot:
    """A snapshot from its bytes. Raises RecordError when another release wrote it."""
    whole = msgspec.msgpack.decode(blob, type=Snapshot)
    if whole.format != FORMAT:
        raise RecordError(
            f"format {whole.format}, this release knows {FORMAT}",
            where="snapshot of a shard",
            fix="run the release that wrote it",
        )
    return whole
