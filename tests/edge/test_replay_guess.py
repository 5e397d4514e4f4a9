"""Guessing a table's layout: what is found, what is said, and what cannot be."""

import gzip
from pathlib import Path

import pytest

from floorlog.errors import InputError
from floorlog.source import csv_cell, csv_time
from floorlog.source.csv_mapping import Mapping
from floorlog.source.csv_shape import Wishes, guess


def table(folder: Path, text: str | bytes, name: str = "press.csv", **wishes: object) -> Mapping:
    """The layout guessed of a text."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return guess(path, Wishes(**wishes))  # type: ignore[arg-type]  # named by the test


def column(header: str, times: list[str], delimiter: str = ",") -> str:
    """A table of one value a time."""
    rows = [f"{time}{delimiter}{place}" for place, time in enumerate(times)]
    return "\n".join([f"{header}{delimiter}value", *rows])


@pytest.mark.parametrize(
    ("times", "delimiter", "order", "ambiguous"),
    [
        (["2026-01-31 00:00:00", "2026-02-01 00:00:00"], ",", "ymd", False),
        (["2026/1/31 0:00", "2026/2/1 0:00"], ",", "ymd", False),
        (["31.01.2026 00:00", "01.02.2026 00:00"], ";", "dmy", False),
        (["01.02.2026", "02.02.2026"], ",", "dmy", False),
        (["31/01/2026 00:00", "01/02/2026 00:00"], ",", "dmy", False),
        (["01/31/2026 00:00", "02/01/2026 00:00"], ",", "mdy", False),
        (["1/31/26 12:00:00 AM", "2/1/26 1:00:00 PM"], ",", "mdy", False),
        (["01/02/2026 00:00", "02/02/2026 00:00"], ",", "mdy", True),
        (["01/02/2026 00:00", "02/02/2026 00:00"], ";", "dmy", True),
        (["01-02-2026 00:00", "13-02-2026 00:00"], ",", "dmy", False),
    ],
)
def test_the_order_of_day_and_month(
    tmp_path: Path, times: list[str], delimiter: str, order: str, ambiguous: bool
):
    """Points and numbers above 12 tell; else it is said that nothing does, and how to tell."""
    mapping = table(tmp_path, column("when", times, delimiter))
    assert (mapping.time_format.order, mapping.time_format.ambiguous) == (order, ambiguous)
    said = "\n".join(mapping.describe())
    assert ("--day-first" in said) == ambiguous
    wished = table(tmp_path, column("when", times, delimiter), day_first=order == "dmy")
    assert wished.time_format.order == order
    assert not wished.time_format.ambiguous


def test_evidence_may_come_late(tmp_path: Path):
    """Where the first rows do not tell day from month, the rest of the file may."""
    early = [
        f"{1 + at // 1500:02}/02/2026 00:{at // 60 % 60:02}:{at % 60:02}" for at in range(15_000)
    ]
    mapping = table(tmp_path, column("time", [*early, "13/02/2026 00:00:00"]))
    assert (mapping.time_format.order, mapping.time_format.ambiguous) == ("dmy", False)


@pytest.mark.parametrize(
    ("first", "step", "unit"),
    [(1_767_225_600, 1, "s"), (1_767_225_600_000, 500, "ms"), (1_767_225_600_000_000, 1, "µs"),
     (1_767_225_600_000_000_000, 1000, "ns"), (1_767_225_600.25, 0.25, "s")],
)  # fmt: skip
@pytest.mark.parametrize("header", ["Timestamp", "x"])
def test_epoch_numbers(tmp_path: Path, first: float, step: float, unit: str, header: str):
    """Rising numbers of a plausible size are a time, also without a name that says so."""
    mapping = table(tmp_path, column(header, [repr(first + step * at) for at in range(9)]))
    assert str(mapping.time_format) == f"{unit} since 1970"
    assert "UTC" not in "\n".join(mapping.describe())


@pytest.mark.parametrize(
    ("text", "micros"),
    [("1767225600.123456789", 123456), ("1767225600", 0), ("1.7672256e9", 0),
     ("1767225600,5", 500_000)],
)  # fmt: skip
def test_epoch_seconds_are_exact(text: str, micros: int):
    """Fractions of epoch seconds are cut to µs by their digits, not by way of a float."""
    ts, local = csv_time.read([text, "never"], csv_time.TimeFormat("epoch", "s"))
    assert ts.tolist() == [1_767_225_600_000_000 + micros, csv_time.UNREADABLE]
    assert not local.any()


@pytest.mark.parametrize(
    ("text", "order", "expected"),
    [
        ("2026-01-31", "ymd", ("2026-01-31T00:00:00", True)),
        ("2026-01-31 5:07", "ymd", ("2026-01-31T05:07:00", True)),
        ("2026-01-31 05:07:09,123", "ymd", ("2026-01-31T05:07:09.123", True)),
        ("2026-01-31T05:07:09 UTC", "ymd", ("2026-01-31T05:07:09", False)),
        ("2026-01-31 05:07:09+02", "ymd", ("2026-01-31T03:07:09", False)),
        ("2026-01-31 05:07:09 +0230", "ymd", ("2026-01-31T02:37:09", False)),
        ("31.1.2026 5:07", "dmy", ("2026-01-31T05:07:00", True)),
        ("31.01.26", "dmy", ("2026-01-31T00:00:00", True)),
        ("31.01.99", "dmy", ("1999-01-31T00:00:00", True)),
        ("1/31/2026, 12:07 AM", "mdy", ("2026-01-31T00:07:00", True)),
        ("1/31/2026 12:07:01 pm", "mdy", ("2026-01-31T12:07:01", True)),
        ("1/31/2026 11:07 p.m.", "mdy", ("2026-01-31T23:07:00", True)),
        ("31/01-2026", "dmy", None),
        ("2026-02-29", "ymd", None),
        ("2026-01-31 24:00", "ymd", None),
        ("2026-01-31 23:59:60", "ymd", None),
        ("1/31/2026 13:07 PM", "mdy", None),
        ("1/31/2026", "dmy", None),
        ("now", "ymd", None),
    ],
)
def test_times_as_people_write_them(text: str, order: str, expected: tuple[str, bool] | None):
    """One text alone and the same in a column are read alike."""
    found = csv_time.one(text, order)
    if expected is None:
        assert found is None
    else:
        ts, _ = csv_time.read([expected[0] + "Z"], csv_time.TimeFormat("ymd", zoned=True))
        assert found == (ts[0], expected[1])
    for zoned in (True, False):
        ts, local = csv_time.read([text], csv_time.TimeFormat(order, zoned=zoned))
        assert (found or (csv_time.UNREADABLE, False)) == (ts[0], local[0])


@pytest.mark.parametrize(
    ("header", "name", "unit"),
    [("Temp [°C]", "Temp", "°C"), ("temp (bar)", "temp", "bar"),
     ("Pump (left)", "Pump (left)", None),
     ("x[m/s²]", "x", "m/s²"), ("  plain ", "plain", None), ("[K]", "[K]", None),
     ("a [b] [K]", "a [b]", "K"), ("Speed(rpm)", "Speed", "rpm")],
)  # fmt: skip
def test_units_in_headers(header: str, name: str, unit: str | None):
    """Brackets hold a unit; parentheses where what they hold is one."""
    assert csv_cell.name_and_unit(header) == (name, unit)


@pytest.mark.parametrize(
    ("text", "decimal", "number"),
    [("1.5", ".", 1.5), ("1,5", ",", 1.5), ("1.234,5", ",", 1234.5), ("1.234.567", ",", 1234567.0),
     ("1,234.5", ".", 1234.5), ("1,5", ".", None), ("-1e-3", ".", -0.001), ("1_000", ".", None),
     ("+7", ".", 7.0), ("9007199254740993", ".", 9007199254740993), ("12 bar", ".", None),
     ("0x10", ".", None), ("", ".", None)],
)  # fmt: skip
def test_numbers_in_cells(text: str, decimal: str, number: float | None):
    """Decimal signs and grouping by thousands; whatever else is no number."""
    found = csv_cell.number(text, decimal)
    assert found == number
    assert type(found) is type(number)


def test_encodings(tmp_path: Path):
    """UTF-8 with and without its mark, latin-1 and UTF-16 give the same names."""
    text = "Zeit;Größe [µm]\n2026-01-01 00:00:00;1,5\n"
    for encoding in ("utf-8", "utf-8-sig", "latin-1", "utf-16"):
        mapping = table(tmp_path, text.encode(encoding))
        assert mapping.encoding == encoding
        assert (mapping.values[0].metric, mapping.values[0].unit) == ("Größe", "µm")
        assert mapping.decimal == ","


def test_date_and_time_of_day_in_two_columns(tmp_path: Path):
    """A date beside a time of day is one time."""
    text = "Datum;Uhrzeit;T\n31.01.2026;23:59:59;1\n01.02.2026;00:00:00;2\n"
    mapping = table(tmp_path, text)
    assert mapping.time_columns == (0, 1)
    assert [each.metric for each in mapping.values] == ["T"]
    assert "'Datum' + 'Uhrzeit'" in "\n".join(mapping.describe())


def test_no_header(tmp_path: Path):
    """Without a header the columns are numbered."""
    mapping = table(tmp_path, "2026-01-01 00:00:00,1,2\n2026-01-01 00:00:01,1,2\n")
    assert mapping.columns == ("column 1", "column 2", "column 3")
    assert mapping.first_row == 0


def test_titles_above_the_table(tmp_path: Path):
    """Lines of another width before the header are passed over."""
    text = "Logger 7 export\n\n" + column("time", [f"2026-01-01 00:00:0{at}" for at in range(9)])
    mapping = table(tmp_path, text)
    assert mapping.columns == ("time", "value")
    assert mapping.first_row == 2


def test_names_that_come_twice_stay_apart(tmp_path: Path):
    """Equal headers, or headers equal but for their unit, make different metrics."""
    text = "time,a,a,T [K],T [Cel],\n2026-01-01 00:00:00,1,2,3,4,5\n"
    metrics = [each.metric for each in table(tmp_path, text).values]
    assert metrics == ["a", "a 3", "T [K]", "T [Cel]", "column 6"]


def test_time_device_and_value_columns_that_a_person_names(tmp_path: Path):
    """What is said wins over what would be guessed."""
    text = "start,end,line,a,b\n" + "\n".join(
        f"2026-01-01 00:00:0{at},2026-01-02 00:00:0{at},L1,{at},{at}" for at in range(6)
    )
    mapping = table(tmp_path, text, time="end", device="line", values=["b"])
    assert mapping.time_columns == (1,)
    assert mapping.device_column == 2
    assert [each.metric for each in mapping.values] == ["b"]
    assert "unused  'start', 'a'" in mapping.describe()
    named = table(tmp_path, text, time="1", device_name="oven")
    assert (named.time_columns, named.device_column, named.device) == ((0,), None, "oven")


@pytest.mark.parametrize(
    ("header", "device", "metric"),
    [("time,device_id,metric,value", 1, 2), ("Zeit,Anlage,Messgröße,Wert", 1, 2),
     ("ts,asset,tag,value", 1, 2)],
)  # fmt: skip
def test_long_tables(tmp_path: Path, header: str, device: int, metric: int):
    """Names of devices, metrics and values, in English or German, make a long table."""
    rows = [f"2026-01-01 00:00:0{at // 2},d{at % 2},m,{at}" for at in range(8)]
    mapping = table(tmp_path, "\n".join([header, *rows]))
    assert (mapping.device_column, mapping.metric_column) == (device, metric)
    assert mapping.values[0].place == 3


def test_a_long_table_of_sensors(tmp_path: Path):
    """Time, sensor and value: the sensor is the metric of the file's device."""
    rows = [f"2026-01-01 00:00:0{at // 2},s{at % 2},{at}" for at in range(8)]
    mapping = table(tmp_path, "\n".join(["time,sensor,value", *rows]))
    assert (mapping.device_column, mapping.metric_column, mapping.device) == (None, 1, "press")


