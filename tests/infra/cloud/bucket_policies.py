"""Patch: a bucket policy's statement applies only under its condition, which moto leaves out.

Documented behaviour (IAM user guide, evaluation of policies; key aws:SecureTransport): a statement
whose condition is not met neither allows nor denies. This cloud stands for AWS's endpoints, which
are reached by TLS: `aws:SecureTransport` is true.
"""

import json
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket

SECURE = "aws:SecureTransport"


def apply() -> None:
    """Look at conditions of TLS."""
    FakeBucket.get_permission = _get_permission


def _get_permission(self: FakeBucket, action: str, resource: str) -> PermissionResult:
    if self.policy is None:
        return PermissionResult.NEUTRAL
    document = json.loads(self.policy.decode())
    document["Statement"] = [each for each in document["Statement"] if is_met(each)]
    if not document["Statement"]:
        return PermissionResult.NEUTRAL
    return IAMPolicy(json.dumps(document)).is_action_permitted(action, resource)


def is_met(statement: dict[str, Any]) -> bool:
    """Whether the condition of TLS, if there is one, is met by a request that came by TLS."""
    wanted = statement.get("Condition", {}).get("Bool", {}).get(SECURE)
    return wanted is None or str(wanted).lower() == "true"
