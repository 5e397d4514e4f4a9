"""Receivers for notices, and a notice."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from receivers import Hooks, Mails

from floorlog.alert.notice import Notice


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    made = Hooks()
    yield made
    made.close()


@pytest.fixture
def mails() -> Iterator[Mails]:
    made = Mails()
    yield made
    made.close()


@pytest.fixture
def notice() -> Notice:
    return Notice(
        key="floorlog-7-1767225600000000", event="raise", device="press-07", metric="level",
        detector="limit", asset="line-1", state="unacknowledged", priority="high",
        reason="above\r\nBcc: x@y.z", at=1_767_225_600_000_000, recorded=1_767_225_600_100_000,
        is_flood=False, address="https://plant.example/device?name=press-07",
    )  # fmt: skip
