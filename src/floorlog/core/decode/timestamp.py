"""Time stamps on the wire, RFC 3339 text or epoch numbers, as µs UTC.

Text: any offset or Z, T or t or a space between date and time, fractions of any length cut to µs.
A leap second (:60) has no place on a scale without leap seconds: it is a fault, like a time
without an offset. Numbers are told apart by size: below 10¹¹ seconds, below 10¹⁴ ms, below 10¹⁷ µs,
below 10²⁰ ns. Whole numbers are cut to µs, numbers with a fraction are rounded to the nearest µs.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from floorlog.core.decode.fault import Fault
from floorlog.core.reading import MICROSECONDS, Code

TS_MIN = -62_135_596_800 * MICROSECONDS
"""0001-01-01T00:00:00Z: PostgreSQL and Python know no year 0."""
TS_MAX = 253_402_300_800 * MICROSECONDS - 1
"""9999-12-31T23:59:59.999999Z."""
DOUBT = int(np.iinfo(np.int64).min)
"""Stands where the vectorised reading leaves a time stamp to the careful one."""

SECONDS_BELOW, MS_BELOW, US_BELOW, NS_BELOW = 10**11, 10**14, 10**17, 10**20
TEXT_CHARACTERS_MAX = 100

_RFC_3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)


@overload
def days_from_civil(year: int, month: int, day: int) -> int: ...
@overload
def days_from_civil(
    year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]
) -> NDArray[np.int64]: ...
def days_from_civil(year, month, day):  # type: ignore[no-untyped-def]  # the overloads say it
    """Days since 1970-01-01 in the Gregorian calendar; year ≥ 1, numbers or columns.

    After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
    """
    year = year - (month <= 2)
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def from_text(text: str) -> int:
    """µs UTC of an RFC 3339 text, or a Fault `bad_time`."""
    match = _RFC_3339.fullmatch(text) if len(text) <= TEXT_CHARACTERS_MAX else None
    if match is None:
        raise Fault(Code.BAD_TIME, f"{text[:40]!r} is not an RFC 3339 time")
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    fraction, zulu, sign, offset_hours, offset_minutes = match.group(7, 8, 9, 10, 11)
    if zulu is None and sign is None:
        raise Fault(Code.BAD_TIME, f"{text!r} says no offset: end it in Z or +HH:MM")
    if second == 60:
        raise Fault(Code.BAD_TIME, f"{text!r} is a leap second, which UTC µs cannot hold")
    offset = 0
    if sign is not None:
        if int(offset_hours) > 23 or int(offset_minutes) > 59:
            raise Fault(Code.BAD_TIME, f"{text!r} has no valid offset")
        offset = (int(offset_hours) * 60 + int(offset_minutes)) * (-60 if sign == "-" else 60)
    if not (year >= 1 and 1 <= month <= 12 and hour <= 23 and minute <= 59 and second <= 59):
        raise Fault(Code.BAD_TIME, f"{text!r} is no time of the calendar")
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= day <= int(_MONTH_DAYS[month]) + leap:
        raise Fault(Code.BAD_TIME, f"{text!r} is no day of the calendar")
    seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    micros = int((fraction or "")[:6].ljust(6, "0"))
    return within((seconds - offset) * MICROSECONDS + micros)


def from_number(number: float) -> int:
    """µs UTC of an epoch number (int, or float), or a Fault `bad_time`."""
    size = abs(number)
    if not size < NS_BELOW:
        raise Fault(Code.BAD_TIME, f"{number} is beyond every epoch unit")
    if isinstance(number, int):
        if size < SECONDS_BELOW:
            return within(number * 1_000_000)
        if size < MS_BELOW:
            return within(number * 1000)
        return within(number if size < US_BELOW else number // 1000)
    if size < SECONDS_BELOW:
        return within(round(number * 1e6))
    if size < MS_BELOW:
        return within(round(number * 1e3))
    return within(round(number if size < US_BELOW else number / 1e3))


def within(ts: int) -> int:
    """The time as it is, or a Fault where it lies outside the years 1 to 9999."""
    if not TS_MIN <= ts <= TS_MAX:
        raise Fault(Code.BAD_TIME, "the time lies outside the years 1 to 9999")
    return ts


def column(stamps: Sequence[str | float]) -> NDArray[np.int64]:
    """µs UTC per time stamp, DOUBT wherever only the careful reading can tell."""
    out = np.full(len(stamps), DOUBT, np.int64)
    try:
        lengths = np.fromiter(map(len, stamps), np.int64, len(stamps))  # type: ignore[arg-type]  # numbers raise here
    except TypeError:
        return _mixed(stamps, out)
    try:
        block = np.frombuffer("".join(stamps).encode("ascii"), np.uint8)  # type: ignore[arg-type]  # all are texts here
    except UnicodeEncodeError:
        return out
    starts = np.cumsum(lengths) - lengths
    for length in np.flatnonzero(np.bincount(lengths, minlength=1)).tolist():
        if not 20 <= length <= TEXT_CHARACTERS_MAX:
            continue
        which = np.flatnonzero(lengths == length)
        if len(which) == len(stamps):
            return _texts(block.reshape(-1, length).T)
        out[which] = _texts(block[starts[which] + np.arange(length)[:, None]])
    return out


def _mixed(stamps: Sequence[str | float], out: NDArray[np.int64]) -> NDArray[np.int64]:
    """Texts, whole numbers and numbers with a fraction, each kind read as a column."""
    kinds = list(map(type, stamps))
    readers: tuple[tuple[type, Callable[[Any], NDArray[np.int64]]], ...] = (
        (str, column),
        (int, _whole),
        (float, _fractional),
    )
    for kind, read in readers:
        which = [place for place, each in enumerate(kinds) if each is kind]
        if which:
            out[which] = read([stamps[place] for place in which])
    return out


def _whole(numbers: Sequence[int]) -> NDArray[np.int64]:
    try:
        number = np.array(numbers, np.int64)
    except OverflowError:
        return np.full(len(numbers), DOUBT, np.int64)
    size = np.abs(number)  # |min int64| overflows to itself, which `bounded` refuses
    return _bounded(
        np.select(
            [size < SECONDS_BELOW, size < MS_BELOW, size < US_BELOW],
            [number * 1_000_000, number * 1000, number],
            number // 1000,
        ),
        size >= 0,
    )


def _fractional(numbers: Sequence[float]) -> NDArray[np.int64]:
    number = np.array(numbers, np.float64)
    size = np.abs(number)
    known = size < NS_BELOW
    number = np.where(known, number, 0.0)
    micros = np.select(
        [size < SECONDS_BELOW, size < MS_BELOW, size < US_BELOW],
        [number * 1e6, number * 1e3, number],
        number / 1e3,
    )
    return _bounded(np.rint(micros).astype(np.int64), known)


def _texts(byte: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Texts of one length, as bytes: (length, count)."""
    zulu = (byte[-1] == ord("Z")) | (byte[-1] == ord("z"))
    if zulu.all():
        return _calendar(byte[:-1])
    out = np.full(byte.shape[1], DOUBT, np.int64)
    out[zulu] = _calendar(byte[:-1, zulu])
    if len(byte) >= 25:
        out[~zulu] = _with_offset(byte[:, ~zulu])
    return out


