"""`tunstack fetch`: our stack as the client of an HTTP server."""

import argparse
import asyncio
import errno
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from stack.cli.options import FAULTS, WatchOptions, add_watch_options, read_watch_options
from stack.errors import UsageError
from stack.link.prefix import Interface, stack_address

if TYPE_CHECKING:
    from stack.link.tun import TunLink

EXAMPLES = """\
examples:                               the first ones inside `tunstack run -- bash`
  tunstack fetch http://192.0.2.2/
  tunstack fetch -k -v https://192.0.2.2/
  tunstack fetch --http2-prior-knowledge --trace 'http://[2001:db8::2]/'
  sudo tunstack fetch -o page.html http://198.51.100.1:8000/    a server of this machine
"""
DEFAULT_ADDRESSES = ("198.51.100.2/24", "2001:db8:1::2/64")


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "fetch",
        help="get a URL with our stack as the client",
        description="Gets a URL over our own TCP and prints the body. The stack has a TUN "
        "device of its own,\nfor which it needs CAP_NET_ADMIN, as inside `tunstack run`.",
        epilog=EXAMPLES + FAULTS,
    )
    parser.add_argument("url", metavar="URL")
    version = parser.add_mutually_exclusive_group()
    version.add_argument(
        "--http1.1", dest="version", action="store_const", const="1.1", help="HTTP/1.1 only"
    )
    version.add_argument(
        "--http2",
        dest="version",
        action="store_const",
        const="2",
        help="HTTP/2: by ALPN, or by upgrade without TLS",
    )
    version.add_argument(
        "--http2-prior-knowledge",
        dest="version",
        action="store_const",
        const="2-prior-knowledge",
        help="HTTP/2 at once, without TLS",
    )
    parser.set_defaults(version="auto")
    parser.add_argument("-k", "--insecure", action="store_true", help="accept any certificate")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write the body there")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="print connection and header to stderr"
    )
    parser.add_argument("--tun", metavar="NAME", default="", help="name of the stack's device")
    parser.add_argument(
        "--address",
        metavar="CIDR",
        action="append",
        type=stack_address,
        help=f"the stack's address, instead of {' and '.join(DEFAULT_ADDRESSES)}",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=60.0,
        help="give up after this time (60)",
    )
    add_watch_options(parser)
    parser.set_defaults(handler=fetch)


def fetch(args: argparse.Namespace) -> int:
    """Carries the subcommand out; returns 0 for any whole response, 1 when there is none."""
    from stack.cli.device import open_device
    from stack.http.url import parse_url

    parse_url(args.url)
    watch = read_watch_options(args)
    addresses = args.address or [stack_address(text) for text in DEFAULT_ADDRESSES]
    with _output(args.output) as output:
        link = open_device(args.tun, addresses)
        try:
            asyncio.run(_fetch(args, link, addresses, watch, output))
        except TimeoutError:
            problem = f"no whole answer within {args.timeout:g} s; --timeout SECONDS waits longer"
        except OSError as error:
            problem = _explain(error, args.url)
        else:
            return 0
    print(f"tunstack: {problem}", file=sys.stderr)
    return 1


async def _fetch(
    args: argparse.Namespace,
    link: "TunLink",
    addresses: Sequence[Interface],
    watch: WatchOptions,
    output: IO[bytes],
) -> None:
    from stack.cli.station import key_logger, open_host
    from stack.http import client

    def take(data: bytes) -> None:
        output.write(data)

    async with open_host(link, addresses, watch) as host, asyncio.timeout(args.timeout):
        await client.fetch(
            host,
            args.url,
            http_version=args.version,
            verify=not args.insecure,
            keylog=key_logger(host),
            on_data=take,
            verbose=_note if args.verbose else None,
        )


def _explain(error: OSError, url: str) -> str:
    """One line about what went wrong on the way, with the mend where there is one."""
    words = error.strerror or str(error) or type(error).__name__
    if error.errno == errno.ECONNREFUSED:
        return f"{url}: connection refused"
    mend = "; --insecure accepts any" if "certificate" in words else ""
    return f"{url}: {words}{mend}"


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _output(path: Path | None) -> Iterator[IO[bytes]]:
    """Where the body goes: a file of that name, or standard output."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        file = path.open("wb")
    except OSError as error:
        raise UsageError(f"-o {path}: {error.strerror}") from error
    with file:
        yield file
