"""The same socket calls on the kernel's loopback and on two hosts of ours, side by side."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from stack.core.config import HostConfig
from stack.sockets import dropin
from stack.sockets.blocking import BlockingHost
from tests.support.packet_link import PacketLink, hosts

PATIENCE = 20  # seconds after which a call that should have returned is an error


class World:
    """Makes sockets for a client and a server, and closes them all at the end."""

    def __init__(self, name: str, client: Callable[..., Any], server: Callable[..., Any]) -> None:
        self.name = name
        self._make = {"client": client, "server": server}
        self._stack = ExitStack()

    @property
    def address(self) -> str:
        """The server's address."""
        return "192.0.2.2" if self.name == "ours" else "127.0.0.1"

    def client(self, timeout: float | None = None) -> Any:
        """A socket on the client's side."""
        return self._new("client", timeout)

    def server(self, timeout: float | None = None) -> Any:
        """A socket on the server's side."""
        return self._new("server", timeout)

    def _new(self, side: str, timeout: float | None) -> Any:
        made = self._stack.enter_context(self._make[side]())
        made.settimeout(timeout)
        return made

    def listener(self, backlog: int = 16) -> Any:
        """A server's socket that listens on a port of its own."""
        listener = self.server()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.address, 0))
        listener.listen(backlog)
        return listener

    def pair(self) -> tuple[Any, Any]:
        """(client's, server's) sockets of one connection."""
        listener = self.listener()
        client = self.client()
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        self._stack.enter_context(accepted)
        accepted.settimeout(None)
        return client, accepted

    def close(self) -> None:
        """Closes every socket."""
        self._stack.close()


@contextmanager
def ours(config: HostConfig | None = None) -> Iterator[World]:
    """Two hosts of ours, each with a thread."""
    client, server = (
        BlockingHost(*both) for both in zip(hosts(config), PacketLink.pair(), strict=True)
    )
    world = World("ours", client.socket, server.socket)
    try:
        yield world
    finally:
        world.close()
        client.close()
        server.close()


@contextmanager
def dropins() -> Iterator[World]:
    """The same two hosts, through the drop-in for the module `socket`."""
    client, server = (BlockingHost(*both) for both in zip(hosts(), PacketLink.pair(), strict=True))
    world = World("ours", dropin.module(client).socket, dropin.module(server).socket)
    try:
        yield world
    finally:
        world.close()
        client.close()
        server.close()


@contextmanager
def kernels() -> Iterator[World]:
    """The kernel's loopback."""
    world = World("kernel's", socket.socket, socket.socket)
    try:
        yield world
    finally:
        world.close()


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returned, or the class, the errno and the text of what it raised."""
    try:
        return call()
    except OSError as error:
        return type(error).__name__, error.errno, error.strerror or str(error)
    except (TypeError, ValueError, OverflowError) as error:
        return type(error).__name__, str(error)


def in_thread(call: Callable[[], Any]) -> Callable[[], Any]:
    """Starts `call` in a thread; what is returned waits for its outcome."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(outcome(call)))
    thread.start()

    def wait() -> Any:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the call never came back"
        return results[0]

    return wait
