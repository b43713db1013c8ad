"""A host that talks to itself: nothing of that is seen on a link, nor taken from there."""

import os
from ipaddress import ip_address

import pytest

from stack._native import lib
from stack.core.host import Host
from stack.core.tcp.states import State
from stack.link.base import Link
from stack.link.loopback import LoopbackLink
from stack.wire.address import pack
from stack.wire.batch import LOOPED, Inbound, Outbound
from stack.wire.craft import build_tcp, build_udp

OURS, THEIRS = "192.0.2.2", "192.0.2.1"


class Recorder(Link):
    """Remembers what is transmitted."""

    mtu = 1500
    offload = False

    def __init__(self):
        self.sent = []

    def receive(self, now):
        return Inbound.of([])

    def transmit(self, out, now):
        self.sent += out.copies()

    def close(self):
        self.sent.clear()


def made(inner=None, *, loopback=False):
    host = Host([f"{OURS}/24", "2001:db8::2/64"], random_bytes=os.urandom, loopback=loopback)
    return host, LoopbackLink([pack(one.ip) for one in host.local.interfaces], inner)


def turn(host, link, now):
    """Moves packets until there are none."""
    for _ in range(50):
        out = host.transmit(now)
        link.transmit(out, now)
        host.receive(link.receive(now), now)
        if not link.pending and not out.count:
            return


@pytest.mark.parametrize("address", [OURS, "2001:db8::2", "127.0.0.1", "::1"])
@pytest.mark.rfc("1122", "3.2.1.3")
def test_a_host_connects_to_itself_and_nothing_leaves_it(address):
    outside = Recorder()
    host, link = made(outside, loopback=True)
    listener = host.listen(address, 80)
    client = host.connect(address, 80, 0)
    turn(host, link, 1)
    server = listener.accept()
    client.send(b"hello", 2)
    turn(host, link, 2)
    assert server.receive(10, 3) == b"hello"
    assert server.remote == client.local
    assert outside.sent == []


@pytest.mark.parametrize("size", [10, 20_000])
def test_datagrams_in_fragments_come_back_too(size):
    host, link = made()
    one, other = host.open_udp(OURS, 7), host.open_udp(OURS, 8)
    one.send_to(bytes(size), OURS, 8, 0)
    turn(host, link, 0)
    assert other.receive(1) == (bytes(size), OURS, 7)


@pytest.mark.parametrize(
    ("source", "destination"), [(OURS, OURS), ("127.0.0.1", OURS), (THEIRS, "127.0.0.1")]
)
@pytest.mark.rfc("1122", "3.2.1.3")
def test_what_only_a_loopback_may_carry_is_dropped_when_a_link_brings_it(source, destination):
    host, _ = made(loopback=True)
    endpoint = host.open_udp(None, 7)
    packet = build_udp(source, destination, 9, 7, b"forged")
    host.receive(Inbound.of([packet]), 0)
    assert endpoint.receive(0) is None
    assert host.counters.as_dict()["IpInBadSources"] == 1
    inbound = Inbound.of([packet])
    inbound.slot(0).vnet_flags = LOOPED
    host.receive(inbound, 0)
    assert endpoint.receive(0) == (b"forged", source, 9) or source == "127.0.0.1"


@pytest.mark.rfc("1122", "3.2.1.3")
def test_nobody_outside_has_a_part_in_a_connection_within():
    host, link = made()
    listener = host.listen(OURS, 80)
    client = host.connect(OURS, 80, 0)
    turn(host, link, 1)
    server = listener.accept()
    forged = build_tcp(
        OURS, OURS, 80, client.local[1], seq=client.tcb.rcv_nxt, ack=0, flags=lib.FLAG_RST, window=0
    )
    host.receive(Inbound.of([forged]), 2)
    assert client.state is server.state is State.ESTABLISHED
    assert host.counters.as_dict()["IpInBadSources"] == 1


def test_what_goes_elsewhere_passes_by():
    outside = Recorder()
    _, link = made(outside)
    packets = [build_udp(OURS, to, 7, 8, to.encode()) for to in (THEIRS, OURS, THEIRS)]
    out = Outbound()
    for packet in packets:
        out.push_raw(packet, None)
    link.transmit(out, 0)
    assert outside.sent == [packets[0], packets[2]]
    assert link.next_deadline() == 0
    inbound = link.receive(0)
    assert [inbound.data(0), inbound.count] == [packets[1], 1]
    assert link.next_deadline() is None


def test_alone_it_loses_what_goes_elsewhere():
    _, link = made()
    out = Outbound()
    out.push_raw(build_udp(OURS, THEIRS, 7, 8, b"x"), None)
    link.transmit(out, 0)
    assert not link.pending
    link.close()


def test_a_loopback_address_is_no_source_for_others():
    host, _ = made(loopback=True)
    assert host.local.source_for(pack(ip_address("198.51.100.7"))) == pack(ip_address(OURS))
    lonely = Host(["2001:db8::2/64"], random_bytes=os.urandom, loopback=True)
    assert lonely.local.source_for(pack(ip_address("198.51.100.7"))) is None
