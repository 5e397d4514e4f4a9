"""Commands of upkeep: is the worker well, and new passwords for the log-in roles."""

import click

from floorlog.cli.place import load, open_log
from floorlog.errors import ServiceError, SettingError


@click.command()
def health() -> None:
    """Say whether the worker beside this goes on; exit code 1 when it does not."""
    from floorlog.pulse import check

    print(check(load("health_file")))


@click.command()
def rotate() -> None:
    """Give every log-in role a new password: the secret first, then the role; may be repeated."""
    from botocore.exceptions import BotoCoreError, ClientError

    from floorlog import config
    from floorlog.source.rotation import rotate as run
    from floorlog.source.secret import admin_dsn, client, role_secrets
    from floorlog.store.migrate import set_password

    settings = load("db_secret")
    open_log(settings)
    named = role_secrets(settings)
    if not named:
        variable = config.variable("role_secrets")
        raise SettingError(f"{variable} is not set", where="environment", fix=f"set {variable}")
    admin = admin_dsn(settings)
    try:
        secrets = client(settings)
        for name in named.values():
            role = run(secrets, name, lambda role, word: set_password(admin, role, word))
            print(f"{role} has a new password", flush=True)
    except (BotoCoreError, ClientError) as error:
        raise ServiceError(
            f"the rotation stopped: {error}",
            where="Secrets Manager",
            fix="mend what it names, then rotate again: it goes on from here",
        ) from error
