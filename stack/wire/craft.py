"""Whole packets built from Python values; wrong ones too, for tests that need them."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import pack
from typing import TypedDict, Unpack

from stack.wire.tcp_options import Option

Address = IPv4Address | IPv6Address

FIN = 0x001
SYN = 0x002
RST = 0x004
PSH = 0x008
ACK = 0x010
URG = 0x020
ECE = 0x040
CWR = 0x080
AE = 0x100

ICMP = 1
TCP = 6
UDP = 17
ICMPV6 = 58

HOP_BY_HOP = 0
ROUTING = 43
FRAGMENT = 44
AUTHENTICATION = 51
NO_NEXT_HEADER = 59
DESTINATION_OPTIONS = 60


def ones_complement(data: bytes) -> int:
    """The ones'-complement sum of 16-bit words, folded, not inverted (RFC 1071 §1).

    Such a sum is arithmetic modulo 65,535 whose zero is written 0xFFFF unless all is zero.
    """
    number = int.from_bytes(data, "big") << (8 * (len(data) % 2))
    return number % 0xFFFF or (0xFFFF if number else 0)


def pseudo_header(src: Address, dst: Address, protocol: int, length: int) -> bytes:
    """What a transport checksum covers besides the segment; ICMP over IPv4 has nothing."""
    if src.version == 6:  # RFC 8200 §8.1
        return src.packed + dst.packed + pack("!IxxxB", length, protocol)
    if protocol == ICMP:
        return b""
    return src.packed + dst.packed + pack("!xBH", protocol, length)  # RFC 9293 §3.1


class IpFields(TypedDict, total=False):
    """What the IP header may say besides addresses and protocol; all have sound defaults.

    `extensions` are IPv6 extension headers as (number, bytes); the first byte of each is
    replaced by the number of what follows it. `fragment_offset` is in bytes.
    """

    ttl: int
    tclass: int
    flow_label: int
    ip_id: int
    dont_fragment: bool
    more_fragments: bool
    fragment_offset: int
    ip_options: bytes
    extensions: Sequence[tuple[int, bytes]]
    total_length: int
    header_checksum: int


def build_ip(
    src: Address | str, dst: Address | str, protocol: int, payload: bytes, **ip: Unpack[IpFields]
) -> bytes:
    """An IPv4 or IPv6 packet around a payload. ValueError: the addresses' versions differ."""
    src, dst = ip_address(src), ip_address(dst)
    if src.version != dst.version:
        raise ValueError(f"{src} and {dst} are not of one IP version")
    if src.version == 6:
        return _build_ipv6(src, dst, protocol, payload, ip)
    return _build_ipv4(src, dst, protocol, payload, ip)


def _build_ipv4(src: Address, dst: Address, protocol: int, payload: bytes, ip: IpFields) -> bytes:
    options = ip.get("ip_options", b"")
    options += bytes(-len(options) % 4)
    fragment = ip.get("fragment_offset", 0) // 8
    fragment |= 0x2000 if ip.get("more_fragments") else 0
    fragment |= 0x4000 if ip.get("dont_fragment") else 0
    header = pack(
        "!BBHHHBBH4s4s",
        0x40 | (20 + len(options)) // 4,
        ip.get("tclass", 0),
        ip.get("total_length", 20 + len(options) + len(payload)),
        ip.get("ip_id", 0),
        fragment,
        ip.get("ttl", 64),
        protocol,
        0,
        src.packed,
        dst.packed,
    )
    header += options
    checksum = ip.get("header_checksum", ones_complement(header) ^ 0xFFFF)
    return header[:10] + pack("!H", checksum) + header[12:] + payload


def _build_ipv6(src: Address, dst: Address, protocol: int, payload: bytes, ip: IpFields) -> bytes:
    for number, extension in reversed(ip.get("extensions", ())):
        payload = bytes((protocol,)) + extension[1:] + payload
        protocol = number
    header = pack(
        "!IHBB",
        6 << 28 | ip.get("tclass", 0) << 20 | ip.get("flow_label", 0),
        ip.get("total_length", 40 + len(payload)) - 40,
        protocol,
        ip.get("ttl", 64),
    )
    return header + src.packed + dst.packed + payload


def _with_checksum(
    src: Address, dst: Address, protocol: int, payload: bytes, at: int, given: int | None
) -> bytes:
    """The payload with the checksum in its field at offset `at`."""
    if given is None:
        covered = pseudo_header(src, dst, protocol, len(payload)) + payload
        given = ones_complement(covered) ^ 0xFFFF
        if protocol == UDP and given == 0:
            given = 0xFFFF  # RFC 768: 0 would say that there is none
    return payload[:at] + pack("!H", given) + payload[at + 2 :]


def build_tcp(
    src: Address | str,
    dst: Address | str,
    sport: int,
    dport: int,
    *,
    seq: int = 0,
    ack: int = 0,
    flags: int = ACK,
    window: int = 65535,
    options: Iterable[Option] | bytes = (),
    text: bytes = b"",
    urgent: int = 0,
    reserved: int = 0,
    header_length: int | None = None,
    checksum: int | None = None,
    **ip: Unpack[IpFields],
) -> bytes:
    """An IP packet with a TCP segment; options are padded with zeros to a multiple of four.

    ValueError: the options do not fit, unless `header_length` is given.
    """
    src, dst = ip_address(src), ip_address(dst)
    if not isinstance(options, bytes):
        options = b"".join(option.encode() for option in options)
    options += bytes(-len(options) % 4)
    length = 20 + len(options) if header_length is None else header_length
    if length > 60:
        raise ValueError(f"{len(options)} bytes of options, and a TCP header has room for 40")
    field = length // 4 << 12 | reserved << 9 | flags
    head = pack("!HHIIHHHH", sport, dport, seq, ack, field, window, 0, urgent)
    segment = _with_checksum(src, dst, TCP, head + options + text, 16, checksum)
    return build_ip(src, dst, TCP, segment, **ip)


def build_udp(
    src: Address | str,
    dst: Address | str,
    sport: int,
    dport: int,
    text: bytes = b"",
    *,
    length: int | None = None,
    checksum: int | None = None,
    **ip: Unpack[IpFields],
) -> bytes:
    """An IP packet with a UDP datagram."""
    src, dst = ip_address(src), ip_address(dst)
    head = pack("!HHHH", sport, dport, 8 + len(text) if length is None else length, 0)
    datagram = _with_checksum(src, dst, UDP, head + text, 6, checksum)
    return build_ip(src, dst, UDP, datagram, **ip)


def build_icmp(
    src: Address | str,
    dst: Address | str,
    icmp_type: int,
    code: int = 0,
    *,
    rest: int = 0,
    body: bytes = b"",
    checksum: int | None = None,
    **ip: Unpack[IpFields],
) -> bytes:
    """An IP packet with an ICMP message, or with an ICMPv6 one where the addresses are IPv6."""
    src, dst = ip_address(src), ip_address(dst)
    protocol = ICMPV6 if src.version == 6 else ICMP
    message = pack("!BBHI", icmp_type, code, 0, rest) + body
    message = _with_checksum(src, dst, protocol, message, 2, checksum)
    return build_ip(src, dst, protocol, message, **ip)
