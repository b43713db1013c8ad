"""IPv4 options of TCP segments: source routes (RFC 9293 §3.9.2.1, RFC 1122 §3.2.1.8), record
route and timestamps; what IP hands up and down besides (RFC 9293 §3.9.1).
"""

import socket
import struct
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.core.ip.options import checked_options
from stack.core.tcp.states import State
from stack.core.why import Why
from stack.sockets.tcp_options import IP_PKTOPTIONS, IPV6_2292PKTOPTIONS, Settings
from stack.wire.batch import Inbound
from stack.wire.segment import build_icmp, parse
from tests.support import states
from tests.support.endpoint import OURS, PEER, SECOND, Endpoint, Peer
from tests.support.ip_options import ip_options
from tests.support.packets import fragments

LOOSE, STRICT, RECORD, STAMP = 131, 137, 7, 68
GATES = ("198.51.100.1", "198.51.100.2", "198.51.100.3")
kinds = pytest.mark.parametrize("kind", [LOOSE, STRICT])


def octets(*addresses):
    return b"".join(IPv4Address(one).packed for one in addresses)


def route(*hops, kind=LOOSE, pointer=4):
    """A source route as it stands in a header, or as an application gives it, in whole words."""
    return b"\x01" + bytes((kind, 3 + 4 * len(hops), pointer)) + octets(*hops)


def came(*gates, kind=LOOSE):
    """The options of a packet that came through `gates`."""
    return {"ip_options": route(*gates, kind=kind, pointer=4 + 4 * len(gates))}


def way(one):
    """The way of a segment of ours: whom it is addressed to, and the route it has."""
    packet = one.packet
    assert packet.transport_checksum_ok
    assert packet.ip_checksum_ok
    if packet.next_hop is None:
        return (str(packet.dst),)
    (start,) = [at for at in (0, 1) if packet.ip_options[at] in (LOOSE, STRICT)]
    length, pointer = packet.ip_options[start + 1 : start + 3]
    assert pointer == 4
    hops = packet.ip_options[start + 3 : start + length]
    left = [str(IPv4Address(hops[at : at + 4])) for at in range(0, len(hops), 4)]
    return (str(packet.next_hop), *left)


def host(tcp, *, accepts=True, **settings):
    t = tcp(**settings)
    t.host.config = replace(t.host.config, accept_source_route=accepts)
    return t


def option(t, value, name=socket.IP_OPTIONS, level=socket.IPPROTO_IP):
    """Sets an option of the connection as an application does."""
    settings = Settings()
    settings.attach(t.tcp)
    settings.set(level, name, value)
    return settings


def opened_by_route(tcp, *gates, **settings):
    """A connection whose SYN came through `gates`; each later segment came straight."""
    t = host(tcp, **settings)
    t.listen()
    t.inject("S", **came(*gates))
    syn_ack = t.expect("SA")
    t.inject("A")
    t.accept()
    return t, syn_ack


# ---- the application's route ---------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-51")
@pytest.mark.rfc("1122", "3.2.1.8")
@kinds
def test_an_application_specifies_the_route_of_a_connection_that_it_opens(tcp, kind):
    t = tcp()
    t.connection = t.host.connect(PEER[4], t.peer.port, t.now, local_port=50_000)
    t.local_port = 50_000
    option(t, route(*GATES[:2], kind=kind))
    t._after()
    expected = (*GATES[:2], PEER[4])
    assert way(t.expect("S")) == expected
    t.inject("SA")
    assert way(t.expect("A")) == expected
    t.send(b"data")
    assert way(t.expect("PA", text=b"data")) == expected
    t.shutdown()
    assert way(t.expect("FA")) == expected
    t.advance(SECOND)
    assert {way(one) for one in t.take()} == {expected}


@pytest.mark.rfc("9293", "MUST-51")
def test_the_route_of_an_open_connection_may_change_and_end(tcp):
    t = tcp()
    states.established(t)
    settings = option(t, route(GATES[0]))
    t.send(b"x")
    assert way(t.expect("PA")) == (GATES[0], PEER[4])
    t.inject("A")
    settings.set(socket.IPPROTO_IP, socket.IP_OPTIONS, b"")
    t.send(b"y")
    assert way(t.expect("PA")) == (PEER[4],)


