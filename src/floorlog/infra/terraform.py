"""Terraform: found, told where its plug-ins are, run in a folder, and heard when it fails."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from floorlog.config import inherited
from floorlog.errors import ServiceError, ServiceMissing

PLUGIN = "terraform-provider-aws*"
MIRROR_DEPTH = 6  # host/space/name/version/platform/file
SEARCH_DEPTH_MAX = 9
OUTPUT_LINES_MAX = 30
LINE_CHARACTERS_MAX = 400  # Terraform quotes the configuration, which may be one long line
SECONDS_MAX = 5_400  # an apply that takes longer hangs


def find_terraform() -> Path:
    """The program. Raises ServiceMissing."""
    found = shutil.which("terraform", path=inherited().get("PATH"))
    if found is None:
        raise ServiceMissing(
            "the program terraform is not on the PATH",
            where="deploy",
            fix="install Terraform 1.11 or later",
        )
    return Path(found)


def find_mirror() -> Path | None:
    """A folder of plug-ins that holds AWS's, laid out as Terraform wants it; None for none.

    Looked for where Terraform looks itself and where administrators put such folders. Without one
    Terraform fetches the plug-in.
    """
    env = inherited()
    home = Path(env.get("HOME") or os.sep)
    named = env.get("TF_PLUGIN_CACHE_DIR")
    places = [Path(named)] if named else []
    places += [home / ".terraform.d", home / ".local" / "share" / "terraform"]
    places += [Path(os.sep, *parts) for parts in (("usr", "local", "share", "terraform"),
               ("usr", "share", "terraform"), ("usr", "local", "lib"), ("opt",))]  # fmt: skip
    for place in places:
        for file in _plugins(place):
            return file.parents[MIRROR_DEPTH - 1]
    return None


def _plugins(place: Path) -> Iterator[Path]:
    """AWS's plug-ins below a folder, at most so deep, in order."""
    depth = len(place.parts)
    for folder, folders, names in os.walk(place):
        folders.sort()
        here = Path(folder)
        if len(here.parts) - depth >= SEARCH_DEPTH_MAX:
            folders.clear()
        for name in sorted(names):
            file = here / name
            inside = len(file.parts) - depth >= MIRROR_DEPTH
            if inside and file.match(PLUGIN) and file.parents[2].name == "aws":
                yield file


class Terraform:
    """Terraform in one folder, which holds the configuration and, without a bucket, the state.

    Args:
        folder: where it works.
        others: variables that it gets besides ours, such as AWS_ENDPOINT_URL.
        seconds_max: a command that takes longer hangs, and is ended.
    """

    def __init__(
        self,
        folder: Path,
        others: dict[str, str] | None = None,
        seconds_max: float = SECONDS_MAX,
    ) -> None:
        self.folder = folder
        self._seconds_max = seconds_max
        self._program = find_terraform()
        settings = folder / "terraform.rc"
        mirror = find_mirror()
        lines = ["disable_checkpoint = true"]
        if mirror is not None:
            lines += ["provider_installation {", "  filesystem_mirror {",
                      f"    path = {json.dumps(str(mirror))}", "  }", "}"]  # fmt: skip
        settings.write_text("\n".join(lines) + "\n", "utf-8")
        own = {"TF_CLI_CONFIG_FILE": str(settings), "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"}
        self._environment = {**inherited(others), **own}

    def initialise(self) -> None:
        """Fetch or link the plug-in, and open the state."""
        self.run("init", "-reconfigure")

    def run(self, command: str, *options: str, quiet: bool = True) -> str:
        """Run one command; returns what it says. Raises ServiceError with its last lines.

        With `quiet` false a person sees the output at once, and nothing is returned.
        """
        call = [str(self._program), command, "-no-color", *options]
        if command == "show":
            call = [str(self._program), command, *options]
        try:
            done = subprocess.run(  # noqa: S603 - the program that was looked up above
                call,
                cwd=self.folder,
                env=self._environment,
                capture_output=quiet,
                text=True,
                check=False,
                timeout=self._seconds_max,
            )
        except subprocess.TimeoutExpired as error:
            raise ServiceError(
                f"terraform {command} has not ended after {self._seconds_max:.0f} s",
                where=str(self.folder),
                fix="see in AWS's console what hangs, then run this again",
            ) from error
        if done.returncode:
            lines = (done.stderr or "").strip().splitlines()[-OUTPUT_LINES_MAX:]
            said = [line[:LINE_CHARACTERS_MAX] for line in lines]
            raise ServiceError(
                f"terraform {command} failed: {' '.join(line.strip('│╷╵ ') for line in said)}"
                if said
                else f"terraform {command} failed (its own words are above)",
                where=str(self.folder),
                fix="mend what it names, then run this again: what was done is not done twice",
            )
        return done.stdout or ""

    def show(self, plan: str) -> dict[str, Any]:
        """A stored plan, as data."""
        found: dict[str, Any] = json.loads(self.run("show", "-json", plan))
        return found

    def outputs(self) -> dict[str, Any]:
        """What the deployment gives out, by name."""
        found = json.loads(self.run("output", "-json"))
        return {name: each["value"] for name, each in found.items()}
