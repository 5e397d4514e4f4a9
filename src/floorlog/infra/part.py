"""How a part of the stack adds a resource: with the reason it is there and what it uses."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from constructs import Construct

from floorlog.infra.parameters import Parameters

HOURS_A_MONTH = 730


@dataclass(frozen=True)
class Waived:
    """A check of checkov that a resource fails on purpose."""

    check: str
    reason: str


@dataclass
class Room:
    """Where resources go; each part of the stack is handed the same one.

    Attributes:
        scope: the stack.
        parameters: what was asked for.
        prose: by Terraform address: why, usage and waivers, which the configuration carries along.
    """

    scope: Construct
    parameters: Parameters
    keys: set[str] = field(default_factory=set)

    def name(self, plain: str) -> str:
        """The name of a thing in this environment."""
        return self.parameters.name(plain)

    def add(
        self,
        kind: Any,  # noqa: ANN401 - a construct's class, whose packages have no types we could check
        key: str,
        why: str,
        *,
        usage: Mapping[str, float] | None = None,
        waived: tuple[Waived, ...] = (),
        **properties: Any,  # noqa: ANN401 - as the construct takes them
    ) -> Any:  # noqa: ANN401 - the construct, as `kind`
        """Add a resource and write down why it is there.

        Args:
            kind: its construct.
            key: its name within the configuration.
            why: one line for a person.
            usage: how much of which price a month of it takes (see prices.py).
            waived: checks that it fails on purpose.
            properties: as the construct takes them.
        """
        assert key not in self.keys, key
        self.keys.add(key)
        made = kind(self.scope, key, **properties)
        prose: dict[str, object] = {"why": why}
        if usage:
            prose["usage"] = dict(usage)
        if waived:
            prose["waived"] = {each.check: each.reason for each in waived}
        for name, value in prose.items():
            made.add_override(f"//.{name}", value)
        return made


def block(**properties: object) -> dict[str, object]:
    """A block within a list, where the constructs know camel case alone."""
    return {
        re.sub(r"_(\w)", lambda found: found[1].upper(), name): value
        for name, value in properties.items()
    }


def policy(*statements: Mapping[str, object]) -> str:
    """An IAM policy's document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, sort_keys=True)


def allow(
    sid: str, actions: list[str], resources: list[str] | str, **rest: object
) -> dict[str, object]:
    """A statement that allows actions on resources."""
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": resources,
        **rest,
    }


def trust(service: str, account: str) -> str:
    """Who may take a role on: a service, on behalf of this account alone."""
    return policy(
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": service},
            "Condition": {"StringEquals": {"aws:SourceAccount": account}},
        }
    )
