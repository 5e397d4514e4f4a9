"""A program that the caller adds to the services: a worker, the keeper, the page."""

from collections.abc import Callable
from dataclasses import dataclass

from floorlog.errors import ServiceError
from floorlog.local.child import Child, Program
from floorlog.local.service import Cause, Death, last_line


@dataclass(frozen=True)
class Command:
    """A service made of a program alone.

    Attributes:
        program: what to run; restarted whenever it ends.
        ready: told what the program has said so far, whether it is ready; None means at once.
        ready_seconds_max: how long that may take.
    """

    program: Program
    ready: Callable[[str], bool] | None = None
    ready_seconds_max: float = 30.0

    @property
    def name(self) -> str:
        """The program's name."""
        return self.program.name

    def prepare(self) -> Program:
        """The program as it was given."""
        return self.program

    def is_ready(self, child: Child) -> bool:
        """Whether it said what was waited for."""
        return self.ready is None or self.ready(child.said())

    def death(self, child: Child) -> Death:
        """How it ended, with the last line it said. It is always tried again."""
        error = ServiceError(
            f"{self.name} {child.ending()}; the last that it said: {last_line(child.said())}",
            where=str(child.log_path),
            fix="see its log",
        )
        return Death(Cause.PASSING, error)
