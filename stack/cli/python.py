"""`tunstack python`: a Python program whose sockets are on our stack."""

import argparse
import importlib.util
import os
import runpy
import shlex
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from stack.cli.options import (
    DEFAULT_ADDRESSES,
    FAULTS,
    WatchOptions,
    add_watch_options,
    read_watch_options,
)
from stack.cli.run import LINGER
from stack.errors import UsageError
from stack.link.prefix import Interface, stack_address

if TYPE_CHECKING:
    from stack.link.namespace import NamespacedCommand
    from stack.sockets.blocking import BlockingHost

EXAMPLES = """\
examples:
  tunstack python --client 'curl -sS http://192.0.2.2/' -m http.server --bind 192.0.2.2 80
  tunstack python --server 'python3 -m http.server --bind 192.0.2.1 8000' client.py
  sudo tunstack python -m uvicorn --host 192.0.2.2 --port 80 mysite:app
  sudo tunstack python --trace -m http.server --bind 192.0.2.2 80

With --client or --server a private network holds the stack and COMMAND, and no root is needed.
The end of the program ends COMMAND, and the end of a client the program. Without them the
stack is on a TUN device of this machine, as with `tunstack serve`.

Sockets that are bound to one of the stack's addresses or to all, or that connect to its
networks, are the stack's; all others are the kernel's.
"""
DEVICE = "tunstack0"
_GLANCE = 0.02  # seconds
_PATIENCE = 10.0  # seconds that one side gets until it listens
_GRACE = 5.0  # seconds that a program gets to end after an interrupt


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: a script's path, or a module."""

    name: str
    arguments: tuple[str, ...]
    is_module: bool


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "python",
        help="run a Python program, unmodified, with its sockets on our stack",
        description="Runs a Python program as `python` would, with the stack's own sockets in "
        "place of\nthe kernel's for the stack's addresses.",
        usage="tunstack python [options] (SCRIPT.py | -m MODULE) [ARG]...",
        epilog=EXAMPLES + FAULTS,
    )
    beside = parser.add_mutually_exclusive_group()
    beside.add_argument(
        "--client",
        metavar="COMMAND",
        help="run COMMAND beside it, in a private network, as soon as the program listens",
    )
    beside.add_argument(
        "--server",
        metavar="COMMAND",
        help="run COMMAND beside it, in a private network; the program begins once it listens",
    )
    parser.add_argument(
        "--address",
        metavar="CIDR",
        action="append",
        type=stack_address,
        help=f"the stack's address, instead of {' and '.join(DEFAULT_ADDRESSES)}; may be repeated",
    )
    parser.add_argument("--tun", metavar="NAME", help=f"name of the device, instead of {DEVICE}")
    add_watch_options(parser)
    parser.add_argument("-m", dest="module", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.add_argument("script", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.set_defaults(handler=python)


def python(args: argparse.Namespace) -> int:
    """Carries the subcommand out; returns the exit status of the program, or of the client
    that ended it.
    """
    program = _read_program(args)
    watch = read_watch_options(args)
    if watch.record is not None:
        raise UsageError("--record cannot write down a program's calls: use it with run or serve")
    if watch.busy_poll:
        raise UsageError("--busy-poll is not for a program: its threads need the processor")
    addresses = args.address or [stack_address(text) for text in DEFAULT_ADDRESSES]
    beside = args.client or args.server
    if beside is None:
        with _on_device(args.tun or DEVICE, addresses, watch):
            return _run(program)
    if args.tun:
        raise UsageError("--tun names a device of this machine; --client and --server have none")
    command = _prepare(beside, addresses)
    try:
        with _on_tun(command.tun, addresses, watch) as host:
            if args.server:
                return _run_against(program, command)
            return _run_for(program, command, host)
    finally:
        command.close()


def _read_program(args: argparse.Namespace) -> Program:
    words = args.module if args.module is not None else args.script
    if not words:
        raise UsageError("give a program, such as `tunstack python -m http.server`")
    name, *arguments = words
    if args.module is not None:
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            found = None
        if found is None and not _in_directory(name):
            raise UsageError(f"there is no Python module {name}")
    elif not Path(name).exists():
        raise UsageError(f"there is no file {name}")
    return Program(name, tuple(arguments), args.module is not None)


def _in_directory(name: str) -> bool:
    """Whether the current directory has the module, as for `python -m`."""
    path = Path(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def _prepare(text: str, addresses: Sequence[Interface]) -> "NamespacedCommand":
    from stack.link.namespace import prepare_command
    from stack.link.prefix import kernel_address

    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no command: {error}") from error
    if not words:
        raise UsageError("--client and --server take a command")
    # First of all, since it forks, which goes well only while there are no threads.
    return prepare_command(words, os.environ, [kernel_address(ours) for ours in addresses])


@contextmanager
def _on_device(
    name: str, addresses: Sequence[Interface], watch: WatchOptions
) -> Iterator["BlockingHost"]:
    from stack.cli.device import open_device
    from stack.cli.station import open_dropin

    with open_dropin(open_device(name, addresses), addresses, watch) as host:
        yield host


@contextmanager
def _on_tun(
    tun: int, addresses: Sequence[Interface], watch: WatchOptions
) -> Iterator["BlockingHost"]:
    from stack.cli.station import open_dropin
    from stack.link.tun import TunLink

    with open_dropin(TunLink(tun), addresses, watch) as host:
        yield host


# ---- a command beside it -------------------------------------------------------------------


def _run_for(program: Program, client: "NamespacedCommand", host: "BlockingHost") -> int:
    """Lets the client begin when the program listens, and ends the program after it."""
    statuses: list[int] = []

    def attend() -> None:
        patience = time.monotonic() + _PATIENCE
        while not _listens(host) and time.monotonic() < patience:
            time.sleep(_GLANCE)
        client.go()
        statuses.append(client.wait())
        time.sleep(LINGER)
        _interrupt(statuses[0])

    attendant = threading.Thread(target=attend, daemon=True)
    attendant.start()
    try:
        status = _run(program)
    except KeyboardInterrupt:
        if not statuses:
            raise
        status = 0
    if statuses:
        return statuses[0]
    client.send_signal(signal.SIGTERM)
    return status


def _listens(host: "BlockingHost") -> bool:
    with host.driver.lock:
        return bool(host.host.listeners) or host.host.udp.in_use


def _interrupt(status: int) -> None:
    """Ends the program as Ctrl-C would; one that does not heed it ends all the same."""
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(_GRACE)
    os._exit(status)


def _run_against(program: Program, server: "NamespacedCommand") -> int:
    """Begins once the server listens, and ends it afterwards."""
    server.go()
    patience = time.monotonic() + _PATIENCE
    while not server.listens() and time.monotonic() < patience:
        time.sleep(_GLANCE)
    try:
        return _run(program)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


# ---- the program ---------------------------------------------------------------------------


def _run(program: Program) -> int:
    """Runs it as `python` does; returns its exit status."""
    sys.argv[:] = [program.name, *program.arguments]
    sys.path[0] = "" if program.is_module else str(Path(program.name).resolve().parent)
    try:
        if program.is_module:
            runpy.run_module(program.name, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(program.name, run_name="__main__")
    except SystemExit as end:
        return _status(end)
    except Exception as error:
        traceback.print_exception(type(error), error, _of_program(error.__traceback__))
        return 1
    return 0


def _status(end: SystemExit) -> int:
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code & 0xFF
    print(end.code, file=sys.stderr)
    return 1


def _of_program(frames: TracebackType | None) -> TracebackType | None:
    """The traceback without what ran the program."""
    ours = (__file__, runpy.__file__, "<frozen runpy>")
    while frames is not None and frames.tb_frame.f_code.co_filename in ours:
        frames = frames.tb_next
    return frames
