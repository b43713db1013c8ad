"""What the acknowledgements of a batch tell congestion control.

Packets that came in together are answered together, so cwnd is asked for once, after the
last of them: until then their samples add up in the TCB. That is also what lets the segment
path take acknowledgements without a word to Python, which keeps congestion control.
"""

from typing import TYPE_CHECKING

from stack.core.tcp.congestion.base import Sample
from stack.core.tcp.recovery_state import Recovery

if TYPE_CHECKING:
    from stack.core.tcp.connection import Connection
    from stack.core.tcp.rate import RateSample


def note(connection: "Connection", acked: int, flight: int, rtt: int) -> None:
    """An acknowledgement counts for `acked` bytes; `flight` was outstanding before it (bytes),
    and `rtt` was measured (µs, 0: nothing was).
    """
    tcb = connection.tcb
    if tcb.sample_acks == 0:
        tcb.sample_flight = flight
        connection.host.sampled.append(connection)
    tcb.sample_acks += 1
    tcb.sample_acked += acked
    if rtt:
        tcb.sample_rtts += 1
        tcb.sample_rtt = min(tcb.sample_rtt or rtt, rtt)


def settle(connection: "Connection", now: int) -> None:
    """Hands over what has added up, if anything has."""
    tcb = connection.tcb
    if tcb.sample_acks == 0:
        return
    if tcb.recovery == Recovery.OPEN:
        connection.validation.on_ack(connection, now)
    limited = bool(tcb.cwnd_limited)
    if limited or not connection.congestion.only_when_limited:
        rtt, rtts = tcb.sample_rtt, tcb.sample_rtts
        inform(
            connection,
            Sample(tcb.sample_acked, limited, tcb.sample_flight, rtt, now, rtts=rtts),
        )
    tcb.sample_acks = tcb.sample_acked = tcb.sample_rtts = tcb.sample_rtt = 0


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
