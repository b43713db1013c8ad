"""What is behind a drop-in socket: a socket of a blocking host, and who has it open."""

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from stack.sockets.blocking import BlockingHost
from stack.sockets.dropin.descriptor import Descriptor, inode_of
from stack.sockets.tcp_socket import Socket
from stack.sockets.udp_socket import UdpSocket


class _Timeout(threading.local):
    """Of the call that this thread makes: duplicates of a socket have each their own."""

    value: float | None = None


class _TimeoutOfCall:
    """Mixed in: a socket whose timeout comes with each call."""

    def __init__(self, *arguments: Any) -> None:
        self._of_call = _Timeout()
        super().__init__(*arguments)

    @property
    def _timeout(self) -> float | None:
        return self._of_call.value

    @_timeout.setter
    def _timeout(self, seconds: float | None) -> None:
        self._of_call.value = seconds


class TcpEngine(_TimeoutOfCall, Socket):
    """A TCP socket behind sockets of the drop-in."""


class UdpEngine(_TimeoutOfCall, UdpSocket):
    """A UDP socket behind sockets of the drop-in."""


Engine = TcpEngine | UdpEngine
_ENGINES: Mapping[int, type[Engine]] = {
    socket.SOCK_STREAM: TcpEngine,
    socket.SOCK_DGRAM: UdpEngine,
}


def new_engine(host: BlockingHost, family: int, kind: int, protocol: int) -> Engine:
    """A socket on `host`. Raises OSError EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT."""
    return host.open(_ENGINES, family, kind, protocol)


class Handle:
    """An engine, the descriptor that shows its state, and how many have it open.

    Objects share an engine after `dup` and `fromfd`, and a descriptor that was detached from
    its object keeps it open. The last one to close ends it, as in the kernel.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.host = engine.host
        self._opened = 1
        self._detached: set[int] = set()
        self._descriptor: Descriptor | None = None
        self._inode = 0

    def show_on(self, number: int, *, blocking: bool) -> None:
        """Makes the descriptor `number` show the state from now on."""
        with self.host.driver.lock:
            if self._descriptor is None:
                self._descriptor = Descriptor(number, blocking=blocking)
                self._inode = self._descriptor.inode
                _handles[self._inode] = self
                self.engine.watch(self.update)
                self.update()

    def update(self) -> None:
        """Shows the state as it is now. The caller holds the lock of the host."""
        if self._descriptor is not None:
            readable, writable = self.engine.readiness()
            self._descriptor.show(readable=readable, writable=writable)

    def called(self) -> None:
        """A call came back, which may have changed the state."""
        if self._descriptor is not None:
            with self.host.driver.lock:
                self.update()

    def open(self, number: int) -> None:
        """One more object has it, under a descriptor's number."""
        with self.host.driver.lock:
            self._opened += 1
            self._detached.discard(number)

    def detach(self, number: int) -> None:
        """An object let go of it, but not of the descriptor."""
        with self.host.driver.lock:
            self._opened -= 1
            self._detached.add(number)
            _loose.add(self)

    def release(self) -> bool:
        """An object closed its descriptor; returns whether that was the last one."""
        with self.host.driver.lock:
            self._opened -= 1
            return self._is_over()

    def sweep(self) -> None:
        """Closes the engine if its detached descriptors were closed behind our back."""
        with self.host.driver.lock:
            over = self._is_over()
        if over:
            self.close()

    def _is_over(self) -> bool:
        for number in list(self._detached):
            if not _is_open(number, self._inode):
                self._detached.discard(number)
        if not self._detached:
            _loose.discard(self)
        return not self._opened and not self._detached

    def close(self) -> None:
        """Closes the engine."""
        with self.host.driver.lock:
            if self._descriptor is not None:
                _handles.pop(self._inode, None)
                self._descriptor.close()
                self._descriptor = None
        self.engine.close()


_handles: dict[int, Handle] = {}
"""By the inode of the descriptor that shows them."""
_loose: set[Handle] = set()
"""Those with a descriptor that no object has."""


def handle_of(number: int) -> Handle | None:
    """The handle whose state a descriptor shows; None for descriptors of the kernel's own."""
    with suppress(OSError):
        return _handles.get(inode_of(number))
    return None


def sweep() -> None:
    """Ends what lost its last descriptor to os.close, which tells nobody."""
    for handle in list(_loose):
        handle.sweep()


def _is_open(number: int, inode: int) -> bool:
    with suppress(OSError):
        return inode_of(number) == inode
    return False
