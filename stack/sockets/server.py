"""A listening server as asyncio has it."""

import asyncio
from collections.abc import Callable, Sequence

from stack.core.ready import Ready
from stack.core.tcp.connection import Connection
from stack.core.tcp.listener import Listener
from stack.run.pump import Driver
from stack.sockets.tcp_options import Settings
from stack.sockets.tls import TlsSettings
from stack.sockets.transport import TcpTransport
from stack.sockets.view import SocketView

ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class Server(asyncio.AbstractServer):
    """Accepts connections on its listeners and gives each a protocol of its own.

    An async context manager that closes on exit. Made by `AsyncHost.create_server`, with
    listeners whose backlog is 0: they take connections from `start_serving` on.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        driver: Driver,
        listeners: Sequence[Listener],
        backlog: int,
        factory: ProtocolFactory,
        tls: TlsSettings | None = None,
    ) -> None:
        self._loop = loop
        self._driver = driver
        self._listeners = tuple(listeners)
        self._backlog = backlog
        self._factory = factory
        self._tls = tls
        self._serving = False
        self._closed = False
        self._transports: dict[TcpTransport, None] = {}  # a set that keeps its order
        self._waiters: list[asyncio.Future[None]] = []
        self._forever: asyncio.Future[None] | None = None
        self._settings = [_settings(listener) for listener in self._listeners]
        for listener in self._listeners:
            listener.owner = _Acceptor(self, listener)

    def __repr__(self) -> str:
        return f"<Server sockets={self.sockets!r}>"

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the server runs on."""
        return self._loop

    def is_serving(self) -> bool:
        """Whether new connections are accepted."""
        return self._serving

    @property
    def sockets(self) -> tuple[SocketView, ...]:
        """What the server listens on; empty once it is closed."""
        if self._closed:
            return ()
        return tuple(
            SocketView(settings, listener.local)
            for settings, listener in zip(self._settings, self._listeners, strict=True)
        )

    async def start_serving(self) -> None:
        """Begins to accept; does nothing when it does already."""
        self.begin()

    def begin(self) -> None:
        """Like `start_serving`, at once."""
        if self._closed:
            raise RuntimeError(f"server {self!r} is closed")
        self._serving = True
        for listener in self._listeners:
            listener.backlog = max(self._backlog, 1)

    async def serve_forever(self) -> None:
        """Accepts until it is cancelled, then closes."""
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        self.begin()
        self._forever = self._loop.create_future()
        try:
            await self._forever
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise
        finally:
            self._forever = None

    def close(self) -> None:
        """Stops listening; connections that were accepted go on."""
        if self._closed:
            return
        self._closed = True
        self._serving = False
        now = self._driver.now()
        for listener in self._listeners:
            listener.owner = None
            listener.close(now)
        self._driver.wake()
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()
        self._wake_waiters()

    def close_clients(self) -> None:
        """Closes every connection that was accepted, after what was written is sent."""
        for transport in list(self._transports):
            transport.close()

    def abort_clients(self) -> None:
        """Resets every connection that was accepted."""
        for transport in list(self._transports):
            transport.abort()

    async def wait_closed(self) -> None:
        """Waits until the server is closed and its last connection has ended."""
        if self._closed and not self._transports:
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def accepted(self, connection: Connection) -> None:
        """Serves one more connection."""
        try:
            protocol = self._factory()
            if self._tls is not None:
                protocol = self._tls.wrap(self._loop, protocol)
            TcpTransport(self._loop, self._driver, connection, protocol, server=self)
        except Exception as error:
            connection.abort(self._driver.now())
            self._loop.call_exception_handler(
                {
                    "message": "Error on transport creation for incoming connection",
                    "exception": error,
                }
            )

    def attach(self, transport: TcpTransport) -> None:
        """A transport begins."""
        self._transports[transport] = None

    def detach(self, transport: TcpTransport) -> None:
        """A transport has ended."""
        self._transports.pop(transport, None)
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        if not self._closed or self._transports:
            return
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


class _Acceptor:
    """Owns one listener of a server."""

    def __init__(self, server: Server, listener: Listener) -> None:
        self._server = server
        self._listener = listener

    def on_ready(self, ready: Ready) -> None:
        if not ready & Ready.ACCEPTED:
            return
        while (connection := self._listener.accept()) is not None:
            self._server.accepted(connection)


def _settings(listener: Listener) -> Settings:
    """What can be set on a listener, for the connections that it opens."""
    settings = Settings(
        version=6 if ":" in listener.local[0] else 4,
        defaults=listener.host.config.tcp,
        listening=True,
        fast_open=listener.fast_open,
    )
    settings.govern(listener)
    return settings
