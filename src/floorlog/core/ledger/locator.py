"""Which series of a batch are not as they were stored: a few sums, kept with the batch.

Every series of a batch is a place in a code, its readings the symbol there; kept are power sums
over the field of 2^31 - 1, as of a Reed-Solomon code. The sums of what is there now less those kept
are the syndromes of the error. The shortest linear recurrence that gives them (Massey,
"Shift-register synthesis and BCH decoding", 1969) has the ids of the wrong series as roots: whether
their readings were changed, taken away or added. n pairs of sums find n series, in 8 n bytes.

The sums are no evidence: whoever can change a reading can change them. The batch's root proves that
something is wrong; this says where to look.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from floorlog.core.ledger.batch import Columns

PRIME = 2**31 - 1
FOUND_MAX = 8  # series that a batch's sums can find
SUM_BYTES = 4
_ODD = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93,
     0xFF51AFD7ED558CCD],
    np.uint64,
)  # fmt: skip
_P = np.uint64(PRIME)
Words = NDArray[np.uint64]


def locator_of(columns: Columns) -> bytes | None:
    """What is kept beside a batch; None for one without readings.

    Args:
        columns: its readings, sorted by series.

    Returns:
        Sums of four bytes, most significant first: two for each series that they can find. Few
        series are given few, as nobody needs to find more than there are.
    """
    series, symbols = _symbols(columns)
    if not len(series):
        return None
    count = min(FOUND_MAX, 2 + len(series) // 16)
    return np.array(_sums(series, symbols, 2 * count), ">u4").tobytes()


def wrong_series(kept: bytes, columns: Columns, known: NDArray[np.int64]) -> list[int] | None:
    """The series whose readings are not those that the sums were made of.

    Args:
        kept: by `locator_of`, of the batch as it was.
        columns: its readings as they are, sorted by series.
        known: ids of all series that there are; each once, or more often.

    Returns:
        Their ids, ascending, whether readings of them changed, are gone, or came; empty where all
        is as it was; None where more are wrong than the sums can find, or they are no such sums.
    """
    if len(kept) % (2 * SUM_BYTES) or not kept:
        return None
    stated = [int(one) for one in np.frombuffer(kept, ">u4")]
    series, symbols = _symbols(columns)
    sums = _sums(series, symbols, len(stated))
    errors = [(a - b) % PRIME for a, b in zip(sums, stated, strict=True)]
    if not any(errors):
        return []
    recurrence = _shortest(errors)
    count = len(recurrence) - 1
    if 2 * count > len(stated):
        return None
    ids = np.unique(np.concatenate([known, series]))
    found = ids[_values(recurrence, ids) == 0].tolist()
    return found if len(found) == count else None


def _symbols(columns: Columns) -> tuple[NDArray[np.int64], Words]:
    """The series, each once, and of each a number below PRIME that stands for its readings."""
    if not len(columns.series):
        return np.zeros(0, np.int64), np.zeros(0, np.uint64)
    value = np.ascontiguousarray(columns.value, np.float64).view(np.uint64)
    flags = columns.conflict.astype(np.int64) + 2 * columns.late
    mixed = (
        columns.ts.astype(np.uint64) * _ODD[0]
        + value * _ODD[1]
        + (columns.series.astype(np.uint64) << np.uint64(32) | columns.quality.astype(np.uint64))
        * _ODD[2]
        + (columns.arrival_s * 4 + flags).astype(np.uint64) * _ODD[3]
    )
    mixed ^= mixed >> np.uint64(32)
    mixed *= _ODD[4]
    mixed ^= mixed >> np.uint64(29)
    begins = np.flatnonzero(np.append(True, columns.series[1:] != columns.series[:-1]))
    symbols = np.add.reduceat((mixed >> np.uint64(33)) % _P, begins) % _P
    return columns.series[begins].astype(np.int64), symbols


def _sums(series: NDArray[np.int64], symbols: Words, count: int) -> list[int]:
    """Power sums: of symbol × id^j, for j from 0 up to count."""
    x = (series % PRIME).astype(np.uint64)
    term = symbols
    found = []
    for _ in range(count):
        found.append(int(term.sum() % _P))
        term = term * x % _P
    return found


def _shortest(errors: Sequence[int]) -> list[int]:
    """The shortest recurrence c, c[0] = 1, with sum of c[i] errors[n - i] = 0 (Massey 1969)."""
    now, before = [1], [1]
    length, gap, last = 0, 1, 1
    for n, error in enumerate(errors):
        off = (error + sum(now[i] * errors[n - i] for i in range(1, len(now)))) % PRIME
        if not off:
            gap += 1
            continue
        scale = off * pow(last, -1, PRIME) % PRIME
        kept = now
        now = now + [0] * (len(before) + gap - len(now))
        for i, one in enumerate(before):
            now[i + gap] = (now[i + gap] - scale * one) % PRIME
        if 2 * length <= n:
            length, before, last, gap = n + 1 - length, kept, off, 1
        else:
            gap += 1
    return (now + [0] * (length + 1 - len(now)))[: length + 1]


def _values(recurrence: Sequence[int], ids: NDArray[np.int64]) -> Words:
    """The recurrence's polynomial, whose roots are wrong series, at each of the ids."""
    x = (ids % PRIME).astype(np.uint64)
    found = np.zeros(len(ids), np.uint64)
    for one in recurrence:
        found = (found * x + np.uint64(one)) % _P
    return found
