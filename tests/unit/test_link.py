"""Links in virtual time, and the addresses at the ends of a device."""

import ipaddress

import pytest

from stack.errors import UsageError
from stack.link.base import Link
from stack.link.impair import parse_impairments
from stack.link.impaired import ImpairedLink
from stack.link.prefix import kernel_address, stack_address
from stack.link.virtual import VirtualLink
from stack.wire.batch import CAPACITY, Inbound, Outbound

CLEAN = parse_impairments("")


def packets(count, size=40):
    return [number.to_bytes(4) + bytes(size - 4) for number in range(count)]


def outbound(data):
    out = Outbound()
    for packet in data:
        out.push_raw(packet, None)
    return out


def received(link, now):
    """All that a driver would take from the link at `now`."""
    found = []
    while (batch := link.receive(now)).count:
        found += [batch.data(index) for index in range(batch.count)]
    return found


class Recorder(Link):
    """A carrier that gives what it was given, and remembers what it was sent."""

    mtu = 1280
    offload = True

    def __init__(self):
        self.waiting = []
        self.sent = []
        self.closed = False

    def receive(self, now):
        batch, self.waiting = self.waiting[:CAPACITY], self.waiting[CAPACITY:]
        return Inbound.of(batch)

    def transmit(self, out, now):
        self.sent += [(now, data) for data in out]

    def set_offload(self, on):
        self.offload = on

    def close(self):
        self.closed = True


def short(data):
    """What the parser keeps: random test bytes are no IP packet, their length is unknown."""
    return [packet[:4] for packet in data]


def test_a_virtual_link_carries_packets_both_ways():
    first, second = VirtualLink.pair(CLEAN)
    first.transmit(outbound(packets(3)), 5)
    second.transmit(outbound(packets(2)), 5)
    assert short(received(second, 5)) == short(packets(3))
    assert short(received(first, 5)) == short(packets(2))


def test_a_virtual_link_says_when_packets_arrive():
    first, second = VirtualLink.pair(parse_impairments("out:delay=3ms,in:delay=9ms"))
    calls = []
    second.on_change(lambda: calls.append(second.next_deadline()))
    assert second.next_deadline() is None
    first.transmit(outbound(packets(1)), 1_000)
    assert calls == [4_000]
    assert received(second, 3_999) == []
    assert len(received(second, 4_000)) == 1
    second.transmit(outbound(packets(1)), 4_000)
    assert first.next_deadline() == 13_000


def test_more_packets_than_a_batch_holds_come_in_several():
    first, second = VirtualLink.pair(CLEAN)
    for _ in range(3):
        first.transmit(outbound(packets(CAPACITY)), 0)
    assert second.receive(0).count == CAPACITY
    assert len(received(second, 0)) == 2 * CAPACITY


def test_a_closed_virtual_link_takes_and_gives_nothing():
    first, second = VirtualLink.pair(CLEAN)
    first.transmit(outbound(packets(1)), 0)
    second.close()
    assert second.next_deadline() is None
    assert received(second, 0) == []


def test_the_same_seed_loses_the_same_packets():
    def run(seed):
        first, second = VirtualLink.pair(parse_impairments("loss=30%"), seed=seed)
        first.transmit(outbound(packets(CAPACITY)), 0)
        return short(received(second, 0))

    assert run(4) == run(4)
    assert run(4) != run(5)


def test_an_impaired_link_switches_offload_off_and_keeps_the_mtu():
    inner = Recorder()
    link = ImpairedLink(inner, CLEAN, 0)
    assert not inner.offload
    assert not link.offload
    assert link.mtu == inner.mtu
    link.set_offload(True)
    assert not inner.offload


def test_an_impaired_link_sends_what_is_due_and_no_sooner():
    inner = Recorder()
    link = ImpairedLink(inner, parse_impairments("out:delay=2ms"), 0)
    link.transmit(outbound(packets(50)), 0)
    assert inner.sent == []
    assert link.next_deadline() == 2_000
    link.on_deadline(2_000)
    assert [data for _, data in inner.sent] == packets(50)
    assert link.next_deadline() is None


def test_an_impaired_link_holds_received_packets_back():
    inner = Recorder()
    link = ImpairedLink(inner, parse_impairments("in:delay=2ms"), 0)
    inner.waiting = packets(3)
    assert link.receive(100).count == 0
    assert link.next_deadline() == 2_100
    assert short(received(link, 2_100)) == short(packets(3))


def test_an_impaired_link_gives_more_than_a_batch_in_several():
    inner = Recorder()
    link = ImpairedLink(inner, parse_impairments("in:duplicate=100%"), 0)
    inner.waiting = packets(CAPACITY)
    assert link.receive(0).count == CAPACITY
    assert link.next_deadline() == 0
    assert len(received(link, 0)) == CAPACITY


def test_closing_an_impaired_link_closes_the_one_inside():
    inner = Recorder()
    ImpairedLink(inner, CLEAN, 0).close()
    assert inner.closed


@pytest.mark.parametrize(
    ("ours", "kernel"),
    [
        ("192.0.2.2/24", "192.0.2.1/24"),
        ("192.0.2.1/24", "192.0.2.2/24"),
        ("2001:db8::2/64", "2001:db8::1/64"),
        ("2001:db8::1/64", "2001:db8::2/64"),
        ("192.0.2.202/30", "192.0.2.201/30"),
        ("192.0.2.4/31", "192.0.2.5/31"),
        ("2001:db8::5/127", "2001:db8::4/127"),
    ],
)
def test_the_kernel_takes_the_first_other_address_of_the_prefix(ours, kernel):
    assert kernel_address(stack_address(ours)) == ipaddress.ip_interface(kernel)


@pytest.mark.parametrize("text", ["192.0.2.2/32", "2001:db8::2/128"])
def test_a_prefix_without_a_second_address_is_refused(text):
    with pytest.raises(UsageError, match="no address left"):
        kernel_address(stack_address(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("192.0.2.2", "the prefix length is missing, as in 192.0.2.2/24"),
        ("2001:db8::2", "as in 2001:db8::2/64"),
        ("192.0.2/24", "write it as"),
        ("tun0", "write it as"),
        ("192.0.2.2/33", "write it as"),
        ("192.0.2.0/24", "cannot have"),
        ("192.0.2.255/24", "cannot have"),
        ("224.0.0.1/24", "cannot have"),
        ("127.0.0.1/8", "cannot have"),
        ("ff02::1/64", "cannot have"),
        ("2001:db8::/64", "cannot have"),
        ("0.0.0.0/0", "cannot have"),
    ],
)
def test_an_address_that_no_host_can_have_is_refused(text, words):
    with pytest.raises(UsageError, match=words):
        stack_address(text)
