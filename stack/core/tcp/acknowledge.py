"""What an acceptable ACK does: release, measure, judge losses, open windows."""

from typing import TYPE_CHECKING

from stack._native import lib
from stack.core.events import RttSampled
from stack.core.ready import Ready
from stack.core.tcp import growth, mtu_reports, recovery, rtt, timeouts
from stack.core.tcp.ecn import Mode
from stack.core.tcp.recovery import Delivery
from stack.core.tcp.recovery_state import Recovery
from stack.core.tcp.timers import Timer
from stack.core.why import Verdict
from stack.wire.sequence import MASK, geq, gt, lt, sub

if TYPE_CHECKING:
    from stack._native import Packet
    from stack.core.tcp.connection import Connection

# Asked for with every segment: a member of an enum costs ten times as much.
_NO_ECN = Mode.OFF
_OPEN = Recovery.OPEN
_FAST = Recovery.FAST
_ACKNOWLEDGEMENT = Verdict.ACKNOWLEDGEMENT


def take(connection: "Connection", seg: "Packet", now: int) -> None:
    """Processes the acknowledgement, SACK blocks and window of a segment.

    seg.ack is not beyond snd_nxt; it may be old.
    """
    tcb = connection.tcb
    flight_before = (tcb.snd_nxt - tcb.snd_una) & MASK
    if tcb.sample_acks and not _is_common(connection, seg):
        growth.settle(connection, now)  # what came before counts before
    marked = connection.ecn.mode is not _NO_ECN and connection.ecn.on_ack(connection, seg, now)
    if connection.rate is not None:
        connection.rate.check_app_limited()
    if flight_before == 0:
        connection.ack_verdict = _ACKNOWLEDGEMENT
        _update_window(connection, seg)
        if seg.sack_count and tcb.sack_ok:
            # A D-SACK that tells of a needless retransmission may be the last to come.
            recovery.on_delivery(connection, _deliver(connection, seg, now))
        return
    delivery = _deliver(connection, seg, now)
    window_changed = _update_window(connection, seg)
    delivery.duplicate = (
        delivery.advanced == 0
        and seg.text_length == 0
        and seg.ack == tcb.snd_una
        and not window_changed
        and not seg.flags & (lib.FLAG_FIN | lib.FLAG_SYN)
    )
    connection.ack_verdict = Verdict.DUPLICATE_ACK if delivery.duplicate else _ACKNOWLEDGEMENT
    if delivery.advanced or delivery.sacked:
        _measure(connection, delivery, seg, now)
    before = tcb.recovery
    recovery.on_delivery(connection, delivery)
    if connection.rate is not None:
        rate = connection.rate.sample(delivery)
        growth.inform_of_rate(connection, delivery.length, flight_before, delivery.rtt, now, rate)
    elif delivery.advanced and _FAST not in (before, tcb.recovery) and not marked:
        acked = delivery.advanced if before == _OPEN else _news(connection, delivery)
        growth.note(connection, acked, flight_before, delivery.rtt)
    if delivery.advanced:
        _rearm(connection, now)
    if delivery.advanced or delivery.sacked:
        connection.may_go_on()


def _is_common(connection: "Connection", seg: "Packet") -> bool:
    """Whether an acknowledgement can do nothing but move snd_una and open the window."""
    tcb = connection.tcb
    return (
        tcb.recovery == _OPEN
        and not (tcb.sacked or tcb.lost or tcb.dupacks or seg.sack_count)
        and connection.ecn.mode is _NO_ECN
        and connection.detector.settled
    )


def _deliver(connection: "Connection", seg: "Packet", now: int) -> Delivery:
    """Moves snd_una and marks what SACK reports."""
    tcb = connection.tcb
    delivery = Delivery(seg.ack, now)
    if seg.options & lib.OPTION_TIMESTAMPS and tcb.ts_ok:
        delivery.tsecr = seg.tsecr
    if gt(seg.ack, tcb.snd_una):
        delivery.advanced = (seg.ack - tcb.snd_una) & MASK
        gone = connection.flight.acknowledge(seg.ack)
        if not tcb.mss_proven:
            mtu_reports.on_acknowledged(connection, gone)
        # What SACK reported before was delivered then, not now.
        delivery.acked = [record for record in gone if not record.sacked]
        _release(connection, seg.ack)
    if seg.sack_count and tcb.sack_ok:
        _take_sack(connection, seg, delivery)
    return delivery


