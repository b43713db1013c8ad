"""A segment arrives for a connection (RFC 9293 §3.10.7.4, with RFC 5961 and RFC 7323).

The steps come in the RFC's order, one function each: sequence number, RST, security
(which no one uses: nothing to check), SYN, ACK, URG, segment text, FIN. A step returns
the verdict that ends the processing, or None to go on.
"""

import errno
from typing import TYPE_CHECKING

from stack._native import lib
from stack.core.ready import Ready
from stack.core.tcp import (
    acknowledge,
    fast_open,
    handshake,
    output,
    receive,
    syn_sent,
    timeouts,
    window,
)
from stack.core.tcp.acks import ONE_BY_ONE
from stack.core.tcp.challenge import challenge, out_of_step
from stack.core.tcp.ecn import Mode
from stack.core.tcp.states import RECEIVING, Cause, State
from stack.core.tcp.timers import Timer
from stack.core.why import Verdict, Why
from stack.wire.sequence import MASK, geq, gt, leq, lt, sub

if TYPE_CHECKING:
    from stack._native import Packet, Tcb
    from stack.core.tcp.connection import Connection

# What is asked of every segment: a member of an enum, or of `lib`, costs ten times as much.
_SYN_SENT = State.SYN_SENT
_SYN_RECEIVED = State.SYN_RECEIVED
_TIME_WAIT = State.TIME_WAIT
_NO_ECN = Mode.OFF
_FIN = lib.FLAG_FIN
_SYN = lib.FLAG_SYN
_RST = lib.FLAG_RST
_ACK = lib.FLAG_ACK
_URG = lib.FLAG_URG
_TIMESTAMPS = lib.OPTION_TIMESTAMPS

# RFC 7323 §5.5: after that long without a segment, ts_recent means nothing.
_TIMESTAMP_AGE = 24 * 24 * 3600 * 1_000_000


def segment_arrives(connection: "Connection", seg: "Packet", now: int) -> Verdict:
    """Processes one segment whose four-tuple is the connection's."""
    tcb = connection.tcb
    tcb.segments_in += 1
    tcb.last_heard = now
    if tcb.ack_due in ONE_BY_ONE:
        output.acknowledge(connection, now)
    if tcb.state == _SYN_SENT:
        return syn_sent.arrives(connection, seg, now)
    verdict = (
        check_sequence_number(connection, seg, now)
        or check_rst(connection, seg, now)
        or check_syn(connection, seg, now)
        or check_ack(connection, seg, now)
    )
    if verdict is not None:
        return verdict
    if connection.ecn.mode is not _NO_ECN:
        connection.ecn.on_segment(connection, seg)
    if connection.hears_traffic_class:
        connection.traffic_class_heard = seg.traffic_class
    option = connection.timeout_option
    if option is not None and seg.options & lib.OPTION_USER_TIMEOUT:
        option.arrives(connection, seg.user_timeout)
    check_urg(connection, seg)
    verdict = segment_text(connection, seg, now)
    return check_fin(connection, seg, now) or verdict


# First: the sequence number.


def check_sequence_number(connection: "Connection", seg: "Packet", now: int) -> Verdict | None:
    """Acceptability by window and timestamp; notes the timestamp (RFC 7323 §5.3)."""
    tcb = connection.tcb
    state, stamped = tcb.state, tcb.ts_ok
    if state == _TIME_WAIT and _reopens(connection, seg):
        return _reopen(connection, seg, now)
    if state == _SYN_RECEIVED and seg.seq == tcb.irs and seg.flags & _SYN:
        return _syn_again(connection, seg, now)
    if stamped:
        verdict = _check_timestamp(connection, seg, now)
        if verdict is not None:
            return verdict
    if not _in_window(tcb, seg):
        return _unacceptable(connection, seg, now)
    if stamped and seg.options & _TIMESTAMPS:
        _note_timestamp(connection, seg, now)
    return None


def _in_window(tcb: "Tcb", seg: "Packet") -> bool:
    """The four cases of RFC 9293 table 6."""
    length, flags = seg.text_length, seg.flags
    if flags & _RST:
        length = 0  # its text is not for the window: it counts when that is closed, too (MUST-66)
    elif flags & (_SYN | _FIN):
        length += bool(flags & _SYN) + bool(flags & _FIN)
    wnd = window.announced(tcb)
    offset = (seg.seq - tcb.rcv_nxt) & MASK
    if length == 0:
        return offset < wnd or offset == 0
    if wnd == 0:
        return False
    return offset < wnd or (offset + length - 1) & MASK < wnd


