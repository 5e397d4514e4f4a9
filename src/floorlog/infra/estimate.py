"""Estimate: what a month costs, from what each resource uses and a table of prices with a date."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import Any

PUT_UNIT_BYTES = 25_000
SECONDS_A_MONTH = 730 * 3_600
STORED_BYTES = 9  # a sealed reading, ledger and roll-ups included (bench/RESULTS.md)


@dataclass(frozen=True)
class Line:
    """One resource's cost a month, dollars; None where the table has no price for its size."""

    resource: str
    what: str
    dollars: float | None


@dataclass(frozen=True)
class Estimate:
    """All lines, dearest first, and what they rest on."""

    lines: list[Line]
    region: str
    factor: float
    prices_of: date

    @property
    def dollars(self) -> float:
        """The sum of what is known."""
        return sum(line.dollars or 0.0 for line in self.lines)

    @property
    def unknown(self) -> list[str]:
        """What the table has no price for."""
        return [line.what for line in self.lines if line.dollars is None]

    def as_text(self) -> str:
        """A table for a person."""
        rows = [f"{line.dollars:9.2f}  {line.resource}" for line in self.lines if line.dollars]
        rows += [f"        ?  {line.resource}: no price for {line.what}" for line in self.lines
                 if line.dollars is None]  # fmt: skip
        basis = (
            f"list prices of {self.prices_of}; of {self.region} itself, or us-east-1's by a factor"
            f" of {self.factor:g}"
        )
        return "\n".join([*rows, f"{self.dollars:9.2f}  USD a month, about; {basis}"])


def prices() -> dict[str, Any]:
    """The table, as the file holds it."""
    return tomllib.loads(files("floorlog.infra").joinpath("prices.toml").read_text("utf-8"))


def prose(configuration: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By address, what the stack wrote beside each resource: why, usage, waived."""
    found = {}
    for kind, resources in configuration["resource"].items():
        for key, resource in resources.items():
            found[f"{kind}.{key}"] = resource.get("//", {})
    return found


def estimate(
    configuration: Mapping[str, Any], *, put_bytes_s: float = 0.0, readings_s: float = 0.0
) -> Estimate:
    """What a month of a configuration costs.

    Args:
        configuration: as `cdk.tf.json` holds it.
        put_bytes_s: bytes a second that producers put, in records of at least 25 kB.
        readings_s: readings a second, for the database's growth in the first year (its mean).
    """
    table = prices()
    region = configuration["provider"]["aws"][0]["region"]
    factor = table["region"].get(region, table["region"]["other"])
    lines = []
    known = _prices(table, region, factor)
    for address, words in prose(configuration).items():
        for item, quantity in words.get("usage", {}).items():
            lines.append(_line(known, address, item, quantity))
    traffic = {
        "million put units": put_bytes_s * SECONDS_A_MONTH / PUT_UNIT_BYTES / 1e6,
        "database GB multi-az": readings_s * STORED_BYTES * SECONDS_A_MONTH * 6 / 1e9,
    }
    for item, quantity in traffic.items():
        if quantity:
            lines.append(_line(known, "what devices send", item, quantity))
    lines.sort(key=lambda line: (-(line.dollars or 0.0), line.resource))
    return Estimate(lines, region, factor, table["date"])


def _prices(table: Mapping[str, Any], region: str, factor: float) -> dict[str, float]:
    """What a region asks: its exact price where the table has it, else the factor's."""
    found = {item: price * factor for item, price in table["item"].items()}
    return {**found, **table["exact"].get(region, {})}


def _line(known: Mapping[str, float], address: str, item: str, quantity: float) -> Line:
    price = known.get(item)
    return Line(address, item, None if price is None else price * quantity)
