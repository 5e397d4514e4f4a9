"""`floorlog export`: what is asked for, whole or not at all, verified by what it carries."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import psycopg
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from aged import AGED, DAYS
from sealing import seal
from written import Written, more

from floorlog.errors import InputError, RecordError, ServiceError
from floorlog.record.act.act import acting
from floorlog.record.act.retention import set_policy, step
from floorlog.record.export.export import Asked, export
from floorlog.record.export.prove import moment_us, prove
from floorlog.record.log import signing_key
from floorlog.record.log.anchor import open_signer
from floorlog.record.verifier import ERRORS, Key, check_export
from floorlog.store.migrate import KEEPER, OPERATOR, READER

pytestmark = pytest.mark.slow  # each copies a database; together some seconds
MIDDLE = moment_us("2026-01-01T00:00:45Z", "")


def exported(written: Written, path: Path, *, signed: bool = True, **asked):
    signer = open_signer(written.key_path, may_create=False) if signed else None
    return export(written.dsn(READER), written.anchor, "", Asked(**asked), path, signer=signer)


def said(path: Path, written: Written) -> str:
    """What the export's own verifier says, alone."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", path / "verifier.py", path, "--key", written.anchor.key()],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == (0 if done.stdout.startswith("proven: ") else 1)
    return done.stdout


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((path / "readings.csv").read_text(), newline="")))


def test_a_whole_record_verifies_elsewhere(written, tmp_path) -> None:
    """All readings and events of all batches, under a signed manifest."""
    done = exported(written, tmp_path / "all")
    ((stored, batches),) = written.run("SELECT sum(stored), count(*) FROM floorlog.batch")
    assert (done.readings, done.batches, done.unanchored) == (stored, batches, 0)
    found = said(tmp_path / "all", written)
    assert found.startswith(
        f"proven: {stored} readings and {done.events} events of {batches} batches, all that they"
    )
    assert found.rstrip().endswith("which is signed")
    ((events,),) = written.run(
        "SELECT (SELECT count(*) FROM floorlog.reject) + (SELECT count(*) FROM floorlog.anomaly)"
        " + (SELECT count(*) FROM floorlog.gap)"
    )
    assert done.events == events > 0
    assert written.run("SELECT count(*) FROM floorlog.correction") == [(done.corrections,)]
    assert f"; {done.corrections} corrections; " in found
    lines = (tmp_path / "all" / "ledger.jsonl").read_text().splitlines()
    held = [json.loads(line)[1][2] for line in lines if line.startswith('["correction"')]
    assert {(row[3], row[8]) for row in held} >= {("sensor was unplugged: ä", -0.5)}


def test_csv_parquet_and_record_hold_the_same(written, tmp_path) -> None:
    """Row for row: what was stored, as the view shows it beside corrections, is in both files."""
    exported(written, tmp_path / "all", signed=False)
    rows = rows_of(tmp_path / "all")
    table = pq.read_table(tmp_path / "all" / "parquet")
    assert table.num_rows == len(rows)
    for name in ("device_id", "metric", "quality", "flags", "shard", "batch", "series"):
        assert list(map(str, table.column(name).to_pylist())) == [row[name] for row in rows]
    times = pc.cast(table.column("ts"), "int64").to_pylist()
    assert list(map(str, times)) == [row["ts_us"] for row in rows]
    values = table.column("value").to_pylist()
    assert ["" if one is None else repr(one) for one in values] == [row["value"] for row in rows]
    assert [one or "" for one in table.column("text").to_pylist()] == [row["text"] for row in rows]
    stored = written.run(
        "SELECT device_id, metric, coalesce(value::text, text), quality, flags & 3, shard, batch"
        " FROM floorlog.reading"
    )
    held = [
        (row["device_id"], row["metric"], row["value"] or row["text"], *map(int, more_of(row)))
        for row in rows
    ]
    missing, more_than = Counter(map(shown, stored)), Counter(map(shown, held))
    assert (missing - more_than, more_than - missing) == (Counter(), Counter())


def more_of(row: dict[str, str]) -> list[str]:
    return [row[name] for name in ("quality", "flags", "shard", "batch")]


def shown(row: tuple) -> tuple:
    """A row with its number in one way of writing."""
    try:
        value = repr(float(row[2]))
    except ValueError:
        value = row[2]
    return (*row[:2], value, *row[3:])


def test_a_span_holds_what_arrived_in_it_and_what_is_of_it(written, tmp_path) -> None:
    """Whole batches: nothing of the span is missing, and the verifier says that it is a part."""
    exported(written, tmp_path / "part", from_us=MIDDLE, to_us=MIDDLE + 15_000_000)
    assert said(tmp_path / "part", written).startswith("proven: ")
    held = {(row["device_id"], row["metric"], row["ts_us"]) for row in rows_of(tmp_path / "part")}
    wanted = written.run(
        "SELECT device_id, metric, floorlog.to_us(ts) FROM floorlog.reading"
        " WHERE ts >= '2026-01-01T00:00:45Z' AND ts < '2026-01-01T00:01Z'"
    )
    assert wanted
    assert {(device, metric, str(ts)) for device, metric, ts in wanted} <= held
    assert len(held) < len(
        written.run("SELECT DISTINCT device_id, metric, ts FROM floorlog.reading")
    )


