"""Patch: a database instance is a real PostgreSQL of this machine, where one is given.

Documented behaviour (RDS API reference, CreateDBInstance and DeleteDBInstance; RDS user guide,
"Password management with Secrets Manager"): `DBName` is the database that is made with the
instance, `MasterUsername` its owner, who may make roles and databases and is no superuser. With
`ManageMasterUserPassword` RDS makes a password and keeps it with the name, as JSON, in a secret
that it deletes with the instance. The endpoint's address and port are where the instance answers.
A protected instance is not deleted. A deleted instance's database is gone.
"""

import json
import secrets
from typing import Any

import psycopg
from moto.rds.models import DBInstance, MasterUserSecret, RDSBackend
from psycopg import sql

_create = RDSBackend.create_db_instance
_delete = RDSBackend.delete_db_instance
_PLACE: dict[str, str] = {}


def apply(postgres: str, host: str) -> None:
    """Instances are made in the server of this connection string, reached by this host's name."""
    _PLACE.update(postgres=postgres, host=host)
    MasterUserSecret._generate_secret_string = _content
    RDSBackend.create_db_instance = _create_really
    RDSBackend.delete_db_instance = _delete_really
    DBInstance.address = property(lambda _: _PLACE["host"])


def _content(self: MasterUserSecret) -> str:
    name = self.resource.master_username
    return json.dumps({"username": name, "password": secrets.token_hex(20)})


def _create_really(self: RDSBackend, db_kwargs: dict[str, Any]) -> DBInstance:
    made = _create(self, db_kwargs)
    content = json.loads(made.master_user_secret.secret.secret_string)
    owner, name = sql.Identifier(content["username"]), sql.Identifier(made.db_name)
    _run(
        sql.SQL("DROP ROLE IF EXISTS {}").format(owner),
        sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}").format(
            owner, sql.Literal(content["password"])
        ),
        sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner),
    )
    return made


def _delete_really(self: RDSBackend, *given: Any, **named: Any) -> DBInstance:
    gone = _delete(self, *given, **named)
    _run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(gone.db_name)))
    return gone


def _run(*statements: sql.Composed) -> None:
    with psycopg.connect(_PLACE["postgres"], autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
