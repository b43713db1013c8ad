"""The HTTP server: listens on a host, and picks for each connection which HTTP it is."""

import asyncio
import contextlib
import itertools
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from stack.http.asgi import Application
from stack.http.certificate import Certificate, make_certificate
from stack.http.counters import HttpCounters
from stack.http.http1 import Http1Connection
from stack.http.http2 import Http2Connection
from stack.http.limits import Limits
from stack.http.service import AccessRecord, Running, Service
from stack.http.session import Session
from stack.http.tls import KeyLogCallback, server_context

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class ServerHost(Protocol):
    """What the server needs of a host: asyncio's `create_server`."""

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        address: str | None,
        port: int,
        *,
        ssl: ssl.SSLContext | None = None,
    ) -> Any:
        """Listens on `address` (None: every one) and returns an object like asyncio.Server."""


class HttpProtocol(Session):
    """A new connection: HTTP/2 by ALPN or by its preface, otherwise HTTP/1.1."""

    def __init__(self, server: "HttpServer", *, secure: bool) -> None:
        super().__init__(server.service, next(server.numbers), secure=secure)
        self._owner = server
        self._first = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._owner.connections.add(self)
        self.service.counters["http_connections"] += 1
        if self.info["alpn"] == "h2":
            self.handler = Http2Connection(self)
        elif self.secure:
            # RFC 9113 §3.2: over TLS, HTTP/2 has to be negotiated.
            self.handler = Http1Connection(self)
        else:
            self.watchdog.within(self.limits.header_timeout)

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        if self.handler is None:
            data = self._first + data
            if len(data) < len(PREFACE) and PREFACE.startswith(data):
                self._first = data
                return
            self._choose(data)
        assert self.handler is not None
        self.handler.data_received(data)

    def _choose(self, data: bytes) -> None:
        """HTTP/2 with prior knowledge shows itself in its first bytes (RFC 9113 §3.3, §3.4)."""
        if data.startswith(PREFACE):
            self.note_h2c("prior knowledge")
            self.handler = Http2Connection(self)
        else:
            self.handler = Http1Connection(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._owner.connection_closed(self)


class HttpServer:
    """Serves an ASGI 3 application on the addresses and ports of a host.

    `certificate` is for the HTTPS ports (default: self-signed for localhost); of several, the
    name that a client asks for decides. `client_authorities` (PEM) demands a certificate of
    clients, which applications find in the extension `tls`. `keylog` gets
    the TLS secrets a line a call. These three are for a context that the server makes; `tls` is one
    by `server_context` instead, which several servers may have in common.
    `access_log` gets every finished request, and `clock` tells the seconds since 1970 for the
    Date header field.
    """

    def __init__(
        self,
        host: ServerHost,
        app: Application,
        *,
        certificate: Certificate | Sequence[Certificate] | None = None,
        client_authorities: bytes | None = None,
        keylog: KeyLogCallback | None = None,
        tls: ssl.SSLContext | None = None,
        access_log: Callable[[AccessRecord], None] | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.service = Service(Running(app), limits or Limits(), clock, access_log)
        self.connections: set[HttpProtocol] = set()
        self.numbers = itertools.count(1)
        self.listeners: list[Any] = []
        self._host = host
        self._certificate = certificate
        self._client_authorities = client_authorities
        self._keylog = keylog
        self._tls = tls
        self._restarting = asyncio.Lock()
        self._leaving: Running | None = None
        self._all_closed = asyncio.Event()

    @property
    def counters(self) -> HttpCounters:
        """What was counted so far, by the names of `stack.http.counters.COUNTERS`."""
        return self.service.counters

    async def start(
        self,
        http_ports: Iterable[int] = (80,),
        https_ports: Iterable[int] = (443,),
        addresses: Iterable[str | None] = (None,),
    ) -> None:
        """Starts the application, then listens on every port of every address.

        Raises OSError when one cannot be had (and then listens on none), UsageError when the
        application says that it cannot start.
        """
        addresses, https_ports = tuple(addresses), tuple(https_ports)
        await self.service.running.lifespan.startup()
        context = self._context() if https_ports else None
        try:
            for address in addresses:
                for port in http_ports:
                    await self._listen(address, port, None)
                for port in https_ports:
                    await self._listen(address, port, context)
        except BaseException:
            await self.close(0)
            raise

    def _context(self) -> ssl.SSLContext:
        if self._tls is not None:
            return self._tls
        given = self._certificate or make_certificate(["localhost"])
        first, *others = [given] if isinstance(given, Certificate) else given
        return server_context(
            first, *others, keylog=self._keylog, client_authorities=self._client_authorities
        )

    async def _listen(self, address: str | None, port: int, context: ssl.SSLContext | None) -> None:
        def protocol() -> HttpProtocol:
            return HttpProtocol(self, secure=context is not None)

        self.listeners.append(await self._host.create_server(protocol, address, port, ssl=context))

    async def close(self, grace: float = 5.0) -> None:
        """Takes nothing new, finishes what is open within `grace` seconds, and ends the rest."""
        for listener in self.listeners:
            listener.close()
        for connection in list(self.connections):
            connection.shut_down()
        await self._wait_for_connections(grace)
        for connection in list(self.connections):
            connection.abort()
        await self._wait_for_connections(1.0)
        await self._leave_listeners()
        if self._leaving is not None:
            self._leaving.cancel()
        async with self._restarting:
            await self.service.running.leave(0)

    async def restart(self, app: Application, grace: float = 60.0) -> None:
        """Puts `app` in the place of the application that serves now; nobody is refused.

        The new one starts first. From then on it gets every request, also those on
        connections that are open; the old one has `grace` seconds for the requests that it
        has begun, its WebSockets are closed with 1012, and then it is shut down. Raises
        UsageError when the new one says that it cannot start: the old one stays, then.
        """
        async with self._restarting:
            new = Running(app)
            await new.lifespan.startup()
            self._leaving, self.service.running = self.service.running, new
            await self._leaving.leave(grace)
            self._leaving = None

    async def _leave_listeners(self) -> None:
        """Ends what never became a connection of ours: peers in the middle of a handshake."""
        for listener in self.listeners:
            abort_clients = getattr(listener, "abort_clients", None)
            if abort_clients is not None:  # asyncio has it from Python 3.13 on
                abort_clients()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(listener.wait_closed(), 1.0)
        self.listeners.clear()

    async def _wait_for_connections(self, seconds: float) -> None:
        if self.connections:
            self._all_closed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_closed.wait(), seconds)

    def connection_closed(self, connection: HttpProtocol) -> None:
        """A connection is gone; the last one lets `close` go on."""
        self.connections.discard(connection)
        if not self.connections:
            self._all_closed.set()
