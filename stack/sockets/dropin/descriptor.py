"""A descriptor that is readable and writable when a socket of ours is.

It is one end of a pair of datagram sockets of the kernel, and carries no data:

- readable while an empty datagram from the other end waits in it;
- writable while its send buffer is large. One datagram that nobody ever takes lies in that
  buffer for good; a buffer made too small for it is full, one made large has room.

So both can be said independently, by whoever holds the lock of the host, and the kernel wakes
whatever waits: select, poll, epoll, any event loop. Writing to the descriptor itself fails
with EPIPE, so no byte can be lost where the socket does not see it.
"""

import _socket
import os
from socket import AF_UNIX, MSG_DONTWAIT, SHUT_WR, SO_SNDBUF, SOCK_DGRAM, SOL_SOCKET

_BALLAST = bytes(1024)
_FULL = 1  # the kernel makes it its smallest size, which the ballast fills
_ROOMY = 1 << 16


class Descriptor:
    """Shows readiness on the descriptor `number`, in place of what it was before."""

    def __init__(self, number: int, *, blocking: bool) -> None:
        self._shown, self._behind = _pair()
        self._shown.send(_BALLAST)
        self._shown.shutdown(SHUT_WR)
        os.set_blocking(self._shown.fileno(), blocking)
        os.dup2(self._shown.fileno(), number, inheritable=False)
        self._readable = False
        self._writable = True

    def show(self, *, readable: bool, writable: bool) -> None:
        """Makes it so. The caller holds the lock of the host."""
        if readable is not self._readable:
            self._readable = readable
            if readable:
                self._behind.send(b"")
            else:
                self._shown.recv(1, MSG_DONTWAIT)
        if writable is not self._writable:
            self._writable = writable
            self._shown.setsockopt(SOL_SOCKET, SO_SNDBUF, _ROOMY if writable else _FULL)

    @property
    def inode(self) -> int:
        """What tells it from every other socket of the machine, whatever its number."""
        return inode_of(self._shown.fileno())

    def close(self) -> None:
        """Gives back what is not the application's own."""
        self._shown.close()
        self._behind.close()


def _pair() -> tuple[_socket.socket, _socket.socket]:
    shown, behind = _socket.socketpair(AF_UNIX, SOCK_DGRAM)
    shown.settimeout(None)
    behind.settimeout(None)
    return shown, behind


def inode_of(number: int) -> int:
    """The inode behind a descriptor. Raises OSError EBADF."""
    return os.fstat(number).st_ino


def placeholder() -> int:
    """A descriptor that stands for a socket as long as nobody asks for its number."""
    return _socket.socket(AF_UNIX, SOCK_DGRAM).detach()
