"""What acknowledgements tell congestion control, and how cwnd grows in between.

Packets that came in together are answered together, so cwnd is asked for once, after the
last of them: until then their samples add up in the TCB. Outside of slow start a round trip
is soon enough: congestion control leaves word of how cwnd grows during it
(`CongestionControl.grow`), and hears of all its acknowledgements at the end. That is also
what lets the segment path take acknowledgements without a word to Python, which keeps
congestion control.
"""

from typing import TYPE_CHECKING

from stack.core.tcp.congestion.base import Sample, grow
from stack.core.tcp.recovery_state import Recovery
from stack.wire.sequence import lt

if TYPE_CHECKING:
    from stack._native import Tcb
    from stack.core.tcp.connection import Connection
    from stack.core.tcp.rate import RateSample


def note(connection: "Connection", acked: int, flight: int, rtt: int) -> None:
    """An acknowledgement counts for `acked` bytes, snd_una having moved already; `flight` was
    outstanding before it (bytes), and `rtt` was measured (µs, 0: nothing was).
    """
    tcb = connection.tcb
    known = _knows_growth(tcb)
    grows = known and tcb.cwnd_limited
    if grows:
        _grow(connection, acked)
    if tcb.sample_acks == 0:
        tcb.sample_flight = flight
    tcb.sample_acks += 1
    if grows or not known:
        tcb.sample_acked += acked
    if rtt:
        tcb.sample_rtts += 1
        tcb.sample_rtt = min(tcb.sample_rtt or rtt, rtt)
    if not (tcb.sample_due or (grows and lt(tcb.snd_una, tcb.grow_end))):
        tcb.sample_due = 1
        connection.host.sampled.append(connection)


def _knows_growth(tcb: "Tcb") -> bool:
    """Whether congestion control has left word of what cwnd may do. Where somebody else has
    set cwnd since, that holds no longer, and what was counted under it is worth nothing.
    """
    if tcb.grow_over == 0:
        return False
    if tcb.cwnd == tcb.grow_cwnd and tcb.cwnd >= tcb.ssthresh:
        return True
    tcb.grow_over = 0
    _forget_samples(tcb)
    return False


def _grow(connection: "Connection", acked: int) -> None:
    before = connection.tcb.cwnd
    grow(connection.tcb, acked)
    if connection.tcb.cwnd != before:
        connection.cwnd_changed("acknowledgement", connection.host.now)


def _forget_samples(tcb: "Tcb") -> None:
    tcb.sample_acks = tcb.sample_acked = tcb.sample_rtts = tcb.sample_rtt = 0


def settle(connection: "Connection", now: int) -> None:
    """Hands over what has added up, if anything has."""
    tcb = connection.tcb
    tcb.sample_due = 0
    grown = tcb.grow_over if _knows_growth(tcb) else 0
    if tcb.sample_acks == 0:
        return
    if tcb.recovery == Recovery.OPEN:
        connection.validation.on_ack(connection, now)
    limited = tcb.sample_acked > 0 if grown else bool(tcb.cwnd_limited)
    tcb.grow_over = 0
    if limited or not connection.congestion.only_when_limited:
        rtt, rtts = tcb.sample_rtt, tcb.sample_rtts
        acked, flight = tcb.sample_acked, tcb.sample_flight
        inform(connection, Sample(acked, limited, flight, rtt, now, rtts=rtts, grown=grown))
    _forget_samples(tcb)


def inform(connection: "Connection", sample: Sample) -> None:
    """Lets congestion control set its window."""
    tcb, congestion = connection.tcb, connection.congestion
    before = tcb.cwnd
    congestion.on_ack(sample)
    if sample.rate is not None:
        connection.pacer.ask(congestion.pacing_rate)
    if tcb.cwnd != before:
        connection.cwnd_changed("acknowledgement", sample.now)


def inform_of_rate(
    connection: "Connection", acked: int, flight: int, rtt: int, now: int, rate: "RateSample"
) -> None:
    """For an algorithm that models the path: it hears of every acknowledgement by itself."""
    limited = bool(connection.tcb.cwnd_limited)
    inform(connection, Sample(acked, limited, flight, rtt, now, rate))
