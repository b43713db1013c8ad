"""UDP as a peer and an application see it: a whole host, driven by packets."""

import errno
from dataclasses import replace

import pytest

from stack.core.config import HostConfig
from stack.core.events import PacketReceived, PacketSent
from stack.core.ip.options import checked_options
from stack.core.ready import Ready
from stack.core.udp.config import UdpConfig
from stack.core.why import Verdict, Why
from stack.wire.craft import build_udp
from stack.wire.segment import parse
from tests.support.packets import OURS, PEER
from tests.support.udp_bench import UdpBench, raises, udp, versions

PORT_UNREACHABLE = {4: (3, 3), 6: (1, 4)}


@pytest.fixture
def bench():
    return UdpBench()


# ---- a datagram arrives ---------------------------------------------------------------


@pytest.mark.rfc("768", "user interface")
@versions
@pytest.mark.parametrize("text", [b"", b"x", bytes(1400)])
def test_a_datagram_comes_with_its_data_and_its_source(bench, version, text):
    endpoint = bench.open(53)
    assert bench.receive(udp(version, 4000, 53, text)) == []
    assert bench.ready(endpoint) == Ready.READABLE
    assert endpoint.receive(bench.now) == (text, PEER[version], 4000)
    assert endpoint.receive(bench.now) is None
    assert bench.counted("UdpInDatagrams") == 1


@pytest.mark.rfc("768", "source port")
@versions
def test_a_source_port_of_zero_is_a_sender_who_wants_no_answer(bench, version):
    endpoint = bench.open(53)
    bench.receive(udp(version, 0, 53, b"no answer please"))
    assert endpoint.receive(bench.now) == (b"no answer please", PEER[version], 0)
    with raises(errno.EINVAL):
        endpoint.send_to(b"yet", PEER[version], 0, bench.now)


@versions
def test_datagrams_come_out_one_by_one_in_the_order_of_arrival(bench, version):
    endpoint = bench.open(53)
    bench.receive(*(udp(version, 4000 + n, 53, bytes([n])) for n in range(20)))
    assert bench.ready(endpoint) == Ready.READABLE  # told once
    found = [endpoint.receive(bench.now) for _ in range(20)]
    assert found == [(bytes([n]), PEER[version], 4000 + n) for n in range(20)]


@pytest.mark.rfc("768", "length")
@versions
def test_what_trails_the_announced_length_is_no_data(bench, version):
    endpoint = bench.open(53)
    short = udp(version, 4000, 53, b"datatrailer", length=12, checksum=_checksum(version, b"data"))
    bench.receive(short)
    assert endpoint.receive(bench.now)[0] == b"data"


def _checksum(version, text):
    return parse(udp(version, 4000, 53, text)).transport.checksum


@pytest.mark.rfc("768", "length")
@versions
@pytest.mark.parametrize("length", [0, 7, 13, 65_535])
def test_a_length_that_cannot_be_is_dropped_in_silence(bench, version, length):
    endpoint = bench.open(53)
    assert bench.receive(udp(version, 4000, 53, b"data", length=length)) == []
    assert endpoint.receive(bench.now) is None
    assert bench.counted("UdpInErrors") == 1


@pytest.mark.rfc("1122", "4.1.3.4")
@versions
@pytest.mark.parametrize("port", [53, 54])
def test_a_wrong_checksum_is_dropped_in_silence(bench, version, port):
    endpoint = bench.open(53)
    right = parse(udp(version, 4000, port, b"data")).transport.checksum
    assert bench.receive(udp(version, 4000, port, b"data", checksum=right ^ 0x0100)) == []
    assert endpoint.receive(bench.now) is None
    assert bench.counted("UdpInCsumErrors") == bench.counted("UdpInErrors") == 1


@pytest.mark.rfc("768", "checksum")
def test_an_ipv4_datagram_may_come_without_a_checksum(bench):
    endpoint = bench.open(53)
    bench.receive(udp(4, 4000, 53, b"unprotected", checksum=0))
    assert endpoint.receive(bench.now)[0] == b"unprotected"


