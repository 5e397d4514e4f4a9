"""The dashboards for Grafana: each of their questions is asked of a real record."""

import json
import re
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from floorlog.core.reading import Anomaly, Kind
from floorlog.core.series import SeriesKey
from floorlog.store.migrate import READER

pytestmark = [pytest.mark.xdist_group("page"), pytest.mark.slow]

GRAFANA = Path(__file__).parents[2] / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
MAY_BE_EMPTY = {
    "Gaps", "Signed notes", "Rejects by code", "State",
    "Readings not Good, late or contradicting",
}  # fmt: skip
LITERAL = {"device": "shaker's twin", "metric": "level"}


def quoted(value: str) -> str:
    """As `${name:sqlstring}` gives it."""
    return "'" + value.replace("'", "''") + "'"


def asked(text: str) -> str:
    """A question with Grafana's macros and variables put in, as its PostgreSQL source does."""
    begin, end = "'2020-01-01T00:00:00Z'", "'2100-01-01T00:00:00Z'"
    text = re.sub(r"\$__timeFilter\((.*?)\)", rf"\1 BETWEEN {begin} AND {end}", text)
    for name, value in {
        "$__timeFrom()": begin, "$__timeTo()": end, "$__interval_ms": "60000",
        **{f"${{{name}:sqlstring}}": quoted(value) for name, value in LITERAL.items()},
    }.items():  # fmt: skip
        text = text.replace(name, value)
    assert "$" not in text, text
    return text


def questions(dashboard: Path) -> list[tuple[str, str, str]]:
    """Panel or variable, format, question."""
    content = json.loads(dashboard.read_text())
    found = [
        (panel["title"], target["format"], target["rawSql"])
        for panel in content["panels"]
        for target in panel["targets"]
    ]
    variables = content["templating"]["list"]
    return found + [(one["name"], "variable", one["query"]) for one in variables]


@pytest.fixture(scope="module")
def mixer(plant) -> Any:
    """A series of numbers with a finding, and one of states."""
    device = LITERAL["device"]
    plant.register(
        [
            SeriesKey(device, "level", Kind.NUMBER, "bar", device),
            SeriesKey(device, "mode", Kind.STATE, None, device),
        ],
        ("running",),
    )
    at = time.time_ns() // 1000
    row, mode = (plant.table.index[device, metric] for metric in ("level", "mode"))
    plant.commit(
        [(row, at + n, float(n)) for n in range(10)] + [(mode, at, plant.states["running"])],
        (Anomaly(row, "limit", "start", at, at, 3, 1.0, 9.0, 5.0, "too high"),),
    )
    return plant


def test_there_are_dashboards() -> None:
    """Plant, series and pipeline; each has a name of its own, and all read the one source."""
    contents = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert len({content["uid"] for content in contents}) == len(contents) >= 3
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/floorlog.yaml").read_text())
    (one,) = source["datasources"]
    assert one["user"] == READER
    for content in contents:
        assert {panel["datasource"]["uid"] for panel in content["panels"]} == {one["uid"]}
        assert len({panel["id"] for panel in content["panels"]}) == len(content["panels"])


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_every_question_is_answered(mixer, dashboard) -> None:
    """As the role that may only read; time series begin with a column of times, named `time`."""
    with psycopg.connect(mixer.dsn(READER), autocommit=True) as connection:
        connection.execute("SET search_path = ''")  # nothing leans on a setting of the role
        for title, shape, text in questions(dashboard):
            cursor = connection.execute(asked(text).encode())
            assert cursor.description, title
            names = [column.name for column in cursor.description]
            rows = cursor.fetchall()
            if shape == "time_series":
                assert names[0] == "time", title
                assert cursor.description[0].type_code == 1184, title  # timestamptz
            if (
                title not in {"Gaps", "Signed notes", "Rejects by code", "State"}
                and "not Good" not in title
            ):
                assert rows, title


def test_what_the_plant_did_is_shown(mixer) -> None:
    """The alarm, the last value and the trend of the mixer are among the answers."""
    shown = ""
    with psycopg.connect(mixer.dsn(READER), autocommit=True) as connection:
        for dashboard in DASHBOARDS:
            for _, _, text in questions(dashboard):
                shown += repr(connection.execute(asked(text).encode()).fetchall())
    assert LITERAL["device"] in shown
    assert "too high" in shown
    assert "'unacknowledged'" in shown
    assert "0.0, 4.5, 9.0" in shown
