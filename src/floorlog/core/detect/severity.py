"""Severity: what the catalogue gives to a limit or detector, in place of its own."""

from dataclasses import replace

from floorlog.core.reading import Anomaly
from floorlog.core.rules import Rules

SIDES = {"limit": ("lo", "hi"), "critical_limit": ("lolo", "hihi")}
"""The limits that a detector speaks of, low and high."""


def rank(found: list[Anomaly], rules: Rules) -> None:
    """Put the catalogue's severity into events of series that have one, in place."""
    if not rules.severities:
        return
    for place, event in enumerate(found):
        asked = rules.severities.get(event.row)
        if asked is None:
            continue
        severity = _asked(event, rules, asked)
        if severity is not None:
            found[place] = replace(event, severity=severity)


def _asked(event: Anomaly, rules: Rules, asked: dict[str, int]) -> int | None:
    """By the limit that was crossed, which stands in the event; else by detector."""
    sides = SIDES.get(event.detector)
    if sides is not None:
        low, high = sides
        crossed = low if event.expected == getattr(rules, low)[event.row] else high
        if crossed in asked:
            return asked[crossed]
    return asked.get(event.detector)