@pytest.mark.rfc("8200", "8.1")
@pytest.mark.parametrize("port", [53, 54])
def test_an_ipv6_datagram_may_not(bench, port):
    endpoint = bench.open(53)
    assert bench.receive(udp(6, 4000, port, b"unprotected", checksum=0)) == []
    assert endpoint.receive(bench.now) is None
    assert bench.counted("UdpInCsumErrors") == 1


@pytest.mark.rfc("1122", "4.1.3.1")
@versions
def test_a_port_that_nobody_uses_is_unreachable(bench, version):
    bench.open(53)
    question = udp(version, 4000, 54, b"anyone?")
    (answer,) = map(parse, bench.receive(question))
    assert (answer.transport.type, answer.transport.code) == PORT_UNREACHABLE[version]
    assert answer.transport.body == question
    assert answer.transport_checksum_ok
    assert bench.counted("UdpNoPorts") == 1


@pytest.mark.rfc("1122", "4.1.3.1")
@versions
def test_a_port_is_unreachable_once_it_is_closed(bench, version):
    endpoint = bench.open(53)
    endpoint.close(bench.now)
    assert len(bench.receive(udp(version, 4000, 53, b"anyone?"))) == 1


@pytest.mark.rfc("1122", "3.2.2")
@pytest.mark.parametrize(
    ("version", "group"),
    [(4, "192.0.2.255"), (4, "255.255.255.255"), (4, "224.0.0.1"), (6, "ff02::1")],
)
def test_nobody_is_told_of_a_port_that_a_group_does_not_use(bench, version, group):
    assert bench.receive(udp(version, 4000, 54, b"anyone?", dst=group)) == []


@pytest.mark.rfc("1122", "4.1.3.6")
@pytest.mark.parametrize(
    ("version", "source"),
    [
        (4, "192.0.2.255"),
        (4, "255.255.255.255"),
        (4, "224.0.0.1"),
        (4, "127.0.0.1"),
        (4, "0.0.0.0"),
        (4, "192.0.2.2"),
        (6, "ff02::1"),
        (6, "::1"),
        (6, "::"),
    ],
)
def test_a_datagram_from_nobody_is_dropped(bench, version, source):
    endpoint = bench.open(53)
    assert bench.receive(udp(version, 4000, 53, b"boo", src=source)) == []
    assert endpoint.receive(bench.now) is None


@pytest.mark.rfc("1122", "4.1.3.5")
@pytest.mark.parametrize(
    ("version", "to"),
    [(4, OURS[4]), (4, "192.0.2.255"), (4, "224.0.0.1"), (6, OURS[6]), (6, "ff02::1")],
)
def test_an_application_learns_which_address_a_datagram_was_for(bench, version, to):
    endpoint = bench.open(53)
    bench.receive(udp(version, 4000, 53, b"x", dst=to, ttl=7, tclass=0xB8))
    datagram = endpoint.take(bench.now)
    assert datagram.destination[-len(parse(udp(version, 1, 1, dst=to)).dst.packed) :] == (
        parse(udp(version, 1, 1, dst=to)).dst.packed
    )
    assert (datagram.ttl, datagram.traffic_class) == (7, 0xB8)


@pytest.mark.rfc("1122", "4.1.3.2")
def test_ip_options_are_handed_to_the_application(bench):
    endpoint = bench.open(53)
    bench.receive(udp(4, 4000, 53, b"x", ip_options=b"\x94\x04\x00\x00"))
    assert endpoint.take(bench.now).options == b"\x94\x04\x00\x00"


@pytest.mark.rfc("1122", "4.1.3.2")
def test_an_application_gives_ip_options(bench):
    endpoint = bench.open(53)
    endpoint.ipv4.options = b"\x94\x04\x00\x00"
    (sent,) = bench.sends(endpoint, b"x")
    assert sent.ip_options == b"\x94\x04\x00\x00"
    assert sent.ip_checksum_ok
    assert sent.transport_checksum_ok
    assert sent.transport.text == b"x"
    first, second = bench.sends(endpoint, bytes(2000))
    assert first.ip_options == second.ip_options == b"\x94\x04\x00\x00"  # copied: bit 7 of 0x94
    assert bench.sends(endpoint, b"x", version=6)[0].transport.text == b"x"


