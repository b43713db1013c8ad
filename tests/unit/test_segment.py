"""Packets as Python values, checked by themselves and against the C parser."""

import random
from ipaddress import ip_address

import pytest

from stack._native import lib
from stack.wire import segment
from stack.wire.address import unpack
from stack.wire.batch import Inbound
from stack.wire.segment import ACK, FIN, PSH, SYN, URG, Option

V4 = ("192.0.2.1", "192.0.2.2")
V6 = ("2001:db8::1", "2001:db8::2")
SYN_OPTIONS = [
    segment.mss(1460),
    segment.sack_permitted(),
    segment.timestamps(7, 0),
    Option(segment.NOP),
    segment.window_scale(7),
]


@pytest.mark.parametrize("ends", [V4, V6])
def test_a_built_segment_reads_back(ends):
    data = segment.build_tcp(
        *ends,
        40000,
        80,
        seq=1,
        ack=2,
        flags=SYN | ACK | URG,
        window=3,
        urgent=4,
        options=SYN_OPTIONS,
        text=b"hello",
        ttl=9,
        tclass=0xB9,
        ip_id=77,
        dont_fragment=True,
    )
    packet = segment.parse(data)
    tcp = packet.tcp
    assert packet.fault == ""
    assert (packet.src, packet.dst) == tuple(ip_address(end) for end in ends)
    assert (packet.ttl, packet.tclass) == (9, 0xB9)
    assert (tcp.sport, tcp.dport, tcp.seq, tcp.ack) == (40000, 80, 1, 2)
    assert (tcp.flags, tcp.window, tcp.urgent, tcp.text) == (SYN | ACK | URG, 3, 4, b"hello")
    assert list(tcp.options) == SYN_OPTIONS
    assert (tcp.mss, tcp.window_scale, tcp.sack_permitted, tcp.timestamps) == (
        1460,
        7,
        True,
        (7, 0),
    )
    assert packet.ip_checksum_ok
    assert packet.transport_checksum_ok


def test_options_come_in_wire_order_and_their_blocks_read_back():
    options = [segment.timestamps(1, 2), segment.sack((10, 20), (30, 40)), Option(253, b"xy")]
    tcp = segment.parse(segment.build_tcp(*V4, 1, 2, options=options)).tcp
    assert list(tcp.options)[:3] == options
    assert tcp.sack_blocks == ((10, 20), (30, 40))


@pytest.mark.rfc("9293", "MUST-7")
@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\x08\x00\x01\x01", "length below 2"),
        (b"\x08\x01\x01\x01", "length below 2"),
        (b"\x01\x01\x02\x09", "runs past the header"),
        (b"\x01\x01\x01\x08", "runs past the header"),
    ],
)
def test_an_illegal_option_length_ends_the_walk(data, fault):
    *sound, last = segment.walk_tcp_options(data)
    assert last.fault == fault
    assert not any(option.fault for option in sound)


@pytest.mark.rfc("9293", "MUST-4")
def test_nothing_is_read_behind_the_end_of_the_option_list():
    assert [option.kind for option in segment.walk_tcp_options(b"\x01\x00\x08\x00")] == [1, 0]


@pytest.mark.parametrize("ends", [V4, V6])
def test_udp_and_icmp_read_back_with_right_checksums(ends):
    udp = segment.parse(segment.build_udp(*ends, 5, 6, b"odd"))
    assert (udp.transport.sport, udp.transport.dport, udp.transport.text) == (5, 6, b"odd")
    icmp = segment.parse(segment.build_icmp(*ends, 128, rest=0x00010002, body=b"ping!"))
    assert (icmp.transport.type, icmp.transport.rest, icmp.transport.body) == (
        128,
        0x00010002,
        b"ping!",
    )
    assert udp.transport_checksum_ok
    assert icmp.transport_checksum_ok


@pytest.mark.rfc("9293", "MUST-3")
def test_wrong_checksums_are_seen():
    assert not segment.parse(segment.build_tcp(*V4, 1, 2, checksum=1)).transport_checksum_ok
    assert not segment.parse(segment.build_udp(*V4, 1, 2, checksum=1)).transport_checksum_ok
    assert not segment.parse(segment.build_tcp(*V4, 1, 2, header_checksum=1)).ip_checksum_ok


