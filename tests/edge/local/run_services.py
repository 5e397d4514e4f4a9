"""A program for tests: runs local services until it is told to end, as `floorlog up` does.

    run_services.py DIRECTORY SERVICE,SERVICE… [PACKAGES]

Says on one line of JSON what runs. PACKAGES is a folder from which the servers' packages are taken,
copied where they must be to the folder `copies` beside the data.
"""

import json
import sys
from pathlib import Path

from floorlog.errors import FloorlogError
from floorlog.local import programs
from floorlog.local.supervisor import Supervisor


def main() -> int:
    """Run the services; 2 and one line on stderr when they cannot run."""
    directory = Path(sys.argv[1])
    if len(sys.argv) > 3:
        sys.path.insert(0, sys.argv[3])
        programs.COPY_PLACES = (directory.parent / "copies",)
    supervisor = Supervisor(directory, only=set(sys.argv[2].split(",")), catch_signals=True)
    try:
        with supervisor as services:
            print(json.dumps({"pids": services.pids, "dsn": services.postgres_dsn()}), flush=True)
            supervisor.run()
    except FloorlogError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
