"""A segment arrives in SYN-SENT (RFC 9293 §3.10.7.3)."""

import errno
from typing import TYPE_CHECKING

from stack._native import lib
from stack.core.tcp import fast_open_client, handshake
from stack.core.tcp.states import Cause
from stack.core.why import Verdict, Why
from stack.wire.sequence import sub

if TYPE_CHECKING:
    from stack._native import Packet
    from stack.core.tcp.connection import Connection


def arrives(connection: "Connection", seg: "Packet", now: int) -> Verdict:
    """First the ACK, second the RST, fourth the SYN, in the RFC's order."""
    flags = seg.flags
    tcb = connection.tcb
    beyond = sub(seg.ack, tcb.iss)
    acceptable = bool(flags & lib.FLAG_ACK) and 0 < beyond <= sub(tcb.snd_nxt, tcb.iss)
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
        if connection.fast_open is not None:
            fast_open_client.answered(connection, seg, now)
        connection.host.counters.count("TcpActiveOpens")
        connection.acks.now(connection, Why.HANDSHAKE_DONE)
        return Verdict.SYN_ACK_RECEIVED
    connection.move(Cause.SYN, now)
    fast_open_client.withdraw(connection)
    connection.ecn.on_syn(seg)
    connection.syn_why = Why.SIMULTANEOUS_OPEN
    connection.wants_output()
    return Verdict.SIMULTANEOUS_SYN
