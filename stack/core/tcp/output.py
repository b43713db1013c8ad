"""Which segments a connection may send now (RFC 9293 §3.8.6, RFC 5681, RFC 896).

In order of precedence: a reset, the handshake, retransmissions, probes, new data with
the FIN behind it, and at last a bare ACK if nothing carried it.
"""

from typing import TYPE_CHECKING

from stack._native import lib
from stack.core.tcp import fast_open, timeouts
from stack.core.tcp.emit import emit, emit_syn
from stack.core.tcp.recovery_state import Recovery
from stack.core.tcp.states import State
from stack.core.tcp.timers import Timer
from stack.core.why import Why
from stack.wire.sequence import MASK

if TYPE_CHECKING:
    from stack.core.tcp.connection import Connection
    from stack.core.tcp.flight import Transmission
    from stack.wire.batch import Outbound

_ACK = lib.FLAG_ACK
_PSH = lib.FLAG_PSH
_FIN = lib.FLAG_FIN

# Asked for with every segment: a member of an enum costs ten times as much.
_SYN_RECEIVED = State.SYN_RECEIVED
_OPEN = Recovery.OPEN
_RETRANSMISSION = Timer.RETRANSMISSION
_PERSIST = Timer.PERSIST

_NOT_YET = frozenset({State.SYN_SENT, State.SYN_RECEIVED, State.CLOSED})

# A super-segment's text must leave room for its headers in 16 bits of length.
_SUPER_TEXT = 65_535 - 60 - 60


def transmit(connection: "Connection", out: "Outbound", now: int) -> bool:
    """Builds what may leave into `out`; returns False when `out` became full first."""
    host = connection.host
    if connection.tcb.fast and not host.observed:
        rest = host.segment_path.leave(connection, out, now)
        if rest != lib.LEAVE_PYTHON:
            return rest == lib.LEAVE_DONE
    done = _transmit(connection, out, now)
    host.segment_path.judge(connection)
    return done


def _transmit(connection: "Connection", out: "Outbound", now: int) -> bool:
    tcb = connection.tcb
    if connection.ip_options is not None:
        connection.ip_options.stamp(connection, now)
    if connection.reset_why is not None:
        return _reset(connection, out, now)
    if connection.syn_why is not None:
        return _syn(connection, out, now)
    if tcb.state in _NOT_YET and not fast_open.may_send(connection):
        return _before_established(connection, out, now)
    if connection.ecn.option is not None and not out.full:
        _ack_first(connection, out, now)
    before = tcb.snd_nxt
    done = _send(connection, out, now)
    tcb.flight_before = connection.flight.pipe
    if tcb.snd_nxt != before:
        timeouts.arm_loss_probe(connection, now)
    if not done:
        return False
    due = connection.acks.due
    if due is not None:
        emit(connection, out, now, tcb.snd_nxt, _ACK, 0, due)
    _watch_closed_window(connection, now)
    return True


def acknowledge(connection: "Connection", now: int) -> None:
    """Answers what came so far, before another segment of the same batch is looked at; the
    ACK leaves first in the next transmission. When that is full, it waits as any other does.
    """
    out = connection.host.early
    due = connection.acks.due
    if due is not None and not out.full:
        emit(connection, out, now, connection.tcb.snd_nxt, _ACK, 0, due)


def _ack_first(connection: "Connection", out: "Outbound", now: int) -> None:
    """Accurate ECN has ACKs that cannot ride on data: what one tells of the SYN-ACK counts on
    a bare ACK only (RFC 9768 §3.2.2.1), and full segments have no room for the option.
    """
    ecn, why = connection.ecn, connection.acks.due
    if ecn.handshake_due is not None:
        why = Why.HANDSHAKE_DONE
    elif ecn.option is None or not ecn.option.needs_ack(connection, _unsent(connection), now):
        return
    if why is not None:
        emit(connection, out, now, connection.tcb.snd_nxt, _ACK, 0, why)


def _send(connection: "Connection", out: "Outbound", now: int) -> bool:
    """Sends one segment after the other; returns False when `out` became full first."""
    tcb = connection.tcb
    while not out.full:
        if tcb.pacing_rate and _paced(connection, now):
            _probe(connection, out, now)
            return True
        if not (
            (tcb.lost and _retransmit(connection, out, now))
            or _probe(connection, out, now)
            or _new_data(connection, out, now)
        ):
            connection.pacer.goes_on()
            return True
    return False


def _before_established(connection: "Connection", out: "Outbound", now: int) -> bool:
    """In SYN-RECEIVED an unacceptable segment is answered already (RFC 9293 §3.10.7.4)."""
    if connection.tcb.state != _SYN_RECEIVED or connection.acks.due is None:
        return True
    if out.full:
        return False
    emit(connection, out, now, connection.tcb.snd_nxt, _ACK, 0, connection.acks.due)
    return True


