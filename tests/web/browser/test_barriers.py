"""Every page, in both themes, has no barrier that axe finds (WCAG 2.2 A and AA)."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("page")]

HERE = Path(__file__).parent
PLACE = HERE.parents[2] / ".cache" / "axe"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = {
    "/": "document.querySelector('.tile')",
    "/device?name=hot": "document.querySelector('.plot .dot, .plot .span')",
    "/alarms": "document.querySelector('#alarms tbody tr') && document.querySelector('#load dd')",
    "/explore#series=hot%09temperature": "document.querySelector('.plot .dot')",
    "/record": "document.querySelector('#ledger dd')",
    "/catalogue": "document.getElementById('body').value",
    "/audit": "document.querySelector('#devices label')",
    "/import": "document.getElementById('zones').options.length",
    "/nowhere": "document.querySelector('h1')",
}


@pytest.fixture(scope="session")
def axe(not_run: Callable[[str], NoReturn]) -> str:
    """The checker's script, from its package, by the lock beside this file."""
    script = PLACE / "node_modules" / "axe-core" / "axe.min.js"
    locked = (HERE / "axe" / "package-lock.json").read_bytes()
    kept = PLACE / "package-lock.json"
    if not script.exists() or not kept.exists() or kept.read_bytes() != locked:
        npm = shutil.which("npm")
        if npm is None:
            not_run("needs npm, to fetch axe")
        PLACE.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / "axe" / name, PLACE / name)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=PLACE, check=True, capture_output=True, timeout=100)
    return script.read_text()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_barriers(shop, tab, axe, dark):
    """Names, roles, contrast, order, size of targets: nothing is found on any page."""
    tab.size(1440, 900, dark=dark)
    found = {}
    for path, ready in PAGES.items():
        tab.open("about:blank")
        tab.open(shop + path)
        tab.until(ready)
        tab.evaluate(f"(() => {{ {axe}; }})()")
        asked = json.dumps({"runOnly": TAGS})
        tried, wrong = tab.evaluate(
            f"axe.run(document, {asked}).then((r) => [r.passes.length, r.violations.map((v) => "
            "[v.id, v.nodes.map((n) => n.html.slice(0, 150) + ' ' + n.failureSummary)])])"
        )
        assert tried > 10, path
        if wrong:
            found[path] = wrong
    assert found == {}