@pytest.mark.rfc("9293", "MUST-51")
def test_a_route_given_to_a_listener_is_that_of_its_connections(tcp):
    t = tcp()
    t.listen()
    settings = Settings()
    settings.set(socket.IPPROTO_IP, socket.IP_OPTIONS, route(GATES[2]))
    t.listener.configure = settings.apply
    t.inject("S")
    assert way(t.expect("SA")) == (GATES[2], PEER[4])


@pytest.mark.rfc("9293", "MUST-52")
def test_the_applications_route_counts_more_than_the_one_that_a_segment_came_by(tcp):
    t, syn_ack = opened_by_route(tcp, GATES[0])
    assert way(syn_ack) == (GATES[0], PEER[4])
    option(t, route(GATES[1]))
    t.inject("PA", text=b"x", **came(GATES[2]))
    t.send(b"y")
    assert way(t.take()[-1]) == (GATES[1], PEER[4])


@pytest.mark.rfc("9293", "MUST-52")
def test_a_route_given_to_a_listener_counts_more_than_that_of_the_syn(tcp):
    t = host(tcp)
    t.listen()
    settings = Settings()
    settings.set(socket.IPPROTO_IP, socket.IP_OPTIONS, route(GATES[2]))
    t.listener.configure = settings.apply
    t.inject("S", **came(GATES[0]))
    assert way(t.expect("SA")) == (GATES[2], PEER[4])


@pytest.mark.rfc("1122", "3.2.1.8")
@pytest.mark.parametrize(
    "bad",
    [
        route(GATES[0]) + route(GATES[1]),  # two of them
        b"\x83\x03\x04\x00",  # no hop
        b"\x83\x07\x08" + bytes(4) + b"\x00",  # the pointer is beyond the first
        b"\x83\x06\x04" + bytes(3),
        b"\x83\x0b\x04" + bytes(4),
        b"\x83",
        route(*GATES, *GATES, *GATES, *GATES),  # longer than a header takes
        b"\x07\x07\x05" + bytes(4) + b"\x00",  # no whole entry
        b"\x44\x08\x04\x00" + bytes(4),
    ],
)
def test_what_is_no_option_cannot_be_given(bad):
    with pytest.raises(ValueError, match=r"option|route|pointer"):
        checked_options(bad)


# ---- the way back ----------------------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-53")
@pytest.mark.rfc("1122", "3.2.1.8")
@kinds
def test_a_passive_open_answers_by_the_reversed_route(tcp, kind):
    t = host(tcp)
    t.listen()
    t.inject("S", **came(*GATES, kind=kind))
    syn_ack = t.expect("SA")
    back = (*reversed(GATES), PEER[4])
    assert way(syn_ack) == back
    assert kind in syn_ack.packet.ip_options[:2]
    t.inject("A", **came(*GATES, kind=kind))
    t.accept()
    t.send(b"data")
    assert way(t.expect("PA")) == back
    t.inject("PA", text=b"straight")  # the route stays when a segment has none
    t.advance(SECOND)
    assert {way(one) for one in t.take()} == {back}
    t.abort()
    assert way(t.expect("RA")) == back
    settings = Settings()
    settings.connection = t.tcp
    given = settings.get(socket.IPPROTO_IP, socket.IP_OPTIONS, 40)
    assert given == route(*reversed(GATES), kind=kind)


@pytest.mark.rfc("1122", "3.2.1.8")
def test_a_route_in_which_the_sender_recorded_itself_leads_back_all_the_same(tcp):
    _, syn_ack = opened_by_route(tcp, PEER[4], *GATES[:2])
    assert way(syn_ack) == (GATES[1], GATES[0], PEER[4])


@pytest.mark.rfc("1122", "3.2.1.8")
@pytest.mark.parametrize("gates", [(), (PEER[4],)])
def test_a_route_without_gateways_is_no_detour(tcp, gates):
    _, syn_ack = opened_by_route(tcp, *gates)
    assert way(syn_ack) == (PEER[4],)
    assert syn_ack.packet.ip_options == b""


