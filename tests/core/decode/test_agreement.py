"""Reading in columns and reading with care agree on whatever arrives; neither ever raises."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from floorlog.core.decode import careful, decode, kpl
from floorlog.core.decode.entry import Found
from floorlog.core.decode.registry import FORMATS
from floorlog.core.reading import Record
from floorlog.core.series import SeriesTable

pytestmark = pytest.mark.slow  # thousands of records, read in two ways

CORPUS = Path(__file__).parent.parent.parent / "corpus"
SEEDS = {
    folder.name: [path.read_bytes() for path in sorted(folder.iterdir())]
    for folder in sorted(CORPUS.iterdir())
}

names = st.one_of(
    st.sampled_from(["press-07", "temperature", "status", "", "x" * 200, "x" * 201, "a\0"]),
    st.text(max_size=12),
)
numbers = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-(2**70), 2**70),
    st.sampled_from([2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, -0.0, 1e308, 10**400]),
)
values = st.one_of(numbers, names, st.booleans(), st.none(), st.just([]))
stamps = st.one_of(
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
    st.datetimes().map(lambda at: at.isoformat(sep=" ", timespec="milliseconds") + "-03:30"),
    st.from_regex(r"[0-9]{4}-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]"
                  r"(\.[0-9]{0,9})?(Z|z|[+-][0-2][0-9]:[0-6][0-9])?", fullmatch=True),
    st.integers(-(10**20), 10**21),
    st.floats(),
    names,
    st.none(),
)  # fmt: skip
qualities = st.one_of(st.integers(-1, 2**32), st.none(), st.just("Good"), st.just(0.0))


def partly(fields: dict[str, st.SearchStrategy[object]]) -> st.SearchStrategy[dict[str, object]]:
    """Objects that mostly have all of the fields."""
    return st.fixed_dictionaries(fields).flatmap(
        lambda full: st.sampled_from([*fields, *[""] * 20]).map(
            lambda gone: {name: value for name, value in full.items() if name != gone}
        )
    )


likely = st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5+01:00", 1767225600])
singles = partly(
    {
        "device_id": names,
        "metric": names,
        "ts": likely | stamps,
        "value": values,
        "unit": st.none() | names,
        "quality": qualities,
    }
)
frames = partly(
    {
        "device_id": names,
        "ts": likely | stamps,
        "values": st.dictionaries(names, values, max_size=5),
        "units": st.none() | st.dictionaries(names, names | st.none(), max_size=2),
        "quality": qualities,
    }
)
good = st.builds(
    lambda metric, value: {"device_id": "a", "metric": metric, "ts": 1, "value": value},
    st.sampled_from("mn"),
    st.floats(-1e9, 1e9) | st.sampled_from(["on", "off", True]),
)
objects = st.one_of(singles, frames, good, good)


def compact(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")


def jsonl(content: list[object]) -> bytes:
    return b"\n".join(map(compact, content))


def pretty(content: object) -> bytes:
    return json.dumps(content, indent=1).encode()


texts = st.one_of(
    st.builds(compact, objects),
    st.builds(pretty, objects),
    st.builds(compact, st.lists(objects, max_size=4)),
    st.builds(jsonl, st.lists(objects, max_size=4)),
)
packers: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, zstandard.compress]
packed = st.builds(lambda pack, text: pack(text), st.sampled_from(packers), texts)
aggregates = st.lists(packed, max_size=3).map(lambda all_: kpl.pack([("k", d) for d in all_]))
messages = packed | aggregates


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A recorded input with some bytes changed, cut off, doubled or moved."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["change", "cut", "insert", "drop", "double"])):
            case "change" if data:
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at:]
            case "insert":
                data[at:at] = draw(st.binary(max_size=4))
            case "drop":
                del data[at : at + draw(st.integers(1, 8))]
            case _:
                data[at:at] = data[at : at + 40]
    return bytes(data)


Seen = tuple[object, ...]


def in_columns(datas: list[bytes]) -> tuple[list[Seen], list[Seen]]:
    """Readings and rejects of a batch."""
    table = SeriesTable()
    records = [Record(at, "k", 0, data) for at, data in enumerate(datas)]
    decoded = decode(records, table, np.arange(len(records)))
    assert decoded.received == len(decoded) + len(decoded.rejects) >= len(records)
    assert (decoded.arrival_s == decoded.record).all()
    readings: list[Seen] = []
    for place in range(len(decoded)):
        text, unit = decoded.text[place], decoded.unit[place]
        readings.append(
            (
                int(decoded.record[place]),
                int(decoded.element[place]),
                *decoded.names(table, int(decoded.row[place])),
                int(decoded.ts[place]),
                decoded.texts[text] if text >= 0 else float(decoded.value[place]).hex(),
                decoded.units[unit] if unit >= 0 else None,
                int(decoded.quality[place]),
            )
        )
    return readings, [
        (reject.record, reject.element, reject.code, reject.data) for reject in decoded.rejects
    ]


def with_care(datas: list[bytes]) -> tuple[list[Seen], list[Seen]]:
    """The same, as careful reading sees it."""
    readings: list[Seen] = []
    rejects: list[Seen] = []
    for record, data in enumerate(datas):
        entries = careful.entries(data)
        assert entries, data
        for element, entry in enumerate(entries):
            if isinstance(entry, Found):
                value = entry.value if isinstance(entry.value, str) else entry.value.hex()
                rest = (entry.ts, value, entry.unit, entry.quality)
                readings.append((record, element, entry.device, entry.metric, *rest))
            else:
                place = -1 if entry.whole else element
                rejects.append((record, place, entry.fault.code, entry.data))
    return readings, rejects


@given(st.lists(messages, min_size=1, max_size=6))
@example([b'{"device_id":"a","ts":1,"values":{"":{}}}'])
@example([b'{"device_id":"a","metric":"m","ts":1,"value":1,"values":{}}'])
@example([b'{\n"device_id":"a","metric":"m","ts":1,"value":1}\n{"device_id":"a","ts":1}'])
def test_both_ways_of_reading_agree(datas: list[bytes]):
    """Columns and careful reading give the same readings and rejects, for messages of any kind."""
    assert in_columns(datas) == with_care(datas)


@pytest.mark.slow
@pytest.mark.parametrize("name", [each.name for each in FORMATS])
@given(data=st.data())
def test_no_format_raises(name: str, data: st.DataObject):
    """Readings or rejects, never an exception: recorded inputs of each format, broken at random."""
    broken = data.draw(st.lists(mutated(SEEDS[name]), min_size=1, max_size=3))
    assert in_columns(broken) == with_care(broken)


@pytest.mark.parametrize("magic", [b"", b"{", b"[", b'{"', b"\x1f\x8b\x08", kpl.MAGIC,
                                   b"\x28\xb5\x2f\xfd", b"\xef\xbb\xbf"])  # fmt: skip
@given(data=st.binary(max_size=60))
def test_random_bytes_never_raise(magic: bytes, data: bytes):
    """Bytes of no format at all are rejects."""
    assert in_columns([magic + data]) == with_care([magic + data])


@pytest.mark.slow
@given(st.lists(messages, min_size=1, max_size=6), st.data())
def test_cutting_into_batches_changes_nothing(datas: list[bytes], data: st.DataObject):
    """A record gives the same readings and rejects whichever records are decoded with it."""
    cut = data.draw(st.integers(0, len(datas)))
    whole = in_columns(datas)
    for part, (first, second) in enumerate(zip(in_columns(datas[:cut]), whole, strict=True)):
        assert first == [seen for seen in second if int(str(seen[0])) < cut], part


@pytest.mark.slow
@given(st.lists(messages, min_size=1, max_size=4))
def test_the_bytes_of_a_reading_say_it_again(datas: list[bytes]):
    """`data_of` gives, for every reading, bytes that decode to this reading alone."""
    table = SeriesTable()
    records = [Record(at, "k", 0, data) for at, data in enumerate(datas)]
    decoded = decode(records, table, np.zeros(len(records), np.int64))
    readings, _ = in_columns(datas)
    for said, data in zip(readings, decoded.data_of(range(len(decoded))), strict=True):
        (again,), rejects = in_columns([data])
        assert again[2:] == said[2:]
        assert not rejects
