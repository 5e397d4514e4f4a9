"""Becomes a command of an image's unpacked root: read-only, without root, scratch in memory.

Started by box.py in a mount namespace of its own, as root: `inside.py ROOT SECRET COMMAND …`. Only
`/run/floorlog` can be written, as the task definition has it, and no right of root is left.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

USER = 10001  # as in the Dockerfile
SCRATCH = "run/floorlog"
PR_SET_NO_NEW_PRIVS = 38


def mount(*words: str | Path) -> None:
    """Mount, or end."""
    subprocess.run(["/bin/mount", *words], check=True)


def main() -> None:
    """Mount, give up root, and become the command."""
    root, secret, command = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    mount("--bind", root, root)
    mount("-o", "remount,ro,bind", root)
    mount("-t", "tmpfs", "-o", f"size=64m,mode=700,uid={USER},gid={USER}", "tmpfs", root / SCRATCH)
    mount("-t", "proc", "proc", root / "proc")
    mount("--bind", "/dev", root / "dev")
    held = Path(shutil.copy(secret, root / SCRATCH / "secret.json"))
    held.chmod(0o400)
    os.chown(held, USER, USER)
    os.chroot(root)
    os.chdir("/")
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)  # and with it every capability goes
    os.execvpe(command[0], command, dict(os.environ))


if __name__ == "__main__":
    main()