@pytest.mark.rfc("9293", "SHLD-24")
def test_another_route_in_a_later_segment_takes_the_place_of_the_first(tcp):
    t, syn_ack = opened_by_route(tcp, GATES[0])
    assert way(syn_ack) == (GATES[0], PEER[4])
    t.inject("PA", text=b"x", **came(GATES[1], GATES[2]))
    t.send(b"y")
    assert way(t.take()[-1]) == (GATES[2], GATES[1], PEER[4])


@pytest.mark.rfc("9293", "SHLD-24")
@pytest.mark.parametrize(
    "forged",
    [
        {"seq": 100_000, "text": b"x"},
        {"seq": -100, "text": b"x"},
        {"ack": 100_000, "text": b"x"},
        {"flags": "R", "seq": 100},
        {"flags": "S", "seq": 100},
    ],
)
def test_a_segment_that_does_not_fit_leads_nobody_astray(tcp, forged):
    t, _ = opened_by_route(tcp, GATES[0])
    t.inject(forged.pop("flags", "PA"), **forged, **came(GATES[1]))
    t.take()
    t.send(b"y")
    assert way(t.take()[-1]) == (GATES[0], PEER[4])


@pytest.mark.rfc("9293", "MUST-53")
def test_a_connection_that_we_opened_keeps_to_its_own_way(tcp):
    t = host(tcp)
    states.syn_sent(t)
    t.inject("SA", **came(GATES[0]))
    assert way(t.expect("A")) == (PEER[4],)


@pytest.mark.rfc("9293", "MUST-53")
def test_an_answer_for_no_connection_goes_back_by_the_same_way(tcp):
    t = host(tcp)
    t.inject("S", **came(*GATES))
    assert way(t.expect("RA", why=Why.NO_CONNECTION)) == (*reversed(GATES), PEER[4])


@pytest.mark.rfc("9293", "MUST-53")
def test_a_syn_cookie_goes_back_by_the_same_way(tcp):
    t = host(tcp, syn_queue=0)
    t.listen()
    t.inject("S", **came(GATES[0]))
    assert way(t.expect("SA", why=Why.SYN_COOKIE)) == (GATES[0], PEER[4])
    t.inject("A", **came(GATES[0]))
    t.accept()
    t.send(b"x")
    assert way(t.expect("PA")) == (GATES[0], PEER[4])


@pytest.mark.rfc("1122", "3.2.1.8")
def test_each_fragment_has_the_route_and_the_whole_segment_is_answered_by_it(tcp):
    t = host(tcp)
    t.listen()
    plain = t.packet("S", text=bytes(100))
    routed = t.packet("S", seq=0, text=bytes(100), **came(*GATES[:2]))
    length = (routed[0] & 15) * 4
    for one in fragments(plain, [48]):
        head = bytearray(routed[:length])
        head[2:8] = (length + len(one) - 20).to_bytes(2, "big") + one[4:8]
        head[10:12] = b"\0\0"
        head[10:12] = _header_sum(head)
        t.arrive(bytes(head) + one[20:])
    assert way(t.expect("SA")) == (GATES[1], GATES[0], PEER[4])
    t.judged = False  # the checker knows no fragments


def _header_sum(head):
    total = sum(int.from_bytes(head[at : at + 2], "big") for at in range(0, len(head), 2))
    return (~(total % 0xFFFF) & 0xFFFF).to_bytes(2, "big")


# ---- what is refused ---------------------------------------------------------------------------


@pytest.mark.rfc("7126", "4.3")
def test_packets_that_came_by_a_source_route_are_dropped_unless_the_host_is_told_otherwise(tcp):
    t = host(tcp, accepts=False)
    t.listen()
    t.inject("S", **came(GATES[0]))
    t.expect_nothing(SECOND)
    assert not t.host.connections
    t.inject("S")
    t.expect("SA")
    t.inject("A")
    t.accept()
    t.inject("PA", text=b"injected", **came(GATES[0]))
    t.expect_nothing(SECOND)
    assert t.tcp.available == 0
    assert t.host.counters["IpInSourceRoutes"] == 2


@pytest.mark.rfc("1122", "3.3.5")
@pytest.mark.parametrize("accepts", [False, True])
def test_a_host_forwards_nothing_along_a_source_route(tcp, accepts):
    t = host(tcp, accepts=accepts)
    t.listen()
    data = t.packet("S", ip_options=route(GATES[0], GATES[1]))
    t.host.receive(Inbound.of([data]), t.now)
    answers = list(t.host.transmit(t.now))
    if not accepts:
        assert answers == []
        return
    (answer,) = answers
    found = parse(answer)
    assert (found.transport.type, found.transport.code) == (3, 5)  # source route failed
    assert str(found.dst) == PEER[4]
    assert found.transport.body[:20] == data[:20]


