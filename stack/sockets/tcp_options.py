"""Options of a TCP socket, under the numbers that Linux has.

What is set before there is a connection is kept, and given to it when it begins; a
connection that a listener opens has what was set there, from its first segment on.
"""

import errno
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from stack.core.ip.options import checked_options
from stack.core.tcp.config import TcpConfig
from stack.core.tcp.congestion import ALGORITHMS
from stack.core.tcp.connection import Connection
from stack.core.tcp.listener import Listener
from stack.core.tcp.states import State
from stack.sockets import tcp_info
from stack.sockets.names import error_of, family_of
from stack.sockets.options import Option, Options, number, switch, within_bounds

# Numbers of Linux that the socket module does not name.
SO_MAX_PACING_RATE = 47
IP_MTU = 14
IPV6_MTU = 24
IP_PKTOPTIONS = 9
IPV6_2292PKTOPTIONS = 6

_LINGER = struct.Struct("ii")
_CMSG = struct.Struct("@Niii")
_NAME_LENGTH = 16  # bytes of a congestion control algorithm's name
_MSS_RANGE = range(88, 32768)
_TIMES = range(1, 32768)  # seconds
_PROBES = range(1, 128)
_AFTER_THE_HANDSHAKE = {"nodelay", "urgent_inline"}  # what is set so concerns data alone
_MS = 1_000  # µs
_SECOND = 1_000_000


@dataclass(slots=True)
class Settings(Options):
    """What is set on a socket, with or without a connection behind it.

    `linger` is in seconds, None when close returns at once and the rest is sent behind the
    application's back. `given` holds what is for the connection, by the names of LIVE, and
    `changed` says whether that became another while connections could begin.
    """

    version: int = 4
    defaults: TcpConfig = field(default_factory=TcpConfig)
    listening: bool = False
    reuse_address: bool = False
    reuse_port: bool = False
    only_ipv6: bool = False
    linger: int | None = None
    fast_open: int = 0
    given: dict[str, Any] = field(default_factory=lambda: {"urgent_inline": False})
    changed: bool = False
    listener: Listener | None = None
    connection: Connection | None = None
    take_error: Callable[[], int] = field(default=lambda: 0)

    def get(self, level: int, name: int, size: int = 0) -> int | bytes:
        if level == socket.IPPROTO_IPV6 and self.version == 4:
            raise error_of(errno.EOPNOTSUPP)
        return Options.get(self, level, name, size)

    def set(self, level: int, name: int, value: int | bytes) -> None:
        if level == socket.IPPROTO_IPV6 and self.version == 4:
            raise error_of(errno.ENOPROTOOPT)
        Options.set(self, level, name, value)

    def inherited(self, connection: Connection) -> Self:
        """The settings of a socket that this listening one accepts, for its connection, which
        has had those of `given` that there were when it began.
        """
        settings = type(self)(
            version=self.version,
            defaults=self.defaults,
            reuse_address=self.reuse_address,
            reuse_port=self.reuse_port,
            only_ipv6=self.only_ipv6,
            linger=self.linger,
            fast_open=self.fast_open,
            given=self.given.copy(),
            connection=connection,
        )
        if self.changed:
            settings.apply(connection)
        return settings

    @property
    def shape_syn_ack(self) -> bool:
        """Whether a SYN-ACK may look different for what is set."""
        return not self.given.keys() <= _AFTER_THE_HANDSHAKE

    def govern(self, listener: Listener) -> None:
        """What is set holds for the connections that `listener` opens, from their first segment
        on.
        """
        self.listener = listener
        listener.configure = self.apply
        listener.shapes_syn_ack = self.shape_syn_ack

    def attach(self, connection: Connection) -> None:
        """Takes a connection on and gives it what was set before it existed."""
        self.connection = connection
        self.apply(connection)

    def apply(self, connection: Connection) -> None:
        """Gives a connection what is set."""
        for name, value in self.given.items():
            LIVE[name].apply(name, connection, value)


