"""A dry run says what a worker would make of records, and stays bounded."""

import pytest

from floorlog.core.catalogue import Catalogue
from floorlog.errors import InputError
from floorlog.record.trial import rehearse as room
from floorlog.record.trial.rehearse import EXAMPLES_MAX, rehearse
from floorlog.source.pack import Packed, pack
from floorlog.source.replay import Frame
from floorlog.source.sender import Entry

NOW = 1_767_225_600_000_000
CATALOGUE = Catalogue.of({"metrics": {"level": {"unit": "bar", "limits": {"hi": 9}}}}, "test")


def frame(n: int, device: str = "a", value: float = 1.0, unit: str = "bar") -> Frame:
    return Frame(device, NOW - 10**9 + n * 10**6, {"level": value}, {"level": unit})


def test_what_it_says_is_what_would_come():
    """Stored, refused by code with examples, conflicts and duplicates, findings, series."""
    frames = [frame(n, value=10.0 if 50 <= n < 60 else 1.0 + n % 3) for n in range(100)]
    frames += [frame(99, value=5.0), frame(99, value=5.0), frame(200, "b")]
    frames += [frame(300 + n, "c", unit="K") for n in range(7)]
    told = []
    found = rehearse(pack([frames]), CATALOGUE, 3, [("a", "level")], NOW, told.append)
    assert (found.received, found.stored, found.rejected) == (110, 102, 7)
    assert (found.duplicate, found.conflict) == (1, 1)
    assert found.rejects == {"unit_mismatch": 7}
    assert len(found.examples) == EXAMPLES_MAX
    assert found.examples[0].mend.startswith("send the unit")
    assert [(one.device, one.readings, one.is_new) for one in found.listed] == [
        ("a", 101, False), ("b", 1, True),
    ]  # fmt: skip
    assert (found.listed[0].begin, found.listed[0].end) == (frames[0].ts, frames[99].ts)
    assert found.findings >= 1
    assert "above the high limit 9" in " ".join(one.reason for one in found.found)
    assert told[-1] == 110


def test_a_record_that_cannot_be_read_is_one_reject():
    """As in the worker; its bytes are shown safely."""
    bad = Packed(Entry("a", b"\x1b[2J{"), 1)
    found = rehearse([bad], CATALOGUE, 1, [], NOW)
    assert (found.received, found.rejected, found.series) == (1, 1, 0)
    assert found.examples[0].text.isprintable()


def test_a_column_that_is_no_device_ends_it(monkeypatch):
    """Too many series is a sentence, not a process that grows."""
    monkeypatch.setattr(room, "SERIES_MAX", 50)
    frames = [frame(n, f"d{n}") for n in range(60)]
    with pytest.raises(InputError, match="more than 50 series"):
        rehearse(pack([frames]), CATALOGUE, 1, [], NOW)
