"""Fork statements: that a log goes on from an older state of itself, after a restore.

A statement is the text of a signed note, as docs/reference/ledger.md has it. Each makes a branch;
branch 0 is the log as it began. What a branch holds of others is told by its chain.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from floorlog.core.ledger.note import decode64
from floorlog.core.ledger.tree import HASH_BYTES, SIZE_MAX

FORMAT = "floorlog-fork-1"
BRANCHES_MAX = 9_999
REASON_MAX = 500
_LINE = re.compile(r"(0|[1-9][0-9]{0,18}) (\S+)")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


@dataclass(frozen=True, slots=True)
class Fork:
    """What a fork statement says.

    Attributes:
        origin: of the log.
        number: of the branch that begins here, 1 for the first.
        parent: the branch whose log was restored.
        size, root: the log as it was restored; the branch goes on from there.
        lost_size, lost_root: the newest note before; what it holds above `size` is given up.
        at: when, ISO 8601 with seconds, UTC.
        reason: why, in one line.
    """

    origin: str
    number: int
    parent: int
    size: int
    root: bytes
    lost_size: int
    lost_root: bytes
    at: str
    reason: str

    def __str__(self) -> str:
        """The text that is signed."""
        lines = (
            FORMAT,
            self.origin,
            f"{self.number} {self.parent}",
            f"{self.size} {base64.b64encode(self.root).decode()}",
            f"{self.lost_size} {base64.b64encode(self.lost_root).decode()}",
            self.at,
            self.reason,
        )
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> "Fork":
        """From a note's text. Raises ValueError for all but the one form of a statement."""
        lines = text.split("\n")
        if len(lines) != 8 or lines.pop() != "" or lines[0] != FORMAT or "" in lines:
            message = f"a fork statement has seven lines, the first {FORMAT}"
            raise ValueError(message)
        number, parent = _pair(lines[2])
        size, root = _pair(lines[3])
        lost_size, lost_root = _pair(lines[4])
        found = cls(
            lines[1], number, int(parent) if parent.isdigit() else -1, size, decode64(root),
            lost_size, decode64(lost_root), lines[5], lines[6],
        )  # fmt: skip
        good = (
            0 <= found.parent < found.number <= BRANCHES_MAX
            and max(size, lost_size) <= SIZE_MAX
            and len(found.root) == len(found.lost_root) == HASH_BYTES
            and _TIME.fullmatch(found.at) is not None
            and str(found) == text
        )
        if not good:
            message = "a line of the fork statement is not of its form"
            raise ValueError(message)
        return found


def _pair(line: str) -> tuple[int, str]:
    found = _LINE.fullmatch(line)
    if found is None:
        message = f"no number and value: {line:.80}"
        raise ValueError(message)
    return int(found[1]), found[2]


class Span(NamedTuple):
    """The part of a log that one branch holds: sizes above `above`, up to `upto`."""

    branch: int
    above: int
    upto: int


def chain(forks: Sequence[Fork], branch: int) -> list[Span]:
    """The spans of a branch's log, ascending: those of its parents first.

    Args:
        forks: all statements, by number.
        branch: 0 for the log as it began.
    """
    spans: list[Span] = []
    upto = SIZE_MAX
    while True:
        above = forks[branch - 1].size if branch else -1
        if above < upto:
            spans.insert(0, Span(branch, above, upto))
        if not branch:
            return spans
        upto = min(upto, above)
        branch = forks[branch - 1].parent
