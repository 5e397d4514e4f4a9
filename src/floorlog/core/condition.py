"""Conditions beyond limits that the catalogue can name: set-points, suppression, counters, acts."""

from math import isfinite
from typing import Annotated, Literal

from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
NotNegative = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Severity = Literal["low", "medium", "high"]

SEVERITIES: dict[str, int] = {"low": 1, "medium": 2, "high": 3}
ACTS_MAX = 10_000
"""Acts of the operator that one version of the catalogue may hold, of each kind."""


class Other(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Another series of the same asset."""

    metric: Name
    device: Name | None = None  # None = the same device

    def key(self, device: str) -> tuple[str, str]:
        """Its device and metric, as seen from a series of `device`."""
        return self.device or device, self.metric


class Deviation(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How far a value may be from its set-point, in the series' unit."""

    setpoint: float | None = None  # fixed
    follows: Other | None = None  # or the series that holds it
    lo: float | None = None  # most negative difference allowed
    hi: float | None = None  # most positive one
    dead_band: NotNegative | None = None
    on_delay_s: NotNegative | None = None
    off_delay_s: NotNegative | None = None

    def __post_init__(self) -> None:
        """Refuse one without a set-point, with two, or with differences of the wrong sign."""
        if (self.setpoint is None) == (self.follows is None):
            raise ValueError("deviation needs either setpoint or follows")
        if self.setpoint is not None and not isfinite(self.setpoint):
            raise ValueError("deviation: setpoint is not finite")
        if self.lo is None and self.hi is None:
            raise ValueError("deviation needs lo or hi")
        if not (self.lo or 0.0) <= 0.0 <= (self.hi or 0.0):
            raise ValueError("deviation: lo must be 0 or less, hi 0 or more")

    def columns(self) -> dict[str, float]:
        """Its numbers as columns of Rules."""
        numbers = {
            "setpoint": self.setpoint,
            "deviation_lo": self.lo,
            "deviation_hi": self.hi,
            "deviation_dead_band": self.dead_band,
            "deviation_on_delay_s": self.on_delay_s,
            "deviation_off_delay_s": self.off_delay_s,
        }
        return {name: number for name, number in numbers.items() if number is not None}


class Suppression(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """While an equipment's state series is in one of these states, findings do not begin."""

    follows: Other
    states: tuple[Name, ...]
    settle_s: NotNegative | None = None  # and so long after it left them

    def __post_init__(self) -> None:
        """Refuse one that never holds."""
        if not self.states:
            raise ValueError("suppressed needs at least one of states")


class Counter(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A series that counts: a producer's sequence number, or a meter of pieces."""

    step: Positive = 1.0  # from one reading to the next
    wrap: Positive | None = None  # the number after which it begins at 0 again

    def columns(self) -> dict[str, float]:
        """Its numbers as columns of Rules."""
        return {
            "counter_step": self.step,
            "counter_wrap": float("nan") if self.wrap is None else self.wrap,
        }


class Accepted(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An operator said of a series: what it does now is normal."""

    device: Name
    metric: Name
    at_us: int  # when that was said: tells one saying from the next


class Excluded(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An operator said: what was measured in this time is bad, learn nothing from it."""

    device: Name
    begin_us: int
    end_us: int
    metric: Name | None = None  # None = all of the device

    def __post_init__(self) -> None:
        """Refuse a span that ends before it begins."""
        if self.begin_us >= self.end_us:
            raise ValueError("excluded: it must end after it begins")


class Acts(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What was said of series and assets: by operators, and by workers of assets in two shards."""

    accepted: Annotated[tuple[Accepted, ...], Meta(max_length=ACTS_MAX)] = ()
    excluded: Annotated[tuple[Excluded, ...], Meta(max_length=ACTS_MAX)] = ()
    split: Annotated[tuple[Name, ...], Meta(max_length=ACTS_MAX)] = ()  # assets, by name

    def accepted_us(self) -> dict[tuple[str, str], int]:
        """By device and metric: when the series was last accepted."""
        found: dict[tuple[str, str], int] = {}
        for each in self.accepted:
            key = each.device, each.metric
            found[key] = max(each.at_us, found.get(key, each.at_us))
        return found

    def spans(self) -> dict[tuple[str, str | None], tuple[tuple[int, int], ...]]:
        """By device and metric, or device alone: times from and up to before, in µs UTC."""
        found: dict[tuple[str, str | None], tuple[tuple[int, int], ...]] = {}
        for each in self.excluded:
            key = each.device, each.metric
            found[key] = (*found.get(key, ()), (each.begin_us, each.end_us))
        return found
