"""One bad input harms nothing else, and no input can make decoding use more than its limits."""

import gzip
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import zstandard

from floorlog.core.decode import Decoded, decode, kpl
from floorlog.core.decode.fault import READINGS_MAX, UNPACKED_BYTES_MAX
from floorlog.core.reading import Code, Record
from floorlog.core.series import SeriesTable

CORPUS = Path(__file__).parent.parent.parent / "corpus"
GOOD = 10_000


def good(number: int) -> bytes:
    """One reading, whose value says which."""
    minutes, seconds = divmod(number, 60)
    at = f"2026-01-01T{minutes // 60:02}:{minutes % 60:02}:{seconds:02}.{number % 1000:03}Z"
    reading = {
        "device_id": f"press-{number % 300:03}",
        "metric": "temperature",
        "ts": at,
        "value": number + 0.5,
    }
    return json.dumps(reading, separators=(",", ":")).encode()


def decoded(datas: list[bytes]) -> tuple[Decoded, SeriesTable]:
    """A batch with a clock that stands still."""
    table = SeriesTable()
    records = [Record(at, "k", 0, data) for at, data in enumerate(datas)]
    return decode(records, table, np.zeros(len(records), np.int64)), table


def broken() -> list[tuple[bytes, int]]:
    """Recorded inputs that hold no reading, with the count of their rejects."""
    found = []
    for folder in sorted(CORPUS.iterdir()):
        for name, outcome in json.loads((folder / "expected.json").read_text()).items():
            if not outcome["readings"]:
                found.append(((folder / name).read_bytes(), len(outcome["rejects"])))
    return found


def test_every_kind_of_poison_among_ten_thousand():
    """Bad records of every recorded kind, spread over a batch: the good ones stand, once each."""
    bad = broken()
    assert len(bad) > 50
    datas = [good(number) for number in range(GOOD)]
    places = np.linspace(0, GOOD, len(bad)).astype(int).tolist()
    for shift, (place, (data, _)) in enumerate(zip(places, bad, strict=True)):
        datas.insert(place + shift, data)
    batch, table = decoded(datas)
    assert batch.value.tolist() == [number + 0.5 for number in range(GOOD)]
    devices = [batch.names(table, row)[0] for row in batch.row.tolist()]
    assert devices == [f"press-{n % 300:03}" for n in range(GOOD)]
    assert len(batch.rejects) == sum(count for _, count in bad)
    poisoned = {place + shift for shift, place in enumerate(places)}
    assert {reject.record for reject in batch.rejects} == poisoned
    assert poisoned.isdisjoint(batch.record.tolist())


@pytest.mark.parametrize("place", [0, 1, 4999, 5000, 9998, 9999])
@pytest.mark.parametrize("data", [b"", b"{", b'{"device_id":"a","metric":"m","ts":"x","value":1}'])
def test_poison_at_any_place(place: int, data: bytes):
    """First, last or in between: the one bad record is the one reject."""
    datas = [good(number) for number in range(GOOD)]
    datas[place] = data
    batch, _ = decoded(datas)
    assert [reject.record for reject in batch.rejects] == [place]
    assert batch.record.tolist() == [number for number in range(GOOD) if number != place]


@pytest.mark.parametrize("place", [0, 777, 1999])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_poison_within_lines(place: int, pack: type[bytes]):
    """One bad line of a record costs that line, and its bytes are the line's."""
    lines = [good(number) for number in range(2000)]
    lines[place] = b'{"device_id":"a"}'
    batch, _ = decoded([pack(b"\n".join(lines))])
    (reject,) = batch.rejects
    assert (reject.element, reject.code, reject.data) == (
        place,
        Code.MISSING_FIELD,
        b'{"device_id":"a"}',
    )
    assert batch.element.tolist() == [number for number in range(2000) if number != place]


def lines_of(count: int) -> bytes:
    """Small readings, one a line."""
    return b'{"device_id":"a","metric":"m","ts":1,"value":1}\n' * count


