"""A table through guessing, replay, packing and decoding: exactly the readings that it holds."""

import csv
import gzip
import io
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from floorlog.core.decode import decode
from floorlog.core.reading import Code, Record
from floorlog.core.series import SeriesTable
from floorlog.errors import InputError
from floorlog.source import replay as room
from floorlog.source.csv_shape import Wishes, guess
from floorlog.source.pack import Packed, pack
from floorlog.source.replay import Frame, Replay

Seen = tuple[str, str, int, float | str]


def micros(text: str) -> int:
    """By Python's own calendar."""
    at = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def sent(records: list[Packed]) -> list[Seen]:
    """What the worker reads of the packed records."""
    table = SeriesTable()
    arrived = [Record(at, p.entry.partition_key, 0, p.entry.data) for at, p in enumerate(records)]
    batch = decode(arrived, table, np.zeros(len(arrived), np.int64))
    assert not batch.rejects, batch.rejects[:3]
    assert len(batch) == sum(packed.readings for packed in records)
    return [
        (*batch.names(table, row), ts, batch.texts[text] if text >= 0 else value)
        for row, ts, value, text in zip(
            batch.row.tolist(), batch.ts.tolist(), batch.value.tolist(), batch.text.tolist(),
            strict=True,
        )
    ]  # fmt: skip


def replayed(path: Path, **wishes: object) -> tuple[list[Seen], Replay]:
    """All readings of a table, and the replay that counted them."""
    replay = Replay(guess(path, Wishes(**wishes)))  # type: ignore[arg-type]  # named by the test
    readings = sent(list(pack(replay)))
    assert len(readings) == replay.readings
    return readings, replay


def write(folder: Path, text: str, name: str = "press.csv") -> Path:
    path = folder / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def test_a_wide_table(tmp_path: Path):
    """Each column is a metric of the device that the file is named after."""
    text = "time,temp,rpm\n2026-01-01 00:00:00,20.5,900\n2026-01-01 00:00:01.25,20.75,901\n"
    first, second = micros("2026-01-01 00:00:00"), micros("2026-01-01 00:00:01.25")
    for name in ("press.csv", "press.csv.gz"):
        readings, replay = replayed(write(tmp_path, text, name))
        assert readings == [
            ("press", "temp", first, 20.5),
            ("press", "rpm", first, 900.0),
            ("press", "temp", second, 20.75),
            ("press", "rpm", second, 901.0),
        ]
        assert (replay.rows, replay.skipped, replay.empty) == (2, 0, 0)
        assert replay.read_bytes == replay.size_bytes


def test_a_long_table(tmp_path: Path):
    """A row a value: device, metric, value and unit each have a column."""
    rows = [
        "ts;device_id;metric;value;unit",
        "2026-01-01T00:00:00Z;a;t;1,5;Cel",
        "2026-01-01T00:00:00Z;a;p;2;bar",
        "2026-01-01T01:00:00+01:00;b;t;3,25;Cel",
        "2026-01-01T00:00:01Z;a;t;running;Cel",
        "2026-01-01T00:00:01Z;a;t;4;Cel",
    ]
    at = micros("2026-01-01")
    path = write(tmp_path, "\n".join(rows))
    readings, _ = replayed(path)
    assert sorted(readings, key=str) == sorted(
        [
            ("a", "t", at, 1.5),
            ("a", "p", at, 2.0),
            ("b", "t", at, 3.25),
            ("a", "t", at + 10**6, "running"),
            ("a", "t", at + 10**6, 4.0),
        ],
        key=str,
    )
    frames = [frame for block in Replay(guess(path)) for frame in block]
    assert [frame.units for frame in frames] == [{"t": "Cel", "p": "bar"}, {"t": "Cel"}, None, None]


def test_a_wide_table_with_devices(tmp_path: Path):
    """A column that names devices splits the rows over them."""
    rows = ["time,machine,t [°C]"]
    rows += [f"2026-01-01 00:00:0{second},m{second % 2},{second}" for second in range(6)]
    path = write(tmp_path, "\n".join(rows))
    readings, _ = replayed(path)
    assert Counter(device for device, *_ in readings) == {"m0": 3, "m1": 3}
    assert {metric for _, metric, *_ in readings} == {"t"}
    frames = [frame for block in Replay(guess(path)) for frame in block]
    assert [frame.units for frame in frames] == [{"t": "°C"}, {"t": "°C"}, None, None, None, None]


