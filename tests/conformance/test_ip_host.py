"""What RFC 1122 §3, RFC 792, RFC 4443 and RFC 8200 ask of a host's Internet layer, as a peer
sees it.
"""

import random
from dataclasses import replace
from ipaddress import ip_address
from struct import pack

import pytest

from stack.core.config import HostConfig
from stack.core.host import Host
from stack.core.tcp.states import State
from stack.errors import UsageError
from stack.wire.batch import Inbound
from stack.wire.segment import FRAGMENT, ROUTING, SYN, build_tcp, parse
from tests.support import states
from tests.support.endpoint import OURS, PEER
from tests.support.packets import echo, icmp, ip, udp

versions = pytest.mark.parametrize("version", [4, 6])


class Bench:
    """A host that is handed packets and asked for its answers."""

    def __init__(self, config=None, mtu=1500):
        self.host = Host(
            [f"{OURS[4]}/24", f"{OURS[6]}/64"],
            random_bytes=random.Random(7).randbytes,
            config=config,
            mtu=mtu,
        )
        self.now = 1_000_000

    def send(self, *packets):
        self.host.receive(Inbound.of(packets), self.now)
        return self.answers()

    def answers(self):
        found = []
        while (out := self.host.transmit(self.now)).count:
            found += [parse(data) for data in out]
        return found


def syn(version, dst=None, **ip_fields):
    fields = {"seq": 1, "flags": SYN, **ip_fields}
    return build_tcp(PEER[version], dst or OURS[version], 40_000, 80, **fields)


# ---- time to live ----------------------------------------------------------------------------


@pytest.mark.rfc("1122", "3.2.1.7")
@versions
@pytest.mark.parametrize("ttl", [0, 1])
def test_a_packet_that_arrived_is_taken_however_few_hops_it_has_left(version, ttl):
    bench = Bench()
    bench.host.listen(None, 80)
    (answer,) = bench.send(syn(version, ttl=ttl))
    assert answer.tcp.ack == 2


@pytest.mark.rfc("1122", "3.2.1.7")
@versions
def test_what_leaves_has_hops_enough_and_the_host_says_how_many(version):
    bench = Bench(HostConfig(ttl=200))
    bench.host.listen(None, 80)
    assert [one.ttl for one in bench.send(syn(version))] == [200]
    assert [one.ttl for one in bench.send(syn(version, dst=None, flags=16))] == [200]
    for wrong in (0, -1, 256):
        with pytest.raises(UsageError, match="hop count from 1 to 255"):
            HostConfig(ttl=wrong)


# ---- ICMP that a host does not act on -------------------------------------------------------------


@pytest.mark.rfc("1122", "3.2.2.2")
@pytest.mark.rfc("792", "Redirect")
def test_a_redirect_moves_nothing_where_there_is_one_link(tcp):
    t = tcp()
    states.established(t)
    t.send(b"x")
    quoted = t.take()[0].packet.data[:28]
    for code in range(4):
        t.arrive(icmp(4, 5, code, int(ip_address("192.0.2.77")), quoted))
    t.expect_state(State.ESTABLISHED)
    t.expect_nothing()
    t.inject("A")
    t.send(b"y")
    assert str(t.expect("PA").packet.dst) == PEER[4]


@pytest.mark.rfc("1122", "3.2.2.7")
@pytest.mark.rfc("1122", "3.2.2.9")
@pytest.mark.rfc("792", "Information Request")
@pytest.mark.parametrize("kind", [15, 16, 17, 18, 10, 9, 30, 37, 40, 255])
def test_old_questions_and_unknown_ones_stay_without_an_answer(kind):
    assert Bench().send(icmp(4, kind, 0, 0x10001, bytes(12))) == []


@pytest.mark.rfc("1122", "3.2.2.8")
@pytest.mark.rfc("792", "Timestamp")
def test_a_timestamp_request_need_not_be_answered_and_is_not():
    assert Bench().send(icmp(4, 13, 0, 0x10001, bytes(12))) == []


@pytest.mark.rfc("792", "Parameter Problem")
@pytest.mark.rfc("1122", "3.2.2.5")
def test_a_parameter_problem_is_told_to_the_application_and_ends_nothing(tcp):
    t = tcp()
    states.established(t)
    t.send(b"x")
    quoted = t.take()[0].packet.data[:28]
    t.arrive(icmp(4, 12, 0, 20 << 24, quoted))
    t.expect_state(State.ESTABLISHED)
    assert t.tcp.soft_error


@pytest.mark.rfc("792", "Source Quench")
def test_a_source_quench_is_no_word_to_anybody():
    bench = Bench()
    assert bench.send(icmp(4, 4, 0, 0, syn(4)[:28])) == []


# ---- ICMPv6 --------------------------------------------------------------------------------------


