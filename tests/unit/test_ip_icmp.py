"""ICMP: what is answered and how, what never is, and what errors tell us."""

import errno
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack._native import ffi, lib
from stack.core.ip.addresses import LocalAddresses
from stack.core.ip.icmp import (
    EchoReply,
    EchoRequest,
    ErrorKind,
    IcmpLimiter,
    answer_echo,
    destination_unreachable,
    echo_request,
    errno_of,
    interpret,
    is_hard,
    parameter_problem,
    time_exceeded,
    unknown_protocol,
)
from stack.wire import icmp as wire
from stack.wire.address import fill_path
from stack.wire.batch import Inbound
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
    transport_checksum_ok,
    udp,
)

ADDRESSES = LocalAddresses(["192.0.2.2/24", "2001:db8::2/64"])
versions = pytest.mark.parametrize("version", [4, 6])


def parsed(data):
    """The batch keeps the packet alive, so callers keep the batch."""
    return Inbound.of([data])


def port_unreachable(data):
    arrived = parsed(data)
    return destination_unreachable(arrived.packets[0], 3, 4, addresses=ADDRESSES)


def sent(data):
    """A packet of ours, after checking lengths and checksums."""
    assert transport_checksum_ok(data)
    if data[0] >> 4 == 4:
        assert ipv4_header_ok(data)
    arrived = parsed(data)
    assert arrived.packets[0].fault == 0
    return arrived


# ---- echo ------------------------------------------------------------------


@pytest.mark.rfc("1122", "3.2.2.6")
@pytest.mark.rfc("4443", "4.2")
@given(
    version=st.sampled_from([4, 6]),
    data=st.binary(max_size=2000),
    identifier=st.integers(0, 65_535),
    sequence=st.integers(0, 65_535),
)
def test_an_echo_reply_returns_all_data_to_the_sender(version, data, identifier, sequence):
    arrived = parsed(echo(version, data, identifier=identifier, sequence=sequence))
    reply = answer_echo(arrived.packets[0])
    packet = sent(reply).packets[0]
    assert (packet.icmp_type, packet.icmp_code) == (ECHO_REPLY[version], 0)
    assert packet.icmp_rest == identifier << 16 | sequence
    assert reply[HEADER[version] + 8 :] == data
    assert ffi.buffer(packet.src)[:] == packed(OURS[version])
    assert ffi.buffer(packet.dst)[:] == packed(PEER[version])


@pytest.mark.rfc("1122", "3.2.2")
def test_an_echo_reply_keeps_the_type_of_service_without_congestion_marks():
    arrived = parsed(echo(4, b"", tos=0xB8 | 3))
    assert sent(answer_echo(arrived.packets[0])).packets[0].traffic_class == 0xB8


@pytest.mark.rfc("4443", "4.2")
def test_a_reply_to_a_group_comes_from_a_unicast_address():
    arrived = parsed(echo(6, b"x", dst="ff02::1"))
    reply = answer_echo(arrived.packets[0], source=packed(OURS[6]))
    assert ffi.buffer(sent(reply).packets[0].src)[:] == packed(OURS[6])


@pytest.mark.rfc("6864", "4")
def test_an_echo_reply_may_be_fragmented_only_with_an_identification():
    arrived = parsed(echo(4, bytes(3000)))
    atomic = sent(answer_echo(arrived.packets[0])).packets[0]
    assert (atomic.dont_fragment, atomic.fragment_id) == (1, 0)
    free = sent(answer_echo(arrived.packets[0], identification=0x1ABCD)).packets[0]
    assert (free.dont_fragment, free.fragment_id) == (0, 0xABCD)


@pytest.mark.rfc("792", "Echo")
@versions
def test_our_echo_request_is_a_valid_packet(version):
    path = ffi.new("struct path *")
    fill_path(path, version, packed(OURS[version]), packed(PEER[version]), 0, 0)
    data = echo_request(path, 0xBEEF, 3, b"hello")
    arrived = sent(data)
    assert interpret(arrived.packets[0]) == EchoRequest(0xBEEF, 3, b"hello")
    with pytest.raises(ValueError, match="do not fit"):
        echo_request(path, 1, 1, bytes(65_536))


