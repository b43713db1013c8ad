"""IP headers: what the native parser refuses, and that an independent reader agrees with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack._native import ffi, lib
from stack.wire import segment
from stack.wire.craft import build_tcp
from tests.support.packets import (
    checksum,
    echo,
    fragments,
    icmp,
    ipv4,
    ipv6,
    packed,
    parsed,
    udp,
)

PAD = bytes((1, 4, 0, 0, 0, 0))


def fault_of(data):
    return parsed(data).fault


def tcp(version, options=b"", text=b"data", flags=0x18):
    src, dst = ("192.0.2.1", "192.0.2.2") if version == 4 else ("2001:db8::1", "2001:db8::2")
    return build_tcp(
        src, dst, 40_000, 80, seq=1, ack=2, flags=flags, window=3, options=options, text=text
    )


# ---- IPv4 -----------------------------------------------------------------------


@pytest.mark.rfc("1122", "3.2.1.1")
@pytest.mark.parametrize("version", [0, 1, 2, 3, 5, 7, 15])
def test_a_version_other_than_4_and_6_is_refused(version):
    packet = echo(4, b"")
    assert fault_of(bytes((version << 4 | 5,)) + packet[1:]) == lib.FAULT_VERSION


@pytest.mark.rfc("791", "3.1")
@pytest.mark.parametrize("ihl", [0, 4, 15])
def test_a_header_length_below_5_or_beyond_the_packet_is_refused(ihl):
    packet = echo(4, b"")
    assert fault_of(bytes((0x40 | ihl,)) + packet[1:]) == lib.FAULT_IP_HEADER_LENGTH


@pytest.mark.rfc("791", "3.1")
@pytest.mark.parametrize("total", [0, 19, 37, 65_535])
def test_a_total_length_below_the_header_or_beyond_the_bytes_is_refused(total):
    packet = echo(4, b"12345678")
    bad = packet[:2] + total.to_bytes(2, "big") + packet[4:]
    assert fault_of(bad) == lib.FAULT_IP_LENGTH


@pytest.mark.rfc("1122", "3.2.1.2")
@given(bit=st.integers(0, 159))
def test_every_single_bit_error_in_an_ipv4_header_is_found(bit):
    packet = bytearray(echo(4, b"data"))
    packet[bit // 8] ^= 1 << bit % 8
    assert fault_of(bytes(packet)) != lib.FAULT_NONE


@pytest.mark.rfc("894", "padding")
@pytest.mark.parametrize("version", [4, 6])
def test_bytes_behind_the_packet_are_cut_off(version):
    packet = echo(version, b"data")
    found = parsed(packet + bytes(18))
    assert (found.fault, found.length) == (0, len(packet))


@pytest.mark.rfc("1122", "3.2.1.8")
@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (b"\x01\x01\x01\x01", lib.FAULT_NONE),
        (b"\x00\xff\xff\xff", lib.FAULT_NONE),  # nothing behind the end of the list counts
        (b"\x99\x04\x00\x00", lib.FAULT_NONE),
        (b"\x99\x00\x00\x00", lib.FAULT_IP_OPTION),
        (b"\x99\x01\x00\x00", lib.FAULT_IP_OPTION),
        (b"\x99\x05\x00\x00", lib.FAULT_IP_OPTION),
        (b"\x01\x01\x01\x99", lib.FAULT_IP_OPTION),
    ],
)
def test_ipv4_options_must_lie_within_the_header(options, fault):
    assert fault_of(ipv4(echo(4, b"")[20:], options=options)) == fault


@pytest.mark.rfc("3168", "5")
@pytest.mark.rfc("2474", "3")
@pytest.mark.parametrize("value", [0, 1, 0xB8, 0xFF])
def test_traffic_class_and_flow_label_are_read(value):
    four = parsed(echo(4, b"", tos=value))
    six = parsed(echo(6, b"", tclass=value, flow=0xABCDE))
    assert four.traffic_class == six.traffic_class == value
    assert six.flow_label == 0xABCDE


# ---- IPv6 -----------------------------------------------------------------------


@pytest.mark.rfc("8200", "3")
@pytest.mark.parametrize("length", range(1, 48))
def test_a_cut_ipv6_packet_is_refused(length):
    fault = fault_of(echo(6, b"")[:length])
    assert fault == (lib.FAULT_SHORT if length < 40 else lib.FAULT_IP_LENGTH)


@pytest.mark.rfc("4291", "2.5.5.2")
@pytest.mark.parametrize("end", ["src", "dst"])
def test_an_ipv4_mapped_address_in_an_ipv6_header_is_refused(end):
    assert fault_of(echo(6, b"", **{end: "::ffff:192.0.2.9"})) == lib.FAULT_VERSION


@pytest.mark.rfc("8200", "4.1")
@pytest.mark.parametrize(
    "chain",
    [
        [0],
        [60],
        [43],
        [0, 60, 43, 60],
        [60, 60, 60],
        [51],
        [0, 43, 51, 60],
    ],
)
def test_extension_headers_are_walked_in_any_order_that_is_allowed(chain):
    payload = b""
    following = 58
    for kind in reversed(chain):
        # AH counts in units of 4 bytes less 2, and has no options.
        body = bytes((following, 1)) + bytes(10) if kind == 51 else bytes((following, 0)) + PAD
        if kind == 43:
            body = bytes((following, 0, 99, 0, 0, 0, 0, 0))
        payload = body + payload
        following = kind
    packet = ipv6(payload + echo(6, b"data")[40:], next_header=following)
    found = parsed(packet)
    assert (found.fault, found.protocol, found.icmp_type) == (0, 58, 128)
    assert found.ip_header_length == 40 + len(payload)


@pytest.mark.rfc("8200", "4.2")
@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_an_option_that_runs_past_its_header_is_refused(size):
    options = bytes((58, 0)) + b"\0" * size + bytes((1, 200 - size)) + bytes(4 - size)
    assert fault_of(ipv6(options + echo(6, b"")[40:], next_header=60)) == lib.FAULT_EXTENSION


@pytest.mark.rfc("8200", "4.5")
@pytest.mark.parametrize("version", [4, 6])
def test_fragment_fields_are_read(version):
    packet = udp(version, 1, 2, bytes(100))
    for number, data in enumerate(fragments(packet, [48, 96], identification=0xBEEF)):
        found = parsed(data)
        assert found.fault == 0
        assert found.is_fragment
        assert found.fragment_offset == 48 * number
        assert found.more_fragments == (number < 2)
        assert found.fragment_id == 0xBEEF
        assert found.protocol == 17
        assert (
            data[found.ip_header_length :]
            == packet[20 * (version == 4) or 40 :][48 * number : 48 * number + 48]
        )


@pytest.mark.rfc("8200", "8.1")
def test_udp_without_checksum_is_good_in_ipv4_only():
    for version in (4, 6):
        packet = udp(version, 1, 2, b"data")
        at = (20 if version == 4 else 40) + 6
        bare = packet[:at] + b"\0\0" + packet[at + 2 :]
        expected = lib.FAULT_NONE if version == 4 else lib.FAULT_TRANSPORT_CHECKSUM
        assert fault_of(bare) == expected


def test_icmp_over_the_wrong_ip_version_is_an_unknown_protocol():
    message = echo(4, b"")[20:]
    for packet in (ipv6(message, next_header=1), ipv4(message, protocol=58)):
        found = parsed(packet)
        assert found.fault == 0
        assert (found.icmp_type, found.icmp_code, found.icmp_rest) == (0, 0, 0)


# ---- two readers, one meaning -----------------------------------------------------


MODELS = [
    echo(4, b"some data"),
    echo(6, b"some data"),
    udp(4, 1, 2, b"some data"),
    udp(6, 1, 2, b"some data"),
    tcp(4),
    tcp(6),
    *fragments(udp(4, 1, 2, bytes(64)), [16]),
    *fragments(udp(6, 1, 2, bytes(64)), [16]),
    icmp(4, 3, 4, 1300, bytes(28)),
    icmp(6, 2, 0, 1300, bytes(48)),
    ipv4(echo(4, b"x")[20:], options=b"\x99\x04\0\0\x01\x01\x01\x00"),
    ipv6(bytes((60, 0)) + PAD + bytes((58, 0)) + PAD + echo(6, b"x")[40:], next_header=0),
    ipv6(bytes((58, 0, 99, 0, 0, 0, 0, 0)) + echo(6, b"x")[40:], next_header=43),
]


def with_right_header_checksum(data):
    length = (data[0] & 15) * 4
    if data[0] >> 4 != 4 or not 20 <= length <= len(data):
        return data
    blank = data[:10] + b"\0\0" + data[12:length]
    return data[:10] + checksum(blank).to_bytes(2, "big") + data[12:]


@given(
    model=st.sampled_from(MODELS),
    changes=st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 12),
)
def test_what_the_parser_accepts_the_independent_reader_reads_alike(model, changes, cut):
    data = bytearray(model)
    for at, value in changes:
        data[at % min(len(data), 64)] = value
    data = with_right_header_checksum(bytes(data[: len(data) - cut]))
    ours = ffi.new("struct packet *")
    view = ffi.from_buffer("uint8_t[]", data)
    lib.packet_parse(ours, view, len(data), lib.PARSE_TRUST_CHECKSUM)
    if ours.fault:
        return
    theirs = segment.parse(data)
    assert not theirs.fault
    assert packed(str(theirs.src)) == ffi.buffer(ours.src)[:]
    assert packed(str(theirs.dst)) == ffi.buffer(ours.dst)[:]
    assert (ours.version, ours.ttl, ours.traffic_class, ours.flow_label) == (
        theirs.version,
        theirs.ttl,
        theirs.tclass,
        theirs.flow_label,
    )
    assert ours.length == len(theirs.data)
    assert bool(ours.is_fragment) == theirs.is_fragment
    if ours.is_fragment:
        assert ours.fragment_offset == theirs.fragment_offset
        assert ours.fragment_id == theirs.ip_id
        return
    assert (ours.protocol, ours.ip_header_length) == (theirs.protocol, theirs.header_length)
    _same_transport(ours, theirs.transport)


def _same_transport(ours, theirs):
    text = ffi.buffer(ours.text, ours.text_length)[:]
    if isinstance(theirs, segment.Tcp):
        for name in ("sport", "dport", "seq", "ack", "flags", "window", "urgent"):
            assert getattr(ours, name) == getattr(theirs, name)
        assert text == theirs.text
    elif isinstance(theirs, segment.Udp):
        assert (ours.sport, ours.dport, text) == (theirs.sport, theirs.dport, theirs.text)
    elif isinstance(theirs, segment.Icmp):
        assert (ours.icmp_type, ours.icmp_code) == (theirs.type, theirs.code)
        assert (ours.icmp_rest, text) == (theirs.rest, theirs.body)


@given(st.sampled_from(MODELS), st.integers(0, 2**31))
def test_with_checksums_on_both_agree_whether_a_flipped_bit_matters(model, where):
    data = bytearray(model)
    bit = where % (len(data) * 8)
    data[bit // 8] ^= 1 << bit % 8
    theirs = segment.parse(bytes(data))
    if fault_of(bytes(data)) == lib.FAULT_NONE:
        assert not theirs.fault
        assert theirs.ip_checksum_ok
        assert theirs.transport_checksum_ok