class _Live(NamedTuple):
    """A setting of a connection: how its value is read and taken from there, what it is
    before anyone has set it, how what was set is told, and what one of it is to the
    connection, which has all times in µs.
    """

    read: Callable[[bytes], Any]
    current: Callable[[Connection], int | bytes]
    unset: Callable[[Settings], int | bytes]
    shown: Callable[[Any], int | bytes] = int
    unit: int = 1

    def apply(self, name: str, connection: Connection, value: Any) -> None:
        """Gives the value to a connection, under the name that it has there, too."""
        connection.set(name, value if self.unit == 1 else value * self.unit)


def _live(name: str, size: int = 4) -> Option:
    """The option of a setting in LIVE."""
    live = LIVE[name]

    def get(settings: Settings) -> int | bytes:
        if settings.connection is not None:
            return live.current(settings.connection)
        given = settings.given.get(name)
        return live.unset(settings) if given is None else live.shown(given)

    def put(settings: Settings, value: bytes) -> None:
        settings.given[name] = live.read(value)
        if settings.listener is not None:
            settings.listener.shapes_syn_ack = settings.shape_syn_ack
        settings.changed = settings.changed or settings.listening
        if settings.connection is not None:
            live.apply(name, settings.connection, settings.given[name])

    return Option(get, put, size)


# ---- reading ------------------------------------------------------------------------------


def _on(value: bytes) -> bool:
    return bool(number(value))


def _within(allowed: range) -> Callable[[bytes], int]:
    def read(value: bytes) -> int:
        given = number(value)
        if given not in allowed:
            raise error_of(errno.EINVAL)
        return given

    return read


def _small(value: bytes) -> int:
    """The number in an option of IPv4: a byte, or an int."""
    if not value:
        raise error_of(errno.EINVAL)
    return number(value) if len(value) >= 4 else value[0]


def _read_hops(value: bytes) -> int:
    hops = _small(value)
    if hops != -1 and not 0 < hops < 256:
        raise error_of(errno.EINVAL)
    return hops


def _read_mss(value: bytes) -> int:
    size = number(value)
    if size and size not in _MSS_RANGE:
        raise error_of(errno.EINVAL)
    return size


def _read_rate(value: bytes) -> int:
    """Bytes a second, in 4 or 8 bytes; all ones are no limit."""
    size = 8 if len(value) >= 8 else 4
    rate = int.from_bytes(value[:size], "little" if _LITTLE else "big")
    return 0 if rate == (1 << 8 * size) - 1 else rate


_LITTLE = struct.pack("=H", 1) == b"\1\0"


def _read_buffer(value: bytes) -> int:
    return within_bounds(number(value))


def _read_algorithm(value: bytes) -> str:
    name = value.split(b"\0")[0][: _NAME_LENGTH - 1].decode("ascii", "replace")
    if name not in ALGORITHMS:
        raise error_of(errno.ENOENT)
    return name


# ---- showing ---------------------------------------------------------------------------


def _pad(name: str) -> bytes:
    return name.encode().ljust(_NAME_LENGTH, b"\0")


def _rate(rate: int) -> bytes:
    """As Linux tells it: all ones for no limit."""
    return struct.pack("=Q", rate or (1 << 64) - 1)


def _default_mss(settings: Settings) -> int:
    # What RFC 9293 MUST-15 assumes of a peer that says nothing.
    return 536 if settings.version == 4 else 1220


def _read_ip_options(value: bytes) -> bytes:
    try:
        return checked_options(value)
    except ValueError:
        raise error_of(errno.EINVAL) from None


def _ip_options(connection: Connection) -> bytes:
    known = connection.ip_options
    return known.sent if known is not None else b""


