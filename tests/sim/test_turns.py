"""Turns that native code takes are those that Python would take: every variable of every
connection, every counter and every wire is the same at any time.
"""

import random

import pytest

from stack._native import ffi
from stack.core.config import HostConfig
from stack.core.ready import Ready
from stack.core.tcp.config import TcpConfig
from stack.link.impair import Faults, ImpairmentSpec
from stack.link.queue import DropTail
from stack.sim import Network, TapPoint
from stack.sim.bulk import Bulk
from stack.sim.node import Node
from tests.support.paths import MBIT, MS, SECOND

_TCB = ffi.offsetof("struct tcb", "sent")  # behind it are pointers
CALM = Faults(rate=50 * MBIT, delay=5 * MS, queue=200)


class World:
    """Two hosts and a wire."""

    def __init__(self, spec=None, **settings):
        self.net = Network(seed=3)
        config = HostConfig(tcp=TcpConfig(**settings))
        self.a = self.net.host("a", "192.0.2.1/24", "2001:db8::1/64", config=config)
        self.b = self.net.host("b", "192.0.2.2/24", "2001:db8::2/64", config=config)
        self.wire = self.net.link(self.a, self.b, spec or ImpairmentSpec(CALM, CALM))
        self.chance = random.Random(7)
        self.flows = []

    def flow(self, *, back=False, **kinds):
        ends = (self.b, self.a) if back else (self.a, self.b)
        self.flows.append(Bulk(self.net, *ends, **kinds))

    def at(self, delay, call):
        self.net.call_at(self.net.now + delay, call)

    def state(self):
        """All that can be told of the hosts and the wire."""
        found = [self.net.now, self.net.next_deadline()]
        for host in (self.a, self.b):
            found += [host.now, host.next_wake(), host.counters.as_dict(), host.buffer_memory.left]
            found += [
                (number, ffi.buffer(one.tcb, _TCB)[:], one.tcb.sent.count)
                for number, one in host.connections.items()
            ]
        for channel in self.wire.channels:
            line = channel.raw.line
            if line != ffi.NULL:
                found += [line.passed, line.refused, line.sent_at, line.travelling, line.waiting]
            found.append(channel.raw.due)
        return [*found, *(flow.received for flow in self.flows)]

    @property
    def turns(self):
        """Packets that native code sent in turns of its own."""
        return sum(host.segment_path.raw.packets_out for host in (self.a, self.b))


def one_flow():
    world = World()
    world.flow()
    return world


def both_ways():
    world = World()
    world.flow()
    world.flow(back=True, version=6)
    return world


def many_flows():
    """Several at once in a batch, where the wire has no rate."""
    fast = Faults(delay=2 * MS)
    world = World(ImpairmentSpec(fast, fast), send_buffer=40_000)
    for number in range(4):
        world.flow(begin=world.net.now + number * MS)
    return world


def a_short_queue():
    tight = Faults(rate=20 * MBIT, delay=5 * MS, queue=DropTail(packets=20))
    world = World(ImpairmentSpec(tight, tight), congestion="reno")
    world.flow()
    world.flow(octets=300_000)
    return world


def loss_on_one_side():
    lossy = Faults(rate=50 * MBIT, delay=5 * MS, queue=200, loss=0.002)
    world = World(ImpairmentSpec(lossy, CALM))
    world.flow()
    return world


def a_wire_without_delay():
    at_once = Faults()
    world = World(ImpairmentSpec(CALM, at_once))
    world.flow()
    return world


def a_narrow_wire():
    """Its MTU is less than what the hosts know of: packets vanish in it."""
    world = World()
    world.wire.towards("b").mtu = 1000
    world.flow(octets=100_000)
    return world


def pacing_and_small_buffers():
    world = World(send_buffer=30_000, receive_buffer=20_000)
    world.flow()
    world.at(300 * MS, lambda: world.flows[0].connection.set("pacing", 400_000))
    return world


def calls_from_outside():
    """At odd times, without a word to the network but `call_at`."""
    world = World()
    world.flow()

    def act():
        for connection in [*world.a.connections.values(), *world.b.connections.values()]:
            if world.chance.random() < 0.3:
                connection.set("nodelay", world.chance.random() < 0.5)
                connection.send(bytes(world.chance.randrange(1, 3000)), world.net.now)
        world.at(world.chance.randrange(1, 40 * MS), act)

    world.at(200 * MS, act)
    return world


def applications_that_call_each_other():
    """The one's news make the other's host speak, which has not been woken for it."""
    world = World()
    world.flow()
    listener = world.b.listen(None, 7)
    told = []

    class Other:
        def on_ready(self, ready):
            told.append(ready)

    class Talker:
        def __init__(self):
            self.connection = world.a.connect("192.0.2.2", 7, world.net.now)
            self.connection.owner = self
            self.peer = None

        def on_ready(self, ready):
            self.peer = self.peer or listener.accept()
            data = self.connection.receive(1 << 16, world.net.now)
            if self.peer is not None:
                self.peer.owner = Other()
                self.peer.send(bytes(700), world.net.now)
            if data or ready & Ready.CONNECTED:
                self.connection.send(data or b"begin", world.net.now)

    world.at(250 * MS, Talker)
    return world


def seen_for_a_while():
    world = World()
    world.flow()
    passed = []

    def look():
        detach = [
            world.wire.tap(lambda *packet: passed.append(packet), TapPoint.EXIT),
            world.b.observe(passed.append),
        ]
        world.at(60 * MS, lambda: [call() for call in detach])
        world.at(200 * MS, look)

    world.at(300 * MS, look)
    return world


WORLDS = {
    one_flow: 0.5,
    both_ways: 0.4,
    many_flows: 0.0,
    a_short_queue: 0.05,
    loss_on_one_side: 0.1,
    a_wire_without_delay: 0.01,
    a_narrow_wire: 0.0,
    pacing_and_small_buffers: 0.1,
    calls_from_outside: 0.2,
    applications_that_call_each_other: 0.0,
    seen_for_a_while: 0.2,
}


def course(make, seed):
    """The states of a world at odd times, and the share of packets that native turns sent."""
    world, chance, states = make(), random.Random(seed), []
    end = world.net.now + 3 * SECOND // 2
    while world.net.now < end:
        if chance.random() < 0.2:
            left = iter(range(chance.randrange(1, 60)))
            world.net.run_until(lambda: next(left, None) is None, limit=5 * MS)  # noqa: B023
        else:
            world.net.run(until=world.net.now + chance.choice([1, 12, 500, 7 * MS, 50 * MS]))
        states.append(world.state())
    sent = sum(host.counters["IpOutRequests"] for host in (world.a, world.b))
    return states, world.turns / sent


@pytest.mark.parametrize("make", WORLDS, ids=lambda make: make.__name__)
def test_turns_in_native_code_are_pythons(monkeypatch, make):
    monkeypatch.setenv("TUNSTACK_FASTPATH", "1")
    native, share = course(make, 1)
    monkeypatch.setattr(Node, "_is_plain", lambda node: False)
    python, none = course(make, 1)
    assert none == 0
    for ours, theirs in zip(native, python, strict=True):
        assert ours == theirs
    assert share >= WORLDS[make]
