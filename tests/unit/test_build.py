"""What is built is parsed back as it was meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack._native import ffi, lib
from stack.wire.address import fill_path, pack, raw
from stack.wire.batch import Inbound, Outbound

u8, u16, u32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
OPTIONS = lib.OPTION_MSS | lib.OPTION_WSCALE | lib.OPTION_SACK_PERMITTED
OPTIONS |= lib.OPTION_SACK | lib.OPTION_TIMESTAMPS

emits = st.fixed_dictionaries(
    {
        "seq": u32,
        "ack": u32,
        "flags": st.integers(0, 0x1FF),
        "window": u16,
        "urgent": u16,
        "options": st.integers(0, OPTIONS),
        "mss": u16,
        "wscale": u8,
        "sack_count": st.integers(1, 4),
        "tsval": u32,
        "tsecr": u32,
        "sack": st.lists(u32, min_size=8, max_size=8),
        "ip_id": u16,
    }
)


# An IPv6 packet may not carry a mapped address, which stands for IPv4 in here.
addresses = {
    4: st.ip_addresses(v=4),
    6: st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None),
}


@st.composite
def paths(draw):
    path = ffi.new("struct path *")
    version = draw(st.sampled_from([4, 6]))
    src, dst = pack(draw(addresses[version])), pack(draw(addresses[version]))
    fill_path(path, version, src, dst, draw(u16), draw(u16), draw(u8), draw(u8))
    return path


def check_ip(packet, path):
    assert packet.fault == lib.FAULT_NONE
    assert (packet.version, packet.ttl) == (path.version, path.ttl)
    assert packet.traffic_class == path.traffic_class
    assert raw(packet.src) == raw(path.src)
    assert raw(packet.dst) == raw(path.dst)


def check_options(packet, fields):
    wanted = fields["options"]
    if wanted & lib.OPTION_SACK and not packet.sack_count:
        wanted &= ~lib.OPTION_SACK  # nothing was left of the 40 bytes
    assert packet.options == wanted
    if wanted & lib.OPTION_MSS:
        assert packet.mss == fields["mss"]
    if wanted & lib.OPTION_WSCALE:
        assert packet.wscale == fields["wscale"]
    if wanted & lib.OPTION_TIMESTAMPS:
        assert (packet.tsval, packet.tsecr) == (fields["tsval"], fields["tsecr"])
    blocks = 2 * packet.sack_count
    assert list(packet.sack)[:blocks] == fields["sack"][:blocks]


@given(paths(), emits, st.binary(max_size=300), st.integers(0, 2047))
def test_a_segment_is_parsed_back_wherever_its_text_lies_in_the_ring(path, fields, text, start):
    ring = ffi.new("struct ring *")
    lib.ring_init(ring, 2048)
    ring = ffi.gc(ring, lib.ring_free)
    lib.ring_write_at(ring, 2047, b"x", 1)
    lib.ring_write(ring, bytes(start), start)
    lib.ring_consume(ring, start)
    assert lib.ring_write(ring, text, len(text)) == len(text)
    out = Outbound()
    emit = ffi.new("struct emit *", fields)
    assert lib.outgoing_tcp(out.next_slot(), path, emit, ring, 0, len(text))
    out.push(None)
    inbound = Inbound.of(out)
    packet = inbound.packets[0]
    check_ip(packet, path)
    check_options(packet, fields)
    assert ffi.buffer(packet.text, packet.text_length)[:] == text
    assert (packet.sport, packet.dport) == (path.sport, path.dport)
    for name in ("seq", "ack", "flags", "window", "urgent"):
        assert getattr(packet, name) == fields[name]


def build(path, protocol, payload, checksum_offset):
    room = ffi.new("uint8_t[]", 65600)
    length = lib.packet_build(
        room, 65600, path, protocol, 1, payload, len(payload), checksum_offset
    )
    return ffi.buffer(room, length)[:]


@given(paths(), st.binary(max_size=2000))
def test_a_datagram_is_parsed_back(path, text):
    header = b"".join(n.to_bytes(2) for n in (path.sport, path.dport, 8 + len(text), 0))
    inbound = Inbound.of([build(path, 17, header + text, 6)])
    packet = inbound.packets[0]
    check_ip(packet, path)
    assert (packet.sport, packet.dport) == (path.sport, path.dport)
    assert ffi.buffer(packet.text, packet.text_length)[:] == text


@given(paths(), u8, u8, u32, st.binary(max_size=2000))
def test_an_icmp_message_is_parsed_back(path, kind, code, rest, text):
    message = bytes([kind, code, 0, 0]) + rest.to_bytes(4) + text
    inbound = Inbound.of([build(path, 1 if path.version == 4 else 58, message, 2)])
    packet = inbound.packets[0]
    check_ip(packet, path)
    assert (packet.icmp_type, packet.icmp_code, packet.icmp_rest) == (kind, code, rest)
    assert ffi.buffer(packet.text, packet.text_length)[:] == text


@pytest.mark.rfc("8200", "3")
@pytest.mark.parametrize(("version", "longest"), [(4, 65535), (6, 40 + 65535)])
def test_no_packet_is_longer_than_its_length_field_can_say(version, longest):
    path = ffi.new("struct path *")
    fill_path(path, version, bytes(16), bytes(16), 1, 2)
    header = 20 if version == 4 else 40
    assert len(build(path, 253, bytes(longest - header), -1)) == longest
    assert build(path, 253, bytes(longest + 1 - header), -1) == b""


@pytest.mark.rfc("768", "checksum")
def test_a_udp_checksum_that_comes_out_as_zero_is_sent_as_all_ones():
    path = ffi.new("struct path *")
    fill_path(path, 4, bytes(16), bytes(16), 0, 0)
    # Pseudo header: protocol 17 and length 10; header: length 10; the text makes up the rest.
    text = (0xFFFF - 17 - 10 - 10).to_bytes(2)
    packet = build(path, 17, bytes(4) + (10).to_bytes(2) + bytes(2) + text, 6)
    assert packet[26:28] == b"\xff\xff"
