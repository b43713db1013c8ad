"""`tunstack drill`: scripts in packetdrill's language, run against the stack in virtual time."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from stack.errors import UsageError

EXAMPLES = """\
examples:
  tunstack drill tests/drill/handshake/passive_open.pkt
  tunstack drill --trace hello.pkt     the packets of a script that passes, too
  tunstack drill tests/drill           every script below a folder
  tunstack drill --ip_version=ipv6 --define SIZE=1000 hello.pkt
  tunstack drill --record demo.pcapng -o demo.pkt

docs/drill.md is a guide to the language.
"""

_OPTIONS = {
    "ip_version": ("VERSION", "ipv4, ipv6, or ipv4-mapped-ipv6"),
    "tolerance_usecs": ("N", "µs that an event may be off its time, instead of 4000"),
    "tolerance_percent": ("N", "or so many percent of the time since the event before it"),
    "mtu": ("N", "MTU of the link in bytes, instead of 1500"),
    "mss": ("N", "an MTU for segments with so many bytes"),
    "local_ip": ("ADDRESS", "address of the stack, instead of 192.0.2.2 or 2001:db8::2"),
    "remote_ip": ("ADDRESS", "address of the script, instead of 192.0.2.1 or 2001:db8::1"),
    "bind_port": ("PORT", "port that `bind(3, ..., ...)` takes, instead of 8080"),
    "connect_port": ("PORT", "port that `connect(3, ..., ...)` goes to, instead of 8080"),
    "tcp_ts_tick_usecs": ("N", "check timestamps of the stack: so many µs are one tick"),
    "seed": ("N", "another source of sequence numbers and ports"),
}


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "drill",
        help="run packetdrill scripts against the stack in virtual time",
        description="Runs scripts in packetdrill's language against the stack in virtual time, "
        "or writes one from a capture. Exit status: 0 when all passed, 1 when one failed, "
        "2 when one cannot be read.",
        epilog=EXAMPLES,
    )
    parser.add_argument("files", metavar="FILE.pkt", nargs="*", type=Path, help="scripts, folders")
    parser.add_argument(
        "--define",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="have NAME read as VALUE in the scripts; may be repeated",
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a setting of the stack's TCP, such as sack=false; may be repeated",
    )
    for name, (metavar, text) in _OPTIONS.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=text)
    parser.add_argument(
        "--strict", action="store_true", help="fail when packets are left that no line expects"
    )
    parser.add_argument("--trace", action="store_true", help="show the packets of every script")
    parser.add_argument("--quiet", action="store_true", help="print nothing of what passes")
    parser.add_argument(
        "--record", metavar="CAPTURE.pcapng", type=Path, help="write a script from a capture"
    )
    parser.add_argument("-o", "--output", metavar="FILE.pkt", type=Path, help="where to write it")
    parser.add_argument("--address", metavar="IP", help="which side of the capture is the stack")
    parser.add_argument(
        "--connection", metavar="N", type=int, help="which connection of the capture, from 1"
    )
    parser.set_defaults(handler=drill)


def drill(args: argparse.Namespace) -> int:
    """Carries the subcommand out; returns 0, or 1 when a script failed."""
    if args.record is not None:
        return _record(args)
    for name in ("output", "address", "connection"):
        if getattr(args, name) is not None:
            raise UsageError(f"--{name} belongs to --record CAPTURE.pcapng: give that, too")
    if not args.files:
        raise UsageError("give a script to run, such as `tunstack drill hello.pkt`")
    return _run(args)


def _run(args: argparse.Namespace) -> int:
    from stack.sim.drill.parser import definition, load
    from stack.sim.drill.report import report, summary
    from stack.sim.drill.runner import run

    options = {name: getattr(args, name) for name in _OPTIONS if getattr(args, name) is not None}
    definitions = dict(definition(text) for text in args.define)
    # Each is read before any is run: a script that cannot be read is no result.
    scripts = [load(path, options, definitions, args.set) for path in _scripts(args.files)]
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    outcomes = []
    for script in scripts:
        outcome = run(script, strict=args.strict)
        outcomes.append(outcome)
        if outcome.failure is not None or outcome.notes or not args.quiet:
            print("\n".join(report(outcome, trace=args.trace, colour=colour)))
    if not args.quiet or any(outcome.failure for outcome in outcomes):
        print(summary(outcomes))
    return int(any(outcome.failure for outcome in outcomes))


def _scripts(given: list[Path]) -> list[Path]:
    """The files, and those below folders in the order of their names."""
    found: list[Path] = []
    for path in given:
        inside = sorted(path.rglob("*.pkt")) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"there is no script (*.pkt) in {path}")
        found += inside
    return found


def _record(args: argparse.Namespace) -> int:
    from stack.sim.drill.record import record

    if args.files:
        raise UsageError("--record writes a script and runs none: give scripts in another command")
    if args.output is None:
        raise UsageError("--record needs a place for the script: add `-o FILE.pkt`")
    recorded = record(args.record, address=args.address, connection=args.connection)
    try:
        args.output.write_text(recorded.text, "utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {args.output}: {error.strerror}") from error
    print(f"{args.output}: {recorded.remark}")
    return 0 if recorded.passes else 1
