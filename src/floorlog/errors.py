"""The one error tree: what is wrong, where, and how to mend it."""


class FloorlogError(Exception):
    """Something a person can mend."""

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        """`what` went wrong, `where`, and the `fix`; all of it prints as one line."""
        self.what = what
        self.where = where
        self.fix = fix
        place = f"{where}: " if where else ""
        mend = f" - {fix}" if fix else ""
        super().__init__(f"{place}{what}{mend}")


class SettingError(FloorlogError):
    """A setting is missing or wrong."""


class ServiceError(FloorlogError):
    """A service that is needed cannot be reached or started."""


class InputError(FloorlogError):
    """A file or argument that a person gave cannot be used."""


class NotThere(InputError):
    """What was asked for does not exist."""


class Illegal(InputError):
    """What was asked for exists, but not in a state that allows it."""


class RecordError(FloorlogError):
    """The record is not in the state that this release needs."""


class DataDirectoryError(InputError):
    """The data directory cannot be reached, written or owned as it must be."""


class DataDirectoryLocked(DataDirectoryError):
    """Another process runs the services of this data directory."""


class ServiceMissing(ServiceError):
    """The program of a local service is not installed."""


class PortInUse(ServiceError):
    """A port that was asked for by number belongs to another program."""


class DiskFull(ServiceError):
    """The disk under the data directory has too little room to go on."""
