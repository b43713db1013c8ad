"""`tunstack fetch`: our stack as the client of an HTTP server."""

import argparse
import asyncio
import errno
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from stack.cli.options import FAULTS, WatchOptions, add_watch_options, read_watch_options
from stack.errors import UsageError
from stack.link.prefix import Interface, stack_address

if TYPE_CHECKING:
    import httpx

    from stack.http.fetch import Progress, Request
    from stack.http.partial import Partial
    from stack.link.tun import TunLink

EXAMPLES = """\
examples:                               the first ones inside `tunstack run -- bash`
  tunstack fetch http://192.0.2.2/
  tunstack fetch -k -v https://192.0.2.2/
  tunstack fetch -d name=value http://192.0.2.2/echo
  tunstack fetch -O -C http://192.0.2.2/bytes/1G     goes on where Ctrl-C ended it
  tunstack fetch --http2-prior-knowledge --trace 'http://[2001:db8::2]/'
  sudo tunstack fetch -o page.html http://198.51.100.1:8000/    a server of this machine

The exit status is 0 for a whole response, 22 for an error status with --fail, 1 when there
is no whole response, 2 for wrong use, 130 after Ctrl-C.
"""
DEFAULT_ADDRESSES = ("198.51.100.2/24", "2001:db8:1::2/64")
FORM = "application/x-www-form-urlencoded"
HTTP_ERROR = 22
"""The exit status for --fail, curl's."""


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
    _add_request(parser)
    _add_output(parser)
    _add_connection(parser)
    add_watch_options(parser)
    parser.set_defaults(handler=fetch)


def _add_request(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the request, as for curl")
    group.add_argument("-X", "--request", metavar="METHOD", help="instead of GET (or POST)")
    group.add_argument("-I", "--head", action="store_true", help="ask for the header only")
    group.add_argument(
        "-H",
        "--header",
        metavar="NAME: VALUE",
        action="append",
        default=[],
        help="a header field; `NAME:` leaves one out; may be repeated",
    )
    group.add_argument(
        "-d",
        "--data",
        metavar="DATA",
        action="append",
        default=[],
        help="a form's data to POST; @FILE takes it from a file, without line ends",
    )
    group.add_argument(
        "--data-binary",
        metavar="DATA",
        action="append",
        default=[],
        help="the same, with line ends",
    )
    group.add_argument(
        "--max-redirs",
        metavar="N",
        type=int,
        default=10,
        help="follow at most N redirections (10); 0 shows the redirection itself",
    )
    version = group.add_mutually_exclusive_group()
    version.add_argument(
        "--http1.1", dest="version", action="store_const", const="1.1", help="HTTP/1.1 only"
    )
    version.add_argument(
        "--http2",
        dest="version",
        action="store_const",
        const="auto",
        help="HTTP/2 where TLS negotiates it (the default)",
    )
    version.add_argument(
        "--http2-prior-knowledge",
        dest="version",
        action="store_const",
        const="2-prior-knowledge",
        help="HTTP/2 at once, without TLS",
    )
    parser.set_defaults(version="auto")


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the response")
    place = group.add_mutually_exclusive_group()
    place.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="write the body there; kept as FILE.part until it is whole",
    )
    place.add_argument(
        "-O",
        "--remote-name",
        action="store_true",
        help="the same, with the URL's last part as FILE",
    )
    group.add_argument(
        "-C",
        "--continue",
        dest="resume",
        action="store_true",
        help="go on with what an earlier try left, if the server's file is still the same",
    )
    group.add_argument("-i", "--include", action="store_true", help="print the header, too")
    group.add_argument(
        "-f", "--fail", action="store_true", help="an error status is a failure, without a body"
    )
    group.add_argument("-s", "--silent", action="store_true", help="no progress bar")
    group.add_argument(
        "-v", "--verbose", action="store_true", help="print heads and HTTP/2 frames to stderr"
    )


