"""How to mend each kind of reject, in words for who sends the data."""

from floorlog.core.reading import Code

ADVICE = {
    Code.MALFORMED: "send valid JSON (or a format of docs/reference/wire.md); replay with --mended",
    Code.MISSING_FIELD: "add the field that is named: device_id, metric, ts and value are needed",
    Code.NOT_A_NUMBER: "send a finite number; leave the reading out where there is none",
    Code.NOT_A_STATE: "this series holds states: send text, or use another metric's name",
    Code.INEXACT_INTEGER: "send it as text under another metric, or as two integers below 2^53",
    Code.BAD_TIME: "send ts as ISO 8601 with an offset, or as seconds, ms, µs or ns since 1970",
    Code.FUTURE_TIME: "set the sender's clock right, then replay with the right ts",
    Code.UNIT_MISMATCH: "send the unit of the catalogue, or correct the catalogue and replay",
    Code.OUT_OF_RANGE: "correct the value, or widen the range in the catalogue and replay",
    Code.TOO_LARGE: "send smaller records, with fewer readings each",
    Code.TOO_MANY_SERIES: "raise FLOORLOG_SERIES_MAX and replay, or use fewer names",
    Code.UNKNOWN_SERIES: "add the series to the catalogue and replay, or correct the name",
    Code.INVALID_TEXT: "send names and states as UTF-8 without control characters",
    Code.REFUSED: "the database refused it: the reason says why; mend that, then replay",
}


def advice(code: str) -> str:
    """What to do about a reject of this code."""
    try:
        return ADVICE[Code(code)]
    except ValueError:
        return "its code is of another release: see docs/reference"
