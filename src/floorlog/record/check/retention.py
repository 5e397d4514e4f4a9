"""Whether what expired was allowed to: each expiry against the policies and holds of its moment.

An expiry is a leaf of the log, but whoever can write leaves could declare one to hide a deletion.
So policies, holds and catalogues, which are leaves as well, are folded again as they stood then.
Whether an asset was quiet is not asked: readings that went cannot tell.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from floorlog.core.series import KnownSeries
from floorlog.record.check.finding import Findings
from floorlog.record.check.log import numbers_of
from floorlog.record.rows import Connection, Row, Rows, time_us

DAY_US = 86_400_000_000
# Transactions bear the time at which they began: what began this close may have been seen or not.
SLACK_US = 60_000_000
ALL = "*"
DAYS = re.compile("[1-9][0-9]{0,5}")


@dataclass(frozen=True, slots=True)
class _Act:
    """A policy that was set, or a hold that was placed or released."""

    at_us: int
    action: str
    asset: str
    hold: str
    days: int | None


@dataclass(frozen=True, slots=True)
class _Catalogue:
    at_us: int
    devices: Mapping[str, Any]

    def asset_of(self, device: str) -> str:
        """A device is its own asset unless the catalogue names another."""
        one = self.devices.get(device)
        asset = one.get("asset") if isinstance(one, dict) else None
        return asset if isinstance(asset, str) else device


class Retention:
    """The policies, holds and catalogues of a record, with the time of each."""

    def __init__(self, connection: Connection) -> None:
        self._acts = [one for row in _each(connection, "retention_acts") for one in _act(row)]
        self._catalogues = [_catalogue(row) for row in _each(connection, "catalogues")]

    def forbids(self, device: str, at_us: int, newest_us: int) -> str:
        """Why nothing of a device might go that was stored up to a time; "" where it might.

        Args:
            device: its name; "" for what belongs to none.
            at_us: when it went, µs UTC.
            newest_us: when the newest of it was stored.
        """
        for hold, placed_us in self._holds(at_us):
            if hold[0] in {ALL, device} or any(
                one.asset_of(device) == hold[0] for one in self._since(placed_us, at_us)
            ):
                return f"the hold {hold[1]!r} on {hold[0]} kept it"
        days = [one for one in self._days(device, at_us) if one is not None]
        if not days:
            return "no policy let it go"
        border_us = (at_us + SLACK_US - min(days) * DAY_US) // DAY_US * DAY_US
        return "" if newest_us < border_us else f"it was younger than {min(days)} days"

    def _holds(self, at_us: int) -> Iterator[tuple[tuple[str, str], int]]:
        """The holds that were certainly in force: asset and name, and when they were placed."""
        placed: dict[tuple[str, str], int] = {}
        for act in self._acts:
            if act.action == "hold.place" and act.at_us < at_us - SLACK_US:
                placed.setdefault((act.asset, act.hold), act.at_us)
            elif act.action == "hold.release" and act.at_us < at_us + SLACK_US:
                placed.pop((act.asset, act.hold), None)
        yield from placed.items()

    def _since(self, from_us: int, at_us: int) -> list[_Catalogue]:
        """The catalogues that were in force between two times."""
        known = [one for one in self._catalogues if one.at_us < at_us]
        first = max((n for n, one in enumerate(known) if one.at_us < from_us), default=0)
        return known[first:]

    def _days(self, device: str, at_us: int) -> list[int | None]:
        """What policies said that may have counted then: days, None for no end."""
        assets = {one.asset_of(device) for one in self._since(at_us - SLACK_US, at_us + SLACK_US)}
        found: list[int | None] = []
        for asset in assets or {device}:
            own = self._policies(asset, at_us)
            found += own or self._policies(ALL, at_us)
        return found

    def _policies(self, asset: str, at_us: int) -> list[int | None]:
        found: list[int | None] = []
        for act in self._acts:
            if act.action == "retention.set" and act.asset == asset:
                if act.at_us < at_us - SLACK_US:
                    found.clear()
                if act.at_us < at_us + SLACK_US:
                    found.append(act.days)
        return found


def check_allowed(
    connection: Connection,
    expiries: Sequence[Row],
    series: Mapping[int, KnownSeries],
    findings: Findings,
) -> None:
    """Compare every expiry with what was allowed when it happened.

    Args:
        connection: settled, in its transaction.
        expiries: rows of the query `expiries`.
        series: all that there are.
        findings: what is wrong.
    """
    if not expiries:
        return
    retention = Retention(connection)
    for row in expiries:
        try:
            ids = numbers_of(row[4])
            at_us, newest_us = time_us(row[1]), time_us(row[18] or row[1])
        except ValueError:
            continue  # its leaf tells that
        names = sorted({series[one].device for one in ids if one in series}) or [""]
        for device in names:
            why = retention.forbids(device, at_us, newest_us)
            if why:
                whose = device or "what belongs to no device"
                says = f"expiry {row[0]} took what it might not of {whose}: {why}"
                findings.evidence("expiry", says)


def _each(connection: Connection, name: str) -> Iterator[Row]:
    rows = Rows(connection, name, {})
    while page := rows.page():
        yield from page


def _act(row: Row) -> Iterator[_Act]:
    _, recorded, action, text = row
    try:
        detail = json.loads(text)
        asset, days = detail.get("asset"), str(detail.get("days"))
    except (ValueError, AttributeError):
        return
    if isinstance(asset, str) and asset:
        whole = int(days) if DAYS.fullmatch(days) else None
        yield _Act(time_us(recorded), action, asset, str(detail.get("hold")), whole)


def _catalogue(row: Row) -> _Catalogue:
    try:
        devices = json.loads(row[1]).get("devices")
    except (ValueError, AttributeError):
        devices = None
    return _Catalogue(time_us(row[2]), devices if isinstance(devices, dict) else {})