@pytest.mark.rfc("1122", "4.1.3.2")
@pytest.mark.rfc("1122", "3.2.1.8")
def test_an_application_specifies_the_route_of_its_datagrams(bench):
    endpoint = bench.open(53)
    hops = [bytes((198, 51, 100, last)) for last in (1, 2)]
    endpoint.ipv4.options = checked_options(b"\x83\x0b\x04" + b"".join(hops))
    for size in (1, 2000):
        for sent in bench.sends(endpoint, bytes(size)):
            assert sent.next_hop.packed == hops[0]
            assert sent.ip_options == b"\x83\x0b\x04" + hops[1] + sent.dst.packed + b"\0"
            assert sent.ip_checksum_ok
            assert sent.transport_checksum_ok
    endpoint.ipv4.options = b""
    (sent,) = bench.sends(endpoint, b"x")
    assert (sent.next_hop, sent.ip_options) == (None, b"")


@pytest.mark.rfc("7126", "4.3")
def test_a_datagram_that_came_by_a_source_route_is_dropped_unless_the_host_is_told_otherwise(bench):
    endpoint = bench.open(53)
    came = b"\x83\x07\x08\xc6\x33\x64\x01\x00"
    bench.receive(udp(4, 4000, 53, b"x", ip_options=came))
    assert endpoint.take(bench.now) is None
    bench.host.config = replace(bench.host.config, accept_source_route=True)
    bench.receive(udp(4, 4000, 53, b"x", ip_options=came))
    assert endpoint.take(bench.now).options == came


# ---- a datagram leaves ----------------------------------------------------------------


@pytest.mark.rfc("768", "fields")
@versions
@pytest.mark.parametrize("text", [b"", b"x", b"odd", bytes(1400)])
def test_a_datagram_leaves_as_it_was_given(bench, version, text):
    endpoint = bench.open(4000)
    assert endpoint.send_to(text, PEER[version], 53, bench.now) == len(text)
    (packet,) = map(parse, bench.sent())
    datagram = packet.transport
    assert (datagram.sport, datagram.dport, datagram.length) == (4000, 53, 8 + len(text))
    assert datagram.text == text
    assert (str(packet.src), str(packet.dst)) == (OURS[version], PEER[version])
    assert packet.data == build_udp(
        OURS[version], PEER[version], 4000, 53, text, dont_fragment=True, ip_id=packet.ip_id
    )
    assert bench.counted("UdpOutDatagrams") == 1


@pytest.mark.rfc("1122", "4.1.3.4")
@pytest.mark.rfc("8200", "8.1")
@versions
def test_a_checksum_is_always_sent_and_never_zero(bench, version):
    endpoint = bench.open(4000)
    zero = parse(udp(version, 53, 4000, b"\0\0", src=PEER[version])).transport.checksum
    # The text that brings the sum to the one value whose complement would read "none".
    text = zero.to_bytes(2, "big")
    (packet,) = bench.sends(endpoint, text, version)
    assert packet.transport.checksum == 0xFFFF
    assert packet.transport_checksum_ok


@pytest.mark.rfc("768", "length")
@versions
def test_the_longest_datagram_that_can_be(bench, version):
    most = {4: 65_507, 6: 65_527}[version]
    endpoint = bench.open(4000)
    with raises(errno.EMSGSIZE):
        endpoint.send_to(bytes(most + 1), PEER[version], 53, bench.now)
    assert bench.sent() == []
    assert endpoint.send_to(bytes(most), PEER[version], 53, bench.now) == most
    other = UdpBench(seed=6)
    other.host.local = type(other.host.local)([f"{PEER[4]}/24", f"{PEER[6]}/64"])
    found = other.open(53)
    other.receive(*bench.sent())
    assert len(found.receive(0)[0]) == most


