"""Patch: a task that is run on Fargate runs, as a process of this machine.

Documented behaviour (ECS API reference, RunTask and DescribeTasks; ECS developer guide, "Task
lifecycle", "Task IAM role" and "Send Amazon ECS logs to CloudWatch"): a task is RUNNING while its
containers run and STOPPED after an essential one has ended, with that one's `exitCode` and a
`stoppedReason`. A container has the definition's command and environment, and the credentials of
the task's role. What it says goes to the log group that the definition names, to the stream
PREFIX/CONTAINER/TASK. The task's size is the definition's; a container need not say one. Its
network interface has no name where the VPC gives none. Only the first container is run: the tasks
that are run so have one.
"""

import json
import os
import subprocess
import time
from typing import Any

from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ecs.models import EC2ContainerServiceBackend, Task
from moto.logs.models import logs_backends
from moto.sts.models import sts_backends

_run = EC2ContainerServiceBackend.run_task
_describe = EC2ContainerServiceBackend.describe_tasks
_needs = EC2ContainerServiceBackend._calculate_task_resource_requirements
_RUNNING: dict[str, subprocess.Popen[str]] = {}
_PLACE: dict[str, Any] = {}


def apply(endpoint: str, python: str, variables: dict[str, str]) -> None:
    """Commands of the image are run by this interpreter, with these variables put in place.

    Args:
        endpoint: where this cloud is.
        python: has Floorlog.
        variables: of what differs on this machine; only those take effect that a container has.
    """
    _PLACE.update(endpoint=endpoint, python=python, variables=variables)
    NetworkInterface.private_dns_name = ""
    EC2ContainerServiceBackend.run_task = _run_really
    EC2ContainerServiceBackend._calculate_task_resource_requirements = staticmethod(_needs_of)
    EC2ContainerServiceBackend.describe_tasks = _describe_really


def _needs_of(definition: Any) -> dict[str, Any]:
    if definition.requires_compatibilities == ["FARGATE"]:
        return {"CPU": int(definition.cpu), "MEMORY": int(definition.memory), "PORTS": []}
    return _needs(definition)


def _run_really(self: EC2ContainerServiceBackend, *given: Any, **named: Any) -> list[Task]:
    tasks = _run(self, *given, **named)
    for task in tasks:
        definition = self.describe_task_definition(task.task_definition_arn)
        _RUNNING[task.id] = _start(definition, task)
    return tasks


def _start(definition: Any, task: Task) -> subprocess.Popen[str]:
    container = definition.container_definitions[0]
    told = {each["name"]: each["value"] for each in container["environment"]}
    here = {name: word for name, word in _PLACE["variables"].items() if name in told}
    role = sts_backends[task._account_id]["aws"].assume_role(  # the task's own
        task.region_name, task.id, definition.task_role_arn, "", 3_600, ""
    )
    keys = {
        "AWS_ENDPOINT_URL": _PLACE["endpoint"],
        "AWS_ACCESS_KEY_ID": role.access_key_id,
        "AWS_SECRET_ACCESS_KEY": role.secret_access_key,
        "AWS_SESSION_TOKEN": role.session_token,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PATH": os.environ["PATH"],
    }
    return subprocess.Popen(
        [_PLACE["python"], "-m", "floorlog", *container["command"]],
        env={**told, **here, **keys},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _describe_really(self: EC2ContainerServiceBackend, cluster: str, tasks: list[str]) -> list[Any]:
    found = _describe(self, cluster, tasks)
    for task in found:
        process = _RUNNING.get(task.id)
        if process is None:
            continue
        code = process.poll()
        task.last_status = "RUNNING" if code is None else "STOPPED"
        if code is not None:
            task.containers[0].exit_code = task.containers[0].exitCode = code
            task.stopped_reason = "Essential container in task exited"
            _log(self, task, _RUNNING.pop(task.id))
    return found


def _log(self: EC2ContainerServiceBackend, task: Task, ended: subprocess.Popen[str]) -> None:
    container = self.describe_task_definition(task.task_definition_arn).container_definitions[0]
    options = json.loads(json.dumps(container["logConfiguration"]))["options"]
    stream = f"{options['awslogs-stream-prefix']}/{container['name']}/{task.id}"
    backend = logs_backends[task._account_id][task.region_name]
    backend.create_log_stream(options["awslogs-group"], stream)
    assert ended.stdout
    now_ms = time.time_ns() // 1_000_000
    events = [{"timestamp": now_ms, "message": line.rstrip("\n")} for line in ended.stdout]
    if events:
        backend.put_log_events(options["awslogs-group"], stream, events)
