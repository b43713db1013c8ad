"""Reassembly: any honest fragmentation is rebuilt, nothing contradictory ever is."""

import random
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.core.counters import Counters
from stack.core.ip.reassembly import TIMEOUT_US, Expired, Reassembly
from stack.wire.batch import Inbound
from tests.support.packets import (
    echo,
    fragments,
    ip,
    ipv4,
    ipv4_header_ok,
    ipv6,
    parsed,
    piece,
    udp,
)

NOW = 5_000_000


class Bench:
    """A reassembly with its counters, fed with bytes."""

    def __init__(self, **limits):
        self.counters = Counters()
        self.reassembly = Reassembly(counters=self.counters, **limits)

    def add(self, data, now=NOW):
        arrived = Inbound.of([data])
        assert arrived.packets[0].fault == 0
        assert arrived.packets[0].is_fragment
        return self.reassembly.add(arrived.packets[0], now)

    def add_all(self, pieces, now=NOW):
        return [whole for data in pieces if (whole := self.add(data, now)) is not None]


def body(length):
    return random.Random(length).randbytes(length)


def plain(data):
    """The packet as the receiver should see it: IPv4's identification and flags are free."""
    if data[0] >> 4 == 6:
        return data
    return data[:4] + data[8:10] + data[12:]


versions = pytest.mark.parametrize("version", [4, 6])


@pytest.mark.rfc("791", "3.2")
@pytest.mark.rfc("8200", "4.5")
@versions
def test_two_fragments_give_the_packet_back(version):
    bench = Bench()
    packet = echo(version, body(100))
    first, second = fragments(packet, [48])
    assert bench.add(first) is None
    whole = bench.add(second)
    assert plain(whole) == plain(packet)
    assert len(bench.reassembly) == 0
    assert bench.reassembly.held_bytes == 0
    assert bench.counters["IpReasmReqds"] == 2
    assert bench.counters["IpReasmOKs"] == 1


