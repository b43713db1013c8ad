"""What ICMP and ICMPv6 messages tell this host (RFC 792, RFC 1122 §3.2.2, RFC 4443)."""

import errno
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from stack._native import ffi
from stack.core.ip.headers import IPV6_HEADER, Protocol, upper_layer
from stack.wire.address import MAPPED_PREFIX
from stack.wire.icmp import Icmp4Type, Icmp6Type, Unreachable4, Unreachable6
from stack.wire.ip_options import final_destination

if TYPE_CHECKING:
    from stack._native import Packet


class ErrorKind(Enum):
    """What an ICMP error is about, in both versions."""

    FRAGMENTATION_NEEDED = auto()
    UNREACHABLE_NET = auto()
    UNREACHABLE_HOST = auto()
    PROTOCOL_UNREACHABLE = auto()
    PORT_UNREACHABLE = auto()
    SOURCE_ROUTE_FAILED = auto()
    HOST_UNKNOWN = auto()
    HOST_ISOLATED = auto()
    PROHIBITED = auto()
    TIME_EXCEEDED = auto()
    PARAMETER_PROBLEM = auto()
    UNKNOWN = auto()
    SOURCE_QUENCH = auto()


@dataclass(frozen=True, slots=True)
class IcmpError:
    """An ICMP error, with what it quotes of the packet that we are said to have sent.

    Addresses are 16 bytes. `mtu` and `quoted_length` (the quoted packet's total length) are
    bytes; mtu is 0 when the message tells none. `seq` is TCP's. Of a quoted echo request, the
    ports are identifier and sequence number; of other protocols they are 0.
    """

    kind: ErrorKind
    mtu: int
    protocol: int
    local: bytes
    remote: bytes
    local_port: int
    remote_port: int
    seq: int | None
    type: int
    code: int
    version: int
    quoted_length: int


@dataclass(frozen=True, slots=True)
class EchoRequest:
    """A peer wants `data` back."""

    identifier: int
    sequence: int
    data: bytes


@dataclass(frozen=True, slots=True)
class EchoReply:
    """The answer to an echo request of ours."""

    identifier: int
    sequence: int
    data: bytes


_UNREACHABLE4: dict[int, ErrorKind] = {
    Unreachable4.NET_UNREACHABLE: ErrorKind.UNREACHABLE_NET,
    Unreachable4.HOST_UNREACHABLE: ErrorKind.UNREACHABLE_HOST,
    Unreachable4.PROTOCOL_UNREACHABLE: ErrorKind.PROTOCOL_UNREACHABLE,
    Unreachable4.PORT_UNREACHABLE: ErrorKind.PORT_UNREACHABLE,
    Unreachable4.FRAGMENTATION_NEEDED: ErrorKind.FRAGMENTATION_NEEDED,
    Unreachable4.SOURCE_ROUTE_FAILED: ErrorKind.SOURCE_ROUTE_FAILED,
    Unreachable4.DESTINATION_NETWORK_UNKNOWN: ErrorKind.UNREACHABLE_NET,
    Unreachable4.DESTINATION_HOST_UNKNOWN: ErrorKind.HOST_UNKNOWN,
    Unreachable4.SOURCE_HOST_ISOLATED: ErrorKind.HOST_ISOLATED,
    Unreachable4.NETWORK_PROHIBITED: ErrorKind.PROHIBITED,
    Unreachable4.HOST_PROHIBITED: ErrorKind.PROHIBITED,
    Unreachable4.NETWORK_UNREACHABLE_FOR_TOS: ErrorKind.UNREACHABLE_NET,
    Unreachable4.HOST_UNREACHABLE_FOR_TOS: ErrorKind.UNREACHABLE_HOST,
    Unreachable4.COMMUNICATION_PROHIBITED: ErrorKind.PROHIBITED,
    Unreachable4.HOST_PRECEDENCE_VIOLATION: ErrorKind.PROHIBITED,
    Unreachable4.PRECEDENCE_CUTOFF: ErrorKind.PROHIBITED,
}

