"""The options that `run`, `serve` and `fetch` share, read into values."""

import argparse
import random
from collections.abc import Callable
from dataclasses import dataclass
from os import urandom
from pathlib import Path
from typing import Any, NoReturn

from stack.errors import UsageError
from stack.link.impair import ImpairmentSpec, parse_impairments
from stack.link.prefix import Interface, stack_address

DEFAULT_ADDRESSES = ("192.0.2.2/24", "2001:db8::2/64")
DEFAULT_HTTP = (80, 8080)
DEFAULT_HTTPS = (443, 8443)
DEFAULT_APP = "stack.http.demo:app"
_WORKERS_MAX = 128  # the kernel's limits: 256 queues of a device, 253 descriptors in a message
_LONGEST_POLL = 10_000  # µs; timers wait as long


FAULTS = """
faults, any of them, with `in:` or `out:` before a name for one direction (seen from us):
  --impair loss=2%,reorder=2%,duplicate=1%,corrupt=0.5%
  --impair delay=20ms,jitter=5ms,rate=100mbit,queue=200
  --impair in:loss=5%,out:delay=100ms
"""
"""What follows the examples in the help of a command that takes `--impair`."""


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, and whose help keeps its lines."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see `{self.prog} --help`)")


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """Who watches the host, what its link does to packets, and its source of chance."""

    trace: bool
    capture: Path | None
    record: Path | None
    impairments: ImpairmentSpec | None
    seed: int | None
    busy_poll: int = 0

    def random_bytes(self) -> Callable[[int], bytes]:
        """The host's source of randomness: the system's, or one that a seed repeats."""
        return urandom if self.seed is None else random.Random(self.seed).randbytes


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where the host answers, and with what."""

    addresses: tuple[Interface, ...]
    http_ports: tuple[int, ...]
    https_ports: tuple[int, ...]
    app: str
    quiet: bool
    rfc7540_priorities: bool = True
    access_log: Path | None = None
    workers: int = 1


def add_watch_options(parser: argparse.ArgumentParser) -> None:
    """Adds what `read_watch_options` reads."""
    parser.add_argument(
        "--trace", action="store_true", help="print every packet with its reason to stderr"
    )
    parser.add_argument(
        "--capture",
        metavar="FILE.pcapng",
        type=Path,
        help="write the packets for Wireshark: reasons as comments, TLS decrypted",
    )
    parser.add_argument(
        "--record",
        metavar="FILE",
        type=Path,
        help="write down all that the stack is given, for `tunstack replay`; grows with the traffic",
    )
    parser.add_argument(
        "--impair",
        metavar="SPEC",
        help="give the link faults; see below",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=int,
        help="make faults, sequence numbers and ports repeatable",
    )
    parser.add_argument(
        "--busy-poll",
        metavar="MICROSECONDS",
        type=_busy_poll,
        default=0,
        help="after a packet look for the next one so long before sleeping: sooner answers for"
        " one busy processor",
    )


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Adds what `read_server_options` reads."""
    parser.add_argument(
        "--http",
        metavar="PORT",
        action="append",
        type=_port,
        help="port for HTTP, instead of 80 and 8080; may be repeated",
    )
    parser.add_argument(
        "--https",
        metavar="PORT",
        action="append",
        type=_port,
        help="port for HTTPS, instead of 443 and 8443; may be repeated",
    )
    parser.add_argument(
        "--app",
        metavar="MODULE:ATTR",
        default=DEFAULT_APP,
        help="the ASGI application that answers, instead of the demo",
    )
    parser.add_argument(
        "--address",
        metavar="CIDR",
        action="append",
        type=stack_address,
        help=f"our stack's address, instead of {' and '.join(DEFAULT_ADDRESSES)}; may be repeated",
    )
    parser.add_argument(
        "--no-rfc7540",
        action="store_true",
        help="HTTP/2: tell clients that only the priorities of RFC 9218 count",
    )
    parser.add_argument(
        "--access-log",
        metavar="FILE",
        type=Path,
        help="append a line for each request, in the combined format; - for standard output",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=_workers,
        default=1,
        help="serve from N processes, each with connections of its own, to use more processors",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def read_watch_options(args: argparse.Namespace) -> WatchOptions:
    """Raises UsageError when the options contradict each other or cannot be used."""
    if getattr(args, "quiet", False) and args.trace:
        raise UsageError("--trace and --quiet contradict each other: give one of them")
    if getattr(args, "workers", 1) > 1:
        _refuse_watching(args)
    for name, path in (("--capture", args.capture), ("--record", args.record)):
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"{name} {path}: there is no folder {path.parent}")
    if args.record is not None and args.record == args.capture:
        raise UsageError("--record and --capture write files of their own: name two")
    return WatchOptions(
        trace=args.trace,
        capture=args.capture,
        record=args.record,
        impairments=None if args.impair is None else parse_impairments(args.impair),
        seed=args.seed,
        busy_poll=args.busy_poll,
    )


def read_server_options(args: argparse.Namespace) -> ServerOptions:
    """Raises UsageError when ports are given twice or an address is."""
    http_ports = tuple(args.http or DEFAULT_HTTP)
    # Given ports push the other protocol's default ones aside.
    https_ports = tuple(args.https or (port for port in DEFAULT_HTTPS if port not in http_ports))
    if not args.http:
        http_ports = tuple(port for port in http_ports if port not in https_ports)
    ports = http_ports + https_ports
    if len(set(ports)) != len(ports):
        raise UsageError("--http and --https: a port can be given only once")
    addresses = tuple(args.address or map(stack_address, DEFAULT_ADDRESSES))
    if len({address.ip for address in addresses}) != len(addresses):
        raise UsageError("--address: each address can be given only once")
    return ServerOptions(
        addresses,
        http_ports,
        https_ports,
        args.app,
        args.quiet,
        not args.no_rfc7540,
        args.access_log,
        args.workers,
    )


def _workers(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _WORKERS_MAX:
        raise UsageError(f"--workers {text!r}: give a number from 1 to {_WORKERS_MAX}")
    return int(text)


def _refuse_watching(args: argparse.Namespace) -> None:
    for name in ("trace", "capture", "record"):
        if getattr(args, name):
            raise UsageError(f"--{name} watches one process: leave --workers out")


def _busy_poll(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > _LONGEST_POLL:
        raise UsageError(f"--busy-poll {text!r}: give µs from 0 to {_LONGEST_POLL}")
    return int(text)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise UsageError(f"{text!r} is no port: give a number from 1 to 65535")
    return int(text)
