"""Exports: proven row by row where they stand, and refused wherever they were changed."""

import csv
import io
import json
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from floorlog.record.proof import plain
from floorlog.record.verifier import ERRORS, Key, check_export

pytestmark = pytest.mark.slow  # hundreds of exports


def said(directory: Path, plant) -> str:
    """What the verifier finds: its proof, or what is wrong."""
    try:
        return check_export(directory, [Key(plant.key)])
    except ERRORS as error:
        return f"WRONG: {error}"


@pytest.fixture
def export(plant, tmp_path) -> Path:
    return plant.export(tmp_path / "export")


@pytest.fixture
def readings(plant) -> int:
    return sum(len(batch.columns.series) for batch in plant.batches)


def test_an_export_is_proven(plant, export, readings) -> None:
    """Every reading by value, events too; other files by the signed manifest."""
    found = said(export, plant)
    assert found.startswith(f"{readings} readings and 3 events of 9 batches, all that they hold")
    assert f"; {len(plant.corrections)} corrections; " in found
    assert f"in the log floor.example/plant of {plant.size} entries; 5 files" in found
    assert found.endswith("which is signed")


def test_on_a_machine_that_has_nothing_else(plant, export) -> None:
    """The export's own copy of the verifier runs alone and says so in one line."""
    command = [sys.executable, "-I", "-S", export / "verifier.py", export, "--key", plant.key]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("proven: ")
    assert done.stdout.count("\n") == 1


def test_an_export_of_some_devices(plant, tmp_path, readings) -> None:
    """What is left out is covered by hashes; that it is a part is said."""
    directory = plant.export(tmp_path / "part", frozenset({'press "1", =ä'}), signed=False)
    found = said(directory, plant)
    count = int(found.split()[0])
    assert 0 < count < readings
    assert "a part of what they hold" in found
    assert found.endswith("which is NOT SIGNED")


def test_a_changed_row_is_named(plant, export) -> None:
    """The wrong batch is named with the line of its proof, though the manifest was made anew."""
    rows = (export / "readings.csv").read_bytes().split(b"\r\n")
    at = next(n for n, row in enumerate(rows) if b",71.3," in row)
    rows[at] = rows[at].replace(b",71.3,", b",71.4,")
    (export / "readings.csv").write_bytes(b"\r\n".join(rows))
    plant.seal(export)
    shard, batch = (int(one) for one in rows[at].split(b",")[-4:-2])
    entry = next(
        list(plain(one.entry))
        for one in plant.batches
        if (one.shard[0], one.entry[1]) == (shard, batch)
    )
    lines = [json.loads(line) for line in (export / "ledger.jsonl").read_text().splitlines()]
    number = next(n for n, one in enumerate(lines) if one[0] == "batch" and one[1][2] == entry)
    assert said(export, plant).startswith(f"WRONG: ledger.jsonl, line {number + 1}: batch")


FILES = ["readings.csv", "ledger.jsonl", "checkpoint"]
DECLARATIONS = ('["series"', '["state"', '["shard"')


def bent(data: bytes, chance: random.Random) -> bytes:
    """A byte changed, a line lost, doubled, or two lines changed about."""
    lines = data.splitlines(keepends=True)
    at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(other, lines[at])
        case 2:
            lines[at], lines[other] = lines[other], lines[at]
        case _:
            place = chance.randrange(len(data))
            return (
                data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]
            )
    return b"".join(lines)


def parsed(name: str, data: bytes) -> object:
    """What a file says; the bytes themselves where they are no text.

    Declarations may come in any order, and twice, and so may signatures: they say the same.
    """
    try:
        text = data.decode()
        if name == "ledger.jsonl":
            lines = [json.dumps(json.loads(line)) for line in text.splitlines()]
            declared = {line for line in lines if line.startswith(DECLARATIONS)}
            return declared, [line for line in lines if line not in declared]
        if name == "readings.csv":
            return list(csv.reader(io.StringIO(text, newline=""), strict=True))
        text, _, signatures = text.rpartition("\n\n")
        return text, signatures[-1:], set(signatures.split("\n"))
    except (ValueError, csv.Error):
        return data


