"""A receiver that discards is one that reads at once: on the wire there is no difference."""

import pytest

from stack.core.ready import Ready
from stack.sim import TapPoint
from stack.sim.bulk import Bulk
from tests.support.paths import MBIT, MS, SECOND, path


class Reader:
    """Accepts one connection and reads what arrives as soon as it hears of it."""

    def __init__(self, net, listener):
        self.net, self.listener, self.connection = net, listener, None
        self.received = 0

    def on_ready(self, ready):
        if self.connection is None:
            self.connection = self.listener.accept()
            self.connection.owner, self.listener.owner = self, None
        while data := self.connection.receive(1 << 20, self.net.now):
            self.received += len(data)
        if self.connection.eof:
            self.connection.close(self.net.now)


def packets(made, octets=600_000, **wire):
    """What passes the wire while a flow lasts, and what arrived."""
    net, sender, receiver = path(rate=20 * MBIT, **wire)
    seen = []
    net.wires[0].tap(lambda *packet: seen.append(packet), TapPoint.EXIT)
    flow = Bulk(net, sender, receiver, octets=octets)
    sink = made(net, receiver) or flow
    net.run(until=net.now + 20 * SECOND)
    assert sink.received == octets
    return seen


def reading(net, host):
    (listener,) = host.listeners[5001]
    listener.owner = Reader(net, listener)
    return listener.owner


@pytest.mark.parametrize("fast_path", ["0", "1"])
@pytest.mark.parametrize("wire", [{}, {"loss": 0.01}, {"receive_buffer": 4_000}])
def test_discarding_is_reading_at_once(monkeypatch, fast_path, wire):
    monkeypatch.setenv("TUNSTACK_FASTPATH", fast_path)
    assert packets(lambda *_: None, **wire) == packets(reading, **wire)


def test_only_the_end_is_told():
    net, sender, receiver = path(rate=20 * MBIT)
    flow = Bulk(net, sender, receiver, octets=200_000)
    told = []
    net.run_until(lambda: flow.received > 0)
    (connection,) = receiver.connections.values()
    sink, connection.owner = connection.owner, None

    class Listening:
        def on_ready(self, ready):
            told.append(ready)
            sink.on_ready(ready)

    connection.owner = Listening()
    net.run_until(lambda: flow.done is not None)
    net.run(until=net.now + 100 * MS)
    assert flow.received == 200_000
    assert told[0] == Ready.READABLE | Ready.EOF
    assert connection.available == 0