def _add_connection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the connection")
    group.add_argument("-k", "--insecure", action="store_true", help="accept any certificate")
    group.add_argument(
        "--cacert", metavar="FILE", type=Path, help="trust these authorities (PEM) only"
    )
    group.add_argument(
        "--resolve",
        metavar="HOST:PORT:ADDRESS",
        action="append",
        default=[],
        type=_place,
        help="where a host is; may be repeated",
    )
    group.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=60.0,
        help="give up when nothing moves for this time (60)",
    )
    group.add_argument("--tun", metavar="NAME", default="", help="name of the stack's device")
    group.add_argument(
        "--address",
        metavar="CIDR",
        action="append",
        type=stack_address,
        help=f"the stack's address, instead of {' and '.join(DEFAULT_ADDRESSES)}",
    )


def fetch(args: argparse.Namespace) -> int:
    """Carries the subcommand out; returns the exit status."""
    from stack.cli.device import open_device
    from stack.http.partial import Partial

    request = read_request(args)
    watch = read_watch_options(args)
    path = _path(args)
    addresses = args.address or [stack_address(text) for text in DEFAULT_ADDRESSES]
    link = None
    with _output(path) as output:
        try:
            link = open_device(args.tun, addresses)
            return asyncio.run(_fetch(args, request, link, addresses, watch, output))
        except TimeoutError:
            problem = f"nothing came for {args.timeout:g} s; --timeout SECONDS waits longer"
        except KeyboardInterrupt:
            problem = "interrupted"
        except OSError as error:
            problem = _explain(error, args.url)
    kept = ""
    if isinstance(output, Partial) and output.kept:
        kept = f"; {output.kept} bytes are kept in {output.part}, which --continue goes on with"
    print(f"tunstack: {problem}{kept}", file=sys.stderr)
    return 130 if problem == "interrupted" else 1


async def _fetch(
    args: argparse.Namespace,
    request: "Request",
    link: "TunLink",
    addresses: Sequence[Interface],
    watch: WatchOptions,
    output: "Partial | IO[bytes]",
) -> int:
    from stack.cli.station import key_logger, open_host

    async with open_host(link, addresses, watch) as host:
        return await fetch_over(args, request, host, output, keylog=key_logger(host))


async def fetch_over(
    args: argparse.Namespace,
    request: "Request",
    host: Any,
    output: "Partial | IO[bytes]",
    **options: Any,
) -> int:
    """Fetches as `args` say over `host`; returns the exit status. Raises OSError."""
    from stack.cli.narrator import Narrator
    from stack.http import fetch as http
    from stack.http.partial import Partial

    def heard(response: "httpx.Response") -> None:
        if args.fail and response.status_code >= 400:
            raise _ErrorStatus(response.status_code)
        if args.include or args.head:
            _print_head(response)

    client = http.open_client(
        host,
        version=args.version,
        verify=not args.insecure,
        authorities=_authorities(args.cacert),
        places=dict(args.resolve),
        watch=(lambda: Narrator(_note)) if args.verbose else None,
        timeout=args.timeout,
        redirects=args.max_redirs,
        **options,
    )
    try:
        async with client as opened:
            with _progress(args, output) as progress:
                if isinstance(output, Partial):
                    await http.download(
                        opened,
                        request,
                        output,
                        resume=args.resume,
                        on_head=heard,
                        progress=progress,
                    )
                else:
                    await http.fetch(opened, request, output, on_head=heard, progress=progress)
    except _ErrorStatus as error:
        print(f"tunstack: {args.url}: the server says {error.status}", file=sys.stderr)
        return HTTP_ERROR
    return 0


