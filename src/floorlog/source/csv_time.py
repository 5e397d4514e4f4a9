"""Times as people write them into tables, to µs UTC."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from floorlog.core.decode import timestamp
from floorlog.core.decode.fault import Fault

UNREADABLE = timestamp.DOUBT
_SECOND, _BUCKET = 1_000_000, 900 * 1_000_000
"""µs. Zones change their offset on quarters of an hour."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_UNITS = (
    ("s", 1, 10**11),
    ("ms", 10**3, 10**14),
    ("µs", 10**6, 10**17),
    ("ns", 10**9, 10**20),
)
"""Each with its count in a second, and the bound below which a number is in it."""
_PLAUSIBLE = range(631_152_000, 4_102_444_800)
"""Seconds: 1990 to 2100, to tell epoch numbers from others."""

_CLOCK = (
    r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,12}))?)?"
    r"(?:\s*([AaPp])\.?[Mm]\.?)?\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?"
)
_YEAR_FIRST = re.compile(
    rf"(\d{{4}})([-/.])(\d{{1,2}})\2(\d{{1,2}})(?:[Tt\s,]\s*{_CLOCK})?", re.ASCII
)
_YEAR_LAST = re.compile(
    rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}}|\d{{2}})(?:[Tt\s,]\s*{_CLOCK})?", re.ASCII
)
_CLOCK_ALONE = re.compile(_CLOCK, re.ASCII)


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """How the times of one file are written."""

    order: str  # "ymd", "dmy", "mdy" or "epoch"
    unit: str = ""  # of an epoch number: s, ms, µs or ns
    zoned: bool = False  # the times say their offset
    ambiguous: bool = False  # day and month could as well be the other way round

    @property
    def naive(self) -> bool:
        """Whether a zone has to be assumed."""
        return not self.zoned and self.order != "epoch"

    def __str__(self) -> str:
        """The format for people."""
        if self.order == "epoch":
            return f"{self.unit} since 1970"
        names = {"ymd": "YYYY-MM-DD", "dmy": "DD.MM.YYYY", "mdy": "MM/DD/YYYY"}
        return f"{names[self.order]} HH:MM:SS" + (" with offset" if self.zoned else "")


