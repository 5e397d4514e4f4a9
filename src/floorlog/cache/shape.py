"""What lies in the cache and goes over its live feed: JSON, for any client to read."""

import msgspec

# One hash tag: everything lies in one slot of a cluster, so one script may touch all of it.
KEY = "{floorlog}:last"
CHANNEL = "{floorlog}:live"
GENERATION = b""
"""The hash's field that a flush, an eviction or an empty new primary takes away with the values."""


class Last(msgspec.Struct, frozen=True, array_like=True):
    """The newest reading of a series. The time stamp comes first: publish.lua compares it."""

    ts: int  # µs UTC
    seen_s: int  # whole seconds UTC: when it arrived
    quality: int  # OPC UA status code
    value: float | str  # number, or name of a state
    device: str
    metric: str

    @property
    def field(self) -> str:
        """Its field in the hash. Names hold no control characters, so the separator is safe."""
        return f"{self.device}\x1f{self.metric}"


class LiveAnomaly(msgspec.Struct, frozen=True):
    """One event of a detector's finding; device, metric, detector and start name the finding."""

    device: str
    metric: str
    detector: str
    phase: str  # "start" or "end"
    start: int  # µs UTC
    at: int  # µs UTC of this event
    severity: int  # 1 low, 2 medium, 3 high
    score: float | None  # None: not finite
    value: float | None
    expected: float | None
    reason: str


class Message(msgspec.Struct, frozen=True):
    """What the live feed carries: values that moved, and anomaly events."""

    values: list[Last]
    anomalies: list[LiveAnomaly]


encode = msgspec.json.Encoder().encode
decode_last = msgspec.json.Decoder(Last).decode
decode_message = msgspec.json.Decoder(Message).decode
