"""ICMP and ICMPv6 messages as values (RFC 792, RFC 4443), with the names that IANA lists."""

from dataclasses import dataclass
from enum import IntEnum

HEADER_LENGTH = 8
CHECKSUM_OFFSET = 2


class Icmp4Type(IntEnum):
    """ICMP type numbers."""

    ECHO_REPLY = 0
    DESTINATION_UNREACHABLE = 3
    SOURCE_QUENCH = 4
    REDIRECT = 5
    ECHO = 8
    ROUTER_ADVERTISEMENT = 9
    ROUTER_SOLICITATION = 10
    TIME_EXCEEDED = 11
    PARAMETER_PROBLEM = 12
    TIMESTAMP = 13
    TIMESTAMP_REPLY = 14
    EXTENDED_ECHO_REQUEST = 42
    EXTENDED_ECHO_REPLY = 43


class Icmp6Type(IntEnum):
    """ICMPv6 type numbers; those below 128 are errors."""

    DESTINATION_UNREACHABLE = 1
    PACKET_TOO_BIG = 2
    TIME_EXCEEDED = 3
    PARAMETER_PROBLEM = 4
    ECHO_REQUEST = 128
    ECHO_REPLY = 129
    MULTICAST_LISTENER_QUERY = 130
    MULTICAST_LISTENER_REPORT = 131
    MULTICAST_LISTENER_DONE = 132
    ROUTER_SOLICITATION = 133
    ROUTER_ADVERTISEMENT = 134
    NEIGHBOR_SOLICITATION = 135
    NEIGHBOR_ADVERTISEMENT = 136
    REDIRECT = 137
    MULTICAST_LISTENER_REPORT_V2 = 143


class Unreachable4(IntEnum):
    """Codes of ICMP Destination Unreachable (RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1)."""

    NET_UNREACHABLE = 0
    HOST_UNREACHABLE = 1
    PROTOCOL_UNREACHABLE = 2
    PORT_UNREACHABLE = 3
    FRAGMENTATION_NEEDED = 4
    SOURCE_ROUTE_FAILED = 5
    DESTINATION_NETWORK_UNKNOWN = 6
    DESTINATION_HOST_UNKNOWN = 7
    SOURCE_HOST_ISOLATED = 8
    NETWORK_PROHIBITED = 9
    HOST_PROHIBITED = 10
    NETWORK_UNREACHABLE_FOR_TOS = 11
    HOST_UNREACHABLE_FOR_TOS = 12
    COMMUNICATION_PROHIBITED = 13
    HOST_PRECEDENCE_VIOLATION = 14
    PRECEDENCE_CUTOFF = 15


class Unreachable6(IntEnum):
    """Codes of ICMPv6 Destination Unreachable (RFC 4443 §3.1, RFC 7371, RFC 8883)."""

    NO_ROUTE = 0
    ADMINISTRATIVELY_PROHIBITED = 1
    BEYOND_SCOPE = 2
    ADDRESS_UNREACHABLE = 3
    PORT_UNREACHABLE = 4
    SOURCE_POLICY_FAILED = 5
    REJECT_ROUTE = 6
    ERROR_IN_SOURCE_ROUTING_HEADER = 7
    HEADERS_TOO_LONG = 8


class TimeExceededCode(IntEnum):
    """Codes of Time Exceeded, the same in both versions."""

    HOP_LIMIT = 0
    FRAGMENT_REASSEMBLY = 1


class Problem4(IntEnum):
    """Codes of ICMP Parameter Problem (RFC 792, RFC 1108)."""

    POINTER = 0
    MISSING_OPTION = 1
    BAD_LENGTH = 2


class Problem6(IntEnum):
    """Codes of ICMPv6 Parameter Problem (RFC 4443 §3.4, RFC 7112 §5)."""

    ERRONEOUS_HEADER_FIELD = 0
    UNRECOGNIZED_NEXT_HEADER = 1
    UNRECOGNIZED_OPTION = 2
    INCOMPLETE_HEADER_CHAIN = 3


