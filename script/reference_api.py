"""The page of the API, from the document that the API itself serves."""

from typing import Any

from floorlog.web.access.role import ALL
from floorlog.web.table import DOCUMENT, ROUTES

HEAD = """\
Served by `floorlog web` (local mode: loopback only). The machine's version of this page is
`/api/v1/openapi.json` (OpenAPI 3.1), made of the same types. Times are µs since 1970, UTC. An
argument that is not listed is refused. Long answers come in pages: give `next` of one as `cursor`
of the following; it is null on the last. Errors are `application/problem+json` (RFC 9457): `type`
stays the same for the same kind, `detail` says what is wrong and how to mend it.

Requests that change something take JSON (`Content-Type: application/json`) and, where people log
in, the session's token in the header `X-Floorlog-Token`.

## Live feed

`GET /api/v1/live` is a stream of server-sent events, each with JSON as data:

| event | data |
|---|---|
| `board` | everything: `series`, `values`, `findings`, `alarms`, and what `pulse` has |
| `series` | series that are new or whose expectations changed |
| `values` | rows: index of the series, time, second of arrival, quality, value |
| `findings` | anomalies that began or ended |
| `alarms` | alarms that changed; one with state `normal` is over |
| `pulse` | each second: `now`, `health`, and faults of `cache` and `record` (null: none) |

Events but `pulse` have an `id`. A client that comes back with the header `Last-Event-ID` (browsers
do so by themselves) is told what it missed, for two minutes; later, or after a restart of the
process, it is told everything by a new `board`.
"""


def api() -> str:
    """Give the page."""
    lines = [HEAD, "## Addresses", "", "| | what for | who |", "|---|---|---|"]
    for route in ROUTES:
        who = "everybody" if route.roles is None else ", ".join(sorted(route.roles))
        who = "every role" if route.roles == ALL else who
        lines.append(f"| `{route.method} {route.path}` | {route.summary} | {who} |")
    for path, methods in DOCUMENT["paths"].items():
        for method, one in methods.items():
            lines += [
                "",
                f"### {method.upper()} {path}",
                "",
                one.get("description", one["summary"]),
            ]
            lines += _arguments(one["parameters"])
            if "requestBody" in one:
                ((media, body),) = one["requestBody"]["content"].items()
                words = "bytes" if "octet" in media else _words(body["schema"])
                lines += ["", f"Takes {words}."]
            good = next(answer for status, answer in one["responses"].items() if status < "300")
            for media, content in good["content"].items():
                lines += ["", f"Gives `{media}`: {_words(content['schema'])}."]
    lines += ["", "## Types", ""]
    for name, schema in sorted(DOCUMENT["components"]["schemas"].items()):
        lines += _type(name, schema)
    return "\n".join(lines).rstrip() + "\n"


def _arguments(parameters: list[dict[str, Any]]) -> list[str]:
    if not parameters:
        return []
    lines = ["", "| argument | takes | |", "|---|---|---|"]
    for one in parameters:
        default = one["schema"].get("default")
        usual = f"`{default}` by default" if default not in (None, "", []) else ""
        need = "required" if one["required"] else usual
        lines.append(f"| `{one['name']}` | {_words(one['schema'])} | {need} |")
    return lines


def _type(name: str, schema: dict[str, Any]) -> list[str]:
    about = schema.get("description", "").split("\n")[0]
    lines = [f"### {name}", ""]
    if about:
        lines += [about, ""]
    if "enum" in schema:
        return [*lines, ", ".join(f"`{one}`" for one in schema["enum"]), ""]
    if "prefixItems" in schema:
        return [*lines, "A list of " + ", ".join(map(_words, schema["prefixItems"])) + ".", ""]
    lines += ["| field | what |", "|---|---|"]
    for field, one in schema.get("properties", {}).items():
        lines.append(f"| `{field}` | {_words(one)} |")
    return [*lines, ""]


def _words(schema: dict[str, Any]) -> str:
    """Say a schema in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_words(one) for one in schema["anyOf"])
    kind = schema.get("type")
    if kind == "array":
        if "prefixItems" in schema:
            return "(" + ", ".join(map(_words, schema["prefixItems"])) + ")"
        return f"a list of {_words(schema['items'])}"
    if kind == "object" and "additionalProperties" in schema:
        return f"{_words(schema['additionalProperties'])} by name"
    if kind in {"integer", "number"}:
        return _number(kind, schema)
    if kind == "string":
        return "one of " + ", ".join(schema["enum"]) if "enum" in schema else "a text"
    return {"boolean": "true or false", "null": "null"}.get(str(kind), "anything")


def _number(kind: str, schema: dict[str, Any]) -> str:
    word = "a whole number" if kind == "integer" else "a number"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None or high is None or high > 1 << 40:
        return word
    return f"{word} from {low} to {high}"
