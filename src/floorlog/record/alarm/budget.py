"""The alarm budget on the record: rounds over the log, each with its acts in one transaction."""

from collections import Counter
from importlib.resources import files
from typing import Any

import msgspec

from floorlog.core.alarm import Event, State
from floorlog.core.alarm_budget import STANDING, Act, AlarmBudget, Ring, Standing
from floorlog.core.alarm_load import Name, Step
from floorlog.core.catalogue import Catalogue
from floorlog.store.link import Connection
from floorlog.store.queries import parse

QUERIES = parse(files("floorlog.record.alarm").joinpath("budget.sql").read_text("utf-8"))
LEAVES_MAX = 10_000  # of the log that one round covers


class Budgeter:
    """Rounds of one record's alarm budget, on the session that holds the log.

    Args:
        connection: of the keeper's role.
        places: alarms that may ring in ten minutes.

    Raises:
        psycopg.Error: by step, when the database does not answer; the round is made again.
    """

    def __init__(self, connection: Connection, places: int) -> None:
        self._connection = connection
        self._budget = AlarmBudget(places)
        self._series: dict[Name, int] = {}
        self._catalogue: tuple[int, Catalogue] = (-1, Catalogue())
        self._position: int | None = None
        self._places = places

    def step(self, size: int) -> bool:
        """Judge what got its position below this size of the log; whether there is more."""
        begin = self._position
        mark, now = self._rows("budget_mark")[0]
        if found := self._rows("budget_catalogue", known=self._catalogue[0]):
            self._catalogue = (found[0][0], Catalogue.decode(found[0][1].encode()))
        if begin is None or begin != mark:
            begin = self._restore(size if mark is None else min(mark, size))
            if mark is None:
                self._keep(begin, [], None)
        end = min(size, begin + LEAVES_MAX)
        self._position = None  # a round that fails is made again by what is stored
        steps = self._steps("budget_events", begin=begin, end=end)
        acts = self._budget.judge(steps, now, self._asset)
        if acts:
            made = Counter(act.event for act in acts)
            detail = {"from": begin, "to": end, "now_us": now, "places": self._places}
            detail |= {"grouped": made[Event.SUPPRESS], "released": made[Event.UNSUPPRESS]}
            self._keep(end, acts, detail)
        elif end != begin:
            self._keep(end, [], None)
        self._position = end
        return end < size

    def _restore(self, position: int) -> int:
        """Begin anew with what was judged up to a position."""
        self._budget = AlarmBudget(self._places)
        grouped = [
            Ring((device, metric, detector), self._asset(device), changed, raised, event, priority,
                 active)
            for _, device, metric, detector, changed, raised, event, priority, active in (
                self._named(row) for row in self._rows("budget_grouped")
            )
        ]  # fmt: skip
        standing = [
            ((device, metric, detector), Standing(priority, event, active, changed))
            for _, device, metric, detector, changed, event, priority, active in (
                self._named(row) for row in self._rows("budget_standing", states=list(STANDING))
            )
        ]
        recent = self._steps("budget_recent", end=position)
        self._budget.learn(recent, grouped, standing, self._asset)
        return position

    def _keep(self, position: int, acts: list[Act], detail: dict[str, int] | None) -> None:
        self._rows(
            "group_alarms",
            position=position,
            series=[self._series[act.alarm] for act in acts],
            detectors=[act.alarm[2] for act in acts],
            events=[str(act.event) for act in acts],
            reasons=[act.reason for act in acts],
            detail=None if detail is None else msgspec.json.encode(detail).decode(),
        )

    def _steps(self, name: str, **values: int) -> list[Step]:
        made = []
        for row in self._rows(name, **values):
            _, *alarm, event, before, after, recorded, at, number, priority, ours = self._named(row)
            by_design = ours and event in {Event.SUPPRESS, Event.UNSUPPRESS}
            made.append(
                Step(tuple(alarm), Event(event), State(before), State(after), recorded, at, number,
                     priority, by_design)
            )  # fmt: skip
        return made

    def _named(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        self._series[row[1], row[2], row[3]] = row[0]
        return row

    def _asset(self, device: str) -> str:
        return self._catalogue[1].asset(device)

    def _rows(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(QUERIES[name].text, values).fetchall()
