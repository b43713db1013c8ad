"""UDP sockets on the kernel's loopback and on two hosts of ours, for calls side by side."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from stack.sockets.blocking import BlockingHost
from tests.support.packet_link import PacketLink, hosts
from tests.support.two_worlds import outcome


def tried(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returned, or the class, the errno and the text of what it raised."""
    return outcome(partial(call, *arguments))


def compare(found: list[Any], expected: list[Any]) -> None:
    """Names the first step in which two worlds differ."""
    for step, both in enumerate(zip(found, expected, strict=True)):
        assert both[0] == both[1], f"step {step}: {both[0]} instead of {both[1]}"


class UdpWorld:
    """Makes sockets for a client and a server, and closes them all at the end."""

    def __init__(
        self,
        make: dict[str, Callable[..., Any]],
        clients: dict[int, str],
        servers: dict[int, str],
    ) -> None:
        self._make = make
        self._stack = ExitStack()
        self.clients = clients
        """The client's addresses by address family."""
        self.servers = servers
        """The server's addresses by address family."""

    def client(self, family: int = socket.AF_INET, timeout: float | None = None) -> Any:
        """A socket on the client's side."""
        return self._new("client", family, timeout)

    def server(self, family: int = socket.AF_INET, timeout: float | None = None) -> Any:
        """A socket on the server's side."""
        return self._new("server", family, timeout)

    def _new(self, side: str, family: int, timeout: float | None) -> Any:
        made = self._stack.enter_context(self._make[side](family, socket.SOCK_DGRAM))
        made.settimeout(timeout)
        return made

    def bound(self, family: int = socket.AF_INET, timeout: float | None = 10) -> Any:
        """A server's socket with a port of its own."""
        made = self.server(family, timeout)
        made.bind((self.servers[family], 0))
        return made

    def pair(self, family: int = socket.AF_INET) -> tuple[Any, Any]:
        """(client's, server's) sockets, connected to each other."""
        server, client = self.bound(family), self.client(family, 10)
        client.connect(server.getsockname())
        server.connect(client.getsockname())
        return client, server

    def nowhere(self, family: int = socket.AF_INET) -> Any:
        """The name of a port of the server that nobody has."""
        made = self.server(family)
        made.bind((self.servers[family], 0))
        name = made.getsockname()
        made.close()
        return name

    def close(self) -> None:
        """Closes every socket."""
        self._stack.close()


@contextmanager
def ours() -> Iterator[UdpWorld]:
    """Two hosts of ours, each with a thread."""
    client, server = (BlockingHost(*both) for both in zip(hosts(), PacketLink.pair(), strict=True))
    world = UdpWorld(
        {"client": client.socket, "server": server.socket},
        {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"},
        {socket.AF_INET: "192.0.2.2", socket.AF_INET6: "2001:db8::2"},
    )
    try:
        yield world
    finally:
        world.close()
        client.close()
        server.close()


@contextmanager
def kernels() -> Iterator[UdpWorld]:
    """The kernel's loopback."""
    loopback = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
    world = UdpWorld({"client": socket.socket, "server": socket.socket}, loopback, loopback)
    try:
        yield world
    finally:
        world.close()
