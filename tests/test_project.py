"""The project's frame: dependencies, locks, scripts and decisions."""

import os
import re
import shutil
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEPENDENCIES_MAX = 12
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-infra.lock")


def name_of(requirement: str) -> str:
    """The distribution's normal name in a requirement."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def direct() -> set[str]:
    """Every dependency that we name, but those of the deployment and of development."""
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    named = [*project["dependencies"], *extras["web"], *extras["local"]]
    return {name_of(requirement) for requirement in named} - {"floorlog"}


def pins(lock: str) -> dict[str, set[str]]:
    """Each package of a lock with its versions: one, or one for each range of Pythons."""
    found: dict[str, set[str]] = defaultdict(set)
    text = (ROOT / lock).read_text()
    for name, pin in re.findall(r"^([a-z0-9._-]+)==([^\\\n]+)", text, re.MULTILINE):
        found[name].add(pin.strip())
    return found


def test_at_most_twelve_direct_dependencies_each_explained() -> None:
    """There are at most twelve, and docs/why/0002 gives each a paragraph of its own."""
    named = direct()
    assert len(named) <= DEPENDENCIES_MAX, sorted(named)
    page = (ROOT / "docs/why/0002-dependencies.md").read_text()
    explained = set(re.findall(r"^\| \*\*([a-z0-9-]+)\*\* \| \S", page, re.MULTILINE))
    assert explained == named


@pytest.mark.parametrize("lock", [*LOCKS, "requirements-image.lock", "requirements-checkov.lock"])
def test_every_pin_has_hashes(lock: str) -> None:
    """A lock holds nothing but exact versions, each with at least one SHA-256."""
    text = (ROOT / lock).read_text()
    blocks = re.findall(r"^[a-z0-9](?:.*\\\n)*.*", text, re.MULTILINE)
    assert len(blocks) == sum(len(versions) for versions in pins(lock).values()) > 0
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block
        assert "://" not in block
        assert "@" not in block


def test_locks_agree_and_cover_what_is_named() -> None:
    """All locks hold one version of a package, and each direct dependency is in the first."""
    run = pins("requirements.lock")
    assert direct() | {"uv", "hatchling", "editables"} <= set(run)
    for lock in LOCKS[1:]:
        other = pins(lock)
        assert not {k: (v, other[k]) for k, v in run.items() if other.get(k, v) != v}
    assert set(run) <= set(pins("requirements-dev.lock"))
    groups = PYPROJECT["dependency-groups"]
    dev = {name_of(item) for item in groups["dev"] if isinstance(item, str)}
    assert dev <= set(pins("requirements-dev.lock"))


def test_the_promised_shape_of_the_project() -> None:
    """Licence, Python versions and extras are the ones promised, and the pages are there."""
    project = PYPROJECT["project"]
    assert project["license"] == "Apache-2.0"
    assert project["requires-python"] == ">=3.11"
    assert {"local", "web", "infra"} <= set(project["optional-dependencies"])
    for page in ("LICENSE", "STYLE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"):
        assert (ROOT / page).stat().st_size > 500, page


def test_decisions_are_numbered_and_whole() -> None:
    """Each decision has a number of its own and says context, choice, what was rejected, cost."""
    pages = sorted((ROOT / "docs/why").glob("*.md"))
    numbers = [page.name[:4] for page in pages]
    assert len(set(numbers)) == len(numbers)
    for page in pages:
        assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", page.name), page.name
        text = page.read_text()
        for heading in ("## Context", "## Choice", "## Rejected", "## Cost"):
            assert heading in text, f"{page.name} lacks {heading}"


@pytest.mark.parametrize("script", ["floorlog", "up", "test", "../.ci/run"])
def test_scripts_may_be_run(script: str) -> None:
    """Each script is executable."""
    assert os.access(ROOT / "script" / script, os.X_OK)


def copy_of_project(folder: Path) -> Path:
    """A checkout with the scripts and what they read, its environment apart."""
    copy = folder / "a checkout with spaces"
    shutil.copytree(ROOT / "script", copy / "script")
    for name in ("pyproject.toml", "README.md", "LICENSE", *LOCKS):
        shutil.copy(ROOT / name, copy)
    package = copy / "src" / "floorlog"
    package.mkdir(parents=True)
    package.joinpath("__init__.py").write_text('"""A stand-in."""\n')
    main = "import os, sys\nprint('ran', sys.argv[1:], os.getcwd())\n"
    package.joinpath("__main__.py").write_text(main)
    return copy


def run(command: list[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a bare environment."""
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=60
    )


