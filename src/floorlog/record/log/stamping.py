"""Asks a time stamp authority about notes, beside the keeper's work and never in its way."""

import logging
import secrets
import threading
import time
import urllib.request
from http.client import HTTPException

from floorlog.core.ledger.stamp import ANSWER_BYTES_MAX, read_stamp, request
from floorlog.errors import RecordError, SettingError
from floorlog.record.log.anchor import STAMP, Anchor

log = logging.getLogger("floorlog.keeper")

ASK_SECONDS_MAX = 20.0
NONCE_BITS = 62


class Stamper:
    """One question at a time; a note that comes meanwhile, or too early, goes without a stamp.

    Args:
        url: of the authority, http or https.
        anchor: where its answers go, each beside its note.
        every_s: seconds from one stamp to the next.

    Raises:
        SettingError: that is no such address.
    """

    def __init__(self, url: str, anchor: Anchor, every_s: float) -> None:
        if not url.startswith(("http://", "https://")):
            raise SettingError(
                f"FLOORLOG_TIMESTAMP_URL is {url!r}, which is no address",
                where="environment",
                fix="set it to the http or https address of a time stamp authority, or to nothing",
            )
        self._url = url
        self._anchor = anchor
        self._every_s = every_s
        self._stamped_at = float("-inf")
        self._thread: threading.Thread | None = None

    def __call__(self, name: str, note: bytes) -> None:
        """Have a note stamped, when it is time and no question is open; returns at once."""
        is_early = time.monotonic() - self._stamped_at < self._every_s
        if is_early or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(
            target=self._attempt, args=(name, note), name="stamper", daemon=True
        )
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait for the open question; whether there is none any more."""
        if self._thread is not None:
            self._thread.join(seconds)
            return not self._thread.is_alive()
        return True

    def _attempt(self, name: str, note: bytes) -> None:
        try:
            nonce = secrets.randbits(NONCE_BITS)
            answer = self._ask(request(note, nonce))
            stamp = read_stamp(answer, note)
            if stamp.nonce != nonce:
                raise ValueError("the answer is to another question")  # noqa: TRY301 - told below
            self._anchor.put(name + STAMP, answer)
        except (OSError, HTTPException, ValueError, RecordError) as error:
            log.warning("no time stamp from %s: %s", self._url, error)
            return
        self._stamped_at = time.monotonic()
        log.info("%s was stamped at %s by %s", name, stamp.at, self._url)

    def _ask(self, question: bytes) -> bytes:
        asked = urllib.request.Request(  # noqa: S310 - http or https: see __init__
            self._url, question, {"Content-Type": "application/timestamp-query"}
        )
        with urllib.request.urlopen(asked, timeout=ASK_SECONDS_MAX) as answer:  # noqa: S310 - as above
            found: bytes = answer.read(ANSWER_BYTES_MAX + 1)
        if len(found) > ANSWER_BYTES_MAX:
            message = f"its answer is longer than {ANSWER_BYTES_MAX} bytes"
            raise ValueError(message)
        return found
