"""The command `tunstack`."""

import argparse
import os
import sys
from collections.abc import Sequence

import stack
from stack.cli import cert, doctor, drill, fetch, python, replay, run, serve, trace
from stack.cli.options import Parser
from stack.errors import UsageError

EXAMPLES = """\
examples:
  tunstack run --trace -- curl http://192.0.2.2/
  tunstack run -- bash                 a shell beside the stack, to play in
  sudo tunstack serve                  for every program of this machine
  tunstack doctor                      what is missing here, and the mend
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 2 when the input cannot be used."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        args = _parse(given)
        status: int = args.handler(args)
    except UsageError as error:
        print(f"tunstack: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does; the rest is not wanted.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def _parse(given: list[str]) -> argparse.Namespace:
    """Parses what stands before `--`; what stands behind it is the command to run, verbatim."""
    if "--" not in given or given[0] == "python":  # whose program may know what `--` means
        return _parser().parse_args(given)
    middle = given.index("--")
    args = _parser().parse_args(given[:middle])
    if not hasattr(args, "command"):
        raise UsageError("`--` separates a command to run, and only `tunstack run` takes one")
    args.command += given[middle + 1 :]
    return args


def _parser() -> Parser:
    parser = Parser(
        prog="tunstack",
        description="A complete TCP/IP stack in a Python process that can explain itself.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"tunstack {stack.__version__}")
    subparsers = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, dest="subcommand"
    )
    for module in (run, serve, python, fetch, trace, replay, drill, cert, doctor):
        module.add_parser(subparsers)
    return parser