def _unacceptable(connection: "Connection", seg: "Packet", now: int) -> Verdict:
    """Answers with an ACK, unless the segment is a RST (RFC 9293 §3.10.7.4)."""
    tcb = connection.tcb
    if seg.flags & lib.FLAG_RST:
        return Verdict.OUT_OF_WINDOW
    if tcb.state == State.TIME_WAIT:
        return _again_in_time_wait(connection, seg, now)
    if seg.flags & lib.FLAG_SYN:
        if seg.seq == tcb.irs and connection.listener is None:
            connection.ecn.on_syn_ack_again(seg)
        return challenge(connection, Verdict.SYN_CHALLENGED, now)
    end = (seg.seq + seg.text_length) & MASK
    if seg.text_length and not gt(end, tcb.rcv_nxt):
        # A peer that lost our ACK repeats data: exempt from the challenge-ACK limit,
        # or it could never recover (RFC 5961 §7).
        connection.reassembly.note_duplicate(seg.seq, end)
        connection.acks.now(connection, Why.DUPLICATE)
        if geq(end, tcb.last_ack_sent):
            _take_late_ack(connection, seg, now)
        return Verdict.DUPLICATE
    if seg.flags & lib.FLAG_FIN:
        connection.acks.now(connection, Why.DUPLICATE)
        return Verdict.DUPLICATE
    if seg.seq == (tcb.rcv_nxt - 1) & MASK and seg.text_length == 0:
        check_urg(connection, seg)
        out_of_step(connection, seg, Why.WINDOW_PROBED, now)
        return Verdict.KEEPALIVE
    if window.announced(tcb) == 0 and seg.seq == tcb.rcv_nxt:
        connection.acks.now(connection, Why.WINDOW_PROBED)
        _take_late_ack(connection, seg, now)
        check_urg(connection, seg)
        return Verdict.WINDOW_PROBE
    out_of_step(connection, seg, Why.OUT_OF_WINDOW, now)
    return Verdict.OUT_OF_WINDOW


def _take_late_ack(connection: "Connection", seg: "Packet", now: int) -> None:
    """Even with a closed window, ACKs are processed (RFC 9293 §3.10.7.4); so is that of
    the latest segment, repeated, which may be the only one to get through. Of others it is
    not: any guess in half of the sequence space would be good enough to acknowledge for the
    peer what it never got.
    """
    tcb = connection.tcb
    if (
        seg.flags & lib.FLAG_ACK
        and tcb.state != State.SYN_RECEIVED
        and (gt(seg.ack, tcb.snd_una) and not gt(seg.ack, tcb.snd_nxt))
    ):
        check_ack(connection, seg, now)


def _check_timestamp(connection: "Connection", seg: "Packet", now: int) -> Verdict | None:
    """PAWS (RFC 7323 §5.3, R1); a RST is exempt (§5.2)."""
    tcb = connection.tcb
    if seg.flags & _RST:
        return None
    if not seg.options & _TIMESTAMPS:
        # RFC 7323 §3.2: silently dropped once timestamps are agreed upon. But a SYN is of
        # another connection, and its sender must hear of this one (RFC 5961 §4.2).
        return None if seg.flags & lib.FLAG_SYN else Verdict.NO_TIMESTAMP
    if not lt(seg.tsval, tcb.ts_recent) or now - tcb.ts_recent_at > _TIMESTAMP_AGE:
        return None
    connection.host.counters.count("PAWSEstab")
    out_of_step(connection, seg, Why.OLD_TIMESTAMP, now)
    return Verdict.OLD_TIMESTAMP


def _note_timestamp(connection: "Connection", seg: "Packet", now: int) -> None:
    """RFC 7323 §4.3 (2): only a segment that covers the last ACK sent counts."""
    tcb = connection.tcb
    if leq(seg.seq, tcb.last_ack_sent):
        tcb.ts_recent = seg.tsval
        tcb.ts_recent_at = now


def _syn_again(connection: "Connection", seg: "Packet", now: int) -> Verdict | None:
    """In SYN-RECEIVED the peer's SYN came again, or with an ACK (simultaneous open)."""
    tcb = connection.tcb
    if seg.flags & lib.FLAG_ACK and seg.ack == tcb.snd_nxt:
        tcb.snd_wl2 = seg.ack
        handshake.establish(connection, seg, Cause.ACK_OF_SYN, now)
        connection.acks.now(connection, Why.HANDSHAKE_DONE)
        return Verdict.HANDSHAKE_COMPLETE
    if not connection.ecn.on_syn(seg):
        connection.reset(Why.ECN_CONFLICT, errno.ECONNRESET, now)
        return Verdict.RESET
    connection.syn_why = Why.SYN_ACK_REPEATED
    connection.wants_output()
    return Verdict.DUPLICATE


