"""Fragmentation: of packets that a host sends, and of IPv4 packets on their way
(RFC 791 §3.2, RFC 8200 §4.5).
"""

from stack.core.ip.headers import (
    FRAGMENT_HEADER,
    Protocol,
    has_whole_chain,
    ipv4_header,
    unfragmentable_part,
)

_DONT_FRAGMENT = 0x4000
_MORE_FRAGMENTS = 0x2000


def fragment(data: bytes, mtu: int, identification: int) -> list[bytes]:
    """Cuts an IP packet into fragments of at most `mtu` bytes; one that fits stays as it is.

    `identification` is theirs in common: 16 bits of it for IPv4, 32 for IPv6. Raises
    ValueError when the packet may not be cut (DF, or a fragment already) or when the MTU
    leaves no room for its headers and 8 bytes.
    """
    if len(data) <= mtu:
        return [data]
    if data[0] >> 4 == 4:
        return _fragment_ipv4(data, mtu, identification & 0xFFFF)
    return _fragment_ipv6(data, mtu, identification & 0xFFFFFFFF)


def _fragment_ipv4(data: bytes, mtu: int, identification: int) -> list[bytes]:
    if int.from_bytes(data[6:8], "big") & ~_DONT_FRAGMENT:
        raise ValueError("the packet is a fragment")
    return _cut_ipv4(data, mtu, identification)


def refragment(data: bytes, mtu: int) -> list[bytes]:
    """Cuts an IPv4 packet on its way, which may be a fragment already (RFC 791 §3.2).

    Raises ValueError when DF is set, or when the MTU leaves no room for its header and 8 bytes.
    """
    return _cut_ipv4(data, mtu, int.from_bytes(data[4:6], "big"))


def _cut_ipv4(data: bytes, mtu: int, identification: int) -> list[bytes]:
    field = int.from_bytes(data[6:8], "big")
    if field & _DONT_FRAGMENT:
        raise ValueError("the packet must not be fragmented: DF is set")
    more, offset = field & _MORE_FRAGMENTS, field & 0x1FFF
    length = (data[0] & 0x0F) * 4
    first, later = data[:length], _copied_header(data[:length])
    fragments: list[bytes] = []
    start, end = length, 0
    while end < len(data):
        head = later if fragments else first
        end = _cut(start, len(data), mtu - len(head))
        flag = _MORE_FRAGMENTS if end < len(data) else more
        place = offset + (start - length) // 8 | flag
        fragments.append(ipv4_header(head, end - start, identification, place) + data[start:end])
        start = end
    return fragments


def _cut(start: int, end: int, room: int) -> int:
    """Where the next piece ends: all that is left, or as many times 8 bytes as there is room."""
    if end - start <= room:
        return end
    if room < 8:
        raise ValueError("the MTU leaves no room for 8 bytes of a fragment")
    return start + room // 8 * 8


def _copied_header(head: bytes) -> bytes:
    """The header of later fragments: only options with the copied flag (RFC 791 §3.1)."""
    options = b""
    at = 20
    while at < len(head) and head[at] != 0:
        size = 1 if head[at] == 1 else max(head[at + 1] if at + 1 < len(head) else 1, 1)
        if head[at] & 0x80:
            options += head[at : at + size]
        at += size
    options += bytes(-len(options) % 4)
    first = 0x40 | (20 + len(options)) // 4
    return bytes((first,)) + head[1:20] + options


def _fragment_ipv6(data: bytes, mtu: int, identification: int) -> list[bytes]:
    length, field = unfragmentable_part(data)
    protocol = data[field]
    if protocol == Protocol.IPV6_FRAG:
        raise ValueError("the packet is a fragment")
    head = bytearray(data[:length])
    head[field] = Protocol.IPV6_FRAG
    room = mtu - length - FRAGMENT_HEADER
    fragments: list[bytes] = []
    start, end = length, 0
    while end < len(data):
        end = _cut(start, len(data), room)
        place = start - length | (end < len(data))
        head[4:6] = (length - 40 + FRAGMENT_HEADER + end - start).to_bytes(2, "big")
        fragments.append(
            bytes(head)
            + bytes((protocol, 0))
            + place.to_bytes(2, "big")
            + identification.to_bytes(4, "big")
            + data[start:end]
        )
        start = end
    if not has_whole_chain(fragments[0], protocol, length + FRAGMENT_HEADER):
        raise ValueError("the MTU leaves no room for all headers in the first fragment")
    return fragments
