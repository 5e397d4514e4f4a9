"""CONTRIBUTING's first change works as it stands there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
REGISTRY = "core/detect/__init__.py"
SHARED = "tests/core/detect/test_shared.py"


def walkthrough() -> tuple[str, str, str, str]:
    """The page's detector: its path below src/floorlog, its code, and the two registry lines."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    text = text.split("## Your first change", 1)[1]
    path = re.search(r"Put it into `src/floorlog/([a-z_/]+\.py)`", text)
    assert path
    assert f"In `src/floorlog/{REGISTRY}`" in text
    code, imported, entry = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return path[1], code, imported, entry


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source with the first change made in it."""
    folder = tmp_path_factory.mktemp("first-change") / "src"
    shutil.copytree(ROOT / "src", folder, ignore=shutil.ignore_patterns("__pycache__"))
    path, code, imported, entry = walkthrough()
    (folder / "floorlog" / path).write_text(code, encoding="utf-8")
    registry = folder / "floorlog" / REGISTRY
    text = registry.read_text(encoding="utf-8")
    before = re.search(r"^from floorlog\.core\.detect\.\w+ import", text, re.MULTILINE)
    assert before
    text = text[: before.start()] + imported + text[before.start() :]
    text, made = re.subn(r"(?m)^(DETECTORS\b.*\(\n(?:    .*\n)*)", rf"\g<1>{entry}", text)
    assert made == 1, "the registry has one DETECTORS, one entry a line"
    registry.write_text(text, encoding="utf-8")
    return folder


def run(package: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python on the changed copy."""
    environment = {**os.environ, "PYTHONPATH": str(package)}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_detector_is_registered(package: Path) -> None:
    """After the two steps the registry holds the new detector, once."""
    code = "from floorlog.core.detect import DETECTORS as d; print(*(x.name for x in d))"
    done = run(package, "-c", code)
    assert done.stdout.split().count("jump") == 1, done.stderr


@pytest.mark.slow
def test_the_shared_checks_take_it_in_and_pass(package: Path) -> None:
    """Step 3: the checks over all detectors run on it without being told, and it keeps to them."""
    options = ["-q", "-k", "jump", "-p", "no:xdist", "-o", f"cache_dir={package.parent}/cache"]
    done = run(package, "-m", "pytest", SHARED, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout
    assert int(passed[1]) >= 3


def test_the_detector_is_in_style(package: Path) -> None:
    """The page's code passes the linter and the formatter as the project sets them."""
    path, *_ = walkthrough()
    file = package / "floorlog" / path
    config = f"--config={ROOT / 'pyproject.toml'}"
    done = run(package, "-m", "ruff", "check", config, "--no-cache", str(file))
    assert done.returncode == 0, done.stdout
    done = run(package, "-m", "ruff", "format", config, "--no-cache", "--check", str(file))
    assert done.returncode == 0, done.stdout
