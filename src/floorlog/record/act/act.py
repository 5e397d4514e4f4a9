"""What a person does to the record: each act one transaction, under a pseudonym."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import psycopg

from floorlog.errors import InputError, ServiceError
from floorlog.store.arrays import adapt
from floorlog.store.queries import parse

Connection = psycopg.Connection[Any]
Row = tuple[Any, ...]

QUERIES = parse(files("floorlog.record.act").joinpath("act.sql").read_text("utf-8"))
REASON_CHARACTERS_MAX = 2_000
PSEUDONYM = re.compile(r"p-[0-9a-f]{12}|local")  # local: whoever is at the page of this machine
_REFUSED = ("FL400", "FL404", "FL409")
_FIX = {
    "FL400": "give what the record can take",
    "FL404": "look at what there is",
    "FL409": "there is nothing left to do",
}


@contextmanager
def acting(dsn: str) -> Iterator[Connection]:
    """A connection with one transaction, which is committed at the end of the block.

    Args:
        dsn: connection string of the operator's role; of the reader's for what only reads.

    Raises:
        InputError: the record refuses the act, and says why.
        ServiceError: the record cannot be reached, or the role may not do this.
    """
    try:
        with psycopg.connect(
            dsn, connect_timeout=10, application_name="floorlog act", prepare_threshold=None
        ) as connection:
            adapt(connection)
            yield connection
    except psycopg.Error as error:
        says = error.diag.message_primary or str(error).strip().splitlines()[0]
        if error.sqlstate in _REFUSED:
            raise InputError(says, where="record", fix=_FIX[error.sqlstate or ""]) from error
        raise ServiceError(
            f"the record does not take it: {says}",
            where="database",
            fix="see that it runs and is migrated, and that the operator's role is used",
        ) from error


def ask(connection: Connection, query: str, /, **values: object) -> list[Row]:
    """The rows of a named query of act.sql."""
    return connection.execute(QUERIES[query].text, values, binary=True).fetchall()


def text_of(what: str, text: str, where: str) -> str:
    """A text that a person gave, without blanks around it. Raises InputError for none."""
    found = text.strip()
    if not 0 < len(found) <= REASON_CHARACTERS_MAX or "\0" in found:
        raise InputError(
            f"{what} is needed, of at most {REASON_CHARACTERS_MAX} characters",
            where=where,
            fix=f"say it with {where} TEXT",
        )
    return found


def actor_of(connection: Connection, name: str) -> str:
    """The pseudonym under which a person acts; a pseudonym itself stays as it is."""
    if PSEUDONYM.fullmatch(name):
        return name
    ((found,),) = ask(connection, "pseudonym", name=text_of("who acts", name, "--by"))
    return str(found)


def add_event(connection: Connection, actor: str, action: str, detail: Mapping[str, object]) -> int:
    """Append an audit event; returns its number.

    Args:
        connection: of the operator's role.
        actor: a pseudonym.
        action: what was done, in words with dots between.
        detail: to what, with which values; kept as JSON.
    """
    body = json.dumps(detail, ensure_ascii=False)
    ((number,),) = ask(connection, "add_event", actor=actor, action=action, detail=body)
    return int(number)


@dataclass(frozen=True, slots=True)
class Person:
    """One pseudonym; the name is None once it was erased. given_at: µs UTC."""

    pseudonym: str
    name: str | None
    given_at: int


def people(dsn: str) -> list[Person]:
    """Everybody, in the order in which they came. Raises ServiceError."""
    with acting(dsn) as connection:
        return [Person(*row) for row in ask(connection, "people")]


def erase_name(dsn: str, who: str, by: str, reason: str) -> str:
    """Forget a person's name; what was done under the pseudonym stays. Returns the pseudonym.

    Args:
        dsn: of the operator's role.
        who: the pseudonym, or the name.
        by: who asks for it; may be the same person, who then stays unnamed.
        reason: why; it stays, so that it must not name the person.

    Raises:
        InputError: there is no such name, or the reason holds it.
        ServiceError: the record cannot be reached.
    """
    said = text_of("a reason", reason, "--reason")
    with acting(dsn) as connection:
        found = [one for one in ask(connection, "people") if one[1] is not None and who in one[:2]]
        if not found:
            raise InputError(
                f"nobody is known as {who!r}", where="record", fix="see `floorlog person list`"
            )
        pseudonym, name, _ = found[0]
        if name.lower() in said.lower():
            raise InputError(
                "the reason holds the name that is to be forgotten",
                where="--reason",
                fix="say it without the name: the reason stays",
            )
        actor = pseudonym if by.strip() == name else actor_of(connection, by)
        ask_nothing(connection, "erase_name", pseudonym=pseudonym, actor=actor, reason=said)
    return str(pseudonym)


def ask_nothing(connection: Connection, query: str, /, **values: object) -> None:
    """Run a named query whose answer does not matter."""
    connection.execute(QUERIES[query].text, values)
