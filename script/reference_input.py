"""The reference pages of what Floorlog is given: the wire's formats and the catalogue's file.

Each example goes through the real decoders, and what they make of it stands beside it. Each field
of the catalogue must be described here, or the pages cannot be made.
"""

import types
import typing
from datetime import UTC, datetime
from enum import StrEnum

import msgspec
import numpy as np
import yaml

from floorlog.core.catalogue import AlarmRule, Catalogue, Device, Limits, Metric, Range
from floorlog.core.condition import (
    Accepted,
    Acts,
    Counter,
    Deviation,
    Excluded,
    Other,
    Suppression,
)
from floorlog.core.decode import decode
from floorlog.core.decode.fault import NAME_CHARACTERS_MAX, READINGS_MAX, UNPACKED_BYTES_MAX
from floorlog.core.decode.registry import AGGREGATE, COMPRESSIONS, FORMATS, LISTINGS, SHAPES
from floorlog.core.decode.timestamp import MS_BELOW, NS_BELOW, SECONDS_BELOW, US_BELOW
from floorlog.core.reading import Code, Record
from floorlog.core.series import SeriesTable

FORMAT_WORDS = {
    "kpl": "an aggregate of the Kinesis Producer Library: each user record in it is one input",
    "gzip": "gzip around a text",
    "zstd": "zstd around a text",
    "array": "a JSON array of readings and frames",
    "lines": "JSON lines: one reading or frame a line",
    "frame": "several values of one device at one time",
    "single": "one reading",
}
READING = '{"device_id":"press-07","metric":"temperature","ts":1767225600,"value":71.3}'
EXAMPLES = (
    READING,
    (
        '{"device_id":"press-07","metric":"temperature","ts":"2026-01-01T01:00:00.25+01:00",'
        '"value":71.3,"unit":"Cel","quality":0}'
    ),
    '{"device_id":"press-07","metric":"status","ts":1767225600000,"value":"running"}',
    '{"device_id":"press-07","metric":"open","ts":1767225600,"value":true}',
    (
        '{"device_id":"press-07","ts":1767225600,"values":{"temperature":71.3,"status":"idle"},'
        '"units":{"temperature":"Cel"}}'
    ),
    f'[{READING},{{"device_id":"press-07","metric":"pressure","ts":1767225600,"value":null}}]',
    '{"device_id":"press-07","metric":"count","ts":1767225600,"value":9007199254740993}',
    '{"device_id":"press-07","metric":"temperature","ts":"2026-01-01 00:00:00","value":1}',
    '{"device_id":"press-07","ts":1767225600,"value":1}',
    "71.3",
)
CODES = {
    Code.MALFORMED: "not JSON of a reading or frame, or a quality that is none",
    Code.MISSING_FIELD: "no `device_id`, `metric`, `ts` or `value`",
    Code.NOT_A_NUMBER: "null, NaN, infinity, or a list or object; or a state where the series "
    "has numbers",
    Code.NOT_A_STATE: "a number where the series has states, or a state that the catalogue "
    "does not list",
    Code.INEXACT_INTEGER: "an integer that float64 cannot hold",
    Code.BAD_TIME: "a time stamp that is none, has no offset, or lies outside the years 1 to 9999",
    Code.FUTURE_TIME: "later than the arrival by more than `FLOORLOG_FUTURE_SECONDS`",
    Code.UNIT_MISMATCH: "another unit than the series has",
    Code.OUT_OF_RANGE: "outside the catalogue's range, where `reject` is set",
    Code.TOO_LARGE: f"more than {UNPACKED_BYTES_MAX >> 20} MiB unpacked, or more than "
    f"{READINGS_MAX:,} readings in one record",
    Code.TOO_MANY_SERIES: "a new series where there are `FLOORLOG_SERIES_MAX` already",
    Code.UNKNOWN_SERIES: "not in the catalogue, which is `strict`",
    Code.INVALID_TEXT: "not UTF-8, NUL or another control character, or a name of more than "
    f"{NAME_CHARACTERS_MAX} characters",
    Code.REFUSED: "PostgreSQL would not take it",
}
FIELDS: dict[type, dict[str, str]] = {
    Catalogue: {
        "strict": "a series that is not listed is rejected (`unknown_series`)",
        "metrics": "what is expected of a metric, whichever device has it",
        "devices": "devices, and what differs from the metrics above",
        "acts": "what operators said; written by `floorlog accept` and `floorlog exclude`",
    },
    Device: {
        "asset": "the asset that it belongs to; without one it is its own",
        "metrics": "what is expected of its metrics; parts left out come from above",
    },
    Metric: {
        "unit": "UCUM code; readings with another one are rejected (`unit_mismatch`)",
        "range": "what can be measured at all",
        "limits": "alarm limits",
        "rate_per_s": "highest change a second, either way, in the unit",
        "interval_s": "expected seconds between readings",
        "states": "the states that may occur; without them any",
        "abnormal": "the states that are an anomaly",
        "alarm": "what its alarms ask of people",
        "deviation": "how far from its set-point it may be",
        "stuck_s": "longest time in s at exactly one value",
        "counter": "it counts: a producer's sequence number, or a meter of pieces",
        "suppressed": "when its findings do not begin, and nothing is learned",
        "severity": "of a finding by limit (`lolo`, `lo`, `hi`, `hihi`) or detector; an alarm "
        "without a priority of its own goes by it",
    },
    AlarmRule: {
        "priority": "how soon to act; without it by the finding's severity",
        "latch": "an alarm stays after its condition ended, until somebody resets it",
    },
    Range: {
        "lo": "lowest, itself included",
        "hi": "highest, itself included",
        "reject": "reject what is outside (`out_of_range`), instead of storing it as Uncertain "
        "with an anomaly",
    },
    Limits: {
        "lolo": "critically low",
        "lo": "low",
        "hi": "high",
        "hihi": "critically high",
        "dead_band": "how far back inside a limit a value must be for the finding to end",
        "on_delay_s": "seconds beyond a limit before a finding begins",
        "off_delay_s": "seconds back inside before it ends",
    },
    Deviation: {
        "setpoint": "the set-point, where it is fixed",
        "follows": "or else the series that holds it",
        "lo": "most that the value may lie below it, as a number of 0 or less",
        "hi": "most that it may lie above",
        "dead_band": "as of limits",
        "on_delay_s": "as of limits",
        "off_delay_s": "as of limits",
    },
    Other: {
        "metric": "its metric",
        "device": "its device, of the same asset; without one the same device",
    },
    Counter: {
        "step": "what it adds from one reading to the next; 1 where left out",
        "wrap": "the number after which it begins at 0 again",
    },
    Suppression: {
        "follows": "the series of the equipment's state",
        "states": "the states in which it is suppressed: start-up, shut-down, maintenance …",
        "settle_s": "and so many seconds after them",
    },
    Acts: {
        "accepted": "series of which they said: this is normal now",
        "excluded": "times that do not count",
        "split": "assets whose series came to several shards; written by workers, as a statement",
    },
    Accepted: {
        "device": "the series' device",
        "metric": "and metric",
        "at_us": "when that was said, µs since 1970",
    },
    Excluded: {
        "device": "the device",
        "begin_us": "from this time stamp, µs since 1970",
        "end_us": "up to before this one",
        "metric": "the metric; without one all of the device",
    },
}
EXAMPLE_FILE = """\
strict: false
metrics:
  temperature:
    unit: Cel
    range: {lo: -40, hi: 200}
    limits: {lo: 25, hi: 90, hihi: 105, dead_band: 1, on_delay_s: 2}
    interval_s: 1
    deviation: {follows: {metric: setpoint}, lo: -10, hi: 10, on_delay_s: 60}
    suppressed: {follows: {metric: status}, states: [startup], settle_s: 120}
    severity: {lo: low, hihi: high}
  status:
    states: [idle, startup, running, fault]
    abnormal: [fault]
devices:
  press-07:
    asset: line-1
    metrics:
      temperature:
        limits: {hi: 85}
"""