@versions
def test_an_echo_reply_is_recognised(version):
    arrived = parsed(icmp(version, ECHO_REPLY[version], 0, 5 << 16 | 6, b"data"))
    assert interpret(arrived.packets[0]) == EchoReply(5, 6, b"data")


# ---- errors that we send ----------------------------------------------------


@pytest.mark.rfc("1122", "3.2.2.1")
@pytest.mark.rfc("4443", "3.1")
@versions
def test_destination_unreachable_quotes_the_packet(version):
    offending = udp(version, 1000, 9, b"data")
    error = port_unreachable(offending)
    packet = sent(error).packets[0]
    expected = (3, 3) if version == 4 else (1, 4)
    assert (packet.icmp_type, packet.icmp_code, packet.icmp_rest) == (*expected, 0)
    assert error[HEADER[version] + 8 :] == offending
    assert ffi.buffer(packet.dst)[:] == packed(PEER[version])
    assert ffi.buffer(packet.src)[:] == packed(OURS[version])
    assert packet.traffic_class == 0


@pytest.mark.rfc("1812", "4.3.2.3")
@pytest.mark.rfc("4443", "2.4(c)")
@pytest.mark.parametrize(("version", "most"), [(4, 576), (6, 1280)])
def test_an_error_quotes_as_much_as_every_host_can_take(version, most):
    offending = udp(version, 1000, 9, bytes(range(256)) * 8)
    error = port_unreachable(offending)
    sent(error)
    assert len(error) == most
    assert offending.startswith(error[HEADER[version] + 8 :])


@versions
def test_a_quote_has_the_checksum_that_a_device_left_to_us(version):
    offending = udp(version, 1000, 9, b"data")
    at = HEADER[version] + 6
    arrived = parsed(offending[:at] + b"\x12\x34" + offending[at + 2 :])
    packet = arrived.packets[0]
    packet.fault, packet.vnet_flags = 0, lib.VNET_NEEDS_CSUM
    error = destination_unreachable(packet, 3, 4, addresses=ADDRESSES)
    assert error[HEADER[version] + 8 :] == offending


@pytest.mark.rfc("1122", "3.2.2.1")
def test_an_unknown_ipv4_protocol_is_unreachable():
    arrived = parsed(ipv4(b"data", protocol=253))
    packet = sent(unknown_protocol(arrived.packets[0], addresses=ADDRESSES)).packets[0]
    assert (packet.icmp_type, packet.icmp_code) == (3, 2)


@pytest.mark.rfc("4443", "3.4")
@pytest.mark.rfc("8200", "4")
@pytest.mark.parametrize(
    ("packet", "pointer"),
    [
        (ipv6(b"data", next_header=253), 6),
        (ipv6(bytes((253, 0, 1, 4, 0, 0, 0, 0)) + b"data", next_header=60), 40),
        (ipv6(bytes((60, 0, 1, 4, 0, 0, 0, 0, 253, 0, 1, 4, 0, 0, 0, 0)), next_header=0), 48),
    ],
)
def test_an_unknown_ipv6_next_header_is_pointed_at(packet, pointer):
    arrived = parsed(packet)
    error = sent(unknown_protocol(arrived.packets[0], addresses=ADDRESSES)).packets[0]
    assert (error.icmp_type, error.icmp_code, error.icmp_rest) == (4, 1, pointer)


@pytest.mark.rfc("8200", "4.7")
def test_no_next_header_is_not_answered():
    arrived = parsed(ipv6(b"data", next_header=59))
    assert unknown_protocol(arrived.packets[0], addresses=ADDRESSES) is None


@pytest.mark.rfc("1122", "3.2.2.4")
@pytest.mark.rfc("4443", "3.3")
@versions
def test_time_exceeded_quotes_the_first_fragment(version):
    first = fragments(echo(version, bytes(100)), [48])[0]
    arrived = parsed(first)
    error = time_exceeded(arrived.packets[0], addresses=ADDRESSES)
    packet = sent(error).packets[0]
    assert (packet.icmp_type, packet.icmp_code) == ((11, 1) if version == 4 else (3, 1))
    assert error[HEADER[version] + 8 :] == first


