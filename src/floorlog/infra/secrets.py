"""Secrets: a log-in of the database for each role, that no plan, state or person has seen."""

from dataclasses import dataclass

from cdktn import Fn, Token
from cdktn_provider_aws.ephemeral_aws_secretsmanager_random_password import (
    EphemeralAwsSecretsmanagerRandomPassword,
)
from cdktn_provider_aws.secretsmanager_secret import SecretsmanagerSecret
from cdktn_provider_aws.secretsmanager_secret_version import SecretsmanagerSecretVersion

from floorlog.infra.database import Database
from floorlog.infra.keys import Keys
from floorlog.infra.part import Room
from floorlog.infra.waivers import OWN_ROTATION

# Log-in roles of the database (floorlog.store.migrate), and what is between the secret's names.
ROLES = {
    "floorlog_writer": "",
    "floorlog_keeper": "-keeper",
    "floorlog_operator": "-operator",
    "floorlog_reader": "-reader",
}
PASSWORD_LENGTH = 40


@dataclass(frozen=True)
class Secrets:
    """ARNs of the secrets by role, and the versions that hold the first passwords."""

    arns: dict[str, str]
    versions: list[SecretsmanagerSecretVersion]

    @property
    def writer(self) -> str:
        """The processor's log-in."""
        return self.arns["floorlog_writer"]


def secrets(room: Room, database: Database, keys: Keys) -> Secrets:
    """A secret a role, with all that a client needs to connect.

    The first password is made while Terraform applies and written by an attribute that it does not
    keep. The migration task gives it to the role; the rotation task replaces it. Where the database
    is another than before, all are written anew: the attribute's version is made of its address.
    """
    place = Fn.join("/", [database.host, str(database.port), database.name])
    version_of_place = Token.as_number(Fn.parseint(Fn.substr(Fn.sha256(place), 0, 8), 16))
    arns, versions = {}, []
    for role, between in ROLES.items():
        plain = f"iot-db-credentials{between}"
        secret = room.add(
            SecretsmanagerSecret,
            f"secret{between or '-writer'}",
            f"the log-in of {role}",
            usage={"secret": 1},
            waived=(OWN_ROTATION,),
            name=room.name(plain),
            description=f"log-in of {role}; rotated every {room.parameters.rotation_days} days",
            kms_key_id=keys.arn,
            recovery_window_in_days=0 if room.parameters.throw_away else 30,
        )
        password = EphemeralAwsSecretsmanagerRandomPassword(
            room.scope,
            f"password{between or '-writer'}",
            password_length=PASSWORD_LENGTH,
            exclude_punctuation=True,
        )
        content = {
            "username": role,
            "password": password.random_password,
            "engine": "postgres",
            "host": database.host,
            "port": database.port,
            "dbname": database.name,
        }
        version = room.add(
            SecretsmanagerSecretVersion,
            f"secret-version{between or '-writer'}",
            "its first content; later ones come from the rotation",
            secret_id=secret.id,
            secret_string_wo=Fn.jsonencode(content),
            secret_string_wo_version=version_of_place,
        )
        arns[role] = secret.arn
        versions.append(version)
    return Secrets(arns, versions)