def tools(folder: Path, *but: str) -> str:
    """A PATH with the usual tools and no Python, as in a bare container."""
    place = folder / "tools"
    place.mkdir()
    wanted = {"bash", "env", "cat", "cksum", "dirname", "mkdir", "rm", "awk", "tail", "id"} - {*but}
    for tool in wanted:
        found = shutil.which(tool)
        assert found, tool
        (place / tool).symlink_to(found)
    return str(place)


def test_without_python_a_script_says_what_to_install(tmp_path: Path) -> None:
    """Where no Python is on the PATH there is one line that names the package."""
    copy = copy_of_project(tmp_path)
    done = run([copy / "script/floorlog", "status"], PATH=tools(tmp_path), HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no Python 3.11 or later" in done.stderr
    assert "install python3" in done.stderr


def test_without_venv_a_script_names_the_package(tmp_path: Path) -> None:
    """Where Python lacks its venv module, as on a bare Debian, the one line names the package."""
    copy = copy_of_project(tmp_path)
    path = tools(tmp_path)
    python = Path(path) / "python3.12"
    # Answers the question for its version, and fails to import venv.
    python.write_text('#!/usr/bin/env bash\ncase "$2" in *venv*) exit 1 ;; *) echo 3.12 ;; esac\n')
    python.chmod(0o755)
    done = run([copy / "script/floorlog", "status"], PATH=path, HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "python3.12-venv" in done.stderr


def stand_in_environment(copy: Path, kind: str) -> Path:
    """An environment that looks set up to the scripts; its interpreter says what it was given."""
    done = subprocess.run(
        ["bash", "-c", f". script/environment.sh && stamp_of {kind}"],
        cwd=copy,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"floorlog-{kind}-")
    python = copy / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/usr/bin/env bash\necho "$PWD" "$@"\n')
    python.chmod(0o755)
    (copy / ".venv" / done.stdout).touch()
    return python


@pytest.mark.parametrize("kind", ["run", "dev"])
def test_a_set_up_script_hands_over_at_once(tmp_path: Path, kind: str) -> None:
    """The command gets its arguments and the caller's folder, and nothing is installed anew."""
    copy = copy_of_project(tmp_path)
    stand_in_environment(copy, kind)
    command = f'cd "{tmp_path}" && "{copy}/script/up" --data "a b"'
    done = run(["bash", "-c", command], PATH=os.environ["PATH"])
    assert done.stdout.strip() == f"{tmp_path} -m floorlog up --data a b", done.stderr
    assert not done.stderr


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml", "moved"])
def test_a_changed_project_is_installed_anew(tmp_path: Path, changed: str) -> None:
    """A changed lock or pyproject.toml, or a moved checkout, makes the environment stale."""
    copy = copy_of_project(tmp_path)
    stand_in_environment(copy, "run")
    if changed == "moved":
        copy = copy.rename(tmp_path / "elsewhere")
    else:
        with (copy / changed).open("a") as file:
            file.write("# changed\n")
    # With no Python to install by, staleness shows as the wish for one.
    done = run([copy / "script/floorlog"], PATH=tools(tmp_path), HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no Python 3.11" in done.stderr


def test_a_damaged_lock_is_named(tmp_path: Path) -> None:
    """Where a lock is missing, the script says which and how to get it back."""
    copy = copy_of_project(tmp_path)
    (copy / "requirements.lock").unlink()
    done = run([copy / "script/floorlog"], PATH=os.environ["PATH"], HOME=str(tmp_path))
    assert done.returncode == 1
    assert "git checkout requirements.lock" in done.stderr