@pytest.mark.rfc("4443", "3.4")
def test_parameter_problem_points_at_the_option_that_the_parser_refused():
    option = bytes((253, 0, 0x80, 0, 1, 2, 0, 0))
    arrived = parsed(ipv6(option + b"data", next_header=60))
    bad = arrived.packets[0]
    assert bad.problem == 1
    error = parameter_problem(bad, bad.problem_code, bad.problem_pointer, addresses=ADDRESSES)
    packet = sent(error).packets[0]
    assert (packet.icmp_type, packet.icmp_code, packet.icmp_rest) == (4, 2, 42)


def test_an_ipv4_parameter_problem_has_its_pointer_in_one_byte():
    arrived = parsed(ipv4(b"", protocol=253))
    error = parameter_problem(arrived.packets[0], 0, 20, addresses=ADDRESSES)
    packet = sent(error).packets[0]
    assert (packet.icmp_type, packet.icmp_code, packet.icmp_rest) == (12, 0, 20 << 24)


@pytest.mark.rfc("1122", "3.2.2")
@pytest.mark.parametrize("kind", [3, 4, 5, 11, 12])
def test_no_error_about_an_icmp_error(kind):
    assert port_unreachable(icmp(4, kind, 0, 0, bytes(28))) is None


@pytest.mark.rfc("4443", "2.4(e.1)")
@pytest.mark.parametrize("kind", [1, 2, 3, 4, 100, 127])
def test_no_error_about_an_icmpv6_error(kind):
    assert port_unreachable(icmp(6, kind, 0, 0, bytes(48))) is None
    hidden = icmp(6, kind, 0, 0, bytes(48))
    behind_options = ipv6(bytes((58, 0, 1, 4, 0, 0, 0, 0)) + hidden[40:], next_header=60)
    assert port_unreachable(behind_options) is None


@pytest.mark.rfc("4443", "2.4(e.2)")
def test_no_error_about_an_icmpv6_redirect():
    assert port_unreachable(icmp(6, 137, 0, 0, bytes(32))) is None


@versions
def test_an_echo_request_is_no_error(version):
    assert port_unreachable(echo(version, b"")) is not None


@pytest.mark.rfc("1122", "3.2.2")
@pytest.mark.parametrize(
    "dst", ["192.0.2.255", "192.0.2.0", "255.255.255.255", "224.0.0.1", "239.9.9.9"]
)
def test_no_error_about_ipv4_broadcast_or_multicast(dst):
    assert port_unreachable(udp(4, 1000, 9, b"", dst=dst)) is None


@pytest.mark.rfc("4443", "2.4(e.3)")
def test_ipv6_multicast_gets_only_the_errors_that_are_excepted():
    data = udp(6, 1000, 9, b"", dst="ff02::1")
    arrived = parsed(data)
    packet = arrived.packets[0]
    assert port_unreachable(data) is None
    assert time_exceeded(packet, addresses=ADDRESSES) is None
    for code, due in ((0, False), (1, False), (2, True), (3, False)):
        error = parameter_problem(packet, code, 40, addresses=ADDRESSES)
        assert (error is not None) == due
        if error:
            assert error[8:24] == packed(OURS[6]), "from a unicast address"


@pytest.mark.rfc("1122", "3.2.2")
def test_no_error_about_a_fragment_that_is_not_the_first():
    first, second = fragments(udp(4, 1000, 9, bytes(100)), [48])
    assert port_unreachable(first) is not None
    assert port_unreachable(second) is None


@pytest.mark.rfc("4443", "2.4(e.1)")
def test_no_error_about_a_later_fragment_that_may_be_an_icmpv6_error():
    _, second = fragments(icmp(6, 1, 0, 0, bytes(100)), [48])
    arrived = parsed(second)
    assert parameter_problem(arrived.packets[0], 0, 4, addresses=ADDRESSES) is None
    _, second = fragments(udp(6, 1, 2, bytes(100)), [48])
    arrived = parsed(second)
    assert parameter_problem(arrived.packets[0], 0, 4, addresses=ADDRESSES) is not None


