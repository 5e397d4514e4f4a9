"""Programs that the caller adds: started, watched, started again, ended."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from floorlog.errors import ServiceError
from floorlog.local import child as children
from floorlog.local import watch
from floorlog.local.birth import Stop
from floorlog.local.child import Program
from floorlog.local.command import Command
from floorlog.local.supervisor import Supervisor

Remaining = Callable[..., list[psutil.Process]]
IGNORES = """
import signal, time
signal.signal(15, signal.SIG_IGN)
print("up", flush=True)
time.sleep(60)
"""


def command(name: str, *argv: str, **more) -> Command:
    return Command(Program(name, argv, **more))


def sleep(name: str, **more) -> Command:
    return command(name, "/bin/sleep", "60", **more)


def test_a_program_that_dies_is_started_again_and_reported(place: Path) -> None:
    """After kill -9 comes a new process within a second, and an event with the cause."""
    supervisor = Supervisor(place / "data", only=set())
    with supervisor:
        supervisor.add(sleep("worker-1")).result(5)
        old = supervisor.kill("worker-1")
        new = supervisor.wait_ready("worker-1", old, 2)
        assert new != old
        assert supervisor.services.pids == {"worker-1": new}
        assert any(
            e.service == "worker-1" and "was ended by SIGKILL" in e.text for e in supervisor.events
        )
    assert not psutil.pid_exists(new)


@pytest.mark.slow
def test_one_that_dies_at_once_is_tried_with_growing_pauses(place: Path, monkeypatch) -> None:
    """A program that cannot run is tried ever less often, up to a bound, and says why each time."""
    monkeypatch.setattr(watch, "PAUSE_SECONDS_MIN", 0.05)
    monkeypatch.setattr(watch, "PAUSE_SECONDS_MAX", 0.2)
    supervisor = Supervisor(place / "data", only=set())
    with supervisor:
        supervisor.add(command("worker-1", "/bin/sh", "-c", "echo no stream here; exit 3"))
        time.sleep(1.5)
    texts = [e.text for e in supervisor.events if "next start" in e.text]
    said = "worker-1 ended with exit code 3; the last that it said: no stream here - see its log"
    assert said in texts[0]
    pauses = [float(text.split()[-2]) for text in texts]
    assert pauses[:3] == [0.1, 0.1, 0.2]  # 0.05 is shown with one digit
    assert set(pauses[2:]) == {0.2}
    assert 4 <= len(pauses) <= 9


def test_a_program_that_cannot_be_run_is_one_line(place: Path) -> None:
    """The leash names the program and the reason."""
    supervisor = Supervisor(place / "data", only=set())
    with supervisor:
        supervisor.add(command("worker-1", "/no/such/program"))
        time.sleep(0.4)
    assert any("cannot run /no/such/program: No such file" in e.text for e in supervisor.events)


def test_readiness_is_waited_for(place: Path) -> None:
    """A command is ready when it has said what was agreed, not before."""
    script = "import time; time.sleep(0.4); print('page on 1', flush=True); time.sleep(60)"
    program = Program("web", (sys.executable, "-c", script))
    with (supervisor := Supervisor(place / "data", only=set())):
        seconds = supervisor.add(Command(program, ready=lambda said: "page on" in said)).result(5)
    assert 0.4 <= seconds < 3


def test_a_held_program_stays_down_until_it_is_wanted(place: Path) -> None:
    """A test can take one service away for as long as it needs, and bring it back."""
    with (supervisor := Supervisor(place / "data", only=set())):
        supervisor.add(sleep("worker-1")).result(5)
        old = supervisor.kill("worker-1", hold=True)
        time.sleep(0.5)
        assert supervisor.pid("worker-1") == 0
        assert supervisor.restart("worker-1") < 2
        assert supervisor.pid("worker-1") not in (0, old)
        paused = supervisor.kill("worker-1", signal.SIGSTOP)
        assert supervisor.pid("worker-1") == paused, "a paused one is no dead one"


def test_names_are_checked(place: Path) -> None:
    """A name twice, or one that nobody has, is an error with the mend; the services go on."""
    with (supervisor := Supervisor(place / "data", only=set())):
        supervisor.add(sleep("worker-1")).result(5)
        with pytest.raises(ServiceError, match="already - give it another name"):
            supervisor.add(sleep("worker-1"))
        with pytest.raises(ServiceError, match="no service x - it is one of worker-1"):
            supervisor.pid("x")
        with pytest.raises(ServiceError, match="PostgreSQL is not among"):
            supervisor.services.postgres_dsn()
        assert supervisor.pid("worker-1")
    with pytest.raises(ServiceError, match="not running"):
        supervisor.pid("worker-1")


def test_stubborn_programs_end_together(place: Path, remaining: Remaining) -> None:
    """Programs deaf to SIGTERM are ended by force, all in the time of one."""
    stops = (Stop(signal.SIGTERM, 0.6), Stop(signal.SIGKILL, 2.0))
    with (supervisor := Supervisor(place / "data", only=set())):
        for number in range(3):
            program = Program(f"worker-{number}", (sys.executable, "-c", IGNORES), stops=stops)
            supervisor.add(Command(program, ready=lambda said: "up" in said)).result(10)
        began = time.monotonic()
    assert 0.6 <= time.monotonic() - began < 1.6
    assert remaining(0) == []
    assert list((place / "data" / "run").iterdir()) == []


@pytest.mark.slow
def test_a_log_has_a_bound(place: Path, monkeypatch) -> None:
    """A talkative program fills no disk: the log begins anew and one old one is kept."""
    monkeypatch.setattr(children, "LOG_BYTES_MAX", 10_000)
    monkeypatch.setattr("floorlog.local.supervisor.LOG_SECONDS", 0.1)
    script = "import sys, time\nwhile True: print('x' * 99, flush=True); time.sleep(0.0005)"
    with (supervisor := Supervisor(place / "data", only=set())):
        supervisor.add(command("worker-1", sys.executable, "-c", script))
        time.sleep(1.2)
    log = place / "data" / "log" / "worker-1.log"
    assert 0 < log.stat().st_size < 200_000
    assert log.with_suffix(".log.1").stat().st_size > 10_000
    assert b"\0" not in log.read_bytes(), "the program went on at the new end, not at the old"


def test_children_get_what_they_are_given(place: Path) -> None:
    """A program's variables are those given; it has its own session and inherits no file."""
    script = (
        "import os, time; session = os.getsid(0) == os.getpid()\n"
        "print(dict(os.environ), session, os.listdir('/proc/self/fd'), flush=True); time.sleep(60)"
    )
    program = Program(
        "worker-1", (sys.executable, "-I", "-S", "-c", script), environment={"A": "b"}
    )
    with (supervisor := Supervisor(place / "data", only=set())):
        supervisor.add(Command(program, ready=lambda said: "True" in said)).result(5)
        said = (place / "data" / "log" / "worker-1.log").read_text().splitlines()[0]
    assert "'A': 'b'" in said
    assert str(os.getpid()) not in said
    assert "True" in said
    assert "'4'" not in said, "0, 1, 2 and the listing itself"
