"""A TCP connection as an asyncio transport."""

import asyncio
import errno
from asyncio.constants import _SendfileMode
from asyncio.transports import _FlowControlMixin
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from stack.core.ready import Ready
from stack.core.tcp.connection import Connection
from stack.core.tcp.states import State
from stack.run.pump import Driver
from stack.sockets.names import SocketName, error_of, socket_name
from stack.sockets.tcp_options import Settings
from stack.sockets.view import SocketView

# Bytes handed to a protocol in one call: a ring full of small segments becomes few calls,
# and one full of megabytes is not doubled in memory.
READ_SIZE = 256 << 10

HIGH_WATER = 64 << 10
"""Bytes of backlog that pause a protocol, as with all of asyncio's transports; it goes on at a
quarter of them."""

# As plain numbers, which are compared ten times as fast as flags.
_READABLE = int(Ready.READABLE | Ready.EOF)
_WRITABLE = int(Ready.WRITABLE)
_ENDED = int(Ready.ERROR | Ready.CLOSED)
_CLOSED = int(State.CLOSED)

Data = bytes | bytearray | memoryview

_NOBODY = asyncio.BaseProtocol()


class TransportOwner(Protocol):
    """Who wants to know how many transports there are: a server."""

    def attach(self, transport: "TcpTransport") -> None:
        """A transport begins."""

    def detach(self, transport: "TcpTransport") -> None:
        """A transport has ended."""


