"""Socket options: those that do something, under the numbers that the socket module has."""

import errno
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from stack.core.tcp.connection import Connection
from stack.sockets.names import error_of, family_of

SMALLEST_BUFFER = 4096
LARGEST_BUFFER = 64 << 20

_INT = struct.Struct("i")
_LINGER = struct.Struct("ii")
_LONGEST = 1024  # bytes that getsockopt of the standard library returns at most


@dataclass(slots=True)
class Settings:
    """What is set on a socket, with or without a connection behind it.

    Sizes are in bytes, 0 for the host's own; `linger` is in seconds, None when close
    returns at once and the rest is sent behind the application's back.
    """

    version: int = 4
    listening: bool = False
    reuse_address: bool = False
    keepalive: bool = False
    nodelay: bool = False
    only_ipv6: bool = False
    linger: int | None = None
    send_buffer: int = 0
    receive_buffer: int = 0
    connection: Connection | None = None
    take_error: Callable[[], int] = field(default=lambda: 0)

    def attach(self, connection: Connection) -> None:
        """Takes a connection on and gives it what was set before it existed."""
        self.connection = connection
        connection.nodelay = self.nodelay
        if self.send_buffer:
            _limit_sending(connection, self.send_buffer)
        if self.receive_buffer:
            _limit_receiving(connection, self.receive_buffer)

    def get(self, level: int, name: int, size: int = 0) -> int | bytes:
        """Like socket.getsockopt. Raises OSError ENOPROTOOPT for what does nothing here."""
        if not 0 <= size <= _LONGEST:
            raise OSError("getsockopt buflen out of range")
        value = self._option(level, name).get(self)
        packed = value if isinstance(value, bytes) else _INT.pack(value)
        return packed[:size] if size else int(_INT.unpack_from(packed)[0])

    def set(self, level: int, name: int, value: int | bytes) -> None:
        """Like socket.setsockopt. Raises OSError ENOPROTOOPT, or EINVAL for a bad value."""
        option = self._option(level, name)
        if option.set is None:
            raise error_of(errno.ENOPROTOOPT)
        if isinstance(value, int):
            value = _INT.pack(value)
        if len(value) < option.size:
            raise error_of(errno.EINVAL)
        option.set(self, bytes(value))

    def _option(self, level: int, name: int) -> "_Option":
        try:
            return _OPTIONS[level, name]
        except KeyError:
            raise error_of(errno.ENOPROTOOPT) from None


class _Option(NamedTuple):
    get: Callable[[Settings], int | bytes]
    set: Callable[[Settings, bytes], None] | None = None
    size: int = _INT.size


def _number(value: bytes) -> int:
    return int(_INT.unpack_from(value)[0])


def _switch(name: str) -> _Option:
    """An option that is on or off and kept under `name` in the settings."""
    return _Option(
        lambda settings: int(getattr(settings, name)),
        lambda settings, value: setattr(settings, name, bool(_number(value))),
    )


def _set_nodelay(settings: Settings, value: bytes) -> None:
    settings.nodelay = bool(_number(value))
    if settings.connection:
        settings.connection.nodelay = settings.nodelay


def _get_linger(settings: Settings) -> bytes:
    return _LINGER.pack(settings.linger is not None, settings.linger or 0)


def _set_linger(settings: Settings, value: bytes) -> None:
    on, seconds = _LINGER.unpack_from(value)
    settings.linger = seconds if on else None


def _get_send_buffer(settings: Settings) -> int:
    if settings.connection:
        return int(settings.connection.tcb.snd.limit)
    return settings.send_buffer


def _set_send_buffer(settings: Settings, value: bytes) -> None:
    settings.send_buffer = _within_bounds(_number(value))
    if settings.connection:
        _limit_sending(settings.connection, settings.send_buffer)


def _limit_sending(connection: Connection, size: int) -> None:
    ring = connection.tcb.snd
    ring.limit = max(size, ring.length)  # what was taken stays taken


def _get_receive_buffer(settings: Settings) -> int:
    if settings.connection:
        return int(settings.connection.tcb.rcv_wnd_max)
    return settings.receive_buffer


def _set_receive_buffer(settings: Settings, value: bytes) -> None:
    settings.receive_buffer = _within_bounds(_number(value))
    if settings.connection:
        _limit_receiving(settings.connection, settings.receive_buffer)


def _limit_receiving(connection: Connection, size: int) -> None:
    """The window scale was agreed upon: it and the ring set the most that can be."""
    tcb = connection.tcb
    tcb.rcv_wnd_max = min(size, tcb.rcv.limit, 0xFFFF << tcb.rcv_wscale)


def _within_bounds(size: int) -> int:
    return min(max(size, SMALLEST_BUFFER), LARGEST_BUFFER)


def _get_segment_size(settings: Settings) -> int:
    # Without a connection: what RFC 9293 MUST-15 assumes of a peer that says nothing.
    if settings.connection:
        return int(settings.connection.tcb.snd_mss)
    return 536 if settings.version == 4 else 1220


_OPTIONS: dict[tuple[int, int], _Option] = {
    (socket.SOL_SOCKET, socket.SO_TYPE): _Option(lambda _: socket.SOCK_STREAM),
    (socket.SOL_SOCKET, socket.SO_DOMAIN): _Option(lambda s: family_of(s.version)),
    (socket.SOL_SOCKET, socket.SO_PROTOCOL): _Option(lambda _: socket.IPPROTO_TCP),
    (socket.SOL_SOCKET, socket.SO_ACCEPTCONN): _Option(lambda s: int(s.listening)),
    (socket.SOL_SOCKET, socket.SO_ERROR): _Option(lambda s: s.take_error()),
    (socket.SOL_SOCKET, socket.SO_REUSEADDR): _switch("reuse_address"),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): _switch("keepalive"),
    (socket.SOL_SOCKET, socket.SO_LINGER): _Option(_get_linger, _set_linger, _LINGER.size),
    (socket.SOL_SOCKET, socket.SO_SNDBUF): _Option(_get_send_buffer, _set_send_buffer),
    (socket.SOL_SOCKET, socket.SO_RCVBUF): _Option(_get_receive_buffer, _set_receive_buffer),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY): _Option(lambda s: int(s.nodelay), _set_nodelay),
    (socket.IPPROTO_TCP, socket.TCP_MAXSEG): _Option(_get_segment_size),
    (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY): _switch("only_ipv6"),
}
