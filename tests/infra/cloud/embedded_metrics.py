"""Patch: metrics out of log events, which CloudWatch Logs makes and moto does not.

Documented behaviour (CloudWatch user guide, embedded metric format): a log event whose message is a
JSON object with `_aws.CloudWatchMetrics` becomes a value of each metric named there, once for each
set of dimensions, at `_aws.Timestamp`. What is malformed stays a log event and nothing more.
"""

import json
from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.logs.models import LogsBackend

_put = LogsBackend.put_log_events


def apply() -> None:
    """Read each event that is put."""
    LogsBackend.put_log_events = _put_and_measure


def _put_and_measure(self: LogsBackend, *given: Any, **named: Any) -> Any:
    answer = _put(self, *given, **named)
    events = named.get("log_events") or given[2]
    for event in events:
        for space, values in metrics(event["message"]):
            backend = cloudwatch_backends[self.account_id][self.region_name]
            backend.put_metric_data(space, values)
    return answer


def metrics(message: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """What a message holds: namespaces, each with values as PutMetricData takes them."""
    try:
        found = json.loads(message)
        moment = datetime.fromtimestamp(found["_aws"]["Timestamp"] / 1000, UTC)
        directives = found["_aws"]["CloudWatchMetrics"]
        return [
            (each["Namespace"], _values(found, each, dimensions, moment))
            for each in directives
            for dimensions in each["Dimensions"]
        ]
    except (ValueError, KeyError, TypeError):
        return []


def _values(
    found: dict[str, Any], directive: dict[str, Any], dimensions: list[str], moment: datetime
) -> list[dict[str, Any]]:
    named = [{"Name": name, "Value": found[name]} for name in dimensions]
    values = []
    for metric in directive["Metrics"]:
        value = found[metric["Name"]]
        numbers = value if isinstance(value, list) else [value]
        values += [(metric["Name"], metric.get("Unit", "None"), number) for number in numbers]
    return [
        {
            "MetricName": name,
            "Value": number,
            "Unit": unit,
            "Dimensions": named,
            "Timestamp": moment.replace(tzinfo=None),  # as moto keeps them
        }
        for name, unit, number in values
    ]