class TcpTransport(_FlowControlMixin):
    """Serves a protocol on a connection of ours.

    What is written goes into the connection's send ring; only what the ring has no room
    for waits here, and only that counts for the write-buffer limits, as with a kernel
    socket. While reading is paused, bytes stay in the receive ring, so that the window
    closes and the peer waits.

    The mix-in brings the limits, and with them `loop.sendfile`, which asks for it.
    """

    # asyncio asks for these before it puts TLS or sendfile on a transport.
    _start_tls_compatible = True
    _sendfile_compatible = _SendfileMode.FALLBACK

    __slots__ = (
        "__weakref__",
        "_backlog",
        "_backlog_size",
        "_begun",
        "_buffered",
        "_closing",
        "_connection",
        "_driver",
        "_eof_received",
        "_eof_written",
        "_lost",
        "_protocol",
        "_reading",
        "_server",
        "_settings",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        driver: Driver,
        connection: Connection,
        protocol: asyncio.BaseProtocol,
        *,
        waiter: asyncio.Future[None] | None = None,
        server: TransportOwner | None = None,
    ) -> None:
        # What the mix-in would do, which costs more than all that follows.
        self._loop = loop
        self._protocol_paused = False
        self._high_water = HIGH_WATER
        self._low_water = HIGH_WATER // 4
        self._driver = driver
        self._connection = connection
        self._server = server
        self._settings: Settings | None = None  # made when somebody asks for them
        connection.nodelay = True  # asyncio's own transports turn Nagle off, too
        self._backlog: deque[memoryview] | None = None  # None until the ring was full once
        self._backlog_size = 0
        self._begun = False  # connection_made was called
        self._reading = True
        self._eof_written = False
        self._eof_received = False
        self._closing = False
        self._lost = False  # connection_lost was called or is scheduled
        self.set_protocol(protocol)
        if server is not None:
            server.attach(self)
        connection.owner = self
        if server is None:
            connection.set("urgent_inline", False)  # a listener's connections have it from there
            loop.call_soon(self._begin, waiter)
        else:
            # The driver is about to send: an answer to what has arrived already can leave with
            # its acknowledgement.
            self._begin(waiter)

    def __repr__(self) -> str:
        state = "closed" if self._lost else "closing" if self._closing else "open"
        local, remote = self._connection.local, self._connection.remote
        return (
            f"<TcpTransport {state} {local[0]}:{local[1]} → {remote[0]}:{remote[1]}"
            f" write_buffer={self._backlog_size}>"
        )

    # What asyncio's base class promises about the whole.

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hands what comes from now on to `protocol`."""
        self._protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The current protocol."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`peername`, `sockname`, `socket` (a SocketView), `connection` (the core's)."""
        get = _EXTRA_INFO.get(name)
        return get(self) if get else default

    def _view(self) -> SocketView:
        connection = self._connection
        if self._settings is None:
            self._settings = Settings(version=connection.version, connection=connection)
            self._settings.take_error = lambda: connection.error
        return SocketView(self._settings, connection.local, connection.remote)

    def is_closing(self) -> bool:
        """Whether the transport is closed or about to be."""
        return self._closing

    def close(self) -> None:
        """Sends what was written, then closes both ways."""
        if self._closing:
            return
        self._closing = True
        if self._backlog:
            self._connection.closing = True
        else:
            self._close_connection()

    def abort(self) -> None:
        """Resets the connection and drops what was written."""
        self._force_close(None)

    # Reading.

    def is_reading(self) -> bool:
        """Whether the protocol gets what arrives."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Leaves what arrives in the receive ring."""
        self._reading = False

    def resume_reading(self) -> None:
        """Takes up reading again, with what has arrived meanwhile."""
        if not self._reading and not self._closing:
            self._reading = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        connection = self._connection
        try:
            while self._reading and not self._closing:
                if connection.available:
                    self._deliver(connection)
                    continue
                if connection.tcb.fin_received and not self._eof_received:
                    self._deliver_eof()
                return
        except Exception as error:
            self._fatal_error(error, "Fatal error: the protocol failed on received data")

    def _deliver(self, connection: Connection) -> None:
        now = self._driver.now()
        self._driver.wake()  # reading may make room worth a window update
        if self._buffered:
            self._fill_buffer(connection, now)
        else:
            data = connection.receive(READ_SIZE, now)
            self._protocol.data_received(data)  # type: ignore[attr-defined]

    def _fill_buffer(self, connection: Connection, now: int) -> None:
        buffer = self._protocol.get_buffer(-1)  # type: ignore[attr-defined]
        if not len(buffer):
            raise RuntimeError("get_buffer() returned an empty buffer")
        count = connection.receive_into(buffer, now)
        self._protocol.buffer_updated(count)  # type: ignore[attr-defined]

    def _deliver_eof(self) -> None:
        self._eof_received = True
        keep_open = self._protocol.eof_received()  # type: ignore[attr-defined]
        if not keep_open:
            self.close()

    # Writing.

    def get_write_buffer_size(self) -> int:
        """Bytes written that the send ring had no room for yet."""
        return self._backlog_size

    def write(self, data: Data) -> None:
        """Takes all of `data`; raises RuntimeError after `write_eof`."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"data argument must be a bytes-like object, not {type(data).__name__!r}"
            )
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if isinstance(data, memoryview):
            data = data.cast("B")
        if self._closing or not data:
            return
        if self._backlog:
            self._keep(data, 0)
            return
        try:
            taken = self._connection.send(data, self._driver.now())
        except OSError as error:
            self._fatal_error(error, "Fatal write error on a TCP transport")
            return
        self._driver.wake()
        if taken < len(data):
            self._keep(data, taken)

    def writelines(self, list_of_data: Iterable[Data]) -> None:
        """Writes each; they go out together, since segments are made later."""
        for data in list_of_data:
            self.write(data)

    def can_write_eof(self) -> bool:
        """A TCP connection can be closed in one direction."""
        return True

    def write_eof(self) -> None:
        """Sends FIN behind what was written; the other direction stays open."""
        if self._closing or self._eof_written:
            return
        self._eof_written = True
        if not self._backlog:
            self._shut_down()

    def _keep(self, data: Data, taken: int) -> None:
        """Keeps what is behind `taken` bytes, as a copy if its owner may change it."""
        rest = memoryview(data)[taken:]
        if not isinstance(data, bytes):
            rest = memoryview(bytes(rest))
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.append(rest)
        self._backlog_size += len(rest)
        self._maybe_pause_protocol()  # type: ignore[attr-defined]

    def _write_backlog(self) -> None:
        """The send ring has room again."""
        try:
            self._move_backlog()
        except OSError as error:
            self._fatal_error(error, "Fatal write error on a TCP transport")
            return
        self._driver.wake()
        self._maybe_resume_protocol()  # type: ignore[attr-defined]
        if self._backlog or self._lost:
            return
        if self._closing:
            self._close_connection()
        elif self._eof_written:
            self._shut_down()

    def _move_backlog(self) -> None:
        backlog = self._backlog
        now = self._driver.now()
        while backlog:
            data = backlog[0]
            taken = self._connection.send(data, now)
            self._backlog_size -= taken
            if taken < len(data):
                backlog[0] = data[taken:]
                return
            backlog.popleft()

    def _shut_down(self) -> None:
        try:
            self._connection.shutdown(self._driver.now())
        except OSError as error:
            self._fatal_error(error, "Fatal error on shutdown of a TCP transport")
        self._driver.wake()

    # Beginning and end.

    def on_ready(self, ready: Ready) -> None:
        """The driver tells what the connection is ready for."""
        if not self._begun or self._lost:
            return
        conditions = int(ready)
        if conditions & _READABLE:
            self._read()
        if conditions & _WRITABLE and self._backlog and not self._lost:
            self._write_backlog()
        if conditions & _ENDED and not self._lost:
            self._ended()

    def _begin(self, waiter: asyncio.Future[None] | None) -> None:
        """Calls connection_made, and catches up with what happened before it."""
        try:
            self._protocol.connection_made(self)
        except Exception as error:
            self._fatal_error(error, "Fatal error: protocol.connection_made() call failed")
        self._begun = True
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self._lost:
            return
        self._read()
        if not self._lost and self._connection.tcb.state == _CLOSED:
            self._ended()

    def _ended(self) -> None:
        """The connection failed, or both of its directions came to their end."""
        number = self._connection.error
        if number:
            self._lose(error_of(number))
        elif not self._connection.tcb.fin_received:
            self._lose(error_of(errno.ECONNABORTED))

    def _close_connection(self) -> None:
        if self._settings is not None and self._settings.linger == 0:
            self._force_close(None)
            return
        self._connection.close(self._driver.now())
        self._driver.wake()
        self._lose(None)

    def _fatal_error(self, error: BaseException, message: str) -> None:
        """Gives up because of `error`; only what no network can cause is reported."""
        if not isinstance(error, OSError):
            self._loop.call_exception_handler(
                {
                    "message": message,
                    "exception": error,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
        self._force_close(error)

    def _force_close(self, error: BaseException | None) -> None:
        """Resets the connection; asyncio's TLS calls this by its name, too."""
        if self._lost:
            return
        self._connection.abort(self._driver.now())
        self._driver.wake()
        self._lose(error)

    def _lose(self, error: BaseException | None) -> None:
        self._closing = True
        self._lost = True
        self._connection.owner = None
        self._backlog = None
        self._backlog_size = 0
        self._loop.call_soon(self._end, error)

    def _end(self, error: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(error)  # type: ignore[arg-type]
        finally:
            # The protocol has us, too: both, and the connection's memory with them, would
            # stay until the garbage collector comes by.
            self._protocol = _NOBODY
            if self._server is not None:
                self._server.detach(self)
                self._server = None


_EXTRA_INFO: dict[str, Callable[[TcpTransport], Any]] = {
    "connection": lambda transport: transport._connection,
    "peername": lambda transport: _name(transport._connection, transport._connection.remote),
    "sockname": lambda transport: _name(transport._connection, transport._connection.local),
    "socket": lambda transport: transport._view(),
}


def _name(connection: Connection, end: tuple[str, int]) -> SocketName:
    return socket_name(end, connection.version)
