"""The house's floors: who may import whom, what core may use, and what the worker loads."""

import ast
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NoReturn

import grimp
import pytest

SOURCE = Path(__file__).parent.parent / "src" / "floorlog"
LAYERS_MAX = 8
WORKER_DEPENDENCIES_MAX = 8

# All that core may import beside itself: values, algorithms and formats, nothing that reaches out.
CORE_STANDARD_LIBRARY = {
    "array",
    "base64",
    "binascii",
    "bisect",
    "collections",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "json",
    "math",
    "operator",
    "re",
    "string",
    "struct",
    "types",
    "typing",
    "unicodedata",
    "zoneinfo",
}
CORE_PACKAGES = {"numpy", "msgspec"}
CODECS = {"bz2", "google", "gzip", "lzma", "zlib", "zstandard"}
# Names that would bring a clock, chance or a file into core through a module that it may import.
IMPURE = {"now", "today", "utcnow", "fromfile", "tofile", "memmap", "loadtxt", "savetxt", "random"}
IMPURE_CALLS = {"open", "print", "input", "breakpoint", "exec", "eval", "__import__"}


@cache
def graph() -> grimp.ImportGraph:
    """Every import in the source, those for type checking included."""
    return grimp.build_graph("floorlog", include_external_packages=True, cache_dir=None)


def internal() -> dict[str, set[str]]:
    """Each module of ours with those of ours that it imports."""
    ours = {module for module in graph().modules if module.split(".")[0] == "floorlog"}
    return {m: graph().find_modules_directly_imported_by(m) & ours for m in ours}


def rooms(modules: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same, with the rooms of the house in place of modules."""
    found: dict[str, set[str]] = defaultdict(set)
    for importer, imported in modules.items():
        room = ".".join(importer.split(".")[:2])
        found[room] |= {".".join(name.split(".")[:2]) for name in imported} - {room}
    return found


def layers(edges: dict[str, set[str]]) -> list[list[str]]:
    """The rooms, lowest first, each as low as its imports let it be. Raises CycleError."""
    sorter = TopologicalSorter(edges)
    sorter.prepare()
    found = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        found.append(ready)
        sorter.done(*ready)
    return found


def test_no_cycle_between_modules() -> None:
    """No module imports itself by any detour."""
    layers(internal())


def test_at_most_eight_layers() -> None:
    """The rooms lie in at most eight layers, without a cycle between rooms."""
    found = layers(rooms(internal()))
    assert len(found) <= LAYERS_MAX, found


def test_a_cycle_would_be_found() -> None:
    """The two tests above notice a cycle and count layers."""
    with pytest.raises(CycleError):
        layers({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert layers({"a": {"b"}, "b": {"c"}}) == [["c"], ["b"], ["a"]]


def core_modules() -> list[str]:
    """Every module of core."""
    return sorted(m for m in internal() if m.startswith("floorlog.core"))


def test_core_imports_only_what_is_pure() -> None:
    """Core imports itself, errors, NumPy, msgspec and listed modules; codecs only in decode."""
    found = []
    for module in core_modules():
        for name in graph().find_modules_directly_imported_by(module):
            top = name.split(".")[0]
            allowed = CORE_STANDARD_LIBRARY | CORE_PACKAGES
            if module.startswith("floorlog.core.decode"):
                allowed |= CODECS
            ours = name.startswith("floorlog.core") or name == "floorlog.errors"
            if top not in allowed and not ours:
                found.append(f"{module} imports {name}")
    assert not found, found


def impure(tree: ast.Module) -> list[str]:
    """Clocks, chance, files and printing in a syntax tree, reached through allowed modules."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in IMPURE_CALLS:
                found.append(f"{node.lineno}: {called.id}()")
            if isinstance(called, ast.Attribute) and called.attr in IMPURE:
                found.append(f"{node.lineno}: .{called.attr}()")
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith(
            ("np.random", "numpy.random")
        ):
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def test_core_has_no_clock_chance_or_files() -> None:
    """Core calls nothing that reads a clock, draws a number, opens a file or prints."""
    found = [
        f"{path.relative_to(SOURCE)}:{line}"
        for path in (SOURCE / "core").rglob("*.py")
        for line in impure(ast.parse(path.read_text()))
    ]
    assert not found, found
    assert impure(ast.parse("datetime.now(UTC); open('x'); np.random.default_rng()"))


def direct_dependencies() -> dict[str, set[str]]:
    """Each dependency that we name, with the modules at the top of it."""
    by_module = importlib.metadata.packages_distributions()
    named = {
        requirement.split(";")[0].split("[")[0].split(">")[0].split("=")[0].strip().lower()
        for requirement in importlib.metadata.requires("floorlog") or []
    } - {"floorlog"}
    found: dict[str, set[str]] = {name: set() for name in named}
    for module, distributions in by_module.items():
        for name in distributions:
            if name.lower() in found:
                found[name.lower()].add(module)
    return found


def named_among(modules: set[str]) -> list[str]:
    """Those of our direct dependencies that own one of these modules."""
    return sorted(name for name, own in direct_dependencies().items() if own & modules)


def loaded(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after the statement."""
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout.splitlines()[-1])
    # google is shared by many packages: protobuf is who owns google.protobuf.
    return {name.split(".")[0] for name in modules if name != "google"} | (
        {"google"} & {name.split(".")[0] for name in modules if name.startswith("google.protobuf")}
    )


@pytest.fixture
def worker(not_run: Callable[[str], NoReturn]) -> str:
    """The statement by which `floorlog worker` begins."""
    for module in ("cli", "worker"):
        if importlib.util.find_spec(f"floorlog.{module}") is None:
            not_run(f"floorlog.{module} is missing")
    return "import floorlog.cli, floorlog.worker"


def test_the_worker_loads_at_most_eight_dependencies(worker: str) -> None:
    """`floorlog worker` loads at most eight direct dependencies, the command line's included."""
    found = named_among(loaded(worker))
    print("floorlog worker loads:", ", ".join(found))
    assert {"msgspec", "numpy", "psycopg"} <= set(found)
    assert len(found) <= WORKER_DEPENDENCIES_MAX, found


def test_the_worker_can_reach_at_most_eight_dependencies(worker: str) -> None:
    """Imports that wait until they are needed count as well: followed through the source."""
    reached = graph().find_upstream_modules("floorlog.worker")
    tops = {name.split(".")[0] for name in reached} | {"click"}  # its command line is click's
    found = named_among(tops)
    assert len(found) <= WORKER_DEPENDENCIES_MAX, found


def test_the_command_line_starts_light(worker: str) -> None:
    """`floorlog --help` loads click alone of the dependencies, so it answers at once."""
    found = named_among(loaded(worker.split(",", maxsplit=1)[0]))
    assert set(found) <= {"click", "msgspec"}, found
