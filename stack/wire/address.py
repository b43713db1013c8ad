"""Addresses as 16 bytes, the form that packets, paths and flow keys share.

IPv4 is stored mapped, ::ffff:a.b.c.d (RFC 4291 §2.5.5.2).
"""

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from stack._native import ffi

if TYPE_CHECKING:
    from stack._native import Bytes, Path

Address = IPv4Address | IPv6Address

MAPPED_PREFIX = b"\0" * 10 + b"\xff\xff"


def pack(address: Address) -> bytes:
    """The address as 16 bytes."""
    if address.version == 4:
        return MAPPED_PREFIX + address.packed
    return address.packed


def unpack(packed: bytes, version: int) -> Address:
    """The address that 16 bytes mean in a packet of this IP version."""
    return IPv4Address(packed[12:]) if version == 4 else IPv6Address(packed)


def text(packed: bytes, version: int) -> str:
    """The 16 bytes as people write the address (RFC 5952 for IPv6)."""
    if version == 4:
        return "%d.%d.%d.%d" % tuple(packed[12:])  # noqa: UP031 - ten times as fast as ipaddress
    return str(IPv6Address(packed))


def raw(field: "Bytes") -> bytes:
    """The 16 bytes of a native address field, such as `packet.src`."""
    return ffi.buffer(field)[:]


def fill_path(
    path: "Path",
    version: int,
    src: bytes,
    dst: bytes,
    sport: int,
    dport: int,
    ttl: int = 64,
    traffic_class: int = 0,
) -> None:
    """Fills a native path with 16-byte addresses and ports.

    IPv4 packets will say "don't fragment", so that the path's MTU can be found
    (RFC 1191 §2); the flow label is left as it is.
    """
    path.version = version
    path.ttl = ttl
    path.traffic_class = traffic_class
    path.dont_fragment = 1
    path.src = src
    path.dst = dst
    path.sport = sport
    path.dport = dport
