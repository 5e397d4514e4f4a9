"""Errors as RFC 9457 tells them: what kind, what is wrong here, and how to mend it."""

from http import HTTPStatus

import msgspec
from tornado.web import HTTPError

from floorlog.errors import FloorlogError, Illegal, InputError, NotThere, RecordError, ServiceError

MEDIA_TYPE = "application/problem+json"


class Refusal(HTTPError):
    """An HTTPError whose answer carries headers of its own."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        """Headers by name, with _ for -."""
        super().__init__(status, detail)
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Problem(msgspec.Struct, frozen=True):
    """An error; `type` stays the same for the same kind."""

    type: str
    title: str
    status: int
    detail: str


def problem(status: int, detail: str = "") -> Problem:
    """A problem of an HTTP status."""
    known = HTTPStatus(status) if status in HTTPStatus._value2member_map_ else HTTPStatus(500)
    kind = known.phrase.lower().replace(" ", "-")
    return Problem(f"urn:floorlog:problem:{kind}", known.phrase, status, detail or known.phrase)


def problem_of(error: BaseException | None, status: int, reason: str) -> Problem:
    """The problem that an error is; of one that nobody expected it tells nothing."""
    match error:
        case NotThere():
            return problem(404, str(error))
        case Illegal() | RecordError():
            return problem(409, str(error))
        case ServiceError():
            return problem(503, str(error))
        case InputError() | FloorlogError():
            return problem(400, str(error))
        case HTTPError():
            said = error.log_message % error.args if error.log_message else error.reason
            return problem(error.status_code, said or "")
    return problem(status, reason)