LIVE: dict[str, _Live] = {
    "nodelay": _Live(_on, lambda c: int(c.nodelay), lambda _: 0),
    "cork": _Live(_on, lambda c: int(c.cork.corked), lambda _: 0),
    "quickack": _Live(_on, lambda c: int(c.acks.quick), lambda _: 1),
    "keepalive": _Live(_on, lambda c: int(c.keeps_alive), lambda _: 0),
    "keepidle": _Live(
        _within(_TIMES),
        lambda c: c.keepalive.idle // _SECOND,
        lambda _: 7200,
        unit=_SECOND,
    ),
    "keepintvl": _Live(
        _within(_TIMES),
        lambda c: c.keepalive.interval // _SECOND,
        lambda _: 75,
        unit=_SECOND,
    ),
    "keepcnt": _Live(_within(_PROBES), lambda c: c.keepalive.count, lambda _: 9),
    "user_timeout": _Live(
        _within(range(1 << 31)), lambda c: c.user_timeout // _MS, lambda _: 0, unit=_MS
    ),
    "congestion": _Live(
        _read_algorithm,
        lambda c: _pad(c.congestion.name),
        lambda s: _pad(s.defaults.congestion),
        _pad,
    ),
    "pacing": _Live(_read_rate, lambda c: _rate(c.pacer.limit), lambda _: _rate(0), _rate),
    "mss": _Live(_read_mss, lambda c: int(c.tcb.snd_mss), _default_mss),
    "send_buffer": _Live(
        _read_buffer,
        lambda c: int(c.tcb.snd.limit),
        lambda s: s.defaults.send_buffer or s.defaults.first_send_buffer,
    ),
    "receive_buffer": _Live(
        _read_buffer,
        lambda c: int(c.tcb.rcv_wnd_max),
        lambda s: s.defaults.receive_buffer or s.defaults.first_receive_buffer,
    ),
    "urgent_inline": _Live(_on, lambda c: int(c.urgent_inline), lambda _: 0),
    "tos": _Live(
        lambda value: _small(value) & 0xFC,
        lambda c: c.path.traffic_class & 0xFC if c.version == 4 else 0,
        lambda _: 0,
    ),
    "tclass": _Live(
        lambda value: max(_within(range(-1, 256))(value), 0) & 0xFC,
        lambda c: c.path.traffic_class & 0xFC if c.version == 6 else 0,
        lambda _: 0,
    ),
    "recvtos": _Live(lambda v: bool(_small(v)), lambda c: int(c.hears_traffic_class), lambda _: 0),
    "ip_options": _Live(_read_ip_options, _ip_options, lambda _: b"", bytes),
    "ttl": _Live(_read_hops, lambda c: c.path.ttl, lambda _: 64),
    "hops": _Live(_within(range(-1, 256)), lambda c: c.path.ttl, lambda _: 64),
}
"""What can be set on a connection, by the names of `stack.core.tcp.settings`."""


# ---- what is not the connection's -----------------------------------------------------------


def _set_fast_open(settings: Settings, value: bytes) -> None:
    settings.fast_open = max(number(value), 0)
    if settings.listener:
        settings.listener.fast_open = settings.fast_open


def _get_linger(settings: Settings) -> bytes:
    return _LINGER.pack(settings.linger is not None, settings.linger or 0)


def _set_linger(settings: Settings, value: bytes) -> None:
    on, seconds = _LINGER.unpack_from(value)
    settings.linger = seconds if on else None


def _packet_options(level: int, kind: int) -> Callable[[Settings], bytes]:
    """What arrived last beside the data, as control messages: the traffic class, where it is
    asked for (RFC 9293 MAY-9).
    """

    def get(settings: Settings) -> bytes:
        connection = settings.connection
        if connection is None or not connection.hears_traffic_class:
            return b""
        message = _CMSG.pack(socket.CMSG_LEN(4), level, kind, connection.traffic_class_heard)
        return message.ljust(socket.CMSG_SPACE(4), b"\0")

    return get


