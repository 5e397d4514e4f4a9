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


class RecordError(FloorlogError):
    """The record is not in the state that this release needs."""
