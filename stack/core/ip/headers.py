"""Protocol numbers, and IP headers as bytes: the way through them, and corrected copies."""

from enum import IntEnum

from stack.wire import checksum

IPV6_HEADER = 40
FRAGMENT_HEADER = 8
MAX_PACKET = 65_535


class Protocol(IntEnum):
    """Protocol numbers that IANA assigned, by their keywords."""

    HOPOPT = 0
    ICMP = 1
    TCP = 6
    UDP = 17
    IPV6_ROUTE = 43
    IPV6_FRAG = 44
    ESP = 50
    AH = 51
    IPV6_ICMP = 58
    IPV6_NO_NEXT = 59
    IPV6_OPTS = 60
    MOBILITY = 135
    HIP = 139
    SHIM6 = 140


# Extension headers with the uniform format: next header, length in units of 8 bytes
# beyond the first 8 (RFC 6564 §4).
_UNIFORM = frozenset(
    {
        Protocol.HOPOPT,
        Protocol.IPV6_ROUTE,
        Protocol.IPV6_OPTS,
        Protocol.MOBILITY,
        Protocol.HIP,
        Protocol.SHIM6,
    }
)

# The least an upper-layer header may measure, in bytes.
_UPPER_HEADER: dict[int, int] = {
    Protocol.TCP: 20,
    Protocol.UDP: 8,
    Protocol.ICMP: 8,
    Protocol.IPV6_ICMP: 8,
}


def upper_layer(data: bytes, next_header: int, offset: int) -> tuple[int, int] | None:
    """Protocol and offset of the upper-layer header behind IPv6 extension headers.

    `next_header` names the header at `offset` bytes. None when the chain runs past the
    data, or leads into a fragment that is not the first (RFC 8200 §4.1).
    """
    while True:
        size = _extension_length(data, next_header, offset)
        if size == 0:
            return next_header, offset
        if size < 0 or offset + size > len(data):
            return None
        if next_header == Protocol.IPV6_FRAG and _fragment_offset(data, offset):
            return None
        next_header = data[offset]
        offset += size


def has_whole_chain(data: bytes, next_header: int, offset: int) -> bool:
    """Whether all headers up to and with the upper-layer one are there (RFC 7112 §5)."""
    upper = upper_layer(data, next_header, offset)
    if upper is None:
        return False
    protocol, start = upper
    return start + _UPPER_HEADER.get(protocol, 0) <= len(data)


def unfragmentable_part(data: bytes) -> tuple[int, int]:
    """Length of an IPv6 packet's per-fragment headers and where they name the next header.

    Those are the IPv6 header, hop-by-hop options, and what leads up to a routing header
    (RFC 8200 §4.5).
    """
    length, field = IPV6_HEADER, 6
    next_header, offset, pointer = data[6], IPV6_HEADER, 6
    while next_header in (Protocol.HOPOPT, Protocol.IPV6_ROUTE, Protocol.IPV6_OPTS):
        size = _extension_length(data, next_header, offset)
        if size < 0 or offset + size > len(data):
            break
        covers = next_header != Protocol.IPV6_OPTS
        next_header, pointer, offset = data[offset], offset, offset + size
        if covers:
            length, field = offset, pointer
    return length, field


def next_header_field(data: bytes, end: int) -> int:
    """Offset of the field that names the header at `end`, in a packet's IPv6 headers."""
    field, offset, next_header = 6, IPV6_HEADER, data[6]
    while offset < end:
        size = _extension_length(data, next_header, offset)
        if size <= 0:
            break
        next_header, field, offset = data[offset], offset, offset + size
    return field


def ipv4_header(head: bytes, length: int, identification: int, place: int) -> bytes:
    """A header made over for `length` bytes of payload, with its checksum.

    `place` is the 16-bit field of flags and fragment offset.
    """
    fresh = bytearray(head)
    fresh[2:4] = (len(head) + length).to_bytes(2, "big")
    fresh[4:6] = identification.to_bytes(2, "big")
    fresh[6:8] = place.to_bytes(2, "big")
    fresh[10:12] = b"\0\0"
    fresh[10:12] = checksum.field(checksum.add(fresh)).to_bytes(2, "big")
    return bytes(fresh)


def _extension_length(data: bytes, next_header: int, offset: int) -> int:
    """Bytes of the extension header at `offset`: 0 when it is none, -1 when cut short."""
    if next_header in _UNIFORM:
        return (data[offset + 1] + 1) * 8 if offset + 2 <= len(data) else -1
    if next_header == Protocol.IPV6_FRAG:
        return FRAGMENT_HEADER if offset + FRAGMENT_HEADER <= len(data) else -1
    if next_header == Protocol.AH:
        return (data[offset + 1] + 2) * 4 if offset + 2 <= len(data) else -1
    return 0


def _fragment_offset(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset + 2 : offset + 4], "big") & 0xFFF8
