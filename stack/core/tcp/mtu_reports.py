"""When a router's "packet too big" is believed (RFC 5927 §7.2).

Segments of the present size that were acknowledged show that the path carries them. A
message that says otherwise may be forged: it waits, and counts only if the data that it is
about makes no progress until the retransmission timer runs out. While nothing of that size
has been acknowledged, as in the first round trips, it counts at once.
"""

from typing import TYPE_CHECKING

from stack.core.tcp import handshake
from stack.core.why import Why

if TYPE_CHECKING:
    from stack.core.host import Host
    from stack.core.ip.icmp import IcmpError
    from stack.core.tcp.connection import Connection
    from stack.core.tcp.flight import Transmission


def arrives(connection: "Connection", error: "IcmpError", now: int) -> None:
    """An error about a segment in flight: acts on it or keeps it for the timeout."""
    probe = connection.mtu_probe
    if probe is not None and probe.on_too_big(connection, error.seq or 0, error.mtu):
        return
    if _fits(connection, error):
        return
    if connection.tcb.mss_proven:
        connection.mtu_report = error
        connection.tcb.fast = 0
    else:
        _believe(connection, error, now)


def _fits(connection: "Connection", error: "IcmpError") -> bool:
    """Whether the segment in question is no larger than its path is said to take: then the
    message is not about it. A router that tells no size is believed in this.
    """
    record = connection.flight.holding(error.seq or 0)
    if record is None:
        return True
    size = min(record.length, connection.tcb.snd_mss) + handshake.overhead(connection)
    return size <= error.mtu


def on_acknowledged(connection: "Connection", gone: "list[Transmission]") -> None:
    """These left the flight: were any of them as large as segments are now?"""
    tcb = connection.tcb
    tcb.mss_proven = any(record.length >= tcb.snd_mss for record in gone)


def on_timeout(connection: "Connection", now: int) -> None:
    """No progress since the message came: it was true."""
    error, connection.mtu_report = connection.mtu_report, None
    if error is not None:
        _believe(connection, error, now)


def _believe(connection: "Connection", error: "IcmpError", now: int) -> None:
    """Smaller segments from now on, and the ones that did not fit again (RFC 1191 §6.4)."""
    host = connection.host
    lowered = host.path_mtu.learn(error.remote, error.mtu, now, error.quoted_length)
    if lowered is None:
        return
    host.counters.count("PathMtuLowered")
    path_changed(host, error.remote)
    tcb = connection.tcb
    for record in list(connection.flight.records()):
        if record.length > tcb.snd_mss:
            connection.flight.mark_lost(record)
    if tcb.lost:
        connection.retransmit_why = Why.PATH_MTU
        connection.wants_output()


def path_changed(host: "Host", destination: bytes) -> None:
    """The estimate for a destination moved: every connection to there follows it."""
    for connection in host.connections.values():
        if connection.remote_packed == destination:
            handshake.update_mss(connection)
