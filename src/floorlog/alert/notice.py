"""A notice: what somebody is told of an alarm, as JSON and in words."""

from datetime import UTC, datetime
from typing import Protocol

import msgspec


class Notice(msgspec.Struct, frozen=True):
    """One event of an alarm, on its way to a channel; times in µs UTC.

    `key` is the same in each attempt: who gets it twice knows by it.
    """

    key: str
    event: str
    device: str
    metric: str
    detector: str
    asset: str
    state: str
    priority: str
    reason: str
    at: int
    recorded: int
    is_flood: bool  # more alarms follow than are told one by one
    address: str  # of a page that shows it; empty where that is not known

    def as_json(self) -> bytes:
        """For programs."""
        return msgspec.json.encode(self)

    def headline(self) -> str:
        """For a person, in a line."""
        what = "alarm" if self.event != "return" else "back to normal"
        flood = "ALARM FLOOD, beginning with " if self.is_flood else ""
        line = f"{flood}{self.priority} {what}: {self.device} {self.metric}: {self.reason}"
        return " ".join(line.split())[:200]

    def text(self) -> str:
        """For a person, with all that is known."""
        when = datetime.fromtimestamp(self.at / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        lines = [
            self.headline(), "", f"asset: {self.asset}", f"detector: {self.detector}",
            f"state: {self.state.replace('_', ' ')}", f"time of the reading: {when}",
        ]  # fmt: skip
        if self.is_flood:
            lines += ["", "Alarms of low and medium priority are held back until the flood ends."]
        if self.address:
            lines += ["", self.address]
        return "\n".join([*lines, "", f"({self.key})", ""])


class Undelivered(Exception):
    """A channel did not take a notice.

    Attributes:
        is_final: trying again would not help.
        after_s: how long the channel asks to be left alone.
    """

    def __init__(self, why: str, *, is_final: bool = False, after_s: float = 0.0) -> None:
        super().__init__(" ".join(why.split())[:500])
        self.is_final = is_final
        self.after_s = after_s


class Channel(Protocol):
    """A way to tell somebody."""

    def send(self, notice: Notice) -> None:
        """Deliver one. Raises Undelivered."""
        ...
