"""The worker's side: takes note of committed batches at once, writes last values on a timer."""

import logging
import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from importlib.resources import files

from floorlog.cache.connection import CacheError, Connection, Endpoint
from floorlog.cache.shape import CHANNEL, KEY, Last, LiveAnomaly, encode
from floorlog.cache.shard_values import ShardValues
from floorlog.core.protocol import Publish

log = logging.getLogger("floorlog.cache")

WRITE_SECONDS = 0.5
CHECK_SECONDS = 1.0
BACKOFF_SECONDS_MAX = 1.5
CLOSE_SECONDS = 1.5
# A worker that starts may have a backlog to store: the record is asked for all last values when
# the worst of it is over. A cache lost later is made right at once.
FIRST_REBUILD_SECONDS = 3.0
SERIES_A_CALL_MAX = 500  # some 50 kB and 1 ms of the cache's one thread
ANOMALIES_MAX = 2_000  # waiting ones; the oldest go first, and the page finds them in the record
ANOMALIES_A_CALL_MAX = 200
SHARDS_MAX = 256

_PUBLISH = files("floorlog.cache").joinpath("publish.lua").read_bytes()


class LastValues:
    """Keeps the newest value per series, and the cache in step with it by a thread of its own.

    A cache that is down or slow costs the caller nothing. After a flush, a restart or a fail-over
    everything known is written again, and what others know is read from the record.

    Args:
        endpoint: where the cache is.
        record: gives the last values of all series, quiet ones included; called in the cache's
            thread whenever the cache lost what it held; may raise, and is asked again then.
        timeout_s: the longest that one call of the cache may take.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        record: Callable[[], Iterable[Last]] | None = None,
        timeout_s: float = 1.0,
    ) -> None:
        self._connection = Connection(endpoint, timeout_s)
        self._record = record
        self._lock = threading.Lock()
        self._shards: dict[int, ShardValues] = {}
        self._anomalies: deque[bytes] = deque(maxlen=ANOMALIES_MAX)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._opened = 0
        self._generation: object = None
        self._lost = False
        self._rebuild_due = False
        self._rebuild_from = time.monotonic() + FIRST_REBUILD_SECONDS
        self._misses = 0
        self._thread = threading.Thread(target=self._run, name="cache", daemon=True)
        self._thread.start()

    def publish(self, command: Publish) -> None:
        """Take note of a committed batch; returns at once, whatever the cache does."""
        batch, table = command.batch, command.table
        with self._lock:
            shard = self._shards.get(batch.lease_id)
            if shard is None or shard.table is not table:
                self._shards.pop(batch.lease_id, None)
                shard = self._shards[batch.lease_id] = ShardValues(table, command.states)
                while len(self._shards) > SHARDS_MAX:
                    del self._shards[next(iter(self._shards))]
            news = shard.take(batch)
        for found in batch.anomalies:
            device, metric = table.keys[found.row]
            event = LiveAnomaly(
                device, metric, found.detector, found.phase, found.start, found.at,
                int(found.severity), _finite(found.score), _finite(found.value),
                _finite(found.expected), found.reason,
            )  # fmt: skip
            self._anomalies.append(encode(event))
        if news or batch.anomalies:
            self._wake.set()

    def forget(self, lease_id: int) -> None:
        """Let go of a shard that another worker reads now."""
        with self._lock:
            self._shards.pop(lease_id, None)

    def close(self) -> None:
        """Write what is left, if the cache takes it quickly, and end the thread."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(CHECK_SECONDS)
            self._wake.clear()
            self._stopping.wait(self._round())
        if not self._misses:
            self._round()
        self._connection.close()

    def _round(self) -> float:
        """Bring the cache up to date; returns the seconds to wait before the next time."""
        try:
            self._write_dirty()
            if self._lost:
                self._lost = False
                self._write_dirty()
            if self._rebuild_due and time.monotonic() >= self._rebuild_from:
                if self._record is not None:
                    self._write(list(self._record()))
                self._rebuild_due = False
        except CacheError as error:
            return self._missed(f"{error}; storing goes on without it")
        except Exception as error:  # noqa: BLE001 - what the caller's reader raises is its own; it is told, and tried again
            return self._missed(f"last values cannot be read from the record: {error}")
        if self._misses:
            log.warning("cache at %s: right again", self._connection.endpoint)
        self._misses = 0
        return WRITE_SECONDS

    def _missed(self, why: str) -> float:
        """Say so once an outage, write everything again after it; the seconds to wait."""
        if not self._misses:
            log.warning("%s", why)
        self._misses += 1
        self._soil()
        return min(BACKOFF_SECONDS_MAX, WRITE_SECONDS * 2.0 ** min(self._misses - 1, 8))

    def _write_dirty(self) -> None:
        with self._lock:
            taken = [(shard, shard.take_dirty()) for shard in self._shards.values()]
        # The naming, the longer part, happens outside the lock: nobody waits for it.
        shards = [shard.named(columns) for shard, columns in taken]
        anomalies = [self._anomalies.popleft() for _ in range(len(self._anomalies))]
        # Shard by shard: within one call no series may come twice.
        for values in shards:
            self._write(values)
        for at in range(0, len(anomalies), ANOMALIES_A_CALL_MAX):
            self._call([], anomalies[at : at + ANOMALIES_A_CALL_MAX])
        if not anomalies and not any(shards):
            self._call([], [])  # nothing new: see whether it still holds what it did

    def _write(self, values: list[Last]) -> None:
        for at in range(0, len(values), SERIES_A_CALL_MAX):
            self._call(values[at : at + SERIES_A_CALL_MAX], [])

    def _call(self, values: list[Last], anomalies: list[bytes]) -> None:
        """One round trip; notices when the cache is another one, or the same without its memory."""
        parts: list[str | bytes | int] = [
            "EVAL", _PUBLISH, 1, KEY, uuid.uuid4().hex, CHANNEL, b",".join(anomalies),
        ]  # fmt: skip
        for value in values:
            parts += (value.field, value.ts, encode(value))
        reply = self._connection.call(*parts)
        generation = reply[0] if isinstance(reply, list) else None
        if generation != self._generation:
            self._generation = generation
            self._rebuild_due = True
            self._soil()
        if self._opened != self._connection.opened:
            # A new primary may lack the last writes of the old one.
            self._opened = self._connection.opened
            self._soil()

    def _soil(self) -> None:
        self._lost = True
        with self._lock:
            for shard in self._shards.values():
                shard.soil()


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None