@pytest.mark.rfc("4443", "2.4(a)")
@pytest.mark.rfc("4443", "2.4(d)")
@pytest.mark.parametrize("kind", [0, 5, 100, 127])
def test_an_error_of_an_unknown_type_reaches_the_connection_that_it_quotes(tcp, kind):
    t = tcp(6)
    states.established(t)
    t.send(b"x")
    quoted = t.take()[0].packet.data
    t.arrive(icmp(6, kind, 0, 0, quoted))
    t.expect_state(State.ESTABLISHED)
    assert t.tcp.soft_error


@pytest.mark.rfc("4443", "2.4(d)")
def test_behind_extension_headers_of_the_quote_the_connection_is_found(tcp):
    t = tcp(6)
    states.syn_sent(t)
    plain = t.seen[-1].packet.data
    padding = bytes((6, 0, 1, 4, 0, 0, 0, 0))
    quoted = plain[:4] + pack(">HB", len(plain) - 40 + 8, 60) + plain[7:40] + padding + plain[40:]
    t.arrive(icmp(6, 1, 4, 0, quoted))
    t.expect_state(State.CLOSED)


@pytest.mark.rfc("4443", "2.1")
@pytest.mark.rfc("4443", "2.2")
def test_an_error_comes_from_the_address_that_was_asked():
    bench = Bench()
    bench.host.local = type(bench.host.local)([f"{OURS[6]}/64", "2001:db8::77/64"])
    for ours in (OURS[6], "2001:db8::77"):
        (answer,) = bench.send(udp(6, 4000, 9, b"x", dst=ours))
        assert str(answer.src) == ours


@pytest.mark.rfc("4443", "2.3")
def test_a_wrong_checksum_makes_an_icmpv6_message_void():
    good = echo(6, b"data")
    assert len(Bench().send(good)) == 1
    for at in range(40, len(good)):
        bad = bytearray(good)
        bad[at] ^= 0x55
        assert Bench().send(bytes(bad)) == []


# ---- IPv6 -------------------------------------------------------------------------------------------


@pytest.mark.rfc("8200", "8.4")
def test_an_answer_does_not_go_back_along_a_routing_header():
    """Its sender may have made the route up."""
    bench = Bench()
    bench.host.listen(None, 80)
    route = bytes((0, 2, 0, 0, 0, 0, 0, 0)) + ip_address("2001:db8::bad").packed
    (answer,) = bench.send(syn(6, extensions=[(ROUTING, route)]))
    assert answer.header_length == 40
    assert str(answer.dst) == PEER[6]


@pytest.mark.rfc("8021", "4")
@pytest.mark.rfc("8200", "5")
@pytest.mark.parametrize("claimed", [0, 68, 500, 1279])
def test_no_message_makes_us_send_atomic_fragments(tcp, claimed):
    t = tcp(6)
    states.established(t)
    t.send(bytes(3000))
    first = t.take()
    t.arrive(icmp(6, 2, 0, claimed, first[0].packet.data[:1200]))
    t.advance(3_000_000)
    t.inject("A")
    t.send(bytes(3000))
    t.advance(3_000_000)
    for one in t.take():
        assert one.packet.header_length == 40, "a fragment header"
        assert one.packet.data[6] != FRAGMENT


@pytest.mark.rfc("8021", "4")
@pytest.mark.parametrize("claimed", [0, 68, 1279])
def test_an_echo_reply_of_any_size_is_no_atomic_fragment_either(claimed):
    bench = Bench()
    (reply,) = bench.send(echo(6, bytes(1000)))
    bench.send(icmp(6, 2, 0, claimed, reply.data))
    (again,) = bench.send(echo(6, bytes(1000)))
    assert again.data[6] != FRAGMENT


@pytest.mark.rfc("8200", "4")
@versions
def test_what_is_handed_to_an_unknown_protocol_is_reported_once(version):
    bench = Bench()
    (answer,) = bench.send(ip(version, b"whatever", 253))
    assert (answer.transport.type, answer.transport.code) == ((3, 2) if version == 4 else (4, 1))


# ---- addresses ------------------------------------------------------------------------------------------


@pytest.mark.rfc("1122", "3.2.1.3")
@pytest.mark.parametrize("src", ["127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.9", OURS[4]])
def test_nothing_is_said_to_who_is_no_other_host(src):
    bench = Bench()
    bench.host.listen(None, 80)
    data = build_tcp(src, OURS[4], 40_000, 80, seq=1, flags=SYN)
    assert bench.send(data, echo(4, b"x", src=src), udp(4, 1, 9, b"x", src=src)) == []


@pytest.mark.rfc("1122", "3.3.4.2")
@versions
def test_an_answer_comes_from_the_address_that_was_asked(version):
    other = {4: "192.0.2.33", 6: "2001:db8::33"}[version]
    prefix = {4: 24, 6: 64}[version]
    host = Host(
        [f"{OURS[version]}/{prefix}", f"{other}/{prefix}"],
        random_bytes=random.Random(7).randbytes,
        config=replace(HostConfig(), ttl=33),
    )
    host.listen(None, 80)
    bench = Bench()
    bench.host = host
    for ours in (other, OURS[version]):
        answers = bench.send(syn(version, dst=ours), echo(version, b"x", dst=ours))
        assert [str(one.src) for one in answers] == [ours] * 2