@pytest.mark.rfc("1122", "4.1.4")
@versions
def test_ttl_and_type_of_service_are_the_applications(bench, version):
    endpoint = bench.open(4000)
    settings = endpoint.settings(version)
    settings.ttl, settings.traffic_class = 3, 0xB8
    (packet,) = bench.sends(endpoint, b"x", version)
    assert (packet.ttl, packet.tclass) == (3, 0xB8)
    (other,) = bench.sends(endpoint, b"x", 10 - version)
    assert (other.ttl, other.tclass) == (64, 0)


@pytest.mark.rfc("1112", "6.1")
@pytest.mark.parametrize(("version", "group"), [(4, "233.252.0.1"), (6, "ff0e::db8:0:1")])
def test_a_datagram_to_a_group_goes_no_further_than_asked(bench, version, group):
    endpoint = bench.open(4000)
    for hops in (1, 5):
        endpoint.settings(version).multicast_ttl = hops
        endpoint.send_to(b"x", group, 53, bench.now)
        (packet,) = map(parse, bench.sent())
        assert (packet.ttl, str(packet.dst)) == (hops, group)


@pytest.mark.rfc("1122", "3.3.6")
@pytest.mark.parametrize("address", ["255.255.255.255", "192.0.2.255"])
def test_broadcast_needs_leave(bench, address):
    endpoint = bench.open(4000)
    for refused in (
        lambda: endpoint.send_to(b"x", address, 53, bench.now),
        lambda: endpoint.connect(address, 53, bench.now),
    ):
        with raises(errno.EACCES):
            refused()
    endpoint.broadcast = True
    endpoint.send_to(b"x", address, 53, bench.now)
    (packet,) = map(parse, bench.sent())
    assert (str(packet.src), str(packet.dst)) == (OURS[4], address)
    endpoint.connect(address, 53, bench.now)
    assert endpoint.remote == (address, 53)


@pytest.mark.rfc("1122", "4.1.3.6")
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "240.0.0.1", "::1", "::"])
def test_there_is_no_way_to_what_is_no_host(bench, address):
    endpoint = bench.open(4000)
    with raises(errno.ENETUNREACH):
        endpoint.send_to(b"x", address, 53, bench.now)
    with raises(errno.ENETUNREACH):
        endpoint.connect(address, 53, bench.now)


@pytest.mark.rfc("1122", "4.1.3.5")
def test_the_source_address_is_the_one_asked_for_or_the_best(bench):
    host = bench.host
    host.local = type(host.local)(["192.0.2.2/24", "198.51.100.2/24", "2001:db8::2/64"])
    everywhere = bench.open(4000)
    for remote, source in (("192.0.2.9", "192.0.2.2"), ("198.51.100.9", "198.51.100.2")):
        everywhere.send_to(b"x", remote, 53, bench.now)
        everywhere.send_to(b"x", remote, 53, bench.now, source="198.51.100.2")
        assert [str(parse(p).src) for p in bench.sent()] == [source, "198.51.100.2"]
    bound = bench.open(4001, "198.51.100.2")
    bound.send_to(b"x", "192.0.2.9", 53, bench.now)
    assert str(parse(bench.sent()[0]).src) == "198.51.100.2"
    connected = bench.open(4002)
    connected.connect("192.0.2.9", 53, bench.now)
    connected.send_to(b"x", "198.51.100.9", 53, bench.now)  # answers must find it
    assert str(parse(bench.sent()[0]).src) == "192.0.2.2"
    for foreign in ("203.0.113.1", "2001:db8::2"):
        with raises(errno.ENETUNREACH):
            everywhere.send_to(b"x", "192.0.2.9", 53, bench.now, source=foreign)


def test_a_host_without_an_address_of_the_version_has_no_way_there():
    bench = UdpBench()
    bench.host.local = type(bench.host.local)(["192.0.2.2/24"])
    with raises(errno.ENETUNREACH):
        bench.open(4000).send_to(b"x", PEER[6], 53, bench.now)
    assert bench.counted("IpOutNoRoutes") == 1


