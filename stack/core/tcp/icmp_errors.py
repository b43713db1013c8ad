"""What an ICMP error does to a connection (RFC 9293 §3.9.2.2, RFC 5927, RFC 5461)."""

from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.core.ip.headers import Protocol
from stack.core.ip.icmp import ErrorKind, IcmpError, errno_of, is_hard
from stack.core.tcp import mtu_reports
from stack.core.tcp.states import Cause, State
from stack.wire.address import fill_path
from stack.wire.sequence import geq, lt

if TYPE_CHECKING:
    from stack.core.host import Host
    from stack.core.tcp.connection import Connection


def arrives(host: "Host", error: IcmpError, now: int) -> bool:
    """Acts on an error about a segment of ours; returns whether it was about one.

    The quoted sequence number must be of something in flight, or the message is a guess
    (RFC 5927 §4.1).
    """
    connection = _connection_of(host, error)
    if connection is None or error.seq is None:
        return False
    tcb = connection.tcb
    if not (geq(error.seq, tcb.snd_una) and lt(error.seq, tcb.snd_nxt)):
        return False
    if error.kind is ErrorKind.SOURCE_QUENCH:
        return True  # MUST-55: silently discarded
    if error.kind is ErrorKind.FRAGMENTATION_NEEDED:
        mtu_reports.arrives(connection, error, now)
    elif tcb.state == State.SYN_SENT and is_hard(error.kind):
        # Only before the connection exists do we believe it at once (RFC 5461 §4.1).
        host.counters.count("TcpAttemptFails")
        connection.finish(Cause.RESET, errno_of(error.kind, error.version), now)
    else:
        connection.soft(errno_of(error.kind, error.version))
    return True


def _connection_of(host: "Host", error: IcmpError) -> "Connection | None":
    if error.protocol != Protocol.TCP:
        return None
    path = ffi.new("struct path *")
    ports = error.local_port, error.remote_port
    fill_path(path, error.version, error.local, error.remote, *ports)
    flow = lib.flow_find_path(host.flows, path)
    return host.connections[flow] if flow else None
