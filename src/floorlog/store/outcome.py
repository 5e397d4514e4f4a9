"""What an error of a commit means: certainly not stored, perhaps stored, or never to be stored."""

import struct

import psycopg

from floorlog.core.protocol import Failed, Fenced, Refused, Stale, Unknown

# The fence's SQLSTATEs, see migrations/0005_pre_advance.sql.
FENCED = "FL001"
STALE = "FL002"
ELSEWHERE = "FL003"
# Data, integrity, and limits of the program: the same data fails the same way again.
REFUSING_CLASSES = ("22", "23", "54")
# What sending an argument raises before anything of the statement was sent.
CLIENT_ERRORS = (ValueError, OverflowError, UnicodeError, struct.error)

NotCommitted = Failed | Fenced | Refused | Stale | Unknown


def judge(error: Exception, *, connection_lost: bool) -> NotCommitted:
    """The reply to a commit that raised this error.

    An ERROR from the server is certain: it ends the transaction before COMMIT takes effect. A
    FATAL one, or a lost connection, may hide a COMMIT that took effect: Unknown.
    """
    if isinstance(error, CLIENT_ERRORS):
        return Refused(said(error))
    if not isinstance(error, psycopg.Error):
        raise error
    state = error.sqlstate
    if state is None:
        if isinstance(error, psycopg.DataError) and not connection_lost:
            return Refused(said(error))
        return Unknown()
    if error.diag.severity_nonlocalized in ("FATAL", "PANIC"):
        return Unknown()
    return _by_state(state, said(error))


def _by_state(state: str, reason: str) -> NotCommitted:
    if state == FENCED:
        return Fenced()
    if state == STALE:
        return Stale()
    if state == ELSEWHERE:
        return Unknown()  # an earlier commit of unknown outcome may be why: let the caller check
    if state[:2] in REFUSING_CLASSES:
        return Refused(reason)
    return Failed(reason)


def said(error: Exception) -> str:
    """An error in one line, with its SQLSTATE when it has one."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    state = getattr(error, "sqlstate", None)
    return f"{text} ({state})" if state else text
