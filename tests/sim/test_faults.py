"""Faults on purpose, picked by predicate."""

import pytest

from stack.core.config import HostConfig
from stack.core.tcp.config import TcpConfig
from stack.core.tcp.states import State
from stack.errors import UsageError
from stack.sim import Network, TapPoint, data_segment, retransmission
from stack.sim.bulk import Bulk
from stack.wire import ecn, segment

MSS = 1448


class Flow:
    """One bulk flow from a to b over a wire that only does what it is told to."""

    def __init__(self, octets=100_000, config=None, **settings):
        self.net = Network(1)
        self.a = self.net.host("a", "192.0.2.1/24", config=config)
        self.b = self.net.host("b", "192.0.2.2/24", config=config)
        self.wire = self.net.link(self.a, self.b, **{"delay": 10_000, **settings})
        self.octets = octets
        self.sent = []  # data segments as (offset, length)
        self.arrived = []
        self.wire.tap(lambda *packet: self._note(self.sent, *packet))
        self.wire.tap(lambda *packet: self._note(self.arrived, *packet), TapPoint.EXIT)

    def _note(self, seen, now, direction, data):
        tcp = segment.parse(data).tcp
        if direction == "a>b" and tcp and tcp.text:
            seen.append((tcp.seq, len(tcp.text)))

    def run(self):
        bulk = Bulk(self.net, self.a, self.b, octets=self.octets)
        assert self.net.run_until(lambda: bulk.done, limit=60_000_000)
        assert bulk.received == self.octets
        return self

    def times_sent(self, number):
        """How often the data segment was sent, the first one being 1."""
        starts = sorted({seq for seq, _ in self.sent})
        return [seq for seq, _ in self.sent].count(starts[number - 1])


def test_a_rule_drops_one_data_segment_once():
    flow = Flow()
    rule = flow.wire.drop(data_segment(3))
    flow.run()
    assert rule.hits == 1
    assert [flow.times_sent(number) for number in (1, 2, 3, 4)] == [1, 1, 2, 1]
    assert len(flow.arrived) == len(flow.sent) - 1


def test_a_rule_drops_the_third_data_segment_and_its_first_retransmission():
    flow = Flow()
    rule = flow.wire.drop(data_segment(3, times=2))
    flow.run()
    assert rule.hits == 2
    assert flow.times_sent(3) == 3


def test_a_predicate_says_the_same_in_words_of_its_own():
    flow = Flow()
    rule = flow.wire.drop(lambda p: p.segment == 3 and p.sending <= 2)
    flow.run()
    assert rule.hits == 2
    assert flow.times_sent(3) == 3


def test_retransmissions_are_told_from_originals():
    flow = Flow()
    flow.wire.drop(data_segment(5))
    again = flow.wire.drop(retransmission(1))
    flow.run()
    assert again.hits == 1
    assert flow.times_sent(5) == 3


def test_a_retransmission_cut_otherwise_counts_for_the_segments_that_it_covers():
    net = Network(1)
    a, b = net.host("a", "192.0.2.1/24"), net.host("b", "192.0.2.2/24")
    wire = net.link(a, b)
    seen = []
    wire.drop(lambda p: bool(seen.append((p.segment, p.sending))))
    channel = wire.towards("b")

    def send(seq, length):
        flags = segment.ACK
        text = bytes(length)
        data = segment.build_tcp(
            "192.0.2.1", "192.0.2.2", 1, 2, seq=seq, ack=0, flags=flags, window=0, text=text
        )
        channel.send([data], net.now)

    begin = (1 << 32) - 150
    for offset, length in ((0, 100), (100, 100), (200, 100)):
        send((begin + offset) % (1 << 32), length)
    send((begin + 100) % (1 << 32), 200)  # the last two in one
    send((begin + 250) % (1 << 32), 50)  # the second half of the last
    send((begin + 300) % (1 << 32), 10)
    assert seen == [(1, 1), (2, 1), (3, 1), (2, 2), (3, 3), (4, 1)]


