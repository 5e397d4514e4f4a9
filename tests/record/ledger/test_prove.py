"""`floorlog prove`: every anchored reading has its proof; all else is told why it has none."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from written import Written, more

from floorlog.errors import InputError, RecordError
from floorlog.record import verifier
from floorlog.record.export.prove import file_name, moment_us, prove
from floorlog.store.migrate import READER

READINGS = """
    SELECT device_id, metric, floorlog.to_us(ts), value, text, quality, flags, shard, batch
    FROM floorlog.reading WHERE shard IN (1, 2, 3)
    ORDER BY recorded_at, shard, device_id, metric, ts"""


def proven(written: Written, device: str, metric: str, ts_us: int, which: int = 1):
    return prove(written.dsn(READER), written.anchor, "", device, metric, ts_us, which)


def test_any_reading_can_be_proven(written) -> None:
    """Numbers, states, late ones, any batch of any shard: the proof says that very reading."""
    rows = written.run(READINGS)
    assert len(rows) > 100
    for device, metric, ts_us, *_ in rows[:: len(rows) // 12]:
        found = proven(written, device, metric, ts_us)
        first = found.others[0]
        assert found.says.startswith(f"{device} {metric} = ")
        shown = repr(first.value) if first.text is None else first.text
        assert f" = {shown}" in found.says
        assert f"(quality {first.quality:#010x}" in found.says


def test_each_reading_of_one_time_has_its_own_proof(written) -> None:
    """The one that stands is the first; the proof of another says that it is in conflict."""
    ((device, metric, ts_us, count),) = written.run(
        "SELECT device_id, metric, floorlog.to_us(ts), count(*) FROM floorlog.reading"
        " GROUP BY 1, 2, 3 HAVING count(*) > 1 AND count(*) FILTER (WHERE flags & 1 = 0) = 1"
        " ORDER BY 1, 2, 3 LIMIT 1"
    )
    found = [proven(written, device, metric, ts_us, n) for n in range(1, count + 1)]
    assert "in conflict" not in found[0].says
    assert "in conflict" in found[-1].says
    assert str(found[0].others[0]).split("(")[1].startswith("stands")
    with pytest.raises(InputError, match=f"no reading {count + 1} at that time.*there are 1: "):
        proven(written, device, metric, ts_us, count + 1)


def test_a_stranger_checks_it_with_the_verifier_alone(written, tmp_path) -> None:
    """The bundle, the one file, the key; nothing of ours on the path."""
    device, metric, ts_us, *_ = written.run(READINGS)[0]
    path = tmp_path / "proof.json"
    path.write_bytes(proven(written, device, metric, ts_us).as_bytes())
    alone = tmp_path / "verifier.py"
    alone.write_bytes(Path(verifier.__file__).read_bytes())
    command = [sys.executable, "-I", "-S", alone, path, "--key", written.anchor.key()]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"proven: {device} {metric} = ")
    changed = json.loads(path.read_text())
    changed["readings"][changed["place"]][1] += 1
    path.write_text(json.dumps(changed))
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("WRONG: ")


def test_what_cannot_be_proven_is_told(written) -> None:
    """One line: no such device, metric or time, with what there is instead; not anchored yet."""
    device, metric, ts_us, *_ = written.run(READINGS)[0]
    with pytest.raises(InputError, match="there is no device 'nobody'"):
        proven(written, "nobody", metric, ts_us)
    with pytest.raises(InputError, match=r"has no metric 'nothing'.*it has m0, m2, m4"):
        proven(written, "press-1", "nothing", ts_us)
    with pytest.raises(InputError, match=r"has no reading of .* the nearest are of 1994"):
        proven(written, device, metric, ts_us + 1)
    with pytest.raises(InputError, match="none is within a day of it"):
        proven(written, device, metric, ts_us + 10**13)
    more(written)
    ((device, metric, ts_us, which),) = written.run(
        "SELECT device_id, metric, floorlog.to_us(ts), nth FROM (SELECT *, row_number() OVER"
        " (PARTITION BY device_id, metric, ts ORDER BY flags & 1, recorded_at, shard, batch) AS nth"
        " FROM floorlog.reading) AS r WHERE shard = 4 LIMIT 1"
    )
    with pytest.raises(RecordError, match=r"is not anchored yet - try again in a minute"):
        proven(written, device, metric, ts_us, which)
    written.keep()
    assert proven(written, device, metric, ts_us, which).says


def test_nothing_anchored_at_all(written) -> None:
    """Says so, and what has to run."""
    shutil.rmtree(written.directory / "anchors")
    (written.directory / "anchors").mkdir()
    with pytest.raises(RecordError, match=r"nothing is anchored yet - let `floorlog keeper` run"):
        proven(written, "oven", "m3", 0)


CHANGED = (
    (
        "UPDATE floorlog.open_row SET value = (SELECT array_agg(v + 1) FROM unnest(value) v)",
        "batch 1 of shard shard-0: ",
    ),
    (
        "UPDATE floorlog.open_row SET late = NULL WHERE late IS NOT NULL",
        "batch 1 of shard shard-0: what it holds is not what was stored",
    ),
    (
        "UPDATE floorlog.batch SET received = 77 WHERE lease_id = 1 AND number = 1",
        "batch 1 of shard shard-0: its entry is not that of the log",
    ),
    (
        "UPDATE floorlog.log_leaf SET hash = sha256('x') WHERE position = 0",
        "THE LOG WAS CHANGED",
    ),
    ("DELETE FROM floorlog.log_leaf WHERE position = 2", "has not all of its leaves 0 to"),
)


@pytest.mark.parametrize(("change", "says"), CHANGED)
def test_a_changed_record_proves_nothing(written, change, says) -> None:
    """No bundle is written that a verifier would refuse; the batch is named."""
    device, metric, ts_us, *_ = written.run(READINGS)[0]
    written.run("SET session_replication_role = replica; " + change)
    with pytest.raises(RecordError, match=says):
        proven(written, device, metric, ts_us)


def test_names_and_times() -> None:
    """A file's name is harmless whatever a device is called; a time without offset is UTC."""
    assert "/" not in file_name("../../etc", "a b", "2026-01-01T00:00:00Z")
    assert moment_us("2026-01-01", "x") == moment_us("2026-01-01T01:00:00.000000+01:00", "x")
    with pytest.raises(InputError, match="is no time - write"):
        moment_us("soon", "TIME")
