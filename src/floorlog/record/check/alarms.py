"""Alarms: every stored event against the table of transitions, and what is kept beside them."""

from floorlog.core.alarm import Alarm, Event, Illegal, change
from floorlog.record.check.finding import Findings
from floorlog.record.rows import Connection, Row, Rows

Name = tuple[int, str]


def check_alarms(connection: Connection, findings: Findings) -> None:
    """Every alarm folded from its events; the events must be a way through the table."""
    alarms: dict[Name, Alarm] = {}
    newest: dict[Name, Row] = {}
    steps = Rows(connection, "alarm_steps", {})
    while page := steps.page():
        for *row, start, priority, recorded in page:
            name = (row[1], row[2])
            newest[name] = (row[0], start, priority, recorded)
            alarms[name] = _step(alarms.get(name, Alarm()), tuple(row), findings)
    kept = Rows(connection, "alarms", {})
    seen: set[Name] = set()
    while page := kept.page():
        for series_id, detector, *stands in page:
            name = (series_id, detector)
            folded = alarms.get(name, Alarm())
            # One that no event touched yet says when its row was made.
            last = newest.get(name, (0, 0, 1, stands[3]))
            told = [*last, str(folded.state), folded.active, folded.latch, folded.until]
            if stands != told or name in seen:
                says = f"the alarm {detector} is kept as {stands[4]}, but its events say {told[4]}"
                findings.derived("alarm", says, series=series_id)
            seen.add(name)
    for series_id, detector in sorted(set(alarms) - seen):
        findings.derived("alarm", f"the alarm {detector} is not kept", series=series_id)


def _step(alarm: Alarm, row: Row, findings: Findings) -> Alarm:
    """The alarm after an event; what the event says of itself where the table would not have it."""
    event_id, series_id, _, event, before, after, active, latch, until = row
    try:
        made = change(alarm, Event(event), latch=latch, until=until)
        told = [str(alarm.state), str(made.state), made.active, made.latch, made.until]
        if told == [before, after, active, latch, until]:
            return made
        says = f"event {event_id} says {before} to {after} by {event}, which its alarm did not do"
    except (Illegal, ValueError) as error:
        says = f"event {event_id} is none that can be: {error}"
    findings.evidence("alarm event", says, series=series_id)
    try:
        return Alarm(type(alarm.state)(after), active, latch, until)
    except ValueError:
        return alarm
