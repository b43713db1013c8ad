"""Connections that always have something to send, and what comes of them."""

from collections.abc import Sequence
from ipaddress import ip_interface

from stack.core.host import Host
from stack.core.ready import Ready
from stack.core.tcp.connection import Connection
from stack.core.tcp.listener import Listener
from stack.sim.network import Network

_CHUNK = bytes(1 << 18)
_FIRST_PORT = 5001


class Bulk:
    """Sends from `sender` to `receiver` as fast as TCP lets it, from `begin` (µs) on.

    What arrives in order is read at once and thrown away; `received` counts it. `connection`
    is the sender's, from `begin` on. With `octets` it ends after so many, at the time `done`
    (µs).
    """

    def __init__(
        self,
        net: Network,
        sender: Host,
        receiver: Host,
        *,
        begin: int | None = None,
        octets: int | None = None,
        version: int = 4,
    ) -> None:
        self.connection: Connection | None = None
        self.done: int | None = None
        self._net = net
        self._left = octets
        port = _FIRST_PORT
        while port in receiver.listeners:
            port += 1
        addresses = [ip_interface(text).ip for text in receiver.addresses]
        address = next(str(one) for one in addresses if one.version == version)
        listener = receiver.listen(address, port)
        self._sink = listener.owner = _Sink(self, net, listener)
        net.call_at(net.now if begin is None else begin, lambda: self._begin(sender, address, port))

    @property
    def received(self) -> int:
        """Bytes that arrived in order by now."""
        return self._sink.received

    def _begin(self, sender: Host, address: str, port: int) -> None:
        self.connection = sender.connect(address, port, self._net.now)
        self.connection.owner = self

    def on_ready(self, ready: Ready) -> None:
        """The sender's connection has news; an error comes out of the run."""
        connection = self.connection
        assert connection is not None
        if ready & Ready.ERROR:
            raise OSError(connection.error, "the connection of a bulk flow failed")
        if ready & (Ready.CONNECTED | Ready.WRITABLE):
            self._send(connection)

    def _send(self, connection: Connection) -> None:
        now = self._net.now
        while self._left is None or self._left > 0:
            chunk = _CHUNK if self._left is None else _CHUNK[: self._left]
            taken = connection.send(chunk, now)
            if self._left is not None:
                self._left -= taken
            if taken < len(chunk):
                return
        connection.shutdown(now)


class _Sink:
    """The receiving end: accepts the connection and has what arrives thrown away."""

    def __init__(self, bulk: Bulk, net: Network, listener: Listener) -> None:
        self._bulk = bulk
        self._net = net
        self._listener = listener
        self._connection: Connection | None = None

    @property
    def received(self) -> int:
        """Bytes that arrived in order by now."""
        return self._connection.tcb.bytes_received if self._connection is not None else 0

    def on_ready(self, ready: Ready) -> None:
        """The listener, or then the connection, has news."""
        if self._connection is None:
            self._connection = self._listener.accept()
            if self._connection is None:
                return
            self._connection.owner = self
            self._listener.owner = None
            self._connection.set("discard", True)
        connection, now = self._connection, self._net.now
        if connection.eof and self._bulk.done is None:
            self._bulk.done = now
            connection.close(now)


def throughput(net: Network, flows: Sequence[Bulk], *, warm_up: int, span: int) -> list[float]:
    """What each flow carries in `span` µs after `warm_up` µs, in bit/s of application data."""
    net.run(until=net.now + warm_up)
    before = [flow.received for flow in flows]
    net.run(until=net.now + span)
    return [(flow.received - began) * 8e6 / span for flow, began in zip(flows, before, strict=True)]


def jain(shares: Sequence[float]) -> float:
    """Jain's index of fairness: 1 when all have the same, 1/n when one has everything."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0
