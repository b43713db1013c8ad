"""A UDP socket with the methods, the options, the exceptions and the errno of socket.socket."""

import errno
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from stack.core.ready import Ready
from stack.core.udp.datagram import Datagram
from stack.sockets import ancillary
from stack.sockets.ancillary import GivenItem, Item
from stack.sockets.arguments import c_int, readable_view, writable_view
from stack.sockets.base import Buffer, SocketBase
from stack.sockets.flags import DONTWAIT, ERRQUEUE, MORE, OOB, PEEK, TRUNC
from stack.sockets.names import SocketName, error_of, parse_name, socket_name
from stack.sockets.udp_options import UdpOptions
from stack.sockets.waiting import Patience

if TYPE_CHECKING:
    from stack.sockets.blocking import BlockingHost

_UNSUPPORTED = OOB | MORE
_WILDCARDS = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}

Message = tuple[bytes, list[Item], int, SocketName | None]


class UdpSocket(SocketBase):
    """A UDP socket on a host of ours, as Linux has them; safe to use from many threads.

    Made by `BlockingHost.socket`. Each call sends or receives one datagram.
    """

    type = socket.SOCK_DGRAM
    proto = socket.IPPROTO_UDP

    def __init__(self, host: "BlockingHost", family: socket.AddressFamily) -> None:
        super().__init__(host, family)
        with self._driver.lock:
            self._endpoint = host.host.unbound_udp(4 if family == socket.AF_INET else 0)
            self._endpoint.owner = self._waiting
        self._settings: UdpOptions = UdpOptions(self._endpoint, self._version)
        self._shut_reading = False
        self._shut_writing = False

    def __repr__(self) -> str:
        state = "closed" if self._endpoint.closed else "open"
        return f"<UdpSocket {self.family.name} {state}>"

    # Names.

    def getsockname(self) -> SocketName:
        """Our address and port; zeros before there are any."""
        with self._driver.lock:
            self._check_open()
            return socket_name(self._endpoint.local, self._version)

    def getpeername(self) -> SocketName:
        """The peer's address and port. Raises OSError ENOTCONN."""
        with self._driver.lock:
            self._check_open()
            remote = self._endpoint.remote
            if remote is None or not remote[1]:
                raise error_of(errno.ENOTCONN)
            return socket_name(remote, self._version)

    def bind(self, address: Any, /) -> None:
        """Takes an address and port of the host. Raises OSError EINVAL, EADDRINUSE,
        EADDRNOTAVAIL.
        """
        local, port = parse_name(address, self.family, "bind")
        with self._driver.lock:
            self._check_open()
            self._endpoint.bind(None if local == _WILDCARDS[self.family] else local, port)

    def connect(self, address: Any, /) -> None:
        """Chooses the peer: only it is heard from now on. Raises OSError ENETUNREACH and others."""
        remote, port = parse_name(address, self.family, "connect")
        with self._driver.calling() as now:
            self._check_open()
            self._endpoint.connect(remote, port, now)

    def connect_ex(self, address: Any, /) -> int:
        """Like connect, and returns the errno of what went wrong, 0 for nothing."""
        try:
            self.connect(address)
        except socket.gaierror:
            raise
        except OSError as error:
            return error.errno or errno.EINVAL
        return 0

    def listen(self, backlog: int = 128, /) -> NoReturn:
        """A datagram socket takes no connections: raises OSError EOPNOTSUPP."""
        c_int(backlog)
        with self._driver.lock:
            self._check_open()
        raise error_of(errno.EOPNOTSUPP)

    def accept(self) -> NoReturn:
        """A datagram socket takes no connections: raises OSError EOPNOTSUPP."""
        self.listen()

    # Sending.

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Sends a datagram to the peer; returns its length. Raises OSError EDESTADDRREQ,
        EMSGSIZE, ECONNREFUSED for one before it, and others.
        """
        view = readable_view(data)
        endpoint = self._endpoint
        return self._send(flags, lambda now: endpoint.send(view, now))

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Like send."""
        self.send(data, flags)

    def sendto(self, data: Buffer, *arguments: Any) -> int:
        """Sends a datagram; takes (data, address) or (data, flags, address)."""
        if not 1 <= len(arguments) <= 2:
            raise TypeError(f"sendto() takes 2 or 3 arguments ({len(arguments) + 1} given)")
        view = readable_view(data)
        flags = c_int(arguments[0]) if len(arguments) == 2 else 0
        remote, port = parse_name(arguments[-1], self.family, "sendto")
        endpoint = self._endpoint
        return self._send(flags, lambda now: endpoint.send_to(view, remote, port, now))

    def sendmsg(
        self,
        buffers: Iterable[Buffer],
        ancdata: Iterable[GivenItem] = (),
        flags: int = 0,
        address: Any = None,
        /,
    ) -> int:
        """Sends the buffers as one datagram. `ancdata` may hold IP_PKTINFO, IP_TTL, IP_TOS,
        IPV6_PKTINFO, IPV6_HOPLIMIT and IPV6_TCLASS.
        """
        data = b"".join(map(readable_view, buffers))
        said = ancillary.given(ancdata)
        remote = None if address is None else parse_name(address, self.family, "sendmsg")
        return self._send(flags, lambda now: self._send_with(data, remote, said, now))

    def _send_with(
        self, data: bytes, remote: tuple[str, int] | None, said: ancillary.Given, now: int
    ) -> int:
        endpoint = self._endpoint
        to = remote or endpoint.remote
        if to is None:
            raise error_of(errno.EDESTADDRREQ)
        settings = said.over(endpoint.settings(6 if ":" in to[0] else 4))
        if remote is None and said.source is None:
            return endpoint.send(data, now, settings=settings)
        return endpoint.send_to(data, *to, now, source=said.source, settings=settings)

    def _send(self, flags: int, send: Callable[[int], int]) -> int:
        patience = self._patience(flags)
        if flags & _UNSUPPORTED:
            raise error_of(errno.EOPNOTSUPP)
        endpoint = self._endpoint
        with self._driver.calling():
            while True:
                self._check_open()
                if self._shut_writing:
                    raise error_of(endpoint.take_error() or errno.EPIPE)
                try:
                    return send(self._driver.now())
                except BlockingIOError:
                    if endpoint.send_space:
                        raise  # it is not room that is missing, but a port
                self._waiting.until(lambda: endpoint.send_space > 0 or endpoint.closed, patience)

    # Receiving.

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """The next datagram; what is beyond `bufsize` bytes is lost."""
        _check_size(bufsize, "recv")
        if not bufsize:  # no system call is made for this: nothing is taken
            return b""
        return self._receive(bufsize, flags)[0]

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, SocketName | None]:
        """The next datagram and the name of its sender."""
        _check_size(bufsize, "recvfrom")
        data, _, _, name = self._receive(bufsize, flags)
        return data, name

    def recv_into(self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0) -> int:
        """Puts the next datagram into `buffer`; returns its length there."""
        view = writable_view(buffer, "recv_into() argument 1")
        _check_size(nbytes, "recv_into")
        if nbytes > len(view):
            raise ValueError("buffer too small for requested bytes")
        if not len(view):
            return 0
        return self._receive_into([view[: nbytes or len(view)]], flags)[0]

    def recvfrom_into(
        self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0
    ) -> tuple[int, SocketName | None]:
        """Puts the next datagram into `buffer`; returns its length there and its sender's name."""
        view = writable_view(buffer, "recvfrom_into() argument 1")
        _check_size(nbytes, "recvfrom_into")
        if nbytes > len(view):
            raise ValueError("nbytes is greater than the length of the buffer")
        length, _, _, name = self._receive_into([view[: nbytes or len(view)]], flags)
        return length, name

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /) -> Message:
        """The next datagram with ancillary data, MSG_TRUNC or MSG_CTRUNC, and its sender's
        name. With MSG_ERRQUEUE: the next error about a datagram of ours.
        """
        ancillary.check_room(bufsize, ancbufsize, "recvmsg")
        data, items, result, name = self._receive(bufsize, flags)
        held, cut = ancillary.within(items, ancbufsize)
        return data, held, result | cut, name

    def recvmsg_into(
        self, buffers: Iterable[bytearray | memoryview], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[Item], int, SocketName | None]:
        """Like recvmsg, spread over the buffers."""
        views = [writable_view(buffer, "recvmsg_into() argument 1") for buffer in buffers]
        ancillary.check_room(0, ancbufsize, "recvmsg_into")
        length, items, result, name = self._receive_into(views, flags)
        held, cut = ancillary.within(items, ancbufsize)
        return length, held, result | cut, name

    def _receive_into(
        self, views: Sequence[memoryview], flags: int
    ) -> tuple[int, list[Item], int, SocketName | None]:
        room = sum(map(len, views))
        data, items, result, name = self._receive(room, flags)
        ancillary.spread(data[:room], views)
        return len(data), items, result, name

    def _receive(self, room: int, flags: int) -> Message:
        """The next datagram cut to `room` bytes; with MSG_TRUNC as long as it really is, but
        without what is behind those.
        """
        patience = self._patience(flags)
        with self._driver.calling() as now:
            self._check_open()
            if flags & ERRQUEUE:
                data, items, result, name = self._take_error(patience)
            else:
                data, items, result, name = self._take_datagram(flags, patience, now)
        cut = data[:room]
        if len(data) > room:
            result |= TRUNC
            if flags & TRUNC:
                cut += bytes(len(data) - room)
        return cut, items, result, name

    def _take_datagram(self, flags: int, patience: Patience, now: int) -> Message:
        datagram = self._next(flags, patience, now)
        if datagram is None:
            return b"", [], 0, None
        name = socket_name((datagram.address, datagram.port), self._version)
        return datagram.data, ancillary.of_datagram(datagram, self._settings), 0, name

    def _next(self, flags: int, patience: Patience, now: int) -> Datagram | None:
        """None when the reading side is shut, which Linux tells only those who wait for ever."""
        endpoint = self._endpoint
        self._waiting.until(
            lambda: endpoint.readable or (self._shut_reading and patience.timeout is None),
            patience,
        )
        return endpoint.peek() if flags & PEEK else endpoint.take(now)

    def _take_error(self, patience: Patience) -> Message:
        endpoint = self._endpoint
        self._waiting.until(lambda: endpoint.reported or endpoint.closed, patience)
        error = endpoint.take_send_error()
        assert error is not None
        name = socket_name((error.route.address, error.route.port), self._version)
        return error.data, ancillary.of_error(error, self._version), ERRQUEUE, name

    def _patience(self, flags: int) -> Patience:
        # With a timeout the standard library waits in poll, which knows no flags.
        at_once = c_int(flags) & (DONTWAIT | ERRQUEUE) and self._timeout is None
        return Patience(0.0 if at_once else self._timeout)

    def readiness(self) -> tuple[bool, bool]:
        """Whether receiving and sending would return at once, as poll tells it."""
        endpoint = self._endpoint
        return endpoint.readable or endpoint.reported or self._shut_reading, endpoint.send_space > 0

    # The end.

    def shutdown(self, how: int, /) -> None:
        """Ends one direction or both. Raises OSError ENOTCONN, and has done it nonetheless,
        without a peer: as on Linux.
        """
        with self._driver.lock:
            self._check_open()
            if c_int(how) not in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
                raise error_of(errno.EINVAL)
            self._shut_reading |= how != socket.SHUT_WR
            self._shut_writing |= how != socket.SHUT_RD
            self._waiting.on_ready(Ready(0))
            if self._endpoint.peer is None:
                raise error_of(errno.ENOTCONN)

    def _close_now(self) -> None:
        self._waiting.close()
        self._endpoint.close(self._driver.now())

    def _check_open(self) -> None:
        # Calls fail for a host that went down, too, but with the reason of that.
        if self._endpoint.closed and not self._endpoint.error:
            raise error_of(errno.EBADF)


def _check_size(size: int, call: str) -> None:
    if size < 0:
        raise ValueError(f"negative buffersize in {call}")
