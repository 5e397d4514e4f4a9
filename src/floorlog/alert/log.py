"""The log as a channel: one line an alarm, for whoever collects logs."""

import logging

from floorlog.alert.notice import Notice

log = logging.getLogger("floorlog.alarm")


class Log:
    """Writes a warning for each notice."""

    def send(self, notice: Notice) -> None:
        """Never fails."""
        log.warning("%s [%s]", notice.headline(), notice.key)
