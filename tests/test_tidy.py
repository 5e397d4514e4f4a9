"""The style of STYLE.md, enforced: sizes, names, forbidden words, and where things live."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from statistics import median, quantiles

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "floorlog"

FILE_LINES_MAX = 500
FILE_LINES_MEDIAN_MAX = 150
FUNCTION_LINES_MAX = 70
FUNCTION_LINES_NINE_IN_TEN_MAX = 30

EMPTY_NAMES = {"util", "utils", "helper", "helpers", "manager", "base", "common", "misc"}
# Written in parts, so that this file does not hold what it forbids.
UNFINISHED = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "NotImplemented" + "Error"]))
REGISTRIES = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in [
            ("pypi", "org"),
            ("pypi", "python", "org"),
            ("files", "pythonhosted", "org"),
            ("registry", "npmjs", "org"),
            ("registry", "yarnpkg", "com"),
            ("deb", "debian", "org"),
            ("security", "debian", "org"),
            ("archive", "ubuntu", "com"),
            ("registry", "terraform", "io"),
            ("repo1", "maven", "org"),
            ("crates", "io"),
            ("proxy", "golang", "org"),
        ]
    )
)
MACHINE_PATHS = re.compile(r"(?<![\w./$}-])/(?:root|home/\w+|Users/\w+|work)/")
SKIPS = re.compile(r"pytest\.(skip|xfail|importorskip|exit)\b|mark\.(skip|skipif|xfail)\b|SkipTest")
SUPPRESSION = re.compile(r"#\s*(?:noqa|type:\s*ignore|mypy:|ruff:|pyright:)[^#]*(?:#\s*(.*))?$")
REASON_INLINE = re.compile(r"noqa: [A-Z0-9]+(?:, ?[A-Z0-9]+)* +[-–:] *(\S.{7,})$")
UNIT_FIRST = re.compile(r"^_?(ms|us|ns|kib|mib|gib|secs?|msecs?|usecs?)_[a-z]")
# Where else the environment may be touched, and why.
ENVIRONMENT_EXCEPTIONS: dict[str, str] = {}


@cache
def tracked() -> list[Path]:
    """Every file that git tracks or would track, in the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    files = [ROOT / name for name in listed.split("\0") if name]
    assert files, "git lists no file"
    return [file for file in files if file.is_file()]


@cache
def texts() -> list[tuple[Path, str]]:
    """Every tracked text file with its text; others (pictures, corpora) are passed over."""
    read = [(file.relative_to(ROOT), file.read_bytes()) for file in tracked()]
    return [
        (path, data.decode(errors="replace")) for path, data in read if b"\0" not in data[:8192]
    ]


@cache
def sources(*rooms: str) -> list[tuple[Path, str, ast.Module]]:
    """Every Python file below these folders: path, text and syntax tree."""
    found = []
    for path, text in texts():
        if path.suffix == ".py" and (not rooms or path.parts[0] in rooms):
            found.append((path, text, ast.parse(text, str(path))))
    return found


def functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    """Every function, methods and inner ones included, with its length from `def` to its end."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, (node.end_lineno or node.lineno) - node.lineno + 1


def words(name: str) -> set[str]:
    """The words of a snake_case, kebab-case or CamelCase name."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)}


def assert_none(found: list[str], rule: str) -> None:
    """Fail with every finding on a line of its own."""
    assert not found, f"{rule}:\n" + "\n".join(f"  {line}" for line in sorted(found))


def test_files_are_short() -> None:
    """No file of code is longer than 500 lines, and the median of the source is at most 150."""
    lengths = {path: text.count("\n") for path, text, _ in sources()}
    long = [f"{path}: {n} lines" for path, n in lengths.items() if n > FILE_LINES_MAX]
    assert_none(long, f"files longer than {FILE_LINES_MAX} lines: split by what changes together")
    source = [n for path, n in lengths.items() if path.parts[0] == "src"]
    assert median(source) <= FILE_LINES_MEDIAN_MAX