def test_one_device_alone(written, tmp_path) -> None:
    """No row of another device; rejects, which are of none, stay out; the rest is covered."""
    exported(written, tmp_path / "oven", device="oven", from_us=MIDDLE)
    found = said(tmp_path / "oven", written)
    assert "a part of what they hold" in found
    assert {row["device_id"] for row in rows_of(tmp_path / "oven")} == {"oven"}
    kinds = [
        row[1]
        for line in (tmp_path / "oven" / "ledger.jsonl").read_text().splitlines()
        if json.loads(line)[0] == "batch"
        for row in json.loads(line)[1][4]
    ]
    assert "reject" not in kinds
    with pytest.raises(InputError, match="there is no device 'kiln'"):
        exported(written, tmp_path / "kiln", device="kiln")
    assert not (tmp_path / "kiln").exists()


def test_who_may_not_use_the_key_exports_unsigned(written, command, tmp_path, monkeypatch) -> None:
    """One line says why; the export is there, and its verifier says that it is not signed."""

    def refused(*_: object) -> None:
        raise ServiceError("KMS does not decrypt the signing key", where="kms", fix="-")

    monkeypatch.setattr(signing_key, "signer_at_hand", refused)
    assert "corrections" in command("export", str(tmp_path / "all"))
    assert said(tmp_path / "all", written).rstrip().endswith("which is NOT SIGNED")