@pytest.mark.rfc("1122", "3.2.2")
@pytest.mark.parametrize(
    "src", ["0.0.0.0", "127.0.0.1", "192.0.2.255", "224.0.0.1", "240.0.0.1", "255.255.255.255"]
)
def test_no_error_to_an_ipv4_source_that_is_no_single_host(src):
    assert port_unreachable(udp(4, 1000, 9, b"", src=src)) is None


@pytest.mark.rfc("4443", "2.4(e.6)")
@pytest.mark.parametrize("src", ["::", "ff02::1", "::1"])
def test_no_error_to_an_ipv6_source_that_is_no_single_host(src):
    assert port_unreachable(udp(6, 1000, 9, b"", src=src)) is None


def test_without_an_address_of_the_version_there_is_no_error():
    only_v4 = LocalAddresses(["192.0.2.2/24"])
    arrived = parsed(udp(6, 1000, 9, b""))
    assert destination_unreachable(arrived.packets[0], 3, 4, addresses=only_v4) is None


@given(st.binary(max_size=200))
def test_whatever_came_errors_are_built_or_withheld_without_raising(data):
    for first in (0x45, 0x46, 0x60):
        arrived = parsed(bytes((first,)) + data)
        packet = arrived.packets[0]
        for error in (
            destination_unreachable(packet, 3, 4, addresses=ADDRESSES),
            unknown_protocol(packet, addresses=ADDRESSES),
            time_exceeded(packet, addresses=ADDRESSES),
            parameter_problem(packet, 0, 0, addresses=ADDRESSES),
        ):
            assert error is None or sent(error)


# ---- rate -------------------------------------------------------------------


@pytest.mark.rfc("4443", "2.4(f)")
def test_the_limiter_lets_a_burst_through_and_then_the_rate():
    limiter = IcmpLimiter(rate=10, burst=3)
    assert [limiter.allow(0) for _ in range(5)] == [True, True, True, False, False]
    assert not limiter.allow(99_999)
    assert limiter.allow(100_000)
    assert not limiter.allow(100_001)
    assert sum(limiter.allow(10_000_000) for _ in range(9)) == 3, "never more than the burst"


@given(st.lists(st.integers(0, 50_000), max_size=300))
def test_the_limiter_never_exceeds_its_rate(gaps):
    limiter = IcmpLimiter(rate=100, burst=5)
    now = allowed = 0
    for gap in gaps:
        now += gap
        allowed += limiter.allow(now)
    assert allowed <= 5 + now * 100 / 1_000_000


def test_time_that_stands_still_or_runs_back_adds_nothing():
    limiter = IcmpLimiter(rate=1000, burst=1)
    assert limiter.allow(1_000_000)
    assert not limiter.allow(0)
    assert not limiter.allow(0)


# ---- errors that we receive ---------------------------------------------------


def our_segment(version, *, options=b""):
    """The start of a segment of ours: ports 40000 → 80, seq 0x01020304."""
    tcp = pack(">HHIIHHHH", 40_000, 80, 0x01020304, 0, 0x5010, 1000, 0, 0)
    src, dst = OURS[version], PEER[version]
    if version == 6 and options:
        return ipv6(bytes((6, *options[1:])) + tcp, src=src, dst=dst, next_header=options[0])
    return ip(version, tcp, 6, src=src, dst=dst)


V4, V6 = 4, 6