_UNREACHABLE6: dict[int, ErrorKind] = {
    Unreachable6.NO_ROUTE: ErrorKind.UNREACHABLE_NET,
    Unreachable6.ADMINISTRATIVELY_PROHIBITED: ErrorKind.PROHIBITED,
    Unreachable6.BEYOND_SCOPE: ErrorKind.UNREACHABLE_HOST,
    Unreachable6.ADDRESS_UNREACHABLE: ErrorKind.UNREACHABLE_HOST,
    Unreachable6.PORT_UNREACHABLE: ErrorKind.PORT_UNREACHABLE,
    Unreachable6.SOURCE_POLICY_FAILED: ErrorKind.PROHIBITED,
    Unreachable6.REJECT_ROUTE: ErrorKind.PROHIBITED,
}

_ERRORS4: dict[int, ErrorKind] = {
    Icmp4Type.SOURCE_QUENCH: ErrorKind.SOURCE_QUENCH,
    Icmp4Type.TIME_EXCEEDED: ErrorKind.TIME_EXCEEDED,
    Icmp4Type.PARAMETER_PROBLEM: ErrorKind.PARAMETER_PROBLEM,
}

_ERRORS6: dict[int, ErrorKind] = {
    Icmp6Type.PACKET_TOO_BIG: ErrorKind.FRAGMENTATION_NEEDED,
    Icmp6Type.TIME_EXCEEDED: ErrorKind.TIME_EXCEEDED,
    Icmp6Type.PARAMETER_PROBLEM: ErrorKind.PARAMETER_PROBLEM,
}

_INFORMATIONAL6 = 0x80

# The numbers that Linux gives; where its IPv6 differs, _ERRNO6 says how.
_ERRNO = {
    ErrorKind.FRAGMENTATION_NEEDED: errno.EMSGSIZE,
    ErrorKind.UNREACHABLE_NET: errno.ENETUNREACH,
    ErrorKind.UNREACHABLE_HOST: errno.EHOSTUNREACH,
    ErrorKind.PROTOCOL_UNREACHABLE: errno.ENOPROTOOPT,
    ErrorKind.PORT_UNREACHABLE: errno.ECONNREFUSED,
    ErrorKind.SOURCE_ROUTE_FAILED: errno.EOPNOTSUPP,
    ErrorKind.HOST_UNKNOWN: errno.EHOSTDOWN,
    ErrorKind.HOST_ISOLATED: getattr(errno, "ENONET", errno.EHOSTUNREACH),
    ErrorKind.PROHIBITED: errno.EHOSTUNREACH,
    ErrorKind.TIME_EXCEEDED: errno.EHOSTUNREACH,
    ErrorKind.PARAMETER_PROBLEM: errno.EPROTO,
    ErrorKind.UNKNOWN: errno.EPROTO,
    ErrorKind.SOURCE_QUENCH: 0,
}

_ERRNO6 = {ErrorKind.PROHIBITED: errno.EACCES, ErrorKind.PROTOCOL_UNREACHABLE: errno.EPROTO}

_HARD = frozenset(
    {ErrorKind.PROTOCOL_UNREACHABLE, ErrorKind.PORT_UNREACHABLE, ErrorKind.PROHIBITED}
)


def errno_of(kind: ErrorKind, version: int = 4) -> int:
    """The errno that an application sees for an error, 0 when it sees none."""
    number = _ERRNO[kind]
    return _ERRNO6.get(kind, number) if version == 6 else number


def is_hard(kind: ErrorKind) -> bool:
    """Whether waiting cannot help: protocol, port, or someone forbids it (RFC 9293 §3.9.2.2).

    "Fragmentation needed" is hard there, too, but path MTU discovery answers it (RFC 1191).
    Whether a hard error ends a connection is for TCP to judge (RFC 5461 §4, RFC 5927 §6).
    """
    return kind in _HARD


def interpret(packet: "Packet") -> IcmpError | EchoReply | EchoRequest | None:
    """What a checked ICMP or ICMPv6 message means to this host; None when nothing.

    That the quoted packet came from this host, or from a connection of it, is for the caller
    to check (RFC 5927 §4.1).
    """
    body = ffi.buffer(packet.text, packet.text_length)[:]
    request, reply = (
        (Icmp4Type.ECHO, Icmp4Type.ECHO_REPLY)
        if packet.version == 4
        else (Icmp6Type.ECHO_REQUEST, Icmp6Type.ECHO_REPLY)
    )
    if packet.icmp_type in (request, reply):
        identifier, sequence = packet.icmp_rest >> 16, packet.icmp_rest & 0xFFFF
        known = EchoRequest if packet.icmp_type == request else EchoReply
        return known(identifier, sequence, body)
    kind = _kind(packet.version, packet.icmp_type, packet.icmp_code)
    return None if kind is None else _error(packet, kind, body)