def test_a_changed_correction_is_not_exported(written, tmp_path) -> None:
    """Nothing is handed out that a verifier would refuse: it is named."""
    written.run("UPDATE floorlog.correction SET reason = 'so' WHERE correction_id = 2")
    with pytest.raises(RecordError, match="correction 2 is not that of the log"):
        exported(written, tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_the_page_marks_all(written, tmp_path) -> None:
    """Every conflict, gap, reject and finding is a marked row; words from outside are escaped."""
    exported(written, tmp_path / "all")
    page = (tmp_path / "all" / "summary.html").read_text()
    for mark in ("conflict", "correction", "gap", "reject", "anomaly"):
        ((count,),) = written.run(f"SELECT count(*) FROM floorlog.{mark}")
        section = page.split(f"<h2 id={mark}>")[1].split("<h2")[0]
        assert section.count(f"<tr class={mark}>") == count > 0
        assert f": {count}</h2>" in page.split(f"<h2 id={mark}>")[1][:60]
    assert "naïve &quot;\U0001f4a7&quot;" in page
    assert "not in the record" not in page
    assert not re.search(r"\$[a-z]", page)
    assert "src=" not in page


def test_what_is_not_anchored_is_left_out_and_told(written, tmp_path) -> None:
    """Only what a signed note covers is exported; how much is not is said."""
    more(written)
    assert exported(written, tmp_path / "all").unanchored == 1
    assert said(tmp_path / "all", written).startswith("proven: ")
    assert (
        "1 newer batches belong here and are left out"
        in (tmp_path / "all" / "summary.html").read_text()
    )


def test_it_takes_an_empty_place_alone(written, tmp_path) -> None:
    """A directory with anything in it is left as it is; an empty one is filled."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    with pytest.raises(InputError, match="there is something there already"):
        exported(written, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]
    (tmp_path / "empty").mkdir()
    assert exported(written, tmp_path / "empty").readings
    assert said(tmp_path / "empty", written).startswith("proven: ")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE floorlog.batch SET received = received + 1 WHERE number = 3",
        "DELETE FROM floorlog.reject WHERE number = 4",
        "UPDATE floorlog.open_row SET quality = NULL WHERE number = 6",
    ],
)
def test_a_changed_record_is_not_exported(written, tmp_path, change) -> None:
    """The batch is named, and nothing is left behind."""
    written.run("SET session_replication_role = replica; " + change)
    with pytest.raises(RecordError, match="THE RECORD IS NOT INTACT: batch"):
        exported(written, tmp_path / "all")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_left_is_no_export(written, tmp_path) -> None:
    """It is beside the place, verifies as nothing, and is gone after the next one."""
    exported(written, tmp_path / "all")
    left = tmp_path / ".other.partial"
    shutil.copytree(tmp_path / "all", left)
    for name in ("manifest.json", "manifest.note"):
        (left / name).unlink()
    assert said(left, written).startswith("WRONG: ")
    exported(written, tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all", "other"]


EXPORTING = """
import sys
from collections import Counter
from pathlib import Path
from floorlog.record.export import export as room
from floorlog.record.log.anchor import Directory, open_signer
room.LOT_BATCHES = 1
signer = open_signer(Path(sys.argv[3]), may_create=False)
room.export(sys.argv[1], Directory(Path(sys.argv[2])), "", room.Asked(), Path(sys.argv[4]),
    signer=signer, tell=lambda *_: print("lot", flush=True))
print("done", flush=True)
"""


def killed(written: Written, path: Path, lots: int, pause_s: float) -> bool:
    """Start an export, kill -9 it some time after so many lots; whether it had ended before."""
    arguments = [written.dsn(READER), written.anchor.path, written.key_path, path]
    process = subprocess.Popen(
        [sys.executable, "-c", EXPORTING, *arguments], stdout=subprocess.PIPE
    )
    said = [process.stdout.readline() for _ in range(lots)]
    time.sleep(pause_s)
    process.kill()
    said += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    return b"done\n" in said


def kill_exports(written: Written, tmp_path: Path, times: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    ended = 0
    for number in range(times):
        path = tmp_path / f"export-{number % 3}"
        shutil.rmtree(path, ignore_errors=True)
        done = killed(written, path, int(random.integers(0, 21)), float(random.uniform(0, 0.05)))
        ended += done
        partial = path.with_name(f".{path.name}.partial")
        if path.exists():
            assert said(path, written).startswith("proven: ")
        else:
            assert not done
        if partial.exists():
            look_at(partial, written)
    for number in range(min(times, 3)):
        path = tmp_path / f"export-{number}"
        shutil.rmtree(path, ignore_errors=True)
        assert exported(written, path).batches == 19
        assert said(path, written).startswith("proven: ")
    assert not list(tmp_path.glob(".*"))
    print(f"{times} exports killed, {ended} of them after their end")


def look_at(partial: Path, written: Written) -> None:
    """What was left verifies only if it is whole: killed between its last file and its name."""
    try:
        found = check_export(partial, [Key(written.anchor.key())])
    except ERRORS:
        return
    assert "of 19 batches, all that they hold" in found


def test_a_killed_export_leaves_nothing_that_verifies(written, tmp_path) -> None:
    """Killed at five moments: there is a whole export or none, and the next one succeeds."""
    kill_exports(written, tmp_path, 5, seed=1)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_fifty_killed_exports_leave_nothing_that_verifies(written, tmp_path) -> None:
    """Killed at fifty moments: there is a whole export or none, and the next one succeeds."""
    kill_exports(written, tmp_path, 50, seed=2)


def test_memory_does_not_grow_with_the_range(written, tmp_path, monkeypatch) -> None:
    """Lots of a few batches: the peak of the whole record is that of a part, or nearly."""
    monkeypatch.setattr("floorlog.record.export.export.LOT_BATCHES", 2)
    monkeypatch.setattr("floorlog.record.export.sheet.GROUP_ROWS", 50)
    exported(written, tmp_path / "warm")

    def peak(name: str, **asked) -> int:
        tracemalloc.start()
        try:
            exported(written, tmp_path / name, **asked)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    part = peak("part", from_us=MIDDLE, to_us=MIDDLE + 15_000_000)
    assert peak("all") < 1.5 * part


@pytest.mark.parametrize("sealed", [False, True], ids=["open", "sealed"])
def test_what_expired_is_covered_by_what_it_left(aged_ground, tmp_path, sealed) -> None:
    """An export and a proof of a record of which a part expired: the rest is still proven."""
    with aged_ground.copy(AGED) as aged:
        if sealed:
            seal(aged)
        before = exported(aged, tmp_path / "before").readings
        device = aged.run("SELECT device FROM floorlog.series ORDER BY series_id")[0][0]
        set_policy(aged.dsn(OPERATOR), device, DAYS * 3 // 4, from_active=False, by="A", reason="r")
        with acting(aged.dsn(KEEPER)) as connection:
            while step(connection, 3) is not None:
                pass
        aged.keep()
        done = exported(aged, tmp_path / "after")
        assert 0 < done.readings < before
        found = said(tmp_path / "after", aged)
        assert found.startswith(f"proven: {done.readings} readings")
        assert "a part of what they hold" in found
        ((metric, ts_us, other),) = aged.run(
            "SELECT metric, floorlog.to_us(ts), device_id FROM floorlog.reading WHERE flags & 1 = 0"
            " AND (shard, batch) IN (SELECT lease_id, number FROM floorlog.expired) LIMIT 1"
        )
        assert prove(aged.dsn(READER), aged.anchor, "", other, metric, ts_us).says


def test_a_lost_database_is_one_line(tmp_path, written) -> None:
    """And nothing is left behind."""
    dsn = psycopg.conninfo.make_conninfo(written.dsn(READER), port=1)
    with pytest.raises(ServiceError, match="the record cannot be read") as error:
        export(dsn, written.anchor, "", Asked(), tmp_path / "all")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
