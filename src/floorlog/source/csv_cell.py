"""Cells of a table: numbers as written, empty in all its spellings, units in headers."""

import re
from collections.abc import Sequence

EXACT_BELOW = 2.0**53
EMPTY = frozenset({"", "nan", "null", "na", "n/a", "#n/a", "-"})
"""What stands for no reading, in any case of letters."""

Value = float | int | str | None
"""A number, an integer that float64 may not hold, a state's name, or no reading."""

_INTEGER = re.compile(r"[+-]?\d+")
_GROUPED_POINT = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_GROUPED_COMMA = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d+)?")
_FRACTION = re.compile(r"[+-]?\d+([.,])\d+(?:[eE][+-]?\d+)?")
_BRACKETS = re.compile(r"(.*\S)\s*\[\s*([^\[\]]{1,20}?)\s*\]")
_PARENTHESES = re.compile(r"(.*\S)\s*\(\s*([^()]{1,12}?)\s*\)")
_UNITS = frozenset([
    "°C", "℃", "degC", "C", "°F", "F", "K", "Cel", "bar", "mbar", "Pa", "hPa", "kPa", "MPa", "psi",
    "V", "mV", "kV", "A", "mA", "kA", "W", "kW", "MW", "VA", "kVA", "Wh", "kWh", "MWh", "Hz", "kHz",
    "MHz", "rpm", "1/min", "min-1", "%", "%RH", "l", "L", "ml", "l/min", "L/min", "l/h", "l/s",
    "m3", "m³", "m3/h", "m³/h", "m3/s", "kg/h", "kg/s", "t/h", "m/s", "mm/s", "km/h", "m/s2",
    "m/s²", "g", "mm", "cm", "m", "km", "µm", "μm", "um", "in", "ft", "s", "sec", "ms", "min", "h",
    "d", "kg", "mg", "t", "N", "kN", "Nm", "N·m", "°", "deg", "rad", "ppm", "ppb", "dB", "dBA",
    "dB(A)", "J", "kJ", "MJ", "ohm", "Ω", "kΩ", "lx", "lm", "cd", "pH", "S", "µS/cm", "mS/cm",
    "g/l", "mg/l", "kg/m3", "kg/m³", "g/m3",
])  # fmt: skip


def name_and_unit(header: str) -> tuple[str, str | None]:
    """A header's name and unit: Temp [°C] → Temp, °C; in parentheses only a usual unit counts."""
    header = header.strip()
    match = _BRACKETS.fullmatch(header)
    if match is None:
        match = _PARENTHESES.fullmatch(header)
        if match is None or match.group(2) not in _UNITS:
            return header, None
    return match.group(1), match.group(2)


def number(text: str, decimal: str) -> float | int | None:
    """The number that a cell says, None where it says none.

    Equal to float(text) wherever float64 can hold the number; a whole number that it may not hold
    stays an int, so that the record can refuse it instead of changing it.
    """
    text = text.strip()
    if "_" in text:  # Python's own grouping is not a table's
        return None
    if decimal == "," and "," in text:
        if _GROUPED_COMMA.fullmatch(text):
            text = text.replace(".", "")
        text = text.replace(",", ".")
    elif decimal == "," and _GROUPED_COMMA.fullmatch(text):
        text = text.replace(".", "")
    elif "," in text and _GROUPED_POINT.fullmatch(text):
        text = text.replace(",", "")
    try:
        found = float(text)
    except ValueError:
        return None
    if abs(found) >= EXACT_BELOW and _INTEGER.fullmatch(text) and len(text) < 400:
        return int(text)
    return found


def value(text: str, decimal: str) -> Value:
    """A number where the cell says one, None where it is empty, else the text as a state's name."""
    plain = text.strip()
    if plain.lower() in EMPTY:
        return None
    found = number(plain, decimal)
    return plain if found is None else found


def numbers(cells: Sequence[str], decimal: str) -> Sequence[Value]:
    """A column of mostly numbers."""
    if decimal == "." and "_" not in "".join(cells):
        try:
            found = list(map(float, cells))
        except ValueError:
            pass
        else:
            # NaN is no reading, large ones may be inexact: both fail this comparison.
            if all(-EXACT_BELOW < each < EXACT_BELOW for each in found):
                return found
    return [value(cell, decimal) for cell in cells]


def states(cells: Sequence[str]) -> Sequence[Value]:
    """A column of names of states."""
    return [None if (plain := cell.strip()).lower() in EMPTY else plain for cell in cells]


def decimal_of(cells: Sequence[str], delimiter: str) -> str:
    """The decimal sign that a sample of cells shows."""
    if delimiter == ",":
        return "."
    found = [match.group(1) for cell in cells if (match := _FRACTION.fullmatch(cell.strip()))]
    commas, points = found.count(","), found.count(".")
    return "," if commas > points else "."
