"""ICMP and ICMPv6 as a peer sees them: a whole host, driven by packets."""

import random
from dataclasses import replace
from struct import pack

import pytest
from hypothesis import given

from stack.core.host import Host
from stack.core.ip.reassembly import TIMEOUT_US
from stack.wire.batch import Inbound
from tests.support.ip_options import ip_options
from tests.support.packets import (
    ECHO_REPLY,
    HEADER,
    OURS,
    PEER,
    echo,
    fragments,
    icmp,
    ip,
    ipv4,
    ipv4_header_ok,
    ipv6,
    packed,
    piece,
    transport_checksum_ok,
    udp,
)

versions = pytest.mark.parametrize("version", [4, 6])
UNREACHABLE = {4: 3, 6: 1}
PORT = {4: 3, 6: 4}


class Bench:
    """A host in virtual time that is handed packets and asked for its answers."""

    def __init__(self, mtu=1500):
        self.host = Host(
            ["192.0.2.2/24", "2001:db8::2/64"], random_bytes=random.Random(5).randbytes, mtu=mtu
        )
        self.now = 1_000_000

    def send(self, *packets, after=0):
        """What the host sends when these packets come together."""
        self.now += after
        self.host.receive(Inbound.of(packets), self.now)
        return self.answers()

    def wait(self, us):
        """What the host sends by itself within this time."""
        end = self.now + us
        found = []
        while (due := self.host.next_deadline()) is not None and due <= end:
            self.now = max(due, self.now)
            self.host.on_deadline(self.now)
            found += self.answers()
        self.now = end
        return found

    def answers(self):
        found = []
        while (out := self.host.transmit(self.now)).count:
            found += list(out)
        return found


def kind_of(data):
    """Type, code and rest of an ICMP packet, after checking that a peer would take it."""
    assert transport_checksum_ok(data)
    if data[0] >> 4 == 4:
        assert ipv4_header_ok(data)
    arrived = Inbound.of([data])
    packet = arrived.packets[0]
    assert packet.fault == 0
    return packet.icmp_type, packet.icmp_code, packet.icmp_rest


def body_of(data):
    return data[HEADER[data[0] >> 4] + 8 :]


def options_of(data):
    return data[20 : (data[0] & 15) * 4]


@pytest.fixture
def bench():
    return Bench()


# ---- ping --------------------------------------------------------------------


@pytest.mark.rfc("1122", "3.2.2.6")
@pytest.mark.rfc("1122", "3.2.1.8")
def test_a_ping_by_a_source_route_is_answered_by_the_way_back(bench):
    first, second, peer = (bytes((198, 51, 100, 1)), bytes((198, 51, 100, 2)), packed(PEER[4])[12:])
    ping = echo(4, b"x", options=b"\x01\x83\x0b\x0c" + first + second)
    assert bench.send(ping) == []
    bench.host.config = replace(bench.host.config, accept_source_route=True)
    (reply,) = bench.send(ping)
    assert ipv4_header_ok(reply)
    assert reply[16:20] == second
    assert options_of(reply) == b"\x01\x83\x0b\x04" + first + peer


@pytest.mark.rfc("1122", "3.2.2.6")
def test_a_ping_that_records_its_route_is_answered_with_an_entry_of_ours(bench):
    gate, ours = bytes((198, 51, 100, 1)), packed(OURS[4])[12:]
    (reply,) = bench.send(echo(4, b"x", options=b"\x07\x0f\x08" + gate + bytes(9)))
    assert options_of(reply) == b"\x07\x0f\x0c" + gate + ours + bytes(5)
    (full,) = bench.send(echo(4, b"x", options=b"\x07\x07\x08" + gate + b"\0"))
    assert options_of(full) == b"\x07\x07\x08" + gate + b"\0"


