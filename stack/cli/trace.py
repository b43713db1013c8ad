"""`tunstack trace`: a capture file in our text format."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

from stack.errors import UsageError

EXAMPLES = """\
examples:
  tunstack trace demo.pcapng
  tunstack trace --no-reasons demo.pcapng
  sudo tcpdump -i lo -w - | tunstack trace -
"""


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "trace",
        help="print a capture file (pcap or pcapng) as a text trace",
        description="Prints a pcap or pcapng file, a line for each packet, as Wireshark's list "
        "has it; packet comments stand under their packet.",
        epilog=EXAMPLES,
    )
    parser.add_argument("file", metavar="FILE", help="the capture, or - for standard input")
    parser.add_argument(
        "--colour",
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="auto colours what goes to a terminal",
    )
    parser.add_argument("--no-reasons", action="store_true", help="leave packet comments out")
    parser.set_defaults(handler=trace)


def trace(args: argparse.Namespace) -> int:
    """Carries the subcommand out; returns 0."""
    colour = args.colour == "always" or (args.colour == "auto" and _terminal_with_colours())
    with _open(args.file) as stream:
        name = "standard input" if args.file == "-" else args.file
        print_capture(stream, name, colour=colour, reasons=not args.no_reasons)
    return 0


def print_capture(stream: BinaryIO, name: str, *, colour: bool, reasons: bool) -> None:
    """Prints a capture to standard output. UsageError: what is wrong with the file `name`."""
    from stack.observe.trace import TextTrace
    from stack.wire import pcapng

    live = not stream.seekable()
    text = TextTrace(sys.stdout.write, colour=colour, reasons=reasons)
    try:
        for captured in pcapng.read(stream):
            if isinstance(captured, pcapng.CapturedSecrets):
                for line in captured.key_log.splitlines():
                    text.add_secret(line)
                continue
            text.packet(
                captured.time_us,
                captured.data,
                [line for comment in captured.comments for line in comment.splitlines()],
                outbound=captured.outbound,
                note=captured.note,
            )
            if live:  # someone may be watching packets as they come
                sys.stdout.flush()
    except ValueError as error:
        sys.stdout.flush()
        raise UsageError(f"{name}: {error}") from error


def _open(name: str) -> BinaryIO:
    if name == "-":
        if sys.stdin.isatty():
            raise UsageError("standard input is a terminal: pipe a capture into it")
        return sys.stdin.buffer
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from error


def _terminal_with_colours() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ
