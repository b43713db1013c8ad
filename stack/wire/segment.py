"""Whole packets as Python values: for traces, tests and tools.

Written from the RFCs and apart from the C parser, so that each can check the other.
Reading is lenient: whatever the bytes are, `parse` returns a `Packet` with what could be
read and, in `fault`, what is wrong. Building takes wrong values too, so that tests can send
what no sane host would.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from struct import unpack_from

from stack.wire.craft import (
    ACK,
    AE,
    AUTHENTICATION,
    CWR,
    DESTINATION_OPTIONS,
    ECE,
    FIN,
    FRAGMENT,
    HOP_BY_HOP,
    ICMP,
    ICMPV6,
    NO_NEXT_HEADER,
    PSH,
    ROUTING,
    RST,
    SYN,
    TCP,
    UDP,
    URG,
    Address,
    IpFields,
    build_icmp,
    build_ip,
    build_tcp,
    build_udp,
    ones_complement,
    pseudo_header,
)
from stack.wire.ip_options import final_destination
from stack.wire.tcp_options import (
    EOL,
    MSS,
    NOP,
    SACK,
    SACK_PERMITTED,
    TIMESTAMPS,
    WINDOW_SCALE,
    Option,
    mss,
    sack,
    sack_edges,
    sack_permitted,
    timestamps,
    walk_tcp_options,
    window_scale,
)

__all__ = [
    "ACK",
    "AE",
    "AUTHENTICATION",
    "CWR",
    "DESTINATION_OPTIONS",
    "ECE",
    "EOL",
    "FIN",
    "FRAGMENT",
    "HOP_BY_HOP",
    "ICMP",
    "ICMPV6",
    "MSS",
    "NOP",
    "NO_NEXT_HEADER",
    "PSH",
    "ROUTING",
    "RST",
    "SACK",
    "SACK_PERMITTED",
    "SYN",
    "TCP",
    "TIMESTAMPS",
    "UDP",
    "URG",
    "WINDOW_SCALE",
    "Address",
    "Icmp",
    "IpFields",
    "Option",
    "Packet",
    "Tcp",
    "Udp",
    "build_icmp",
    "build_ip",
    "build_tcp",
    "build_udp",
    "mss",
    "ones_complement",
    "parse",
    "pseudo_header",
    "sack",
    "sack_permitted",
    "timestamps",
    "walk_tcp_options",
    "window_scale",
]

# ---- values -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tcp:
    """A TCP segment as it is on the wire; the window is unscaled (RFC 9293 §3.1)."""

    sport: int
    dport: int
    seq: int
    ack: int
    header_length: int
    reserved: int
    flags: int
    window: int
    checksum: int
    urgent: int
    options: tuple[Option, ...]
    option_bytes: bytes
    text: bytes

    @property
    def length(self) -> int:
        """SEG.LEN: the sequence numbers it takes, with SYN and FIN."""
        return len(self.text) + bool(self.flags & SYN) + bool(self.flags & FIN)

    def option(self, kind: int, size: int) -> bytes | None:
        """The data of the first sound option of this kind and data size, if there is one."""
        for option in self.options:
            if option.kind == kind and len(option.data) == size and not option.fault:
                return option.data
        return None

    @property
    def mss(self) -> int | None:
        data = self.option(MSS, 2)
        return None if data is None else int.from_bytes(data, "big")

    @property
    def window_scale(self) -> int | None:
        data = self.option(WINDOW_SCALE, 1)
        return None if data is None else data[0]

    @property
    def sack_permitted(self) -> bool:
        return self.option(SACK_PERMITTED, 0) is not None

    @property
    def timestamps(self) -> tuple[int, int] | None:
        """TSval and TSecr."""
        data = self.option(TIMESTAMPS, 8)
        return None if data is None else unpack_from("!II", data)

    @property
    def sack_blocks(self) -> tuple[tuple[int, int], ...]:
        for option in self.options:
            if option.kind == SACK and not option.fault and len(option.data) % 8 == 0:
                return sack_edges(option.data)
        return ()


@dataclass(frozen=True, slots=True)
class Udp:
    """A UDP datagram; `length` is what its header says (RFC 768)."""

    sport: int
    dport: int
    length: int
    checksum: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Icmp:
    """An ICMP or ICMPv6 message; `rest` is the four bytes behind the checksum (RFC 792)."""

    type: int
    code: int
    checksum: int
    rest: int
    body: bytes


@dataclass(slots=True)
class Packet:
    """An IP packet; fields that could not be read keep their defaults. `dst` is where a source
    route leads, and `next_hop` where the header says meanwhile.
    """

    data: bytes
    version: int = 0
    src: Address | None = None
    dst: Address | None = None
    protocol: int = -1
    ttl: int = 0
    tclass: int = 0
    flow_label: int = 0
    ip_id: int = 0
    dont_fragment: bool = False
    more_fragments: bool = False
    fragment_offset: int = 0
    ip_reserved: bool = False
    header_length: int = 0
    ip_options: bytes = b""
    next_hop: Address | None = None
    payload: bytes = b""
    transport: Tcp | Udp | Icmp | None = None
    missing: int = 0  # bytes that the header announces and that are not here
    fault: str = ""

    @property
    def is_fragment(self) -> bool:
        return self.more_fragments or self.fragment_offset > 0

    @property
    def tcp(self) -> Tcp | None:
        return self.transport if isinstance(self.transport, Tcp) else None

    @property
    def ip_checksum_ok(self) -> bool:
        """Whether the header checksum holds; IPv6 has none (RFC 791 §3.1)."""
        header = self.data[: self.header_length]
        return self.version != 4 or not header or ones_complement(header) == 0xFFFF

    @property
    def transport_checksum_ok(self) -> bool:
        """Whether the TCP, UDP, ICMP or ICMPv6 checksum holds; True where there is none."""
        if self.transport is None or self.src is None or self.dst is None:
            return True
        if isinstance(self.transport, Udp) and self.transport.checksum == 0:
            return self.version == 4  # RFC 8200 §8.1: IPv6 asks for one
        pseudo = pseudo_header(self.src, self.dst, self.protocol, len(self.payload))
        return ones_complement(pseudo + self.payload) == 0xFFFF


# ---- reading -----------------------------------------------------------------


def parse(data: bytes) -> Packet:
    """Reads one IP packet; bytes that trail it are cut off. Never raises."""
    packet = Packet(data)
    if not data:
        packet.fault = "no bytes at all"
        return packet
    packet.version = data[0] >> 4
    if packet.version == 4:
        _read_ipv4(packet)
    elif packet.version == 6:
        _read_ipv6(packet)
    else:
        packet.fault = f"IP version {packet.version}"
    return packet


def _cut(packet: Packet, header_length: int, total_length: int) -> None:
    """Takes the payload between the header and the length that the header announces."""
    packet.header_length = header_length
    if total_length > len(packet.data):
        packet.missing = total_length - len(packet.data)
        packet.fault = f"{len(packet.data)} of {total_length} bytes are here"
    elif total_length < header_length:
        # Captures of segmentation offload carry 0 here; all that follows is payload then.
        packet.fault = f"total length {total_length} is below the header's {header_length}"
        total_length = len(packet.data) if total_length == 0 else header_length
    packet.data = packet.data[:total_length]
    packet.payload = packet.data[header_length:]


def _read_ipv4(packet: Packet) -> None:
    data = packet.data
    if len(data) < 20:
        packet.fault = f"{len(data)} bytes are less than an IPv4 header"
        return
    packet.tclass = data[1]
    total_length, packet.ip_id, fragment = unpack_from("!HHH", data, 2)
    packet.ip_reserved = bool(fragment & 0x8000)
    packet.dont_fragment = bool(fragment & 0x4000)
    packet.more_fragments = bool(fragment & 0x2000)
    packet.fragment_offset = (fragment & 0x1FFF) * 8
    packet.ttl, packet.protocol = data[8], data[9]
    packet.src, packet.dst = IPv4Address(data[12:16]), IPv4Address(data[16:20])
    header_length = (data[0] & 0x0F) * 4
    if header_length < 20 or header_length > len(data):
        packet.fault = f"IPv4 header length {header_length}"
        return
    packet.ip_options = data[20:header_length]
    final = final_destination(packet.ip_options)
    if final is not None:
        packet.dst, packet.next_hop = IPv4Address(final), packet.dst
    _cut(packet, header_length, total_length)
    _read_transport(packet)


def _read_ipv6(packet: Packet) -> None:
    data = packet.data
    if len(data) < 40:
        packet.fault = f"{len(data)} bytes are less than an IPv6 header"
        return
    first, length, protocol, packet.ttl = unpack_from("!IHBB", data)
    packet.tclass, packet.flow_label = first >> 20 & 0xFF, first & 0xFFFFF
    packet.src, packet.dst = IPv6Address(data[8:24]), IPv6Address(data[24:40])
    _cut(packet, 40, 40 + length)
    _walk_extensions(packet, protocol)
    packet.payload = packet.data[packet.header_length :]
    _read_transport(packet)


def _walk_extensions(packet: Packet, protocol: int) -> None:
    """Steps over extension headers to the upper-layer protocol (RFC 8200 §4)."""
    data, at = packet.data, 40
    while protocol in (HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS):
        size = _extension_size(data, at, protocol)
        if at + size > len(data):
            packet.fault = packet.fault or "extension header is cut short"
            break
        following = data[at]
        if protocol == FRAGMENT:
            field, packet.ip_id = unpack_from("!HI", data, at + 2)
            packet.fragment_offset, packet.more_fragments = field & 0xFFF8, bool(field & 1)
        at += size
        protocol = following
        if packet.fragment_offset:  # what follows is the middle of a payload
            break
    packet.protocol, packet.header_length = protocol, at


def _extension_size(data: bytes, at: int, protocol: int) -> int:
    if protocol == FRAGMENT:
        return 8
    units = data[at + 1] if at + 1 < len(data) else 0
    if protocol == AUTHENTICATION:
        return (units + 2) * 4  # RFC 4302 §2.2
    return (units + 1) * 8


def _read_transport(packet: Packet) -> None:
    """Reads what the IP packet carries; a fragment's transport header is not looked at."""
    if packet.is_fragment:
        return
    if packet.protocol == TCP:
        _read_tcp(packet)
    elif packet.protocol == UDP:
        _read_udp(packet)
    elif packet.protocol == (ICMPV6 if packet.version == 6 else ICMP):
        _read_icmp(packet)


def _read_tcp(packet: Packet) -> None:
    data = packet.payload
    if len(data) < 20:
        packet.fault = packet.fault or f"{len(data)} bytes are less than a TCP header"
        return
    sport, dport, seq, ack, field, window, checksum, urgent = unpack_from("!HHIIHHHH", data)
    header_length = (field >> 12) * 4
    if header_length < 20 or header_length > len(data):
        packet.fault = packet.fault or f"TCP header length {header_length}"
    end = min(max(header_length, 20), len(data))
    option_bytes = data[20:end]
    packet.transport = Tcp(
        sport=sport,
        dport=dport,
        seq=seq,
        ack=ack,
        header_length=header_length,
        reserved=field >> 9 & 0b111,
        flags=field & 0x1FF,
        window=window,
        checksum=checksum,
        urgent=urgent,
        options=tuple(walk_tcp_options(option_bytes)) if option_bytes else (),
        option_bytes=option_bytes,
        text=data[end:],
    )


def _read_udp(packet: Packet) -> None:
    data = packet.payload
    if len(data) < 8:
        packet.fault = packet.fault or f"{len(data)} bytes are less than a UDP header"
        return
    sport, dport, length, checksum = unpack_from("!HHHH", data)
    if length < 8 or length > len(data):
        packet.fault = packet.fault or f"UDP length {length}"
    else:
        packet.payload = data = data[:length]
    packet.transport = Udp(sport, dport, length, checksum, data[8:])


def _read_icmp(packet: Packet) -> None:
    data = packet.payload
    if len(data) < 8:
        packet.fault = packet.fault or f"{len(data)} bytes are less than an ICMP header"
        return
    icmp_type, code, checksum, rest = unpack_from("!BBHI", data)
    packet.transport = Icmp(icmp_type, code, checksum, rest, data[8:])