def test_sql_and_scripts_are_short() -> None:
    """What is not Python keeps to the same length, generated and quoted texts apart."""
    long = [
        f"{path}: {text.count(chr(10))} lines"
        for path, text in texts()
        if path.suffix in {".sql", ".sh", ".js", ".css", ".html"} or path.parts[0] == "script"
        if text.count("\n") > FILE_LINES_MAX and path.name != "schema.sql"
    ]
    assert_none(long, f"files longer than {FILE_LINES_MAX} lines")


def test_functions_are_short() -> None:
    """No function is longer than 70 lines; in the source nine in ten have at most 30."""
    found, lengths = [], []
    for path, _, tree in sources():
        for function, n in functions(tree):
            if path.parts[0] == "src":
                lengths.append(n)
            if n > FUNCTION_LINES_MAX:
                found.append(f"{path}:{function.lineno} {function.name}: {n} lines")
    assert_none(found, f"functions longer than {FUNCTION_LINES_MAX} lines")
    if len(lengths) >= 10:
        assert quantiles(lengths, n=10)[-1] <= FUNCTION_LINES_NINE_IN_TEN_MAX


def test_names_say_what_things_are() -> None:
    """No file, class or function is named by an empty word, and no name begins with its unit."""
    found = []
    for path, _, tree in sources():
        # The framework asks for the one name that is not ours.
        own = [part for part in path.with_suffix("").parts if part != "__init__"]
        found += [f"{path}: {part}" for part in own if words(part) & EMPTY_NAMES]
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and words(node.name) & EMPTY_NAMES:
                found.append(f"{path}:{node.lineno} class {node.name}")
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
                words(node.name) & (EMPTY_NAMES - {"base"})
            ):
                found.append(f"{path}:{node.lineno} def {node.name}")
            name = node.arg if isinstance(node, ast.arg) else getattr(node, "id", "")
            if UNIT_FIRST.match(name):
                found.append(f"{path}:{node.lineno} {name}: units come last")
    assert_none(found, "names that say nothing, or units that come first")


def test_every_module_says_what_it_is() -> None:
    """Each Python file begins with a docstring whose first line is a sentence of its own."""
    found = []
    for path, _, tree in sources():
        first = (ast.get_docstring(tree) or "").split("\n\n")[0]
        if not first or "\n" in first:
            found.append(f"{path}: {first.splitlines()[:1] or 'no docstring'}")
    assert_none(found, "modules without a one-line summary")


