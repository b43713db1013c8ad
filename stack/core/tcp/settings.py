"""What an application may set on a connection, by name: sizes in bytes, times in µs, rates in
bytes a second.

A name is one place for everybody who sets things: sockets, transports, and the recorder of a
run, which has to see every input of a host.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stack.core.tcp import handshake, source_route
from stack.core.tcp.user_timeout import UserTimeoutOption

if TYPE_CHECKING:
    from stack.core.tcp.connection import Connection

Value = bool | int | str | bytes
NO_LIMIT = 0xFFFF  # bytes: no segment is longer


def _nodelay(connection: "Connection", on: bool) -> None:
    connection.tcb.nodelay = on
    if on:
        # Weaker than the cork, but what waits by now leaves (tcp(7)).
        connection.cork.push(connection)
        connection.wants_output()


def _cork(connection: "Connection", on: bool) -> None:
    connection.cork.set(connection, on)


def _more(connection: "Connection", more: bool) -> None:
    connection.cork.expect_more(connection, more)


def _quickack(connection: "Connection", on: bool) -> None:
    connection.acks.set_quick(connection, on)


def _keepalive(connection: "Connection", on: bool) -> None:
    connection.keepalive.set(connection, on, connection.host.now)


def _keepalive_number(name: str) -> Callable[["Connection", int], None]:
    """A number of the keep-alive timer, which begins anew with it."""

    def apply(connection: "Connection", value: int) -> None:
        setattr(connection.keepalive, name, value)
        _keepalive(connection, connection.keeps_alive)

    return apply


def _congestion(connection: "Connection", name: str) -> None:
    if name != connection.congestion.name:
        connection.use_congestion(name)


def _user_timeout(connection: "Connection", timeout: int) -> None:
    """How long data may stay unacknowledged; 0 is the configured R2 (RFC 9293 MUST-21)."""
    connection.user_timeout = timeout
    if connection.timeout_option is not None:
        connection.timeout_option.changeable = timeout == 0  # RFC 5482 §3.1


def _advertised_timeout(connection: "Connection", timeout: int) -> None:
    """Advises the peer to wait for us as long, by an option that few hosts know (RFC 5482),
    and from now on follows the peer's advice.
    """
    if connection.timeout_option is None:
        connection.timeout_option = UserTimeoutOption(timeout)
    connection.timeout_option.advertise(connection, timeout)


def _pacing(connection: "Connection", rate: int) -> None:
    """No more than so many bytes a second from now on (SO_MAX_PACING_RATE); 0 for any."""
    connection.pacer.allow(rate)
    connection.wants_output()


def _mss(connection: "Connection", size: int) -> None:
    """No segment of ours carries more bytes of options and text, and while our SYN has not
    left, none of the peer's (TCP_MAXSEG); 0 takes the limit away.
    """
    connection.mss_limit = size or NO_LIMIT
    tcb = connection.tcb
    if tcb.segments_out == 0:
        tcb.rcv_mss = min(tcb.rcv_mss, connection.mss_limit)
    handshake.update_mss(connection)


def _send_buffer(connection: "Connection", size: int) -> None:
    connection.send_buffer.fix(connection, size)


def _receive_buffer(connection: "Connection", size: int) -> None:
    connection.receive_buffer.fix(connection, size)


def _urgent_inline(connection: "Connection", on: bool) -> None:
    connection.urgent_inline = on


def _discard(connection: "Connection", on: bool) -> None:
    """What arrives counts as read at once, as a server of the discard protocol has it (RFC 863);
    READABLE is told for the end alone.
    """
    connection.tcb.discards = on
    connection.discard(connection.host.now)


def _traffic_class(version: int) -> Callable[["Connection", int], None]:
    """DSCP of the segments to come (RFC 9293 MUST-48, SHLD-21), as it lies in the octet; its
    two low bits are ECN's and stay.
    """

    def apply(connection: "Connection", value: int) -> None:
        if connection.version == version:
            path = connection.path
            path.traffic_class = max(value, 0) & 0xFC | path.traffic_class & 3

    return apply


def _hops(version: int) -> Callable[["Connection", int], None]:
    """A hop count; -1 is the host's own."""

    def apply(connection: "Connection", hops: int) -> None:
        if connection.version == version:
            connection.path.ttl = connection.host.config.ttl if hops == -1 else hops

    return apply


def _hears_traffic_class(connection: "Connection", on: bool) -> None:
    connection.hears_traffic_class = on


def _ip_options(connection: "Connection", given: bytes) -> None:
    if connection.version == 4:
        source_route.give(connection, given, connection.host.now)


SETTINGS: dict[str, Callable[["Connection", Any], None]] = {
    "nodelay": _nodelay,
    "cork": _cork,
    "more": _more,
    "quickack": _quickack,
    "keepalive": _keepalive,
    "keepidle": _keepalive_number("idle"),
    "keepintvl": _keepalive_number("interval"),
    "keepcnt": _keepalive_number("count"),
    "user_timeout": _user_timeout,
    "advertised_timeout": _advertised_timeout,
    "congestion": _congestion,
    "pacing": _pacing,
    "mss": _mss,
    "send_buffer": _send_buffer,
    "receive_buffer": _receive_buffer,
    "urgent_inline": _urgent_inline,
    "discard": _discard,
    "tos": _traffic_class(4),  # of IPv4 only; "tclass" and "hops" of IPv6 only
    "tclass": _traffic_class(6),
    "recvtos": _hears_traffic_class,
    "ip_options": _ip_options,
    "ttl": _hops(4),
    "hops": _hops(6),
}