@pytest.mark.rfc("1122", "3.2.2.5")
@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        (b"\x83\x07\x03" + bytes(5), 22),  # points into the option's own head
        (b"\x83\x07\x05" + bytes(5), 22),
        (b"\x83\x06\x04" + bytes(5), 21),
        (b"\x83\x03\x04\x89\x03\x04\x00\x00", 23),  # a second route
        (b"\x99\x09" + bytes(6), 21),
        (b"\x01\x01\x01\x99", 24),
    ],
)
def test_an_option_that_contradicts_itself_is_reported_where_it_does(tcp, options, pointer):
    t = host(tcp)
    t.host.receive(Inbound.of([t.packet("S", ip_options=options)]), t.now)
    (answer,) = t.host.transmit(t.now)
    found = parse(answer).transport
    assert (found.type, found.code, found.rest >> 24) == (12, 0, pointer)


@given(st.lists(st.tuples(st.sampled_from(["A", "PA", "S", "R", "FA"]), ip_options), max_size=10))
def test_no_options_of_a_peer_make_the_host_raise_or_send_what_is_no_packet(segments):
    t = Endpoint()
    t.host.config = replace(t.host.config, accept_source_route=True)
    states.established(t)
    for flags, options in segments:
        t.inject(flags, seq=1, ack=1, ip_options=options)
        for one in t.take():
            assert one.packet.ip_checksum_ok
            assert one.packet.transport_checksum_ok
            assert str(one.packet.dst) == PEER[4]
    if t.state == State.ESTABLISHED:
        t.send(b"still here")
        assert t.take()[-1].text == b"still here"


# ---- room ------------------------------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-16")
@pytest.mark.parametrize("ts", [False, True])
def test_ip_options_take_their_room_from_the_text(tcp, ts):
    t = tcp(peer=Peer(ts=ts))
    states.established(t)
    option(t, route(*GATES))
    t.send(bytes(5000))
    sent = t.take()
    assert [one.length for one in sent][:2] == [1460 - 12 * ts - 16] * 2
    assert {len(one.packet.data) for one in sent[:2]} == {1500}


@pytest.mark.rfc("9293", "MUST-16")
def test_a_peer_that_takes_little_gets_less_by_the_length_of_the_options(tcp):
    t = tcp(peer=Peer(mss=536))
    states.established(t)
    option(t, route(GATES[0]))
    t.send(bytes(2000))
    assert t.take()[0].length == 536 - 8


@pytest.mark.rfc("9293", "MUST-16")
def test_a_tiny_mss_leaves_room_for_some_text_beside_all_options(tcp):
    t = tcp(peer=Peer(mss=1, ts=True))
    states.established(t)
    option(t, route(*GATES, *GATES, *GATES))
    t.send(bytes(100))
    assert t.take()[0].length == 8
    t.judged = False  # more than such a peer said it takes


@pytest.mark.rfc("9293", "3.9.2")
def test_a_device_that_cuts_segments_gets_whole_ones_with_their_options(tcp):
    t = tcp(offload=True)
    states.established(t)
    option(t, route(*GATES))
    t.send(bytes(10_000))
    sent = t.take()
    assert {way(one) for one in sent} == {(*GATES, PEER[4])}
    assert max(len(one.packet.data) for one in sent) == 1500


@pytest.mark.rfc("1191", "6.4")
def test_a_router_on_the_route_quotes_the_hop_and_means_the_connection(tcp):
    t = tcp()
    states.established(t)
    option(t, route(*GATES[:2]))
    t.send(bytes(5000))
    first = t.take()[0].packet
    assert str(first.next_hop) == GATES[0]
    t.arrive(build_icmp(GATES[0], OURS[4], 3, 4, rest=1300, body=first.data[:48]))
    assert max(one.length for one in t.take()) == 1300 - 40 - 12
    assert t.host.path_mtu.mtu_to(t.tcp.remote_packed) == 1300


