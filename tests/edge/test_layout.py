"""A table's layout as a person edits it: the guess is its first draft, and then it alone counts."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from floorlog.errors import InputError
from floorlog.source.csv_layout import Layout, ValueLayout, first_cells, layout_of, mapping_of
from floorlog.source.csv_shape import guess
from floorlog.source.replay import Replay

WIDE = "Zeit;Maschine;Temp [°C];Druck (bar)\n01.02.2026 10:00:00;ofen-1;70,5;3,1\n"
CLOCK = "date,clock,v\n2026-01-01,10:00,1\n2026-01-01,10:01,2\n"
LONG = "time,sensor,value,unit\n2026-01-01T00:00:00Z,a,1.5,bar\n2026-01-01T00:00:01Z,b,2.5,K\n"


def table(path: Path, text: str) -> Path:
    file = path / "t.csv"
    file.write_text(text)
    return file


@pytest.mark.parametrize("text", [WIDE, LONG, CLOCK])
def test_a_guess_that_nobody_edits_stays_what_it_was(tmp_path, text):
    """Through the layout and back the same readings come of a file."""
    file = table(tmp_path, text)
    guessed = guess(file)
    again = mapping_of(file, layout_of(guessed))
    assert list(Replay(again)) == list(Replay(guessed))
    form = replace(again.time_format, ambiguous=guessed.time_format.ambiguous)
    assert replace(again, time_format=form) == guessed


def test_what_is_edited_counts(tmp_path):
    """Columns left out, metrics and units renamed, the device from its name, a zone, the month."""
    file = table(tmp_path, WIDE)
    layout = Layout(
        time=0, device_name="hall", values=[ValueLayout(3, "pressure", "Pa")], delimiter=";",
        decimal=",", timezone="Europe/Berlin", day_first=False,
    )  # fmt: skip
    ((frame,),) = Replay(mapping_of(file, layout))
    assert (frame.device_id, frame.values) == ("hall", {"pressure": 3.1})
    assert frame.units == {"pressure": "Pa"}
    assert frame.ts == 1_767_344_400_000_000  # 2 January, 09:00 UTC
    rows = first_cells(file, mapping_of(file, layout))
    assert rows == [["01.02.2026 10:00:00", "ofen-1", "70,5", "3,1"]]


def test_each_row_one_value(tmp_path):
    """The metric comes from its column, the unit from its own; without them rows are frames."""
    file = table(tmp_path, LONG)
    layout = Layout(0, "d", [ValueLayout(2, "value")], metric=1, unit=3)
    (frames,) = Replay(mapping_of(file, layout))
    assert [one.values for one in frames] == [{"a": 1.5}, {"b": 2.5}]
    assert [one.units for one in frames] == [{"a": "bar"}, {"b": "K"}]
    wide = msgspec.structs.replace(layout, metric=None, unit=None)
    (frames,) = Replay(mapping_of(file, wide))
    assert [one.values for one in frames] == [{"value": 1.5}, {"value": 2.5}]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"time": 1}, "holds no times"),
        ({"time": 9}, "has no column"),
        ({"device": 9}, "has no column 10"),
        ({"values": [ValueLayout(9, "m")]}, "has no column 10"),
        ({"values": [ValueLayout(2, "m"), ValueLayout(3, "m")]}, "two columns are the metric 'm'"),
        ({"metric": 1, "values": [ValueLayout(2, "a"), ValueLayout(3, "b")]}, "one column of"),
        ({"timezone": "Mars/Olympus"}, "unknown"),
        ({"encoding": "klingon"}, "no encoding"),
    ],
)  # fmt: skip
def test_a_layout_that_does_not_suit_is_refused(tmp_path, changes, says):
    """In one line, before anything is read."""
    good = Layout(0, "d", [ValueLayout(2, "m")], delimiter=";", decimal=",")
    with pytest.raises(InputError, match=says):
        mapping_of(table(tmp_path, WIDE), msgspec.structs.replace(good, **changes))
