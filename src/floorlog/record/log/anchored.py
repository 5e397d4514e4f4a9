"""What an anchor holds of a log: its notes, its forks and its time stamps, each checked."""

from typing import Any

from floorlog.core.ledger.fork import Fork, Span, chain
from floorlog.core.ledger.note import Checkpoint
from floorlog.core.ledger.stamp import read_stamp
from floorlog.errors import InputError
from floorlog.record.log.anchor import STAMP, Anchor, note_name, note_text, place, span_of
from floorlog.record.log.publish import read_leaves
from floorlog.record.verifier import Key, checkpoint, signed_text

SIGNATURES_MAX = 200  # of the newest notes; an older one with the tree's root says nothing else


class Anchored:
    """The notes of an anchor, read before the record is: it only grows meanwhile.

    Attributes:
        keys: who may have signed.
        bodies: the notes, by size.
        notes: what each says; None for one that is not good.
        forks: the statements that were found good.
        findings: what is wrong, in words.
        stamp_findings: what is wrong with time stamps, which nothing else rests on.
        stamps: time stamps of the notes, each with size, time and the authority's policy.

    Args:
        anchor: where they are.
        key: the log's verifier key, or several of them one after the other; that beside the notes
            when it is empty.

    Raises:
        InputError: that is no key.
        OSError: the anchors cannot be read.
    """

    def __init__(self, anchor: Anchor, key: str = "") -> None:
        self._anchor = anchor
        self.key = key or anchor.key()
        self.findings: list[str] = []
        try:
            self.keys = [Key(one) for one in self.key.split()]
        except ValueError as error:
            raise InputError(
                f"{self.key:.80} is no key of a log: {error}",
                where="key",
                fix="give name+hash+key, as the keeper's verifier.key holds it",
            ) from error
        self.forks = self._read_forks()
        self.spans = chain(self.forks, len(self.forks))
        self._names = anchor.notes_along(self.spans)
        bodies = anchor.get_many(list(self._names.values()))
        self.bodies = dict(zip(self._names, bodies, strict=True))
        newest = sorted(self.bodies)[-SIGNATURES_MAX:]
        self.notes = {size: self._read(size, size in newest) for size in self.bodies}
        for span in self.spans[1:]:  # each branch begins with a signed root
            fork = self.forks[span.branch - 1]
            self.notes.setdefault(fork.size, Checkpoint(fork.origin, fork.size, fork.root))
        self.notes = dict(sorted(self.notes.items()))
        if self.bodies and not self.keys:
            self.findings.append("no key of the log is there: nobody knows who signed the notes")
        for fork in self.forks:
            self._check_lost(fork)
        self.stamp_findings: list[str] = []
        self.stamps = self._read_stamps()

    def late(self, size: int) -> bytes | None:
        """A note that was anchored since; None where there is none."""
        try:
            return self._anchor.get(place(span_of(self.spans, size).branch, note_name(size)))
        except FileNotFoundError:
            return None

    def leaves(self, begin: int, end: int) -> list[bytes] | None:
        """The leaves as they were anchored; None where no good tiles are outside."""
        try:
            return read_leaves(self._anchor, self.spans, begin, end)
        except (FileNotFoundError, ValueError):
            return None

    def _read_stamps(self) -> list[dict[str, Any]]:
        found = []
        sizes = {name: size for size, name in self._names.items()}
        for span in self.spans:
            for name in self._anchor.names(place(span.branch, "")):
                size = sizes.get(name.removesuffix(STAMP))
                if size is None or not name.endswith(STAMP):
                    continue  # no stamp, or of a note that was given up
                try:
                    stamp = read_stamp(self._anchor.get(name), self.bodies[size])
                except ValueError as error:
                    says = f"the time stamp of {size} leaves is not good: {error}"
                    self.stamp_findings.append(says)
                    continue
                found.append({"size": size, "at": stamp.at, "authority": stamp.policy})
        return found

    def _read_forks(self) -> list[Fork]:
        found: list[Fork] = []
        for statement in self._anchor.statements():
            number = len(found) + 1
            try:
                text = note_text(statement)
                if self.keys:
                    text = signed_text(statement.decode(), self.keys)[0]
                fork = Fork.parse(text)
                if fork.number != number:
                    self.findings.append(f"fork statement {number} calls itself {fork.number}")
                    break
            except ValueError as error:
                self.findings.append(f"fork statement {number} is not good: {error}")
                break
            found.append(fork)
        return found

    def _check_lost(self, fork: Fork) -> None:
        """A statement names the newest note before it, which shows what is given up."""
        spans: list[Span] = chain(self.forks, fork.number - 1)
        try:
            name = place(span_of(spans, fork.lost_size).branch, note_name(fork.lost_size))
            lost = Checkpoint.parse(note_text(self._anchor.get(name)))
        except (FileNotFoundError, ValueError):
            lost = None
        earlier = self.forks[fork.number - 2] if fork.number > 1 else None
        is_fork = earlier is not None and (earlier.size, earlier.root) == (
            fork.lost_size,
            fork.lost_root,
        )
        is_note = lost is not None and (lost.size, lost.root) == (fork.lost_size, fork.lost_root)
        if not (is_note or is_fork):
            self.findings.append(f"fork statement {fork.number} gives up a note that is not there")

    def _read(self, size: int, is_checked: bool) -> Checkpoint | None:
        try:
            text = self.bodies[size].decode()
            if is_checked and self.keys:
                found = Checkpoint(*checkpoint(text, self.keys))
            else:
                found = Checkpoint.parse(note_text(self.bodies[size]))
            if found.size != size:
                self.findings.append(f"the note of {size} leaves speaks of {found.size}")
        except ValueError as error:
            self.findings.append(f"the note of {size} leaves is not good: {error}")
            return None
        return found if found.size == size else None
