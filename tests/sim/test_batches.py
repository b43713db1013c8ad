"""Packets that nobody looks at go their way in whole batches; all else is as if one did."""

import pytest

from stack.sim import CoDel, EveryNth, Network
from stack.sim.bulk import Bulk
from stack.sim.channel import TapPoint

MIDDLES = {
    "nothing": {},
    "delay": {"delay": 3_000},
    "rate": {"rate": 20_000_000, "delay": 2_000, "queue": 20},
    "loss": {"rate": 50_000_000, "delay": 2_000, "loss": 0.01},
    "every": {"delay": 2_000, "loss": EveryNth(40)},
    "codel": {"rate": 20_000_000, "delay": 2_000, "queue": CoDel()},
    "jitter": {"delay": 2_000, "jitter": 500},
}
OCTETS = 300_000


class Path:
    """Two flows, one each way, over two routers."""

    def __init__(self, version, near, **middle):
        self.net = net = Network(seed=4)
        hosts = [
            net.host(name, f"192.0.{number}.1/24", f"2001:db8:{number}::1/64")
            for number, name in enumerate("ab")
        ]
        self.routers = net.router("r"), net.router("s")
        net.link(hosts[0], self.routers[0], **near)
        self.middle = net.link(*self.routers, **middle)
        net.link(self.routers[1], hosts[1], **near)
        self.flows = [
            Bulk(net, *ends, octets=OCTETS, version=version) for ends in (hosts, hosts[::-1])
        ]

    def run(self):
        """Everything that can be told from outside."""
        assert self.net.run_until(lambda: all(flow.done for flow in self.flows))
        self.net.run(until=self.net.now + 500_000)  # the last acknowledgements
        channels = [channel for wire in self.net.wires for channel in wire.channels]
        return (
            [flow.done for flow in self.flows],
            [flow.connection.info() for flow in self.flows],
            [router.forwarded for router in self.routers],
            [(channel.impairments.counters.passed, channel.too_long) for channel in channels],
            [channel.impairments.counters.lost for channel in channels],
        )


@pytest.mark.parametrize("near", [{}, {"delay": 500}], ids=["at once", "later"])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("middle", MIDDLES)
def test_who_looks_at_packets_does_not_change_them(middle, version, near):
    unseen = Path(version, near, **MIDDLES[middle]).run()
    for point in TapPoint:
        path = Path(version, near, **MIDDLES[middle])
        for wire in path.net.wires:
            wire.tap(lambda *packet: None, point)
        assert path.run() == unseen


def test_a_tap_may_come_and_go_on_the_way():
    unseen = Path(4, {}, **MIDDLES["rate"]).run()
    path = Path(4, {}, **MIDDLES["rate"])
    seen = []
    ends = []

    def begin():
        ends.extend(path.middle.tap(lambda *packet: seen.append(packet), p) for p in TapPoint)

    path.net.call_at(path.net.now + 40_000, begin)
    path.net.call_at(path.net.now + 60_000, lambda: [end() for end in ends])
    assert path.run() == unseen
    assert 10 < len(seen) < 1000


@pytest.mark.parametrize("version", [4, 6])
def test_routers_count_hops_in_batches(version):
    path = Path(version, {}, delay=1_000)
    hops = {}

    def note(_now, direction, data):
        hops.setdefault(direction, set()).add(data[8] if version == 4 else data[7])

    path.net.wires[2].tap(note)
    path.run()
    assert hops == {"s>b": {62}, "b>s": {64}}


def test_a_route_that_changes_holds_for_batches():
    path = Path(4, {"delay": 100}, delay=1_000)
    path.net.run(until=path.net.now + 8_000)
    assert path.flows[0].received
    path.routers[0].route("192.0.1.0/24", None)
    path.net.run(until=path.net.now + 3_000)  # what is on its way
    before = path.flows[0].received
    path.net.run(until=path.net.now + 100_000)
    assert path.flows[0].received == before < OCTETS