def test_empty_cells_are_no_readings(tmp_path: Path):
    """Empty, NaN, null, NA and - are counted, not sent; a row of only those sends nothing."""
    cells = ["", "NaN", "nan", "null", "NA", "-", " ", "N/A"]
    rows = [f"2026-01-01 00:00:{at:02},{cell},1" for at, cell in enumerate(cells)]
    text = "\n".join(["time,a,b", "2026-01-01 00:00:59,5,,", "2026-01-01 00:00:58,,", *rows])
    readings, replay = replayed(write(tmp_path, text))
    assert len(readings) == len(cells) + 1
    assert replay.empty == len(cells) + 1 + 2
    assert replay.skipped == 0


def test_states_and_truth_values(tmp_path: Path):
    """A column of words holds states; numbers in a column of numbers stay numbers."""
    rows = [
        f"2026-01-01 00:00:0{at},{state},{at % 2}" for at, state in enumerate(["on", "off", "NA"])
    ]
    readings, _ = replayed(write(tmp_path, "\n".join(["time,mode,flag", *rows])))
    assert [value for _, metric, _, value in readings if metric == "mode"] == ["on", "off"]
    assert [value for _, metric, _, value in readings if metric == "flag"] == [0.0, 1.0, 0.0]


def test_numbers_that_float64_cannot_hold_are_refused_by_the_record(tmp_path: Path):
    """Nothing is rounded on the way: an inexact integer, or infinity, ends as a reject."""
    cells = ["9007199254740993", "9007199254740992", "inf", "1e999", "1" + "0" * 500, "-0.0"]
    rows = [f"2026-01-01 00:00:0{at},{cell}" for at, cell in enumerate(cells)]
    replay = Replay(guess(write(tmp_path, "\n".join(["time,count", *rows]))))
    records = [Record(0, "k", 0, packed.entry.data) for packed in pack(replay)]
    batch = decode(records, SeriesTable(), np.zeros(len(records), np.int64))
    assert batch.value.tolist() == [2.0**53, 0.0]
    assert [reject.code for reject in batch.rejects] == [
        Code.INEXACT_INTEGER,
        *[Code.NOT_A_NUMBER] * 3,
    ]
    assert batch.received == replay.readings == len(cells)


def test_bad_rows_are_skipped_and_said(tmp_path: Path):
    """A bad time or a row of another width costs that row, with its number and reason."""
    rows = ["time,a,b", *[f"2026-01-01 00:00:{at:02},1,2" for at in range(30)]]
    rows[5] = "yesterday,1,2"
    rows[7] = "2026-01-01 00:00:07,1"
    rows[9] = "2026-01-01 00:00:09,1,2,3"
    rows[11] = "2026-02-30 00:00:00,1,2"
    rows[13] = ""
    rows[15] = "2026-01-01 00:00:15,1,2,,"
    readings, replay = replayed(write(tmp_path, "\n".join(rows)))
    assert len(readings) == 2 * 25
    assert replay.skipped == 4
    assert sorted(replay.skips) == [
        "row 10: 4 fields instead of 3",
        "row 12: '2026-02-30 00:00:00' is no time",
        "row 6: 'yesterday' is no time",
        "row 8: 2 fields instead of 3",
    ]
    assert any("4 rows skipped: row" in line for line in replay.warnings())


def test_a_flood_of_bad_rows_is_counted_and_bounded(tmp_path: Path):
    """However many rows are bad, only the first reasons are kept."""
    good = [f"2026-01-01 00:{at // 60:02}:{at % 60:02},1" for at in range(3000)]
    bad = [f"never,{at}" for at in range(10_000)]
    readings, replay = replayed(write(tmp_path, "\n".join(["time,a", *good, *bad])))
    assert len(readings) == 3000
    assert replay.skipped == 10_000
    assert len(replay.skips) == 20


def test_times_outside_what_numbers_can_say_are_text(tmp_path: Path):
    """Before 1973 an epoch number in µs would be taken for ms: such times are sent as text."""
    text = "time,a\n1969-07-20 20:17:40.5,1\n1971-01-01 00:00:00,2\n2026-01-01 00:00:00,3\n"
    readings, _ = replayed(write(tmp_path, text))
    times = ["1969-07-20 20:17:40.5", "1971-01-01", "2026-01-01"]
    assert [ts for _, _, ts, _ in readings] == [micros(at) for at in times]


