"""The API's document, OpenAPI 3.1, made of the same types that take and give."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from floorlog import __version__
from floorlog.web.api.problem import MEDIA_TYPE, Problem
from floorlog.web.api.route import Route, Stream

JSON = "application/json"
BYTES = "application/octet-stream"
TEMPLATE = "#/components/schemas/{name}"
ALWAYS = (400, 405, 413, 421, 429, 503)
ABOUT = """Readings, alarms and proofs of one record. Times are µs since 1970, UTC, unless said
otherwise. Long answers come in pages: `next` of one is `cursor` of the following. Errors are
problems as in RFC 9457. Where people log in, requests that change something carry the session's
token in the header X-Floorlog-Token."""


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document, as JSON has it."""
    routes = list(routes)
    kinds = [kind for route in routes for kind in _kinds(route)]
    schemas, parts = msgspec.json.schema_components([*kinds, Problem], ref_template=TEMPLATE)
    by_kind = dict(zip([*map(str, kinds), "Problem"], schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_kind, parts)
    used = {name: part for name, part in parts.items() if not name.endswith("Query")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Floorlog",
            "version": __version__,
            "description": " ".join(ABOUT.split()),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": used,
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "floorlog_session"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _kinds(route: Route) -> list[Any]:
    found: list[Any] = [route.query]
    if route.body not in {None, bytes}:
        found.append(route.body)
    if not isinstance(route.answer, Stream) and route.answer is not str:
        found.append(route.answer)
    return found


def _operation(
    route: Route, by_kind: Mapping[str, Any], parts: Mapping[str, Any]
) -> dict[str, Any]:
    about: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": _parameters(route, parts),
        "responses": _responses(route, by_kind),
    }
    doc = (route.does.__doc__ or "").strip()
    if doc:
        about["description"] = " ".join(doc.split())
    if route.body is bytes:
        about["requestBody"] = {"required": True, "content": {BYTES: {"schema": {}}}}
    elif route.body is not None:
        content = {JSON: {"schema": by_kind[str(route.body)]}}
        about["requestBody"] = {"required": True, "content": content}
    if route.roles is not None:
        about["security"] = [{"session": []}, {"bearer": []}, {}]
        about["x-roles"] = sorted(route.roles)
    return about


def _parameters(route: Route, parts: Mapping[str, Any]) -> list[dict[str, Any]]:
    schema = parts[route.query.__name__]
    found = [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": _given(one),
            **({"description": one["description"]} if "description" in one else {}),
        }
        for name, one in schema.get("properties", {}).items()
    ]
    for name, kind in route.parts.items():
        schema = msgspec.json.schema(kind)
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    return found


def _given(one: dict[str, Any]) -> dict[str, Any]:
    """An argument's schema: one that is not given is left out, never null."""
    kept = {key: value for key, value in one.items() if key != "description"}
    if kept.get("default", "") is None:
        kept.pop("default")
        (chosen,) = [part for part in kept.pop("anyOf") if part != {"type": "null"}]
        kept |= {key: value for key, value in chosen.items() if key != "description"}
    return kept


def _responses(route: Route, by_kind: Mapping[str, Any]) -> dict[str, Any]:
    answer = route.answer
    good: dict[str, Any]
    if isinstance(answer, Stream):
        media = answer.media_type.partition(";")[0]
        good = {
            "description": answer.description,
            "content": {media: {"schema": {"type": "string"}}},
        }
    else:
        content = {JSON: {"schema": by_kind[str(answer)]}}
        good = {"description": route.summary, "content": content}
    found: dict[str, Any] = {str(route.status): good}
    refused = (401, 403) if route.roles is not None else ()
    more = (415,) if route.body is not None else ()
    for status in sorted({*ALWAYS, *route.statuses, *refused, *more}):
        problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        found[str(status)] = {"description": HTTPStatus(status).phrase, "content": problem}
    if route.path == "/api/v1/health":
        found["503"]["content"] |= good["content"]
    return found
