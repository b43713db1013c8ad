"""Datagrams on their way out: the packet, and what is done when it does not fit the path."""

import errno
from struct import Struct
from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.core.ip.headers import IPV6_HEADER, MAX_PACKET, Protocol
from stack.core.ip.options import place
from stack.core.system_error import system_error
from stack.core.udp.settings import Discovery
from stack.wire.address import fill_path
from stack.wire.batch import PACKET_MAX

if TYPE_CHECKING:
    from stack._native import Bytes, Path
    from stack.core.host import Host
    from stack.core.udp.datagram import Route
    from stack.core.udp.endpoint import Buffer, UdpEndpoint
    from stack.core.udp.settings import IpSettings

_HEADER = Struct("!HHHH")
_CHECKSUM_AT = 6
_IP_HEADER = {4: 20, 6: IPV6_HEADER}
# An IPv4 packet counts its header into its 16 bits of length, an IPv6 one does not.
_LONGEST = {4: MAX_PACKET - 20 - _HEADER.size, 6: MAX_PACKET - _HEADER.size}


class Builder:
    """The memory in which packets are made."""

    def __init__(self) -> None:
        self._packet: Bytes = ffi.new("uint8_t[]", PACKET_MAX)
        self.path: Path = ffi.new("struct path *")

    def packet(self, identification: int, payload: bytes) -> bytes:
        """The IP packet along `path`, with its checksum: never 0, which RFC 768 keeps for
        "none" and RFC 8200 §8.1 forbids.
        """
        length = lib.packet_build(
            self._packet,
            PACKET_MAX,
            self.path,
            Protocol.UDP,
            identification & 0xFFFF,
            payload,
            len(payload),
            _CHECKSUM_AT,
        )
        return ffi.buffer(self._packet, length)[:]


def send(endpoint: "UdpEndpoint", data: "Buffer", route: "Route", settings: "IpSettings") -> int:
    """Queues a datagram; returns the bytes of its packets. Raises OSError EMSGSIZE."""
    host = endpoint.host
    version, source, destination, port = route
    options = settings.options if version == 4 else b""
    if len(data) + len(options) > _LONGEST[version]:
        raise system_error(errno.EMSGSIZE)
    discovery = settings.discovery
    mtu = host.path_mtu.mtu_to(destination) if discovery.trusts_routers else host.mtu
    fits = _IP_HEADER[version] + len(options) + _HEADER.size + len(data) <= mtu
    if not fits and not discovery.cuts:
        raise endpoint.too_long(data, route, mtu)
    group = host.local.is_multicast(destination)
    ttl = settings.multicast_ttl if group else settings.ttl
    path = host.udp.builder.path
    fill_path(path, version, source, destination, 0, 0, ttl, settings.traffic_class)
    whole = discovery.forbids or (
        discovery is Discovery.WANT and fits and not host.path_mtu.may_fragment(destination)
    )
    path.dont_fragment = whole
    path.options_length = path.routed = 0
    if options:
        place(path, options, host.now)
    identification = host.identify() if whole else _identification(host, route)
    header = _HEADER.pack(endpoint.port, port, _HEADER.size + len(data), 0)
    packet = host.udp.builder.packet(identification, b"".join((header, data)))
    host.counters.count("UdpOutDatagrams")
    pieces = host.in_pieces(packet, mtu, identification)
    host.udp.queue(endpoint, pieces)
    return sum(len(piece) for piece, _ in pieces)


def _identification(host: "Host", route: "Route") -> int:
    """What the fragments have in common, whoever makes them (RFC 6864 §4.3, RFC 7739)."""
    return host.identification.next(route.source, route.destination, Protocol.UDP)