# TIME-WAIT, where only a repeated FIN or a new SYN means anything.


def _reopens(connection: "Connection", seg: "Packet") -> bool:
    """A SYN that certainly is newer than the old connection (RFC 6191 §2, MAY-2)."""
    tcb = connection.tcb
    if seg.flags & (lib.FLAG_SYN | lib.FLAG_RST | lib.FLAG_ACK) != lib.FLAG_SYN:
        return False
    stamped = bool(seg.options & lib.OPTION_TIMESTAMPS)
    if tcb.ts_ok and stamped and seg.tsval != tcb.ts_recent:
        newer = sub(seg.tsval, tcb.ts_recent) > 0
    elif not tcb.ts_ok and stamped and connection.config.timestamps:
        newer = True  # no segment of the old connection can pass for one of the new
    else:
        newer = gt(seg.seq, tcb.rcv_nxt)
    return newer and connection.host.listener_for(seg) is not None


def _reopen(connection: "Connection", seg: "Packet", now: int) -> Verdict:
    host = connection.host
    host.counters.count("TWRecycled")
    connection.finish(Cause.REOPEN, 0, now)
    return host.segment_without_connection(seg, now, above=connection.tcb.snd_nxt)


def _again_in_time_wait(connection: "Connection", seg: "Packet", now: int) -> Verdict:
    """Acknowledges a repeated FIN and starts 2 MSL anew (RFC 9293 §3.10.7.4)."""
    if seg.flags & lib.FLAG_FIN:
        connection.start_timer(Timer.TIME_WAIT, now + connection.config.time_wait)
    out_of_step(connection, seg, Why.TIME_WAIT_ACK, now)
    return Verdict.DUPLICATE


# Second: RST.


def check_rst(connection: "Connection", seg: "Packet", now: int) -> Verdict | None:
    """Only a RST exactly at rcv_nxt resets; any other in the window is challenged
    (RFC 5961 §3.2).
    """
    if not seg.flags & _RST:
        return None
    tcb = connection.tcb
    if seg.seq != tcb.rcv_nxt:
        return challenge(connection, Verdict.RESET_CHALLENGED, now)
    if tcb.state == State.TIME_WAIT:
        return Verdict.IGNORED  # RFC 1337: no assassination of TIME-WAIT
    _count_reset(connection)
    active = connection.listener is None and tcb.state == State.SYN_RECEIVED
    error = errno.ECONNREFUSED if active else errno.ECONNRESET
    if tcb.state in (State.CLOSING, State.LAST_ACK):
        error = 0
    elif tcb.state == State.CLOSE_WAIT:
        error = errno.EPIPE
    connection.finish(Cause.RESET, error, now)
    return Verdict.RESET


def _count_reset(connection: "Connection") -> None:
    counters = connection.host.counters
    counters.count("TcpInRsts")
    if connection.state == State.SYN_RECEIVED:
        counters.count("TcpAttemptFails")
    elif connection.state in (State.ESTABLISHED, State.CLOSE_WAIT):
        counters.count("TcpEstabResets")


# Fourth: SYN.


def check_syn(connection: "Connection", seg: "Packet", now: int) -> Verdict | None:
    """A SYN on a synchronised connection is challenged wherever it lies (RFC 5961 §4.2);
    in SYN-RECEIVED after a passive open it leads back to LISTEN.
    """
    if not seg.flags & _SYN:
        return None
    if connection.tcb.state == State.SYN_RECEIVED and connection.listener is not None:
        connection.host.counters.count("TcpAttemptFails")
        connection.finish(Cause.SYN, errno.ECONNRESET, now)
        return Verdict.RESET
    return challenge(connection, Verdict.SYN_CHALLENGED, now)


# Fifth: ACK.


def check_ack(connection: "Connection", seg: "Packet", now: int) -> Verdict | None:
    """Completes the handshake, releases what is acknowledged, moves closing states on."""
    if not seg.flags & _ACK:
        return Verdict.NO_ACK
    tcb = connection.tcb
    if tcb.state == _SYN_RECEIVED:
        verdict = _complete_handshake(connection, seg, now)
        if verdict is not None:
            return verdict
    if seg.ack != tcb.snd_una:
        verdict = _check_ack_range(connection, seg, now)
        if verdict is not None:
            return verdict
    if tcb.state == _TIME_WAIT:
        return None
    acknowledge.take(connection, seg, now)
    if tcb.fin_sent and tcb.snd_una == tcb.snd_nxt:
        return _fin_acknowledged(connection, now)
    return None


