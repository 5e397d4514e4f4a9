"""Units as UCUM codes, compared as text after the usual spellings are brought to one."""

_SPELLINGS = {
    "°C": "Cel", "℃": "Cel", "degC": "Cel", "celsius": "Cel", "Celsius": "Cel",
    "°F": "[degF]", "℉": "[degF]", "degF": "[degF]", "fahrenheit": "[degF]",
    "°": "deg", "Ω": "Ohm", "ohm": "Ohm", "percent": "%", "psi": "[psi]", "PSI": "[psi]",
    "rpm": "{rpm}", "RPM": "{rpm}", "1/min": "/min", "1/s": "/s", "sec": "s",
}  # fmt: skip
_CHARACTERS = str.maketrans(
    {"²": "2", "³": "3", "µ": "u", "μ": "u", "·": ".", "⋅": ".", "\N{OHM SIGN}": "Ohm", " ": ""}
)


def ucum(unit: str) -> str:
    """The UCUM code for a unit's usual spelling, any other text without its spaces."""
    return _SPELLINGS.get(plain := unit.translate(_CHARACTERS), plain)
