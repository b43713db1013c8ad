"""ICMP and ICMPv6 messages that this host sends, ready as IP packets.

Reading them is in `icmp_input`; its names are found here, too.
"""

from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.core.ip.addresses import LocalAddresses
from stack.core.ip.headers import IPV6_HEADER, Protocol, next_header_field, upper_layer
from stack.core.ip.icmp_input import (
    EchoReply,
    EchoRequest,
    ErrorKind,
    IcmpError,
    errno_of,
    interpret,
    is_hard,
)
from stack.core.ip.options import for_echo
from stack.wire import icmp
from stack.wire.address import fill_path, raw
from stack.wire.icmp import CHECKSUM_OFFSET, Message, Problem6, TimeExceededCode, Unreachable4

if TYPE_CHECKING:
    from stack._native import Packet, Path

__all__ = [
    "EchoReply",
    "EchoRequest",
    "ErrorKind",
    "IcmpError",
    "IcmpLimiter",
    "answer_echo",
    "destination_unreachable",
    "echo_request",
    "errno_of",
    "interpret",
    "is_hard",
    "packet_too_big",
    "parameter_problem",
    "time_exceeded",
    "unknown_protocol",
]

# How long an error may be, IP header included: 576 bytes reach every IPv4 host (RFC 1812
# §4.3.2.3), 1280 every IPv6 one (RFC 4443 §2.4(c)).
_ERROR_MAX = {4: 576, 6: 1280}
# Faults that leave the addresses trustworthy; any other packet is dropped in silence
# (RFC 1122 §3.2.1.1 and §3.2.1.2).
_ANSWERABLE = frozenset(
    {lib.FAULT_NONE, lib.FAULT_IP_OPTION, lib.FAULT_SOURCE_ROUTE, lib.FAULT_EXTENSION}
)
_IP_HEADER = {4: 20, 6: IPV6_HEADER}


class IcmpLimiter:
    """A token bucket for ICMP messages (RFC 4443 §2.4(f), RFC 1812 §4.3.2.8).

    `rate` messages a second on average, `burst` at once.
    """

    def __init__(self, rate: int = 1000, burst: int = 50) -> None:
        self._rate = rate
        # In millionths of a token, so that µs times the rate stay whole numbers.
        self._full = burst * 1_000_000
        self._tokens = self._full
        self._filled_at: int | None = None

    def allow(self, now: int) -> bool:
        """Whether one more message may go out now (µs); takes a token if so."""
        if self._filled_at is not None:
            gained = max(now - self._filled_at, 0) * self._rate
            self._tokens = min(self._tokens + gained, self._full)
        self._filled_at = now
        if self._tokens < 1_000_000:
            return False
        self._tokens -= 1_000_000
        return True


def answer_echo(
    packet: "Packet",
    *,
    source: bytes | None = None,
    identification: int | None = None,
    now: int = 0,
) -> bytes:
    """The echo reply to an echo request, with all of its data and its IPv4 options, at `now`
    (µs).

    `source` (16 bytes) is needed when the request came to a group (RFC 4443 §4.2); else the
    reply comes from the address that was asked (RFC 1122 §3.2.2.6). An IPv4 reply may be
    fragmented if given an `identification`, and says "don't fragment" otherwise.
    """
    body = ffi.buffer(packet.text, packet.text_length)[:]
    identifier, sequence = packet.icmp_rest >> 16, packet.icmp_rest & 0xFFFF
    message = icmp.echo_reply(packet.version, identifier, sequence, body)
    # The same type of service (RFC 1122 §3.2.2), but marks of congestion are not ours to
    # repeat (RFC 3168 §5).
    path = _path(
        packet.version,
        raw(packet.dst) if source is None else source,
        raw(packet.src),
        packet.traffic_class & 0xFC,
    )
    for_echo(packet, path, now)
    return _build(path, message, identification)


def echo_request(
    path: "Path",
    identifier: int,
    sequence: int,
    payload: bytes,
    *,
    identification: int | None = None,
) -> bytes:
    """An echo request along a path. Raises ValueError when it exceeds 65,535 bytes."""
    message = icmp.echo_request(path.version, identifier, sequence, payload)
    return _build(path, message, identification)


def destination_unreachable(
    packet: "Packet", code_v4: int, code_v6: int, *, addresses: LocalAddresses
) -> bytes | None:
    """Destination Unreachable about a packet; None when it must not be sent.

    RFC 1122 §3.2.2.1, RFC 4443 §3.1.
    """
    code = code_v4 if packet.version == 4 else code_v6
    return _error(packet, addresses, icmp.destination_unreachable(packet.version, code, b""))


def unknown_protocol(packet: "Packet", *, addresses: LocalAddresses) -> bytes | None:
    """What to say of a packet whose protocol this host has not; None when nothing may be said.

    IPv4 has a code of Destination Unreachable (RFC 1122 §3.2.2.1), IPv6 one of Parameter
    Problem, pointing at the Next Header field (RFC 4443 §3.4). "No next header" is no
    protocol to be missed (RFC 8200 §4.7).
    """
    if packet.version == 4:
        code = Unreachable4.PROTOCOL_UNREACHABLE
        return destination_unreachable(packet, code, 0, addresses=addresses)
    if packet.fault or packet.protocol == Protocol.IPV6_NO_NEXT:
        return None
    pointer = next_header_field(_data(packet), packet.ip_header_length)
    return parameter_problem(
        packet, Problem6.UNRECOGNIZED_NEXT_HEADER, pointer, addresses=addresses
    )