@pytest.mark.rfc("9293", "MUST-56")
def test_source_route_failed_is_a_soft_error(tcp):
    t = tcp()
    states.established(t)
    option(t, route(GATES[0]))
    t.send(b"x")
    data = t.expect("PA").packet.data
    t.arrive(build_icmp(GATES[0], OURS[4], 3, 5, body=data[:48]))
    t.expect_state(State.ESTABLISHED)
    assert t.tcp.soft_error


# ---- record route and timestamps ---------------------------------------------------------------


@pytest.mark.rfc("9293", "MAY-11")
@pytest.mark.rfc("1122", "3.2.1.8")
def test_segments_record_their_route_from_our_host_on(tcp):
    t = tcp()
    states.established(t)
    option(t, bytes((RECORD, 11, 4)) + bytes(8))
    t.send(b"x")
    sent = t.expect("PA").packet
    assert sent.ip_options == bytes((RECORD, 11, 8)) + octets(OURS[4]) + bytes(5)
    assert sent.transport_checksum_ok


@pytest.mark.rfc("9293", "MAY-10")
@pytest.mark.rfc("1122", "3.2.1.8")
def test_segments_say_when_they_left(tcp):
    t = tcp()
    states.established(t)
    option(t, bytes((STAMP, 8, 5, 0)) + bytes(4))
    for _ in range(2):
        t.advance(700_000)
        t.send(b"x")
        sent = t.take()[-1].packet
        # The high bit: not since midnight, but milliseconds all the same (RFC 791 §3.1).
        assert sent.ip_options == bytes((STAMP, 8, 9, 0)) + (
            (1 << 31 | t.now // 1000).to_bytes(4, "big")
        )
        t.inject("A")


@pytest.mark.rfc("9293", "MAY-10")
@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ((12, 5, 1, "0.0.0.0"), (12, 13, 1, OURS[4])),
        ((12, 5, 3, OURS[4]), (12, 13, 3, OURS[4])),
        ((12, 5, 3, GATES[0]), (12, 5, 3, GATES[0])),  # for another host to fill in
        ((12, 13, 0, GATES[0]), (12, 13, 0x10, GATES[0])),  # full: one host had no room
        ((12, 5, 2, GATES[0]), (12, 5, 2, GATES[0])),  # of a kind that nobody knows
    ],
)
def test_a_timestamp_stands_where_the_option_asks_for_it(tcp, given, sent):
    t = tcp()
    states.established(t)
    option(t, bytes((STAMP, *given[:3])) + octets(given[3]) + bytes(4))
    t.send(b"x")
    found = t.expect("PA").packet.ip_options
    assert found[:8] == bytes((STAMP, *sent[:3])) + octets(sent[3])
    assert (found[8:] != bytes(4)) == (sent[1] > given[1])


@pytest.mark.rfc("9293", "MAY-11")
def test_a_recorded_route_goes_beside_the_way_back(tcp):
    t, _ = opened_by_route(tcp, GATES[0])
    option(t, bytes((RECORD, 7, 4)) + bytes(4))
    t.send(b"x")
    one = t.expect("PA")
    assert way(one) == (GATES[0], PEER[4])
    assert one.packet.ip_options[8:] == bytes((RECORD, 7, 8)) + octets(OURS[4]) + b"\0"


# ---- what else IP and TCP hand each other --------------------------------------------------------


@pytest.mark.rfc("1122", "3.2.1.5")
@pytest.mark.rfc("9293", "MAY-4")
@pytest.mark.rfc("6864", "4.1")
def test_a_segment_that_leaves_again_unchanged_keeps_its_identification(tcp):
    t = tcp(peer=Peer(sack=False))
    states.established(t)
    t.send(bytes(4000))
    first = t.take()
    assert len({one.packet.ip_id for one in first}) == 3
    assert first[1].packet.ip_id - first[0].packet.ip_id in (1, 1 - 0x10000)
    t.advance(3 * SECOND)
    again = t.take()[0]
    assert again.seq == first[0].seq
    assert again.packet.data == first[0].packet.data


