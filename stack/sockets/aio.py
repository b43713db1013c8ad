"""asyncio on a host of ours: servers and connections with the signatures of asyncio's own."""

import asyncio
import errno
import socket
import ssl as tls
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self, TypeVar

from stack.core.host import Host
from stack.core.ready import Ready
from stack.core.tcp.connection import Connection
from stack.core.tcp.listener import Listener
from stack.link.base import Link
from stack.run.aio import AsyncioDriver
from stack.run.pump import Driver, lingers
from stack.sockets.datagram import UdpTransport
from stack.sockets.datagram_endpoint import create_datagram_endpoint
from stack.sockets.names import check_port, error_of
from stack.sockets.resolve import Endpoint, resolve, resolve_listening
from stack.sockets.server import Server
from stack.sockets.tls import TlsSettings, client_tls, server_tls
from stack.sockets.transport import TcpTransport

BACKLOG = 100
_GLANCE = 0.005  # seconds
STREAM_LIMIT = 1 << 16  # bytes that a StreamReader holds before it stops reading

ClientConnected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]
P = TypeVar("P", bound=asyncio.BaseProtocol)


class AsyncHost:
    """A host for asyncio applications: takes over `host` and `link` and drives them.

    Parameters are those of asyncio's functions of the same names, and so are the
    exceptions. Another `driver` than the loop's own may be given; `busy_poll` (µs) is for
    that one, see `AsyncioDriver`. An async context manager that ends with `aclose`.
    """

    def __init__(
        self,
        host: Host,
        link: Link,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        driver: Driver | None = None,
        busy_poll: int = 0,
    ) -> None:
        self.host = host
        self.link = link
        self.loop = loop or asyncio.get_running_loop()
        self.driver = driver or AsyncioDriver(host, link, self.loop, busy_poll=busy_poll)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self, linger: float = 1.0) -> None:
        """Gives what was closed before up to `linger` seconds to reach its peer, resets what
        is still open, and gives the link back.
        """
        patience = self.loop.time() + linger
        # A connection that nobody owns tells nobody, so there is no event to wait for.
        while lingers(self.host) and self.loop.time() < patience:  # noqa: ASYNC110
            await asyncio.sleep(_GLANCE)
        self.host.close(self.driver.now())
        self.driver.close()
        self.link.close()
        await asyncio.sleep(0)  # lets protocols hear that their connections are lost

    # Servers.

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | Iterable[str] | None = None,
        port: int | str | None = None,
        *,
        family: int = socket.AF_UNSPEC,
        flags: int = socket.AI_PASSIVE,
        sock: None = None,
        backlog: int = BACKLOG,
        ssl: tls.SSLContext | None = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> Server:
        """Like loop.create_server: listens on every address that is named.

        `reuse_address` changes nothing: an old connection never keeps a port from a listener.
        """
        secured = server_tls(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if sock is not None:
            raise ValueError("sock: a socket of the kernel is not on this host")
        if reuse_port:
            raise ValueError("reuse_port is not supported: one process serves a host")
        endpoints = await resolve_listening(self.loop, host, port, family=family, flags=flags)
        listeners = self._listen(endpoints)
        server = Server(self.loop, self.driver, listeners, backlog, protocol_factory, secured)
        if start_serving:
            await server.start_serving()
        return server

    async def start_server(
        self,
        client_connected_cb: ClientConnected,
        host: str | Iterable[str] | None = None,
        port: int | str | None = None,
        *,
        limit: int = STREAM_LIMIT,
        **options: Any,
    ) -> Server:
        """Like asyncio.start_server: calls back with a reader and a writer for each client."""

        def factory() -> asyncio.BaseProtocol:
            reader = asyncio.StreamReader(limit, self.loop)
            return asyncio.StreamReaderProtocol(reader, client_connected_cb, self.loop)

        return await self.create_server(factory, host, port, **options)

    def _listen(self, endpoints: list[tuple[str | None, int]]) -> list[Listener]:
        listeners: list[Listener] = []
        try:
            for address, port in endpoints:
                check_port(port, "bind")
                listeners.append(self._listen_on(address, port))
        except BaseException:
            for listener in listeners:
                listener.close(self.driver.now())
            raise
        return listeners

    def _listen_on(self, address: str | None, port: int) -> Listener:
        try:
            listener = self.host.listen(address, port)
        except OSError as error:
            raise OSError(
                error.errno,
                f"error while attempting to bind on address {(address or '', port)!r}: "
                f"{(error.strerror or '').lower()}",
            ) from None
        listener.backlog = 0  # nobody is let in before the server says so
        return listener

    # Clients.

    async def create_connection(
        self,
        protocol_factory: Callable[[], P],
        host: str | None = None,
        port: int | str | None = None,
        *,
        ssl: tls.SSLContext | bool | None = None,
        family: int = 0,
        flags: int = 0,
        sock: None = None,
        local_addr: tuple[str, int] | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        all_errors: bool = False,
    ) -> tuple[asyncio.Transport, P]:
        """Like loop.create_connection: tries the addresses of a name one after the other."""
        secured = client_tls(
            ssl, host, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout
        )
        if sock is not None:
            raise ValueError("sock: a socket of the kernel is not on this host")
        if host is None and port is None:
            raise ValueError("host and port was not specified and no sock specified")
        local = await self._resolve_local(local_addr, family)
        remotes = await resolve(self.loop, host, port, family=family, flags=flags)
        connection = await self._connect_any(remotes, local, all_errors=all_errors)
        return await self._serve(connection, protocol_factory, secured)

    async def open_connection(
        self,
        host: str | None = None,
        port: int | str | None = None,
        *,
        limit: int = STREAM_LIMIT,
        **options: Any,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Like asyncio.open_connection: a reader and a writer."""
        reader = asyncio.StreamReader(limit, self.loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self.loop)
        transport, _ = await self.create_connection(lambda: protocol, host, port, **options)
        return reader, asyncio.StreamWriter(transport, protocol, reader, self.loop)

    # Datagrams.

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], P],
        local_addr: tuple[str, int] | None = None,
        remote_addr: tuple[str, int] | None = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: None = None,
    ) -> tuple[UdpTransport, P]:
        """Like loop.create_datagram_endpoint: tries the addresses of names one after the other."""
        if sock is not None:
            raise ValueError("sock: a socket of the kernel is not on this host")
        if proto not in (0, socket.IPPROTO_UDP):
            raise error_of(errno.EPROTONOSUPPORT)
        return await create_datagram_endpoint(
            self.loop,
            self.driver,
            protocol_factory,
            local_addr,
            remote_addr,
            family=family,
            flags=flags,
            reuse_port=bool(reuse_port),
            allow_broadcast=bool(allow_broadcast),
        )

    async def _resolve_local(
        self, local_addr: tuple[str, int] | None, family: int
    ) -> list[Endpoint]:
        if local_addr is None:
            return []
        return await resolve(self.loop, *local_addr, family=family)

    async def _connect_any(
        self, remotes: list[Endpoint], local: list[Endpoint], *, all_errors: bool
    ) -> Connection:
        errors: list[OSError] = []
        for remote in remotes:
            try:
                return await self._connect(remote, _of_same_version(local, remote))
            except OSError as error:
                errors.append(error)
        if all_errors:
            raise ExceptionGroup("create_connection failed", errors)
        if len({str(error) for error in errors}) == 1:
            raise errors[0]
        raise OSError(f"Multiple exceptions: {', '.join(map(str, errors))}")

    async def _connect(self, remote: Endpoint, local: Endpoint | None) -> Connection:
        check_port(remote[1], "connect")
        local_address, local_port = local or (None, 0)
        connection = self.host.connect(
            *remote, self.driver.now(), local_address=local_address, local_port=local_port
        )
        self.driver.wake()
        attempt = _Attempt(connection, self.loop.create_future())
        try:
            await attempt.done
        except BaseException:
            connection.abort(self.driver.now())
            self.driver.wake()
            raise
        finally:
            connection.owner = None
        return connection

    async def _serve(
        self,
        connection: Connection,
        protocol_factory: Callable[[], P],
        secured: TlsSettings | None,
    ) -> tuple[asyncio.Transport, P]:
        """Puts a protocol on a connection, and waits for TLS where there is any."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        transport: asyncio.Transport
        try:
            protocol = protocol_factory()
            if secured is None:
                transport = TcpTransport(
                    self.loop, self.driver, connection, protocol, waiter=waiter
                )
            else:
                wrapped = secured.wrap(self.loop, protocol, waiter)
                TcpTransport(self.loop, self.driver, connection, wrapped)
                transport = wrapped._app_transport
        except BaseException:
            connection.abort(self.driver.now())
            self.driver.wake()
            raise
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol


class _Attempt:
    """Owns a connection until its handshake is over."""

    def __init__(self, connection: Connection, done: asyncio.Future[None]) -> None:
        self.done = done
        self._connection = connection
        connection.owner = self

    def on_ready(self, ready: Ready) -> None:
        if self.done.done():
            return
        if ready & (Ready.ERROR | Ready.CLOSED):
            self.done.set_exception(self._error())
        elif ready & Ready.CONNECTED:
            self.done.set_result(None)

    def _error(self) -> OSError:
        number = self._connection.error or errno.ECONNABORTED
        return OSError(number, f"Connect call failed {self._connection.remote}")


def _of_same_version(candidates: list[Endpoint], remote: Endpoint) -> Endpoint | None:
    """The local address to use towards `remote`; raises OSError when none of them can be."""
    if not candidates:
        return None
    for candidate in candidates:
        if (":" in candidate[0]) == (":" in remote[0]):
            return candidate
    raise OSError(f"no matching local address with the same version as {remote[0]} found")
