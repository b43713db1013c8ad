"""Options of a UDP socket, under the numbers that Linux has; they live in its endpoint."""

import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass

from stack.core.ip.options import checked_options
from stack.core.udp.endpoint import UdpEndpoint
from stack.core.udp.settings import Discovery
from stack.sockets.names import error_of, family_of
from stack.sockets.options import Option, Options, number, switch, within_bounds

# Numbers of Linux that the socket module does not name.
IP_PKTINFO = 8
IP_MTU_DISCOVER = 10
IP_RECVERR = 11
IP_RECVTTL = 12
IP_MTU = 14
IPV6_MTU_DISCOVER = 23
IPV6_MTU = 24
IPV6_RECVERR = 25

_ANY_SIZE = 0  # IPv4's options may be given as a single byte, or as nothing for 0


@dataclass(slots=True)
class UdpOptions(Options):
    """The options of one socket. `receive_…` say what `recvmsg` adds to a datagram."""

    endpoint: UdpEndpoint
    version: int
    receive_destination: bool = False
    receive_ttl: bool = False
    receive_traffic_class: bool = False
    receive_options: bool = False
    receive_destination6: bool = False
    receive_hop_limit: bool = False
    receive_traffic_class6: bool = False

    def get(self, level: int, name: int, size: int = 0) -> int | bytes:
        levels = (socket.SOL_SOCKET, socket.IPPROTO_IP, socket.IPPROTO_UDP)
        if level not in levels and not (level == socket.IPPROTO_IPV6 and self.version == 6):
            raise error_of(errno.EOPNOTSUPP if self.version == 4 else errno.ENOPROTOOPT)
        return Options.get(self, level, name, size)

    def set(self, level: int, name: int, value: int | bytes) -> None:
        if level == socket.IPPROTO_IPV6 and self.version == 4:
            raise error_of(errno.ENOPROTOOPT)
        Options.set(self, level, name, value)


def _of_endpoint(name: str) -> Option:
    """A switch that is kept under `name` in the endpoint."""
    return Option(
        lambda options: int(getattr(options.endpoint, name)),
        lambda options, value: setattr(options.endpoint, name, bool(number(value))),
    )


def _buffer(name: str) -> Option:
    return Option(
        lambda options: int(getattr(options.endpoint, name)),
        lambda options, value: setattr(options.endpoint, name, within_bounds(number(value))),
    )


def _small(value: bytes) -> int:
    """The number in an option of IPv4: a byte, or an int."""
    return number(value) if len(value) >= 4 else int.from_bytes(value[:1], "big")


def _ip(version: int, name: str, read: Callable[[bytes, UdpOptions], int]) -> Option:
    """A number among the settings of one IP version; `read` checks what was given."""

    def get(options: UdpOptions) -> int:
        return int(getattr(options.endpoint.settings(version), name))

    def put(options: UdpOptions, value: bytes) -> None:
        setattr(options.endpoint.settings(version), name, read(value, options))

    return Option(get, put, _ANY_SIZE) if version == 4 else Option(get, put)


def _hops(lowest: int, default: int | None) -> Callable[[bytes, UdpOptions], int]:
    """A hop count from `lowest` to 255; -1 stands for the default, None for the host's."""

    def read(value: bytes, options: UdpOptions) -> int:
        hops = _small(value)
        if hops == -1:
            return options.endpoint.host.config.ttl if default is None else default
        return _within(hops, lowest, 255)

    return read


def _within(value: int, lowest: int, highest: int) -> int:
    if not lowest <= value <= highest:
        raise error_of(errno.EINVAL)
    return value


def _read_traffic_class(value: bytes, _: UdpOptions) -> int:
    return max(_within(_small(value), -1, 255), 0)


def _read_discovery(value: bytes, _: UdpOptions) -> Discovery:
    return Discovery(_within(_small(value), min(Discovery), max(Discovery)))


def _read_switch(value: bytes, _: UdpOptions) -> bool:
    return bool(_small(value))


