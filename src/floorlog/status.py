"""What `floorlog status` says, as an object and as lines."""

from dataclasses import asdict

from floorlog.core.reading import Counts
from floorlog.store.answers import Status

LATE_SECONDS = 60.0  # an entry is to be anchored within this
COLUMNS = ("received", "stored", "rejected", "duplicate", "conflict", "gaps", "lag")


def counted(counts: Counts, gaps: int, lag_ms: int) -> dict[str, int]:
    """One row of the status: counts in readings, lag in ms."""
    numbers = asdict(counts)
    return {name: numbers[name] for name in COLUMNS[:5]} | {"gaps": gaps, "lag": lag_ms}


def as_object(status: Status) -> dict[str, object]:
    """`{"total": {…}, "shards": {"<id>": {…}}, "series": …, "learning": …, …}`.

    The total's lag is the longest of the shards'; `learning` counts series not yet calibrated;
    `split_assets` are those whose series came to several shards: their sensors are judged alone.
    `unanchored_seconds` is the age of the oldest entry that no seal outside covers, 0 for none.
    """
    lag_ms = max((shard.lag_ms for shard in status.shards), default=0)
    return {
        "total": counted(status.total, status.gaps, lag_ms),
        "shards": {
            shard.shard_id: counted(shard.counts, shard.gaps, shard.lag_ms)
            for shard in status.shards
        },
        "series": status.series,
        "learning": status.learning,
        "split_assets": list(status.split),
        "unanchored_seconds": round(status.unanchored_s or 0.0, 1),
    }


def as_text(status: Status) -> str:
    """A table, a row a shard."""
    lag_ms = max((shard.lag_ms for shard in status.shards), default=0)
    width = max([len(shard.shard_id) for shard in status.shards] + [len("total")])
    lines = [f"{'':{width}}" + "".join(f"{name:>12}" for name in (*COLUMNS[:6], "lag ms"))]
    rows = [(s.shard_id, counted(s.counts, s.gaps, s.lag_ms)) for s in status.shards]
    for name, row in [*rows, ("total", counted(status.total, status.gaps, lag_ms))]:
        lines.append(f"{name:{width}}" + "".join(f"{row[column]:>12}" for column in COLUMNS))
    alive = sum(1 for age_s in status.workers.values() if age_s < 10)
    learning = f" ({status.learning} learning)" if status.learning else ""
    lines.append(
        f"{status.series} series{learning}, {status.findings} anomalies, {alive} workers alive"
    )
    if status.split:
        more = f" and {len(status.split) - 5} more" if len(status.split) > 5 else ""
        lines.append(
            f"in several shards, so that their sensors are not judged together: "
            f"{', '.join(status.split[:5])}{more}; use the asset's name as the partition key"
        )
    if (status.unanchored_s or 0) > LATE_SECONDS:
        lines.append(f"NOTHING WAS ANCHORED for {status.unanchored_s:.0f} s: see the keeper's log")
    return "\n".join(lines)
