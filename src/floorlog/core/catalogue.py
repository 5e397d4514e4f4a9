"""The catalogue: what is expected of devices, assets and series."""

from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from math import inf, isfinite
from typing import Any, Self

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from floorlog.core.alarm import Priority
from floorlog.core.condition import (
    SEVERITIES,
    Acts,
    Counter,
    Deviation,
    Name,
    NotNegative,
    Positive,
    Severity,
    Suppression,
)
from floorlog.core.detect import RANKED
from floorlog.core.detect.unit_error import quantity_of
from floorlog.core.reading import Kind
from floorlog.core.rules import NONE, Rules
from floorlog.core.series import UNREGISTERED, SeriesTable
from floorlog.core.unit import ucum
from floorlog.errors import InputError

EITHER_KIND = -1
NO_UNIT, UNKNOWN_UNIT = -1, -2


class Range(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What can be measured at all, in the series' unit; the ends belong to it."""

    lo: float | None = None
    hi: float | None = None
    reject: bool = False  # reject what is outside, instead of storing it as Uncertain

    def __post_init__(self) -> None:
        """Refuse a range that nothing lies in."""
        _ascending("range", lo=self.lo, hi=self.hi)


class Limits(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Alarm limits, in the series' unit, with how and when an alarm starts and ends."""

    lolo: float | None = None
    lo: float | None = None
    hi: float | None = None
    hihi: float | None = None
    dead_band: NotNegative | None = None
    on_delay_s: NotNegative | None = None
    off_delay_s: NotNegative | None = None

    def __post_init__(self) -> None:
        """Refuse limits out of order."""
        _ascending("limits", lolo=self.lolo, lo=self.lo, hi=self.hi, hihi=self.hihi)


class AlarmRule(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an alarm of this metric asks of people."""

    priority: Priority | None = None  # how soon to act; by the finding's severity when left out
    latch: bool = False  # stays after its condition ended, until it is reset


class Metric(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is expected of a metric; every part may be left out."""

    unit: Name | None = None  # UCUM code
    range: Range | None = None
    limits: Limits | None = None
    rate_per_s: Positive | None = None  # highest change per second, either way
    interval_s: Positive | None = None  # expected time between readings
    states: tuple[Name, ...] | None = None  # the states that may occur; None = any
    abnormal: tuple[Name, ...] = ()  # the states that are an anomaly
    alarm: AlarmRule | None = None  # priority and latching of its alarms
    deviation: Deviation | None = None  # from a set-point
    stuck_s: Positive | None = None  # longest time at exactly one value
    counter: Counter | None = None  # it counts: what is skipped is an anomaly
    suppressed: Suppression | None = None  # when findings do not begin
    severity: dict[Name, Severity] = {}  # by limit (lolo, lo, hi, hihi) or detector

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if inf in (self.rate_per_s, self.interval_s, self.stuck_s):
            raise ValueError("rate_per_s, interval_s and stuck_s must be finite")
        for name in self.severity:
            if name not in RANKED:
                raise ValueError(f"severity: {name!r} is none of {', '.join(sorted(RANKED))}")
        for name in self.abnormal:
            if self.states is not None and name not in self.states:
                raise ValueError(f"abnormal names {name!r}, which states does not list")
        if self._is_state() and self._is_number():
            raise ValueError(
                "states and abnormal are for states; range, limits, rate, deviation, stuck and "
                "counter for numbers"
            )

    def _is_state(self) -> bool:
        return self.states is not None or bool(self.abnormal)

    def _is_number(self) -> bool:
        parts = (self.range, self.limits, self.rate_per_s, self.deviation, self.stuck_s)
        return any(part is not None for part in (*parts, self.counter))

    def kind(self) -> Kind | None:
        """What its values must be, None where nothing says so."""
        if self._is_state():
            return Kind.STATE
        return Kind.NUMBER if self._is_number() else None

    def over(self, default: "Metric") -> "Metric":
        """This metric, with the default's parts where it has none; limits one by one."""
        parts = _over(self, default)
        if self.limits is not None and default.limits is not None:
            parts["limits"] = Limits(**_over(self.limits, default.limits))
        if self.states is not None and not self.abnormal:
            parts["abnormal"] = tuple(n for n in default.abnormal if n in self.states)
        parts["severity"] = {**default.severity, **self.severity}
        return Metric(**parts)

    def columns(self) -> dict[str, float]:
        """Its numbers as the columns of Rules."""
        found: dict[str, float] = {}
        if self.range is not None:
            found |= {
                "range_lo": _or_nan(self.range.lo),
                "range_hi": _or_nan(self.range.hi),
                "range_reject": self.range.reject,
            }
        if self.limits is not None:
            limits = msgspec.structs.asdict(self.limits)
            found |= {name: limit for name, limit in limits.items() if limit is not None}
        if self.rate_per_s is not None:
            found["rate_per_s"] = self.rate_per_s
        if self.interval_s is not None:
            found["interval_s"] = self.interval_s
        if self.stuck_s is not None:
            found["stuck_s"] = self.stuck_s
        if self.suppressed is not None and self.suppressed.settle_s is not None:
            found["settle_s"] = self.suppressed.settle_s
        for part in (self.deviation, self.counter):
            found |= {} if part is None else part.columns()
        return found


class Device(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A device: the asset it belongs to, and what differs from the defaults."""

    asset: Name | None = None  # None = the device is its own asset
    metrics: dict[Name, Metric] = {}


class Catalogue(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Defaults by metric, overridden by device."""

    strict: bool = False  # a series that is not listed is rejected
    metrics: dict[Name, Metric] = {}
    devices: dict[Name, Device] = {}
    acts: Acts = Acts()  # of operators

    def __post_init__(self) -> None:
        """Refuse a device whose metric contradicts the default that it refines."""
        for device, listed in self.devices.items():
            for metric in listed.metrics:
                try:
                    self.metric(device, metric)
                except ValueError as error:
                    where = f"devices.{device}.metrics.{metric}"
                    raise ValueError(f"{where} with its default: {error}") from error

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """A catalogue from JSON. Raises InputError that says what is wrong, and where."""
        try:
            content = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(
                f"the catalogue is not JSON: {error}", where="the catalogue", fix="store it again"
            ) from error
        return cls.of(content, "the catalogue")

    @classmethod
    def of(cls, content: object, where: str) -> Self:
        """A catalogue from plain lists and mappings, found `where`. Raises InputError."""
        try:
            return msgspec.convert(content, type=cls)
        except msgspec.ValidationError as error:
            raise InputError(
                f"the catalogue cannot be used: {_located(content) or error}",
                where=where,
                fix="mend what is named",
            ) from error

    def encode(self) -> bytes:
        """The same as JSON: equal catalogues give equal bytes."""
        return msgspec.json.encode(self, order="sorted")

    def asset(self, device: str) -> str:
        """The asset that a device belongs to, by default the device itself: the partition key."""
        listed = self.devices.get(device)
        return device if listed is None or listed.asset is None else listed.asset

    def metric(self, device: str, metric: str) -> Metric | None:
        """What is expected of one series, None where nothing is."""
        default = self.metrics.get(metric)
        listed = self.devices.get(device)
        own = None if listed is None else listed.metrics.get(metric)
        if own is None or default is None:
            return own or default
        return own.over(default)

    def knows(self, device: str, metric: str) -> bool:
        """Whether the series is listed: its device, and its metric there or among the defaults."""
        listed = self.devices.get(device)
        return listed is not None and (metric in listed.metrics or metric in self.metrics)

    def alarm(self, device: str, metric: str, severity: int) -> tuple[int, bool]:
        """Priority (1 to 4) of an alarm with this severity, and whether it latches."""
        asked = self.metric(device, metric)
        rule = None if asked is None else asked.alarm
        if rule is None:
            return severity, False
        return rule.priority.number if rule.priority else severity, rule.latch

    def rules(self, table: SeriesTable, states: Mapping[str, int]) -> "SeriesRules":
        """What it asks of each row of the table; `cover` keeps it up with a growing table."""
        rules = SeriesRules(self)
        rules.cover(table, states)
        return rules


class SeriesRules(Rules):
    """The catalogue's rules by row, with what `validate` needs beside the detectors' numbers."""

    __slots__ = (
        "_accepted", "_assets", "_catalogue", "_spans", "_split", "_unit_codes", "_waiting",
        "_waiting_series", "_waiting_units", "allowed", "kind", "limited", "listed_unit",
        "unit_code", "unknown",
    )  # fmt: skip

    kind: NDArray[np.int8]  # by row: what the catalogue wants, -1 = either
    listed_unit: NDArray[np.int32]  # by row: number of the catalogue's unit, -1 = none
    unit_code: NDArray[np.int32]  # by row: that, else the record's; -2 = not yet looked up
    unknown: NDArray[np.bool_]  # by row: strict, and the series is not listed
    limited: NDArray[np.bool_]  # by row: only the states in `allowed` may occur
    allowed: dict[int, frozenset[str]]

    def __init__(self, catalogue: Catalogue) -> None:
        """Rules for no row yet."""
        super().__init__(0)
        self._catalogue = catalogue
        self._accepted = catalogue.acts.accepted_us()
        self._spans = catalogue.acts.spans()
        self._assets: dict[str, int] = {}
        self._split = frozenset(catalogue.acts.split)
        self._unit_codes: dict[str, int] = {}
        # State not yet registered → column of codes and row; series not yet seen → column and row.
        self._waiting: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self._waiting_series: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
        self._waiting_units: set[int] = set()  # rows whose unit only the record knows
        self.kind = np.empty(0, np.int8)
        self.listed_unit = np.empty(0, np.int32)
        self.unit_code = np.empty(0, np.int32)
        self.unknown = np.empty(0, np.bool_)
        self.limited = np.empty(0, np.bool_)
        self.allowed = {}

    def grow(self, count: int) -> None:
        """Make it at least `count` rows; the new ones have no rule."""
        more = count - len(self)
        super().grow(count)
        if more > 0:
            self.kind = np.append(self.kind, np.full(more, EITHER_KIND, np.int8))
            self.listed_unit = np.append(self.listed_unit, np.full(more, NO_UNIT, np.int32))
            self.unit_code = np.append(self.unit_code, np.full(more, UNKNOWN_UNIT, np.int32))
            self.unknown = np.append(self.unknown, np.zeros(more, np.bool_))
            self.limited = np.append(self.limited, np.zeros(more, np.bool_))

    def cover(self, table: SeriesTable, states: Mapping[str, int]) -> None:
        """Take new rows of the table and newly registered states in."""
        first = len(self)
        if first < len(table):
            self.grow(len(table))
            for row in range(first, len(table)):
                self._cover_row(row, *table.keys[row])
            self.changed()
        np.copyto(self.series, table.id[: len(self)])
        if self._find_states(states) | self._find_series(table) | self._find_units(table):
            self.changed()

    def _find_states(self, states: Mapping[str, int]) -> bool:
        ready = [name for name in self._waiting if name in states]
        for name in ready:
            for column, row in self._waiting.pop(name):
                codes = getattr(self, column)
                codes[row] = codes.get(row, frozenset()) | {states[name]}
        return bool(ready)

    def _find_series(self, table: SeriesTable) -> bool:
        ready = [key for key in self._waiting_series if key in table.index]
        for key in ready:
            for column, row in self._waiting_series.pop(key):
                getattr(self, column)[row] = table.index[key]
        return bool(ready)

    def _find_units(self, table: SeriesTable) -> bool:
        ready = [row for row in self._waiting_units if table.id[row] != UNREGISTERED]
        for row in ready:
            self._waiting_units.remove(row)
            self.quantity[row] = quantity_of(table.units[row])
        return bool(ready)

    def _cover_row(self, row: int, device: str, metric: str) -> None:
        asset = self._catalogue.asset(device)
        # Of an asset in several shards each sees a part: its sensors are judged one by one alone.
        whole = asset not in self._split
        self.asset[row] = self._assets.setdefault(asset, len(self._assets)) if whole else NONE
        self.unknown[row] = self._catalogue.strict and not self._catalogue.knows(device, metric)
        self._cover_acts(row, device, metric)
        asked = self._catalogue.metric(device, metric)
        if asked is None or asked.unit is None:
            self._waiting_units.add(row)
        if asked is None:
            return
        for name, number in asked.columns().items():
            getattr(self, name)[row] = number
        self._cover_others(row, device, asked)
        if asked.severity:
            self.severities[row] = {name: SEVERITIES[word] for name, word in asked.severity.items()}
        kind = asked.kind()
        if kind is not None:
            self.kind[row] = kind
        if asked.unit is not None:
            self.listed_unit[row] = self.unit_code[row] = self.code_of_unit(asked.unit)
            self.quantity[row] = quantity_of(asked.unit)
        if asked.states is not None:
            self.limited[row] = True
            self.allowed[row] = frozenset(asked.states)
        for name in asked.abnormal:
            self._waiting[name].append(("abnormal", row))

    def _cover_others(self, row: int, device: str, asked: Metric) -> None:
        """What the row's rules need of other series."""
        if asked.deviation is not None and asked.deviation.follows is not None:
            key = asked.deviation.follows.key(device)
            self._waiting_series[key].append(("setpoint_row", row))
        if asked.suppressed is not None:
            self._waiting_series[asked.suppressed.follows.key(device)].append(("mode_row", row))
            for name in asked.suppressed.states:
                self._waiting[name].append(("suppressing", row))

    def _cover_acts(self, row: int, device: str, metric: str) -> None:
        """What operators said of the row."""
        at_us = self._accepted.get((device, metric))
        if at_us is not None:
            self.accepted_us[row] = at_us
        spans = self._spans.get((device, None), ()) + self._spans.get((device, metric), ())
        if spans:
            self.excluded[row] = spans

    def afresh(self, table: SeriesTable, states: Mapping[str, int]) -> "SeriesRules":
        """What the same catalogue asks of another table's rows."""
        return self._catalogue.rules(table, states)

    def known_unit(self, unit: str) -> int:
        """The number of a unit as `code_of_unit` gave it, UNKNOWN_UNIT where it gave none."""
        return self._unit_codes.get(ucum(unit), UNKNOWN_UNIT)

    def code_of_unit(self, unit: str) -> int:
        """A number for a unit, the same for all spellings of it."""
        return self._unit_codes.setdefault(ucum(unit), len(self._unit_codes))

    def unit_codes(self, table: SeriesTable, row: NDArray[np.int32]) -> NDArray[np.int32]:
        """The expected unit of each row: the catalogue's, else the one that the record holds."""
        codes = self.unit_code[row]
        for new in set(row[codes == UNKNOWN_UNIT].tolist()):
            unit = table.units[new]
            if table.id[new] != UNREGISTERED:
                self.unit_code[new] = NO_UNIT if unit is None else self.code_of_unit(unit)
        return self.unit_code[row]


def _located(content: object, path: str = "") -> str:
    """The first entry that cannot be used, by its names: msgspec's own path leaves them out."""
    for section, kind in (("metrics", Metric), ("devices", Device)):
        entries = content.get(section) if isinstance(content, dict) else None
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            at = f"{path}{section}.{name}"
            try:
                msgspec.convert({name: entry}, type=dict[Name, kind])  # type: ignore[valid-type]  # a type chosen at run time: mypy has no word for it
            except msgspec.ValidationError as error:
                reason = str(error).replace("$[...]", "$").removesuffix(" - at `$`")
                return _located(entry, f"{at}.") or f"{at}: {reason}".replace("`$.", "`")
    return ""


def _ascending(what: str, **limits: float | None) -> None:
    given = [(name, limit) for name, limit in limits.items() if limit is not None]
    for name, limit in given:
        if not isfinite(limit):
            raise ValueError(f"{what}: {name} is not finite")
    for (lower, below), (upper, above) in pairwise(given):
        if below > above:
            raise ValueError(f"{what}: {lower} {below:g} lies above {upper} {above:g}")


def _or_nan(limit: float | None) -> float:
    return float("nan") if limit is None else limit


def _over(own: Struct, default: Struct) -> dict[str, Any]:
    """All fields, the default's wherever the own one was left out."""
    below = msgspec.structs.asdict(default)
    return {
        name: below[name] if value is None or value in ((), {}) else value
        for name, value in msgspec.structs.asdict(own).items()
    }
