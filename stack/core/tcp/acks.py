"""When to acknowledge (RFC 9293 §3.8.6.3, RFC 5681 §4.2)."""

from typing import TYPE_CHECKING

from stack._native import lib
from stack.core.tcp.timers import Timer
from stack.core.why import NUMBERS, REASONS, Why

if TYPE_CHECKING:
    from stack._native import Tcb
    from stack.core.tcp.connection import Connection


_ALWAYS = 1 << 62  # segments
_ALERT = 16  # segments after the last sign of a loss
_SIGNS_OF_LOSS = frozenset({Why.OUT_OF_ORDER, Why.GAP_FILLED, Why.DUPLICATE})
ONE_BY_ONE = frozenset(NUMBERS[why] for why in _SIGNS_OF_LOSS | {Why.AFTER_LOSS})
"""Reasons, as `tcb.ack_due` has them, for which an ACK must not also answer the segment that
comes next."""

# Asked of every segment: a member of an enum, or of `lib`, costs ten times as much.
_NOT_DUE = lib.WHY_NONE
_SECOND_SEGMENT = Why.SECOND_SEGMENT
_DELAYED_ACK = Timer.DELAYED_ACK


class AckPolicy:
    """Decides between an acknowledgement at once and the delayed-ACK timer.

    `due` is the reason for an ACK that the next transmission must carry, `waiting` the
    bytes that arrived since the last one left.

    Segments that came in one batch are answered by one ACK. On a path that loses packets
    that would be one too few: where it is lost itself, the sender waits for its timer.
    So for a while after each sign of a loss every segment is acknowledged, and by an ACK
    of its own. That is also what a sender without SACK counts (RFC 5681 §4.2), and what
    lets each duplicate be reported (RFC 2883 §4).
    """

    __slots__ = ("_tcb",)

    def __init__(self, tcb: "Tcb") -> None:
        self._tcb = tcb

    @property
    def due(self) -> Why | None:
        """Why an ACK must leave with the next transmission, or None."""
        return REASONS.get(self._tcb.ack_due)

    @property
    def waiting(self) -> int:
        """Bytes that arrived since the last ACK left."""
        return self._tcb.ack_waiting

    @property
    def full_size(self) -> int:
        """The longest text that came in one segment, in bytes."""
        return self._tcb.ack_full_size

    @property
    def quick(self) -> bool:
        """Whether the next segment is acknowledged at once (TCP_QUICKACK)."""
        return self._tcb.ack_quick > 0

    def set_quick(self, connection: "Connection", quick: bool) -> None:
        """From now on every segment is acknowledged at once, what waits too; or none more
        than the rules ask for.
        """
        self._tcb.ack_quick = _ALWAYS if quick else 0
        if quick and connection.deadlines[Timer.DELAYED_ACK]:
            self.now(connection, Why.QUICK_ACK)

    def now(self, connection: "Connection", why: Why) -> None:
        """An ACK must leave with the next transmission; the first reason stays."""
        if self._tcb.ack_due == _NOT_DUE:
            self._tcb.ack_due = NUMBERS[why]
        if why in _SIGNS_OF_LOSS:
            self._tcb.ack_alert = _ALERT
        connection.wants_output()

    def on_data(self, connection: "Connection", length: int, now: int) -> None:
        """`length` bytes arrived in order: at once when more than one full-sized segment
        waits (SHLD-19) and while the peer is probably in slow start, else delayed.

        SHLD-19 asks for it at the second full one. But a short tail behind a full segment
        that waited for the timer would look lost to the peer (RFC 8985 §7.2).
        """
        tcb = self._tcb
        waiting = tcb.ack_waiting = tcb.ack_waiting + length
        full_size = tcb.ack_full_size
        if length > full_size:
            full_size = tcb.ack_full_size = max(full_size, min(length, tcb.rcv_mss))
        if tcb.ack_alert > 0:
            tcb.ack_alert -= 1
            self.now(connection, Why.AFTER_LOSS)
        elif waiting > full_size:
            self.now(connection, _SECOND_SEGMENT)
        elif tcb.ack_quick > 0:
            tcb.ack_quick -= 1
            self.now(connection, Why.QUICK_ACK)
        elif not connection.deadlines[_DELAYED_ACK]:
            connection.start_timer(_DELAYED_ACK, now + connection.config.delayed_ack)

    def on_sent(self, connection: "Connection", gaps_told: bool) -> None:
        """A segment left that acknowledges everything; when it had no room for SACK blocks,
        an ACK that is due stays due.
        """
        if gaps_told:
            self._tcb.ack_due = _NOT_DUE
        self._tcb.ack_waiting = 0
        if connection.deadlines[_DELAYED_ACK]:
            connection.stop_timer(_DELAYED_ACK)
