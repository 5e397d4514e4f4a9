"""Which services and settings a command means, and the options by which it is told."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from floorlog.errors import SettingError

if TYPE_CHECKING:
    from floorlog.config import Settings
    from floorlog.local.services import Services

DATA = click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The data directory of local services.",
)

PORT = click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="The page's; 0 takes a free one.",
)

FILE = click.Path(path_type=Path)

KEY = click.option(
    "--key",
    metavar="KEY",
    default="",
    help="The log's key, or a file of it; else that beside the anchors.",
)


def directory_of(data: Path | None) -> Path:
    """The data directory that is meant."""
    from floorlog import config
    from floorlog.local.place import default_directory

    return data if data is not None else default_directory(config.inherited())


def page_port(port: int | None) -> int | None:
    """The page's port where one was asked for, by option or setting; any wrong setting is told."""
    from floorlog import config

    settings = load("web_port")
    asked = config.inherited().get(config.variable("web_port"))
    return settings.web_port if port is None and asked else port


def local_services(data: Path | None) -> "Services | None":
    """The local services that are meant: those of --data, else the usual where they run.

    None where the environment names a stream or a database: then it alone counts.
    """
    from floorlog import config
    from floorlog.local.place import is_locked
    from floorlog.local.services import running

    if data is not None:
        return running(data)
    given = config.inherited()
    if any(given.get(config.variable(name)) for name in ("stream", "db_secret")):
        return None
    usual = directory_of(None)
    return running(usual) if is_locked(usual) else None


def settings_of(data: Path | None, role: str, *needs: str) -> "Settings":
    """The settings for a role of the database; where `needs` are named, only those must be set.

    Raises:
        SettingError: one is not set, or is wrong.
        ServiceError: nothing runs in the data directory that was named.
    """
    from floorlog import config

    local = local_services(data)
    if local is not None:
        config.adopt(local.environment(role))
    elif "db_secret" in needs and not config.inherited().get(config.variable("db_secret")):
        raise SettingError(
            "no record is named, and none runs in the usual place",
            where=str(directory_of(None)),
            fix="start it with `floorlog up`, name its directory with --data DIR, or a database"
            f" with {config.variable('db_secret')}",
        )
    return load(*needs)


def load(*needs: str) -> "Settings":
    """The settings; where `needs` are named, only those must be set."""
    from floorlog import config

    required = ("stream", "redis", "db_secret")
    given = config.inherited()
    spare = {
        name: ""
        for name in required
        if needs and name not in needs and not given.get(config.variable(name))
    }
    return config.load(None, **spare)


def needed(settings: "Settings", field: str) -> str:
    """A setting that this command cannot do without."""
    from floorlog import config

    value = str(getattr(settings, field))
    if not value:
        name = config.variable(field)
        raise SettingError(
            f"{name} is not set", where="environment", fix=f"set {name}, or name --data DIR"
        )
    return value


def key_text(key: str) -> str:
    """The key itself, where a file of it was named."""
    path = Path(key)
    return path.read_text("utf-8").strip() if key and key.count("+") < 2 and path.exists() else key


def open_log(settings: "Settings") -> None:
    """Log to stderr as the settings say."""
    import logging

    level = logging.getLevelNamesMapping()[settings.log_level]
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if settings.log_format == "json":
        from floorlog.cli.log_lines import Json

        for handler in logging.getLogger().handlers:
            handler.setFormatter(Json())
    logging.getLogger("botocore").setLevel(max(level, logging.WARNING))
