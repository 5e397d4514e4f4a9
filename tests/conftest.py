"""What every test may ask for: a way to say that it could not run, and the campaigns' length."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import hypothesis
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

PROJECT = Path(__file__).parent.parent
# Rooms whose tests share servers within a file: xdist keeps such a file on one process.
SHARED_BY_FILE = ("edge", "record", "web", "infra", "docs", "real")
# Folders whose files share them as well, which are slow to start.
SHARED_BY_FOLDER = ("edge/store", "edge/cache", "infra", "web")
# Rooms whose tests need the machine for themselves.
SERIAL = ("torture", "bench")

set_hypothesis_home_dir(PROJECT / ".cache" / "hypothesis")
# A shared or slow machine must not turn a test red: pytest-timeout bounds it.
hypothesis.settings.register_profile("floorlog", deadline=None, print_blob=True)
hypothesis.settings.load_profile("floorlog")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the length of the campaigns that are marked long."""
    parser.addoption(
        "--long-seconds",
        type=float,
        default=60.0,
        help="how long each campaign marked `long` runs (script/test --long DURATION)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their room, before xdist reads the groups; what is serial is slow."""
    for item in items:
        path = item.path.relative_to(PROJECT / "tests")
        if path.parts[0] in SERIAL:
            item.add_marker(pytest.mark.serial)
        elif path.parts[0] in SHARED_BY_FILE and item.get_closest_marker("xdist_group") is None:
            folder = path.parent.as_posix()
            group = folder if folder in SHARED_BY_FOLDER else path.with_suffix("").as_posix()
            item.add_marker(pytest.mark.xdist_group(group))
        if item.get_closest_marker("serial") is not None:
            item.add_marker(pytest.mark.slow)


def report_not_run(reason: str) -> NoReturn:
    """End the test as NOT RUN: the one place that skips, counted and shown by script/test."""
    pytest.skip(f"NOT RUN: {reason}")


@pytest.fixture(scope="session")
def not_run() -> Callable[[str], NoReturn]:
    """Give the function by which a test says why it cannot run here."""
    return report_not_run


@pytest.fixture
def long_seconds(request: pytest.FixtureRequest) -> float:
    """How long this campaign shall run."""
    return float(request.config.getoption("--long-seconds"))


@pytest.fixture(scope="session")
def project() -> Path:
    """The checkout's root."""
    return PROJECT
