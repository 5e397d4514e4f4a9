"""What people do to the record: corrections beside readings that stay, names that can go."""

import json
from datetime import timedelta

import pytest
from written import Written

from floorlog.errors import InputError, ServiceError
from floorlog.record.act.act import erase_name, people
from floorlog.record.act.correct import correct
from floorlog.record.check.verify import verify
from floorlog.record.export.known import readings
from floorlog.store.migrate import OPERATOR, READER

pytestmark = pytest.mark.slow
NEWEST = (
    "SELECT device_id, metric, floorlog.to_us(ts), value, text, quality FROM floorlog.reading"
    " WHERE flags & 1 = 0 AND (metric = 'm3') = %s ORDER BY ts DESC, device_id, metric LIMIT 1"
)
CORRECTIONS = (
    "SELECT c.correction_id, c.value, c.quality, c.actor FROM floorlog.correction AS c"
    " ORDER BY c.correction_id"
)


def is_intact(written: Written) -> bool:
    report = verify(written.dsn(READER), written.anchor)
    assert report.wrong == []
    return report.ok


def test_a_correction_is_a_row_of_its_own(written) -> None:
    """The reading stays bit for bit; the correction has value, actor, reason, and its leaf."""
    ((device, metric, at, value, _, quality),) = written.run(NEWEST, False)
    before = written.run("SELECT * FROM floorlog.open_row ORDER BY lease_id, number, part")
    counted = written.run("SELECT stored, received FROM floorlog.lease ORDER BY lease_id")
    made = correct(
        written.dsn(OPERATOR), device, metric, at, "7.25", None, by="Cy", reason="off by ten"
    )
    assert (made.was, made.was_quality, made.value) == (value, quality, 7.25)
    assert made.quality == quality
    assert written.run("SELECT * FROM floorlog.open_row ORDER BY lease_id, number, part") == before
    assert written.run("SELECT stored, received FROM floorlog.lease ORDER BY lease_id") == counted
    assert is_intact(written)
    written.keep()
    leaf = "SELECT count(*) FROM floorlog.log_leaf WHERE kind = 22 AND id = %s"
    assert written.run(leaf, made.correction_id) == [(1,)]
    assert is_intact(written)


def test_readers_show_the_reading_and_its_correction(written) -> None:
    """The view and both functions: flag 4 and what it should have been, on what stands alone."""
    ((device, metric, at, value, *_),) = written.run(NEWEST, False)
    made = "SELECT value, corrected_value, corrected_quality, flags & 4 FROM floorlog."
    of_one = f"readings('{device}', '{metric}', floorlog.from_us({at}), floorlog.from_us({at + 1}))"
    of_all = f"readings(floorlog.from_us({at}), floorlog.from_us({at + 1}))"
    for source in ("reading", of_one, of_all):
        rows = written.run(
            f"{made}{source} WHERE device_id = %s AND metric = %s AND floorlog.to_us(ts) = %s"
            " AND flags & 1 = 0",
            device, metric, at,
        )  # fmt: skip
        assert [row[:2] + row[3:] for row in rows] == [(value, -0.5, 4)]
    assert written.run("SELECT count(*) FROM floorlog.reading WHERE flags & 4 = 4") == [(2,)]
    ((text, corrected),) = written.run(
        "SELECT text, corrected_text FROM floorlog.reading WHERE metric = 'm3' AND flags & 4 = 4"
    )
    assert (text != corrected, corrected) == (True, "false")


