"""What operators say of normal: versions of the catalogue, in order, audited and proven."""

import json

import pytest
from written import Written

from floorlog.core.catalogue import Catalogue
from floorlog.core.condition import Excluded
from floorlog.errors import InputError
from floorlog.record.act.normal import accept, exclude
from floorlog.record.check.verify import verify
from floorlog.store.catalogue import put_catalogue
from floorlog.store.migrate import OPERATOR, READER

NEWEST = "SELECT version, body::text FROM floorlog.catalogue ORDER BY version DESC LIMIT 1"
EVENTS = (
    "SELECT action, detail::text, actor FROM floorlog.audit_event WHERE action LIKE 'detect.%%'"
    " ORDER BY event_id"
)
SERIES = "SELECT device, metric FROM floorlog.series WHERE kind = 0 ORDER BY series_id LIMIT 1"


def test_both_are_versions_of_the_catalogue_and_audit_events(written: Written) -> None:
    """The rest of the catalogue stays; who, what and why is an event; all of it verifies."""
    ((device, metric),) = written.run(SERIES)
    dsn = written.dsn(OPERATOR)
    body = b'{"metrics":{"m1":{"limits":{"hi":5}}}}'
    first = put_catalogue(dsn, body)
    assert accept(dsn, device, metric, by="Cy", reason="new tool") == first + 1
    assert accept(dsn, device, metric, by="Cy", reason="newer tool") == first + 2
    assert exclude(dsn, device, None, 5, 9, by="Cy", reason="cleaning") == first + 3
    ((version, text),) = written.run(NEWEST)
    catalogue = Catalogue.decode(text.encode())
    assert version == first + 3
    assert catalogue.metrics == Catalogue.decode(body).metrics
    assert [(one.device, one.metric) for one in catalogue.acts.accepted] == [(device, metric)]
    assert catalogue.acts.accepted[0].at_us > 1_700_000_000_000_000
    assert catalogue.acts.excluded == (Excluded(device, 5, 9),)
    events = written.run(EVENTS)
    assert [action for action, _, _ in events] == [
        "detect.accept", "detect.accept", "detect.exclude"
    ]  # fmt: skip
    detail = json.loads(events[2][1])
    assert (detail["begin_us"], detail["end_us"], detail["reason"]) == (5, 9, "cleaning")
    assert detail["catalogue"] == version
    assert all(actor.startswith("p-") for _, _, actor in events)
    written.keep()
    report = verify(written.dsn(READER), written.anchor)
    assert report.ok, report.wrong
    # A catalogue stored from a file says nothing of acts: they stay.
    assert put_catalogue(dsn, body) == version
    assert put_catalogue(dsn, b'{"strict":true}') == version + 1
    ((_, text),) = written.run(NEWEST)
    assert Catalogue.decode(text.encode()).acts == catalogue.acts


def test_what_cannot_be_said_is_refused_in_one_line(written: Written) -> None:
    """A series that is not there, a time that ends before it begins, no reason: nothing changes."""
    ((device, metric),) = written.run(SERIES)
    dsn = written.dsn(OPERATOR)
    before = written.run(NEWEST)
    for call, says in (
        (lambda: accept(dsn, device, "nothing", by="Cy", reason="x"), "holds nothing of nothing"),
        (lambda: exclude(dsn, "none", None, 1, 2, by="Cy", reason="x"), "holds nothing of none"),
        (lambda: exclude(dsn, device, metric, 2, 2, by="Cy", reason="x"), "ends before it begins"),
        (lambda: accept(dsn, device, metric, by="Cy", reason=" "), "a reason is needed"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert written.run(NEWEST) == before


def test_the_commands_say_what_they_did(written: Written, command) -> None:
    """By the operator's role, under a pseudonym; one line each."""
    ((device, metric),) = written.run(SERIES)
    ((before, _),) = written.run(NEWEST)
    said = command("accept", device, metric, "--reason", "new tool", "--by", "Cy")
    assert said.startswith(f"{metric} of {device} is normal now: catalogue {before + 1}, from ")
    span = ("--from", "2026-01-01T06:00Z", "--to", "2026-01-01T07:00Z")
    said = command("exclude", device, *span, "--reason", "cleaning", "--by", "Cy")
    assert said == (
        f"{device} does not count from 2026-01-01T06:00Z to 2026-01-01T07:00Z: "
        f"catalogue {before + 2}\n"
    )
    ((_, text),) = written.run(NEWEST)
    (excluded,) = Catalogue.decode(text.encode()).acts.excluded
    assert excluded == Excluded(device, 1_767_247_200_000_000, 1_767_250_800_000_000)
    with pytest.raises(InputError, match="is no time"):
        command("exclude", device, "--from", "six", "--to", "seven", "--reason", "x", "--by", "Cy")