# ---- connected ------------------------------------------------------------------------


@versions
def test_who_is_connected_hears_only_its_peer(bench, version):
    endpoint = bench.connected(version, 53, 4000)
    stranger = {4: "192.0.2.77", 6: "2001:db8::77"}[version]
    answers = bench.receive(
        udp(version, 53, 4000, b"peer"),
        udp(version, 54, 4000, b"other port"),
        udp(version, 53, 4000, b"other host", src=stranger),
    )
    assert endpoint.receive(bench.now)[0] == b"peer"
    assert endpoint.receive(bench.now) is None
    assert [parse(a).transport.code for a in answers] == [PORT_UNREACHABLE[version][1]] * 2


@versions
def test_a_connected_endpoint_sends_to_its_peer_and_to_others_by_name(bench, version):
    endpoint = bench.connected(version, 53, 4000)
    assert endpoint.local == (OURS[version], 4000)
    assert endpoint.remote == (PEER[version], 53)
    endpoint.send(b"peer", bench.now)
    endpoint.send_to(b"other", PEER[version], 99, bench.now)
    assert [parse(p).transport.dport for p in bench.sent()] == [53, 99]


def test_connecting_again_changes_the_peer_and_disconnecting_opens_it_to_all(bench):
    endpoint = bench.connected(4, 53, 4000)
    endpoint.connect(PEER[6], 54, bench.now)
    bench.receive(udp(4, 53, 4000, b"old"), udp(6, 54, 4000, b"new"))
    assert endpoint.receive(bench.now) == (b"new", PEER[6], 54)
    assert endpoint.receive(bench.now) is None
    endpoint.disconnect(bench.now)
    assert (endpoint.local, endpoint.remote) == (("::", 4000), None)
    bench.receive(udp(4, 99, 4000, b"anyone"))
    assert endpoint.receive(bench.now)[0] == b"anyone"
    with raises(errno.EDESTADDRREQ):
        endpoint.send(b"x", bench.now)


# ---- groups ---------------------------------------------------------------------------


@pytest.mark.rfc("1122", "4.1.3.5")
@pytest.mark.parametrize(
    ("version", "group"),
    [(4, "192.0.2.255"), (4, "255.255.255.255"), (4, "224.0.0.1"), (6, "ff02::1")],
)
def test_a_datagram_to_many_comes_to_every_endpoint_that_hears_it(bench, version, group):
    shared = {"reuse_address": True}
    everywhere = [bench.open(53, **shared) for _ in range(2)]
    for_the_group = bench.open(53, group, **shared)
    for_one_host = bench.open(53, OURS[version], **shared)
    connected = bench.open(53, **shared)
    connected.connect(PEER[version], 4000, bench.now)
    bench.receive(udp(version, 4000, 53, b"all of you", dst=group))
    for endpoint in (*everywhere, for_the_group):
        assert endpoint.receive(bench.now)[0] == b"all of you"
    for endpoint in (for_one_host, connected):
        assert endpoint.receive(bench.now) is None
    bench.receive(udp(version, 4000, 53, b"one"))
    assert for_the_group.receive(bench.now) is None
    assert for_one_host.receive(bench.now) is None
    assert connected.receive(bench.now)[0] == b"one"
    for_the_group.connect(PEER[version], 99, bench.now)
    bench.receive(udp(version, 4000, 53, b"not from its peer", dst=group))
    assert for_the_group.receive(bench.now) is None
    bench.receive(udp(version, 99, 53, b"from its peer", dst=group))
    assert for_the_group.receive(bench.now)[0] == b"from its peer"


# ---- buffers --------------------------------------------------------------------------


@versions
def test_what_the_buffer_has_no_room_for_is_dropped_and_counted(version):
    bench = UdpBench(config=HostConfig(udp=UdpConfig(receive_buffer=10_000)))
    endpoint = bench.open(53)
    bench.receive(*(udp(version, 4000, 53, bytes([n]) * 1000) for n in range(30)))
    kept = []
    while (found := endpoint.receive(bench.now)) is not None:
        kept.append(found[0][0])
    assert kept == list(range(8))  # 1000 bytes, and 256 for holding them
    assert bench.counted("UdpRcvbufErrors") == bench.counted("UdpInErrors") == 22
    assert bench.counted("UdpInDatagrams") == 8
    bench.receive(udp(version, 4000, 53, b"room again"))
    assert endpoint.receive(bench.now)[0] == b"room again"


