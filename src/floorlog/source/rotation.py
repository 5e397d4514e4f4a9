"""Rotation: a new password for a log-in role, in steps that may stop anywhere and be run again."""

import secrets
import string
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from floorlog.errors import SettingError

PENDING = "AWSPENDING"
CURRENT = "AWSCURRENT"
PASSWORD_LENGTH = 40
_LETTERS = string.ascii_letters + string.digits


def rotate(client: Any, name: str, change: Callable[[str, str], None]) -> str:  # noqa: ANN401 - botocore's clients have no types
    """Give the role of a secret a new password; returns the role.

    First the new password is kept as pending, then the role is changed, then the version is made
    current. Whoever reads in between and is refused reads again. A run that was broken off is taken
    up by the next: its pending password is used.

    Args:
        client: of Secrets Manager.
        name: the secret's ARN.
        change: gives a role of the database a password.

    Raises:
        SettingError: the secret does not hold a log-in.
    """
    description = client.describe_secret(SecretId=name)
    stages: Mapping[str, list[str]] = description["VersionIdsToStages"]
    current = _version(stages, CURRENT)
    if current is None:
        raise SettingError(
            f"{name} has no content", where="secret", fix="apply the deployment, which makes one"
        )
    pending = _version(stages, PENDING)
    if pending is None or pending == current:
        content = _content(client, name, CURRENT)
        content["password"] = "".join(secrets.choice(_LETTERS) for _ in range(PASSWORD_LENGTH))
        pending = client.put_secret_value(
            SecretId=name,
            SecretString=msgspec.json.encode(content).decode(),
            VersionStages=[PENDING],
        )["VersionId"]
    else:
        content = _content(client, name, PENDING)
    role = str(content["username"])
    change(role, str(content["password"]))
    client.update_secret_version_stage(
        SecretId=name, VersionStage=CURRENT, MoveToVersionId=pending, RemoveFromVersionId=current
    )
    client.update_secret_version_stage(
        SecretId=name, VersionStage=PENDING, RemoveFromVersionId=pending
    )
    return role


def _version(stages: Mapping[str, list[str]], stage: str) -> str | None:
    return next((version for version, held in stages.items() if stage in held), None)


def _content(client: Any, name: str, stage: str) -> dict[str, Any]:  # noqa: ANN401 - as above, no types
    text = client.get_secret_value(SecretId=name, VersionStage=stage)["SecretString"]
    found: dict[str, Any] = msgspec.json.decode(text)
    if not {"username", "password"} <= set(found):
        raise SettingError(
            f"{name} holds no username and password", where="secret", fix="put back what it held"
        )
    return found