def time_exceeded(
    packet: "Packet",
    code: int = TimeExceededCode.FRAGMENT_REASSEMBLY,
    *,
    addresses: LocalAddresses,
) -> bytes | None:
    """Time Exceeded about a packet, of a reassembly its first fragment; None when forbidden.

    RFC 1122 §3.2.2.4, RFC 4443 §3.3.
    """
    return _error(packet, addresses, icmp.time_exceeded(packet.version, code, b""))


def packet_too_big(packet: "Packet", mtu: int, *, addresses: LocalAddresses) -> bytes | None:
    """What a router says of a packet longer than the next link's `mtu`; None when forbidden.

    RFC 1191 §4, RFC 4443 §3.2, which may also answer multicast (§2.4(e.3)).
    """
    message = icmp.packet_too_big(packet.version, mtu, b"")
    return _error(packet, addresses, message, to_group=packet.version == 6)


def parameter_problem(
    packet: "Packet", code: int, pointer: int, *, addresses: LocalAddresses
) -> bytes | None:
    """Parameter Problem about the byte at `pointer`; None when it must not be sent.

    RFC 1122 §3.2.2.5, RFC 4443 §3.4, whose code 2 may also answer multicast (§2.4(e.3)).
    """
    to_group = packet.version == 6 and code == Problem6.UNRECOGNIZED_OPTION
    message = icmp.parameter_problem(packet.version, code, pointer, b"")
    return _error(packet, addresses, message, to_group=to_group)


def _error(
    packet: "Packet", addresses: LocalAddresses, message: Message, *, to_group: bool = False
) -> bytes | None:
    data = _data(packet)
    if not _may_answer(packet, data, addresses, to_group=to_group):
        return None
    asked, peer = raw(packet.dst), raw(packet.src)
    source = asked if addresses.owns(asked) else addresses.source_for(peer)
    if source is None:
        return None
    version = packet.version
    room = _ERROR_MAX[version] - _IP_HEADER[version] - icmp.HEADER_LENGTH
    whole = Message(version, message.type, message.code, message.rest, data[:room])
    # Type of service 0 (RFC 1122 §3.2.2).
    return _build(_path(version, source, peer, 0), whole, None)


def _may_answer(
    packet: "Packet", data: bytes, addresses: LocalAddresses, *, to_group: bool
) -> bool:
    """RFC 1122 §3.2.2 and RFC 4443 §2.4(e): what no error may be sent about."""
    if packet.fault not in _ANSWERABLE:
        return False
    if not addresses.is_valid_source(raw(packet.src)):
        return False
    dst = raw(packet.dst)
    if addresses.is_broadcast(dst) or (addresses.is_multicast(dst) and not to_group):
        return False
    if packet.version == 4 and packet.fragment_offset:
        return False
    return not _is_icmp_error(packet, data)


def _is_icmp_error(packet: "Packet", data: bytes) -> bool:
    if packet.version == 4:
        at = packet.ip_header_length
        if packet.protocol != Protocol.ICMP:
            return False
        return at >= len(data) or icmp.is_error(4, data[at])
    upper = upper_layer(data, data[6], IPV6_HEADER)
    if upper is None:
        # A later piece of an ICMPv6 message: it may be an error's.
        return bool(packet.fragment_offset) and packet.fragment_next_header == Protocol.IPV6_ICMP
    protocol, at = upper
    return protocol == Protocol.IPV6_ICMP and (at >= len(data) or icmp.is_error(6, data[at]))


def _data(packet: "Packet") -> bytes:
    """The packet's bytes, with the checksum filled in that a device left to us."""
    data = ffi.buffer(packet.data, packet.length)[:]
    if not packet.vnet_flags & lib.VNET_NEEDS_CSUM:
        return data
    copy = bytearray(data)
    view = ffi.from_buffer("uint8_t[]", copy)
    parsed = ffi.new("struct packet *")
    lib.packet_parse(parsed, view, len(copy), lib.PARSE_TRUST_CHECKSUM)
    lib.packet_complete_checksum(parsed, view)
    return bytes(copy)


def _path(version: int, src: bytes, dst: bytes, traffic_class: int) -> "Path":
    path = ffi.new("struct path *")
    fill_path(path, version, src, dst, 0, 0, traffic_class=traffic_class)
    return path


def _build(path: "Path", message: Message, identification: int | None) -> bytes:
    path.dont_fragment = identification is None
    payload = message.to_bytes()
    room = _IP_HEADER[path.version] + path.options_length + len(payload)
    packet = ffi.new("uint8_t[]", room)
    protocol = Protocol.ICMP if path.version == 4 else Protocol.IPV6_ICMP
    length = lib.packet_build(
        packet,
        room,
        path,
        protocol,
        (identification or 0) & 0xFFFF,
        payload,
        len(payload),
        CHECKSUM_OFFSET,
    )
    if length == 0:
        raise ValueError(f"{len(payload)} bytes of ICMP do not fit into an IP packet")
    return ffi.buffer(packet, length)[:]
