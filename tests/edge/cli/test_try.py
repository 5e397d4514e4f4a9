"""`try` and `send` with a file: its layout is shown, every reading is accounted for."""

import gzip
import json

import pytest

pytestmark = pytest.mark.slow  # starts the whole of `try`

KEYS = {
    "received", "stored", "rejected", "duplicate", "conflict", "gaps", "series", "anomalies",
    "skipped", "empty", "seconds",
}  # fmt: skip


def wide(rows: int) -> str:
    """A German wide table: `;`, decimal commas, day first, every tenth current cell empty."""
    lines = ["Zeit;Temperatur [°C];Strom"]
    for n in range(rows):
        current = "" if n % 10 == 0 else f"{n % 7},5"
        lines.append(
            f"15.01.2026 {n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d};20,{n:03d};{current}"
        )
    return "\n".join(lines)


def test_try_accounts_for_every_reading(floorlog, tmp_path):
    """A gzipped German table with one repeated and one contradicting row: one JSON object, exact.

    An empty cell is no reading, the repeated values are duplicates, the other is a conflict.
    """
    text = wide(600) + "\n15.01.2026 00:00:01;20,001;1,5\n15.01.2026 00:00:02;99,0;2,5\n"
    path = tmp_path / "halle.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    answer = floorlog("try", str(path), "--once", "--json", "--timezone", "Europe/Berlin")
    assert answer.code == 0, answer.err
    (line,) = answer.out.splitlines()
    found = json.loads(line)
    assert set(found) == KEYS
    assert found["received"] == 600 + 540 + 4
    assert found["stored"] == 600 + 540 + 1
    assert (found["rejected"], found["duplicate"], found["conflict"]) == (0, 3, 1)
    assert (found["gaps"], found["series"], found["skipped"]) == (0, 2, 0)
    assert found["empty"] == 60
    assert "Europe/Berlin" in answer.err
    assert "decimal comma" in answer.err
    assert "Temperatur" in answer.err


def test_try_and_send_share_a_place(floorlog, tmp_path_factory, up):
    """`send` puts a file into the stream of a running `up`; the record has one reading a cell."""
    path = tmp_path_factory.mktemp("csv") / "long.csv"
    rows = [f"2026-01-15T00:00:{n:02d}Z,cell-{n % 2},volume,{n}.5" for n in range(60)]
    path.write_text("\n".join(["time,device,metric,value", *rows]))
    answer = floorlog("send", str(path), "--data", str(up.data))
    assert answer.code == 0, answer.err
    assert answer.out == "sent 60 readings into floorlog\n"
    busy = floorlog("try", str(path), "--once", "--data", str(up.data))
    assert busy.code == 1
    assert "in use by another Floorlog" in busy.err


@pytest.mark.parametrize("command", [["try", "--once"], ["send"]])
def test_a_table_without_time_is_refused(floorlog, tmp_path, command):
    """No column holds times: one line that names the file and what to say; nothing is started."""
    path = tmp_path / "no-time.csv"
    path.write_text("a,b\n" + "\n".join(f"x{n},{n}" for n in range(20)))
    answer = floorlog(command[0], str(path), *command[1:])
    assert answer.code == 1
    (line,) = answer.err.splitlines()
    assert "no-time.csv" in line
    assert "--time" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.csv"], "nowhere.csv"),
        (["good.csv", "--timezone", "Mars/Olympus"], "Mars/Olympus"),
        (["good.csv", "--time", "never"], "never"),
        (["good.csv", "--data", "good.csv/data"], "--data"),
    ],
)
def test_what_cannot_be_is_one_line(floorlog, tmp_path, arguments, said):
    """A missing file, an unknown zone or column, a place that cannot be: said in one last line."""
    (tmp_path / "good.csv").write_text("time,v\n2026-01-01T00:00:00Z,1\n2026-01-01T00:00:01Z,2\n")
    paths = [str(tmp_path / word) if ".csv" in word else word for word in arguments]
    answer = floorlog("try", *paths, "--once", "--json")
    assert answer.code == 1
    assert not answer.out
    last = answer.err.splitlines()[-1]
    assert last.startswith("floorlog: ")
    assert said in last


def test_send_takes_a_file_or_the_plant_not_both(floorlog, tmp_path):
    """Both at once is not clear, and said so."""
    answer = floorlog("send", str(tmp_path / "a.csv"), "--plant")
    assert answer.code == 1
    assert "--plant" in answer.err
