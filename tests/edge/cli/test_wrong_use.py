"""Wrong use: one clear line on stderr with the fix, and exit code 1 (2 for wrong words)."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each command is a process of its own

SET = {
    "KINESIS_STREAM_NAME": "none",
    "REDIS_ENDPOINT": "127.0.0.1:1",
    "DB_SECRET_ARN": "file:/nonexistent/secret.json",
    "AWS_ACCESS_KEY_ID": "k",
    "AWS_SECRET_ACCESS_KEY": "s",
    "AWS_ENDPOINT_URL_KINESIS": "http://127.0.0.1:1",
}


def one_line(answer) -> str:
    """The single line that was said on stderr."""
    assert answer.code == 1, answer
    (line,) = answer.err.splitlines()
    assert line.startswith("floorlog: ")
    return line


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in SET.items() if key != name}


@pytest.mark.parametrize("name", ["KINESIS_STREAM_NAME", "REDIS_ENDPOINT", "DB_SECRET_ARN"])
def test_a_missing_setting_is_named(floorlog, name):
    """The worker names the variable that is not set, and what it is for."""
    line = one_line(floorlog("worker", **without(name)))
    assert f"{name} is not set" in line
    assert f"set {name}" in line


def test_who_forgot_to_start_it_is_told_how(floorlog, tmp_path):
    """Without services and settings: what to start, to name or to set, in one line."""
    line = one_line(floorlog("verify", XDG_DATA_HOME=str(tmp_path)))
    for mend in ("floorlog up", "--data DIR", "DB_SECRET_ARN"):
        assert mend in line


@pytest.mark.parametrize(
    ("name", "value"),
    [("FLOORLOG_LEASE_SECONDS", "long"), ("FLOORLOG_POLL_MS", "1"), ("FLOORLOG_LOG_LEVEL", "LOUD")],
)
def test_a_wrong_setting_is_named(floorlog, name, value):
    """A value that cannot be is shown with the variable's name."""
    line = one_line(floorlog("worker", **SET, **{name: value}))
    assert name in line
    assert value in line


def test_an_unreadable_secret_is_named(floorlog):
    """The secret's file is missing: the line names it and the variable."""
    line = one_line(floorlog("status", **SET))
    assert "/nonexistent/secret.json" in line
    assert "DB_SECRET_ARN" in line


def test_an_unreachable_database_is_said(floorlog, tmp_path):
    """Nobody listens at the database's port: one line, no traceback."""
    secret = tmp_path / "secret.json"
    secret.write_text(
        '{"username":"u","password":"p","host":"127.0.0.1","port":1,"dbname":"floorlog"}'
    )
    for command in ("status", "migrate"):
        line = one_line(floorlog(command, **{**SET, "DB_SECRET_ARN": f"file:{secret}"}))
        assert "database" in line


def test_an_unreachable_stream_is_said(floorlog):
    """Nobody listens at the stream's endpoint: one line that names the stream."""
    line = one_line(floorlog("send", "--plant", "--seconds", "1", **SET))
    assert "the stream none" in line


def test_status_without_services_says_how_to_start_them(floorlog, tmp_path):
    """A directory where nothing runs: the line names `floorlog up`."""
    line = one_line(floorlog("status", "--data", str(tmp_path)))
    assert "floorlog up" in line


@pytest.mark.parametrize("command", ["up"])
def test_an_unreachable_data_directory_is_said(floorlog, tmp_path, command):
    """A file where a directory should be, as part of the path: the line names it and --data."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    line = one_line(floorlog(command, "--data", str(blocked / "data")))
    assert str(tmp_path) in line
    assert "--data" in line


def test_a_page_port_in_use_is_named(floorlog, tmp_path):
    """The port that was asked for is taken: said before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        data = tmp_path / "data"
        line = one_line(floorlog("up", "--data", str(data), FLOORLOG_WEB_PORT=str(port)))
    assert f"port {port} is in use" in line
    assert not data.exists()


def test_send_wants_to_know_what(floorlog):
    """`send` alone sends nothing and says what to add."""
    assert "--plant" in one_line(floorlog("send", **SET))


def test_doctor_names_what_is_missing(floorlog, tmp_path):
    """Nothing can be reached: doctor goes on to the end, one line each, exit code 1."""
    answer = floorlog("doctor", **SET)
    assert answer.code == 1
    missing = [line for line in answer.out.splitlines() if line.startswith("MISSING")]
    assert {"stream", "database", "cache"} <= {line.split(":")[0].split()[-1] for line in missing}
    assert not answer.err


def test_doctor_looks_at_the_data_directory(floorlog, tmp_path):
    """A directory that cannot be made is found before anything is started."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    answer = floorlog("doctor", "--data", str(blocked / "data"))
    assert answer.code == 1
    assert "MISSING  data directory" in answer.out
    assert "--data" in answer.out


def test_wrong_words_show_the_usage(floorlog):
    """A command that there is not: click's usage and exit code 2."""
    answer = floorlog("dance")
    assert answer.code == 2
    assert "No such command" in answer.err


def test_the_unexpected_is_one_line_and_a_log(tmp_path):
    """A fault of ours is told in one line that names the file with the whole story."""
    script = (
        "import sys; from floorlog import cli;"
        "cli.directory_of = lambda data: 1 / 0;"
        "sys.argv = ['floorlog', 'doctor']; cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "ZeroDivisionError" in line
    log = Path(line.split()[-1])
    assert log.parent == tmp_path
    assert "Traceback" in log.read_text()


def test_help_starts_light():
    """`--help` imports neither NumPy nor the database, stream and service libraries."""
    script = (
        "import sys; from floorlog import cli;"
        "sys.argv = ['floorlog', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'psycopg', 'botocore', 'tornado', 'redis'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
