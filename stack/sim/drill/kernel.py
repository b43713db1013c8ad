"""The file descriptors of a script, and what its system calls share.

A call is a generator: it yields while it must wait, the time (µs) at which it wants to be
resumed at the latest or None, and returns what the system call returns. OSError stands
for -1 and an errno.
"""

import errno
from collections.abc import Callable, Generator
from typing import TypeVar

from stack.sim.drill.errors import Mismatch
from stack.sim.drill.script import Call, Expression
from stack.sim.drill.settings import Settings
from stack.sim.drill.sockets import Descriptor, VirtualSockets
from stack.sim.drill.values import number, number_or_none
from stack.sockets.names import error_of
from stack.sockets.tcp_socket import Socket
from stack.sockets.udp_socket import UdpSocket

Running = Generator[int | None, None, int]
Handler = Callable[["Kernel", Call], Running]
T = TypeVar("T")


class Kernel:
    """The file descriptors of a script, and what its calls need to know."""

    def __init__(self, sockets: VirtualSockets, settings: Settings, now: Callable[[], int]) -> None:
        self.sockets = sockets
        self.settings = settings
        self.now = now
        self.descriptors: dict[int, Descriptor] = {}
        self.bound_port = settings.bind_port
        self.patterned = True  # nobody wrote or read text of his own
        self.connected: list[Descriptor] = []  # in the order in which they came to a connection

    def descriptor(self, call: Call) -> Descriptor:
        """What the first argument names. Raises OSError EBADF."""
        found = self.descriptors.get(number(argument(call, 0), "the file descriptor"))
        if found is None:
            raise error_of(errno.EBADF)
        return found

    def add(self, made: Socket | UdpSocket, call: Call, *, waits: bool = True) -> int:
        """Gives a socket the number that the script expects, or else the lowest free one."""
        made.setblocking(False)
        expected = number_or_none(call.result)
        if expected is None or expected < 0 or expected in self.descriptors:
            expected = next(n for n in range(3, 1 << 20) if n not in self.descriptors)
        self.descriptors[expected] = Descriptor(made, waits)
        return expected

    def subject(self) -> Descriptor | None:
        """The descriptor that came to a connection last and is open still."""
        open_ones = [one for one in self.connected if one in self.descriptors.values()]
        return open_ones[-1] if open_ones else None


def argument(call: Call, index: int) -> Expression:
    """An argument of a call. Raises Mismatch when there are too few."""
    if index >= len(call.arguments):
        raise Mismatch(f"{call.name} has {len(call.arguments)} arguments: give more")
    return call.arguments[index]


def flags_of(call: Call, index: int) -> int:
    """An argument that is flags; none are given by leaving it out."""
    return number(call.arguments[index], "the flags") if index < len(call.arguments) else 0


def until(waits: bool, attempt: Callable[[], T]) -> Generator[int | None, None, T]:
    """Tries until it does not block any more. Raises BlockingIOError unless it `waits`."""
    while True:
        try:
            return attempt()
        except BlockingIOError:
            if not waits:
                raise
        yield None


def at_once(value: int) -> Running:
    """A call that is over already."""
    yield from ()
    return value
