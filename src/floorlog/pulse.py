"""Pulse: what a worker tells of itself, measures once a minute, a heartbeat while it goes on."""

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path

from floorlog import metrics
from floorlog.config import Settings, variable
from floorlog.core import protocol
from floorlog.errors import ServiceError, SettingError

log = logging.getLogger("floorlog.pulse")

BEAT_SECONDS = 5.0
FLUSH_SECONDS = 60.0
STALE_SECONDS = 30.0  # a heartbeat older than this: nobody renews it

# Replies that mean: it goes on. A pause or a refusal is none.
_STEPS = (protocol.Fetched, protocol.Committed, protocol.Renewed, protocol.Surveyed)


class Pulse:
    """Notes what a worker's threads do; a thread of its own tells of it.

    Args:
        settings: where the heartbeat goes, what counts as standing still, whether to measure.
    """

    def __init__(self, settings: Settings) -> None:
        self._file = Path(settings.health_file) if settings.health_file else None
        self._limit_s = settings.health_seconds
        self.measures = metrics.Measures(settings.environment, write_line)
        self._measuring = settings.metrics == "emf"
        self._steps: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to tell, if there is anything to tell."""
        if self._file is None and not self._measuring:
            return
        self.measures.count(dict.fromkeys((*metrics.COUNTS, "gaps", "lease_changes"), 0))
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Tell the last, and end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(BEAT_SECONDS)

    def begin(self, name: str) -> None:
        """A thread of this name must go on from now."""
        with self._lock:
            self._steps[name] = time.monotonic()

    def end(self, name: str) -> None:
        """The thread has ended; nothing is expected of it."""
        with self._lock:
            self._steps.pop(name, None)

    def note(self, name: str, command: protocol.Command, reply: object, seconds: float) -> None:
        """A thread's command had this reply after so long."""
        if isinstance(reply, _STEPS):
            self.begin(name)
        if not self._measuring:
            return
        if isinstance(reply, protocol.Fetched):
            self.measures.behind(name, reply.behind_ms)
        elif isinstance(command, protocol.Commit) and isinstance(reply, protocol.Committed):
            if not command.probe:
                self._committed(command, seconds)
        elif isinstance(command, protocol.Take | protocol.Release) and not isinstance(
            reply, protocol.Failed
        ):
            changed = isinstance(command, protocol.Release) or reply is not None
            self.measures.count({"lease_changes": int(changed)})

    def standing_still(self) -> str:
        """The name of the thread that has not gone on for longest, if it is too long; else ""."""
        with self._lock:
            name, at_s = min(self._steps.items(), key=lambda each: each[1], default=("", 0.0))
        return name if name and time.monotonic() - at_s > self._limit_s else ""

    def _committed(self, command: protocol.Commit, seconds: float) -> None:
        counts = command.batch.counts
        self.measures.count({name: getattr(counts, name) for name in metrics.COUNTS})
        opened = sum(alarm[0] > 0 for alarm in command.batch.alarms)
        self.measures.count({"gaps": len(command.batch.gaps), "alarms": opened})
        self.measures.observe("commit_ms", round(1000 * seconds, 1))

    def _run(self) -> None:
        flushed_s = time.monotonic()
        while True:
            stopping = self._stopping.wait(BEAT_SECONDS)
            if self._measuring and (stopping or time.monotonic() - flushed_s >= FLUSH_SECONDS):
                self.measures.flush(time.time_ns() // 1_000_000)
                flushed_s = time.monotonic()
            if self._file is not None:
                self._beat(self._file)
            if stopping:
                return

    def _beat(self, file: Path) -> None:
        still = self.standing_still()
        if still:
            log.error("%s has stood still for %.0f s", still, self._limit_s)
            return
        partial = file.with_suffix(".new")
        try:
            partial.write_text(json.dumps({"at": time.time(), "process": os.getpid()}), "utf-8")
            partial.replace(file)
        except OSError as error:
            log.warning("the heartbeat cannot be written: %s", error)


def write_line(line: str) -> None:
    """One line to stdout, at once and whole."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def check(settings: Settings) -> str:
    """One line when the worker beside us goes on. Raises ServiceError when it does not."""
    name = variable("health_file")
    if not settings.health_file:
        raise SettingError(
            f"{name} is not set", where="environment", fix=f"set {name} as the worker has it"
        )
    try:
        age_s = time.time() - Path(settings.health_file).stat().st_mtime
    except OSError as error:
        raise ServiceError(
            f"no heartbeat: {error.strerror}",
            where=settings.health_file,
            fix="see the worker's log: it has not begun, or may not write there",
        ) from error
    if age_s > STALE_SECONDS:
        raise ServiceError(
            f"the last heartbeat is {age_s:.0f} s old",
            where=settings.health_file,
            fix="see the worker's log: it says what stands still",
        )
    return f"a heartbeat {max(0.0, age_s):.0f} s ago"