def test_empty_datagrams_take_room_too():
    bench = UdpBench(config=HostConfig(udp=UdpConfig(receive_buffer=2560)))
    bench.open(53)
    bench.receive(*(udp(4, 4000, 53) for _ in range(60)))
    assert bench.counted("UdpRcvbufErrors") == 50


def test_one_datagram_of_any_size_has_room():
    bench = UdpBench(mtu=65_535, config=HostConfig(udp=UdpConfig(receive_buffer=4096)))
    endpoint = bench.open(53)
    bench.receive(udp(4, 4000, 53, bytes(65_507)))
    assert len(endpoint.receive(bench.now)[0]) == 65_507


def test_a_full_send_buffer_refuses_and_says_when_there_is_room():
    bench = UdpBench(config=HostConfig(udp=UdpConfig(send_buffer=5000)))
    endpoint = bench.open(4000)
    sent = 0
    with raises(errno.EAGAIN):
        while True:
            endpoint.send_to(bytes(1000), PEER[4], 53, bench.now)
            sent += 1
    assert sent == 5
    assert endpoint.send_space == 0
    assert bench.ready(endpoint) == Ready(0)
    assert len(bench.sent()) == 5
    assert bench.ready(endpoint) == Ready.WRITABLE
    assert endpoint.send_space == 5000
    endpoint.send_to(bytes(1000), PEER[4], 53, bench.now)
    bench.sent()
    assert bench.ready(endpoint) == Ready(0)  # nobody was refused


# ---- the end, and what is seen of it all -----------------------------------------------


def test_what_was_sent_before_close_still_leaves(bench):
    endpoint = bench.open(4000)
    endpoint.send_to(b"last words", PEER[4], 53, bench.now)
    endpoint.close(bench.now)
    assert parse(bench.sent()[0]).transport.text == b"last words"
    for call in (
        lambda: endpoint.send_to(b"x", PEER[4], 53, bench.now),
        lambda: endpoint.send(b"x", bench.now),
        lambda: endpoint.receive(bench.now),
        lambda: endpoint.connect(PEER[4], 53, bench.now),
        lambda: endpoint.bind(None, 0),
    ):
        with raises(errno.EBADF):
            call()
    endpoint.close(bench.now)


def test_a_host_that_goes_down_tells_its_applications(bench):
    bound, fresh = bench.open(53), bench.host.udp.new(4)
    bench.host.close(bench.now)
    for endpoint in (bound, fresh):
        with raises(errno.ECONNABORTED):
            endpoint.receive(bench.now)
    assert dict(bench.host.events()) == dict.fromkeys((bound, fresh), Ready.ERROR | Ready.CLOSED)


def test_observers_see_why(bench):
    seen = []
    bench.host.observe(seen.append)
    small = bench.open(53)
    small.receive_buffer = 1
    bench.receive(*(udp(4, 4000, 53, b"x"),) * 2, udp(4, 4000, 54))
    small.send_to(bytes(2000), PEER[4], 4000, bench.now)
    bench.sent()
    verdicts = [event.verdict for event in seen if isinstance(event, PacketReceived)]
    assert verdicts == [Verdict.DATAGRAM, Verdict.NO_ROOM, Verdict.NO_PORT]
    sent = [(event.why, event.detail) for event in seen if isinstance(event, PacketSent)]
    assert sent == [
        (Why.UNREACHABLE, ""),
        (Why.DATAGRAM, "fragment 1 of 2"),
        (Why.DATAGRAM, "fragment 2 of 2"),
    ]
    calls = [event.call for event in seen if type(event).__name__ == "ApplicationCalled"]
    assert calls == ["bind", "send"]
