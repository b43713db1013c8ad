"""IP and ICMP packets made from nothing but the RFCs, for tests of what the stack makes of them.

Independent of the code under test: its own checksum, its own header layouts. Addresses are
text. Fields take wrong values, too.
"""

from collections import deque
from collections.abc import Sequence
from ipaddress import ip_address
from itertools import pairwise
from struct import pack

from stack.wire.batch import Inbound

OURS = {4: "192.0.2.2", 6: "2001:db8::2"}
PEER = {4: "192.0.2.1", 6: "2001:db8::1"}
ICMP = {4: 1, 6: 58}
ECHO = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}
HEADER = {4: 20, 6: 40}


_parsed: deque[Inbound] = deque(maxlen=64)


def parsed(data: bytes) -> object:
    """One packet as a host sees it. What it points into is kept for the next 64 calls."""
    _parsed.append(Inbound.of([data]))
    return _parsed[-1].packets[0]


def checksum(data: bytes) -> int:
    """RFC 1071, the plain way."""
    if len(data) % 2:
        data += b"\0"
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packed(text: str) -> bytes:
    """16 bytes, IPv4 mapped."""
    address = ip_address(text)
    return b"\0" * 10 + b"\xff\xff" + address.packed if address.version == 4 else address.packed


def ipv4(
    payload: bytes,
    *,
    src: str = PEER[4],
    dst: str = OURS[4],
    protocol: int = 1,
    ttl: int = 64,
    tos: int = 0,
    identification: int = 0,
    flags: int = 0,
    offset: int = 0,
    options: bytes = b"",
) -> bytes:
    """`flags` are DF (2) and MF (1), `offset` counts bytes."""
    head = pack(
        ">BBHHHBBH4s4s",
        0x40 | (20 + len(options)) // 4,
        tos,
        20 + len(options) + len(payload),
        identification,
        flags << 13 | offset // 8,
        ttl,
        protocol,
        0,
        ip_address(src).packed,
        ip_address(dst).packed,
    )
    head += options
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload


def ipv6(
    payload: bytes,
    *,
    src: str = PEER[6],
    dst: str = OURS[6],
    next_header: int = 58,
    hop_limit: int = 64,
    tclass: int = 0,
    flow: int = 0,
) -> bytes:
    head = pack(">IHBB", 6 << 28 | tclass << 20 | flow, len(payload), next_header, hop_limit)
    return head + ip_address(src).packed + ip_address(dst).packed + payload


def ip(version: int, payload: bytes, protocol: int, **fields: object) -> bytes:
    """A plain packet of either version."""
    if version == 4:
        return ipv4(payload, protocol=protocol, **fields)
    return ipv6(payload, next_header=protocol, **fields)


def icmp(
    version: int,
    kind: int,
    code: int,
    rest: int,
    body: bytes,
    *,
    src: str | None = None,
    dst: str | None = None,
    **fields: object,
) -> bytes:
    """A whole IP packet with an ICMP message and its right checksum."""
    src, dst = src or PEER[version], dst or OURS[version]
    message = pack(">BBHI", kind, code, 0, rest) + body
    pseudo = b""
    if version == 6:
        pseudo = ip_address(src).packed + ip_address(dst).packed + pack(">II", len(message), 58)
    filled = message[:2] + checksum(pseudo + message).to_bytes(2, "big") + message[4:]
    return ip(version, filled, ICMP[version], src=src, dst=dst, **fields)


def echo(
    version: int, body: bytes, *, identifier: int = 7, sequence: int = 1, **fields: object
) -> bytes:
    return icmp(version, ECHO[version], 0, identifier << 16 | sequence, body, **fields)


def udp(version: int, sport: int, dport: int, body: bytes, **fields: object) -> bytes:
    """A UDP datagram with its right checksum."""
    src = str(fields.setdefault("src", PEER[version]))
    dst = str(fields.setdefault("dst", OURS[version]))
    length = 8 + len(body)
    pseudo = ip_address(src).packed + ip_address(dst).packed + pack(">II", length, 17)
    datagram = pack(">HHHH", sport, dport, length, 0) + body
    total = checksum(pseudo + datagram) or 0xFFFF
    return ip(version, datagram[:6] + total.to_bytes(2, "big") + datagram[8:], 17, **fields)


def fragments(data: bytes, cuts: Sequence[int], identification: int = 0x1234) -> list[bytes]:
    """A packet without extension headers, cut at these payload offsets (multiples of 8)."""
    version = data[0] >> 4
    payload = data[HEADER[version] :]
    edges = [0, *cuts, len(payload)]
    return [
        piece(data, payload[start:end], start, more=end < len(payload), ident=identification)
        for start, end in pairwise(edges)
    ]


def piece(data: bytes, text: bytes, start: int, *, more: bool, ident: int = 0x1234) -> bytes:
    """One fragment of `data`, with any text at any offset."""
    if data[0] >> 4 == 4:
        head = data[:2] + pack(">HHH", 20 + len(text), ident, more << 13 | start // 8)
        head += data[8:10] + b"\0\0" + data[12:20]
        return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + text
    head = data[:4] + pack(">HB", 8 + len(text), 44) + data[7:40]
    return head + pack(">BBHI", data[6], 0, start | more, ident) + text


def transport_checksum_ok(data: bytes) -> bool:
    """Whether an IP packet without extension headers has a right ICMP checksum."""
    if data[0] >> 4 == 4:
        return checksum(data[(data[0] & 15) * 4 :]) == 0
    return checksum(data[8:40] + pack(">II", len(data) - 40, data[6]) + data[40:]) == 0


def ipv4_header_ok(data: bytes) -> bool:
    """Whether length and header checksum fit the bytes."""
    length = (data[0] & 15) * 4
    return checksum(data[:length]) == 0 and int.from_bytes(data[2:4], "big") == len(data)
