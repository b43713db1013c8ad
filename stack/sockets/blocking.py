"""Sockets that block, on a host of ours that a thread of its own drives."""

import builtins
import errno
import ipaddress
import socket
import time
from collections.abc import Mapping
from socket import AF_INET, SOCK_STREAM, SocketKind
from typing import Any, Literal, Self, TypeVar, overload

from stack.core.host import Host
from stack.link.base import Link
from stack.run.pump import lingers
from stack.run.thread import ThreadDriver
from stack.sockets.names import error_of
from stack.sockets.ports import WILDCARDS, Ports
from stack.sockets.tcp_socket import Socket
from stack.sockets.udp_socket import UdpSocket
from stack.wire.address import pack

Made = TypeVar("Made", bound=Socket | UdpSocket)

_TYPES = 11  # of sockets, as Linux counts them
_GLANCE = 0.005  # seconds
_KINDS: dict[int, type[Socket] | type[UdpSocket]] = {
    socket.SOCK_STREAM: Socket,
    socket.SOCK_DGRAM: UdpSocket,
}


class BlockingHost:
    """A host for applications that block: takes over `host` and `link` and drives them.

    A context manager that ends with `close`.
    """

    def __init__(self, host: Host, link: Link) -> None:
        self.host = host
        self.link = link
        self.driver = ThreadDriver(host, link)
        tcp = host.config.tcp
        self.ports = Ports(tcp.first_ephemeral_port, tcp.last_ephemeral_port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @overload
    def socket(
        self, family: int = ..., type: Literal[SocketKind.SOCK_STREAM] = ..., proto: int = 0
    ) -> Socket: ...

    @overload
    def socket(
        self, family: int, type: Literal[SocketKind.SOCK_DGRAM], proto: int = 0
    ) -> UdpSocket: ...

    @overload
    def socket(self, family: int = ..., type: int = ..., proto: int = 0) -> Any: ...

    def socket(
        self,
        family: int = AF_INET,
        type: int = SOCK_STREAM,  # noqa: A002 - the standard library's name
        proto: int = 0,
    ) -> Socket | UdpSocket:
        """A TCP socket, or a UDP one for SOCK_DGRAM.

        Raises OSError EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT, EINVAL.
        """
        made = self.open(_KINDS, family, type, proto)
        if type & socket.SOCK_NONBLOCK:
            made.setblocking(False)
        return made

    def open(
        self,
        kinds: Mapping[int, builtins.type[Made]],
        family: int,
        type: int,  # noqa: A002 - the standard library's name
        proto: int,
    ) -> Made:
        """The one of `kinds` that is asked for, by its type. Raises OSError as `socket` does."""
        if family not in (socket.AF_INET, socket.AF_INET6):
            raise error_of(errno.EAFNOSUPPORT)
        bare = type & ~socket.SOCK_NONBLOCK & ~socket.SOCK_CLOEXEC
        kind = kinds.get(bare)
        if kind is None:
            raise error_of(errno.ESOCKTNOSUPPORT if 0 < bare < _TYPES else errno.EINVAL)
        if proto not in (0, kind.proto):
            raise error_of(errno.EPROTONOSUPPORT)
        return kind(self, socket.AddressFamily(family))

    def close(self, linger: float = 1.0) -> None:
        """Gives what was closed before up to `linger` seconds to reach its peer, resets what
        is still open, ends the thread and gives the link back.
        """
        patience = time.monotonic() + linger
        while self._lingers() and time.monotonic() < patience:
            time.sleep(_GLANCE)
        with self.driver.calling() as now:
            self.host.close(now)
        self.driver.close()
        self.link.close()

    def _lingers(self) -> bool:
        with self.driver.lock:
            return self.driver.error is None and lingers(self.host)

    def check_local(self, address: str) -> None:
        """Raises OSError EADDRNOTAVAIL unless `address` is one of the host, or stands for all."""
        if address not in WILDCARDS and not self.host.local.owns(
            pack(ipaddress.ip_address(address))
        ):
            raise error_of(errno.EADDRNOTAVAIL)
