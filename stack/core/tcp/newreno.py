"""Losses without SACK: three duplicate ACKs, then partial ACKs (RFC 5681 §3.2, RFC 6582)."""

from typing import TYPE_CHECKING

from stack.core.tcp.recovery import Delivery
from stack.core.tcp.recovery_state import Recovery
from stack.core.why import Why
from stack.wire.sequence import geq

if TYPE_CHECKING:
    from stack.core.tcp.connection import Connection

DUP_THRESH = 3


class NewReno:
    """Counts duplicate ACKs; in recovery each one inflates cwnd by the segment that left."""

    __slots__ = ()
    why = Why.FAST_RETRANSMIT
    settled = True  # duplicates are counted in the TCB

    def on_delivery(self, connection: "Connection", delivery: Delivery) -> None:
        """RFC 6582 §3.2, steps 2 to 4."""
        tcb = connection.tcb
        if delivery.advanced:
            self._on_advance(connection, delivery)
        elif delivery.duplicate:
            tcb.dupacks += 1
            if tcb.recovery == Recovery.FAST:
                tcb.cwnd += tcb.snd_mss
                connection.wants_output()
            elif tcb.dupacks == DUP_THRESH and tcb.recovery == Recovery.OPEN:
                self._mark_first(connection)
            elif tcb.dupacks < DUP_THRESH:
                connection.wants_output()

    def _on_advance(self, connection: "Connection", delivery: Delivery) -> None:
        tcb = connection.tcb
        if tcb.recovery == Recovery.FAST and not geq(tcb.snd_una, tcb.recover):
            connection.retransmit_why = Why.PARTIAL_ACK
            tcb.cwnd = max(tcb.cwnd - delivery.advanced, tcb.snd_mss) + tcb.snd_mss
            self._mark_first(connection)
        else:
            tcb.dupacks = 0

    def _mark_first(self, connection: "Connection") -> None:
        """The first segment is lost; the rest of a super-segment may have arrived."""
        flight = connection.flight
        if len(flight) == 0:
            return
        first = flight.first()
        if first.length > connection.tcb.snd_mss:
            flight.cut(first, connection.tcb.snd_mss)
        flight.mark_lost(first)

    def on_recovery(self, connection: "Connection") -> None:
        """Three duplicate ACKs say that three segments left the network (RFC 5681 §3.2)."""
        tcb = connection.tcb
        if tcb.dupacks >= DUP_THRESH:
            tcb.cwnd = tcb.ssthresh + DUP_THRESH * tcb.snd_mss

    def on_reordering_timer(self, connection: "Connection", now: int) -> None:
        """Reordering is told from loss by counting, not by time."""

    def on_timeout(self, connection: "Connection", now: int) -> None:
        """Without SACK everything in flight counts as lost (RFC 5681 §3.1)."""
        for record in connection.flight.records():
            connection.flight.mark_lost(record)

    def on_loss_probe_sent(self, connection: "Connection", retransmission: bool, now: int) -> None:
        """Tail loss probes are sent only where there is SACK."""


WITHOUT_SACK = NewReno()
"""One for all connections: what they count is in their TCBs."""
