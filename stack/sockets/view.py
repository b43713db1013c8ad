"""What `get_extra_info("socket")` and `server.sockets` give: a socket to ask, not to use."""

import errno
import socket

from stack.sockets.names import SocketName, error_of, family_of, socket_name
from stack.sockets.options import Options


class SocketView:
    """Names and options of a connection or a listener, in the words of socket.socket.

    As with asyncio's own view, nothing here can disturb the transport. There is no
    descriptor behind it: `fileno()` is -1.
    """

    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(
        self, settings: Options, local: tuple[str, int], remote: tuple[str, int] | None = None
    ) -> None:
        self._settings = settings
        self._local = local
        self._remote = remote

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_INET6."""
        return family_of(self._settings.version)

    def fileno(self) -> int:
        """There is no descriptor: always -1."""
        return -1

    def getsockname(self) -> SocketName:
        """Our address and port."""
        return socket_name(self._local, self._settings.version)

    def getpeername(self) -> SocketName:
        """The peer's address and port. Raises OSError ENOTCONN on a listener."""
        if self._remote is None:
            raise error_of(errno.ENOTCONN)
        return socket_name(self._remote, self._settings.version)

    def getsockopt(self, level: int, optname: int, buflen: int = 0) -> int | bytes:
        """As socket.getsockopt. Raises OSError ENOPROTOOPT."""
        return self._settings.get(level, optname, buflen)

    def setsockopt(self, level: int, optname: int, value: int | bytes) -> None:
        """As socket.setsockopt. Raises OSError ENOPROTOOPT or EINVAL."""
        self._settings.set(level, optname, value)

    def gettimeout(self) -> float:
        """A transport never blocks: always 0."""
        return 0.0

    def settimeout(self, value: float | None) -> None:
        """Takes 0 only; raises ValueError for anything else."""
        if value != 0:
            raise ValueError("settimeout(): only 0 timeout is allowed on transport sockets")

    def setblocking(self, flag: bool) -> None:
        """Takes false only; raises ValueError for true."""
        if flag:
            raise ValueError("setblocking(): transport sockets cannot be blocking")

    def __repr__(self) -> str:
        remote = f", raddr={self.getpeername()}" if self._remote else ""
        return f"<SocketView {self.family.name}, laddr={self.getsockname()}{remote}>"
