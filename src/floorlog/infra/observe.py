"""Observe: logs, what they are counted for, alarms that somebody must act on, one dashboard."""

import json
from typing import Any, NamedTuple

from cdktn_provider_aws.cloudwatch_dashboard import CloudwatchDashboard
from cdktn_provider_aws.cloudwatch_log_group import CloudwatchLogGroup
from cdktn_provider_aws.cloudwatch_log_metric_filter import CloudwatchLogMetricFilter
from cdktn_provider_aws.cloudwatch_metric_alarm import CloudwatchMetricAlarm
from cdktn_provider_aws.sns_topic import SnsTopic
from cdktn_provider_aws.sns_topic_subscription import SnsTopicSubscription

from floorlog import metrics
from floorlog.infra.database import Database
from floorlog.infra.keys import Keys
from floorlog.infra.part import Room
from floorlog.infra.stream import Stream
from floorlog.infra.waivers import SHORT_LOGS

FILTERS = {
    "error_lines": ('{ $.level = "ERROR" }', "log lines of something that failed"),
    "denied_lines": ("%AccessDenied%", "calls that a role was refused"),
    "ended_lines": ('"floorlog: "', "commands that ended with an error, a rotation among them"),
}


class Alarm(NamedTuple):
    """One alarm: when it sounds, and what it means for the one who hears it."""

    key: str
    why: str
    namespace: str
    metric: str
    dimensions: dict[str, str]
    statistic: str
    threshold: float
    minutes: int
    below: bool = False
    missing: str = "notBreaching"


def log_group(room: Room, keys: Keys) -> CloudwatchLogGroup:
    """The tasks' log."""
    return room.add(
        CloudwatchLogGroup,
        "logs",
        "what the tasks say, and in it their metrics",
        usage={"logs GB": 2, "metric": len(metrics.UNITS) + room.parameters.shards},
        waived=(SHORT_LOGS,),
        name=room.name("/aws/iot-processing"),
        retention_in_days=room.parameters.log_days,
        kms_key_id=keys.arn,
    )


def observe(
    room: Room, keys: Keys, group: CloudwatchLogGroup, stream: Stream, database: Database
) -> SnsTopic:
    """Metrics out of logs, alarms, a topic that carries them, and the dashboard."""
    topic = room.add(
        SnsTopic,
        "alarms",
        "carries the alarms to whoever subscribes",
        name=room.name("iot-alarms"),
        kms_master_key_id=keys.arn,
    )
    if room.parameters.alarm_email:
        room.add(
            SnsTopicSubscription,
            "alarm-email",
            "sends them by mail",
            topic_arn=topic.arn,
            protocol="email",
            endpoint=room.parameters.alarm_email,
        )
    for name, (pattern, why) in FILTERS.items():
        room.add(
            CloudwatchLogMetricFilter,
            f"filter-{name.replace('_', '-')}",
            f"counts {why}",
            usage={"metric": 1},
            name=room.name(f"iot-{name.replace('_', '-')}"),
            log_group_name=group.name,
            pattern=pattern,
            metric_transformation={
                "name": f"{name}-{room.parameters.environment_suffix}",
                "namespace": metrics.NAMESPACE,
                "value": "1",
                "default_value": "0",
            },
        )
    for alarm in alarms(room, stream, database):
        _alarm(room, alarm, topic.arn)
    _dashboard(room, stream, database)
    return topic


def alarms(room: Room, stream: Stream, database: Database) -> list[Alarm]:
    """What somebody must act on, most urgent first; the docs say what to do."""
    suffix = room.parameters.environment_suffix
    own = {"Environment": suffix}
    streams = {"StreamName": stream.name}
    hour_ms = 3_600_000
    tasks = {
        "ClusterName": room.name("iot-processing-cluster"),
        "ServiceName": room.name("iot-processor-service"),
    }
    kinesis, floorlog = "AWS/Kinesis", metrics.NAMESPACE
    age = "GetRecords.IteratorAgeMilliseconds"
    retention_ms = room.parameters.retention_hours * hour_ms
    found = [
        Alarm("loss-near", "input is lost unless tasks catch up: half of the retention has gone",
              kinesis, age, streams, "Maximum", retention_ms / 2, 5),
        Alarm("behind", "readings are recorded more than five minutes late",
              kinesis, age, streams, "Maximum", 300_000, 5),
        Alarm("no-task", "no processor is running", "ECS/ContainerInsights", "RunningTaskCount",
              tasks, "Minimum", 1, 3, below=True, missing="breaching"),
        Alarm("gap", "input was lost; the record says what", floorlog, "gaps", own, "Sum", 0, 1),
        Alarm("rejects", "more than a thousand readings in five minutes could not be stored",
              floorlog, "rejected", own, "Sum", 1000, 5),
        Alarm("slow-commits", "the database takes more than five seconds for a batch",
              floorlog, "commit_ms", own, "p90", 5000, 5),
        Alarm("producers-throttled", "producers put more than the shards take: add shards",
              kinesis, "WriteProvisionedThroughputExceeded", streams, "Sum", 100, 5),
        Alarm("errors", "the tasks report errors", floorlog, f"error_lines-{suffix}", {},
              "Sum", 10, 5),
        Alarm("denied", "a call was refused to a role", floorlog, f"denied_lines-{suffix}", {},
              "Sum", 0, 5),
        Alarm("ended", "a task ended with an error: a rotation, a migration, or a start",
              floorlog, f"ended_lines-{suffix}", {}, "Sum", 0, 1),
    ]  # fmt: skip
    if room.parameters.anchor:
        found.append(
            Alarm("anchor-old", "the log has not been anchored for three minutes: evidence is at"
                  " risk", floorlog, "anchor_age_s", own, "Minimum", 180, 3, missing="breaching")
        )  # fmt: skip
    return found + _service_alarms(room, database)