@pytest.mark.rfc("8200", "§8.1")
def test_a_udp_checksum_of_zero_is_right_over_ipv4_only():
    assert segment.parse(segment.build_udp(*V4, 1, 2, b"x", checksum=0)).transport_checksum_ok
    assert not segment.parse(segment.build_udp(*V6, 1, 2, b"x", checksum=0)).transport_checksum_ok


@pytest.mark.rfc("768", "checksum")
def test_a_computed_udp_checksum_is_never_sent_as_zero():
    for text in (bytes((high, low)) for high in range(256) for low in range(256)):
        data = segment.build_udp(*V4, 1, 2, text)
        if segment.parse(data).transport.checksum == 0xFFFF:
            return
    pytest.fail("no text sums up to zero")


@pytest.mark.rfc("8200", "§4")
def test_extension_headers_are_walked_to_the_transport_header():
    hop_by_hop = bytes((0, 1)) + bytes(14)
    authentication = bytes((0, 2)) + bytes(14)
    data = segment.build_tcp(
        *V6,
        1,
        2,
        text=b"x",
        extensions=[
            (segment.HOP_BY_HOP, hop_by_hop),
            (segment.AUTHENTICATION, authentication),
            (segment.FRAGMENT, bytes(8)),
            (segment.DESTINATION_OPTIONS, bytes(8)),
        ],
    )
    packet = segment.parse(data)
    assert packet.tcp.text == b"x"
    assert packet.header_length == 40 + 16 + 16 + 8 + 8
    assert packet.transport_checksum_ok


@pytest.mark.rfc("791", "§3.2")
def test_the_transport_header_of_a_fragment_is_not_looked_at():
    first = segment.parse(segment.build_udp(*V4, 1, 2, b"x" * 8, more_fragments=True, ip_id=9))
    later = segment.parse(segment.build_ip(*V4, segment.UDP, b"x" * 8, fragment_offset=1480))
    assert (first.is_fragment, first.fragment_offset, first.ip_id) == (True, 0, 9)
    assert (later.is_fragment, later.fragment_offset) == (True, 1480)
    assert first.transport is None
    assert later.transport is None


def test_bytes_behind_the_packet_are_cut_off_and_missing_ones_counted():
    data = segment.build_tcp(*V4, 1, 2, text=b"text")
    assert segment.parse(data + b"ethernet padding").tcp.text == b"text"
    short = segment.parse(data[:-3])
    assert (short.tcp.text, short.missing) == (b"t", 3)
    assert short.fault


@pytest.mark.parametrize("size", range(40))
def test_truncated_packets_say_what_is_wrong(size):
    assert segment.parse(segment.build_tcp(*V4, 1, 2)[:size]).fault


def test_options_that_do_not_fit_cannot_be_built():
    with pytest.raises(ValueError, match="room for 40"):
        segment.build_tcp(*V4, 1, 2, options=[segment.sack(*[(1, 2)] * 5)])


def test_ends_of_two_ip_versions_cannot_be_built():
    with pytest.raises(ValueError, match="not of one IP version"):
        segment.build_tcp(V4[0], V6[1], 1, 2)


# ---- against the C parser ------------------------------------------------------------


def random_packet(source: random.Random) -> bytes:
    ends = source.choice((V4, V6))
    text = source.randbytes(source.choice((0, 1, 7, 100)))
    kind = source.randrange(4)
    if kind == 0:
        return segment.build_udp(*ends, source.randrange(65536), 53, text)
    if kind == 1:
        return segment.build_icmp(*ends, source.randrange(256), rest=9, body=text)
    options = source.sample(
        [
            *SYN_OPTIONS,
            segment.sack((1, 2)),
            segment.sack((1, 2), (5, 9), (20, 30)),
            Option(253, b"unknown"),
            Option(segment.EOL),
        ],
        source.randrange(4),
    )
    while sum(len(option.encode()) for option in options) > 40:
        options.pop()
    return segment.build_tcp(
        *ends,
        source.randrange(65536),
        80,
        seq=source.randrange(1 << 32),
        ack=source.randrange(1 << 32),
        flags=source.choice((SYN, ACK, ACK | PSH, FIN | ACK, ACK | URG)),
        window=source.randrange(65536),
        urgent=source.randrange(3),
        options=options,
        text=text,
        ttl=source.randrange(1, 256),
        tclass=source.randrange(256),
    )


