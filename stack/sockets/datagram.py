"""A UDP endpoint as an asyncio transport."""

import asyncio
import errno
import socket
from asyncio.transports import _FlowControlMixin
from collections import deque
from collections.abc import Callable
from typing import Any

from stack.core.ready import Ready
from stack.core.udp.endpoint import UdpEndpoint
from stack.run.pump import Driver
from stack.sockets.names import (
    SocketName,
    error_of,
    parse_name,
    socket_name,
)
from stack.sockets.udp_options import UdpOptions
from stack.sockets.view import SocketView

Data = bytes | bytearray | memoryview


class UdpTransport(_FlowControlMixin, asyncio.DatagramTransport):
    """Serves a protocol on a UDP endpoint of ours.

    A datagram leaves at once unless the endpoint's send buffer is full; what waits here
    counts for the write-buffer limits. An empty one is sent, as asyncio does since 3.13.
    `address` is where datagrams go that name no other place.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        driver: Driver,
        endpoint: UdpEndpoint,
        protocol: asyncio.BaseProtocol,
        *,
        family: socket.AddressFamily,
        address: tuple[str, int] | None = None,
        waiter: asyncio.Future[None] | None = None,
    ) -> None:
        super().__init__(None, loop)
        self._loop = loop
        self._driver = driver
        self._endpoint = endpoint
        self._family = family
        self._options = UdpOptions(endpoint, 4 if family == socket.AF_INET else 6)
        self._address = None if address is None else self._name(address)
        self._backlog: deque[tuple[bytes, tuple[str, int] | None]] = deque()
        self._backlog_size = 0
        self._begun = False  # connection_made was called
        self._closing = False
        self._lost = False  # connection_lost was called or is scheduled
        self.set_protocol(protocol)
        endpoint.owner = self
        loop.call_soon(self._begin, waiter)

    def __repr__(self) -> str:
        state = "closed" if self._lost else "closing" if self._closing else "open"
        local, port = self._endpoint.local
        return f"<UdpTransport {state} {local}:{port} write_buffer={self._backlog_size}>"

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hands what comes from now on to `protocol`."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The current protocol."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`sockname`, `peername`, `socket` (a SocketView), `endpoint` (the core's)."""
        get = _EXTRA_INFO.get(name)
        return get(self) if get else default

    def _name(self, address: tuple[str, int]) -> SocketName:
        return socket_name(address, self._options.version)

    def is_closing(self) -> bool:
        """Whether the transport is closed or about to be."""
        return self._closing

    def close(self) -> None:
        """Sends what waits, then ends; nothing more is received."""
        if self._closing:
            return
        self._closing = True
        if not self._backlog:
            self._lose(None)

    def abort(self) -> None:
        """Ends at once and drops what waits."""
        if not self._lost:
            self._lose(None)

    # Sending.

    def get_write_buffer_size(self) -> int:
        """Bytes of datagrams that the endpoint had no room for yet."""
        return self._backlog_size

    def sendto(self, data: Data, addr: Any = None) -> None:
        """Sends one datagram, to `addr` unless the transport has one peer.

        What the network or the host has against it comes to `error_received`. Raises
        TypeError for what are no bytes or no address, ValueError for another peer.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"data argument must be a bytes-like object, not {type(data).__name__!r}"
            )
        if self._address is not None:
            if addr not in (None, self._address):
                raise ValueError(f"Invalid address: must be None or {self._address}")
            addr = self._address
        if self._closing:
            return
        if isinstance(data, memoryview):
            data = data.cast("B")
        connected = self._endpoint.peer is not None or addr is None
        to = None if connected else parse_name(addr, self._family, "sendto")
        if self._backlog or not self._send(data, to):
            self._backlog.append((bytes(data), to))
            self._backlog_size += len(data)
            self._maybe_pause_protocol()  # type: ignore[attr-defined]

    def _send(self, data: Data, to: tuple[str, int] | None) -> bool:
        """Whether the datagram is dealt with: sent, or known to be impossible."""
        endpoint, now = self._endpoint, self._driver.now()
        try:
            if to is None:
                endpoint.send(data, now)
            else:
                endpoint.send_to(data, *to, now)
        except BlockingIOError as error:
            if not endpoint.send_space:
                return False
            self._tell_error(error)  # no port was free
        except OSError as error:
            self._tell_error(error)
        self._driver.wake()
        return True

    def _send_backlog(self) -> None:
        """The endpoint has room again."""
        while self._backlog:
            data, to = self._backlog[0]
            if not self._send(data, to):
                break
            if self._lost:
                return
            self._backlog.popleft()
            self._backlog_size -= len(data)
        self._maybe_resume_protocol()  # type: ignore[attr-defined]
        if self._closing and not self._backlog and not self._lost:
            self._lose(None)

    # Receiving.

    def on_ready(self, ready: Ready) -> None:
        """The driver tells what the endpoint is ready for."""
        if not self._begun or self._lost:
            return
        if ready & (Ready.READABLE | Ready.ERROR):
            self._read()
        if ready & Ready.WRITABLE and not self._lost:
            self._send_backlog()

    def _read(self) -> None:
        endpoint = self._endpoint
        while not (self._closing or endpoint.closed):
            try:
                datagram = endpoint.take(self._driver.now())
            except OSError as error:
                self._tell_error(error)
                continue
            if datagram is None:
                return
            name = self._name((datagram.address, datagram.port))
            self._call("datagram_received", datagram.data, name)
        if endpoint.closed and not self._lost:
            self._lose(error_of(endpoint.error or errno.ECONNABORTED))

    def _tell_error(self, error: OSError) -> None:
        self._call("error_received", error)

    def _call(self, method: str, *arguments: Any) -> None:
        """Calls the protocol; what it raises is its own affair, and the next datagram's chance."""
        try:
            getattr(self._protocol, method)(*arguments)
        except Exception as error:
            self._loop.call_exception_handler(
                {
                    "message": f"Exception in {method}() of a datagram protocol",
                    "exception": error,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )

    # Beginning and end.

    def _begin(self, waiter: asyncio.Future[None] | None) -> None:
        """Calls connection_made, and catches up with what came before it."""
        self._call("connection_made", self)
        self._begun = True
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        self._read()

    def _lose(self, error: OSError | None) -> None:
        self._closing = True
        self._lost = True
        self._backlog.clear()
        self._backlog_size = 0
        self._endpoint.owner = None
        self._loop.call_soon(self._end, error)

    def _end(self, error: OSError | None) -> None:
        try:
            self._call("connection_lost", error)
        finally:
            self._endpoint.close(self._driver.now())
            self._driver.wake()


class DatagramView(SocketView):
    """The names and options of a UDP endpoint."""

    type = socket.SOCK_DGRAM
    proto = socket.IPPROTO_UDP


def _peer_name(transport: UdpTransport) -> SocketName | None:
    remote = transport._endpoint.remote
    return None if remote is None else transport._name(remote)


_EXTRA_INFO: dict[str, Callable[[UdpTransport], Any]] = {
    "endpoint": lambda transport: transport._endpoint,
    "peername": _peer_name,
    "sockname": lambda transport: transport._name(transport._endpoint.local),
    "socket": lambda transport: DatagramView(
        transport._options, transport._endpoint.local, transport._endpoint.remote
    ),
}