# Errors of ICMP by name (RFC 1122 §3.2.2); of ICMPv6, all types below 128.
_ERRORS4 = frozenset(
    {
        Icmp4Type.DESTINATION_UNREACHABLE,
        Icmp4Type.SOURCE_QUENCH,
        Icmp4Type.REDIRECT,
        Icmp4Type.TIME_EXCEEDED,
        Icmp4Type.PARAMETER_PROBLEM,
    }
)


def is_error(version: int, icmp_type: int) -> bool:
    """Whether a message must never be answered with an ICMP error.

    RFC 1122 §3.2.2; RFC 4443 §2.4(e), which counts Redirect among them.
    """
    if version == 4:
        return icmp_type in _ERRORS4
    return icmp_type < 128 or icmp_type == Icmp6Type.REDIRECT


@dataclass(frozen=True, slots=True)
class Message:
    """One message: the `rest` is what the four bytes behind the checksum say."""

    version: int
    type: int
    code: int
    rest: int
    body: bytes

    def to_bytes(self) -> bytes:
        """The message with a checksum of zero, which depends on addresses in ICMPv6."""
        head = bytes((self.type, self.code, 0, 0))
        return head + self.rest.to_bytes(4, "big") + self.body


def parse(version: int, data: bytes) -> Message | None:
    """The message that an IP payload holds; None when it is shorter than a header."""
    if len(data) < HEADER_LENGTH:
        return None
    rest = int.from_bytes(data[4:8], "big")
    return Message(version, data[0], data[1], rest, data[HEADER_LENGTH:])


def echo_request(version: int, identifier: int, sequence: int, data: bytes) -> Message:
    """Echo, or Echo Request (RFC 792, RFC 4443 §4.1)."""
    kind = Icmp4Type.ECHO if version == 4 else Icmp6Type.ECHO_REQUEST
    return Message(version, kind, 0, identifier << 16 | sequence, data)


def echo_reply(version: int, identifier: int, sequence: int, data: bytes) -> Message:
    """Echo Reply (RFC 792, RFC 4443 §4.2)."""
    kind = Icmp4Type.ECHO_REPLY if version == 4 else Icmp6Type.ECHO_REPLY
    return Message(version, kind, 0, identifier << 16 | sequence, data)


def destination_unreachable(version: int, code: int, quote: bytes) -> Message:
    """Destination Unreachable (RFC 792, RFC 4443 §3.1)."""
    kind = Icmp4Type.DESTINATION_UNREACHABLE if version == 4 else Icmp6Type.DESTINATION_UNREACHABLE
    return Message(version, kind, code, 0, quote)


def packet_too_big(version: int, mtu: int, quote: bytes) -> Message:
    """Packet Too Big, in IPv4 "fragmentation needed" (RFC 1191 §4, RFC 4443 §3.2).

    `mtu` is the next hop's, in bytes.
    """
    if version == 4:
        code = Unreachable4.FRAGMENTATION_NEEDED
        return Message(version, Icmp4Type.DESTINATION_UNREACHABLE, code, mtu & 0xFFFF, quote)
    return Message(version, Icmp6Type.PACKET_TOO_BIG, 0, mtu, quote)


def time_exceeded(version: int, code: int, quote: bytes) -> Message:
    """Time Exceeded (RFC 792, RFC 4443 §3.3)."""
    kind = Icmp4Type.TIME_EXCEEDED if version == 4 else Icmp6Type.TIME_EXCEEDED
    return Message(version, kind, code, 0, quote)


def parameter_problem(version: int, code: int, pointer: int, quote: bytes) -> Message:
    """Parameter Problem at `pointer` bytes into the packet (RFC 792, RFC 4443 §3.4)."""
    if version == 4:
        return Message(version, Icmp4Type.PARAMETER_PROBLEM, code, (pointer & 0xFF) << 24, quote)
    return Message(version, Icmp6Type.PARAMETER_PROBLEM, code, pointer, quote)