def test_every_test_says_what_is_promised() -> None:
    """Each test has a docstring."""
    found = [
        f"{path}:{function.lineno} {function.name}"
        for path, _, tree in sources("tests")
        if path.name.startswith("test_")
        for function, _ in functions(tree)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert_none(found, "tests that do not say what they promise")


def matches(pattern: re.Pattern[str], apply: Callable[[Path], bool]) -> list[str]:
    """Every line of a tracked file that the pattern finds, as path:line: text."""
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for path, text in texts()
        if apply(path)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_is_left_unfinished() -> None:
    """No file holds a note of unfinished work."""
    code = {".py", ".sql", ".sh", ".js", ".md", ".toml", ".html", ".css", ".yaml", ""}
    assert_none(matches(UNFINISHED, lambda path: path.suffix in code), "unfinished")


def test_no_file_names_a_registry() -> None:
    """Where packages come from is set on the machine, never in the project."""
    assert_none(matches(REGISTRIES, lambda _: True), "registry addresses")


def test_no_path_of_a_machine() -> None:
    """No file holds a path that exists only where it was written."""
    here = re.compile("|".join([MACHINE_PATHS.pattern, re.escape(f"{ROOT}/")]))
    data = {".csv", ".lock", ".json", ".gz"}
    assert_none(matches(here, lambda path: path.suffix not in data), "paths of a machine")


def test_skipping_happens_in_one_place() -> None:
    """A test that cannot run says so by the fixture `not_run`, which alone may skip."""
    own = {Path("tests/conftest.py"), Path("tests/test_tidy.py")}
    found = matches(SKIPS, lambda path: path.suffix == ".py" and path not in own)
    assert_none(found, "use the fixture not_run(reason)")


def test_every_suppression_has_a_reason() -> None:
    """Who silences a checker says on the same line why: `# noqa: X000 - why`, `# … # why`."""
    found = []
    for path, text, _ in sources():
        if path == Path("tests/test_tidy.py"):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            suppressed = SUPPRESSION.search(line)
            if not suppressed:
                continue
            reason = suppressed[1] or ""
            inline = REASON_INLINE.search(line)
            if len(reason) < 8 and not inline:
                found.append(f"{path}:{number}: {line.strip()}")
    assert_none(found, "suppressions without a reason")


def test_every_ignored_rule_has_a_reason() -> None:
    """In pyproject.toml each code of ruff that is ignored stands on a line with its reason."""
    text = (ROOT / "pyproject.toml").read_text()
    config = tomllib.loads(text)["tool"]["ruff"]["lint"]
    assert config["select"] == ["ALL"]
    codes = {*config["ignore"], *(c for cs in config["per-file-ignores"].values() for c in cs)}
    explained = set(re.findall(r'^    "([A-Z]+[0-9]*)", *# \S.{6,}$', text, re.MULTILINE))
    assert_none(sorted(codes - explained), "ignored without a reason on the line")


def test_only_the_command_line_prints() -> None:
    """The source prints nowhere but in the command line."""
    found = [
        f"{path}:{node.lineno}"
        for path, _, tree in sources("src")
        if not path.is_relative_to("src/floorlog/cli") and path != Path("src/floorlog/cli.py")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]
    assert_none(found, "print outside the command line")


def touches_environment(node: ast.AST) -> bool:
    """Whether this is os.environ, os.getenv and their like, or an import of them."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    if isinstance(node, ast.Attribute):
        return node.attr in names and getattr(node.value, "id", "") == "os"
    return (
        isinstance(node, ast.ImportFrom)
        and node.module == "os"
        and bool(names & {alias.name for alias in node.names})
    )


def test_only_config_reads_the_environment() -> None:
    """No room but config.py touches the environment, exceptions with a reason apart."""
    found = [
        f"{path}:{node.lineno}"
        for path, _, tree in sources("src")
        if path != Path("src/floorlog/config.py") and str(path) not in ENVIRONMENT_EXCEPTIONS
        for node in ast.walk(tree)
        if touches_environment(node)
    ]
    assert_none(found, "the environment is read in config.py alone")
    gone = [path for path in ENVIRONMENT_EXCEPTIONS if not (ROOT / path).is_file()]
    assert_none(gone, "exceptions for files that are gone")


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (UNFINISHED, "# TO|DO later"),
        (REGISTRIES, "url = https://pypi|.org/simple"),
        (MACHINE_PATHS, 'open("/ho|me/ann/data.csv")'),
        (MACHINE_PATHS, "cd /ro|ot/project"),
        (SKIPS, "@pytest.mark.ski|pif(True)"),
        (SUPPRESSION, "x = 1  # no|qa"),
        (UNIT_FIRST, "ms_lag"),
    ],
)
def test_the_patterns_bite(pattern: re.Pattern[str], line: str) -> None:
    """Each pattern finds an example of what it forbids (cut by a bar, to stand here at all)."""
    assert pattern.search(line.replace("|", ""))


def test_the_reading_of_sizes_and_environment_bites() -> None:
    """Lengths are counted from `def` to the end, and every way to the environment is noticed."""
    tree = ast.parse("import os\ndef f():\n    a = os.environ\n    return os.getenv('X')\n")
    assert [n for _, n in functions(tree)] == [3]
    assert sum(touches_environment(node) for node in ast.walk(tree)) == 2
    assert touches_environment(ast.parse("from os import environ").body[0])
    assert not touches_environment(ast.parse("from os import path").body[0])