def agree(data: bytes, native) -> None:
    """Asserts that both parsers read the same from a packet without fault."""
    packet = segment.parse(data)
    assert packet.fault == ""
    assert (packet.version, packet.protocol) == (native.version, native.protocol)
    assert (packet.ttl, packet.tclass) == (native.ttl, native.traffic_class)
    assert packet.src == unpack(bytes(native.src), packet.version)
    assert packet.dst == unpack(bytes(native.dst), packet.version)
    assert len(packet.data) == native.length
    assert packet.is_fragment == bool(native.is_fragment)
    if packet.is_fragment:
        return
    assert packet.ip_checksum_ok
    assert packet.transport_checksum_ok
    if packet.tcp is not None:
        agree_on_tcp(packet.tcp, native)
    elif isinstance(packet.transport, segment.Udp):
        assert (packet.transport.sport, packet.transport.dport) == (native.sport, native.dport)
        assert len(packet.transport.text) == native.text_length
    elif isinstance(packet.transport, segment.Icmp):
        icmp = packet.transport
        assert (icmp.type, icmp.code, icmp.rest) == (
            native.icmp_type,
            native.icmp_code,
            native.icmp_rest,
        )


def agree_on_tcp(tcp: segment.Tcp, native) -> None:
    assert (tcp.sport, tcp.dport) == (native.sport, native.dport)
    assert (tcp.seq, tcp.ack, tcp.flags) == (native.seq, native.ack, native.flags)
    assert (tcp.window, tcp.urgent) == (native.window, native.urgent)
    assert len(tcp.text) == native.text_length
    illegal = any(option.fault for option in tcp.options)
    assert not illegal or native.options & lib.OPTION_ILLEGAL
    if native.options & lib.OPTION_ILLEGAL:
        return
    kinds = [option.kind for option in tcp.options]
    if kinds.count(segment.TIMESTAMPS) == 1 and native.options & lib.OPTION_TIMESTAMPS:
        assert tcp.timestamps == (native.tsval, native.tsecr)
    if kinds.count(segment.MSS) == 1 and native.options & lib.OPTION_MSS:
        assert tcp.mss == native.mss
    if kinds.count(segment.WINDOW_SCALE) == 1 and native.options & lib.OPTION_WSCALE:
        assert tcp.window_scale == native.wscale
    if kinds.count(segment.SACK) == 1 and native.options & lib.OPTION_SACK:
        edges = list(native.sack)[: 2 * native.sack_count]
        assert [edge for block in tcp.sack_blocks for edge in block] == edges


def test_both_parsers_read_the_same_from_sound_packets():
    source = random.Random(1)
    for _ in range(50):
        packets = [random_packet(source) for _ in range(64)]
        inbound = Inbound.of(packets)
        for index, data in enumerate(packets):
            assert inbound.packets[index].fault == 0
            agree(data, inbound.packets[index])


def damage(source: random.Random, data: bytes) -> bytes:
    """Flips bits or cuts; mends the checksums now and then, so that parsing gets further."""
    damaged = bytearray(data)
    for _ in range(source.randrange(1, 4)):
        damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
    if source.random() < 0.2:
        del damaged[source.randrange(1, len(damaged)) :]
    if source.random() < 0.5 and len(damaged) >= 40 and damaged[0] == 0x45:
        damaged[10:12] = bytes(2)
        checksum = segment.ones_complement(bytes(damaged[:20])) ^ 0xFFFF
        damaged[10:12] = checksum.to_bytes(2, "big")
    return bytes(damaged)


def test_both_parsers_find_the_same_packets_sound():
    source = random.Random(2)
    for _ in range(300):
        packets = [damage(source, random_packet(source)) for _ in range(64)]
        inbound = Inbound.of(packets)
        for index, data in enumerate(packets):
            native, packet = inbound.packets[index], segment.parse(data)
            if native.fault == lib.FAULT_NONE:
                agree(data, native)
            elif not packet.is_fragment and native.fault not in (
                lib.FAULT_EXTENSION,
                lib.FAULT_IP_OPTION,
            ):
                assert packet.fault or not (packet.ip_checksum_ok and packet.transport_checksum_ok)


def test_no_bytes_make_it_raise():
    source = random.Random(3)
    for _ in range(20_000):
        data = source.randbytes(source.randrange(120))
        if source.random() < 0.7:
            data = bytes((source.choice((0x45, 0x4F, 0x60)),)) + data
        packet = segment.parse(data)
        assert packet.ip_checksum_ok in (True, False)
        assert packet.transport_checksum_ok in (True, False)
