"""What happens when a timer of a connection runs out."""

import errno
from typing import TYPE_CHECKING

from stack.core.events import TimerExpired
from stack.core.tcp import fast_open_client, mtu_reports, recovery, rtt
from stack.core.tcp.rack import Rack
from stack.core.tcp.recovery_state import Recovery
from stack.core.tcp.states import Cause, State
from stack.core.tcp.timers import Timer
from stack.core.why import Why

if TYPE_CHECKING:
    from stack.core.tcp.connection import Connection


def expired(connection: "Connection", timer: Timer, now: int) -> None:
    """Does what `timer` was for."""
    if connection.host.observed:
        connection.host.publish(TimerExpired(now, connection.number, timer.name))
    if connection.rate is not None:
        connection.rate.check_app_limited()
    _ACTIONS[timer](connection, now)


def _retransmission(connection: "Connection", now: int) -> None:
    """RFC 6298 §5.4 to §5.7."""
    tcb = connection.tcb
    if tcb.state in (State.SYN_SENT, State.SYN_RECEIVED):
        _syn_unanswered(connection, now)
        return
    if not connection.flight:
        return
    if 0 < connection.deadlines[Timer.LOSS_PROBE] <= now:
        arm_retransmission(connection, now)  # the probe comes instead (RFC 8985 §7.2)
        return
    if _gives_up(connection, now):
        return
    if connection.mtu_report is not None:
        mtu_reports.on_timeout(connection, now)
    recovery.on_timeout(connection, now)
    connection.ecn.on_timeout(connection)
    connection.host.counters.count("TCPTimeouts")
    tcb.backoff += 1
    if connection.mtu_probe is not None:
        connection.mtu_probe.on_timeout(connection, now)
    if tcb.backoff == connection.config.r1:
        connection.soft(_reason(connection))  # MUST-20, SHLD-9: between R1 and R2
    arm_retransmission(connection, now)


def _patience_ends(connection: "Connection") -> int:
    """When (µs) R2, or the user timeout, is over (RFC 9293 §3.8.3, RFC 5482 §2)."""
    config = connection.config
    since = connection.tcb.unacked_since
    abandoned = connection.orphan or connection.closing
    limit = connection.user_timeout or (config.orphan_r2 if abandoned else config.r2)
    if connection.tcb.snd_wnd == 0 and not abandoned:
        # A peer that answers may keep its window closed for ever (MUST-37, SHLD-17), as long
        # as some application wants that; else it could have us keep memory without end.
        since = max(since, connection.tcb.last_heard)
    return since + limit


def _gives_up(connection: "Connection", now: int) -> bool:
    if now < _patience_ends(connection):
        return False
    connection.host.counters.count("TCPAbortOnTimeout")
    connection.finish(Cause.TIMEOUT, _reason(connection), now)
    return True


def _reason(connection: "Connection") -> int:
    """What a router said of it, if one did, is the better explanation (RFC 1122 §4.2.3.9)."""
    return connection.soft_error or errno.ETIMEDOUT


def _syn_unanswered(connection: "Connection", now: int) -> None:
    tcb = connection.tcb
    limit = connection.user_timeout or connection.config.syn_r2
    if now - connection.tcb.unacked_since >= limit:
        connection.host.counters.count("TcpAttemptFails")
        connection.finish(Cause.TIMEOUT, _reason(connection), now)
        return
    tcb.backoff += 1
    connection.ecn.give_up()
    if tcb.state == State.SYN_SENT:
        fast_open_client.give_up(connection)
    # RFC 6298 §5.7: three seconds once the handshake is over, if its SYN was lost.
    connection.syn_why = Why.SYN_RETRANSMITTED
    tcb.cwnd = tcb.snd_mss
    connection.wants_output()


def arm_retransmission(connection: "Connection", now: int) -> None:
    """(Re)starts the retransmission timer with its back-off; a user timeout ends in time."""
    due = now + rtt.backed_off(connection.tcb, connection.config)
    if connection.user_timeout:
        due = min(due, max(_patience_ends(connection), now + 1))
    connection.start_timer(Timer.RETRANSMISSION, due)