def test_a_summer_that_ends_has_an_hour_twice(tmp_path: Path):
    """With a zone, the doubled hour is told apart by the file's order, and said."""
    passes = ["02:00", "02:30", "02:00", "02:30"]
    rows = ["time,a", "2025-10-26 01:30,1", *[f"2025-10-26 {at},1" for at in passes]]
    rows += ["2025-10-26 03:00,1", "2026-03-29 02:30,1"]
    readings, replay = replayed(write(tmp_path, "\n".join(rows)), timezone="Europe/Berlin")
    start = micros("2025-10-25 23:30")
    half_hours = [(ts - start) / 1_800_000_000 for _, _, ts, _ in readings[:6]]
    assert half_hours == [0, 1, 2, 3, 4, 5]
    assert readings[6][2] == micros("2026-03-29 01:30")
    assert (replay.zone.doubled, replay.zone.doubled_first) == (4, "2025-10-26 02:00:00")
    assert (replay.zone.skipped, replay.zone.skipped_first) == (1, "2026-03-29 02:30:00")
    assert sum("Europe/Berlin" in line for line in replay.warnings()) == 2


def test_without_a_zone_times_are_utc_and_that_is_said(tmp_path: Path):
    """The mapping tells that UTC was assumed, and the flag that says otherwise."""
    path = write(tmp_path, "time,a\n2025-10-26 02:30,1\n")
    readings, replay = replayed(path)
    assert readings[0][2] == micros("2025-10-26 02:30")
    assert any(
        "taken as UTC" in line and "--timezone" in line for line in replay.mapping.describe()
    )
    assert not replay.warnings()


def test_doubled_hours_of_many_devices(tmp_path: Path):
    """A file sorted by device goes back in time at each device: that is no second pass."""
    rows = ["time,device,a"]
    times = ("01:50", "02:00", "02:30", "02:00", "02:30", "03:10")
    rows += [f"2025-10-26 {at},{device},1" for device in "xy" for at in times]
    readings, replay = replayed(write(tmp_path, "\n".join(rows)), timezone="Europe/Berlin")
    by_device = [[ts for name, _, ts, _ in readings if name == device] for device in "xy"]
    assert by_device[0] == by_device[1] == sorted(set(by_device[0]))
    assert replay.zone.doubled == 8


def test_blocks_do_not_change_what_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whatever the block's size, the same readings, counts and warnings come out."""
    times = ["2025-10-26 01:30", *["2025-10-26 02:00", "2025-10-26 02:30"] * 2, "2025-10-26 03:00"]
    rows = [f"{at},{place},x" if place != 3 else "bad,1,2" for place, at in enumerate(times)]
    path = write(tmp_path, "\n".join(["time,a [K],b", *rows]))
    expected, whole = replayed(path, timezone="Europe/Berlin")
    for size in (1, 2, 3):
        monkeypatch.setattr(room, "BLOCK_ROWS", size)
        readings, parts = replayed(path, timezone="Europe/Berlin")
        assert readings == expected
        assert parts.warnings() == whole.warnings()


# ── any table, in any of its usual spellings ─────────────────────────────────────────────────