def test_as_of_shows_what_was_known(written) -> None:
    """By size of the log: readings appear with their entry, a correction with its own leaf."""
    ((device, metric, at, value, *_),) = written.run(NEWEST, False)
    dsn = written.dsn(READER)
    leaf = "SELECT position FROM floorlog.log_leaf WHERE (kind, lease_id, id) = (%s, %s, %s)"
    ((shard, batch),) = written.run(
        "SELECT shard, batch FROM floorlog.reading WHERE device_id = %s AND metric = %s"
        " AND floorlog.to_us(ts) = %s AND flags & 1 = 0",
        device, metric, at,
    )  # fmt: skip
    ((entry,),) = written.run(leaf, 32, shard, batch)
    ((correction,),) = written.run(leaf, 22, 0, 1)
    assert entry < correction

    def known(size: object) -> list[tuple]:
        found = readings(dsn, device, metric, at, at + 1, as_of=str(size))
        return [
            (one.value, one.corrected, one.flags & 4) for one in found.readings if not one.flags & 1
        ]

    assert known(entry) == []
    assert known(entry + 1) == known(correction) == [(value, None, 0)]
    assert known(correction + 1) == [(value, -0.5, 4)]
    ((size,),) = written.run("SELECT max(position) + 1 FROM floorlog.log_leaf")
    whole = readings(dsn, device, metric, -(2**61), 2**61, as_of=str(size))
    assert whole.readings == readings(dsn, device, metric, -(2**61), 2**61).readings
    with pytest.raises(InputError, match="neither a size"):
        known("yesterday")


def test_as_of_a_moment_is_as_of_the_size_that_the_log_had(written) -> None:
    """Just before and just after each time at which positions were given."""
    dsn = written.dsn(READER)
    ((device, metric, *_),) = written.run(NEWEST, False)
    steps = written.run(
        "SELECT recorded_at, max(position) + 1 FROM floorlog.log_leaf GROUP BY 1 ORDER BY 1"
    )
    assert len(steps) >= 3
    before = 0
    for at, size in steps:
        for moment, expected in ((at - timedelta(microseconds=1), before), (at, size)):
            found = readings(dsn, device, metric, 0, 1, as_of=moment.isoformat())
            assert found.log_size == expected
        before = size
    ((count,),) = written.run(
        "SELECT count(*) FROM floorlog.readings_as_of(%s, %s, '-infinity', 'infinity', %s)",
        device, metric, steps[0][0] - timedelta(1),
    )  # fmt: skip
    assert count == 0


def test_a_correction_of_a_state_may_name_a_new_one(written) -> None:
    """The name gets its code; only the quality can be corrected, too."""
    ((device, metric, at, _, text, _),) = written.run(NEWEST, True)
    dsn = written.dsn(OPERATOR)
    made = correct(dsn, device, metric, at, "never seen: ü", None, by="Cy", reason="why not")
    assert (made.was, made.value) == (text, "never seen: ü")
    made = correct(dsn, device, metric, at, None, 0x80000000, by="Cy", reason="unknown")
    assert (made.value, made.quality) == (text, 0x80000000)
    written.keep()
    assert is_intact(written)


REFUSED = [
    ({"device": "none"}, "no series none"),
    ({"at": 5}, "has no reading of 1970"),
    ({"value": "warm"}, "is no number"),
    ({"value": "nan"}, "is no number"),
    ({"value": None}, "nothing is corrected"),
    ({"reason": " "}, "a reason is needed"),
    ({"by": ""}, "who acts is needed"),
]


def test_what_cannot_be_corrected_is_said_in_one_line(written) -> None:
    """Nothing is stored."""
    ((device, metric, at, *_),) = written.run(NEWEST, False)
    before = written.run(CORRECTIONS)
    for change, says in REFUSED:
        asked = {"device": device, "metric": metric, "at": at, "value": "1"}
        asked |= {"by": "Cy", "reason": "x"} | change
        with pytest.raises(InputError, match=says) as error:
            correct(written.dsn(OPERATOR), quality=None, **asked)
        assert "\n" not in str(error.value)
    assert written.run(CORRECTIONS) == before


def test_the_same_correction_twice_is_refused(written) -> None:
    """It says so already; a correction back to the reading's own value is not the same."""
    ((device, metric, at, value, *_),) = written.run(NEWEST, False)
    dsn = written.dsn(OPERATOR)
    correct(dsn, device, metric, at, "8", None, by="Cy", reason="x")
    with pytest.raises(InputError, match="says so already"):
        correct(dsn, device, metric, at, "8", None, by="Di", reason="y")
    made = correct(dsn, device, metric, at, repr(value), None, by="Di", reason="it was right")
    assert made.value == value


