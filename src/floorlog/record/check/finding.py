"""What verification found: each wrong thing, with the place where it is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

WRONG_MAX = 1_000
EVIDENCE = "evidence"
DERIVED = "derived"


@dataclass(frozen=True, slots=True)
class Wrong:
    """One wrong thing.

    Attributes:
        kind: "evidence" (the record itself) or "derived" (can be made again from evidence).
        where: which part of the record: readings, batch, series, log, anchor, …
        says: what is wrong, in one line.
        shard: name of the shard, where it is of one.
        batch: number of the batch in its shard.
        series: number of the series.
        recorded_us: when the batch was stored, µs UTC.
    """

    kind: str
    where: str
    says: str
    shard: str | None = None
    batch: int | None = None
    series: int | None = None
    recorded_us: int | None = None


@dataclass(slots=True)
class Findings:
    """All that was found; keeps the first thousand, and counts the rest."""

    wrong: list[Wrong] = field(default_factory=list)
    count: int = 0

    def evidence(self, where: str, says: str, **place: Any) -> None:  # noqa: ANN401 - the fields of Wrong
        """Something of the record itself is wrong."""
        self._add(Wrong(EVIDENCE, where, says, **place))

    def derived(self, where: str, says: str, **place: Any) -> None:  # noqa: ANN401 - the fields of Wrong
        """Something that can be made again is wrong."""
        self._add(Wrong(DERIVED, where, says, **place))

    def _add(self, wrong: Wrong) -> None:
        self.count += 1
        if len(self.wrong) < WRONG_MAX:
            self.wrong.append(wrong)


def spans(numbers: Sequence[int]) -> str:
    """Ascending numbers in words: `3, 7 to 9`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join(" to ".join(map(str, part)) for part in parts)


def span(low: int, high: int) -> str:
    """All numbers from one to another in words: `3 to 7`."""
    return f"{low}" if low == high else f"{low} to {high}"
