"""The deployment's code: no secret in it, and nothing that a checker of security frowns at."""

import json
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PARTS = ("src/floorlog/infra", "src/floorlog/cli/deploy.py", "tests/infra")


def scan(python: Path, folder: Path, *paths: str) -> dict[str, list[dict[str, object]]]:
    """What detect-secrets finds, by file."""
    done = subprocess.run(
        [python, "-m", "detect_secrets", "scan", "--all-files", *paths],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    found: dict[str, list[dict[str, object]]] = json.loads(done.stdout)["results"]
    return found


def test_bandit_finds_nothing(infra_python: Path) -> None:
    """Bandit, with every rule of middle severity and up, is content with the deployment."""
    done = subprocess.run(
        [python := str(infra_python), "-m", "bandit", "-q", "-ll", "-r", *PARTS[:2]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, (python, done.stdout)


def test_no_secret_is_written_down(infra_python: Path) -> None:
    """detect-secrets finds nothing in the deployment's code and tests."""
    assert not scan(infra_python, ROOT, *PARTS)


def test_a_secret_that_is_written_down_is_found(infra_python: Path, tmp_path: Path) -> None:
    """The scan above is able to find one."""
    code = tmp_path / "wrong.py"
    code.write_text('password = "' + "correct-horse-" + 'battery-9"\n')
    assert scan(infra_python, tmp_path, code.name)
