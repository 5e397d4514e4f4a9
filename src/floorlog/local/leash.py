"""A script: becomes the program named in its arguments, tied to the process that started it.

    leash.py PARENT_PID DEATH_SIGNAL UID GID -- PROGRAM ARGUMENT …

On Linux the kernel sends DEATH_SIGNAL when the parent is gone, kill -9 included. This is a process
of its own and not a hook between fork and exec, because the request must come after the change of
user (which erases it) and because Python code must not run between the two in a program with
threads. Elsewhere only the pid files remain. UID and GID of -1 mean: stay who you are.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def tie(parent_pid: int, death_signal: int) -> None:
    """Ask the kernel for `death_signal` at the parent's end; leave now if it is gone already."""
    if not sys.platform.startswith("linux"):
        return
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        sys.exit(f"leash: prctl failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent_pid:
        sys.exit("leash: the process that started this one is gone")


def become(uid: int, gid: int) -> None:
    """Change to another user for good, in a directory and with a mask that suit it."""
    os.umask(0o077)
    os.chdir("/")
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


if __name__ == "__main__":
    parent, number, user, group = (int(text) for text in sys.argv[1:5])
    program = sys.argv[6:]
    try:
        if user >= 0:
            become(user, group)
        tie(parent, number)
        os.execv(program[0], program)
    except OSError as error:
        sys.exit(f"leash: cannot run {program[0]}: {error.strerror}")
