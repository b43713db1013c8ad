"""A segment arrives in SYN-SENT (RFC 9293 §3.10.7.3)."""

import errno
from typing import TYPE_CHECKING

from stack._native import lib
from stack.core.tcp import handshake
from stack.core.tcp.states import Cause
from stack.core.why import Verdict, Why

if TYPE_CHECKING:
    from stack._native import Packet
    from stack.core.tcp.connection import Connection


def arrives(connection: "Connection", seg: "Packet", now: int) -> Verdict:
    """First the ACK, second the RST, fourth the SYN, in the RFC's order."""
    flags = seg.flags
    acceptable = bool(flags & lib.FLAG_ACK) and seg.ack == connection.tcb.snd_nxt
    if flags & lib.FLAG_ACK and not acceptable:
        if not flags & lib.FLAG_RST:
            connection.host.refuse(seg, Why.BAD_SYN_ACK)
        return Verdict.BAD_SYN_ACK
    if flags & lib.FLAG_RST:
        return _check_rst(connection, acceptable, now)
    if flags & lib.FLAG_SYN:
        return _check_syn(connection, seg, acceptable, now)
    return Verdict.IGNORED


def _check_rst(connection: "Connection", acceptable: bool, now: int) -> Verdict:
    if not acceptable:
        return Verdict.IGNORED
    counters = connection.host.counters
    counters.count("TcpAttemptFails")
    counters.count("TcpInRsts")
    connection.finish(Cause.RESET, errno.ECONNREFUSED, now)
    return Verdict.RESET


def _check_syn(connection: "Connection", seg: "Packet", acked: bool, now: int) -> Verdict:
    handshake.take_options(connection, seg, now)
    if acked:
        connection.ecn.on_syn_ack(seg)
        connection.tcb.snd_wl2 = seg.ack
        handshake.establish(connection, seg, Cause.SYN_ACK, now)
        connection.host.counters.count("TcpActiveOpens")
        connection.acks.now(connection, Why.HANDSHAKE_DONE)
        return Verdict.SYN_ACK_RECEIVED
    connection.move(Cause.SYN, now)
    connection.syn_why = Why.SIMULTANEOUS_OPEN
    connection.wants_output()
    return Verdict.SIMULTANEOUS_SYN
