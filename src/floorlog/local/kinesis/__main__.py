"""The server as a process: `python -m floorlog.local.kinesis --data DIR --port N`."""

import argparse
import asyncio
import gc
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from floorlog.errors import FloorlogError
from floorlog.local.kinesis.server import Options, Server

GC_THRESHOLD = 50_000
"""Requests make many short-lived objects and no cycles to speak of: look for cycles seldom."""


def parse(arguments: Sequence[str]) -> Options:
    """Return the options that a command line asks for."""
    parser = argparse.ArgumentParser(prog="floorlog.local.kinesis", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="directory of the streams, made if it is not there"
    )
    parser.add_argument(
        "--port", type=_port, default=0, help="port on 127.0.0.1; 0 for any free one"
    )
    parser.add_argument(
        "--limits", choices=["on", "off"], default="on", help="off: no throttling, to fill a stream"
    )
    parser.add_argument(
        "--account", type=_account, default="000000000000", help="the account's 12 digits, for ARNs"
    )
    parser.add_argument("--region", default="eu-west-2", help="the region, for ARNs")
    parser.add_argument(
        "--transition-ms", type=int, default=50, help="how long CREATING, UPDATING, DELETING last"
    )
    chosen = parser.parse_args(arguments)
    return Options(
        data=chosen.data,
        port=chosen.port,
        limits=chosen.limits == "on",
        account_id=chosen.account,
        region=chosen.region,
        transition_ms=chosen.transition_ms,
    )


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is not a port: give 0 to 65535")
    return port


def _account(text: str) -> str:
    if len(text) != 12 or not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text} is not an account: give 12 digits")
    return text


async def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT; one JSON line with the port says when."""
    server = Server(options)
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(ending, server.end)
    port = await server.start()
    sys.stdout.write(msgspec.json.encode({"port": port}).decode() + "\n")
    sys.stdout.flush()
    try:
        await server.ended()
    finally:
        await server.stop()


def main() -> int:
    """Run, and return the exit code."""
    gc.set_threshold(GC_THRESHOLD)
    try:
        asyncio.run(serve(parse(sys.argv[1:])))
    except FloorlogError as error:
        sys.stderr.write(f"floorlog.local.kinesis: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
