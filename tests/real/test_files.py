"""Real sensor files through `floorlog try`: what the record holds is what the files say."""

import csv
import gzip
import os
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import twins
from tried import Reading, Tried, tried

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SETS = {"skab": ";", "3w22": ",", "nab": ","}
"""Each set's delimiter; its times are the first column, every other one is a metric."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def files_of(folder: Path) -> list[Path]:
    """Every table of one set."""
    return sorted(folder.rglob("*.csv.gz"))


def all_files(folder: Path) -> list[Path]:
    """Every table of all sets."""
    return [path for name in SETS for path in files_of(folder / name)]


def rows_of(path: Path, delimiter: str) -> Iterator[Reading]:
    """Every reading that a table holds, read by nothing of Floorlog's; an empty cell is none."""
    with gzip.open(path, "rt", newline="") as file:
        for row in csv.DictReader(file, delimiter=delimiter, strict=True):
            (_, time), *cells = row.items()
            ts = (datetime.fromisoformat(time).replace(tzinfo=UTC) - EPOCH) // timedelta(
                microseconds=1
            )
            for metric, cell in cells:
                if cell:
                    yield metric, ts, float(cell)


def device_of(path: Path, among: list[Path]) -> str:
    """The file's name, with its folder where another has that name."""
    stem = path.name.removesuffix(".csv.gz")
    alone = sum(other.name == path.name for other in among) == 1
    return stem if alone else f"{path.parent.name}/{stem}"


@pytest.fixture(scope="module")
def real(not_run) -> tuple[Path, Tried]:
    """The data folder, and what became of every file in it."""
    given = os.environ.get("FLOORLOG_DATA")
    if not given:
        not_run("FLOORLOG_DATA names no folder of real sensor data")
    folder = Path(given)
    files = all_files(folder)
    assert files, f"no *.csv.gz below {', '.join(SETS)} in {folder}"
    return folder, tried(files)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Tried]:
    """The twins' folder, and what became of every file in it."""
    folder = tmp_path_factory.mktemp("twins")
    twins.write(folder)
    return folder, tried(all_files(folder))


def assert_stored(folder: Path, name: str, result: Tried) -> None:
    """Every file of a set is a device of its own in the record, and holds the file's readings."""
    among = all_files(folder)
    files = files_of(folder / name)
    assert files, f"no *.csv.gz in {folder / name}"
    readings = 0
    for path in files:
        # The record holds once what a file says twice, bit for bit: that is a duplicate.
        expected = dict.fromkeys(rows_of(path, SETS[name]), 1)
        found = result.held.get(device_of(path, among), Counter())
        assert found == expected, differences(path, found, Counter(expected))
        readings += len(expected)
    print(f"{name}: {len(files)} files, {readings} readings, equal")


def differences(path: Path, found: Counter[Reading], expected: Counter[Reading]) -> str:
    """What is missing and what is too much, for people."""
    lost, surplus = expected - found, found - expected
    return (
        f"{path.name}: {lost.total()} lost, such as {list(lost)[:3]}; "
        f"{surplus.total()} too much, such as {list(surplus)[:3]}"
    )


def assert_counted(folder: Path, result: Tried) -> None:
    """`try` says of all files together what can be counted in them, and no other device is held."""
    received = stored = times = series = 0
    for name, delimiter in SETS.items():
        for path in files_of(folder / name):
            rows = list(rows_of(path, delimiter))
            received += len(rows)
            stored += len(set(rows))
            times += len({(metric, ts) for metric, ts, _ in rows})
            series += len({metric for metric, _, _ in rows})
    said = {key: result.said[key] for key in ("received", "stored", "duplicate", "conflict")}
    assert said == {
        "received": received,
        "stored": stored,
        "duplicate": received - stored,
        "conflict": stored - times,
    }
    assert (result.said["rejected"], result.said["gaps"], result.said["skipped"]) == (0, 0, 0)
    assert result.said["series"] == series
    assert sum(held.total() for held in result.held.values()) == stored


@pytest.mark.parametrize("name", SETS)
def test_every_real_file_is_stored_as_it_is(real: tuple[Path, Tried], name: str) -> None:
    """The record holds of each real file the same readings, as a multiset: none lost or changed."""
    assert_stored(real[0], name, real[1])


def test_every_real_file_is_counted(real: tuple[Path, Tried]) -> None:
    """Received, stored, duplicate and conflict are what an independent reader counts."""
    assert_counted(*real)


@pytest.mark.parametrize("name", SETS)
def test_every_twin_is_stored_as_it_is(made: tuple[Path, Tried], name: str) -> None:
    """The same of made-up files of these shapes, two of one name among them."""
    assert_stored(made[0], name, made[1])


def test_every_twin_is_counted(made: tuple[Path, Tried]) -> None:
    """The row that is there twice is one duplicate, the time with two values one conflict."""
    assert_counted(*made)
    assert (made[1].said["duplicate"], made[1].said["conflict"]) == (1, 1)


def test_the_comparison_sees_one_reading(tmp_path: Path) -> None:
    """A reading that is lost, changed or doubled turns the comparison red, file by file."""
    twins.write(tmp_path)
    (path,) = files_of(tmp_path / "nab")
    whole = Counter(dict.fromkeys(rows_of(path, ","), 1))
    first, *_ = whole
    metric, ts, value = first
    one = Counter({first: 1})
    for wrong in (whole - one, whole + one, whole - one + Counter({(metric, ts, value + 1e-9): 1})):
        result = Tried({}, {device_of(path, [path]): wrong})
        with pytest.raises(AssertionError, match="machine_temperature"):
            assert_stored(tmp_path, "nab", result)