def wire() -> str:
    """Give the page of the wire's formats, their examples decoded now."""
    lines = ["A record of the stream holds, from the outside in:", ""]
    for group, how in (
        ((AGGREGATE,), "perhaps"),
        (COMPRESSIONS, "then perhaps one of"),
        (LISTINGS, "then perhaps one of"),
        (SHAPES, "and then, each recognised by its fields, one of"),
    ):
        lines += [f"- {how}", *(f"  - `{each.name}`: {FORMAT_WORDS[each.name]}" for each in group)]
    assert {each.name for each in FORMATS} == set(FORMAT_WORDS)
    lines += ["", "## Fields", "", *_fields(), "", "## Examples", ""]
    lines += ["What the decoders make of them:", ""]
    for text in EXAMPLES:
        lines += ["```json", text, "```", *_decoded(text), ""]
    lines += ["## Codes of rejects", "", "| code | what came |", "|---|---|"]
    lines += [f"| `{code}` | {CODES[code]} |" for code in Code]
    return "\n".join(lines) + "\n"


def _fields() -> list[str]:
    powers = [f"10^{len(str(most)) - 1}" for most in (SECONDS_BELOW, MS_BELOW, US_BELOW, NS_BELOW)]
    return [
        f"- `device_id`, `metric`: names of up to {NAME_CHARACTERS_MAX} characters.",
        (
            "- `ts`: RFC 3339 with `Z` or an offset, or a number since 1970: seconds below "
            f"{powers[0]}, ms below {powers[1]}, µs below {powers[2]}, ns below {powers[3]}. "
            "Kept as µs UTC, finer digits cut."
        ),
        (
            "- `value`: a number; a text, true or false is a state's name. A series has one or the "
            "other, as its first reading had."
        ),
        "- `unit`, in a frame `units` by metric: a UCUM code; may be left out.",
        "- `quality`: an OPC UA status code; 0, Good, where left out.",
        "- `values`, of a frame: metric and value, each one reading.",
        "",
        "Other fields are ignored. One bad element harms no other: it becomes a reject.",
    ]