@pytest.mark.rfc("1122", "3.2.2.1")
@pytest.mark.rfc("4443", "3")
@pytest.mark.rfc("9293", "MUST-54")
@pytest.mark.parametrize(
    ("version", "kind", "code", "expected", "number", "hard"),
    [
        (V4, 3, 0, ErrorKind.UNREACHABLE_NET, errno.ENETUNREACH, False),
        (V4, 3, 1, ErrorKind.UNREACHABLE_HOST, errno.EHOSTUNREACH, False),
        (V4, 3, 2, ErrorKind.PROTOCOL_UNREACHABLE, errno.ENOPROTOOPT, True),
        (V4, 3, 3, ErrorKind.PORT_UNREACHABLE, errno.ECONNREFUSED, True),
        (V4, 3, 4, ErrorKind.FRAGMENTATION_NEEDED, errno.EMSGSIZE, False),
        (V4, 3, 5, ErrorKind.SOURCE_ROUTE_FAILED, errno.EOPNOTSUPP, False),
        (V4, 3, 6, ErrorKind.UNREACHABLE_NET, errno.ENETUNREACH, False),
        (V4, 3, 7, ErrorKind.HOST_UNKNOWN, errno.EHOSTDOWN, False),
        (V4, 3, 8, ErrorKind.HOST_ISOLATED, errno.ENONET, False),
        (V4, 3, 9, ErrorKind.PROHIBITED, errno.EHOSTUNREACH, True),
        (V4, 3, 10, ErrorKind.PROHIBITED, errno.EHOSTUNREACH, True),
        (V4, 3, 11, ErrorKind.UNREACHABLE_NET, errno.ENETUNREACH, False),
        (V4, 3, 12, ErrorKind.UNREACHABLE_HOST, errno.EHOSTUNREACH, False),
        (V4, 3, 13, ErrorKind.PROHIBITED, errno.EHOSTUNREACH, True),
        (V4, 4, 0, ErrorKind.SOURCE_QUENCH, 0, False),
        (V4, 11, 0, ErrorKind.TIME_EXCEEDED, errno.EHOSTUNREACH, False),
        (V4, 11, 1, ErrorKind.TIME_EXCEEDED, errno.EHOSTUNREACH, False),
        (V4, 12, 0, ErrorKind.PARAMETER_PROBLEM, errno.EPROTO, False),
        (V6, 1, 0, ErrorKind.UNREACHABLE_NET, errno.ENETUNREACH, False),
        (V6, 1, 1, ErrorKind.PROHIBITED, errno.EACCES, True),
        (V6, 1, 3, ErrorKind.UNREACHABLE_HOST, errno.EHOSTUNREACH, False),
        (V6, 1, 4, ErrorKind.PORT_UNREACHABLE, errno.ECONNREFUSED, True),
        (V6, 1, 200, ErrorKind.UNREACHABLE_HOST, errno.EHOSTUNREACH, False),
        (V6, 2, 0, ErrorKind.FRAGMENTATION_NEEDED, errno.EMSGSIZE, False),
        (V6, 2, 7, ErrorKind.FRAGMENTATION_NEEDED, errno.EMSGSIZE, False),
        (V6, 3, 0, ErrorKind.TIME_EXCEEDED, errno.EHOSTUNREACH, False),
        (V6, 4, 1, ErrorKind.PARAMETER_PROBLEM, errno.EPROTO, False),
    ],
)
def test_an_error_is_understood(version, kind, code, expected, number, hard):
    arrived = parsed(icmp(version, kind, code, 1300, our_segment(version)))
    error = interpret(arrived.packets[0])
    assert error.kind is expected
    assert errno_of(error.kind, version) == number
    assert is_hard(error.kind) == hard
    assert (error.type, error.code, error.version) == (kind, code, version)
    assert (error.local, error.remote) == (packed(OURS[version]), packed(PEER[version]))
    assert (error.protocol, error.local_port, error.remote_port) == (6, 40_000, 80)
    assert error.seq == 0x01020304
    assert error.quoted_length == HEADER[version] + 20
    assert error.mtu == (1300 if expected is ErrorKind.FRAGMENTATION_NEEDED else 0)


@pytest.mark.rfc("792", "Destination Unreachable")
def test_eight_bytes_of_the_quoted_segment_are_enough():
    arrived = parsed(icmp(4, 3, 4, 1400, our_segment(4)[:28]))
    error = interpret(arrived.packets[0])
    assert (error.local_port, error.remote_port, error.seq) == (40_000, 80, 0x01020304)


@versions
def test_of_fewer_bytes_no_port_is_believed(version):
    arrived = parsed(icmp(version, 1 if version == 6 else 3, 1, 0, our_segment(version)[:-13]))
    error = interpret(arrived.packets[0])
    assert (error.local_port, error.remote_port, error.seq) == (0, 0, None)


