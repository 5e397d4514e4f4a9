"""Commands on the user file: who may log in to the page, and as what."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from floorlog.cli.place import FILE
from floorlog.errors import SettingError

if TYPE_CHECKING:
    from floorlog.web.access.users import UserFile

ROLES = ("viewer", "operator", "engineer", "auditor", "admin")
USERS = click.option("--file", "path", type=FILE, metavar="FILE", help="The user file.")
ROLE = click.option("--role", type=click.Choice(ROLES), required=True, help="What they may do.")


def user_file(path: Path | None) -> "UserFile":
    """The file that is meant: the option's, else the setting's."""
    from floorlog import config
    from floorlog.web.access.users import UserFile

    name = config.variable("users")
    where = str(path) if path is not None else config.inherited().get(name, "")
    if not where:
        raise SettingError(
            f"{name} is not set", where="environment", fix=f"set {name}, or give --file FILE"
        )
    return UserFile(Path(where))


@click.group()
def user() -> None:
    """Say who may log in to the page."""


@user.command()
@click.argument("name")
@ROLE
@USERS
@click.password_option(help="Asked for when it is not given.")
def add(name: str, role: str, path: Path | None, password: str) -> None:
    """Let NAME log in by password; a user of this name is replaced."""
    from floorlog.web.access.role import Role
    from floorlog.web.access.users import Passwords, User

    user_file(path).put(User(name, Role(role), password=Passwords().hash(password)))
    print(f"{name} may log in as {role}")


@user.command()
@click.argument("name")
@ROLE
@USERS
def token(name: str, role: str, path: Path | None) -> None:
    """Let the program NAME ask the API; prints its token, once."""
    from floorlog.web.access.role import Role
    from floorlog.web.access.users import User, hash_of_token, new_token

    made = new_token()
    user_file(path).put(User(name, Role(role), token=hash_of_token(made)))
    print(made)


@user.command("list")
@USERS
def list_users(path: Path | None) -> None:
    """Show who may log in, and how."""
    for one in user_file(path).users():
        ways = [way for way in ("password", "token") if getattr(one, way)]
        print(f"{one.name}\t{one.role}\t{', '.join(ways)}")


@user.command()
@click.argument("name")
@USERS
def remove(name: str, path: Path | None) -> None:
    """Let NAME log in no more; their sessions end at once."""
    user_file(path).remove(name)
    print(f"{name} may not log in any more")
