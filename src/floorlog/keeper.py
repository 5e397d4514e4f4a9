"""The other loop: orders entries in the log, signs it, anchors what was signed, seals readings.

One keeper works at a time, by a lease that is the database's own: an advisory lock of a session.
It goes in small steps with pauses between, so that ingest comes first.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg

from floorlog.alert.postman import Postman
from floorlog.alert.routes import read_routes
from floorlog.config import Settings, variable
from floorlog.errors import RecordError, SettingError
from floorlog.metrics import Measures
from floorlog.pulse import FLUSH_SECONDS, write_line
from floorlog.record.act.expire import Expirer
from floorlog.record.alarm.budget import Budgeter
from floorlog.record.alarm.notices import Outbox
from floorlog.record.log.anchor import Anchor, Signer, open_anchor
from floorlog.record.log.publish import Publisher
from floorlog.record.log.sequence import LEAVES_MAX, Sequencer
from floorlog.record.log.signing_key import signer_of
from floorlog.record.log.stamping import Stamper
from floorlog.record.seal.seal import TRIES_SECONDS, Sealer
from floorlog.source.secret import Login
from floorlog.store.link import Dsn, Link

log = logging.getLogger("floorlog.keeper")

ROUND_SECONDS = 2.0
BUSY_SECONDS = 0.05  # between steps while there is more to do
SEAL_SECONDS = 15.0  # between two looks at whether there is anything to seal
RETRY_SECONDS = 3.0
SESSION_SECONDS = 30.0
SEAL_STEP_SECONDS_MAX = TRIES_SECONDS + SESSION_SECONDS + 5.0  # tries, the last one's statement
LATE_SECONDS = 60.0  # an entry is to be anchored within this
MARGIN_SECONDS = 5.0  # of these for ordering, signing and the anchor
Stamp = Callable[[str, bytes], None]


class Keeper:
    """Keeps one record's log.

    Args:
        dsn: connection string of the keeper's role, or who gives it for each new connection.
        anchor: where notes go.
        signer: who signs them.
        anchor_s: seconds between two notes of a log that grows.
        stamp: told each note that was anchored, by its name; returns at once.
        measures: told how old the newest anchor is; None for nobody.
        keys: who else may have signed what is anchored.
        alarm_budget: alarms that may ring in ten minutes; 0 for any number.

    Raises:
        RecordError: the anchors were signed with another key.
    """

    def __init__(
        self,
        dsn: Dsn,
        anchor: Anchor,
        signer: Signer,
        anchor_s: float,
        stamp: Stamp | None = None,
        measures: Measures | None = None,
        keys: str = "",
        alarm_budget: int = 0,
    ) -> None:
        self.stopping = threading.Event()
        self._link = Link(dsn, "keeper", SESSION_SECONDS)
        self._anchor = anchor
        self._signer = signer
        self._anchor_s = anchor_s
        self._sequencer: Sequencer | None = None
        self._session: object = None
        self._expirer = Expirer()
        self._sealer: Sealer | None = None
        self._alarm_budget = alarm_budget
        self._budgeter: Budgeter | None = None
        self._is_ungrouped = False
        self._seal_at = self._rest_until = float("-inf")
        self._publisher = Publisher(anchor, signer, stamp, keys)
        self._anchored_at = float("-inf")
        self._measures = measures
        self._told_at = self._began_at = time.monotonic()
        key = str(signer.key)
        anchor.put_key(key)
        if anchor.key() != key:
            raise RecordError(
                f"the anchors are signed by {anchor.key()!r}, not by {key}",
                where="anchor",
                fix="put the first signing key back, or name other anchors",
            )

    def run(self) -> None:
        """Keep the log until asked to stop. Raises RecordError where it may not be signed."""
        pause_s = 0.0
        while not self.stopping.wait(pause_s):
            pause_s = self._attempt(self.round)
            self._tell()
        self._attempt(self._finish)
        self._link.close()

    def round(self) -> float:
        """One step and, when it is time, a note; returns the seconds to pause."""
        sequencer = self._hold()
        if sequencer is None:
            return RETRY_SECONDS
        sequencer.expire_shelves()
        if self._publisher.is_behind:
            self._sign(sequencer)
        added = sequencer.step()
        if time.monotonic() - self._anchored_at >= self._anchor_s:
            self._sign(sequencer)
        self._group(sequencer.tree.size)
        if added >= LEAVES_MAX:
            return BUSY_SECONDS
        now_s = time.monotonic()
        if now_s < self._rest_until:
            return min(ROUND_SECONDS, self._rest_until - now_s)
        return self._work(sequencer)

    def _work(self, sequencer: Sequencer) -> float:
        """A step of sealing, else of expiry; what is there before either is anchored first."""
        began_s = time.monotonic()
        if self._sealer is not None and began_s >= self._seal_at:
            before = partial(self._anchor_before, sequencer, SEAL_STEP_SECONDS_MAX)
            # Also where the step fails: what cannot be sealed must not keep all else from its turn.
            self._seal_at = began_s + SEAL_SECONDS
            if self._sealer.step(before):
                self._seal_at = began_s
                # As long a rest follows: half of the time belongs to ingest alone.
                now_s = time.monotonic()
                self._rest_until = now_s + min(now_s - began_s, SEAL_STEP_SECONDS_MAX)
                return BUSY_SECONDS
        if not self._expirer.is_due():
            return ROUND_SECONDS
        self._anchor_before(sequencer, self._expirer.step_s)
        return BUSY_SECONDS if self._expirer.step(self._link.idle()) else ROUND_SECONDS

    def _anchor_before(self, sequencer: Sequencer, step_s: float) -> None:
        """Sign now where an entry would else be older than it may be when a step has ended."""
        age_s = time.monotonic() - self._anchored_at
        if age_s + step_s > LATE_SECONDS - MARGIN_SECONDS:
            while sequencer.step() >= LEAVES_MAX:
                pass
            self._sign(sequencer)

    def _group(self, size: int) -> None:
        """A round of the alarm budget; where it fails, the log is anchored all the same."""
        if self._budgeter is None:
            return
        try:
            self._budgeter.step(size)
        except Exception:
            if not self._is_ungrouped:
                log.exception("alarms of a storm are not grouped; tried again each round")
            self._is_ungrouped = True
        else:
            self._is_ungrouped = False

    def _tell(self) -> None:
        """Say once a minute for how long there has been something that is not anchored.

        Also while nothing can be: that is when it matters.
        """
        now_s = time.monotonic()
        if self._sequencer is None or now_s - self._told_at < FLUSH_SECONDS:
            return
        newest = self._publisher.newest
        is_whole = newest is not None and self._sequencer.tree.size <= newest.size
        age_s = 0.0 if is_whole else now_s - max(self._anchored_at, self._began_at)
        if age_s > LATE_SECONDS:
            log.error("NOTHING WAS ANCHORED for %.0f s: what is newer is not proven yet", age_s)
        if self._measures is not None:
            self._measures.observe("anchor_age_s", round(age_s, 1))
            self._measures.flush(time.time_ns() // 1_000_000)
        self._told_at = now_s

    def _finish(self) -> float:
        """Anchor what there is, at the end."""
        sequencer = self._sequencer
        if sequencer is not None and self._session is self._link.idle():
            sequencer.step()
            self._sign(sequencer)
        return 0.0

    def _attempt(self, work: Callable[[], float]) -> float:
        try:
            return work()
        except psycopg.Error as error:
            log.warning("the database: %s", str(error).strip().splitlines()[0])
            self._link.close()
        except OSError as error:
            log.error("NOTHING CAN BE ANCHORED: %s", error)
        return RETRY_SECONDS

    def _hold(self) -> Sequencer | None:
        """The sequencer of the session that holds the lease; None while another keeper has it."""
        connection = self._link.idle()
        if connection is not self._session:
            sequencer = Sequencer(connection)
            if not sequencer.hold():
                log.info("another keeper is at work")
                return None
            # Only now: the keeper before may have published until its session ended.
            publisher = self._publisher
            sequencer.restore(publisher.open(), publisher.frontier, publisher.flush)
            if publisher.note is not None:
                # The keeper before may have ended between this note and its copy.
                sequencer.keep_note(*publisher.note)
            self._sequencer, self._session = sequencer, connection
            self._sealer = Sealer(connection)
            if self._alarm_budget:
                self._budgeter = Budgeter(connection, self._alarm_budget)
            log.info("log of %d leaves, key %s", sequencer.tree.size, self._signer.key)
        return self._sequencer

    def _sign(self, sequencer: Sequencer) -> None:
        note = self._publisher.publish(sequencer.tree)
        if note is not None:
            sequencer.keep_note(sequencer.tree.size, note)
            self._anchored_at = time.monotonic()


def open_keeper(settings: Settings) -> Keeper:
    """The keeper that the settings describe. Raises FloorlogError."""
    for field, value in (("anchor", settings.anchor), ("signing_key", settings.signing_key)):
        if not value:
            raise SettingError(
                f"{variable(field)} is not set",
                where="environment",
                fix=f"set {variable(field)}: see docs/reference/settings.md",
            )
    anchor = open_anchor(settings.anchor, settings)
    url = settings.timestamp_url
    stamp = Stamper(url, anchor, settings.timestamp_seconds) if url else None
    try:
        # A new key for a log that is anchored already would hide that the old one is lost.
        may_create = not anchor.key() and not anchor.sizes()
        signer = signer_of(settings.signing_key, anchor, settings, may_create=may_create)
        measures = None
        if settings.metrics == "emf":
            measures = Measures(settings.environment, write_line)
        seconds, places = settings.anchor_seconds, settings.alarm_budget
        return Keeper(
            Login(settings), anchor, signer, seconds, stamp, measures, alarm_budget=places
        )
    except OSError as error:
        raise SettingError(
            f"notes cannot be anchored: {error.strerror}",
            where=str(error.filename or settings.anchor),
            fix="set FLOORLOG_ANCHOR to a directory or bucket that the keeper may write",
        ) from error


def postman_of(settings: Settings) -> Postman | None:
    """Who tells people of alarms; None where nobody is to be told. Raises SettingError."""
    if not settings.notify:
        return None
    routes = read_routes(Path(settings.notify))
    dsn = Login(settings)
    return Postman(
        {
            name: (channel.open, partial(Outbox, dsn, name, routes, settings.web_url))
            for name, channel in routes.channels.items()
        }
    )


def run(settings: Settings) -> None:
    """Run the keeper until SIGTERM or Ctrl-C."""
    keeper = open_keeper(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: keeper.stopping.set())
    postman = postman_of(settings)
    if postman is not None:
        postman.start()
    try:
        keeper.run()
    finally:
        if postman is not None:
            postman.stop()