def frame_of(count: int) -> bytes:
    """One frame of many values."""
    values = ",".join(f'"{number}":1' for number in range(count))
    return f'{{"device_id":"a","ts":1,"values":{{{values}}}}}'.encode()


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(zstandard.compress(lines_of(READINGS_MAX + 1)), id="lines"),
        pytest.param(lines_of(1) + b"\n" * (2 * READINGS_MAX) + lines_of(1), id="blank lines"),
        pytest.param(b"[" + b",".join([b"1"] * (READINGS_MAX + 1)) + b"]", id="array"),
        pytest.param(
            b"[" + b",".join([b"{}"] * 6_000_000)[: UNPACKED_BYTES_MAX - 2] + b"]", id="{}"
        ),
        pytest.param(frame_of(READINGS_MAX + 1), id="frame"),
        pytest.param(frame_of(60_000) + b"\n" + frame_of(60_000), id="two frames"),
        pytest.param(kpl.pack([("k", frame_of(60_000))] * 2), id="aggregate of frames"),
        pytest.param(kpl.pack([("k", b"1")] * (READINGS_MAX + 1)), id="aggregate"),
        pytest.param(b" " * (UNPACKED_BYTES_MAX + 1), id="blanks"),
        pytest.param(gzip.compress(b" " * (UNPACKED_BYTES_MAX + 1)), id="gzip"),
        pytest.param(gzip.compress(b" " * 9_000_000) * 2, id="gzip in members"),
        pytest.param(zstandard.compress(b" " * 100_000_000), id="zstd"),
        pytest.param(zstandard.compress(b" " * 9_000_000) * 2, id="zstd in frames"),
    ],
)
def test_too_much_is_one_reject(data: bytes):
    """A record that would unpack to too much is one reject with its bytes; the others stand."""
    batch, _ = decoded([good(0), data, good(1)])
    (reject,) = batch.rejects
    assert (reject.code, reject.record, reject.element) == (Code.TOO_LARGE, 1, -1)
    assert reject.data == data
    assert batch.record.tolist() == [0, 2]


def test_exactly_as_much_as_allowed_is_read():
    """A record may hold 100,000 readings."""
    batch, _ = decoded([zstandard.compress(lines_of(READINGS_MAX))])
    assert len(batch) == READINGS_MAX
    assert not batch.rejects


@pytest.mark.parametrize("place", [0, 1])
def test_a_bomb_costs_bounded_memory(place: int):
    """Compression that would unpack to 300 MB, its size told or not, needs little memory."""
    unsized = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    parts = [unsized.compress(b" " * 10_000_000) for _ in range(30)]
    bombs = [zstandard.compress(b" " * 300_000_000), b"".join([*parts, unsized.flush()])]
    tracemalloc.start()
    batch, _ = decoded([bombs[place]])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert batch.rejects[0].code is Code.TOO_LARGE
    assert peak < 5 * UNPACKED_BYTES_MAX


def test_decoding_leaves_the_table_alone():
    """A name is a series when a reading of it stands; until then it is the batch's alone."""
    names = [f"device-{number}" for number in range(8)]
    template = '{{"device_id":"{}","metric":"m","ts":1,"value":1}}'
    batch, table = decoded([template.format(name).encode() for name in [*names, *names]])
    assert len(table) == 0
    assert [batch.names(table, row) for row in batch.row.tolist()] == [(n, "m") for n in names] * 2
    table.row("device-3", "m")
    assert batch.placed(table).row.tolist() == [-3, -4, -5, 0, -7, -8, -9, -10] * 2


def test_unsound_names_never_reach_the_table():
    """A name that cannot be stored makes no row that would be registered."""
    bad = [b'{"device_id":"a\\u0000","metric":"m","ts":1,"value":1}']
    bad.append(b'{"device_id":"a","ts":1,"values":{"\\u0007":1,"":2}}')
    batch, table = decoded(bad)
    assert (len(table), batch.strangers) == (0, [])
    assert {reject.code for reject in batch.rejects} == {Code.INVALID_TEXT}


def test_no_records_is_no_reading():
    """A batch of nothing decodes to nothing."""
    batch, _ = decoded([])
    assert (len(batch), batch.received, batch.rejects) == (0, 0, [])
