"""The postman: a thread a channel, so that a dead one delays nothing else."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from floorlog.alert.notice import Channel, Notice, Undelivered
from floorlog.errors import FloorlogError

log = logging.getLogger("floorlog.alert")

ROUND_SECONDS = 1.0
BACK_OFF_SECONDS = (1.0, 300.0)
AWAY_SECONDS = 4.0  # while the record is away, or another process sends
FAILURES_MAX = 3  # in a row, after which the channel is left alone
GIVE_UP_SECONDS = 86_400.0
JOIN_SECONDS = 25.0


class Waiting(Protocol):
    """A notice that waits, with how long it has."""

    @property
    def event_id(self) -> int:
        """Of the alarm's event."""

    @property
    def notice(self) -> Notice:
        """What to tell."""

    @property
    def age_s(self) -> float:
        """Since it was planned."""


class Outbox(Protocol):
    """The notices of one channel; each method may raise FloorlogError."""

    def hold(self) -> bool:
        """Whether this process is the one that sends for the channel."""

    def waiting(self) -> Sequence[Waiting]:
        """Plan what is new, and give some of what waits, the oldest first."""

    def settle(self, event_id: int, state: str, error: str) -> None:
        """Keep what came of an attempt: sent, waiting or given up."""

    def close(self) -> None:
        """End the connection."""


class Postman:
    """Carries what waits in outboxes to their channels.

    At least once: what was sent but not settled, for the process or the database went, is sent
    again under the same key.

    Args:
        routes: by name of the channel, what opens it and its outbox.
    """

    def __init__(
        self, routes: Mapping[str, tuple[Callable[[], Channel], Callable[[], Outbox]]]
    ) -> None:
        self.stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._serve, args=(name, *ways), name=name, daemon=True)
            for name, ways in routes.items()
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; what waits goes on waiting."""
        self.stopping.set()
        deadline = time.monotonic() + JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _serve(
        self, name: str, open_channel: Callable[[], Channel], open_outbox: Callable[[], Outbox]
    ) -> None:
        outbox = open_outbox()
        failures = 0
        pause_s = 0.0
        channel: Channel | None = None
        while not self.stopping.wait(pause_s):
            try:
                channel = channel or open_channel()
                pause_s = self._round(name, channel, outbox)
                failures = 0
            except Undelivered as error:
                failures += 1
                pause_s = max(_back_off_s(failures), error.after_s)
                log.warning("%s: %s; again in %.0f s", name, error, pause_s)
            except FloorlogError as error:
                pause_s = AWAY_SECONDS
                log.warning("%s: %s", name, error)
            except Exception:
                # One channel's defect must end neither its thread nor another's.
                failures += 1
                pause_s = _back_off_s(failures)
                log.exception("%s: unexpected; again in %.0f s", name, pause_s)
        outbox.close()

    def _round(self, name: str, channel: Channel, outbox: Outbox) -> float:
        """Send what is due; raises Undelivered where the channel takes nothing now.

        One notice that it does not take holds up no other: it is tried again later.
        """
        if not outbox.hold():
            return AWAY_SECONDS
        waiting = outbox.waiting()
        failures = 0
        for one in waiting:
            if self.stopping.is_set():
                break
            try:
                channel.send(one.notice)
            except Undelivered as error:
                over = error.is_final or one.age_s > GIVE_UP_SECONDS
                outbox.settle(one.event_id, "given up" if over else "waiting", str(error))
                if over:
                    log.error("%s: GIVEN UP %s: %s", name, one.notice.key, error)
                    continue
                failures += 1
                if failures >= FAILURES_MAX or error.after_s:
                    raise
                log.warning("%s: %s: %s; again later", name, one.notice.key, error)
            else:
                failures = 0
                outbox.settle(one.event_id, "sent", "")
        return ROUND_SECONDS if failures or not waiting else 0.0


def _back_off_s(failures: int) -> float:
    least_s, most_s = BACK_OFF_SECONDS
    return float(min(most_s, least_s * 2 ** min(failures - 1, 16)))
