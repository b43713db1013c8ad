"""One segment of a connection, built into the outgoing batch."""

from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.core.ip.headers import Protocol
from stack.core.tcp import handshake, window
from stack.core.tcp.ecn import ECT_0, NOT_ECT, Mode
from stack.core.tcp.states import State
from stack.core.why import Why
from stack.wire.address import raw
from stack.wire.sequence import MASK, gt

if TYPE_CHECKING:
    from stack._native import Emit, Tcb
    from stack.core.tcp.connection import Connection
    from stack.wire.batch import Outbound

_TIMESTAMPS = lib.OPTION_TIMESTAMPS
_SACK = lib.OPTION_SACK
_NO_ECN = Mode.OFF
_RST = lib.FLAG_RST
_SYN = lib.FLAG_SYN
_SACK_HEADER = 4  # bytes, padded to a word
_SACK_BLOCK = 8


def emit(
    connection: "Connection",
    out: "Outbound",
    now: int,
    seq: int,
    flags: int,
    length: int,
    why: Why,
    detail: str = "",
) -> None:
    """Builds a segment with `length` bytes of the send ring and the current
    acknowledgement, window and options.
    """
    tcb = connection.tcb
    e = connection.host.emit
    e.seq = seq
    e.flags = flags
    e.ack = tcb.rcv_nxt
    e.urgent = 0
    e.options = 0
    e.sack_count = 0
    if tcb.ts_ok:
        e.options = _TIMESTAMPS
        e.tsval = connection.timestamp(now)
        e.tsecr = tcb.ts_recent
    gaps_told = True
    if flags & _RST:
        e.window = 0
    else:
        _announce(tcb, e)
        if tcb.sack_ok and connection.reassembly.has_blocks:
            gaps_told = _sack(connection, e, length)
    if connection.urgent.sending:
        connection.urgent.point(connection, e)
    if connection.timeout_option is not None:
        connection.timeout_option.ride(connection, e, length)
    if connection.ecn.mode is not _NO_ECN:
        # A probe of the window is no new data yet (RFC 3168 §6.1.6).
        fresh = length > 0 and seq == tcb.snd_nxt and why is not Why.ZERO_WINDOW_PROBE
        _mark(connection, e, fresh)
        if connection.ecn.option is not None:
            connection.ecn.option.ride(connection, e, length, now)
    _build(connection, out, e, seq, (seq - tcb.snd_una) & MASK, length)
    out.push(why, detail)
    tcb.last_ack_sent = e.ack
    connection.acks.on_sent(connection, gaps_told)
    if length:
        tcb.last_sent_at = now
        tcb.una_at_send = tcb.snd_una
        tcb.data_segments_out += 1
        connection.pacer.on_sent(length, now)


def _mark(connection: "Connection", e: "Emit", fresh: bool) -> None:
    """ECN flags, and ECT(0) on new data only (RFC 3168 §6.1.4, §6.1.5)."""
    path, ecn = connection.path, connection.ecn
    codepoint = ECT_0 if fresh and ecn.sends_ect else NOT_ECT
    path.traffic_class = path.traffic_class & 0xFC | codepoint
    if not e.flags & _RST:
        e.flags |= ecn.flags(fresh)


def _announce(tcb: "Tcb", e: "Emit") -> None:
    """The window field, and the right edge that it promises."""
    field = window.field(tcb, window.to_announce(tcb))
    e.window = field
    promised = field << tcb.rcv_wscale
    if promised > window.announced(tcb):
        tcb.rcv_adv = (tcb.rcv_nxt + promised) & MASK


def _sack(connection: "Connection", e: "Emit", length: int) -> bool:
    """Three blocks beside a timestamp, four without (RFC 2018 §3), and no more than fit
    beside `length` bytes of text (RFC 6691 §2); returns whether any did.
    """
    tcb = connection.tcb
    limit = 3 if tcb.ts_ok else 4
    if length:
        limit = min(limit, (tcb.snd_mss - length - _SACK_HEADER) // _SACK_BLOCK)
    if limit <= 0:
        return False
    blocks = connection.reassembly.blocks(limit)
    e.options |= _SACK
    e.sack_count = len(blocks)
    for index, (left, right) in enumerate(blocks):
        e.sack[2 * index] = left
        e.sack[2 * index + 1] = right
    return True


def _is_cut(connection: "Connection", e: "Emit") -> bool:
    """Whether the device makes several segments of one; not of a SYN, nor of a probe whose
    very size is the question.
    """
    probe = connection.mtu_probe
    return not e.flags & _SYN and (probe is None or not probe.size or probe.seq != e.seq)


def _identification(connection: "Connection", seq: int, mss: int) -> int:
    """IPv4's: one more with each full segment, and the same again for a segment that leaves
    again (RFC 9293 §3.8.1, MAY-4). Where nobody may fragment, any value will do
    (RFC 6864 §4.1); elsewhere each packet needs one of its own (§4.3).
    """
    path = connection.path
    if path.dont_fragment:
        return seq // mss & 0xFFFF
    return connection.host.identification.next(raw(path.src), raw(path.dst), Protocol.TCP)


def _build(
    connection: "Connection", out: "Outbound", e: "Emit", seq: int, offset: int, length: int
) -> None:
    tcb = connection.tcb
    host = connection.host
    mss = tcb.snd_mss
    e.ip_id = _identification(connection, seq, mss)
    e.gso_size = mss if length > mss and _is_cut(connection, e) else 0
    e.checksum_offload = host.offload
    ring = connection.snd if length else ffi.NULL
    lib.outgoing_tcp(out.next_slot(), connection.path, e, ring, offset, length)
    tcb.segments_out += 1
    if length:
        tcb.bytes_sent += length
    host.counters.count("TcpOutSegs")


def emit_syn(connection: "Connection", out: "Outbound", now: int, why: Why, detail: str) -> None:
    """Our SYN (SYN-SENT) or SYN-ACK (SYN-RECEIVED) with its options; the window in it is
    never scaled (RFC 7323 §2.2).
    """
    tcb = connection.tcb
    e = connection.host.emit
    answering = tcb.state == State.SYN_RECEIVED
    e.seq = tcb.iss
    e.flags = lib.FLAG_SYN | (lib.FLAG_ACK if answering else 0)
    e.flags |= connection.ecn.syn_ack_flags() if answering else connection.ecn.syn_flags()
    e.ack = tcb.rcv_nxt if answering else 0
    e.urgent = 0
    e.sack_count = 0
    e.window = window.in_syn(tcb)
    handshake.offer(connection, e)
    if answering:
        connection.ecn.offer(connection, e)
    e.tsval = connection.timestamp(now)
    e.tsecr = tcb.ts_recent if answering else 0
    text = connection.fast_open.text if connection.fast_open is not None else 0
    _build(connection, out, e, tcb.iss, 0, text)
    out.push(why, detail)
    edge = (tcb.rcv_nxt + e.window) & MASK
    if gt(edge, tcb.rcv_adv):
        tcb.rcv_adv = edge
    tcb.last_ack_sent = tcb.rcv_nxt
    tcb.last_sent_at = now
