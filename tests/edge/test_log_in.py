"""Log-ins: read anew for each connection, and of a database and cache that prove who they are."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from psycopg.conninfo import conninfo_to_dict

from floorlog.cache import endpoint_of
from floorlog.config import Settings
from floorlog.errors import SettingError
from floorlog.source import secret
from floorlog.source.secret import Login, admin_dsn, role_secrets

CONTENT = {"username": "w", "password": "a/b@c", "engine": "postgres", "host": "db.test",
           "port": 5432, "dbname": "iotdb"}  # fmt: skip


@pytest.fixture
def held(tmp_path):
    file = tmp_path / "secret"
    file.write_text(json.dumps(CONTENT))
    return file


def settings(held, **others) -> Settings:
    return Settings(stream="s", redis="cache.test:6379", db_secret=f"file:{held}", **others)


def test_a_new_connection_gets_what_the_secret_holds_then(held, monkeypatch):
    """After a rotation the next connection has the new password, without a restart."""
    monkeypatch.setattr(secret, "FRESH_SECONDS", 0.0)
    login = Login(settings(held))
    assert conninfo_to_dict(login())["password"] == "a/b@c"
    held.write_text(json.dumps({**CONTENT, "password": "second"}))
    assert conninfo_to_dict(login())["password"] == "second"


def test_a_storm_of_connections_reads_once(held):
    """Many connections at once are one question to Secrets Manager."""
    login = Login(settings(held))
    first = login()
    held.write_text(json.dumps({**CONTENT, "password": "second"}))
    assert login() == first


def test_the_last_log_in_serves_while_the_secret_cannot_be_read(held, monkeypatch, caplog):
    """Secrets Manager away: what it last said is used, and the log says so."""
    monkeypatch.setattr(secret, "FRESH_SECONDS", 0.0)
    login = Login(settings(held))
    first = login()
    held.unlink()
    assert login() == first
    assert "read before" in caplog.text
    with pytest.raises(SettingError, match="DB_SECRET_ARN"):
        Login(settings(held))()


def test_with_an_authority_the_server_must_prove_who_it_is(held):
    """FLOORLOG_DB_CA turns TLS on, with the certificate and the host's name checked."""
    found = conninfo_to_dict(Login(settings(held, db_ca="/etc/rds.pem"))())
    assert (found["sslmode"], found["sslrootcert"]) == ("verify-full", "/etc/rds.pem")
    assert "sslmode" not in conninfo_to_dict(Login(settings(held))())


def test_the_administrator_is_another_on_the_same_database(held, tmp_path):
    """RDS's secret has no host: it is the other's, as are port and name."""
    admin = tmp_path / "admin"
    admin.write_text(json.dumps({"username": "iotadmin", "password": "p"}))
    found = conninfo_to_dict(admin_dsn(settings(held, admin_secret=f"file:{admin}")))
    assert (found["user"], found["host"], found["dbname"]) == ("iotadmin", "db.test", "iotdb")


def test_the_roles_secrets_are_read_from_one_line(held):
    """ROLE=ARN, by commas; anything else is told in one line."""
    asked = settings(held, role_secrets="floorlog_writer=arn:a:b,floorlog_keeper=arn:c")
    assert role_secrets(asked) == {"floorlog_writer": "arn:a:b", "floorlog_keeper": "arn:c"}
    with pytest.raises(SettingError, match=r"FLOORLOG_ROLE_SECRETS.*no ROLE=ARN"):
        role_secrets(settings(held, role_secrets="floorlog_writer"))


def test_the_cache_gets_a_signed_token_of_the_role(held, monkeypatch):
    """A presigned request `connect` for the user at the replication group, good for 15 minutes."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    asked = settings(
        held, cache_user="iot-processor-dev", cache_iam="iot-redis-dev", cache_tls=True
    )
    found = endpoint_of(asked)
    assert (found.host, found.port, found.tls, found.user) == (
        "cache.test",
        6379,
        True,
        "iot-processor-dev",
    )
    assert callable(found.password)
    token = found.password()
    assert token == found.password()
    parts = urlsplit(f"//{token}")
    asked_for = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert (parts.netloc, parts.path) == ("iot-redis-dev", "/")
    assert (asked_for["Action"], asked_for["User"]) == ("connect", "iot-processor-dev")
    assert asked_for["X-Amz-Expires"] == "900"
    assert asked_for["X-Amz-Credential"].endswith("/eu-west-2/elasticache/aws4_request")
    assert len(asked_for["X-Amz-Signature"]) == 64
    assert "example" not in token.lower().replace("akidexample", "")


def test_the_cache_may_have_a_password_or_none(held):
    """Without a replication group the setting is the password."""
    assert endpoint_of(settings(held, cache_password="p")).password == "p"
    assert endpoint_of(settings(held)).password == ""