cells = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1000, 1000).map(lambda value: round(value, 3)),
    st.integers(-(2**53) + 1, 2**53 - 1).map(float),
    st.none(),
)
tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=8)
)
WRITTEN = {
    "iso": "%Y-%m-%d %H:%M:%S.%f",
    "iso-t": "%Y-%m-%dT%H:%M:%S.%fZ",
    "german": "%d.%m.%Y %H:%M:%S.%f",
    "american": "%m/%d/%Y %I:%M:%S.%f %p",
    "slash": "%Y/%m/%d %H:%M:%S.%f",
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=tables,
    delimiter=st.sampled_from(",;\t|"),
    comma=st.booleans(),
    form=st.sampled_from([*WRITTEN, "epoch"]),
    start=st.integers(micros("1995-01-13"), micros("2095-01-01")),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16"]),
    zipped=st.booleans(),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_any_table_gives_its_values(
    tmp_path: Path,
    rows: list[list[float | None]],
    delimiter: str,
    comma: bool,
    form: str,
    start: int,
    encoding: str,
    zipped: bool,
    ending: str,
):
    """Values and times come out bit for bit, whatever delimiter, decimal sign or date is used."""
    comma = comma and delimiter != ","
    first = datetime.fromtimestamp(start // 10**6, UTC).replace(tzinfo=None)
    first = first.replace(day=13, microsecond=start % 10**6)  # 13 tells day from month
    content = io.StringIO()
    writer = csv.writer(content, delimiter=delimiter, lineterminator=ending)
    writer.writerow(["Zeit", *[f"Größe {place}" for place in range(len(rows[0]))]])
    expected: Counter[Seen] = Counter()
    for place, row in enumerate(rows):
        at = first + timedelta(seconds=place)
        ts = micros(at.isoformat())
        written = str(ts) if form == "epoch" else at.strftime(WRITTEN[form])
        texts = ["" if value is None else repr(value) for value in row]
        writer.writerow([written, *[text.replace(".", ",") if comma else text for text in texts]])
        for column, value in enumerate(row):
            if value is not None:
                expected["t", f"Größe {column}", ts, value] += 1
    data = content.getvalue().encode(encoding)
    path = tmp_path / "t.csv"
    path.write_bytes(gzip.compress(data) if zipped else data)
    readings, replay = replayed(path, decimal="," if comma else ".")
    assert Counter(readings) == expected
    assert replay.skipped == 0


# ── packing ──────────────────────────────────────────────────────────────────────────────────


def frames_of(count: int, devices: int = 3) -> list[Frame]:
    """Frames of some devices in turn, each value another."""
    return [
        Frame(f"d{at % devices}", 2 * 10**15 + at, {"a": at + 0.5, "b": float(at)})
        for at in range(count)
    ]


def test_records_keep_order_and_limits():
    """Each record holds one asset's readings in order, at most as many as allowed."""
    frames = frames_of(1000)
    records = list(pack([frames[:300], frames[300:]], readings_max=70))
    assert max(packed.readings for packed in records) <= 70
    assert {packed.entry.partition_key for packed in records} == {"d0", "d1", "d2"}
    readings = sent(records)
    assert len(readings) == 2000
    for device in ("d0", "d1", "d2"):
        times = [ts for name, _, ts, _ in readings if name == device]
        assert times == sorted(times)


def test_many_devices_go_side_by_side():
    """Short records in turn, so that a batch holds all devices at one time, not one at all times.

    The detectors' cost goes by the times in a batch.
    """
    records = list(pack([frames_of(20_000, 50)]))
    assert {packed.readings for packed in records} == {400}
    assert len(records) == 100
    for turn in (records[:50], records[50:]):
        assert len({packed.entry.partition_key for packed in turn}) == 50
    alone = list(pack([frames_of(10_000, 1)]))
    assert max(packed.readings for packed in alone) == 5_000


def test_devices_of_one_asset_share_a_partition_key():
    """The catalogue's asset is the partition key; the frames of its devices lie together."""
    records = list(pack([frames_of(9)], lambda device: "line" if device != "d2" else device))
    assert [packed.entry.partition_key for packed in records] == ["line", "d2"]
    assert [packed.readings for packed in records] == [12, 6]


def test_records_that_would_be_too_large_are_halved():
    """No record exceeds the stream's limit where a frame fits at all."""
    records = list(pack([frames_of(2000, 1)], bytes_max=600))
    assert len(records) > 4
    assert max(packed.entry.size_bytes for packed in records) <= 600
    assert [ts for _, _, ts, _ in sent(records)][::2] == [2 * 10**15 + at for at in range(2000)]


def test_many_assets_are_held_in_bounded_memory(monkeypatch: pytest.MonkeyPatch):
    """When all records in the making grow too large together, they are sent as they are."""
    monkeypatch.setattr("floorlog.source.pack.HELD_BYTES_MAX", 2000)
    blocks = [frames_of(50, 50) for _ in range(4)]
    records = list(pack(blocks))
    assert len(records) == 200
    assert len(sent(records)) == 400


def test_nothing_is_packed_of_nothing():
    """No frames make no records."""
    assert list(pack([])) == []
    assert list(pack([[]])) == []


@pytest.mark.slow
def test_a_file_that_breaks_off_is_said(tmp_path: Path):
    """A gzip file cut off in its middle ends in one clear line, after what could be read."""
    rows = "\n".join(f"2026-01-01 00:00:00.{at:06},{at * 7919 % 10007}" for at in range(200_000))
    path = write(tmp_path, "time,a\n" + rows, "cut.csv.gz")
    path.write_bytes(path.read_bytes()[:-100_000])
    replay = Replay(guess(path))
    with pytest.raises(InputError, match="cut off"):
        for _ in replay:
            pass
    assert replay.readings > 1000