def test_only_the_operator_corrects(written) -> None:
    """A reader is told that the role may not."""
    ((device, metric, at, *_),) = written.run(NEWEST, False)
    with pytest.raises(ServiceError, match="permission denied"):
        correct(written.dsn(READER), device, metric, at, "8", None, by="Cy", reason="x")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("UPDATE floorlog.correction SET value = value + 1 WHERE correction_id = 1", "correction"),
        ("UPDATE floorlog.correction SET reason = 'so' WHERE correction_id = 2", "correction"),
        ("DELETE FROM floorlog.correction WHERE correction_id = 2", "correction"),
        ("UPDATE floorlog.correction SET series_id = 999 WHERE correction_id = 1", "correction"),
        ("UPDATE floorlog.correction SET value = 77 WHERE correction_id = 2", "correction"),
    ],
)
def test_a_changed_correction_is_found(written, change, where) -> None:
    """By its number, as evidence."""
    written.run(change)
    report = verify(written.dsn(READER), written.anchor)
    assert [(one.kind, one.where) for one in report.wrong] == [("evidence", where)]
    assert change.rsplit(" ", 1)[1] in report.wrong[0].says


def test_a_name_is_erased_and_all_still_verifies(written) -> None:
    """The pseudonym stays where it acted; nothing in the database holds the name."""
    dsn = written.dsn(OPERATOR)
    named = {one.name: one.pseudonym for one in people(dsn)}
    assert set(named) == {"Ann Lee", "Bob"}
    assert erase_name(dsn, "Ann Lee", "Bob", "asked for it") == named["Ann Lee"]
    assert {one.name for one in people(dsn)} == {None, "Bob"}
    assert {actor for *_, actor in written.run(CORRECTIONS)} == set(named.values())
    tables = written.run(
        "SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relkind = 'r'"
        " AND c.relnamespace = 'floorlog'::regnamespace"
    )
    for (table,) in tables:
        held = written.run(f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%%Ann%%'")
        assert held == [(0,)], table
    written.keep()
    assert is_intact(written)


def test_what_keeps_a_name_from_going_is_said(written) -> None:
    """An unknown one, one that is gone, and a reason that would keep the name."""
    dsn = written.dsn(OPERATOR)
    with pytest.raises(InputError, match="nobody is known"):
        erase_name(dsn, "Zoe", "Bob", "x")
    with pytest.raises(InputError, match="holds the name"):
        erase_name(dsn, "Ann Lee", "Bob", "ann lee asked")
    pseudonym = erase_name(dsn, "Ann Lee", "Ann Lee", "own wish")
    with pytest.raises(InputError, match="nobody is known"):
        erase_name(dsn, pseudonym, "Bob", "again")
    assert written.run("SELECT actor FROM floorlog.audit_event WHERE action = 'name.erase'") == [
        (pseudonym,)
    ]


def test_commands(written, command) -> None:
    """`correct` and `person` from the command line, for people and as JSON."""
    ((device, metric, _, value, *_),) = written.run(NEWEST, False)
    ((time,),) = written.run(
        "SELECT to_char(max(ts) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US') || 'Z'"
        " FROM floorlog.reading WHERE flags & 1 = 0 AND device_id = %s AND metric = %s",
        device, metric,
    )  # fmt: skip
    said = ("--reason", "typing error", "--by", "Di")
    found = json.loads(command("correct", device, metric, time, "4.5", *said, "--json"))
    assert (found["was"], found["value"]) == (value, 4.5)
    text = command("correct", device, metric, time, "--quality", "0x40000000", *said)
    assert "quality 0x40000000" in text
    shown = command("readings", device, metric, "--from", time, role=READER)
    assert f"corrected: {value} (0x40000000)" in shown
    shown = json.loads(command("readings", device, metric, "--as-of", "0", "--json", role=READER))
    assert (shown["log_size"], shown["readings"]) == (0, [])
    assert "Di" in {one["name"] for one in json.loads(command("person", "list", "--json"))}
    assert "no name any more" in command(
        "person", "erase", "Di", "--yes", "--reason", "x", "--by", "Bob"
    )