@pytest.mark.rfc("1122", "3.2.2.6")
@pytest.mark.rfc("791", "3.1")
def test_a_ping_that_gathers_timestamps_is_answered_with_one_of_ours(bench):
    ours = packed(OURS[4])[12:]
    (reply,) = bench.send(echo(4, b"x", options=b"\x44\x0c\x05\x01" + bytes(8)))
    time = (1 << 31 | bench.now // 1000).to_bytes(4, "big")  # not since midnight
    assert options_of(reply) == b"\x44\x0c\x0d\x01" + ours + time
    (full,) = bench.send(echo(4, b"x", options=b"\x44\x08\x09\x00" + bytes(4)))
    assert options_of(full) == b"\x44\x08\x09\x10" + bytes(4)


@given(ip_options)
def test_no_options_of_a_ping_make_the_host_raise(options):
    bench = Bench()
    bench.host.config = replace(bench.host.config, accept_source_route=True)
    for reply in bench.send(echo(4, b"x", options=options + bytes(-len(options) % 4))):
        assert ipv4_header_ok(reply)


@pytest.mark.rfc("1122", "3.2.2.6")
@pytest.mark.rfc("4443", "4.2")
@versions
@pytest.mark.parametrize("length", [0, 1, 56, 1400])
def test_a_ping_is_answered_with_its_data(bench, version, length):
    data = bytes(range(256)) * 6
    (reply,) = bench.send(echo(version, data[:length], identifier=9, sequence=3))
    assert kind_of(reply) == (ECHO_REPLY[version], 0, 9 << 16 | 3)
    assert body_of(reply) == data[:length]
    ends = (8, 24, 40) if version == 6 else (12, 16, 20)
    assert reply[ends[0] : ends[1]] == packed(OURS[version])[-(ends[1] - ends[0]) :]
    assert reply[ends[1] : ends[2]] == packed(PEER[version])[-(ends[1] - ends[0]) :]


@pytest.mark.rfc("4443", "4.2")
def test_a_ping_to_all_nodes_is_answered_from_a_unicast_address(bench):
    (reply,) = bench.send(echo(6, b"who?", dst="ff02::1"))
    assert kind_of(reply)[0] == 129
    assert reply[8:24] == packed(OURS[6])


@pytest.mark.rfc("1122", "3.2.2.6")
@pytest.mark.parametrize("dst", ["192.0.2.255", "255.255.255.255", "224.0.0.1"])
def test_a_ping_to_an_ipv4_group_stays_unanswered(bench, dst):
    assert bench.send(echo(4, b"who?", dst=dst)) == []


@versions
def test_a_ping_with_a_bad_checksum_is_dropped(bench, version):
    packet = bytearray(echo(version, b"data"))
    packet[-1] ^= 1
    assert bench.send(bytes(packet)) == []
    assert bench.host.counters["IcmpInCsumErrors"] == 1


@versions
def test_a_ping_for_another_host_is_dropped(bench, version):
    other = {4: "192.0.2.77", 6: "2001:db8::77"}[version]
    assert bench.send(echo(version, b"", dst=other)) == []
    assert bench.host.counters["IpInAddrErrors"] == 1


@pytest.mark.rfc("4443", "4.2")
@versions
def test_every_ping_of_a_flood_is_answered(bench, version):
    replies = []
    for sequence in range(500):
        replies += bench.send(echo(version, b"", sequence=sequence))
    assert len(replies) == 500


@pytest.mark.rfc("4443", "2.4(f)")
@versions
def test_errors_meet_a_limit_of_rate(bench, version):
    errors = []
    for _ in range(500):
        errors += bench.send(udp(version, 5000, 9, b"x"))
    assert 0 < len(errors) < 500
    assert bench.host.counters["IcmpOutRateLimited"] == 500 - len(errors)
    assert len(bench.send(udp(version, 5000, 9, b"x"), after=1_000_000)) == 1, "and is over soon"


# ---- fragments -----------------------------------------------------------------


@pytest.mark.rfc("1122", "3.2.1.4")
@pytest.mark.rfc("1122", "3.3.2")
@pytest.mark.rfc("8200", "4.5")
@versions
@pytest.mark.parametrize("reverse", [False, True])
def test_a_fragmented_ping_is_answered_whole(bench, version, reverse):
    data = random.Random(1).randbytes(1200)
    pieces = fragments(echo(version, data), [256, 512, 1000])
    if reverse:
        pieces.reverse()
    assert bench.send(*pieces[:-1]) == []
    (reply,) = bench.send(pieces[-1])
    assert kind_of(reply)[0] == ECHO_REPLY[version]
    assert body_of(reply) == data


@pytest.mark.rfc("1122", "3.3.3")
@pytest.mark.rfc("8200", "5")
@versions
def test_a_reply_beyond_the_mtu_leaves_in_fragments(bench, version):
    data = random.Random(2).randbytes(5000)
    request = echo(version, data)
    replies = bench.send(*fragments(request, [1440, 2880, 4320]))
    assert len(replies) == 4
    assert all(len(reply) <= 1500 for reply in replies)
    peer = Host(["192.0.2.1/24", "2001:db8::1/64"], random_bytes=random.Random(6).randbytes)
    wholes = []
    for reply in replies:
        arrived = Inbound.of([reply])
        assert arrived.packets[0].is_fragment
        wholes.append(peer.reassembly.add(arrived.packets[0], 0))
    assert wholes[:-1] == [None] * 3
    assert body_of(wholes[-1]) == data
    assert kind_of(wholes[-1])[0] == ECHO_REPLY[version]


@pytest.mark.rfc("1122", "3.2.2.4")
@pytest.mark.rfc("4443", "3.3")
@versions
def test_missing_fragments_are_reported_after_sixty_seconds(bench, version):
    first = fragments(echo(version, bytes(100)), [48])[0]
    assert bench.send(first) == []
    assert bench.wait(TIMEOUT_US - 1) == []
    (error,) = bench.wait(1)
    assert kind_of(error) == ((11, 1, 0) if version == 4 else (3, 1, 0))
    assert body_of(error) == first
    assert bench.host.counters["IpReasmTimeout"] == 1


@pytest.mark.rfc("792", "Time Exceeded")
@versions
def test_without_the_first_fragment_nothing_is_reported(bench, version):
    assert bench.send(fragments(echo(version, bytes(100)), [48])[1]) == []
    assert bench.wait(2 * TIMEOUT_US) == []


@pytest.mark.rfc("8200", "4.5")
def test_a_bad_fragment_length_is_a_parameter_problem(bench):
    bad = piece(udp(6, 1, 2, bytes(40)), b"x" * 12, 8, more=True)
    (error,) = bench.send(bad)
    assert kind_of(error) == (4, 0, 4)
    assert body_of(error) == bad


@pytest.mark.rfc("8200", "4.5")
def test_a_packet_that_would_exceed_65535_bytes_is_a_parameter_problem(bench):
    (error,) = bench.send(piece(udp(6, 1, 2, b""), b"x" * 16, 65_528, more=False))
    assert kind_of(error) == (4, 0, 42)


@pytest.mark.rfc("7112", "5")
def test_a_first_fragment_without_all_headers_is_a_parameter_problem(bench):
    (error,) = bench.send(ipv6(pack(">BBHI", 6, 0, 1, 9) + bytes(16), next_header=44))
    assert kind_of(error) == (4, 3, 0)


@pytest.mark.rfc("5722", "4")
@versions
def test_overlapping_fragments_are_never_answered(bench, version):
    packet = echo(version, bytes(100))
    first, second = fragments(packet, [48])
    overlap = piece(packet, b"x" * 16, 40, more=True)
    assert bench.send(first, overlap, second, first, second) == []
    assert bench.wait(2 * TIMEOUT_US) == []
    assert bench.host.counters["IpReasmOverlaps"] == 1


# ---- what this host has not ------------------------------------------------------


@pytest.mark.rfc("1122", "4.1.3.1")
@pytest.mark.rfc("4443", "3.1")
@versions
def test_a_datagram_for_a_closed_port_is_unreachable(bench, version):
    datagram = udp(version, 5000, 9, b"anyone?")
    (error,) = bench.send(datagram)
    assert kind_of(error) == (UNREACHABLE[version], PORT[version], 0)
    assert body_of(error) == datagram
    assert bench.host.counters["UdpNoPorts"] == 1


@pytest.mark.rfc("1122", "3.2.2.1")
@pytest.mark.rfc("4443", "3.4")
@versions
def test_an_unknown_protocol_is_reported(bench, version):
    packet = ip(version, b"data", 253)
    (error,) = bench.send(packet)
    assert kind_of(error) == ((3, 2, 0) if version == 4 else (4, 1, 6))
    assert body_of(error) == packet


@pytest.mark.rfc("8200", "4.7")
def test_no_next_header_is_silently_done_with(bench):
    assert bench.send(ipv6(b"", next_header=59)) == []


@pytest.mark.rfc("8200", "4.2")
@pytest.mark.parametrize(
    ("option", "dst", "answered"),
    [
        (0x1E, OURS[6], None),  # skip over: the ping behind it is answered
        (0x5E, OURS[6], False),
        (0x9E, OURS[6], True),
        (0xDE, OURS[6], True),
        (0x9E, "ff02::1", True),
        (0xDE, "ff02::1", False),
    ],
)
def test_an_unknown_ipv6_option_is_treated_as_its_highest_bits_say(bench, option, dst, answered):
    options = bytes((58, 0, option, 4, 0, 0, 0, 0))
    packet = ipv6(options + echo(6, b"x", dst=dst)[40:], next_header=60, dst=dst)
    answers = bench.send(packet)
    if answered is None:
        assert [kind_of(answer)[0] for answer in answers] == [129]
    else:
        assert [kind_of(answer) for answer in answers] == [(4, 2, 42)] * answered


@pytest.mark.rfc("8200", "4.4")
@pytest.mark.rfc("5095", "3")
@pytest.mark.parametrize("routing_type", [0, 2, 253])
def test_a_routing_header_with_segments_left_is_refused(bench, routing_type):
    header = bytes((58, 2, routing_type, 1, 0, 0, 0, 0)) + bytes(16)
    (error,) = bench.send(ipv6(header + echo(6, b"")[40:], next_header=43))
    assert kind_of(error) == (4, 0, 42)


@pytest.mark.rfc("8200", "4.4")
def test_a_routing_header_without_segments_left_is_passed_over(bench):
    header = bytes((58, 0, 253, 0, 0, 0, 0, 0))
    (reply,) = bench.send(ipv6(header + echo(6, b"")[40:], next_header=43))
    assert kind_of(reply)[0] == 129


@pytest.mark.rfc("8200", "4.3")
@pytest.mark.rfc("8200", "4.1")
def test_hop_by_hop_options_elsewhere_are_an_unrecognised_next_header(bench):
    headers = bytes((0, 0, 1, 4, 0, 0, 0, 0)) + bytes((58, 0, 1, 4, 0, 0, 0, 0))
    (error,) = bench.send(ipv6(headers + echo(6, b"")[40:], next_header=60))
    assert kind_of(error) == (4, 1, 40)


# ---- silence -----------------------------------------------------------------------


@pytest.mark.rfc("1122", "3.2.2")
@pytest.mark.parametrize("dst", ["192.0.2.255", "255.255.255.255", "224.0.0.1"])
def test_no_error_answers_ipv4_broadcast_or_multicast(bench, dst):
    assert bench.send(udp(4, 5000, 9, b"", dst=dst), ipv4(b"", dst=dst, protocol=253)) == []


@pytest.mark.rfc("4443", "2.4(e.3)")
def test_no_unreachable_answers_ipv6_multicast(bench):
    assert bench.send(udp(6, 5000, 9, b"", dst="ff02::1")) == []


@pytest.mark.rfc("1122", "3.2.1.3")
@pytest.mark.parametrize(
    ("version", "src"),
    [
        (4, "0.0.0.0"),
        (4, "127.0.0.1"),
        (4, "192.0.2.255"),
        (4, "224.0.0.1"),
        (4, "255.255.255.255"),
        (4, OURS[4]),
        (6, "::"),
        (6, "::1"),
        (6, "ff02::1"),
        (6, OURS[6]),
    ],
)
def test_nothing_answers_a_source_that_is_no_other_host(bench, version, src):
    assert bench.send(udp(version, 5000, 9, b"", src=src), echo(version, b"", src=src)) == []
    assert bench.host.counters["IpInBadSources"] == 2


@pytest.mark.rfc("4291", "2.5.5.2")
def test_an_ipv6_packet_with_ipv4_mapped_addresses_is_not_ours(bench):
    """Our tables hold IPv4 in that form; on the wire nothing may."""
    mapped = {"src": "::ffff:192.0.2.1", "dst": "::ffff:192.0.2.2"}
    assert bench.send(echo(6, b"", **mapped), udp(6, 5000, 9, b"", **mapped)) == []


@pytest.mark.rfc("1122", "3.2.2")
@pytest.mark.rfc("4443", "2.4(e.1)")
@versions
def test_an_icmp_error_is_never_answered(bench, version):
    about = udp(version, 1, 2, b"", src=OURS[version], dst=PEER[version])
    for kind in (3, 4, 5, 11, 12) if version == 4 else (1, 2, 3, 4, 99, 127, 137):
        for code in (0, 3, 77):
            assert bench.send(icmp(version, kind, code, 0, about)) == []


@pytest.mark.rfc("1122", "3.2.2")
@pytest.mark.rfc("4443", "2.4(b)")
@pytest.mark.parametrize(("version", "kind"), [(4, 200), (4, 17), (6, 200), (6, 255)])
def test_an_unknown_informational_message_is_silently_discarded(bench, version, kind):
    assert bench.send(icmp(version, kind, 0, 0, b"data")) == []


@pytest.mark.rfc("1122", "3.2.1.2")
def test_an_ipv4_header_with_a_bad_checksum_is_silently_discarded(bench):
    packet = bytearray(udp(4, 5000, 9, b""))
    packet[10] ^= 1
    assert bench.send(bytes(packet)) == []
    assert bench.host.counters["IpInCsumErrors"] == 1


@pytest.mark.rfc("1122", "3.2.1.1")
def test_another_ip_version_is_silently_discarded(bench):
    packet = bytes((0x55,)) + udp(4, 5000, 9, b"")[1:]
    assert bench.send(packet) == []
    assert bench.host.counters["IpInHdrErrors"] == 1


@pytest.mark.rfc("1122", "3.2.1.8")
def test_ipv4_options_not_understood_are_passed_over(bench):
    request = ipv4(echo(4, b"data")[20:], options=b"\x88\x04\x00\x01\x01\x01\x01\x00")
    (reply,) = bench.send(request)
    assert kind_of(reply)[0] == 0


# ---- path MTU --------------------------------------------------------------------------


@pytest.mark.rfc("5927", "4.1")
@versions
def test_packet_too_big_about_no_connection_of_ours_changes_nothing(bench, version):
    tcp = pack(">HHIIHHHH", 40_000, 80, 1, 0, 0x5010, 1000, 0, 0)
    quoted = ip(version, tcp, 6, src=OURS[version], dst=PEER[version])
    kind, code = (3, 4) if version == 4 else (2, 0)
    assert bench.send(icmp(version, kind, code, 1300, quoted)) == []
    assert bench.host.path_mtu.mtu_to(packed(PEER[version])) == 1500
    assert bench.host.counters["IcmpInForeign"] == 1


# ---- anything at all ----------------------------------------------------------------------


def test_damaged_packets_never_raise_and_leave_the_host_answering(bench):
    rng = random.Random(11)
    models = [
        echo(4, bytes(64)),
        echo(6, bytes(64)),
        udp(4, 1, 2, bytes(32)),
        udp(6, 1, 2, bytes(32)),
        *fragments(echo(4, bytes(200)), [64, 128]),
        *fragments(echo(6, bytes(200)), [64, 128]),
        icmp(4, 3, 4, 1300, udp(4, 1, 2, b"", src=OURS[4], dst=PEER[4])),
        icmp(6, 2, 0, 1300, udp(6, 1, 2, b"", src=OURS[6], dst=PEER[6])),
        ipv6(bytes((60, 0, 1, 4, 0, 0, 0, 0, 58, 0, 1, 4, 0, 0, 0, 0)) + bytes(8), next_header=0),
    ]
    for _ in range(300):
        batch = []
        for _ in range(60):
            data = bytearray(rng.choice(models))
            for _ in range(rng.randrange(4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            batch.append(bytes(data[: rng.randrange(1, len(data) + 1)]))
        bench.send(*batch, after=rng.randrange(100_000))
    assert bench.host.counters["IpInReceives"] == 300 * 60
    bench.wait(2 * TIMEOUT_US)
    for version in (4, 6):
        (reply,) = bench.send(echo(version, b"still there?"), after=1_000_000)
        assert body_of(reply) == b"still there?"
