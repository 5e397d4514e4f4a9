"""The API against its own document, by requests that nobody thought of."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from floorlog.core.reading import Anomaly
from floorlog.web.access.access import Doors
from floorlog.web.services import Services
from floorlog.web.table import DOCUMENT, ROUTES

pytestmark = [pytest.mark.xdist_group("page")]
EXAMPLES = 12
ANSWERED_SECONDS = 60
# Streams that do not end by themselves, and a document without a schema of its own.
ENDLESS = {"/api/v1/live"}
CHECKS = (
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_schema_conformance,
)  # fmt: skip


def operations() -> list[tuple[str, str]]:
    return [(route.method, route.path) for route in ROUTES if route.path not in ENDLESS]


def test_the_document_is_openapi_3_1() -> None:
    """Every route with parameters, body, good answer and problems; every reference leads on."""
    assert DOCUMENT["openapi"] == "3.1.0"
    text = json.dumps(DOCUMENT)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "')[1:]}:
        node: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
    names = [one["operationId"] for path in DOCUMENT["paths"].values() for one in path.values()]
    assert len(names) == len(set(names)) == len(ROUTES)
    for path in DOCUMENT["paths"].values():
        for one in path.values():
            assert one["summary"]
            assert "200" in one["responses"]
            assert "application/problem+json" in one["responses"]["400"]["content"]


def test_the_document_is_served(bare_page) -> None:
    """As it is."""
    assert bare_page.json("/api/v1/openapi.json") == json.loads(json.dumps(DOCUMENT))


def try_out(port: int, method: str, path: str, examples: int) -> int:
    """Ask one operation many things; returns how many. Fails on the first break."""
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(DOCUMENT)))
    operation = schema[path][method]
    session = requests.Session()
    asked = 0

    def ask(case: Any, checks: tuple[Callable[..., Any], ...]) -> None:
        nonlocal asked
        asked += 1
        case.call_and_validate(
            base_url=f"http://127.0.0.1:{port}",
            session=session,
            timeout=ANSWERED_SECONDS,
            checks=list(checks),
        )

    rules = settings(
        max_examples=examples, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    good = operation.as_strategy()
    rules(given(case=good)(lambda case: ask(case, CHECKS)))()
    described = DOCUMENT["paths"][path][method.lower()]
    if described["parameters"] or "requestBody" in described:
        bad = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
        rules(given(case=bad)(lambda case: ask(case, (*CHECKS, negative_data_rejection))))()
    session.close()
    return asked


@pytest.fixture
def furnished(plant, page, until) -> Any:
    """A page with something of everything to ask for."""
    row = plant.row("schema", "level")
    found = Anomaly(row, "limit", "start", 1, 1, 3, 1.0, 9.0, 5.0, "too high")
    plant.commit([(row, 1, 9.0)], (found,))
    until(lambda: page.get("/api/v1/health")[0].status == 200, 30)
    return page


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), operations())
def test_no_answer_breaks_the_document(furnished, method, path) -> None:
    """Any request, right or wrong: no server error, no undocumented status, type or shape."""
    assert try_out(furnished.port, method, path, EXAMPLES) > 0


@pytest.mark.long
@pytest.mark.parametrize(("method", "path"), operations())
def test_no_answer_breaks_the_document_for_long(furnished, method, path, long_seconds) -> None:
    """The same, as many requests as the time allows."""
    print(try_out(furnished.port, method, path, int(50 * long_seconds / len(operations())) + 1))


@pytest.mark.slow
def test_nothing_is_told_to_strangers(open_page) -> None:
    """With log-ins, whatever is asked without one: no operation that asks for a role answers."""
    page = open_page(furnish=lambda feed, record: Services(feed, record, Doors(record, None)))
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(DOCUMENT)))
    asked = set()
    rules = settings(
        max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )

    def ask(case: Any) -> None:
        answer = case.call(base_url=f"http://127.0.0.1:{page.port}", timeout=ANSWERED_SECONDS)
        assert answer.status_code in {401, 429}, (case, answer.status_code)
        asked.add((case.method, case.path))

    guarded = [(route.method, route.path) for route in ROUTES if route.roles is not None]
    for method, path in guarded:
        rules(given(case=schema[path][method].as_strategy())(ask))()
    assert asked == set(guarded)
