"""What a drill asks of the running record and of the restored one."""

from collections import Counter
from importlib.resources import files
from typing import Any, NamedTuple

import psycopg

from floorlog.store.queries import parse

QUERIES = parse(files("floorlog.local").joinpath("drill.sql").read_text("utf-8"))


class Stand(NamedTuple):
    """Where a shard stands in one of the records."""

    lease_id: int
    shard: str
    number: int
    checkpoint: int
    ended: bool

    def is_past(self, other: "Stand") -> bool:
        """Whether it was read at least as far as there."""
        return self.ended or self.checkpoint >= other.checkpoint


def one(dsn: str, name: str) -> Any:  # noqa: ANN401 - the one value that a query gives
    """The one value of a query."""
    return _rows(dsn, name)[0][0]


def stands(dsn: str) -> dict[str, Stand]:
    """Every shard, by its name in the stream."""
    found = [
        Stand(lease, shard, number, int(checkpoint), ended)
        for lease, shard, number, checkpoint, ended in _rows(dsn, "where_shards_stand")
    ]
    return {stand.shard: stand for stand in found}


def first_part(
    dsn: str, above: dict[str, Stand], upto: dict[str, Stand], readings_max: int
) -> dict[str, Stand]:
    """Nearer stands, with which no more than so many readings of each shard lie between."""
    return _nearer(dsn, above, upto, "stand_after", dict.fromkeys(upto, readings_max))


def as_far(
    dsn: str, above: dict[str, Stand], upto: dict[str, Stand], other: dict[str, Stand]
) -> dict[str, Stand]:
    """The nearest stands that reach as far in the stream as those of the other record."""
    asked = {shard: stand.checkpoint for shard, stand in other.items()}
    return _nearer(dsn, above, {name: upto[name] for name in asked}, "stand_at", asked)


def _nearer(
    dsn: str,
    above: dict[str, Stand],
    upto: dict[str, Stand],
    name: str,
    asked: dict[str, int],
) -> dict[str, Stand]:
    found = {}
    for shard, stand in upto.items():
        values = {
            "lease_id": stand.lease_id, "upto": stand.number, "sequence": str(asked[shard]),
            "above": above[shard].number if shard in above else 0, "readings_max": asked[shard],
        }  # fmt: skip
        rows = _rows(dsn, name, values)
        number, sequence = rows[0] if rows else (stand.number, stand.checkpoint)
        if rows or name == "stand_at":
            found[shard] = stand._replace(number=number, checkpoint=int(sequence))
    return found


def readings(
    dsn: str, above: dict[str, Stand], upto: dict[str, Stand], since_us: int
) -> Counter[tuple[Any, ...]]:
    """The readings of batches after one stand of the shards, up to another one.

    Args:
        dsn: of the record.
        above: by shard; one that is not named is read from its beginning.
        upto: by shard.
        since_us: when the earliest of these batches can have been stored, µs since 1970.
    """
    found: Counter[tuple[Any, ...]] = Counter()
    for shard, stand in upto.items():
        begin = above[shard].number if shard in above else 0
        values = {
            "lease_id": stand.lease_id, "above": begin, "upto": stand.number, "since_us": since_us
        }  # fmt: skip
        for *reading, count in _rows(dsn, "readings_of", values):
            found[tuple(reading)] += count
    return found


def _rows(dsn: str, name: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
        return connection.execute(QUERIES[name].text, values).fetchall()
