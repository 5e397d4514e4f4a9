"""A script: says which directory bars another user's way to a path (run as root, on its own).

It changes its own user for good, so it must be a process; it imports nothing of Floorlog, so that
it starts in milliseconds and from places where only root can read.
"""

import os
import sys


def first_barrier(path: str) -> str:
    """The first directory above `path`, or `path` itself, that this user cannot enter; "" if none.

    Parts that do not exist are passed over: they are yet to be created.
    """
    parts = path.strip("/").split("/")
    for depth in range(len(parts) + 1):
        step = "/" + "/".join(parts[:depth])
        if not os.path.lexists(step):
            return ""
        if not os.access(step, os.X_OK):
            return step
    return ""


if __name__ == "__main__":
    uid, gid, wanted = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    sys.stdout.write(first_barrier(wanted))
