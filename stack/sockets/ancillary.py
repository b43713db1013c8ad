"""What comes and goes beside a datagram: the ancillary data of recvmsg and sendmsg.

RFC 1122 §4.1.3.5 has an application learn which address a datagram was for, and §4.1.4 lets
it choose TTL and type of service; RFC 3542 §6 gives IPv6 the same.
"""

import errno
import ipaddress
import operator
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from stack.core.udp.datagram import Datagram, SendError
from stack.core.udp.settings import IpSettings
from stack.sockets import udp_options
from stack.sockets.arguments import c_int, readable_view
from stack.sockets.names import error_of
from stack.sockets.udp_options import IP_PKTINFO, IP_RECVERR, IPV6_RECVERR, UdpOptions

Item = tuple[int, int, bytes]
GivenItem = tuple[int, int, bytes | bytearray | memoryview]

_LARGEST = (1 << 31) - 1  # bytes, as C counts them
_INTERFACE = 1  # the index of a host's only interface
_INT = struct.Struct("i")
_PKTINFO = struct.Struct("i4s4s")
_PKTINFO6 = struct.Struct("16sI")
_EXTENDED_ERROR = struct.Struct("IBBBxII")  # errno, origin, type, code, info, data
_SOCKADDR = struct.Struct("=H2s4s8x")
_SOCKADDR6 = struct.Struct("=H6s16sI")
_IP = socket.IPPROTO_IP
_IPV6 = socket.IPPROTO_IPV6


def of_datagram(datagram: Datagram, wanted: UdpOptions) -> list[Item]:
    """What an application asked to hear about a datagram that arrived."""
    items: list[Item] = []
    if wanted.receive_destination6 and wanted.version == 6:
        where = _PKTINFO6.pack(datagram.destination, _INTERFACE)
        items.append((_IPV6, socket.IPV6_PKTINFO, where))
    if datagram.version == 6:
        return items + _of_ipv6(datagram, wanted)
    if wanted.receive_destination:
        to = datagram.destination[12:]
        items.append((_IP, IP_PKTINFO, _PKTINFO.pack(_INTERFACE, to, to)))
    if wanted.receive_ttl:
        items.append((_IP, socket.IP_TTL, _INT.pack(datagram.ttl)))
    if wanted.receive_traffic_class:
        items.append((_IP, socket.IP_TOS, bytes((datagram.traffic_class,))))
    if wanted.receive_options and datagram.options:
        items.append((_IP, socket.IP_RECVOPTS, datagram.options))
    return items


def _of_ipv6(datagram: Datagram, wanted: UdpOptions) -> list[Item]:
    items: list[Item] = []
    if wanted.receive_hop_limit:
        items.append((_IPV6, socket.IPV6_HOPLIMIT, _INT.pack(datagram.ttl)))
    if wanted.receive_traffic_class6:
        items.append((_IPV6, socket.IPV6_TCLASS, _INT.pack(datagram.traffic_class)))
    return items


def of_error(error: SendError, version: int) -> list[Item]:
    """An error as MSG_ERRQUEUE gives it: struct sock_extended_err, then who said so."""
    said = _EXTENDED_ERROR.pack(
        error.number, error.origin, error.type, error.code, error.info, 0
    ) + _sockaddr(error.offender, version)
    return [(_IP, IP_RECVERR, said) if version == 4 else (_IPV6, IPV6_RECVERR, said)]


def _sockaddr(packed: bytes | None, version: int) -> bytes:
    """The address without a port; zeros for this host itself."""
    if version == 4:
        return (
            _SOCKADDR.pack(socket.AF_INET, b"\0\0", packed[12:])
            if packed
            else bytes(_SOCKADDR.size)
        )
    return _SOCKADDR6.pack(socket.AF_INET6, bytes(6), packed, 0) if packed else bytes(28)