def arm_loss_probe(connection: "Connection", now: int) -> None:
    """Starts the probe timer, which never runs longer than the timeout that it spares us
    (RFC 8985 §7.2): with SACK, outside of recovery, and only one at a time.
    """
    tcb = connection.tcb
    detector = connection.detector
    if not isinstance(detector, Rack) or detector.probing or tcb.srtt == 0:
        return
    if tcb.recovery != Recovery.OPEN or tcb.sacked or not connection.flight:
        return
    timeout = max(2 * tcb.srtt, connection.config.minimum_probe_timeout)
    if connection.flight.pipe <= tcb.snd_mss:
        timeout += connection.config.probe_delayed_ack
    due = min(now + timeout, connection.deadlines[Timer.RETRANSMISSION])
    connection.start_timer(Timer.LOSS_PROBE, due)


def _loss_probe(connection: "Connection", now: int) -> None:
    """RFC 8985 §7.3: new data if there is some, else the last segment again.

    Once SACK has spoken, RACK finds what is lost, and a probe has nothing to ask (§7.2).
    Nor has it while the next segment only waits for its turn in the pacing.
    """
    tcb = connection.tcb
    if connection.pacer.waits:
        arm_loss_probe(connection, now)
        if connection.deadlines[Timer.LOSS_PROBE] >= connection.deadlines[Timer.RETRANSMISSION]:
            connection.stop_timer(Timer.LOSS_PROBE)  # or the timeout would go on waiting for it
        return
    if not connection.flight or tcb.recovery != Recovery.OPEN or tcb.sacked:
        return
    connection.probe_due = True
    arm_retransmission(connection, now)
    connection.wants_output()


def _reordering(connection: "Connection", now: int) -> None:
    connection.detector.on_reordering_timer(connection, now)
    if connection.tcb.lost:
        recovery.enter(connection, now)


def persist_timeout(connection: "Connection") -> int:
    """µs until the closed window is probed (again), with back-off (SHLD-29, SHLD-30)."""
    return rtt.backed_off(connection.tcb, connection.config)


def _persist(connection: "Connection", now: int) -> None:
    """RFC 9293 §3.8.6.1: asks again whether the window is open, ever less often."""
    if _gives_up(connection, now):
        return
    connection.window_probe_due = True
    connection.tcb.backoff += 1
    connection.wants_output()


def _delayed_ack(connection: "Connection", now: int) -> None:
    connection.acks.now(connection, Why.DELAYED_ACK)


def _keepalive(connection: "Connection", now: int) -> None:
    if connection.keepalive.on_timer(connection, now):
        connection.keepalive_due = True
        connection.wants_output()


def _pacing(connection: "Connection", now: int) -> None:
    connection.wants_output()


def _cork(connection: "Connection", now: int) -> None:
    connection.cork.push(connection)


def _time_wait(connection: "Connection", now: int) -> None:
    if connection.tcb.state == State.TIME_WAIT:
        connection.finish(Cause.TIMEOUT, 0, now)
    elif connection.tcb.state == State.FIN_WAIT_2:
        connection.finish(Cause.TIMEOUT, errno.ETIMEDOUT, now)


def enter_time_wait(connection: "Connection", now: int) -> None:
    """Waits 2 MSL, so that a repeated FIN is still answered (MUST-13)."""
    connection.host.segment_path.end(connection.tcb)
    connection.start_timer(Timer.TIME_WAIT, now + connection.config.time_wait)
    connection.host.metrics.note(connection, now)
    connection.host.enters_time_wait(connection, now)


_ACTIONS = {
    Timer.RETRANSMISSION: _retransmission,
    Timer.LOSS_PROBE: _loss_probe,
    Timer.REORDERING: _reordering,
    Timer.PERSIST: _persist,
    Timer.DELAYED_ACK: _delayed_ack,
    Timer.KEEPALIVE: _keepalive,
    Timer.PACING: _pacing,
    Timer.CORK: _cork,
    Timer.TIME_WAIT: _time_wait,
}
