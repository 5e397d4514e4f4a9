"""The page's side: all last values, and what moves from then on."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from floorlog.cache.connection import CacheError, Connection, Endpoint
from floorlog.cache.shape import (
    CHANNEL,
    GENERATION,
    KEY,
    Last,
    LiveAnomaly,
    decode_last,
    decode_message,
)

READ_SECONDS_MAX = 5.0
WAIT_SECONDS = 0.5
PING_SECONDS = 1.0
SILENCE_SECONDS_MAX = 3.0
BACKOFF_SECONDS_MAX = 2.0


@dataclass(frozen=True, slots=True)
class Whole:
    """Everything that the cache holds; comes first after each (new) connection."""

    values: tuple[Last, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """Values that moved and anomaly events, as a worker wrote them."""

    values: tuple[Last, ...]
    anomalies: tuple[LiveAnomaly, ...]


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing came for a moment; the cache is there."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The cache is away: read the record until Whole comes."""

    reason: str


Heard = Whole | Changed | Quiet | Lost


def read_all(endpoint: Endpoint, timeout_s: float = READ_SECONDS_MAX) -> list[Last]:
    """The last value of every series. Raises CacheError when the cache does not give them."""
    with Connection(endpoint, timeout_s) as connection:
        pairs = connection.call("HGETALL", KEY)
    if not isinstance(pairs, list):
        raise CacheError(
            f"an answer to HGETALL that is no list: {pairs!r}", where=f"cache at {endpoint}"
        )
    found = []
    for field, value in zip(pairs[::2], pairs[1::2], strict=True):
        if field == GENERATION or not isinstance(value, bytes):
            continue
        try:
            found.append(decode_last(value))
        except msgspec.MsgspecError:
            continue  # not ours: somebody else wrote into the hash
    return found


def listen(endpoint: Endpoint, stopping: threading.Event) -> Iterator[Heard]:
    """What the cache says until `stopping` is set; never raises, waits and connects by itself.

    Yields at least every few seconds, so that the caller notices `stopping`.
    """
    misses = 0
    while not stopping.is_set():
        try:
            for heard in _listen_once(endpoint, stopping):
                misses = 0
                yield heard
        except CacheError as error:
            misses += 1
            yield Lost(str(error))
            stopping.wait(min(BACKOFF_SECONDS_MAX, 0.25 * 2 ** min(misses, 8)))


def _listen_once(endpoint: Endpoint, stopping: threading.Event) -> Iterator[Heard]:
    with Connection(endpoint) as connection:
        # First the subscription, then the reading: what moves between them comes twice, not never.
        connection.call("SUBSCRIBE", CHANNEL)
        yield Whole(tuple(read_all(endpoint)))
        heard_at = asked_at = time.monotonic()
        while not stopping.is_set():
            message = connection.receive(WAIT_SECONDS)
            now = time.monotonic()
            if message is not None:
                heard_at = now
                if (news := _news(message)) is not None:
                    yield news
                continue
            if now - heard_at > SILENCE_SECONDS_MAX:
                raise CacheError("the live feed fell silent", where=f"cache at {endpoint}")
            if now - asked_at > PING_SECONDS:
                asked_at = now
                connection.tell("PING")
            yield Quiet()


def _news(message: object) -> Changed | None:
    match message:
        case [b"message", _, bytes(data)]:
            try:
                said = decode_message(data)
            except msgspec.MsgspecError:
                return None  # not ours: anybody may publish on a channel
            return Changed(tuple(said.values), tuple(said.anomalies))
    return None