def campaign(plant, export: Path, count: int, seed: int) -> None:
    chance = random.Random(seed)
    whole = {name: (export / name).read_bytes() for name in FILES}
    (export / "manifest.note").unlink()
    done, passed = 0, []
    while done < count:
        name = chance.choice(FILES)
        changed = bent(whole[name], chance)
        if parsed(name, changed) == parsed(name, whole[name]):
            continue
        done += 1
        (export / name).write_bytes(changed)
        plant.seal(export, signed=False)
        if not said(export, plant).startswith("WRONG"):
            passed.append((name, changed))
        (export / name).write_bytes(whole[name])
    assert not passed, passed[0]


def test_bent_exports_are_refused(plant, export) -> None:
    """Of 200 exports with one change, each under a fitting manifest, none passes."""
    campaign(plant, export, 200, seed=4)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_many_bent_exports_are_refused(plant, export) -> None:
    """Of 3,000 exports with one change, each under a fitting manifest, none passes."""
    campaign(plant, export, 3000, seed=5)


def test_every_file_belongs_to_the_manifest(plant, export) -> None:
    """Changed, added, missing: named. A manifest made anew is not the signed one."""
    table = export / "parquet/readings.parquet"
    table.write_bytes(b"PAR1 other bytes")
    assert "parquet/readings.parquet is not the file" in said(export, plant)
    plant.seal(export, signed=False)
    assert "manifest.note is of another" in said(export, plant)
    plant.seal(export)
    assert said(export, plant).endswith("is signed")
    (export / "more.csv").write_text("x")
    assert "not in manifest and export both: more.csv" in said(export, plant)
    (export / "more.csv").unlink()
    table.unlink()
    assert "not in manifest and export both: parquet/readings.parquet" in said(export, plant)


def test_a_correction_is_proven_by_value(plant, export) -> None:
    """Who, why, when, and each value: another is not in the signed log; a state has its name."""
    lines = (export / "ledger.jsonl").read_text().splitlines(keepends=True)
    at = [n for n, line in enumerate(lines) if line.startswith('["correction"')]
    rows = [json.loads(lines[n])[1][2] for n in at]
    assert rows == [row for _, row in sorted(plant.corrections.items())]
    assert {row[5] for row in rows} == {5, 12}
    for row, n in zip(rows, at, strict=True):
        for place, value in enumerate(row):
            index, before, _ = json.loads(lines[n])[1]
            bent_row = [*row[:place], value + "x" if isinstance(value, str) else value + 1]
            bent_line = json.dumps(["correction", [index, before, [*bent_row, *row[place + 1 :]]]])
            others = [*lines[:n], bent_line + "\n", *lines[n + 1 :]]
            (export / "ledger.jsonl").write_text("".join(others))
            plant.seal(export)
            assert said(export, plant).startswith("WRONG: ledger.jsonl, line"), (place, row)


def test_a_manifest_reaches_nothing_outside(plant, export, tmp_path) -> None:
    """A path that leaves the export is refused without being read."""
    (tmp_path / "secret").write_text("x")
    made = json.loads((export / "manifest.json").read_text())
    for path in ("../secret", str(tmp_path / "secret")):
        made["files"] = {**made["files"], path: "00"}
        (export / "manifest.json").write_text(json.dumps(made))
        (export / "manifest.note").unlink(missing_ok=True)
        assert "not in manifest and export both" in said(export, plant)


def test_batches_follow_one_another(plant, export) -> None:
    """A batch that is left out shows: what is proven is then a part."""
    lines = (export / "ledger.jsonl").read_text().splitlines(keepends=True)
    empty = next(n for n, line in enumerate(lines) if '"batch"' in line and "[],[],[" in line)
    kept = json.loads(lines[empty])[1]
    lost = json.loads(lines[empty + 1])
    size = plant.batches[0].index + 1
    assert kept[0] >= size
    assert lost[0] in {"batch", "series", "state", "shard"}
    del lines[empty]
    (export / "ledger.jsonl").write_text("".join(lines))
    plant.seal(export)
    assert said(export, plant).startswith("WRONG: ledger.jsonl, line")


def test_memory_does_not_grow_with_the_export(plant_of, tmp_path) -> None:
    """Ten times the batches are checked in about the same memory: one batch at a time."""
    peaks = []
    for batches in (4, 40):
        made = plant_of([200] * batches)
        directory = made.export(tmp_path / str(batches))
        said(directory, made)  # what is loaded at first use is loaded
        tracemalloc.start()
        assert said(directory, made).startswith(f"{200 * batches} readings")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A block of a file that is hashed is the largest thing held: up to 1 MiB.
    assert peaks[1] - peaks[0] < 1 << 20
    assert peaks[1] < 4 << 20
