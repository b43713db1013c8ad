"""A socket with the methods, the options, the exceptions and the errno of socket.socket."""

import errno
import socket
from collections.abc import Iterable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from stack.core.ready import Ready
from stack.core.tcp import fast_open_client
from stack.core.tcp.connection import Connection
from stack.core.tcp.listener import Listener
from stack.core.tcp.states import State
from stack.sockets.ancillary import GivenItem, Item, check_room, checked, spread
from stack.sockets.arguments import c_int, readable_view, writable_view
from stack.sockets.base import Buffer, SocketBase
from stack.sockets.flags import DONTWAIT, FASTOPEN, MORE, NOSIGNAL, OOB, PEEK, WAITALL
from stack.sockets.names import SocketName, error_of, parse_name, socket_name
from stack.sockets.ports import Binding
from stack.sockets.stream import Stream
from stack.sockets.tcp_options import Settings
from stack.sockets.waiting import FOREVER, Patience

if TYPE_CHECKING:
    from stack.sockets.blocking import BlockingHost

_SEND_FLAGS = DONTWAIT | NOSIGNAL | OOB | MORE
_SENDTO_FLAGS = _SEND_FLAGS | FASTOPEN
_RECEIVE_FLAGS = DONTWAIT | PEEK | WAITALL | OOB


class Phase(Enum):
    """What has been done with a socket."""

    IDLE = auto()
    CONNECTING = auto()
    CONNECTED = auto()
    LISTENING = auto()
    CLOSED = auto()


