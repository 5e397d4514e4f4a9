"""Scores injected faults: caught, rightly named, exact, by kind and size; and what is false."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from floorlog.core.reading import Anomaly

NAMES: dict[str, frozenset[str]] = {
    "shift": frozenset({"shift"}),
    "drift": frozenset({"drift", "shift"}),  # a drift that has gone on is another level
    "spike": frozenset({"spike"}),
    "stuck": frozenset({"stuck"}),
    "stuck_quantised": frozenset({"stuck"}),
    "dropout": frozenset({"silence"}),
    "unit_error": frozenset({"unit_error"}),
}
"""By kind of a learned fault: the detectors that name it rightly."""
BUCKETS = 3
"""Sizes of a kind are reported in so many equal parts of its faults."""


@dataclass(frozen=True)
class Injected:
    """A fault, up to before `end`: seconds from the series' begin, once scored since 1970."""

    kind: str
    style: str
    begin: int
    end: int
    size: float


Namer = Callable[[Injected], str]


@dataclass
class Tally:
    """Faults of one sort."""

    faults: int = 0
    caught: int = 0
    named: int = 0
    first: int = 0  # rightly named by the very first finding
    delays_s: list[float] = field(default_factory=list)

    def as_object(self) -> dict[str, float]:
        """The figures, shares of all faults."""
        count = max(self.faults, 1)
        delays = sorted(self.delays_s)
        return {
            "faults": self.faults,
            "caught": round(self.caught / count, 4),
            "named": round(self.named / count, 4),
            "named_first": round(self.first / count, 4),
            "median_delay_s": delays[len(delays) // 2] if delays else -1.0,
        }


@dataclass
class Score:
    """Of all faults and all quiet time."""

    outcomes: list[tuple[Injected, list[Anomaly]]] = field(default_factory=list)
    exact: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    false: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    quiet_hours: float = 0.0

    def as_object(self) -> dict[str, Any]:
        """Everything: totals, by kind, by size, by style, the rules' exactness, what is false."""
        learned = self.tally(lambda _: "all").get("all", Tally())
        rules = [ok for each in self.exact.values() for ok in each]
        count = learned.faults + len(rules)
        false = sum(self.false.values())
        return {
            "faults": count,
            "caught": round((learned.caught + sum(rules)) / max(count, 1), 4),
            "named": round((learned.named + sum(rules)) / max(count, 1), 4),
            "learned": learned.as_object(),
            "rules_exact": round(sum(rules) / max(len(rules), 1), 4),
            "rules": {kind: [sum(each), len(each)] for kind, each in sorted(self.exact.items())},
            "by_kind": self.objects(lambda fault: fault.kind),
            "by_size": self.objects(self._bucket()),
            "by_style": self.objects(lambda fault: f"{fault.kind} {fault.style}"),
            "quiet_sensor_hours": round(self.quiet_hours, 1),
            "false": dict(sorted(self.false.items())),
            "false_per_1000_sensor_hours": round(1000 * false / max(self.quiet_hours, 1e-9), 3),
        }

    def as_text(self) -> str:
        """The same as a table."""
        found = self.as_object()
        lines = [f"{'kind':34}{'faults':>8}{'caught':>8}{'named':>8}{'first':>8}{'delay s':>9}"]
        for group in ("by_kind", "by_size"):
            for name, each in found[group].items():
                lines.append(
                    f"{name:34}{each['faults']:8d}{each['caught']:8.3f}{each['named']:8.3f}"
                    f"{each['named_first']:8.3f}{each['median_delay_s']:9.0f}"
                )
        lines += [f"{kind:34}{n:8d} of {of} exact" for kind, (n, of) in found["rules"].items()]
        lines.append(
            f"all {found['faults']}: caught {found['caught']}, named {found['named']}; learned "
            f"kinds caught {found['learned']['caught']}, named {found['learned']['named']}; rules "
            f"exact {found['rules_exact']}"
        )
        lines.append(
            f"false {found['false_per_1000_sensor_hours']} per 1,000 sensor-hours "
            f"({found['quiet_sensor_hours']} h): {found['false']}"
        )
        return "\n".join(lines)

    def tally(self, name_of: Namer) -> dict[str, Tally]:
        """Learned faults by a name."""
        tallies: dict[str, Tally] = {}
        for fault, found in self.outcomes:
            tally = tallies.setdefault(name_of(fault), Tally())
            tally.faults += 1
            if not found:
                continue
            tally.caught += 1
            right = NAMES[fault.kind]
            tally.named += any(event.detector in right for event in found)
            tally.first += found[0].detector in right
            tally.delays_s.append(found[0].at / 1e6 - fault.begin)
        return tallies

    def objects(self, name_of: Namer) -> dict[str, dict[str, float]]:
        """The same as plain numbers."""
        return {name: tally.as_object() for name, tally in sorted(self.tally(name_of).items())}

    def _bucket(self) -> Namer:
        sizes: dict[str, list[float]] = defaultdict(list)
        for fault, _ in self.outcomes:
            sizes[fault.kind].append(fault.size)
        edges = {kind: sorted(each) for kind, each in sizes.items()}

        def name_of(fault: Injected) -> str:
            mine = edges[fault.kind]
            part = min(BUCKETS * mine.index(fault.size) // len(mine), BUCKETS - 1)
            low = mine[part * len(mine) // BUCKETS]
            high = mine[min((part + 1) * len(mine) // BUCKETS, len(mine) - 1)]
            return f"{fault.kind} {low:.3g} to {high:.3g}"

        return name_of


def score(
    total: Score, fault: Injected | None, events: Sequence[Anomaly], begin_s: int, *, quiet_s: int
) -> None:
    """Take one series in. Events of findings that begin before `quiet_s` are false."""
    total.quiet_hours += quiet_s / 3600
    starts = sorted((e for e in events if e.phase == "start"), key=lambda e: e.at)
    for event in starts:
        if event.at / 1e6 - begin_s < quiet_s:
            total.false[event.detector] += 1
    if fault is None:
        return
    # What its end brings, a step back, is neither a catch nor false.
    mine = [e for e in starts if fault.begin <= e.at / 1e6 - begin_s < fault.end]
    moved = Injected(
        fault.kind, fault.style, fault.begin + begin_s, fault.end + begin_s, fault.size
    )
    total.outcomes.append((moved, mine))
