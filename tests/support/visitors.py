"""Short connections between two hosts: a few bytes there and back, and the close."""

from collections.abc import Sequence
from typing import Any

from stack.core.config import HostConfig
from stack.core.ready import Ready
from stack.core.tcp.config import TcpConfig
from stack.core.tcp.connection import Connection
from stack.core.tcp.listener import Listener
from stack.observe.recording.recorder import Recorder
from stack.sim import Network
from tests.support.two_hosts import CLIENT, SERVER, SERVER6

PORT = 7


class Visitors:
    """A client that comes again and again, each `pause` µs, and an echo server."""

    def __init__(
        self,
        net: Network,
        recorders: Sequence[Recorder],
        faults: dict[str, Any],
        *,
        version: int = 4,
        pause: int = 700,
        backlog: int = 100,
        syn_queue: int = 1000,
        address: bool = False,
        configure: bool = False,
        ecn: str = "passive",
        closes: bool = False,
    ) -> None:
        self.net = net
        self.answered = 0
        self.failed = 0
        self._pause = pause
        self._to = SERVER if version == 4 else SERVER6
        config = HostConfig(tcp=TcpConfig(syn_queue=syn_queue, ecn=ecn))
        self.client, self.server = (
            net.host(name, f"{address4}/24", address6, config=config, make=recorder.host)
            for name, address4, address6, recorder in zip(
                ("client", "server"),
                (CLIENT, SERVER),
                ("2001:db8::1/64", f"{SERVER6}/64"),
                recorders,
                strict=True,
            )
        )
        net.link(self.client, self.server, **{"delay": 2_000, **faults})
        self._listener = self.server.listen(self._to if address else None, PORT, backlog=backlog)
        if configure:
            self._listener.configure = lambda connection: connection.set("ttl", 9)
        self._listener.owner = _Acceptor(net, self._listener, closes=closes)

    def run(self, count: int) -> None:
        """Lets so many come; returns when each has had its answer or given up."""
        for number in range(count):
            self.net.call_at(self.net.now + number * self._pause, self._come)
        self.net.run_until(lambda: self.answered + self.failed == count)
        self.net.run(until=self.net.now + 100_000_000)
        assert not self.failed

    def _come(self) -> None:
        connection = self.client.connect(self._to, PORT, self.net.now)
        connection.owner = _Visitor(self, connection)


class _Visitor:
    def __init__(self, visitors: Visitors, connection: Connection) -> None:
        self._visitors = visitors
        self._connection = connection

    def on_ready(self, ready: Ready) -> None:
        now = self._visitors.net.now
        if ready & Ready.ERROR:
            self._visitors.failed += 1
        elif ready & Ready.CONNECTED:
            self._connection.send(b"hello", now)
        if ready & Ready.READABLE and self._connection.receive(100, now):
            self._visitors.answered += 1
            self._connection.owner = None
            self._connection.close(now)


class _Acceptor:
    def __init__(self, net: Network, listener: Listener, *, closes: bool) -> None:
        self._net = net
        self._listener = listener
        self._closes = closes

    def on_ready(self, ready: Ready) -> None:
        while (connection := self._listener.accept()) is not None:
            connection.owner = _Echo(self._net, connection, closes=self._closes)
            if connection.available:
                connection.owner.on_ready(Ready.READABLE)


class _Echo:
    def __init__(self, net: Network, connection: Connection, *, closes: bool) -> None:
        self._net = net
        self._connection = connection
        self._closes = closes

    def on_ready(self, ready: Ready) -> None:
        connection, now = self._connection, self._net.now
        if connection.available:
            connection.send(connection.receive(100, now), now)
        if connection.eof or self._closes:
            connection.owner = None
            connection.close(now)