def _path_mtu(settings: Settings) -> int:
    """What is known of the path to the peer, in bytes. Raises OSError ENOTCONN."""
    connection = settings.connection
    if connection is None:
        raise error_of(errno.ENOTCONN)
    return connection.host.path_mtu.mtu_to(connection.remote_packed)


def _info(settings: Settings) -> bytes:
    if settings.connection is not None:
        return tcp_info.packed(settings.connection)
    return tcp_info.without_connection(State.LISTEN if settings.listening else State.CLOSED)


_SOCKET = socket.SOL_SOCKET
_TCP = socket.IPPROTO_TCP
_IP = socket.IPPROTO_IP
_IPV6 = socket.IPPROTO_IPV6

Settings.table = {
    (_SOCKET, socket.SO_TYPE): Option(lambda _: socket.SOCK_STREAM),
    (_SOCKET, socket.SO_DOMAIN): Option(lambda s: family_of(s.version)),
    (_SOCKET, socket.SO_PROTOCOL): Option(lambda _: socket.IPPROTO_TCP),
    (_SOCKET, socket.SO_ACCEPTCONN): Option(lambda s: int(s.listening)),
    (_SOCKET, socket.SO_ERROR): Option(lambda s: s.take_error()),
    (_SOCKET, socket.SO_REUSEADDR): switch("reuse_address"),
    (_SOCKET, socket.SO_REUSEPORT): switch("reuse_port"),
    (_SOCKET, socket.SO_KEEPALIVE): _live("keepalive"),
    (_SOCKET, socket.SO_OOBINLINE): _live("urgent_inline"),
    (_SOCKET, socket.SO_LINGER): Option(_get_linger, _set_linger, _LINGER.size),
    (_SOCKET, socket.SO_SNDBUF): _live("send_buffer"),
    (_SOCKET, socket.SO_RCVBUF): _live("receive_buffer"),
    (_SOCKET, SO_MAX_PACING_RATE): _live("pacing"),
    (_TCP, socket.TCP_NODELAY): _live("nodelay"),
    (_TCP, socket.TCP_CORK): _live("cork"),
    (_TCP, socket.TCP_QUICKACK): _live("quickack"),
    (_TCP, socket.TCP_KEEPIDLE): _live("keepidle"),
    (_TCP, socket.TCP_KEEPINTVL): _live("keepintvl"),
    (_TCP, socket.TCP_KEEPCNT): _live("keepcnt"),
    (_TCP, socket.TCP_USER_TIMEOUT): _live("user_timeout"),
    (_TCP, socket.TCP_CONGESTION): _live("congestion", 1),
    (_TCP, socket.TCP_MAXSEG): _live("mss"),
    (_TCP, socket.TCP_FASTOPEN): Option(lambda s: s.fast_open, _set_fast_open),
    (_TCP, socket.TCP_INFO): Option(_info),
    (_IP, socket.IP_TOS): _live("tos", 0),
    (_IP, socket.IP_TTL): _live("ttl", 0),
    (_IP, socket.IP_OPTIONS): _live("ip_options", 0),
    (_IP, socket.IP_RECVTOS): _live("recvtos", 0),
    (_IP, IP_PKTOPTIONS): Option(_packet_options(_IP, socket.IP_TOS)),
    (_IP, IP_MTU): Option(_path_mtu),
    (_IPV6, socket.IPV6_TCLASS): _live("tclass"),
    (_IPV6, socket.IPV6_UNICAST_HOPS): _live("hops"),
    (_IPV6, socket.IPV6_RECVTCLASS): _live("recvtos"),
    (_IPV6, IPV6_2292PKTOPTIONS): Option(_packet_options(_IPV6, socket.IPV6_TCLASS)),
    (_IPV6, IPV6_MTU): Option(_path_mtu),
    (_IPV6, socket.IPV6_V6ONLY): switch("only_ipv6"),
}
