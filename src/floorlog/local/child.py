"""One running program: how it is started on a leash, what it says, and how it is ended."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from floorlog.local.birth import PidFile, Stop, birth
from floorlog.local.place import Account

LEASH_SCRIPT = Path(__file__).with_name("leash.py")
LOG_BYTES_MAX = 8 << 20
SAID_BYTES_MAX = 64 << 10
POLITE: tuple[Stop, ...] = (Stop(signal.SIGTERM, 5.0), Stop(signal.SIGKILL, 2.0))


@dataclass(frozen=True)
class Program:
    """What to run, and how it is ended.

    Attributes:
        name: a service's name, unique in one data directory.
        argv: the program's whole path and its arguments.
        stops: signals in rising force, each with the seconds it has to work.
        environment: all its variables; None passes on those of this process.
        account: whom to run it as; None is the present user.
        death_signal: what it receives when this process is gone without having ended it.
        cwd: where it runs; with an account always `/`.
    """

    name: str
    argv: Sequence[str]
    stops: tuple[Stop, ...] = POLITE
    environment: Mapping[str, str] | None = None
    account: Account | None = None
    death_signal: int = signal.SIGTERM
    cwd: Path | None = None


def leashed(argv: Sequence[str], account: Account | None, death_signal: int) -> list[str]:
    """The command that runs `argv` as the account, and ends it when the calling thread is gone."""
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    script = [sys.executable, "-I", "-S", str(LEASH_SCRIPT)]
    numbers = [str(int(number)) for number in (os.getpid(), death_signal, uid, gid)]
    return [*script, *numbers, "--", *argv]


class Child:
    """A program started once. Start it from a thread that lives as long as the program shall.

    Args:
        program: what to run.
        run: the directory of pid files.
        logs: the directory of logs; what the program says is appended to `NAME.log` there.
    """

    def __init__(self, program: Program, run: Path, logs: Path) -> None:
        self.program = program
        self.pid_path = run / f"{program.name}.pid"
        self.log_path = logs / f"{program.name}.log"
        self.started_at = time.monotonic()
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            # A session of its own: Ctrl-C in the terminal is for us, who end things in order.
            self._process = subprocess.Popen(
                leashed(program.argv, program.account, program.death_signal),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=program.environment,
                cwd=program.cwd,
                start_new_session=True,
            )
        self.pid = self._process.pid
        PidFile(self.pid, birth(self.pid), program.stops).write(self.pid_path)

    def exit_status(self) -> int | None:
        """None while it runs, else its exit code; a signal that ended it as a negative number."""
        return self._process.poll()

    def ending(self) -> str:
        """How it ended, in words."""
        status = self._process.poll()
        if status is None:
            return "runs"
        if status < 0:
            return f"was ended by {signal.Signals(-status).name}"
        return f"ended with exit code {status}"

    def said(self) -> str:
        """What this program has written since its start, the last 64 KiB."""
        with contextlib.suppress(OSError), self.log_path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - SAID_BYTES_MAX))
            return log.read().decode("utf-8", "replace")
        return ""

    def send(self, signal_number: int) -> None:
        """Signal it; nothing happens if it has ended."""
        self._process.send_signal(signal_number)

    def bound_log(self) -> None:
        """Begin the log anew where it has become too long; the old one stays as `NAME.log.1`.

        Copied and emptied, not renamed: the program holds the file open. What it says in between
        is lost.
        """
        if self.log_path.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(self.log_path, self.log_path.with_suffix(".log.1"))
            os.truncate(self.log_path, 0)
            self._log_start = 0

    def forget(self) -> None:
        """Remove the pid file of an ended program."""
        self.pid_path.unlink(missing_ok=True)


def end_children(children: Sequence[Child], hurry: threading.Event) -> None:
    """End programs together, each by its own stops; `hurry` means the last stop at once."""
    steps = dict.fromkeys(range(len(children)), 0)
    deadlines = {}
    for number, child in enumerate(children):
        child.send(child.program.stops[0].signal_number)
        child.send(signal.SIGCONT)  # a paused process hears nothing else
        deadlines[number] = time.monotonic() + child.program.stops[0].patience_seconds
    while running := [number for number in deadlines if children[number].exit_status() is None]:
        for number in running:
            stops = children[number].program.stops
            if time.monotonic() < deadlines[number] and not hurry.is_set():
                continue
            steps[number] = (
                len(stops) - 1 if hurry.is_set() else min(steps[number] + 1, len(stops) - 1)
            )
            children[number].send(stops[steps[number]].signal_number)
            deadlines[number] = time.monotonic() + stops[steps[number]].patience_seconds
        time.sleep(0.02)
    for child in children:
        child.forget()
