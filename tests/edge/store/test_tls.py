"""TLS to the database: the server must prove that it is the one that is meant, or gets nothing."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest

from floorlog.config import Settings
from floorlog.local.supervisor import Supervisor
from floorlog.source.secret import Login
from floorlog.store.link import Link

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
pytestmark = pytest.mark.slow


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def authority(folder: Path, name: str) -> Path:
    """A certificate authority of our own; returns its certificate."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", key, "-out", certificate, "-days", "2", "-subj", f"/CN={name}")  # fmt: skip
    return certificate


def signed(folder: Path, by: str, host: str) -> tuple[Path, Path]:
    """A key and a certificate for a host, signed by an authority."""
    key, request, certificate = (folder / f"server.{kind}" for kind in ("key", "csr", "crt"))
    extension = folder / "extension"
    extension.write_text(f"subjectAltName=DNS:{host}\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
            "-out", request, "-subj", f"/CN={host}")  # fmt: skip
    openssl("x509", "-req", "-in", request, "-CA", folder / f"{by}.pem", "-CAkey",
            folder / f"{by}.key", "-CAcreateserial", "-days", "2", "-extfile", extension,
            "-out", certificate)  # fmt: skip
    return key, certificate


@pytest.fixture(scope="module")
def server(tmp_path_factory, not_run):
    """Debian's PostgreSQL 15 with TLS, as `localhost`, certified by `rds`."""
    if not DEBIAN_15.exists():
        not_run("needs Debian's postgresql-15, which speaks TLS: the embedded one does not")
    with tempfile.TemporaryDirectory(prefix="floorlog-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            authority(folder, "rds")
        except FileNotFoundError:
            not_run("needs the openssl program, to make certificates")
        authority(folder, "stranger")
        key, certificate = signed(folder, "rds", "localhost")
        supervisor = Supervisor(folder / "data", only={"postgres"}, postgres_programs=DEBIAN_15)
        with supervisor as services:
            dsn = services.postgres_dsn()
            with psycopg.connect(dsn, autocommit=True) as connection:
                row = connection.execute("SHOW data_directory").fetchone()
                assert row
                data = Path(row[0])
                owner = data.stat()
                for file in (key, certificate):
                    target = data / file.name
                    target.write_bytes(file.read_bytes())
                    target.chmod(0o600)
                    os.chown(target, owner.st_uid, owner.st_gid)
                connection.execute("ALTER SYSTEM SET ssl_cert_file = 'server.crt'")
                connection.execute("ALTER SYSTEM SET ssl_key_file = 'server.key'")
                connection.execute("ALTER SYSTEM SET ssl = on")
                connection.execute("SELECT pg_reload_conf()")
            yield folder, psycopg.conninfo.conninfo_to_dict(dsn)


def link(server, host: str, authority: str) -> Link:
    folder, found = server
    content = {"username": found["user"], "password": found["password"], "host": host,
               "port": int(found["port"]), "dbname": found["dbname"]}  # fmt: skip
    secret = folder / "secret"
    secret.write_text(json.dumps(content))
    settings = Settings(
        stream="s", redis="h:1", db_secret=f"file:{secret}", db_ca=str(folder / f"{authority}.pem")
    )
    return Link(Login(settings), "test", 10.0)


def test_the_server_that_is_meant_is_spoken_to_by_tls(server):
    """Certified by the authority and named as in the secret, it is spoken to, encrypted."""
    opened = link(server, "localhost", "rds")
    row = (
        opened.idle()
        .execute("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        .fetchone()
    )
    opened.close()
    assert row is not None
    assert row[0] is True
    assert row[1] in {"TLSv1.2", "TLSv1.3"}


@pytest.mark.parametrize(
    ("host", "authority", "said"),
    [("localhost", "stranger", "certificate verify failed"), ("127.0.0.1", "rds", "127.0.0.1")],
)
def test_another_server_gets_no_password(server, host, authority, said):
    """Of another authority, or under another name, it is refused before any log-in."""
    with pytest.raises(psycopg.OperationalError, match=said):
        link(server, host, authority).idle()