def _with_offset(byte: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Texts of one length that end in +HH:MM or -HH:MM."""
    sign, digits = byte[-6], byte[[-5, -4, -2, -1]] - np.uint8(48)
    hours = digits[0].astype(np.int64) * 10 + digits[1]
    minutes = digits[2].astype(np.int64) * 10 + digits[3]
    known = ((sign == ord("+")) | (sign == ord("-"))) & (byte[-3] == ord(":"))
    known &= (digits <= 9).all(axis=0) & (hours <= 23) & (minutes <= 59)
    offset = (hours * 60 + minutes) * 60 * MICROSECONDS
    local = _calendar(byte[:-6])
    known &= local != DOUBT
    ts = np.where(known, local, 0) - np.where(sign == ord("-"), -offset, offset)
    return _bounded(ts, known)


def _calendar(byte: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Date, time and fraction without their offset: (length, count)."""
    length = len(byte)
    if length == 20:  # a point without digits
        return np.full(byte.shape[1], DOUBT, np.int64)
    places = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, *range(20, length)]
    digits = byte[places] - np.uint8(48)
    known = (digits <= 9).all(axis=0)
    known &= (byte[4] == ord("-")) & (byte[7] == ord("-"))
    known &= (byte[13] == ord(":")) & (byte[16] == ord(":"))
    known &= (byte[10] == ord("T")) | (byte[10] == ord("t")) | (byte[10] == ord(" "))
    if length > 20:
        known &= byte[19] == ord(".")
    wide = digits[:20].astype(np.int64)
    year = wide[0] * 1000 + wide[1] * 100 + wide[2] * 10 + wide[3]
    month, day, hour, minute, second = wide[4:14:2] * 10 + wide[5:14:2]
    known &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    known &= (hour <= 23) & (minute <= 59) & (second <= 59)
    leap = (month == 2) & (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    known &= day <= _MONTH_DAYS[np.minimum(month, 12)] + leap
    micros = np.zeros(byte.shape[1], np.int64)
    for place, digit in enumerate(wide[14:]):
        micros += digit * 10 ** (5 - place)
    seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    return np.where(known, seconds * MICROSECONDS + micros, DOUBT)


def _bounded(ts: NDArray[np.int64], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.where(known & (ts >= TS_MIN) & (ts <= TS_MAX), ts, DOUBT)