def test_ipv4_options_in_the_quote_are_passed_over():
    tcp = our_segment(4)[20:]
    quoted = ipv4(tcp, src=OURS[4], dst=PEER[4], protocol=6, options=b"\x01" * 8)
    arrived = parsed(icmp(4, 3, 1, 0, quoted))
    assert interpret(arrived.packets[0]).seq == 0x01020304


def test_extension_headers_in_the_quote_are_walked():
    quoted = our_segment(6, options=bytes((60, 0, 1, 4, 0, 0, 0, 0)))
    arrived = parsed(icmp(6, 1, 3, 0, quoted))
    error = interpret(arrived.packets[0])
    assert (error.protocol, error.local_port, error.seq) == (6, 40_000, 0x01020304)


@versions
def test_a_quoted_later_fragment_tells_nothing(version):
    _, later = fragments(udp(version, 1, 2, bytes(100), src=OURS[version], dst=PEER[version]), [48])
    arrived = parsed(icmp(version, 1 if version == 6 else 3, 1, 0, later))
    assert interpret(arrived.packets[0]) is None


@versions
def test_a_quoted_echo_request_gives_identifier_and_sequence(version):
    quoted = echo(version, b"", identifier=77, sequence=5, src=OURS[version], dst=PEER[version])
    arrived = parsed(icmp(version, 1 if version == 6 else 3, 1, 0, quoted))
    error = interpret(arrived.packets[0])
    assert (error.local_port, error.remote_port, error.seq) == (77, 5, None)


@pytest.mark.rfc("1122", "3.2.2")
@pytest.mark.rfc("4443", "2.4(b)")
@pytest.mark.parametrize(
    ("version", "kind"),
    [(4, 13), (4, 17), (4, 5), (4, 200), (6, 128 | 5), (6, 137), (6, 200), (6, 255)],
)
def test_a_message_of_another_type_means_nothing(version, kind):
    arrived = parsed(icmp(version, kind, 0, 0, our_segment(version)))
    assert interpret(arrived.packets[0]) is None


@pytest.mark.rfc("4443", "2.4(a)")
@pytest.mark.parametrize("kind", [0, 5, 100, 127])
def test_an_icmpv6_error_of_an_unknown_type_is_for_whoever_sent_what_it_quotes(kind):
    arrived = parsed(icmp(6, kind, 0, 0, our_segment(6)))
    error = interpret(arrived.packets[0])
    assert (error.kind, error.local_port, error.remote_port) == (ErrorKind.UNKNOWN, 40_000, 80)
    assert errno_of(error.kind, 6) == errno.EPROTO
    assert not is_hard(error.kind)


def test_a_quote_of_the_other_version_tells_nothing():
    for version, other in ((4, 6), (6, 4)):
        arrived = parsed(icmp(version, 1 if version == 6 else 3, 1, 0, our_segment(other)))
        assert interpret(arrived.packets[0]) is None


@given(
    version=st.sampled_from([4, 6]),
    kind=st.sampled_from([0, 1, 2, 3, 4, 5, 8, 11, 12, 128, 129]),
    code=st.integers(0, 255),
    rest=st.integers(0, 2**32 - 1),
    body=st.binary(max_size=200),
)
def test_no_message_raises(version, kind, code, rest, body):
    for quoted in (body, bytes((0x45,)) + body, bytes((0x60,)) + body):
        arrived = parsed(icmp(version, kind, code, rest, quoted))
        interpret(arrived.packets[0])


# ---- messages as values --------------------------------------------------------


@versions
def test_messages_read_back_as_they_were_written(version):
    for message in (
        wire.echo_request(version, 1, 2, b"data"),
        wire.echo_reply(version, 1, 2, b"data"),
        wire.destination_unreachable(version, 1, b"quote"),
        wire.packet_too_big(version, 1400, b"quote"),
        wire.time_exceeded(version, 1, b"quote"),
        wire.parameter_problem(version, 0, 6, b"quote"),
    ):
        assert wire.parse(version, message.to_bytes()) == message
    assert wire.parse(version, bytes(7)) is None
