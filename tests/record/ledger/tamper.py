"""Changes to a record as a superuser makes them, each undone afterwards; and what verify must say.

Tables and columns are read from the catalogue, so a new one is attacked without a word here. A draw
that changes nothing that SELECT returns is drawn again. `Campaign.draw` gives one mutation and what
it changed; `Campaign.judge` says what is missing from verification's report.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from bent import bent
from forge import Forger
from named import judge_series, readings_of
from written import Written

from floorlog.record.check.verify import Anchored, Report, check

# Kinds of leaves of the log, by the table that they stand for, with the column of their number.
THINGS = {
    "series": (16, "series_id"),
    "state": (17, "code"),
    "lease": (18, "lease_id"),
    "catalogue": (19, "version"),
    "audit_event": (20, "event_id"),
    "alarm_event": (21, "event_id"),
    "correction": (22, "correction_id"),
    "expiry": (23, "expiry_id"),
}
WHERE = {"lease": "shard", "audit_event": "event", "alarm_event": "alarm event"}
KEPT = {"series_home": {"newest_window"}, "alarm": {"alarm"}}  # and where findings of them are
OF_BATCHES = ("batch", "open_row", "reject", "anomaly", "gap", "expired")
READINGS = ("open_row", "chunk")  # how readings lie is no evidence: what the view shows is
BOUNDS = ("recorded_min", "recorded_max")  # may be wider than need be: then nobody sees it
Row = dict[str, str | None]

COLUMNS = """
    SELECT c.table_name, c.column_name, c.udt_name,
        split_part(col_description(p.oid, c.ordinal_position), ':', 1)
    FROM information_schema.columns AS c
    JOIN information_schema.tables AS t USING (table_schema, table_name)
    JOIN pg_class AS p ON p.oid = format('floorlog.%I', c.table_name)::regclass
    WHERE c.table_schema = 'floorlog' AND t.table_type = 'BASE TABLE' AND NOT p.relispartition
    ORDER BY c.table_name, c.ordinal_position"""


@dataclass(frozen=True)
class Column:
    table: str
    name: str
    kind: str
    standing: str  # evidence, derived or outside


def of_detectors(column: Column) -> bool:
    """What the detectors remember: computed again by replay at take-over, not by verify."""
    return column.table == "shard_state" or column.name == "calibrated_s"


@dataclass
class Mutation:
    """What was done.

    Attributes:
        says: in words.
        rows: the rows that were changed, as they were or as they were put in, by table.
        standing: evidence where any changed column is.
        level: how much was computed anew to hide it (see forge.Forger).
    """

    says: str
    rows: list[tuple[str, Row]] = field(default_factory=list)
    standing: str = "evidence"
    level: int = 0
    whole: bool = False  # a table was emptied, or the record replaced by an older one


class Redraw(Exception):
    """Nothing that SELECT returns was changed, or PostgreSQL itself refused it."""


class Campaign:
    """Draws mutations of one record on one connection, whose transaction is never committed.

    Args:
        written: the record.
        connection: a superuser's, in a transaction.
        seed: of the draws.
    """

    def __init__(self, written: Written, connection: psycopg.Connection, seed: int) -> None:
        self.chance = random.Random(seed)
        self.anchored = Anchored(written.anchor)
        self.connection = connection
        self.tables: dict[str, list[Column]] = {}
        for row in self.run(COLUMNS):
            self.tables.setdefault(row[0], []).append(Column(*row))
        self.tables["series_home"] = [
            # What names a row is as much derived as what the row says.
            replace(one, standing="derived") if one.name == "series_id" else one
            for one in self.tables["series_home"]
        ]
        self.forger = Forger(connection)
        self.size = max(self.anchored.bodies)
        self.shards = dict(self.run("SELECT lease_id::text, shard_id FROM floorlog.lease"))
        self.streams = self.run("SELECT stream_id::text, lease_id::text FROM floorlog.lease")
        leaves = self.run("SELECT kind, lease_id, id, position FROM floorlog.log_leaf")
        self.positions = {(kind, lease, number): at for kind, lease, number, at in leaves}
        self.seen: Counter[str] = Counter()
        self.held = readings_of(self.connection)
        for table, columns in self.tables.items():
            self.run(
                "; ".join(
                    f"ALTER TABLE floorlog.{table} ALTER {one.name} DROP IDENTITY IF EXISTS"
                    for one in columns
                )
            )

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Whatever is done within is undone."""
        self.run("SAVEPOINT tamper")
        try:
            yield
        finally:
            self.run("ROLLBACK TO SAVEPOINT tamper")

    def verify(self) -> Report:
        return check(self.connection, self.anchored)

    # ── drawing ─────────────────────────────────────────────────────────────────────────────

    def draw(self) -> Mutation:
        """Carry out one mutation. Raises Redraw."""
        table = self.chance.choice([*sorted(self.tables), *3 * ("open_row", "chunk", "batch")])
        operation = self.chance.choices(
            (self.flip, self.delete, self.insert, self.swap, self.reorder, self.truncate,
             self.restore),
            (50, 10, 10, 12, 8, 5, 5),
        )[0]  # fmt: skip
        before, inside = self.shown(table), self.shown(table, inside=True)
        self.held = readings_of(self.connection)
        if self.chance.random() < 0.25:
            self.drop_constraints(table)
        self.run("SET LOCAL session_replication_role = replica")
        try:
            made = operation(table)
        except psycopg.Error as error:
            raise Redraw(str(error)) from error
        if not made.whole and self.shown(table) == before:
            raise Redraw("nothing changed")
        if not made.whole and self.shown(table, inside=True) == inside:
            made.standing = "outside"
        keys = [
            (int(row["lease_id"] or 0), int(row["number"] or 0))
            for name, row in made.rows
            if name in OF_BATCHES
        ]
        if not made.whole and self.chance.random() < 0.5:
            things = [name for name, _ in made.rows if name in THINGS]
            made.level = self.forger.cover_up(keys, things, self.chance.randint(1, 4))
            made.says += f", hidden at level {made.level}"
            if self.shown(table) == before:
                raise Redraw("hidden so well that nothing is changed any more")
        self.seen[f"{operation.__name__} {table}"] += 1
        return made

    def shown(self, table: str, *, inside: bool = False) -> list[str]:
        """What SELECT returns, in no order: of readings through the view.

        Args:
            table: which.
            inside: without what is no part of the record.
        """
        if table in READINGS:
            what = "t::text FROM floorlog.reading AS t"
            if table == "chunk":
                kept = ", ".join(
                    one.name for one in self.tables[table]
                    if one.standing == "derived" and one.name not in BOUNDS
                )  # fmt: skip
                what = f"{what} UNION ALL SELECT row({kept})::text FROM floorlog.chunk"
        else:
            names = [
                one.name for one in self.tables[table]
                if not inside or (one.standing != "outside" and not of_detectors(one))
            ]  # fmt: skip
            what = f"row({', '.join(names)})::text FROM floorlog.{table}"
        try:
            with self.connection.transaction():
                return sorted(row for (row,) in self.run(f"SELECT {what}"))
        except psycopg.Error as error:  # that is what SELECT answers then
            return [str(error)]

    def drop_constraints(self, table: str) -> None:
        """No key, check or reference is in the way of a superuser."""
        for (name,) in self.run(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass"
            " AND contype IN ('p', 'u', 'c', 'f')", f"floorlog.{table}",
        ):  # fmt: skip
            self.run(f"ALTER TABLE floorlog.{table} DROP CONSTRAINT IF EXISTS {name} CASCADE")

    def pick(self, table: str, count: int = 1) -> list[tuple[str, str, Row]]:
        """Some rows: partition, place in it, columns as text."""
        columns = ", ".join(f"{one.name}::text" for one in self.tables[table])
        rows = self.run(f"SELECT tableoid::text, ctid::text, {columns} FROM floorlog.{table}")
        if len(rows) < count:
            raise Redraw(f"{table} has {len(rows)} rows")
        names = [one.name for one in self.tables[table]]
        chosen = self.chance.sample(sorted(rows, key=str), count)
        return [(row[0], row[1], dict(zip(names, row[2:], strict=True))) for row in chosen]

    def set(self, table: str, place: tuple[str, str, Row], column: Column, text: str | None) -> Row:
        """Write one cell; the row afterwards."""
        self.run(
            f"UPDATE floorlog.{table} SET {column.name} = (%s::text)::{column.kind}"
            " WHERE tableoid = %s::oid AND ctid = %s::tid",
            text, place[0], place[1],
        )  # fmt: skip
        return {**place[2], column.name: text}

    def flip(self, table: str) -> Mutation:
        column = self.chance.choice(self.tables[table])
        (place,) = self.pick(table)
        old = place[2][column.name]
        new = bent(old, column.kind, self.chance)
        after = self.set(table, place, column, new)
        says = f"{table}.{column.name}: {old!s:.60} became {new!s:.60} in {brief(place[2])}"
        return Mutation(says, [(table, place[2]), (table, after)], column.standing)

    def delete(self, table: str) -> Mutation:
        rows = self.pick(table, self.chance.choice((1, 1, 1, 2, 3)))
        for oid, ctid, _ in rows:
            self.run(
                f"DELETE FROM floorlog.{table} WHERE tableoid = %s::oid AND ctid = %s::tid",
                oid, ctid,
            )  # fmt: skip
        says = f"deleted of {table}: {'; '.join(brief(row) for _, _, row in rows)}"
        return Mutation(says, [(table, row) for _, _, row in rows], self.standing(table))

    def insert(self, table: str) -> Mutation:
        """A copy of a row, as it is or with one cell bent."""
        (place,) = self.pick(table)
        row = dict(place[2])
        if self.chance.random() < 0.8:
            column = self.chance.choice(self.tables[table])
            row[column.name] = bent(row[column.name], column.kind, self.chance)
        names = ", ".join(row)
        casts = ", ".join(f"(%s::text)::{one.kind}" for one in self.tables[table])
        self.run(f"INSERT INTO floorlog.{table} ({names}) VALUES ({casts})", *row.values())
        return Mutation(
            f"inserted into {table}: {brief(row)}", [(table, row)], self.standing(table)
        )

    def swap(self, table: str) -> Mutation:
        """Two rows exchange what they have in one column, or all but what names them."""
        one, other = self.pick(table, 2)
        place_a, place_b = one[2], other[2]
        columns = self.tables[table]
        chosen = [self.chance.choice(columns)] if self.chance.random() < 0.7 else columns[1:]
        for column in chosen:
            a, b = one[2][column.name], other[2][column.name]
            if a != b:
                # The first update moves the row: it is found again by what it holds.
                self.exchange(table, column, one, other)
                one, other = self.again(table, one, column, b), self.again(table, other, column, a)
        standings = {one.standing for one in chosen if place_a[one.name] != place_b[one.name]}
        return Mutation(
            f"{table}: {brief(place_a)} and {brief(place_b)} changed"
            f" {', '.join(column.name for column in chosen)} about",
            [(table, row) for row in (place_a, place_b)],
            "evidence" if "evidence" in standings else min(standings, default="outside"),
        )

    def exchange(self, table: str, column: Column, one: Any, other: Any) -> None:
        self.run(
            f"UPDATE floorlog.{table} SET {column.name} = CASE WHEN (tableoid, ctid) ="
            f" (%s::oid, %s::tid) THEN (%s::text)::{column.kind} ELSE (%s::text)::{column.kind} END"
            " WHERE (tableoid, ctid) IN ((%s::oid, %s::tid), (%s::oid, %s::tid))",
            one[0], one[1], other[2][column.name], one[2][column.name], *one[:2], *other[:2],
        )  # fmt: skip

    def again(self, table: str, place: Any, column: Column, value: str | None) -> Any:
        """Where a row went."""
        row = {**place[2], column.name: value}
        test = " AND ".join(f"{name}::text IS NOT DISTINCT FROM %s" for name in row)
        found = self.run(
            f"SELECT tableoid::text, ctid::text FROM floorlog.{table} WHERE {test}", *row.values()
        )
        if not found:
            raise Redraw("the row is not found again")
        return (*found[0], row)

    def reorder(self, table: str) -> Mutation:
        """Elements of arrays change places; else two rows of a table change all about."""
        arrays = [one for one in self.tables[table] if one.kind.startswith("_")]
        (place,) = self.pick(table)
        filled = [one for one in arrays if (place[2][one.name] or "{}").count(",")]
        if not filled:
            return self.swap(table)
        together = self.chance.random() < 0.5
        chosen = filled if together else [self.chance.choice(filled)]
        size = min((place[2][one.name] or "").count(",") + 1 for one in chosen)
        a, b = self.chance.sample(range(size), 2)
        for column in chosen:
            cells = (place[2][column.name] or "{}").strip("{}").split(",")
            cells[a], cells[b] = cells[b], cells[a]
            after = self.set(table, place, column, "{" + ",".join(cells) + "}")
            place = self.again(table, (*place[:2], after), column, after[column.name])
        says = f"{table}: elements {a} and {b} of {', '.join(c.name for c in chosen)} changed about"
        return Mutation(f"{says} in {brief(place[2])}", [(table, place[2])])

    def truncate(self, table: str) -> Mutation:
        rows = [(table, row) for _, _, row in self.pick(table, self.count(table))]
        self.run(f"TRUNCATE floorlog.{table} CASCADE")
        return Mutation(f"emptied {table}", rows, self.standing(table), whole=True)

    def restore(self, table: str) -> Mutation:
        """The whole record as it was some anchors ago, or one table of it."""
        (schema,) = self.chance.choice(
            self.run("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'old_%%' ORDER BY 1")
        )
        whole = self.chance.random() < 0.5
        before = self.shown(table)
        for name in list(self.tables) if whole else [table]:
            self.run(f"DELETE FROM floorlog.{name}")
            self.run(f"INSERT INTO floorlog.{name} SELECT * FROM {schema}.{name}")
        if not whole and self.shown(table) == before:
            raise Redraw("nothing changed")
        sizes = {size for (size,) in self.run("SELECT size FROM floorlog.note")}
        if not whole and table == "note" and set(self.anchored.bodies) - sizes == {self.size}:
            raise Redraw("the newest note's copy may not be made yet")
        what = "all" if whole else table
        standing = "evidence" if whole else self.standing(table)
        return Mutation(f"{what} as it was at {schema}", [], standing, whole=True)

    def count(self, table: str) -> int:
        found: int = self.run(f"SELECT count(*) FROM floorlog.{table}")[0][0]
        if not found:
            raise Redraw(f"{table} is empty")
        return found

    def standing(self, table: str) -> str:
        """What a table's rows are: evidence where any column is."""
        columns = [one for one in self.tables[table] if not of_detectors(one)]
        found = {one.standing for one in columns}
        return "evidence" if "evidence" in found else min(found, default="outside")

    # ── judging ─────────────────────────────────────────────────────────────────────────────

    def judge(self, made: Mutation, report: Report) -> str:
        """What verification should have said and did not; "" where it said all."""
        if made.standing == "outside":
            return "" if report.ok else f"alarm for what is no part of the record: {report.wrong}"
        if made.whole:
            return "verify says intact" if report.ok else ""
        old = [(table, row) for table, row in made.rows if self.is_old(table, row)]
        if made.level:  # what hides one row may make another what it was
            old = [(table, row) for table, row in old if not self.stands(table, row)]
        if not old:
            newer = report.unanchored_seconds > 0
            return "" if newer or not report.ok else "the unanchored span is not named"
        if report.ok:
            return "verify says intact"
        named = [any(self.names(one, *place) for one in report.wrong) for place in old]
        # Of a row that was moved from one place to another, the one that misses it tells as well.
        # A bound that became wider than need be is no harm.
        moved = len(old) == 2 and "became" in made.says
        bounds = old[0][0] == "chunk" and "recorded_m" in made.says
        enough = any(named) if moved or bounds else all(named)
        if not enough:
            return f"it is not named: {report.wrong[:6]}"
        if old[0][0] not in READINGS:
            return ""
        old_batches = {
            key[1:] for key, at in self.positions.items() if key[0] == 32 and at < self.size
        }
        found, count = judge_series(self.held, readings_of(self.connection), old_batches, report)
        self.seen["series named"] += count
        return found

    def stands(self, table: str, row: Row) -> bool:
        """Whether a row that was changed is there again as it was."""
        test = " AND ".join(f"{name}::text IS NOT DISTINCT FROM %s" for name in row)
        return table == "batch" and bool(
            self.run(f"SELECT FROM floorlog.{table} WHERE {test}", *row.values())
        )

    def position(self, table: str, row: Row) -> int | None:
        """The place of a row's leaf in the log as it was."""
        try:
            if table in OF_BATCHES or table == "conflict":
                key = (32, int(row["lease_id"] or 0), int(row["number"] or 0))
            elif table == "chunk":
                key = (32, int(row["lease_id"] or 0), int(row["number_max"] or 0))
            elif table in THINGS:
                kind, name = THINGS[table]
                key = (kind, 0, int(row[name] or 0))
            elif table == "log_leaf":
                return int(row["position"] or 0)
            elif table == "alarm" and row["event_id"] == "0":
                return None  # of an alarm without events nothing is derived
            elif table == "note" and int(row["size"] or 0) == self.size:
                return None  # the newest note's copy may not be made yet
            else:
                return -1
        except ValueError:
            return None
        return self.positions.get(key)

    def is_old(self, table: str, row: Row) -> bool:
        """Whether a row is older than the last anchor."""
        at = self.position(table, row)
        return at is not None and at < self.size

    def names(self, wrong: Any, table: str, row: Row) -> bool:
        """Whether something that was found is about this row."""
        at = self.position(table, row)
        changed = re.search(r"leaves ([\d, to]+) are not those", wrong.says)
        if changed and at in spans_in(changed[1]):
            return True
        if table in (*OF_BATCHES, "conflict"):
            shard = self.shards.get(row["lease_id"] or "", f"lease {row['lease_id']}")
            known = spans_in(wrong.says) if wrong.where == "expiry" else told(wrong)
            return wrong.shard == shard and int(row["number"] or 0) in known
        if table in THINGS:
            return self.names_thing(wrong, table, row)
        if table == "chunk":
            return self.names_chunk(wrong, row)
        if table == "log_leaf":
            own_batch = row["kind"] == "32" and int(row["id"] or 0) in told(wrong)
            return own_batch or at in spans_in(wrong.says) or self.names_leaf(wrong, row)
        if table == "note":
            stated = row["size"] or "0"
            return wrong.where == "note" and (
                int(stated) in spans_in(wrong.says) or f"of {stated} leaves" in wrong.says
            )
        if table == "stream":
            own = [lease for stream, lease in self.streams if stream == row["stream_id"]]
            listed = any(re.search(rf"\bshard {lease}\b", wrong.says) for lease in own)
            return listed or f"stream {row['stream_id']} " in wrong.says
        return str(wrong.series) == row.get("series_id", "") and wrong.where in KEPT[table]

    def names_chunk(self, wrong: Any, row: Row) -> bool:
        """Whether a finding is about a chunk: by its place, or by a batch that it holds."""
        place = f"chunk {row['part']} of series {row['series_id']}, "
        if wrong.where == "chunk" and str(wrong.series) == row["series_id"]:
            return place in wrong.says or "of batches" in wrong.says
        shard = self.shards.get(row["lease_id"] or "")
        held = range(int(row["number_min"] or 0), int(row["number_max"] or 0) + 1)
        return wrong.shard == shard and any(number in held for number in told(wrong))

    def names_thing(self, wrong: Any, table: str, row: Row) -> bool:
        """Whether a finding names what has a leaf of its own in the log."""
        where, number = WHERE.get(table, table), row[THINGS[table][1]]
        if table == "lease" and wrong.shard == self.shards.get(row["lease_id"] or ""):
            return True
        return re.search(rf"\b{where} {number}\b", wrong.says) is not None

    def names_leaf(self, wrong: Any, row: Row) -> bool:
        """Whether a finding names what a leaf of the log stands for."""
        for table, (kind, _) in THINGS.items():
            if row["kind"] == str(kind):
                return f"{WHERE.get(table, table)} {row['id']} " in f"{wrong.says} "
        return False


def told(wrong: Any) -> set[int]:
    """The batches that a finding is about."""
    numbers = spans_in(wrong.says) if "gone" in wrong.says else set()
    return numbers | {wrong.batch}


def spans_in(says: str) -> set[int]:
    """All numbers of a sentence, those between `3 to 7` included."""
    found: set[int] = set()
    for low, high in re.findall(r"(\d+)(?: to (\d+))?", says):
        found.update(range(int(low), min(int(high or low), int(low) + 10_000) + 1))
    return found


def brief(row: Row) -> str:
    return ", ".join(f"{name} {value!s:.16}" for name, value in list(row.items())[:8])
