"""`tunstack serve`: our stack on a TUN device in the machine's own network."""

import argparse
import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

from stack.cli.application import AppSource
from stack.cli.options import (
    FAULTS,
    ServerOptions,
    WatchOptions,
    add_server_options,
    add_watch_options,
    read_server_options,
    read_watch_options,
)

if TYPE_CHECKING:
    from stack.link.tun import TunLink

EXAMPLES = """\
examples:
  sudo tunstack serve                          then: curl http://192.0.2.2/
  sudo tunstack serve --trace --app mysite:app
  sudo tunstack serve --workers 4 --app mysite:app
  sudo tunstack serve --tun tcp0 --address 198.51.100.2/24 --http 8000

The device and its routes go with the process, however it ends.
The signal USR1 makes it print the stack's counters to stderr, USR2 makes it load the
application anew, and open the access log anew, without refusing anybody.
"""
DEFAULT_DEVICE = "tunstack0"


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "serve",
        help="put our stack on a TUN device of this machine until Ctrl-C; needs root",
        description="Makes a TUN device in the machine's own network and serves HTTP on its "
        "other end until Ctrl-C.",
        epilog=EXAMPLES + FAULTS,
    )
    add_server_options(parser)
    add_watch_options(parser)
    parser.add_argument(
        "--tun",
        metavar="NAME",
        default=DEFAULT_DEVICE,
        help=f"name of the device, instead of {DEFAULT_DEVICE}",
    )
    parser.set_defaults(handler=serve)


def serve(args: argparse.Namespace) -> int:
    """Carries the subcommand out; returns 0 after SIGINT or SIGTERM."""
    from stack.cli.device import open_device

    server, watch = read_server_options(args), read_watch_options(args)
    if server.workers > 1:
        return _serve_with_workers(args, server, watch)
    source = AppSource(server.app)
    source.load()  # what is wrong with it is told before there is a device
    link = open_device(args.tun, server.addresses)
    return asyncio.run(_serve(link, source, server, watch))


def _serve_with_workers(
    args: argparse.Namespace, server: ServerOptions, watch: WatchOptions
) -> int:
    from stack.cli.crew import Crew
    from stack.cli.device import open_shared_device
    from stack.cli.station import announcement
    from stack.cli.workers import serve_with_workers

    queues = open_shared_device(args.tun, server.addresses, server.workers)

    def announce() -> None:
        if not server.quiet:
            where = f"{queues[0].name} with {server.workers} workers"
            print(f"{announcement(server)} on {where}; Ctrl-C ends it", file=sys.stderr, flush=True)

    return serve_with_workers(queues, server, watch, Crew(server.workers, announce))


async def _serve(
    link: "TunLink", source: AppSource, server: ServerOptions, watch: WatchOptions
) -> int:
    from stack.cli.station import open_station

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    async with open_station(link, source, server, watch) as station:
        if not server.quiet:
            print(f"{station.announcement()} on {link.name}; Ctrl-C ends it", file=sys.stderr)
        await stop.wait()
    return 0
