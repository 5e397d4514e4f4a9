"""What the pages for auditors claim: each test they name exists, each command, each clause."""

import ast
import re
from pathlib import Path

import pytest

from floorlog.cli import floorlog

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/reference/compliance.md"
PAGES = (PAGE, "docs/howto/audit.md", "docs/howto/restore.md")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
ANNEX = (
    "1", "2", "3", "4", "5", "6", "7.1", "7.2", "8.1", "8.2", *map(str, range(9, 18)),
)  # fmt: skip
ALCOA = (
    "Attributable", "Legible", "Contemporaneous", "Original", "Accurate", "Complete",
    "Consistent", "Enduring", "Available",
)  # fmt: skip


@pytest.fixture(scope="module")
def text() -> str:
    """The page that maps rules to tests."""
    return (ROOT / PAGE).read_text("utf-8")


def rows(part: str) -> dict[str, list[str]]:
    """The rows of a part's table, by their first cell."""
    lines = [line for line in part.splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return {one[0].rstrip(" |"): one for one in cells}


def names_in(path: str) -> set[str]:
    """The names of the tests of a file."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_each_named_test_exists(text) -> None:
    """A renamed or removed test leaves no claim behind."""
    named = set(TEST.findall(text))
    assert len(named) > 40
    missing = [
        f"{path}::{name}"
        for path, name in sorted(named)
        if not (ROOT / path).is_file() or name not in names_in(path)
    ]
    assert missing == []


def test_each_clause_has_its_row(text) -> None:
    """11.10 (a) to (k), Annex 11's seventeen, ALCOA+'s nine: a test each, or "not covered"."""
    parts = text.split("\n## ")
    part11, annex, alcoa = (rows(part) for part in parts[1:4])
    assert list(part11) == [f"({letter})" for letter in "abcdefghijk"]
    assert [name.split()[0] for name in annex] == list(ANNEX)
    assert list(alcoa) == list(ALCOA)
    for one in (*part11.values(), *annex.values(), *alcoa.values()):
        line = " | ".join(one)
        assert TEST.search(line) or "**Not covered**" in line, line


def test_each_command_exists() -> None:
    """`floorlog x` on these pages is a command, and each of its options is one of it."""
    for path in PAGES:
        page = (ROOT / path).read_text("utf-8")
        said = re.findall(r"(?:`|^)floorlog ([a-z]+)([^`\n#]*)", page, re.MULTILINE)
        assert said, path
        for name, rest in said:
            found = floorlog.commands.get(name)
            assert found is not None, f"{path}: floorlog {name}"
            options = {option for one in found.params for option in one.opts}
            asked = set(re.findall(r"(?<!\S)--[a-z-]+", rest))
            assert asked <= options, f"{path}: floorlog {name}{rest}"


def test_each_setting_exists() -> None:
    """Each FLOORLOG_ variable on these pages is a setting."""
    settings = (ROOT / "docs/reference/settings.md").read_text("utf-8")
    for path in PAGES:
        for name in re.findall(r"FLOORLOG_[A-Z_]+", (ROOT / path).read_text("utf-8")):
            assert f"`{name}`" in settings, f"{path}: {name}"