def _kind(version: int, icmp_type: int, code: int) -> ErrorKind | None:
    if version == 4:
        if icmp_type == Icmp4Type.DESTINATION_UNREACHABLE:
            return _UNREACHABLE4.get(code)
        return _ERRORS4.get(icmp_type)
    if icmp_type == Icmp6Type.DESTINATION_UNREACHABLE:
        # An unknown code is an unreachable destination nonetheless (RFC 4443 §2.4(a)).
        return _UNREACHABLE6.get(code, ErrorKind.UNREACHABLE_HOST)
    if icmp_type & _INFORMATIONAL6:
        return None
    # Whoever sent what it is about must hear of an error of any type (RFC 4443 §2.4(a)).
    return _ERRORS6.get(icmp_type, ErrorKind.UNKNOWN)


def _error(packet: "Packet", kind: ErrorKind, body: bytes) -> IcmpError | None:
    quote = _quoted_ipv4(body) if packet.version == 4 else _quoted_ipv6(body)
    if quote is None:
        return None
    ports = _quoted_ports(quote.protocol, body, quote.upper)
    return IcmpError(
        kind=kind,
        mtu=_next_hop_mtu(packet) if kind is ErrorKind.FRAGMENTATION_NEEDED else 0,
        protocol=quote.protocol,
        local=quote.src,
        remote=quote.dst,
        local_port=ports[0],
        remote_port=ports[1],
        seq=_quoted_seq(quote.protocol, body, quote.upper),
        type=packet.icmp_type,
        code=packet.icmp_code,
        version=packet.version,
        quoted_length=quote.length,
    )


def _next_hop_mtu(packet: "Packet") -> int:
    # IPv4 has it in the lower half, the upper is unused (RFC 1191 §4).
    return int(packet.icmp_rest) & 0xFFFF if packet.version == 4 else int(packet.icmp_rest)


class _Quote(NamedTuple):
    """The IP header of the packet that an error quotes."""

    src: bytes
    dst: bytes
    protocol: int
    upper: int  # offset of the upper-layer header
    length: int


def _quoted_ipv4(body: bytes) -> _Quote | None:
    if len(body) < 20 or body[0] >> 4 != 4:
        return None
    header = (body[0] & 0x0F) * 4
    is_first = int.from_bytes(body[6:8], "big") & 0x1FFF == 0
    if header < 20 or not is_first:
        return None
    length = int.from_bytes(body[2:4], "big")
    # On a source route the header names the next hop only.
    dst = final_destination(body[20:header]) or body[16:20]
    return _Quote(MAPPED_PREFIX + body[12:16], MAPPED_PREFIX + dst, body[9], header, length)


def _quoted_ipv6(body: bytes) -> _Quote | None:
    if len(body) < IPV6_HEADER or body[0] >> 4 != 6:
        return None
    upper = upper_layer(body, body[6], IPV6_HEADER)
    if upper is None:
        return None
    length = IPV6_HEADER + int.from_bytes(body[4:6], "big")
    return _Quote(body[8:24], body[24:40], *upper, length)


def _quoted_ports(protocol: int, body: bytes, at: int) -> tuple[int, int]:
    # Eight bytes of the transport header are certain (RFC 792); of fewer nothing is believed.
    if len(body) < at + 8:
        return 0, 0
    if protocol in (Protocol.ICMP, Protocol.IPV6_ICMP):
        at += 4
    elif protocol not in (Protocol.TCP, Protocol.UDP):
        return 0, 0
    return int.from_bytes(body[at : at + 2], "big"), int.from_bytes(body[at + 2 : at + 4], "big")


def _quoted_seq(protocol: int, body: bytes, at: int) -> int | None:
    if protocol != Protocol.TCP or len(body) < at + 8:
        return None
    return int.from_bytes(body[at + 4 : at + 8], "big")