@pytest.mark.rfc("6864", "4.3")
@pytest.mark.rfc("1191", "3")
def test_where_routers_may_fragment_no_two_packets_share_their_identification(tcp):
    t = tcp()
    states.established(t)
    t.send(bytes(3000))
    quoted = t.take()[0].packet.data
    t.arrive(build_icmp("192.0.2.254", OURS[4], 3, 4, rest=300, body=quoted[:28]))
    sent = t.take()
    t.advance(SECOND)
    sent += t.take()
    assert not any(one.packet.dont_fragment for one in sent)
    assert len({one.packet.ip_id for one in sent}) == len(sent) > 3


@pytest.mark.rfc("1191", "3")
def test_the_next_connection_along_a_path_below_our_floor_lets_routers_fragment_too(tcp):
    t = tcp()
    states.established(t)
    t.send(bytes(3000))
    quoted = t.take()[0].packet.data
    t.arrive(build_icmp("192.0.2.254", OURS[4], 3, 4, rest=300, body=quoted[:28]))
    t.take()
    t.abort()
    t.take()
    t.advance(SECOND)
    t.peer.iss, t.peer.nxt, t.peer.acks = t.peer.iss + 100_000, 0, 0
    t.inject("S")
    assert not t.expect("SA").packet.dont_fragment
    t.inject("A")
    t.accept()
    t.send(b"x")
    assert not t.expect("PA").packet.dont_fragment


@pytest.mark.rfc("1122", "3.2.1.6")
@pytest.mark.rfc("9293", "MAY-9")
@pytest.mark.parametrize("version", [4, 6])
def test_the_application_may_learn_the_traffic_class_that_arrived_last(tcp, version):
    level, switch, name, kind = (
        (socket.IPPROTO_IP, socket.IP_RECVTOS, IP_PKTOPTIONS, socket.IP_TOS)
        if version == 4
        else (
            socket.IPPROTO_IPV6,
            socket.IPV6_RECVTCLASS,
            IPV6_2292PKTOPTIONS,
            socket.IPV6_TCLASS,
        )
    )
    t = tcp(version)
    t.listen()
    t.inject("S", tclass=0xB8)
    t.expect("SA")
    t.inject("A", tclass=0xB8)
    t.accept()
    settings = Settings(version=version)
    settings.attach(t.tcp)
    assert settings.get(level, name, 64) == b""
    settings.set(level, switch, 1)
    for arrived in (0xB8, 0x28, 0x00):
        if arrived != 0xB8:  # the handshake's is known without asking beforehand
            t.inject("PA", text=b"x", tclass=arrived)
        message = settings.get(level, name, 64)
        found = socket.CMSG_SPACE(4), level, kind, arrived
        assert (len(message), *_cmsg(message)) == found
    t.take()
    t.advance(SECOND)
    t.take()


def _cmsg(message):
    return struct.unpack_from("@Niii", message)[1:]


@pytest.mark.rfc("9293", "MAY-14")
def test_a_flush_takes_back_what_the_window_does_not_let_leave(tcp):
    t = tcp(peer=Peer(window=3000))
    states.established(t)
    assert t.send(bytes(range(250)) * 40) == 10_000
    t.take()
    assert t.call("flush") == 7000
    assert t.tcp.send_queued == 3000
    t.send(b"instead")
    t.peer.window = 65_535
    t.inject("A")
    texts = b"".join(one.text for one in t.take())
    assert texts.endswith(b"instead")
    t.inject("A")
    t.expect_value("send_queued", 0, t.tcp.send_queued)
    assert t.call("flush") == 0


@pytest.mark.rfc("9293", "MAY-14")
def test_a_flush_before_the_connection_is_open_leaves_nothing(tcp):
    t = tcp()
    states.syn_sent(t)
    t.send(b"never sent")
    assert t.call("flush") == 10
    t.inject("SA")
    t.expect("A", text=b"")
    t.send(b"this")
    t.expect("PA", seq=1, text=b"this")


@pytest.mark.rfc("9293", "MAY-14")
def test_a_fin_goes_behind_what_a_flush_left(tcp):
    t = tcp(peer=Peer(window=1000))
    states.established(t)
    t.send(bytes(5000))
    t.call("send_urgent", b"!")
    t.take()
    t.shutdown()
    t.call("flush")
    t.peer.window = 65_535
    t.inject("A")
    last = t.take()[-1]
    assert "F" in last.flags
    assert (last.end, last.urgent) == (1002, 0)
