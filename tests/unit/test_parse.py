"""Whatever arrives is parsed or has a fault."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack._native import ffi, lib
from stack.wire.address import fill_path, pack
from stack.wire.batch import Inbound, Outbound

SAMPLE_TEXT = b"some text that is an odd number of bytes"[:39]


def sample(version: int) -> bytes:
    """A SYN with every option and some text."""
    path = ffi.new("struct path *")
    near, far = ("192.0.2.1", "192.0.2.2") if version == 4 else ("2001:db8::1", "2001:db8::2")
    fill_path(path, version, pack(ip_address(near)), pack(ip_address(far)), 1000, 80)
    ring = ffi.new("struct ring *")
    lib.ring_init(ring, 2048)
    ring = ffi.gc(ring, lib.ring_free)
    lib.ring_write(ring, SAMPLE_TEXT, len(SAMPLE_TEXT))
    emit = ffi.new("struct emit *", {"flags": lib.FLAG_SYN, "mss": 1460, "wscale": 7})
    emit.options = lib.OPTION_MSS | lib.OPTION_WSCALE | lib.OPTION_TIMESTAMPS
    emit.options |= lib.OPTION_SACK_PERMITTED
    out = Outbound()
    lib.outgoing_tcp(out.next_slot(), path, emit, ring, 0, len(SAMPLE_TEXT))
    out.push(None)
    return out.bytes(0)


SAMPLES = {4: sample(4), 6: sample(6)}


def fault_of(data: bytes) -> int:
    inbound = Inbound.of([data])
    return inbound.packets[0].fault


def complete(packet) -> bool:
    """Whether everything that a good packet points to lies within it."""
    if packet.fault or packet.is_fragment:
        return packet.fault < lib.FAULT_COUNT
    return 0 <= packet.text - packet.data <= packet.length - packet.text_length


@given(st.lists(st.binary(max_size=200), max_size=64))
def test_random_bytes_are_parsed_or_have_a_fault(packets):
    inbound = Inbound.of(packets)
    assert all(complete(inbound.packets[i]) for i in range(len(packets)))


@given(st.sampled_from([4, 6]), st.binary(min_size=40, max_size=120), st.integers(0, 60))
def test_random_headers_behind_a_good_start_are_parsed_or_have_a_fault(version, noise, keep):
    data = SAMPLES[version][:keep] + noise
    inbound = Inbound.of([data])
    assert complete(inbound.packets[0])


@pytest.mark.parametrize("version", [4, 6])
def test_a_truncated_packet_is_always_seen(version):
    data = SAMPLES[version]
    assert fault_of(data) == lib.FAULT_NONE
    for length in range(len(data)):
        wanted = lib.FAULT_SHORT if length < (20 if version == 4 else 40) else lib.FAULT_IP_LENGTH
        assert fault_of(data[:length]) == wanted


@pytest.mark.rfc("9293", "MUST-3")
@pytest.mark.parametrize("version", [4, 6])
def test_a_flipped_bit_in_the_segment_is_always_seen(version):
    data = SAMPLES[version]
    start = 20 if version == 4 else 40
    for bit in range(8 * start, 8 * len(data)):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        wanted = (lib.FAULT_TRANSPORT_CHECKSUM, lib.FAULT_DATA_OFFSET)
        assert fault_of(bytes(bad)) in wanted


@pytest.mark.rfc("1122", "§3.2.1.2")
def test_a_flipped_bit_in_the_ipv4_header_is_always_seen():
    data = SAMPLES[4]
    for bit in set(range(160)) - {5}:  # the one that makes it an IPv6 packet
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        assert fault_of(bytes(bad)) != lib.FAULT_NONE


def ipv6(next_header: int, payload: bytes) -> bytes:
    head = SAMPLES[6][:4] + len(payload).to_bytes(2) + bytes([next_header, 64])
    return head + SAMPLES[6][8:40] + payload


EXTENSIONS = [
    ("hop-by-hop", 0, b"\x01\x04\0\0\0\0"),
    ("destination options", 60, b"\x3e\x04\0\0\0\0"),
    ("routing without segments left", 43, b"\x63\0\0\0\0\0"),
]


@pytest.mark.rfc("8200", "§4")
@pytest.mark.parametrize(("name", "kind", "body"), EXTENSIONS)
def test_a_segment_is_found_behind_an_extension_header(name, kind, body):
    segment = SAMPLES[6][40:]
    inbound = Inbound.of([ipv6(kind, bytes([6, 0]) + body + segment)])
    packet = inbound.packets[0]
    assert packet.fault == lib.FAULT_NONE
    assert (packet.protocol, packet.ip_header_length) == (6, 48)
    assert ffi.buffer(packet.text, packet.text_length)[:] == SAMPLE_TEXT


@pytest.mark.rfc("8200", "§4.2")
@pytest.mark.parametrize(
    ("kind", "fault", "problem"), [(0x1E, 0, 0), (0x5E, 1, 0), (0x9E, 1, 1), (0xDE, 1, 1)]
)
def test_an_unknown_option_is_treated_as_its_two_highest_bits_say(kind, fault, problem):
    inbound = Inbound.of([ipv6(60, bytes([59, 0, kind, 4, 0, 0, 0, 0]))])
    packet = inbound.packets[0]
    assert packet.fault == (lib.FAULT_EXTENSION if fault else lib.FAULT_NONE)
    assert packet.problem == problem
    if problem:
        assert (packet.problem_code, packet.problem_pointer) == (2, 42)


@pytest.mark.rfc("8200", "§4.4")
def test_an_unknown_routing_type_with_segments_left_is_a_problem():
    inbound = Inbound.of([ipv6(43, bytes([59, 0, 99, 1, 0, 0, 0, 0]))])
    packet = inbound.packets[0]
    assert packet.fault == lib.FAULT_EXTENSION
    assert (packet.problem, packet.problem_code, packet.problem_pointer) == (1, 0, 42)


@pytest.mark.rfc("8200", "§4")
def test_the_pointer_to_an_unrecognised_next_header_is_kept():
    inbound = Inbound.of([ipv6(60, bytes([253, 0, 1, 4, 0, 0, 0, 0]) + b"text")])
    packet = inbound.packets[0]
    assert (packet.fault, packet.protocol) == (lib.FAULT_NONE, 253)
    assert (packet.problem, packet.problem_pointer) == (0, 40)


def with_options(options: bytes) -> bytes:
    """An IPv4 segment with these options, and checksums to match."""
    path = ffi.new("struct path *")
    fill_path(path, 4, pack(ip_address("192.0.2.1")), pack(ip_address("192.0.2.2")), 1, 2)
    options += bytes(-len(options) % 4)
    segment = bytearray(20) + options
    segment[12] = len(segment) // 4 << 4
    room = ffi.new("uint8_t[]", 128)
    length = lib.packet_build(room, 128, path, 6, 0, bytes(segment), len(segment), 16)
    return ffi.buffer(room, length)[:]


@pytest.mark.rfc("9293", "MUST-7")
@pytest.mark.parametrize("size", [0, 1, 3, 39])
def test_an_illegal_option_length_is_marked_and_survived(size):
    inbound = Inbound.of([with_options(bytes([2, size, 5, 180, 3, 3, 7]))])
    packet = inbound.packets[0]
    assert (packet.fault, packet.options) == (lib.FAULT_NONE, lib.OPTION_ILLEGAL)


@pytest.mark.rfc("9293", "MUST-6")
@given(st.integers(9, 255), st.binary(max_size=20))
def test_unknown_options_are_passed_over(kind, body):
    data = with_options(bytes([kind, 2 + len(body)]) + body + bytes([2, 4, 5, 180]))
    inbound = Inbound.of([data])
    packet = inbound.packets[0]
    assert (packet.options, packet.mss) == (lib.OPTION_UNKNOWN | lib.OPTION_MSS, 1460)


@given(st.binary(max_size=40))
def test_random_options_never_are_a_fault(options):
    assert fault_of(with_options(options)) == lib.FAULT_NONE