def _reset(connection: "Connection", out: "Outbound", now: int) -> bool:
    if out.full:
        return False
    why = connection.reset_why
    connection.reset_why = None
    assert why is not None
    connection.host.counters.count("TcpOutRsts")
    tcb = connection.tcb
    emit(connection, out, now, tcb.snd_nxt, lib.FLAG_RST | _ACK, 0, why)
    return True


def _syn(connection: "Connection", out: "Outbound", now: int) -> bool:
    """A SYN, or a SYN-ACK, with its options; the retransmission timer runs from here."""
    if out.full:
        return False
    why = connection.syn_why
    connection.syn_why = None
    assert why is not None
    detail = ""
    if why is Why.SYN_ACCEPTED and connection.listener is not None:
        detail = connection.listener.queue_detail()
    emit_syn(connection, out, now, why, detail)
    timeouts.arm_retransmission(connection, now)
    return True


def largest_text(connection: "Connection") -> int:
    """Bytes of text that one packet handed to the link may carry."""
    mss: int = connection.tcb.snd_mss
    if not connection.host.offload or connection.ecn.wants_single_segments:
        return mss
    if connection.urgent.sending:
        return mss  # the device would give every segment the same pointer
    most = max(_SUPER_TEXT // mss, 1) * mss  # on the largest links one is all that fits
    return min(most, connection.pacer.burst(mss)) if connection.pacer.rate else most


def _paced(connection: "Connection", now: int) -> bool:
    """Whether data has to wait for its time; a timer runs then."""
    if not (connection.tcb.lost or _unsent(connection) or _fin_due(connection)):
        return False
    due = connection.pacer.wait_until(now)
    if due:
        connection.start_timer(Timer.PACING, due)
    return due > 0


def _retransmit(connection: "Connection", out: "Outbound", now: int) -> bool:
    """Sends the first segment that counts as lost, if cwnd has room for it."""
    tcb = connection.tcb
    if tcb.lost == 0 or _forward_rto_waits(connection):
        return False
    record = connection.flight.next_lost()
    if record is None:
        return False
    pipe = connection.flight.pipe
    room = tcb.cwnd - pipe
    why = connection.retransmit_why
    # The first segment leaves with the timeout itself, whatever else is on its way
    # (RFC 6298 §5.4), and so does the one that duplicate or partial ACKs showed where
    # there is no SACK (RFC 5681 §3.2, RFC 6582 §3.2).
    at_once = why is Why.RTO or (tcb.recovery == Recovery.FAST and not tcb.sack_ok)
    if pipe > 0 and not at_once and room < min(record.length, tcb.snd_mss):
        tcb.cwnd_limited = True
        return False
    limit = min(largest_text(connection), max(room, tcb.snd_mss))
    if record.length > limit:
        connection.flight.cut(record, limit - limit % tcb.snd_mss)
    _send_again(connection, record, out, now, why)
    if why is Why.RTO:
        # What follows the first retransmission is recovery from what was lost with it.
        connection.retransmit_why = connection.detector.why
    return True


def _forward_rto_waits(connection: "Connection") -> bool:
    """Whether new data goes before what counts as lost (RFC 5682 §3.1, step 2b)."""
    if not connection.frto.holds_retransmissions:
        return False
    if _unsent(connection) > 0 and _window_left(connection) > 0:
        return True
    connection.frto.stop()
    return False


def _send_again(
    connection: "Connection", record: "Transmission", out: "Outbound", now: int, why: Why
) -> None:
    tcb = connection.tcb
    is_last = record.end == tcb.snd_nxt
    has_fin = bool(tcb.fin_sent) and is_last
    length = record.length - has_fin
    pushes = length and is_last and (why is Why.LOSS_PROBE or _unsent(connection) == 0)  # MUST-61
    flags = _ACK | (_FIN if has_fin else 0) | (_PSH if pushes else 0)
    emit(connection, out, now, record.seq, flags, length, why)
    connection.flight.resent(record, now)
    if connection.rate is not None:
        connection.rate.on_sent(record, now)
    connection.undo.on_retransmission(connection, record, now)
    if tcb.recovery:
        connection.prr.on_sent(record.length)
    tcb.retransmissions += 1
    tcb.bytes_retransmitted += length
    connection.host.counters.count("TcpRetransSegs")
    if not connection.deadlines[_RETRANSMISSION]:
        timeouts.arm_retransmission(connection, now)


def _probe(connection: "Connection", out: "Outbound", now: int) -> bool:
    """A tail loss probe (RFC 8985 §7.3), a zero-window probe (RFC 9293 §3.8.6.1) or a
    keep-alive (§3.8.4).
    """
    if connection.probe_due:
        connection.probe_due = False
        if connection.flight:
            _loss_probe(connection, out, now)
            return True
    if connection.window_probe_due:
        connection.window_probe_due = False
        if connection.tcb.snd_wnd == 0 or _stuck(connection):
            _window_probe(connection, out, now)
            return True
    if connection.keepalive_due:
        connection.keepalive_due = False
        connection.host.counters.count("TCPKeepAlive")
        seq = (connection.tcb.snd_una - 1) & MASK
        emit(connection, out, now, seq, _ACK, 0, Why.KEEPALIVE)  # SHLD-12: without data
        return True
    return False


def _loss_probe(connection: "Connection", out: "Outbound", now: int) -> None:
    """New data, or the last segment again. The answer is what it is sent for, so it is pushed
    in any case: receivers do not delay the ACK of what was pushed and has been read.
    """
    tcb = connection.tcb
    fresh = min(_unsent(connection), tcb.snd_mss, _window_left(connection))
    if fresh > 0:
        _send_new(connection, fresh, out, now, Why.LOSS_PROBE)
        connection.detector.on_loss_probe_sent(connection, False, now)
    else:
        last = connection.flight.last()
        if last.length > tcb.snd_mss:
            connection.flight.cut(last, (last.length - 1) // tcb.snd_mss * tcb.snd_mss)
            last = connection.flight.last()
        _send_again(connection, last, out, now, Why.LOSS_PROBE)
        connection.detector.on_loss_probe_sent(connection, True, now)
    connection.stop_timer(Timer.LOSS_PROBE)  # one probe at a time (RFC 8985 §7.3)
    timeouts.arm_retransmission(connection, now)


def _window_probe(connection: "Connection", out: "Outbound", now: int) -> None:
    """One octet below the window, as hosts do today: the peer must answer with its window,
    and nothing lies beyond the right edge. When some window is there but too small to be
    worth a segment, the probe carries what fits (RFC 9293 §3.8.6.2.1, the override).
    """
    tcb = connection.tcb
    fits = min(_window_left(connection), _unsent(connection), tcb.snd_mss)
    if fits > 0:
        _send_new(connection, fits, out, now, Why.ZERO_WINDOW_PROBE)
    else:
        seq = (tcb.snd_una - 1) & MASK
        emit(connection, out, now, seq, _ACK, 0, Why.ZERO_WINDOW_PROBE)


def _unsent(connection: "Connection") -> int:
    """Bytes in the send ring that never left."""
    tcb = connection.tcb
    if tcb.fin_sent:
        return 0
    unsent: int = tcb.snd.length - ((tcb.snd_nxt - tcb.snd_una) & MASK)
    return unsent


def _fin_due(connection: "Connection") -> bool:
    """Whether our FIN waits to be sent; before ESTABLISHED it has no place yet."""
    tcb = connection.tcb
    return bool(tcb.fin_queued and not tcb.fin_sent and tcb.state != _SYN_RECEIVED)


def _window_left(connection: "Connection") -> int:
    """Bytes that the peer's window still takes; negative when it shrank."""
    tcb = connection.tcb
    left: int = tcb.snd_wnd - ((tcb.snd_nxt - tcb.snd_una) & MASK)
    return left


def _new_data(connection: "Connection", out: "Outbound", now: int) -> bool:
    """Sends the next new segment, if data, window, cwnd and Nagle say so."""
    unsent = _unsent(connection)
    fin_due = _fin_due(connection)
    if unsent == 0 and not fin_due:
        return False
    if unsent and not connection.flight:
        _restart_after_idle(connection, now)
    if connection.mtu_probe is not None:
        probed = _mtu_probe(connection, unsent, out, now)
        if probed is not None:
            return probed
    length = _may_send(connection, unsent)
    if length == 0 and not (fin_due and unsent == 0 and _window_left(connection) > 0):
        return False
    _send_new(connection, length, out, now, _data_why(connection, length, unsent))
    return True


def _mtu_probe(connection: "Connection", unsent: int, out: "Outbound", now: int) -> bool | None:
    """Sends one segment that may be too large for the path (RFC 4821 §7), if one is due, or
    returns False when one is and cwnd has no room yet; None: nothing is due.
    """
    probe = connection.mtu_probe
    assert probe is not None
    text = probe.text_due(connection, min(unsent, _window_left(connection)), now)
    if text == 0:
        return None
    if _cwnd_left(connection) < text:
        return False
    probe.sent(connection, connection.tcb.snd_nxt, text)
    _send_new(connection, text, out, now, Why.MTU_PROBE)
    return True


def _data_why(connection: "Connection", length: int, unsent: int) -> Why:
    tcb = connection.tcb
    if _fin_due(connection) and length == unsent and _window_left(connection) > length:
        return Why.FIN
    if tcb.dupacks and tcb.recovery == _OPEN:
        return Why.LIMITED_TRANSMIT
    return Why.DATA_PUSHED if length == unsent else Why.DATA


def _restart_after_idle(connection: "Connection", now: int) -> None:
    """Data leaves while nothing is in flight: what is cwnd worth after a pause?"""
    tcb = connection.tcb
    if connection.rate is not None:
        connection.congestion.on_restart(now)
        connection.pacer.ask(connection.congestion.pacing_rate)
    elif 0 < tcb.last_sent_at < now - tcb.rto:
        connection.validation.on_restart(connection, now)


def _may_send(connection: "Connection", unsent: int) -> int:
    """How many of `unsent` bytes the next segment may carry; 0: wait.

    Window and cwnd first, then sender's SWS avoidance (RFC 9293 §3.8.6.2.1, MUST-38) and
    Nagle, in the form that only an unacknowledged *small* segment holds another back.
    """
    tcb = connection.tcb
    mss = tcb.snd_mss
    window_left = _window_left(connection)
    cwnd_left = _cwnd_left(connection)
    length = min(unsent, window_left, cwnd_left, largest_text(connection))
    tcb.cwnd_limited = cwnd_left < min(unsent, window_left, mss)
    if length <= 0:
        return 0
    if length >= mss:
        whole = length - length % mss
        return length if length == unsent and _tail_may_go(connection) else whole
    if length < unsent:
        # Cut short by cwnd: wait for an ACK. By the window: only a good part of it.
        return length if length == window_left and length * 2 >= tcb.max_snd_wnd else 0
    return length if _tail_may_go(connection) else 0


def _cwnd_left(connection: "Connection") -> int:
    tcb = connection.tcb
    left: int = tcb.cwnd - connection.flight.pipe
    if tcb.dupacks and tcb.recovery == _OPEN and not tcb.sack_ok:
        left += min(tcb.dupacks, 2) * tcb.snd_mss  # limited transmit, RFC 3042 §2
    if tcb.recovery == Recovery.LOSS and connection.frto.holds_retransmissions:
        left = min(left, connection.frto.room(tcb))
    return left


def _tail_may_go(connection: "Connection") -> bool:
    """Whether a segment below full size may leave (MUST-17, SHLD-7)."""
    if connection.tcb.fin_queued or connection.urgent.sending:
        return True
    if connection.cork.held and connection.cork.holds(connection):
        return False
    return bool(connection.tcb.nodelay or not connection.tcb.small_in_flight)


def _send_new(connection: "Connection", length: int, out: "Outbound", now: int, why: Why) -> None:
    """Sends `length` bytes from snd_nxt on, with the FIN when they are the last."""
    tcb = connection.tcb
    seq = tcb.snd_nxt
    unsent = _unsent(connection)
    last = length == unsent
    fin = last and _fin_due(connection) and _window_left(connection) > length
    pushes = length and (last or why is Why.LOSS_PROBE)
    flags = _ACK | (_PSH if pushes else 0) | (_FIN if fin else 0)
    end = (seq + length + fin) & MASK
    emit(connection, out, now, seq, flags, length, why)
    tcb.snd_nxt = end
    tcb.fin_sent = tcb.fin_sent or fin
    if length % tcb.snd_mss:
        tcb.small_end = end
        tcb.small_in_flight = 1
    if not connection.flight and tcb.state != _SYN_RECEIVED:
        tcb.unacked_since = now
    connection.flight.sent(seq, end, now)
    if connection.rate is not None:
        connection.rate.on_sent(connection.flight.last(), now)
    if tcb.recovery:
        connection.prr.on_sent(length)
    if not connection.deadlines[_RETRANSMISSION]:
        timeouts.arm_retransmission(connection, now)


def _stuck(connection: "Connection") -> bool:
    """Something waits, nothing is in flight, and the window is what holds it back."""
    tcb = connection.tcb
    if not (connection.snd.length or tcb.fin_queued) or connection.flight:
        return False
    waiting = _unsent(connection) + _fin_due(connection)
    return waiting > 0 and _window_left(connection) < min(waiting, tcb.snd_mss)


def _watch_closed_window(connection: "Connection", now: int) -> None:
    """Runs the persist timer as long as only the window is in the way (MUST-36, SHLD-29,
    SHLD-30).
    """
    if connection.deadlines[_PERSIST]:
        return
    if _stuck(connection):
        if connection.tcb.backoff == 0:
            connection.tcb.unacked_since = now
        timeout = timeouts.persist_timeout(connection)
        connection.start_timer(_PERSIST, now + timeout)