def _set_options(options: UdpOptions, value: bytes) -> None:
    try:
        options.endpoint.ipv4.options = checked_options(value)
    except ValueError:
        raise error_of(errno.EINVAL) from None


def _path_mtu(options: UdpOptions) -> int:
    """What is known of the path to the peer, in bytes. Raises OSError ENOTCONN."""
    endpoint = options.endpoint
    if endpoint.peer is None:
        raise error_of(errno.ENOTCONN)
    return endpoint.host.path_mtu.mtu_to(endpoint.peer.destination)


def _set_only_ipv6(options: UdpOptions, value: bytes) -> None:
    endpoint = options.endpoint
    if endpoint.port:
        raise error_of(errno.EINVAL)
    endpoint.version = 6 if number(value) else 0


_SOCKET = socket.SOL_SOCKET
_IP = socket.IPPROTO_IP
_IPV6 = socket.IPPROTO_IPV6

UdpOptions.table = {
    (_SOCKET, socket.SO_TYPE): Option(lambda _: socket.SOCK_DGRAM),
    (_SOCKET, socket.SO_DOMAIN): Option(lambda options: family_of(options.version)),
    (_SOCKET, socket.SO_PROTOCOL): Option(lambda _: socket.IPPROTO_UDP),
    (_SOCKET, socket.SO_ACCEPTCONN): Option(lambda _: 0),
    (_SOCKET, socket.SO_ERROR): Option(lambda options: options.endpoint.take_error()),
    (_SOCKET, socket.SO_REUSEADDR): _of_endpoint("reuse_address"),
    (_SOCKET, socket.SO_REUSEPORT): _of_endpoint("reuse_port"),
    (_SOCKET, socket.SO_BROADCAST): _of_endpoint("broadcast"),
    (_SOCKET, socket.SO_SNDBUF): _buffer("send_buffer"),
    (_SOCKET, socket.SO_RCVBUF): _buffer("receive_buffer"),
    (_IP, socket.IP_TTL): _ip(4, "ttl", _hops(1, None)),
    (_IP, socket.IP_MULTICAST_TTL): _ip(4, "multicast_ttl", _hops(0, 1))._replace(size=1),
    (_IP, socket.IP_TOS): _ip(4, "traffic_class", lambda value, _: _small(value) & 0xFF),
    (_IP, IP_MTU_DISCOVER): _ip(4, "discovery", _read_discovery),
    (_IP, IP_RECVERR): _ip(4, "report_errors", _read_switch),
    (_IP, IP_MTU): Option(_path_mtu),
    (_IP, socket.IP_OPTIONS): Option(
        lambda options: options.endpoint.ipv4.options, _set_options, _ANY_SIZE
    ),
    (_IP, socket.IP_RECVOPTS): switch("receive_options"),
    (_IP, IP_PKTINFO): switch("receive_destination"),
    (_IP, IP_RECVTTL): switch("receive_ttl"),
    (_IP, socket.IP_RECVTOS): switch("receive_traffic_class"),
    (_IPV6, socket.IPV6_V6ONLY): Option(
        lambda options: int(options.endpoint.version == 6), _set_only_ipv6
    ),
    (_IPV6, socket.IPV6_UNICAST_HOPS): _ip(6, "ttl", _hops(0, None)),
    (_IPV6, socket.IPV6_MULTICAST_HOPS): _ip(6, "multicast_ttl", _hops(0, 1)),
    (_IPV6, socket.IPV6_TCLASS): _ip(6, "traffic_class", _read_traffic_class),
    (_IPV6, IPV6_MTU_DISCOVER): _ip(6, "discovery", _read_discovery),
    (_IPV6, IPV6_RECVERR): _ip(6, "report_errors", _read_switch),
    (_IPV6, IPV6_MTU): Option(_path_mtu),
    (_IPV6, socket.IPV6_RECVPKTINFO): switch("receive_destination6"),
    (_IPV6, socket.IPV6_RECVHOPLIMIT): switch("receive_hop_limit"),
    (_IPV6, socket.IPV6_RECVTCLASS): switch("receive_traffic_class6"),
}
