"""Alarms in the record: as they stand, their events, and what people do to them."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from floorlog.core.alarm import Event
from floorlog.errors import Illegal, NotThere
from floorlog.store.reader import Reader, moment

AlarmName = tuple[str, str, str]
"""Device, metric and detector: what names an alarm."""

NOT_THERE = "FL404"
REFUSED = "FL409"
LAST_ID = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class StoredAlarm:
    """An alarm as it stands; times in µs UTC.

    Attributes:
        raised: when its last finding began.
        until: end of its shelf, 0 where it is not shelved.
        changed: when its last event was stored.
        reason: its last finding in words.
        event, actor, comment: its last event, whose it was, and what was said.
        grouped: why the plant's budget suppressed it; empty where it did not.
    """

    device: str
    metric: str
    detector: str
    state: str
    active: bool
    latch: bool
    priority: int
    raised: int
    until: int
    changed: int
    event_id: int
    reason: str
    event: str
    actor: str
    comment: str
    series_id: int
    grouped: str = ""

    @property
    def name(self) -> AlarmName:
        """What names it."""
        return self.device, self.metric, self.detector

    @property
    def place(self) -> tuple[int, int, int, str]:
        """Where it stands in the list: what the next page begins after."""
        return -self.priority, -self.raised, self.series_id, self.detector


@dataclass(frozen=True, slots=True)
class AlarmEvent:
    """One event of an alarm; times in µs UTC."""

    event_id: int
    recorded_at: int
    device: str
    metric: str
    detector: str
    event: str
    at: int
    start: int
    before: str
    after: str
    active: bool
    latch: bool
    priority: int
    actor: str
    reason: str
    until: int

    @property
    def name(self) -> AlarmName:
        """What names its alarm."""
        return self.device, self.metric, self.detector


FIRST_PLACE = (-(1 << 62), -LAST_ID, -1, "")


class Alarms(Reader):
    """A reader that knows alarms, and under the operator's role may change them.

    Raises:
        ServiceError: by every method, when the database cannot be reached or does not answer.
    """

    def alarms(
        self,
        *,
        states: Sequence[str] | None = None,
        devices: Sequence[str] | None = None,
        priority_min: int = 1,
        after: tuple[int, int, int, str] = FIRST_PLACE,
        rows_max: int = 1_000,
    ) -> list[StoredAlarm]:
        """Alarms in these states and of these devices (None: all), the most urgent first."""
        priority, raised, series, detector = after
        rows = self._rows(
            "list_alarms",
            states=None if states is None else list(states),
            devices=None if devices is None else list(devices),
            priority_min=priority_min,
            after_priority=priority,
            after_raised=raised,
            after_series=series,
            after_detector=detector,
            rows_max=rows_max,
        )
        return [StoredAlarm(*row) for row in rows]

    def changed_alarms(self, since: int, rows_max: int) -> list[StoredAlarm]:
        """Alarms that changed since then (µs UTC), and all that are or were on a shelf."""
        rows = self._rows("changed_alarms", since=moment(since), rows_max=rows_max)
        return [StoredAlarm(*row) for row in rows]

    def alarm_events(
        self,
        begin: int,
        end: int,
        *,
        name: tuple[str | None, str | None, str | None] = (None, None, None),
        before_id: int = LAST_ID,
        rows_max: int = 1_000,
    ) -> list[AlarmEvent]:
        """Events stored from `begin` up to before `end` (µs UTC), newest first."""
        device, metric, detector = name
        rows = self._rows(
            "alarm_events",
            from_time=moment(begin),
            to_time=moment(end),
            before_id=before_id,
            device=device,
            metric=metric,
            detector=detector,
            rows_max=rows_max,
        )
        return [AlarmEvent(*row) for row in rows]

    def alarms_before(self, begin: int, rows_max: int) -> list[AlarmEvent]:
        """The last event before then (µs UTC) of each alarm that was not normal."""
        rows = self._rows("alarm_steps_before", from_time=moment(begin), rows_max=rows_max)
        return [AlarmEvent(*row) for row in rows]

    def operate(
        self, actor: str, event: Event, alarms: Sequence[AlarmName], *, until: int = 0, reason: str
    ) -> list[AlarmEvent]:
        """Do this to all of the alarms, or to none; returns the events as they were stored.

        Args:
            actor: who, as a pseudonym.
            event: one of OPERATIONS.
            alarms: at least one.
            until: of a shelving: its end, µs UTC.
            reason: what the person says.

        Raises:
            NotThere: one of them was never raised.
            Illegal: one of them is in a state that does not allow it.
        """
        try:
            rows = self._tried(
                "operate_alarms",
                actor=actor,
                event=str(event),
                devices=[name[0] for name in alarms],
                metrics=[name[1] for name in alarms],
                detectors=[name[2] for name in alarms],
                until=until,
                reason=reason,
            )
        except psycopg.Error as error:
            said = error.diag.message_primary or str(error)
            if error.sqlstate == NOT_THERE:
                fix = "see /api/v1/alarms for those that are"
                raise NotThere(said, where="alarms", fix=fix) from error
            if error.sqlstate == REFUSED:
                raise Illegal(said, where="alarms", fix="read its state again") from error
            raise self._failed(error) from error
        return [AlarmEvent(*row) for row in rows]
