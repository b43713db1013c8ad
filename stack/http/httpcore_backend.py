"""httpx and httpcore over our stack: network backends and transports, asynchronous and not.

async with httpx.AsyncClient(transport=AsyncTransport(host, http2=True)) as client:
    await client.get("http://192.0.2.2/")
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import httpcore
import httpx

from stack.http.message import HTTP1_ONLY, checked_field
from stack.sockets.aio import AsyncHost
from stack.sockets.blocking import BlockingHost

READ = 65_536


@contextlib.contextmanager
def _mapped(timed_out: type[Exception], failed: type[Exception]) -> Iterator[None]:
    """Exceptions of httpcore for those of sockets."""
    try:
        yield
    except TimeoutError as error:
        raise timed_out(str(error)) from error
    except OSError as error:
        raise failed(str(error)) from error


class Watch:
    """Who watches a connection: every method is called as it happens, and may do nothing."""

    def connected(self, peer: tuple[str, int]) -> None:
        """TCP is connected to this address and port."""

    def secured(self, connection: ssl.SSLObject) -> None:
        """The TLS handshake is done."""

    def sent(self, data: bytes) -> None:
        """What goes out, before TLS."""

    def received(self, data: bytes) -> None:
        """What came in, behind TLS."""


class _Tls:
    """One end of TLS on memory, for whoever carries its records."""

    def __init__(self, context: ssl.SSLContext, name: str | None) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def attempt(self, step: Callable[[], Any]) -> tuple[bool, Any, bytes]:
        """Tries a step; (whether it is done, its result, records to send)."""
        try:
            result = step()
        except ssl.SSLWantReadError:
            return False, None, self.outgoing.read()
        except ssl.SSLZeroReturnError:
            return True, b"", self.outgoing.read()
        return True, result, self.outgoing.read()

    def arrived(self, data: bytes) -> None:
        """Records came, or with none the end."""
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()


class AsyncStream(httpcore.AsyncNetworkStream):
    """A connection of an `AsyncHost`; `watch` is told what passes."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        watch: Watch | None = None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._watch = watch
        self._tls: _Tls | None = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _mapped(httpcore.ReadTimeout, httpcore.ReadError):
            async with asyncio.timeout(timeout):
                data = await self._read(max_bytes)
        if self._watch is not None:
            self._watch.received(data)
        return data

    async def _read(self, max_bytes: int) -> bytes:
        if self._tls is None:
            return await self._reader.read(max_bytes)
        connection = self._tls.object
        return bytes(await self._perform(lambda: connection.read(max_bytes)))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        if self._watch is not None:
            self._watch.sent(buffer)
        with _mapped(httpcore.WriteTimeout, httpcore.WriteError):
            async with asyncio.timeout(timeout):
                if self._tls is None:
                    await self._send(buffer)
                else:
                    connection = self._tls.object
                    await self._perform(lambda: connection.write(buffer))

    async def _perform(self, step: Callable[[], Any]) -> Any:
        assert self._tls is not None
        while True:
            done, result, records = self._tls.attempt(step)
            if records:
                await self._send(records)
            if done:
                return result
            self._tls.arrived(await self._reader.read(READ))

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def aclose(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self._tls = _Tls(ssl_context, server_hostname)
        with _mapped(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                try:
                    await self._perform(self._tls.object.do_handshake)
                except BaseException:
                    # Nobody else knows of the connection yet.
                    self._writer.transport.abort()
                    raise
        if self._watch is not None:
            self._watch.secured(self._tls.object)
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._tls.object if self._tls else None
        if info == "is_readable":
            # On an idle connection: the server has closed it.
            return self._reader.at_eof()
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._writer.get_extra_info(names[info]) if info in names else None


class AsyncBackend(httpcore.AsyncNetworkBackend):
    """Connects from an `AsyncHost`, which is the caller's to close.

    `places` says where a (host, port) is, for those that no resolver knows; `watch` makes
    the one who is told about a new connection.
    """

    def __init__(
        self,
        host: AsyncHost,
        *,
        places: Mapping[tuple[str, int], str] | None = None,
        watch: Callable[[], Watch] | None = None,
    ) -> None:
        self._host = host
        self._places = places or {}
        self._watch = watch

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        place = self._places.get((host, port), host)
        local = None if local_address is None else (local_address, 0)
        with _mapped(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                reader, writer = await self._host.open_connection(place, port, local_addr=local)
        watch = self._watch() if self._watch is not None else None
        if watch is not None:
            watch.connected(writer.get_extra_info("peername")[:2])
        return AsyncStream(reader, writer, watch)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Stream(httpcore.NetworkStream):
    """A blocking socket of a `BlockingHost`."""

    def __init__(self, connected: Any) -> None:
        self._socket = connected
        self._tls: _Tls | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _mapped(httpcore.ReadTimeout, httpcore.ReadError):
            self._socket.settimeout(timeout)
            if self._tls is None:
                return bytes(self._socket.recv(max_bytes))
            connection = self._tls.object
            return bytes(self._perform(lambda: connection.read(max_bytes)))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        with _mapped(httpcore.WriteTimeout, httpcore.WriteError):
            self._socket.settimeout(timeout)
            if self._tls is None:
                self._socket.sendall(buffer)
            else:
                connection = self._tls.object
                self._perform(lambda: connection.write(buffer))

    def _perform(self, step: Callable[[], Any]) -> Any:
        assert self._tls is not None
        while True:
            done, result, records = self._tls.attempt(step)
            if records:
                self._socket.sendall(records)
            if done:
                return result
            self._tls.arrived(self._socket.recv(READ))

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        self._tls = _Tls(ssl_context, server_hostname)
        with _mapped(httpcore.ConnectTimeout, httpcore.ConnectError):
            self._socket.settimeout(timeout)
            try:
                self._perform(self._tls.object.do_handshake)
            except BaseException:
                self._socket.close()
                raise
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._tls.object if self._tls else None
        if info == "is_readable":
            return self._readable()
        names = {"client_addr": "getsockname", "server_addr": "getpeername"}
        return getattr(self._socket, names[info])() if info in names else None

    def _readable(self) -> bool:
        """On an idle connection: the server has closed it."""
        self._socket.settimeout(0)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True


class Backend(httpcore.NetworkBackend):
    """Connects from a `BlockingHost`, which is the caller's to close."""

    def __init__(self, host: BlockingHost) -> None:
        self._host = host

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        with _mapped(httpcore.ConnectTimeout, httpcore.ConnectError):
            failed: OSError | None = None
            # An address needs no resolver; a name goes to the system's.
            for family, _, _, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                try:
                    return Stream(self._connect(family, place[:2], timeout, local_address))
                except OSError as error:
                    failed = error
            raise failed or OSError(f"{host} has no address")

    def _connect(
        self, family: int, place: tuple[Any, ...], timeout: float | None, local: str | None
    ) -> Any:
        made = self._host.socket(family, socket.SOCK_STREAM)
        try:
            made.settimeout(timeout)
            if local is not None:
                made.bind((local, 0))
            made.connect(place)
        except BaseException:
            made.close()
            raise
        return made


def _checked(response: httpx.Response) -> httpx.Response:
    """The response, unless its fields make it malformed (RFC 9113 §8.1.1, §8.2).

    httpcore asks h2 to let them pass, and h11 does not.
    """
    if response.http_version == "HTTP/2":
        for name, value in response.headers.raw:
            try:
                sound = checked_field((name, value)) == (name, value) and name not in HTTP1_ONLY
            except ValueError:
                sound = False
            if not sound:
                raise httpx.RemoteProtocolError(f"malformed field in the response: {name!r}")
    return response


def _context(verify: bool | ssl.SSLContext) -> ssl.SSLContext:
    return verify if isinstance(verify, ssl.SSLContext) else httpx.create_ssl_context(verify)


class AsyncTransport(httpx.AsyncHTTPTransport):
    """For `httpx.AsyncClient(transport=…)`: requests over an `AsyncHost`.

    `places` and `watch` are those of `AsyncBackend`, `limits` those of httpcore's pool.
    """

    def __init__(
        self,
        host: AsyncHost,
        *,
        verify: bool | ssl.SSLContext = True,
        http1: bool = True,
        http2: bool = False,
        places: Mapping[tuple[str, int], str] | None = None,
        watch: Callable[[], Watch] | None = None,
        **limits: Any,
    ) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_context(verify),
            http1=http1,
            http2=http2,
            network_backend=AsyncBackend(host, places=places, watch=watch),
            **limits,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        try:
            return _checked(response)
        except httpx.RemoteProtocolError:
            await response.aclose()
            raise


class Transport(httpx.HTTPTransport):
    """For `httpx.Client(transport=…)`: requests over a `BlockingHost`."""

    def __init__(
        self,
        host: BlockingHost,
        *,
        verify: bool | ssl.SSLContext = True,
        http1: bool = True,
        http2: bool = False,
        **limits: Any,
    ) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=_context(verify),
            http1=http1,
            http2=http2,
            network_backend=Backend(host),
            **limits,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        try:
            return _checked(response)
        except httpx.RemoteProtocolError:
            response.close()
            raise
