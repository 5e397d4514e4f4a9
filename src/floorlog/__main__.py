"""`python -m floorlog` is the command line."""

from floorlog.cli import main

if __name__ == "__main__":
    main()
