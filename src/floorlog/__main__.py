"""`python -m floorlog` is the command line."""

import sys

if __name__ == "__main__":
    try:
        from floorlog.cli import main

        main()
    except KeyboardInterrupt:  # while it still loads
        sys.exit(130)
