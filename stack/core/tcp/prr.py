"""Proportional rate reduction (RFC 9937): how much may leave while a loss is repaired.

cwnd comes down to ssthresh evenly over the round trip of the recovery, so that the ACK
clock neither stops nor bursts.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stack._native import Tcb


class ProportionalRateReduction:
    """The variables of RFC 9937 §6, in bytes."""

    __slots__ = ("_delivered", "_flight", "_out")

    def __init__(self) -> None:
        self._flight = 0  # RecoverFS
        self._delivered = 0
        self._out = 0

    def begin(self, tcb: "Tcb", pipe: int, flight: int) -> None:
        """Recovery begins with `flight` bytes that are neither acknowledged nor SACKed
        before the acknowledgement that showed the loss (RecoverFS).

        Acknowledgements that came together with that one count as one with it (§6.2 takes
        all that was delivered): what they gave leave for has not left, and without it a small
        flight would end with the retransmission, of whose loss only a timeout could tell.

        One segment may leave at once: where a timer showed the loss, no ACK gives leave.
        """
        self._flight = max(flight, tcb.flight_before, 1)
        self._delivered = max(tcb.flight_before - flight, 0)
        self._out = 0
        tcb.cwnd = pipe + tcb.snd_mss

    def on_sent(self, length: int) -> None:
        """`length` bytes left during recovery, new or again."""
        self._out += length

    def on_ack(self, tcb: "Tcb", pipe: int, delivered: int, *, safe: bool) -> None:
        """Sets cwnd from what an acknowledgement delivered; `safe` says that snd_una moved
        and no further loss showed (SafeACK).
        """
        if delivered == 0:
            return
        self._delivered += delivered
        if pipe > tcb.ssthresh:
            share = -(-self._delivered * tcb.ssthresh // self._flight)
            allowed = share - self._out
        else:
            allowed = max(self._delivered - self._out, delivered)
            if safe:
                allowed += tcb.snd_mss
            allowed = min(tcb.ssthresh - pipe, allowed)
        if self._out == 0:
            # The fast retransmit itself never waits (RFC 6675 §5 step 4.3).
            allowed = max(allowed, tcb.snd_mss)
        tcb.cwnd = max(pipe + max(allowed, 0), tcb.snd_mss)
