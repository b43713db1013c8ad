"""F-RTO: was the retransmission timeout spurious? (RFC 5682, with SACK §3.1)

After a timeout only the first segment is sent again, and then new data. If an
acknowledgement then covers something that was sent only once, the flight had not been
lost but was late.
"""

from enum import Enum
from typing import TYPE_CHECKING

from stack.core.tcp.recovery_state import Recovery
from stack.wire.sequence import MASK, geq, gt

if TYPE_CHECKING:
    from stack._native import Tcb
    from stack.core.tcp.connection import Connection
    from stack.core.tcp.recovery import Delivery


class Step(Enum):
    """Where the algorithm stands."""

    OFF = 0
    FIRST_ACK = 1  # only the first segment may be sent again
    SECOND_ACK = 2  # only new data may be sent


class ForwardRto:
    """The state of RFC 5682 for one connection."""

    __slots__ = ("_step",)

    def __init__(self) -> None:
        self._step = Step.OFF

    @property
    def holds_retransmissions(self) -> bool:
        """Whether segments that count as lost have to wait for the verdict."""
        return self._step is Step.SECOND_ACK

    def begin(self, connection: "Connection") -> None:
        """Step 1: the timer ran out for the first time for this flight."""
        tcb = connection.tcb
        fresh = tcb.recovery == Recovery.OPEN and tcb.backoff == 0
        self._step = Step.FIRST_ACK if tcb.sack_ok and fresh else Step.OFF

    def stop(self) -> None:
        """There is nothing to find out: step 2b has no new data to send, which makes the
        timeout count as genuine, or recovery is over.
        """
        self._step = Step.OFF

    def room(self, tcb: "Tcb") -> int:
        """Bytes of new data that step 2b still allows: two segments in all."""
        new = (tcb.snd_nxt - tcb.recover) & MASK
        return max(2 * tcb.snd_mss - new, 0)

    def shows_spurious(self, connection: "Connection", delivery: "Delivery") -> bool:
        """Steps 2 and 3 for one acknowledgement."""
        if self._step is Step.FIRST_ACK:
            self._first_ack(connection.tcb, delivery)
        elif self._step is Step.SECOND_ACK:
            return self._second_ack(connection.tcb, delivery)
        return False

    def _first_ack(self, tcb: "Tcb", delivery: "Delivery") -> None:
        """Step 2: waits for the answer to the retransmission, whatever SACKs come before."""
        if not delivery.advanced:
            return
        if geq(tcb.snd_una, tcb.recover):
            self._step = Step.OFF
            tcb.cwnd = min(tcb.cwnd, 2 * tcb.snd_mss)
        else:
            self._step = Step.SECOND_ACK

    def _second_ack(self, tcb: "Tcb", delivery: "Delivery") -> bool:
        """Step 3: what was delivered below recover was sent before the timeout."""
        delivered = delivery.acked + delivery.sacked
        if not delivered and not delivery.duplicate and not delivery.advanced:
            return False
        self._step = Step.OFF
        beyond = any(gt(record.end, tcb.recover) for record in delivered)
        if not beyond and any(not record.retransmitted for record in delivered):
            return True
        tcb.cwnd = min(tcb.cwnd, 3 * tcb.snd_mss)
        return False