class Socket(SocketBase):
    """A TCP socket on a host of ours, as Linux has them; safe to use from many threads.

    Made by `BlockingHost.socket`. There is no descriptor, so `fileno`, `detach` and the
    calls that need one do not exist.
    """

    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(
        self,
        host: "BlockingHost",
        family: socket.AddressFamily,
        settings: Settings | None = None,
    ) -> None:
        super().__init__(host, family)
        self._phase = Phase.IDLE
        self._settings: Settings = settings or Settings(
            version=self._version, defaults=host.host.config.tcp
        )
        self._settings.take_error = self._take_error
        self._binding: Binding | None = None
        self._stream: Stream | None = None
        self._listener: Listener | None = None

    def __repr__(self) -> str:
        return f"<Socket {self.family.name} {self._phase.name.lower()}>"

    # Names.

    def getsockname(self) -> SocketName:
        """Our address and port; zeros before there are any."""
        with self._driver.lock:
            self._check_open()
            return socket_name(self._local(), self._version)

    def getpeername(self) -> SocketName:
        """The peer's address and port. Raises OSError ENOTCONN."""
        with self._driver.lock:
            stream = self._connected_stream()
            if stream.over:
                raise error_of(errno.ENOTCONN)
            return socket_name(stream.connection.remote, self._version)

    # Listening.

    def bind(self, address: Any, /) -> None:
        """Takes an address and port of the host. Raises OSError EINVAL, EADDRINUSE,
        EADDRNOTAVAIL.
        """
        local, port = parse_name(address, self.family, "bind")
        with self._driver.lock:
            self._check_open()
            if self._binding or self._phase is not Phase.IDLE:
                raise error_of(errno.EINVAL)
            self._bind(local, port)

    def listen(self, backlog: int = 128, /) -> None:
        """Takes connections; `backlog` of them may wait for accept. Raises OSError."""
        places = max(c_int(backlog), 0) + 1  # as Linux counts them
        with self._driver.calling():
            self._check_open()
            if self._phase not in (Phase.IDLE, Phase.LISTENING):
                raise error_of(errno.EINVAL)
            if self._listener is None:
                self._start_listening(places)
            else:
                self._listener.backlog = places

    def accept(self) -> tuple["Socket", SocketName]:
        """The next connection and its peer's name. Raises OSError EINVAL, EAGAIN."""
        patience = self._patience(0, 0)
        with self._driver.calling():
            self._check_open()
            connection = self._wait_for_connection(patience)
            # What was set on the listener holds for what it accepts.
            settings = self._settings.inherited(connection)
            accepted = type(self)(self._host, self.family, settings)
            accepted._begin(connection, Phase.CONNECTED)
            return accepted, socket_name(connection.remote, self._version)

    def _wait_for_connection(self, patience: Patience) -> Connection:
        listener = self._listener
        if listener is not None and not listener.pending:
            self._waiting.until(lambda: self._cannot_wait_at(listener), patience)
        connection = listener.accept() if listener and listener is self._listener else None
        if connection is None:
            raise error_of(errno.EINVAL)
        return connection

    def _cannot_wait_at(self, listener: Listener) -> bool:
        """Whether a connection waits there, or this is no listener of ours any more."""
        return listener.pending > 0 or listener is not self._listener

    def _bind(self, address: str, port: int) -> None:
        self._host.check_local(address)
        settings = self._settings
        dual = address == "::" and not settings.only_ipv6
        wanted = Binding(
            address, port, shared=settings.reuse_address, dual=dual, common=settings.reuse_port
        )
        self._binding = self._host.ports.bind(wanted)

    def _start_listening(self, places: int) -> None:
        if self._binding is None:
            self._bind("0.0.0.0" if self._version == 4 else "::", 0)
        assert self._binding
        address = None if self._binding.dual else self._binding.address
        self._listener = self._host.host.listen(
            address,
            self._binding.port,
            backlog=places,
            fast_open=self._settings.fast_open,
            reuse_port=self._binding.common,
        )
        self._listener.owner = self._waiting
        self._settings.govern(self._listener)
        self._binding.listening = True
        self._settings.listening = True
        self._phase = Phase.LISTENING

    # Connecting.

    def connect(self, address: Any, /) -> None:
        """Connects and waits until it is done, as long as the timeout allows. Raises OSError:
        ECONNREFUSED, ETIMEDOUT, EINPROGRESS, EALREADY, EISCONN and others.
        """
        remote = parse_name(address, self.family, "connect")
        with self._driver.calling():
            number = self._connect(remote)
            if number:
                raise error_of(number)

    def connect_ex(self, address: Any, /) -> int:
        """Like connect, and returns the errno of what went wrong, 0 for nothing."""
        remote = parse_name(address, self.family, "connect")
        with self._driver.calling():
            try:
                return self._connect(remote)
            except TimeoutError:
                return errno.EAGAIN

    def _connect(self, remote: tuple[str, int]) -> int:
        """Returns an errno. Raises TimeoutError when the timeout was over first."""
        if self._phase is Phase.CLOSED:
            return errno.EBADF
        if self._phase in (Phase.CONNECTED, Phase.LISTENING):
            return errno.EISCONN
        begun_before = self._phase is Phase.CONNECTING
        if not begun_before:
            try:
                self._start_connecting(remote)
            except OSError as error:
                return error.errno or errno.EINVAL
        if self._timeout == 0 and self._is_connecting():
            return errno.EALREADY if begun_before else errno.EINPROGRESS
        self._waiting.until(lambda: not self._is_connecting(), Patience(self._timeout))
        return self._finish_connecting()

    def _start_connecting(self, remote: tuple[str, int], fast: bytes | None = None) -> None:
        binding = self._binding
        wildcard = binding is None or binding.address in ("0.0.0.0", "::")
        connection = self._host.host.connect(
            *remote,
            self._driver.now(),
            local_address=None if wildcard or binding is None else binding.address,
            local_port=binding.port if binding else 0,
            fast_open_data=fast,
        )
        self.adopt(connection, Phase.CONNECTING)

    def _finish_connecting(self) -> int:
        """The handshake is over; tells its result once."""
        assert self._stream
        if not self._stream.over:
            self._phase = Phase.CONNECTED
            return 0
        number = self._stream.take_error() or errno.ECONNABORTED
        self._phase = Phase.IDLE
        self._stream = None
        self._settings.connection = None
        return number

    def _is_connecting(self) -> bool:
        stream = self._stream
        return (
            self._phase is Phase.CONNECTING
            and stream is not None
            and stream.connection.state in (State.SYN_SENT, State.SYN_RECEIVED)
        )

    # Sending and receiving.

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Sends and returns the number of bytes taken: all of them unless there is a timeout."""
        view = readable_view(data)
        patience = self._patience(flags, _SEND_FLAGS)
        urgent, more = bool(flags & OOB), bool(flags & MORE)
        with self._driver.calling():
            stream = self._stream_to_send(patience)
            return stream.send(view, patience, urgent=urgent, more=more)

    def sendto(self, data: Buffer, *arguments: Any) -> int:
        """Takes data, perhaps flags, and an address. With MSG_FASTOPEN it connects to there,
        and the data leaves with the SYN if the server allowed that before (RFC 7413); else
        the address counts for nothing, and this is `send`.

        Raises OSError EINPROGRESS for a socket that does not wait when there is no cookie.
        """
        if len(arguments) not in (1, 2):
            raise TypeError(f"sendto() takes 2 or 3 arguments ({len(arguments) + 1} given)")
        flags = c_int(arguments[0]) if len(arguments) == 2 else 0
        remote = parse_name(arguments[-1], self.family, "sendto")
        view = readable_view(data)
        patience = self._patience(flags, _SENDTO_FLAGS)
        with self._driver.calling():
            if not flags & FASTOPEN:
                return self._stream_to_send(patience).send(view, patience)
            return self._connect_with(view, remote, patience)

    def _connect_with(self, data: memoryview, remote: tuple[str, int], patience: Patience) -> int:
        self._check_open()
        if self._phase is not Phase.IDLE:
            raise error_of(errno.EALREADY if self._is_connecting() else errno.EISCONN)
        self._start_connecting(remote, b"")
        assert self._stream
        connection, sent = self._stream.connection, 0
        if fast_open_client.has_cookie(connection) and data:
            sent = connection.send_with_syn(data, self._driver.now())
        if patience.timeout == 0:
            if sent:
                return sent
            raise error_of(errno.EINPROGRESS)
        self._waiting.until(lambda: not self._is_connecting(), patience)
        number = self._finish_connecting()
        if number:
            raise error_of(number)
        return sent + self._stream.send(data[sent:], patience)

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Sends everything, as long as the timeout allows for the whole."""
        view = readable_view(data)
        patience = self._patience(flags, _SEND_FLAGS)
        urgent, more = bool(flags & OOB), bool(flags & MORE)
        with self._driver.calling():
            stream = self._stream_to_send(patience)
            sent = stream.send(view, patience, urgent=urgent, more=more)
            while sent < len(view):
                sent += stream.send(view[sent:], patience, urgent=urgent, more=more)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Up to `bufsize` bytes; none at the end of the stream."""
        if bufsize < 0:
            raise ValueError("negative buffersize in recv")
        patience = self._patience(flags, _RECEIVE_FLAGS)
        with self._driver.calling():
            if flags & OOB and bufsize:
                return self._receive_urgent(patience, keep=bool(flags & PEEK))
            stream = self._stream_to_receive(patience)
            if not bufsize:
                return b""
            if flags & PEEK:
                return stream.peek(bufsize, patience)
            if flags & WAITALL:
                return stream.receive_all(bufsize, patience)
            return stream.receive(bufsize, patience)

    def recv_into(self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0) -> int:
        """Puts up to `nbytes` bytes (0: as many as fit) into `buffer`; returns how many."""
        view = writable_view(buffer, "recv_into() argument 1")
        if nbytes < 0:
            raise ValueError("negative buffersize in recv_into")
        if nbytes > len(view):
            raise ValueError("buffer too small for requested bytes")
        size = nbytes or len(view)
        if flags & (PEEK | WAITALL | OOB):
            data = self.recv(size, flags)
            view[: len(data)] = data
            return len(data)
        patience = self._patience(flags, _RECEIVE_FLAGS)
        with self._driver.calling():
            stream = self._stream_to_receive(patience)
            return stream.receive_into(view[:size], patience) if size else 0

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, None]:
        """Like recv; a stream names no sender."""
        if bufsize < 0:
            raise ValueError("negative buffersize in recvfrom")
        return self.recv(bufsize, flags), None

    def recvfrom_into(
        self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0
    ) -> tuple[int, None]:
        """Like recv_into; a stream names no sender."""
        if nbytes < 0:
            raise ValueError("negative buffersize in recvfrom_into")
        if nbytes > len(writable_view(buffer, "recvfrom_into() argument 1")):
            raise ValueError("nbytes is greater than the length of the buffer")
        return self.recv_into(buffer, nbytes, flags), None

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[Item], int, None]:
        """Like recv; there is no ancillary data in a stream."""
        check_room(bufsize, ancbufsize, "recvmsg")
        return self.recv(bufsize, flags), [], self._flags_told(flags), None

    def recvmsg_into(
        self, buffers: Iterable[bytearray | memoryview], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[Item], int, None]:
        """Like recvmsg, spread over the buffers."""
        views = [writable_view(buffer, "recvmsg_into() argument 1") for buffer in buffers]
        check_room(0, ancbufsize, "recvmsg_into")
        data = self.recv(sum(map(len, views)), flags)
        return spread(data, views), [], self._flags_told(flags), None

    @staticmethod
    def _flags_told(flags: int) -> int:
        return flags & OOB

    def sendmsg(
        self,
        buffers: Iterable[Buffer],
        ancdata: Iterable[GivenItem] = (),
        flags: int = 0,
        address: Any = None,
        /,
    ) -> int:
        """Sends the buffers one behind the other, and returns the number of bytes taken. Of
        ancillary data nothing has a meaning here.
        """
        data = b"".join(map(readable_view, buffers))
        checked(ancdata)
        return self.send(data, flags) if address is None else self.sendto(data, flags, address)

    def readiness(self) -> tuple[bool, bool]:
        """Whether receiving (accepting) and sending would return at once, as poll tells it."""
        if self._phase is Phase.LISTENING:
            assert self._listener
            return self._listener.pending > 0, False
        if self._stream is None:
            return True, True  # to learn that there is no connection
        if self._is_connecting():
            return False, False
        return self._stream.can_receive(), self._stream.can_send_much()

    def _receive_urgent(self, patience: Patience, *, keep: bool) -> bytes:
        self._wait_until_connected(patience)
        if self._stream is None:
            raise error_of(errno.EINVAL)
        return self._stream.connection.receive_urgent(keep=keep)

    def sockatmark(self) -> bool:
        """Whether the next byte to receive is the last urgent one, as sockatmark of C tells
        by SIOCATMARK. Raises OSError ENOTCONN.
        """
        with self._driver.lock:
            return self._connected_stream().connection.at_mark

    def _patience(self, flags: int, allowed: int) -> Patience:
        if c_int(flags) | allowed != allowed:
            raise error_of(errno.EOPNOTSUPP)
        timeout = 0.0 if flags & DONTWAIT else self._timeout
        return FOREVER if timeout is None else Patience(timeout)

    def _stream_to_send(self, patience: Patience) -> Stream:
        self._wait_until_connected(patience)
        if self._stream is None:
            raise error_of(errno.EPIPE)
        return self._stream

    def _stream_to_receive(self, patience: Patience) -> Stream:
        self._wait_until_connected(patience)
        return self._connected_stream()

    def _wait_until_connected(self, patience: Patience) -> None:
        self._check_open()
        if self._is_connecting():
            self._waiting.until(lambda: not self._is_connecting(), patience)

    def _connected_stream(self) -> Stream:
        self._check_open()
        if self._stream is None or self._is_connecting():
            raise error_of(errno.ENOTCONN)
        return self._stream

    # The end.

    def shutdown(self, how: int, /) -> None:
        """Ends one direction or both. Raises OSError EINVAL, ENOTCONN."""
        with self._driver.calling():
            self._check_open()
            if c_int(how) not in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
                raise error_of(errno.EINVAL)
            if self._phase is Phase.LISTENING:
                if how != socket.SHUT_WR:
                    self._stop_listening()
                return
            self._connected_stream().shut_down(how)

    def _close_now(self) -> None:
        if self._phase is Phase.CLOSED:
            return
        self._phase = Phase.CLOSED
        self._waiting.close()
        if self._listener is not None:
            self._listener.close(self._driver.now())
        if self._stream is not None:
            self._stream.close(self._settings.linger)
            self._settings.take_error = int  # no cycle: what is closed shall be gone at once
        self._release()

    def _stop_listening(self) -> None:
        """The port stays bound, and whoever waits in accept gets EINVAL."""
        assert self._listener
        self._listener.close(self._driver.now())
        self._listener = self._settings.listener = None
        if self._binding is not None:
            self._binding.listening = False
        self._settings.listening = False
        self._phase = Phase.IDLE
        self._waiting.on_ready(Ready(0))

    # Odds and ends.

    def _check_open(self) -> None:
        if self._phase is Phase.CLOSED:
            raise error_of(errno.EBADF)

    def _local(self) -> tuple[str, int]:
        if self._stream is not None:
            return self._stream.connection.local
        if self._binding is not None:
            return self._binding.address, self._binding.port
        return ("0.0.0.0" if self._version == 4 else "::"), 0

    def adopt(self, connection: Connection, phase: Phase) -> None:
        """Makes `connection` the one of this socket."""
        self._settings.attach(connection)
        self._begin(connection, phase)

    def _begin(self, connection: Connection, phase: Phase) -> None:
        self._stream = Stream(self._driver, self._waiting, connection)
        self._phase = phase

    def _take_error(self) -> int:
        """SO_ERROR: what ended the connection, if nobody was told yet."""
        return self._stream.take_error() if self._stream is not None else 0

    def _release(self) -> None:
        if self._binding is not None:
            self._host.ports.release(self._binding)
            self._binding = None