def test_a_delayed_packet_is_overtaken():
    flow = Flow(10_000)
    flow.wire.delay(data_segment(2), by=3_000)
    flow.run()
    begin = flow.sent[0][0]
    order = [(seq - begin) // MSS + 1 for seq, _ in flow.arrived[:7]]
    assert order == [1, 3, 4, 5, 6, 7, 2]


def test_a_duplicate_arrives_twice():
    flow = Flow(5_000)
    rule = flow.wire.duplicate(data_segment(2))
    flow.run()
    assert rule.hits == 1
    assert flow.arrived.count(flow.sent[1]) == 2
    assert flow.sent.count(flow.sent[1]) == 1


def test_an_altered_packet_arrives_altered():
    flow = Flow()
    flow.wire.alter(data_segment(4), lambda p: p.data[:-1] + bytes((p.data[-1] ^ 1,)))
    flow.run()
    assert flow.b.counters["TcpInCsumErrors"] == 1
    assert flow.times_sent(4) == 2


@pytest.mark.rfc("3168", "5")
@pytest.mark.parametrize(("setting", "marks"), [("classic", 1), ("off", 0)])
def test_a_mark_is_set_where_the_transport_allows_it(setting, marks):
    flow = Flow(10_000, config=HostConfig(tcp=TcpConfig(ecn=setting)))
    seen = []
    flow.wire.tap(lambda _, __, data: seen.append(ecn.codepoint(data)), TapPoint.EXIT)
    rule = flow.wire.mark(data_segment(3))
    flow.run()
    assert rule.hits == 1
    assert seen.count(ecn.Codepoint.CE) == marks


def test_rules_may_concern_one_direction_and_end():
    flow = Flow()
    forth = flow.wire.drop(lambda p: p.has(segment.SYN), "a>b")
    back = flow.wire.drop(lambda p: p.has(segment.SYN), "b>a")
    connection = flow.a.connect("192.0.2.2", 80, flow.net.now)
    flow.b.listen(None, 80)
    flow.net.run(until=flow.net.now + 4_000_000)
    assert (forth.hits, back.hits) == (3, 0)
    forth.remove()
    flow.net.run(until=flow.net.now + 30_000_000)
    assert forth.hits == 3
    assert back.hits > 1
    back.remove()
    assert flow.net.run_until(lambda: connection.state == State.ESTABLISHED)
    with pytest.raises(UsageError, match="say a>b or b>a"):
        flow.wire.drop(lambda p: True, "a>c")


def test_the_first_rule_that_picks_a_packet_decides():
    flow = Flow(5_000)
    first = flow.wire.duplicate(data_segment(1))
    second = flow.wire.drop(lambda p: p.segment in (1, 2) and p.sending == 1)
    flow.run()
    assert (first.hits, second.hits) == (1, 1)


def test_a_predicate_sees_the_whole_packet():
    flow = Flow(5_000)
    seen = []
    flow.wire.drop(lambda p: bool(seen.append(p)))
    flow.run()
    syn = seen[0]
    assert (syn.direction, syn.number, syn.segment, syn.sending) == ("a>b", 1, 0, 0)
    assert syn.tcp.mss == 1460
    assert syn.packet.ttl == 64
    assert [p.number for p in seen if p.direction == "b>a"][:2] == [1, 2]
    assert [p.segment for p in seen if p.segment] == [1, 2, 3, 4]
    assert all(p.has(segment.ACK) for p in seen[1:])
    assert seen[1].now == syn.now + 10_000


@pytest.mark.rfc("4821", "1")
def test_a_wire_with_a_smaller_mtu_is_a_black_hole():
    flow = Flow(mtu=1400)
    bulk = Bulk(flow.net, flow.a, flow.b, octets=10_000)
    flow.net.run(until=flow.net.now + 1_000_000)
    channel = flow.wire.towards("b")
    assert channel.too_long > 5
    assert bulk.received < 10_000


def test_a_wire_leads_to_its_two_ends_only():
    flow = Flow()
    assert flow.wire.towards("a").direction == "b>a"
    with pytest.raises(UsageError, match="'b' and 'a'"):
        flow.wire.towards("c")


def test_an_mtu_below_what_ipv4_needs_is_refused():
    net = Network(1)
    with pytest.raises(UsageError, match="too small"):
        net.link(net.host("a", "192.0.2.1/24"), net.host("b", "192.0.2.2/24"), mtu=60)
