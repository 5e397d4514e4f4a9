"""The log as JSON objects, one a line: what CloudWatch counts and finds by field."""

import json
import logging
import time

TEXT_MAX = 8_000  # of a message or a traceback; CloudWatch takes 256 kB a line


class Json(logging.Formatter):
    """One object a line: time (UTC), level, logger, thread, message, and error if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        found = {
            "time": f"{moment}.{int(record.msecs):03}Z",
            "level": record.levelname,
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage()[:TEXT_MAX],
        }
        if record.exc_info:
            found["error"] = self.formatException(record.exc_info)[-TEXT_MAX:]
        return json.dumps(found)