def _decoded(text: str) -> list[str]:
    table = SeriesTable()
    found = decode([Record(0, "key", 0, text.encode())], table, np.zeros(1, np.int64))
    lines = []
    for place in range(len(found)):
        device, metric = found.names(table, int(found.row[place]))
        number, unit = found.text[place], found.unit[place]
        value = repr(found.texts[number]) if number >= 0 else f"{found.value[place]:g}"
        units = f" {found.units[unit]}" if unit >= 0 else ""
        at = datetime.fromtimestamp(int(found.ts[place]) / 1e6, UTC).isoformat()
        lines.append(f"- read: {device} / {metric} = {value}{units} at {at}")
    lines += [f"- rejected, `{each.code}`: {each.reason}" for each in found.rejects]
    return lines


def catalogue() -> str:
    """Give the page of the catalogue's file, with its fields as the code has them."""
    lines = [
        "What is expected of devices and series, in YAML or JSON; every part may be left out, and",
        "`on`, `off`, `yes` and `no` are names, not truth values. Unknown fields are refused.",
        "",
        "```yaml",
        EXAMPLE_FILE.rstrip(),
        "```",
        "",
    ]
    msgspec.convert(yaml.safe_load(EXAMPLE_FILE), Catalogue)
    for kind, words in FIELDS.items():
        lines += [f"## {kind.__name__}", "", (kind.__doc__ or "").split("\n")[0], ""]
        lines += ["| field | takes | what it is |", "|---|---|---|"]
        for field in msgspec.structs.fields(kind):
            lines.append(f"| `{field.name}` | {takes(field.type)} | {words[field.name]} |")
        lines.append("")
    return "\n".join(lines)


def takes(kind: object) -> str:
    """Say a field's type in words."""
    if typing.get_origin(kind) is typing.Annotated:
        return takes(typing.get_args(kind)[0]) + _bounds(typing.get_args(kind)[1:])
    parts = [part for part in typing.get_args(kind) if part not in (type(None), Ellipsis)]
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return takes(parts[0])
    if typing.get_origin(kind) is tuple:
        return f"a list: {takes(parts[0])} each"
    if typing.get_origin(kind) is dict:
        return f"{takes(parts[1])} by name"
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(f"`{part}`" for part in parts)
    assert isinstance(kind, type)
    if issubclass(kind, StrEnum):
        return "one of " + ", ".join(f"`{one}`" for one in kind)
    return {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}.get(
        kind, kind.__name__
    )


def _bounds(metas: tuple[object, ...]) -> str:
    for meta in metas:
        if isinstance(meta, msgspec.Meta) and (meta.ge, meta.gt) != (None, None):
            return " of 0 or more" if meta.ge == 0 else " above 0"
    return ""
