"""`tunstack run`: a command beside our stack, in a network namespace of their own."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
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
from stack.errors import UsageError

if TYPE_CHECKING:
    from stack.link.namespace import NamespacedCommand

EXAMPLES = """\
examples:
  tunstack run -- curl http://192.0.2.2/
  tunstack run --trace -- curl -k https://192.0.2.2/
  tunstack run --capture first.pcapng -- curl --http2 'http://[2001:db8::2]/'
  tunstack run --impair loss=2%,delay=20ms --seed 1 -- curl http://192.0.2.2/bytes/1000000
  tunstack run --app mysite:app -- bash

COMMAND finds our addresses in TUNSTACK_IPV4 and TUNSTACK_IPV6. Its exit status is ours.
The signal USR1 makes it print the stack's counters to stderr, USR2 makes it load the
application anew, and open the access log anew, without refusing anybody.
"""

LINGER = 0.05
"""Seconds after COMMAND's end in which its last packets are still answered and shown."""


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "run",
        help="run a command in a private network beside our stack; needs no root",
        description="Makes a private network namespace with a TUN device, puts our stack on "
        "its other end\nwith an HTTP server, and runs COMMAND inside.",
        usage="tunstack run [options] -- COMMAND [ARG]...",
        epilog=EXAMPLES + FAULTS,
    )
    add_server_options(parser)
    add_watch_options(parser)
    parser.add_argument("command", nargs="*", help=argparse.SUPPRESS)
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Carries the subcommand out; returns COMMAND's exit status."""
    from stack.link.namespace import prepare_command
    from stack.link.prefix import kernel_address

    if not args.command:
        raise UsageError("give a command to run, such as `tunstack run -- bash`")
    server, watch = read_server_options(args), read_watch_options(args)
    environment = os.environ | _environment(server)
    # First of all, since it forks, which goes well only while there are no threads.
    prepared = prepare_command(
        args.command,
        environment,
        [kernel_address(ours) for ours in server.addresses],
        queues=server.workers,
    )
    try:
        if server.workers > 1:
            return _run_with_workers(prepared, server, watch)
        source = AppSource(server.app)
        source.load()  # before there is an event loop, which importing may not expect
        return asyncio.run(_attend(prepared, source, server, watch))
    finally:
        prepared.close()


def _run_with_workers(
    command: "NamespacedCommand", server: ServerOptions, watch: WatchOptions
) -> int:
    """Serves from several processes until the command has ended; returns also in these."""
    from stack.cli.crew import Crew
    from stack.cli.station import announcement
    from stack.cli.workers import serve_with_workers
    from stack.link.tun import TunLink

    def go() -> None:
        if not server.quiet:
            print(announcement(server), file=sys.stderr, flush=True)
        command.go()

    parent, ended = os.getpid(), os.pidfd_open(command.pid)
    try:
        crew = Crew(server.workers, go, until=ended, instead=_signals_for(command))
        queues = [TunLink(queue) for queue in command.queues]
        status = serve_with_workers(queues, server, watch, crew)
    finally:
        os.close(ended)
    return status if status or os.getpid() != parent else command.wait()


def _environment(server: ServerOptions) -> dict[str, str]:
    """What COMMAND learns about our addresses: the first of each version."""
    first: dict[str, str] = {}
    for address in server.addresses:
        first.setdefault(f"TUNSTACK_IPV{address.version}", str(address.ip))
    return first


async def _attend(
    command: "NamespacedCommand", source: AppSource, server: ServerOptions, watch: WatchOptions
) -> int:
    """Serves until the command has ended."""
    from stack.cli.station import open_station
    from stack.link.tun import TunLink

    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    process = os.pidfd_open(command.pid)
    loop.add_reader(process, ended.set)
    _pass_signals_to(command, loop)
    try:
        async with open_station(TunLink(command.tun), source, server, watch) as station:
            if not server.quiet and not watch.trace:
                print(station.announcement(), file=sys.stderr, flush=True)
            command.go()
            await ended.wait()
            await asyncio.sleep(LINGER)
    finally:
        loop.remove_reader(process)
        os.close(process)
    return command.wait()


def _pass_signals_to(command: "NamespacedCommand", loop: asyncio.AbstractEventLoop) -> None:
    for number, call in _signals_for(command).items():
        loop.add_signal_handler(number, call)


def _signals_for(command: "NamespacedCommand") -> dict[int, Callable[[], None]]:
    """Leaves the keyboard's signals to the command, which gets them from the terminal too,
    and passes on those that were sent to this process alone.
    """
    keyboard = (signal.SIGINT, signal.SIGQUIT)
    ours = (signal.SIGTERM, signal.SIGHUP)
    return {
        **dict.fromkeys(keyboard, lambda: None),
        **{number: partial(command.send_signal, number) for number in ours},
    }
