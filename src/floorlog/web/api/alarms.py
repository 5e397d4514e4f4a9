"""Alarms: the list, their events, what people do to them, and the load that they are."""

import time
from typing import Annotated

from msgspec import Meta, Struct, field
from tornado.web import HTTPError

from floorlog.core.alarm import OPERATIONS, SHELF_SECONDS_MAX, SHOWN, Event, Priority, State
from floorlog.core.alarm_load import (
    WINDOW_US,
    Flood,
    Load,
    Name,
    Step,
    first_out,
    floods,
    load,
)
from floorlog.core.reading import MICROSECONDS
from floorlog.store.alarms import LAST_ID, AlarmEvent
from floorlog.web.access.role import ALL, ENGINEERING, OPERATING
from floorlog.web.api import shape
from floorlog.web.api.page import after, place_of
from floorlog.web.api.record import Answers
from floorlog.web.api.route import Answer, Call, Cursor, Limit, Moment, Query, Reason, Route, Words
from floorlog.web.api.route import Name as Text

EVENTS_MAX = 50_000  # of a span whose load is asked for
MANY_MAX = 500  # alarms of one operation
BY_DESIGN = {Event.SUPPRESS, Event.UNSUPPRESS, Event.REMOVE, Event.RESTORE}
OPERATION_BYTES_MAX = 1 << 20
DAYS_MAX = 31
LOOK_BACK_US = 6 * WINDOW_US  # before it no flood of now can have begun, unless it is an hour long


def now_us() -> int:
    """Now, µs UTC."""
    return time.time_ns() // 1000


class AlarmsQuery(Query):
    """Which alarms; without states those that are shown to operators."""

    state: tuple[State, ...] = ()
    priority: Priority = Priority.LOW  # and higher
    device: tuple[Text, ...] = ()
    asset: Text | None = None
    limit: Limit = 1_000
    cursor: Cursor = ""


async def alarms(call: Call) -> shape.AlarmPage:
    """Alarms by priority, then the newest first; whether a flood lasts; what came first."""
    query = call.query
    states = [str(state) for state in (query.state or SHOWN)]
    place = place_of(query.cursor, tuple[int, int, int, str]) if query.cursor else None

    def ask(answers: Answers) -> shape.AlarmPage:
        catalogue = answers.catalogue()
        wanted: set[str] | None = set(query.device) or None
        if query.asset is not None:
            members = {one.device for one in answers.series()}
            members = {device for device in members if catalogue.asset(device) == query.asset}
            wanted = members if wanted is None else wanted & members
        options = {} if place is None else {"after": place}
        found = answers.alarms(
            states=states,
            devices=None if wanted is None else sorted(wanted),
            priority_min=query.priority.number,
            rows_max=query.limit + 1,
            **options,
        )
        now = now_us()
        recent = steps_of(answers, now - LOOK_BACK_US, now)
        first = set(first_out(_conditions(answers), catalogue.asset).values())
        entries = [
            shape.alarm_entry(
                one, catalogue.asset(one.device), Priority.of(one.priority),
                is_first=one.name in first,
            )
            for one in found[: query.limit]
        ]  # fmt: skip
        follows = found[query.limit - 1].place if len(found) > query.limit else None
        return shape.AlarmPage(entries, _flood(recent, now), after(follows))

    page: shape.AlarmPage = await call.services.record.ask(ask)
    return page


def step_of(one: AlarmEvent) -> Step:
    """A stored event as the figures take it."""
    return Step(
        one.name, Event(one.event), State(one.before), State(one.after), one.recorded_at, one.at,
        one.event_id, one.priority,
        one.actor == "floorlog" and one.event in {Event.SUPPRESS, Event.UNSUPPRESS},
    )  # fmt: skip


def steps_of(answers: Answers, begin: int, end: int) -> list[Step]:
    """The events of a span, oldest first. Raises HTTPError 400 where there are too many."""
    found = answers.alarm_events(begin, end, rows_max=EVENTS_MAX + 1)
    if len(found) > EVENTS_MAX:
        raise HTTPError(400, f"the span holds more than {EVENTS_MAX} events: ask for a shorter one")
    return [step_of(one) for one in reversed(found)]


def _conditions(answers: Answers) -> list[Step]:
    """A raise for each alarm whose condition holds, at the time when its finding began."""
    found = answers.alarms(states=[str(state) for state in State], rows_max=EVENTS_MAX)
    return [
        Step(one.name, Event.RAISE, State.NORMAL, State(one.state), one.changed, one.raised,
             one.event_id, one.priority)
        for one in found
        if one.active
    ]  # fmt: skip


def _flood(recent: list[Step], now: int) -> shape.FloodEntry | None:
    found = floods([step.recorded for step in recent if step.rings], 1, now)
    return flood_entry(found[-1]) if found and found[-1].end is None else None


def flood_entry(one: Flood) -> shape.FloodEntry:
    """A flood as the API gives it."""
    return shape.FloodEntry(one.begin, one.end, one.alarms)


class EventsQuery(Query):
    """Which events; without a span all there are."""

    device: Text | None = None
    metric: Text | None = None
    detector: Text | None = None
    begin: Moment = field(default=0, name="from")
    end: Moment | None = field(default=None, name="to")
    limit: Limit = 1_000
    cursor: Cursor = ""


