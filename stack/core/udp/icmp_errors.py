"""What an ICMP error about a datagram does to the endpoint that sent it (RFC 1122 §4.1.3.3)."""

from typing import TYPE_CHECKING

from stack._native import ffi
from stack.core.ip.headers import IPV6_HEADER, Protocol, upper_layer
from stack.core.ip.icmp import ErrorKind, IcmpError, errno_of, is_hard
from stack.core.tcp import mtu_reports
from stack.core.udp.datagram import Origin, Route, SendError
from stack.core.udp.settings import Discovery
from stack.wire.address import raw

if TYPE_CHECKING:
    from stack._native import Packet
    from stack.core.host import Host

_UDP_HEADER = 8

# What Linux tells a connected endpoint that did not ask for reports: that waiting will not
# help. The others may pass (RFC 1122 §3.2.2.1).
_ALSO_HARD = frozenset(
    {
        ErrorKind.FRAGMENTATION_NEEDED,
        ErrorKind.HOST_UNKNOWN,
        ErrorKind.HOST_ISOLATED,
        ErrorKind.PARAMETER_PROBLEM,
    }
)


def arrives(host: "Host", packet: "Packet", error: IcmpError, now: int) -> bool:
    """Acts on an error in `packet` about a datagram of ours; returns whether it was about one."""
    if error.protocol != Protocol.UDP or not host.local.owns(error.local):
        return False
    endpoint = host.udp.find(
        error.version, error.local, error.local_port, error.remote, error.remote_port
    )
    if endpoint is None:
        return False
    settings = endpoint.settings(error.version)
    if error.kind is ErrorKind.SOURCE_QUENCH:
        return True  # RFC 6633 §4: silently discarded
    if error.kind is ErrorKind.FRAGMENTATION_NEEDED:
        _too_big(host, error, now)
        if settings.discovery is Discovery.DONT:
            return True
    if settings.report_errors:
        endpoint.report(_send_error(packet, error))
    elif endpoint.peer is None or not (is_hard(error.kind) or error.kind in _ALSO_HARD):
        return True
    endpoint.fail(errno_of(error.kind, error.version))
    return True


def _too_big(host: "Host", error: IcmpError, now: int) -> None:
    """Takes the path MTU from a router, if the datagram really exceeded it.

    UDP has no sequence number to tell a guess by: the ports, and a quoted length that makes
    sense, are all there is (RFC 8201 §4, RFC 8085 §5.2).
    """
    if error.quoted_length <= error.mtu:
        return
    if host.path_mtu.learn(error.remote, error.mtu, now, error.quoted_length) is not None:
        host.counters.count("PathMtuLowered")
        mtu_reports.path_changed(host, error.remote)


def _send_error(packet: "Packet", error: IcmpError) -> SendError:
    too_big = error.kind is ErrorKind.FRAGMENTATION_NEEDED
    return SendError(
        errno_of(error.kind, error.version),
        Origin.ICMP if error.version == 4 else Origin.ICMP6,
        error.type,
        error.code,
        error.mtu if too_big else _info(packet, error),
        raw(packet.src),
        Route(error.version, error.local, error.remote, error.remote_port),
        _quoted_text(ffi.buffer(packet.text, packet.text_length)[:], error.version),
    )


def _info(packet: "Packet", error: IcmpError) -> int:
    """The pointer of a parameter problem; in IPv4 it is the first of the four bytes."""
    if error.kind is not ErrorKind.PARAMETER_PROBLEM:
        return 0
    return packet.icmp_rest >> 24 if error.version == 4 else packet.icmp_rest


def _quoted_text(quote: bytes, version: int) -> bytes:
    """As much of the datagram's data as came back."""
    if version == 4:
        return quote[(quote[0] & 0x0F) * 4 + _UDP_HEADER :]
    upper = upper_layer(quote, quote[6], IPV6_HEADER)
    return quote[upper[1] + _UDP_HEADER :] if upper else b""