def _service_alarms(room: Room, database: Database) -> list[Alarm]:
    cache = {"ReplicationGroupId": room.name("iot-redis")}
    found = [
        Alarm("cache-memory", "the cache is nearly full: take a larger node", "AWS/ElastiCache",
              "DatabaseMemoryUsagePercentage", cache, "Maximum", 85, 15),
    ]  # fmt: skip
    if database.identifier:
        rds, own = "AWS/RDS", {"DBInstanceIdentifier": database.identifier}
        gib = 2**30
        found += [
            Alarm("database-disk", "less than 2 GiB of disk are left, and storage does not grow",
                  rds, "FreeStorageSpace", own, "Minimum", 2 * gib, 5, below=True),
            Alarm("database-cpu", "the database is busy without pause: take a larger class",
                  rds, "CPUUtilization", own, "Average", 85, 15),
            Alarm("database-memory", "the database has less than 64 MiB of memory left",
                  rds, "FreeableMemory", own, "Minimum", gib / 16, 15, below=True),
        ]  # fmt: skip
    return found


def _alarm(room: Room, alarm: Alarm, topic_arn: str) -> None:
    percentile = alarm.statistic.startswith("p")
    statistic: dict[str, Any] = {
        "extended_statistic" if percentile else "statistic": alarm.statistic
    }
    room.add(
        CloudwatchMetricAlarm,
        f"alarm-{alarm.key}",
        alarm.why,
        usage={"alarm": 1},
        alarm_name=room.name(f"iot-{alarm.key}"),
        alarm_description=f"{alarm.why} (docs/howto/deploy.md)",
        namespace=alarm.namespace,
        metric_name=alarm.metric,
        dimensions=alarm.dimensions or None,
        period=60,
        evaluation_periods=alarm.minutes,
        threshold=alarm.threshold,
        comparison_operator="LessThanThreshold" if alarm.below else "GreaterThanThreshold",
        treat_missing_data=alarm.missing,
        alarm_actions=[topic_arn],
        ok_actions=[topic_arn],
        **statistic,
    )


def _dashboard(room: Room, stream: Stream, database: Database) -> None:
    suffix = room.parameters.environment_suffix
    own = ["Environment", suffix]
    space = metrics.NAMESPACE
    plots = {
        "Readings a minute": ("Sum", [[space, name, *own] for name in metrics.COUNTS]),
        "Age of the oldest unread reading, ms": (
            "Maximum",
            [["AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", "StreamName", stream.name]],
        ),
        "Commit, ms": ("p90", [[space, "commit_ms", *own]]),
        "Behind, ms": ("Maximum", [[space, "behind_ms", *own]]),
        "Gaps and changes of lease": (
            "Sum",
            [[space, "gaps", *own], [space, "lease_changes", *own]],
        ),
        "Age of the newest anchor, s": ("Minimum", [[space, "anchor_age_s", *own]]),
        "Cache, % of memory": (
            "Maximum",
            [["AWS/ElastiCache", "DatabaseMemoryUsagePercentage", "ReplicationGroupId",
              room.name("iot-redis")]],
        ),
    }  # fmt: skip
    if database.identifier:
        rds = ["DBInstanceIdentifier", database.identifier]
        plots["Database: CPU, %"] = ("Average", [["AWS/RDS", "CPUUtilization", *rds]])
        plots["Database: free disk, bytes"] = ("Minimum", [["AWS/RDS", "FreeStorageSpace", *rds]])
    widgets = [
        {
            "type": "metric",
            "x": 8 * (number % 3),
            "y": 6 * (number // 3),
            "width": 8,
            "height": 6,
            "properties": {
                "title": title,
                "region": room.parameters.aws_region,
                "stat": statistic,
                "period": 60,
                "metrics": lines,
            },
        }
        for number, (title, (statistic, lines)) in enumerate(plots.items())
    ]
    room.add(
        CloudwatchDashboard,
        "dashboard",
        "the data's path on one screen",
        usage={"dashboard": 1},
        dashboard_name=room.name("iot-processing"),
        dashboard_body=json.dumps({"widgets": widgets}, sort_keys=True),
    )
