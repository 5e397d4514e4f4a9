"""Readings as decoded → readings as the catalogue and the record allow them, and rejects.

The checks, in this order; the first that fails gives the reject its code. First what clock and
catalogue say, whatever was seen before:

1. unknown_series: the catalogue is strict and does not list the series.
2. future_time: the time lies further after the shard's clock than allowed.
3. not_a_number, not_a_state: the catalogue wants the other kind, or does not list the state.
4. unit_mismatch: the reading names another unit than the catalogue.
5. out_of_range: only where the catalogue says reject. Elsewhere such a number is stored, and its
   quality becomes UncertainEngineeringUnitsExceeded where it was Good.

A reading that passes these may be the first of its series, and fixes kind and unit. Then:

6. not_a_number, not_a_state: the series is of the other kind.
7. unit_mismatch: the series has another unit. A reading without a unit, or a series without one,
   matches everything.
8. too_many_series: the series got no id from the record.

A series whose kind the record and the catalogue do not agree on is judged by the record's.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from floorlog.core.catalogue import Catalogue, Metric, SeriesRules
from floorlog.core.decode import Decoded
from floorlog.core.decode.columns import STRANGER
from floorlog.core.reading import (
    MICROSECONDS,
    UNCERTAIN_OUT_OF_RANGE,
    Code,
    Kind,
    Readings,
    Record,
    Reject,
)
from floorlog.core.series import UNREGISTERED, SeriesKey, SeriesTable
from floorlog.core.unit import ucum

FUTURE_SECONDS = 300
_SEVERITY_BITS = np.uint32(0xC000_0000)  # of an OPC UA status code; all clear = Good

_Failed = tuple[Code, NDArray[np.bool_]]


def validate(
    decoded: Decoded,
    table: SeriesTable,
    rules: SeriesRules,
    states: Mapping[str, int],
    future_seconds: int = FUTURE_SECONDS,
) -> tuple[Readings, list[Reject]]:
    """The readings that stand, in order of arrival, and the others as rejects.

    `table` must know every series and `states` every state name that `pending` asked for. All
    readings of names that it does not know are rejects.
    """
    decoded = decoded.placed(table)
    strange = np.flatnonzero(decoded.row < 0)
    if not len(strange):
        return _judged(decoded, table, rules, states, future_seconds)
    known = np.flatnonzero(decoded.row >= 0)
    ours = decoded.take(known, decoded.row[known])
    readings, rejects = _judged(ours, table, rules, states, future_seconds)
    # A table and rules for this batch alone: they would otherwise grow with whatever is sent.
    others = SeriesTable()
    rows = np.array([others.row(*key) for key in decoded.strangers], np.int32)
    theirs = decoded.take(strange, rows[STRANGER - decoded.row[strange]])
    afresh = rules.afresh(others, states)
    none, more = _judged(theirs, others, afresh, states, future_seconds)
    assert not len(none), "a series without an id is stored nowhere"
    rejects += more
    return readings, sorted(rejects, key=lambda reject: (reject.record, reject.element))


def _judged(
    decoded: Decoded,
    table: SeriesTable,
    rules: SeriesRules,
    states: Mapping[str, int],
    future_seconds: int,
) -> tuple[Readings, list[Reject]]:
    """The same, of readings that have rows in the table."""
    rules.cover(table, states)
    text = decoded.text >= 0
    value = decoded.value + 0.0  # −0.0 becomes 0.0
    if text.any():
        codes = np.array([states.get(name, np.nan) for name in decoded.texts])
        value[text] = codes[decoded.text[text]]
    outside = _outside(decoded, rules, text)
    kept = np.ones(len(value), np.bool_)
    rejects: list[tuple[int, Code]] = []
    for code, failed in (
        *_refused_by_catalogue(decoded, table, rules, future_seconds),
        (Code.OUT_OF_RANGE, outside & rules.range_reject[decoded.row]),
        *_refused_by_record(decoded, table, rules, value),
    ):
        failed &= kept  # noqa: PLW2901  # only what no earlier check refused
        if failed.any():
            rejects.extend((place, code) for place in np.flatnonzero(failed).tolist())
            kept &= ~failed
    quality = decoded.quality
    good = (quality & _SEVERITY_BITS) == 0
    quality = np.where(outside & good, np.uint32(UNCERTAIN_OUT_OF_RANGE), quality)
    readings = Readings(
        decoded.row,
        decoded.ts,
        value,
        quality,
        decoded.arrival_s,
        decoded.record,
        decoded.element,
    )
    if not rejects:
        return readings, []
    return readings.take(kept), _rejects(decoded, table, rules, sorted(rejects))


def _refused_by_catalogue(
    decoded: Decoded, table: SeriesTable, rules: SeriesRules, future_seconds: int
) -> list[_Failed]:
    row, text = decoded.row, decoded.text >= 0
    wanted = rules.kind[row]
    open_kind = (table.id[row] == UNREGISTERED) | (table.kind[row] == wanted)
    strange = (wanted == Kind.STATE) & ~text & open_kind
    named = text & rules.limited[row]
    if named.any():
        strange |= _not_allowed(decoded, rules, named)
    return [
        (Code.UNKNOWN_SERIES, rules.unknown[row]),
        (Code.FUTURE_TIME, _ahead(decoded, future_seconds)),
        (Code.NOT_A_NUMBER, (wanted == Kind.NUMBER) & text & open_kind),
        (Code.NOT_A_STATE, strange),
        (Code.UNIT_MISMATCH, _wrong_unit(decoded, rules, rules.listed_unit[row])),
    ]


def _refused_by_record(
    decoded: Decoded, table: SeriesTable, rules: SeriesRules, value: NDArray[np.float64]
) -> list[_Failed]:
    row, text = decoded.row, decoded.text >= 0
    known = table.id[row] != UNREGISTERED
    state = table.kind[row] == Kind.STATE
    # A name that the record gave no code has the value NaN.
    strange = known & ((state & ~text) | np.isnan(value))
    return [
        (Code.NOT_A_NUMBER, known & text & ~state),
        (Code.NOT_A_STATE, strange),
        (Code.UNIT_MISMATCH, _wrong_unit(decoded, rules, rules.unit_codes(table, row))),
        (Code.TOO_MANY_SERIES, ~known),
    ]


def _not_allowed(
    decoded: Decoded, rules: SeriesRules, named: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """State names that the catalogue does not list for their series."""
    pairs = list(zip(decoded.row[named].tolist(), decoded.text[named].tolist(), strict=True))
    bad = {pair for pair in set(pairs) if decoded.texts[pair[1]] not in rules.allowed[pair[0]]}
    strange = np.zeros(len(named), np.bool_)
    if bad:
        strange[np.flatnonzero(named)[[pair in bad for pair in pairs]]] = True
    return strange


def _wrong_unit(
    decoded: Decoded, rules: SeriesRules, expected: NDArray[np.int32]
) -> NDArray[np.bool_]:
    given = decoded.unit >= 0
    if not given.any():
        return given
    codes = np.array([rules.known_unit(unit) for unit in decoded.units], np.int32)
    wrong: NDArray[np.bool_] = given & (expected >= 0) & (expected != codes[decoded.unit])
    return wrong


def _ahead(decoded: Decoded, future_seconds: int) -> NDArray[np.bool_]:
    return decoded.ts > (decoded.arrival_s + future_seconds) * MICROSECONDS


def _outside(decoded: Decoded, rules: SeriesRules, text: NDArray[np.bool_]) -> NDArray[np.bool_]:
    low, high = rules.range_lo[decoded.row], rules.range_hi[decoded.row]
    return ((decoded.value < low) | (decoded.value > high)) & ~text


def _rejects(
    decoded: Decoded, table: SeriesTable, rules: SeriesRules, failed: list[tuple[int, Code]]
) -> list[Reject]:
    """The refused readings with their bytes, in order of arrival."""
    data = decoded.data_of([place for place, _ in failed])
    return [
        Reject(
            code,
            _reason(code, decoded, table, rules, place),
            text,
            int(decoded.record[place]),
            int(decoded.element[place]),
        )
        for (place, code), text in zip(failed, data, strict=True)
    ]


def _reason(
    code: Code, decoded: Decoded, table: SeriesTable, rules: SeriesRules, place: int
) -> str:
    """Why one reading was refused, for people."""
    row = int(decoded.row[place])
    device, metric = table.keys[row]
    series = f"{metric} of {device}"
    match code:
        case Code.UNKNOWN_SERIES:
            return f"{series} is not in the catalogue, which is strict"
        case Code.TOO_MANY_SERIES:
            return f"the record took no new series for {series}"
        case Code.NOT_A_NUMBER:
            return f"{series} holds numbers, not states"
        case Code.NOT_A_STATE:
            if decoded.text[place] < 0:
                return f"{series} holds states, not numbers"
            return f"{series} has no state {decoded.texts[decoded.text[place]]!r}"
        case Code.UNIT_MISMATCH:
            return f"{series} is not in {decoded.units[decoded.unit[place]]!r}"
        case Code.FUTURE_TIME:
            ahead = decoded.ts[place] / MICROSECONDS - decoded.arrival_s[place]
            return f"{series} is {ahead:.0f} s ahead of its arrival"
        case _:
            low, high = rules.range_lo[row], rules.range_hi[row]
            return f"{series} lies outside {low:g} to {high:g}"


# ── before registration ──────────────────────────────────────────────────────────────────────


class _Asked(NamedTuple):
    """What the catalogue says of a series that the record does not know yet."""

    metric: Metric
    unknown: bool


def pending(
    decoded: Decoded,
    table: SeriesTable,
    states: Mapping[str, int],
    records: Sequence[Record],
    catalogue: Catalogue,
    future_seconds: int = FUTURE_SECONDS,
) -> tuple[list[SeriesKey], list[str]]:
    """The series and the state names that the record must give ids to before `validate`.

    A series' kind is the catalogue's, else that of its first reading that stands; its unit too.
    That reading alone decides, so that any cutting into batches decides the same. Readings that
    will be rejected make no series.
    """
    decoded = decoded.placed(table)
    timely = ~_ahead(decoded, future_seconds)
    keys: dict[int, SeriesKey] = {}
    asked: dict[int, _Asked] = {}
    new = timely & (decoded.row < 0)
    for place in np.flatnonzero(new).tolist():
        row = int(decoded.row[place])
        if row in keys:
            continue
        names = decoded.names(table, row)
        if row not in asked:
            unknown = catalogue.strict and not catalogue.knows(*names)
            asked[row] = _Asked(catalogue.metric(*names) or Metric(), unknown)
        key = _key(decoded, place, asked[row], records, names)
        if key is not None:
            keys[row] = key
    return list(keys.values()), _new_states(decoded, table, states, catalogue, keys, timely)


def _key(
    decoded: Decoded,
    place: int,
    asked: _Asked,
    records: Sequence[Record],
    names: tuple[str, str],
) -> SeriesKey | None:
    """The series that this reading begins, None where the reading will be rejected."""
    expected = asked.metric
    text = int(decoded.text[place])
    kind = Kind.STATE if text >= 0 else Kind.NUMBER
    unit_place = int(decoded.unit[place])
    unit = None if unit_place < 0 else ucum(decoded.units[unit_place])
    wanted_unit = None if expected.unit is None else ucum(expected.unit)
    if asked.unknown or expected.kind() not in (None, kind):
        return None
    if None not in (unit, wanted_unit) and unit != wanted_unit:
        return None
    if expected.states is not None and decoded.texts[text] not in expected.states:
        return None
    if kind is Kind.NUMBER and _refused_by_range(expected, float(decoded.value[place])):
        return None
    partition_key = records[int(decoded.record[place])].partition_key
    return SeriesKey(*names, kind, wanted_unit or unit, partition_key)


def _refused_by_range(expected: Metric, value: float) -> bool:
    allowed = expected.range
    if allowed is None or not allowed.reject:
        return False
    below = allowed.lo is not None and value < allowed.lo
    return below or (allowed.hi is not None and value > allowed.hi)


def _new_states(
    decoded: Decoded,
    table: SeriesTable,
    states: Mapping[str, int],
    catalogue: Catalogue,
    keys: Mapping[int, SeriesKey],
    timely: NDArray[np.bool_],
) -> list[str]:
    """State names that a state series is in for the first time, in order of arrival."""
    fresh = np.array([name not in states for name in decoded.texts], np.bool_)
    if not fresh.any():
        return []
    found: dict[str, None] = {}
    candidate = timely & (decoded.text >= 0)
    candidate[candidate] = fresh[decoded.text[candidate]]
    for place in np.flatnonzero(candidate).tolist():
        name, row = decoded.texts[decoded.text[place]], int(decoded.row[place])
        if name in found:
            continue
        kind = table.kind[row] if row >= 0 else keys[row].kind if row in keys else None
        if kind != Kind.STATE:
            continue
        expected = catalogue.metric(*decoded.names(table, row))
        if expected is None or expected.states is None or name in expected.states:
            found[name] = None
    return list(found)
