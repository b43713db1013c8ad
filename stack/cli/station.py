"""A host on its link with everything that `run`, `serve` and `fetch` put around it."""

import asyncio
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from os import urandom
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from stack.cli.application import AppSource
from stack.cli.options import ServerOptions, WatchOptions
from stack.core.config import HostConfig
from stack.core.counters import COUNTERS
from stack.core.events import KeyLogged
from stack.core.host import Host
from stack.core.tcp.config import TcpConfig
from stack.errors import UsageError
from stack.link.base import Link, LinkLost
from stack.link.impaired import ImpairedLink
from stack.link.prefix import Interface
from stack.run import memory
from stack.sockets.aio import AsyncHost
from stack.sockets.blocking import BlockingHost

if TYPE_CHECKING:
    from stack.http.certificate import Certificate
    from stack.http.server import HttpServer
    from stack.http.service import AccessRecord
    from stack.observe.capture import Capture
    from stack.observe.recording.recorder import Recorder

GRACE = 1.0
"""Seconds that requests under way get at the end."""

CONFIG = HostConfig(tcp=TcpConfig(scaled_window_update=True))
"""Peers shall see the whole receive window from the first moment on."""

PARTING = 0.02
"""Seconds for the last segments of connections that the end of a run closes."""


@dataclass(frozen=True, slots=True)
class Station:
    """A host that serves, and where."""

    host: AsyncHost
    server: ServerOptions

    def announcement(self) -> str:
        """Where to find the server, in one line."""
        return announcement(self.server)


def announcement(server: ServerOptions) -> str:
    """Where to find a server with these options, in one line."""
    hosts = [_in_url(address) for address in server.addresses]
    urls = [
        f"{scheme}://{host}{'' if port == default else f':{port}'}/"
        for scheme, default, ports in (
            ("http", 80, server.http_ports),
            ("https", 443, server.https_ports),
        )
        for port in ports[:1]
        for host in hosts
    ]
    return f"tunstack answers at {', '.join(urls)}"


@asynccontextmanager
async def open_host(
    link: Link, addresses: Sequence[Interface], watch: WatchOptions
) -> AsyncIterator[AsyncHost]:
    """A host on `link` with its faults and its observers; takes the link over."""
    asyncio.get_running_loop().set_exception_handler(_report)
    async with AsyncExitStack() as exits:
        exits.callback(link.close)
        link = _impaired(link, watch)
        epoch = time.time_ns() // 1000 - round(asyncio.get_running_loop().time() * 1e6)
        make = Host if watch.record is None else _recorder(watch.record, epoch, exits).host
        host = make(
            [str(address) for address in addresses],
            random_bytes=watch.random_bytes(),
            config=CONFIG,
            mtu=link.mtu,
        )
        _observe(host, addresses, watch, epoch, exits)
        running = AsyncHost(host, link, busy_poll=watch.busy_poll)
        yield await exits.enter_async_context(running)


@contextmanager
def open_dropin(
    link: Link, addresses: Sequence[Interface], watch: WatchOptions
) -> Iterator[BlockingHost]:
    """A host on `link`, driven by a thread, with the drop-in in place of `socket` for its
    addresses; takes the link over.
    """
    from stack.sockets import dropin

    with ExitStack() as exits:
        host = dropin.open_host(
            _impaired(link, watch),
            *map(str, addresses),
            random_bytes=watch.random_bytes(),
            config=CONFIG,
        )
        epoch = (time.time_ns() - time.monotonic_ns()) // 1000
        _observe(host.host, addresses, watch, epoch, exits)
        exits.callback(host.close)
        exits.enter_context(dropin.installed(host))
        yield host


def _impaired(link: Link, watch: WatchOptions) -> Link:
    if watch.impairments is None:
        return link
    seed = int.from_bytes(urandom(8)) if watch.seed is None else watch.seed
    return ImpairedLink(link, watch.impairments, seed)


@asynccontextmanager
async def open_station(
    link: Link,
    source: AppSource,
    server: ServerOptions,
    watch: WatchOptions,
    *,
    tls: ssl.SSLContext | None = None,
    say: Callable[[str], None] | None = None,
) -> AsyncIterator[Station]:
    """A host that serves the application; at the end its connections are closed, not reset.

    `tls` is for the HTTPS ports, instead of the user's certificate; `say` gets the counters, when
    they are asked for, instead of standard error.
    """
    from stack.http.limits import Limits
    from stack.http.server import HttpServer

    app = source.load()
    async with open_host(link, server.addresses, watch) as host:
        log = None if server.access_log is None else AccessLog(server.access_log)
        running = HttpServer(
            host,
            app,
            certificate=None if tls else server_certificate(server),
            tls=tls,
            keylog=key_logger(host),
            access_log=log,
            limits=Limits(rfc7540_priorities=server.rfc7540_priorities),
        )
        await running.start(server.http_ports, server.https_ports)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(
            signal.SIGUSR1, _print_counters, host.host, running, say or write_stderr
        )
        restarts: set[asyncio.Task[None]] = set()

        def restart() -> None:
            restarts.add(loop.create_task(_restart(running, source, log)))

        loop.add_signal_handler(signal.SIGUSR2, restart)
        memory.settle()
        try:
            yield Station(host, server)
        finally:
            loop.remove_signal_handler(signal.SIGUSR2)
            await running.close(GRACE)
            await asyncio.gather(*restarts, return_exceptions=True)
            if log is not None:
                log.close()
            await asyncio.sleep(PARTING)


