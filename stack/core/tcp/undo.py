"""Takes back what a spurious retransmission did to the window (RFC 4015).

Two signs show that the original was only late: an echoed timestamp from before the first
retransmission (Eifel, RFC 3522), and D-SACKs for everything retransmitted (RFC 3708). A
third, F-RTO, is in `frto`.
"""

from typing import TYPE_CHECKING

from stack.core.tcp.recovery_state import Recovery
from stack.wire.sequence import MASK, gt, lt, sub

if TYPE_CHECKING:
    from stack.core.tcp.connection import Connection
    from stack.core.tcp.flight import Transmission
    from stack.core.tcp.recovery import Delivery


class Undo:
    """What the window was before the loss, and what would show that there was none."""

    __slots__ = ("_cwnd", "_first_seq", "_first_tsval", "_pending", "_ssthresh", "_una", "_valid")

    def __init__(self) -> None:
        self._valid = False
        self._cwnd = 0
        self._ssthresh = 0
        self._una = 0
        self._first_seq = 0
        self._first_tsval: int | None = None  # of the first retransmission, at first_seq
        self._pending = 0  # retransmitted bytes that no D-SACK has reported

    @property
    def watches(self) -> bool:
        """Whether the next acknowledgement may show by its timestamp that nothing was lost."""
        return self._valid and self._first_tsval is not None

    def remember(self, connection: "Connection") -> None:
        """Recovery is about to begin."""
        tcb = connection.tcb
        self._valid = True
        self._cwnd = tcb.cwnd
        self._ssthresh = tcb.ssthresh
        self._una = tcb.snd_una
        self._first_tsval = None
        self._pending = 0

    def on_retransmission(self, connection: "Connection", record: "Transmission", now: int) -> None:
        """`record` was sent again."""
        if not self._valid:
            return
        if self._pending == 0 and connection.tcb.ts_ok:
            self._first_seq = record.seq
            self._first_tsval = connection.timestamp(now)
        self._pending += record.length

    def shows_spurious(self, connection: "Connection", delivery: "Delivery") -> bool:
        """Whether an acknowledgement tells that nothing had been lost."""
        if not self._valid:
            return False
        if (
            self._first_tsval is not None
            and delivery.advanced
            and self._eifel(connection, delivery)
        ):
            return True
        return delivery.dsack is not None and self._all_duplicates(connection, delivery.dsack)

    def _eifel(self, connection: "Connection", delivery: "Delivery") -> bool:
        """RFC 3522 §3.2: the acknowledgement of the first segment sent again echoes an older
        timestamp. Others tell nothing, since a timestamp is echoed from the segment at the left
        edge.
        """
        una = connection.tcb.snd_una
        edge = (una - delivery.advanced) & MASK
        first_tsval = self._first_tsval
        if gt(una, self._first_seq):
            self._first_tsval = None  # only the first acknowledgement tells (step 5)
        if edge != self._first_seq or delivery.tsecr is None or first_tsval is None:
            return False
        return sub(delivery.tsecr, first_tsval) < 0

    def _all_duplicates(self, connection: "Connection", dsack: tuple[int, int]) -> bool:
        """Counts a D-SACK for this recovery's retransmissions (RFC 3708 §3)."""
        left, right = dsack
        if lt(left, self._una) or gt(right, connection.tcb.recover) or self._pending == 0:
            return False
        self._pending -= min((right - left) & MASK, self._pending)
        return self._pending == 0

    def revert(self, connection: "Connection", now: int) -> None:
        """Restores the window and goes on as if nothing had happened (RFC 4015 §3)."""
        tcb = connection.tcb
        self._valid = False
        tcb.cwnd = max(tcb.cwnd, self._cwnd)
        tcb.ssthresh = max(tcb.ssthresh, self._ssthresh)
        tcb.recovery = Recovery.OPEN
        tcb.dupacks = 0
        connection.flight.forget_losses()
        connection.congestion.on_undo()
        connection.host.counters.count("TCPFullUndo")
        connection.cwnd_changed("spurious recovery undone", now)