class _ErrorStatus(Exception):
    """The response's status says that there is no use in its body."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def read_request(args: argparse.Namespace) -> "Request":
    """What to ask for. Raises UsageError when it cannot be asked for."""
    from stack.http.fetch import Request

    if args.head and (args.data or args.data_binary):
        raise UsageError("--head asks for no body, and --data sends one: give one of them")
    if args.max_redirs < 0:
        raise UsageError("--max-redirs takes a number from 0 up")
    fields = tuple(map(_field, args.header))
    parts = [_data(text, binary=False) for text in args.data]
    parts += [_data(text, binary=True) for text in args.data_binary]
    body = b"&".join(parts) if parts else None
    method = args.request or ("HEAD" if args.head else "GET" if body is None else "POST")
    names = {name.lower() for name, _ in fields}
    if body is not None and "content-type" not in names:
        fields = ("content-type", FORM), *fields
    request = Request(args.url, method, fields, body)
    request.target()
    return request


def _field(text: str) -> tuple[str, str | None]:
    """`Name: value`; `Name:` leaves a usual field out, `Name;` sends it empty, as with curl."""
    name, colon, value = text.partition(":")
    if not colon and text.endswith(";"):
        return text[:-1], ""
    if not colon or not name.strip():
        raise UsageError(f"-H {text!r}: write NAME: VALUE")
    return name.strip(), value.strip() or None


def _data(text: str, *, binary: bool) -> bytes:
    if not text.startswith("@"):
        return text.encode()
    try:
        data = sys.stdin.buffer.read() if text == "@-" else Path(text[1:]).read_bytes()
    except OSError as error:
        raise UsageError(f"--data {text}: {error.strerror}") from error
    return data if binary else data.replace(b"\r", b"").replace(b"\n", b"")


def _place(text: str) -> tuple[tuple[str, int], str]:
    """HOST:PORT:ADDRESS, the address perhaps in brackets."""
    host, _, rest = text.partition(":")
    port, _, address = rest.partition(":")
    if not host or not port.isdigit() or not address:
        raise UsageError(f"--resolve {text!r}: write HOST:PORT:ADDRESS")
    return (host.lower(), int(port)), address.strip("[]")


def _path(args: argparse.Namespace) -> Path | None:
    if args.remote_name:
        text = args.url if "://" in args.url else f"http://{args.url}"
        name = unquote(urlsplit(text).path).rpartition("/")[2]
        if name in {"", ".", ".."} or "\0" in name:
            raise UsageError("-O: the URL ends without a name; say one with -o FILE")
        return Path(name)
    if args.resume and args.output is None:
        raise UsageError("--continue needs a file to go on with: give -o FILE or -O")
    found: Path | None = args.output
    return None if found == Path("-") else found


def _authorities(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"--cacert {path}: {error.strerror}") from error


def _explain(error: OSError, url: str) -> str:
    """One line about what went wrong on the way, with the mend where there is one."""
    words = error.strerror or str(error) or type(error).__name__
    if error.errno == errno.ECONNREFUSED:
        return f"{url}: connection refused"
    mend = "; --insecure accepts any" if "certificate" in words else ""
    return f"{url}: {words}{mend}"


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print_head(response: "httpx.Response") -> None:
    """The header as it came, in HTTP/1.1's form."""
    first = f"{response.http_version} {response.status_code} {response.reason_phrase}".rstrip()
    lines = [first.encode("latin-1", "replace")]
    lines += [b"%s: %s" % field for field in response.headers.raw]
    sys.stdout.buffer.write(b"\r\n".join(lines) + b"\r\n\r\n")


@contextmanager
def _progress(
    args: argparse.Namespace, output: "Partial | IO[bytes]"
) -> Iterator["Progress | None"]:
    """A bar, when a person looks on who sees nothing else of the download."""
    quiet = args.silent or args.verbose or args.trace or not sys.stderr.isatty()
    if quiet or (output is sys.stdout.buffer and sys.stdout.isatty()):
        yield None
        return
    from rich.console import Console

    from stack.cli.progress import Bar

    with Bar(urlsplit(args.url).path.rpartition("/")[2] or "body", Console(stderr=True)) as bar:
        yield bar


@contextmanager
def _output(path: Path | None) -> Iterator["Partial | IO[bytes]"]:
    """Where the body goes: a file of that name once it is whole, or standard output.

    What is no plain file, such as /dev/null, is written to as it comes.
    """
    from stack.http.partial import Partial

    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if not path.parent.is_dir() or path.is_dir():
        raise UsageError(f"-o {path}: this cannot be written to as a file")
    if path.is_file() or not path.exists():
        yield Partial(path)
        return
    try:
        file = path.open("wb")
    except OSError as error:
        raise UsageError(f"-o {path}: {error.strerror}") from error
    with file:
        yield file