def _release(connection: "Connection", ack: int) -> None:
    """Drops acknowledged bytes from the send ring and wakes a blocked writer."""
    tcb = connection.tcb
    acked = (ack - tcb.snd_una) & MASK
    dropped = lib.ring_consume(connection.snd, acked)  # a FIN is not in the ring
    tcb.snd_una = ack
    tcb.bytes_acked += dropped
    connection.soft_error = 0  # whatever it was, the path works
    if connection.mtu_report is not None and gt(ack, connection.mtu_report.seq or 0):
        connection.mtu_report = None  # it did fit
    if connection.mtu_probe is not None:
        connection.mtu_probe.on_acknowledged(connection, ack, connection.host.now)
    if tcb.backoff:
        # Karn's second half: the timeout stays backed off until something that was sent
        # only once is measured (RFC 6298 §5).
        tcb.rto = rtt.backed_off(tcb, connection.config)
        tcb.backoff = 0
    if tcb.small_in_flight and geq(ack, tcb.small_end):
        tcb.small_in_flight = 0
    if tcb.send_blocked:
        connection.send_buffer.on_blocked(connection)
        if tcb.snd.length <= tcb.snd.limit // 2:
            tcb.send_blocked = 0
            connection.tell(Ready.WRITABLE)


def _take_sack(connection: "Connection", seg: "Packet", delivery: Delivery) -> None:
    """RFC 2018 §5; a first block below or inside what is known is a D-SACK (RFC 2883 §5)."""
    tcb = connection.tcb
    blocks = [(seg.sack[2 * i], seg.sack[2 * i + 1]) for i in range(seg.sack_count)]
    if _is_dsack(blocks, seg.ack):
        delivery.dsack = blocks.pop(0)
        connection.duplicates_reported += 1
    # The option has the latest block first; RACK looks at them as they were sent.
    for left, right in sorted(blocks, key=lambda edges: sub(edges[0], tcb.snd_una)):
        if lt(left, right) and geq(left, tcb.snd_una) and not gt(right, tcb.snd_nxt):
            delivery.sacked += connection.flight.sack(left, right)


def _is_dsack(blocks: list[tuple[int, int]], ack: int) -> bool:
    left, right = blocks[0]
    if lt(left, ack):
        return not gt(right, ack)
    if len(blocks) < 2:
        return False
    outer_left, outer_right = blocks[1]
    return geq(left, outer_left) and not gt(right, outer_right)


def _update_window(connection: "Connection", seg: "Packet") -> bool:
    """Takes the window of a segment that is not older than the last one taken
    (RFC 9293 §3.10.7.4); returns whether it changed.

    A repeated segment has an old sequence number, but when it acknowledges more, it was
    sent later: its window counts, or the old one would now reach beyond what was offered.
    """
    tcb = connection.tcb
    seq, ack = seg.seq, seg.ack
    if lt(ack, tcb.snd_una):
        return False
    if ack == tcb.snd_wl2 and lt(seq, tcb.snd_wl1):
        return False
    wnd = seg.window << tcb.snd_wscale
    changed: bool = wnd != tcb.snd_wnd
    tcb.snd_wl1 = seq
    tcb.snd_wl2 = ack
    if changed:
        if tcb.snd_wnd == 0:  # R2 begins anew: what was sent so far only asked for room
            tcb.unacked_since = connection.host.now
        tcb.snd_wnd = wnd
        tcb.max_snd_wnd = max(tcb.max_snd_wnd, wnd)
        if wnd and connection.deadlines[Timer.PERSIST]:
            connection.stop_timer(Timer.PERSIST)
            tcb.backoff = 0
        connection.may_go_on()
    return changed


def _measure(connection: "Connection", delivery: Delivery, seg: "Packet", now: int) -> None:
    """One RTT sample from the newest segment that was sent only once (Karn, MUST-18), or
    from the timestamp when there is none (RFC 7323 §4).
    """
    tcb = connection.tcb
    once = [r for r in (delivery.acked or delivery.sacked) if not r.retransmitted]
    if once:
        elapsed = now - once[-1].sent_at
    elif delivery.advanced and delivery.tsecr:
        # An echo in the same tick is from anywhere within it (G of RFC 6298 §2.3). Zero would
        # become the smallest round trip, and RACK's reordering window nothing for ever.
        elapsed = (sub(connection.timestamp(now), seg.tsecr) or 1) * 1000
    else:
        return
    if elapsed < 0:
        return  # the peer echoes what we never sent
    delivery.rtt = elapsed
    rtt.sample(tcb, elapsed, connection.config)
    if connection.host.observed:
        event = RttSampled(now, connection.number, elapsed, tcb.srtt, tcb.rttvar, tcb.rto)
        connection.host.publish(event)


def _news(connection: "Connection", delivery: Delivery) -> int:
    """Bytes that an acknowledgement after a timeout counts for: snd_una leaps over what SACK
    reported before, which is no news. Without SACK nobody knows how much of a leap is, so it
    counts as one segment at most (RFC 3465 §2.3).
    """
    tcb = connection.tcb
    return delivery.length if tcb.sack_ok else min(delivery.advanced, tcb.snd_mss)


def _rearm(connection: "Connection", now: int) -> None:
    """RFC 6298 §5.2, §5.3: off when nothing is outstanding, else from now."""
    connection.tcb.unacked_since = now
    connection.stop_timer(Timer.LOSS_PROBE)
    if not connection.flight:
        connection.stop_timer(Timer.RETRANSMISSION)
        connection.stop_timer(Timer.REORDERING)
    else:
        timeouts.arm_retransmission(connection, now)
        timeouts.arm_loss_probe(connection, now)
