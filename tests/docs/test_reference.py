"""The reference is what the code says."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from floorlog import config

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The script that writes the pages."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "script/reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date(reference: ModuleType) -> None:
    """Each page is, byte for byte, what the code makes now; `script/reference.py` mends it."""
    for name, page in reference.PAGES.items():
        written = (ROOT / "docs/reference" / name).read_text(encoding="utf-8")
        assert written == page(), f"{name} is old: run .venv/bin/python script/reference.py"


def test_every_setting_is_documented() -> None:
    """Each field of Settings stands on the page with its variable and a description."""
    page = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    for field in config.Settings.__struct_fields__:
        row = re.search(rf"^\| `{config.variable(field)}` \| .+ \| (.+) \|$", page, re.MULTILINE)
        assert row, f"{field} is not documented"
        assert len(row[1]) > 10, f"{field}: {row[1]!r} says nothing"


def pages() -> list[tuple[Path, str]]:
    """Every page of the project with its text."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [(page, page.read_text(encoding="utf-8")) for page in found]


def test_every_link_within_the_pages_leads_somewhere() -> None:
    """Each relative link of a page names a file that is there."""
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page, text in pages()
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken, broken


def test_every_script_a_page_names_is_there() -> None:
    """A command of a page, `script/x` or `bench/x.py`, names a file of the project."""
    missing = [
        f"{page.relative_to(ROOT)}: {name}"
        for page, text in pages()
        for name in re.findall(r"\b((?:script|bench)/[a-z_]+(?:\.py|\.sh)?)\b", text)
        if not (ROOT / name).exists()
    ]
    assert not missing, missing