ROW = "2026-01-01 00:00:00,1\n"


@pytest.mark.parametrize(
    ("content", "wishes", "said"),
    [
        (b"", {}, "is empty"),
        (b" \n\n", {}, "is empty"),
        (b"time,a\n", {}, "no rows"),
        (b"\x00\x01\x02", {}, "binary"),
        (b"PK\x03\x04rest", {}, "Excel"),
        (b"PAR1rest", {}, "Parquet"),
        (b"one column\n1\n2\n", {}, "--delimiter"),
        (b"name,size\na,1\nb,2\n", {}, "no column of times; it has 'name', 'size'"),
        (b"t,a\n0,1\n1,2\n2,3\n", {}, "no column of times"),
        (b"hour,a\n10:00:00,1\n10:00:01,2\n", {}, "--time COLUMN"),
        (b"time\tx\n2026-01-01 00:00:00\t1\n", {"time": "when"}, "no column 'when'"),
        (b"time,a\n2026-01-01,1\n", {"time": "a"}, "column 'a' holds no times"),
        (b"time,a\n2026-01-01,1\n", {"device": "d"}, "--device"),
        (b"time,a\n2026-01-01,1\n", {"values": ["d"]}, "--value"),
        (b"time,a\n2026-01-01,1\n", {"timezone": "Mars/Olympus"}, "--timezone"),
        (b"time,a\n2026-01-01,1\n", {"timezone": "../etc/passwd"}, "--timezone"),
        (b"time,a\n2026-01-01,1\n", {"encoding": "utf-99"}, "--encoding"),
        (b"a;b\n1,2,3\n1;2;3;4\n1|2|3|4|5\n2026-01-01,1,2,3,4,5,6\n", {}, "mixed"),
        (gzip.compress(b"time,a\n" + ROW.encode() * 9, mtime=0)[:-12], {}, "cut off"),
    ],
)
def test_what_cannot_be_replayed_is_one_clear_line(
    tmp_path: Path, content: bytes, wishes: dict[str, object], said: str
):
    """Every file that is no table of times says what is wrong, where, and what to do."""
    with pytest.raises(InputError) as caught:
        table(tmp_path, content, **wishes)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.where
    assert caught.value.fix


def test_a_header_split_otherwise_than_the_rows(tmp_path: Path):
    """Mixed delimiters are said, not silently taken for a title above the table."""
    with pytest.raises(InputError, match="delimiter"):
        table(tmp_path, "time,a,b\n" + "2026-01-01 00:00:00;1;2\n" * 30)


def test_a_path_that_is_no_file(tmp_path: Path):
    """A missing file or a directory is one clear line."""
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(InputError, match="cannot be read"):
            guess(path)
