"""What the supervisor needs to know of a service."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from floorlog.errors import FloorlogError
from floorlog.local.child import Child, Program


class Cause(Enum):
    """What a death before readiness means for the next attempt."""

    PASSING = "passing"  # the same start will work in a moment
    PORT = "port"  # another program was quicker on the port
    LASTING = "lasting"  # the same start would fail again


@dataclass(frozen=True)
class Death:
    """Why a service ended, from what it said.

    Attributes:
        cause: what it means for the next attempt.
        error: the same as a message for a person.
    """

    cause: Cause
    error: FloorlogError


class Service(Protocol):
    """A program that the supervisor starts, waits for, watches and ends."""

    @property
    def name(self) -> str:
        """Unique in one data directory; names the log and the pid file."""

    @property
    def ready_seconds_max(self) -> float:
        """How long a start may take before it counts as failed."""

    def prepare(self) -> Program:
        """Do all that must come before the start; called again before every restart.

        Raises:
            FloorlogError: it cannot be started.
        """

    def is_ready(self, child: Child) -> bool:
        """Whether it does its work now; finishes what is to be done once it answers.

        Raises:
            FloorlogError: it answers, and will never be ready.
        """

    def death(self, child: Child) -> Death:
        """Why it ended."""


def last_line(said: str, marks: tuple[str, ...] = ()) -> str:
    """The last line that holds one of the marks, else the last that is not empty."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    marked = [line for line in lines if any(mark in line for mark in marks)]
    return (marked or lines or ["it said nothing"])[-1]
