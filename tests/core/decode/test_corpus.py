"""Recorded inputs, one folder a format, each with the outcome that it must have."""

import json
from pathlib import Path

import numpy as np
import pytest

from floorlog.core.decode import Decoded, careful, decode, kpl
from floorlog.core.decode.entry import Refused
from floorlog.core.decode.registry import FORMATS
from floorlog.core.reading import Code, Record
from floorlog.core.series import SeriesTable

CORPUS = Path(__file__).parent.parent.parent / "corpus"
CASES = [
    pytest.param(folder / name, outcome, id=f"{folder.name}/{name}")
    for folder in sorted(CORPUS.iterdir())
    for name, outcome in json.loads((folder / "expected.json").read_text()).items()
]
# The others need the catalogue, the clock or the record: tests/core/test_validate.py reaches them.
DECODE_CODES = {
    Code.MALFORMED,
    Code.MISSING_FIELD,
    Code.NOT_A_NUMBER,
    Code.INEXACT_INTEGER,
    Code.BAD_TIME,
    Code.TOO_LARGE,
    Code.INVALID_TEXT,
}


def outcome_of(decoded: Decoded, table: SeriesTable) -> dict[str, list[list[object]]]:
    """A decoded batch of one record as the corpus writes it."""
    readings: list[list[object]] = []
    for place in range(len(decoded)):
        text, unit = decoded.text[place], decoded.unit[place]
        readings.append(
            [
                *decoded.names(table, int(decoded.row[place])),
                int(decoded.ts[place]),
                decoded.texts[text] if text >= 0 else float(decoded.value[place]),
                decoded.units[unit] if unit >= 0 else None,
                int(decoded.quality[place]),
                int(decoded.element[place]),
            ]
        )
    return {
        "readings": readings,
        "rejects": [[reject.element, str(reject.code)] for reject in decoded.rejects],
    }


@pytest.mark.parametrize(("path", "outcome"), CASES)
def test_recorded_input_has_its_outcome(path: Path, outcome: dict[str, list[list[object]]]):
    """Every recorded input gives the readings and rejects that stand beside it."""
    data = path.read_bytes()
    table = SeriesTable()
    decoded = decode([Record(0, "key", 0, data)], table, np.zeros(1, np.int64))
    assert outcome_of(decoded, table) == outcome
    assert decoded.received == len(outcome["readings"]) + len(outcome["rejects"]) > 0


@pytest.mark.parametrize(("path", "outcome"), CASES)
def test_rejects_keep_the_bytes(path: Path, outcome: dict[str, list[list[object]]]):
    """What is rejected can be rejected again from its bytes alone, with the same code."""
    containers = (b"[", kpl.MAGIC)  # refused where they lie, readable alone
    for entry in careful.entries(path.read_bytes()):
        if isinstance(entry, Refused) and (entry.whole or not entry.data.startswith(containers)):
            again = careful.entries(entry.data)
            assert [type(each) for each in again] == [Refused]
            codes = {each.fault.code for each in again if isinstance(each, Refused)}
            assert entry.fault.code in codes


def test_every_file_has_an_expected_outcome():
    """No file lies in the corpus unused."""
    for folder in CORPUS.iterdir():
        expected = json.loads((folder / "expected.json").read_text())
        assert {path.name for path in folder.iterdir()} == {*expected, "expected.json"}


def test_every_format_has_recorded_inputs():
    """A format that is registered has a folder with inputs that can be read, and broken ones."""
    assert {folder.name for folder in CORPUS.iterdir()} == {each.name for each in FORMATS}
    for folder in CORPUS.iterdir():
        outcomes = json.loads((folder / "expected.json").read_text()).values()
        assert any(outcome["readings"] for outcome in outcomes)
        assert any(outcome["rejects"] for outcome in outcomes)


def test_every_code_of_decode_is_reached():
    """The corpus holds an input for every code that decoding can give."""
    codes = {code for case in CASES for _, code in case.values[1]["rejects"]}
    assert codes == DECODE_CODES
