"""Pages of long answers: an opaque place to go on from, which only this code makes and reads."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from tornado.web import HTTPError

T = TypeVar("T")
P = TypeVar("P")
NUMBER_MAX = 1 << 62


def after(place: tuple[Any, ...] | None) -> str | None:
    """A place as the `next` of an answer; None where nothing follows."""
    if place is None:
        return None
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(cursor: str, kind: type[P]) -> P:
    """The place that a cursor names. Raises HTTPError 400 for one that was never given."""
    try:
        place = msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
    except (ValueError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise HTTPError(400, "cursor: give `next` of the page before, or leave it out") from error
    for part in place:  # type: ignore[attr-defined] # every kind is a tuple
        if isinstance(part, int) and not -NUMBER_MAX <= part <= NUMBER_MAX:
            raise HTTPError(400, "cursor: give `next` of the page before, or leave it out")
        if isinstance(part, str) and "\0" in part:
            raise HTTPError(400, "cursor: give `next` of the page before, or leave it out")
    return place


class Paged(Protocol):
    """A question for a page."""

    @property
    def limit(self) -> int:
        """Most rows."""

    @property
    def cursor(self) -> str:
        """Where the page before ended; empty for the first."""


def page_of(
    entries: Sequence[T], query: Paged, key: Callable[[T], tuple[Any, ...]], kind: type[Any]
) -> tuple[list[T], str | None]:
    """One page of entries, put in the order of their keys; and the next page's cursor."""
    ordered = sorted(entries, key=key)
    first = 0
    if query.cursor:
        first = bisect_right(ordered, place_of(query.cursor, kind), key=key)
    shown = ordered[first : first + query.limit]
    more = first + query.limit < len(ordered)
    return shown, after(key(shown[-1])) if more and shown else None
