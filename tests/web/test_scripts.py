"""What a browser is given: scripts of our own alone, small, none within the pages."""

import gzip
import re
from pathlib import Path

import floorlog.web

WEB = Path(floorlog.web.__file__).parent
SCRIPT_BYTES_MAX = 60_000  # all modules, gzipped one by one


def test_all_scripts_are_small():
    """At most 60 KB gzipped, in total, over all pages."""
    scripts = sorted((WEB / "static").glob("*.js"))
    assert len(scripts) > 10
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in scripts) <= SCRIPT_BYTES_MAX


def test_pages_hold_no_script_and_no_foreign_address():
    """Scripts come from files of this server; no style and no handler stands in a tag."""
    for path in sorted((WEB / "templates").glob("*.html")):
        text = path.read_text()
        tags = re.findall(r"<script\b[^>]*>([^<]*)</script>", text)
        assert not any(content.strip() for content in tags), path.name
        assert not re.search(r"\son\w+=|\sstyle=|javascript:", text), path.name
        assert not re.search(r"(?:src|href)=[\"'](?:https?:)?//", text), path.name


def test_modules_import_each_other_alone():
    """Every module that is asked for is here, and every one here is asked for."""
    named = set()
    for path in [*(WEB / "static").glob("*.js"), *(WEB / "templates").glob("*.html")]:
        text = path.read_text()
        named |= set(re.findall(r'from "\./([\w-]+\.js)"', text))
        named |= set(re.findall(r'src="/static/([\w-]+\.js)"', text))
        assert not re.search(r'(?:from|import) "(?!\./)', text), path.name
    assert named == {path.name for path in (WEB / "static").glob("*.js")}