@dataclass(slots=True)
class Zone:
    """Local times to UTC, in the order of the file; keeps count of what the clock change blurs."""

    name: str | None
    repeats: bool = False  # many rows may have one time, which then is no second pass
    doubled: int = 0  # times that the clock showed twice
    doubled_first: str = ""
    skipped: int = 0  # times that the clock never showed
    skipped_first: str = ""
    _zone: ZoneInfo | None = None
    _offsets: dict[int, tuple[int, int]] = field(default_factory=dict)
    _last: int | None = None  # the time before, where that was doubled
    _second: bool = False  # within the second pass of a doubled hour

    def __post_init__(self) -> None:
        """Find the zone. Raises zoneinfo.ZoneInfoNotFoundError or ValueError."""
        if self.name is not None:
            self._zone = ZoneInfo(self.name)

    def to_utc(self, local: NDArray[np.int64], which: NDArray[np.bool_]) -> None:
        """Change the chosen local times, µs, to UTC in place.

        A doubled hour's times are the first pass until they go back, then the second.
        """
        if self._zone is None or not which.any():
            return
        places = np.flatnonzero(which)
        buckets, inverse = np.unique(local[places] // _BUCKET, return_inverse=True)
        pairs = [self._pair(bucket) for bucket in buckets.tolist()]
        early = np.array([pair[0] for pair in pairs], np.int64)[inverse]
        late = np.array([pair[1] for pair in pairs], np.int64)[inverse]
        plain = early == late
        before = -1
        for at in np.flatnonzero(~plain).tolist():
            if at != before + 1:
                self._last, self._second = None, False  # other times lie between
            early[at] = self._resolve(int(local[places[at]]), int(early[at]), int(late[at]))
            before = at
        if plain[-1]:
            self._last, self._second = None, False
        local[places] -= early

    def _pair(self, bucket: int) -> tuple[int, int]:
        """Offsets, µs, of a quarter of an hour: at the first and at the second time it is shown."""
        found = self._offsets.get(bucket)
        if found is None:
            assert self._zone is not None
            start = (_EPOCH + timedelta(microseconds=bucket * _BUCKET)).replace(tzinfo=self._zone)
            first, second = (start.replace(fold=fold).utcoffset() or timedelta() for fold in (0, 1))
            microsecond = timedelta(microseconds=1)
            found = self._offsets[bucket] = (first // microsecond, second // microsecond)
        return found

    def _resolve(self, local: int, first: int, second: int) -> int:
        """The offset of a time that the clock showed twice or never."""
        said = (_EPOCH + timedelta(microseconds=local)).replace(tzinfo=None).isoformat(" ")
        if first < second:
            self.skipped += 1
            self.skipped_first = self.skipped_first or said
            return first
        self.doubled += 1
        self.doubled_first = self.doubled_first or said
        if self._last is not None and (
            local < self._last or (local == self._last and not self.repeats)
        ):
            self._second = True
        self._last = local
        return second if self._second else first


def read(texts: Sequence[str], form: TimeFormat) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """µs per text, UNREADABLE where it is no time; and which of them are local times."""
    if form.order == "epoch":
        return _epochs(texts, form.unit), np.zeros(len(texts), np.bool_)
    ready = _year_first(texts, form.order)
    if form.zoned:
        ts = timestamp.column(ready)
        local = np.zeros(len(texts), np.bool_)
    else:
        ts = timestamp.column([text + (":00Z" if len(text) == 16 else "Z") for text in ready])
        local = np.ones(len(texts), np.bool_)
    for place in np.flatnonzero(ts == UNREADABLE).tolist():
        found = one(texts[place], form.order)
        if found is not None:
            ts[place], local[place] = found
    return ts, local & (ts != UNREADABLE)


def _year_first(texts: Sequence[str], order: str) -> Sequence[str]:
    """The usual full-length texts as YYYY-MM-DD…; what is written otherwise is read one by one."""
    if order == "ymd":
        return texts
    day, month = (slice(0, 2), slice(3, 5)) if order == "dmy" else (slice(3, 5), slice(0, 2))
    return [
        f"{text[6:10]}-{text[month]}-{text[day]}{text[10:]}"
        if len(text) > 15 and text[2] == text[5] and text[2] in "./-"
        else text
        for text in texts
    ]


def one(text: str, order: str) -> tuple[int, bool] | None:
    """µs of one text and whether that is local time; None where it is no time."""
    pattern = _YEAR_FIRST if order == "ymd" else _YEAR_LAST
    match = pattern.fullmatch(text.strip())
    if match is None:
        return None
    a, b, c = match.group(1), match.group(3), match.group(4)
    year, month, day = {"ymd": (a, b, c), "dmy": (c, b, a), "mdy": (c, a, b)}[order]
    if len(year) == 2:
        year = ("19" if int(year) >= 70 else "20") + year
    hour, minute, second, fraction, half, offset = match.groups()[4:]
    hours = int(hour or 0)
    if half:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + (12 if half in "Pp" else 0)
    zone = "Z" if offset in (None, "Z", "z", "UTC", "GMT") else offset
    if len(zone) == 3:
        zone += ":00"
    clock = f"{hours:02}:{minute or '00'}:{second or '00'}.{fraction or '0'}{zone}"
    try:
        return timestamp.from_text(f"{year}-{int(month):02}-{int(day):02}T{clock}"), offset is None
    except Fault:
        return None


def is_clock(text: str) -> bool:
    """Whether the text is a time of day without a date."""
    return _CLOCK_ALONE.fullmatch(text.strip()) is not None


def _epochs(texts: Sequence[str], unit: str) -> NDArray[np.int64]:
    multiple = {"s": _SECOND, "ms": 1000, "µs": 1, "ns": 0}[unit]
    try:
        number = np.array([int(text) for text in texts], np.int64)
    except (ValueError, OverflowError):
        return np.array([_epoch(text, unit) for text in texts], np.int64)
    ts = number * multiple if multiple else number // 1000
    fits = (ts >= timestamp.TS_MIN) & (ts <= timestamp.TS_MAX)
    if multiple:
        fits &= ts // multiple == number
    return np.where(fits, ts, UNREADABLE)


def _epoch(text: str, unit: str) -> int:
    """One epoch number, exact to the last digit that µs can hold."""
    scale = {"s": 6, "ms": 3, "µs": 0, "ns": -3}[unit]
    try:
        ts = Decimal(text.strip().replace(",", ".")).scaleb(scale)
        return timestamp.within(int(ts // 1))
    except (InvalidOperation, ValueError, OverflowError, Fault):
        return UNREADABLE


def guess(texts: Sequence[str], *, named: bool, day_first: bool | None) -> TimeFormat | None:
    """The format of a column by a sample of it, None where it holds no times.

    Args:
        texts: cells that are not empty.
        named: the column's name says that it is a time, so that any epoch number counts.
        day_first: what the user says, None = go by the texts; "ambiguous" where these do not tell.
    """
    enough = max(1, round(0.9 * len(texts)))
    for order in ("ymd", "dmy", "mdy"):
        found = [each for text in texts if (each := one(text, order)) is not None]
        if len(found) < enough:
            continue
        zoned = sum(local for _, local in found) * 2 < len(found)
        if order == "ymd":
            return TimeFormat("ymd", zoned=zoned)
        return _day_or_month(texts, day_first, zoned=zoned)
    return _guess_epoch(texts, enough, named=named)


def _day_or_month(texts: Sequence[str], day_first: bool | None, *, zoned: bool) -> TimeFormat:
    if day_first is not None:
        return TimeFormat("dmy" if day_first else "mdy", zoned=zoned)
    matches = [match for text in texts if (match := _YEAR_LAST.fullmatch(text.strip()))]
    if any(int(match.group(1)) > 12 or match.group(2) == "." for match in matches):
        return TimeFormat("dmy", zoned=zoned)
    if any(int(match.group(3)) > 12 for match in matches):
        return TimeFormat("mdy", zoned=zoned)
    return TimeFormat("dmy", zoned=zoned, ambiguous=True)


def _guess_epoch(texts: Sequence[str], enough: int, *, named: bool) -> TimeFormat | None:
    numbers = [number for text in texts if (number := _decimal(text)) is not None]
    if not numbers or len(numbers) < enough:
        return None
    size = abs(numbers[len(numbers) // 2])
    for unit, second, below in _EPOCH_UNITS:
        if size < below:
            plausible = all(int(number / second) in _PLAUSIBLE for number in numbers)
            rising = all(a <= b for a, b in pairwise(numbers))
            if plausible and (named or (rising and numbers[0] < numbers[-1])):
                return TimeFormat("epoch", unit)
            return None
    return None


def _decimal(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
