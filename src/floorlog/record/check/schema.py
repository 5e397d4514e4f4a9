"""Whether what others read is what verification reads: nothing is hidden, functions are ours.

A superuser can leave every stored row as it was, and still show another value: by a view or
function that was replaced, or by rows that a policy hides from the one who verifies. So what stands
in the database is compared with `schema.sql`: bodies of functions as text; views as the server
itself writes them, once those of this release are made beside them, and dropped again.
"""

import re
from collections import defaultdict
from importlib.resources import files

import psycopg

from floorlog.record.check.finding import Findings
from floorlog.record.rows import QUERIES, Connection, Row
from floorlog.store.migrate import migrations

_MADE = re.compile(
    r"^CREATE AGGREGATE (?P<aggregate>\w+)"
    r"|^CREATE (?:OR REPLACE )?FUNCTION (?P<function>\w+)\((?P<arguments>.*?)\)\s.*?"
    r"AS \$\$(?P<body>.*?)\$\$"
    r"|^CREATE (?:OR REPLACE )?VIEW (?P<view>\w+) AS\n(?P<query>.*?);$"
    r"|^ALTER (?P<kind>VIEW|FUNCTION) (?P<old>\w+)(?:\((?P<types>.*?)\))? RENAME TO (?P<new>\w+);$",
    re.MULTILINE | re.DOTALL,
)
LANGUAGES = {"sql", "plpgsql", "internal"}  # internal: an aggregate's
_DENIED = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)


class Made:
    """The functions and views that a schema's text makes.

    Attributes:
        bodies: of functions, by name; one name may have several.
        views: their queries, by name.
    """

    def __init__(self, text: str) -> None:
        by_form: dict[tuple[str, str], str] = {}
        self.views: dict[str, str] = {}
        for one in _MADE.finditer(text):
            if one["aggregate"]:
                by_form[one["aggregate"], ""] = "aggregate_dummy"
            elif one["function"]:
                by_form[one["function"], " ".join(one["arguments"].split())] = one["body"]
            elif one["view"]:
                self.views[one["view"]] = one["query"]
            elif one["kind"] == "VIEW":
                self.views[one["new"]] = self.views.pop(one["old"])
            else:
                for name, arguments in [key for key in by_form if key[0] == one["old"]]:
                    by_form[one["new"], arguments] = by_form.pop((name, arguments))
        self.bodies: dict[str, set[str]] = defaultdict(set)
        for (name, _), body in by_form.items():
            self.bodies[name].add(body)


def check_schema(connection: Connection, findings: Findings) -> None:
    """Compare functions, views and tables with what this release made.

    Args:
        connection: in no transaction.
        findings: what is wrong.
    """
    ours = migrations()
    with connection.transaction():
        there = _ask(connection, "schema_migrations")
    known = {(one.number, one.digest) for one in ours}
    wanted = {(one.number, one.digest) for one in ours if one.phase == "pre"}  # the rest may wait
    if not wanted <= set(there) <= known:
        last = f"{max((one[0] for one in there), default=0):04}"
        says = f"the schema is at {last}, not at this release's {ours[-1].number:04}: run the same"
        findings.derived("schema", f"{says} release of both, then views are compared as well")
        return
    made = Made(files("floorlog.store").joinpath("schema.sql").read_text("utf-8"))
    with connection.transaction():
        _check_tables(connection, findings)
        names = {name for (name,) in _ask(connection, "schema_view_names")}
        for name in sorted(names ^ made.views.keys()):
            says = "is not that of this release" if name in names else "is gone"
            findings.derived("schema", f"view {name} {says}")
        for name, language, body, settings in _ask(connection, "schema_functions"):
            if body not in made.bodies.get(name, ()) or language not in LANGUAGES:
                findings.derived("schema", f"function {name} is not that of this release")
            elif settings and "search_path=pg_catalog" not in settings:
                findings.derived("schema", f"function {name} looks for names elsewhere")
    _check_views(connection, made.views, findings)


def _check_tables(connection: Connection, findings: Findings) -> None:
    for name, kind in _ask(connection, "schema_strange"):
        says = f"{name} is {kind}: what it shows may depend on who asks"
        findings.evidence("schema", says)


def _check_views(connection: Connection, views: dict[str, str], findings: Findings) -> None:
    """Each view as the server writes it, beside that which this release would make."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(QUERIES["as_owner_reads"].text)
            for name, query in views.items():
                connection.execute(f"CREATE TEMPORARY VIEW made_{name} AS\n{query}")
            stated = {row[0]: row[1] for row in _ask(connection, "schema_views")}
    except _DENIED as error:
        # On a copy that only follows nothing can be made; the record's own database tells.
        if not isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            findings.derived("schema", "views are not compared: grant TEMPORARY on the database")
        return
    except psycopg.Error as error:
        line = str(error).strip().splitlines()[0]
        findings.derived("schema", f"views of this release cannot be made here: {line}")
        return
    for name in views:
        if name in stated and stated[name] != stated.get(f"made_{name}"):
            findings.derived("schema", f"view {name} is not that of this release")


def _ask(connection: Connection, name: str) -> list[Row]:
    return connection.execute(QUERIES[name].text).fetchall()
