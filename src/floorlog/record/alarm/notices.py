"""The outbox: events of alarms, read after they were committed, on their way to one channel."""

import time
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

import psycopg

from floorlog.alert.notice import Notice
from floorlog.alert.routes import Routes
from floorlog.core.alarm import Priority
from floorlog.core.alarm_load import Flood, floods
from floorlog.core.catalogue import Catalogue
from floorlog.errors import ServiceError
from floorlog.store.link import Dsn, string_of
from floorlog.store.queries import parse

QUERIES = parse(files("floorlog.record.alarm").joinpath("notices.sql").read_text("utf-8"))
ROWS_MAX = 200
FORGET_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notice that waits; `age_s` since it was planned."""

    event_id: int
    notice: Notice
    age_s: float


class Outbox:
    """What one channel has to carry; a connection of its own, made anew after it was lost.

    Args:
        dsn: connection string of the keeper's role, or who gives it for each new connection.
        channel: its name.
        routes: who is told what.
        page: the page's address, for links; empty for none.

    Raises:
        ServiceError: by every method, when the database does not answer.
    """

    def __init__(self, dsn: Dsn, channel: str, routes: Routes, page: str = "") -> None:
        self._dsn = dsn
        self._channel = channel
        self._routes = routes
        self._page = page.rstrip("/")
        self._connection: psycopg.Connection[Any] | None = None
        self._is_held = False
        self._catalogue: tuple[int, Catalogue] = (-1, Catalogue())
        self._forgot_s = float("-inf")
        self._rings: list[tuple[int, int]] = []
        self._floods: list[Flood] = []

    def close(self) -> None:
        """End the connection, and with it the right to send."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._is_held = None, False

    def hold(self) -> bool:
        """Whether this process is the one that sends for the channel."""
        if self._connection is None or self._connection.closed:
            self._is_held = False
        if not self._is_held:
            self._is_held = bool(self._rows("hold_channel", channel=self._channel)[0][0])
        return self._is_held

    def waiting(self) -> list[Waiting]:
        """Plan what is new, and give some of what waits, the oldest first."""
        self._learn()
        first = self._first_of_floods()
        self._plan(first)
        rows = self._rows("waiting", channel=self._channel, rows_max=ROWS_MAX)
        now_s = time.monotonic()
        if now_s - self._forgot_s > FORGET_SECONDS:
            self._rows("forget")
            self._forgot_s = now_s
        return [
            Waiting(row[0], self._notice(row, is_flood=row[0] in first), row[10]) for row in rows
        ]

    def settle(self, event_id: int, state: str, error: str) -> None:
        """Keep what came of an attempt: sent, waiting or given up."""
        said = error.replace("\0", "")
        self._rows("settle", channel=self._channel, event=event_id, state=state, error=said)

    def _plan(self, first: set[int]) -> None:
        """Decide for each new event: to be sent, not for this channel, or held in a flood."""
        rows = self._rows("unplanned", channel=self._channel, rows_max=ROWS_MAX)
        if not rows:
            return
        drowned = self._drowned(first)
        states = []
        for row in rows:
            notice = self._notice(row)
            if not self._routes.leads(notice, self._channel):
                states.append("not routed")
            elif row[10] and row[0] not in first:
                states.append("held")  # grouped under an alarm that is told of
            elif row[0] in drowned and notice.priority in {Priority.LOW, Priority.MEDIUM}:
                states.append("held")
            else:
                states.append("waiting")
        events = [row[0] for row in rows]
        self._rows("plan", channel=self._channel, events=events, states=states)

    def _first_of_floods(self) -> set[int]:
        """The events with which floods began: they say so."""
        self._rings = [(row[0], row[1]) for row in self._rows("rings")]
        times = [time_us for _, time_us in self._rings]
        now = times[-1] + 1 if times else 0
        self._floods = floods(times, 1, now)
        begins = {flood.begin for flood in self._floods}
        # Of several of one moment the last one made it a flood.
        first = {time_us: event_id for event_id, time_us in self._rings if time_us in begins}
        return set(first.values())

    def _drowned(self, first: set[int]) -> set[int]:
        """Events that rang while a flood lasted, but for the one that tells of it."""
        return {
            event_id
            for event_id, time_us in self._rings
            for flood in self._floods
            if flood.begin <= time_us and (flood.end is None or time_us < flood.end)
        } - first

    def _notice(self, row: tuple[Any, ...], *, is_flood: bool = False) -> Notice:
        event_id, recorded, device, metric, detector, event, at, after, priority, reason = row[:10]
        address = f"{self._page}/device?{urlencode({'name': device})}" if self._page else ""
        return Notice(
            key=f"floorlog-{event_id}-{recorded}",
            event=event,
            device=device,
            metric=metric,
            detector=detector,
            asset=self._catalogue[1].asset(device),
            state=after,
            priority=str(Priority.of(priority)),
            reason=reason,
            at=at,
            recorded=recorded,
            is_flood=is_flood,
            address=address,
        )

    def _learn(self) -> None:
        """Know the newest catalogue: it says which asset a device belongs to."""
        found = self._rows("catalogue")
        if found and found[0][0] != self._catalogue[0]:
            self._catalogue = (found[0][0], Catalogue.decode(found[0][1].encode()))

    def _rows(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(
                    string_of(self._dsn),
                    autocommit=True,
                    connect_timeout=5,
                    application_name=f"floorlog notices {self._channel}"[:63],
                )
                self._is_held = False
                self._connection.execute(QUERIES["set_outbox"].text)
            cursor = self._connection.execute(QUERIES[name].text, values)
            return cursor.fetchall()
        except psycopg.Error as error:
            self.close()
            raise ServiceError(
                f"the record does not answer: {str(error).strip().splitlines()[0]}",
                where="database",
                fix="see that it runs and is migrated",
            ) from error
