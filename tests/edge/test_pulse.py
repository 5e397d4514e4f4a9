"""What a worker tells of itself: measures in CloudWatch's format, a heartbeat while it goes on."""

import json
import logging
import os
import time
from pathlib import Path

import pytest

from floorlog import metrics
from floorlog.cli.log_lines import Json
from floorlog.config import Settings
from floorlog.core import protocol
from floorlog.errors import FloorlogError
from floorlog.pulse import Pulse, check


def settings(folder: Path, **others: object) -> Settings:
    wanted = {"stream": "s", "redis": "h:1", "db_secret": "file:x", **others}
    return Settings(health_file=str(folder / "heartbeat"), **wanted)


def test_a_line_is_what_cloudwatch_takes_for_metrics():
    """Each measure stands in the object with its unit; dimensions are named and given."""
    lines: list[str] = []
    measures = metrics.Measures("dev", lines.append)
    measures.count({"received": 5, "stored": 4})
    measures.count({"received": 1})
    measures.observe("commit_ms", 12.5)
    measures.behind("shard-0", 70.0)
    measures.behind("shard-0", 30.0)
    measures.flush(1_767_225_600_000)
    whole, shard = (json.loads(line) for line in lines)
    assert (whole["received"], whole["stored"], whole["commit_ms"]) == (6, 4, [12.5])
    assert (shard["behind_ms"], shard["Shard"]) == (70.0, "shard-0")
    for found in (whole, shard):
        assert found["_aws"]["Timestamp"] == 1_767_225_600_000
        [directive] = found["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "Floorlog"
        [dimensions] = directive["Dimensions"]
        assert found["Environment"] == "dev"
        assert all(isinstance(found[name], str) for name in dimensions)
        for each in directive["Metrics"]:
            assert each["Unit"] == metrics.UNITS[each["Name"]]
            assert each["Name"] in found
    lines.clear()
    measures.flush(1)
    assert not lines


def test_measures_are_bounded():
    """At most a hundred values of a measure, as the format allows, and a known number of shards."""
    lines: list[str] = []
    measures = metrics.Measures("dev", lines.append)
    for number in range(1_000):
        measures.observe("commit_ms", number)
        measures.behind(f"shard-{number}", 1.0)
    measures.flush(1)
    assert json.loads(lines[0])["commit_ms"] == list(range(900, 1_000))
    assert len(lines) == 1 + metrics.SHARDS_MAX


def test_only_what_goes_on_is_healthy(tmp_path):
    """A thread that gets answers is well; one that has waited too long stands still, by name."""
    pulse = Pulse(settings(tmp_path, health_seconds=10))
    pulse.begin("shard-1")
    pulse.begin("shard-2")
    assert not pulse.standing_still()
    pulse._steps["shard-2"] -= 11
    assert pulse.standing_still() == "shard-2"
    fetch = protocol.Fetch("shard-2", "iterator", 1)
    pulse.note("shard-2", fetch, protocol.Failed("no answer"), 0.1)
    assert pulse.standing_still() == "shard-2"
    pulse.note("shard-2", fetch, protocol.Fetched((), None, 0), 0.1)
    assert not pulse.standing_still()
    pulse._steps["shard-1"] -= 11
    pulse.end("shard-1")
    assert not pulse.standing_still()


def test_the_heartbeat_stops_with_a_shard_that_stands_still(tmp_path, caplog):
    """The file is renewed while all goes on, and left alone from then on; the log says why."""
    asked = settings(tmp_path, health_seconds=10)
    pulse = Pulse(asked)
    file = Path(asked.health_file)
    with pytest.raises(FloorlogError, match="no heartbeat"):
        check(asked)
    pulse._beat(file)
    assert "ago" in check(asked)
    old_s = time.time() - 100
    os.utime(file, (old_s, old_s))
    pulse.begin("shard-1")
    pulse._steps["shard-1"] -= 11
    pulse._beat(file)
    assert "shard-1 has stood still" in caplog.text
    with pytest.raises(FloorlogError, match=r"100 s old.*see the worker's log"):
        check(asked)


def test_a_log_line_is_one_json_object():
    """Level, logger and message are fields; a traceback stands in the same line."""
    record = logging.LogRecord("floorlog.x", logging.ERROR, "f", 1, "a %s", ("b",), None)
    error = ValueError("no\nsuch thing")
    record.exc_info = (ValueError, error, None)
    line = Json().format(record)
    assert "\n" not in line
    found = json.loads(line)
    assert (found["level"], found["logger"], found["message"]) == ("ERROR", "floorlog.x", "a b")
    assert "no\nsuch thing" in found["error"]
    assert found["time"].endswith("Z")
