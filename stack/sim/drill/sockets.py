"""The sockets of a script: those of `stack.sockets`, without a thread and without waiting.

Every call on them returns at once; one that would block raises BlockingIOError, and the
runner tries again when something has happened to the host.
"""

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from stack.core.host import Host
from stack.core.tcp.connection import Connection
from stack.sockets.blocking import BlockingHost
from stack.sockets.ports import Ports
from stack.sockets.stream import Stream
from stack.sockets.tcp_socket import Socket
from stack.sockets.udp_socket import UdpSocket

if TYPE_CHECKING:
    from stack.run.thread import ThreadDriver


class VirtualDriver:
    """Stands where sockets expect the thread that drives their host: here the runner does."""

    def __init__(self, host: Host, now: Callable[[], int]) -> None:
        self.host = host
        self.lock = contextlib.nullcontext()
        self.now = now

    @contextlib.contextmanager
    def calling(self) -> Iterator[int]:
        """Calls may come at any time; gives the time in µs."""
        yield self.now()

    def flush(self) -> None:
        """The runner sends after each call."""

    def look(self) -> None:
        """Nothing waits to be taken in: the runner brings each packet."""

    def take_turn(self) -> None:
        """Nothing waits, and the runner sends after each call."""

    def wake(self) -> None:
        """The runner is awake."""

    def condition(self) -> "Unwatched":
        """A condition that nobody waits on."""
        return Unwatched()


class Unwatched:
    """A condition without a thread behind it: no call waits here, so nobody is notified."""

    def notify_all(self) -> None:
        """There is nobody."""


class VirtualSockets(BlockingHost):
    """Makes sockets on a host that the runner drives."""

    def __init__(self, host: Host, now: Callable[[], int]) -> None:
        # Nothing of the base class is wanted but its ways to make and to bind sockets: it
        # would start a thread.
        self.host = host
        self.driver = cast("ThreadDriver", VirtualDriver(host, now))
        tcp = host.config.tcp
        self.ports = Ports(tcp.first_ephemeral_port, tcp.last_ephemeral_port)


@dataclass(slots=True)
class Descriptor:
    """What a file descriptor of the script stands for.

    `read` and `written` count the bytes of its stream, `waits` says whether calls block.
    """

    socket: Socket | UdpSocket
    waits: bool = True
    read: int = 0
    written: int = 0

    @property
    def tcp(self) -> Socket | None:
        """The socket, if it is one of TCP."""
        return self.socket if isinstance(self.socket, Socket) else None

    @property
    def _stream(self) -> Stream | None:
        return None if self.tcp is None else self.tcp._stream

    @property
    def connection(self) -> Connection | None:
        """The connection behind the socket, if there is one."""
        stream = self._stream
        return None if stream is None else stream.connection

    @property
    def ports(self) -> tuple[int, int] | None:
        """Our port and the peer's, if the socket has a peer."""
        if self.connection is not None:
            path = self.connection.tcb.path
            return path.sport, path.dport
        remote = self.socket._endpoint.remote if isinstance(self.socket, UdpSocket) else None
        return None if remote is None else (self.socket.getsockname()[1], remote[1])

    @property
    def linger(self) -> int | None:
        """SO_LINGER in seconds; None when it is off."""
        return None if self.tcp is None else self.tcp._settings.linger

    def is_delivered(self) -> bool:
        """Whether the peer has acknowledged everything, the FIN too."""
        stream = self._stream
        return stream is None or stream._is_delivered()

    def has_error(self) -> bool:
        """Whether an error waits to be told."""
        stream = self._stream
        return stream is not None and bool(stream.connection.error) and not stream._error_told

    def listens(self) -> bool:
        """Whether it is a listener."""
        return self.tcp is not None and self.tcp._listener is not None

    def accepts(self) -> bool:
        """Whether a connection waits for accept."""
        listener = None if self.tcp is None else self.tcp._listener
        return listener is not None and bool(listener._accepted)

    def connects(self) -> bool:
        """Whether the handshake that connect began is under way."""
        return self.tcp is not None and self.tcp._is_connecting()


FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
