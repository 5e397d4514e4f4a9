"""Alarms: every stored event against the table of transitions, and what is kept beside them."""

from floorlog.core.alarm import Alarm, Event, Illegal, change
from floorlog.record.finding import Findings
from floorlog.record.rows import Connection, Row, Rows

Name = tuple[int, str]


def check_alarms(connection: Connection, findings: Findings) -> None:
    """Every alarm folded from its events; the events must be a way through the table."""
    alarms: dict[Name, Alarm] = {}
    newest: dict[Name, int] = {}
    steps = Rows(connection, "alarm_steps", {})
    while page := steps.page():
        for row in page:
            name = (row[1], row[2])
            newest[name] = row[0]
            alarms[name] = _step(alarms.get(name, Alarm()), row, findings)
    kept = Rows(connection, "alarms", {})
    while page := kept.page():
        for series_id, detector, event_id, *stands in page:
            name = (series_id, detector)
            folded = alarms.pop(name, Alarm())
            told = [str(folded.state), folded.active, folded.until]
            if stands != told or event_id != newest.get(name, 0):
                says = f"the alarm {detector} is kept as {stands[0]}, but its events say {told[0]}"
                findings.derived("alarm", says, series=series_id)
    for series_id, detector in alarms:
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
