"""The ECN field of IP packets as bytes (RFC 3168 §5, RFC 8200 §7)."""

from enum import IntEnum


class Codepoint(IntEnum):
    """What the two bits say."""

    NOT_ECT = 0
    ECT_1 = 1
    ECT_0 = 2
    CE = 3


def codepoint(data: bytes) -> Codepoint:
    """The ECN field of an IPv4 or IPv6 packet."""
    return Codepoint(data[1] & 3 if data[0] >> 4 == 4 else data[1] >> 4 & 3)


def marked(data: bytes) -> bytes | None:
    """The packet with "congestion experienced" set; None when its transport is not
    ECN-capable, so that only dropping it tells (RFC 3168 §5).
    """
    if codepoint(data) is Codepoint.NOT_ECT:
        return None
    if data[0] >> 4 == 6:
        return data[:1] + bytes((data[1] | 0x30,)) + data[2:]
    old, new = data[1], data[1] | 3
    # RFC 1624 §3, equation 3: the checksum follows the one word that changes.
    total = (~int.from_bytes(data[10:12], "big") & 0xFFFF) + (~old & 0xFFFF) + new
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    check = (~total & 0xFFFF).to_bytes(2, "big")
    return data[:1] + bytes((new,)) + data[2:10] + check + data[12:]