def within(items: Iterable[Item], room: int) -> tuple[list[Item], int]:
    """As many items as `room` bytes hold, the last one perhaps cut, and MSG_CTRUNC if so."""
    held: list[Item] = []
    for level, kind, data in items:
        fitting = min(len(data), room - socket.CMSG_LEN(0))
        if fitting < 0:
            return held, socket.MSG_CTRUNC
        held.append((level, kind, data[:fitting]))
        if fitting < len(data):
            return held, socket.MSG_CTRUNC
        room -= socket.CMSG_SPACE(len(data))
    return held, 0


def check_room(size: int, ancillary_size: int, call: str) -> None:
    """Raises ValueError in the standard library's words for a size below 0."""
    if size < 0:
        raise ValueError(f"negative buffer size in {call}()")
    if not 0 <= operator.index(ancillary_size) <= _LARGEST:
        raise ValueError("invalid ancillary data buffer length")


def checked(items: Iterable[GivenItem]) -> list[Item]:
    """What was given to sendmsg. Raises TypeError, OverflowError."""
    return [_checked(item) for item in items]


def _checked(item: Any) -> Item:
    if not isinstance(item, Sequence) or len(item) != 3:
        wrong = f", not {len(item)}" if isinstance(item, Sequence) else ""
        raise TypeError(
            f"[sendmsg() ancillary data items]() argument must be sequence of length 3{wrong}"
        )
    level, kind, data = item
    return c_int(level), c_int(kind), bytes(readable_view(data))


def spread(data: bytes, views: Iterable[memoryview]) -> int:
    """Puts the data into the views, one after the other; returns its length."""
    rest = memoryview(data)
    for view in views:
        part = rest[: len(view)]
        view[: len(part)] = part
        rest = rest[len(part) :]
    return len(data)


class Given(NamedTuple):
    """What an application gave for one datagram; None where it gave nothing."""

    source: str | None = None
    ttl: int | None = None
    traffic_class: int | None = None

    def over(self, settings: IpSettings) -> IpSettings:
        """The settings with what was given in their place."""
        return replace(
            settings,
            ttl=settings.ttl if self.ttl is None else self.ttl,
            multicast_ttl=settings.multicast_ttl if self.ttl is None else self.ttl,
            traffic_class=(
                settings.traffic_class if self.traffic_class is None else self.traffic_class
            ),
        )


def given(items: Iterable[GivenItem]) -> Given:
    """Reads what was given to sendmsg. Raises OSError EINVAL for what has no meaning here."""
    found = Given()
    for level, kind, data in checked(items):
        found = _take(found, level, kind, data)
    return found


def _take(found: Given, level: int, kind: int, data: bytes) -> Given:
    match level, kind:
        case (socket.IPPROTO_IP, udp_options.IP_PKTINFO) if len(data) >= _PKTINFO.size:
            _, source, _ = _PKTINFO.unpack_from(data)
            return found._replace(source=_source(ipaddress.IPv4Address(source)))
        case (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) if len(data) >= _PKTINFO6.size:
            source, _ = _PKTINFO6.unpack_from(data)
            address = ipaddress.IPv6Address(source)
            return found._replace(source=_source(address.ipv4_mapped or address))
        case (socket.IPPROTO_IP, socket.IP_TTL):
            return found._replace(ttl=_number(data, 1))
        case (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT):
            return found._replace(ttl=_or_default(_number(data, -1)))
        case (socket.IPPROTO_IP, socket.IP_TOS) if len(data) == 1:
            return found._replace(traffic_class=data[0])
        case (socket.IPPROTO_IP, socket.IP_TOS):
            return found._replace(traffic_class=_number(data, 0))
        case (socket.IPPROTO_IPV6, socket.IPV6_TCLASS):
            return found._replace(traffic_class=_or_default(_number(data, -1)))
    raise error_of(errno.EINVAL)


def _source(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    return None if address.is_unspecified else str(address)


def _number(data: bytes, lowest: int) -> int:
    if len(data) != _INT.size:
        raise error_of(errno.EINVAL)
    value = int(_INT.unpack(data)[0])
    if not lowest <= value <= 255:
        raise error_of(errno.EINVAL)
    return value


def _or_default(value: int) -> int | None:
    """-1 stands for what the socket has anyway (RFC 3542 §6.3, §6.5)."""
    return None if value == -1 else value