async def events(call: Call) -> shape.AlarmEventPage:
    """Events of alarms, newest first."""
    query = call.query
    before = place_of(query.cursor, tuple[int])[0] if query.cursor else LAST_ID
    end = now_us() + MICROSECONDS if query.end is None else query.end
    name = (query.device, query.metric, query.detector)
    limit = query.limit
    found = await call.services.record.ask(
        lambda a: a.alarm_events(query.begin, end, name=name, before_id=before, rows_max=limit + 1)
    )
    shown = [shape.event_entry(one, Priority.of(one.priority)) for one in found[:limit]]
    follows = (found[limit - 1].event_id,) if len(found) > limit else None
    return shape.AlarmEventPage(shown, after(follows))


class AlarmRef(Struct, frozen=True, forbid_unknown_fields=True):
    """What names an alarm."""

    device: Text
    metric: Text
    detector: Text


Refs = Annotated[list[AlarmRef], Meta(min_length=1, max_length=MANY_MAX)]


class Operation(Struct, frozen=True, forbid_unknown_fields=True):
    """What to do to which alarms, and perhaps why; all of them or none."""

    alarms: Refs
    reason: Words = ""


class ReasonedOperation(Struct, frozen=True, forbid_unknown_fields=True):
    """What to do to which alarms, and why; all of them or none."""

    alarms: Refs
    reason: Reason


class Shelving(Struct, frozen=True, forbid_unknown_fields=True):
    """Which alarms to put away, for how long, and why; all of them or none."""

    alarms: Refs
    reason: Reason
    seconds: Annotated[int, Meta(ge=1, le=SHELF_SECONDS_MAX)]


def body_of(event: Event) -> type[Struct]:
    """What an operation takes."""
    if event is Event.SHELVE:
        return Shelving
    return ReasonedOperation if event in {Event.SUPPRESS, Event.REMOVE} else Operation


class Operated(Struct, frozen=True):
    """The events that the operation made."""

    events: list[shape.AlarmEventEntry]


def operating(event: Event) -> Answer:
    """The answer of one operation. 409 where an alarm does not allow it: then none has changed."""

    async def operate(call: Call) -> Operated:
        return await _operate(call, event)

    return operate


async def _operate(call: Call, event: Event) -> Operated:
    body = call.body
    shelved = isinstance(body, Shelving)
    until = now_us() + body.seconds * MICROSECONDS if shelved else 0
    names = list(dict.fromkeys((one.device, one.metric, one.detector) for one in body.alarms))
    made = await call.services.record.ask(
        lambda a: a.operate(call.who.actor, event, names, until=until, reason=body.reason.strip())
    )
    call.services.feed.hurry_alarms()
    return Operated([shape.event_entry(one, Priority.of(one.priority)) for one in made])


class LoadQuery(Query):
    """A span of at most 31 days, by default the last one, and how many operators share it."""

    begin: Moment | None = field(default=None, name="from")
    end: Moment | None = field(default=None, name="to")
    operators: Annotated[int, Meta(ge=1, le=100)] = 1


async def alarm_load(call: Call) -> shape.AlarmLoad:
    """Alarms per operator-hour, floods, chatter, stale alarms, the worst ten, the priorities."""
    query = call.query
    end = now_us() if query.end is None else query.end
    begin = end - 86_400 * MICROSECONDS if query.begin is None else query.begin
    if not 0 < end - begin <= DAYS_MAX * 86_400 * MICROSECONDS:
        raise HTTPError(400, f"from must lie before to, by at most {DAYS_MAX} days")

    def ask(answers: Answers) -> Load:
        standing = {
            one.name: one.recorded_at
            for one in answers.alarms_before(begin, EVENTS_MAX)
            if State(one.after) in SHOWN
        }
        steps = steps_of(answers, begin, end)
        return load(steps, begin, end, operators=query.operators, standing=standing)

    return _load_entry(await call.services.record.ask(ask), begin, end, query.operators)


def _load_entry(found: Load, begin: int, end: int, operators: int) -> shape.AlarmLoad:
    return shape.AlarmLoad(
        begin=begin,
        end=end,
        operators=operators,
        hours=found.hours,
        alarms=found.rings,
        grouped=found.grouped,
        alarms_per_operator_hour=found.per_operator_hour,
        peak_in_ten_minutes=found.peak,
        flood_hours=found.flood_hours,
        flood_share=found.flood_share,
        floods=[flood_entry(one) for one in found.floods],
        chattering=_counts(found.chattering),
        stale=_counts(found.stale),
        worst=_counts(found.worst),
        worst_share=found.worst_share,
        by_priority={str(priority): count for priority, count in found.by_priority},
    )


def _counts(found: tuple[tuple[Name, float], ...]) -> list[shape.AlarmCount]:
    return [shape.AlarmCount(*name, float(number)) for name, number in found]


ROUTES = (
    Route("GET", "/api/v1/alarms", alarms, ALL, "Alarms as they stand", shape.AlarmPage,
          AlarmsQuery),
    Route("GET", "/api/v1/alarm-events", events, ALL, "Events of alarms", shape.AlarmEventPage,
          EventsQuery),
    Route("GET", "/api/v1/alarm-load", alarm_load, ALL, "What alarms asked of operators",
          shape.AlarmLoad, LoadQuery),
    *(
        Route("POST", f"/api/v1/alarms/{event}", operating(event),
              ENGINEERING if event in BY_DESIGN else OPERATING,
              f"{event.capitalize()} alarms", Operated, body=body_of(event),
              body_bytes_max=OPERATION_BYTES_MAX, statuses=(404, 409))
        for event in Event if event in OPERATIONS
    ),
)  # fmt: skip