def _check_ack_range(connection: "Connection", seg: "Packet", now: int) -> Verdict | None:
    """Nobody acknowledges what was not sent, or what was acknowledged long ago."""
    tcb = connection.tcb
    if gt(seg.ack, tcb.snd_nxt):
        return challenge(connection, Verdict.FUTURE_ACK, now, Why.UNACCEPTABLE_ACK)
    if lt(seg.ack, (tcb.snd_una - tcb.max_snd_wnd) & MASK):
        return challenge(connection, Verdict.OLD_ACK, now)  # RFC 5961 §5.2
    return None


def _complete_handshake(connection: "Connection", seg: "Packet", now: int) -> Verdict | None:
    tcb = connection.tcb
    if not gt(seg.ack, tcb.iss) or gt(seg.ack, tcb.snd_nxt):
        connection.host.refuse(seg, Why.BAD_SYN_ACK)
        return Verdict.BAD_SYN_ACK
    listener = connection.listener
    if listener is not None and listener.full and not fast_open.may_send(connection):
        # As Linux does: the client's next segment, or our SYN-ACK, tries again.
        connection.host.counters.count("ListenOverflows")
        return Verdict.QUEUE_FULL
    handshake.establish(connection, seg, Cause.ACK_OF_SYN, now)
    if connection.flight:  # Fast Open let data go before the timer of the SYN-ACK was off
        timeouts.arm_retransmission(connection, now)
    connection.ecn.on_handshake_ack(connection, seg, now)
    tcb.snd_wl1 = (seg.seq - 1) & MASK  # so that this segment's window counts
    return None


def _fin_acknowledged(connection: "Connection", now: int) -> Verdict | None:
    state = connection.tcb.state
    if state == State.FIN_WAIT_1:
        connection.move(Cause.ACK_OF_FIN, now)
        if connection.orphan:
            connection.start_timer(Timer.TIME_WAIT, now + connection.config.fin_wait_2)
    elif state == State.CLOSING:
        connection.move(Cause.ACK_OF_FIN, now)
        timeouts.enter_time_wait(connection, now)
    elif state == State.LAST_ACK:
        connection.finish(Cause.ACK_OF_FIN, 0, now)
        return Verdict.ACKNOWLEDGEMENT
    return None


# Sixth: URG.


def check_urg(connection: "Connection", seg: "Packet") -> None:
    """Notes how far the peer's data is urgent (RFC 9293 §3.8.5)."""
    if seg.flags & _URG:
        connection.urgent.arrives(connection, seg)


# Seventh: the segment text.


def segment_text(connection: "Connection", seg: "Packet", now: int) -> Verdict:
    """Takes the text where the state still allows one."""
    if seg.text_length == 0:
        return connection.ack_verdict
    tcb = connection.tcb
    if tcb.state not in RECEIVING:
        return Verdict.IGNORED
    if tcb.orphan:
        # Nobody will read it; the peer must learn that (RFC 9293 §3.6.1, SHLD-3).
        connection.reset(Why.DATA_AFTER_CLOSE, errno.ECONNRESET, now)
        return Verdict.DATA_AFTER_CLOSE
    return receive.text(connection, seg, now)


# Eighth: FIN.


def check_fin(connection: "Connection", seg: "Packet", now: int) -> Verdict | None:
    """Takes the FIN once everything before it is here."""
    tcb = connection.tcb
    if seg.flags & _FIN and tcb.state != State.CLOSED:
        connection.reassembly.fin = (seg.seq + seg.text_length) & MASK
    fin = connection.reassembly.fin
    if fin is None or tcb.state not in RECEIVING:
        return None
    if fin != tcb.rcv_nxt:
        if gt(tcb.rcv_nxt, fin):
            connection.reassembly.fin = None  # the stream went on: that FIN was none of it
        if seg.flags & _FIN:
            connection.acks.now(connection, Why.OUT_OF_ORDER)
        return None
    connection.reassembly.end()
    tcb.rcv_nxt = (tcb.rcv_nxt + 1) & MASK
    if geq(tcb.rcv_nxt, tcb.rcv_adv):
        tcb.rcv_adv = tcb.rcv_nxt
    tcb.fin_received = 1
    connection.acks.now(connection, Why.FIN_RECEIVED)
    _fin_moves(connection, now)
    connection.tell(Ready.EOF | Ready.READABLE)
    return Verdict.FIN_RECEIVED


def _fin_moves(connection: "Connection", now: int) -> None:
    connection.move(Cause.FIN, now)
    if connection.tcb.state == State.TIME_WAIT:
        timeouts.enter_time_wait(connection, now)
