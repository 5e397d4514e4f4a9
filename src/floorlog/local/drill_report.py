"""What a drill found, as an object and for a person."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from floorlog.errors import InputError


@dataclass(slots=True)
class DrillReport:
    """One drill.

    Attributes:
        ok: all that was asked for came true.
        began: when, ISO 8601.
        backup: where the backup came from.
        backup_bytes: size of the server that was backed up.
        recovery_point: when the last batch was stored that the restore brought back.
        recovery_point_seconds: from there to the moment of the loss.
        recovery_seconds: from the beginning of the restore until all was read again.
        steps: seconds of each step.
        restored: what verification said of the restored record.
        fork: the fork that was declared; None where none was needed.
        reread: readings stored again from the stream since the restored state.
        compared: readings of the running record since then that were looked for, a million at most.
        missing: how many of those were not stored again.
        doubled: readings stored again, over the same part of the stream, that it has not.
        verified: what verification said at the end.
        wrong: what went wrong, a line each.
    """

    began: str
    backup: str = ""
    ok: bool = False
    backup_bytes: int = 0
    recovery_point: str = ""
    recovery_point_seconds: float = 0.0
    recovery_seconds: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    restored: dict[str, Any] = field(default_factory=dict)
    fork: dict[str, Any] | None = None
    reread: int = 0
    compared: int = 0
    missing: int = 0
    doubled: int = 0
    verified: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def as_object(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def as_json(self) -> str:
        """As one line of JSON."""
        return msgspec.json.encode(self.as_object()).decode()

    def write(self, directory: Path) -> Path:
        """Write it as JSON and for a person; the path of the latter. Raises InputError."""
        path = directory / f"drill-{self.began.replace(':', '-')}.md"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".json").write_text(self.as_json() + "\n", "utf-8")
            path.write_text(self.as_text(), "utf-8")
        except OSError as error:
            raise InputError(
                f"the report cannot be written: {error.strerror}",
                where=str(directory),
                fix="name another place with --report DIR",
            ) from error
        return path

    def as_text(self) -> str:
        """For a person, in Markdown."""
        state = "passed" if self.ok else "FAILED"
        lines = [f"# Backup drill of {self.began}: {state}", ""]
        lines += [f"- **WRONG**: {one}" for one in self.wrong]
        if self.recovery_point:
            megabytes = self.backup_bytes / 1e6
            lines.append(f"- Backup: {self.backup}; the server holds {megabytes:.1f} MB.")
            before_s = self.recovery_point_seconds
            lines.append(f"- Recovery point: {self.recovery_point}: {before_s:.1f} s were lost.")
        if self.restored:
            lines.append(f"- The restored record: {_state(self.restored)}.")
            lines.append(self._fork_line())
        if self.verified:
            lines.append(
                f"- Recovery time: {self.recovery_seconds:.1f} s, from the beginning of the restore"
                " until all was read again."
            )
            lines.append(
                f"- Read again from the stream: {self.reread} readings. Of {self.compared} that the"
                f" running record has since then {self.missing} are missing; {self.doubled} are too"
                " many."
            )
            lines.append(f"- In the end: {_state(self.verified)}.")
        lines += ["", "| step | seconds |", "|---|---|"]
        lines += [f"| {name} | {seconds:.1f} |" for name, seconds in self.steps.items()]
        return "\n".join(lines) + "\n"

    def _fork_line(self) -> str:
        if self.fork is None:
            return "- No fork was needed: nothing newer than the backup was anchored."
        size, lost_size = self.fork["size"], self.fork["lost_size"]
        return f"- Declared: the log goes on from {size} leaves; {lost_size} were anchored before."


def _state(verified: dict[str, Any]) -> str:
    forks = len(verified["forks"])
    declared = f", with {forks} declared fork{'s' if forks > 1 else ''}" if forks else ""
    said = f"intact{declared}" if verified["ok"] else f"NOT INTACT: {verified['wrong_count']} wrong"
    return f"{verified['readings']} readings in {verified['entries']} batches, {said}"
