"""One connection as both versions of HTTP see it: its transport, its number, its timer."""

import asyncio
import logging
import ssl
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from stack.http.service import Service
from stack.http.tls import tls_extension
from stack.http.watchdog import Watchdog

logger = logging.getLogger(__name__)


class Handler(ABC):
    """A version of HTTP on a connection."""

    @abstractmethod
    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""

    @abstractmethod
    def eof_received(self) -> bool:
        """The peer sends no more; returns whether our side stays open."""

    @abstractmethod
    def connection_lost(self) -> None:
        """The transport is gone: nothing can be sent any more."""

    @abstractmethod
    def writing_resumed(self) -> None:
        """The transport takes data again."""

    @abstractmethod
    def timed_out(self) -> None:
        """The time given to the watchdog has passed."""

    @abstractmethod
    def drain(self) -> None:
        """The server closes: finish what is open, take nothing new, then close."""


class Session(asyncio.Protocol):
    """The transport of a connection, with flow control both ways and an orderly end.

    `extensions` is what every scope of the connection gets; `info` in it is what applications find in `scope["extensions"]["tunstack"]`: `connection`
    (number), `tls` (version or None), `cipher`, `alpn`, `h2c` (how cleartext HTTP/2 began:
    "prior knowledge" or "upgrade", else None).
    """

    transport: asyncio.Transport
    handler: Handler | None = None

    def __init__(self, service: Service, number: int, *, secure: bool) -> None:
        self.service = service
        self.limits = service.limits
        self.number = number
        self.secure = secure
        self.loop = asyncio.get_running_loop()
        self.watchdog = Watchdog(self.loop, self._timed_out)
        self.client: tuple[str, int] = ("", 0)
        self.server: tuple[str, int] = ("", 0)
        self.info: Mapping[str, Any] = {}
        self.extensions: dict[str, Any] = {}
        self.write_paused = False
        self.closing = False
        self._reading_paused = False
        self._writable = asyncio.Event()
        self._stall: asyncio.TimerHandle | None = None

    # ---- from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The server asks for streams only; hosts need not derive from asyncio's class.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=self.limits.write_buffer)
        self.client = _endpoint(transport.get_extra_info("peername"))
        self.server = _endpoint(transport.get_extra_info("sockname"))
        tls = transport.get_extra_info("ssl_object")
        secure = isinstance(tls, ssl.SSLObject)
        cipher = tls.cipher() if secure else None
        self.info = MappingProxyType(
            {
                "connection": self.number,
                "tls": tls.version() if secure else None,
                "cipher": cipher[0] if cipher else None,
                "alpn": tls.selected_alpn_protocol() if secure else None,
                "h2c": None,
            }
        )
        if secure:
            self.extensions["tls"] = tls_extension(tls)

    def eof_received(self) -> bool:
        if self.handler is None or self.closing:
            return False
        # TLS has no half-closed connections here: asyncio answers close_notify with its own.
        if self.handler.eof_received() and not self.secure:
            return True
        self._begin_to_close()
        self.handler.connection_lost()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self.watchdog.close()
        self._end_stall()
        self.write_paused = False
        self._writable.set()
        if self.handler is not None:
            self.handler.connection_lost()

    def pause_writing(self) -> None:
        self.write_paused = True
        self._writable.clear()
        if self._stall is None:
            self._watch_stall()

    def resume_writing(self) -> None:
        self.write_paused = False
        self._end_stall()
        self._writable.set()
        if self.handler is not None:
            self.handler.writing_resumed()

    def _watch_stall(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(self.limits.stall_timeout, self._look_at_stall, waiting)

    def _look_at_stall(self, waiting: int) -> None:
        """Who takes nothing of what he asked for may not keep it in our memory."""
        self._stall = None
        if self.transport.get_write_buffer_size() < waiting:
            self._watch_stall()
        else:
            self.service.counters["http_slow_readers"] += 1
            self.abort()

    def _end_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    # ---- for the handler

    def note_h2c(self, how: str) -> None:
        """Remembers how HTTP/2 without TLS began on this connection."""
        self.info = MappingProxyType({**self.info, "h2c": how})

    def write(self, data: bytes) -> None:
        """Sends `data`, or drops it when the connection is closing."""
        if not self.closing and data:
            # asyncio's TLS takes one record at a time off the front of what it is given;
            # of a view that costs nothing, of bytes a copy of all that is left.
            self.transport.write(memoryview(data) if self.secure else data)

    async def writable(self) -> None:
        """Waits until the transport takes data again, or is gone."""
        if self.write_paused:
            await self._writable.wait()

    def pause_reading(self) -> None:
        """Takes nothing more from the peer, whose window then closes."""
        if not (self._reading_paused or self.closing):
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Undoes `pause_reading`."""
        if self._reading_paused and not self.transport.is_closing():
            self._reading_paused = False
            self.transport.resume_reading()

    def close(self) -> None:
        """Sends what was written, then closes. What still arrives is dropped."""
        if not self.closing:
            self.resume_reading()
            self._begin_to_close()
            self.transport.close()

    def _begin_to_close(self) -> None:
        """Nothing more is written; a peer that takes nothing cannot keep the connection."""
        self.closing = True
        self.watchdog.within(self.limits.linger_timeout + self.limits.idle_timeout)

    def linger(self) -> None:
        """Ends our side and reads on for a while.

        Closing with unread data makes TCP send a reset, and that may destroy the response
        before the peer has read it (RFC 9112 §9.6). TLS does the same with close_notify.
        """
        if self.closing:
            return
        self.resume_reading()
        self.closing = True
        self.watchdog.within(self.limits.linger_timeout)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def abort(self) -> None:
        """Ends the connection at once, with a reset."""
        self.closing = True
        self.transport.abort()

    def shut_down(self) -> None:
        """The server closes: what is open is finished first."""
        if self.handler is not None:
            self.handler.drain()
        else:
            self.close()

    def _timed_out(self) -> None:
        if self.closing:
            self.transport.abort()
        elif self.handler is not None:
            self.handler.timed_out()
        else:
            self.close()


def _endpoint(name: Any) -> tuple[str, int]:
    """Address and port; transports give two or four values, or none once they are closed."""
    return (str(name[0]), int(name[1])) if name else ("", 0)