async def _restart(server: "HttpServer", source: AppSource, log: "AccessLog | None") -> None:
    """The application as it is now serves from now on; one that cannot leaves the old one there."""
    try:
        if log is not None:
            log.reopen()
        await server.restart(source.reload())
    except UsageError as error:
        write_stderr(f"tunstack: {error}; the application that was running goes on\n")


class AccessLog:
    """A file that can be renamed while it is written, and then is opened anew."""

    def __init__(self, path: Path) -> None:
        from stack.http.access_log import logger

        self._path = path
        self._file = self._open()
        self._log = logger(self._write)

    def __call__(self, record: "AccessRecord") -> None:
        """Writes one line."""
        self._log(record)

    def _open(self) -> IO[str]:
        if self._path == Path("-"):
            return sys.stdout
        try:
            return self._path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise UsageError(f"--access-log {self._path}: {error.strerror}") from error

    def _write(self, line: str) -> None:
        self._file.write(line)
        if self._file is sys.stdout:
            self._file.flush()

    def reopen(self) -> None:
        """Goes on in a new file of the name. Raises UsageError, and goes on in the old one then."""
        new = self._open()
        self.close()
        self._file = new

    def close(self) -> None:
        """Ends the file; standard output stays."""
        if self._file is not sys.stdout:
            self._file.close()


def server_certificate(server: ServerOptions) -> "Certificate":
    """The user's own, kept from run to run; one for this run where nothing can be kept."""
    from stack.http.certificate import kept_certificate, make_certificate, state_directory

    names = ["localhost", *(str(address.ip) for address in server.addresses)]
    try:
        return kept_certificate(state_directory(), names)
    except UsageError:
        return make_certificate(names)


def key_logger(host: AsyncHost) -> Callable[[str], None]:
    """Publishes lines of TLS secrets to the observers of `host`."""

    def publish(line: str) -> None:
        host.host.publish(KeyLogged(host.driver.now(), line))

    return publish


def _observe(
    host: Host,
    addresses: Sequence[Interface],
    watch: WatchOptions,
    epoch: int,
    exits: ExitStack | AsyncExitStack,
) -> None:
    """Attaches those who watch. What they have open is closed behind the host's last packet.
    `epoch`, added to the host's time, makes µs since 1970.
    """
    if watch.capture is not None:
        from stack.observe.capture import Capture

        capture = Capture(watch.capture, epoch_us=epoch)
        exits.callback(_finish, capture, watch.capture)
        host.observe(capture)
    if watch.trace:
        from stack.observe.trace import TextTrace

        ours = {address.ip for address in addresses}
        trace = TextTrace(write_stderr, colour=sys.stderr.isatty(), ours=ours)
        host.observe(trace)
        exits.callback(trace.flush)


def _recorder(path: Path, epoch: int, exits: AsyncExitStack) -> "Recorder":
    """Begins a recording, which ends behind the host's last call."""
    from stack.observe.recording.recorder import Recorder

    recorder = Recorder(path, epoch_us=epoch)

    def finish() -> None:
        recorder.close()
        if recorder.error:
            write_stderr(f"tunstack: --record {path}: {recorder.error}\n")

    exits.callback(finish)
    return recorder


def _finish(capture: "Capture", path: Path) -> None:
    """Ends the file; a disk that ran full meanwhile is told, since a part is missing then."""
    capture.close()
    if capture.error:
        write_stderr(f"tunstack: --capture {path}: {capture.error}; the file is incomplete\n")


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Says in one line what is no fault of a program; the rest goes the way of all loops."""
    error = context.get("exception")
    if isinstance(error, LinkLost):
        write_stderr(f"tunstack: {error.strerror}\n")
    else:
        loop.default_exception_handler(context)


def _print_counters(host: Host, server: "HttpServer", say: Callable[[str], None]) -> None:
    """Prints the counters that moved, each with its meaning, and an empty line behind them."""
    from stack.http.counters import COUNTERS as HTTP_COUNTERS

    meanings = {**COUNTERS, **HTTP_COUNTERS}
    moved = {**host.counters.non_zero(), **server.counters.non_zero()}
    lines = (f"{name:<24} {value:>12}  {meanings[name]}\n" for name, value in moved.items())
    say("".join((*lines, "\n")))


def write_stderr(text: str) -> None:
    """Prints what a person who watches shall see, if there still is one."""
    with suppress(BrokenPipeError):  # whoever read it has gone; the host has to go on
        sys.stderr.write(text)
        sys.stderr.flush()


def _in_url(address: Interface) -> str:
    return f"[{address.ip}]" if address.version == 6 else str(address.ip)
