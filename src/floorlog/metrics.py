"""Measures: gathered in memory, written once a minute in CloudWatch's embedded metric format.

A line of the log that holds such an object becomes a metric: no call to CloudWatch is made, so none
can fail or slow the worker. Source: CloudWatch user guide, "Specification: Embedded metric format".
"""

import json
import threading
from collections.abc import Callable, Mapping

NAMESPACE = "Floorlog"
COUNTS = ("received", "stored", "rejected", "duplicate", "conflict")
# Every measure and its unit, in CloudWatch's words.
UNITS = {
    **dict.fromkeys(COUNTS, "Count"),
    "gaps": "Count",
    "lease_changes": "Count",
    "alarms": "Count",
    "commit_ms": "Milliseconds",
    "behind_ms": "Milliseconds",
    "anchor_age_s": "Seconds",
}
VALUES_MAX = 100  # of one measure in one object, by the specification
SHARDS_MAX = 500  # told apart; what is beyond counts for the whole alone


class Measures:
    """What one process tells of itself; may be used by any thread.

    Args:
        environment: the deployment's name, a dimension of every measure.
        write: takes one line.
    """

    def __init__(self, environment: str, write: Callable[[str], None]) -> None:
        self._environment = environment
        self._write = write
        self._lock = threading.Lock()
        self._counts: dict[str, float] = {}
        self._values: dict[str, list[float]] = {}
        self._shards: dict[str, float] = {}

    def count(self, amounts: Mapping[str, float]) -> None:
        """Add to counters; a zero makes one known."""
        assert amounts.keys() <= UNITS.keys(), amounts
        with self._lock:
            for name, amount in amounts.items():
                self._counts[name] = self._counts.get(name, 0) + amount

    def observe(self, name: str, value: float) -> None:
        """Keep one value of many; above VALUES_MAX the newest take the place of the oldest."""
        assert name in UNITS, name
        with self._lock:
            values = self._values.setdefault(name, [])
            values.append(value)
            del values[:-VALUES_MAX]

    def behind(self, shard: str, milliseconds: float) -> None:
        """How far a shard's reader is behind, the worst since the last line."""
        with self._lock:
            if shard in self._shards or len(self._shards) < SHARDS_MAX:
                self._shards[shard] = max(self._shards.get(shard, 0.0), milliseconds)

    def flush(self, now_ms: int) -> None:
        """Write what was gathered since the last time; nothing when there is nothing.

        Args:
            now_ms: the time of the lines, ms UTC.
        """
        with self._lock:
            counts, values, shards = self._counts, self._values, self._shards
            self._counts, self._values, self._shards = {}, {}, {}
        if shards:
            values = {**values, "behind_ms": list(shards.values())[-VALUES_MAX:]}
        if counts or values:
            self._line(now_ms, {**counts, **values})
        for shard, milliseconds in shards.items():
            self._line(now_ms, {"behind_ms": milliseconds}, Shard=shard)

    def _line(self, now_ms: int, measured: Mapping[str, object], **dimensions: str) -> None:
        named = {"Environment": self._environment, **dimensions}
        metrics = [{"Name": name, "Unit": UNITS[name]} for name in measured]
        directive = {"Namespace": NAMESPACE, "Dimensions": [list(named)], "Metrics": metrics}
        head = {"_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [directive]}}
        self._write(json.dumps({**head, **named, **measured}, separators=(",", ":")))
