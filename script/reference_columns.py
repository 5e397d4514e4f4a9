"""The reference page of every column: evidence, derived, or outside the record.

Read from the comments in schema.sql, which the tests hold against the migrations and the server.
"""

import re
from pathlib import Path

SCHEMA = Path(__file__).resolve().parent.parent / "src/floorlog/store/schema.sql"
TABLE = re.compile(r"^CREATE TABLE (\w+) \((.*?)^\)", re.MULTILINE | re.DOTALL)
COLUMN = re.compile(r"^    (\w+) [a-z]\w*", re.MULTILINE)
COMMENT = re.compile(r"^COMMENT ON COLUMN (\w+)\.(\w+) IS '((?:[^']|'')*)';", re.MULTILINE)
CLASSES = {
    "evidence": "the record itself: hashed into the ledger, alone or as a part; a change is found",
    "derived": "computed again from evidence: verification compares it, and it can be rebuilt",
    "outside": "needed to run, and no part of the record",
}
NO_COLUMNS = {"PRIMARY", "UNIQUE", "CHECK", "CONSTRAINT", "FOREIGN"}
ALTERED = re.compile(r"^ALTER TABLE (?:floorlog\.)?(\w+) ADD COLUMN (\w+)", re.MULTILINE)


def columns(schema: str) -> dict[str, dict[str, tuple[str, str]]]:
    """The class and purpose of every column, by table.

    Raises:
        ValueError: a column has no class, or a comment is of no column.
    """
    said = {
        (table, column): text.replace("''", "'") for table, column, text in COMMENT.findall(schema)
    }
    names = {
        table: [name for name in COLUMN.findall(body) if name not in NO_COLUMNS]
        for table, body in TABLE.findall(schema)
    }
    for table, name in ALTERED.findall(schema):
        names[table].append(name)
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for table, of_table in names.items():
        for column in of_table:
            kind, colon, purpose = said.pop((table, column), "").partition(": ")
            if not colon or kind not in CLASSES or not purpose:
                message = f"{table}.{column} is classed neither as evidence nor derived nor outside"
                raise ValueError(message)
            found.setdefault(table, {})[column] = (kind, purpose)
    if said:
        message = f"a comment is of no column: {sorted(said)}"
        raise ValueError(message)
    return found


def page() -> str:
    """The page, without its heading."""
    found = columns(SCHEMA.read_text(encoding="utf-8"))
    lines = [
        "Every column of every table says what it is; one that does not fails the build.",
        "",
        "| class | columns | what it means |",
        "|---|---|---|",
    ]
    for kind, means in CLASSES.items():
        count = sum(one[0] == kind for table in found.values() for one in table.values())
        lines.append(f"| {kind} | {count} | {means} |")
    for table in sorted(found):
        lines += ["", f"## {table}", "", "| column | class | what it is |", "|---|---|---|"]
        for column, (kind, purpose) in found[table].items():
            lines.append(f"| {column} | {kind} | {purpose} |")
    return "\n".join(lines) + "\n"