@pytest.mark.rfc("815", "3")
@given(
    version=st.sampled_from([4, 6]),
    length=st.integers(9, 3000),
    data=st.data(),
)
def test_any_fragmentation_in_any_order_with_copies_rebuilds_the_packet(version, length, data):
    packet = echo(version, body(length))
    payload = length + 8
    cuts = sorted(data.draw(st.sets(st.integers(1, (payload - 1) // 8), min_size=1, max_size=40)))
    pieces = fragments(packet, [cut * 8 for cut in cuts])
    order = data.draw(st.permutations(pieces))
    copies = data.draw(st.lists(st.sampled_from(pieces), max_size=5))
    # Copies of what came before, never of the last, which would begin a new packet.
    sequence = order[:-1]
    for copy in copies:
        if copy in sequence:
            sequence = [*sequence, copy]
    bench = Bench()
    assert bench.add_all(sequence) == []
    whole = bench.add(order[-1])
    assert whole is not None
    assert plain(whole) == plain(packet)
    assert parsed(whole).fault == 0
    assert len(bench.reassembly) == 0
    assert bench.reassembly.held_bytes == 0


@pytest.mark.rfc("5722", "4")
@given(
    version=st.sampled_from([4, 6]),
    pieces=st.lists(
        st.tuples(st.integers(0, 12), st.integers(1, 6), st.booleans(), st.integers(0, 2)),
        max_size=24,
    ),
)
def test_what_is_delivered_never_holds_an_overlap(version, pieces):
    """Whatever comes, a packet that is delivered consists of exactly the pieces that came."""
    packet = ip(version, b"", 253)
    bench = Bench()
    seen = {}
    for start, units, more, fill in pieces:
        if start == 0 and not more:
            continue  # a whole packet
        text = bytes((fill,)) * (units * 8)
        whole = bench.add(piece(packet, text, start * 8, more=more))
        seen[start * 8, text, more] = None
        if whole is None:
            continue
        payload = whole[20 if version == 4 else 40 :]
        for offset, other, _ in seen:
            assert payload[offset : offset + len(other)] == other
        assert sum(len(other) for _, other, _ in seen) == len(payload), "no two overlap"
        seen.clear()


@pytest.mark.rfc("5722", "4")
@versions
def test_an_overlap_discards_the_packet_and_fragments_still_to_come(version):
    bench = Bench()
    packet = echo(version, body(88))
    first, second, third = fragments(packet, [32, 64])
    bench.add(first)
    assert bench.add(piece(packet, b"x" * 16, 24, more=True)) is None
    assert bench.add_all([first, second, third]) == []
    assert bench.counters["IpReasmOverlaps"] == 1
    assert bench.counters["IpReasmFails"] == 1
    assert bench.reassembly.expire(NOW + TIMEOUT_US) == [], "nothing to report about it"


@pytest.mark.rfc("5722", "4")
@versions
@pytest.mark.parametrize(
    ("start", "length", "more"),
    [
        (32, 32, True),  # same place, other bytes
        (0, 40, True),  # runs into the next
        (40, 8, True),  # inside
        (24, 8, False),  # ends the packet before what came
        (64, 8, False),  # (see below) moves the end
    ],
)
def test_every_kind_of_contradiction_discards_the_packet(version, start, length, more):
    bench = Bench()
    packet = echo(version, body(152))
    pieces = fragments(packet, [32, 64, 96])
    bench.add(pieces[1])
    bench.add(pieces[3])
    assert bench.add(piece(packet, b"x" * length, start, more=more)) is None
    assert bench.add_all([pieces[0], pieces[2]]) == []
    assert bench.counters["IpReasmOverlaps"] == 1


@pytest.mark.rfc("8200", "4.5")
@versions
def test_an_exact_copy_is_ignored(version):
    bench = Bench()
    packet = echo(version, body(88))
    first, second = fragments(packet, [32])
    bench.add(first)
    assert bench.add(first) is None
    assert bench.counters["IpReasmDuplicates"] == 1
    assert plain(bench.add(second)) == plain(packet)


@pytest.mark.rfc("791", "3.2")
def test_ipv4_fragments_belong_together_by_source_destination_protocol_and_id():
    bench = Bench()
    text = body(64)
    variants = [
        {"src": "192.0.2.1"},
        {"src": "192.0.2.9"},
        {"dst": "192.0.2.7"},
        {"protocol": 17},
        {"identification": 2},
    ]
    base = {"identification": 1, "protocol": 253}
    for variant in variants:
        assert bench.add(ipv4(text, flags=1, **(base | variant))) is None
    for variant in variants:
        assert bench.add(ipv4(text, offset=64, **(base | variant))) is not None


@pytest.mark.rfc("8200", "4.5")
def test_ipv6_fragments_belong_together_whatever_later_ones_call_the_next_header():
    bench = Bench()
    packet = ipv6(body(64), next_header=17)
    first, second = fragments(packet, [32])
    renamed = second[:40] + b"\x06" + second[41:]
    bench.add(first)
    assert bench.add(renamed) == packet


@pytest.mark.rfc("8200", "4.5")
def test_per_fragment_headers_of_the_first_fragment_are_kept_and_name_the_next_header():
    options = bytes((43, 0)) + bytes((1, 4, 0, 0, 0, 0))  # hop-by-hop, then routing
    routing = bytes((44, 0, 0, 0, 0, 0, 0, 0))
    text = body(40)
    first = pack(">BBHI", 253, 0, 0 | 1, 9) + text[:16]
    second = pack(">BBHI", 253, 0, 16, 9) + text[16:]
    bench = Bench()
    assert bench.add(ipv6(options + routing + first, next_header=0)) is None
    whole = bench.add(ipv6(options + routing + second, next_header=0))
    assert whole == ipv6(options + b"\xfd" + routing[1:] + text, next_header=0)
    packet = parsed(whole)
    assert (packet.fault, packet.protocol, packet.ip_header_length) == (0, 253, 56)


@pytest.mark.rfc("791", "3.2")
def test_ipv4_options_of_the_first_fragment_are_kept_and_the_checksum_is_right():
    bench = Bench()
    options = b"\x07\x07\x04\0\0\0\0\x01"
    bench.add(ipv4(body(8), offset=16, protocol=253, flags=0))
    whole = bench.add(ipv4(body(16), options=options, protocol=253, flags=1))
    assert whole == ipv4(body(16) + body(8), options=options, protocol=253)
    assert ipv4_header_ok(whole)


@pytest.mark.rfc("6946", "4")
def test_an_atomic_fragment_is_not_mixed_with_others_of_its_identification():
    bench = Bench()
    packet = echo(6, body(40))
    bench.add(fragments(packet, [16])[0])
    atomic = piece(packet, packet[40:], 0, more=False)
    arrived = parsed(atomic)
    if arrived.is_fragment:
        assert bench.reassembly.add(arrived, NOW) == packet
    else:
        assert (arrived.fault, arrived.protocol, arrived.icmp_type) == (0, 58, 128)
    assert plain(bench.add(fragments(packet, [16])[1])) == packet


@pytest.mark.rfc("8200", "4.5")
def test_an_ipv6_fragment_not_a_multiple_of_8_is_refused_with_a_parameter_problem():
    bench = Bench()
    packet = echo(6, body(40))
    assert bench.add(piece(packet, b"x" * 12, 0, more=True)) is None
    assert bench.reassembly.problem == (0, 4)
    assert bench.counters["IpReasmMalformed"] == 1
    assert len(bench.reassembly) == 0


def test_an_ipv4_fragment_not_a_multiple_of_8_is_refused_silently():
    bench = Bench()
    assert bench.add(piece(echo(4, body(40)), b"x" * 12, 0, more=True)) is None
    assert bench.reassembly.problem is None
    assert bench.counters["IpReasmMalformed"] == 1


@pytest.mark.rfc("8200", "4.5")
def test_an_ipv6_packet_beyond_65535_bytes_is_refused_with_a_parameter_problem():
    bench = Bench()
    assert bench.add(piece(echo(6, b""), b"x" * 16, 65_528, more=False)) is None
    assert bench.reassembly.problem == (0, 42)
    assert bench.counters["IpReasmOversized"] == 1
    assert bench.add(piece(echo(6, b""), b"x" * 7, 65_528, more=False)) is None
    assert bench.reassembly.problem is None, "65,535 bytes of payload are allowed"


@pytest.mark.rfc("791", "3.2")
def test_an_ipv4_packet_beyond_65535_bytes_is_never_delivered():
    bench = Bench()
    assert bench.add(piece(echo(4, b""), b"x" * 16, 65_512, more=False)) is None
    assert bench.counters["IpReasmOversized"] == 1
    # Each fragment is in order, but with the first one's options the sum is too long.
    bench.add(ipv4(bytes(65_480), options=b"\x01" * 32, protocol=253, flags=1))
    assert bench.add(ipv4(bytes(24), offset=65_480, protocol=253)) is None
    assert bench.counters["IpReasmOversized"] == 2
    assert len(bench.reassembly) == 0


@pytest.mark.rfc("7112", "5")
@pytest.mark.rfc("8200", "4.5")
def test_a_first_fragment_without_all_headers_is_refused_with_code_3():
    bench = Bench()
    tcp_cut_short = ipv6(pack(">BBHI", 6, 0, 1, 9) + bytes(16), next_header=44)
    assert bench.add(tcp_cut_short) is None
    assert bench.reassembly.problem == (3, 0)
    options_cut_short = ipv6(pack(">BBHI", 60, 0, 1, 9) + b"\x06\x05" + bytes(14), next_header=44)
    assert bench.add(options_cut_short) is None
    assert bench.reassembly.problem == (3, 0)


@versions
def test_an_empty_fragment_is_refused(version):
    bench = Bench()
    assert bench.add(piece(echo(version, b""), b"", 64, more=False)) is None
    assert bench.counters["IpReasmMalformed"] == 1
    assert len(bench.reassembly) == 0


@pytest.mark.rfc("1122", "3.3.2")
@pytest.mark.rfc("8200", "4.5")
@versions
def test_after_sixty_seconds_from_the_first_arrival_the_pieces_are_given_up(version):
    bench = Bench()
    first, second, third = fragments(echo(version, body(88)), [32, 64])
    bench.add(first, NOW)
    bench.add(third, NOW + 30_000_000)
    assert bench.reassembly.next_deadline() == NOW + 60_000_000
    assert bench.reassembly.expire(NOW + 59_999_999) == []
    assert bench.reassembly.expire(NOW + 60_000_000) == [Expired(version, first)]
    assert bench.reassembly.next_deadline() is None
    assert bench.add(second, NOW + 60_000_001) is None
    assert bench.counters["IpReasmTimeout"] == 1


@pytest.mark.rfc("792", "Time Exceeded")
@versions
def test_without_the_first_fragment_there_is_nothing_to_report(version):
    bench = Bench()
    bench.add(fragments(echo(version, body(88)), [32])[1])
    assert bench.reassembly.expire(NOW + TIMEOUT_US) == [Expired(version, None)]


def test_the_oldest_reassembly_makes_room_for_new_ones():
    bench = Bench(limit_datagrams=3)
    firsts = [fragments(echo(4, body(88)), [32], identification=n) for n in range(5)]
    for first, _ in firsts:
        bench.add(first)
    assert len(bench.reassembly) == 3
    assert bench.counters["IpReasmEvicted"] == 2
    delivered = bench.add_all([second for _, second in firsts[2:]])
    assert len(delivered) == 3


def test_memory_is_bounded_with_its_bookkeeping():
    bench = Bench(limit_bytes=50_000)
    for number in range(2000):
        bench.add(piece(echo(4, b""), b"x" * 8, 8 * (number % 50), more=True, ident=number // 50))
        assert bench.reassembly.held_bytes <= 50_000
    assert bench.counters["IpReasmEvicted"] > 0


def test_too_many_small_pieces_end_a_reassembly():
    bench = Bench()
    for number in range(1500):
        bench.add(piece(echo(4, b""), b"x" * 8, 8 * number, more=True))
    assert bench.counters["IpReasmTooMany"] == 1
    assert bench.reassembly.held_bytes < 1000


@pytest.mark.rfc("3168", "5.3")
@versions
@pytest.mark.parametrize(
    ("codepoints", "expected"),
    [
        ((2, 2), 2),
        ((2, 3), 3),
        ((3, 2), 3),
        ((3, 3), 3),
        ((0, 0), 0),
        ((0, 3), None),
        ((3, 0), None),
    ],
)
def test_congestion_marks_survive_and_contradictions_do_not(version, codepoints, expected):
    bench = Bench()
    text = body(32)
    field = "tos" if version == 4 else "tclass"
    packets = [ip(version, text, 253, **{field: 0x20 | ecn}) for ecn in codepoints]
    first, second = fragments(packets[0], [16])[0], fragments(packets[1], [16])[1]
    bench.add(first)
    whole = bench.add(second)
    if expected is None:
        assert whole is None
        assert bench.counters["IpReasmEcnErrors"] == 1
    else:
        assert parsed(whole).traffic_class == 0x20 | expected


@given(st.lists(st.binary(min_size=1, max_size=120), max_size=20))
def test_no_bytes_ever_raise(payloads):
    bench = Bench()
    for number, payload in enumerate(payloads):
        for data in (
            ipv4(payload, flags=1, offset=8 * (number % 3), protocol=number % 256),
            ipv6(payload.ljust(9, b"\0"), next_header=44),
            ipv6(b"\x3c" + payload.ljust(8, b"\0"), next_header=44),
        ):
            arrived = Inbound.of([data])
            if arrived.packets[0].fault == 0 and arrived.packets[0].is_fragment:
                bench.reassembly.add(arrived.packets[0], NOW)
    bench.reassembly.expire(NOW + TIMEOUT_US)
    assert len(bench.reassembly) == 0
    assert bench.reassembly.held_bytes == 0


@pytest.mark.rfc("768", "checksum")
@versions
def test_a_rebuilt_udp_datagram_passes_the_checksum(version):
    bench = Bench()
    packet = udp(version, 5000, 9, body(4000))
    (whole,) = bench.add_all(fragments(packet, [1480, 2960]))
    arrived = parsed(whole)
    assert (arrived.fault, arrived.sport, arrived.dport) == (0, 5000, 9)
    assert arrived.text_length == 4000
